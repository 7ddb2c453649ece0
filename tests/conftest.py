# SPDX-License-Identifier: Apache-2.0
"""What every test shares: above all, that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import tempfile
import threading
import time

import pytest
from greenlet import greenlet

from oio.common import green, hedging

#: Seconds that the other end of a connection may take to notice that it was closed.
_PATIENCE = 5.0
#: Objects of earlier tests that are looked through after each test, before they are set aside.
_MANY = 4000


#: Where files are in memory: tests sync theirs hundreds of times a second, and nobody reads them later.
_MEMORY = "/dev/shm"
#: Bytes that the largest tests need there.
_ROOM = 4 << 30


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Let the directories of tests be in memory, unless there is little of it, or an option says where.

    No read is hedged either.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell that runs tests in the background has it ignored, and the programs that they start as well.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Tests count requests, and the machine may be busy. Those that want a rival say so.
    hedging.FIRST_DELAY = hedging.SHORTEST_DELAY = hedging.LONGEST_DELAY = 3600.0
    # Collecting tests makes many objects and no garbage.
    gc.disable()
    if config.option.basetemp or not os.access(_MEMORY, os.W_OK):
        return
    if shutil.disk_usage(_MEMORY).free >= _ROOM:
        directory = tempfile.TemporaryDirectory(dir=_MEMORY, prefix="oio-tests-")
        config.add_cleanup(directory.cleanup)
        config.option.basetemp = directory.name


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Six workers at least: much of the time of these tests is spent waiting."""
    return max(6, len(os.sched_getaffinity(0)))


def pytest_collection_finish():
    green.get_hub()
    gc.enable()
    _set_aside()


def _set_aside() -> None:
    """Set aside all that exists: looking for what a test leaves is quick then."""
    gc.collect()
    gc.freeze()


def _descriptors() -> dict[str, str]:
    """Open descriptors and what they are; the one of the listing itself comes and goes."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return {number: target for number, target in found.items() if not target.startswith("/proc/")}


def _green_threads() -> int:
    """How many there are: none, between two tests."""
    objects = gc.get_objects()
    # There are few types, and none of interest as a rule: this is much faster than a look at each object.
    if not any(issubclass(kind, greenlet) for kind in set(map(type, objects))):
        return 0
    hub = green.get_hub().greenlet
    found = [item for item in objects if isinstance(item, greenlet)]
    return sum(not item.dead and item is not hub and item.parent is not None for item in found)


def _left_behind(threads, descriptors) -> list[str]:
    left = [f"thread {thread.name}" for thread in set(threading.enumerate()) - threads]
    # Programs that are started inherit it: they would not notice Ctrl-C.
    left += [f"blocked {number!r}" for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())]
    left += [f"descriptor {k} of {v}" for k, v in _descriptors().items() if descriptors.get(k) != v]
    # Looked for last: it takes a while.
    return left or ["green thread"] * _green_threads()


@pytest.fixture(autouse=True, scope="module")
def new_module():
    """What tests of other modules keep, such as their results, is not looked at again."""
    yield
    _set_aside()


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """No thread, green thread, socket, other descriptor or blocked signal outlives a test."""
    before = set(threading.enumerate()), _descriptors()
    yield
    end = time.monotonic() + _PATIENCE
    while (left := _left_behind(*before)) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    assert not left, left
    if len(gc.get_objects()) > _MANY:
        _set_aside()
