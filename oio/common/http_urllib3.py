# SPDX-License-Identifier: Apache-2.0
"""Pools of connections to services, and requests on them: urllib3 over green sockets.

urllib3 itself is the host's, untouched: it is made green by connection classes of ours.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import logging
import math
import os
import queue
import re
import ssl
import time
import weakref
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

import urllib3
from urllib3 import exceptions as urllib3_exceptions
from urllib3._collections import RecentlyUsedContainer
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from oio.common import exceptions as exc
from oio.common import green
from oio.common.arguments import WrongType
from oio.common.constants import MAX_ANSWER_SIZE, URLLIB3_POOLMANAGER_KWARGS
from oio.common.easy_value import float_value, int_value
from oio.common.http_connections import (
    GreenHTTPConnection,
    GreenHTTPSConnection,
    LazyResponse,
    RequestTimeout,
    is_plain,
)
from oio.common.http_heads import is_target

__all__ = [
    "DEFAULT_BACKOFF",
    "DEFAULT_POOLSIZE",
    "DEFAULT_RETRIES",
    "MAX_ANSWER_SIZE",
    "UNREAD",
    "URLLIB3_POOLMANAGER_KWARGS",
    "URLLIB3_REQUESTS_KWARGS",
    "SafePoolManager",
    "get_pool_manager",
    "is_untrusted",
    "nothing_was_sent",
    "oio_exception_from_httperror",
    "urllib3",
]

DEFAULT_POOLSIZE = 32
DEFAULT_RETRIES = 0
DEFAULT_BACKOFF = 0

URLLIB3_REQUESTS_KWARGS = (
    "fields",
    "headers",
    "body",
    "retries",
    "redirect",
    "assert_same_host",
    "timeout",
    "pool_timeout",
    "release_conn",
    "chunked",
)
_REQUESTS_KWARGS = frozenset({*URLLIB3_REQUESTS_KWARGS, "preload_content", "decode_content"})
UNREAD = {"preload_content": False, "decode_content": False}
"""Keywords of a request whose answer is left for us to read."""
_OF_CLIENTS = frozenset({"headers", "body", "timeout", "redirect", *UNREAD})
"""Keywords of the requests of our own clients."""
_URLLIB3_LOGGER = logging.getLogger("urllib3.connectionpool")
_PAUSE = 0.01
"""Seconds between two looks for a free connection, which any OS thread may put back."""
_AFTER_SCHEME = len("https://")
#: Scheme and netloc of a URL that pools are remembered by.
_PLAIN_ORIGIN = re.compile(r'https?://[!"$-.0->@-~]+')


class _GreenRetry(urllib3.Retry):
    """Waits without blocking the OS thread, and so within the time limits of the request."""

    def sleep(self, response: Any = None) -> None:
        seconds = (response and self.get_retry_after(response)) or self.get_backoff_time()
        if seconds > 0:
            green.sleep(seconds)


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

    ConnectionCls = GreenHTTPConnection
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

    def _discard(self, connection: GreenHTTPConnection) -> None:
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

    ConnectionCls = GreenHTTPSConnection


def _as_urllib3(error: Exception) -> Exception:
    """The exception of urllib3 for a failure of a kept connection, before the head of the answer was read."""
    if isinstance(error, (ssl.SSLError, ssl.CertificateError)):
        return urllib3_exceptions.SSLError(error)
    if isinstance(error, (OSError, http.client.HTTPException)):
        return urllib3_exceptions.ProtocolError("Connection aborted.", error)
    return error


_MANAGERS: weakref.WeakSet[SafePoolManager] = weakref.WeakSet()


class SafePoolManager(urllib3.PoolManager):
    """A green pool manager whose ``request`` drops the keyword arguments that urllib3 does not know.

    :param num_pools: how many services are remembered
    :param headers: of requests that bring none
    :param kwargs: see :class:`urllib3.PoolManager`
    """

    def __init__(self, num_pools: int = 10, headers: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(num_pools, headers, **kwargs)
        self.pools.lock = green.RLock()
        self.pool_classes_by_scheme = {"http": GreenHTTPConnectionPool, "https": GreenHTTPSConnectionPool}
        #: Pool of each service that was asked: urllib3 takes long to find it.
        self._known: dict[str, Any] = {}
        _MANAGERS.add(self)

    def request(self, method: str, url: str, **kwargs: Any) -> Any:  # type: ignore[override]
        """Send a request, see :meth:`urllib3.PoolManager.request`."""
        is_ours = kwargs.keys() == _OF_CLIENTS and "/." not in url and self.proxy is None
        if is_ours and not (kwargs["redirect"] or kwargs["preload_content"] or kwargs["decode_content"]):
            headers = kwargs["headers"]
            fields = self.headers if headers is None else headers
            return self.send_as_is(method, url, fields, kwargs["body"], kwargs["timeout"])
        if not kwargs.keys() <= _REQUESTS_KWARGS:
            kwargs = {name: value for name, value in kwargs.items() if name in _REQUESTS_KWARGS}
        return super().request(method, url, **kwargs)

    def send_as_is(
        self, method: str, url: str, headers: Mapping[str, str], body: Any, timeout: urllib3.Timeout
    ) -> Any:
        """Send a request to a URL without dot segments, and follow no redirection.

        :param url: quoted
        :returns: an answer whose body is not read yet
        """
        # In fewer steps than urllib3, which splits URLs, puts them together again, and looks for pools.
        end = url.find("/", _AFTER_SCHEME)
        pool = self._known.get(url[:end]) if end > 0 else None
        if pool is None or pool.pool is None:
            pool = self._found(url, end)
        target = url[end:]
        if pool is None or "#" in target or not is_target(target):
            options = {"headers": headers, "body": body, "timeout": timeout, "redirect": False, **UNREAD}
            return super().request(method, url, **options)
        return pool.exchange(method.upper(), target, body, headers, timeout)

    def _found(self, url: str, end: int) -> Any:
        """The pool of a service that was never asked, or whose pool was closed; None for an odd URL.

        :param end: of the part of the URL that tells the service
        """
        if end < 0 or not _PLAIN_ORIGIN.fullmatch(url, 0, end):
            return None
        # Those that urllib3 has dropped to make room for others must not live on.
        if len(self._known) >= self.pools._maxsize:
            self._known.clear()
        pool = self._known[url[:end]] = self.connection_from_url(url[:end])
        return pool

    def clear(self) -> None:
        """Close the idle connections; the manager may still be used."""
        # urllib3 closes pools when they are collected, which a traceback may put off for long.
        pools = self._forget()
        for key in pools.keys():  # noqa: SIM118 - its iterator refuses to work
            pools[key].close()

    def __reduce__(self) -> NoReturn:
        refuse_to_pickle("a pool of connections")

    def _forget(self) -> RecentlyUsedContainer[Any, Any]:
        pools = self.pools
        fresh: RecentlyUsedContainer[Any, Any] = RecentlyUsedContainer(pools._maxsize)
        fresh.lock = green.RLock()
        self.pools = fresh
        self._known.clear()
        return pools


def _forget_after_fork() -> None:
    # The sockets are the parent's too: they are dropped, not shut down.
    for manager in list(_MANAGERS):
        manager._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def refuse_to_pickle(what: str) -> NoReturn:
    """Tell what to do instead of pickling connections.

    :raises WrongType: always
    """
    raise WrongType(
        f"{what} cannot be pickled: pickle an ObjectStorageApi that was made without pool_manager, "
        f"or make the client in the process that uses it"
    )


def get_pool_manager(
    pool_connections: Any = DEFAULT_POOLSIZE,
    pool_maxsize: Any = DEFAULT_POOLSIZE,
    max_retries: Any = DEFAULT_RETRIES,
    backoff_factor: Any = DEFAULT_BACKOFF,
    **kwargs: Any,
) -> SafePoolManager:
    """Make a pool of HTTP connections.

    :param pool_connections: how many hosts are remembered (number or text)
    :param pool_maxsize: how many idle connections are kept for each (number or text)
    :param max_retries: how often urllib3 repeats a failed request; 0 leaves this to the clients
    :param backoff_factor: seconds, doubled at each such repetition
    :param kwargs: also ``socket_options``, ``source_address``, ``cert_reqs``, ``ca_certs``; others
        are ignored

    >>> get_pool_manager(pool_maxsize="4").connection_pool_kw["maxsize"]
    4
    """
    retries = int_value(max_retries, DEFAULT_RETRIES)
    if retries == DEFAULT_RETRIES:
        policy = urllib3.Retry(0, read=False)
    else:
        policy = _GreenRetry(total=retries, backoff_factor=float_value(backoff_factor, DEFAULT_BACKOFF))
    known = {k: v for k, v in kwargs.items() if k in URLLIB3_POOLMANAGER_KWARGS and v is not None}
    return SafePoolManager(
        num_pools=int_value(pool_connections, DEFAULT_POOLSIZE),
        maxsize=int_value(pool_maxsize, DEFAULT_POOLSIZE),
        retries=policy,
        block=False,
        **known,
    )


def oio_exception_from_httperror(
    error: urllib3_exceptions.HTTPError, reqid: str | None = None, url: str | None = None
) -> NoReturn:
    """Raise the exception of the library that stands for one of urllib3.

    :raises oio.common.exceptions.OioTimeout: a timeout of connection or reading
    :raises OioConnectionException: no connection could be made
    :raises OioNetworkException: any other trouble with the connection or the protocol
    :raises OioException: anything else
    """
    service = urlsplit(url).netloc if url else None
    known = {"reqid": reqid, "host": service}
    prefix = ", ".join(f"{name}={value}" for name, value in known.items() if value)
    reason: Exception = error
    if isinstance(error, urllib3_exceptions.MaxRetryError) and error.reason is not None:
        reason = error.reason
    kind: type[exc.OioException]
    # A NewConnectionError is a kind of timeout for urllib3, not for us.
    if isinstance(reason, urllib3_exceptions.NewConnectionError):
        kind = exc.OioConnectionException
    elif isinstance(reason, urllib3_exceptions.TimeoutError):
        kind = exc.OioTimeout
    elif isinstance(reason, (urllib3_exceptions.InvalidHeader, urllib3_exceptions.DecodeError)):
        kind = exc.OioProtocolError
    elif isinstance(
        error,
        (
            urllib3_exceptions.MaxRetryError,
            urllib3_exceptions.ProtocolError,
            urllib3_exceptions.ProxyError,
            urllib3_exceptions.ClosedPoolError,
        ),
    ):
        kind = exc.OioNetworkException
    else:
        kind = exc.OioException
    message = f"{prefix}: {reason}" if prefix else str(reason)
    raise kind(message, reqid=reqid, service=service) from error


def nothing_was_sent(error: exc.OioException) -> bool:
    """Tell whether no connection could be made, given an exception of :func:`oio_exception_from_httperror`.

    Then no byte of the request has left: another service may be asked the same.
    """
    reason = getattr(error.__cause__, "reason", None) or error.__cause__
    return isinstance(reason, (urllib3_exceptions.NewConnectionError, urllib3_exceptions.ConnectTimeoutError))


def is_untrusted(error: BaseException) -> bool:
    """Tell whether the certificate of a server was not accepted, given such an exception."""
    reason = getattr(error.__cause__, "reason", None)
    return any(isinstance(arg, ssl.SSLCertVerificationError) for arg in getattr(reason, "args", ()))
