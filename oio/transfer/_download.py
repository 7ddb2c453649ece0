# SPDX-License-Identifier: Apache-2.0
"""Download of one object into a file."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO

from oio.transfer._config import Remote
from oio.transfer._entries import RemoteObject, is_same
from oio.transfer._results import DataMismatch, FileRefused, ObjectChanged, Result, TransferError
from oio.transfer._session import ByteCount, Session
from oio.transfer._target_files import PartialFile, TargetFile, is_special

if TYPE_CHECKING:
    from oio.api.types import FetchedObject
    from oio.common.cache import Cache
    from oio.common.checksums import Checksum

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Download:
    """Download of one object into a file, which has its final name only when it is complete and verified.

    :param name: of the object, with the prefix
    :param known: the object as it was listed
    :param version: of the object, the latest by default
    """

    session: Session
    remote: Remote
    name: str
    target: TargetFile
    known: RemoteObject | None = None
    version: int | str | None = None

    def run(self) -> Result:
        """Download it unless it is there."""
        size = 0 if self.known is None else self.known.size
        return self.session.guarded(Result("download", self.name, self.target.path, "done", size), self._run)

    def _run(self, result: Result) -> Result:
        if self.known is not None:
            # The listing says enough to skip it, without a request.
            reason = self._reason_to_skip(self.known)
            if reason:
                return replace(result, outcome="skipped", reason=reason)
            if self.session.dry_run:
                return replace(result, outcome="planned")
            self.session.pool.count(found=self.known.size)
        spent: list[BaseException] = []
        return self.session.attempt(lambda: self._attempt(result, spent), spent=spent)

    def _attempt(self, result: Result, spent: list[BaseException]) -> Result:
        source = self._locate()
        obj = source.obj
        result = replace(result, size=obj.size)
        if self.known is None:
            reason = self._reason_to_skip(obj)
            if reason:
                return replace(result, outcome="skipped", reason=reason)
            self.session.pool.count(found=obj.size)
        try:
            self._fetch(source, spent)
        except BaseException:  # Whatever stopped it: the next attempt counts the object again.
            if self.known is None:
                self.session.pool.count(found=-obj.size)
            raise
        return result

    def _locate(self) -> _Located:
        cache: Cache = {}
        meta, stream = self.session.api.object_fetch(
            self.remote.account,
            self.remote.container,
            self.name,
            self.version,
            cache=cache,
            deadline=self.session.deadline,
        )
        stream.close()
        return _Located(self, RemoteObject.of(meta), cache)

    def _reason_to_skip(self, obj: RemoteObject) -> str:
        config = self.session.config
        with self.target.directory(create=False) as directory:
            there = self.target.look(directory)
            if there is None or config.overwrite == "always":
                return ""
            if config.overwrite == "never":
                return "exists"
            if not stat.S_ISREG(there.st_mode):
                # A link or a pipe is replaced, whatever is behind it.
                return ""
            fd = None
            if config.compare == "checksum" and there.st_size == obj.size:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                fd = os.open(self.target.parts[-1], flags, dir_fd=directory)
            try:
                return "same" if is_same(there.st_size, there.st_mtime_ns, fd, obj, config.compare) else ""
            finally:
                if fd is not None:
                    os.close(fd)

    def _fetch(self, source: _Located, spent: list[BaseException]) -> None:
        config, obj = self.session.config, source.obj
        identity = self.remote.account, self.remote.container, self.name
        checksum = obj.checksum()
        with ExitStack() as stack:
            with self.session.directories:
                directory = stack.enter_context(self.target.directory(create=True))
                if directory is None:
                    raise TransferError(f"the directory of {self.target.path!r} vanished")
                self.target.look(directory)
                file = PartialFile(self.target, directory, *identity)
            # Without a checksum of the object, only a whole read is verified, by the checksums of its chunks.
            try:
                if obj.size > config.part_size and checksum is not None and config.verify:
                    _Parted(source, file, config.part_size, checksum, spent).run()
                else:
                    file.restart()
                    _fetch_whole(source, file, checksum if config.verify else None)
                file.finish(obj.mtime, sync=config.fsync)
            except BaseException as err:
                if not file.has_parts or isinstance(err, (DataMismatch, ObjectChanged)):
                    file.discard()
                raise
            finally:
                file.close()


@dataclass(frozen=True, slots=True)
class _Located:
    """An object whose parts can be read.

    :param cache: location of the object, so that the proxy is asked once
    """

    download: Download
    obj: RemoteObject
    cache: Cache

    def blocks(self, first: int, end: int) -> Generator[bytes, None, None]:
        """The bytes from the first to the one before the end."""
        download = self.download
        remote = download.remote
        whole = (first, end) == (0, self.obj.size)
        meta, stream = download.session.api.object_fetch(
            remote.account,
            remote.container,
            download.name,
            download.version,
            ranges=None if whole else [(first, end - 1)],
            cache=self.cache,
            deadline=download.session.deadline,
        )
        with stream:
            self._check(meta)
            count = 0
            for block in stream:
                if not count:
                    # The first block may have come after the stream located the object anew.
                    self._check(meta)
                count += len(block)
                yield block
        if count != end - first:
            raise ObjectChanged(f"object {download.name!r} has other bytes than it had")

    def _check(self, meta: FetchedObject) -> None:
        if meta["id"] != self.obj.id or int(meta["length"]) != self.obj.size:
            raise ObjectChanged(f"object {self.download.name!r} was replaced while it was downloaded")


def _fetch_whole(source: _Located, file: PartialFile, checksum: Checksum | None) -> None:
    offset, end = 0, source.obj.size
    with ByteCount(source.download.session) as moved, closing(source.blocks(0, end)) as blocks:
        for block in blocks:
            moved.add(len(block))
            file.write(block, offset)
            offset += len(block)
            if checksum is not None:
                checksum.update(block)
        _compare(source, checksum)


def _compare(source: _Located, checksum: Checksum | None) -> None:
    expected = source.obj.hash.lower()
    if checksum is not None and (found := checksum.hexdigest().lower()) != expected:
        raise DataMismatch(
            f"what was downloaded of {source.download.name!r} has checksum {found}, not {expected}"
        )


@dataclass(slots=True)
class _Parted:
    """Download of a large object in parts, several at once, into one file.

    :param checksum: gets the bytes in order, each as soon as all before it are there
    :param spent: gets the failures of parts that have no attempt left
    """

    source: _Located
    file: PartialFile
    part_size: int
    checksum: Checksum
    spent: list[BaseException]
    _there: set[int] = field(default_factory=set)
    _hashed: int = 0
    _hashing: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Fetch the parts that are missing, and verify all of them."""
        obj, session = self.source.obj, self.source.download.session
        header: dict[str, object] = {"id": obj.id, "hash": obj.hash, "size": obj.size, "part": self.part_size}
        count = -(-obj.size // self.part_size)
        found = {number for number in self.file.resume(header, obj.size) if number < count}
        self._there |= found
        session.pool.count(self._bytes_there())
        try:
            session.pool.share((number for number in range(count) if number not in found), self._fetch)
            self._hash()
            _compare(self.source, self.checksum)
        except BaseException:  # Whatever stopped it: the next attempt counts these parts again.
            session.pool.count(-self._bytes_there())
            raise

    def _bounds(self, number: int) -> tuple[int, int]:
        first = number * self.part_size
        return first, min(first + self.part_size, self.source.obj.size)

    def _bytes_there(self) -> int:
        return sum(end - first for first, end in map(self._bounds, self._there))

    def _fetch(self, number: int) -> None:
        try:
            self.source.download.session.attempt(lambda: self._attempt(number), final=ObjectChanged)
        except ObjectChanged:
            raise
        except BaseException as err:
            self.spent.append(err)
            raise
        self.file.note(number)
        self._there.add(number)
        self._hash()

    def _attempt(self, number: int) -> None:
        first, end = self._bounds(number)
        with (
            ByteCount(self.source.download.session) as moved,
            closing(self.source.blocks(first, end)) as blocks,
        ):
            for block in blocks:
                moved.add(len(block))
                self.file.write(block, first)
                first += len(block)

    def _hash(self) -> None:
        """Feed the parts that are there to the checksum, unless another thread does."""
        if not self._hashing.acquire(blocking=False):
            return
        try:
            while self._hashed in self._there:
                first, end = self._bounds(self._hashed)
                while first < end and (block := os.pread(self.file.fd, min(_BLOCK, end - first), first)):
                    self.checksum.update(block)
                    first += len(block)
                self._hashed += 1
        finally:
            self._hashing.release()


@contextmanager
def written_file(target: TargetFile, meta: FetchedObject, *, whole: bool = True) -> Iterator[BinaryIO]:
    """Open the file of a download that is not a transfer. It gets its name when the block has ended; if that
    fails, nothing stays. A pipe, device or descriptor is written to, and not replaced.

    Of several at once, the one that ends last has its file there.

    :param meta: the object
    :param whole: all of it is written, so that the file gets the time of its change
    :raises FileRefused: the path is that of a directory
    """
    if is_special(target.path):
        with open(target.path, "wb") as output:
            yield output
        return
    with target.directory(create=True) as directory:
        if directory is None:
            raise TransferError(f"the directory of {target.path!r} vanished")
        target.look(directory)
        identity = meta["container_id"], meta["name"]
        try:
            file = PartialFile(target, directory, *identity)
        except FileRefused:
            file = PartialFile(target, directory, *identity, os.urandom(8).hex())
        try:
            file.restart()
            with open(file.fd, "wb", closefd=False) as output:
                yield output
            file.finish(RemoteObject.of(meta).mtime if whole else time.time_ns(), sync=False)
        except BaseException:  # Whatever stopped it: half of a file must not stay.
            file.discard()
            raise
        finally:
            file.close()
