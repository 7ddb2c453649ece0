# SPDX-License-Identifier: Apache-2.0
"""The next metachunk is asked for while threads complete the checksum of the one before."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Generator, Iterator

import pytest

from oio.api._data import read
from oio.api._data.layout import Metachunk, Piece
from oio.common import exceptions as exc
from oio.common.chunks import Chunk
from oio.common.hashing import STEP, ThreadedChecksum, Workers
from tests.kit.garbage import garbage_of

DATA = [bytes([number + 1]) * (3 * STEP) for number in range(3)]


class Object:
    """An object of three metachunks of three blocks each.

    :param failing: metachunk whose server does not answer
    :param damaged: metachunk whose data are not those that were stored
    :param block: bytes of a block
    :param sound_copies: of the damaged metachunk
    """

    def __init__(
        self, failing: int | None = None, damaged: int | None = None, block: int = STEP, sound_copies: int = 0
    ) -> None:
        self.opened: list[int] = []
        self.closed: list[int] = []
        self.has_opened = [threading.Event() for _ in DATA]
        self.block, self.sound_copies = block, sound_copies
        self._failing, self._damaged = failing, damaged

    def pieces(self) -> list[Piece]:
        found = []
        for number, data in enumerate(DATA):
            stored = b"other" if number == self._damaged and not self.sound_copies else data
            digest = hashlib.md5(stored).hexdigest()
            chunk = Chunk.of({"url": f"http://{number}/0A", "pos": "0", "size": len(data), "hash": digest})
            metachunk = Metachunk(number, number * len(data), len(data), (chunk,))
            found.append((metachunk, 0, len(data) - 1))
        return found

    def source(self, metachunk: Metachunk) -> Source:
        number = metachunk.position
        is_sound = number != self._damaged or not self.sound_copies
        return Source(self, number, is_failing=number == self._failing, is_sound=is_sound)


class Source:
    def __init__(self, parent: Object, number: int, *, is_failing: bool, is_sound: bool) -> None:
        self.used: list[str] = []
        self._parent, self._number, self._is_failing, self._is_sound = parent, number, is_failing, is_sound

    def open(self, start: int, end: int) -> Generator[bytes, None, None]:
        assert start == 0
        self._parent.opened.append(self._number)
        self._parent.has_opened[self._number].set()
        try:
            if self._is_failing:
                raise exc.ServiceUnavailable("no server answers")
            data = DATA[self._number] if self._is_sound else bytes(3 * STEP)
            for begin in range(0, len(data), self._parent.block):
                yield data[begin : begin + self._parent.block]
        finally:
            self._parent.closed.append(self._number)

    def find_damaged(self) -> list[str]:
        return []

    def exclude_damaged(self) -> bool:
        self._is_sound = self._parent.sound_copies > 0
        return self._is_sound


class SlowChecksum:
    """An MD5 that cannot be completed before the next metachunk is asked for."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event
        self._md5 = hashlib.md5()

    def update(self, data: bytes) -> None:
        # The end of the wait is the end of a test that fails.
        assert self._event.wait(20)
        self._md5.update(data)

    def hexdigest(self) -> str:
        return self._md5.hexdigest()


@pytest.fixture
def slow_checksums(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[threading.Event]]:
    """Each checksum waits for an event of this list, and needs no wait when there are no more."""
    events: list[threading.Event] = []
    begun: list[tuple[threading.Event, Workers]] = []

    def in_threads(checksum: object, _size: int) -> ThreadedChecksum:
        is_slow = bool(events)
        event, workers = events.pop(0) if is_slow else threading.Event(), Workers(lambda: 1)
        begun.append((event, workers))
        if not is_slow:
            event.set()
        return ThreadedChecksum(SlowChecksum(event), 0, workers)

    monkeypatch.setattr(read, "in_threads", in_threads)
    yield events
    for event, workers in begun:
        event.set()
        workers.end()


def blocks_of(obj: Object, **options: object) -> Generator[bytes, None, None]:
    given = {"verify": True, "hold_up_to": 0, **options}
    return read.read_pieces(obj.pieces(), obj.source, **given)


def test_next_metachunk_is_asked_for_while_a_checksum_is_completed(slow_checksums):
    obj = Object()
    slow_checksums += obj.has_opened[1:]
    assert b"".join(blocks_of(obj)) == b"".join(DATA)
    assert obj.opened == obj.closed == [0, 1, 2]


def test_failure_of_the_next_metachunk_comes_after_the_data_before_it(slow_checksums):
    obj = Object(failing=1)
    slow_checksums += obj.has_opened[1:]
    found: list[bytes] = []
    with pytest.raises(exc.ServiceUnavailable, match="position 1: no server answers"):
        found.extend(blocks_of(obj))
    assert b"".join(found) == DATA[0]
    assert obj.opened == obj.closed == [0, 1]


def test_last_block_of_a_damaged_metachunk_is_kept_back_though_the_next_one_is_there(slow_checksums):
    obj = Object(damaged=0)
    slow_checksums += obj.has_opened[1:]
    found: list[bytes] = []
    with pytest.raises(exc.CorruptedChunk):
        found.extend(blocks_of(obj))
    assert b"".join(found) == DATA[0][: 2 * STEP]
    assert sorted(obj.closed) == obj.opened == [0, 1]


def test_metachunk_that_was_asked_for_is_left_when_the_stream_is_closed(slow_checksums):
    obj = Object()
    slow_checksums += obj.has_opened[1:]
    blocks = blocks_of(obj)
    for _ in range(3):
        next(blocks)
    assert (obj.opened, obj.closed) == ([0, 1], [0])
    blocks.close()
    assert obj.closed == [0, 1]


@pytest.fixture
def late_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    """All checksums count as incomplete once the data are there, however fast the threads are."""
    monkeypatch.setattr(read, "is_behind", lambda _checksum: True)


@pytest.mark.usefixtures("late_checksums")
@pytest.mark.parametrize("options", [{"verify": "strict"}, {"hold_up_to": 3 * STEP}], ids=str)
def test_metachunks_that_are_kept_until_they_are_verified_are_read_one_at_a_time(options):
    obj = Object()
    for number, _block in enumerate(blocks_of(obj, **options)):
        assert obj.opened == obj.closed == list(range(number // 3 + 1))
    assert obj.opened == [0, 1, 2]


@pytest.mark.parametrize("failing", [None, 1])
def test_metachunks_that_were_asked_for_are_not_left_to_the_garbage_collector(slow_checksums, failing):
    def call(_api: object) -> None:
        obj = Object(failing)
        slow_checksums.extend(obj.has_opened[1:])
        with contextlib.suppress(exc.ServiceUnavailable):
            for _ in blocks_of(obj):
                pass
        slow_checksums.clear()

    assert garbage_of(call, None) == []


@pytest.mark.usefixtures("late_checksums")
def test_metachunks_of_one_block_come_in_order():
    obj = Object(block=3 * STEP)
    assert list(blocks_of(obj)) == DATA
    assert sorted(obj.closed) == obj.opened == [0, 1, 2]


@pytest.mark.usefixtures("late_checksums")
def test_damaged_metachunk_is_read_again_though_the_next_one_was_asked_for():
    obj = Object(damaged=0, sound_copies=1, block=3 * STEP)
    assert list(blocks_of(obj)) == DATA
    assert obj.opened == [0, 1, 0, 2]


def test_nothing_is_asked_for_early_once_the_checksum_is_complete(monkeypatch):
    def in_the_owner(checksum: object, _size: int) -> ThreadedChecksum:
        return ThreadedChecksum(checksum, 0, Workers(lambda: 0))

    monkeypatch.setattr(read, "in_threads", in_the_owner)
    obj = Object()
    for number, _block in enumerate(blocks_of(obj)):
        assert obj.opened == list(range(number // 3 + 1))


@pytest.mark.usefixtures("late_checksums")
def test_metachunk_that_would_be_held_as_a_whole_is_not_asked_for_early():
    obj = Object()
    large, (small, _, _), _ = obj.pieces()
    blocks = read.read_pieces([large, (small, 0, STEP - 1)], obj.source, True, hold_up_to=2 * STEP)
    for _ in range(3):
        next(blocks)
    assert obj.opened == [0]
    blocks.close()


@pytest.mark.usefixtures("late_checksums")
def test_small_metachunk_does_not_wait_for_the_next_one():
    obj = Object(block=STEP)
    data = DATA[0]
    small = Metachunk(0, 0, len(data), obj.pieces()[0][0].chunks)
    larger = Metachunk(1, len(data), 2 * len(data), obj.pieces()[1][0].chunks)
    pieces = [(small, 0, len(data) - 1), (larger, 0, 2 * len(data) - 1)]
    blocks = read.read_pieces(pieces, obj.source, True, hold_up_to=len(data))
    assert next(blocks) == data[:STEP]
    assert obj.opened == [0]
    blocks.close()
