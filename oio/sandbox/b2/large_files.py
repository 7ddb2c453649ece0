# SPDX-License-Identifier: Apache-2.0
"""Large files of a B2 service: their parts, and how they are finished or cancelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from oio.sandbox.b2.buckets import find as find_bucket
from oio.sandbox.b2.errors import bad_request
from oio.sandbox.b2.versions import START, UPLOAD, Version, drop, insert
from oio.sandbox.storage.listing import Page, list_all

if TYPE_CHECKING:
    import sqlite3

    from oio.sandbox.storage.database import Clock, Database
    from oio.sandbox.storage.files import FileStore, Writing

#: SHA-1 of large files in answers: the service computes none.
NO_SHA1: Final = "none"


@dataclass(frozen=True)
class Part:
    """One part of a large file."""

    file: str
    number: int
    length: int
    sha1: str
    stamp: int

    @classmethod
    def of(cls, row: sqlite3.Row) -> Part:
        """Return the part of a row."""
        return cls(row["file"], row["number"], row["length"], row["sha1"], row["stamp"])


class LargeFiles:
    """The large files in progress; safe from many threads.

    :param database: with the tables of the service.
    :param disk: the data of files.
    :param clock: dates in milliseconds.
    :param smallest: returns the smallest size of a part, except the last one, in bytes.
    :param fewest: returns the smallest number of parts.
    """

    def __init__(
        self,
        database: Database,
        disk: FileStore,
        clock: Clock,
        smallest: Callable[[], int],
        fewest: Callable[[], int],
    ) -> None:
        self._database = database
        self._disk = disk
        self._clock = clock
        self._smallest = smallest
        self._fewest = fewest

    def start(self, version: Version) -> Version:
        """Begin a file."""
        with self._database.transaction() as db:
            find_bucket(db, version.bucket)
            return insert(db, replace(version, action=START, sha1=NO_SHA1), self._clock.now())

    def get(self, file_id: str) -> Version:
        """Return a file in progress."""
        with self._database.reading() as db:
            return _active(db, file_id)

    def add(self, file_id: str, number: int, data: Writing) -> Part:
        """Add a part whose data have been received; it replaces an earlier one of the same number."""
        data.finish()
        with self._database.transaction() as db:
            _active(db, file_id)
            former = db.execute(
                "SELECT data FROM parts WHERE file = ? AND number = ?", (file_id, number)
            ).fetchone()
            part = Part(file_id, number, data.size, data.digest, self._clock.now())
            db.execute(
                "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?)",
                (file_id, number, part.length, part.sha1, part.stamp, data.name),
            )
        data.keep()
        if former is not None:
            self._disk.discard(former["data"])
        return part

    def parts(self, file_id: str, start: int, limit: int) -> Page[Part]:
        """Return a page of the parts received so far, from a number on."""
        with self._database.reading() as db:
            _active(db, file_id)
            rows = db.execute(
                "SELECT * FROM parts WHERE file = ? AND number >= ? ORDER BY number", (file_id, start)
            )
            return list_all(map(Part.of, rows), limit)

    def unfinished(self, bucket: str, prefix: str, start_id: str | None, limit: int) -> Page[Version]:
        """Return a page of files in progress, the oldest first, from one on."""
        with self._database.reading() as db:
            find_bucket(db, bucket)
            since = 0
            if start_id is not None:
                since = _active(db, start_id).stamp
            rows = db.execute(
                "SELECT * FROM versions WHERE bucket = ? AND action = ? AND stamp >= ? "
                "AND substr(name, 1, ?) = ? ORDER BY stamp",
                (bucket, START, since, len(prefix), prefix),
            )
            return list_all(map(Version.of, rows), limit)

    def finish(self, file_id: str, digests: Sequence[str]) -> Version:
        """Turn the parts into a file; a refusal leaves them as they are."""
        with self._database.transaction() as db:
            version = _active(db, file_id)
            rows = db.execute("SELECT * FROM parts WHERE file = ? ORDER BY number", (file_id,))
            parts = [Part.of(row) for row in rows]
            self._check(parts, digests)
            length = sum(part.length for part in parts)
            db.execute("UPDATE versions SET action = ?, length = ? WHERE id = ?", (UPLOAD, length, file_id))
        return replace(version, action=UPLOAD, length=length)

    def _check(self, parts: Sequence[Part], digests: Sequence[str]) -> None:
        if [part.number for part in parts] != list(range(1, len(digests) + 1)):
            there = [part.number for part in parts]
            raise bad_request(f"{len(digests)} digests, but there are the parts {there}", "missing_part")
        if len(parts) < self._fewest():
            raise bad_request(f"a large file has {self._fewest()} parts at least, not {len(parts)}")
        for part, digest in zip(parts, digests, strict=True):
            if part.sha1 != digest:
                raise bad_request(f"sha1 of part {part.number} is {part.sha1}", "part_sha1_mismatch")
        for part in parts[:-1]:
            if part.length < self._smallest():
                raise bad_request(
                    f"part {part.number} has {part.length} bytes, the least is {self._smallest()}"
                )

    def cancel(self, file_id: str) -> Version:
        """Cancel a file in progress."""
        with self._database.transaction() as db:
            version = _active(db, file_id)
            data = drop(db, file_id)
        self._disk.discard(*data)
        return version


def _active(db: sqlite3.Connection, file_id: str) -> Version:
    row = db.execute("SELECT * FROM versions WHERE id = ? AND action = ?", (file_id, START)).fetchone()
    if row is None:
        raise bad_request(f"No active upload for: {file_id}")
    return Version.of(row)
