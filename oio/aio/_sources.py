# SPDX-License-Identifier: Apache-2.0
"""Source of an upload in a worker: blocks that the event loop gives."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import threading
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterator
from typing import TypeVar

from oio.aio._workers import Lane, Workers, insist_until
from oio.common.generator_io import GeneratorIO

T = TypeVar("T")

LARGEST_QUEUE = 1 << 20
"""No further block is asked for while this many bytes wait for the worker."""
_MOST_BLOCKS = 1024


class Blocks(GeneratorIO):
    """The blocks of an async iterable, read in a worker.

    The loop queues them, and waits when the queue is full. The worker waits for a pipe when it is empty, as
    it does for the network, so that time limits and interruptions end the wait. The iterable is not asked for
    anything before the worker wants to read.

    :param loop: runs the iterable
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Never held for more than an instant: the loop takes it.
        self._lock = threading.Lock()
        self._queue: deque[object] = deque()
        self._error: BaseException | None = None
        self._is_begun = self._is_over = self._is_wanted = False
        self._pipe: tuple[int, int] | None = None
        self._room: asyncio.Future[None] | None = None
        #: Bytes in the queue, and the most that there have been.
        self.queued = self.most_queued = 0
        super().__init__(self._given())

    # --- in the loop ---

    async def fill(self, blocks: AsyncIterable[object]) -> None:
        """Queue the blocks of an iterable, then its end or its exception."""
        error: BaseException | None = None
        try:
            await self._have_room()
            async for block in blocks:
                self._put(block)
                await self._have_room()
        except BaseException as err:  # noqa: BLE001 - raised in the upload that reads the blocks
            error = err
        with self._lock:
            self._error, self._is_over = error, True
            self._wake()
        # It leads to this frame.
        del error
        # Once the loop is closed, nothing can be awaited.
        if inspect.isasyncgen(blocks) and not self._loop.is_closed():
            # Its clean-up may free something.
            await blocks.aclose()

    def _put(self, block: object) -> None:
        if isinstance(block, (bytearray, memoryview)):
            # The program may change the buffer afterwards.
            block = memoryview(block).tobytes()
        with self._lock:
            self._queue.append(block)
            self.queued += _size(block)
            self.most_queued = max(self.most_queued, self.queued)
            self._wake()

    def _wake(self) -> None:
        if self._is_wanted and self._pipe is not None:
            self._is_wanted = False
            os.write(self._pipe[1], b"!")

    async def _have_room(self) -> None:
        with self._lock:
            if self._has_room():
                return
            self._room = room = self._loop.create_future()
        await room

    def _has_room(self) -> bool:
        return self._is_begun and self.queued < LARGEST_QUEUE and len(self._queue) < _MOST_BLOCKS

    # --- in the worker ---

    def _given(self) -> Iterator[object]:
        while True:
            with self._lock:
                if self._queue:
                    block = self._queue.popleft()
                    self.queued -= _size(block)
                elif self._is_over:
                    break
                else:
                    block = None
                    self._want()
                self._is_begun = True
                self._call_for_more()
            yield block
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error

    def _want(self) -> None:
        if self._pipe is None:
            self._pipe = os.pipe()
            os.set_blocking(self._pipe[0], False)
        with contextlib.suppress(BlockingIOError):
            os.read(self._pipe[0], 1)
        self._is_wanted = True

    def _call_for_more(self) -> None:
        room = self._room
        if room is not None and self._has_room():
            self._room = None
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_settle, room)

    def fileno(self) -> int:
        """Descriptor that can be read when there is a block, after there was none."""
        return super().fileno() if self._pipe is None else self._pipe[0]

    # --- at the end ---

    def close(self) -> None:
        """Free the pipe."""
        super().close()
        with self._lock:
            pipe, self._pipe = self._pipe, None
            self._queue.clear()
            self._error = None
        for descriptor in pipe or ():
            os.close(descriptor)


def _size(block: object) -> int:
    return len(block) if isinstance(block, (bytes, str)) else 0


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def upload(workers: Workers, data: AsyncIterable[object], store: Callable[[Blocks], T]) -> T:
    """Upload the blocks of an async iterable, which runs in a task of its own meanwhile.

    :param store: uploads a source
    """
    loop = asyncio.get_running_loop()
    blocks = Blocks(loop)
    job = workers.start(lambda: store(blocks), Lane.UPLOADS)
    filling = loop.create_task(blocks.fill(data))
    try:
        return await workers.finish(job)
    finally:
        try:
            if not loop.is_closed():
                await _stop(filling)
        finally:
            blocks.close()


async def _stop(task: asyncio.Task[None]) -> None:
    """End a task, even if the current one is cancelled meanwhile."""
    task.cancel()
    await insist_until(task.done, lambda: asyncio.wait([task]))
