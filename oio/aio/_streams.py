# SPDX-License-Identifier: Apache-2.0
"""Streams of objects and iterators of listings, for ``async for``."""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from oio.aio._workers import Job, Workers, insist
from oio.common import exceptions as exc
from oio.common.arguments import wrong_type
from oio.common.block_reader import ClosedFile

if TYPE_CHECKING:
    from oio.api.object_storage import ObjectStream

T = TypeVar("T")


class AsyncObjectStream(AsyncIterator[bytes]):
    """The bytes of an object, or of ranges of it: an async iterator of blocks of any size.

    The rawx services are asked with the first block, so their errors come then. While the program works on
    one block, the next one is read, and no more. A stream has one reader at a time.

    Close it, or use it in an ``async with`` block, when it may be left before its end. A task that is
    cancelled while it waits for a block closes the stream.
    """

    def __init__(self, workers: Workers, stream: ObjectStream) -> None:
        self._workers = workers
        self._stream = stream
        #: Reads the block that a task waits for, or the one after it.
        self._job: Job[bytes | None] | None = None
        self._rest: bytes | memoryview = b""
        self._is_whole = self._is_read = False
        self._closer: weakref.ref[object] | None = None

    @property
    def closed(self) -> bool:
        """Whether it was closed. The end of the data does not close it."""
        return self._stream.closed

    def __aiter__(self) -> AsyncObjectStream:
        return self

    async def __anext__(self) -> bytes:
        if self.closed and not self._is_whole:
            # The task that closed it stops here. Others must not take this for the end of the object.
            if self._closer is None or self._closer() is not asyncio.current_task():
                raise exc.OioException("The stream was closed before its end")
            raise StopAsyncIteration
        block = await self._take()
        if not block:
            raise StopAsyncIteration
        return bytes(block)

    async def _take(self) -> bytes | memoryview:
        """The next block, or the rest of the last one; nothing at the end."""
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        if self._is_whole:
            return b""
        if self._is_read:
            raise exc.OioException("The stream is being read by another task")
        self._is_read = True
        try:
            job = self._job or self._ask()
            block = await self._workers.finish(job, abandon=self._stream.close)
        finally:
            self._job, self._is_read = None, False
        if block is None:
            self._is_whole = True
            return b""
        if not self.closed:
            self._ask()
        return block

    def _ask(self) -> Job[bytes | None]:
        self._job = job = self._workers.start(functools.partial(next, self._stream, None))
        return job

    async def read(self, size: int | None = -1) -> bytes:
        """Read bytes.

        :param size: how many; fewer come at the end only. A negative size, or None, reads to the end
        :returns: bytes; none at the end
        :raises ClosedFile: the stream was closed
        """
        if size is not None and not isinstance(size, int):
            raise wrong_type("size", "an int", size)
        if self.closed:
            raise ClosedFile("read of a closed stream")
        if size is None or size < 0:
            return b"".join([block async for block in self])
        blocks: list[bytes | memoryview] = []
        while size > 0 and (block := await self._take()):
            if len(block) > size:
                view = memoryview(block)
                block, self._rest = view[:size], view[size:]
            blocks.append(block)
            size -= len(block)
        return bytes(blocks[0]) if len(blocks) == 1 else b"".join(blocks)

    async def aclose(self) -> None:
        """Close the connections to the rawx services, and end the iteration.

        If another task waits for a block, its read ends at once, with an exception.
        """
        self._closer = weakref.ref(asyncio.current_task() or self)
        self._rest = b""
        job = self._job
        if job is not None:
            job.interrupt()
        if not self.closed:
            await self._workers.end(self._stream.close)
        if job is not None:
            await insist(job)
            if not self._is_read:
                job.drop()
                self._job = None

    close = aclose

    async def __aenter__(self) -> AsyncObjectStream:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if (job := vars(self).get("_job")) is not None:
            job.drop()


class AsyncItems(AsyncIterator[T], Generic[T]):
    """An iterator of the facade, for ``async for``. It may be left at any point.

    :param items: iterated over in workers
    :param batch: most items that a worker takes at once
    """

    def __init__(self, workers: Workers, items: Iterator[T], batch: int) -> None:
        self._workers = workers
        self._items = items
        self._batch = batch
        self._ready: Iterator[T] = iter(())
        self._error: Exception | None = None
        self._is_over = False

    def __aiter__(self) -> AsyncItems[T]:
        return self

    async def __anext__(self) -> T:
        for item in self._ready:
            return item
        if self._is_over:
            error, self._error = self._error, None
            if error is not None:
                raise error
            raise StopAsyncIteration
        try:
            found, self._error = await self._workers.call(functools.partial(_batch, self._items, self._batch))
        except BaseException:  # A cancelled task has lost a batch: the items after it would hide a gap.
            self._is_over = True
            raise
        self._is_over = self._error is not None or len(found) < self._batch
        self._ready = iter(found)
        return await self.__anext__()

    async def aclose(self) -> None:
        """End the iteration."""
        self._is_over, self._error, self._ready = True, None, iter(())


def _batch(items: Iterator[T], size: int) -> tuple[list[T], Exception | None]:
    """Take some items, and the exception after them, if there is one."""
    found: list[T] = []
    try:
        for item in islice(items, size):
            found.append(item)  # noqa: PERF402 - items before an exception are kept
    except Exception as err:  # noqa: BLE001 - raised after them
        return found, err
    return found, None
