# SPDX-License-Identifier: Apache-2.0
"""Where a B2 service takes uploads: places with a token each, for one upload at a time, until one fails."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from oio.sandbox.b2.errors import B2Refusal, bad_request

if TYPE_CHECKING:
    from oio.sandbox.storage.database import Database

_REMEMBERED: Final = 7 * 86_400
#: Statuses of the client's own mistakes, after which a place is as good as before.
_HARMLESS: Final = frozenset({400, 403, 405})


@dataclass(frozen=True)
class Place:
    """Where to upload files whose names begin with ``prefix`` to a bucket, or the parts of one ``file``."""

    id: str
    token: str
    bucket: str
    file: str | None = None
    prefix: str | None = None


class Places:
    """The upload URLs of a service; safe from many threads.

    :param database: with the tables of the service.
    :param life: returns the seconds that new ones live.
    """

    def __init__(self, database: Database, life: Callable[[], float]) -> None:
        self._database = database
        self._life = life
        self._lock = threading.Lock()
        self._busy: set[str] = set()

    def create(self, bucket: str, file: str | None = None, prefix: str | None = None) -> Place:
        """Open a place."""
        now = time.time()
        place_id = f"c001_v0001000_t{secrets.randbelow(60):04d}_{secrets.token_hex(8)}"
        place = Place(place_id, f"4_{bucket}_{secrets.token_urlsafe(24)}_upld", bucket, file, prefix)
        with self._database.transaction() as db:
            db.execute("DELETE FROM places WHERE ends < ?", (now - _REMEMBERED,))
            db.execute(
                "INSERT INTO places VALUES (?, ?, ?, ?, ?, ?)",
                (place.id, place.token, bucket, file, prefix, now + self._life()),
            )
        return place

    @contextmanager
    def use(self, place_id: str, target: str, token: str | None) -> Iterator[Place]:
        """Hold a place for one upload, which closes it when it fails by no mistake of the client.

        :param target: the bucket or the large file that the URL names.
        """
        place = self._find(place_id, target, token)
        with self._lock:
            if place_id in self._busy:
                raise bad_request("this upload URL is in use by another upload", "auth_token_limit")
            self._busy.add(place_id)
        try:
            yield place
        except BaseException as exc:
            if not isinstance(exc, B2Refusal) or exc.status not in _HARMLESS:
                self.expire(place_id)
            raise
        finally:
            with self._lock:
                self._busy.discard(place_id)

    def _find(self, place_id: str, target: str, token: str | None) -> Place:
        with self._database.reading() as db:
            row = db.execute("SELECT * FROM places WHERE id = ?", (place_id,)).fetchone()
        if row is None or token != row["token"] or target != (row["file"] or row["bucket"]):
            raise B2Refusal(401, "invalid upload token", "bad_auth_token")
        if row["ends"] <= time.time():
            raise B2Refusal(401, "upload token has expired", "expired_auth_token")
        return Place(row["id"], row["token"], row["bucket"], row["file"], row["prefix"])

    def expire(self, place_id: str | None = None) -> None:
        """Close a place, or all."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE places SET ends = min(ends, ?) WHERE ? IS NULL OR id = ?",
                (time.time(), place_id, place_id),
            )
