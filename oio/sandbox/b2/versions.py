# SPDX-License-Identifier: Apache-2.0
"""Versions of B2 files: storing, hiding, deleting and listing."""

from __future__ import annotations

import itertools
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from oio.sandbox.b2.buckets import find as find_bucket
from oio.sandbox.b2.errors import bad_request, not_found
from oio.sandbox.storage.listing import Folder, Selection, list_page

if TYPE_CHECKING:
    import sqlite3

    from oio.sandbox.storage.database import Clock, Database
    from oio.sandbox.storage.files import FileStore, Writing

UPLOAD: Final = "upload"
START: Final = "start"
HIDE: Final = "hide"
FOLDER: Final = "folder"

_STAMP: Final = re.compile(r"_u(\d{1,18})\Z")


@dataclass(frozen=True)
class Version:
    """One version of a file, or a folder of a listing; ``stamp`` is in milliseconds since 1970."""

    bucket: str
    name: str
    action: str = UPLOAD
    length: int = 0
    sha1: str | None = None
    type: str | None = None
    info: Mapping[str, str] = field(default_factory=dict)
    stamp: int = 0
    id: str | None = None

    @classmethod
    def of(cls, row: sqlite3.Row) -> Version:
        """Return the version of a row."""
        return cls(**{**dict(row), "info": json.loads(row["info"])})


@dataclass(frozen=True)
class Wanted:
    """Files to list, and how many at most.

    ``start_id`` is the version of the name ``start`` to begin with. With a ``delimiter``, names that have it
    after the prefix are listed as the folder they are in.
    """

    bucket: str
    start: str = ""
    start_id: str | None = None
    prefix: str = ""
    delimiter: str = ""
    limit: int = 100


class Versions:
    """Versions of all files; safe from many threads.

    :param database: with the tables of the service.
    :param disk: the data of files.
    :param clock: dates of versions, in milliseconds.
    """

    def __init__(self, database: Database, disk: FileStore, clock: Clock) -> None:
        self._database = database
        self._disk = disk
        self._clock = clock

    def store(self, version: Version, data: Writing) -> Version:
        """Add a version of a file, whose data have been received."""
        data.finish()
        with self._database.transaction() as db:
            find_bucket(db, version.bucket)
            stored = insert(db, version, self._clock.now())
            db.execute(
                "INSERT INTO parts VALUES (?, 1, ?, ?, ?, ?)",
                (stored.id, data.size, data.digest, stored.stamp, data.name),
            )
        data.keep()
        return stored

    def hide(self, bucket: str, name: str) -> Version:
        """Hide a name; its versions stay."""
        with self._database.transaction() as db:
            find_bucket(db, bucket)
            row = _newest(db, bucket, name)
            if row is None:
                raise bad_request(f"no such file: {name}", "no_such_file")
            if row["action"] == HIDE:
                raise bad_request(f"already hidden: {name}", "already_hidden")
            return insert(db, Version(bucket, name, HIDE), self._clock.now())

    def delete(self, file_id: str, name: str) -> Version:
        """Remove one version of a file; an unfinished large file is cancelled by it."""
        with self._database.transaction() as db:
            row = db.execute("SELECT * FROM versions WHERE id = ? AND name = ?", (file_id, name)).fetchone()
            if row is None:
                raise bad_request(f"file not present: {name} {file_id}", "file_not_present")
            data = drop(db, file_id)
        self._disk.discard(*data)
        return Version.of(row)

    # -- looking

    def get(self, file_id: str) -> Version:
        """Return a version by its ID; an unfinished large file counts as none."""
        with self._database.reading() as db:
            row = db.execute("SELECT * FROM versions WHERE id = ?", (file_id,)).fetchone()
        if row is None or row["action"] == START:
            raise not_found(f"no such file version: {file_id}")
        return Version.of(row)

    def find(self, file_id: str) -> Version | None:
        """Return a version by its ID, finished or not."""
        with self._database.reading() as db:
            row = db.execute("SELECT * FROM versions WHERE id = ?", (file_id,)).fetchone()
        return None if row is None else Version.of(row)

    def current(self, bucket: str, name: str) -> Version:
        """Return the version that a download by name gives."""
        with self._database.reading() as db:
            row = _newest(db, bucket, name)
        if row is None or row["action"] == HIDE:
            raise not_found(f"no such file: {name}")
        return Version.of(row)

    def pieces(self, file_id: str) -> list[tuple[str, int]]:
        """Return name and length of each data file of a version, in order."""
        with self._database.reading() as db:
            rows = db.execute("SELECT data, length FROM parts WHERE file = ? ORDER BY number", (file_id,))
            return [(row["data"], row["length"]) for row in rows]

    def names(self, wanted: Wanted) -> tuple[list[Version], str | None]:
        """Return the current versions of a page of names, and the name to go on with; None at the end."""

        def current(found: Iterator[Version]) -> Iterator[Version]:
            visible = (version for version in found if version.action != START)
            newest = (next(group) for _, group in itertools.groupby(visible, lambda version: version.name))
            return (version for version in newest if version.action == UPLOAD)

        page, following = self._page(replace(wanted, start_id=None), current)
        if following is None:
            return page, None
        # As the real service does: the name to go on with may belong to no file.
        return page, following.name if page[-1].action == FOLDER else f"{page[-1].name} "

    def versions(self, wanted: Wanted) -> tuple[list[Version], Version | None]:
        """Return a page of versions, the newest of each name first, and the one to go on with."""
        return self._page(wanted, iter)

    def _page(
        self, wanted: Wanted, select: Callable[[Iterator[Version]], Iterable[Version]]
    ) -> tuple[list[Version], Version | None]:
        """Return a page of versions and folders, and what follows."""

        def shown(item: Version | Folder) -> Version:
            return Version(wanted.bucket, item.name, FOLDER) if isinstance(item, Folder) else item

        selection = Selection(limit=wanted.limit, prefix=wanted.prefix, delimiter=wanted.delimiter)
        with self._database.reading() as db:
            find_bucket(db, wanted.bucket)
            page = list_page(lambda _: _rows(db, wanted), selection, attrgetter("name"), select=select)
        following = None if page.following is None else shown(page.following)
        return [shown(item) for item in page.items], following


def _newest(db: sqlite3.Connection, bucket: str, name: str) -> sqlite3.Row | None:
    found: sqlite3.Row | None = db.execute(
        "SELECT * FROM versions WHERE bucket = ? AND name = ? AND action != ? ORDER BY stamp DESC LIMIT 1",
        (bucket, name, START),
    ).fetchone()
    return found


def _rows(db: sqlite3.Connection, wanted: Wanted) -> Iterator[Version]:
    """Return the versions from the start of a listing on."""
    # The date is read from the ID, so a listing can go on from a version deleted since the last page.
    newest = 2**62
    if wanted.start_id is not None:
        found = _STAMP.search(wanted.start_id)
        if found is None:
            raise bad_request(f"invalid startFileId: {wanted.start_id}", "invalid_file_id")
        newest = int(found[1])
    first = max(wanted.start, wanted.prefix, key=str.encode)
    rows = db.execute(
        "SELECT * FROM versions WHERE bucket = ? AND name >= ? AND (name > ? OR stamp <= ?) "
        "ORDER BY name, stamp DESC",
        (wanted.bucket, first, wanted.start, newest),
    )
    return map(Version.of, rows)


# -- rows


def insert(db: sqlite3.Connection, version: Version, stamp: int) -> Version:
    """Add a version, and return it with its ID and date."""
    when = time.gmtime(stamp // 1000)
    made = replace(
        version,
        stamp=stamp,
        id=f"4_z{version.bucket}_f1{secrets.token_hex(8)[1:]}_d{time.strftime('%Y%m%d_m%H%M%S', when)}"
        f"_c001_v0001000_t0000_u{stamp:014d}",
    )
    db.execute(
        "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            made.id,
            made.bucket,
            made.name,
            stamp,
            made.action,
            made.length,
            made.sha1,
            made.type,
            json.dumps(dict(made.info)),
        ),
    )
    return made


def drop(db: sqlite3.Connection, file_id: str) -> list[str]:
    """Remove a version; return the names of its data files, to be removed once the transaction is durable."""
    data = [row["data"] for row in db.execute("SELECT data FROM parts WHERE file = ?", (file_id,))]
    db.execute("DELETE FROM parts WHERE file = ?", (file_id,))
    db.execute("DELETE FROM versions WHERE id = ?", (file_id,))
    return data
