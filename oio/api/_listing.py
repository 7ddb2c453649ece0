# SPDX-License-Identifier: Apache-2.0
"""Listings of objects: what the service gives, made into what the API promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.easy_value import boolean_value

_PAGE_SIZE = 1000
_MAX_PAGE_SIZE = 10000
"""The service gives no larger pages."""
_TRUNCATED_HEADER = "x-oio-list-truncated"
_MARKER_HEADER = "x-oio-list-marker"


def useful_marker(marker: str | None, prefix: str | None) -> str | None:
    """Drop a marker that is before all that is listed: the service would give nothing (pitfalls row 139)."""
    return None if marker is not None and prefix and marker < prefix else marker


def make_page(headers: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Make the result of a listing from the answer of the service.

    :raises OioProtocolError: more is to come, but not where (pitfalls row 141); or it is not a listing
    """
    truncated = boolean_value(headers.get(_TRUNCATED_HEADER), False)
    marker = headers.get(_MARKER_HEADER)
    if truncated and marker is None:
        raise exc.OioProtocolError("the listing is truncated, and has no marker to go on from")
    with reading_answer():
        page: dict[str, Any] = {key: dict(body.get(key, {})) for key in ("properties", "system")}
        page["prefixes"] = list(body.get("prefixes", []))
        page["objects"] = list(_described(body["objects"]))
    page["truncated"] = truncated
    if marker is not None:
        page["next_marker"] = unquote(marker)
    return page


def _described(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    previous = None
    for obj in objects:
        described = {key.replace("-", "_"): value for key, value in obj.items()}
        # The latest version comes first.
        described["is_latest"] = obj["name"] != previous
        previous = obj["name"]
        yield described


def all_versions(
    list_page: Callable[..., dict[str, Any]], page_size: int = _PAGE_SIZE
) -> Iterator[dict[str, Any]]:
    """Iterate over all the versions of all the objects of a container.

    A page that ends inside a name loses the other versions of it: the last name of a truncated page is
    left for the next one, which is larger when that was its only name (pitfalls row 140).

    :param list_page: gives a page; called with ``limit`` and ``marker``
    :raises OioException: an object has more versions than a page can hold
    """
    marker, limit = None, page_size
    while True:
        page = list_page(limit=limit, marker=marker)
        objects = page["objects"]
        if not page["truncated"]:
            yield from objects
            return
        whole = [obj for obj in objects if obj["name"] != objects[-1]["name"]]
        yield from whole
        if whole:
            marker, limit = whole[-1]["name"], page_size
        elif not objects:
            marker = page["next_marker"]
        elif limit < _MAX_PAGE_SIZE:
            limit = min(limit * 2, _MAX_PAGE_SIZE)
        else:
            raise exc.OioException(f"object {objects[-1]['name']!r} has more than {limit} versions")
