# SPDX-License-Identifier: Apache-2.0
"""The import of eventlet, which leaves the host as it was: no other module imports it."""

from __future__ import annotations

import _thread
import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

_PATCHED_BY_GEVENT = ("_thread", "threading", "time", "select", "selectors", "socket", "ssl")
"""Modules that gevent patches, in the order of their imports."""
_SHARED_WITH_GEVENT = ("asyncio", "http.client", "inspect", "pkgutil", "_pyio", "queue")
"""Other modules that eventlet imports: the host must get them built on the patched ones."""


def _is_patched_by_gevent(module: str) -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched(module)


@contextlib.contextmanager
def _without_gevent() -> Iterator[None]:
    """Let imports find the standard library as it was before gevent has patched it.

    The green sockets of eventlet would wait in the loop of gevent otherwise, and its TLS cannot be built over
    gevent's. The modules of the host are put back.
    """
    if not _is_patched_by_gevent("socket"):
        yield
        return
    for name in _SHARED_WITH_GEVENT:
        importlib.import_module(name)
    patched = {name: sys.modules.pop(name) for name in _PATCHED_BY_GEVENT if name in sys.modules}
    try:
        for name in patched:
            importlib.import_module(name)
        yield
    finally:
        sys.modules.update(patched)


def _in_own_thread(load: Callable[[], Any]) -> Any:
    """Import a module that makes a copy of `threading`, in an OS thread that nobody joins.

    The copy takes the thread that imports it for the main one, and with it the lock that tells of its end:
    whoever joined that thread would wait for ever. Nobody joins the main one, but handlers of signals raise
    there, and once interrupted, some packages cannot be imported any more. Green threads end otherwise.
    """
    if _is_patched_by_gevent("threading"):
        return load()
    done = _thread.allocate_lock()
    results: list[Any] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(load())
        except BaseException as err:  # noqa: BLE001 - it is raised in the thread that waits.
            errors.append(err)
        finally:
            done.release()

    done.acquire()
    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:
        # There are too many, or the interpreter is about to end.
        return load()
    interruption: BaseException | None = None
    # One may also strike when the lock was just acquired.
    while not (results or errors):
        try:
            done.acquire()
        except BaseException as err:  # noqa: BLE001 - a signal handler's, raised when the other thread is done.
            interruption = err
    if interruption is not None:
        raise interruption
    if errors:
        raise errors[0]
    return results[0]


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
            with _without_gevent():
                import eventlet as module
                import eventlet.green.ssl
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


eventlet = _import_eventlet() if "eventlet" in sys.modules else _in_own_thread(_import_eventlet)

from eventlet import (  # noqa: E402
    getcurrent,
    greenthread,
    patcher,
)
from eventlet import hubs as eventlet_hubs  # noqa: E402
from eventlet.event import Event  # noqa: E402
from eventlet.green import socket  # noqa: E402
from eventlet.green import ssl as green_ssl  # noqa: E402
from eventlet.greenpool import GreenPile, GreenPool  # noqa: E402
from eventlet.hubs.hub import BaseHub  # noqa: E402
from eventlet.queue import Empty, Full, ItemWaiter, LifoQueue, LightQueue, Queue, Waiter  # noqa: E402
from eventlet.semaphore import Semaphore  # noqa: E402
from eventlet.support.greenlets import GreenletExit  # noqa: E402
from eventlet.timeout import Timeout  # noqa: E402


def threads_are_green() -> bool:
    """Tell whether the threads that the standard library makes for the host are green ones."""
    return bool(patcher.is_monkey_patched("thread")) or _is_patched_by_gevent("threading")


def load_threading() -> ModuleType:
    """Import eventlet's module of threads, which has a cost, and which few need."""
    module: ModuleType = _import_threading() if threads_are_green() else _in_own_thread(_import_threading)
    return module


def _import_threading() -> ModuleType:
    from eventlet.green import threading as green_threading

    module: ModuleType = green_threading
    return module


__all__ = [
    "BaseHub",
    "Empty",
    "Event",
    "Full",
    "GreenPile",
    "GreenPool",
    "GreenletExit",
    "ItemWaiter",
    "LifoQueue",
    "LightQueue",
    "Queue",
    "Semaphore",
    "Timeout",
    "Waiter",
    "eventlet",
    "eventlet_hubs",
    "getcurrent",
    "green_ssl",
    "greenthread",
    "load_threading",
    "patcher",
    "socket",
    "threads_are_green",
]
