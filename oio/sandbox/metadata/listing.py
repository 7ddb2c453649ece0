# SPDX-License-Identifier: Apache-2.0
"""One page of the listing of a container: the entries, marker and truncation of the real service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from oio.sandbox.metadata.contents import Content, contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oio.sandbox.metadata.container import Container

#: Sorts after every name that begins with the same prefix.
_LAST: Final = "\U0010fffd"


@dataclass(frozen=True)
class Query:
    """What to list; empty strings are absent filters.

    ``limit`` bounds objects and prefixes together, ``versions`` asks for all versions, ``deleted`` for the
    objects whose latest version is a delete marker too.
    """

    limit: int = 1000
    marker: str = ""
    end_marker: str = ""
    prefix: str = ""
    delimiter: str = ""
    versions: bool = False
    deleted: bool = False


@dataclass
class Page:
    """One page: ``marker`` is where the next one begins, which a last page may have too."""

    objects: list[Content] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    truncated: bool = False
    marker: str | None = None

    def __len__(self) -> int:
        return len(self.objects) + len(self.prefixes)


@dataclass(frozen=True)
class _Inner:
    """A page without folding, as the base of a container gives them."""

    entries: list[Content]
    truncated: bool
    marker: str | None


def list_page(container: Container, query: Query, expired: Callable[[], bool] = lambda: False) -> Page:
    """Return one page of the listing.

    With a delimiter a page is made of several inner ones, because names fold into few prefixes.

    :param expired: says whether to answer with what was found so far.
    """
    page, start = Page(), query.marker
    while True:
        wanted = query.limit - len(page)
        inner = _inner_page(container, query, wanted, start)
        for content in inner.entries:
            _fold(page, query, content)
        if len(page) >= query.limit:
            page.truncated, page.marker = inner.truncated, inner.marker
            return page
        if not inner.truncated:
            page.marker = inner.marker
            return page
        if expired() and page.objects:
            page.truncated, page.marker = True, inner.marker
            return page
        # The marker is the last one only when nothing was found, or for names that sort after all others.
        start = max(inner.marker or start, _resume(page))


def _resume(page: Page) -> str:
    last_object = page.objects[-1].name if page.objects else ""
    last_prefix = page.prefixes[-1] + _LAST if page.prefixes else ""
    return max(last_object, last_prefix)


def _fold(page: Page, query: Query, content: Content) -> None:
    begin = len(query.prefix)
    end = content.name.find(query.delimiter, begin) if query.delimiter else -1
    if end < 0:
        page.objects.append(content)
        return
    common = content.name[: end + 1]
    if not query.marker.startswith(common) and common not in page.prefixes[-1:]:
        page.prefixes.append(common)


def _inner_page(container: Container, query: Query, limit: int, start: str) -> _Inner:
    found: list[Content] = []
    for content in _entries(container, query, start):
        if len(found) == limit:
            return _Inner(found, True, found[-1].name)
        found.append(content)
    return _Inner(found, False, found[-1].name if len(found) == limit else None)


def _entries(container: Container, query: Query, start: str) -> Iterator[Content]:
    condition, value = ("aliases.name > ?", start) if start else ("aliases.name >= ?", query.prefix)
    previous = None
    for content in contents(container, condition, value):
        if query.end_marker and content.name >= query.end_marker:
            return
        if not content.name.startswith(query.prefix):
            return
        is_latest, previous = content.name != previous, content.name
        if query.versions or (is_latest and (query.deleted or not content.deleted)):
            yield content
