# SPDX-License-Identifier: Apache-2.0
"""Base of the asyncio face: the ways to make a call of the facade for an event loop."""

from __future__ import annotations

import functools
import weakref
from collections.abc import AsyncIterable, Callable, Iterator
from io import BufferedReader
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from oio.aio._files import AsyncObjectReader, AsyncObjectWriter, Opening
from oio.aio._sources import upload
from oio.aio._streams import AsyncItems, AsyncObjectStream
from oio.aio._workers import Workers

if TYPE_CHECKING:
    from oio.api._data.source import Data
    from oio.api._operations.files import ObjectWriter
    from oio.api.object_storage import ObjectStorageApi, ObjectStream

T = TypeVar("T")
M = TypeVar("M")

AsyncData: TypeAlias = "Data | AsyncIterable[object]"
"""Data to upload: anything that the facade takes, or an async iterable of blocks."""

_BATCH = 100
"""Items of a listing that a worker takes at once. A page has ten times as many."""


class FaceBase:
    """Base of the parts of the face.

    :ivar sync: the client underneath; other threads may use it, too
    """

    sync: ObjectStorageApi
    _workers: Workers
    #: Streams and files that hold connections or threads until they are closed.
    _opened: weakref.WeakSet[Any]

    async def _call(self, call: Callable[[], T]) -> T:
        return await self._workers.call(call)

    async def _upload(self, data: AsyncData, call: Callable[[Data], T]) -> T:
        if isinstance(data, AsyncIterable):
            return await upload(self._workers, data, call)
        return await self._workers.call(lambda: call(data))

    async def _fetch(self, call: Callable[[], tuple[M, ObjectStream]]) -> tuple[M, AsyncObjectStream]:
        meta, stream = await self._workers.call(call, discard=lambda found: found[1].close())
        self._opened.add(stream)
        return meta, AsyncObjectStream(self._workers, stream)

    async def _locate(self, call: Callable[[], tuple[M, Any]]) -> tuple[M, Any]:
        meta, chunks = await self._workers.call(call)
        # An iterator makes a request for each item.
        return meta, AsyncItems(self._workers, chunks, 1) if isinstance(chunks, Iterator) else chunks

    def _iterate(self, limit: int | None, call: Callable[[], Iterator[T]]) -> AsyncItems[T]:
        batch = min(limit, _BATCH) if isinstance(limit, int) and limit > 0 else _BATCH
        return self._items(batch, call)

    def _each(self, call: Callable[[], Iterator[T]]) -> AsyncItems[T]:
        """Iterate one by one over items that cost requests."""
        return self._items(1, call)

    def _items(self, batch: int, call: Callable[[], Iterator[T]]) -> AsyncItems[T]:
        def items() -> Iterator[T]:
            # A generator, so that the call itself is made by the first step, in a worker.
            yield from call()

        return AsyncItems(self._workers, items(), batch)

    def _open(self, call: Callable[[], BufferedReader | ObjectWriter]) -> Opening[Any]:
        return Opening(functools.partial(self._opened_file, call))

    async def _opened_file(
        self, call: Callable[[], BufferedReader | ObjectWriter]
    ) -> AsyncObjectReader | AsyncObjectWriter:
        file = await self._workers.call(call, discard=_ending)
        self._opened.add(file)
        if isinstance(file, BufferedReader):
            return AsyncObjectReader(self._workers, file)
        return AsyncObjectWriter(self._workers, file)

    def _endings(self) -> list[Callable[[], object]]:
        """Actions that free all open streams and files."""
        return [functools.partial(_ending, opened) for opened in list(self._opened)]


def _ending(opened: Any) -> None:
    # Half of an object must not be committed.
    getattr(opened, "abort", opened.close)()
