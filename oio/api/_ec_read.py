# SPDX-License-Identifier: Apache-2.0
"""Reads an erasure-coded metachunk: k fragments of each segment, whichever chunks can give them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from oio.api._fragments import FragmentCodec
from oio.api._reader import ChunkReader, mismatch
from oio.common import exceptions as exc
from oio.common import green
from oio.common.constants import CHUNK_HEADERS
from oio.common.deadlines import hard_deadline

_LOGGER = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class SegmentPlan:
    """Which segments of a metachunk hold a range of it, and where their fragments are in a chunk.

    :param start: first byte of the range, and ``end`` the last, inclusive
    :param lengths: bytes of each segment that holds some of them
    :param sizes: bytes of their fragments
    :param offset: where the first of these segments begins in the metachunk
    :param chunk_offset: where its fragment begins in a chunk
    """

    start: int
    end: int
    lengths: list[int]
    sizes: list[int]
    offset: int
    chunk_offset: int

    @classmethod
    def of(cls, codec: FragmentCodec, start: int, end: int, metachunk_size: int) -> SegmentPlan:
        """Plan the reading of a closed range that is not empty."""
        first, last = start // codec.segment_size, end // codec.segment_size
        lengths = codec.segment_lengths(metachunk_size)[first : last + 1]
        sizes = [codec.fragment_size(length) for length in lengths]
        full = codec.fragment_size(codec.segment_size) if first else 0
        return cls(start, end, lengths, sizes, first * codec.segment_size, first * full)

    def chunk_range(self, segment: int) -> str:
        """The ``Range`` header for the fragments from this segment (counted from the first planned) on."""
        begin = self.chunk_offset + sum(self.sizes[:segment])
        return f"bytes={begin}-{begin + sum(self.sizes[segment:]) - 1}"

    def trim(self, segment: int, data: bytes) -> bytes:
        """What of a segment is in the range."""
        begin = self.offset + sum(self.lengths[:segment])
        return data[max(self.start - begin, 0) : self.end - begin + 1]


class FragmentSource:
    """The fragments of one chunk, fetched ahead by a green thread.

    :param chunk: dict with ``url``, ``num``
    :param open_reader: given a chunk and a ``Range`` header, makes its reader
    :param verify: also compute the checksum of the chunk, for :meth:`is_sound`
    """

    def __init__(
        self,
        chunk: dict[str, Any],
        codec: FragmentCodec,
        plan: SegmentPlan,
        open_reader: Callable[[dict[str, Any], str], ChunkReader],
        verify: bool = False,
    ) -> None:
        self.chunk = chunk
        self.num: int = chunk["num"]
        self.reader: ChunkReader | None = None
        self._codec = codec
        self._plan = plan
        self._open_reader = open_reader
        self._blocks: Generator[bytes, None, None] | None = None
        self._queue = green.LightQueue(1)
        self._thread: Any = None
        self._segment = 0
        self._digest = hashlib.new("md5") if verify else None

    def open(self, segment: int) -> None:
        """Connect, and ask for the fragments from this segment on.

        :raises OioException: when the chunk cannot be read
        """
        self._segment = segment
        self.reader = self._open_reader(self.chunk, self._plan.chunk_range(segment))
        self._blocks = self.reader.stream()

    def start(self) -> None:
        """Begin to fetch."""
        self._thread = green.greenthread.spawn(self._pump)

    def _pump(self) -> None:
        try:
            for fragment in self._fragments():
                self._queue.put(fragment)
        except Exception as err:  # noqa: BLE001 - it is raised again by who waits for the fragment
            self._queue.put(err)

    def _fragments(self) -> Iterator[bytes]:
        """Whole fragments, whatever the size of the blocks (pitfalls row 62)."""
        assert self._blocks is not None
        buffer = bytearray()
        for segment in range(self._segment, len(self._plan.sizes)):
            size = self._plan.sizes[segment]
            while len(buffer) < size:
                buffer += next(self._blocks, None) or self._too_short(len(buffer), size)
            fragment = bytes(memoryview(buffer)[:size])
            del buffer[:size]
            problem = self._codec.problem(fragment, self.num, self._plan.lengths[segment])
            if problem is not None:
                raise exc.CorruptedChunk(f"{self.chunk['url']}: segment {segment}: {problem}")
            if self._digest is not None:
                self._digest.update(fragment)
            yield fragment

    def _too_short(self, got: int, size: int) -> bytes:
        raise exc.CorruptedChunk(f"{self.chunk['url']}: {got} bytes instead of a fragment of {size}")

    def get(self) -> bytes:
        """The next fragment.

        :raises OioException: why there is none
        """
        fragment = self._queue.get()
        if isinstance(fragment, Exception):
            raise fragment
        return bytes(fragment)

    def is_sound(self) -> bool:
        """Whether a chunk that was read whole is what its server stored, as far as can be known."""
        stored = None if self.reader is None else self.reader.headers.get(CHUNK_HEADERS["chunk_hash"])
        if self._digest is None or self._segment or not stored:
            return True
        return bool(stored.lower() == self._digest.hexdigest())

    def close(self) -> None:
        """Stop fetching, and close the connection."""
        if self._thread is not None:
            self._thread.kill()
            self._thread = None
        if self._blocks is not None:
            self._blocks.close()


class SourceTeam:
    """The k chunks that are being read, and the spares that may replace them.

    Data fragments come first: when all are there, nothing needs decoding. At most one chunk of each index is
    read at a time; others of the same index are its spares (pitfalls row 54).
    """

    def __init__(
        self,
        chunks: Iterable[dict[str, Any]],
        k: int,
        make_source: Callable[[dict[str, Any]], FragmentSource],
    ) -> None:
        self._k = k
        self._make_source = make_source
        self._spares = sorted(
            chunks, key=lambda chunk: (chunk.get("score", 1) <= 0, chunk["num"] >= k, chunk["num"])
        )
        self.active: list[FragmentSource] = []
        self.errors: list[tuple[str, int, Any]] = []
        self.used: list[str] = []

    def _next_chunk(self, taken: set[int]) -> dict[str, Any] | None:
        for chunk in self._spares:
            if chunk["num"] not in taken:
                self._spares.remove(chunk)
                return chunk
        return None

    def fill(self, segment: int) -> None:
        """Open sources, in parallel, until k are there.

        :raises ServiceUnavailable: when they cannot be, or NotFound when all chunks are gone
        """
        while len(self.active) < self._k:
            taken = {source.num for source in self.active}
            opening: list[FragmentSource] = []
            while len(self.active) + len(opening) < self._k:
                chunk = self._next_chunk(taken)
                if chunk is None:
                    break
                taken.add(chunk["num"])
                opening.append(self._make_source(chunk))
            if not opening:
                raise self._too_few()
            self._open(opening, segment)
        self.active.sort(key=lambda source: source.num)

    def _open(self, opening: list[FragmentSource], segment: int) -> None:
        late: exc.DeadlineReached | None = None
        with green.ContextPool(len(opening)) as pool:
            threads = [(source, pool.spawn(_outcome, source.open, segment)) for source in opening]
            for source, thread in threads:
                error = thread.wait()
                if error is None:
                    source.start()
                    self.active.append(source)
                    self.used.append(source.chunk["url"])
                else:
                    self.note(source, error)
                    late = error if isinstance(error, exc.DeadlineReached) else late
        if late is not None:
            raise late

    def note(self, source: FragmentSource, error: Exception) -> None:
        """Remember why a chunk cannot be read."""
        errors = [] if source.reader is None else source.reader.errors
        self.errors += errors or [(source.chunk["url"], getattr(error, "http_status", 0), error)]

    def solve(self, segment: int, solution: Callable[[dict[int, bytes]], bytes]) -> bytes:
        """Make something of k fragments of a segment: index -> fragment.

        :raises ServiceUnavailable: when there are too few
        """
        fragments: dict[int, bytes] = {}
        while True:
            for source in list(self.active):
                if source.num not in fragments:
                    try:
                        fragments[source.num] = source.get()
                    except exc.DeadlineReached:
                        raise
                    except exc.OioException as err:
                        self.drop(source, err)
            if len(self.active) == self._k:
                try:
                    return solution(fragments)
                except exc.ECError as err:
                    # Some combinations cannot be decoded: try without one of them (pitfalls row 52).
                    source = self.active[-1]
                    del fragments[source.num]
                    self.drop(source, err)
            self.fill(segment)

    def drop(self, source: FragmentSource, error: Exception) -> None:
        """Leave a source that failed."""
        self.note(source, error)
        _LOGGER.warning("Failed reading %s, using a spare: %s", source.chunk["url"], error)
        source.close()
        self.active.remove(source)

    def _too_few(self) -> exc.OioException:
        reasons = "; ".join(f"{url}: {reason}" for url, _, reason in self.errors)
        text = f"Not enough valid sources to read ({len(self.active)}/{self._k}): {reasons}"
        statuses = {status for _, status, _ in self.errors}
        if len(statuses) == 1 and statuses <= {404, 416} and not self.active:
            return exc.from_status(statuses.pop(), text)
        return exc.ServiceUnavailable(text)

    def close(self) -> None:
        """Close all sources."""
        for source in self.active:
            source.close()


def number(chunks: Iterable[dict[str, Any]]) -> None:
    """Give each chunk the ``num`` that its position tells, unless it has it already."""
    for chunk in chunks:
        if "num" not in chunk:
            chunk["num"] = int(str(chunk["pos"]).partition(".")[2])


def _outcome(function: Callable[..., None], *args: Any) -> Exception | None:
    try:
        function(*args)
    except exc.OioException as err:
        return err
    return None


class ECStream:
    """Reads an EC meta chunk.

    Handles the different readers.

    :param storage_method: an :class:`~oio.common.storage_method.ECStorageMethod`
    :param readers: the :class:`SourceTeam` that gives the fragments
    :param range_infos: the :class:`SegmentPlan` of each range
    :param meta_length: bytes of the metachunk
    :param fragment_length: bytes of the fragments of a whole segment
    """

    def __init__(
        self,
        storage_method: Any,
        readers: SourceTeam | None,
        range_infos: list[SegmentPlan],
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
        self._codec = FragmentCodec(storage_method)

    @property
    def used(self) -> list[str]:
        """URL of each chunk that was read from."""
        return [] if self.readers is None else self.readers.used

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
        for plan in self.range_infos:
            yield {"start": plan.start, "end": plan.end, "iter": self._data(plan)}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.get_iter()

    def _data(self, plan: SegmentPlan) -> Generator[bytes, None, None]:
        assert self.readers is not None
        try:
            for segment, length in enumerate(plan.lengths):
                decode = functools.partial(self._codec.decode, segment_length=length)
                yield plan.trim(segment, self.readers.solve(segment, decode))
        finally:
            self.close()


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
        codec = FragmentCodec(self.storage_method)
        number(self.chunks)
        size = int(self.chunks[0]["size"])
        start, end = self._range(size)
        if start > end:
            return ECStream(self.storage_method, None, [], size, 0, self.reqid)
        plan = SegmentPlan.of(codec, start, end, size)
        whole = self.meta_start is None and self.meta_end is None

        def open_reader(chunk: dict[str, Any], asked: str) -> ChunkReader:
            headers = dict(self.headers)
            if not (whole and asked.startswith("bytes=0-")):
                headers["Range"] = asked
            options = {**self._reader_options, "check_head": chunk_check(codec), "exact": False}
            return ChunkReader([chunk], None, headers, **options)

        team = SourceTeam(self.chunks, codec.k, lambda chunk: FragmentSource(chunk, codec, plan, open_reader))
        stream = ECStream(
            self.storage_method, team, [plan], size, codec.fragment_size(codec.segment_size), self.reqid
        )
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(stream.close)
            stream.start()
            on_failure.pop_all()
        return stream


def chunk_check(codec: FragmentCodec) -> Callable[[Any, Mapping[str, Any]], str | None]:
    """What tells that a chunk is not one of its metachunk, as far as the head of a response tells."""

    def check(response: Any, chunk: Mapping[str, Any]) -> str | None:
        size = chunk.get("size")
        right = {
            "chunk_size": None if size is None else codec.chunk_size(int(size)),
            "metachunk_size": size,
            "metachunk_hash": chunk.get("hash"),
        }
        return mismatch(response, right)

    return check
