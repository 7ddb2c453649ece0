# SPDX-License-Identifier: Apache-2.0
"""Candidates to read a chunk from: the search for one that can serve, and its data."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from typing import Any

from oio.blob.connect import (
    OWN_THREAD_CANDIDATES,
    READ_CHUNK_SIZE,
    ChunkAnswer,
    Connection,
    close_connection,
    close_source,
    connect,
    reraise_of_host,
    seam_is_replaced,
    served_range,
)
from oio.blob.events import note_failure, report_other_chunk
from oio.blob.hedged import Rivals
from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Chunk, ChunkDict, place_of
from oio.common.events import FAILED_OVER, RETRIED
from oio.common.hedging import Hedging
from oio.common.http import http_header_from_ranges, ranges_from_http_header
from oio.common.http_eventlet import POOL, DeadConnection
from oio.common.options import Options

_SERVED = (200, 206)
_GONE = 404

_LARGEST_READ = 16 * READ_CHUNK_SIZE
#: Reads grow while each takes less than this share of its time limit.
_QUICK = 0.01


class Candidates(Rivals):
    """Candidates to read a chunk from, in turn; gives blocks as they come, within the limits of a call.

    :param chunks: the candidates
    :param headers: of the requests; the dict is changed, since their range follows the reading
    :param check_head: given a response and its chunk, returns the reason to refuse them, or None
    :param check_file: raises when a candidate must not be used
    :param suspects: gets the addresses of servers that fail
    :param exact: refuse a range that ends elsewhere than asked
    :param read_size: bytes to read at once; by default more and more while they come quickly
    """

    #: Bytes of the records that must be given whole; None when the data are no records.
    buf_size: int | None = None

    def __init__(
        self,
        chunks: Iterable[Chunk | ChunkDict] | None,
        headers: dict[str, Any],
        options: Options,
        *,
        check_head: Callable[[ChunkAnswer, Chunk], str | None] | None = None,
        check_file: Callable[[Chunk], object] | None = None,
        suspects: set[str] | None = None,
        exact: bool = True,
        read_size: int | None = None,
    ) -> None:
        super().__init__(chunks, headers, options, suspects)
        #: When the candidate that is read was asked (monotonic seconds).
        self._begun = 0.0
        self._response: ChunkAnswer | None = None
        self._served: tuple[int, int | None, int | None] | None = None
        self._exact, self._read_size, self._check_head = exact, read_size, check_head
        self._check_file = check_file
        #: Status of the last answer that could be used.
        self.status: int | None = None
        #: URL of each candidate that gave data.
        self.served: list[str] = []

    def _asked_range(self) -> tuple[int, int] | None:
        """The closed range that is asked for, if any."""
        value = self.request_headers.get("Range")
        if not value:
            return None
        start, end = ranges_from_http_header(value)[0]
        return None if start is None or end is None else (start, end)

    def _open(self, chunk: Chunk, may_keep: bool = True) -> tuple[ChunkAnswer, Chunk] | None:
        """Ask a candidate for the data.

        :param may_keep: use a kept connection, if there is one: it may be dead
        :returns: the answer, and the candidate that gave it, which may be a rival; None for a failure, which
            is noted
        """
        options, limits = self._options, self._options.limits
        conn = source = None
        problem: object = None
        doing, usable = "connecting to", False
        # Fakes of applications see no request but those that they expect.
        hedging = None if seam_is_replaced() else options.rivals
        begin = self._begun = time.monotonic()
        try:
            if self._check_file is not None:
                hedging, doing = None, "verifying the file at"
                self._check_file(chunk)
                doing = "connecting to"
            asked = self._connect(chunk, hedging, may_keep)
            if asked is None:
                return None
            chunk, conn = asked
            doing = "waiting for"
            seconds = limits.reading(chunk.address)
            if hedging is not None:
                due = limits.clock() + seconds
                chunk, conn = self._await_first_byte(chunk, conn, seconds, hedging)
                seconds = max(0.0, due - limits.clock())
            with green.ChunkReadTimeout(seconds):
                source = conn.getresponse()
            source.conn = conn
            if options.perfdata is not None:
                options.add_step("connect", chunk, begin)
            problem = self._problem(source, chunk)
            usable = problem is None
        except exc.DeadlineReached:
            raise
        except OWN_THREAD_CANDIDATES as err:
            reraise_of_host(err, conn)
            problem = err
        finally:
            if conn is not None and not usable:
                if problem is not None and not isinstance(problem, DeadConnection):
                    note_failure(conn, problem)
                close_connection(conn, source, self.logger)
        if isinstance(problem, DeadConnection):
            # A new one may take long to make: it may have rivals.
            return self._open(chunk, may_keep=False)
        if problem is not None or source is None:
            self._failed(chunk, _status_of(problem, source), problem, f"{doing} {chunk.netloc}", begin)
            return None
        self.status, self._response = source.status, source
        self.served.append(chunk.url)
        return source, chunk

    def _connect(
        self, chunk: Chunk, hedging: Hedging | None, may_keep: bool
    ) -> tuple[Chunk, Connection] | None:
        """Send a candidate the request.

        :param may_keep: see :meth:`_open`
        :returns: the candidate that has it, which may be a rival, and the connection; None when all that were
            asked have failed, which is noted
        """
        options, headers = self._options, self.request_headers
        attempt = self._attempt(chunk) if self.errors else 1
        scheme, netloc, _ = place_of(chunk.address)
        with green.ConnectionTimeout(options.limits.connecting(netloc)):
            if hedging is None:
                return chunk, connect(chunk, "GET", headers, options, attempt=attempt)
            kept = POOL.take((scheme, netloc, options.ssl_context)) if may_keep else None
            try:
                if kept is not None:
                    return chunk, connect(chunk, "GET", headers, options, b"", attempt, kept, False)
            except DeadConnection:
                pass  # A new one may take long to make.
        return self._connect_with_rivals(chunk, attempt, hedging)

    def _await_first_byte(
        self, chunk: Chunk, conn: Any, seconds: float, hedging: Hedging
    ) -> tuple[Chunk, Connection]:
        """Wait for the first byte, and ask a rival as well when it is late.

        :param conn: which is no fake
        :param seconds: to wait for either of them
        :returns: the candidate that is used, and its connection
        """
        begin, delay = time.monotonic(), hedging.delay
        if green.wait_any([conn.sock], min(delay, seconds)):
            hedging.note_first_bytes(time.monotonic() - begin)
            return chunk, conn
        # Without time for a rival, the first one has used up its limit, and fails.
        return self._race(chunk, conn, begin + seconds, hedging) if delay < seconds else (chunk, conn)

    def _problem(self, source: ChunkAnswer, chunk: Chunk) -> str | None:
        """Reason to refuse a response; None when it is the one that was asked for."""
        if source.status not in _SERVED:
            return exc.brief(getattr(source, "reason", "")) or "no reason"
        announced = source.getheader("Content-Length")
        try:
            start, end, _ = self._served = served_range(source)
            length = None if announced is None else int(announced)
            # Most often the same: then, nothing has to be parsed.
            is_asked = self.request_headers.get("Range") == f"bytes={start}-{end}"
            asked = None if is_asked else self._asked_range()
        except ValueError as err:
            return str(err)
        if asked is not None and (start != asked[0] or (self._exact and end != asked[1])):
            # Also a 200 with the whole chunk: a rawx ignores a range that it does not understand.
            return f"range {asked} was asked for, {(start, end)} came (HTTP {source.status})"
        if self._exact and length is not None and end is not None and length != end - start + 1:
            return f"{announced} bytes are announced for the range {(start, end)}"
        return None if self._check_head is None else self._check_head(source, chunk)

    def _get_source(self) -> tuple[Any, Any]:
        """Response of the next candidate that can serve, and that candidate; (None, None) without one."""
        while True:
            candidate = next(self.chunk_iter, None)
            if candidate is None:
                if not self._second_tries:
                    return None, None
                candidate = self._second_tries.pop(0)
            chunk = candidate if type(candidate) is Chunk else Chunk.of(candidate)
            if self.errors:
                attempt = self._attempt(chunk)
                report_other_chunk(self._options, FAILED_OVER if attempt == 1 else RETRIED, chunk, attempt)
            opened = self._open(chunk)
            if opened is not None:
                return opened

    def _no_source_left(self) -> exc.OioException:
        """Make the exception that tells why no candidate could serve."""
        statuses = {status for _, status, _ in self.errors}
        reasons = "; ".join(
            f"{url}: {reason} (HTTP {status})" if status else f"{url}: {reason}"
            for url, status, reason in self.errors
        )
        text = f"No source left: {reasons or 'there is no chunk to read'}"
        # Chunks that do not exist say nothing about the data.
        others = [reason for _, status, reason in self.errors if status != _GONE]
        if others and all(isinstance(reason, exc.CorruptedChunk) for reason in others):
            error: exc.OioException = exc.CorruptedChunk(text)
        elif len(statuses) == 1 and not self.served:
            error = exc.from_status(statuses.pop(), text)
        else:
            error = exc.ServiceUnavailable(text)
        error.reqid = self.reqid
        return error

    def _find_source(self, after: BaseException | None = None) -> tuple[ChunkAnswer, Chunk]:
        """Get the response of the next candidate that can serve, and that candidate.

        :param after: failure of the one before
        """
        source, chunk = self._get_source()
        if source is None:
            raise self._no_source_left() from after
        if self._response is None:
            # A test of an application has replaced the search.
            self._response = source
        return source, chunk if type(chunk) is Chunk else Chunk.of(chunk)

    def _skip(self) -> int:
        """Number of bytes to drop before the first full record."""
        return 0

    def blocks(
        self, source: ChunkAnswer | None = None, chunk: Chunk | None = None
    ) -> Generator[bytes, None, None]:
        """The data, from one candidate and, when it fails, from the next ones.

        An empty block means that the beginning of a record, which was given, will come again.

        :param source: response that was found before, and `chunk` its candidate: an empty block comes first
        """
        given, skip = 0, self._skip() if self.buf_size else 0
        try:
            if source is None or chunk is None:
                source, chunk = self._find_source()
            else:
                yield b""
            left, size = self._begin(source)
            while left is None or left > 0:
                try:
                    block, size = self._read(source, left, size, chunk)
                    if not block:
                        break
                except (exc.DeadlineReached, GeneratorExit):
                    raise
                except OWN_THREAD_CANDIDATES as err:
                    reraise_of_host(err, getattr(source, "conn", source))
                    rest = max(0, given - skip) % self.buf_size if self.buf_size else 0
                    found = self._replace(source, chunk, err, given - rest)
                    if rest:
                        yield b""
                    if found is None:
                        return
                    source, chunk = found
                    # When fewer bytes came than are to be dropped, the rest of these comes first.
                    given, skip = 0, max(0, skip - given)
                    left, size = self._begin(source)
                    continue
                given += len(block)
                if left is not None:
                    left -= len(block)
                yield block
        finally:
            close_connection(getattr(source, "conn", None), source, self.logger)

    def _begin(self, source: ChunkAnswer) -> tuple[int | None, int]:
        """Number of bytes that a response has, and of those to read first; the request gets its range."""
        # The source may come from a test of an application, which has replaced the search.
        start, end, length = self._served or served_range(source)
        self._served = None
        self.fill_ranges(start, end, length)
        return None if end is None else end - start + 1, self._read_size or READ_CHUNK_SIZE

    def _read(self, source: Any, left: int | None, size: int, chunk: Chunk) -> tuple[bytes, int]:
        """Read a block of a body exactly as long as announced.

        :returns: the block, empty at the end of a body of unknown length; number of bytes to read next
        """
        begin = time.monotonic()
        if left is not None:
            size = min(size, left)
        # A slow source has the limit for no more bytes than at first.
        following = self._read_size or READ_CHUNK_SIZE
        if getattr(source, "is_there", False):
            # The body came along with its head: nothing is waited for.
            block = (source.whole() if size == left == source.length else b"") or source.read(size)
        else:
            limit = self._options.limits.reading(chunk.address)
            with green.ChunkReadTimeout(limit):
                block = source.read(size)
            if not self._read_size and time.monotonic() - begin < limit * _QUICK:
                following = min(size * 4, _LARGEST_READ)
        if self._options.perfdata is not None:
            self._options.add_step("download", chunk, begin)
        if left is not None:
            if not block:
                raise OSError(f"the body ends {left} bytes early")
            if len(block) > left:
                raise OSError(f"the body has {len(block) - left} bytes too many")
        return block, following

    def _replace(
        self, source: ChunkAnswer, chunk: Chunk, error: BaseException, given: int
    ) -> tuple[ChunkAnswer, Chunk] | None:
        """Find a source for the bytes after those given; None when nothing is left to read."""
        note_failure(getattr(source, "conn", None), error)
        close_source(source, self.logger)
        self._failed(chunk, 0, error, f"reading from {chunk.netloc}", self._begun)
        try:
            self.recover(given)
        except exc.EmptyByteRange:
            return None
        return self._find_source(error)

    def fill_ranges(self, start: int, end: int | None, length: int | None) -> None:
        """Set the range of the request to the closed one that is being served.

        Chunk servers honour no other range, and a recovery starts from it (pitfalls 47 and 48).

        :param start: first byte
        :param end: last byte, inclusive; None when the answer does not tell
        :param length: bytes of the whole chunk; None when the answer does not tell
        """
        if end is not None and length and end >= start:
            self.request_headers["Range"] = f"bytes={start}-{end}"

    def recover(self, nb_bytes: int) -> None:
        """Change the range of the request, to go on from another source.

        :param nb_bytes: bytes already consumed since the last recovery, which are not asked for again
        :raises ValueError: if the range header is not one that can be recovered
        :raises oio.common.exceptions.UnsatisfiableRange: if more was consumed than was asked for
        :raises oio.common.exceptions.EmptyByteRange: if there is nothing more to read
        """
        value = self.request_headers.get("Range")
        if not value:
            self.request_headers["Range"] = f"bytes={nb_bytes}-"
            return
        start, end = ranges_from_http_header(value)[0]
        if start is not None:
            start += nb_bytes
            left = 1 if end is None else end - start + 1
        else:
            left = end = (end or 0) - nb_bytes
        if left < 0:
            raise exc.UnsatisfiableRange(416, None, f"{nb_bytes} bytes were read of {value}")
        if left == 0:
            raise exc.EmptyByteRange(f"All bytes were read of {value}")
        self.request_headers["Range"] = http_header_from_ranges([(start, end)])


def _status_of(problem: object, source: ChunkAnswer | None) -> int:
    """HTTP status of a refusal; 0 for other failures."""
    if isinstance(problem, exc.StatusMessageException):
        status: int = problem.http_status
        return status
    is_refused = isinstance(problem, str) and source is not None and source.status not in _SERVED
    return source.status if source is not None and is_refused else 0
