# SPDX-License-Identifier: Apache-2.0
"""Buckets of a B2 account."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from oio.sandbox.b2.errors import B2Refusal, bad_request

if TYPE_CHECKING:
    import sqlite3

    from oio.sandbox.storage.database import Database

PRIVATE: Final = "allPrivate"
PUBLIC: Final = "allPublic"
_NAME: Final = re.compile(r"(?!b2-)[0-9A-Za-z-]{6,63}")


@dataclass(frozen=True)
class Bucket:
    """One bucket."""

    id: str
    name: str
    type: str = PRIVATE
    info: Mapping[str, str] = field(default_factory=dict)
    revision: int = 1

    @classmethod
    def of(cls, row: sqlite3.Row) -> Bucket:
        """Return the bucket of a row."""
        return cls(row["id"], row["name"], row["type"], json.loads(row["info"]), row["revision"])


class Buckets:
    """All buckets; safe from many threads.

    :param database: with the tables of the service.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, type_: str = PRIVATE, info: Mapping[str, str] | None = None) -> Bucket:
        """Make a bucket."""
        if not _NAME.fullmatch(name):
            raise bad_request(f"invalid bucket name: {name}")
        if type_ not in {PRIVATE, PUBLIC}:
            raise bad_request(f"invalid bucket type: {type_}")
        bucket = Bucket(secrets.token_hex(12), name, type_, dict(info or {}))
        with self._database.transaction() as db:
            if db.execute("SELECT 1 FROM buckets WHERE name = ?", (name,)).fetchone():
                raise bad_request(f"bucket name is already in use: {name}", "duplicate_bucket_name")
            row = (bucket.id, name, type_, json.dumps(bucket.info), bucket.revision)
            db.execute("INSERT INTO buckets VALUES (?, ?, ?, ?, ?)", row)
        return bucket

    def exists(self, name: str) -> bool:
        """Tell whether there is a bucket of this name."""
        with self._database.reading() as db:
            return db.execute("SELECT 1 FROM buckets WHERE name = ?", (name,)).fetchone() is not None

    def delete(self, bucket_id: str) -> Bucket:
        """Delete a bucket that is empty."""
        with self._database.transaction() as db:
            bucket = find(db, bucket_id)
            if db.execute("SELECT 1 FROM versions WHERE bucket = ? LIMIT 1", (bucket_id,)).fetchone():
                raise bad_request(f"bucket is not empty: {bucket.name}", "cannot_delete_non_empty_bucket")
            db.execute("DELETE FROM buckets WHERE id = ?", (bucket_id,))
        return bucket

    def all(self) -> list[Bucket]:
        """Return the buckets by their names."""
        with self._database.reading() as db:
            return [Bucket.of(row) for row in db.execute("SELECT * FROM buckets ORDER BY name")]

    def get(self, bucket_id: str) -> Bucket:
        """Return a bucket."""
        with self._database.reading() as db:
            return find(db, bucket_id)

    def named(self, name: str) -> Bucket:
        """Return the bucket of a name."""
        with self._database.reading() as db:
            row = db.execute("SELECT * FROM buckets WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise B2Refusal(404, f"bucket does not exist: {name}")
        return Bucket.of(row)


def find(db: sqlite3.Connection, bucket_id: str) -> Bucket:
    """Return a bucket inside a transaction."""
    row = db.execute("SELECT * FROM buckets WHERE id = ?", (bucket_id,)).fetchone()
    if row is None:
        raise bad_request(f"no such bucket: {bucket_id}", "bad_bucket_id")
    return Bucket.of(row)
