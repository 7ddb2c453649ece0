# SPDX-License-Identifier: Apache-2.0
"""Upload URLs of the B2 service, each with a token, for one upload at a time."""

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
#: Statuses of the client's own mistakes, after which an upload URL stays valid.
_HARMLESS: Final = frozenset({400, 403, 405})


@dataclass(frozen=True)
class UploadUrl:
    """Where to upload files whose names begin with ``prefix``, or the parts of one large ``file``."""

    id: str
    token: str
    bucket: str
    file: str | None = None
    prefix: str | None = None


class UploadUrls:
    """The upload URLs of a service; safe from many threads.

    :param database: with the tables of the service.
    :param life: returns the lifetime of new ones in seconds.
    """

    def __init__(self, database: Database, life: Callable[[], float]) -> None:
        self._database = database
        self._life = life
        self._lock = threading.Lock()
        self._busy: set[str] = set()

    def create(self, bucket: str, file: str | None = None, prefix: str | None = None) -> UploadUrl:
        """Make an upload URL, for files of a bucket or the parts of one large file."""
        now = time.time()
        url_id = f"c001_v0001000_t{secrets.randbelow(60):04d}_{secrets.token_hex(8)}"
        upload_url = UploadUrl(url_id, f"4_{bucket}_{secrets.token_urlsafe(24)}_upld", bucket, file, prefix)
        with self._database.transaction() as db:
            db.execute("DELETE FROM places WHERE ends < ?", (now - _REMEMBERED,))
            db.execute(
                "INSERT INTO places VALUES (?, ?, ?, ?, ?, ?)",
                (upload_url.id, upload_url.token, bucket, file, prefix, now + self._life()),
            )
        return upload_url

    @contextmanager
    def use(self, url_id: str, target: str, token: str | None) -> Iterator[UploadUrl]:
        """Hold an upload URL for one upload; it expires if that fails, but for mistakes of the client.

        :param target: the bucket or the large file that the URL names.
        """
        upload_url = self._find(url_id, target, token)
        with self._lock:
            if url_id in self._busy:
                raise bad_request("this upload URL is in use by another upload", "auth_token_limit")
            self._busy.add(url_id)
        try:
            yield upload_url
        except BaseException as exc:
            # Any other end of an upload spoils its URL.
            if not isinstance(exc, B2Refusal) or exc.status not in _HARMLESS:
                self.expire(url_id)
            raise
        finally:
            with self._lock:
                self._busy.discard(url_id)

    def _find(self, url_id: str, target: str, token: str | None) -> UploadUrl:
        with self._database.reading() as db:
            row = db.execute("SELECT * FROM places WHERE id = ?", (url_id,)).fetchone()
        if row is None or token != row["token"] or target != (row["file"] or row["bucket"]):
            raise B2Refusal(401, "invalid upload token", "bad_auth_token")
        if row["ends"] <= time.time():
            raise B2Refusal(401, "upload token has expired", "expired_auth_token")
        return UploadUrl(row["id"], row["token"], row["bucket"], row["file"], row["prefix"])

    def expire(self, url_id: str | None = None) -> None:
        """Let one upload URL expire, or all of them."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE places SET ends = min(ends, ?) WHERE ? IS NULL OR id = ?",
                (time.time(), url_id, url_id),
            )
