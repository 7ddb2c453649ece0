# SPDX-License-Identifier: Apache-2.0
"""Pooled HTTP towards the proxy and the account service: urllib3 over green sockets.

urllib3 itself is the host's, untouched: it is made green by connection classes of ours.
"""

from __future__ import annotations

import functools
import http.client
import os
import queue
import socket
import ssl
import sys
import weakref
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

import urllib3
from urllib3 import exceptions as urllib3_exceptions
from urllib3._collections import RecentlyUsedContainer
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import resolve_cert_reqs

from oio.common import exceptions as exc
from oio.common import green
from oio.common.easy_value import float_value, int_value

__all__ = [
    "DEFAULT_BACKOFF",
    "DEFAULT_POOLSIZE",
    "DEFAULT_RETRIES",
    "URLLIB3_POOLMANAGER_KWARGS",
    "URLLIB3_REQUESTS_KWARGS",
    "SafePoolManager",
    "get_pool_manager",
    "nothing_was_sent",
    "oio_exception_from_httperror",
    "tls_context",
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
_REQUESTS_KWARGS = frozenset(URLLIB3_REQUESTS_KWARGS)
#: Options of :func:`get_pool_manager`, which clients take from their own keyword arguments.
URLLIB3_POOLMANAGER_KWARGS = (
    "pool_connections",
    "pool_maxsize",
    "max_retries",
    "backoff_factor",
    "socket_options",
    "source_address",
    "cert_reqs",
    "ca_certs",
)


class _Response(http.client.HTTPResponse):
    #: The parser gave up in the middle of the head.
    head_is_broken = False

    def begin(self) -> None:
        try:
            super().begin()
        except green.OioTimeout as err:
            err.doing = err.doing or "waiting for the answer"
            raise
        if self.msg.defects or self.msg.get_payload():
            # The keys of properties do that. urllib3 would log it as a warning, with what comes after them.
            self.head_is_broken = True
            self.msg.defects = []
            self.msg.set_payload("")


class _GreenMixin:
    """What makes a connection of urllib3 green, and tells what it is busy with when it is interrupted."""

    response_class: type[http.client.HTTPResponse] = _Response

    def _new_conn(self: Any) -> Any:
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

    def request(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
        except green.OioTimeout as err:
            err.doing = err.doing or "sending the request"
            raise

    @property
    def is_connected(self: Any) -> bool:
        # urllib3's own test polls in a way that a host patched later breaks.
        return self.sock is not None and not green.is_readable(self.sock)


class _GreenHTTPConnection(_GreenMixin, HTTPConnection):
    pass


class _GreenHTTPSConnection(_GreenMixin, HTTPSConnection):
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


class _IdleConnections(queue.LifoQueue[Any]):
    """Connections kept for later requests; those in excess are closed, which urllib3 would warn about."""

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        try:
            super().put(item, block, timeout)
        except queue.Full:
            if item is not None:
                item.close()


class _GreenHTTPConnectionPool(HTTPConnectionPool):
    ConnectionCls = _GreenHTTPConnection
    QueueCls = _IdleConnections


class _GreenHTTPSConnectionPool(HTTPSConnectionPool):
    ConnectionCls = _GreenHTTPSConnection
    QueueCls = _IdleConnections


class _GreenRetry(urllib3.Retry):
    """Waits without blocking the OS thread, and so within the time limits of the request."""

    def sleep(self, response: Any = None) -> None:
        seconds = (response and self.get_retry_after(response)) or self.get_backoff_time()
        if seconds > 0:
            green.adopt_thread()
            green.sleep(seconds)


_MANAGERS: weakref.WeakSet[SafePoolManager] = weakref.WeakSet()


class SafePoolManager(urllib3.PoolManager):
    """A green pool manager whose ``request`` drops the keyword arguments that urllib3 does not know."""

    def __init__(self, num_pools: int = 10, headers: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(num_pools, headers, **kwargs)
        self.pool_classes_by_scheme = {"http": _GreenHTTPConnectionPool, "https": _GreenHTTPSConnectionPool}
        _MANAGERS.add(self)

    def request(self, method: str, url: str, **kwargs: Any) -> Any:  # type: ignore[override]
        """Send a request, see :meth:`urllib3.PoolManager.request`."""
        if not kwargs.keys() <= _REQUESTS_KWARGS:
            kwargs = {name: kwargs[name] for name in URLLIB3_REQUESTS_KWARGS if name in kwargs}
        return super().request(method, url, **kwargs)

    def clear(self) -> None:
        """Close the idle connections; the manager may still be used."""
        # urllib3 closes pools when they are collected, which a traceback may put off for long.
        pools = self._forget()
        for key in pools.keys():  # noqa: SIM118 - its iterator refuses to work
            pools[key].close()

    def _forget(self) -> RecentlyUsedContainer[Any, Any]:
        pools, self.pools = self.pools, RecentlyUsedContainer(self.pools._maxsize)
        return pools


def _forget_after_fork() -> None:
    # The sockets are the parent's too: they are dropped, not shut down.
    for manager in list(_MANAGERS):
        manager._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


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
