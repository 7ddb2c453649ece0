# SPDX-License-Identifier: Apache-2.0
"""Workers: a bounded number of OS threads, for work that would block an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from typing import Any, Generic, TypeVar

from oio.common import exceptions as exc
from oio.common import green
from oio.common.utils import HANDED_OVER, calling_line

T = TypeVar("T")


class Lane(Enum):
    """Kind of work. Each has workers of its own, so that none waits for work of another kind."""

    CALLS = "call"
    """Calls that wait for services only, so that each one ends."""
    UPLOADS = "upload"
    """Uploads that also wait for the loop, which may need a call of the same client to feed them."""
    TRANSFERS = "transfer"
    """Transfers, which take long, have threads of their own, and wait for callbacks in the loop."""
    ENDINGS = "ending"
    """Work that frees connections, however busy the other workers are."""


_MOST_STANDSTILLS = 20
"""Looks, 0.05 seconds apart, at a loop that does not run, before a program that ends gives it up."""
_is_ending = threading.Event()
"""Set when the main thread ends, before concurrent.futures joins its threads."""


def _notice_ending() -> None:
    """Notice the end of the main thread, as concurrent.futures does: there is no public way."""
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        # It refuses when the program is ending.
        with contextlib.suppress(RuntimeError):
            register(_is_ending.set)


class _Orphaning(green.Interruption):
    """Also ends the wait for a loop that was closed, or that a program leaves when it ends: no task can.

    :param loop: the loop that the thread waits for
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._standstills = 0

    def must_strike(self) -> bool:
        """Look whether it was asked for, or must be asked for."""
        # One look is not enough: another thread may be about to run it again.
        stands = _is_ending.is_set() and not self._loop.is_running()
        self._standstills = self._standstills + 1 if stands else 0
        if self._loop.is_closed() or self._standstills > _MOST_STANDSTILLS:
            self.ask()
        return super().must_strike()


class Job(Generic[T]):
    """A piece of work for a worker. Its methods are for the loop, but for :meth:`run`, :meth:`interrupt` and
    :meth:`withdraw`.

    :param loop: is told of the end
    :param leave: called at the end, in either thread
    :param needs_loop: whether the work waits for the loop
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Callable[[], T],
        leave: Callable[[Job[T]], object],
        needs_loop: bool = False,
    ) -> None:
        self._loop = loop
        self._work: Callable[[], T] | None = work
        self._leave = leave
        self._interruption = _Orphaning(loop) if needs_loop else green.Interruption()
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._place: Future[None] | None = None
        self._withdrawal: BaseException = green.Interrupted()
        self._is_unwanted = False
        self.is_over = False

    def start(self, lane: ThreadPoolExecutor) -> None:
        """Queue it for the next free worker of a lane.

        :raises OioException: no thread can be started
        """
        try:
            self._place = lane.submit(self.run)
        except RuntimeError as err:
            # It may have been queued before the thread failed to start.
            self.interrupt()
            raise exc.OioException(f"No thread can be started for the call: {err}") from err
        self._place.add_done_callback(self._drop)

    def _drop(self, place: Future[None]) -> None:
        if place.cancelled():
            self._error = self._withdrawal
            self._tell()

    def run(self) -> None:
        """Do the work, in a worker."""
        work, self._work = self._work, None
        try:
            if work is None or self._interruption.is_asked_for:
                raise green.Interrupted
            with self._interruption:
                self._result.append(work())
        except BaseException as err:  # noqa: BLE001 - raised where the result is waited for
            self._error = err
        del work
        self._tell()

    def _tell(self) -> None:
        self._leave(self)
        if self._is_unwanted:
            self._forget()
        try:
            self._loop.call_soon_threadsafe(self._arrive)
        except RuntimeError:
            # The loop is closed: no task waits.
            self.is_over = True

    def _arrive(self) -> None:
        # It refers to this job.
        self._place = None
        self.is_over = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def _forget(self) -> None:
        # The traceback of an exception refers to this job.
        self._result.clear()
        self._error = None

    def drop(self) -> None:
        """End it; nobody wants its result or its exception."""
        self._is_unwanted = True
        self.interrupt()
        self._forget()

    def interrupt(self) -> None:
        """End it: at once if it waits, else at its next wait. It may be done before that."""
        self._interruption.ask()
        self._leave_place()

    def withdraw(self, error: BaseException) -> None:
        """End it with an exception if no worker has begun it, else do nothing. Any thread may ask for it."""
        self._withdrawal = error
        self._leave_place()

    def _leave_place(self) -> None:
        place = self._place
        if place is not None:
            place.cancel()

    async def over(self) -> None:
        """Wait for its end."""
        if not self.is_over:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                # Some hosts cancel a task again and again: each wait must leave nothing behind.
                with contextlib.suppress(ValueError):
                    self._waiters.remove(waiter)

    def take(self) -> T:
        """Return its result, or raise its exception. To be called once."""
        error, self._error = self._error, None
        if error is None:
            return self._result.pop()
        try:
            if isinstance(error, green.Interrupted):
                raise exc.OioException("The client was closed during the call")
            raise error
        finally:
            # Its traceback refers to this frame.
            del error

    def has_result(self) -> bool:
        """Whether there is a result that was not taken."""
        return bool(self._result)


class Workers:
    """Workers of a client. Threads start when they are needed, and stay until it is closed.

    :param size: most threads of each lane
    """

    #: Whether the end of the main thread will be noticed.
    _notices_ending = False

    def __init__(self, size: int) -> None:
        self._size = size
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lanes: dict[Lane, ThreadPoolExecutor] = {}
        self._jobs: set[Job[Any]] = set()
        self._lock = threading.Lock()

    def start(self, work: Callable[[], T], lane: Lane = Lane.CALLS) -> Job[T]:
        """Begin a piece of work with the context variables of the caller."""
        context = contextvars.copy_context()
        context.run(HANDED_OVER.set, calling_line())
        needs_loop = lane in {Lane.UPLOADS, Lane.TRANSFERS}
        if needs_loop and not Workers._notices_ending:
            Workers._notices_ending = True
            _notice_ending()
        if self._pid != os.getpid():
            # The threads exist in the parent process only.
            self._forget()
        job = Job(
            asyncio.get_running_loop(),
            functools.partial(context.run, work),
            self._jobs.discard,
            needs_loop,
        )
        with self._lock:
            # The client was closed: the thread must not stay.
            is_late = lane is Lane.ENDINGS and not self._lanes
            pool = self._lanes.get(lane) or ThreadPoolExecutor(self._size, f"oio {lane.value}")
            if not is_late:
                self._lanes[lane] = pool
            self._jobs.add(job)
            job.start(pool)
            if is_late:
                pool.shutdown(wait=False)
        return job

    async def call(
        self,
        work: Callable[[], T],
        *,
        abandon: Callable[[], object] | None = None,
        discard: Callable[[T], object] | None = None,
    ) -> T:
        """Do a piece of work, see :meth:`finish`."""
        return await self.finish(self.start(work), abandon=abandon, discard=discard)

    async def finish(
        self,
        job: Job[T],
        *,
        abandon: Callable[[], object] | None = None,
        discard: Callable[[T], object] | None = None,
    ) -> T:
        """Wait for the result of a job. A task that is cancelled meanwhile ends it, and waits for its end.

        :param abandon: called on cancellation, in another worker
        :param discard: called with a result that no task gets, in another worker
        """
        try:
            await job.over()
        except asyncio.CancelledError:
            job.interrupt()
            # Each of these comes to its end, and then raises if the task was cancelled again.
            if abandon is not None:
                with contextlib.suppress(asyncio.CancelledError):
                    await self.end(abandon)
            with contextlib.suppress(asyncio.CancelledError):
                await insist(job)
            if discard is not None and job.has_result():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.end(functools.partial(discard, job.take()))
            job.drop()
            raise
        return job.take()

    async def end(self, work: Callable[[], object]) -> None:
        """Do work that frees something, even if the task is cancelled meanwhile."""
        job = self.start(work, Lane.ENDINGS)
        await insist(job)
        job.take()

    async def close(self, *endings: Callable[[], object]) -> None:
        """Interrupt all work under way, call the endings, then end the threads.

        :param endings: called in a thread, one after the other, whichever of them fail
        """
        with self._lock:
            jobs, lanes = self._jobs, self._lanes
            self._jobs, self._lanes = set(), {}
        for job in list(jobs):
            job.interrupt()

        def run() -> None:
            with contextlib.ExitStack() as stack:
                for lane in lanes.values():
                    stack.callback(lane.shutdown)
                for ending in reversed(endings):
                    stack.callback(ending)

        last = Job(asyncio.get_running_loop(), run, jobs.discard)
        thread = threading.Thread(target=last.run, name="oio close", daemon=True)
        thread.start()
        await insist(last)
        # The thread is at its end: this does not block the loop.
        thread.join()
        last.take()


async def insist(job: Job[Any]) -> None:
    """Wait for the end of a job, even if the task is cancelled meanwhile; see :func:`insist_until`."""
    await insist_until(lambda: job.is_over, job.over)


async def insist_until(is_over: Callable[[], bool], wait: Callable[[], Awaitable[object]]) -> None:
    """Wait until something is over, even if the task is cancelled meanwhile.

    :param wait: waits for it once
    :raises CancelledError: at the end, if the task was cancelled
    """
    cancelled: asyncio.CancelledError | None = None
    while not is_over():
        try:
            await wait()
        except asyncio.CancelledError as err:
            cancelled = err
    if cancelled is not None:
        try:
            raise cancelled
        finally:
            del cancelled
