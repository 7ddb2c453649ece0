# SPDX-License-Identifier: Apache-2.0
"""Green threads, and what waits in them: the only package that imports eventlet.

Nothing of the host process is patched. A program that is not green itself may use the library from any
number of OS threads: each gets a hub of its own, which is closed when the thread ends. After a fork, the
child starts with a fresh hub, because an epoll descriptor would be shared with the parent. Greenlets of the
host, such as those of gevent and of SQLAlchemy, can wait on a hub of ours, which leaves them as they were.

The timeouts of this package are green: they are raised in the middle of whatever the green thread does, and
they derive from BaseException. They never leave the public API: the code that sets one converts it to an
exception of the library.
"""

from __future__ import annotations

import datetime
import time
from typing import Any

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
    load_threading,
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
)
from oio.common.green._network import (
    HTTPConnection,
    HTTPSConnection,
    create_connection,
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
    if name == "threading":
        return load_threading()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
