# SPDX-License-Identifier: Apache-2.0
"""Listings of objects and of containers: single pages, and iterators over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar, cast
from urllib.parse import unquote

from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.easy_value import boolean_value
from oio.common.retry import Attempts, Retry

if TYPE_CHECKING:
    from oio.account.client import AccountClient
    from oio.api.types import ContainerRow, ListedObject, ListedPrefix, ObjectListing
    from oio.common.answers import JsonObject
    from oio.common.limits import Limits
    from oio.common.options import Options
    from oio.container.client import ContainerClient

PAGE_SIZE = 1000
_MAX_PAGE_SIZE = 10000
"""The service gives no larger pages."""
_PATIENCE = Retry(attempts=3)
_LAST = "\U0010fffd"
"""End of a marker that skips all the names with a prefix; the service uses the same."""
_TRUNCATED_HEADER = "x-oio-list-truncated"
_MARKER_HEADER = "x-oio-list-marker"

_T = TypeVar("_T")
_P = TypeVar("_P")
_P_co = TypeVar("_P_co", covariant=True)

Entry: TypeAlias = "ListedObject | ListedPrefix"
_Step: TypeAlias = "tuple[list[_T], str | None]"
"""Entries to give, and the marker of the next page; None after the last one."""


class ListPage(Protocol[_P_co]):
    """Gets one page of a listing."""

    def __call__(self, *, limit: int | None, marker: str | None) -> _P_co:
        """Get it.

        :param limit: number of entries, at most; by default what the service gives
        :param marker: names after this one only
        """


# --- objects -----------------------------------------------------------------------------------------


def object_page(
    client: ContainerClient,
    account: str | None,
    container: str | None,
    options: Options,
    *,
    limit: int | None = None,
    marker: str | None = None,
    delimiter: str | None = None,
    prefix: str | None = None,
    end_marker: str | None = None,
    properties: bool = False,
    versions: bool = False,
    deleted: bool = False,
) -> ObjectListing:
    """Get one page of the listing of a container."""
    if marker is not None and prefix and marker < prefix:
        # The service would give nothing after a marker that is before all that is listed (pitfall 139).
        marker = None
    headers, body = client.content_list(
        account,
        container,
        limit=limit,
        marker=marker,
        end_marker=end_marker,
        prefix=prefix,
        delimiter=delimiter,
        properties=bool(properties),
        versions=bool(versions),
        deleted=bool(deleted),
        options=options,
    )
    return _make_page(headers, body)


def _make_page(headers: Mapping[str, str], body: JsonObject) -> ObjectListing:
    """Make the result of a listing from the answer of the service.

    :raises OioProtocolError: more is to come, but not where (pitfall 141); or it is not a listing
    """
    truncated = boolean_value(headers.get(_TRUNCATED_HEADER), False)
    marker = headers.get(_MARKER_HEADER)
    if truncated and marker is None:
        raise exc.OioProtocolError("the listing is truncated, and has no marker to go on from")
    with reading_answer():
        page: ObjectListing = {
            "objects": list(_described(body["objects"])),
            "prefixes": list(body.get("prefixes", [])),
            "properties": dict(body.get("properties", {})),
            "system": dict(body.get("system", {})),
            "truncated": truncated,
        }
    if marker is not None:
        page["next_marker"] = unquote(marker)
    return page


def _described(objects: list[JsonObject]) -> Iterator[ListedObject]:
    previous = None
    for obj in objects:
        described = {key.replace("-", "_"): value for key, value in obj.items()}
        # The latest version comes first.
        described["is_latest"] = obj["name"] != previous
        previous = obj["name"]
        yield cast("ListedObject", described)


def listed_versions(
    client: ContainerClient, account: str | None, container: str | None, options: Options
) -> Iterator[ListedObject]:
    """Iterate over all the versions of all the objects of a container."""

    def list_page(*, limit: int | None, marker: str | None) -> ObjectListing:
        return object_page(
            client, account, container, options.renewed(), limit=limit, marker=marker, versions=True
        )

    return all_versions(patiently(list_page, options.limits))


def all_versions(list_page: ListPage[ObjectListing], page_size: int = PAGE_SIZE) -> Iterator[ListedObject]:
    """Iterate over all the versions of all the objects of a container.

    :param list_page: gets a page of versions
    :raises OioException: an object has more versions than a page can hold
    """
    return cast("Iterator[ListedObject]", all_entries(list_page, page_size, whole_names=True))


def all_entries(
    list_page: ListPage[ObjectListing],
    page_size: int = PAGE_SIZE,
    marker: str | None = None,
    whole_names: bool = False,
) -> Iterator[Entry]:
    """Iterate over the objects of a container, and the prefixes that stand for others, by name.

    :param list_page: gets a page
    :param marker: names after this one only
    :param whole_names: the pages are of versions: one that ends inside a name loses the other versions of
        it. The last name of a truncated page is left for the next one, which is larger when that was its
        only name (pitfall 140).
    :returns: descriptions of objects, and ``{"prefix": text}``
    :raises OioException: an object has more versions than a page can hold; the listing does not go on
    """

    def step(after: str | None) -> _Step[Entry]:
        limit = page_size
        while True:
            page = list_page(limit=limit, marker=after)
            entries = _by_name(page)
            if not page["truncated"]:
                return entries, None
            if whole_names and entries and "name" in entries[-1]:
                name = entries[-1]["name"]
                entries = [entry for entry in entries if entry.get("name") != name]
                if not entries:
                    if limit >= _MAX_PAGE_SIZE:
                        raise exc.OioException(f"object {name!r} has more than {limit} versions")
                    limit = min(limit * 2, _MAX_PAGE_SIZE)
                    continue
                border = _border(entries[-1])
            else:
                # The marker may be a name inside the last prefix, whose other names must be skipped.
                border = max([page["next_marker"], *map(_border, entries[-1:])])
            if after is not None and border <= after:
                raise exc.OioException(f"the listing is truncated, and does not go on after {after!r}")
            return entries, border

    return _iterate(step, marker)


def folding(
    list_page: ListPage[ObjectListing], delimiter: str, prefix: str | None
) -> ListPage[ObjectListing]:
    """Fold names into prefixes as the service does it, which loses versions when it does it itself.

    The service puts its answers together from pages of its own, and goes on after the last name of each of
    them, even when some of its versions are missing (pitfall 140).

    :param list_page: gets a page of versions that is not folded
    """

    def list_folded(*, limit: int | None, marker: str | None) -> ObjectListing:
        page = list_page(limit=limit, marker=marker)
        objects: list[ListedObject] = []
        prefixes: list[str] = []
        for obj in page["objects"]:
            end = obj["name"].find(delimiter, len(prefix or ""))
            common = obj["name"][: end + 1]
            if end < 0:
                objects.append(obj)
            elif common not in prefixes[-1:] and not (marker or "").startswith(common):
                prefixes.append(common)
        page["objects"], page["prefixes"] = objects, prefixes
        return page

    return list_folded


def _by_name(page: ObjectListing) -> list[Entry]:
    prefixes: list[ListedPrefix] = [{"prefix": prefix} for prefix in page.get("prefixes", ())]
    entries: list[Entry] = [*page["objects"], *prefixes]
    # The sort is stable: versions stay in their order.
    return sorted(entries, key=_place) if prefixes else entries


def _place(entry: Entry) -> str:
    return entry["prefix"] if "prefix" in entry else entry["name"]


def _border(entry: Entry) -> str:
    """Marker of what follows an entry."""
    return f"{entry['prefix']}{_LAST}" if "prefix" in entry else entry["name"]


# --- containers --------------------------------------------------------------------------------------


def container_page(
    client: AccountClient,
    account: str | None,
    options: Options,
    *,
    limit: int | None = None,
    marker: str | None = None,
    end_marker: str | None = None,
    prefix: str | None = None,
    delimiter: str | None = None,
    s3_buckets_only: bool = False,
) -> list[ContainerRow]:
    """Get one page of the listing of an account."""
    body = client.container_list(
        account, limit, marker, end_marker, prefix, delimiter, bool(s3_buckets_only), options=options
    )
    with reading_answer():
        return list(body["listing"])


def all_containers(
    list_page: ListPage[list[ContainerRow]], page_size: int | None = None, marker: str | None = None
) -> Iterator[ContainerRow]:
    """Iterate over the containers of an account, and the prefixes that stand for others.

    Unlike that of objects, this listing goes on after the last name, be it a prefix, and ends with an empty
    page (pitfall 152).

    :param list_page: gets a page
    :param marker: names after this one only
    :raises OioException: the listing does not go on
    """

    def step(after: str | None) -> _Step[ContainerRow]:
        rows = list_page(limit=page_size, marker=after)
        if not rows:
            return rows, None
        last = rows[-1][0]
        if last == after:
            raise exc.OioException(f"the listing does not go on after {after!r}")
        return rows, last

    return _iterate(step, marker)


# --- pages -------------------------------------------------------------------------------------------


def _iterate(step: Callable[[str | None], _Step[_T]], marker: str | None) -> Iterator[_T]:
    """Iterate over the entries of all pages; a page is asked for when its first entry is needed."""
    while True:
        entries, marker = step(marker)
        yield from entries
        if marker is None:
            return


def patiently(list_page: ListPage[_P], limits: Limits) -> ListPage[_P]:
    """Ask again for a page when the service is busy: a long listing must not fail for it (pitfall 91).

    :param limits: of the call, whose deadline ends the attempts at each page
    """
    # Each page is a phase of its own.
    limits = limits.per_request()

    def ask(*, limit: int | None, marker: str | None) -> _P:
        return Attempts(_PATIENCE, limits).run(lambda: list_page(limit=limit, marker=marker))

    return ask
