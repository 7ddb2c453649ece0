# SPDX-License-Identifier: Apache-2.0
"""Several parts of an object are read at a time, and given in order."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator

import pytest

from oio.api._data.read_ahead import ALL_ROOM, LARGEST_BLOCK, ROOM, read_ahead
from oio.common import exceptions as exc
from oio.common import green

BLOCK = bytes(LARGEST_BLOCK)


class Parts:
    """Parts of four blocks; each block takes a turn of the green threads to come."""

    def __init__(self, count: int, blocks: int = 4, failing: dict[int, BaseException] | None = None) -> None:
        self.opened = self.closed = self.most_open = 0
        self.read: dict[int, int] = {}
        self._count, self._blocks, self._failing = count, blocks, failing or {}

    def __iter__(self) -> Iterator[Generator[bytes, None, None]]:
        return map(self._part, range(self._count))

    def _part(self, number: int) -> Generator[bytes, None, None]:
        self.opened += 1
        self.most_open = max(self.most_open, self.opened - self.closed)
        try:
            for index in range(self._blocks):
                green.sleep(0)
                self.read[number] = index + 1
                yield b"%d.%d " % (number, index)
            if number in self._failing:
                raise self._failing[number]
        finally:
            self.closed += 1


def expected(count: int, blocks: int = 4) -> bytes:
    return b"".join(b"%d.%d " % (number, index) for number in range(count) for index in range(blocks))


@pytest.mark.parametrize("number", [2, 3, 16])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_blocks_come_in_order_however_many_parts_are_read(number, count):
    parts = Parts(count)
    assert b"".join(read_ahead(iter(parts), number)) == expected(count)
    assert parts.opened == parts.closed == count
    assert parts.most_open == min(number, count)


def test_other_parts_are_read_while_the_first_one_is_waited_for():
    parts = Parts(3)
    blocks = read_ahead(iter(parts), 3)
    assert next(blocks) == b"0.0 "
    assert set(parts.read) == {0, 1, 2}
    blocks.close()
    assert parts.opened == parts.closed == 3


@pytest.mark.parametrize("number", [2, 16])
def test_blocks_that_are_kept_are_bounded(number):
    def large(_: int) -> Generator[bytes, None, None]:
        for _index in range(6):
            green.sleep(0)
            kept[0] += 1
            most[0] = max(most[0], kept[0])
            yield BLOCK

    kept, most = [0], [0]
    taken = 0
    for _ in read_ahead(map(large, range(20)), number):
        kept[0] -= 1
        taken += 1
    assert taken == 120
    # The one that is given counts as well.
    assert number < most[0] <= min(number * ROOM, ALL_ROOM) // LARGEST_BLOCK + 1


def test_failure_of_a_part_is_raised_once_all_before_it_is_given():
    parts = Parts(4, failing={1: exc.ServiceUnavailable("lost")})
    given = []
    with pytest.raises(exc.ServiceUnavailable, match="lost"):
        given.extend(read_ahead(iter(parts), 3))
    assert b"".join(given) == expected(2)
    assert parts.opened == parts.closed


def test_exception_of_the_host_comes_out_at_once_and_closes_everything():
    parts = Parts(4, blocks=1, failing={2: KeyError("of the host")})
    with pytest.raises(KeyError, match="of the host"):
        list(read_ahead(iter(parts), 3))
    assert parts.opened == parts.closed


def test_time_limit_of_the_host_ends_all_that_is_read():
    def stalled(_: int) -> Generator[bytes, None, None]:
        opened.append(True)
        try:
            green.sleep(3600)
            yield b""
        finally:
            opened.pop()

    opened: list[bool] = []
    with pytest.raises(green.Timeout), green.Timeout(0.001):
        list(read_ahead(map(stalled, range(3)), 2))
    assert opened == []


def test_threads_may_take_turns():
    parts = Parts(5)
    blocks, given = read_ahead(iter(parts), 3), []

    def take() -> None:
        given.extend(block for _, block in zip(range(3), blocks, strict=False))

    while len(given) < 18:
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
    given.extend(blocks)
    assert b"".join(given) == expected(5)
