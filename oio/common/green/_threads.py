# SPDX-License-Identifier: Apache-2.0
"""Green threads: hubs that wait for them, queues, and pools."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from oio.common import exceptions as exc
from oio.common.green._imported import (
    BaseHub,
    GreenletExit,
    GreenPool,
    ItemWaiter,
    Waiter,
    eventlet_hubs,
    getcurrent,
    greenthread,
    patcher,
    threads_are_green,
)
from oio.common.green._imported import LightQueue as _LightQueue
from oio.common.interruptions import reraise_interruption

if TYPE_CHECKING:
    from oio.common.green._limits import OioTimeout

# Real thread-locals and locks, also in a host that has patched them.
_threading = patcher.original("threading")
local = _threading.local()
# Patched locks only exclude green threads from each other, or fail between OS threads. These are held for an
# instant, and never over a switch.
Lock = _threading.Lock
RLock = _threading.RLock
NativeThread = _threading.Thread
"""An OS thread, also in a host whose own threads are green."""


def threading_here() -> Any:
    """The module of threads for work that the current thread waits for.

    That is the host's, whose threads may be green. In other OS threads than the main one, where green threads
    run, it is the real one: a loop of the host made there would be gone with the thread, to the harm of the
    whole process.
    """
    if threads_are_green() and _threading.get_ident() != _threading.main_thread().ident:
        return _threading
    return threading


# --- hubs --------------------------------------------------------------------------------------------


class GuestHub:
    """A hub that gives the greenlets of the host back as they were: a base of the hubs that we make.

    Eventlet's own becomes the parent of each greenlet that waits, for good. A greenlet of the host that ends
    after that never comes back to whoever runs it.
    """

    greenlet: Any
    ensure_greenlet: Callable[[], None]
    schedule_call_global: Callable[..., Any]
    root: Any
    """Main greenlet of the OS thread."""
    waiting: set[Any]
    """Greenlets of the host that wait here. Where others wait is the host's business."""
    late: list[tuple[Any, Any]]
    """Time limits that could not strike: their greenlets wait elsewhere, in a source of the host's."""
    deferred: list[tuple[float, weakref.ref[OioTimeout], Any, GuestHub]]
    """Time limits that become timers of the hub only when somebody waits here: when they are due (seconds of
    the clock), the greenlets that they are meant for, and this hub."""
    keeps_time = False
    """Eventlet's own loop runs here, with timers that can be looked at."""
    listeners: dict[str, dict[int, Any]]
    closed: list[Any]
    timers: list[tuple[float, Any]]
    next_timers: list[tuple[float, Any]]
    timers_canceled: int
    prepare_timers: Callable[[], None]
    clock: Callable[[], float]

    def settle(self) -> None:
        """Set up a hub that eventlet has made."""
        *_, self.root = _ancestors()
        self.waiting, self.late, self.deferred = set(), [], []
        # It may have been made in a greenlet of the host, which will end.
        self.greenlet.parent = self.root

    def switch(self) -> Any:
        """Wait until somebody switches to the current greenlet."""
        if self.deferred:
            self._arm()
        self.ensure_greenlet()
        current, hub = getcurrent(), self.greenlet
        if current.parent is hub:
            return hub.switch()
        if hub.parent is not current and hub not in _ancestors():
            # What strikes while the hub waits, such as an exception of a signal handler, comes out here.
            hub.parent = current
        self.waiting.add(current)
        if self.late:
            self._strike_late()
        try:
            return hub.switch()
        finally:
            hub.parent = self.root
            self.waiting.discard(current)

    def _arm(self) -> None:
        now = self.clock()
        deferred, self.deferred = self.deferred, []
        for timer in deferred:
            due, meant, target, _ = timer
            # A limit without a timer was interrupted, see `strike_if_meant`.
            if (limit := meant()) is not None and limit.timer is timer:
                # Those that are late, too, keep the order in which they are due.
                limit.timer = self.schedule_call_global(due - now, strike_if_meant, meant, target)

    def waits_for(self, target: Any) -> bool:
        """Tell whether a greenlet waits here, where something may be raised in it."""
        return target.parent is self.greenlet or target in self.waiting

    def _strike_late(self) -> None:
        late, self.late = self.late, []
        for limit, target in late:
            if limit.timer is not None and not limit.pending:
                limit.timer = self.schedule_call_global(0, limit.strike, target)


def strike_if_meant(meant: weakref.ref[OioTimeout], target: Any) -> None:
    """Let a time limit strike, unless its block was never entered, or was left.

    A signal handler may raise just then, so that nobody cancels the limit, which would strike a later wait.
    It is gone then, or has no timer if a traceback keeps it.
    """
    limit = meant()
    if limit is not None and limit.timer is not None:
        limit.strike(target)


_GUEST_KINDS: dict[type, type] = {}


def _make_hub() -> Any:
    hub = eventlet_hubs.get_hub()
    kind = type(hub)
    if kind not in _GUEST_KINDS:
        keeps_time = all(getattr(kind, name) is getattr(BaseHub, name) for name in ("run", "add_timer"))
        _GUEST_KINDS[kind] = type(kind.__name__, (GuestHub, kind), {"keeps_time": keeps_time})
    hub.__class__ = _GUEST_KINDS[kind]
    hub.settle()
    return hub


def _ancestors() -> Iterator[Any]:
    """The current greenlet, and those above it: the last is the main one of the OS thread."""
    current = getcurrent()
    while current is not None:
        yield current
        current = current.parent


class _OwnHub:
    """Ties the life of a hub that we made to the life of its OS thread."""

    # At the end of the process, the names of this module may be gone before it.
    _is_finalizing = staticmethod(sys.is_finalizing)

    def __init__(self, hub: Any) -> None:
        self.hub = hub
        self.pid = os.getpid()
        for name in ("squelch_exception", "squelch_timer_exception"):
            setattr(hub, name, _passing_interruptions(getattr(hub, name)))

    def __del__(self) -> None:
        # The hub is a suspended green thread with an epoll descriptor: nothing else would ever free them.
        # At the end of the process, everything is freed, and no green thread may run any more.
        if self._is_finalizing():
            return
        hub = self.hub
        if self.pid != os.getpid():
            # The thread exists in the parent process only.
            _leave_to_parent(hub)
            return
        if hub.running:
            hub.abort(wait=True)
        _close_poll(hub)
        # That of asyncio. A child process has its descriptors in common with the parent, and leaves it alone.
        loop = getattr(hub, "loop", None)
        if loop is not None:
            loop.close()


def _passing_interruptions(squelch: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Let exceptions of signal handlers that strike while the hub works reach the greenlet that waits."""

    def pass_or_squelch(subject: Any, exc_info: Any) -> None:
        reraise_interruption(exc_info[1])
        squelch(subject, exc_info)

    return pass_or_squelch


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


def ensure_hub() -> None:
    """Give the current OS thread a hub, closed when the thread ends, unless it has one already.

    :raises OioException: no descriptor is left for it
    """
    if getattr(local, "known", False):
        return
    if not hasattr(eventlet_hubs._threadlocal, "hub"):
        try:
            local.own = _OwnHub(_make_hub())
        except OSError as err:
            raise exc.OioException(f"This thread cannot wait for the network: {err}") from err
    local.known = True


def get_hub() -> Any:
    """The hub of the current OS thread."""
    ensure_hub()
    return eventlet_hubs.get_hub()


def _renew_hub_after_fork() -> None:
    own = getattr(local, "own", None)
    if own is None or patcher.already_patched or own.hub.greenlet in _ancestors():
        # The hub is the host's, or we were called from one of its green threads: it is left alone.
        return
    del eventlet_hubs._threadlocal.hub
    del local.own
    local.known = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_hub_after_fork)


def sleep(seconds: float = 0) -> None:
    """Let the other green threads of this OS thread run, for some seconds or for one turn."""
    ensure_hub()
    greenthread.sleep(seconds)


def eventlet_yield() -> None:
    """Let the other green threads of this OS thread have one turn."""
    sleep(0)


# --- queues ----------------------------------------------------------------------------------------------


class _Woken:
    """A greenlet that waits for a queue, and is woken up in the hub.

    Eventlet's own prints what a signal handler raises there, and goes on: the host would never get it.
    """

    __slots__ = ()
    greenlet: Any

    def switch(self, value: Any = None) -> None:
        """Wake up the greenlet, if it waits."""
        if self.greenlet is not None:
            self.greenlet.switch(value)


class _Getter(_Woken, Waiter):  # type: ignore[misc]
    __slots__ = ()


class _Putter(_Woken, ItemWaiter):  # type: ignore[misc]
    __slots__ = ()


class _Waiters(set[Any]):
    def add(self, waiter: Any) -> None:
        waiter.__class__ = _Putter if isinstance(waiter, ItemWaiter) else _Getter
        super().add(waiter)


class LightQueue(_LightQueue):  # type: ignore[misc]
    """A queue between green threads, which gives what signal handlers raise to who waits."""

    def _init(self, maxsize: int | None) -> None:
        super()._init(maxsize)
        self.getters, self.putters = _Waiters(), _Waiters()

    def _unlock(self) -> None:
        try:
            super()._unlock()
        except BaseException:  # Others may wait.
            self._schedule_unlock()
            raise


# --- pools -----------------------------------------------------------------------------------------------


class ContextPool(GreenPool):  # type: ignore[misc]
    """A pool of green threads which kills those that still run when its ``with`` block ends.

    An exception that leaves one of them is raised at once in the ``with`` block, whatever that waits for.
    """

    _owner: Any = None
    _struck: BaseException | None = None
    _wake: Any = None

    def __enter__(self) -> ContextPool:
        # Green threads are children of the hub's greenlet: one that a signal handler has ended is replaced.
        get_hub().ensure_greenlet()
        self._owner, self._struck, self._wake = getcurrent(), None, None
        return self

    def spawn(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a function in a green thread of the pool."""
        return super().spawn(self._run, function, args, kwargs)

    def _run(self, function: Any, args: Any, kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except GreenletExit:
            # If the thread kept it, both would wait for the garbage collector, with all that they have seen.
            return None
        except BaseException as err:
            if self._owner is None:
                raise
            if self._struck is None:
                self._struck = err
                self._wake = get_hub().schedule_call_global(0, self._owner.throw, err)
            return None

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._wake is not None:
            self._wake.cancel()
        for green in list(self.coroutines_running):
            green.kill()
        struck, self._owner, self._struck = self._struck, None, None
        if struck is not None and struck is not value:
            raise struck


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
