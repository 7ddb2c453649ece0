# SPDX-License-Identifier: Apache-2.0
"""Reader of one chunk out of several candidates: it counts bytes, and goes on elsewhere after a failure."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from oio.blob.connect import FAILURES, ChunkAnswer, connect
from oio.common import exceptions as exc
from oio.common import green
from oio.common.answers import JsonObject
from oio.common.chunks import Chunk, ChunkDict
from oio.common.constants import CHUNK_HEADERS
from oio.common.http import (
    CONTENT_RANGE,
    http_header_from_ranges,
    parse_content_range,
    ranges_from_http_header,
)
from oio.common.options import Options, identify
from oio.common.perfdata import add_duration
from oio.common.utils import lower_dict_keys

_LOGGER = logging.getLogger(__name__)

_T = TypeVar("_T")

READ_CHUNK_SIZE = 65536
_LARGEST_READ = 4 * READ_CHUNK_SIZE
#: Reads grow while each takes less than this share of its time limit.
_QUICK = 0.01
_CLOSED_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]+)")

#: Part of a response: first and last byte, length of the chunk, headers, and the response.
Part: TypeAlias = "tuple[int, int | None, int | None, Iterable[tuple[str, str]], ChunkAnswer]"


def close_source(source: object, logger: logging.Logger | None = None) -> None:
    """Close the connection of a response; never raises."""
    try:
        close = getattr(getattr(source, "conn", None), "close", None)
        if close is not None:
            close()
    except FAILURES as err:  # Closing must never hide why we close.
        (logger or _LOGGER).debug("Failed to close %r: %s", source, err)


def discard_bytes(buf_size: int, start: int) -> int:
    """Bytes to drop at the start of a read, so that it gives full records only.

    >>> discard_bytes(512, 10), discard_bytes(512, 1800)
    (502, 248)
    """
    return (buf_size - start % buf_size) % buf_size


def make_iter_from_resp(resp: ChunkAnswer) -> Iterator[Part]:
    """Make an iterator over the parts of a response.

    :returns: an iterator of one tuple: (start, end, length, headers, body_file), where ``end`` is inclusive
        and ``length`` is that of the whole chunk; the last two are None when the response does not tell
    :raises ValueError: when the response has several parts, or a wrong ``Content-Range``
    """
    return iter([(*_served_range(resp), resp.getheaders(), resp)])


def _served_range(resp: ChunkAnswer) -> tuple[int, int | None, int | None]:
    """First and last byte of a response, and length of the whole chunk; None for what it does not tell."""
    if resp.status != 206:
        length = resp.getheader("Content-Length")
        size = None if length is None else int(length)
        return 0, None if size is None else size - 1, size
    if (resp.getheader("Content-Type") or "").lstrip().startswith("multipart/byteranges"):
        raise ValueError("The response has several parts")
    value = resp.getheader("Content-Range") or ""
    found = CONTENT_RANGE.match(value)
    return (int(found[1]), int(found[2]), int(found[3])) if found else parse_content_range(value)


class ChunkReader:
    """Reader of a chunk.

    The candidates are tried in turn until one answers. When one fails half-way, the next is asked for the
    rest, from the exact byte.

    :param chunk_iter: the candidates, dicts with ``url`` and maybe ``real_url``; when it is an iterator, it
        may be shared by several readers, so that each candidate is used once
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
        chunk_iter: Iterable[Chunk | ChunkDict],
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
        exact: bool = True,
        read_size: int | None = None,
    ) -> ChunkReader:
        """Make a reader that gives blocks as they come, within the limits of a call."""
        reader = cls.__new__(cls)
        reader._start(chunks, headers, options)
        reader._exact, reader._read_size, reader._check_head = exact, read_size, check_head
        reader.logger = _LOGGER
        return reader

    def _start(
        self,
        chunks: Iterable[Chunk | ChunkDict],
        headers: Mapping[str, object],
        options: Options,
        buf_size: int | None = None,
        align: bool = False,
    ) -> None:
        self.chunk_iter = iter(chunks)
        self.buf_size = buf_size
        self.align = align
        self.request_headers: dict[str, Any] = dict(headers)
        self._options = options
        self._netloc = ""
        self._response: ChunkAnswer | None = None
        self._served: tuple[int, int | None, int | None] | None = None
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

    def _failed(self, chunk: Chunk, status: int, reason: object, doing: str) -> None:
        """Note why a candidate cannot be used, and stop when there is no time for another."""
        self.errors.append((chunk.url, status, reason))
        self.logger.warning("Failed %s: %s: %s (reqid=%s)", doing, chunk.url, reason, self.reqid)
        left = self._options.limits.left()
        if left is not None and left <= 0:
            text = f"Deadline reached while {doing}: {reason}"
            raise exc.DeadlineReached(text, reqid=self.reqid, service=chunk.netloc)

    def _open(self, chunk: Chunk) -> ChunkAnswer | None:
        """Ask a candidate for the data; None when it cannot give them."""
        limits, perfdata = self._options.limits, self._options.perfdata
        conn = source = None
        problem: object = None
        status, doing = 0, "connecting to"
        netloc = self._netloc = urlsplit(chunk.address).netloc
        begin = time.monotonic()
        try:
            with green.ConnectionTimeout(limits.connecting(netloc)):
                conn = connect(chunk, "GET", self.request_headers, self._options.ssl_context)
            doing = "waiting for"
            with green.ChunkReadTimeout(limits.reading(netloc)):
                source = conn.getresponse()
            source.conn = conn
            if perfdata is not None:
                add_duration(perfdata, "rawx", f"connect.{chunk.url}", begin)
            if source.status in (200, 206):
                problem = self._problem(source, chunk)
            else:
                status, problem = source.status, getattr(source, "reason", "") or "no reason"
        except exc.DeadlineReached:
            raise
        except FAILURES as err:
            problem = err
        finally:
            if source is None and conn is not None:
                conn.close()
        if problem is not None or source is None:
            close_source(source, self.logger)
            self._failed(chunk, status, problem, f"{doing} {netloc}")
            return None
        self.status, self._response = source.status, source
        self.served.append(chunk.url)
        return source

    def _problem(self, source: ChunkAnswer, chunk: Chunk) -> str | None:
        """Why a response is not the one that was asked for; None when it is."""
        start, end, _ = self._served = _served_range(source)
        asked = self._asked()
        if asked is not None and (start != asked[0] or (self._exact and end != asked[1])):
            # Also a 200 with the whole chunk: a rawx ignores a range that it does not understand.
            return f"range {asked} was asked for, {(start, end)} came (HTTP {source.status})"
        announced = source.getheader("Content-Length")
        if self._exact and announced is not None and end is not None and int(announced) != end - start + 1:
            return f"{announced} bytes are announced for the range {(start, end)}"
        return None if self._check_head is None else self._check_head(source, chunk)

    def _get_source(self) -> tuple[Any, Any]:
        """The response of the next candidate that can serve, and the candidate; (None, None) without one."""
        for candidate in self.chunk_iter:
            chunk = candidate if type(candidate) is Chunk else Chunk.of(candidate)
            source = self._open(chunk)
            if source is not None:
                return source, chunk
        return None, None

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
                except FAILURES as err:
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
        start, end, length = self._served or _served_range(source)
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
            add_duration(self._options.perfdata, "rawx", f"download.{chunk.url}", begin)
        if left is not None:
            if not block:
                raise OSError(f"the body ends {left} bytes early")
            if len(block) > left:
                raise OSError(f"the body has {len(block) - left} bytes too many")
        if self._read_size:
            return block, self._read_size
        # A slow source is asked for no more than before within the limit.
        return block, min(size * 2, _LARGEST_READ) if spent < limit * _QUICK else READ_CHUNK_SIZE

    def _replace(
        self, source: ChunkAnswer, chunk: Chunk, error: BaseException, given: int
    ) -> tuple[ChunkAnswer, Chunk] | None:
        """The next source, which goes on after the ``given`` bytes; None when nothing is left to read."""
        close_source(source, self.logger)
        self._failed(chunk, 0, error, f"reading from {chunk.netloc}")
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


def mismatch(response: ChunkAnswer, expected: Mapping[str, object]) -> str | None:
    """How the chunk of a response differs from the one that is expected, as far as both tell; None if not.

    :param expected: keys of :data:`~oio.common.constants.CHUNK_HEADERS`, and values
    """
    for key, right in expected.items():
        found = response.getheader(CHUNK_HEADERS[key])
        if found and right is not None and str(found).lower() != str(right).lower():
            return f"its {key} is {found}, not {right}"
    return None


def check_copy(response: ChunkAnswer, chunk: Chunk) -> str | None:
    """How the answer of a chunk server differs from a copy of a metachunk; None if it does not."""
    return mismatch(response, {"chunk_hash": chunk.hash, "chunk_size": chunk.size})
