# SPDX-License-Identifier: Apache-2.0
"""Chunks on disk: one file each, with their attributes beside them. No sockets here.

``<volume>/<first 3 digits>/<ID>`` holds the data of a chunk and nothing else, ``<ID>.json`` its attributes,
``<ID>.pending`` the data of one that is being written. The attributes have a file of their own, rather than
extended attributes as in a real rawx, because many file systems have none for users, and because every link
to a chunk (COPY) has its own. A chunk exists when its data file does: that file gets its name last and loses
it first, so a crash in between leaves no half-made chunk, only files that the next start removes.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

_PENDING: Final = ".pending"
_ATTRIBUTES: Final = ".json"


class ChunkExists(Exception):
    """There is a chunk of this ID, finished or being written."""


class ChunkMissing(Exception):
    """There is no finished chunk of this ID."""


class ChunkDamaged(Exception):
    """The chunk has lost its attributes."""


@dataclass(frozen=True)
class Attributes:
    """What is stored with the data of a chunk; hashes are upper-case hexadecimal digits."""

    fullpath: str
    position: str
    chunk_method: str
    policy: str
    hash: str
    size: int
    metachunk_hash: str | None = None
    metachunk_size: int | None = None


@dataclass(frozen=True)
class Chunk:
    """A finished chunk, open for reading; ``length`` is that of its file, ``mtime`` seconds since 1970."""

    attributes: Attributes
    file: BinaryIO
    length: int
    mtime: float

    def __enter__(self) -> Chunk:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


class Upload:
    """A chunk being written: it vanishes unless :meth:`commit` was called before the ``with`` block ends."""

    def __init__(self, store: ChunkStore, chunk_id: str, path: Path) -> None:
        self._store = store
        self._chunk_id = chunk_id
        self._path = path
        self._file = path.open("xb", buffering=0)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._committed = False
        self.size = 0

    @property
    def hash(self) -> str:
        """MD5 of the data written so far."""
        return self._md5.hexdigest().upper()

    def write(self, block: bytes) -> None:
        """Append ``block``.

        :raises OSError: the disk does not take it.
        """
        view = memoryview(block)
        while view:
            view = view[self._file.write(view) :]
        self._md5.update(block)
        self.size += len(block)

    def commit(self, attributes: Attributes) -> None:
        """Make the chunk exist, durably."""
        os.fsync(self._file.fileno())
        self._store.finish(self._chunk_id, attributes, self._path)
        self._committed = True

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self._committed:
            self._path.unlink(missing_ok=True)
        self._store.release(self._chunk_id)


class ChunkStore:
    """The chunks of one volume; one process at a time may use it.

    :param volume: directory, made when it is missing.

    >>> import tempfile
    >>> store = ChunkStore(Path(tempfile.mkdtemp()))
    >>> store.ids()
    []
    """

    def __init__(self, volume: Path) -> None:
        self.volume = volume
        self._lock = threading.Lock()
        self._pending: set[str] = set()
        volume.mkdir(parents=True, exist_ok=True)

    def create(self, chunk_id: str) -> Upload:
        """Start to write a chunk.

        :raises ChunkExists: there is one already.
        """
        self._reserve(chunk_id)
        try:
            self._make_directory(chunk_id)
            return Upload(self, chunk_id, self._path(chunk_id, _PENDING))
        except BaseException:  # The ID would stay taken.
            self.release(chunk_id)
            raise

    def open(self, chunk_id: str) -> Chunk:
        """Open a chunk for reading.

        :raises ChunkMissing: there is none.
        :raises ChunkDamaged: it has no attributes.
        """
        with self._lock:
            try:
                file = self._path(chunk_id).open("rb", buffering=0)
            except FileNotFoundError:
                raise ChunkMissing(chunk_id) from None
            attributes = self._attributes(chunk_id)
        if attributes is None:
            file.close()
            raise ChunkDamaged(chunk_id)
        status = os.fstat(file.fileno())
        return Chunk(attributes, file, status.st_size, status.st_mtime)

    def link(self, source: str, target: str, fullpath: str) -> None:
        """Give the data of ``source`` a second life as ``target``, which belongs to ``fullpath``.

        :raises ChunkMissing: there is no ``source``.
        :raises ChunkExists: there is a ``target`` already.
        """
        with self.open(source) as chunk:
            attributes = replace(chunk.attributes, fullpath=fullpath)
        self._reserve(target)
        try:
            self._make_directory(target)
            os.link(self._path(source), self._path(target, _PENDING))
            self.finish(target, attributes, self._path(target, _PENDING))
        except FileNotFoundError:
            raise ChunkMissing(source) from None
        finally:
            self.release(target)

    def delete(self, chunk_id: str) -> None:
        """Remove a chunk; links to its data stay.

        :raises ChunkMissing: there is none.
        """
        # Under the lock, or the attributes removed could be those of a new chunk of the same ID.
        with self._lock:
            try:
                self._path(chunk_id).unlink()
            except FileNotFoundError:
                raise ChunkMissing(chunk_id) from None
            self._path(chunk_id, _ATTRIBUTES).unlink(missing_ok=True)
        _sync_directory(self._path(chunk_id).parent)

    def ids(self) -> list[str]:
        """Return the sorted IDs of all finished chunks."""
        return sorted(path.name for path in self._files() if not path.suffix)

    def path(self, chunk_id: str) -> Path:
        """Return where the data of a chunk are, for tests that damage them."""
        return self._path(chunk_id)

    def remove_leftovers(self) -> None:
        """Remove what a crash has left: unfinished data, attributes of chunks that do not exist.

        Nobody else may use the volume meanwhile.
        """
        for path in list(self._files()):
            if path.suffix == _PENDING or (path.suffix == _ATTRIBUTES and not path.with_suffix("").exists()):
                path.unlink()

    # For Upload --------------------------------------------------------------------------------------------

    def finish(self, chunk_id: str, attributes: Attributes, data: Path) -> None:
        """Turn the file ``data``, already on disk, into a chunk."""
        with self._path(chunk_id, _ATTRIBUTES).open("w", encoding="utf-8") as file:
            json.dump(asdict(attributes), file)
            file.flush()
            os.fsync(file.fileno())
        data.rename(self._path(chunk_id))
        _sync_directory(data.parent)

    def release(self, chunk_id: str) -> None:
        """End the reservation of an ID."""
        with self._lock:
            self._pending.discard(chunk_id)

    # Files -------------------------------------------------------------------------------------------------

    def _reserve(self, chunk_id: str) -> None:
        with self._lock:
            if chunk_id in self._pending or self._path(chunk_id).exists():
                raise ChunkExists(chunk_id)
            self._pending.add(chunk_id)

    def _path(self, chunk_id: str, suffix: str = "") -> Path:
        return self.volume / chunk_id[:3] / f"{chunk_id}{suffix}"

    def _make_directory(self, chunk_id: str) -> None:
        directory = self._path(chunk_id).parent
        if not directory.is_dir():
            directory.mkdir(exist_ok=True)
            _sync_directory(self.volume)

    def _attributes(self, chunk_id: str) -> Attributes | None:
        try:
            return Attributes(**json.loads(self._path(chunk_id, _ATTRIBUTES).read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _files(self) -> Iterator[Path]:
        return self.volume.glob("???/*")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
