# SPDX-License-Identifier: Apache-2.0
"""Sources of the fragments of a metachunk, one for each of its chunks."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from oio.api._data.ec.codec import DamagedFragment, has_checksum
from oio.blob.connect import (
    CANDIDATES,
    OWN_THREAD_CANDIDATES,
    ChunkAnswer,
    Connection,
    connect,
    give_back,
    mismatch,
    reraise_foreign,
    served_range,
    verify_file,
)
from oio.common import exceptions as exc
from oio.common import green
from oio.common.checksums import checksum_like
from oio.common.constants import CHUNK_HEADERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oio.api._data.ec.codec import FragmentCodec
    from oio.common.checksums import Checksum
    from oio.common.chunks import Chunk
    from oio.common.options import Options

_LOGGER = logging.getLogger(__name__)

_LARGEST_READ = 1 << 20


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """Segments of a metachunk to read, and the places of their fragments in a chunk.

    :param offset: first byte of the first of these segments in the metachunk
    :param chunk_offset: first byte of its fragment in a chunk
    :param lengths: bytes of each segment; None when only its fragments tell
    :param sizes: bytes of the fragments of each segment
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


class DamagedChunk(exc.CorruptedChunk):
    """The data of a chunk are not those that were stored, which another attempt will not change."""


@dataclass(frozen=True, slots=True)
class ReadContext:
    """What the sources of a metachunk have in common.

    :param headers: of the requests
    :param options: of the call
    :param chunk_size: bytes of each chunk; None when that is not known
    :param metachunk_size: bytes of the metachunk; None when that is not known
    :param verify: also compute the checksums of chunks, for :meth:`FragmentSource.is_sound`
    :param sound: URLs of chunks whose files were verified by their servers; other files are verified if their
        fragments have no checksums. None to verify no file
    """

    codec: FragmentCodec
    headers: Mapping[str, object]
    options: Options
    chunk_size: int | None = None
    metachunk_size: int | None = None
    verify: bool = False
    sound: set[str] | None = None


class Request(NamedTuple):
    """Request for the data of a chunk.

    :param first: byte that the answer must begin with
    :param seconds: time to connect at most, besides the limits of the call
    """

    headers: Mapping[str, object]
    first: int
    seconds: float = math.inf


class FragmentSource:
    """Source of the fragments of one chunk.

    :param segment: number of the first fragment to read, counted from the first one that is planned
    :param attempt: number of times that the chunk was asked, this one included
    """

    def __init__(
        self, chunk: Chunk, context: ReadContext, index: int, segment: int, attempt: int = 1
    ) -> None:
        self.chunk = chunk
        self.attempt = attempt
        self.index = index
        #: Number of the fragment that comes next.
        self.segment = self._first = segment
        #: It gave an answer that can be used.
        self.is_open = False
        #: What it is busy with, for the log.
        self.doing = "connecting to"
        self._context = context
        self.conn: Connection | None = None
        #: Kept connection for its request.
        self.kept: object = None
        #: A new one is made here when it turns out dead; False when the reader of all does that.
        self.is_replaced = True
        #: When it was asked (monotonic seconds).
        self.begin = 0.0
        self._first_byte = 0
        #: Set once it is open.
        self._response: ChunkAnswer
        self._rest = b""
        #: Checksum of the data that were read, of the algorithm of its server; None for no comparison.
        self._checksum: Checksum | None = None

    @property
    def netloc(self) -> str:
        """``host:port`` of the server."""
        return self.chunk.netloc

    # --- in the thread of the caller, `ask` and `take` within its time limit ---

    def ask(self, request: Request) -> None:
        """Ask for the data."""
        self.begin, self._first_byte = time.monotonic(), request.first
        kept, self.kept = self.kept, None
        self.conn = connect(
            self.chunk,
            "GET",
            request.headers,
            self._context.options,
            attempt=self.attempt,
            kept=kept,
            is_replaced=self.is_replaced,
        )
        self.doing = "waiting for"

    def take(self, plan: SegmentPlan) -> tuple[int, bytes]:
        """Check the head of the answer, and take a fragment that is small.

        :returns: the index of the fragment, and its bytes
        """
        self._open()
        return self._read(plan, None)

    def failed(self, error: BaseException) -> BaseException:
        """Take an error as the failure of this source, unless it is one of the host.

        :returns: the same error
        """
        reraise_foreign(error, self.conn)
        return error

    def take_next(self, plan: SegmentPlan | None) -> tuple[int, bytes]:
        """Check the head of the answer, unless that is done, and read a fragment, each block in time.

        :param plan: None for the head only
        :returns: the index of the fragment and its bytes, empty when none was asked for
        """
        if not self.is_open:
            with self._limit():
                self._open()
        return (self.index, b"") if plan is None else self._read(plan, self._limit)

    def _limit(self) -> green.OioTimeout:
        return green.ChunkReadTimeout(self._context.options.limits.reading(self.chunk.address))

    # --- in a green thread of its own ---

    def ask_in_time(self, request: Request) -> BaseException | None:
        """Ask for the data.

        :returns: the failure, if any
        """
        try:
            seconds = min(request.seconds, self._context.options.limits.connecting(self.chunk.address))
            with green.ConnectionTimeout(seconds):
                self.ask(request)
        except OWN_THREAD_CANDIDATES as err:
            reraise_foreign(err)
            return err
        return None

    def take_in_time(self, plan: SegmentPlan | None) -> tuple[int, bytes] | BaseException:
        """Same as :meth:`take_next`, but the failure, if any, is returned."""
        try:
            return self.take_next(plan)
        except OWN_THREAD_CANDIDATES as err:
            reraise_foreign(err, self.conn)
            return err

    def _open(self) -> None:
        """Take the head of the answer, and refuse one that does not fit the request."""
        assert self.conn is not None
        context, options = self._context, self._context.options
        self._response = response = self.conn.getresponse()
        if options.perfdata is not None:
            options.add_step("connect", self.chunk, self.begin)
        status = response.status
        if status not in (200, 206):
            raise exc.from_status(status, exc.brief(getattr(response, "reason", "")) or "no reason")
        try:
            start, _, _ = served_range(response)
        except ValueError as err:
            raise exc.CorruptedChunk(str(err)) from err
        if start != self._first_byte:
            # Also a 200 with the whole chunk: a rawx ignores a range that it does not understand.
            text = f"bytes from {start} on came, not from {self._first_byte} (HTTP {status})"
            raise exc.CorruptedChunk(text)
        expected = {
            "chunk_size": context.chunk_size,
            "metachunk_size": context.metachunk_size,
            "metachunk_hash": self.chunk.hash,
        }
        if problem := mismatch(response, expected):
            raise exc.CorruptedChunk(problem)
        if context.verify and (stored := response.getheader(CHUNK_HEADERS["chunk_hash"])):
            self._checksum = checksum_like(stored)
        self.is_open, self.doing = True, "reading from"

    def _read(self, plan: SegmentPlan, limit: Callable[[], green.OioTimeout] | None) -> tuple[int, bytes]:
        """Read the next fragment: whole and checked, whatever the size of the blocks that come.

        :param limit: makes the time limit of each block; None when the caller has set one
        """
        segment, self.segment = self.segment, self.segment + 1
        size, options = plan.sizes[segment], self._context.options
        data = self._rest
        blocks, left = [data] if data else [], size - len(data)
        while left > 0:
            begin = time.monotonic()
            if limit is None:
                data = self._response.read(min(left, _LARGEST_READ))
            else:
                with limit():
                    data = self._response.read(min(left, _LARGEST_READ))
            if options.perfdata is not None:
                options.add_step("download", self.chunk, begin)
            if not data:
                raise OSError(f"the body ends {left} bytes early, in a fragment of {size}")
            blocks.append(data)
            left -= len(data)
        if len(blocks) > 1:
            data = b"".join(blocks)
        # Fake responses may give more than was asked for.
        fragment, self._rest = bytes(data[:size]), data[size:]
        try:
            index, _ = self._context.codec.check(fragment, plan.lengths[segment])
        except DamagedFragment as err:
            raise DamagedChunk(f"segment {segment}: {err}") from err
        except exc.ECError as err:
            raise exc.CorruptedChunk(f"segment {segment}: {err}") from err
        if self._context.sound is not None:
            self._verify_file(fragment, self._context.sound)
        if self._checksum is not None:
            self._checksum.update(fragment)
        return index, fragment

    def _verify_file(self, fragment: bytes, sound: set[str]) -> None:
        """Let the server verify the file, unless this fragment of it has a checksum of its own."""
        url = self.chunk.url
        if url in sound or has_checksum(fragment):
            return
        try:
            verify_file(self.chunk, None, self._context.headers, self._context.options)
        except exc.CorruptedChunk as err:
            raise DamagedChunk(str(err)) from err
        sound.add(url)

    @property
    def announced_size(self) -> int | None:
        """Bytes of the whole chunk, as its server tells; None if it does not."""
        get = self._response.getheader
        size = str(get(CHUNK_HEADERS["chunk_size"]) or get("Content-Length"))
        return int(size) if size.isdecimal() and len(size) < 20 else None

    @property
    def is_whole(self) -> bool:
        """Whether it was read from its first fragment on."""
        return self._first == 0

    def is_sound(self) -> bool:
        """Whether the data that were read are those that were stored, as far as can be known."""
        if self._checksum is None or not self.is_whole:
            return True
        stored = self._response.getheader(CHUNK_HEADERS["chunk_hash"]) or ""
        return stored.lower() == self._checksum.hexdigest()

    def close(self) -> None:
        """Close the connection. May be called twice."""
        if self.kept is not None:
            # Its request was not sent.
            kept, self.kept = self.kept, None
            give_back([self.chunk], [kept], self._context.options)
        conn, self.conn = self.conn, None
        if conn is None:
            return
        try:
            conn.close()
        except CANDIDATES as err:  # Closing must never hide why we close.
            reraise_foreign(err, conn)
            _LOGGER.debug("Failed to close the connection to %s: %s", self.chunk.url, err)
