# SPDX-License-Identifier: Apache-2.0
"""All that a B2 service keeps: keys, buckets, files and large files in one durable database, data on disk."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from oio.sandbox.b2.buckets import Buckets
from oio.sandbox.b2.keys import Keys
from oio.sandbox.b2.large_files import LargeFiles
from oio.sandbox.b2.schema import B2
from oio.sandbox.b2.upload_urls import Places
from oio.sandbox.b2.versions import Versions
from oio.sandbox.storage.database import Clock, Database
from oio.sandbox.storage.files import FileStore, Writing

if TYPE_CHECKING:
    from pathlib import Path

_MILLISECOND: Final = 1_000_000


@dataclass
class Limits:
    """What a B2 service allows; it may be changed while the service runs.

    :param token_life: seconds that new authorisations live.
    :param place_life: seconds that new upload URLs live.
    :param minimum_part_size: least number of bytes of a part of a large file that is not its last one.
    :param minimum_parts: least number of parts of a large file.
    :param recommended_part_size: what clients are told to use.
    :param largest_upload: most bytes of a file or part uploaded at once.
    """

    token_life: float = 86_400
    place_life: float = 86_400
    minimum_part_size: int = 5_000_000
    minimum_parts: int = 2
    recommended_part_size: int = 100_000_000
    largest_upload: int = 5_000_000_000


class B2Store:
    """The account of a B2 service; safe from many threads, one process at a time may use it.

    :param directory: for all its files, readable by their owner only.
    :param account: ID of the account.
    :param limits: what is allowed.
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
        self.places = Places(self._database, lambda: limits.place_life)
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
        """Start to write the data of an upload, which stay once the database knows of them."""
        return self.disk.create(secrets.token_hex(16))

    def close(self) -> None:
        """Close the database."""
        self._database.close()
