# SPDX-License-Identifier: Apache-2.0
"""Fixtures and settings of all tests: above all, that none leaves anything behind."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import sys
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


#: Directory in memory: tests sync their files hundreds of times a second, and these are not needed later.
_MEMORY = "/dev/shm"
#: Free bytes that the largest tests need there.
_ROOM = 4 << 30


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Put the directories of tests in memory, if there is room and no option says otherwise.

    Also restore Ctrl-C, turn off hedging, and keep compiled modules.
    """
    # Each worker, and each of hundreds of started programs, would compile all modules for itself.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell that runs tests in the background ignores SIGINT, which started programs would inherit.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Tests count requests, and on a busy machine any server may be late. Tests of rivals set their delays.
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
    """At least six workers, because tests wait much of the time: four leave a fifth of two cores idle."""
    return max(6, len(os.sched_getaffinity(0)))


def pytest_collection_finish():
    green.get_hub()
    # Nothing to collect: to look for it takes a second, in each worker.
    gc.freeze()
    gc.enable()


def _set_aside() -> None:
    """Exempt all existing objects from garbage collection, so that checking a test is quick."""
    gc.collect()
    gc.freeze()


def _descriptors() -> dict[str, str]:
    """Open descriptors and their targets, without the one of this listing."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return {number: target for number, target in found.items() if not target.startswith("/proc/")}


def _green_threads() -> int:
    """Number of green threads: 0 between two tests."""
    objects = gc.get_objects()
    # There are few types, and none of interest as a rule: this is much faster than to ask each object.
    kinds = {kind for kind in set(map(type, objects)) if issubclass(kind, greenlet)}
    if not kinds:
        return 0
    hub = green.get_hub().greenlet
    found = [item for item in objects if type(item) in kinds]
    return sum(not item.dead and item is not hub and item.parent is not None for item in found)


def _left_behind(threads, descriptors) -> list[str]:
    left = [f"thread {thread.name}" for thread in set(threading.enumerate()) - threads]
    # Started programs would inherit blocked signals, and not notice Ctrl-C.
    left += [f"blocked {number!r}" for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())]
    left += [f"descriptor {k} of {v}" for k, v in _descriptors().items() if descriptors.get(k) != v]
    # Last, because it is slow.
    return left or ["green thread"] * _green_threads()


@pytest.fixture(autouse=True, scope="module")
def new_module():
    """Exempt what the tests of a module keep, such as their results, from the checks of later tests."""
    yield
    _set_aside()


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Check that no thread, green thread, descriptor or blocked signal outlives a test."""
    before = set(threading.enumerate()), _descriptors()
    yield
    end = time.monotonic() + _PATIENCE
    while (left := _left_behind(*before)) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    assert not left, left
    if len(gc.get_objects()) > _MANY:
        _set_aside()
