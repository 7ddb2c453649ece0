# SPDX-License-Identifier: Apache-2.0
"""Generator of bytes, read like a file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LINE_SIZE = 8192
_NOTHING = memoryview(b"")
_NOT_YET = memoryview(b"")
"""Stands for None: nothing yet. It is told from an empty block by its identity."""


class WrongBlock(TypeError):
    """A source gave something that is no data."""


class GeneratorIO(io.RawIOBase):
    r"""Read a generator of bytes as a file.

    :param gen: iterable of blocks: bytes, or text, which is encoded as UTF-8. A single block is one block,
        not a sequence of integers (pitfall 38). An empty block, or ``None``, is no end: there is nothing yet
        (pitfall A1). Exceptions of the generator come out as they are.
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
        self._rest = _NOTHING

    @classmethod
    def _flatten(cls, items: Iterator[object], sub_generator: bool) -> Iterator[memoryview]:
        for item in items:
            if item is None:
                yield _NOT_YET
            elif isinstance(item, str):
                yield memoryview(item.encode("utf-8"))
            elif isinstance(item, (bytes, bytearray, memoryview)):
                yield _flat(memoryview(item))
            elif sub_generator and isinstance(item, Iterable):
                yield from cls._flatten(iter(item), sub_generator=False)
                yield _NOTHING
            else:
                raise WrongBlock(f"a data generator must give bytes, not {type(item).__name__}: {item!r:.40}")

    def take(self, size: int) -> memoryview | None:
        """Get at most ``size`` bytes, of one block.

        :returns: None at the end of the data; nothing when the generator has nothing yet
        """
        self._check_open()
        rest = self._rest
        if not rest and size:
            found = next(self._blocks, None)
            if found is None:
                return None
            rest = found
        if len(rest) <= size:
            # A block that is given whole is not held: its owner may resize the buffer.
            self._rest = _NOTHING
            return rest
        self._rest = rest[size:]
        return rest[:size]

    def _take(self, size: int) -> memoryview:
        """Get at most ``size`` bytes, of one block; nothing at the end of the data."""
        while True:
            block = self.take(size)
            if block is None:
                return _NOTHING
            if block or not size:
                return block
            del block

    def readable(self) -> bool:
        """Tell that this can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Read from the current block, and never wait for a second one.

        :returns: number of bytes; 0 at the end, None when the generator gave ``None``
        """
        self._check_open()
        target = memoryview(buffer).cast("B")
        block = self.take(len(target))
        while block is not None and not block and target:
            if block is _NOT_YET:
                return None
            block = self.take(len(target))
        size = 0 if block is None else len(block)
        target[:size] = block or b""
        return size

    def read(self, size: int | None = None) -> bytes:
        """Read exactly ``size`` bytes, or fewer at the end; all that are left when it is None or negative."""
        self._check_open()
        if size is None or size < 0:
            return self.readall()
        block = self._take(size)
        if len(block) == size:
            return bytes(block)
        parts = []
        while block:
            parts.append(bytes(block))
            size -= len(block)
            # The buffer is let go before the generator goes on.
            block = _NOTHING
            if size:
                block = self._take(size)
        return b"".join(parts)

    def readall(self) -> bytes:
        """Read all that is left."""
        self._check_open()
        parts = [bytes(self._rest), *map(bytes, self._blocks)]
        self._rest = _NOTHING
        return b"".join(parts)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block = self.read(_LINE_SIZE)
        if not block:
            raise StopIteration
        return block

    def close(self) -> None:
        """Close the generator too, so that its resources are freed now."""
        if not self.closed:
            close_gen = getattr(self._gen, "close", None)
            if close_gen is not None:
                close_gen()
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")


def _flat(view: memoryview) -> memoryview:
    """The bytes of a buffer, in one piece."""
    simple = view.c_contiguous and view.ndim == 1 and view.format == "B"
    return view if simple else memoryview(view.tobytes())
