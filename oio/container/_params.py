# SPDX-License-Identifier: Apache-2.0
"""The query parameters that say which container, and which object of it, a request is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def container_params(account: str | None, reference: str | None, cid: str | None) -> dict[str, Any]:
    """Name a container: by its ID when it is known, else by its account and its own name.

    Another spelling of the ID would be that of another container (pitfalls row 146).
    """
    return {"cid": cid.upper()} if cid else {"acct": account, "ref": reference}


def content_params(
    account: str | None,
    reference: str | None,
    path: str | None,
    cid: str | None,
    content: str | None = None,
    version: int | str | None = None,
) -> dict[str, Any]:
    """Name an object by its path, or by its content ID, and possibly one version of it."""
    params = container_params(account, reference, cid)
    if path is not None:
        params["path"] = path
    if content:
        params["content"] = content
    params["version"] = version
    return params


def property_names(names: Iterable[str] | None) -> list[str]:
    """Name the properties to remove: that none stands for all of them must be meant (pitfalls row 103)."""
    if names is None:
        raise ValueError("properties must be the names of those to remove, an empty list for all of them")
    return list(names)
