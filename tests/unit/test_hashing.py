# SPDX-License-Identifier: Apache-2.0
"""Checksums that threads compute: the same as without, bounded, and nothing is left of them."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from oio.common import green
from oio.common.checksums import new_checksum
from oio.common.hashing import (
    BACKLOG,
    RESUMED_AT,
    SMALL,
    STEP,
    ThreadedChecksum,
    Workers,
    _Worker,
    in_threads,
)
from tests.kit.signals import raising_once, strike

BLOCK = bytes(1 << 20)


def until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.001)


class Noted:
    """A checksum that notes in which threads it was computed, and that does something in those of others."""

    def __init__(self, elsewhere: Callable[[], object] = list) -> None:
        self._inner = hashlib.md5(usedforsecurity=False)
        self._owner = threading.get_ident()
        self._elsewhere = elsewhere
        self.threads: list[int] = []

    @property
    def others(self) -> bool:
        return any(thread != self._owner for thread in self.threads)

    def update(self, data: bytes) -> None:
        self.threads.append(threading.get_ident())
        if self.others:
            self._elsewhere()
        self._inner.update(data)

    def hexdigest(self) -> str:
        return self._inner.hexdigest()


@pytest.fixture
def workers():
    workers = Workers(lambda: 1)
    yield workers
    workers.end()
    assert len(workers) == 0


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("most", [0, 1, 3])
@pytest.mark.parametrize("small", [0, SMALL])
def test_blocks_of_any_size_give_the_checksum_of_all(most, small):
    chance, workers = random.Random(most), Workers(lambda: most)
    for _ in range(5):
        blocks = [chance.randbytes(chance.choice([0, 1, 1000, STEP, 3 << 20])) for _ in range(20)]
        checksum = ThreadedChecksum(hashlib.md5(usedforsecurity=False), small, workers)
        for block in blocks:
            checksum.update(block)
        assert checksum.hexdigest() == md5(b"".join(blocks))
        checksum.update(b"more")
        assert checksum.hexdigest() == md5(b"".join(blocks) + b"more")
    workers.end()
    assert len(workers) == 0


def test_large_data_are_hashed_by_a_thread_of_its_own(workers):
    noted = Noted()
    checksum = ThreadedChecksum(noted, 0, workers)
    checksum.update(BLOCK)
    assert checksum.hexdigest() == md5(BLOCK)
    assert noted.others


def test_owner_hashes_when_no_thread_is_idle(workers):
    go_on = threading.Event()
    busy = ThreadedChecksum(Noted(go_on.wait), 0, workers)
    busy.update(BLOCK)
    noted = Noted()
    checksum = ThreadedChecksum(noted, 0, workers)
    checksum.update(BLOCK)
    assert checksum.hexdigest() == md5(BLOCK)
    assert not noted.others
    go_on.set()
    assert busy.hexdigest() == md5(BLOCK)


def test_first_bytes_of_data_of_unknown_size_are_hashed_by_the_owner(workers):
    noted = Noted()
    checksum = ThreadedChecksum(noted, SMALL, workers)
    checksum.update(bytes(SMALL - 1))
    checksum.update(b"x")
    assert checksum.hexdigest() == md5(bytes(SMALL - 1) + b"x")
    assert len(workers) == 0


@pytest.mark.parametrize(("algorithm", "size", "is_handed_over"), [
    ("md5", None, True), ("sha256", 2 * SMALL, True), ("md5", SMALL, False), ("blake3", 2 * SMALL, False),
])  # fmt: skip
def test_only_what_pays_is_handed_over(algorithm, size, is_handed_over):
    checksum = in_threads(new_checksum(algorithm), size)
    assert isinstance(checksum, ThreadedChecksum) == is_handed_over


def test_data_that_wait_are_bounded(workers):
    most, added = [0], threading.Event()

    def wait_for_owner() -> None:
        # It has added all that it may: it waits, or has come to its end.
        until(lambda: checksum._gate is not None or added.is_set())
        most[0] = max(most[0], checksum._backlog)

    checksum = ThreadedChecksum(Noted(wait_for_owner), 0, workers)
    for _ in range(10):
        checksum.update(BLOCK)
    added.set()
    assert checksum.hexdigest() == md5(BLOCK * 10)
    assert BACKLOG < most[0] <= BACKLOG + len(BLOCK)


def test_owner_who_waits_is_not_woken_for_each_block(workers):
    left, added = [], threading.Event()

    def note() -> None:
        until(lambda: checksum._gate is not None or added.is_set())
        left.append(checksum._backlog)

    checksum = ThreadedChecksum(Noted(note), 0, workers)
    for _ in range(20):
        checksum.update(BLOCK)
    added.set()
    assert checksum.hexdigest() == md5(BLOCK * 20)
    # As long as all of them were not added, it was full, then went down to where the owner goes on.
    full = BACKLOG + len(BLOCK)
    assert left[:6] == [full, full - len(BLOCK), full - 2 * len(BLOCK)] * 2
    assert full - 3 * len(BLOCK) == RESUMED_AT


def test_failure_of_a_thread_is_raised_in_the_owner(workers):
    def fail() -> None:
        raise MemoryError("no more")

    checksum = ThreadedChecksum(Noted(fail), 0, workers)
    checksum.update(BLOCK)
    for _ in range(2):
        with pytest.raises(MemoryError, match="no more"):
            checksum.hexdigest()
    with pytest.raises(MemoryError, match="no more"):
        checksum.update(BLOCK)
    # The thread is there for others.
    noted = Noted()
    other = ThreadedChecksum(noted, 0, workers)
    until(lambda: workers._idle)
    other.update(BLOCK)
    assert other.hexdigest() == md5(BLOCK)
    assert noted.others


def test_owner_that_is_interrupted_leaves_the_thread_to_others(workers):
    def strike_while_owner_waits() -> None:
        until(lambda: checksum._gate is not None)
        while not struck.wait(0.001):
            strike()

    checksum = ThreadedChecksum(Noted(strike_while_owner_waits), 0, workers)
    with raising_once(KeyError("struck")) as struck:
        checksum.update(BLOCK)
        with pytest.raises(KeyError, match="struck"):
            checksum.hexdigest()
        until(lambda: workers._idle)
    assert checksum.hexdigest() == md5(BLOCK)


def test_owner_that_is_interrupted_before_it_waits_does_no_harm(workers, monkeypatch):
    class Struck:
        def acquire(self) -> None:
            raise KeyError("struck")

    go_on = threading.Event()
    checksum = ThreadedChecksum(Noted(go_on.wait), 0, workers)
    checksum.update(BLOCK)
    with monkeypatch.context() as patch:
        patch.setattr(green, "Lock", Struck)
        with pytest.raises(KeyError, match="struck"):
            checksum.hexdigest()
    go_on.set()
    assert checksum.hexdigest() == md5(BLOCK)


def test_thread_that_a_signal_handler_ends_at_its_start_counts_no_more(workers, monkeypatch):
    def strike(worker: _Worker) -> None:
        worker._thread.start()
        worker._thread.join()
        raise KeyError("struck")

    with monkeypatch.context() as patch:
        patch.setattr(_Worker, "_run", lambda worker: None)
        patch.setattr(_Worker, "start", strike)
        with pytest.raises(KeyError, match="struck"):
            workers.take()
    assert workers.take() is None
    assert workers.take() is not None


def test_thread_without_work_ends():
    workers = Workers(lambda: 1, idle_seconds=0.001)
    for _ in range(3):
        checksum = ThreadedChecksum(hashlib.md5(usedforsecurity=False), 0, workers)
        checksum.update(BLOCK)
        assert checksum.hexdigest() == md5(BLOCK)
        until(lambda: len(workers) == 0)


def test_closing_ends_idle_threads_and_others_are_begun_later(workers):
    for _ in range(2):
        noted = Noted()
        checksum = ThreadedChecksum(noted, 0, workers)
        checksum.update(BLOCK)
        assert checksum.hexdigest() == md5(BLOCK)
        assert noted.others
        until(lambda: workers._idle)
        workers.close()
        assert len(workers) == 0


def test_what_a_thread_leaves_when_it_is_ended_is_hashed_by_the_owner(workers):
    begun, ended = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        until(ended.is_set)

    checksum = ThreadedChecksum(Noted(wait), 0, workers)
    checksum.update(BLOCK)
    begun.wait()
    checksum.update(BLOCK)
    for worker in workers._all:
        worker.end()
    ended.set()
    assert checksum.hexdigest() == md5(BLOCK * 2)


def test_thread_that_nobody_came_to_after_taking_it_is_there_again():
    workers = Workers(lambda: 1, idle_seconds=0.001)
    taken = workers.take()
    assert taken is not None
    until(lambda: workers._idle or len(workers) == 0)
    # It may have ended meanwhile: whoever comes late hashes on its own, or is served.
    checksum = ThreadedChecksum(hashlib.md5(usedforsecurity=False), 0, workers)
    checksum.update(BLOCK)
    assert checksum.hexdigest() == md5(BLOCK)
    until(lambda: len(workers) == 0)


class Ended:
    """A thread that has ended when a job comes, and may look at it all the same."""

    has_ended = True
    is_ending = False

    def __init__(self) -> None:
        self.jobs: list[ThreadedChecksum] = []

    def wake(self) -> None:
        pass


def test_thread_that_has_ended_does_not_share_the_work_with_the_next(workers):
    ended, begun, go_on = Ended(), threading.Event(), threading.Event()
    owner = threading.get_ident()

    def wait() -> None:
        begun.set()
        if threading.get_ident() != owner:
            go_on.wait()

    class Two:
        left = [ended]

        def take(self) -> object:
            return self.left.pop() if self.left else workers.take()

    noted = Noted(wait)
    checksum = ThreadedChecksum(noted, 0, Two())
    checksum.update(BLOCK)
    assert noted.threads == [owner]
    checksum.update(BLOCK)
    begun.wait()
    checksum.update(b"last")
    # It comes late: another one is at work.
    ended.jobs[0].work(ended)
    go_on.set()
    assert checksum.hexdigest() == md5(BLOCK * 2 + b"last")
    assert noted.threads.count(owner) == 1


def test_host_without_threads_does_without(workers, monkeypatch):
    def refuse(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    from oio.common import green

    monkeypatch.setattr(green.NativeThread, "start", refuse)
    checksum = ThreadedChecksum(hashlib.md5(usedforsecurity=False), 0, workers)
    checksum.update(BLOCK)
    assert checksum.hexdigest() == md5(BLOCK)


HOSTS = {
    "plain": "",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
    "gevent": "import gevent.monkey; gevent.monkey.patch_all()",
}
PROGRAM = """
import hashlib, os, sys, threading, warnings
from oio.common import hashing
hashing.WORKERS._most = lambda: 1
threads = set()

class Noted:
    def __init__(self): self.inner = hashlib.md5(usedforsecurity=False)
    def update(self, data):
        threads.add(threading.get_native_id())
        self.inner.update(data)
    def hexdigest(self): return self.inner.hexdigest()

def use():
    threads.clear()
    checksum = hashing.ThreadedChecksum(Noted(), 0)
    checksum.update(bytes(1 << 20))
    assert checksum.hexdigest() == hashlib.md5(bytes(1 << 20), usedforsecurity=False).hexdigest()
    assert threads and threading.get_native_id() not in threads, threads

use()
# Those who wait for a child by gevent's loop have missed its end.
end, start = os.pipe()
if not os.fork():
    assert len(hashing.WORKERS) == 0
    use()
    os.write(start, b"done")
    os._exit(0)
os.close(start)
assert os.read(end, 4) == b"done"
assert len(hashing.WORKERS) == 0
use()
print("OK")
"""


@pytest.mark.parametrize("host", HOSTS)
def test_threads_are_native_in_all_hosts_and_end_before_a_fork(host):
    program = HOSTS[host] + PROGRAM
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("OK\n", "", 0)
