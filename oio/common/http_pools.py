# SPDX-License-Identifier: Apache-2.0
"""Connections of urllib3 that are green, and their pools."""

from __future__ import annotations

import contextlib
import functools
import http.client
import logging
import math
import queue
import socket
import ssl
import sys
import time
from collections.abc import Mapping
from typing import Any

import urllib3
from urllib3 import exceptions as urllib3_exceptions
from urllib3._version import __version__ as urllib3_version
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import SKIP_HEADER
from urllib3.util.ssl_ import resolve_cert_reqs

from oio.common import exceptions as exc
from oio.common import green
from oio.common.http_heads import HTTPResponse, check_name, host_of, request_head
from oio.common.http_lazy import LazyResponse

_URLLIB3_LOGGER = logging.getLogger("urllib3.connectionpool")
_LARGE = 65536
"""Bytes above which a copy of the body behind the head costs more than a system call of its own."""
_PAUSE = 0.01
"""Seconds between two looks for a free connection, which any OS thread may put back."""


class _Response(HTTPResponse):
    def begin(self) -> None:
        try:
            super().begin()
        except green.OioTimeout as err:
            err.doing = err.doing or "waiting for the answer"
            raise


_WRITTEN_BY_US = frozenset({"host", "accept-encoding", "content-length", "transfer-encoding"})
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_USER_AGENT = f"python-urllib3/{urllib3_version}"


@functools.lru_cache(256)
def _look_at_names(names: tuple[str, ...]) -> tuple[bool, bool]:
    """Tell whether none of some headers is written by us, and whether one of them names the program."""
    known = {name.lower() for name in names}
    return known.isdisjoint(_WRITTEN_BY_US), "user-agent" in known


def is_plain(body: object, fields: Mapping[str, str]) -> bool:
    """Tell whether a request can be written here; only urllib3 knows how to frame others."""
    if body is not None and not isinstance(body, bytes):
        return False
    for value in fields.values():
        # Values of other classes may say another text when they are formatted.
        if type(value) is not str or value == SKIP_HEADER:
            return False
    return _look_at_names(tuple(fields))[0]


class RequestTimeout(urllib3.Timeout):
    """Time limits of a request and of its parts, in seconds.

    :param total: for the whole request
    """

    def __init__(self, connect: float, read: float, total: float | None = None) -> None:
        # The constructor of urllib3 takes long to check them. It makes copies of its own to count with.
        self._connect, self._read, self.total, self._start_connect = connect, read, total, None
        #: Limits of sending it on a connection that is there, and of each read of the answer.
        self.sending, self.reading = connect, read
        if total is not None:
            self.sending, self.reading = min(connect, total), min(read, total)


class _GreenHTTPConnection(HTTPConnection):
    """A green connection of urllib3, which tells what it was doing when a time limit strikes.

    It writes and reads heads itself. Requests that are streamed, framed by the caller or sent through another
    proxy, as those of our clients never are, are left to urllib3.
    """

    response_class: type[_Response] = _Response
    _asked: tuple[str, str, dict[str, Any]] | None = None
    """Request that was written here, until its answer begins."""
    _answer: HTTPResponse | None = None
    """Answer that is not read to its end yet; one that came whole takes nothing more from the connection."""
    sock: Any
    _has_plain_socket = True
    """Whether :attr:`sock` is one of :mod:`oio.common.green` without TLS."""
    host_header = functools.cached_property(host_of)

    def _new_conn(self) -> Any:
        try:
            sock = green.create_connection(
                (self._dns_host, self.port), self.timeout, self.source_address, self.socket_options
            )
        except green.OioTimeout as err:
            err.doing = err.doing or "connecting"
            raise
        except socket.gaierror as err:
            raise urllib3_exceptions.NameResolutionError(self.host, self, err) from err
        except TimeoutError as err:
            message = f"Connection to {self.host} timed out. (connect timeout={self.timeout})"
            raise urllib3_exceptions.ConnectTimeoutError(self, message) from err
        except OSError as err:
            message = f"Failed to establish a new connection: {err}"
            raise urllib3_exceptions.NewConnectionError(self, message) from err
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        chunked: bool = False,
        **options: Any,
    ) -> None:
        fields = {} if headers is None else headers
        if not (chunked or self.proxy) and is_plain(body, fields):
            self.ask(method, url, body, fields, options)
            return
        self._asked = None
        if self._answer is not None:
            self._check_answered(self._answer)
        for name in fields:
            # urllib3 lets blanks pass, which services cut off.
            check_name(name)
        options["chunked"] = chunked
        try:
            super().request(method, url, body, headers, **options)
        except green.OioTimeout as err:
            err.doing = err.doing or "sending the request"
            raise

    def ask(
        self,
        method: str,
        url: str,
        body: bytes | None,
        fields: Mapping[str, str],
        options: dict[str, Any] | None = None,
    ) -> None:
        """Send a plain request, see :func:`is_plain`."""
        self._asked = None
        if self._answer is not None:
            self._check_answered(self._answer)
        pairs = [*fields.items()]
        # As urllib3 would.
        if not _look_at_names(tuple(fields))[1]:
            pairs.insert(0, ("User-Agent", _USER_AGENT))
        if body is not None or method not in _WITHOUT_BODY:
            pairs.insert(0, ("Content-Length", str(len(body or b""))))
        try:
            if self.sock is None:
                self.connect()
            else:
                self.sock.settimeout(self.timeout)
            self._asked = (method, url, options or {})
            head = request_head(method, url, self.host_header, pairs)
            if body and self._has_plain_socket:
                self.sock.send_together(head, body)
            elif body and len(body) > _LARGE:
                self.sock.sendall(head)
                self.sock.sendall(body)
            else:
                self.sock.sendall(head + body if body else head)
        except green.OioTimeout as err:
            err.doing = err.doing or "sending the request"
            raise

    def _check_answered(self, answer: HTTPResponse) -> None:
        if answer.fp is not None:
            raise http.client.CannotSendRequest("an answer was not read to its end")
        self._answer = None

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        if self._asked is None:
            answered: urllib3.HTTPResponse = super().getresponse()
            return answered
        method, url, options = self._asked
        answer = self.answer()
        try:
            response = urllib3.HTTPResponse(
                body=answer,
                headers=urllib3.HTTPHeaderDict(answer.pairs),
                status=answer.status,
                version=answer.version,
                reason=answer.reason,
                original_response=answer,
                request_method=method,
                request_url=url,
                **options,
            )
        except BaseException:  # Nobody will read it.
            self.close()
            answer.close()
            raise
        return response

    def answer(self) -> HTTPResponse:
        """Read the head of the answer to a request that was written here."""
        assert self._asked is not None
        method, self._asked = self._asked[0], None
        self.sock.settimeout(self.timeout)
        answer = HTTPResponse(self.sock, method=method)
        try:
            if self._has_plain_socket:
                self.sock.await_data()
            answer.begin()
        except BaseException as err:  # A half-read answer is of no use.
            answer.close()
            if isinstance(err, green.OioTimeout):
                err.doing = err.doing or "waiting for the answer"
            raise
        if answer.will_close:
            # The answer has the socket for itself.
            self.close()
        elif not answer.is_there:
            self._answer = answer
        return answer

    def close(self) -> None:
        answer, self._answer = self._answer, None
        super().close()
        if answer is not None:
            # It would keep the socket open until it is read.
            answer.close()

    @property
    def is_connected(self) -> bool:
        # urllib3's own test polls in a way that a host patched later breaks.
        return self.sock is not None and not green.is_readable(self.sock)


class _GreenHTTPSConnection(_GreenHTTPConnection, HTTPSConnection):
    _has_plain_socket = False

    def connect(self) -> None:
        if self.ssl_context is None:
            # A context of the standard class would make a socket that blocks the whole thread.
            self.ssl_context = tls_context(self.ca_certs, self.cert_reqs)
        try:
            super().connect()
        except green.OioTimeout as err:
            err.doing = err.doing or "connecting"
            raise
        except TimeoutError as err:
            # urllib3 would speak of a read.
            message = f"TLS handshake with {self.host} timed out. (connect timeout={self.timeout})"
            raise urllib3_exceptions.ConnectTimeoutError(self, message) from err


@functools.cache
def tls_context(ca_certs: str | None = None, cert_reqs: str | int | None = None) -> ssl.SSLContext:
    """One context for each setting: making one reads all the system's certificates (pitfall 124).

    :param ca_certs: PEM file of the authorities to trust, instead of the system's
    :param cert_reqs: ``CERT_NONE`` accepts any certificate of any host
    :raises ConfigurationException: the file cannot be used, or nothing is known by that name
    """
    try:
        verify = resolve_cert_reqs(cert_reqs) != ssl.CERT_NONE
        return green.create_ssl_context(ca_certs, verify=verify)
    except (OSError, AttributeError) as err:
        raise exc.ConfigurationException(
            f"ca_certs {ca_certs!r} or cert_reqs {cert_reqs!r} cannot be used: {err}"
        ) from err


class _IdleConnections:
    """Connections kept for later requests; those in excess are closed in silence.

    :param maxsize: how many
    """

    def __init__(self, maxsize: int = 0) -> None:
        self._maxsize = maxsize
        # Its methods are atomic.
        self.queue: list[Any] = []

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the one that came last.

        :param block: wait for one, in pools that were made so, while other green threads run
        :param timeout: seconds to wait; None for no limit
        """
        due = time.monotonic() + timeout if block and timeout is not None else math.inf
        while True:
            try:
                return self.queue.pop()
            except IndexError:
                if not block or time.monotonic() >= due:
                    raise queue.Empty from None
            green.sleep(_PAUSE)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Keep one, or None in the place of one."""
        if len(self.queue) < self._maxsize:
            self.queue.append(item)
        elif item is not None:
            item.close()


class KeptConnectionDied(urllib3_exceptions.ProtocolError):
    """A connection that was kept for later requests turned out dead; the service may have got the request."""


class GreenHTTPConnectionPool(HTTPConnectionPool):
    """Green connections to one service."""

    ConnectionCls = _GreenHTTPConnection
    QueueCls = _IdleConnections  # type: ignore[assignment]

    @functools.cached_property
    def _sends_once(self) -> bool:
        """Whether no request is repeated, whatever the answer."""
        policy = self.retries
        return type(policy) is urllib3.Retry and policy.total == 0 and not policy.status_forcelist

    def exchange(
        self,
        method: str,
        target: str,
        body: Any,
        headers: Mapping[str, str],
        timeout: Any,
    ) -> Any:
        """Send a request as `urlopen` does, in fewer steps when it is plain and a connection is kept.

        :returns: the answer, whose body is not read yet
        """
        policy: Any = self.retries
        connection = self._kept() if self._sends_once and is_plain(body, headers) else None
        if connection is None:
            more = {"timeout": timeout, "preload_content": False, "decode_content": False}
            return self.urlopen(method, target, body, headers, policy, False, False, **more)
        self.num_requests += 1
        is_sent = False
        try:
            known = type(timeout) is RequestTimeout
            sending, reading = (timeout.sending, timeout.reading) if known else self._limits_of(timeout)
            connection.timeout = sending
            try:  # noqa: SIM105 - another way costs several calls
                connection.ask(method, target, body, headers)
            except (BrokenPipeError, ConnectionResetError):
                # A service that hangs up early may have answered before.
                pass
            connection.timeout, is_sent = reading, True
            if reading == 0:
                raise urllib3_exceptions.ReadTimeoutError(self, target, "Read timed out. (read timeout=0)")
            response = LazyResponse(connection.answer(), self, connection, method, target)
        except (urllib3_exceptions.TimeoutError, http.client.HTTPException, OSError) as err:
            self._discard(connection)
            failure: Exception
            if isinstance(err, ConnectionError):
                # Clients know whether the request may be repeated.
                failure = KeptConnectionDied("Connection aborted.", err)
                self._close_idle()
            else:
                failure = self._late(err, target, reading) if is_sent else _as_urllib3(err)
            # With the traceback of the wait for a socket, a late answer would pass for an interruption.
            own = failure.__traceback__ or err.__traceback__
            policy.increment(method, target, None, failure, self, own)
            raise
        except BaseException:  # A half-done request is of no use.
            self._discard(connection)
            raise
        if _URLLIB3_LOGGER.isEnabledFor(logging.DEBUG):
            asked = f"{self.scheme}://{self.host}:{self.port}"
            _URLLIB3_LOGGER.debug(
                '%s "%s %s" %s %s', asked, method, target, response.status, response.length_remaining
            )
        return response

    def _late(self, error: Exception, target: str, reading: float | None) -> Exception:
        """The exception of urllib3 for a failure once the request was sent."""
        try:
            if isinstance(error, OSError):
                self._raise_timeout(error, target, reading)
        except urllib3_exceptions.ReadTimeoutError as late:
            return late
        return _as_urllib3(error)

    def _limits_of(self, timeout: Any) -> tuple[float | None, float | None]:
        """Seconds to send a request on a connection that is there, and for each read of the answer."""
        limit = self._get_timeout(timeout)
        limit.start_connect()
        return limit.resolve_default_timeout(limit.connect_timeout), limit.read_timeout

    def _kept(self) -> Any:
        """A kept connection that looks alive; None when one has to be connected, or warned of."""
        # Another OS thread may close it meanwhile.
        if (pool := self.pool) is None:
            raise urllib3_exceptions.ClosedPoolError(self, "Pool is closed.")
        try:
            connection = pool.queue.pop()
        except IndexError:
            return None
        if connection is not None and (sock := connection.sock) is not None:
            if green.is_readable(sock):
                # Its service has closed it, or sends something unasked.
                connection.close()
            elif self.scheme == "http" or connection.is_verified:
                return connection
        self._put_conn(connection)
        return None

    def _discard(self, connection: _GreenHTTPConnection) -> None:
        connection.close()
        self._put_conn(None)

    def _close_idle(self) -> None:
        """Close the kept connections: they have been idle for longer than one that has just died."""
        # Other OS threads may close the pool, or take the last of them, meanwhile.
        if (pool := self.pool) is None:
            return
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(pool.queue.pop())
        for connection in taken:
            # Where requests wait for a connection, each needs its place, whatever stops us.
            pool.put(None)
            if connection is not None:
                connection.close()


class GreenHTTPSConnectionPool(GreenHTTPConnectionPool, HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = _GreenHTTPSConnection


def _as_urllib3(error: Exception) -> Exception:
    """The exception of urllib3 for a failure of a kept connection, before the head of the answer was read."""
    if isinstance(error, (ssl.SSLError, ssl.CertificateError)):
        return urllib3_exceptions.SSLError(error)
    if isinstance(error, (OSError, http.client.HTTPException)):
        return urllib3_exceptions.ProtocolError("Connection aborted.", error)
    return error
