# SPDX-License-Identifier: Apache-2.0
"""HTTP connections to chunk servers: green, kept alive, pooled."""

from __future__ import annotations

import collections
import contextlib
import os
import socket as _native_socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from oio.common import green

#: Idle connections kept in all, and for how long (seconds): a rawx itself keeps them for an hour.
MAX_IDLE = 256
MAX_IDLE_SECONDS = 60.0
#: What may be sent again on a fresh connection when a kept one turns out dead (bytes).
MAX_REPLAY = 1 << 20

#: A close by another green thread shows up anywhere in the stack (pitfall 6).
_CLOSED_UNDER_US = (AttributeError, ValueError, EOFError)
#: Two processes would share out the bytes.
_OF_PARENT = "Read on a source of the parent process"


def shutdown_and_close(sock: Any, pid: int | None = None) -> None:
    """Close a socket in both directions, even when other code holds it; never raises (pitfalls 2 and 7).

    :param pid: process that uses it; the children that it has forked close their copy, and no more
    """
    if sock is None:
        return
    if pid is None or pid == os.getpid():
        # A socket that is closed already, or was never connected, is as we want it.
        with contextlib.suppress(OSError):
            sock.shutdown(_native_socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        sock.close()


class CustomHTTPResponse(green.HTTPResponse):
    """A response whose early close reaches the server, and whose reads fail only with IOError."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        self._sock = sock
        self._pid = os.getpid()
        super().__init__(sock, *args, **kwargs)

    def read(self, amt: int | None = None) -> bytes:
        """Read at most ``amt`` bytes of the body, or all of it."""
        if self._pid != os.getpid():
            raise OSError(_OF_PARENT)
        try:
            return super().read(amt)
        except _CLOSED_UNDER_US as err:
            raise OSError(f"Read on a closed source: {err}") from err

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the body."""
        if self._pid != os.getpid():
            raise OSError(_OF_PARENT)
        try:
            return super().readinto(buffer)
        except _CLOSED_UNDER_US as err:
            raise OSError(f"Read on a closed source: {err}") from err

    def close(self) -> None:
        """Close; when the body was not read to its end, the server learns of it at once."""
        if not self.isclosed():
            self.force_close()

    def force_close(self) -> None:
        """Close the response and its socket, whatever is left to read."""
        shutdown_and_close(self._sock, self._pid)
        # Another thread has closed it, or is reading from it, and will see the end.
        with contextlib.suppress(ValueError, RuntimeError):
            super().close()


class CustomHttpConnection(green.HTTPConnection):
    """A green HTTP connection without Nagle's delay."""

    response_class = CustomHTTPResponse

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

    response_class = CustomHTTPResponse


class ConnectionPool:
    """Idle connections to chunk servers, shared by all OS threads.

    They are kept only while somebody has said with :meth:`hold` that they will be of use: when the last
    holder is closed or collected, so are they.
    """

    def __init__(self, max_idle: int = MAX_IDLE, max_idle_seconds: float = MAX_IDLE_SECONDS) -> None:
        self.max_idle = max_idle
        self.max_idle_seconds = max_idle_seconds
        self._start()

    def _start(self) -> None:
        # Held for a few dictionary operations and never over a switch of green threads.
        self._lock = threading.Lock()
        self._idle: dict[Any, collections.deque[tuple[Any, float]]] = {}
        self._count = 0
        self._holders = 0
        self._releases: collections.deque[None] = collections.deque()

    def hold(self, owner: object) -> weakref.finalize[[], object]:
        """Keep idle connections for the sake of ``owner``, until the result is called or it is collected."""
        with self._lock:
            self._holders += 1
        if self._releases:
            self._note_releases()
        return weakref.finalize(owner, self._release)

    def _release(self) -> None:
        self._releases.append(None)
        self._note_releases()

    def _note_releases(self) -> None:
        # A collection may strike while this very thread has the lock: its owner does this afterwards.
        while self._releases and self._lock.acquire(blocking=False):
            try:
                left = self._forget_released()
            finally:
                self._lock.release()
            for queue in left.values():
                for connection, _ in queue:
                    shutdown_and_close(connection.sock)
                    connection.close()

    def _forget_released(self) -> dict[Any, collections.deque[tuple[Any, float]]]:
        """Count the holders that are left, and take out everything when none is."""
        while self._releases:
            self._releases.pop()
            self._holders -= 1
        left: dict[Any, collections.deque[tuple[Any, float]]] = {}
        if self._holders <= 0:
            left, self._idle, self._count, self._holders = self._idle, left, 0, 0
        return left

    def take(self, key: Any) -> Any:
        """An idle connection to ``key`` that still looks alive, or None."""
        while True:
            connection: Any = None
            with self._lock:
                queue = self._idle.get(key)
                if queue:
                    connection, since = queue.pop()
                    self._count -= 1
                    if not queue:
                        del self._idle[key]
            if self._releases:
                self._note_releases()
            if connection is None:
                return None
            fresh = time.monotonic() - since < self.max_idle_seconds
            # A server that has closed, or sends something unasked, makes the socket readable.
            if fresh and connection.sock is not None and not green.is_readable(connection.sock):
                return connection
            shutdown_and_close(connection.sock)
            connection.close()

    def give(self, key: Any, connection: Any) -> None:
        """Keep a connection whose last response was read to its end."""
        dropped = connection
        with self._lock:
            if self._holders:
                self._idle.setdefault(key, collections.deque()).append((connection, time.monotonic()))
                self._count += 1
                dropped = self._drop_oldest() if self._count > self.max_idle else None
        if self._releases:
            self._note_releases()
        if dropped is not None:
            shutdown_and_close(dropped.sock)
            dropped.close()

    def _drop_oldest(self) -> Any:
        key = min(self._idle, key=lambda k: self._idle[k][0][1])
        connection, _ = self._idle[key].popleft()
        self._count -= 1
        if not self._idle[key]:
            del self._idle[key]
        return connection

    def __len__(self) -> int:
        return self._count

    def forget(self) -> None:
        """Drop everything without closing it for the servers: after a fork the sockets are the parent's."""
        left, holders = self._idle, self._holders - len(self._releases)
        self._start()
        self._holders = holders
        for queue in left.values():
            for connection, _ in queue:
                connection.close()


#: The pool behind :func:`http_connect`.
POOL = ConnectionPool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)


class ChunkConnection:
    """One request to a chunk server, on a connection that may have served others before.

    :meth:`close` ends the request: the connection goes back to the pool when its response was read to the
    end, otherwise it is closed. A kept connection that dies before the first byte of an answer is replaced
    once (pitfall 135); :attr:`said_twice` tells that the server may have done what the first one asked.
    """

    def __init__(
        self,
        scheme: str,
        netloc: str,
        method: str,
        target: str,
        headers: Iterable[tuple[str, Any]],
        ssl_context: ssl.SSLContext | None = None,
        pool: ConnectionPool | None = None,
    ) -> None:
        self.method = method
        self._request = (method, target, list(headers))
        self._key = (scheme, netloc, ssl_context)
        self._pid = os.getpid()
        self._pool = POOL if pool is None else pool
        self.said_twice = False
        self._response: Any = None
        self._connection = self._pool.take(self._key)
        self._replay: list[Any] | None = [] if self._connection is not None else None
        self._replay_size = 0
        if self._connection is None:
            self._connection = self._connect()
        try:
            self._send_head()
        except ConnectionError as err:
            self._replace(err)
        except BaseException:  # What is half sent is of no use.
            self.close()
            raise

    def _connect(self) -> Any:
        scheme, netloc, ssl_context = self._key
        if scheme == "https":
            connection: Any = CustomHttpsConnection(netloc, context=ssl_context)
        else:
            connection = CustomHttpConnection(netloc)
        connection.connect()
        return connection

    def _send_head(self) -> None:
        method, target, headers = self._request
        self._connection.putrequest(method, target)
        for name, value in headers:
            self._connection.putheader(name, value)
        self._connection.endheaders()

    def _replace(self, error: Exception) -> None:
        """Send everything again on a fresh connection, if the dead one had been kept from before."""
        replay, self._replay = self._replay, None
        if replay is None:
            self.close()
            raise error
        self._drop()
        try:
            self._connection = self._connect()
            self._send_head()
            for data in replay:
                self._connection.send(data)
        except BaseException:  # What is half sent is of no use.
            self.close()
            raise

    @property
    def sock(self) -> Any:
        """The socket, for code that tunes it."""
        return self._connection.sock

    def set_cork(self, enabled: bool = True) -> bool:
        """Hold back partial packets, or release them."""
        corked: bool = self._connection.set_cork(enabled)
        return corked

    def send(self, data: Any) -> None:
        """Send a part of the body, already framed if the request announced chunks."""
        if self._replay is not None:
            self._replay_size += len(data)
            if self._replay_size <= MAX_REPLAY:
                self._replay.append(data)
            else:
                self._replay = None
        try:
            self._connection.send(data)
        except ConnectionError as err:
            self._replace(err)

    def getresponse(self) -> Any:
        """The head of the response; its body is read from the result."""
        try:
            self._response = self._connection.getresponse()
        except ConnectionError as err:
            self._replace(err)
            self.said_twice = True
            self._response = self._connection.getresponse()
        self._replay = None
        return self._response

    def _reusable(self) -> bool:
        response = self._response
        if response is None or self._connection.sock is None or self._pid != os.getpid():
            return False
        if response.length == 0 and response.fp is not None:
            response.read()
        return (
            response.fp is None
            and not response.will_close
            and (self.method != "PUT" or response.status == 201)
        )

    def close(self) -> None:
        """End the request. May be called twice."""
        if self._connection is None:
            return
        if self._reusable():
            self._pool.give(self._key, self._connection)
        else:
            self._drop()
        self._connection = None

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
        shutdown_and_close(self._connection.sock, self._pid)
        self._connection.close()


def http_connect(
    host: str,
    method: str,
    path: str,
    headers: Mapping[str, Any] | None = None,
    query_string: str | None = None,
    scheme: str = "http",
    ssl_context: ssl.SSLContext | None = None,
) -> ChunkConnection:
    """Send the head of a request to a chunk server.

    :param host: ``host:port``
    :param path: unquoted, with or without its leading slash
    :param headers: values are turned into text; a list or tuple is sent as repeated headers
    :param query_string: sent as it is
    :param scheme: ``http`` or ``https``
    :returns: a connection with ``send``, ``getresponse`` and ``close``
    :raises OSError: when the server cannot be reached

    >>> connection = http_connect("127.0.0.1:6010", "GET", "0A12...")  # doctest: +SKIP
    >>> connection.getresponse().status  # doctest: +SKIP
    200
    """
    target = quote(path if path.startswith("/") else "/" + path)
    if query_string:
        target += "?" + query_string
    flat: list[tuple[str, Any]] = []
    for name, value in (headers or {}).items():
        if isinstance(value, (list, tuple)):
            flat.extend((name, item if isinstance(item, bytes) else str(item)) for item in value)
        else:
            flat.append((name, value if isinstance(value, bytes) else str(value)))
    return ChunkConnection(scheme, host, method, target, flat, ssl_context)
