# SPDX-License-Identifier: Apache-2.0
"""HTTP connections to chunk servers: green, kept alive, pooled."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket as _native_socket
import ssl
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from oio.common import green, http_keepalive
from oio.common.http_heads import request_head
from oio.common.http_keepalive import shutdown_and_close
from oio.common.interruptions import interruption, reraise_interruption

if TYPE_CHECKING:
    from oio.common.events import Watch

#: Bytes of a body that may be sent again on a fresh connection when a kept one turns out dead.
MAX_REPLAY = 1 << 20

#: A close by another green thread shows up anywhere in the stack (pitfall 6).
_CLOSED_UNDER_US = (AttributeError, ValueError, EOFError)
#: Each of two processes would get a part of the bytes.
_OF_PARENT = "Read on a source of the parent process"


def _closed(err: Exception) -> OSError:
    """Make the network error for a connection that another green thread has closed.

    :param err: one of ``_CLOSED_UNDER_US``
    """
    reraise_interruption(err)
    return OSError(f"Read on a closed source: {err}")


class CustomHTTPResponse(green.HTTPResponse):
    """A response whose early close reaches the server, and whose reads fail only with IOError."""

    # Its readers ask for any number of bytes, of which Python counts no more.
    longest = sys.maxsize

    def read(self, amt: int | None = None) -> bytes:
        """Read at most ``amt`` bytes of the body, or all of it."""
        if self._pid != os.getpid():
            raise OSError(_OF_PARENT)
        try:
            return super().read(amt)
        except _CLOSED_UNDER_US as err:
            raise _closed(err) from err

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the body."""
        if self._pid != os.getpid():
            raise OSError(_OF_PARENT)
        try:
            return super().readinto(buffer)
        except _CLOSED_UNDER_US as err:
            raise _closed(err) from err

    def force_close(self) -> None:
        """Close the response and its socket: the server learns at once that nobody reads on."""
        # Its connection is of no use for another request.
        self.will_close = True
        shutdown_and_close(self._sock, self._pid)
        # Another thread has closed it, or is reading from it, and will see the end.
        with contextlib.suppress(ValueError, RuntimeError):
            super().force_close()


class CustomHttpConnection(green.HTTPConnection):
    """A green HTTP connection without Nagle's delay."""

    response_class = CustomHTTPResponse

    def answer(self, method: str) -> CustomHTTPResponse:
        """Read the head of the answer to a request that was sent as bytes.

        :param method: of the request
        """
        response = self.response_class(self.sock, method=method)
        try:
            response.begin()
        except BaseException:  # A half-read answer is of no use.
            response.close()
            raise
        return response

    def set_nodelay(self, enabled: bool = True) -> None:
        """Send small packets at once, or not."""
        self.sock.setsockopt(_native_socket.IPPROTO_TCP, _native_socket.TCP_NODELAY, int(enabled))

    def set_cork(self, enabled: bool = True) -> bool:
        """Hold back partial packets (Linux), or release them.

        :returns: False when the platform cannot
        """
        option = getattr(_native_socket, "TCP_CORK", None)
        if option is None:
            return False
        self.sock.setsockopt(_native_socket.IPPROTO_TCP, option, int(enabled))
        return True


class CustomHttpsConnection(green.HTTPSConnection, CustomHttpConnection):
    """The same over TLS; the server's certificate is verified."""


Waiting: TypeAlias = "Callable[[int], contextlib.AbstractContextManager[object]]"
"""Makes the context of a wait, given the number of bytes that were sent before it."""


def _no_limit(_sent: int) -> contextlib.AbstractContextManager[object]:
    return contextlib.nullcontext()


class Rest(tuple[Any, ...]):
    """Pieces that are left of a part of a body whose beginning was sent."""

    __slots__ = ()


#: The pool behind :func:`http_connect`.
POOL = http_keepalive.POOL


class DeadConnection(ConnectionError):
    """A kept connection has died, which tells nothing about its server now."""


SENDING = "sending"
"""Value of the attribute ``doing`` of an exception that came after the connection was made."""


def _note_sending(err: BaseException) -> None:
    if isinstance(err, (OSError, green.OioTimeout)):
        err.doing = SENDING  # type: ignore[union-attr]


class EarlyAnswer(ConnectionError):
    """A server has refused a request before the end of its body, and hung up.

    :param http_status: of its answer
    """

    def __init__(self, http_status: int) -> None:
        super().__init__(f"HTTP {http_status}")
        self.http_status = http_status


class ChunkConnection:
    """One request to a chunk server, on a connection that may have served others before.

    :meth:`close` ends the request: the connection goes back to the pool when its response was read to the
    end, otherwise it is closed. A kept connection that dies before the first byte of an answer is replaced
    once (pitfall 135), unless the caller does it; ``said_twice`` tells that the server may have obeyed the
    first request too.
    """

    watch: Watch | None = None
    """Follows the request for a listener, until it is closed."""
    _connection: Any = None
    """None once it is taken out, to be kept or closed."""

    def __init__(
        self,
        scheme: str,
        netloc: str,
        method: str,
        target: str,
        headers: Iterable[tuple[str, Any]],
        ssl_context: ssl.SSLContext | None = None,
        body: bytes = b"",
        kept: Any = None,
        is_replaced: bool = True,
    ) -> None:
        self.method = method
        self._key = (scheme, netloc, ssl_context)
        #: Whether a part of a body may be sent in pieces; each would be a record of TLS.
        self.takes_pieces = scheme != "https"
        self._pid = os.getpid()
        self.said_twice = False
        self._response: Any = None
        # When this replaces one that has died, other kept ones may have died with it.
        self._connection = POOL.take(self._key) if kept is None and is_replaced else kept
        #: False to raise `DeadConnection` from now on when it turns out dead.
        self.is_replaced = is_replaced
        self._replay: list[Any] | None = [] if self._connection is not None else None
        self._replay_size = 0
        if self._connection is None:
            self._connection = _connected(*self._key)
        try:
            #: Bytes that every attempt begins with.
            self._start = request_head(method, target, self._connection.host_header, headers), body
            self._begin()
        except ConnectionError as err:
            _note_sending(err)
            if body and interruption(err) is None:
                self._look_for_answer(_no_limit)
            self._replace(err)
        except BaseException as err:  # A half-sent request is of no use.
            _note_sending(err)
            self._end()
            raise

    def _begin(self) -> None:
        head, body = self._start
        sock = self._connection.sock
        if body and self.takes_pieces:
            sock.send_together(head, body)
        else:
            sock.sendall(head + body)

    def _replace(self, error: Exception, waiting: Waiting = _no_limit) -> None:
        """Send everything again on a fresh connection, if the dead one had been kept from before.

        :param waiting: makes the context of connecting and sending
        """
        replay, self._replay = self._replay, None
        if replay is None or not self.is_replaced or interruption(error) is not None:
            self._end()
            if replay is not None and not self.is_replaced:
                reraise_interruption(error)
                raise DeadConnection(str(error)) from error
            raise error
        dead = vars(self).pop("_connection", None)
        if dead is None:
            # Another thread has closed it.
            raise error
        # The server may have got the first request, or a part of it.
        self.said_twice = True
        self._drop(dead)
        try:
            with waiting(0):
                self._connection = _connected(*self._key)
                self._begin()
                for data in replay:
                    self._send(data)
        except BaseException:  # A half-sent request is of no use.
            self._end()
            raise

    def send_now(self, pieces: tuple[bytes, ...]) -> Rest:
        """Send as much as possible without waiting; a failure shows up when the rest is sent.

        :returns: the rest, for :meth:`send`
        """
        is_late = self._replay_size >= MAX_REPLAY
        self._remember(pieces)
        try:
            rest = Rest(self._connection.sock.send_now(pieces))
        except (OSError, *_CLOSED_UNDER_US) as err:
            reraise_interruption(err)
            return Rest(pieces)
        if is_late:
            self._replay = None
        return rest

    def _remember(self, data: Any) -> None:
        """Keep a part of the body, to be sent again."""
        if self._replay is not None:
            self._replay.append(data)
            self._replay_size += sum(map(len, data)) if isinstance(data, tuple) else len(data)

    def _send(self, data: Any, waiting: Waiting = _no_limit) -> None:
        try:
            if isinstance(data, tuple):
                self._connection.sock.send_pieces(data, waiting)
            else:
                self._connection.send(data)
        except ConnectionError as err:
            if interruption(err) is None:
                self._look_for_answer(waiting)
            raise

    def _look_for_answer(self, waiting: Waiting) -> None:
        """Look, after a reset, for the answer that came before it.

        :raises EarlyAnswer: the server has refused the request, which has ended
        """
        connection = self._connection
        try:
            # Where only our end is broken, no answer need come.
            if not green.is_readable(connection.sock):
                return
            with waiting(0):
                status = connection.answer(self.method).status
        except (OSError, http.client.HTTPException, *_CLOSED_UNDER_US) as err:
            reraise_interruption(err)
            return
        # A server that closes a kept connection may say so by a 408.
        if status >= http.HTTPStatus.BAD_REQUEST and status != http.HTTPStatus.REQUEST_TIMEOUT:
            self._end()
            raise EarlyAnswer(status)

    @property
    def sock(self) -> Any:
        """The socket, for code that tunes it."""
        return self._connection.sock

    def set_cork(self, enabled: bool = True) -> bool:
        """Hold back partial packets, or release them."""
        corked: bool = self._connection.set_cork(enabled)
        return corked

    def send(self, data: Any, waiting: Waiting = _no_limit) -> None:
        """Send a part of the body, already framed if the request announced chunks.

        :param data: bytes, or a tuple of them if :attr:`takes_pieces`
        :param waiting: see :meth:`~oio.common.green._network.Socket.send_pieces`
        :raises EarlyAnswer: the server has refused the request, and reads no further
        """
        is_late = self._replay_size >= MAX_REPLAY
        if type(data) is not Rest:
            self._remember(data)
        try:
            self._send(data, waiting)
        except EarlyAnswer:
            raise
        except ConnectionError as err:
            self._replace(err, waiting)
        except AttributeError as err:
            raise _closed(err) from err
        if is_late:
            self._replay = None

    def getresponse(self) -> Any:
        """The head of the response; its body is read from the result."""
        try:
            self._response = self._connection.answer(self.method)
        except ConnectionError as err:
            self._replace(err)
            self._response = self._connection.answer(self.method)
        except AttributeError as err:
            raise _closed(err) from err
        self._replay = None
        return self._response

    def close(self) -> None:
        """End the request. May be called twice."""
        if self.watch is not None:
            self._close_watched(self.watch)
        else:
            self._end()

    def _close_watched(self, watch: Watch) -> None:
        response = self._response
        left = None if response is None else response.length
        if left is not None:
            announced = response.getheader("Content-Length") or ""
            watch.received = int(announced) - left if announced.isdecimal() and self.method != "HEAD" else 0
        try:
            self._end()
        finally:
            status = 0 if response is None else response.status
            watch.end(status=status, is_whole=response is not None and (not left or self.method == "HEAD"))

    def _end(self) -> None:
        connection = vars(self).pop("_connection", None)
        if connection is None:
            # Another OS thread has ended it, maybe at this moment.
            return
        response, is_reusable = self._response, False
        if response is not None and connection.sock is not None and self._pid == os.getpid():
            if response.length == 0 and response.fp is not None and response.whole() is None:
                response.read()
            is_accepted = self.method != "PUT" or response.status == http.HTTPStatus.CREATED
            is_reusable = response.fp is None and not response.will_close and is_accepted
        if is_reusable:
            POOL.give(self._key, connection)
        else:
            self._drop(connection)
        # The answer may refer to its connection: together they would wait for the garbage collector.
        self._response = None

    def _drop(self, connection: Any) -> None:
        if self._response is not None:
            self._response.close()
        shutdown_and_close(connection.sock, self._pid)
        connection.close()


def _connected(scheme: str, netloc: str, ssl_context: ssl.SSLContext | None) -> Any:
    if scheme == "https":
        connection: Any = CustomHttpsConnection(netloc, context=ssl_context)
    else:
        connection = CustomHttpConnection(netloc)
    connection.connect()
    return connection


def connect_ahead(scheme: str, netloc: str, ssl_context: ssl.SSLContext | None = None) -> None:
    """Keep a new connection to a chunk server, for a request that will come soon.

    :raises OSError: when the server cannot be reached
    """
    POOL.give((scheme, netloc, ssl_context), _connected(scheme, netloc, ssl_context))


def http_connect(
    host: str,
    method: str,
    path: str,
    headers: Mapping[str, Any] | None = None,
    query_string: str | None = None,
    scheme: str = "http",
    ssl_context: ssl.SSLContext | None = None,
    body: bytes = b"",
    kept: Any = None,
    is_replaced: bool = True,
) -> ChunkConnection:
    """Send the head of a request to a chunk server.

    :param host: ``host:port``
    :param path: unquoted, with or without its leading slash
    :param headers: values are turned into text; a list or tuple is sent as repeated headers
    :param query_string: sent as it is
    :param scheme: ``http`` or ``https``
    :param body: sent along with the head, framed as the headers announce it
    :param kept: connection that was taken out of the pool for it
    :param is_replaced: False to raise `DeadConnection` when that one turns out dead; without one, a new one
        is made then
    :returns: a connection with ``send``, ``getresponse`` and ``close``
    :raises OSError: when the server cannot be reached

    >>> connection = http_connect("127.0.0.1:6010", "GET", "0A12...")  # doctest: +SKIP
    >>> connection.getresponse().status  # doctest: +SKIP
    200
    """
    target = path if path.startswith("/") else "/" + path
    # The IDs of chunks are digits.
    if not (target.isascii() and target[1:].isalnum()):
        target = quote(target)
    if query_string:
        target += "?" + query_string
    fields = () if headers is None else headers.items()
    return ChunkConnection(scheme, host, method, target, fields, ssl_context, body, kept, is_replaced)
