# SPDX-License-Identifier: Apache-2.0
"""Durable files in one directory: chunks of a rawx, uploads to the B2.

``<directory>/<first characters>/<name>`` holds the data of a file, ``<name>.json`` its note if there is one,
and ``<name>.pending`` data that are being written. A file exists when its data do: they get their name last
and lose it first. A crash leaves no half-made file, only leftovers that the next start removes.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

_PENDING: Final = ".pending"
_NOTE: Final = ".json"


class NameTaken(Exception):
    """There is a file of this name, finished or being written."""


class NotStored(Exception):
    """There is no finished file of this name."""


class Digest(Protocol):
    """A hash being computed."""

    def update(self, data: bytes, /) -> object:
        """Add data."""

    def hexdigest(self) -> str:
        """Return the hash of the data so far."""
        ...


@dataclass(frozen=True)
class Stored:
    """A finished file, open for reading, and the note on it."""

    file: BinaryIO
    note: bytes | None


class Writing:
    """A file being written: it vanishes unless :meth:`keep` was called before the ``with`` block ends."""

    def __init__(self, store: FileStore, name: str, digest: Digest) -> None:
        self.name = name
        self.size = 0
        self._store = store
        self._file = store.path(name, _PENDING).open("xb", buffering=0)
        self._hash = digest
        self._kept = False

    @property
    def digest(self) -> str:
        """Hash of the data written so far, in lower-case hexadecimal."""
        return self._hash.hexdigest()

    def write(self, block: bytes) -> None:
        """Append ``block``.

        :raises OSError: the disk does not take it.
        """
        view = memoryview(block)
        while view:
            view = view[self._file.write(view) :]
        self._hash.update(block)
        self.size += len(block)

    def finish(self, note: bytes | None = None) -> None:
        """Give the file its name, durably; unless :meth:`keep` follows, it is removed again."""
        os.fsync(self._file.fileno())
        self._store.settle(self.name, note)

    def keep(self) -> None:
        """Let the finished file stay."""
        self._kept = True

    def __enter__(self) -> Writing:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._file.close()
        if not self._kept:
            self._store.discard(self.name)
        self._store.release(self.name)


class FileStore:
    """The files of one directory; safe from many threads, one process at a time may use it.

    :param directory: made when it is missing.
    :param digits: how many characters of a name make the subdirectory of its file.
    :param algorithm: the hash to compute of data while they are written.
    :param private: whether only the owner may look into the directory.

    >>> import tempfile
    >>> store = FileStore(Path(tempfile.mkdtemp()), digits=2, algorithm="sha1")
    >>> with store.create("4f2a") as writing:
    ...     writing.write(b"data")
    ...     writing.finish()
    ...     writing.keep()
    >>> store.names()
    ['4f2a']
    """

    def __init__(self, directory: Path, *, digits: int, algorithm: str, private: bool = False) -> None:
        self.directory = directory
        self.algorithm = algorithm
        self._digits = digits
        self._lock = threading.Lock()
        self._pending: set[str] = set()
        directory.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)

    def create(self, name: str, digest: Digest | None = None) -> Writing:
        """Start to write a file.

        :param digest: the hash to compute; None for that of the directory.
        :raises NameTaken: there is one already.
        """
        self._reserve(name)
        try:
            self._make_subdirectory(name)
            return Writing(self, name, digest or hashlib.new(self.algorithm, usedforsecurity=False))
        except BaseException:  # The name would stay taken.
            self.release(name)
            raise

    def open_file(self, name: str) -> Stored:
        """Open a file for reading.

        :raises NotStored: there is none.
        """
        with self._lock:
            try:
                file = self.path(name).open("rb", buffering=0)
            except FileNotFoundError:
                raise NotStored(name) from None
            try:
                return Stored(file, self.path(name, _NOTE).read_bytes())
            except FileNotFoundError:
                return Stored(file, None)
            except BaseException:  # Nobody else has the file yet.
                file.close()
                raise

    def link_file(self, source: str, target: str, note: bytes) -> None:
        """Give the data of ``source`` a second name, with a note of its own.

        :raises NotStored: there is no ``source``.
        :raises NameTaken: there is a ``target`` already.
        """
        self._reserve(target)
        try:
            self._make_subdirectory(target)
            os.link(self.path(source), self.path(target, _PENDING))
            self.settle(target, note)
        except BaseException as exc:  # Half a link must not be found.
            self.discard(target)
            if isinstance(exc, FileNotFoundError):
                raise NotStored(source) from None
            raise
        finally:
            self.release(target)

    def delete(self, name: str) -> None:
        """Remove a file, durably; links to its data stay.

        :raises NotStored: there is none.
        """
        # Under the lock, or the note removed could be that of a new file of the same name.
        with self._lock:
            try:
                self.path(name).unlink()
            except FileNotFoundError:
                raise NotStored(name) from None
            self.path(name, _NOTE).unlink(missing_ok=True)
        sync_directory(self.path(name).parent)

    def names(self) -> list[str]:
        """Return the sorted names of all finished files."""
        return sorted(name for name in self._files() if "." not in name)

    def path(self, name: str, suffix: str = "") -> Path:
        """Return where the data of a file are."""
        # Each request asks for several, and joining them takes twice as long.
        return Path(f"{self.directory}/{name[: self._digits]}/{name}{suffix}")

    def remove_leftovers(self, known: Collection[str] | None = None) -> None:
        """Remove what a crash has left: data of unfinished files, notes on files that do not exist.

        Nobody else may use the directory meanwhile.

        :param known: names of the files that are needed; None for all.
        """
        for path in map(self.path, self._files()):
            needed = path.with_suffix("").exists() and (known is None or path.stem in known)
            if path.suffix == _PENDING or not needed:
                path.unlink()

    def discard(self, *names: str) -> None:
        """Remove files that nobody needs, finished or not, without waiting for the disk."""
        for name in names:
            for suffix in ("", _NOTE, _PENDING):
                self.path(name, suffix).unlink(missing_ok=True)

    # For Writing -------------------------------------------------------------------------------------------

    def settle(self, name: str, note: bytes | None) -> None:
        """Give pending data, which are on the disk already, their name."""
        if note is not None:
            with self.path(name, _NOTE).open("wb") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
        self.path(name, _PENDING).rename(self.path(name))
        sync_directory(self.path(name).parent)

    def rewrite_note(self, name: str, note: bytes) -> None:
        """Replace the note on a finished file.

        :raises NotStored: there is no such file.
        """
        with self._lock:
            if not self.path(name).exists():
                raise NotStored(name)
            replace_file(self.path(name, _NOTE), note.decode())

    def lose_note(self, name: str) -> None:
        """Remove the note on a finished file, as a damaged disk does."""
        self.path(name, _NOTE).unlink()

    def release(self, name: str) -> None:
        """End the reservation of a name."""
        with self._lock:
            self._pending.discard(name)

    # Files -------------------------------------------------------------------------------------------------

    def _reserve(self, name: str) -> None:
        with self._lock:
            if name in self._pending or self.path(name).exists():
                raise NameTaken(name)
            self._pending.add(name)

    def _make_subdirectory(self, name: str) -> None:
        subdirectory = self.path(name).parent
        if not subdirectory.is_dir():
            subdirectory.mkdir(exist_ok=True)
            sync_directory(self.directory)

    def _files(self) -> list[str]:
        """Names with suffixes; much faster than a glob."""
        with os.scandir(self.directory) as entries:
            found = [entry.path for entry in entries if len(entry.name) == self._digits and entry.is_dir()]
        return [name for subdirectory in found for name in os.listdir(subdirectory)]


def replace_file(path: Path, data: str | bytes, *, mode: int = 0o666) -> None:
    """Write a small file durably: until it is complete, the former one stays."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        # A full disk is told without the name of any file.
        exc.filename = str(path)
        raise
    new.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
