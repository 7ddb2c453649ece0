# SPDX-License-Identifier: Apache-2.0
"""Blocking wrapper of the asyncio face, so that the tests of the facade run against both."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

from oio.aio import (
    AsyncItems,
    AsyncObjectReader,
    AsyncObjectStorageApi,
    AsyncObjectStream,
    AsyncObjectWriter,
    Opening,
)


async def in_loop(blocks: Iterator[Any]) -> AsyncIterator[Any]:
    """Async iterator over the blocks of an iterator."""
    for block in blocks:
        yield block


class Blocking:
    """A client that makes each call in an event loop, which runs in a thread, and waits for the result.

    Iterators of data are passed on as async iterables.
    """

    def __init__(self, face: AsyncObjectStorageApi) -> None:
        self._face = face
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop of a test")
        self._thread.start()
        self._calls: dict[str, Any] = {}
        self._tasks = threading.local()
        self._serving: list[concurrent.futures.Future[None]] = []

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Await something in the task that serves this thread: a stream knows which task has closed it."""
        tasks = self._tasks
        if not hasattr(tasks, "asked"):
            tasks.asked = asyncio.Queue()
            self._serving.append(asyncio.run_coroutine_threadsafe(_serve(tasks.asked), self._loop))
        answer: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._loop.call_soon_threadsafe(tasks.asked.put_nowait, (awaitable, answer))
        result, error = answer.get()
        if error is not None:
            raise error
        return result

    def __getattr__(self, name: str) -> Any:
        if not name.startswith(("account_", "container_", "object_", "resolve_")):
            return getattr(self._face.sync, name)
        if name not in self._calls:
            self._calls[name] = functools.partial(self._call, getattr(self._face, name))
        return self._calls[name]

    def _call(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(kwargs.get("data"), Iterator) and not hasattr(kwargs["data"], "read"):
            kwargs["data"] = in_loop(kwargs["data"])
        found = method(*args, **kwargs)
        if isinstance(found, AsyncItems):
            return _Blocking(self, found)
        found = self.run(found if asyncio.iscoroutine(found) else _opened(found))
        if isinstance(found, tuple):
            return tuple(self._wrapped(item) for item in found)
        return self._wrapped(found)

    def _wrapped(self, value: Any) -> Any:
        kinds = (AsyncItems, AsyncObjectReader, AsyncObjectStream, AsyncObjectWriter)
        return _Blocking(self, value) if isinstance(value, kinds) else value

    def close(self) -> None:
        self.run(self._face.aclose())
        for serving in self._serving:
            serving.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _serve(asked: asyncio.Queue[Any]) -> None:
    while True:
        awaitable, answer = await asked.get()
        try:
            answer.put((await awaitable, None))
        except BaseException as err:
            # KeyboardInterrupt, for example, would end the loop.
            answer.put((None, err))
            if isinstance(err, asyncio.CancelledError):
                raise


async def _opened(opening: Opening[Any]) -> Any:
    return await opening


class _Blocking:
    """Blocking wrapper of a stream, a file or an iterator."""

    def __init__(self, api: Blocking, wrapped: Any) -> None:
        self._api = api
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._wrapped, name)
        if not callable(found):
            return found
        return lambda *args: self._api.run(found(*args))

    def __iter__(self) -> _Blocking:
        return self

    def __next__(self) -> Any:
        try:
            return self._api.run(anext(self._wrapped))
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> _Blocking:
        return self

    def __exit__(self, *exc: object) -> None:
        self._api.run(self._wrapped.__aexit__(*exc))
