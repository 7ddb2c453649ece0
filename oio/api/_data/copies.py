# SPDX-License-Identifier: Apache-2.0
"""Copies: each metachunk is whole on several chunk servers, written to all of them and read from one."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from oio.api._data.metachunks import UploadRequest, checksum_of
from oio.api._data.parallel import ParallelWriter, described_chunk
from oio.api._data.servers import ChunkServerStrategy
from oio.blob.candidates import Candidates
from oio.blob.connect import ChunkAnswer, mismatch, reraise_call_failure, verify_file
from oio.blob.sender import END_OF_BODY, SMALL, ChunkSender, Pieces, frame, framed
from oio.common import exceptions as exc
from oio.common.checksums import Checksum
from oio.common.chunks import Chunk

if TYPE_CHECKING:
    from oio.api._data.inspection import Expected
    from oio.api._data.layout import Metachunk
    from oio.api._data.source import Source
    from oio.common.answers import JsonMapping, JsonObject
    from oio.common.options import Options
    from oio.common.storage_method import StorageMethod


class CopiesWriter(ParallelWriter):
    """Writer of the copies of one metachunk."""

    def _senders(self, left: int | None) -> list[ChunkSender]:
        headers = described_chunk(self._request.meta, self._options)
        return [ChunkSender(chunk, headers, self._options, self._failures) for chunk in self._request.chunks]

    def _transfer(self, source: Source, size: int | None, senders: list[ChunkSender]) -> tuple[int, str]:
        algorithm = self._options.checksum_algo
        checksum = None if algorithm is None else checksum_of(self._request, algorithm)
        transferred, last = 0, b""
        for data in self._blocks(source, size, checksum):
            if last:
                _put(senders, frame(last), len(last))
                last = b""
            transferred += len(data)
            if len(data) <= SMALL:
                last = data
            else:
                _put(senders, framed(data), len(data))
        # A small block goes along with the end of the body, in one write.
        end = frame(last, END_OF_BODY) if last else END_OF_BODY
        _put(senders, end, len(last), is_last=True)
        digest = "" if checksum is None else checksum.hexdigest()
        for sender in senders:
            sender.expected_hash = digest
        return transferred, digest


def _put(senders: list[ChunkSender], block: bytes | Pieces, size: int, is_last: bool = False) -> None:
    for sender in senders:
        sender.put(block, size, is_last)


class CopiesSource:
    """The copies of a metachunk, see :class:`~oio.api._data.read.MetachunkSource`.

    :param suspects: addresses of servers that have just failed
    """

    def __init__(self, metachunk: Metachunk, suspects: set[str], options: Options) -> None:
        self._copies = list(metachunk.chunks)
        hedging = options.rivals
        if hedging is not None and hedging.knows_late:
            self._copies.sort(key=lambda chunk: hedging.is_late(chunk.netloc))
        if suspects:
            # Copies whose servers have just failed come last (pitfall 56).
            self._copies.sort(key=lambda chunk: chunk.netloc in suspects)
        self._metachunk = metachunk
        self._suspects = suspects
        self._options = options
        #: URLs of the copies that their servers have verified.
        self._sound: set[str] = set()
        self.used: list[str] = []

    def open(self, start: int, end: int) -> Generator[bytes, None, None]:
        options = self._options
        # A metachunk that is read whole is compared with its checksum.
        asks = options.verify_checksum == "server" and self._metachunk.needs_server(start, end)
        reader = Candidates(
            self._copies,
            {**options.headers, "Range": f"bytes={start}-{end}"},
            options,
            check_head=_check_copy,
            check_file=self._verify_file if asks else None,
            suspects=self._suspects,
        )
        self.used = reader.served
        return reader.blocks()

    def _verify_file(self, chunk: Chunk) -> None:
        """Let the server verify a copy, once.

        :raises CorruptedChunk: it is not what was stored
        """
        if chunk.url not in self._sound:
            # Zeros stand for none.
            known = chunk.hash if chunk.digest else None
            verify_file(chunk, known, self._options.headers, self._options)
            self._sound.add(chunk.url)

    def find_damaged(self) -> list[str]:
        return self.used

    def exclude_damaged(self) -> bool:
        if not self.used:
            return False
        # When several copies gave a part, any of them may be wrong: each attempt leaves out one at least.
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
        return CopiesSource(metachunk, suspects, options)

    def _file_of(self, expected: Expected) -> tuple[int, str | None]:
        return expected.size, expected.digest

    def mend(
        self, place: Chunk, sources: list[Chunk], expected: Expected, owner: JsonMapping, options: Options
    ) -> None:
        # Seldom needed, as in `check`.
        from oio.common.health import SPOILT

        errors: list[exc.OioException] = []
        for source in sources:
            try:
                self.stores.blob_client.chunk_copy(
                    source.address, place.address, fullpath=owner["full_path"], options=options
                )
                return
            except exc.Conflict:
                if not errors:
                    raise
                # An earlier attempt, whose answer was lost, may have stored it.
                damage = {kind for kind, _ in self.examine(place, expected, True, options)}
                if not damage:
                    return
                if not damage <= SPOILT:
                    raise
                # Data were spoilt on their way: the caller removes what an attempt has left.
                break
            except exc.OioException as err:
                reraise_call_failure(err, options)
                errors.append(err)
        raise errors[0] if errors else exc.UnrecoverableContent(f"there is no copy to make {place.url} of")


def _check_copy(response: ChunkAnswer, chunk: Chunk) -> str | None:
    """Difference between the chunk of a response and a copy of its metachunk; None without one."""
    return mismatch(response, {"chunk_hash": chunk.hash, "chunk_size": chunk.size})
