# SPDX-License-Identifier: Apache-2.0
"""Pages of listings: names in order, by prefix, folded at a delimiter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Generic, TypeVar

#: Sorts after every name that begins with the same prefix.
_LAST: Final = "\U0010fffd"

Row = TypeVar("Row")


@dataclass(frozen=True)
class Selection:
    """Which names to list; empty strings are absent filters.

    :param limit: how many items a page has at most, rows and folders together.
    :param marker: names must sort after this one.
    :param end_marker: names must sort before this one.
    :param prefix: how names must begin.
    :param delimiter: names that have it after the prefix are listed as the folder they are in.
    """

    limit: int = 1000
    marker: str = ""
    end_marker: str = ""
    prefix: str = ""
    delimiter: str = ""

    def folder_of(self, name: str, size: int | None = None) -> str:
        """Return the folder that a name is in, empty when it is in none.

        :param size: how many characters of the delimiter belong to the folder; None for all of it.

        >>> Selection(prefix="a/", delimiter="/").folder_of("a/b/c")
        'a/b/'
        """
        end = name.find(self.delimiter, len(self.prefix)) if self.delimiter else -1
        return "" if end < 0 else name[: end + (len(self.delimiter) if size is None else size)]


@dataclass(frozen=True)
class Folder:
    """Item of a listing that stands for all names that begin with its own."""

    name: str


@dataclass
class Page(Generic[Row]):
    """One page of a listing.

    :param items: rows and folders, in order.
    :param following: what comes next, None at the end.
    :param marker: in a listing by rounds, the name of the last row of the last round if it was complete.
    :param last: that row.
    """

    items: list[Row | Folder] = field(default_factory=list)
    following: Row | Folder | None = None
    marker: str | None = None
    last: Row | None = None

    @property
    def rows(self) -> list[Row]:
        """The rows, without the folders."""
        return [item for item in self.items if not isinstance(item, Folder)]

    @property
    def folders(self) -> list[str]:
        """The names of the folders."""
        return [item.name for item in self.items if isinstance(item, Folder)]

    @property
    def next_row(self) -> Row | None:
        """Row after the page, in a listing without folders."""
        return None if isinstance(self.following, Folder) else self.following

    @property
    def truncated(self) -> bool:
        """Whether something follows."""
        return self.following is not None

    def __len__(self) -> int:
        return len(self.items)


def list_page(
    source: Callable[[str], Iterable[Row]],
    selection: Selection,
    name_of: Callable[[Row], str],
    *,
    select: Callable[[Iterator[Row]], Iterable[Row]] = iter,
    shown: str = "",
    folder_size: int | None = None,
    by_rounds: bool = False,
    expired: Callable[[], bool] = lambda: False,
) -> Page[Row]:
    """Return one page of a listing.

    A listing by rounds reads as many rows as the page has room for, folds them, and reads on after the last
    folder until the page is full. So it may say that rows follow when all of them are in that folder.

    :param source: returns the rows after a name (all of them for an empty one), sorted by their names.
    :param name_of: returns the name of a row.
    :param select: picks the rows to list among those of the right names.
    :param shown: a folder that an earlier page has shown; names in it are left out.
    :param folder_size: how many characters of the delimiter belong to the name of a folder; None for all.
    :param by_rounds: read rows by rounds.
    :param expired: tells whether to stop after a round, with what was found so far.
    """
    page: Page[Row] = Page()
    start, folder, resume = selection.marker, shown, ""
    while True:
        walk = iter(select(_within(source(start), selection, name_of)))
        room = selection.limit - len(page)
        page.marker = None
        for count, row in enumerate(islice(walk, room if by_rounds else None), start=1):
            name = name_of(row)
            if by_rounds and count == room:
                page.marker, page.last = name, row
            if folder and name.startswith(folder):
                continue
            inside = selection.folder_of(name, folder_size)
            item: Row | Folder = Folder(inside) if inside else row
            if len(page) == selection.limit:
                page.following = item
                return page
            page.items.append(item)
            if inside:
                folder, resume = inside, inside + _LAST
        page.following = next(walk, None)
        if page.following is None or len(page) >= selection.limit or (expired() and page.rows):
            return page
        # Read on after the last row, or after the folder that it is in.
        start = max(page.marker or start, resume)


def list_all(rows: Iterable[Row], limit: int) -> Page[Row]:
    """Return one page of rows that have no names to choose them by."""
    return list_page(lambda _: rows, Selection(limit=limit), lambda _: "")


def _within(rows: Iterable[Row], selection: Selection, name_of: Callable[[Row], str]) -> Iterator[Row]:
    """Return rows up to the first whose name is beyond the selection."""
    for row in rows:
        name = name_of(row)
        beyond = bool(selection.end_marker) and name >= selection.end_marker
        if beyond or not name.startswith(selection.prefix):
            return
        yield row
