# SPDX-License-Identifier: Apache-2.0
"""Store of the rdir: the chunks of each rawx, the containers of each meta2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from oio.sandbox.refusals import NOT_FOUND, Refusal
from oio.sandbox.storage.database import Database
from oio.sandbox.storage.inbox import INBOX, Inbox
from oio.sandbox.storage.listing import Page, Selection, list_page

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

#: Kinds of volumes: those of a rawx hold chunks, those of a meta2 containers.
CHUNKS: Final = "chunks"
CONTAINERS: Final = "containers"

_SCHEMA: Final = f"""
{INBOX}
CREATE TABLE IF NOT EXISTS volumes (
    kind TEXT NOT NULL, id TEXT NOT NULL, incident INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (kind, id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS locks (volume TEXT PRIMARY KEY, who TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS chunks (
    volume TEXT NOT NULL, key TEXT NOT NULL, chunk TEXT NOT NULL, mtime INTEGER NOT NULL,
    PRIMARY KEY (volume, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS chunks_by_id ON chunks (volume, chunk);

CREATE TABLE IF NOT EXISTS owners (
    volume TEXT NOT NULL, key TEXT NOT NULL, content TEXT NOT NULL, path TEXT NOT NULL,
    version INTEGER NOT NULL, PRIMARY KEY (volume, key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS containers (
    volume TEXT NOT NULL, url TEXT NOT NULL, id TEXT NOT NULL, mtime INTEGER NOT NULL,
    PRIMARY KEY (volume, url)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class ChunkEntry:
    """One chunk of a volume; ``mtime`` is in seconds since 1970."""

    container: str
    content: str
    chunk: str
    mtime: int = 0
    path: str = ""
    version: int = 0

    @property
    def key(self) -> str:
        """Key by which it is listed."""
        return f"{self.container}|{self.content}|{self.chunk}"

    @property
    def short_key(self) -> str:
        """Key in listings of releases that know paths."""
        return f"{self.container}|{self.chunk}"

    @classmethod
    def of(cls, row: sqlite3.Row) -> ChunkEntry:
        """Return the entry of a row; only the parts before the last two bars may have bars themselves."""
        if row["content"] is not None:
            container, chunk = row["key"].rsplit("|", 1)
            return cls(container, row["content"], chunk, row["mtime"], row["path"], row["version"])
        container, content, chunk = row["key"].rsplit("|", 2)
        return cls(container, content, chunk, row["mtime"])


@dataclass(frozen=True)
class ContainerRecord:
    """One container of a volume: ``url`` is ``namespace/account/reference``, ``mtime`` in seconds."""

    url: str
    id: str
    mtime: int = 0


class ReverseDirectory:
    """The indexes of volumes in a database; safe from many threads.

    A power cut may lose the last entries, a killed process loses none.

    :param path: file of the database.
    :param delay: seconds until news of chunks and containers are applied.
    :param with_paths: keep path and version of the object of each chunk.
    """

    def __init__(self, path: Path, delay: float = 0.0, *, with_paths: bool = False) -> None:
        self.with_paths = with_paths
        # Each chunk that is stored is an entry: waiting for the disk twice would slow all writes down.
        self._database = Database(path, _SCHEMA, survives_power_cuts=False)
        self.inbox = Inbox(self._database, self._apply, delay)
        if with_paths:
            self._shorten_keys()

    def _shorten_keys(self) -> None:
        """Give the entries of an earlier release, which did not know paths, the keys of this one."""
        with self._database.transaction() as db:
            rows = db.execute(
                "SELECT volume, key, mtime, content, path, version FROM chunks "
                "LEFT JOIN owners USING (volume, key) WHERE content IS NULL"
            ).fetchall()
            for row in rows:
                db.execute("DELETE FROM chunks WHERE volume = ? AND key = ?", (row["volume"], row["key"]))
                self._push_chunk(db, row["volume"], ChunkEntry.of(row))

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # -- news

    def chunk_stored(self, volume: str, entry: ChunkEntry) -> None:
        """Receive the news of a chunk on a volume."""
        self.inbox.receive(["chunk_stored", volume, vars(entry)])

    def chunk_deleted(self, volume: str, chunk_id: str) -> None:
        """Receive the news that a chunk is gone."""
        self.inbox.receive(["chunk_deleted", volume, chunk_id])

    def container_there(self, volume: str, record: ContainerRecord) -> None:
        """Receive the news that a container exists, which may be known."""
        self.inbox.receive(["container_there", volume, vars(record)])

    def container_destroyed(self, volume: str, url: str) -> None:
        """Receive the news that a container is gone."""
        self.inbox.receive(["container_destroyed", volume, url])

    def _apply(self, db: sqlite3.Connection, news: Sequence[Any]) -> None:
        event, volume, what = news
        if event == "chunk_stored":
            _create(db, CHUNKS, volume)
            self._push_chunk(db, volume, ChunkEntry(**what))
        elif event == "chunk_deleted":
            db.execute("DELETE FROM chunks WHERE volume = ? AND chunk = ?", (volume, what))
        elif event == "container_there":
            _create(db, CONTAINERS, volume)
            record = ContainerRecord(**what)
            # The date of a container is that of its creation.
            row = (volume, record.url, record.id, record.mtime)
            db.execute("INSERT OR IGNORE INTO containers VALUES (?, ?, ?, ?)", row)
        else:
            db.execute("DELETE FROM containers WHERE volume = ? AND url = ?", (volume, what))

    # -- volumes

    def count(self) -> int:
        """Return the number of volumes."""
        with self.inbox.open() as db:
            (count,) = db.execute("SELECT count(*) FROM volumes").fetchone()
            return int(count)

    def create(self, kind: str, volume: str) -> None:
        """Create the index of a volume, which may be there."""
        with self.inbox.open() as db:
            _create(db, kind, volume)

    # -- chunks

    def push_chunk(self, volume: str, entry: ChunkEntry, *, create: bool) -> None:
        """Add or replace a chunk."""
        with self.inbox.open() as db:
            if create:
                _create(db, CHUNKS, volume)
            _check(db, CHUNKS, volume)
            self._push_chunk(db, volume, entry)

    def key(self, entry: ChunkEntry) -> str:
        """Return the key by which a chunk is listed."""
        return entry.short_key if self.with_paths else entry.key

    def _push_chunk(self, db: sqlite3.Connection, volume: str, entry: ChunkEntry) -> None:
        row = (volume, self.key(entry), entry.chunk, entry.mtime)
        db.execute("INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?)", row)
        if self.with_paths:
            details = (volume, entry.short_key, entry.content, entry.path, entry.version)
            db.execute("INSERT OR REPLACE INTO owners VALUES (?, ?, ?, ?, ?)", details)

    def delete_chunk(self, volume: str, entry: ChunkEntry) -> None:
        """Remove a chunk, which may be absent."""
        with self.inbox.open() as db:
            _check(db, CHUNKS, volume)
            db.execute("DELETE FROM chunks WHERE volume = ? AND key = ?", (volume, self.key(entry)))

    def chunks(self, volume: str, selection: Selection, until: int | None = None) -> Page[ChunkEntry]:
        """Return a page of the chunks of a volume, in the order of their keys.

        :param until: only those of this date or before, in seconds.
        """
        with self.inbox.open() as db:
            _check(db, CHUNKS, volume)

            def rows(after: str) -> Iterable[ChunkEntry]:
                found = db.execute(
                    "SELECT key, mtime, content, path, version FROM chunks "
                    "LEFT JOIN owners USING (volume, key) WHERE volume = ? AND key > ? AND key >= ? "
                    "AND (? IS NULL OR mtime <= ?) ORDER BY key",
                    (volume, after, selection.prefix, until, until),
                )
                return map(ChunkEntry.of, found)

            return list_page(rows, selection, self.key)

    def volumes(self, kind: str) -> list[str]:
        """Return the volumes of a kind."""
        with self.inbox.open() as db:
            rows = db.execute("SELECT id FROM volumes WHERE kind = ? ORDER BY id", (kind,))
            return [row["id"] for row in rows]

    def clear(self, volume: str, *, everything: bool, before_incident: bool) -> int:
        """Clear the incident of a volume, and remove all its chunks or those it concerns; return how many."""
        with self.inbox.open() as db:
            _check(db, CHUNKS, volume)
            until = None if everything else _incident(db, volume)
            removed = 0
            if everything or before_incident:
                removed = db.execute(
                    "DELETE FROM chunks WHERE volume = ? AND (? IS NULL OR mtime <= ?)",
                    (volume, until, until),
                ).rowcount
            _set_incident(db, volume, 0)
            return removed

    # -- administration

    def incident(self, volume: str) -> int:
        """Return the date of the incident of a volume in seconds, 0 when there was none."""
        with self.inbox.open() as db:
            return _incident(db, volume)

    def set_incident(self, volume: str, date: int) -> None:
        """Set the date of the incident of a volume."""
        with self.inbox.open() as db:
            _check(db, CHUNKS, volume)
            _set_incident(db, volume, date)

    def holder(self, volume: str) -> str | None:
        """Return the holder of the lock of a volume, None when it is not locked."""
        with self.inbox.open() as db:
            row = db.execute("SELECT who FROM locks WHERE volume = ?", (volume,)).fetchone()
            return None if row is None else str(row["who"])

    def lock(self, volume: str, who: str) -> str | None:
        """Lock a volume; return the holder of its lock if it is locked already."""
        with self.inbox.open() as db:
            row = db.execute("SELECT who FROM locks WHERE volume = ?", (volume,)).fetchone()
            if row is not None:
                return str(row["who"])
            db.execute("INSERT INTO locks VALUES (?, ?)", (volume, who))
            return None

    def unlock(self, volume: str) -> None:
        """Unlock a volume, locked or not."""
        with self.inbox.open() as db:
            db.execute("DELETE FROM locks WHERE volume = ?", (volume,))

    # -- containers

    def push_container(self, volume: str, record: ContainerRecord) -> None:
        """Add or replace a container."""
        with self.inbox.open() as db:
            _check(db, CONTAINERS, volume)
            row = (volume, record.url, record.id, record.mtime)
            db.execute("INSERT OR REPLACE INTO containers VALUES (?, ?, ?, ?)", row)

    def delete_container(self, volume: str, url: str) -> None:
        """Remove a container, which may be absent."""
        with self.inbox.open() as db:
            _check(db, CONTAINERS, volume)
            db.execute("DELETE FROM containers WHERE volume = ? AND url = ?", (volume, url))

    def containers(self, volume: str, selection: Selection) -> Page[ContainerRecord]:
        """Return a page of the containers of a volume, in the order of their URLs."""
        with self.inbox.open() as db:
            _check(db, CONTAINERS, volume)

            def rows(after: str) -> Iterable[ContainerRecord]:
                found = db.execute(
                    "SELECT url, id, mtime FROM containers WHERE volume = ? AND url > ? AND url >= ? "
                    "ORDER BY url",
                    (volume, after, selection.prefix),
                )
                return (ContainerRecord(*row) for row in found)

            return list_page(rows, selection, attrgetter("url"))


def _create(db: sqlite3.Connection, kind: str, volume: str) -> None:
    db.execute("INSERT OR IGNORE INTO volumes (kind, id) VALUES (?, ?)", (kind, volume))


def _check(db: sqlite3.Connection, kind: str, volume: str) -> None:
    if not db.execute("SELECT 1 FROM volumes WHERE kind = ? AND id = ?", (kind, volume)).fetchone():
        raise Refusal(NOT_FOUND, "DB not found")


def _incident(db: sqlite3.Connection, volume: str) -> int:
    row = db.execute("SELECT incident FROM volumes WHERE kind = ? AND id = ?", (CHUNKS, volume)).fetchone()
    return 0 if row is None else int(row["incident"])


def _set_incident(db: sqlite3.Connection, volume: str, date: int) -> None:
    db.execute("UPDATE volumes SET incident = ? WHERE kind = ? AND id = ?", (date, CHUNKS, volume))
