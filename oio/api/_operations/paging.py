# SPDX-License-Identifier: Apache-2.0
"""Listings of objects: what the service gives, made into what the API promises."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import unquote

from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.backoff import back_off
from oio.common.easy_value import boolean_value

_Page = TypeVar("_Page")

PAGE_SIZE = 1000
_MAX_PAGE_SIZE = 10000
"""The service gives no larger pages."""
_PAGE_ATTEMPTS = 3
_LAST = "\U0010fffd"
"""What follows a prefix in a marker that leaves all its names behind, as the service has it."""
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
    list_page: Callable[..., dict[str, Any]], page_size: int = PAGE_SIZE
) -> Iterator[dict[str, Any]]:
    """Iterate over all the versions of all the objects of a container.

    :param list_page: gives a page of versions; called with ``limit`` and ``marker``
    :raises OioException: an object has more versions than a page can hold
    """
    return all_entries(list_page, page_size, whole_names=True)


def all_entries(
    list_page: Callable[..., dict[str, Any]],
    page_size: int = PAGE_SIZE,
    marker: str | None = None,
    whole_names: bool = False,
) -> Iterator[dict[str, Any]]:
    """Iterate over the objects of a container, and the prefixes that stand for others, by name.

    :param list_page: gives a page; called with ``limit`` and ``marker``
    :param marker: where to begin
    :param whole_names: the pages are of versions: one that ends inside a name loses the other versions of
        it. The last name of a truncated page is left for the next one, which is larger when that was its
        only name (pitfalls row 140).
    :returns: descriptions of objects, and ``{"prefix": text}``
    :raises OioException: an object has more versions than a page can hold; the listing does not go on
    """
    limit = page_size
    while True:
        page = list_page(limit=limit, marker=marker)
        entries = _by_name(page)
        if not page["truncated"]:
            yield from entries
            return
        if whole_names and entries and "prefix" not in entries[-1]:
            name = entries[-1]["name"]
            entries = [entry for entry in entries if entry.get("name") != name]
            if not entries:
                if limit >= _MAX_PAGE_SIZE:
                    raise exc.OioException(f"object {name!r} has more than {limit} versions")
                limit = min(limit * 2, _MAX_PAGE_SIZE)
                continue
            border = _border(entries[-1])
        else:
            # The marker may be a name inside of the last prefix: the others of it are of no interest.
            border = max([page["next_marker"], *map(_border, entries[-1:])])
        if marker is not None and border <= marker:
            raise exc.OioException(f"the listing is truncated, and does not go on after {marker!r}")
        yield from entries
        marker, limit = border, page_size


def folding(
    list_page: Callable[..., dict[str, Any]], delimiter: str, prefix: str | None
) -> Callable[..., dict[str, Any]]:
    """Fold names into prefixes as the service does it, which loses versions when it does it itself.

    It puts its answers together from pages of its own, and goes on after the last name of each of them, be it
    whole or not (pitfalls row 140).

    :param list_page: gives a page of versions that is not folded; called with ``limit`` and ``marker``
    """

    def list_folded(limit: int, marker: str | None) -> dict[str, Any]:
        page = list_page(limit=limit, marker=marker)
        objects: list[dict[str, Any]] = []
        prefixes: list[str] = []
        for obj in page["objects"]:
            end = obj["name"].find(delimiter, len(prefix or ""))
            common = obj["name"][: end + 1]
            if end < 0:
                objects.append(obj)
            elif common not in prefixes[-1:] and not (marker or "").startswith(common):
                prefixes.append(common)
        return {**page, "objects": objects, "prefixes": prefixes}

    return list_folded


def _by_name(page: dict[str, Any]) -> list[dict[str, Any]]:
    prefixes = [{"prefix": prefix} for prefix in page.get("prefixes", ())]
    if not prefixes:
        return list(page["objects"])
    # The sort is stable: versions stay in their order.
    return sorted([*page["objects"], *prefixes], key=lambda entry: entry.get("prefix") or entry["name"])


def _border(entry: dict[str, Any]) -> str:
    """Marker of what follows an entry."""
    return f"{entry['prefix']}{_LAST}" if "prefix" in entry else str(entry["name"])


def all_containers(
    list_page: Callable[..., list[Any]], page_size: int | None = None, marker: str | None = None
) -> Iterator[list[Any]]:
    """Iterate over the containers of an account, and the prefixes that stand for others.

    Unlike that of objects, this listing goes on after the last name, be it a prefix, and ends with an empty
    page (pitfalls row 152).

    :param list_page: gives a page; called with ``limit`` and ``marker``
    :param marker: where to begin
    :raises OioException: the listing does not go on
    """
    while rows := list_page(limit=page_size, marker=marker):
        last = rows[-1][0]
        if last == marker:
            raise exc.OioException(f"the listing does not go on after {marker!r}")
        yield from rows
        marker = last


def patiently(list_page: Callable[..., _Page], deadline: float | None = None) -> Callable[..., _Page]:
    """Ask again for a page when the service is busy: a long listing must not fail for it (row 91).

    :param deadline: monotonic seconds
    """

    @functools.wraps(list_page)
    def ask(**kwargs: Any) -> _Page:
        for attempt in range(1, _PAGE_ATTEMPTS):
            try:
                return list_page(**kwargs)
            except exc.ServiceBusy:
                if not back_off(attempt, deadline):
                    raise
        return list_page(**kwargs)

    return ask
