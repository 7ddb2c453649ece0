# SPDX-License-Identifier: Apache-2.0
"""Deletion of object versions: delete markers, purge, drain and flush."""

from __future__ import annotations

from dataclasses import dataclass
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
FLUSH_PAGE: Final = 1000
#: State of draining and flushing that have ended.
_DONE: Final = 3


@dataclass(frozen=True)
class Deleted:
    """Version that a deletion has deleted or made; it may be a delete marker."""

    version: int
    marker: bool


def delete(
    container: Container,
    name: str | None,
    version: int | None = None,
    content_id: str | None = None,
    *,
    marker: bool = False,
    versioned: bool | None = None,
) -> Deleted:
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
    hides = not content.deleted or container.release.version_markers
    if marker or (versioned and version is None and hides):
        deleted = Deleted(_mark(container, content), marker=True)
    else:
        drop(container, content)
        deleted = Deleted(content.version, content.deleted)
    container.bump()
    return deleted


def _mark(container: Container, content: Content) -> int:
    version = content.version + 1
    if any(contents(container, "aliases.name = ? AND aliases.version = ?", content.name, version)):
        raise Refusal(CONTENT_EXISTS, "Delete marker error: Alias already present")
    insert_alias(container, content.name, version, MARKER_ID)
    return version


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
    drop_chunks(container, content.id, chunks_of(container, content))
    container.db.execute(
        "UPDATE headers SET chunk_method = ? WHERE base = ? AND id = ?", (DRAINED, container.base, content.id)
    )


def flush(container: Container, limit: int = FLUSH_PAGE) -> bool:
    """Delete versions and markers up to a limit; return whether some are left."""
    selection = list(islice(contents(container, "1"), limit + 1))
    for content in selection[:limit]:
        drop(container, content)
    left = len(selection) > limit
    if container.release.locks:
        _date_stage(container, "flushing", done=not left)
    return left


def drain_all(container: Container, limit: int = FLUSH_PAGE) -> bool:
    """Drain objects up to a limit, if the container asks for it; return whether some are left."""
    if container.get("sys.m2.draining.state") is None:
        raise bad_request("No draining in progress")
    selection = [content for content in contents(container, "1") if not (content.deleted or content.drained)]
    for content in selection[:limit]:
        drain(container, content)
    left = len(selection) > limit
    _date_stage(container, "draining", done=not left)
    return left


def _date_stage(container: Container, stage: str, *, done: bool) -> None:
    container.set(f"sys.m2.{stage}.timestamp", str(container.clock.now()))
    if done:
        container.set(f"sys.m2.{stage}.state", str(_DONE))
    else:
        container.remove([f"sys.m2.{stage}.state"])
