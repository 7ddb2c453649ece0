# SPDX-License-Identifier: Apache-2.0
"""Listings of objects and of containers: single pages, and iterators over all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, TypeVar, cast
from urllib.parse import unquote

from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.constants import LIST_MARKER_HEADER, LIST_TRUNCATED_HEADER
from oio.common.easy_value import boolean_value
from oio.common.iterables import Paged
from oio.common.retry import ONCE, Attempts, Retry

if TYPE_CHECKING:
    from oio.account.client import AccountClient
    from oio.api.types import ContainerRow, ListedObject, ListedPrefix, ObjectListing
    from oio.common.answers import JsonObject
    from oio.common.options import Options
    from oio.container.client import ContainerClient

PAGE_SIZE = 1000
_MAX_PAGE_SIZE = 10000
"""The service gives no larger pages."""
_FIGURES = 3
"""Figures that a listing of containers gives of each, besides its name. Some have no date after them."""
_LAST = "\U0010fffd"
"""End of a marker that skips all the names with a prefix; the service uses the same."""
_VERY_LAST = "\U0010ffff"
"""End of a marker of the account service of 2026, which sorts names by their bytes."""
_LABEL = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_BUCKET = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_VERSION_MARKER_HEADER = "x-oio-list-version-marker"
_RETRY = Retry()

_T = TypeVar("_T")
_P = TypeVar("_P")
_P_co = TypeVar("_P_co", covariant=True)

Entry: TypeAlias = "ListedObject | ListedPrefix"
_Step: TypeAlias = "tuple[list[_T], Marker | None]"
"""Entries to give, and the marker of the next page; None after the last one."""


class Marker(NamedTuple):
    """Place in a listing: after a name, or after one version of an object."""

    name: str
    version: str | None = None

    def is_after(self, other: Marker) -> bool:
        """Tell whether it comes after another one; older versions come later."""
        if self.name == other.name and self.version and other.version:
            return int(self.version) < int(other.version)
        return self.name > other.name


class ListPage(Protocol[_P_co]):
    """Gets one page of a listing."""

    def __call__(self, *, limit: int | None, marker: Marker | None) -> _P_co:
        """Get it.

        :param limit: number of entries, at most; by default that of the service
        :param marker: only entries after this place
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
    version_marker: int | str | None = None,
) -> ObjectListing:
    if marker is not None and prefix and marker < prefix:
        # The service would list nothing after a marker that is before the prefix (pitfall 139).
        marker = None
    if not marker or not versions:
        # Without versions, a listing goes on with the next name.
        version_marker = None
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
        version_marker=version_marker,
        options=options,
    )
    return _make_page(headers, body, None if version_marker is None else marker)


def _make_page(headers: Mapping[str, str], body: JsonObject, begun: str | None) -> ObjectListing:
    """Make the result of a listing from the answer of the service.

    :param begun: name whose latest version is in an earlier page
    :raises OioProtocolError: more is to come, but not where (pitfall 141); or it is not a listing
    """
    with reading_answer():
        truncated = boolean_value(headers.get(LIST_TRUNCATED_HEADER), False)
    marker = headers.get(LIST_MARKER_HEADER)
    if truncated and marker is None:
        raise exc.OioProtocolError("the listing is truncated, and has no marker to go on from")
    with reading_answer():
        page: ObjectListing = {
            "objects": _describe(body["objects"], begun),
            "prefixes": _texts(body.get("prefixes", [])),
            "properties": dict(body.get("properties", {})),
            "system": dict(body.get("system", {})),
            "truncated": truncated,
        }
    if marker is not None:
        page["next_marker"] = unquote(marker)
        version = headers.get(_VERSION_MARKER_HEADER)
        if version is not None:
            with reading_answer():
                page["next_version_marker"] = str(int(version))
    return page


def _texts(values: Iterable[object]) -> list[str]:
    for value in values:
        if type(value) is not str:
            raise TypeError(f"a prefix is {value!r:.80}")
    return cast("list[str]", list(values))


def _describe(objects: list[JsonObject], previous: str | None) -> list[ListedObject]:
    """Complete the descriptions of an answer, in place: a copy of each would cost a third of a listing."""
    if type(objects) is not list:
        raise TypeError(f"the objects are {objects!r:.80}")
    for obj in objects:
        if "chunk-method" in obj:
            obj["chunk_method"] = obj.pop("chunk-method")
        if "mime-type" in obj:
            obj["mime_type"] = obj.pop("mime-type")
        if "content" not in obj and "id" in obj:
            # Services of 2026 do not say it twice.
            obj["content"] = obj["id"]
        name = obj["name"]
        if type(name) is not str:
            raise TypeError(f"the name of an object is {name!r}")
        # The latest version comes first.
        obj["is_latest"] = name != previous
        previous = name
    return cast("list[ListedObject]", objects)


def version_page(
    client: ContainerClient,
    account: str | None,
    container: str | None,
    prefix: str | None,
    options: Options,
    limit: int | None = None,
    marker: Marker | None = None,
) -> ObjectListing:
    """Get one page of the versions in a container, of which each row tells which version it is.

    :raises OioProtocolError: a row has no version, or does not tell whether it is a delete marker
    """
    name, version = marker or (None, None)
    page = object_page(
        client,
        account,
        container,
        options,
        limit=limit,
        marker=name,
        version_marker=version,
        versions=True,
        prefix=prefix,
    )
    for row in page["objects"]:
        known: object = row.get("version")
        if type(known) is str and known.isascii() and known.isdecimal():
            # Fakes of applications may say it so.
            row["version"] = known = int(known)
        if type(known) is not int or "deleted" not in row:
            raise exc.OioProtocolError(f"a version is described by {row!r:.160}")
    return page


def listed_versions(
    client: ContainerClient,
    account: str | None,
    container: str | None,
    options: Options,
    prefix: str | None = None,
) -> Iterator[ListedObject]:
    """Iterate over all the versions of all the objects of a container.

    :param prefix: only names with this prefix
    :raises OioException: an object has more versions than a page can hold, and the service is of 7.3
    """
    pages = with_retries(partial(version_page, client, account, container, prefix), options)
    return cast("Iterator[ListedObject]", all_entries(pages, whole_names=True))


def all_entries(
    list_page: ListPage[ObjectListing],
    page_size: int = PAGE_SIZE,
    marker: str | None = None,
    whole_names: bool = False,
) -> Iterator[Entry]:
    """Iterate over the objects of a container, and the prefixes that stand for others, by name.

    :param list_page: gets a page
    :param marker: names after this one only
    :param whole_names: the pages are of versions. A page that ends inside a name says so, and the next one
        goes on there; or, from a service of 7.3, it loses the other versions of that name. Then the last
        name of a truncated page is left for the next one, which is larger when that was its only name
        (pitfall 140).
    :returns: descriptions of objects, and ``{"prefix": text}``
    :raises OioException: an object has more versions than a page can hold, and the service is of 7.3; the
        listing does not go on
    """

    def step(after: Marker | None) -> _Step[Entry]:
        limit = page_size
        while True:
            page = list_page(limit=limit, marker=after)
            entries = _by_name(page)
            if not page["truncated"]:
                return entries, None
            if whole_names and "next_version_marker" not in page and entries and "name" in entries[-1]:
                name = entries[-1]["name"]
                entries = [entry for entry in entries if entry.get("name") != name]
                if not entries:
                    if limit >= _MAX_PAGE_SIZE:
                        raise exc.OioException(f"object {name!r} has more than {limit} versions")
                    limit = min(limit * 2, _MAX_PAGE_SIZE)
                    continue
                border = Marker(_marker_after(entries[-1]))
            else:
                border = _end_of(page, entries)
            if after is not None and not border.is_after(after):
                raise exc.OioException(f"the listing is truncated, and does not go on after {after.name!r}")
            return entries, border

    return _iterate(step, Marker(marker) if marker else None)


def _end_of(page: ObjectListing, entries: list[Entry]) -> Marker:
    """Marker of the next page."""
    end = Marker(page["next_marker"], page.get("next_version_marker"))
    # The marker may be a name inside the last prefix, whose other names must be skipped.
    border = max([end.name, *map(_marker_after, entries[-1:])])
    return end if border == end.name else Marker(border)


def fold_names(
    list_page: ListPage[ObjectListing], delimiter: str, prefix: str | None
) -> ListPage[ObjectListing]:
    """Fold names into prefixes as the service does it, which loses versions when it does it itself.

    The service puts its answers together from pages of its own, and goes on after the last name of each of
    them, even when some of its versions are missing (pitfall 140).

    :param list_page: gets a page of versions that is not folded
    """

    def list_folded(*, limit: int | None, marker: Marker | None) -> ObjectListing:
        page = list_page(limit=limit, marker=marker)
        begun = "" if marker is None else marker.name
        objects: list[ListedObject] = []
        prefixes: list[str] = []
        for obj in page["objects"]:
            end = obj["name"].find(delimiter, len(prefix or ""))
            common = obj["name"][: end + 1]
            if end < 0:
                objects.append(obj)
            elif common not in prefixes[-1:] and not begun.startswith(common):
                prefixes.append(common)
        page["objects"], page["prefixes"] = objects, prefixes
        return page

    return list_folded


def _by_name(page: ObjectListing) -> list[Entry]:
    prefixes: list[ListedPrefix] = [{"prefix": prefix} for prefix in page.get("prefixes", ())]
    entries: list[Entry] = [*page["objects"], *prefixes]
    # The sort is stable: versions stay in their order.
    return sorted(entries, key=_sort_key) if prefixes else entries


def _sort_key(entry: Entry) -> str:
    return entry["prefix"] if "prefix" in entry else entry["name"]


def _marker_after(entry: Entry) -> str:
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
    region: str | None = None,
) -> list[ContainerRow]:
    """Get one page of the listing of an account.

    Services of 7.3 fold and choose names themselves. Those of 2026, whose answers tell of regions, do not:
    it is done here, and more is asked for until the page is full.

    :raises BadRequest: a region is given, and the service knows none
    """
    rows: list[ContainerRow] = []
    wanted = limit or PAGE_SIZE
    after = marker
    narrow = _ContainerFilter(prefix or "", delimiter or "", s3_buckets_only, marker)
    while True:
        body = client.container_list(
            account,
            limit,
            after,
            end_marker,
            prefix,
            delimiter,
            bool(s3_buckets_only),
            region=region,
            options=options if after is marker else options.renewed(),
        )
        with reading_answer():
            listed = [_checked_row(row) for row in body["listing"]]
            regional = "regions" in body
            truncated = regional and bool(body["truncated"])
        if region is not None and not regional:
            raise exc.BadRequest(
                message=f"region {region!r} is given, but the account service does not know regions"
            )
        if not regional or not narrow.needed:
            return listed
        rows += narrow.narrowed(listed)
        if not truncated or len(rows) >= wanted:
            return rows[:wanted]
        after = _next_marker(after, narrow.end_of(listed))


def _next_marker(after: str | None, following: str | None) -> str:
    if following is None or (after is not None and following <= after):
        raise exc.OioProtocolError(f"the listing is truncated, and does not go on after {after!r}")
    return following


class _ContainerFilter:
    """Choice and folding of the rows of containers, over several pages.

    :param marker: only names after this one; if it is a prefix, none that it stands for
    """

    def __init__(self, prefix: str, delimiter: str, buckets_only: bool, marker: str | None) -> None:
        self._prefix = prefix
        # As in services of 7.3: the whole delimiter is searched for, but its first character ends a prefix.
        self._delimiter = delimiter
        self._buckets_only = buckets_only
        is_prefix = bool(delimiter and marker and len(marker) > len(prefix) and marker.endswith(delimiter[0]))
        self._shown = marker if is_prefix else None

    @property
    def needed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._delimiter) or self._buckets_only

    def narrowed(self, rows: list[ContainerRow]) -> list[ContainerRow]:
        """Choose and fold the rows that follow those of the last call."""
        found: list[ContainerRow] = []
        for row in rows:
            name = row[0]
            if (self._buckets_only and not _is_bucket_name(name)) or self._is_shown(name):
                continue
            folder = self._folder_of(name)
            if folder:
                self._shown = folder
                row = [folder, 0, 0, 1, 0]
            found.append(row)
        return found

    def end_of(self, rows: list[ContainerRow]) -> str | None:
        """Marker after some rows, and after the prefix that was shown last."""
        if not rows:
            return None
        last = str(rows[-1][0])
        return max(last, f"{self._shown}{_VERY_LAST}") if self._is_shown(last) else last

    def _is_shown(self, name: str) -> bool:
        return self._shown is not None and name.startswith(self._shown)

    def _folder_of(self, name: str) -> str:
        end = name.find(self._delimiter, len(self._prefix)) if self._delimiter else -1
        return name[: end + 1]


def _is_bucket_name(name: str) -> bool:
    """Tell whether a name can be that of a bucket, as services of 7.3 do."""
    return 3 <= len(name) <= 63 and not _ADDRESS.fullmatch(name) and bool(_BUCKET.fullmatch(name))


def _checked_row(row: ContainerRow) -> ContainerRow:
    if not isinstance(row, (list, tuple)) or len(row) <= _FIGURES or not isinstance(row[0], str):
        raise ValueError(f"a container is described by {row!r:.80}")
    return row


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

    def step(after: Marker | None) -> _Step[ContainerRow]:
        rows = list_page(limit=page_size, marker=after)
        if not rows:
            return rows, None
        last = Marker(rows[-1][0])
        if last == after:
            raise exc.OioException(f"the listing does not go on after {last.name!r}")
        return rows, last

    return _iterate(step, Marker(marker) if marker else None)


# --- pages -------------------------------------------------------------------------------------------


def _iterate(step: Callable[[Marker | None], _Step[_T]], marker: Marker | None) -> Iterator[_T]:
    """Iterate over the entries of all pages; a page is asked for when its first entry is needed."""

    def pages(marker: Marker | None) -> Generator[list[_T], None, None]:
        while True:
            entries, marker = step(marker)
            yield entries
            if marker is None:
                return

    return Paged.of(pages(marker))


def with_retries(
    list_page: Callable[[Options, int | None, Marker | None], _P], options: Options
) -> ListPage[_P]:
    """Ask again for a page that failed: a long listing must not fail for it (pitfall 91).

    :param list_page: gets a page, once, given options, limit and marker
    :param options: of the call: what they say of attempts, and their deadline, concerns each page
    """
    retry = options.retry or _RETRY
    options = options.changed(retry=ONCE)
    # Each attempt is a phase of its own.
    limits = options.limits.per_request()

    def ask(*, limit: int | None, marker: Marker | None) -> _P:
        return Attempts(retry, limits).run(lambda: list_page(options.renewed(), limit, marker))

    return ask
