# SPDX-License-Identifier: Apache-2.0
"""Objects as binary files: reading that seeks, and writing that is committed when the file is closed."""

from __future__ import annotations

import contextvars
import io
import os
import threading
import warnings
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from oio.common import exceptions as exc
from oio.common import green
from oio.common.block_reader import ClosedFile
from oio.common.interruptions import forget_frames
from oio.common.sources import UnlimitedReader

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed import ReadableBuffer, WriteableBuffer

    from oio.api._operations.download import ObjectStream, OpenedObject
    from oio.api.types import Uploaded
    from oio.common.answers import JsonObject

FIRST_READ, LARGEST_READ = 262144, 8 << 20
"""Bytes asked for after a jump, at least. Reading on there doubles them, up to the largest."""
_SKIPPED = 131072
"""Bytes that are read and dropped rather than asking anew."""
_BLOCK = 1 << 20
_QUEUED = 4
"""Blocks that wait to be sent, at most."""


class RawObjectReader(io.RawIOBase):
    """Reader of an object that was located once: any part of it, in any order.

    From the beginning on, it sends one request for each metachunk, and verifies it as a download does. After
    a jump, it asks for parts: few bytes at first, more as the reading goes on.

    :param opened: the object
    :param name: of the object
    """

    mode = "rb"

    def __init__(self, opened: OpenedObject, name: str) -> None:
        super().__init__()
        self.meta: JsonObject = opened.meta
        """Description of the object."""
        self.name = name
        self.size = int(opened.meta["length"])
        """Bytes of the object."""
        self._part = opened.part
        self._stream: ObjectStream | None = None
        #: Where the reader is, where the stream is, and where that ends.
        self._position = self._offset = self._end = 0
        self._window = FIRST_READ

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._check_open()
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}
        if whence not in bases:
            raise ValueError(f"whence must be 0, 1 or 2: {whence!r}")
        position = bases[whence] + offset
        if position < 0:
            raise ValueError(f"offset must not lead before the beginning: {offset!r} from {bases[whence]}")
        self._position = position
        return position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._check_open()
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self.size - self._position)
        if wanted <= 0:
            return 0
        try:
            stream = self._stream_at(self._position, wanted)
            count = stream.readinto(view[:wanted])
            if not count:
                raise exc.OioException(f"The stream ended at byte {self._offset}, not at {self._end}")
            self._offset += count
        except BaseException:  # Nobody knows where the stream is now: the next read gets another one.
            self._leave()
            raise
        self._position = self._offset
        return count

    def pread(self, size: int, offset: int) -> bytes:
        """Read bytes anywhere, without moving the reader. Several threads may do it at once.

        :param size: number of bytes; only at the end of the object there are fewer
        :param offset: of the first byte
        """
        self._check_open()
        end = min(offset + size, self.size)
        if offset >= end:
            return b""
        with self._part(offset, end - 1) as stream:
            return b"".join(stream)

    def _stream_at(self, position: int, wanted: int) -> ObjectStream:
        """The stream whose next byte is the one at a position."""
        stream = self._stream
        if stream is not None and 0 < position - self._offset <= min(_SKIPPED, self._end - self._offset - 1):
            self._offset += len(stream.read(position - self._offset))
        if stream is not None and self._offset == position < self._end:
            return stream
        goes_on = stream is not None and position == self._end
        self._leave()
        if position == 0:
            end: int | None = None
        else:
            self._window = min(self._window * 2, LARGEST_READ) if goes_on else FIRST_READ
            end = min(position + max(self._window, wanted), self.size) - 1
        self._stream = stream = self._part(position, end)
        self._offset, self._end = position, self.size if end is None else end + 1
        return stream

    def _leave(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def close(self) -> None:
        try:
            self._leave()
        finally:
            super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedFile("I/O operation on closed file")


class _Abandoned(Exception):
    """The writer has given the file up: nothing of it is to be stored."""


class _Upload:
    """Upload of the data of a file that is written, in a thread that begins with the first block.

    It does not refer to the file: a file that nobody holds any more is collected, and abandons its upload.

    :param store: stores the data of a source, and commits them
    :param look: called at the end of the data; it may refuse the commit
    """

    def __init__(
        self, store: Callable[[UnlimitedReader], Uploaded], look: Callable[[], object] | None = None
    ) -> None:
        self._store = store
        self._look = look
        # Of the host's kind: where threads are patched, its locks exclude green threads.
        self._threading = green.threading_here()
        self._changed = self._threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._rest = memoryview(b"")
        self._is_abandoned = self._is_over = False
        self._interruption = green.Interruption()
        self._thread: threading.Thread | None = None
        self._process = 0
        self.result: Uploaded | None = None
        self.error: BaseException | None = None

    # --- in the thread that writes ---

    def put(self, block: bytes) -> None:
        """Queue a block, as soon as there is room. An empty one is the end.

        :raises BaseException: the upload has failed
        """
        if self._thread is None:
            self._start()
        elif self._is_elsewhere():
            raise exc.OioException("The file is written by the process that this one was forked from")
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_over or self._is_abandoned or len(self._waiting) < _QUEUED
            )
            self._waiting.append(block)
            self._changed.notify_all()
        self._check()

    def _is_elsewhere(self) -> bool:
        """Whether the thread, and its lock, are of the process that this one was forked from."""
        return self._thread is not None and self._process != os.getpid()

    def _check(self) -> None:
        is_unstored = self.result is None and self._is_abandoned
        if is_unstored and isinstance(self.error, (_Abandoned, green.Interrupted, type(None))):
            raise exc.OioException("The file was abandoned: nothing of it is stored") from self.error
        if self.error is not None:
            raise self.error

    def _start(self) -> None:
        run = contextvars.copy_context().run
        thread = self._threading.Thread(target=run, args=(self._run,), name="oio upload", daemon=True)
        try:
            thread.start()
        except RuntimeError as err:
            raise exc.OioException(f"No thread can be started for the upload: {err}") from err
        self._thread, self._process = thread, os.getpid()

    def finish(self) -> None:
        """End the data, and wait for the commit.

        :raises BaseException: the upload has failed
        """
        self.put(b"")
        self.join()
        self._check()

    def abandon(self) -> None:
        """Store nothing, and remove what was sent."""
        if self._is_elsewhere():
            return
        with self._changed:
            self._is_abandoned = True
            self._interruption.ask()
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the end of the thread."""
        if self._thread is not None:
            self._thread.join()

    # --- in the thread that uploads ---

    def _run(self) -> None:
        try:
            with self._interruption:
                self.result = self._store(UnlimitedReader(self.read))
        except BaseException as err:  # noqa: BLE001 - it is raised in the thread that writes
            if self._is_abandoned:
                # Most often, nobody asks for it.
                forget_frames(err)
            self.error = err
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def read(self, size: int = -1, /) -> bytes:
        if not self._rest:
            self._rest = memoryview(self._next())
        if size < 0:
            size = len(self._rest)
        block, self._rest = self._rest[:size], self._rest[size:]
        return bytes(block)

    def _next(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_abandoned)
            if self._is_abandoned:
                # The removal of what was sent must not be interrupted.
                self._interruption.withdraw()
                raise _Abandoned("the file was abandoned")
            block = self._waiting.popleft()
            self._changed.notify_all()
        if not block and self._look is not None:
            self._look()
        return block


class RawObjectWriter(io.RawIOBase):
    """Writer of an object, which is committed when the file is closed.

    :param store: see :class:`_Upload`
    :param name: of the object
    :param mode: of the file
    :param begin: bytes of the object that is appended to
    :param look: see :class:`_Upload`
    """

    def __init__(
        self,
        store: Callable[[UnlimitedReader], Uploaded],
        name: str,
        mode: str,
        begin: int = 0,
        look: Callable[[], object] | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.mode = mode
        self._position = begin
        self._upload = _Upload(store, look)

    @property
    def result(self) -> Uploaded | None:
        """Chunks, size and checksum of what was written, and description of the object, once it is closed."""
        return self._upload.result

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        self._check_open()
        return self._position

    def write(self, data: ReadableBuffer, /) -> int:
        self._check_open()
        with memoryview(data) as view, view.cast("B") as octets:
            try:
                for begin in range(0, len(octets), _BLOCK):
                    # The caller may change the buffer afterwards.
                    self._upload.put(bytes(octets[begin : begin + _BLOCK]))
            except BaseException:  # Nobody knows how much was taken: the rest would be sent twice, or never.
                self._upload.abandon()
                raise
            self._position += len(octets)
            return len(octets)

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._upload.finish()
        except BaseException:  # An interruption too: whoever sees it must not find the object stored later.
            self._upload.abandon()
            raise
        finally:
            super().close()

    def abort(self) -> None:
        """Store nothing of what was written; the object stays as it was."""
        if not self.closed:
            self._upload.abandon()
            super().close()
            self._upload.join()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _leave(self, kind)

    def __del__(self) -> None:
        _forget(self, self)

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedFile("I/O operation on closed file")


class ObjectWriter(io.BufferedWriter):
    """A buffer over a :class:`RawObjectWriter`: closing it commits, unless its ``with`` block raises."""

    raw: RawObjectWriter

    def close(self) -> None:
        if not self.closed:
            try:
                self.flush()
            except BaseException:  # The file below would be committed without what the buffer holds.
                self.abort()
                raise
        super().close()

    def abort(self) -> None:
        """Store nothing of what was written; the object stays as it was."""
        # The buffer is closed with the file below, and drops what it holds.
        self.raw.abort()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _leave(self, kind)

    def __del__(self) -> None:
        _forget(self, self.raw)


def _leave(file: RawObjectWriter | ObjectWriter, kind: type[BaseException] | None) -> None:
    if kind is None:
        file.close()
    else:
        file.abort()


def _forget(file: object, raw: RawObjectWriter | None) -> None:
    """Abandon a file that nobody has closed: half of an object must not be taken for a whole one.

    :param raw: None when the buffer over it was detached
    """
    if raw is not None and not raw.closed and hasattr(raw, "_upload"):
        warnings.warn(
            f"unclosed file {raw.name!r} was not stored", ResourceWarning, source=file, stacklevel=2
        )
        raw._upload.abandon()
        io.RawIOBase.close(raw)
