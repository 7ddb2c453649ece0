# SPDX-License-Identifier: Apache-2.0
"""Connections to chunk servers, which applications' tests may replace by fakes, and their answers."""

from __future__ import annotations

import collections
import errno
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from http.client import HTTPException
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, TypeVar

from oio.blob.events import connect_watched, note_failure
from oio.common import exceptions as exc
from oio.common import green, http_eventlet
from oio.common.checksums import differ
from oio.common.chunks import Chunk, place_of
from oio.common.constants import CHECKHASH_HEADER, CHUNK_HEADERS
from oio.common.events import Watcher
from oio.common.http import parse_content_range
from oio.common.interruptions import reraise_interruption

if TYPE_CHECKING:
    from oio.common.options import Options

_LOGGER = logging.getLogger(__name__)

_T = TypeVar("_T")
_R = TypeVar("_R")

CANDIDATES = (Exception, green.OioTimeout)
"""Exceptions that may be the failure of one chunk server; :func:`reraise_foreign` raises the others again."""
OWN_THREAD_CANDIDATES = (Exception, green.Timeout)
"""The same in a green thread of ours, where no timeout of the host can strike."""
_FAILURES = (OSError, HTTPException, exc.OioException, green.Timeout)
"""Errors of the network and of the protocol."""
_DIFFERENT = 412

_ABOUT_THE_BODY = ("Content-Encoding", "Content-Length", "Content-Type", "Content-Range")

READ_CHUNK_SIZE = 65536
"""Bytes that are first read of an answer."""


def is_cut(reason: object) -> bool:
    """Tell whether a failure may pass, so that the same server is worth a second try.

    A timeout is not: a second one would double the time that a read takes to fail.
    """
    return isinstance(reason, (OSError, HTTPException)) and not isinstance(reason, TimeoutError)


def note_unreached(chunk: Chunk, reason: object, options: Options) -> None:
    """Let the client remember a chunk server that could not be connected to, if that has taken time.

    :param reason: an exception, or the reason of a writer that has given it up
    """
    has_taken_time = isinstance(reason, (str, green.OioTimeout, TimeoutError)) or (
        isinstance(reason, OSError) and reason.errno == errno.EHOSTUNREACH
    )
    if has_taken_time and options.hedging is not None:
        options.hedging.note_late(chunk.netloc)


class ChunkAnswer(Protocol):
    """Answer of a chunk server: the standard one, or a fake of an application."""

    status: int
    conn: Connection
    """Connection that it came over, set by the code that closes it later."""

    def getheader(self, name: str, /) -> str | None:
        """Get the value of a header; None without it."""

    def getheaders(self) -> Iterable[tuple[str, str]]:
        """Get all the headers."""

    def read(self, size: int, /) -> bytes:
        """Read at most `size` bytes of the body; nothing at its end."""


class Connection(Protocol):
    """Connection to a chunk server, with the head of a request already sent."""

    def send(self, data: bytes, /) -> object:
        """Send a part of the body."""

    def getresponse(self) -> ChunkAnswer:
        """Get the answer, once its head is there."""

    def close(self) -> object:
        """End the request."""


def connect(
    chunk: Chunk,
    method: str,
    headers: Mapping[str, object],
    options: Options,
    body: bytes = b"",
    attempt: int = 1,
    kept: object = None,
    is_replaced: bool = True,
) -> Connection:
    """Send the head of a request about a chunk.

    The function ``http_connect`` of :mod:`oio.api.io` is looked up at each call, if that module is loaded:
    an application's tests may put a fake there.

    :param options: of the call
    :param body: sent along with the head
    :param attempt: for the listener of the call
    :param kept: connection to use, see :func:`take_kept`
    :param is_replaced: whether a new connection is made when `kept` turns out dead; `DeadConnection` is
        raised otherwise
    """
    scheme, netloc, path = place_of(chunk.address)
    # Fakes know no keyword that is not needed.
    kwargs: dict[str, Any] = {}
    if scheme == "https":
        kwargs["scheme"] = "https"
    if options.ssl_context is not None:
        kwargs["ssl_context"] = options.ssl_context
    if body:
        kwargs["body"] = body
    if kept is not None:
        kwargs["kept"] = kept
    if not is_replaced:
        kwargs["is_replaced"] = False
    seam = sys.modules.get("oio.api.io") or http_eventlet
    begin: partial[Connection] = partial(seam.http_connect, netloc, method, path, headers, **kwargs)
    if options.on_event is None:
        return begin()
    return connect_watched(begin, Watcher(options.on_event, options.reqid), method, chunk, attempt)


def stop_replacing(connection: Connection | None) -> None:
    """Let a connection raise `DeadConnection` when it turns out dead, now that its request is sent.

    A new one would have the time limit of the answer, which is long.
    """
    if isinstance(connection, http_eventlet.ChunkConnection):
        connection.is_replaced = False


def seam_is_replaced() -> bool:
    """Whether an application's test makes the connections."""
    seam = sys.modules.get("oio.api.io")
    return seam is not None and seam.http_connect is not http_eventlet.http_connect


def take_kept(chunks: Iterable[Chunk], options: Options) -> list[object]:
    """Take the kept connections for requests about chunks, which must be sent at once.

    There are none when an application's test makes the connections.

    :returns: one for each chunk, None without one
    """
    if seam_is_replaced():
        return [None for _ in chunks]
    keys = [(*place_of(chunk.address)[:2], options.ssl_context) for chunk in chunks]
    return http_eventlet.POOL.take_all(keys)


def give_back(chunks: Iterable[Chunk], kept: Iterable[object], options: Options) -> None:
    """Give back kept connections that were not used."""
    for chunk, connection in zip(chunks, kept, strict=True):
        if connection is not None:
            http_eventlet.POOL.give(_key_of(chunk, options), connection)


def _key_of(chunk: Chunk, options: Options) -> tuple[str, str, SSLContext | None]:
    scheme, netloc, _ = place_of(chunk.address)
    return scheme, netloc, options.ssl_context


def unconnected(chunks: Iterable[Chunk], using: Iterable[Chunk], options: Options) -> list[Chunk]:
    """Chunks whose requests will have to wait for a connection.

    There are none when an application's test makes the connections.

    :param using: chunks of requests under way, whose connections will be kept by then
    """
    if seam_is_replaced():
        return []
    leaving = collections.Counter(place_of(chunk.address)[:2] for chunk in using)
    others = []
    for chunk in chunks:
        place = place_of(chunk.address)[:2]
        if leaving[place]:
            leaving[place] -= 1
        else:
            others.append(chunk)
    kept = http_eventlet.POOL.kept_for([_key_of(chunk, options) for chunk in others])
    return [chunk for chunk, is_kept in zip(others, kept, strict=True) if not is_kept]


def connect_ahead(chunk: Chunk, options: Options) -> None:
    """Make a connection, and keep it for the request about a chunk. To be run in a green thread of ours.

    A failure is remembered by the client, and not raised: if it lasts, the request will meet it.
    """
    scheme, netloc, _ = place_of(chunk.address)
    try:
        with green.ConnectionTimeout(options.limits.connecting(netloc)):
            http_eventlet.connect_ahead(scheme, netloc, options.ssl_context)
    except OWN_THREAD_CANDIDATES as err:
        reraise_foreign(err)
        note_unreached(chunk, err, options)
        _LOGGER.debug("Not connected ahead to %s: %s", netloc, err)


def socket_of(connection: Connection | None) -> Any:
    """The socket of a connection; None for a fake of an application's test."""
    return connection.sock if isinstance(connection, http_eventlet.ChunkConnection) else None


def takes_pieces(connection: Connection | None) -> TypeGuard[http_eventlet.ChunkConnection]:
    """Tell whether a part of a body may be sent in pieces; fakes of applications get it in one."""
    return isinstance(connection, http_eventlet.ChunkConnection) and connection.takes_pieces


def reraise_foreign(error: BaseException, connection: object = None) -> None:
    """Raise an error again if it is no failure of a chunk server: those of the host come out as they are.

    The fake connections of applications may raise anything: all of it counts as a failure.

    :param connection: that the error was raised on; None while it was being made
    """
    reraise_interruption(error)
    if isinstance(error, green.SourceReadTimeout) and error.is_final():
        # An upload reads the data of the chunk, and its deadline has come.
        raise error
    if not isinstance(error, _FAILURES) and not _is_fake(connection):
        raise error


def reraise_of_host(error: BaseException, connection: object = None) -> None:
    """Do as :func:`reraise_foreign` in a green thread of the host, where its own time limits strike, too.

    :param error: one of :data:`OWN_THREAD_CANDIDATES`: a fake may raise a time limit that has not struck
    """
    if isinstance(error, green.Timeout) and not isinstance(error, green.OioTimeout):
        if green.is_of_host(error) or not _is_fake(connection):
            raise error
        # It would strike later.
        error.cancel()
    reraise_foreign(error, connection)


def _is_fake(connection: object) -> bool:
    if connection is not None:
        return not isinstance(connection, http_eventlet.ChunkConnection)
    return seam_is_replaced()


def reraise_call_failure(err: exc.OioException, options: Options) -> None:
    """Raise an error that is no failure of one chunk: one of the host, or the deadline of the call.

    :raises DeadlineReached: no time is left
    """
    reraise_foreign(err)
    if isinstance(err, exc.DeadlineReached):
        raise err
    options.limits.raise_if_late(err, options.reqid)


def in_turn(
    items: Sequence[_T],
    step: Callable[[_T], _R],
    limit: Callable[[_T], green.OioTimeout],
    failed: Callable[[_T, BaseException], _R],
) -> list[_R]:
    """Do a step with one chunk server after the other, within one time limit.

    When it strikes, the server whose turn it is has failed, and the others go on within a new limit.

    :param limit: makes the limit, given the item whose turn it is
    :param failed: makes the result of a failure
    """
    results: list[_R] = []
    while len(results) < len(items):
        done = len(results)
        try:
            with limit(items[done]):
                for item in items[done:]:
                    results.append(step(item))  # noqa: PERF401 - those before a failure count
        except CANDIDATES as err:
            results.append(failed(items[len(results)], err))
    return results


def close_source(source: object, logger: logging.Logger | None = None) -> None:
    """Close the connection of a response; failures of its server are logged."""
    close_connection(getattr(source, "conn", None), source, _LOGGER if logger is None else logger)


def close_connection(conn: object, source: object, logger: logging.Logger) -> None:
    """Close the connection of a response; failures of its server are logged."""
    try:
        close = getattr(conn, "close", None)
        if close is not None:
            close()
    except CANDIDATES as err:  # Closing must never hide why we close.
        reraise_foreign(err, conn)
        logger.debug("Failed to close %r: %s", source, err)


def header_values(answer: ChunkAnswer, names: Iterable[str]) -> list[str | None]:
    """Values of some headers of an answer, in the order of their names; None for each that it lacks."""
    values = []
    if isinstance(answer, http_eventlet.CustomHTTPResponse):
        # One look at all of them, instead of a call for each.
        index = answer.index
        for name in names:
            found = index.get(name.lower())
            values.append(None if found is None else ", ".join(found[1:]))
        return values
    return [answer.getheader(name) for name in names]


def served_range(resp: ChunkAnswer) -> tuple[int, int | None, int | None]:
    """First and last byte of a response, and length of the whole chunk; None for what it does not tell.

    :raises ValueError: the body has several parts, or an encoding, which nobody asks for; or a wrong range
    """
    encoding, announced, kind, value = header_values(resp, _ABOUT_THE_BODY)
    if encoding and (name := str(encoding).strip().lower()) not in {"", "identity"}:
        raise ValueError(f"the body is encoded ({name[:64]})")
    if resp.status != 206:
        size = None if announced is None else int(announced)
        return 0, None if size is None else size - 1, size
    if (kind or "").lstrip().startswith("multipart/byteranges"):
        raise ValueError("The response has several parts")
    value = value or ""
    unit, _, rest = value.partition(" ")
    span, _, length = rest.partition("/")
    start, _, end = span.partition("-")
    if unit == "bytes" and start.isdecimal() and end.isdecimal() and length.isdecimal():
        return int(start), int(end), int(length)
    # With more blanks, or wrong.
    return parse_content_range(value)


def mismatch(response: ChunkAnswer, expected: Mapping[str, object]) -> str | None:
    """Difference between the chunk of a response and the expected one, as far as both tell; None without one.

    :param expected: keys of :data:`~oio.common.constants.CHUNK_HEADERS`, and values
    """
    values = header_values(response, map(CHUNK_HEADERS.__getitem__, expected))
    for (key, right), found in zip(expected.items(), values, strict=True):
        if found and right is not None and str(found) != str(right) and differ(str(found), str(right)):
            return f"its {key} is {found}, not {right}"
    return None


def verify_file(chunk: Chunk, checksum: str | None, headers: Mapping[str, object], options: Options) -> None:
    """Let a chunk server read the file of a chunk, and compare the data with their checksum.

    :param checksum: of the data; None for the one that the server has stored with them
    :param headers: of the request; a range among them has no effect
    :raises CorruptedChunk: the data differ
    :raises ClientException: the server refuses, or does not have the chunk
    :raises oio.common.exceptions.DeadlineReached: no time is left
    """
    netloc = chunk.netloc
    wanted = {**headers, CHECKHASH_HEADER: True}
    if checksum:
        wanted[CHUNK_HEADERS["chunk_hash"]] = checksum
    with green.ConnectionTimeout(options.limits.connecting(netloc)):
        conn = connect(chunk, "HEAD", wanted, options)
    try:
        with green.ChunkReadTimeout(options.limits.reading(netloc)):
            response = conn.getresponse()
    except BaseException as err:
        note_failure(conn, err)
        raise
    finally:
        conn.close()
    if response.status == _DIFFERENT:
        raise exc.CorruptedChunk(f"{netloc} says that the data do not match their checksum")
    if not 200 <= response.status < 300:
        raise exc.from_status(response.status, getattr(response, "reason", "") or "no reason")
