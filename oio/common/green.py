# SPDX-License-Identifier: Apache-2.0
"""Green threads: the only module that imports eventlet.

Nothing of the host process is patched. A program that is not green itself may use the library from any
number of OS threads: each gets a hub of its own, which is closed when the thread ends. After a fork, the
child starts with a fresh hub, because an epoll descriptor would be shared with the parent.

The timeouts of this module are green: they are raised in the middle of whatever the green thread does, and
they derive from BaseException. They never leave the public API: the code that sets one converts it to an
exception of the library.
"""

from __future__ import annotations

import datetime
import functools
import http.client
import os
import select as _select
import socket as _native_socket
import ssl as _ssl
import sys
import time
import warnings
from types import TracebackType
from typing import Any

from oio.common import exceptions as exc


def _import_eventlet() -> Any:
    """Import eventlet, and leave no trace of it in the host.

    Its import would print a deprecation warning, replace the host's ``dns`` package by a green copy, and
    make each later fork warn. A host that has imported eventlet before us has chosen, and is left alone.
    """
    if "eventlet" in sys.modules:
        import eventlet as already

        return already
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        switch, before = "EVENTLET_NO_GREENDNS", os.environ.get("EVENTLET_NO_GREENDNS")
        os.environ[switch] = "yes"
        try:
            import eventlet as module
        finally:
            if before is None:
                del os.environ[switch]
            else:
                os.environ[switch] = before
    warn_on_fork = getattr(module, "_warn_on_fork", None)
    if warn_on_fork is not None:
        # A registered fork hook cannot be taken back, but it can be emptied.
        warn_on_fork.__code__ = (lambda: None).__code__
    return module


eventlet = _import_eventlet()

from eventlet import getcurrent as _getcurrent  # noqa: E402
from eventlet import (  # noqa: E402
    greenthread,
    patcher,
    sleep,
)
from eventlet import hubs as eventlet_hubs  # noqa: E402
from eventlet.event import Event  # noqa: E402
from eventlet.green import socket  # noqa: E402
from eventlet.green import ssl as _green_ssl  # noqa: E402
from eventlet.greenpool import GreenPile, GreenPool  # noqa: E402
from eventlet.queue import Empty, Full, LifoQueue, LightQueue, Queue  # noqa: E402
from eventlet.semaphore import Semaphore  # noqa: E402
from eventlet.timeout import Timeout  # noqa: E402

__all__ = [
    "ChunkReadTimeout",
    "ChunkWriteTimeout",
    "ConnectionTimeout",
    "ContextPool",
    "Empty",
    "Event",
    "Full",
    "GreenPile",
    "GreenPool",
    "HTTPConnection",
    "HTTPResponse",
    "HTTPSConnection",
    "LifoQueue",
    "LightQueue",
    "OioTimeout",
    "Queue",
    "Semaphore",
    "SourceReadTimeout",
    "Timeout",
    "adopt_thread",
    "create_connection",
    "create_ssl_context",
    "datetime",
    "eventlet",
    "eventlet_hubs",
    "eventlet_yield",
    "get_hub",
    "greenthread",
    "is_readable",
    "patcher",
    "ratelimit",
    "sleep",
    "socket",
    "threading",  # noqa: F822 - loaded at first use
    "time",
]

# Real thread-locals and select, also in a host that has patched them.
_local = patcher.original("threading").local()
_poll = getattr(patcher.original("select"), "poll", None)


def __getattr__(name: str) -> Any:
    # Importing eventlet's threading module has a cost, and few need it.
    if name == "threading":
        from eventlet.green import threading

        return threading
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# --- hubs --------------------------------------------------------------------------------------------


class _OwnHub:
    """Ties the life of a hub that we made to the life of its OS thread."""

    def __init__(self, hub: Any) -> None:
        self.hub = hub
        self.pid = os.getpid()

    def __del__(self) -> None:
        # The hub is a suspended green thread with an epoll descriptor: nothing else would ever free them.
        # At the end of the process, everything is freed, and no green thread may run any more.
        if sys.is_finalizing():
            return
        hub = self.hub
        if self.pid != os.getpid():
            # The thread exists in the parent process only.
            _leave_to_parent(hub)
            return
        if hub.running:
            hub.abort(wait=True)
        _close_poll(hub)


def _close_poll(hub: Any) -> None:
    # Some kinds of hub have no descriptor of their own.
    close = getattr(getattr(hub, "poll", None), "close", None)
    if close is not None:
        close()


# Hubs inherited from a parent process: kept, because destroying their green thread would run it.
_FORKED_HUBS: list[Any] = []


def _leave_to_parent(hub: Any) -> None:
    _close_poll(hub)
    hub.running = False
    _FORKED_HUBS.append(hub)


def adopt_thread() -> None:
    """Give the current OS thread a hub, closed when the thread ends, unless it has one already.

    :raises OioException: no descriptor is left for it
    """
    if getattr(_local, "known", False):
        return
    if not hasattr(eventlet_hubs._threadlocal, "hub"):
        try:
            _local.own = _OwnHub(eventlet_hubs.get_hub())
        except OSError as err:
            raise exc.OioException(f"This thread cannot wait for the network: {err}") from err
    _local.known = True


def get_hub() -> Any:
    """The hub of the current OS thread."""
    adopt_thread()
    return eventlet_hubs.get_hub()


def _renew_hub_after_fork() -> None:
    if not hasattr(_local, "own") or patcher.already_patched or _getcurrent().parent is not None:
        # The hub is the host's, or we were called from one of its green threads: it is left alone.
        return
    del eventlet_hubs._threadlocal.hub
    del _local.own
    _local.known = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_hub_after_fork)


def eventlet_yield() -> None:
    """Let the other green threads of this OS thread run."""
    sleep(0)


class ContextPool(GreenPool):  # type: ignore[misc]
    """A pool of green threads which kills those that still run when its ``with`` block ends."""

    def __enter__(self) -> ContextPool:
        adopt_thread()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for green in list(self.coroutines_running):
            green.kill()


def ratelimit(
    run_time: float,
    max_rate: float,
    increment: int = 1,
    rate_buffer: float = 5.0,
    time_time: float | None = None,
) -> float:
    """Sleep as long as needed to stay below a rate.

    :param run_time: what the previous call returned, 0 at first (seconds, wall clock)
    :param max_rate: operations a second; 0 or less means no limit
    :param increment: how many operations this call stands for
    :param rate_buffer: how many seconds of unused rate may be caught up
    :param time_time: the current time, for tests (seconds)
    :returns: the value to give to the next call
    """
    if max_rate <= 0:
        return run_time
    now = time.time() if time_time is None else time_time
    start = max(run_time, now - rate_buffer) if run_time else now
    if start > now:
        sleep(start - now)
    return start + increment / max_rate


# --- timeouts ----------------------------------------------------------------------------------------


class OioTimeout(Timeout):  # type: ignore[misc]
    """A green time limit, in seconds, over a ``with`` block; ``None`` is no limit."""

    msg_prefix = ""
    #: What took so long, when that is known.
    doing = ""

    def start(self) -> Any:
        """Start to count, in a thread that may not be green yet."""
        if not getattr(_local, "known", False):
            adopt_thread()
        return super().start()

    def __str__(self) -> str:
        return f"{self.msg_prefix}timeout {super().__str__()}"


class ConnectionTimeout(OioTimeout):
    """Connecting took too long."""

    msg_prefix = "Connection "


class SourceReadTimeout(OioTimeout):
    """The source of the data to upload gave nothing for too long."""

    msg_prefix = "Source read "


class ChunkWriteTimeout(OioTimeout):
    """Sending to a chunk server, or its answer, took too long."""

    msg_prefix = "Chunk write "


class ChunkReadTimeout(OioTimeout):
    """A chunk server sent nothing for too long."""

    msg_prefix = "Chunk read "


# --- sockets -----------------------------------------------------------------------------------------


def create_connection(
    address: tuple[str, int],
    timeout: Any = _native_socket._GLOBAL_DEFAULT_TIMEOUT,  # type: ignore[attr-defined]
    source_address: tuple[str, int] | None = None,
    socket_options: Any = None,
) -> Any:
    """Connect a green TCP socket to the first address of a host that accepts.

    :param timeout: seconds for each address tried
    :raises OSError: when no address accepts
    """
    adopt_thread()
    host, port = address
    error: OSError | None = None
    try:
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except UnicodeError as err:
        raise OSError(f"{host!r} is no name of a host: {err}") from err
    for family, kind, proto, _name, target in found:
        sock = None
        try:
            sock = socket.socket(family, kind, proto)
            for option in socket_options or ():
                sock.setsockopt(*option)
            if timeout is not _native_socket._GLOBAL_DEFAULT_TIMEOUT:  # type: ignore[attr-defined]
                sock.settimeout(timeout)
            if source_address:
                sock.bind(source_address)
            sock.connect(target)
            return sock
        except BaseException as err:
            if sock is not None:
                sock.close()
            if not isinstance(err, OSError):
                raise
            error = err
    raise error or OSError(f"{host} has no address")


class _SSLContext(_green_ssl.GreenSSLContext):  # type: ignore[misc]
    __slots__ = ()

    def wrap_socket(self, sock: Any, *args: Any, **kwargs: Any) -> Any:
        # When the handshake fails, only we know the new socket, which has taken over the connection.
        wrapped = super().wrap_socket(sock, *args, **{**kwargs, "do_handshake_on_connect": False})
        try:
            wrapped.do_handshake()
        except BaseException:  # Nobody else has the socket yet.
            wrapped.close()
            raise
        return wrapped


def create_ssl_context(
    cafile: str | None = None,
    capath: str | None = None,
    cadata: str | bytes | None = None,
    *,
    verify: bool = True,
) -> _ssl.SSLContext:
    """A TLS client context for green sockets, which verifies the server unless told otherwise.

    :param cafile: PEM file of the authorities to trust, instead of the system's
    :param verify: False accepts any certificate of any host
    """
    context: _ssl.SSLContext = _green_ssl.create_default_context(cafile=cafile, capath=capath, cadata=cadata)
    context.__class__ = _SSLContext
    if not verify:
        context.check_hostname = False
        context.verify_mode = _ssl.CERT_NONE
    return context


@functools.cache
def _default_ssl_context() -> _ssl.SSLContext:
    return create_ssl_context()


def is_readable(sock: Any) -> bool:
    """Whether a read would not block: data, or the end of the stream, are there. Never switches."""
    if _poll is None:
        return bool(_select.select([sock.fileno()], [], [], 0)[0])
    poller = _poll()
    poller.register(sock.fileno(), _select.POLLIN)
    return bool(poller.poll(0))


class HTTPResponse(http.client.HTTPResponse):
    """The standard response, read from a green socket."""


class HTTPConnection(http.client.HTTPConnection):
    """The standard HTTP connection, over a green socket."""

    response_class = HTTPResponse

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # http.client's own seam for the kind of socket.
        self._create_connection = create_connection


class HTTPSConnection(http.client.HTTPSConnection):
    """The standard HTTPS connection, over a green socket; verifies the server by default."""

    response_class = HTTPResponse

    def __init__(self, *args: Any, context: _ssl.SSLContext | None = None, **kwargs: Any) -> None:
        super().__init__(*args, context=context or _default_ssl_context(), **kwargs)
        self._create_connection = create_connection
