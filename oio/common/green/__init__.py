# SPDX-License-Identifier: Apache-2.0
"""Green threads, and what waits in them: the only package that imports eventlet.

Nothing of the host process is patched. A program that is not green itself may use the library from any
number of OS threads: each gets a hub of its own, which is closed when the thread ends. After a fork, the
child starts with a fresh hub, because an epoll descriptor would be shared with the parent. Greenlets of the
host, such as those of gevent and of SQLAlchemy, can wait on a hub of ours, which leaves them as they were.

The timeouts of this package are green: they are raised in the middle of whatever the green thread does, and
they derive from BaseException. They never leave the public API: the code that sets one converts it to an
exception of the library.

Eventlet takes longer to import than all the rest of a client: it is imported when a name of this package is
first used.
"""

from __future__ import annotations

import logging as _logging  # noqa: F401 - before the hooks of this module, see below.
import os
import sys
import time
from _thread import get_ident as _get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datetime

    from oio.common.green._connections import HTTPConnection, HTTPSConnection, create_connection
    from oio.common.green._imported import (
        Empty,
        Event,
        Full,
        GreenletExit,
        GreenPile,
        GreenPool,
        LifoQueue,
        Queue,
        Semaphore,
        Timeout,
        eventlet,
        eventlet_hubs,
        getcurrent,
        greenthread,
        patcher,
        socket,
        threads_are_green,
    )
    from oio.common.green._limits import (
        ChunkReadTimeout,
        ChunkWriteTimeout,
        ConnectionTimeout,
        Insistence,
        Interrupted,
        Interruption,
        OioTimeout,
        SourceReadTimeout,
        is_of_host,
    )
    from oio.common.green._network import (
        create_ssl_context,
        is_readable,
        readable,
        wait_any,
        wait_readable,
    )
    from oio.common.green._threads import (
        ContextPool,
        LightQueue,
        Lock,
        NativeThread,
        RLock,
        ensure_hub,
        eventlet_yield,
        get_hub,
        ratelimit,
        sleep,
        threading_here,
    )
    from oio.common.http_heads import HTTPResponse

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
    "GreenletExit",
    "HTTPConnection",
    "HTTPResponse",
    "HTTPSConnection",
    "Insistence",
    "Interrupted",
    "Interruption",
    "LifoQueue",
    "LightQueue",
    "Lock",
    "NativeThread",
    "OioTimeout",
    "Queue",
    "RLock",
    "Semaphore",
    "SourceReadTimeout",
    "Timeout",
    "create_connection",
    "create_ssl_context",
    "datetime",
    "ensure_hub",
    "eventlet",
    "eventlet_hubs",
    "eventlet_yield",
    "get_hub",
    "getcurrent",
    "greenthread",
    "is_of_host",
    "is_readable",
    "patcher",
    "ratelimit",
    "readable",
    "sleep",
    "socket",
    "threading",
    "threading_here",
    "threads_are_green",
    "time",
    "wait_any",
    "wait_readable",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with LOADING:
        if name == "threading":
            return _find("load_threading")()
        # All at once: nobody may wait for the lock later, and hold another one that a fork copies.
        globals().update({other: _find(other) for other in __all__ if other != "threading"})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _find(name: str) -> Any:
    import datetime

    from oio.common.green import _connections, _imported, _limits, _network, _threads

    # Ours first: a class may have the name of the one of eventlet that it derives from.
    modules = _connections, _network, _limits, _threads, _imported
    homes = *map(vars, modules), {"datetime": datetime}
    return next(home[name] for home in homes if name in home)


# Clients have locks from the beginning. Those of a host that may have patched them are not the real ones.
if "eventlet" in sys.modules or "gevent" in sys.modules:
    Lock, RLock = _find("Lock"), _find("RLock")
else:
    from threading import Lock, RLock


class _Loading:
    """A lock that one thread may take again: a signal handler may call or fork while its thread imports.

    Eventlet makes the RLocks of a program green that patches it later, but not its Locks.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._owner: int | None = None
        self._depth = 0

    def acquire(self) -> None:
        me = _get_ident()
        if self._owner != me:
            self._lock.acquire()
            self._owner = me
        self._depth += 1

    def release(self) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
            self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_exc: object) -> None:
        self.release()


LOADING = _Loading()
"""Held during imports that any call may be the first to need, in any thread.

What is imported then must not use names of this package at its top level: they are not there yet.
"""
if hasattr(os, "register_at_fork"):
    # A child could neither end nor begin again what another thread was importing. A fork waits for that
    # before it takes the locks of the modules imported above, since their hooks run later: logging has one.
    os.register_at_fork(
        before=LOADING.acquire, after_in_parent=LOADING.release, after_in_child=LOADING.release
    )
