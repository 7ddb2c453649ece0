# SPDX-License-Identifier: Apache-2.0
"""Copies: each metachunk whole on several chunk servers, written to all and read from one."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

from oio.api._data.metachunks import Checksum, UploadRequest, new_checksum
from oio.api._data.parallel import ParallelWriter
from oio.api._data.servers import ChunkServerStrategy
from oio.blob.reader import ChunkReader, check_copy
from oio.blob.sender import END_OF_BODY, SMALL, ChunkSender, frame
from oio.common.chunks import Chunk
from oio.common.http import headers_from_object_metadata

if TYPE_CHECKING:
    from oio.api._data.layout import Metachunk
    from oio.api._data.source import Source
    from oio.common.answers import JsonObject
    from oio.common.options import Options
    from oio.common.storage_method import StorageMethod


class CopiesWriter(ParallelWriter):
    """Writer of the copies of one metachunk."""

    def _senders(self) -> list[ChunkSender]:
        headers = {**headers_from_object_metadata(self._request.meta), **self._options.headers}
        return [ChunkSender(chunk, headers, self._options, self._failures) for chunk in self._request.chunks]

    def _transfer(self, source: Source, size: int | None, senders: list[ChunkSender]) -> tuple[int, str]:
        algorithm = self._options.checksum_algo
        checksum = None if algorithm is None else new_checksum(self._request, algorithm)
        transferred, last = 0, b""
        for data in self._blocks(source, size, checksum):
            if last:
                _put(senders, frame(last), len(last))
            transferred += len(data)
            last = data
        if len(last) > SMALL:
            _put(senders, frame(last), len(last))
            last = b""
        # What is small goes along with the end of the body, in one write.
        end = frame(last) + END_OF_BODY if last else END_OF_BODY
        _put(senders, end, len(last), is_last=True)
        return transferred, "" if checksum is None else checksum.hexdigest()

    def _verified(self, senders: list[ChunkSender], checksum: str) -> str:
        if not checksum:
            # What most chunk servers have computed, when we have computed nothing.
            hashes = [sender.received_hash for sender in senders if sender.error is None]
            votes = collections.Counter(found.lower() for found in hashes if found)
            checksum = votes.most_common(1)[0][0] if votes else ""
        for sender in senders:
            if sender.received_hash and sender.received_hash.lower() != checksum:
                sender.check_hash(checksum)
        return checksum


def _put(senders: list[ChunkSender], block: bytes, size: int, is_last: bool = False) -> None:
    for sender in senders:
        sender.put(block, size, is_last)


class CopiesSource:
    """The copies of a metachunk, see :class:`~oio.api._data.read.MetachunkSource`.

    :param suspects: addresses of servers that have just failed
    """

    def __init__(self, chunks: Iterable[Chunk], suspects: set[str], options: Options) -> None:
        self._copies = list(chunks)
        if suspects:
            # Those whose server has just failed come last (pitfall 56).
            self._copies.sort(key=lambda chunk: chunk.netloc in suspects)
        self._suspects = suspects
        self._options = options
        self.used: list[str] = []

    def open(self, start: int, end: int) -> Generator[bytes, None, None]:
        headers = {**self._options.headers, "Range": f"bytes={start}-{end}"}
        reader = ChunkReader.with_options(self._copies, headers, self._options, check_head=check_copy)
        try:
            with contextlib.closing(reader.stream()) as blocks:
                yield from blocks
        finally:
            self.used = reader.served
            if reader.errors:
                failed = {url for url, status, _ in reader.errors if not status}
                self._suspects.update(chunk.netloc for chunk in self._copies if chunk.url in failed)

    def find_damaged(self) -> list[str]:
        return self.used

    def exclude_damaged(self) -> bool:
        if not self.used:
            return False
        # When several gave a part, any of them may be wrong: each attempt leaves out one at least.
        first, others = self.used[0], self.used[1:]
        self._copies = [chunk for chunk in self._copies if chunk.url != first]
        self._copies.sort(key=lambda chunk: chunk.url in others)
        return bool(self._copies)


class CopiesStrategy(ChunkServerStrategy):
    """Replication."""

    @staticmethod
    def family(method: StorageMethod) -> tuple[object, ...]:
        # The number of copies may change.
        return (method.name,)

    def writer(
        self, meta: JsonObject, chunks: list[Chunk], checksum: Checksum, first: bool, options: Options
    ) -> CopiesWriter:
        return CopiesWriter(UploadRequest(meta, chunks, checksum, first, self.method.quorum, options))

    def source(self, metachunk: Metachunk, suspects: set[str], options: Options) -> CopiesSource:
        return CopiesSource(metachunk.chunks, suspects, options)
