# SPDX-License-Identifier: Apache-2.0
"""Reads one chunk out of several candidates: counts every byte, and goes on elsewhere when a source fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from oio.common import exceptions as exc
from oio.common import green
from oio.common import limits as _limits
from oio.common.constants import CHUNK_HEADERS
from oio.common.deadlines import deadline_to_timeout
from oio.common.http import (
    http_header_from_ranges,
    parse_content_range,
    parse_content_type,
    ranges_from_http_header,
)
from oio.common.perfdata import add_duration
from oio.common.utils import lower_dict_keys, monotonic_time

_LOGGER = logging.getLogger(__name__)

_T = TypeVar("_T")

READ_CHUNK_SIZE = 65536
_LARGEST_READ = 4 * READ_CHUNK_SIZE
#: Reads grow while each takes less than this share of its time limit.
_QUICK = 0.01

#: One part of a response: first and last byte, length of the whole, headers, and what to read it from.
Part = tuple[int, "int | None", "int | None", Any, Any]


def close_source(source: Any, logger: Any = None) -> None:
    """Safely close the connection behind source."""
    try:
        close = getattr(getattr(source, "conn", None), "close", None)
        if close is not None:
            close()
    except _limits.CHUNK_FAILURES as err:  # Closing must never hide why we close.
        (logger or _LOGGER).debug("Failed to close %r: %s", source, err)


def discard_bytes(buf_size: int, start: int) -> int:
    """Discard the right amount of bytes so the reader yields only full records.

    >>> discard_bytes(512, 10), discard_bytes(512, 1800)
    (502, 248)
    """
    return (buf_size - start % buf_size) % buf_size


def make_iter_from_resp(resp: Any) -> Iterator[Part]:
    """Makes a part iterator from a HTTP response

    :returns: an iterator of one tuple: (start, end, length, headers, body_file), where ``end`` is inclusive
        and ``length`` is that of the whole chunk; the last two are None when the response does not tell
    :raises ValueError: when the response has several parts, or a wrong ``Content-Range``
    """
    headers = resp.getheaders()
    if resp.status != 206:
        length = resp.getheader("Content-Length")
        size = None if length is None else int(length)
        return iter([(0, None if size is None else size - 1, size, headers, resp)])
    content_type, _ = parse_content_type(resp.getheader("Content-Type") or "")
    if content_type.startswith("multipart/byteranges"):
        raise ValueError("The response has several parts")
    start, end, length = parse_content_range(resp.getheader("Content-Range") or "")
    return iter([(start, end, length, headers, resp)])


class ChunkReader:
    """Reads a chunk.

    The candidates are tried in turn until one answers. When one fails in the middle, the next is asked for
    the rest, from the exact byte.

    :param chunk_iter: the candidates, dicts with ``url`` and maybe ``real_url``; when it is an iterator, it
        may be shared by several readers, so that each candidate is used once
    :param buf_size: bytes of each block given out (the last is shorter); None for blocks as they come
    :param headers: of the requests; ``Range`` is followed as the reading goes
    :param connection_timeout: seconds to connect to each candidate
    :param read_timeout: seconds for the head of an answer, and for each block
    :param align: start at a multiple of ``buf_size``, and drop what comes before
    :param _kwargs: ``deadline`` (monotonic seconds, of the whole reading), ``ssl_context``, ``check_head``
        (given a response and its chunk, tells why they cannot be used, or None), ``exact`` (True; False for
        who counts the bytes itself, and takes a range that ends elsewhere than asked), ``read_size``: bytes
        to read at once; by default more and more while they come quickly; ``perfdata``
    """

    def __init__(
        self,
        chunk_iter: Iterable[dict[str, Any]],
        buf_size: int | None,
        headers: Mapping[str, Any],
        connection_timeout: float | None = None,
        read_timeout: float | None = None,
        align: bool = False,
        **_kwargs: Any,
    ) -> None:
        self.chunk_iter = iter(chunk_iter)
        self.buf_size = buf_size
        self.align = align
        self.request_headers = dict(headers)
        self.connection_timeout = connection_timeout
        self.read_timeout = read_timeout
        self.deadline: float | None = _kwargs.get("deadline")
        self._perfdata: dict[str, Any] | None = _kwargs.get("perfdata")
        self._connect_kwargs = {k: _kwargs[k] for k in ("ssl_context",) if _kwargs.get(k) is not None}
        self._exact: bool = _kwargs.get("exact", True)
        self._read_sizes: tuple[int, int] = (READ_CHUNK_SIZE, _LARGEST_READ)
        if _kwargs.get("read_size"):
            self._read_sizes = (_kwargs["read_size"], _kwargs["read_size"])
        self._check_head: Callable[[Any, Any], str | None] = _kwargs.get("check_head") or (
            lambda _r, _c: None
        )
        self.logger = _kwargs.get("logger") or _LOGGER
        #: Status of the last answer that could be used.
        self.status: int | None = None
        self._headers: dict[str, str] = {}
        #: Why each candidate failed: URL, HTTP status (0 for the network), reason.
        self.errors: list[tuple[str, int, Any]] = []
        #: URL of each candidate that gave data.
        self.served: list[str] = []

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the last answer that could be used, with lower-case names."""
        return self._headers

    @property
    def reqid(self) -> str | None:
        """:returns: the request ID or None"""
        for name, value in self.request_headers.items():
            if name.lower() == "x-oio-req-id":
                return str(value)
        return None

    # --- ranges ---

    def _asked(self) -> tuple[int, int] | None:
        """The closed range that is asked for, if any."""
        value = self.request_headers.get("Range")
        if not value:
            return None
        start, end = ranges_from_http_header(value)[0]
        return None if start is None or end is None else (start, end)

    def recover(self, nb_bytes: int) -> None:
        """Recover the request.

        :param nb_bytes: number of bytes already consumed (since the last recovery) that we need to discard
            if we perform a recovery from another source.
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
        """Fill the request ranges.

        Whatever was asked for, it becomes the closed range that is being served: chunk servers honour no
        other, and a recovery starts from it (pitfalls rows 47 and 48).
        """
        if length == 0 or end is None or end < start:
            return
        self.request_headers["Range"] = http_header_from_ranges([(start, end)])

    # --- sources ---

    def _limit(self, explicit: float | None, default: float, doing: str) -> float:
        return _limits.timeout(explicit, self.deadline, default, doing)

    def _failed(self, chunk: dict[str, Any], status: int, reason: Any, doing: str) -> None:
        """Note why a candidate cannot be used, and stop when there is no time for another."""
        self.errors.append((chunk["url"], status, reason))
        self.logger.warning("Failed %s: %s: %s (reqid=%s)", doing, chunk["url"], reason, self.reqid)
        if self.deadline is not None and deadline_to_timeout(self.deadline) <= 0:
            text = f"Deadline reached while {doing}: {reason}"
            raise exc.DeadlineReached(text, reqid=self.reqid, service=_netloc(chunk))

    def _open(self, chunk: dict[str, Any]) -> Any:
        """Ask a candidate for the data; None when it cannot give them."""
        from oio.api import io  # The seam of fake connections: looked up at each call.

        parsed = urlsplit(chunk.get("real_url") or chunk["url"])
        kwargs = dict(self._connect_kwargs)
        if parsed.scheme == "https":
            kwargs["scheme"] = "https"
        conn = source = None
        doing = f"connecting to {parsed.netloc}"
        begin = monotonic_time()
        try:
            with green.ConnectionTimeout(
                self._limit(self.connection_timeout, _limits.CONNECTION_TIMEOUT, doing)
            ):
                conn = io.http_connect(parsed.netloc, "GET", parsed.path, self.request_headers, **kwargs)
            doing = f"waiting for {parsed.netloc}"
            with green.ChunkReadTimeout(self._limit(self.read_timeout, _limits.CHUNK_TIMEOUT, doing)):
                source = conn.getresponse()
            source.conn = conn
            add_duration(self._perfdata, "rawx", f"connect.{chunk['url']}", begin)
            status, problem = self._problem(source, chunk)
        except exc.DeadlineReached:
            raise
        except _limits.CHUNK_FAILURES as err:
            status, problem = 0, err
        finally:
            if source is None and conn is not None:
                conn.close()
        if problem is not None:
            close_source(source, self.logger)
            self._failed(chunk, status, problem, doing)
            return None
        return self._accept(source, chunk)

    def _accept(self, source: Any, chunk: dict[str, Any]) -> Any:
        self.status = source.status
        # Fakes give a dict, or pairs.
        self._headers = lower_dict_keys(dict(source.getheaders()))
        self.served.append(chunk["url"])
        return source

    def _problem(self, source: Any, chunk: dict[str, Any]) -> tuple[int, Any]:
        """Why a response is not the one that was asked for: status and reason; (0, None) when it is."""
        if source.status not in (200, 206):
            return source.status, getattr(source, "reason", "") or "no reason"
        start, end, _, _, _ = next(make_iter_from_resp(source))
        asked = self._asked()
        if asked is not None and (start != asked[0] or (self._exact and end != asked[1])):
            # Also a 200 with the whole chunk: rawx ignore the ranges they do not understand.
            return 0, f"range {asked} was asked for, {(start, end)} came (HTTP {source.status})"
        announced = source.getheader("Content-Length")
        if self._exact and announced is not None and end is not None and int(announced) != end - start + 1:
            return 0, f"{announced} bytes are announced for the range {(start, end)}"
        return 0, self._check_head(source, chunk)

    def _get_source(self) -> tuple[Any, Any]:
        """The response of the next candidate that can serve, and the candidate; (None, None) without one."""
        for chunk in self.chunk_iter:
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
        """Gets next part of the body

        NOTE: for the moment only return one part (single range only)
        """
        return next(parts_iter, None)

    def get_iter(self) -> Generator[dict[str, Any], None, None]:
        """Connect to the first candidate that answers.

        :returns: a generator of one part, a dict with ``start``, ``end`` (inclusive), ``length``, ``headers``
            and ``iter``, a generator of the data. Closing it closes the connection.
        :raises oio.common.exceptions.ClientException: the subclass of the status that all candidates gave
        :raises oio.common.exceptions.ServiceUnavailable: when no candidate answers, for several reasons
        :raises oio.common.exceptions.DeadlineReached:
        """
        source, chunk = self._get_source()
        if source is None:
            raise self._no_source_left()
        return _started(self._iter_parts(source, chunk))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.get_iter()

    def _iter_parts(self, source: Any, chunk: Any) -> Generator[dict[str, Any], None, None]:
        data = None
        try:
            yield {}
            parts_iter = make_iter_from_resp(source)
            found = self.get_next_part(parts_iter)
            if found is None:
                return
            start, end, length, headers, part = found
            if end is not None and length is not None:
                self.fill_ranges(start, end, length)
            data = self.iter_from_resp(source, parts_iter, part, chunk)
            yield {"start": start, "end": end, "length": length, "iter": data, "headers": headers}
        finally:
            # The data generator closes the source that is current, if it was started at all.
            if data is not None:
                data.close()
            close_source(source, self.logger)

    def iter_from_resp(
        self, source: Any, parts_iter: Iterator[Part], part: Any, chunk: Any
    ) -> Generator[bytes, None, None]:
        """The data of a part, from ``source`` and, when it fails, from the next candidates.

        :raises oio.common.exceptions.OioException: when no candidate is left
        """
        buffer = bytearray()
        given = 0
        skip = 0
        asked = self._asked()
        if self.align and self.buf_size and asked:
            skip = discard_bytes(self.buf_size, asked[0])
        try:
            while True:
                try:
                    for data in self._blocks(source, part, chunk):
                        if skip:
                            dropped, data = min(skip, len(data)), data[skip:]
                            skip -= dropped
                            given += dropped
                        if not self.buf_size:
                            given += len(data)
                            yield data
                            continue
                        buffer += data
                        while len(buffer) >= self.buf_size:
                            block = bytes(buffer[: self.buf_size])
                            del buffer[: self.buf_size]
                            given += len(block)
                            yield block
                    break
                except (exc.DeadlineReached, GeneratorExit):
                    raise
                except _limits.CHUNK_FAILURES as err:
                    # What is in the buffer was not given out: it is asked for again.
                    buffer.clear()
                    source, chunk = self._replace(source, chunk, err, given)
                    given = 0
                    if source is None:
                        return
                    part = source
            if buffer:
                yield bytes(buffer)
        finally:
            close_source(source, self.logger)

    def _blocks(self, source: Any, part: Any, chunk: dict[str, Any]) -> Iterator[bytes]:
        """The body of one response, exactly as long as announced."""
        start, end, _, _, _ = next(make_iter_from_resp(source))
        left = None if end is None else end - start + 1
        smallest, largest = self._read_sizes
        size = smallest
        while left is None or left > 0:
            limit = self._limit(self.read_timeout, _limits.CHUNK_TIMEOUT, f"reading from {_netloc(chunk)}")
            begin = monotonic_time()
            with green.ChunkReadTimeout(limit):
                data = part.read(size if left is None else min(size, left))
            add_duration(self._perfdata, "rawx", f"download.{chunk['url']}", begin)
            # A slow source gets as little to do within the limit as before.
            quick = monotonic_time() - begin < limit * _QUICK
            size = min(size * 2, largest) if quick else smallest
            if not data:
                if left is None:
                    return
                raise OSError(f"the body ends {left} bytes early")
            if left is not None:
                left -= len(data)
                if left < 0:
                    raise OSError(f"the body has {-left} bytes too many")
            yield data

    def _replace(self, source: Any, chunk: Any, error: BaseException, given: int) -> tuple[Any, Any]:
        """The next source, which goes on after the ``given`` bytes; None when nothing is left to read."""
        close_source(source, self.logger)
        self._failed(chunk, 0, error, f"reading from {_netloc(chunk)}")
        try:
            self.recover(given)
        except exc.EmptyByteRange:
            return None, None
        source, chunk = self._get_source()
        if source is None:
            raise self._no_source_left() from error
        return source, chunk

    def stream(self) -> Generator[bytes, None, None]:
        """Get a generator over chunk data.

        After calling this method, the `headers` field will be available (even if no data is read from the
        generator). Closing the generator closes the connection.
        """
        return _started(self._stream(self.get_iter()))

    @staticmethod
    def _stream(parts: Generator[dict[str, Any], None, None]) -> Generator[bytes, None, None]:
        try:
            yield b""
            for part in parts:
                yield from part["iter"]
        finally:
            parts.close()


def _started(generator: Generator[_T, None, None]) -> Generator[_T, None, None]:
    """Get a generator past its first, empty item: one that has not begun closes nothing when it is closed."""
    next(generator)
    return generator


def mismatch(response: Any, expected: Mapping[str, Any]) -> str | None:
    """How the chunk of a response differs from what is expected of it, as far as both tell; None if not.

    :param expected: keys of :data:`~oio.common.constants.CHUNK_HEADERS` -> values
    """
    for key, right in expected.items():
        found = response.getheader(CHUNK_HEADERS[key])
        if found and right is not None and str(found).lower() != str(right).lower():
            return f"its {key} is {found}, not {right}"
    return None


def _netloc(chunk: Mapping[str, Any]) -> str:
    url: str = chunk.get("real_url") or chunk["url"]
    return urlsplit(url).netloc
