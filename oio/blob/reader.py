# SPDX-License-Identifier: Apache-2.0
"""Reader of one chunk, which counts bytes, and goes on with another candidate after a failure."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from oio.blob.candidates import Candidates
from oio.blob.connect import (
    CANDIDATES,
    ChunkAnswer,
    close_connection,
    close_source,
    reraise_foreign,
    served_range,
)
from oio.blob.events import note_failure
from oio.common import exceptions as exc
from oio.common import green
from oio.common.answers import JsonObject
from oio.common.arguments import check_framing
from oio.common.chunks import Chunk, ChunkDict
from oio.common.http import http_header_from_ranges, ranges_from_http_header
from oio.common.options import Options
from oio.common.utils import lower_dict_keys

_LOGGER = logging.getLogger(__name__)

_T = TypeVar("_T")

#: Part of a response: first and last byte, length of the chunk, headers, and the response.
Part: TypeAlias = "tuple[int, int | None, int | None, Iterable[tuple[str, str]], ChunkAnswer]"

READ_CHUNK_SIZE = 65536
_LARGEST_READ = 16 * READ_CHUNK_SIZE
#: Reads grow while each takes less than this share of its time limit.
_QUICK = 0.01


class ChunkReader(Candidates):
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
        (given a response and its chunk, returns the reason to refuse them, or None), ``exact`` (True; False
        accepts a range that ends elsewhere than asked, when the caller counts the bytes), ``read_size``
        (bytes to read at once; by default more and more while they come quickly), ``perfdata``
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
        check_framing(headers)
        self._seek(chunk_iter, dict(headers), options)
        self.buf_size, self.align = buf_size, align
        self._exact = _kwargs.get("exact", True)
        self._read_size = _kwargs.get("read_size")
        self._check_head = _kwargs.get("check_head")
        self.logger = _kwargs.get("logger") or _LOGGER

    @classmethod
    def with_options(
        cls,
        chunks: Iterable[Chunk],
        headers: dict[str, Any],
        options: Options,
        *,
        check_head: Callable[[ChunkAnswer, Chunk], str | None] | None = None,
        check_file: Callable[[Chunk], object] | None = None,
        suspects: set[str] | None = None,
        exact: bool = True,
        read_size: int | None = None,
    ) -> ChunkReader:
        """Make a reader that gives blocks as they come, within the limits of a call.

        :param headers: of the requests; the dict is changed
        :param check_file: raises when a candidate must not be used
        :param suspects: gets the addresses of servers that fail
        """
        reader = cls.__new__(cls)
        reader._seek(chunks, headers, options)
        reader.buf_size, reader.align, reader.logger = None, False, _LOGGER
        reader._check_file = check_file
        if suspects is not None:
            reader._suspects = suspects
        reader._exact, reader._read_size, reader._check_head = exact, read_size, check_head
        return reader

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the last answer that could be used, with lower-case names."""
        # Fakes return a dict, or pairs.
        return {} if self._response is None else lower_dict_keys(dict(self._response.getheaders()))

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
        """Set the range of the request to the closed one that is being served.

        Chunk servers honour no other range, and a recovery starts from it (pitfalls 47 and 48).
        """
        if length == 0 or end is None or end < start:
            return
        self.request_headers["Range"] = f"bytes={start}-{end}"

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
        return _started(self._iter_parts(*self._find_source()))

    def _find_source(self) -> tuple[ChunkAnswer, Chunk]:
        """Get the response of the next candidate that can serve, and that candidate."""
        source, chunk = self._get_source()
        if source is None:
            raise self._no_source_left()
        if self._response is None:
            # A test of an application has replaced the search.
            self._response = source
        return source, chunk if type(chunk) is Chunk else Chunk.of(chunk)

    def __iter__(self) -> Iterator[JsonObject]:
        return self.get_iter()

    def _iter_parts(self, source: ChunkAnswer, chunk: Chunk) -> Generator[JsonObject, None, None]:
        with contextlib.ExitStack() as closing:
            closing.callback(close_source, source, self.logger)
            yield {}
            parts_iter = make_iter_from_resp(source)
            found = self.get_next_part(parts_iter)
            if found is None:
                return
            start, end, length, headers, part = found
            data = self.iter_from_resp(source, parts_iter, part, chunk)
            closing.callback(data.close)
            yield {"start": start, "end": end, "length": length, "iter": data, "headers": headers}
            # Parts may be collected before they are read: the data close their source, whichever it is then.
            closing.pop_all()

    def iter_from_resp(
        self, source: ChunkAnswer, parts_iter: Iterator[Part], part: object, chunk: Chunk | ChunkDict
    ) -> Generator[bytes, None, None]:
        """Give the data of a part, from ``source`` and, when it fails, from the next candidates.

        :raises oio.common.exceptions.OioException: when no candidate is left
        """
        return self._data(source, Chunk.of(chunk))

    def _data(self, source: ChunkAnswer, chunk: Chunk) -> Generator[bytes, None, None]:
        blocks = self.blocks(source, chunk)
        # One that has not begun closes nothing when it is closed.
        next(blocks)
        return _started(_aligned(blocks, self.buf_size, self._skip())) if self.buf_size else blocks

    def _skip(self) -> int:
        """Number of bytes to drop before the first full record."""
        asked = self._asked_range() if self.align and self.buf_size else None
        return discard_bytes(self.buf_size, asked[0]) if asked and self.buf_size else 0

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
                except CANDIDATES as err:
                    reraise_foreign(err, getattr(source, "conn", source))
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
        if end is not None and length and end >= start:
            self.request_headers["Range"] = f"bytes={start}-{end}"
        return None if end is None else end - start + 1, self._read_size or READ_CHUNK_SIZE

    def _read(self, source: Any, left: int | None, size: int, chunk: Chunk) -> tuple[bytes, int]:
        """Read a block of a body exactly as long as announced.

        :returns: the block, empty at the end of a body of unknown length; number of bytes to read next
        """
        limit = self._options.limits.reading(self._netloc)
        begin = time.monotonic()
        if left is not None:
            size = min(size, left)
        if getattr(source, "is_there", False):
            # The body came along with its head: nothing is waited for.
            block = (source.whole() if size == left == source.length else b"") or source.read(size)
        else:
            with green.ChunkReadTimeout(limit):
                block = source.read(size)
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
        # A slow source has the limit for no more bytes than at first.
        return block, min(size * 4, _LARGEST_READ) if spent < limit * _QUICK else READ_CHUNK_SIZE

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
        try:
            return self._find_source()
        except exc.OioException as err:
            raise err from error

    def stream(self) -> Generator[bytes, None, None]:
        """Get a generator of the data.

        The headers are known when this returns, even if no data are read. Closing the generator closes the
        connection.
        """
        return self._data(*self._find_source())


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
    """Begin a generator, whose first item is empty: before that, closing it would close nothing."""
    next(generator)
    return generator


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
    :raises ValueError: when the response has several parts, an encoding, or a wrong ``Content-Range``
    """
    return iter([(*served_range(resp), resp.getheaders(), resp)])
