# SPDX-License-Identifier: Apache-2.0
"""Signal handlers that raise, like those of a host for its time limits."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

_SIGNAL = signal.SIGUSR1
_PATIENCE = 30.0


@contextlib.contextmanager
def raising(error: BaseException) -> Iterator[None]:
    """Make :func:`strike` raise an error in the main thread."""

    def handler(_number: int, _frame: object) -> None:
        raise error

    before = signal.signal(_SIGNAL, handler)
    try:
        yield
    finally:
        signal.signal(_SIGNAL, before)


@contextlib.contextmanager
def raising_once(error: BaseException) -> Iterator[threading.Event]:
    """Make the first :func:`strike` raise an error in the main thread; the event is set when it has.

    A signal that comes just before a wait for a lock is noticed only after it: strike until the event is set.
    """
    struck = threading.Event()

    def handler(_number: int, _frame: object) -> None:
        if not struck.is_set():
            struck.set()
            raise error

    before = signal.signal(_SIGNAL, handler)
    try:
        yield struck
    finally:
        signal.signal(_SIGNAL, before)


def strike() -> None:
    """Raise the error in the main thread, whatever it waits for."""
    signal.pthread_kill(threading.main_thread().ident, _SIGNAL)


def _is_waiting() -> bool:
    """Whether the main thread waits for the network, where the tests want the error to strike."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    return frame is not None and frame.f_code.co_name in {"do_poll", "_polled"}


@contextlib.contextmanager
def struck_when(condition: Callable[[], object]) -> Iterator[None]:
    """Raise the error once a condition holds and the main thread waits."""
    over = threading.Event()

    def watch() -> None:
        end = time.monotonic() + _PATIENCE
        while not (condition() and _is_waiting()):
            if over.wait(0.005) or time.monotonic() > end:
                return
        strike()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
