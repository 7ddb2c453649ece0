# SPDX-License-Identifier: Apache-2.0
"""Listings of the objects of a container."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from oio.sandbox.metadata.contents import Content, contents
from oio.sandbox.metadata.shards import parts
from oio.sandbox.storage.listing import Page, Selection, list_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from oio.sandbox.metadata.container import Container


@dataclass(frozen=True)
class Query(Selection):
    """Which objects to list.

    :param versions: all versions, instead of the latest of each object.
    :param deleted: objects whose latest version is a delete marker too.
    """

    versions: bool = False
    deleted: bool = False
    #: Version of the name of ``marker`` to go on after, None to go on after all of them.
    version_marker: int | None = None


def list_objects(
    container: Container,
    query: Query,
    expired: Callable[[], bool] = lambda: False,
    seen: list[Container] | None = None,
) -> Page[Content]:
    """Return one page of the objects of a container, as the real service cuts it.

    :param expired: tells whether to end the page with the items found so far.
    :param seen: receives the containers that were read, which are shards of this one if it has some.
    """
    # Only the first round may begin inside a name: another one would find the same rows for ever.
    version_markers = [query.version_marker]

    def rows(start: str) -> Iterable[Content]:
        version_marker = version_markers.pop() if version_markers else None
        # A walk that begins before the prefix ends at the first name without it.
        values: list[object]
        condition, values = ("aliases.name > ?", [start]) if start else ("aliases.name >= ?", [query.prefix])
        if version_marker is not None:
            condition = "(aliases.name > ? OR (aliases.name = ? AND aliases.version < ?))"
            values = [start, start, version_marker]
        for part in parts(container, start, inclusive=version_marker is not None):
            if seen is not None:
                seen.append(part)
            yield from contents(part, condition, *values)

    def select(found: Iterator[Content]) -> Iterator[Content]:
        previous = None
        for content in found:
            is_latest, previous = content.name != previous, content.name
            if query.versions or (is_latest and (query.deleted or not content.deleted)):
                yield content

    # The folder that the marker is in was shown before it.
    shown = query.folder_of(query.marker) if query.marker.startswith(query.prefix) else ""
    return list_page(
        rows, query, attrgetter("name"), select=select, shown=shown, by_rounds=True, expired=expired
    )
