# SPDX-License-Identifier: Apache-2.0
"""Base of the asyncio face: the ways to make a call of the facade for an event loop."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import AsyncIterable, Callable, Coroutine, Iterator
from io import BufferedReader
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from oio.aio._files import AsyncObjectReader, AsyncObjectWriter, Opening
from oio.aio._sources import upload
from oio.aio._streams import AsyncItems, AsyncObjectStream
from oio.aio._workers import Workers

if TYPE_CHECKING:
    from oio.api._data.source import Data
    from oio.api._operations.files import ObjectWriter
    from oio.api.object_storage import ObjectStorageApi, ObjectStream

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M")

AsyncData: TypeAlias = "Data | AsyncIterable[object]"
"""Data to upload: anything that the facade takes, or an async iterable of blocks."""

_BATCH = 100
"""Items of a listing that a worker takes at once. A page has ten times as many."""
_REWORDED = {
    "an iterator of blocks, with\n    ``close()``,": "an async iterator of blocks",
    "returns: an iterator of": "returns: an async iterator of",
    "in the thread of the caller": "in a thread of the client",
    "``api.container.": "``api.sync.container.",
}
"""Words of docstrings that do not apply to event loops, and their replacements."""


class FaceBase:
    """Base of the face.

    :ivar sync: the client underneath; other threads may use it, too
    """

    sync: ObjectStorageApi
    _workers: Workers
    #: Streams and files that hold connections or threads until they are closed.
    _opened: weakref.WeakSet[Any]

    async def _upload(self, data: AsyncData, call: Callable[[Data], T]) -> T:
        if isinstance(data, AsyncIterable):
            return await upload(self._workers, data, call)
        return await self._workers.call(lambda: call(data))

    async def _locate(self, call: Callable[[], tuple[M, Any]]) -> tuple[M, Any]:
        meta, chunks = await self._workers.call(call)
        # An iterator makes a request for each item.
        return meta, AsyncItems(self._workers, chunks, 1) if isinstance(chunks, Iterator) else chunks

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


# --- calls that are made as they are ---


def awaited(
    method: Callable[Concatenate[ObjectStorageApi, P], T],
) -> Callable[Concatenate[FaceBase, P], Coroutine[Any, Any, T]]:
    """A call of the facade that is awaited."""

    async def call(self: FaceBase, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._workers.call(_asked(self, method, args, kwargs))

    return _presented(call, method)


def fetched(
    method: Callable[Concatenate[ObjectStorageApi, P], tuple[M, ObjectStream]],
) -> Callable[Concatenate[FaceBase, P], Coroutine[Any, Any, tuple[M, AsyncObjectStream]]]:
    """The same, for one that gives a stream."""

    async def call(self: FaceBase, /, *args: P.args, **kwargs: P.kwargs) -> tuple[M, AsyncObjectStream]:
        work = _asked(self, method, args, kwargs)
        meta, stream = await self._workers.call(work, discard=lambda found: found[1].close())
        self._opened.add(stream)
        return meta, AsyncObjectStream(self._workers, stream)

    return _presented(call, method, "ObjectStream", "AsyncObjectStream")


def iterated(
    method: Callable[Concatenate[ObjectStorageApi, P], Iterator[T]],
) -> Callable[Concatenate[FaceBase, P], AsyncItems[T]]:
    """A call of the facade for ``async for``."""
    signature = inspect.signature(method)
    # Only listings have limits: items of other calls cost requests, and are taken one by one.
    most = _BATCH if "limit" in signature.parameters else 1

    def call(self: FaceBase, /, *args: P.args, **kwargs: P.kwargs) -> AsyncItems[T]:
        # Arguments that do not fit are an error of the call, and not of its first step.
        try:
            limit = signature.bind(self, *args, **kwargs).arguments.get("limit")
        except TypeError as err:
            raise TypeError(f"{method.__name__}(): {err}") from None
        batch = min(limit, most) if isinstance(limit, int) and limit > 0 else most

        def items() -> Iterator[T]:
            # A generator, so that the call itself is made by the first step, in a worker.
            yield from _asked(self, method, args, kwargs)()

        return AsyncItems(self._workers, items(), batch)

    return _presented(call, method, "Iterator", "AsyncItems")


def _asked(self: FaceBase, method: Callable[..., T], args: Any, kwargs: Any) -> Callable[[], T]:
    return functools.partial(getattr(self.sync, method.__name__), *args, **kwargs)


def _presented(call: T, method: Callable[..., object], theirs: str = "", ours: str = "") -> T:
    """Give a call the name, the signature and the words of that of the facade.

    :param theirs: type that it gives, and the one that takes its place
    """
    made: Any = functools.wraps(method)(call)  # type: ignore[arg-type]
    made.__module__, made.__qualname__ = "oio.aio", f"AsyncObjectStorageApi.{method.__name__}"
    # Examples are those of the facade.
    words = inspect.cleandoc(method.__doc__ or "").partition("\n>>>")[0].rstrip()
    for old, new in _REWORDED.items():
        words = words.replace(old, new)
    made.__doc__ = words
    if theirs:
        signature = inspect.signature(method)
        given = signature.return_annotation.replace(theirs, ours)
        made.__signature__ = signature.replace(return_annotation=given)
    known: T = made
    return known
