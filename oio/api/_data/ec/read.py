# SPDX-License-Identifier: Apache-2.0
"""Reads an erasure-coded metachunk: k fragments of each segment, whichever chunks can give them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, NamedTuple

from oio.api._data.ec.codec import FragmentCodec, codec_of
from oio.api._data.ec.sources import FragmentSource, SegmentPlan, SourceTeam, number
from oio.blob.reader import ChunkReader, mismatch
from oio.common.deadlines import hard_deadline, monotonic_time
from oio.common.perfdata import add_duration

_MAX_READ = 1 << 20


def meta_chunk_range_to_segment_range(
    meta_start: int | None, meta_end: int | None, segment_size: int
) -> tuple[int | None, int | None]:
    """Converts a meta chunk range to a segment range.

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
    """Converts a segment range into a fragment range.

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


class ReadRange(NamedTuple):
    """A closed range of a metachunk, and the segments that hold it."""

    start: int
    end: int
    plan: SegmentPlan

    def trim(self, offset: int, segment: bytes) -> bytes:
        """What of a segment, which begins at ``offset`` in the metachunk, is in the range."""
        return segment[max(self.start - offset, 0) : self.end - offset + 1]


class ECStream:
    """Reads an EC meta chunk.

    Handles the different readers.

    :param storage_method: an :class:`~oio.common.storage_method.ECStorageMethod`
    :param readers: the team of sources that gives the fragments, None when there is nothing to read
    :param range_infos: the ranges to read
    :param meta_length: bytes of the metachunk
    :param fragment_length: bytes of the fragments of a whole segment
    :param perfdata: dict that gets the time of decoding
    """

    def __init__(
        self,
        storage_method: Any,
        readers: SourceTeam | None,
        range_infos: list[ReadRange],
        meta_length: int,
        fragment_length: int,
        reqid: str | None = None,
        perfdata: dict[str, Any] | None = None,
    ) -> None:
        self.storage_method = storage_method
        self.readers = readers
        self.range_infos = range_infos
        self.meta_length = meta_length
        self.fragment_length = fragment_length
        self.reqid = reqid
        self._perfdata = perfdata
        self._codec = codec_of(storage_method)

    def start(self) -> None:
        """Connect to enough chunks.

        :raises ServiceUnavailable: when there are too few; NotFound when all are gone
        """
        if self.readers is not None:
            self.readers.fill(0)

    def close(self) -> None:
        """Close the connections."""
        if self.readers is not None:
            self.readers.close()

    def get_iter(self) -> Iterator[dict[str, Any]]:
        """The parts: dicts with ``start``, ``end`` (inclusive, in the metachunk) and ``iter``, the data."""
        for wanted in self.range_infos:
            yield {"start": wanted.start, "end": wanted.end, "iter": self._data(wanted)}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.get_iter()

    def _data(self, wanted: ReadRange) -> Generator[bytes, None, None]:
        assert self.readers is not None
        offset = wanted.plan.offset
        try:
            for segment, length in enumerate(wanted.plan.lengths):
                assert length is not None
                decode = functools.partial(self._decode, length)
                yield wanted.trim(offset, self.readers.solve(segment, decode))
                offset += length
        finally:
            self.close()

    def _decode(self, length: int, fragments: Mapping[int, bytes]) -> bytes:
        begin = monotonic_time()
        try:
            return self._codec.decode(fragments, length)
        finally:
            add_duration(self._perfdata, "rawx", "ec", begin)


class ECChunkDownloadHandler:
    """Handles the download of an EC meta chunk

    :param storage_method: an :class:`~oio.common.storage_method.ECStorageMethod`
    :param chunks: its chunks, dicts with ``url``, ``num`` (or ``pos``), ``size`` of the metachunk
    :param meta_start: first byte to read, None for the start; negative, it counts from the end
    :param meta_end: last byte to read, inclusive, None for the end
    :param headers: of the requests to the chunk servers
    :param connection_timeout: seconds for each connection
    :param read_timeout: seconds for each answer, and each block
    """

    def __init__(
        self,
        storage_method: Any,
        chunks: list[dict[str, Any]],
        meta_start: int | None,
        meta_end: int | None,
        headers: Mapping[str, Any],
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
        self.reqid = reqid
        self._reader_options: dict[str, Any] = {
            "connection_timeout": connection_timeout,
            "read_timeout": read_timeout,
            "deadline": hard_deadline(_kwargs),
            "ssl_context": _kwargs.get("ssl_context"),
            "perfdata": _kwargs.get("perfdata"),
        }

    def _range(self, size: int) -> tuple[int, int]:
        start, end = self.meta_start, self.meta_end
        if start is None:
            # A suffix; as a closed range, its start is simple to align (pitfalls row 123).
            start, end = (0, None) if end is None else (max(size - end, 0), None)
        elif start < 0:
            start = max(size + start, 0)
        return start, size - 1 if end is None else min(end, size - 1)

    def get_stream(self) -> ECStream:
        """Connect to enough chunks, and get the :class:`ECStream` that reads them.

        :raises oio.common.exceptions.ServiceUnavailable: when there are too few
        :raises oio.common.exceptions.NotFound: when there is none left
        """
        codec = codec_of(self.storage_method)
        if not self.chunks:
            raise ValueError("chunks: there is no chunk to read")
        number(self.chunks)
        size = int(self.chunks[0]["size"])
        full_size = codec.fragment_size(codec.segment_size)
        start, end = self._range(size)
        if start > end:
            return ECStream(self.storage_method, None, [], size, full_size, self.reqid)
        plan = SegmentPlan.of(codec, start, end, size)
        check = chunk_check(codec, size)
        whole = self.meta_start is None and self.meta_end is None

        def open_reader(chunk: dict[str, Any], asked: str | None) -> ChunkReader:
            headers = dict(self.headers)
            if asked and not (whole and asked.startswith("bytes=0-")):
                headers["Range"] = asked
            # The reader of a fragment counts its bytes; most often, one read gives all of it.
            options = {
                **self._reader_options,
                "check_head": check,
                "exact": False,
                "read_size": min(full_size, _MAX_READ),
            }
            return ChunkReader([chunk], None, headers, **options)

        team = SourceTeam(self.chunks, codec.k, lambda chunk: FragmentSource(chunk, codec, open_reader, plan))
        wanted = ReadRange(start, end, plan)
        perfdata = self._reader_options["perfdata"]
        stream = ECStream(self.storage_method, team, [wanted], size, full_size, self.reqid, perfdata)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(stream.close)
            stream.start()
            on_failure.pop_all()
        return stream


def chunk_check(codec: FragmentCodec, metachunk_size: int) -> Callable[[Any, Mapping[str, Any]], str | None]:
    """What tells that a chunk is not one of its metachunk, as far as the head of a response tells."""
    sizes = {"chunk_size": codec.chunk_size(metachunk_size), "metachunk_size": metachunk_size}

    def check(response: Any, chunk: Mapping[str, Any]) -> str | None:
        return mismatch(response, {**sizes, "metachunk_hash": chunk.get("hash")})

    return check
