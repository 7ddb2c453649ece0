# SPDX-License-Identifier: Apache-2.0
"""Pooled HTTP towards the proxy and the account service: urllib3 over green sockets.

urllib3 itself is the host's, untouched: it is made green by connection classes of ours.
"""

from __future__ import annotations

import os
import re
import ssl
import weakref
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

import urllib3
from urllib3 import exceptions as urllib3_exceptions
from urllib3._collections import RecentlyUsedContainer

from oio.common import exceptions as exc
from oio.common import green
from oio.common.arguments import WrongType
from oio.common.constants import MAX_ANSWER_SIZE, URLLIB3_POOLMANAGER_KWARGS
from oio.common.easy_value import float_value, int_value
from oio.common.http_heads import is_target
from oio.common.http_lazy import LazyResponse
from oio.common.http_pools import (
    GreenHTTPConnectionPool,
    GreenHTTPSConnectionPool,
    tls_context,
)

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
    "is_made_up",
    "is_page",
    "is_untrusted",
    "nothing_was_sent",
    "oio_exception_from_httperror",
    "read_whole",
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
_REQUESTS_KWARGS = frozenset({*URLLIB3_REQUESTS_KWARGS, "preload_content", "decode_content"})
UNREAD = {"preload_content": False, "decode_content": False}
"""Keywords of a request whose answer is left for us to read."""
_OF_CLIENTS = frozenset({"headers", "body", "timeout", "redirect", *UNREAD})
"""Keywords of the requests of our own clients."""
_AFTER_SCHEME = len("https://")
#: Scheme and netloc of a URL that pools are remembered by.
_PLAIN_ORIGIN = re.compile(r'https?://[!"$-.0->@-~]+')


class _GreenRetry(urllib3.Retry):
    """Waits without blocking the OS thread, and so within the time limits of the request."""

    def sleep(self, response: Any = None) -> None:
        seconds = (response and self.get_retry_after(response)) or self.get_backoff_time()
        if seconds > 0:
            green.ensure_hub()
            green.sleep(seconds)


#: Bytes of an answer of unknown length that are read at once.
_BLOCK = 65536

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


def read_whole(method: str, resp: Any, limit: int, url: str | None = None, reqid: str | None = None) -> Any:
    """Read the body of an answer, which was asked for without an encoding.

    :param method: of the request
    :param resp: the answer, not read yet, which keeps the body as its ``data``; or that of a fake
    :param limit: bytes of the largest body that is taken
    :param url: of the request, for the exception
    :param reqid: ID of the request, for the exception
    :raises OioProtocolError: it is encoded, or larger; nothing more of it is read
    """
    if type(resp) is LazyResponse and (read := resp.read_block(None, limit)) is not None:
        return read
    # Not isinstance(): a mock says that it is of the class that it stands for.
    if not issubclass(type(resp), urllib3.HTTPResponse):
        # Answers that applications' tests make up may be no more than a status.
        return getattr(resp, "data", b"")
    problem = ""
    length = resp.headers.get("Content-Length", "")
    encoding = resp.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in {"", "identity"}:
        # A small body of this kind may stand for any number of bytes.
        problem = f"answer is encoded ({encoding[:64]})"
    elif resp._body is not None or method == "HEAD":
        data = resp.data
    elif length.isdecimal() and float(length) > limit:
        problem = f"answer has {length[:24]} bytes, more than the {limit} that are taken"
    elif length.isdecimal() and not resp.chunked:
        data = resp.data
    else:
        blocks, left = [], limit + 1
        try:
            while left > 0 and (block := resp.read(min(left, _BLOCK), decode_content=False)):
                blocks.append(block)
                left -= len(block)
                # Tiny chunks may take long to read without a wait in which a time limit could strike.
                green.eventlet_yield()
        except BaseException:  # A half-read answer is of no use.
            resp.close()
            raise
        if left > 0:
            data = resp._body = b"".join(blocks)
        else:
            problem = f"answer has more than the {limit} bytes that are taken"
    if problem:
        resp.close()
        service = urlsplit(url).netloc if url else None
        raise exc.OioProtocolError(f"{problem}: HTTP {resp.status}", reqid=reqid, service=service)
    return data


def is_made_up(resp: object) -> bool:
    """Tell an answer that an application's test has put in the place of a real one.

    Nothing can be lost on its way: it may lack parts that a real one has.
    """
    return type(resp) is not LazyResponse and not isinstance(resp, urllib3.BaseHTTPResponse)


def is_page(resp: Any) -> bool:
    """Tell a web page of another server from the answer of a service of the namespace."""
    if type(resp) is LazyResponse:
        kind = resp.header("content-type")
    else:
        kind = str(getattr(resp, "headers", {}).get("Content-Type", ""))
    return "html" in kind.lower()


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
