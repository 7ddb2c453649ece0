# SPDX-License-Identifier: Apache-2.0
"""Query parameters that name a container, and an object of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oio.common.answers import JsonObject
    from oio.common.keywords import RequestOptions


def container_params(
    account: str | None, reference: str | None, cid: str | None, given: RequestOptions | None = None
) -> JsonObject:
    """Name a container: by its ID when it is known, else by its account and its own name.

    Another spelling of the ID would be that of another container (pitfall 146).

    :param given: options of the request, which may have the ID
    """
    if not cid and given and (options := given.get("options")) is not None:
        cid = options.cid
    return {"cid": cid.upper()} if cid else {"acct": account, "ref": reference}


def property_names(names: Iterable[str] | None) -> list[str]:
    """Name the properties to remove: an empty list removes all of them, so it must be given (pitfall 103)."""
    if names is None:
        raise ValueError("properties is required (names of those to remove, an empty list for all of them)")
    return list(names)
