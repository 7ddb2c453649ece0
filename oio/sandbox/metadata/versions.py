# SPDX-License-Identifier: Apache-2.0
"""Deletion of object versions: delete markers, purge, drain and flush."""

from __future__ import annotations

from itertools import groupby, islice
from typing import TYPE_CHECKING, Final

from oio.sandbox.metadata.contents import (
    DRAINED,
    MARKER_ID,
    Content,
    chunks_of,
    contents,
    drop,
    drop_chunks,
    find,
    insert_alias,
)
from oio.sandbox.refusals import CONTENT_EXISTS, Refusal, bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oio.sandbox.metadata.container import Container

_KEEP_DELETED: Final = 7 * 24 * 3600
_FLUSH_PAGE: Final = 1000


def delete(
    container: Container,
    name: str | None,
    version: int | None = None,
    content_id: str | None = None,
    *,
    marker: bool = False,
    versioned: bool | None = None,
) -> None:
    """Delete an object, or hide it behind a delete marker when its container keeps versions.

    :param marker: ask for a delete marker, whatever was given.
    :param versioned: whether versions are kept, when the request says so instead of the container.
    """
    if versioned is None:
        versioned = container.versioned
        if version is not None and container.max_versions == 0:
            raise bad_request("Versioning not supported and version specified")
    content = find(container, name, version, content_id)
    if marker:
        if not versioned:
            raise bad_request("Versioning not enabled and delete marker specified")
        if content.deleted:
            raise bad_request("Delete marker specified on a delete marker")
    if marker or (versioned and version is None and not content.deleted):
        _mark(container, content)
    else:
        drop(container, content)
    container.bump()


def _mark(container: Container, content: Content) -> None:
    version = content.version + 1
    if any(contents(container, "aliases.name = ? AND aliases.version = ?", content.name, version)):
        raise Refusal(CONTENT_EXISTS, "Delete marker error: Alias already present")
    insert_alias(container, content.name, version, MARKER_ID)


def purge(container: Container, name: str | None = None, max_versions: int | None = None) -> None:
    """Drop the versions beyond a number, and the objects deleted long enough ago.

    :param name: one object; else all of them.
    :param max_versions: versions to keep: < 0 all of them, 0 as 1; else what the container says.
    """
    kept = container.max_versions if max_versions is None else max_versions
    has_delay = container.get("sys.m2.keep_deleted_delay") is not None
    delay = container.number("sys.m2.keep_deleted_delay") if has_delay else _KEEP_DELETED
    # The version of a delete marker is the date of the deletion.
    deadline = container.clock.now() - delay * 1_000_000
    selection = contents(container, "aliases.name = ?", name) if name else contents(container, "1")
    for _, versions in _by_name(selection):
        if versions[0].deleted and versions[0].version < deadline:
            exceeding = versions
        elif kept < 0:
            exceeding = []
        else:
            exceeding = [content for content in versions if not content.deleted][max(kept, 1) :]
        for content in exceeding:
            drop(container, content)


def _by_name(selection: Iterable[Content]) -> list[tuple[str, list[Content]]]:
    return [
        (name, list(versions)) for name, versions in groupby(list(selection), lambda content: content.name)
    ]


def drain(container: Container, content: Content) -> None:
    """Delete the data of an object and keep its metadata; a delete marker has no data."""
    if content.deleted:
        return
    drop_chunks(container, content.id, chunks_of(container, content.id))
    container.db.execute(
        "UPDATE headers SET chunk_method = ? WHERE base = ? AND id = ?", (DRAINED, container.base, content.id)
    )


def flush(container: Container) -> bool:
    """Delete up to 1000 versions and markers; return whether some are left."""
    selection = list(islice(contents(container, "1"), _FLUSH_PAGE + 1))
    for content in selection[:_FLUSH_PAGE]:
        drop(container, content)
    return len(selection) > _FLUSH_PAGE
