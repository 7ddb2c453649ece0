# SPDX-License-Identifier: Apache-2.0
"""Generator of bytes, read like a file."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LINE_SIZE = 8192


class GeneratorIO(io.RawIOBase):
    r"""Read a generator of bytes as a file.

    :param gen: iterable of blocks: bytes, or text, which is encoded as UTF-8. A single block is one block,
        not a sequence of integers (pitfall 38). ``None`` stands for the end of the data, like
        ``StopIteration`` raised by the generator itself (pitfall 39).
    :param sub_generator: accept items that are themselves iterables of blocks.

    Closing it closes the generator.

    >>> GeneratorIO(iter([b"abc", "déf"])).read(5)
    b'abcd\xc3'
    """

    def __init__(self, gen: Iterable[object] | bytes | str, sub_generator: bool = True) -> None:
        super().__init__()
        if isinstance(gen, (bytes, bytearray, memoryview, str)):
            gen = (gen,)
        self._gen = gen
        self._blocks = self._flatten(iter(gen), sub_generator)
        self._rest = memoryview(b"")
        #: Called when the generator gives an empty block, for a reader that must look at the time.
        self.after_nothing: Callable[[], None] = lambda: None

    @classmethod
    def _flatten(cls, items: Iterator[object], sub_generator: bool) -> Iterator[memoryview]:
        while True:
            try:
                item = next(items, None)
            except RuntimeError as err:
                # What Python makes of a generator that lets StopIteration out.
                if isinstance(err.__cause__, StopIteration):
                    return
                raise
            if item is None:
                return
            if isinstance(item, str):
                item = item.encode("utf-8")
            if isinstance(item, (bytes, bytearray, memoryview)):
                yield memoryview(item).cast("B")
            elif sub_generator and isinstance(item, Iterable):
                yield from cls._flatten(iter(item), sub_generator=False)
                yield memoryview(b"")
            else:
                raise TypeError(f"a data generator must give bytes, not {type(item).__name__}: {item!r:.40}")

    def _take(self, size: int) -> memoryview:
        """Get at most ``size`` bytes, of one block; nothing at the end of the data."""
        while size and not self._rest:
            block = next(self._blocks, None)
            if block is None:
                break
            if not block:
                self.after_nothing()
            self._rest = block
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def readable(self) -> bool:
        """Tell that this can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read what is there of the current block, and never wait for a second one."""
        self._check_open()
        target = memoryview(buffer).cast("B")
        block = self._take(len(target))
        target[: len(block)] = block
        return len(block)

    def read(self, size: int | None = None) -> bytes:
        """Read exactly ``size`` bytes, or what is left; all of it when ``size`` is ``None`` or negative."""
        self._check_open()
        if size is None or size < 0:
            return self.readall()
        block = self._take(size)
        if len(block) == size:
            return bytes(block)
        parts = []
        while block:
            parts.append(block)
            size -= len(block)
            block = self._take(size) if size else memoryview(b"")
        return b"".join(parts)

    def readall(self) -> bytes:
        """Read all that is left."""
        self._check_open()
        parts = [self._rest, *self._blocks]
        self._rest = memoryview(b"")
        return b"".join(parts)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block = self.read(_LINE_SIZE)
        if not block:
            raise StopIteration
        return block

    def close(self) -> None:
        """Close the generator too, so that what it holds is freed now."""
        if not self.closed:
            close_gen = getattr(self._gen, "close", None)
            if close_gen is not None:
                close_gen()
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
