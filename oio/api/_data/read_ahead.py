# SPDX-License-Identifier: Apache-2.0
"""Read-ahead: several parts of an object are read at a time, and their blocks given in order."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Generator, Iterator
from typing import TypeAlias

from oio.common import exceptions as exc
from oio.common import green

Blocks: TypeAlias = "Generator[bytes, None, None]"

LARGEST_BLOCK = 1 << 20
"""Bytes of the largest block that is read at once."""
ROOM = 4 << 20
"""Bytes of one part that are kept at most."""
ALL_ROOM = 40 << 20
"""Bytes of all parts that are kept at most."""


class Part:
    """Part of an object, some blocks of which are read already."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._ready: collections.deque[bytes] = collections.deque()
        self._size = 0
        #: No more blocks will come.
        self.is_over = False
        #: Its failure, to be raised once all blocks before it are given.
        self.error: exc.OioException | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a block can be taken."""
        return bool(self._ready)

    def take(self) -> bytes:
        """Take the next block."""
        block = self._ready.popleft()
        self._size -= len(block)
        return block

    def wants(self, room: int) -> bool:
        """Whether another block may be read."""
        return not self.is_over and self._size + LARGEST_BLOCK <= room

    def read(self) -> None:
        try:
            block = next(self._blocks)
        except StopIteration:
            self.is_over = True
        except exc.OioException as err:
            self.error, self.is_over = err, True
        else:
            self._ready.append(block)
            self._size += len(block)

    def fill(self, room: int, head: Part) -> None:
        """Read blocks until the first part has one, or there is no room for more."""
        while self.wants(room):
            self.read()
            if head.is_ready or head.is_over:
                return

    def rest(self) -> Blocks:
        """Give all its blocks, first those that are read already.

        :raises OioException: its failure
        """
        try:
            while self._ready:
                yield self.take()
            if self.error is not None:
                raise self.take_error()
            yield from self._blocks
        finally:
            self.close()

    def take_error(self) -> exc.OioException:
        """Take the failure, whose frames lead to this part."""
        assert self.error is not None
        try:
            return self.error
        finally:
            self.error = None

    def close(self) -> None:
        """Close the connections, and forget what was read."""
        self.error = None
        self._ready.clear()
        self._blocks.close()


def read_ahead(parts: Iterator[Blocks], number: int) -> Blocks:
    """Read several parts at a time, and give their blocks in order.

    Green threads read them while the first part has no block to give. None is left when a block is given:
    another OS thread may ask for the next one.

    :param parts: generators of blocks, which are begun one after the other
    :param number: of parts to read at a time
    :returns: a generator of blocks; closing it closes all connections
    """
    room = min(ROOM, ALL_ROOM // number)
    opened: collections.deque[Part] = collections.deque()
    try:
        while True:
            if not opened:
                # All at once: a part that is begun waits for its first bytes, and cannot be left before.
                opened.extend(map(Part, itertools.islice(parts, number)))
            if not opened:
                return
            head = opened[0]
            if head.is_ready:
                yield head.take()
            elif head.is_over:
                opened.popleft()
                if head.error is not None:
                    raise head.take_error()
            else:
                _advance(opened, room)
    finally:
        for part in opened:
            part.close()


def _advance(opened: collections.deque[Part], room: int) -> None:
    head = opened[0]
    waiting = [part for part in opened if part.wants(room)]
    if waiting == [head]:
        head.read()
        return
    with green.ContextPool(len(waiting)) as pool:
        for thread in [pool.spawn(part.fill, room, head) for part in waiting]:
            thread.wait()
