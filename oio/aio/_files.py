# SPDX-License-Identifier: Apache-2.0
"""Objects as binary files whose methods are awaited."""

from __future__ import annotations

import functools
import io
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from oio.aio._workers import Workers

if TYPE_CHECKING:
    from io import BufferedReader
    from types import TracebackType

    from _typeshed import ReadableBuffer

    from oio.api._operations.files import ObjectWriter, RawObjectReader
    from oio.api.types import FetchedObject, Uploaded

T = TypeVar("T")
F = TypeVar("F", bound="AsyncObjectReader | AsyncObjectWriter")


class AsyncObjectReader:
    """An object that is read like a file, and can seek.

    A task that is cancelled while it waits for one of the methods closes the file.
    """

    def __init__(self, workers: Workers, file: BufferedReader) -> None:
        self._workers = workers
        self._file = file
        self._raw = cast("RawObjectReader", file.raw)

    @property
    def name(self) -> str:
        """Name of the object."""
        return self._raw.name

    @property
    def meta(self) -> FetchedObject:
        """Description of the object."""
        return cast("FetchedObject", self._raw.meta)

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self._raw.size

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._raw.closed

    async def read(self, size: int | None = -1) -> bytes:
        """Read bytes.

        :param size: how many; fewer come at the end only. A negative size, or None, reads to the end
        """
        return await self._call(functools.partial(self._file.read, size))

    async def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another position.

        :param offset: bytes
        :param whence: origin of the offset: 0 is the beginning, 1 the current position, 2 the end
        :returns: the new position, from the beginning (bytes)
        """
        return await self._call(functools.partial(self._file.seek, offset, whence))

    async def tell(self) -> int:
        """Position of the next byte to read (bytes from the beginning)."""
        return await self._call(self._file.tell)

    async def _call(self, work: Callable[[], T]) -> T:
        return await self._workers.call(work, abandon=self._file.close)

    async def aclose(self) -> None:
        """Free the connection."""
        if not self.closed:
            await self._workers.end(self._file.close)

    close = aclose

    async def __aenter__(self) -> AsyncObjectReader:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()


class AsyncObjectWriter:
    """An object that is written like a file, and committed when the file is closed.

    When its ``async with`` block raises, or when a task is cancelled while it waits for one of the methods,
    nothing is stored. A file that nobody closes is not stored either, and gives a ResourceWarning.
    """

    def __init__(self, workers: Workers, file: ObjectWriter) -> None:
        self._workers = workers
        self._file = file

    @property
    def name(self) -> str:
        """Name of the object."""
        return self._file.raw.name

    @property
    def result(self) -> Uploaded | None:
        """Chunks, size and checksum of the written data, and description of the object, once it is closed."""
        return self._file.raw.result

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._file.raw.closed

    async def write(self, data: ReadableBuffer) -> int:
        """Write bytes. Returns when there is room for them in the queue of the upload.

        :returns: number of bytes: all of them
        """
        return await self._call(functools.partial(self._file.write, data))

    async def tell(self) -> int:
        """Bytes that the object has by now."""
        return await self._call(self._file.tell)

    async def flush(self) -> None:
        """Pass the buffer on to the upload. That commits nothing."""
        await self._call(self._file.flush)

    async def _call(self, work: Callable[[], T]) -> T:
        return await self._workers.call(work, abandon=self._file.abort)

    async def aclose(self) -> None:
        """End the upload, and commit the object.

        :raises OioException: it failed: nothing is stored
        """
        if not self.closed:
            await self._call(self._file.close)

    close = aclose

    async def abort(self) -> None:
        """Store nothing; the object stays as it was."""
        if not self.closed:
            await self._workers.end(self._file.abort)

    async def __aenter__(self) -> AsyncObjectWriter:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.aclose()
        else:
            await self.abort()


class Opening(Awaitable[F], Generic[F]):
    """A file to open: by ``await``, or by ``async with``."""

    def __init__(self, opened: Callable[[], Awaitable[F]]) -> None:
        self._opened = opened
        self._file: Any = None

    def __await__(self) -> Generator[Any, Any, F]:
        return self._opened().__await__()

    async def __aenter__(self) -> F:
        self._file = await self._opened()
        return cast("F", await self._file.__aenter__())

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._file.__aexit__(kind, value, trace)
