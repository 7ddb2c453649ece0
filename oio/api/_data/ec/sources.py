# SPDX-License-Identifier: Apache-2.0
"""Where the fragments of an erasure-coded metachunk come from: k of its chunks, and spares for them.

Green threads only live as long as the call that needs them: a stream may be read by one OS thread and then
by another, and an abandoned one leaves nothing that runs.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from oio.api._data.ec.codec import FragmentCodec
from oio.blob.reader import ChunkReader
from oio.common import exceptions as exc
from oio.common import green
from oio.common.constants import CHUNK_HEADERS

_LOGGER = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True)
class SegmentPlan:
    """Which segments of a metachunk are read, and where their fragments are in a chunk.

    :param offset: where the first of these segments begins in the metachunk
    :param chunk_offset: where its fragment begins in a chunk
    :param lengths: bytes of each segment; None for what only the fragments tell
    :param sizes: bytes of their fragments
    :param full_size: bytes of the fragments of a whole segment
    """

    offset: int
    chunk_offset: int
    lengths: list[int | None]
    sizes: list[int]
    full_size: int

    @classmethod
    def of(cls, codec: FragmentCodec, start: int, end: int, metachunk_size: int) -> SegmentPlan:
        """Plan the reading of a closed range that is not empty."""
        first, last = start // codec.segment_size, end // codec.segment_size
        lengths = codec.segment_lengths(metachunk_size)[first : last + 1]
        sizes = [codec.fragment_size(length) for length in lengths]
        full = codec.fragment_size(codec.segment_size)
        return cls(first * codec.segment_size, first * full, [*lengths], sizes, full)

    @classmethod
    def of_chunk(cls, codec: FragmentCodec, chunk_size: int) -> SegmentPlan:
        """Plan the reading of whole chunks of this size, of a metachunk whose size is not known."""
        full = codec.fragment_size(codec.segment_size)
        count, rest = divmod(chunk_size, full)
        sizes = [full] * count + ([rest] if rest else [])
        # Fragments are padded: their size does not tell the length of the last segment.
        lengths = [*[codec.segment_size] * (len(sizes) - 1), None]
        return cls(0, 0, lengths[: len(sizes)], sizes, full)

    def chunk_range(self, segment: int) -> str:
        """The ``Range`` header for the fragments from this segment (counted from the first planned) on.

        The last fragment may be shorter than that.
        """
        begin = self.chunk_offset + sum(self.sizes[:segment])
        return f"bytes={begin}-{self.chunk_offset + len(self.sizes) * self.full_size - 1}"


class FragmentSource:
    """The fragments of one chunk.

    :param chunk: dict with ``url``, ``num``
    :param open_reader: given a chunk and a ``Range`` header (or None), makes its reader
    :param plan: which fragments; may be set later when the chunk is opened whole
    :param verify: also compute the checksum of the chunk, for :meth:`is_sound`
    """

    def __init__(
        self,
        chunk: dict[str, Any],
        codec: FragmentCodec,
        open_reader: Callable[[dict[str, Any], str | None], ChunkReader],
        plan: SegmentPlan | None = None,
        verify: bool = False,
    ) -> None:
        self.chunk = chunk
        self.num: int = chunk["num"]
        self.plan = plan
        #: Which fragment :meth:`read` gives next.
        self.segment = self._first = 0
        self.reader: ChunkReader | None = None
        self._codec = codec
        self._open_reader = open_reader
        self._blocks: Generator[bytes, None, None] | None = None
        self._rest = b""
        self._digest = hashlib.new("md5") if verify else None

    def open(self, segment: int) -> None:
        """Connect, and ask for the fragments from this segment on; for the whole chunk without a plan.

        :raises OioException: when the chunk cannot be read
        """
        self.segment = self._first = segment
        asked = None if self.plan is None else self.plan.chunk_range(segment)
        self.reader = self._open_reader(self.chunk, asked)
        self._blocks = self.reader.stream()

    def read(self) -> tuple[int, bytes]:
        """Get the next fragment, with its index: whole and checked, whatever the size of the blocks.

        :raises OioException: why there is none
        """
        assert self.plan is not None
        segment, self.segment = self.segment, self.segment + 1
        fragment = self._exactly(self.plan.sizes[segment])
        try:
            index, _ = self._codec.check(fragment, self.plan.lengths[segment])
        except exc.ECError as err:
            raise exc.CorruptedChunk(f"segment {segment}: {err}") from err
        if self._digest is not None:
            self._digest.update(fragment)
        return index, fragment

    def _exactly(self, size: int) -> bytes:
        assert self._blocks is not None
        blocks, length = [self._rest] if self._rest else [], len(self._rest)
        while length < size:
            block = next(self._blocks, None)
            if not block:
                raise exc.CorruptedChunk(f"{length} bytes instead of a fragment of {size}")
            blocks.append(block)
            length += len(block)
        data = b"".join(blocks)
        self._rest = data[size:]
        return data[:size]

    @property
    def announced_size(self) -> int | None:
        """Bytes of the whole chunk, as its server tells."""
        headers = {} if self.reader is None else self.reader.headers
        size = str(headers.get(CHUNK_HEADERS["chunk_size"]) or headers.get("content-length"))
        return int(size) if size.isdecimal() else None

    @property
    def is_whole(self) -> bool:
        """Whether it was read from its first fragment on."""
        return self._first == 0

    def is_sound(self) -> bool:
        """Whether what was read is what its server stored, as far as can be known."""
        stored = None if self.reader is None else self.reader.headers.get(CHUNK_HEADERS["chunk_hash"])
        if not stored or self._digest is None or not self.is_whole:
            return True
        return bool(stored.lower() == self._digest.hexdigest())

    def close(self) -> None:
        """Close the connection."""
        if self._blocks is not None:
            self._blocks.close()


class SourceTeam:
    """The k chunks that are being read, and the spares that may replace them.

    Data fragments come first: when all are there, nothing needs decoding. At most one chunk of each index is
    read at a time; others of the same index are its spares (pitfalls row 54).

    :param chunks: dicts with ``url``, ``num``; those with a null ``score`` come last
    """

    def __init__(
        self,
        chunks: Iterable[dict[str, Any]],
        k: int,
        make_source: Callable[[dict[str, Any]], FragmentSource],
    ) -> None:
        self._k = self._wanted = k
        self.make_source = make_source
        self.spares = sorted(
            chunks, key=lambda chunk: (chunk.get("score", 1) <= 0, chunk["num"] >= k, chunk["num"])
        )
        self.active: list[FragmentSource] = []
        #: Why chunks cannot be read: URL, HTTP status (0 for the network), reason.
        self.errors: list[tuple[str, int, Any]] = []
        #: URL of each chunk that was read from.
        self.used: list[str] = []

    def _next_spare(self, taken: set[int]) -> dict[str, Any] | None:
        return next((chunk for chunk in self.spares if chunk["num"] not in taken), None)

    def fill(self, segment: int) -> None:
        """Open sources, in parallel, until enough are there.

        :raises ServiceUnavailable: when they cannot be, or NotFound when all chunks are gone
        """
        while len(self.active) < self._wanted:
            taken = {source.num for source in self.active}
            opening: list[FragmentSource] = []
            while len(taken) < self._wanted and (chunk := self._next_spare(taken)):
                self.spares.remove(chunk)
                taken.add(chunk["num"])
                opening.append(self.make_source(chunk))
            if not opening:
                if len(self.active) < self._k:
                    raise self._too_few()
                return
            self.open(opening, segment)

    def open(self, sources: list[FragmentSource], segment: int = 0) -> None:
        """Open sources in parallel; those that cannot be are noted, the others are active."""
        for source, outcome in _together(sources, lambda source: source.open(segment)):
            if isinstance(outcome, exc.OioException):
                self.note(source, outcome)
            else:
                self.active.append(source)
                self.used.append(source.chunk["url"])

    def note(self, source: FragmentSource, error: Exception) -> None:
        """Remember why a chunk cannot be read."""
        errors = [] if source.reader is None else source.reader.errors
        self.errors += errors or [(source.chunk["url"], getattr(error, "http_status", 0), error)]

    def solve(self, segment: int, solution: Callable[[dict[int, bytes]], bytes]) -> bytes:
        """Make something of the fragments of a segment: index -> fragment.

        :raises ServiceUnavailable: when there are too few
        """
        fragments: dict[int, bytes] = {}
        while True:
            self.fill(segment)
            waiting = [source for source in self.active if source.segment == segment]
            for source, outcome in _together(waiting, FragmentSource.read):
                if isinstance(outcome, exc.OioException):
                    self.drop(source, outcome)
                elif outcome[0] in fragments:
                    self.drop(source, exc.CorruptedChunk(f"fragment {outcome[0]} was there already"))
                else:
                    # A chunk at the place of another one is as good: its fragments tell which they are.
                    fragments[outcome[0]] = outcome[1]
            if len(self.active) < self._k:
                continue
            try:
                return solution(fragments)
            except exc.ECError as err:
                # Some sets of k fragments cannot be decoded; more of them can (pitfalls row 52).
                if self._next_spare({source.num for source in self.active}) is None:
                    raise self._too_few(err) from err
                self._wanted = len(self.active) + 1

    def drop(self, source: FragmentSource, error: Exception) -> None:
        """Leave a source that failed."""
        self.note(source, error)
        _LOGGER.warning("Failed reading %s, using a spare: %s", source.chunk["url"], error)
        source.close()
        self.active.remove(source)

    def release(self, source: FragmentSource) -> None:
        """Close a good source; it may be opened again."""
        source.close()
        self.active.remove(source)
        self.spares.append(source.chunk)

    def _too_few(self, error: Exception | None = None) -> exc.OioException:
        reasons = [f"{url}: {reason}" for url, _, reason in self.errors] + ([str(error)] if error else [])
        found = f"{len(self.active)}/{self._k}"
        text = (
            f"Not enough valid sources to read ({found}): {'; '.join(reasons) or 'there is no other chunk'}"
        )
        statuses = {status for _, status, _ in self.errors}
        # Chunks are only called lost when all that fail say so (pitfalls row 55).
        if statuses in ({404}, {416}):
            return exc.from_status(statuses.pop(), text)
        return exc.ServiceUnavailable(text)

    def close(self) -> None:
        """Close all sources."""
        for source in self.active:
            source.close()


def _together(
    sources: list[FragmentSource], function: Callable[[FragmentSource], _T]
) -> list[tuple[FragmentSource, _T | exc.OioException]]:
    """Do something with all sources at once, and get the result or the failure of each.

    :raises DeadlineReached: once all are done
    """

    def outcome(source: FragmentSource) -> _T | exc.OioException:
        try:
            return function(source)
        except exc.OioException as err:
            return err
        except green.Timeout as err:
            # In a green thread of ours, it cannot be a timeout of the host's.
            return exc.OioTimeout(f"{source.chunk['url']}: {err}")

    with green.ContextPool(max(1, len(sources))) as pool:
        threads = [(source, pool.spawn(outcome, source)) for source in sources]
        outcomes = [(source, thread.wait()) for source, thread in threads]
    for _, result in outcomes:
        if isinstance(result, exc.DeadlineReached):
            raise result
    return outcomes


def number(chunks: Iterable[dict[str, Any]]) -> None:
    """Give each chunk the ``num`` that its position tells, unless it has it already.

    :raises ValueError: when its position does not tell
    """
    for chunk in chunks:
        if "num" not in chunk:
            index = str(chunk["pos"]).partition(".")[2]
            if not index.isdecimal():
                raise ValueError(f"chunk {chunk['url']}: the position {chunk['pos']!r} has no index")
            chunk["num"] = int(index)
