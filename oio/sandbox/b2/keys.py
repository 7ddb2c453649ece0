# SPDX-License-Identifier: Apache-2.0
"""Application keys of a B2 account, their capabilities and authorisation tokens."""

from __future__ import annotations

import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from oio.sandbox.b2.errors import B2Refusal, bad_request

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from oio.sandbox.storage.database import Database

#: All capabilities of a key.
CAPABILITIES: Final = (
    *("listKeys", "writeKeys", "deleteKeys"),
    *("listBuckets", "readBuckets", "writeBuckets", "deleteBuckets"),
    *("listFiles", "readFiles", "shareFiles", "writeFiles", "deleteFiles"),
)
#: Seconds until an expired token is forgotten.
_REMEMBERED: Final = 7 * 86_400


@dataclass(frozen=True)
class Key:
    """One application key, for one bucket (its ID) or all, and for names that begin with ``prefix``."""

    id: str
    secret: str
    name: str
    capabilities: tuple[str, ...]
    bucket: str | None = None
    prefix: str | None = None

    @classmethod
    def of(cls, row: sqlite3.Row) -> Key:
        """Return the key of a row."""
        capabilities = tuple(json.loads(row["capabilities"]))
        return cls(row["id"], row["secret"], row["name"], capabilities, row["bucket"], row["prefix"])

    def may(self, capability: str, bucket: str | None = None, name: str | None = None) -> bool:
        """Tell whether the key has a capability, in a bucket and for a name if they are given."""
        return (
            capability in self.capabilities
            and (self.bucket is None or bucket is None or bucket == self.bucket)
            and (self.prefix is None or name is None or name.startswith(self.prefix))
        )

    def require(self, capability: str, bucket: str | None = None, name: str | None = None) -> None:
        """Raise :class:`B2Refusal` when the key lacks a capability."""
        if not self.may(capability, bucket, name):
            raise B2Refusal(401, f"the key has no right to {capability} there", "unauthorized")


class Keys:
    """Keys of an account, and their tokens; safe from many threads.

    :param database: with the tables of the service.
    :param account: ID of the account, and of its master key.
    :param life: returns the lifetime of new tokens in seconds.
    """

    def __init__(self, database: Database, account: str, life: Callable[[], float]) -> None:
        self._database = database
        self._life = life
        self.account = account

    def master(self) -> Key:
        """Return the master key, made on first use."""
        with self._database.transaction() as db:
            row = db.execute("SELECT * FROM keys WHERE id = ?", (self.account,)).fetchone()
            if row is not None:
                return Key.of(row)
            return _insert(db, Key(self.account, _secret(), "master", CAPABILITIES))

    def create(
        self,
        name: str,
        capabilities: Iterable[str],
        bucket: str | None = None,
        prefix: str | None = None,
    ) -> Key:
        """Make a key."""
        chosen = tuple(capabilities)
        unknown = sorted(set(chosen) - set(CAPABILITIES))
        if unknown or not chosen:
            raise bad_request(f"capabilities: {', '.join(unknown) or 'none'}")
        with self._database.transaction() as db:
            key_id = f"001{self.account}{secrets.token_hex(5)}"
            return _insert(db, Key(key_id, _secret(), name, chosen, bucket, prefix))

    def delete(self, key_id: str) -> Key:
        """Delete a key with its tokens."""
        with self._database.transaction() as db:
            row = db.execute("SELECT * FROM keys WHERE id = ?", (key_id,)).fetchone()
            if row is None or key_id == self.account:
                raise bad_request(f"no such key: {key_id}")
            db.execute("DELETE FROM keys WHERE id = ?", (key_id,))
            db.execute("DELETE FROM tokens WHERE key = ?", (key_id,))
            return Key.of(row)

    def all(self) -> list[Key]:
        """Return all keys but the master key, sorted by ID."""
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM keys WHERE id != ? ORDER BY id", (self.account,)).fetchall()
        return [Key.of(row) for row in rows]

    # -- tokens

    def authorise(self, key_id: str, secret: str) -> tuple[str, Key]:
        """Return a new token, and its key."""
        now = time.time()
        token = f"4_{key_id}_{secrets.token_urlsafe(24)}_acct"
        with self._database.transaction() as db:
            row = db.execute("SELECT * FROM keys WHERE id = ?", (key_id,)).fetchone()
            if row is None or not hmac.compare_digest(row["secret"].encode(), secret.encode()):
                raise B2Refusal(401, "invalid application key ID or key", "unauthorized")
            db.execute("DELETE FROM tokens WHERE ends < ?", (now - _REMEMBERED,))
            db.execute("INSERT INTO tokens VALUES (?, ?, ?)", (token, key_id, now + self._life()))
        return token, Key.of(row)

    def holder(self, token: str | None) -> Key:
        """Return the key of a token; raise :class:`B2Refusal` when the token is unknown or expired."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT keys.*, tokens.ends FROM tokens JOIN keys ON keys.id = tokens.key WHERE token = ?",
                (token,),
            ).fetchone()
        if row is None:
            raise B2Refusal(401, "invalid authorization token", "bad_auth_token")
        if row["ends"] <= time.time():
            raise B2Refusal(401, "authorization token has expired", "expired_auth_token")
        return Key.of(row)

    def expire(self, token: str | None = None) -> None:
        """Let one token expire, or all of them."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE tokens SET ends = min(ends, ?) WHERE ? IS NULL OR token = ?",
                (time.time(), token, token),
            )


def _secret() -> str:
    return f"K001{secrets.token_urlsafe(20)}"


def _insert(db: sqlite3.Connection, key: Key) -> Key:
    db.execute(
        "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?)",
        (key.id, key.secret, key.name, json.dumps(key.capabilities), key.bucket, key.prefix),
    )
    return key
