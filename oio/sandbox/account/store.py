# SPDX-License-Identifier: Apache-2.0
"""Store of the account service: accounts, the counters of their containers, and buckets."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from oio.sandbox.metadata.container import COUNTERS, ContainerState
from oio.sandbox.storage.database import Clock, Database
from oio.sandbox.storage.inbox import INBOX, Inbox
from oio.sandbox.storage.listing import Folder, Page, Row, Selection, list_page

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

SCHEMA: Final = f"""
{INBOX}
CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY, ctime INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS account_metadata (
    account TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (account, key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS containers (
    account TEXT NOT NULL, name TEXT NOT NULL, mtime INTEGER NOT NULL, dtime INTEGER NOT NULL,
    objects INTEGER NOT NULL, bytes INTEGER NOT NULL, damaged_objects INTEGER NOT NULL,
    missing_chunks INTEGER NOT NULL, bucket TEXT, PRIMARY KEY (account, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS containers_by_bucket ON containers (bucket) WHERE bucket IS NOT NULL;

CREATE TABLE IF NOT EXISTS bucket_metadata (
    bucket TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
"""

_COLUMNS: Final = (
    *("account", "name", "mtime", "dtime", "objects", "bytes"),
    *("damaged_objects", "missing_chunks", "bucket"),
)
_KEEP_DESTROYED: Final = 60 * 1_000_000
_SUMS: Final = ", ".join(f"coalesce(sum({counter}), 0) AS {counter}" for counter in COUNTERS)
#: Containers for the parts of multipart uploads: their bytes count for the bucket, their objects do not.
SEGMENTS: Final = "+segments"


class NotFound(Exception):
    """There is no such account, container or bucket."""


class Stale(Exception):
    """The report is older than what is known."""


class NotEmpty(Exception):
    """The account has containers."""


@dataclass(frozen=True)
class Filter(Selection):
    """Which containers or buckets to list."""

    s3_buckets_only: bool = False

    @property
    def shown(self) -> str:
        """The folder that the marker stands for, which an earlier page had; empty for a plain name."""
        # A folder ends with the first character of the delimiter, and is longer than the prefix.
        is_folder = bool(self.delimiter) and self.marker.endswith(self.delimiter[0])
        return self.marker if is_folder and len(self.marker) > len(self.prefix) else ""


class AccountStore:
    """Accounts, containers and buckets in a durable database; safe from many threads.

    Sums are computed from the entries of containers on request, so they are always right.

    :param path: file of the database.
    :param delay: seconds until news of containers are applied.
    """

    schema = SCHEMA

    def __init__(self, path: Path, delay: float = 0.0) -> None:
        self.clock = Clock()
        self._database = Database(path, self.schema)
        self.inbox = Inbox(self._database, self._apply, delay)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # -- accounts

    def create(self, account: str) -> bool:
        """Create an account; return False when it exists."""
        with self.inbox.open() as db:
            return self._create(db, account)

    def _create(self, db: sqlite3.Connection, account: str) -> bool:
        return (
            db.execute("INSERT OR IGNORE INTO accounts VALUES (?, ?)", (account, self.clock.now())).rowcount
            > 0
        )

    def delete(self, account: str) -> None:
        """Delete an account without containers."""
        with self._account(account) as db:
            if db.execute(f"SELECT 1 FROM containers WHERE account = ? AND {ALIVE}", (account,)).fetchone():
                raise NotEmpty(account)
            for table, column in (
                ("accounts", "id"),
                ("account_metadata", "account"),
                ("containers", "account"),
            ):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (account,))

    def names(self) -> list[str]:
        """Return the names of all accounts."""
        with self.inbox.open() as db:
            return [row["id"] for row in db.execute("SELECT id FROM accounts")]

    def update(self, account: str, metadata: Mapping[str, str], to_delete: Iterable[str]) -> None:
        """Delete metadata, then set others; the account is created if it has to be."""
        with self.inbox.open() as db:
            self._create(db, account)
            update_metadata(db, "account", account, metadata, to_delete)

    def show(self, account: str) -> dict[str, object]:
        """Return the description of an account."""
        with self._account(account) as db:
            (ctime,) = db.execute("SELECT ctime FROM accounts WHERE id = ?", (account,)).fetchone()
            sums = db.execute(
                f"SELECT {_SUMS}, count(*) AS containers, "
                "count(CASE WHEN name = bucket THEN 1 END) AS buckets "
                f"FROM containers WHERE account = ? AND {ALIVE}",
                (account,),
            ).fetchone()
            metadata = read_metadata(db, "account", account)
        return {"id": account, **dict(sums), "ctime": decimal(ctime), "replication_enabled": False} | {
            "metadata": metadata
        }

    def flush(self, account: str) -> None:
        """Forget the containers of an account."""
        with self._account(account) as db:
            db.execute("DELETE FROM containers WHERE account = ?", (account,))

    def refresh(self, account: str) -> None:
        """Check that the account exists: its counters are always those of its containers."""
        with self._account(account):
            pass

    @contextlib.contextmanager
    def _account(self, account: str) -> Iterator[sqlite3.Connection]:
        with self.inbox.open() as db:
            if db.execute("SELECT 1 FROM accounts WHERE id = ?", (account,)).fetchone() is None:
                raise NotFound(account)
            yield db

    # -- containers

    def report(self, state: ContainerState) -> None:
        """Receive the news of a change of a container."""
        self.inbox.receive(vars(state))

    def _apply(self, db: sqlite3.Connection, news: dict[str, Any]) -> None:
        """Apply the news of a container, unless newer ones were applied."""
        with contextlib.suppress(Stale):
            self._update_container(db, ContainerState(**news))

    def update_container(self, new: ContainerState) -> None:
        """Apply the change or destruction of a container; raise :class:`Stale` for an old one."""
        with self.inbox.open() as db:
            self._update_container(db, new)

    def _update_container(self, db: sqlite3.Connection, new: ContainerState) -> None:
        self._create(db, new.account)
        empty = ContainerState(new.account, new.name, bucket=new.bucket)
        known = self._entry(db, new.account, new.name, destroyed=True) or empty
        mtime, dtime = max(new.mtime, known.mtime), max(new.dtime, known.dtime)
        destroyed = dtime > mtime and (new.dtime > known.dtime or new.mtime > known.mtime)
        if not destroyed and new.mtime <= known.mtime:
            raise Stale(new.name)
        if destroyed:
            new = empty
        _replace(db, replace(new, mtime=mtime, dtime=dtime))
        db.execute(
            f"DELETE FROM containers WHERE NOT {ALIVE} AND dtime < ?",
            (self.clock.now() - _KEEP_DESTROYED,),
        )

    def reset_container(self, account: str, name: str, mtime: int) -> None:
        """Set the counters of a container to 0."""
        with self.inbox.open() as db:
            known = self._entry(db, account, name)
            if known is None:
                raise NotFound(name)
            if mtime <= known.mtime:
                raise Stale(name)
            _replace(db, ContainerState(account, name, mtime, known.dtime, bucket=known.bucket))

    def container(self, account: str, name: str) -> tuple[ContainerState | None, bool]:
        """Return a container, None when it is unknown, and whether its bucket is replicated."""
        with self._account(account) as db:
            entry = self._entry(db, account, name)
            bucket = entry.bucket if entry else None
            return entry, read_metadata(db, "bucket", bucket or "").get("replication_enabled") == "true"

    @staticmethod
    def _entry(
        db: sqlite3.Connection, account: str, name: str, *, destroyed: bool = False
    ) -> ContainerState | None:
        row = db.execute(
            "SELECT * FROM containers WHERE account = ? AND name = ?", (account, name)
        ).fetchone()
        if row is None or (row["dtime"] > row["mtime"] and not destroyed):
            return None
        return ContainerState(*row)

    def containers(self, account: str, wanted: Filter) -> list[ContainerState | Folder]:
        """Return a page of containers and folders, in the order of their names."""
        with self._account(account) as db:

            def rows(after: str) -> Iterable[ContainerState]:
                found = db.execute(
                    f"SELECT * FROM containers WHERE account = ? AND name > ? AND name >= ? AND {ALIVE} "
                    "ORDER BY name",
                    (account, after, wanted.prefix),
                )
                return (ContainerState(*row) for row in found)

            return page_of(rows, wanted, attrgetter("name")).items

    # -- buckets

    def buckets(self, account: str, wanted: Filter) -> list[dict[str, object]]:
        """Return a page of the buckets of an account."""
        with self._account(account) as db:

            def rows(after: str) -> Iterable[str]:
                found = db.execute(
                    "SELECT DISTINCT bucket FROM containers WHERE account = ? AND name = bucket "
                    f"AND bucket > ? AND bucket >= ? AND {ALIVE} ORDER BY bucket",
                    (account, after, wanted.prefix),
                )
                return (row["bucket"] for row in found)

            page = page_of(rows, wanted, str, fold=False)
            return [{"name": name} | _bucket_sums(db, name) for name in page.rows]

    def show_bucket(self, bucket: str) -> dict[str, object]:
        """Return the description of a bucket, with its metadata."""
        with self.inbox.open() as db:
            metadata = read_metadata(db, "bucket", bucket)
            owner = db.execute(
                f"SELECT account FROM containers WHERE bucket = ? AND {ALIVE}", (bucket,)
            ).fetchone()
            if owner is None and not metadata:
                raise NotFound(bucket)
            known = _bucket_sums(db, bucket)
        mtime = known.pop("mtime")
        dated = {"account": owner["account"], "mtime": decimal(int(str(mtime)))} if owner else {}
        return (
            metadata | known | dated | {"replication_enabled": metadata.get("replication_enabled") == "true"}
        )

    def update_bucket(self, bucket: str, metadata: Mapping[str, str], to_delete: Iterable[str]) -> None:
        """Delete metadata of a bucket, then set others."""
        with self.inbox.open() as db:
            update_metadata(db, "bucket", bucket, metadata, to_delete)


ALIVE: Final = "dtime <= mtime"


def _replace(db: sqlite3.Connection, state: ContainerState) -> None:
    db.execute(
        "INSERT OR REPLACE INTO containers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [getattr(state, column) for column in _COLUMNS],
    )


def page_of(
    rows: Callable[[str], Iterable[Row]],
    wanted: Selection,
    name_of: Callable[[Row], str],
    *,
    fold: bool = True,
) -> Page[Row]:
    """Return one page of rows, chosen and folded as ``wanted`` says."""
    buckets_only = isinstance(wanted, Filter) and wanted.s3_buckets_only

    def select(found: Iterator[Row]) -> Iterable[Row]:
        return (row for row in found if not buckets_only or is_bucket_name(name_of(row)))

    # Names are searched for the whole delimiter, but a folder ends with its first character.
    return list_page(
        rows,
        wanted if fold else replace(wanted, delimiter=""),
        name_of,
        select=select,
        shown=wanted.shown if isinstance(wanted, Filter) else "",
        folder_size=1,
    )


def _bucket_sums(db: sqlite3.Connection, bucket: str) -> dict[str, object]:
    sums = dict(
        db.execute(
            f"SELECT {_SUMS}, coalesce(max(mtime), 0) AS mtime FROM containers WHERE bucket = ? AND {ALIVE}",
            (bucket,),
        ).fetchone()
    )
    (sums["objects"],) = db.execute(
        f"SELECT coalesce(sum(objects), 0) FROM containers WHERE bucket = ? AND {ALIVE} AND name NOT LIKE ?",
        (bucket, "%" + SEGMENTS),
    ).fetchone()
    return sums


def read_metadata(db: sqlite3.Connection, owner: str, name: str) -> dict[str, str]:
    """Return the metadata of an ``account`` or a ``bucket``."""
    rows = db.execute(f"SELECT key, value FROM {owner}_metadata WHERE {owner} = ?", (name,))
    return {row["key"]: row["value"] for row in rows}


def update_metadata(
    db: sqlite3.Connection, owner: str, name: str, metadata: Mapping[str, str], to_delete: Iterable[str]
) -> None:
    """Delete metadata of an ``account`` or a ``bucket``, then set others."""
    table = f"{owner}_metadata"
    db.executemany(f"DELETE FROM {table} WHERE {owner} = ? AND key = ?", [(name, key) for key in to_delete])
    db.executemany(
        f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)",
        [(name, key, value) for key, value in metadata.items()],
    )


def is_bucket_name(name: str) -> bool:
    """Return whether a name is valid for an S3 bucket.

    >>> is_bucket_name("my-bucket"), is_bucket_name("10.0.0.1"), is_bucket_name("UP")
    (True, False, False)
    """
    if not 3 <= len(name) <= 63 or re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name):
        return False
    return all(re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", label) for label in name.split("."))


def decimal(microseconds: int) -> str:
    """Return a date as the service writes it: seconds with 5 decimals, in 16 characters.

    >>> decimal(1554086800123456)
    '1554086800.12346'
    """
    return f"{microseconds / 1_000_000:016.5f}"
