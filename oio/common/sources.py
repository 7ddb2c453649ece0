# SPDX-License-Identifier: Apache-2.0
"""Sources of uploads: where their data end, and the exceptions that stand for their failures."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from oio.common import exceptions as exc
from oio.common import green
from oio.common.arguments import WrongType, WrongValue, shorten, wrong_type
from oio.common.generator_io import GeneratorIO, WrongBlock
from oio.common.interruptions import reraise_interruption
from oio.common.rereading import NO_DESCRIPTOR, is_on_disk, reread

if TYPE_CHECKING:
    from oio.common.checksums import Checksum

_QUICK = 0.01
"""Seconds in which many blocks may share one time limit; a slower block gets one of its own."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
"""Seconds before a source that has nothing yet is asked again."""
_LONGEST_WATCH = 1.0
"""Seconds for which the descriptor of such a source is watched at a time."""


class Readable(Protocol):
    """Anything that data can be read from."""

    def read(self, size: int, /) -> bytes | bytearray | memoryview | None:
        """Read at most `size` bytes; nothing at the end, and None when there is nothing yet."""


class SourceStalled(exc.SourceReadTimeout, exc.SourceReadError):
    """A source gave nothing in time."""


# --- data and exceptions of sources ---


def block_of(argument: str, data: object) -> bytes:
    """Make bytes of the data that the ``read`` of a source gave.

    :param argument: name of the argument that the source is
    :raises WrongType: it is text, whose encoding and newlines are no longer those of the source
    :raises WrongBlock: it is something else; a number would be as many zeros
    """
    if type(data) is bytes:
        return data
    if isinstance(data, str):
        raise WrongType(f"{argument} must be opened in binary mode: its read() gave text, {shorten(data)}")
    try:
        return bytes(memoryview(data))  # type: ignore[arg-type]
    except TypeError as err:
        raise WrongBlock(f"{argument} must give bytes, not {type(data).__name__}: {shorten(data)}") from err


def bytes_of(argument: str, data: bytes | bytearray | memoryview) -> bytes | bytearray | memoryview:
    """Put data in memory in one piece: those of a memoryview may be scattered.

    :raises WrongValue: they are not there any more
    """
    if not isinstance(data, memoryview):
        return data
    try:
        return data if data.c_contiguous else data.tobytes()
    except ValueError as err:
        raise WrongValue(f"{argument} cannot be read: {err}") from err


def check_limit(argument: str, size: object) -> int | None:
    """Refuse a number of bytes to take that makes no sense.

    :returns: None when the number is unknown, which -1 stands for too
    """
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int):
        raise wrong_type(argument, "an int", size)
    if size < -1:
        raise WrongValue(f"{argument} must be a number of bytes, or -1 when it is unknown: {size}")
    return None if size == -1 else size


def _died_of_stop(err: BaseException) -> bool:
    """Whether a generator let a ``StopIteration`` out, maybe that of another one inside it."""
    cause: BaseException | None = err
    while isinstance(cause, RuntimeError):
        cause = cause.__cause__
    return isinstance(cause, StopIteration)


def _is_cut_short(err: BaseException) -> bool:
    """Whether an HTTP response ended before its end; urllib3 tells it by a cause."""
    from http.client import IncompleteRead

    return isinstance(err, IncompleteRead) or isinstance(err.__cause__, IncompleteRead)


def failure_of(err: BaseException) -> exc.OioException | None:
    """Make the exception of the library that stands for one of a source.

    :returns: None for one that comes out as it is
    """
    if isinstance(err, exc.OioException):
        return None
    if isinstance(err, green.Timeout):
        # That of the host is around the whole call.
        return None if green.is_of_host(err) else SourceStalled(str(err))
    known = isinstance(err, (OSError, ValueError, WrongBlock, StopIteration))
    if known or _died_of_stop(err) or _is_cut_short(err):
        kind = TypeError if isinstance(err, WrongBlock) else type(err)
        return exc.SourceReadError(f"{kind.__name__}: {err}")
    return None


# --- sources ---


class UnlimitedReader:
    """A binary file that may take as long as it likes: only the deadline of the call bounds its reads.

    :param read: reads some bytes, of any number; nothing at the end
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.read = read


class Source:
    """Bytes to upload: read once, in time, up to their first end.

    :param wrapped: where they are read
    :param seconds: gives the limit of the next read; None for no limit. It may raise
    :param patience: seconds to wait for a source that has nothing yet, when reads have no limit
    :param size: bytes that the source must have; None when unknown
    :param may_have_more: nothing after `size` bytes is looked at
    :param argument: name of the argument that the source is
    """

    error: exc.OioException | None = None
    """Exception of a class of the library, or derived from one, that the source itself raised."""

    _ahead = b""
    _given = 0
    _ended = False
    _generator: GeneratorIO | None = None
    _announced: object = None

    def __init__(
        self,
        wrapped: Readable,
        seconds: Callable[[], float | None],
        *,
        patience: float = 60.0,
        size: int | None = None,
        may_have_more: bool = False,
        argument: str = "source",
    ) -> None:
        self._wrapped: Any = wrapped
        self._seconds = seconds
        self._patience = patience
        self._size = size
        self._room = size if may_have_more else None
        self._argument = argument
        self._memory = wrapped if type(wrapped) is io.BytesIO and not may_have_more else None
        if self._memory is None:
            self._generator = wrapped if isinstance(wrapped, GeneratorIO) else None
            self._announced = _length_of(wrapped)

    @property
    def taken(self) -> int:
        """Bytes that were read from this object, those that it has read ahead not counted."""
        return self._given - len(self._ahead)

    def read(self, size: int) -> bytes:
        """Read `size` bytes, or all that are left before the end; nothing at the end.

        :raises SourceReadTimeout: the source gives nothing in time; it is a SourceReadError too
        :raises SourceReadError: from the exception that the source raised; or it has not the bytes that it
            must have
        :raises DeadlineReached: no time is left for it
        :raises TypeError: the source gives text
        :raises BaseException: any other exception of the source
        """
        if self._memory is not None:
            return self._read_memory(self._memory, size)
        if self._room is not None:
            size = min(size, self._room - self.taken)
        blocks, wanted = [], size
        if self._ahead:
            blocks.append(self._ahead)
            wanted -= len(self._ahead)
            self._ahead = b""
        if wanted > 0 and not self._ended:
            blocks += self._fill(wanted)
        data = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        if len(data) > size:
            data, self._ahead = data[:size], data[size:]
        return data

    def left_in_memory(self) -> int | None:
        """Bytes that are left, when they lie in memory; None for any other source."""
        memory = self._memory
        if memory is None or memory.closed:
            return None
        # Its ``getbuffer()`` would copy the bytes that it was made of.
        position = memory.tell()
        end = memory.seek(0, io.SEEK_END)
        memory.seek(position)
        return max(end - position, 0)

    def reread(self) -> Callable[[int, int], bytes] | None:
        """Get a function that reads the bytes that follow again, see :func:`oio.common.rereading.reread`."""
        return reread(self._wrapped, len(self._ahead))

    def has_more_than(self, size: int) -> bool:
        """Whether it is known to have more bytes left than that; False when that cannot be known."""
        if self._memory is not None:
            return (self.left_in_memory() or 0) > size
        if self._size is not None:
            return self._size - self.taken > size
        return _left_in_file(self._wrapped) + len(self._ahead) > size

    def is_exhausted(self) -> bool:
        """Whether no byte is left."""
        if self._room is not None:
            return self.taken >= self._room
        if not self._ahead and not self._ended:
            self._peek()
        return self._ended and not self._ahead

    def _peek(self) -> None:
        """Look whether the end is reached."""
        if self._memory is None:
            self._ahead = b"".join(self._fill(1))
            return
        with self._failures():
            # The position of one that was closed is an error.
            self._memory.tell()
            if not self.left_in_memory():
                self._end()

    # --- data ---

    def _read_memory(self, memory: io.BytesIO, size: int) -> bytes:
        if self._ended:
            return b""
        try:
            block = memory.read(size)
        except ValueError as err:
            raise exc.SourceReadError(f"{type(err).__name__}: {err}") from err
        self._count(block)
        if len(block) < size:
            self._end()
        return block

    def _fill(self, wanted: int) -> list[bytes]:
        """Read `wanted` bytes, or fewer at the end; more if the source gives more than it is asked for."""
        blocks: list[bytes] = []
        with self._failures():
            while wanted > 0 and not self._ended:
                begin = time.monotonic()
                limit = green.SourceReadTimeout(self._seconds())
                limit.is_final = self._is_late
                with limit:
                    while wanted > 0 and not self._ended:
                        block = self._next(wanted)
                        self._count(block)
                        if not block or (len(block) < wanted and self._ends_when_short):
                            self._end()
                        if block:
                            blocks.append(block)
                        wanted -= len(block)
                        if time.monotonic() - begin > _QUICK:
                            break
        return blocks

    def _is_late(self) -> bool:
        """Whether no time is left for another read."""
        try:
            seconds = self._seconds()
        except exc.DeadlineReached:
            return True
        return seconds is not None and seconds <= 0

    def _next(self, size: int) -> bytes:
        """Read a block that is there, or wait for one; nothing at the end."""
        pauses: _Pauses | None = None
        while True:
            seconds = self._seconds()
            block = self._ask(size)
            if block is not None:
                return block
            if pauses is None:
                patience = self._patience if seconds is None else seconds
                pauses = _Pauses(patience, self._argument, self._descriptor)
            pauses.wait()

    def _ask(self, size: int) -> bytes | None:
        """Ask the source once.

        :returns: nothing at the end; None when there is nothing yet
        """
        try:
            if self._generator is None:
                found = self._wrapped.read(size)
                return None if found is None else block_of(self._argument, found)
            view = self._generator.take(size)
        except exc.OioException as err:
            if not isinstance(err, WrongType):
                self.error = err
            raise
        if view is None:
            return b""
        if not view:
            return None
        whole = view.obj
        return whole if type(whole) is bytes and len(whole) == len(view) else bytes(view)

    def _count(self, block: bytes) -> None:
        self._given += len(block)
        if self._size is not None and self._room is None and self._given > self._size:
            raise exc.SourceReadError(f"{self._argument} has more than the {self._size} bytes announced")

    # --- end ---

    @functools.cached_property
    def _descriptor(self) -> int | None:
        """Descriptor that becomes readable when there are data."""
        return None if self._generator is not None else _watchable(self._wrapped)

    @functools.cached_property
    def _ends_when_short(self) -> bool:
        """Whether the source itself has met its end when it gives fewer bytes than asked for.

        Another read of a terminal or a FIFO may give more data, and would wait for a second end.
        """
        if type(self._wrapped) not in (io.BufferedReader, io.BufferedRandom):
            return False
        try:
            return os.get_blocking(self._wrapped.fileno())
        except NO_DESCRIPTOR:
            return False

    def _end(self) -> None:
        """Note the end, after which the source is never read again.

        :raises SourceReadError: bytes are missing
        """
        self._ended = True
        if self._size is not None and self._given < self._size:
            raise exc.SourceReadError(f"{self._argument} ended after {self._given} bytes of {self._size}")
        left = _left_over(self._wrapped, self._announced, self._given) if self._memory is None else 0
        if left:
            raise exc.SourceReadError(f"{self._argument} ended {left} bytes before its announced length")

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn exceptions of the source into those of the library."""
        try:
            yield
        except (Exception, green.Timeout) as err:
            reraise_interruption(err)
            failure = failure_of(err)
            if failure is None:
                raise
            try:
                raise failure from err
            finally:
                # This frame leads to its callers, and their data.
                del failure


class Portion:
    """At most `size` bytes of a source, or all of it: hashed, counted, and in time as the source itself is.

    :param checksums: to be updated
    """

    def __init__(self, source: Source, size: int | None, checksums: Iterable[Checksum]) -> None:
        self.source = source
        self._room = size
        self._checksums = checksums
        #: Bytes that were read.
        self.taken = 0

    def read(self, size: int, /) -> bytes:
        """Read `size` bytes, or all that are left; nothing at the end only."""
        wanted = size if self._room is None else min(size, self._room - self.taken)
        if wanted <= 0:
            return b""
        block = self.source.read(wanted)
        self.taken += len(block)
        for checksum in self._checksums:
            checksum.update(block)
        return block

    def reread(self) -> Callable[[int, int], bytes] | None:
        """Get a function that reads the bytes that follow again, see :meth:`Source.reread`."""
        return self.source.reread()

    def is_exhausted(self) -> bool:
        """Whether no byte is left."""
        return self.taken == self._room or self.source.is_exhausted()


class _Pauses:
    """Pauses before a source that has nothing yet is asked again.

    :param patience: seconds that they may take in all
    :param descriptor: to be watched; None when there is none
    """

    def __init__(self, patience: float, argument: str, descriptor: int | None) -> None:
        self._patience = patience
        self._stop = time.monotonic() + patience
        self._argument = argument
        self._descriptor = descriptor
        self._pause = 0.0

    def wait(self) -> None:
        """Wait until there may be something.

        :raises SourceStalled: patience is exhausted
        """
        begin = time.monotonic()
        left = self._stop - begin
        if left <= 0:
            raise SourceStalled(f"{self._argument} has given nothing for {self._patience:g} seconds")
        if self._descriptor is not None:
            green.wait_readable(self._descriptor, min(left, _LONGEST_WATCH))
            # A descriptor may be ready all the time, whatever the source has.
            if time.monotonic() - begin > _FIRST_PAUSE:
                return
        green.sleep(min(left, self._pause))
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)


def _left_in_file(source: Any) -> int:
    """Bytes that are left in a regular file; 0 for anything else."""
    try:
        return os.fstat(source.fileno()).st_size - int(source.tell()) if is_on_disk(source) else 0
    except NO_DESCRIPTOR:
        return 0


def _watchable(source: Any) -> int | None:
    """Descriptor of a source that can be waited for; a regular file is always ready."""
    try:
        descriptor = source.fileno()
        mode = os.fstat(descriptor).st_mode
        return descriptor if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor) else None
    except NO_DESCRIPTOR:
        return None


def _raw(source: Any) -> Any:
    """The file under a buffer, or the source itself."""
    if type(source) is io.BufferedReader:
        with contextlib.suppress(ValueError):
            return source.raw
    return source


def _length_of(source: Any) -> object:
    """Attribute ``length``: bytes that an HTTP response still has, or anything in other objects."""
    return getattr(_raw(source), "length", None)


def _left_over(source: Any, before: object, given: int) -> int:
    """Bytes that an HTTP response lacks at its end.

    :param before: its ``length`` at the beginning
    :param given: bytes that came
    """
    from http.client import HTTPResponse

    raw = _raw(source)
    left = getattr(raw, "length_remaining", None)
    if type(left) is not int:
        left = getattr(raw, "length", None)
        counts_down = type(before) is int and type(left) is int and before - left == given > 0
        if not counts_down and not isinstance(raw, HTTPResponse):
            # The length of something else.
            return 0
    return left if type(left) is int and left > 0 else 0
