# SPDX-License-Identifier: Apache-2.0
"""Worker pool of a transfer: threads that look for jobs, do them, and help each other with large ones."""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from oio.common import green
from oio.common.deadlines import monotonic_time
from oio.common.exceptions import DeadlineReached, OioException, OioTimeout
from oio.transfer._results import Progress, Result, TransferCancelled, TransferDeadlineReached

_T = TypeVar("_T")

_PROGRESS_INTERVAL = 0.1
"""Seconds between two reports of progress to the caller, when no job ends meanwhile."""
_EARLY = 0.05
"""A timeout this many seconds before the deadline is taken for the deadline."""
_MAX_RESULTS = 1000
"""Most results that wait for the caller."""


class Job(Protocol):
    """Work on one object."""

    def run(self) -> Result:
        """Do it. A failure is a result; an exception ends all jobs."""


class WorkerPool:
    """Threads that do the jobs of one call.

    Each takes its next job from the iterator itself, one thread at a time, so that no jobs wait in a queue.
    The threads live as long as :meth:`run`.

    :param workers: most threads at once
    :param deadline: monotonic time at which jobs end; None for never
    """

    def __init__(self, workers: int, deadline: float | None = None) -> None:
        self._deadline = deadline
        self._pid = os.getpid()
        # Threads and locks of the host: green ones, where it has patched them.
        self.changed = threading.Condition()
        self._cancelled = threading.Event()
        self._workers = workers
        self._threads: list[threading.Thread] = []
        self._alive = self._idle = self._running = 0
        self._searching = self._exhausted = self._over = False
        self._interruptions: set[green.Interruption] = set()
        self._shared: deque[SharedPieces[object]] = deque()
        self._results: deque[Result] = deque()
        self._fault: BaseException | None = None
        self._bytes = self._found_bytes = self._found = self._ended = self._failed = 0

    # --- the caller ---

    def run(
        self,
        jobs: Iterator[Job | Result],
        on_result: Callable[[Result], object],
        on_progress: Callable[[Progress, bool], object],
    ) -> None:
        """Do jobs until none is left.

        :param jobs: jobs, and results of objects that need no work
        :param on_result: gets each result, in the thread of the caller
        :param on_progress: gets the progress from time to time, and whether it is the last one
        :raises TransferCancelled: the pool was cancelled
        :raises TransferDeadlineReached: the deadline was reached before all was done
        :raises BaseException: raised by the iterator of the jobs, by `on_result` or by `on_progress`
        """
        try:
            with self.changed:
                self._start_worker(jobs)
            while True:
                with self.changed:
                    if self._alive and not self._results:
                        self.changed.wait(_PROGRESS_INTERVAL)
                    results = list(self._results)
                    self._results.clear()
                    over, progress = not self._alive and not self._results, self._progress()
                    self._over = over
                    self.changed.notify_all()
                for result in results:
                    on_result(result)
                on_progress(progress, over)
                if over:
                    break
        finally:
            # After an exception, workers are still at it.
            self._stop()
            for thread in self._threads:
                thread.join()
            close = getattr(jobs, "close", None)
            if close is not None:
                close()
        if self._fault is not None:
            raise self._fault

    def cancel(self) -> None:
        """End all jobs; any thread may ask for it."""
        if self._pid != os.getpid():
            # A child has no threads of its parent, but maybe a lock that they held.
            return
        with self.changed:
            if not self._over and self._fault is None:
                self._fault = TransferCancelled("the transfer was cancelled")
        self._stop()

    @property
    def is_cancelled(self) -> bool:
        """Whether jobs have to end."""
        return self._cancelled.is_set()

    def _stop(self) -> None:
        with self.changed:
            self._cancelled.set()
            for interruption in self._interruptions:
                interruption.ask()
            self.changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self.changed:
            if self._fault is None:
                self._fault = error
        self._stop()

    def _progress(self) -> Progress:
        complete = self._exhausted and not self._searching
        return Progress(
            bytes=self._bytes,
            objects=self._ended,
            total_bytes=self._found_bytes if complete else None,
            total_objects=self._found if complete else None,
            found_bytes=self._found_bytes,
            found_objects=self._found,
            failed=self._failed,
        )

    # --- jobs ---

    def check(self, failure: BaseException | None = None) -> None:
        """Raise if the transfer is cancelled or late: a point at which a job may end.

        :param failure: of the job, if it has failed
        :raises TransferCancelled: the pool was cancelled
        :raises TransferDeadlineReached: the deadline was reached, or is why the job failed
        """
        if self._cancelled.is_set():
            raise TransferCancelled("the transfer was cancelled")
        if self._is_late or self._is_of_deadline(failure):
            raise self._give_up(failure) from failure

    def pause(self, seconds: float) -> None:
        """Wait, unless the transfer is cancelled or late.

        :raises TransferCancelled: the pool was cancelled
        :raises TransferDeadlineReached: the deadline was reached
        """
        if self._deadline is not None:
            seconds = max(0.0, min(seconds, self._deadline - monotonic_time()))
        self._cancelled.wait(seconds)
        self.check()

    @property
    def _is_late(self) -> bool:
        return self._deadline is not None and monotonic_time() >= self._deadline

    def _is_of_deadline(self, failure: BaseException | None) -> bool:
        if self._deadline is None:
            return False
        # A timer may strike a moment early.
        is_near = monotonic_time() >= self._deadline - _EARLY
        return isinstance(failure, DeadlineReached) or (is_near and isinstance(failure, OioTimeout))

    def _give_up(self, failure: BaseException | None = None) -> TransferDeadlineReached:
        """Begin no more jobs: the deadline was reached. Those under way have it themselves."""
        cause = "" if failure is None else f": {failure}"
        error = TransferDeadlineReached(f"the deadline of the transfer was reached{cause}")
        with self.changed:
            if self._fault is None and not self._over:
                self._fault = TransferDeadlineReached("the deadline of the transfer was reached")
                self._fault.__cause__ = failure
        return error

    def count(self, moved: int = 0, found: int = 0) -> None:
        """Count bytes that were moved, or that were found to be moved; negative numbers take some off."""
        with self.changed:
            self._bytes += moved
            self._found_bytes += found

    def share(self, pieces: Iterator[_T], do: Callable[[_T], object]) -> None:
        """Call `do` with each piece, here and in threads that have no job of their own.

        :raises BaseException: the first failure, once no thread works on a piece
        """
        SharedPieces(self, pieces, do).run()

    # --- workers ---

    def _start_worker(self, jobs: Iterator[Job | Result]) -> None:
        if self._alive >= self._workers or self._cancelled.is_set():
            return
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._work, jobs), name="oio-transfer", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            # The process may have no more threads; go on with those that run.
            if not self._alive:
                raise
            return
        self._alive += 1
        self._threads.append(thread)

    def _work(self, jobs: Iterator[Job | Result]) -> None:
        interruption = green.Interruption()
        with self.changed:
            self._interruptions.add(interruption)
            if self._cancelled.is_set():
                interruption.ask()
        try:
            while (task := self._next_task(jobs)) is not None:
                with interruption:
                    task()
        except BaseException as err:  # noqa: BLE001 - raised in the thread of the caller
            self._fail(err)
        finally:
            with self.changed:
                self._alive -= 1
                self._interruptions.discard(interruption)
                self.changed.notify_all()

    def _next_task(self, jobs: Iterator[Job | Result]) -> Callable[[], None] | None:
        """The next task; None when nothing is left. Waits while others may still leave some."""
        with self.changed:
            while not self._cancelled.is_set():
                if self._is_late and not self._exhausted:
                    # A search under way has the deadline itself.
                    self._give_up()
                    self.changed.notify_all()
                    return None
                task = self._piece() or self._search(jobs)
                if task is not None:
                    if not self._idle:
                        self._start_worker(jobs)
                    return task
                if self._exhausted and not self._searching and not self._running:
                    self.changed.notify_all()
                    return None
                self._idle += 1
                self.changed.wait()
                self._idle -= 1
        return None

    def _piece(self) -> Callable[[], None] | None:
        for shared in self._shared:
            task = shared.take()
            if task is not None:
                return task
        return None

    def _search(self, jobs: Iterator[Job | Result]) -> Callable[[], None] | None:
        if self._searching or self._exhausted or len(self._results) >= _MAX_RESULTS:
            return None
        self._searching = True
        return lambda: self._find(jobs)

    def _find(self, jobs: Iterator[Job | Result]) -> None:
        """Look for the next job, and do it."""
        found: Job | Result | None = None
        try:
            found = next(jobs, None)
        except OioException as err:
            self.check(err)
            raise
        finally:
            with self.changed:
                self._searching = False
                self._exhausted = found is None
                if found is not None:
                    self._found += 1
                    self._running += 1
                self.changed.notify_all()
        if found is None:
            return
        result: Result | None = None
        try:
            result = found if isinstance(found, Result) else found.run()
        finally:
            with self.changed:
                self._running -= 1
                if result is not None:
                    self._ended += 1
                    self._failed += result.outcome == "failed"
                    self._results.append(result)
                self.changed.notify_all()
            # Threads of gevent take turns only where one waits: the caller hears of the result now.
            time.sleep(0)


class SharedPieces(Generic[_T]):
    """Pieces of one job, for several threads."""

    def __init__(self, pool: WorkerPool, pieces: Iterator[_T], do: Callable[[_T], object]) -> None:
        self._pool = pool
        self._pieces = pieces
        self._do = do
        self._active = 0
        self._error: BaseException | None = None

    def take(self) -> Callable[[], None] | None:
        """Take the next piece; None when there is none. The caller holds the condition of the pool."""
        if self._error is not None or self._pool.is_cancelled:
            return None
        try:
            piece = next(self._pieces)
        except StopIteration:
            return None
        self._active += 1
        return lambda: self._do_piece(piece)

    def _do_piece(self, piece: _T) -> None:
        error: BaseException | None = None
        try:
            self._do(piece)
        except BaseException as err:  # noqa: BLE001 - raised in the thread that the job belongs to
            error = err
        with self._pool.changed:
            self._active -= 1
            self._error = self._error or error
            self._pool.changed.notify_all()

    def run(self) -> None:
        """Do all pieces, and wait for those that other threads have taken."""
        pool = self._pool
        with pool.changed:
            pool._shared.append(self)  # type: ignore[arg-type]
            pool.changed.notify_all()
        try:
            while True:
                with pool.changed:
                    task = self.take()
                if task is None:
                    break
                task()
        finally:
            with pool.changed:
                pool._shared.remove(self)  # type: ignore[arg-type]
                stopped: BaseException | None = None
                while self._active:
                    try:
                        pool.changed.wait()
                    except BaseException as err:  # noqa: BLE001 - raised below
                        # An interruption, where threads are green. The other threads are interrupted too, but
                        # until they leave they use files that this job is about to close.
                        stopped = err
                if stopped is not None:
                    raise stopped
        if self._error is not None:
            raise self._error
        pool.check()
