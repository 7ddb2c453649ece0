# SPDX-License-Identifier: Apache-2.0
"""Writer of an erasure-coded metachunk: encodes each segment, and sends each chunk its fragment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from oio.api._data.ec.codec import codec_of
from oio.api._data.metachunks import checksum_of
from oio.api._data.parallel import LARGEST_BLOCK, ParallelWriter, described_chunk
from oio.blob.connect import CANDIDATES, reraise_foreign
from oio.blob.sender import SMALL, ChunkSender, frame, framed
from oio.common import exceptions as exc
from oio.common import green
from oio.common.checksums import new_checksum
from oio.common.chunks import Chunk
from oio.common.constants import CHUNK_HEADERS, MD5
from oio.common.hashing import in_threads
from oio.common.perfdata import add_duration

if TYPE_CHECKING:
    from oio.api._data.metachunks import UploadRequest
    from oio.api._data.source import Source
    from oio.common.answers import JsonMapping
    from oio.common.checksums import Checksum
    from oio.common.chunks import ChunkDict, Failure
    from oio.common.options import Options
    from oio.common.storage_method import ECStorageMethod


def metachunk_size(method: ECStorageMethod, chunk_size: int) -> int:
    """Bytes of a full metachunk: the data of k chunks, as whole segments when there is more than one."""
    size = method.ec_nb_data * chunk_size
    segment = method.ec_segment_size
    # Never nothing (pitfall 24).
    return size // segment * segment if size > segment else size


class SegmentCutter:
    """Cutter of blocks of any size into segments.

    :param size: bytes of a whole segment
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._blocks: list[bytes] = []
        self._length = 0

    def add(self, block: bytes) -> list[bytes]:
        """Add a block, and get the segments that are whole now."""
        self._blocks.append(block)
        self._length += len(block)
        size = self._size
        if self._length < size:
            return []
        data = self.rest()
        segments = [data[begin : begin + size] for begin in range(0, len(data), size)]
        if len(segments[-1]) < size:
            self._blocks = [segments.pop()]
            self._length = len(self._blocks[0])
        return segments

    def rest(self) -> bytes:
        """Get the rest, which is shorter than a segment."""
        blocks, self._blocks, self._length = self._blocks, [], 0
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def put_headers(meta: JsonMapping, options: Options) -> dict[str, object]:
    """Make the headers of the requests that store the chunks of an object.

    :param meta: description of the object
    """
    # Only trailers that will really be sent are announced (pitfall 19).
    trailers = ["metachunk_size", "metachunk_hash"]
    if options.checksum_algo:
        trailers.append("chunk_hash")
    announced = ", ".join([CHUNK_HEADERS[name] for name in trailers])
    return described_chunk(meta, options) | {"Trailer": announced}


class FragmentSender(ChunkSender):
    """Sender of the fragments of one chunk, with the parameters of its base.

    :param is_small: the data are few: their checksum is computed without another thread
    :raises ValueError: the chunk has no index
    """

    def __init__(
        self,
        chunk: Chunk,
        headers: Mapping[str, object],
        options: Options,
        failures: list[ChunkSender] | None = None,
        is_small: bool = False,
    ) -> None:
        super().__init__(chunk, headers, options, failures)
        if chunk.index is None:
            raise ValueError(f"chunk {chunk.url}: the position {chunk.pos!r} has no index")
        self.index = chunk.index
        algorithm = options.checksum_algo
        #: Checksum of the fragments.
        self.checksum: Checksum | None = None
        if algorithm:
            begun = new_checksum(algorithm)
            self.checksum = begun if is_small else in_threads(begun)

    def _describe(self, phase: str, error: Failure) -> str:
        return f"{phase}: {error}"

    def send(self, fragment: bytes) -> None:
        """Queue a fragment, unless it is empty or the chunk is lost."""
        if fragment and self.error is None:
            if self.checksum is not None:
                self.checksum.update(fragment)
            self.put(framed(fragment), len(fragment))

    def finish(self, fragment: bytes, size: int, checksum: str) -> None:
        """Queue the last fragment, which may be empty, and the end of the body.

        :param size: bytes of the metachunk
        :param checksum: of the metachunk
        """
        if len(fragment) > SMALL:
            self.send(fragment)
            fragment = b""
        if fragment and self.checksum is not None:
            self.checksum.update(fragment)
        end = self.end_of_body(size, checksum)
        self.put(frame(fragment, end) if fragment else end, len(fragment), is_last=True)

    def end_of_body(self, size: int, checksum: str) -> bytes:
        """Make the end of the body, with its trailers.

        :param size: bytes of the metachunk
        :param checksum: of the metachunk
        """
        end = (
            f"0\r\n{CHUNK_HEADERS['metachunk_size']}: {size}\r\n"
            f"{CHUNK_HEADERS['metachunk_hash']}: {checksum}\r\n"
        )
        if self.checksum is not None:
            self.expected_hash = self.checksum.hexdigest()
            end += f"{CHUNK_HEADERS['chunk_hash']}: {self.expected_hash}\r\n"
        return f"{end}\r\n".encode("ascii")


class SentChecksum:
    """Checksum of what a sender has sent, as its owner sees it.

    :param checksum: updated by the sender
    """

    def __init__(self, checksum: Checksum) -> None:
        self._checksum = checksum

    def update(self, data: bytes, /) -> None:
        """Do nothing: the sender adds the data. Programs that send and update would add them twice."""

    def hexdigest(self) -> str:
        """Get the checksum of the data so far, in hexadecimal digits."""
        return self._checksum.hexdigest()


class DescribedSender(FragmentSender):
    """Sender that notes in the dict of a chunk what becomes of it. Its owner takes its steps."""

    def __init__(self, described: ChunkDict, headers: Mapping[str, object], options: Options) -> None:
        super().__init__(Chunk.of(described), headers, options)
        self.described = described

    def fail(self, phase: str, error: Failure) -> None:
        super().fail(phase, error)
        self.described["error"] = self.error

    @property
    def queue(self) -> green.LightQueue:
        """Blocks that wait to be sent."""
        return self._queue

    def run(self) -> None:
        """Send what is queued."""
        self.pump()

    def give_up(self) -> None:
        """Send nothing more. Nobody has to wait for the green thread then."""
        self.leave("write", "given up")
        self.thread = None

    def end(self, end: bytes) -> None:
        """Send what ends the body, in one write (pitfall 14)."""
        self.maybe_stored = self.described["maybe_stored"] = True
        try:
            conn = self.conn
            assert conn is not None
            with green.ChunkWriteTimeout(self.options.limits.writing(self.chunk.address)):
                conn.send(end)
        except CANDIDATES as err:
            reraise_foreign(err, self.conn)
            self.fail("finish", err)


class FragmentsWriter(ParallelWriter):
    """Writer of the chunks of one metachunk."""

    def __init__(self, request: UploadRequest, method: ECStorageMethod) -> None:
        super().__init__(request)
        self._codec = codec_of(method)

    def _senders(self, left: int | None) -> list[ChunkSender]:
        headers = put_headers(self._request.meta, self._options)
        is_small = left is not None and left <= SMALL
        return [
            FragmentSender(chunk, headers, self._options, self._failures, is_small)
            for chunk in self._request.chunks
        ]

    def _transfer(self, source: Source, size: int | None, senders: list[ChunkSender]) -> tuple[int, str]:
        # A metachunk always has a checksum, even when its chunks have none.
        checksum = checksum_of(self._request, self._options.checksum_algo or MD5)
        segment_size = self._codec.segment_size
        cutter = SegmentCutter(segment_size)
        fragment_senders = [sender for sender in senders if isinstance(sender, FragmentSender)]
        transferred = 0
        # Whole segments need not be cut, nor joined.
        unit = max(LARGEST_BLOCK // segment_size, 1) * segment_size
        for data in self._blocks(source, size, checksum, unit):
            transferred += len(data)
            for segment in cutter.add(data):
                fragments = self._encode(segment)
                for sender in fragment_senders:
                    sender.send(fragments[sender.index])
        rest, digest = cutter.rest(), checksum.hexdigest()
        fragments = self._encode(rest) if rest else [b""] * self._codec.n
        for sender in fragment_senders:
            sender.finish(fragments[sender.index], transferred, digest)
        return transferred, digest

    def _encode(self, segment: bytes) -> list[bytes]:
        """Encode a segment.

        :raises OioException: it cannot be encoded
        """
        options, begin = self._options, time.monotonic()
        try:
            return self._codec.encode(segment)
        except exc.ECError as err:
            raise exc.OioException(f"The data cannot be encoded: {err}", reqid=options.reqid) from err
        finally:
            if options.perfdata is not None:
                add_duration(options.perfdata, "rawx", "ec", begin)
