# SPDX-License-Identifier: Apache-2.0
"""Store of the B2 service: one database, and the data of files on disk."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from oio.sandbox.b2.buckets import Buckets
from oio.sandbox.b2.keys import Keys
from oio.sandbox.b2.large_files import LargeFiles
from oio.sandbox.b2.schema import B2
from oio.sandbox.b2.upload_urls import UploadUrls
from oio.sandbox.b2.versions import Versions
from oio.sandbox.storage.database import Clock, Database
from oio.sandbox.storage.files import FileStore, Writing

if TYPE_CHECKING:
    from pathlib import Path

_MILLISECOND: Final = 1_000_000


@dataclass
class Limits:
    """Limits of a B2 service; they may be changed while it runs.

    :param token_life: lifetime of new authorisation tokens in seconds.
    :param place_life: lifetime of new upload URLs in seconds.
    :param minimum_part_size: smallest size in bytes of a part of a large file, except the last one.
    :param minimum_parts: smallest number of parts of a large file.
    :param recommended_part_size: part size suggested to clients.
    :param largest_upload: largest size in bytes of a file or part uploaded at once.
    """

    token_life: float = 86_400
    place_life: float = 86_400
    minimum_part_size: int = 5_000_000
    minimum_parts: int = 2
    recommended_part_size: int = 100_000_000
    largest_upload: int = 5_000_000_000


class B2Store:
    """One B2 account; safe from many threads, one process at a time may use it.

    :param directory: where everything is, readable by the owner only.
    :param account: ID of the account.
    :param limits: sizes and lifetimes.
    """

    def __init__(self, directory: Path, account: str, limits: Limits) -> None:
        self.limits = limits
        self.account = account
        self.disk = FileStore(directory / "data", digits=2, algorithm="sha1", private=True)
        directory.chmod(0o700)
        self._database = Database(directory / "b2.sqlite", B2)
        with self._database.reading() as db:
            (last,) = db.execute("SELECT coalesce(max(stamp), 0) FROM versions").fetchone()
            known = {row["data"] for row in db.execute("SELECT data FROM parts")}
        self.disk.remove_leftovers(known)
        clock = Clock(last, _MILLISECOND)
        self.keys = Keys(self._database, account, lambda: limits.token_life)
        self.upload_urls = UploadUrls(self._database, lambda: limits.place_life)
        self.buckets = Buckets(self._database)
        self.versions = Versions(self._database, self.disk, clock)
        self.large = LargeFiles(
            self._database,
            self.disk,
            clock,
            lambda: limits.minimum_part_size,
            lambda: limits.minimum_parts,
        )

    def receive(self) -> Writing:
        """Start to write the data of an upload; they are kept once the database knows of them."""
        return self.disk.create(secrets.token_hex(16))

    def close(self) -> None:
        """Close the database."""
        self._database.close()
