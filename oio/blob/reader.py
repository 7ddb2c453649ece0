# SPDX-License-Identifier: Apache-2.0
"""Reader of one chunk out of several candidates: it counts bytes, and goes on elsewhere after a failure."""

from __future__ import annotations

import collections
import logging
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from oio.blob.answers import (
    Part,
    close_connection,
    close_source,
    discard_bytes,
    make_iter_from_resp,
    served_range,
)
from oio.blob.connect import (
    CANDIDATES,
    ChunkAnswer,
    Connection,
    connect,
    encoding_of,
    is_cut,
    pass_foreign,
    seam_is_replaced,
    socket_of,
)
from oio.blob.watched import blame, chunk_failed, other_chunk
from oio.common import exceptions as exc
from oio.common import green
from oio.common.answers import JsonObject
from oio.common.chunks import Chunk, ChunkDict
from oio.common.events import FAILED_OVER, HEDGED, RETRIED
from oio.common.hedging import CONNECTING_SECONDS, Hedging
from oio.common.http import (
    http_header_from_ranges,
    ranges_from_http_header,
)
from oio.common.options import Options, identify
from oio.common.perfdata import add_figure
from oio.common.utils import lower_dict_keys

_LOGGER = logging.getLogger(__name__)

_T = TypeVar("_T")

READ_CHUNK_SIZE = 65536
_LARGEST_READ = 16 * READ_CHUNK_SIZE
#: Reads grow while each takes less than this share of its time limit.
_QUICK = 0.01
_CLOSED_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)")


class ChunkReader:
    """Reader of a chunk.

    The candidates are tried in turn until one answers. When one fails half-way, the next is asked for the
    rest, from the exact byte. Those that the network has cut off get a second try after the others.

    :param chunk_iter: the candidates, dicts with ``url`` and maybe ``real_url``; when it is an iterator, it
        may be shared by several readers, so that each candidate is used once; None for no candidate
    :param buf_size: bytes of each block given out (the last is shorter); None for blocks as they come
    :param headers: of the requests; ``Range`` is followed as the reading goes
    :param connection_timeout: seconds to connect to each candidate
    :param read_timeout: seconds for the head of an answer, and for each block
    :param align: start at a multiple of ``buf_size``, and drop what comes before
    :param _kwargs: ``deadline`` (monotonic seconds, of the whole reading), ``ssl_context``, ``check_head``
        (given a response and its chunk, tells why they cannot be used, or None), ``exact`` (True; False
        accepts a range that ends elsewhere than asked, when the caller counts the bytes), ``read_size``:
        bytes to read at once; by default more and more while they come quickly; ``perfdata``
    """

    def __init__(
        self,
        chunk_iter: Iterable[Chunk | ChunkDict] | None,
        buf_size: int | None,
        headers: Mapping[str, object],
        connection_timeout: float | None = None,
        read_timeout: float | None = None,
        align: bool = False,
        **_kwargs: Any,
    ) -> None:
        options = Options.of(_kwargs, connection_timeout=connection_timeout, read_timeout=read_timeout)
        self._start(chunk_iter, headers, options, buf_size=buf_size, align=align)
        self._exact = _kwargs.get("exact", True)
        self._read_size = _kwargs.get("read_size")
        self._check_head = _kwargs.get("check_head")
        self.logger = _kwargs.get("logger") or _LOGGER

    @classmethod
    def with_options(
        cls,
        chunks: Iterable[Chunk],
        headers: Mapping[str, object],
        options: Options,
        *,
        check_head: Callable[[ChunkAnswer, Chunk], str | None] | None = None,
        check_file: Callable[[Chunk], object] | None = None,
        exact: bool = True,
        read_size: int | None = None,
    ) -> ChunkReader:
        """Make a reader that gives blocks as they come, within the limits of a call.

        :param check_file: raises when a candidate must not be used
        """
        reader = cls.__new__(cls)
        reader._start(chunks, headers, options)
        reader._check_file = check_file
        reader._exact, reader._read_size, reader._check_head = exact, read_size, check_head
        reader.logger = _LOGGER
        return reader

    def _start(
        self,
        chunks: Iterable[Chunk | ChunkDict] | None,
        headers: Mapping[str, object],
        options: Options,
        buf_size: int | None = None,
        align: bool = False,
    ) -> None:
        self.chunk_iter = iter(() if chunks is None else chunks)
        self.buf_size = buf_size
        self.align = align
        self.request_headers: dict[str, Any] = dict(headers)
        self._options = options
        self._netloc = ""
        #: When the candidate that is read was asked (monotonic seconds).
        self._begun = 0.0
        self._response: ChunkAnswer | None = None
        self._served: tuple[int, int | None, int | None] | None = None
        self._check_file: Callable[[Chunk], object] | None = None
        #: Candidates that were cut off by the network, and may be tried once more after the others.
        self._second_tries: collections.deque[Chunk] = collections.deque()
        #: Status of the last answer that could be used.
        self.status: int | None = None
        #: Why each candidate failed: URL, HTTP status (0 for the network), reason.
        self.errors: list[tuple[str, int, object]] = []
        #: URL of each candidate that gave data.
        self.served: list[str] = []

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the last answer that could be used, with lower-case names."""
        # Fakes give a dict, or pairs.
        return {} if self._response is None else lower_dict_keys(dict(self._response.getheaders()))

    @property
    def reqid(self) -> str | None:
        """ID of the request; None when there is none."""
        return identify(self.request_headers)[0] or None

    @property
    def connection_timeout(self) -> float | None:
        """Seconds to connect to each candidate; None for the default."""
        return self._options.limits.connection

    @property
    def read_timeout(self) -> float | None:
        """Seconds for the head of an answer, and for each block; None for the default."""
        return self._options.limits.read

    @property
    def deadline(self) -> float | None:
        """End of the whole reading (monotonic seconds); None without one."""
        return self._options.limits.deadline

    # --- ranges ---

    def _asked(self) -> tuple[int, int] | None:
        """The closed range that is asked for, if any."""
        value = self.request_headers.get("Range")
        if not value:
            return None
        if closed := _CLOSED_RANGE.fullmatch(value):
            return int(closed[1]), int(closed[2])
        start, end = ranges_from_http_header(value)[0]
        return None if start is None or end is None else (start, end)

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

    def fill_ranges(self, start: int, end: int, length: int) -> None:
        """Ask for the closed range that is being served, whatever was asked for before.

        Chunk servers honour no other, and a recovery starts from it (pitfalls 47 and 48).
        """
        if length == 0 or end is None or end < start:
            return
        self.request_headers["Range"] = f"bytes={start}-{end}"

    # --- sources ---

    def _attempt(self, chunk: Chunk) -> int:
        """How often a candidate was asked, this time included."""
        return 1 + sum(url == chunk.url for url, _, _ in self.errors)

    def _failed(self, chunk: Chunk, status: int, reason: object, doing: str, begin: float) -> None:
        """Note why a candidate cannot be used, and stop when there is no time for another.

        :param begin: when it was asked (monotonic seconds)
        """
        if is_cut(reason) and all(url != chunk.url for url, _, _ in self.errors):
            self._second_tries.append(chunk)
        error = f"HTTP {status}: {reason}" if status and isinstance(reason, str) else reason
        attempt = self._attempt(chunk)
        event = chunk_failed(self._options, "GET", chunk, error, begin, attempt)
        self.errors.append((chunk.url, status, reason))
        text = "Failed %s: %s: %s (reqid=%s)"
        self.logger.warning(text, doing, chunk.url, reason, self.reqid, extra=event.fields())
        left = self._options.limits.left()
        if left is not None and left <= 0:
            text = f"Deadline reached while {doing}: {reason}"
            raise exc.DeadlineReached(text, reqid=self.reqid, service=chunk.netloc)

    def _open(self, chunk: Chunk) -> tuple[ChunkAnswer, Chunk] | None:
        """Ask a candidate for the data.

        :returns: the answer, and the candidate that gave it, which may be a rival; None when it is of no use
        """
        limits = self._options.limits
        conn = source = None
        problem: object = None
        status, doing, usable = 0, "connecting to", False
        netloc = self._netloc = chunk.netloc
        begin = self._begun = time.monotonic()
        try:
            if self._check_file is not None:
                doing = "verifying the file at"
                self._check_file(chunk)
            doing = "connecting to"
            with green.ConnectionTimeout(limits.connecting(netloc)):
                attempt = self._attempt(chunk) if self.errors else 1
                conn = connect(chunk, "GET", self.request_headers, self._options, attempt=attempt)
            doing = "waiting for"
            seconds = limits.reading(netloc)
            if self._options.rivals is not None and self._check_file is None:
                due = limits.clock() + seconds
                chunk, conn = self._race(chunk, conn, seconds, self._options.rivals)
                netloc = self._netloc = chunk.netloc
                seconds = max(0.0, due - limits.clock())
            with green.ChunkReadTimeout(seconds):
                source = conn.getresponse()
            source.conn = conn
            if self._options.perfdata is not None:
                self._options.add_step("connect", chunk, begin)
            if source.status in (200, 206):
                problem = self._problem(source, chunk)
            else:
                status, problem = source.status, exc.brief(getattr(source, "reason", "")) or "no reason"
            usable = problem is None
        except exc.DeadlineReached:
            raise
        except CANDIDATES as err:
            pass_foreign(err, conn)
            problem = err
            status = err.http_status if isinstance(err, exc.StatusMessageException) else 0
        finally:
            if conn is not None and not usable:
                if problem is not None:
                    blame(conn, problem)
                close_connection(conn, source, self.logger)
        if problem is not None or source is None:
            self._failed(chunk, status, problem, f"{doing} {netloc}", begin)
            return None
        self.status, self._response = source.status, source
        self.served.append(chunk.url)
        return source, chunk

    def _race(
        self, chunk: Chunk, conn: Connection, seconds: float, hedging: Hedging
    ) -> tuple[Chunk, Connection]:
        """Ask another candidate as well when the first byte is late; the first one that answers is used.

        :param seconds: to wait for either of them
        :returns: the candidate, and its connection
        """
        sock, begin = socket_of(conn), time.monotonic()
        if sock is None:
            return chunk, conn
        delay = hedging.delay
        if green.wait_any([sock], min(delay, seconds)):
            hedging.note_first_bytes(time.monotonic() - begin)
            return chunk, conn
        # Without time for a rival, the one that was asked first has failed.
        found = self._rival(hedging) if delay < seconds else None
        if found is None:
            return chunk, conn
        rival, other = found
        winner = conn
        try:
            begun = time.monotonic()
            ready = green.wait_any([sock, socket_of(other)], seconds - (begun - begin))
            if ready and sock not in ready:
                hedging.note_first_bytes(time.monotonic() - begun)
                hedging.note_late(chunk.netloc)
                winner = other
                # It may still be of use.
                self._second_tries.append(chunk)
                return rival, other
            if ready:
                self._second_tries.append(rival)
            else:
                reason = exc.OioTimeout("Chunk read timeout: no answer in time")
                blame(other, reason)
                self._failed(rival, 0, reason, f"waiting for {rival.netloc}", begun)
            return chunk, conn
        finally:
            close_connection(other if winner is conn else conn, None, self.logger)

    def _rival(self, hedging: Hedging) -> tuple[Chunk, Connection] | None:
        """Ask the next candidate for the data, if it may be a rival."""
        # Fakes of applications see no request but those that they expect.
        if seam_is_replaced() or not hedging.take():
            return None
        candidate = next(self.chunk_iter, None)
        if candidate is None:
            hedging.give_back()
            return None
        chunk, options = Chunk.of(candidate), self._options
        begin = time.monotonic()
        other_chunk(options, HEDGED, chunk)
        try:
            with green.ConnectionTimeout(min(CONNECTING_SECONDS, options.limits.connecting(chunk.netloc))):
                conn = connect(chunk, "GET", self.request_headers, options)
        except green.ConnectionTimeout:
            hedging.note_late(chunk.netloc)
            # With all the time of a connection, it may still be of use.
            self._second_tries.append(chunk)
            return None
        except CANDIDATES as err:
            pass_foreign(err)
            self._failed(chunk, 0, err, f"connecting to {chunk.netloc}", begin)
            return None
        if options.perfdata is not None:
            add_figure(options.perfdata.setdefault("rawx", {}), "hedged", 1)
        return chunk, conn

    def _problem(self, source: ChunkAnswer, chunk: Chunk) -> str | None:
        """Why a response is not the one that was asked for; None when it is."""
        announced = source.getheader("Content-Length")
        try:
            start, end, _ = self._served = served_range(source)
            length = None if announced is None else int(announced)
        except ValueError as err:
            return str(err)
        asked = self._asked()
        if asked is not None and (start != asked[0] or (self._exact and end != asked[1])):
            # Also a 200 with the whole chunk: a rawx ignores a range that it does not understand.
            return f"range {asked} was asked for, {(start, end)} came (HTTP {source.status})"
        if self._exact and length is not None and end is not None and length != end - start + 1:
            return f"{announced} bytes are announced for the range {(start, end)}"
        if refusal := encoding_of(source):
            return refusal
        return None if self._check_head is None else self._check_head(source, chunk)

    def _get_source(self) -> tuple[Any, Any]:
        """The response of the next candidate that can serve, and the candidate; (None, None) without one."""
        while (candidate := self._next_candidate()) is not None:
            chunk = candidate if type(candidate) is Chunk else Chunk.of(candidate)
            if self.errors:
                attempt = self._attempt(chunk)
                other_chunk(self._options, FAILED_OVER if attempt == 1 else RETRIED, chunk, attempt)
            opened = self._open(chunk)
            if opened is not None:
                return opened
        return None, None

    def _next_candidate(self) -> Chunk | ChunkDict | None:
        candidate = next(self.chunk_iter, None)
        if candidate is None and self._second_tries:
            return self._second_tries.popleft()
        return candidate

    def _no_source_left(self) -> exc.OioException:
        """The exception that tells why no candidate could serve."""
        statuses = {status for _, status, _ in self.errors}
        reasons = "; ".join(
            f"{url}: {reason} (HTTP {status})" if status else f"{url}: {reason}"
            for url, status, reason in self.errors
        )
        text = f"No source left: {reasons or 'there is no chunk to read'}"
        if len(statuses) == 1 and not self.served:
            error: exc.OioException = exc.from_status(statuses.pop(), text)
        else:
            error = exc.ServiceUnavailable(text)
        error.reqid = self.reqid
        return error

    # --- data ---

    @staticmethod
    def get_next_part(parts_iter: Iterator[Part]) -> Part | None:
        """Get the next part of the body; there is one only."""
        return next(parts_iter, None)

    def get_iter(self) -> Generator[JsonObject, None, None]:
        """Connect to the first candidate that answers.

        :returns: a generator of one part, a dict with ``start``, ``end`` (inclusive), ``length``, ``headers``
            and ``iter``, a generator of the data. Closing it closes the connection.
        :raises oio.common.exceptions.ClientException: the subclass of the status that all candidates gave
        :raises oio.common.exceptions.ServiceUnavailable: when no candidate answers, for several reasons
        :raises oio.common.exceptions.DeadlineReached: no time is left
        """
        source, chunk = self._get_source()
        if source is None:
            raise self._no_source_left()
        return _started(self._iter_parts(source, chunk))

    def __iter__(self) -> Iterator[JsonObject]:
        return self.get_iter()

    def _iter_parts(self, source: ChunkAnswer, chunk: Chunk) -> Generator[JsonObject, None, None]:
        data = None
        try:
            yield {}
            parts_iter = make_iter_from_resp(source)
            found = self.get_next_part(parts_iter)
            if found is None:
                return
            start, end, length, headers, part = found
            data = self.iter_from_resp(source, parts_iter, part, chunk)
            yield {"start": start, "end": end, "length": length, "iter": data, "headers": headers}
        finally:
            # The data generator closes the source that is current, if it was started at all.
            if data is not None:
                data.close()
            close_source(source, self.logger)

    def iter_from_resp(
        self, source: ChunkAnswer, parts_iter: Iterator[Part], part: object, chunk: Chunk | ChunkDict
    ) -> Generator[bytes, None, None]:
        """Give the data of a part, from ``source`` and, when it fails, from the next candidates.

        :raises oio.common.exceptions.OioException: when no candidate is left
        """
        return self._data(source, Chunk.of(chunk))

    def _data(self, source: ChunkAnswer, chunk: Chunk) -> Generator[bytes, None, None]:
        blocks = _started(self._blocks(source, chunk))
        return _started(_aligned(blocks, self.buf_size, self._skip())) if self.buf_size else blocks

    def _skip(self) -> int:
        """How many bytes to drop before the first full record."""
        asked = self._asked()
        return discard_bytes(self.buf_size, asked[0]) if self.align and self.buf_size and asked else 0

    def _blocks(self, source: ChunkAnswer, chunk: Chunk) -> Generator[bytes, None, None]:
        """An empty block, then the data from ``source`` and, when it fails, from the next candidates.

        Another empty block means that the beginning of a record, which was given, will come again.
        """
        given, skip = 0, self._skip()
        try:
            yield b""
            left, size = self._begin(source)
            while left is None or left > 0:
                try:
                    block, size = self._read(source, left, size, chunk)
                    if not block:
                        break
                except (exc.DeadlineReached, GeneratorExit):
                    raise
                except CANDIDATES as err:
                    pass_foreign(err, getattr(source, "conn", source))
                    rest = max(0, given - skip) % self.buf_size if self.buf_size else 0
                    found = self._replace(source, chunk, err, given - rest)
                    if rest:
                        yield b""
                    if found is None:
                        return
                    source, chunk = found
                    # The rest begins in the middle of what is dropped, when less came.
                    given, skip = 0, max(0, skip - given)
                    left, size = self._begin(source)
                    continue
                given += len(block)
                if left is not None:
                    left -= len(block)
                yield block
        finally:
            close_source(source, self.logger)

    def _begin(self, source: ChunkAnswer) -> tuple[int | None, int]:
        """Number of bytes that a response has, and of those to read first; follow its range."""
        # The source may be one that an application's test has put in place.
        start, end, length = self._served or served_range(source)
        self._served = None
        if end is not None and length and end >= start:
            self.request_headers["Range"] = f"bytes={start}-{end}"
        return None if end is None else end - start + 1, self._read_size or READ_CHUNK_SIZE

    def _read(self, source: ChunkAnswer, left: int | None, size: int, chunk: Chunk) -> tuple[bytes, int]:
        """Read a block of a body exactly as long as announced.

        :returns: the block, empty at the end of a body of unknown length; how many bytes to read next
        """
        limit = self._options.limits.reading(self._netloc)
        begin = time.monotonic()
        with green.ChunkReadTimeout(limit):
            block = source.read(size if left is None else min(size, left))
        spent = time.monotonic() - begin
        if self._options.perfdata is not None:
            self._options.add_step("download", chunk, begin)
        if left is not None:
            if not block:
                raise OSError(f"the body ends {left} bytes early")
            if len(block) > left:
                raise OSError(f"the body has {len(block) - left} bytes too many")
        if self._read_size:
            return block, self._read_size
        # A slow source is asked for no more than before within the limit.
        return block, min(size * 4, _LARGEST_READ) if spent < limit * _QUICK else READ_CHUNK_SIZE

    def _replace(
        self, source: ChunkAnswer, chunk: Chunk, error: BaseException, given: int
    ) -> tuple[ChunkAnswer, Chunk] | None:
        """The next source, which goes on after the ``given`` bytes; None when nothing is left to read."""
        blame(getattr(source, "conn", None), error)
        close_source(source, self.logger)
        self._failed(chunk, 0, error, f"reading from {chunk.netloc}", self._begun)
        try:
            self.recover(given)
        except exc.EmptyByteRange:
            return None
        other, candidate = self._get_source()
        if other is None:
            raise self._no_source_left() from error
        return other, Chunk.of(candidate)

    def stream(self) -> Generator[bytes, None, None]:
        """Get a generator of the data.

        The headers are known when this returns, even if no data are read. Closing the generator closes the
        connection.
        """
        source, chunk = self._get_source()
        if source is None:
            raise self._no_source_left()
        if self._response is None:
            # An application's test has put its own in the place of the search.
            self._response = source
        return self._data(source, chunk if type(chunk) is Chunk else Chunk.of(chunk))


def _aligned(blocks: Generator[bytes, None, None], size: int, skip: int) -> Generator[bytes, None, None]:
    """Blocks of `size` bytes, but for the last one, without the first `skip` bytes."""
    buffer = bytearray()
    try:
        yield b""
        for block in blocks:
            if not block:
                buffer.clear()
            buffer += block[skip:]
            skip = max(0, skip - len(block))
            while len(buffer) >= size:
                yield bytes(buffer[:size])
                del buffer[:size]
        if buffer:
            yield bytes(buffer)
    finally:
        blocks.close()


def _started(generator: Generator[_T, None, None]) -> Generator[_T, None, None]:
    """Get a generator past its first, empty item: one that has not begun closes nothing when it is closed."""
    next(generator)
    return generator
