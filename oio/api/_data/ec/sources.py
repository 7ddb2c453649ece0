# SPDX-License-Identifier: Apache-2.0
"""Sources of the fragments of a metachunk: k of its chunks, and spares that may replace them.

Green threads only live as long as the call that needs them: a stream may be read by one OS thread and then
by another, and an abandoned one leaves nothing that runs.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from oio.blob.connect import FAILURES, OWN_THREAD_FAILURES, ChunkAnswer, Connection, connect
from oio.blob.reader import mismatch
from oio.common import exceptions as exc
from oio.common import green
from oio.common.constants import CHUNK_HEADERS
from oio.common.http import parse_content_range
from oio.common.perfdata import add_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oio.api._data.ec.codec import FragmentCodec
    from oio.common.chunks import Chunk
    from oio.common.options import Options

_LOGGER = logging.getLogger(__name__)

_LARGEST_READ = 1 << 20


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """Which segments of a metachunk are read, and where their fragments are in a chunk.

    :param offset: where the first of these segments begins in the metachunk
    :param chunk_offset: where its fragment begins in a chunk
    :param lengths: bytes of each segment; None where only the fragments tell
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
        segment_size = codec.segment_size
        first, last = start // segment_size, end // segment_size
        full = codec.fragment_size(segment_size)
        count = last - first + 1
        lengths: list[int | None] = [segment_size] * count
        sizes = [full] * count
        if rest := max(0, (last + 1) * segment_size - metachunk_size):
            lengths[-1] = segment_size - rest
            sizes[-1] = codec.fragment_size(segment_size - rest)
        return cls(first * segment_size, first * full, lengths, sizes, full)

    @classmethod
    def of_chunk(cls, codec: FragmentCodec, chunk_size: int) -> SegmentPlan:
        """Plan the reading of whole chunks of this size, of a metachunk whose size is not known."""
        full = codec.fragment_size(codec.segment_size)
        count, rest = divmod(chunk_size, full)
        sizes = [full] * count + ([rest] if rest else [])
        # Fragments are padded: their size does not tell the length of the last segment.
        lengths = [*[codec.segment_size] * (len(sizes) - 1), None]
        return cls(0, 0, lengths[: len(sizes)], sizes, full)


@dataclass(frozen=True, slots=True)
class ChunkFamily:
    """What the chunks of a metachunk have in common.

    :param headers: of the requests
    :param options: of the call
    :param chunk_size: bytes of each chunk; None when that is not known
    :param metachunk_size: bytes of the metachunk; None when that is not known
    :param verify: also compute the checksums of chunks, for :meth:`FragmentSource.is_sound`
    """

    codec: FragmentCodec
    headers: Mapping[str, object]
    options: Options
    chunk_size: int | None = None
    metachunk_size: int | None = None
    verify: bool = False


class Request(NamedTuple):
    """What is asked of a chunk: headers, and the first byte that the answer must give."""

    headers: Mapping[str, object]
    first: int


class FragmentSource:
    """Source of the fragments of one chunk.

    :param segment: number of the first fragment to read, counted from the first one that is planned
    """

    def __init__(self, chunk: Chunk, family: ChunkFamily, index: int, segment: int) -> None:
        self.chunk = chunk
        self.index = index
        self.netloc = chunk.netloc
        #: Number of the fragment that comes next.
        self.segment = self._first = segment
        #: It gave an answer that can be used.
        self.is_open = False
        #: What it is busy with, for the log.
        self.doing = "connecting to"
        self._family = family
        self._conn: Connection | None = None
        #: There once it is open.
        self._response: ChunkAnswer
        self._rest = b""
        self._digest = hashlib.new("md5", usedforsecurity=False) if family.verify else None

    def run(self, request: Request, plan: SegmentPlan | None) -> tuple[int, bytes] | BaseException:
        """Connect, unless that is done, and read a fragment. To be run in a green thread of ours.

        :param plan: None to connect only
        :returns: the index of the fragment and its bytes (empty when none was asked for), or the failure
        """
        try:
            if not self.is_open:
                self._open(request)
            return (self.index, b"") if plan is None else self._read(plan)
        except OWN_THREAD_FAILURES as err:
            return err

    def _open(self, request: Request) -> None:
        """Ask for the data, and check the head of the answer."""
        chunk, family, netloc = self.chunk, self._family, self.netloc
        options, begin = family.options, time.monotonic()
        with green.ConnectionTimeout(options.limits.connecting(netloc)):
            self._conn = conn = connect(chunk, "GET", request.headers, options.ssl_context)
        self.doing = "waiting for"
        with green.ChunkReadTimeout(options.limits.reading(netloc)):
            self._response = response = conn.getresponse()
        if options.perfdata is not None:
            add_duration(options.perfdata, "rawx", f"connect.{chunk.url}", begin)
        self._check_head(response, request.first)
        self.is_open, self.doing = True, "reading from"

    def _check_head(self, response: ChunkAnswer, first: int) -> None:
        """Refuse an answer to another question than ours."""
        status, start = response.status, 0
        if status == 206:
            if (response.getheader("Content-Type") or "").lstrip().startswith("multipart/byteranges"):
                raise exc.CorruptedChunk("the answer has several parts")
            start = parse_content_range(response.getheader("Content-Range") or "")[0]
        elif status != 200:
            raise exc.from_status(status, getattr(response, "reason", "") or "no reason")
        if start != first:
            # Also a 200 with the whole chunk: a rawx ignores a range that it does not understand.
            raise exc.CorruptedChunk(f"bytes from {start} on came, not from {first} (HTTP {status})")
        expected = {
            "chunk_size": self._family.chunk_size,
            "metachunk_size": self._family.metachunk_size,
            "metachunk_hash": self.chunk.hash,
        }
        problem = mismatch(response, expected)
        if problem:
            raise exc.CorruptedChunk(problem)

    def _read(self, plan: SegmentPlan) -> tuple[int, bytes]:
        """Read the next fragment: whole and checked, whatever the size of the blocks that come."""
        segment, self.segment = self.segment, self.segment + 1
        size, options = plan.sizes[segment], self._family.options
        data = self._rest
        blocks, left = [data] if data else [], size - len(data)
        while left > 0:
            begin = time.monotonic()
            with green.ChunkReadTimeout(options.limits.reading(self.netloc)):
                data = self._response.read(min(left, _LARGEST_READ))
            if options.perfdata is not None:
                add_duration(options.perfdata, "rawx", f"download.{self.chunk.url}", begin)
            if not data:
                raise exc.CorruptedChunk(f"{size - left} bytes instead of a fragment of {size}")
            blocks.append(data)
            left -= len(data)
        if len(blocks) > 1:
            data = b"".join(blocks)
        # Fake responses may give more than was asked for.
        fragment, self._rest = bytes(data[:size]), data[size:]
        try:
            index, _ = self._family.codec.check(fragment, plan.lengths[segment])
        except exc.ECError as err:
            raise exc.CorruptedChunk(f"segment {segment}: {err}") from err
        if self._digest is not None:
            self._digest.update(fragment)
        return index, fragment

    @property
    def announced_size(self) -> int | None:
        """Bytes of the whole chunk, as its server tells."""
        get = self._response.getheader
        size = str(get(CHUNK_HEADERS["chunk_size"]) or get("Content-Length"))
        return int(size) if size.isdecimal() else None

    @property
    def is_whole(self) -> bool:
        """Whether it was read from its first fragment on."""
        return self._first == 0

    def is_sound(self) -> bool:
        """Whether what was read is what its server stored, as far as can be known."""
        stored = self._response.getheader(CHUNK_HEADERS["chunk_hash"])
        if not stored or self._digest is None or not self.is_whole:
            return True
        return stored.lower() == self._digest.hexdigest()

    def close(self) -> None:
        """Close the connection. May be called twice."""
        conn, self._conn = self._conn, None
        if conn is None:
            return
        try:
            conn.close()
        except FAILURES as err:  # Closing must never hide why we close.
            _LOGGER.debug("Failed to close the connection to %s: %s", self.chunk.url, err)


class SourceTeam:
    """The k chunks that are being read, and the spares that may replace them.

    Data fragments come first: when all are there, nothing needs decoding. At most one chunk of each index is
    read at a time; others of the same index are its spares (pitfall 54).

    :param chunks: those with a null score come last
    :param plan: which fragments to read; None for whole chunks, until it is known
    :param suspects: addresses of servers that have just failed, whose chunks come last (pitfall 56); others
        are added to it
    :param ranged: False to ask for the whole chunks at first, without a range
    :raises ValueError: a chunk has no index
    """

    def __init__(
        self,
        chunks: Iterable[Chunk],
        family: ChunkFamily,
        plan: SegmentPlan | None = None,
        suspects: set[str] | None = None,
        ranged: bool = True,
    ) -> None:
        self.plan = plan
        self.spares = self._sorted(chunks, family.codec.k, suspects)
        self.active: list[FragmentSource] = []
        #: Why chunks cannot be read: URL, HTTP status (0 for the network), reason.
        self.errors: list[tuple[str, int, BaseException]] = []
        #: URL of each chunk that gave an answer.
        self.used: list[str] = []
        self._k = self._wanted = family.codec.k
        self._family = family
        self._suspects = set() if suspects is None else suspects
        self._ranged = ranged

    @staticmethod
    def _sorted(chunks: Iterable[Chunk], k: int, suspects: set[str] | None) -> list[tuple[int, Chunk]]:
        """Chunks with their indexes, those to read first before the others."""
        keyed = []
        for order, chunk in enumerate(chunks):
            index = chunk.index
            if index is None:
                raise ValueError(f"chunk {chunk.url}: the position {chunk.pos!r} has no index")
            is_last = (chunk.score is not None and chunk.score <= 0) or (
                bool(suspects) and chunk.netloc in (suspects or ())
            )
            keyed.append((is_last, index >= k, index, order, chunk))
        keyed.sort()
        return [(index, chunk) for _, _, index, _, chunk in keyed]

    # --- sources ---

    def _recruit(self, segment: int) -> list[FragmentSource]:
        """Make active as many spares as are needed, to be read from this segment on."""
        recruits: list[FragmentSource] = []
        active = self.active
        if len(active) >= self._wanted:
            return recruits
        taken = {source.index for source in active}
        left = []
        for index, chunk in self.spares:
            if len(active) < self._wanted and index not in taken:
                taken.add(index)
                source = FragmentSource(chunk, self._family, index, segment)
                active.append(source)
                recruits.append(source)
            else:
                left.append((index, chunk))
        self.spares = left
        return recruits

    def _request(self, segment: int) -> Request:
        """What to ask of chunks that are read from this segment on."""
        headers, plan = self._family.headers, self.plan
        if plan is None or (not self._ranged and segment == 0 and plan.chunk_offset == 0):
            return Request(headers, 0)
        first = plan.chunk_offset + sum(plan.sizes[:segment])
        # The last fragment may be shorter than that.
        last = plan.chunk_offset + len(plan.sizes) * plan.full_size - 1
        return Request({**headers, "Range": f"bytes={first}-{last}"}, first)

    def _together(
        self, sources: list[FragmentSource], segment: int, plan: SegmentPlan | None
    ) -> list[tuple[int, bytes] | BaseException]:
        """Run some sources at once, each in a green thread of its own.

        :param plan: None to connect only
        :returns: the result of each
        :raises DeadlineReached: once all are done
        """
        request = self._request(segment)
        fresh = [source for source in sources if not source.is_open]
        with green.ContextPool(max(1, len(sources))) as pool:
            threads = [pool.spawn(source.run, request, plan) for source in sources]
            outcomes = [thread.wait() for thread in threads]
        self.used += [source.chunk.url for source in fresh if source.is_open]
        for outcome in outcomes:
            if isinstance(outcome, exc.DeadlineReached):
                raise outcome
        return outcomes

    def connect(self) -> None:
        """Connect to enough chunks.

        :raises ServiceUnavailable: there are too few; or NotFound when all are gone
        """
        while recruits := self._recruit(0):
            for source, outcome in zip(recruits, self._together(recruits, 0, None), strict=True):
                if isinstance(outcome, BaseException):
                    self.drop(source, outcome)
        if len(self.active) < self._k:
            raise self._too_few()

    def connect_all(self) -> None:
        """Connect to all the chunks, those that cannot be are left out."""
        sources = [FragmentSource(chunk, self._family, index, 0) for index, chunk in self.spares]
        self.spares = []
        self.active += sources
        for source, outcome in zip(sources, self._together(sources, 0, None), strict=True):
            if isinstance(outcome, BaseException):
                self.drop(source, outcome)

    def drop(self, source: FragmentSource, reason: BaseException) -> None:
        """Leave a source that failed, and remember why.

        :raises DeadlineReached: no time is left for another
        """
        status = reason.http_status if isinstance(reason, exc.StatusMessageException) else 0
        url, reqid = source.chunk.url, self._family.options.reqid
        self.errors.append((url, status, reason))
        if not status:
            self._suspects.add(source.netloc)
        doing = f"{source.doing} {source.netloc}"
        _LOGGER.warning("Failed %s, using a spare: %s: %s (reqid=%s)", doing, url, reason, reqid)
        source.close()
        self.active.remove(source)
        left = self._family.options.limits.left()
        if left is not None and left <= 0:
            text = f"Deadline reached while {doing}: {reason}"
            raise exc.DeadlineReached(text, reqid=reqid, service=source.netloc)

    def release(self, source: FragmentSource) -> None:
        """Close a good source; it may be opened again."""
        source.close()
        self.active.remove(source)
        self.spares.append((source.index, source.chunk))

    def close(self) -> None:
        """Close all sources."""
        for source in self.active:
            source.close()

    # --- fragments ---

    def solve(self, segment: int, solution: Callable[[dict[int, bytes]], bytes]) -> bytes:
        """Make something of the fragments of a segment: index -> fragment.

        :raises ServiceUnavailable: there are too few; or NotFound when all chunks are gone
        """
        fragments: dict[int, bytes] = {}
        perfdata = self._family.options.perfdata
        while True:
            if not self._recruit(segment) and len(self.active) < self._k:
                raise self._too_few()
            self._read(segment, fragments)
            if len(self.active) < self._k:
                continue
            begin = time.monotonic()
            try:
                return solution(fragments)
            except exc.ECError as err:
                # Some sets of k fragments cannot be decoded; more of them can (pitfall 52).
                taken = {source.index for source in self.active}
                if all(index in taken for index, _ in self.spares):
                    raise self._too_few(err) from err
                self._wanted = len(self.active) + 1
            finally:
                if perfdata is not None:
                    add_duration(perfdata, "rawx", "ec", begin)

    def _read(self, segment: int, fragments: dict[int, bytes]) -> None:
        """Read a segment from the active sources that have not given theirs yet."""
        waiting = [source for source in self.active if source.segment == segment]
        for source, outcome in zip(waiting, self._together(waiting, segment, self.plan), strict=True):
            if isinstance(outcome, BaseException):
                self.drop(source, outcome)
            elif outcome[0] in fragments:
                self.drop(source, exc.CorruptedChunk(f"fragment {outcome[0]} was there already"))
            else:
                # A chunk in the place of another one is as good: its fragments tell which they are.
                fragments[outcome[0]] = outcome[1]

    def _too_few(self, error: Exception | None = None) -> exc.OioException:
        reasons = [f"{url}: {reason}" for url, _, reason in self.errors] + ([str(error)] if error else [])
        found = f"{len(self.active)}/{self._k}"
        text = (
            f"Not enough valid sources to read ({found}): {'; '.join(reasons) or 'there is no other chunk'}"
        )
        statuses = {status for _, status, _ in self.errors}
        # Chunks are only called lost when all that fail say so (pitfall 55).
        if statuses in ({404}, {416}):
            return exc.from_status(statuses.pop(), text)
        return exc.ServiceUnavailable(text)
