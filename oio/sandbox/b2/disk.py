# SPDX-License-Identifier: Apache-2.0
"""The data of a B2 service on disk: a file for each upload and each part. No sockets here.

``<directory>/<first 2 digits>/<name>`` has its name from the start. It counts once the database knows of it;
what it does not know is what a crash has left, and the next start removes it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Collection, Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from oio.sandbox.messages import FileSlice, FileSlices


class Pending:
    """Data being written: they vanish unless :meth:`keep` was called before the ``with`` block ends."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.size = 0
        self._path = path
        self._file = path.open("xb", buffering=0)
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._kept = False

    @property
    def sha1(self) -> str:
        """SHA-1 of the data written so far."""
        return self._sha1.hexdigest()

    def write(self, block: bytes) -> None:
        """Append ``block``.

        :raises OSError: the disk does not take it.
        """
        view = memoryview(block)
        while view:
            view = view[self._file.write(view) :]
        self._sha1.update(block)
        self.size += len(block)

    def sync(self) -> None:
        """Make the data survive a power cut."""
        os.fsync(self._file.fileno())
        _sync_directory(self._path.parent)

    def keep(self) -> None:
        """Let them stay: the database knows of them."""
        self._kept = True

    def __enter__(self) -> Pending:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self._kept:
            self._path.unlink(missing_ok=True)


class Disk:
    """The data files of one service.

    :param directory: made when it is missing, readable by its owner only.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def create(self) -> Pending:
        """Start to write."""
        path = self._path(secrets.token_hex(16))
        if not path.parent.is_dir():
            path.parent.mkdir(exist_ok=True)
            _sync_directory(self._directory)
        return Pending(path)

    def slice(self, pieces: Iterable[tuple[str, int]], first: int, length: int) -> FileSlice | FileSlices:
        """Return ``length`` bytes from ``first`` of the files ``pieces`` (name and size) laid end to end.

        :raises OSError: a file is not there.
        """
        chosen: list[tuple[Path, int, int]] = []
        for name, size in pieces:
            taken = min(size - first, length)
            if first < size and taken > 0:
                chosen.append((self._path(name), first, taken))
                length -= taken
            first = max(first - size, 0)
        if len(chosen) == 1:
            path, offset, taken = chosen[0]
            file: BinaryIO = path.open("rb", buffering=0)
            return FileSlice(file, offset, taken)
        return FileSlices(chosen)

    def remove(self, names: Iterable[str]) -> None:
        """Remove data that the database has forgotten."""
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def remove_others(self, known: Collection[str]) -> None:
        """Remove all data but those; nobody may write meanwhile."""
        for path in list(self._directory.glob("??/*")):
            if path.name not in known:
                path.unlink()

    def names(self) -> list[str]:
        """Return the sorted names of all files, unfinished ones too."""
        return sorted(path.name for path in self._directory.glob("??/*"))

    def path(self, name: str) -> Path:
        """Return where data are, for tests that damage them."""
        return self._path(name)

    def _path(self, name: str) -> Path:
        return self._directory / name[:2] / name


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
