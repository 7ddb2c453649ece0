# SPDX-License-Identifier: Apache-2.0
"""Checks that a successful answer is what the protocol promises, and not the page of some other server."""

from __future__ import annotations

from typing import Any, TypeVar

from oio.common import exceptions as exc

_T = TypeVar("_T", dict[str, Any], list[Any])


def expect(kind: type[_T], resp: Any, body: Any, service: str | None = None) -> _T:
    """Return the body of an answer, which must be a JSON object (`kind` is ``dict``) or array (``list``).

    :param resp: the response
    :param body: its body, decoded when it was JSON
    :param service: address of the service, for the exception
    :raises OioProtocolError: it is something else
    """
    if isinstance(body, kind):
        return body
    content_type = resp.headers.get("Content-Type", "no content type")
    name = "object" if kind is dict else "array"
    raise exc.OioProtocolError(
        f"answer is not a JSON {name}: HTTP {resp.status}, {content_type}, {body[:64]!r}"
        if isinstance(body, (bytes, str))
        else f"answer is not a JSON {name}: HTTP {resp.status}, {type(body).__name__}",
        service=service,
    )
