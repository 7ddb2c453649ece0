# SPDX-License-Identifier: Apache-2.0
"""Reading of blocks of any size as a binary file."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import TYPE_CHECKING

from oio.common.arguments import WrongValue, wrong_type

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class ClosedFile(WrongValue):
    """A file is used after it was closed."""


class BlockReader(Iterator[bytes]):
    """An iterator of blocks that can also be read like a binary file, from its beginning to its end.

    Blocks are given as they come, after the rest of one that :meth:`read` has begun. Functions such as
    :func:`shutil.copyfileobj`, and buffers such as :class:`io.BufferedReader`, take it as it is.
    """

    _rest: bytes | memoryview = b""
    """Rest of the last block, which ``__next__`` must give first, by :meth:`_give_rest`."""

    @property
    @abc.abstractmethod
    def closed(self) -> bool:
        """Whether it was closed."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close it. May be done twice."""

    def _give_rest(self) -> bytes:
        rest, self._rest = self._rest, b""
        return bytes(rest)

    def read(self, size: int | None = -1) -> bytes:
        """Read bytes.

        :param size: how many; fewer come at the end only. All that are left when it is negative, or None
        :returns: nothing at the end
        :raises ClosedFile: it was closed
        """
        if size is not None and not isinstance(size, int):
            raise wrong_type("size", "an int", size)
        self._check_open()
        if size is None or size < 0:
            return b"".join(self)
        blocks = []
        while size > 0 and (block := self._take(size)):
            blocks.append(block)
            size -= len(block)
        return bytes(blocks[0]) if len(blocks) == 1 else b"".join(blocks)

    def read1(self, size: int | None = -1) -> bytes:
        """Read at most `size` bytes, of one block; all that are left of it when it is negative, or None."""
        self._check_open()
        if size is None or size < 0:
            return next(self, b"")
        return bytes(self._take(size)) if size else b""

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read bytes into a buffer, of one block.

        :returns: how many; 0 at the end
        """
        self._check_open()
        view = memoryview(buffer).cast("B")
        block = self._take(len(view)) if len(view) else b""
        view[: len(block)] = block
        return len(block)

    def _take(self, size: int) -> bytes | memoryview:
        """At most `size` bytes of a block; nothing at the end."""
        block, self._rest = self._rest or next(self, b""), b""
        if len(block) <= size:
            return block
        view = memoryview(block)
        self._rest = view[size:]
        return view[:size]

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedFile("read of a closed stream")

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def writable(self) -> bool:
        """Tell that it cannot be written."""
        return False

    def seekable(self) -> bool:
        """Tell that it is read from its beginning to its end."""
        return False

    def flush(self) -> None:
        """Do nothing: files have this method."""

    def isatty(self) -> bool:
        """Tell that it is no terminal."""
        return False
