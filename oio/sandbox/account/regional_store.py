# SPDX-License-Identifier: Apache-2.0
"""Store of the account service that knows regions, policies, shards, and buckets in their own right."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Final

from oio.sandbox.account.store import (
    ALIVE,
    SCHEMA,
    SEGMENTS,
    AccountStore,
    NotFound,
    page_of,
    read_metadata,
    update_metadata,
)
from oio.sandbox.metadata.container import ContainerState
from oio.sandbox.metadata.shards import ACCOUNT as SHARDS
from oio.sandbox.storage.listing import Page, Selection

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_SCHEMA: Final = f"""
{SCHEMA}
CREATE TABLE IF NOT EXISTS container_details (
    account TEXT NOT NULL, name TEXT NOT NULL, region TEXT NOT NULL,
    objects TEXT NOT NULL, bytes TEXT NOT NULL,
    PRIMARY KEY (account, name)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS policies_seen (
    account TEXT NOT NULL, region TEXT NOT NULL, policy TEXT NOT NULL, PRIMARY KEY (account, region, policy)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS flushes (account TEXT PRIMARY KEY, mtime INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS buckets (
    id TEXT PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL, ctime INTEGER NOT NULL
) WITHOUT ROWID;
"""

#: Buckets that an account may have, told among its metadata.
_MAX_BUCKETS: Final = 100


@dataclass(frozen=True)
class RegionalFilter(Selection):
    """Which accounts, containers or buckets to list; names are never folded."""

    region: str = ""
    bucket: str = ""


class RegionalStore(AccountStore):
    """Accounts, containers and buckets by region; safe from many threads.

    :param path: file of the database.
    :param delay: seconds until news of containers are applied.
    :param region: region of containers whose news name none.
    """

    schema = _SCHEMA

    def __init__(self, path: Path, delay: float = 0.0, region: str = "localhost") -> None:
        self._region = region.upper()
        super().__init__(path, delay)

    # -- accounts

    def _create(self, db: sqlite3.Connection, account: str) -> bool:
        # Shards belong to the account of their root.
        return not account.startswith(SHARDS) and super()._create(db, account)

    def delete(self, account: str) -> None:
        """Delete an account without containers."""
        super().delete(account)
        with self.inbox.open() as db:
            self._forget(db, account)

    def flush(self, account: str) -> None:
        """Forget the containers and the metadata of an account."""
        super().flush(account)
        with self.inbox.open() as db:
            self._forget(db, account)
            db.execute("DELETE FROM account_metadata WHERE account = ?", (account,))
            db.execute("INSERT OR REPLACE INTO flushes VALUES (?, ?)", (account, self.clock.now()))

    @staticmethod
    def _forget(db: sqlite3.Connection, account: str) -> None:
        db.execute("DELETE FROM containers WHERE account = ?", (SHARDS + account,))
        for table in ("container_details", "policies_seen"):
            db.execute(f"DELETE FROM {table} WHERE account IN (?, ?)", (account, SHARDS + account))
        db.execute("DELETE FROM flushes WHERE account = ?", (account,))

    def show(self, account: str) -> dict[str, object]:
        """Return the description of an account."""
        with self._account(account) as db:
            return self._described(db, account)

    def _described(self, db: sqlite3.Connection, account: str) -> dict[str, object]:
        (ctime,) = db.execute("SELECT ctime FROM accounts WHERE id = ?", (account,)).fetchone()
        flushed = db.execute("SELECT mtime FROM flushes WHERE account = ?", (account,)).fetchone()
        both = (account, SHARDS + account)
        objects, size = db.execute(
            "SELECT coalesce(sum(objects), 0), coalesce(sum(bytes), 0) FROM containers "
            f"WHERE account IN (?, ?) AND {ALIVE}",
            both,
        ).fetchone()
        (buckets,) = db.execute("SELECT count(*) FROM buckets WHERE account = ?", (account,)).fetchone()
        return {
            "id": account,
            "buckets": buckets,
            "bytes": size,
            "containers": self._count(db, account),
            "ctime": seconds(ctime),
            "metadata": read_metadata(db, "account", account) | {"max-buckets": _MAX_BUCKETS},
            "mtime": seconds(flushed["mtime"] if flushed else ctime),
            "objects": objects,
            "regions": self._regions(db, account),
            "shards": self._count(db, SHARDS + account),
        }

    @staticmethod
    def _count(db: sqlite3.Connection, account: str) -> int:
        query = f"SELECT count(*) FROM containers WHERE account = ? AND {ALIVE}"
        return int(db.execute(query, (account,)).fetchone()[0])

    @staticmethod
    def _regions(db: sqlite3.Connection, account: str) -> dict[str, dict[str, object]]:
        """Return the sums of an account by region, zeros included for policies without objects today."""
        counts: dict[str, dict[str, int]] = {}
        details: dict[str, dict[str, dict[str, int]]] = {}
        for row in db.execute("SELECT region, policy FROM policies_seen WHERE account = ?", (account,)):
            for kind in ("objects", "bytes"):
                details.setdefault(row["region"], {}).setdefault(kind, {})[row["policy"]] = 0
        found = db.execute(
            "SELECT * FROM container_details WHERE account IN (?, ?)", (account, SHARDS + account)
        ).fetchall()
        for row in found:
            region, what = row["region"], "containers" if row["account"] == account else "shards"
            sums = counts.setdefault(region, {"buckets": 0, "containers": 0, "shards": 0})
            sums[what] += 1
            for kind in ("objects", "bytes"):
                by_policy = details.setdefault(region, {}).setdefault(kind, {})
                for policy, number in json.loads(row[kind]).items():
                    by_policy[policy] = by_policy.get(policy, 0) + number
        with_buckets = set()
        for row in db.execute("SELECT region FROM buckets WHERE account = ?", (account,)):
            counts.setdefault(row["region"], {"buckets": 0, "containers": 0, "shards": 0})["buckets"] += 1
            with_buckets.add(row["region"])
        return {
            region: {
                **sums,
                "features-details": {},
                **{f"{kind}-details": details.get(region, {}).get(kind, {}) for kind in ("objects", "bytes")},
                **({"objects-s3": 0} if region in with_buckets else {}),
            }
            for region, sums in counts.items()
        }

    def accounts(self, wanted: Selection, *, stats: bool) -> tuple[list[dict[str, object]], bool]:
        """Return a page of accounts, and whether others follow."""
        with self.inbox.open() as db:

            def rows(after: str) -> Iterable[str]:
                found = db.execute(
                    "SELECT id FROM accounts WHERE id > ? AND id >= ? ORDER BY id", (after, wanted.prefix)
                )
                return (row["id"] for row in found)

            page = page_of(rows, wanted, str)
            shown: list[dict[str, object]] = [
                self._described(db, name) if stats else {"id": name} for name in page.rows
            ]
        for account in shown:
            account.pop("regions", None)
        return shown, page.truncated

    # -- containers

    def _update_container(self, db: sqlite3.Connection, new: ContainerState) -> None:
        super()._update_container(db, new)
        key = (new.account, new.name)
        db.execute("DELETE FROM container_details WHERE account = ? AND name = ?", key)
        if self._entry(db, *key) is None:
            return
        region = (new.region or self._region).upper()
        values = (json.dumps(dict(new.objects_details)), json.dumps(dict(new.bytes_details)))
        db.execute("INSERT INTO container_details VALUES (?, ?, ?, ?, ?)", (*key, region, *values))
        root = new.account.removeprefix(SHARDS)
        db.executemany(
            "INSERT OR IGNORE INTO policies_seen VALUES (?, ?, ?)",
            [(root, region, policy) for policy in {*new.objects_details, *new.bytes_details}],
        )

    def reset_container(self, account: str, name: str, mtime: int) -> None:
        """Set the counters of a container to 0."""
        super().reset_container(account, name, mtime)
        with self.inbox.open() as db:
            db.execute(
                "UPDATE container_details SET objects = '{}', bytes = '{}' WHERE account = ? AND name = ?",
                (account, name),
            )

    def show_container(self, account: str, name: str) -> dict[str, object]:
        """Return the description of a container."""
        with self._account(account) as db:
            entry = self._entry(db, account, name)
            if entry is None:
                raise NotFound(name)
            row = db.execute(
                "SELECT * FROM container_details WHERE account = ? AND name = ?", (account, name)
            ).fetchone()
        return {
            "name": name,
            "objects": entry.objects,
            "bytes": entry.bytes,
            "mtime": seconds(entry.mtime),
            "region": row["region"] if row else self._region,
            "objects-details": json.loads(row["objects"]) if row else {},
            "bytes-details": json.loads(row["bytes"]) if row else {},
        }

    def container_page(self, account: str, wanted: RegionalFilter) -> Page[ContainerState]:
        """Return a page of the containers of an account, in the order of their names."""
        with self._account(account) as db:

            def rows(after: str) -> Iterable[ContainerState]:
                found = db.execute(
                    "SELECT containers.* FROM containers LEFT JOIN container_details AS details "
                    "ON details.account = containers.account AND details.name = containers.name "
                    "WHERE containers.account = ? AND containers.name > ? AND containers.name >= ? "
                    f"AND {ALIVE} "
                    "AND (? = '' OR details.region = ?) AND (? = '' OR bucket = ?) ORDER BY containers.name",
                    (account, after, wanted.prefix, *[wanted.region] * 2, *[wanted.bucket] * 2),
                )
                return (ContainerState(*row) for row in found)

            return page_of(rows, wanted, attrgetter("name"))

    # -- buckets

    def create_bucket(self, bucket: str, account: str, region: str) -> bool:
        """Create a bucket; return False when it exists."""
        with self.inbox.open() as db:
            row = (bucket, account, region.upper(), self.clock.now())
            return db.execute("INSERT OR IGNORE INTO buckets VALUES (?, ?, ?, ?)", row).rowcount > 0

    def delete_bucket(self, bucket: str) -> None:
        """Delete a bucket with its metadata."""
        with self._bucket(bucket) as (db, _):
            db.execute("DELETE FROM buckets WHERE id = ?", (bucket,))
            db.execute("DELETE FROM bucket_metadata WHERE bucket = ?", (bucket,))

    def owner(self, bucket: str) -> str:
        """Return the account of a bucket."""
        with self._bucket(bucket) as (_, row):
            return str(row["account"])

    def show_bucket(self, bucket: str) -> dict[str, object]:
        """Return the description of a bucket, with its metadata."""
        with self._bucket(bucket) as (db, row):
            return (
                read_metadata(db, "bucket", bucket) | self._bucket_sums(db, row) | {"account": row["account"]}
            )

    def update_bucket(self, bucket: str, metadata: Mapping[str, str], to_delete: Iterable[str]) -> None:
        """Delete metadata of a bucket, then set others."""
        with self._bucket(bucket) as (db, _):
            update_metadata(db, "bucket", bucket, metadata, to_delete)

    def bucket_page(self, account: str, wanted: RegionalFilter) -> tuple[list[dict[str, object]], bool]:
        """Return a page of the buckets of an account, and whether others follow."""
        with self._account(account) as db:

            def rows(after: str) -> Iterable[sqlite3.Row]:
                return db.execute(
                    "SELECT * FROM buckets WHERE account = ? AND id > ? AND id >= ? "
                    "AND (? = '' OR region = ?) ORDER BY id",
                    (account, after, wanted.prefix, wanted.region, wanted.region),
                )

            page = page_of(rows, wanted, itemgetter("id"))
            return [{"name": row["id"]} | self._bucket_sums(db, row) for row in page.rows], page.truncated

    @contextlib.contextmanager
    def _bucket(self, bucket: str) -> Iterator[tuple[sqlite3.Connection, sqlite3.Row]]:
        with self.inbox.open() as db:
            row = db.execute("SELECT * FROM buckets WHERE id = ?", (bucket,)).fetchone()
            if row is None:
                raise NotFound(bucket)
            yield db, row

    @staticmethod
    def _bucket_sums(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, object]:
        objects, size, count, mtime = db.execute(
            "SELECT coalesce(sum(CASE WHEN name NOT LIKE ? THEN objects END), 0), coalesce(sum(bytes), 0), "
            f"count(*), coalesce(max(mtime), 0) FROM containers WHERE bucket = ? AND {ALIVE}",
            ("%" + SEGMENTS, row["id"]),
        ).fetchone()
        dates = {"ctime": seconds(row["ctime"]), "mtime": seconds(max(mtime, row["ctime"]))}
        return {"objects": objects, "bytes": size, "containers": count, "region": row["region"]} | dates


def seconds(microseconds: int) -> float:
    """Return a date in seconds since 1970."""
    return microseconds / 1_000_000
