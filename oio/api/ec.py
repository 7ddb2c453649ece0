# SPDX-License-Identifier: Apache-2.0
"""Published names of erasure coding; chunks come in and go out as dicts."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

from oio.api import io
from oio.api._data.ec.codec import codec_of
from oio.api._data.ec.metachunk import RangeReader
from oio.api._data.ec.rebuild import ChunkRebuilder
from oio.api._data.ec.write import (
    DescribedSender,
    FragmentsWriter,
    SegmentCutter,
    SentChecksum,
    metachunk_size,
    put_headers,
)
from oio.api._data.metachunks import UploadRequest
from oio.api._data.source import Source
from oio.blob.connect import ChunkAnswer, Connection
from oio.common import green
from oio.common.answers import JsonObject
from oio.common.arguments import check_framing
from oio.common.checksums import Checksum
from oio.common.chunks import Chunk, ChunkDict, note_outcomes
from oio.common.options import Options
from oio.common.sources import Readable, check_limit
from oio.common.storage_method import ECStorageMethod

__all__ = [
    "ECChunkDownloadHandler",
    "ECRebuildHandler",
    "ECStream",
    "ECWriteHandler",
    "EcChunkWriter",
    "EcMetachunkWriter",
    "ec_encode",
    "meta_chunk_range_to_segment_range",
    "segment_range_to_fragment_range",
]

# --- ranges ---


def meta_chunk_range_to_segment_range(
    meta_start: int | None, meta_end: int | None, segment_size: int
) -> tuple[int | None, int | None]:
    """Convert a range of a metachunk to a range of segments.

    :param meta_start: first byte, or None for the last ``meta_end`` bytes
    :param meta_end: last byte, inclusive, or None for the end of the metachunk
    :returns: a tuple (segment_start, segment_end): the first byte of the first segment, or None if suffix
        byte range; the last byte of the last segment, or None if prefix byte range. For a suffix, one
        segment more than needed, since the suffix may begin inside a segment.

    >>> meta_chunk_range_to_segment_range(100, 600, 256)
    (0, 767)
    >>> meta_chunk_range_to_segment_range(100, 600, 512)
    (0, 1023)
    >>> meta_chunk_range_to_segment_range(300, None, 256)
    (256, None)
    """
    segment_start = None if meta_start is None else meta_start // segment_size * segment_size
    if meta_end is None:
        return segment_start, None
    if meta_start is None:
        return None, (-(-meta_end // segment_size) + 1) * segment_size
    return segment_start, (meta_end // segment_size + 1) * segment_size - 1


def segment_range_to_fragment_range(
    segment_start: int | None, segment_end: int | None, segment_size: int, fragment_size: int
) -> tuple[int | None, int | None]:
    """Convert a range of segments to a range of fragments.

    :returns: a tuple (fragment_start, fragment_end): the first byte of the first fragment, or None if this
        is a suffix byte range; the last byte of the last fragment, or None if this is a prefix byte range

    >>> segment_range_to_fragment_range(0, 767, 256, 120)
    (0, 359)
    """
    fragment_start = None if segment_start is None else segment_start // segment_size * fragment_size
    if segment_end is None:
        return fragment_start, None
    fragment_end = (segment_end + 1) // segment_size * fragment_size
    return fragment_start, fragment_end if segment_start is None else fragment_end - 1


# --- writing ---


def ec_encode(storage_method: ECStorageMethod, n: int) -> Generator[list[bytes] | None, bytes, None]:
    """Encode segments.

    A coroutine: prime it with ``send(None)``, then send it blocks of any size.

    :param storage_method: an :class:`~oio.common.storage_method.ECStorageMethod`
    :param n: number of chunks
    :returns: for each block, None when no segment is complete yet, else a list of ``n`` byte strings: the
        fragments of the segments that this block completed. An empty block ends the data.

    >>> from oio.common.storage_method import STORAGE_METHODS
    >>> encoder = ec_encode(STORAGE_METHODS.load("ec/algo=liberasurecode_rs_vand,k=2,m=1"), 3)
    >>> encoder.send(None)
    >>> encoder.send(b"some data")
    >>> [len(fragment) for fragment in encoder.send(b"")]
    [86, 86, 86]
    """
    codec = codec_of(storage_method)
    cutter = SegmentCutter(codec.segment_size)
    result: list[bytes] | None = None
    while block := (yield result):
        encoded = [codec.encode(segment) for segment in cutter.add(block)]
        result = [b"".join(fragments) for fragments in zip(*encoded, strict=True)] if encoded else None
    rest = cutter.rest()
    yield codec.encode(rest) if rest else [b""] * n


class EcChunkWriter:
    """Writer of one chunk.

    :param chunk: dict with ``url``, ``pos``; it gets an ``error`` when it fails, and a true ``maybe_stored``
        when its server may hold it
    :param conn: connection to its server, with the head of the request already sent
    :param write_timeout: seconds for each block, and for the answer
    :param chunk_checksum_algo: of the checksum of the fragments; None for none
    """

    def __init__(
        self,
        chunk: ChunkDict,
        conn: Connection,
        write_timeout: float | None = None,
        chunk_checksum_algo: str | None = "md5",
        **_kwargs: Any,
    ) -> None:
        options = Options.of(_kwargs, write_timeout=write_timeout, chunk_checksum_algo=chunk_checksum_algo)
        self._sender = DescribedSender(chunk, {}, options)
        self._sender.conn = conn

    @classmethod
    def connect(
        cls,
        chunk: ChunkDict,
        sysmeta: JsonObject,
        reqid: str | None = None,
        connection_timeout: float | None = None,
        write_timeout: float | None = None,
        **kwargs: Any,
    ) -> EcChunkWriter:
        """Connect to the server of a chunk, and announce what will come.

        :param sysmeta: metadata of the object
        :param kwargs: ``headers`` of the request, ``chunk_checksum_algo``, ``deadline``...
        """
        options = Options.of(
            kwargs, reqid=reqid, connection_timeout=connection_timeout, write_timeout=write_timeout
        )
        sender = DescribedSender(chunk, put_headers(sysmeta, options), options)
        return cls(chunk, sender.connect(), options=options)

    @property
    def chunk(self) -> ChunkDict:
        """Description of the chunk."""
        return self._sender.described

    @property
    def conn(self) -> Connection | None:
        """The connection, while it is open."""
        return self._sender.conn

    @property
    def checksum(self) -> SentChecksum | None:
        """Of the fragments sent so far, which :meth:`send` adds; None when none is wanted."""
        checksum = self._sender.checksum
        return None if checksum is None else SentChecksum(checksum)

    @property
    def bytes_transferred(self) -> int:
        """Bytes of the fragments sent so far."""
        return self._sender.sent

    @property
    def queue(self) -> green.LightQueue:
        """What waits to be sent."""
        return self._sender.queue

    @property
    def failed(self) -> bool:
        """Whether the chunk is lost. Setting it gives the chunk up, and closes the connection."""
        return self._sender.error is not None

    @failed.setter
    def failed(self, value: bool) -> None:
        if value:
            self._sender.give_up()
        elif self.failed:
            raise ValueError(f"failed: a chunk that is lost stays lost: {self.chunk['url']}")

    def start(self, pool: green.ContextPool) -> None:
        """Spawn the green thread that sends what is queued."""
        self._sender.thread = pool.spawn(self._sender.run)

    def send(self, data: bytes) -> None:
        """Queue the fragments of some segments; nothing when there are none."""
        self._sender.send(data)

    def wait(self) -> None:
        """Wait until all data in the queue has been sent, or sending has failed."""
        self._sender.put(b"", 0, is_last=True)
        if self._sender.thread is not None:
            # Two green threads never write to one socket (pitfall 17).
            self._sender.thread.wait()

    def finish(self, metachunk_size: int, metachunk_hash: str) -> ChunkDict | None:
        """Send the size and the checksum of the metachunk as trailers.

        :returns: the chunk when it failed
        """
        sender = self._sender
        if sender.error is None:
            sender.end(sender.end_of_body(metachunk_size, metachunk_hash))
        return self.chunk if self.failed else None

    def getresponse(self) -> ChunkAnswer:
        """Read the HTTP response from the connection."""
        sender = self._sender
        conn = sender.conn
        assert conn is not None
        with green.ChunkWriteTimeout(sender.options.limits.writing(sender.chunk.address)):
            return conn.getresponse()


class EcMetachunkWriter(io.MetachunkWriter):
    """Writer of the chunks of one metachunk.

    :param sysmeta: metadata of the object
    :param meta_chunk: the chunks, dicts with ``url``, ``pos`` and maybe ``num``; those that fail get an
        ``error``, and those that the server may hold all the same get a true ``maybe_stored``
    :param global_checksum: of the object, updated with the data
    :param storage_method: an :class:`~oio.common.storage_method.ECStorageMethod`
    :param reqid: ID of the request
    :param connection_timeout: seconds for each connection
    :param write_timeout: seconds for each block, and for the answer
    :param read_timeout: seconds for each read of the source
    :param kwargs: as for :class:`~oio.api.replication.ReplicatedMetachunkWriter`
    """

    def __init__(
        self,
        sysmeta: JsonObject,
        meta_chunk: list[ChunkDict],
        global_checksum: Checksum,
        storage_method: ECStorageMethod,
        reqid: str | None = None,
        connection_timeout: float | None = None,
        write_timeout: float | None = None,
        read_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            storage_method=storage_method,
            reqid=reqid,
            connection_timeout=connection_timeout,
            write_timeout=write_timeout,
            read_timeout=read_timeout,
            **kwargs,
        )
        self.sysmeta = sysmeta
        self.meta_chunk = meta_chunk
        self.checksum = global_checksum
        self._method = storage_method
        self._first = bool(kwargs.get("first"))
        self._chunks = Chunk.all_of(meta_chunk)
        for chunk in self._chunks:
            if chunk.index is None:
                raise ValueError(f"chunk {chunk.url}: the position {chunk.pos!r} has no index")

    def stream(self, source: Readable, size: int) -> tuple[int, str, list[ChunkDict]]:
        """Write at most ``size`` bytes of a source.

        :param size: -1 for all of it
        :returns: the bytes transferred, their checksum (hexadecimal), and the chunks: those that were written
            with the ``hash`` and ``size`` of the metachunk, then those that failed, with their ``error``
        :raises oio.common.exceptions.OioException: see :meth:`~oio.api.io.MetachunkWriter.quorum_or_fail`
        """
        request = UploadRequest(
            self.sysmeta, self._chunks, self.checksum, self._first, self.quorum, self.options
        )
        writer = FragmentsWriter(request, self._method)
        limit = check_limit("size", size)
        try:
            transferred, digest = writer.write(Source(source, self.options.limits), limit)
        finally:
            note_outcomes(self.meta_chunk, writer.outcomes)
        for chunk in self.meta_chunk:
            chunk.update(hash=digest, size=transferred)
        written = [chunk for chunk in self.meta_chunk if not chunk.get("error")]
        failed = [chunk for chunk in self.meta_chunk if chunk.get("error")]
        self.quorum_or_fail(written, failed)
        return transferred, digest, written + failed


class ECWriteHandler(io.WriteHandler):
    """Writer of an erasure-coded object.

    For initialization parameters, see :class:`oio.api.io.WriteHandler`.
    """

    storage_method: ECStorageMethod

    def _metachunk_size(self) -> int:
        return metachunk_size(self.storage_method, int(self.sysmeta["chunk_size"]))

    def _writer(self, request: UploadRequest) -> FragmentsWriter:
        return FragmentsWriter(request, self.storage_method)


# --- reading ---


class ECStream:
    """Stream of a metachunk.

    :param storage_method: an :class:`~oio.common.storage_method.ECStorageMethod`
    :param readers: reads the fragments; None when there is nothing to read
    :param range_infos: the ranges to read: first and last byte
    :param meta_length: bytes of the metachunk
    :param fragment_length: bytes of the fragments of a whole segment
    """

    def __init__(
        self,
        storage_method: ECStorageMethod,
        readers: RangeReader | None,
        range_infos: list[tuple[int, int]],
        meta_length: int,
        fragment_length: int,
        reqid: str | None = None,
    ) -> None:
        self.storage_method = storage_method
        self.readers = readers
        self.range_infos = range_infos
        self.meta_length = meta_length
        self.fragment_length = fragment_length
        self.reqid = reqid

    def start(self) -> None:
        """Connect to enough chunks.

        :raises ServiceUnavailable: when there are too few; NotFound when all are gone
        """
        if self.readers is not None:
            self.readers.parallel_reader.connect()

    def close(self) -> None:
        """Close the connections."""
        if self.readers is not None:
            self.readers.parallel_reader.close()

    def get_iter(self) -> Iterator[JsonObject]:
        """The parts: dicts with ``start``, ``end`` (inclusive, in the metachunk) and ``iter``, the data."""
        if self.readers is not None:
            for start, end in self.range_infos:
                yield {"start": start, "end": end, "iter": self.readers.blocks()}

    def __iter__(self) -> Iterator[JsonObject]:
        return self.get_iter()


class ECChunkDownloadHandler:
    """Reader of a metachunk.

    :param storage_method: an :class:`~oio.common.storage_method.ECStorageMethod`
    :param chunks: its chunks, dicts with ``url``, ``num`` (or ``pos``), ``size`` of the metachunk
    :param meta_start: first byte to read, None for the start; negative, it counts from the end
    :param meta_end: last byte to read, inclusive, None for the end
    :param headers: of the requests to the chunk servers
    :param connection_timeout: seconds for each connection
    :param read_timeout: seconds for each answer, and each block
    :raises ValueError: a header contradicts those that each request has of its own
    """

    def __init__(
        self,
        storage_method: ECStorageMethod,
        chunks: list[ChunkDict],
        meta_start: int | None,
        meta_end: int | None,
        headers: Mapping[str, object],
        connection_timeout: float | None = None,
        read_timeout: float | None = None,
        reqid: str | None = None,
        **_kwargs: Any,
    ) -> None:
        self.storage_method = storage_method
        self.chunks = chunks
        self.meta_start = meta_start
        self.meta_end = meta_end
        self.headers = dict(headers or {})
        check_framing(self.headers)
        self.reqid = reqid
        options = Options.of(
            _kwargs, reqid=reqid, connection_timeout=connection_timeout, read_timeout=read_timeout
        )
        self._options = options.per_request()

    def _range(self, size: int) -> tuple[int, int]:
        start, end = self.meta_start, self.meta_end
        if start is None:
            # A suffix; as a closed range, its start is simple to align (pitfall 123).
            start, end = (0, None) if end is None else (max(size - end, 0), None)
        elif start < 0:
            start = max(size + start, 0)
        return start, size - 1 if end is None else min(end, size - 1)

    def get_stream(self) -> ECStream:
        """Connect to enough chunks, and get the :class:`ECStream` that reads them.

        :raises oio.common.exceptions.ServiceUnavailable: when there are too few
        :raises oio.common.exceptions.NotFound: when there is none left
        """
        if not self.chunks:
            raise ValueError("chunks: there is no chunk to read")
        chunks = Chunk.all_of(self.chunks)
        method, size = self.storage_method, int(self.chunks[0]["size"])
        codec = codec_of(method)
        full_size = codec.fragment_size(codec.segment_size)
        start, end = self._range(size)
        if start > end:
            return ECStream(method, None, [], size, full_size, self.reqid)
        ranged = self.meta_start is not None or self.meta_end is not None
        reader = RangeReader(
            method, chunks, size, start, end, self.headers, self._options, None, ranged=ranged
        )
        stream = ECStream(method, reader, [(start, end)], size, full_size, self.reqid)
        try:
            stream.start()
        except BaseException:  # Whatever strikes, nothing stays open.
            stream.close()
            raise
        return stream


class ECRebuildHandler:
    """Rebuilder of a missing or damaged chunk, bit for bit.

    :param meta_chunk: the other chunks of its metachunk, dicts with ``url``, ``pos`` (or ``num``) and, if
        known, ``size`` and ``hash`` of the metachunk
    :param missing: index of the chunk to rebuild in its metachunk
    :param storage_method: an :class:`~oio.common.storage_method.ECStorageMethod`
    :param connection_timeout: seconds for each connection
    :param read_timeout: seconds for each answer, and each block
    """

    def __init__(
        self,
        meta_chunk: list[ChunkDict],
        missing: int,
        storage_method: ECStorageMethod,
        connection_timeout: float | None = None,
        read_timeout: float | None = None,
        **_kwargs: Any,
    ) -> None:
        self.meta_chunk = meta_chunk
        self.missing = int(missing)
        self.storage_method = storage_method
        options = Options.of(
            _kwargs, connection_timeout=connection_timeout, read_timeout=read_timeout
        ).per_request()
        # Data fragments first: there is less to compute from them than from parity.
        chunks = sorted(map(Chunk.of, meta_chunk), key=lambda chunk: chunk.index or 0)
        self._rebuilder = ChunkRebuilder(chunks, self.missing, storage_method, options)

    def rebuild(self) -> tuple[int, Iterator[bytes]]:
        """Rebuild the chunk.

        All the other chunks are asked for at once; those that differ in size from most of them are left out.
        The chunk is held in memory until each of its sources is verified against its own checksum, so nothing
        is left to go wrong, nor to close, when this returns.

        :returns: the bytes of the chunk, and an iterator of its fragments
        :raises oio.common.exceptions.UnrecoverableContent: when fewer than k good chunks are left
        :raises oio.common.exceptions.DeadlineReached: no time is left
        """
        return self._rebuilder.rebuild()
