# SPDX-License-Identifier: Apache-2.0
"""Checksums of large data, computed by OS threads of the library while others send and receive."""

from __future__ import annotations

import atexit
import collections
import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from oio.common import green
from oio.common.constants import BLAKE3

if TYPE_CHECKING:
    from oio.common.checksums import Checksum

SMALL = 1 << 20
"""Bytes of data up to which a thread costs more than it saves."""
STEP = 262144
"""Bytes for which it pays to wake a thread."""
BACKLOG = 3 << 20
"""Bytes that may wait to be hashed, per checksum, not counting the last block."""
RESUMED_AT = 1 << 20
"""Bytes that still wait when an owner who had to wait goes on: to wake it after each block costs more."""
IDLE_SECONDS = 1.0
"""Seconds after which an idle thread ends."""
_PATIENCE = 1.0
"""Seconds to wait for the end of a thread, which may have a block to finish."""


def in_threads(checksum: Checksum, size: int | None = None) -> Checksum:
    """Let threads compute a checksum that was just begun, where that pays.

    :param size: bytes of the data; None when unknown
    """
    # To hand a block over takes as long as its BLAKE3.
    if getattr(checksum, "name", "") == BLAKE3 or (size is not None and size <= SMALL):
        return checksum
    return ThreadedChecksum(checksum, SMALL if size is None else 0)


def is_behind(checksum: Checksum) -> bool:
    """Tell whether threads still compute a checksum, so that it is worth doing something else first."""
    return isinstance(checksum, ThreadedChecksum) and checksum.worker is not None


class ThreadedChecksum:
    """A checksum that an idle thread computes while its owner goes on; its owner does when none is idle.

    Blocks that were added must not change any more. It has one owner at a time. Nothing has to be closed: a
    thread that has hashed all there is leaves the checksum, which may be abandoned.

    :param checksum: gets the data, in order
    :param small: number of first bytes for which no thread is asked
    :param workers: the threads; None for those of the process
    """

    def __init__(self, checksum: Checksum, small: int = SMALL, workers: Workers | None = None) -> None:
        self._checksum = checksum
        self._workers = WORKERS if workers is None else workers
        self._left_small = small
        self._pending: collections.deque[bytes] = collections.deque()
        #: Bytes that are pending, or being hashed by a thread.
        self._backlog = 0
        #: The thread that works on this, or is about to. Another one may still come to it, too late.
        self.worker: _Worker | None = None
        self._error: BaseException | None = None
        # Held for an instant. A condition of the standard library stays locked when a signal handler raises.
        self._lock = green.Lock()
        #: Lock that the owner waits for; a thread releases it when no more than so many bytes are left.
        self._gate: Any = None
        self._awaited = 0

    def update(self, data: bytes, /) -> None:
        """Add data.

        :raises BaseException: the one that the checksum has raised, maybe for earlier data
        """
        if self._left_small > 0:
            self._left_small -= len(data)
            self._checksum.update(data)
            return
        with self._lock:
            self._pending.append(data)
            self._backlog += len(data)
        if self.worker is not None or (self._backlog >= STEP and self._hand_over()):
            # This takes no longer than to hash it here, so a green thread need not let others run.
            if self._backlog > BACKLOG:
                self._wait_for(RESUMED_AT)
        elif self._backlog >= STEP:
            self._drain()
        self._check()

    def hexdigest(self) -> str:
        """Get the checksum of the data so far, in hexadecimal digits.

        :raises BaseException: the one that the checksum has raised
        """
        if self._left_small <= 0:
            self._wait_for(-1)
            self._check()
            self._drain()
        return self._checksum.hexdigest()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _hand_over(self) -> bool:
        worker = self._workers.take()
        if worker is None:
            return False
        with self._lock:
            # If this is interrupted, the worker looks at its jobs after a while, and goes by `worker`.
            worker.jobs.append(self)
            self.worker = worker
            worker.wake()
            if worker.has_ended:
                self.worker = None
                return False
            return True

    def _wait_for(self, backlog: int) -> None:
        """Wait until no more than `backlog` bytes are pending, or no thread has the checksum."""
        while True:
            with self._lock:
                if self.worker is None or self._backlog <= backlog:
                    return
                gate = green.Lock()
                gate.acquire()
                # It is shown locked only: a signal handler may raise at any time.
                self._awaited, self._gate = backlog, gate
            gate.acquire()

    def _drain(self) -> None:
        """Hash the pending blocks in the thread of the owner."""
        while self._pending:
            block = self._pending.popleft()
            self._backlog -= len(block)
            self._checksum.update(block)

    # --- in a worker ---

    def work(self, worker: _Worker) -> None:
        """Hash the pending blocks, and leave the checksum to its owner."""
        done = 0
        try:
            while (block := self._next(done, worker)) is not None:
                self._checksum.update(block)
                done = len(block)
        except BaseException as err:  # noqa: BLE001 - it is raised in the owner, who asks for the checksum.
            with self._lock:
                self._error, self.worker = err, None
                self._wake_owner()

    def _next(self, done: int, worker: _Worker) -> bytes | None:
        """Get the next block; None when there is none, or the checksum belongs to another thread.

        :param done: bytes of the block that was hashed
        """
        with self._lock:
            if self.worker is not worker:
                return None
            self._backlog -= done
            block = self._pending.popleft() if self._pending and not worker.is_ending else None
            if block is None:
                self.worker = None
            if block is None or self._backlog <= self._awaited:
                self._wake_owner()
            return block

    def _wake_owner(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.release()


class _Worker:
    """A thread, and the checksums that it is asked to work on."""

    def __init__(self, workers: Workers, idle: collections.deque[_Worker], seconds: float) -> None:
        self.jobs: collections.deque[ThreadedChecksum] = collections.deque()
        self.has_ended = False
        self._workers, self._idle, self._seconds = workers, idle, seconds
        self.is_ending = False
        self._bell = green.Lock()
        self._bell.acquire()
        self._thread = green.NativeThread(target=self._run, name="oio hashing", daemon=True)

    def start(self) -> None:
        """Begin.

        :raises RuntimeError: the process cannot have another thread
        """
        self._thread.start()

    def wake(self) -> None:
        """Let it look at its jobs."""
        # It may ring already.
        with contextlib.suppress(RuntimeError):
            self._bell.release()

    def end(self) -> None:
        """End it after its current block; the owners hash the rest."""
        self.is_ending = True
        self.wake()

    def join(self) -> None:
        """Wait for the end."""
        # A signal handler may have struck while it was started.
        with contextlib.suppress(RuntimeError):
            self._thread.join(_PATIENCE)

    def is_dead(self) -> bool:
        """Whether its thread was started, and has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            is_woken = self._bell.acquire(timeout=self._seconds)
            self._work()
            if self.is_ending:
                break
            if not is_woken:
                with contextlib.suppress(ValueError):
                    self._idle.remove(self)
                    break
            # Also when whoever had taken it was interrupted before giving it a job.
            if self not in self._idle:
                self._idle.append(self)
        with contextlib.suppress(ValueError):
            self._idle.remove(self)
        self.has_ended = True
        # Jobs of owners who did not see that it has ended.
        self._work()
        self._workers.forget(self)

    def _work(self) -> None:
        while self.jobs:
            self.jobs.popleft().work(self)


def spare_cores() -> int:
    """Cores that this process may use, but for one."""
    return len(os.sched_getaffinity(0)) - 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) - 1


class Workers:
    """Threads that compute checksums, begun when they are needed.

    They are OS threads, also in a host whose own threads are green. They end when they have been idle for a
    while, and before the process forks.

    :param most: how many there may be; asked each time
    :param idle_seconds: after which an idle thread ends
    """

    def __init__(self, most: Callable[[], int] = spare_cores, idle_seconds: float = IDLE_SECONDS) -> None:
        self._most = most
        self._idle_seconds = idle_seconds
        self._is_registered = False
        self.restart()

    def restart(self) -> None:
        """Begin with no thread: in a child process, there are none."""
        self._all: set[_Worker] = set()
        self._idle: collections.deque[_Worker] = collections.deque()
        self._starting = green.Lock()
        self._is_closed = False

    def take(self) -> _Worker | None:
        """Get an idle thread, or a new one; None when there are too many."""
        if self._is_closed:
            return None
        try:
            return self._idle.pop()
        except IndexError:
            return self._start()

    def _start(self) -> _Worker | None:
        if len(self._all) >= self._most():
            # A signal handler that raises while a thread starts may end it at once.
            self._all.difference_update([worker for worker in list(self._all) if worker.is_dead()])
            return None
        if not self._starting.acquire(blocking=False):
            return None
        try:
            worker = _Worker(self, self._idle, self._idle_seconds)
            self._all.add(worker)
            try:
                worker.start()
            except RuntimeError:
                # The host has as many threads as it may have, or is about to end.
                self._all.discard(worker)
                return None
            if not self._is_registered:
                self._is_registered = True
                atexit.register(self.end)
            return worker
        finally:
            self._starting.release()

    def forget(self, worker: _Worker) -> None:
        """Note that a thread has ended."""
        self._all.discard(worker)

    def __len__(self) -> int:
        return len(self._all)

    def close(self) -> None:
        """End the idle threads; others are begun when they are needed."""
        ended = []
        with contextlib.suppress(IndexError):
            while True:
                worker = self._idle.pop()
                worker.end()
                ended.append(worker)
        for worker in ended:
            worker.join()

    def end(self) -> None:
        """End all threads; there are none until :meth:`reopen`."""
        self._is_closed = True
        ended = list(self._all)
        for worker in ended:
            worker.end()
        for worker in ended:
            worker.join()

    def reopen(self) -> None:
        """Allow threads again."""
        self._is_closed = False


WORKERS = Workers()
"""Threads of this process."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=WORKERS.end, after_in_parent=WORKERS.reopen, after_in_child=WORKERS.restart)
