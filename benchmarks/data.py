# SPDX-License-Identifier: Apache-2.0
"""Data of objects: one random block, over and over, so that neither end has to make or keep them.

Reading costs a copy, like reading a file, for both clients alike.
"""

from __future__ import annotations

import functools
import hashlib
import io
import random
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO, Final

PERIOD: Final = 1 << 20
"""Bytes after which the data begin again."""
IN_MEMORY: Final = 1 << 20
"""Bytes of the largest object that is given as bytes; larger ones are files."""

_BLOCK: Final = random.Random(12).randbytes(PERIOD)
_TWICE: Final = memoryview(_BLOCK * 2)


def _part(begin: int, size: int) -> bytes:
    return bytes(_TWICE[begin : begin + size])


def part(begin: int, size: int) -> bytes:
    """Bytes of the data, from any offset.

    >>> part(PERIOD + 5, 10) == part(5, 10)
    True
    """
    sizes = [min(PERIOD, size - at) for at in range(0, size, PERIOD)]
    return b"".join(_part(begin % PERIOD, length) for length in sizes)


class Pattern(io.RawIOBase):
    """A file of such data, read once.

    :param size: number of bytes
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self._at = 0

    def readable(self) -> bool:
        """Always True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read at most a block."""
        size = min(self._left, PERIOD if size < 0 else min(size, PERIOD))
        block = _part(self._at, size)
        self._at = (self._at + size) % PERIOD
        self._left -= size
        return block


def source(size: int) -> bytes | Pattern:
    """Data of an object as a program would give them: bytes if small, else a file."""
    return part(0, size) if size <= IN_MEMORY else Pattern(size)


def on_disk(size: int) -> BinaryIO:
    """A file on the disk with the data of an object, at its beginning; the same one each time.

    >>> on_disk(10).read() == on_disk(10).read() == part(0, 10)
    True
    """
    file = _nameless(size)
    file.seek(0)
    return file


@functools.cache
def _nameless(size: int) -> BinaryIO:
    # Of the class of the files that programs open.
    with tempfile.NamedTemporaryFile() as writer:
        shutil.copyfileobj(Pattern(size), writer, PERIOD)
        writer.flush()
        return Path(writer.name).open("rb")


@functools.cache
def md5(size: int) -> str:
    """MD5 of the data of an object of this size, in hexadecimal digits."""
    digest = hashlib.md5(usedforsecurity=False)
    data = Pattern(size)
    while block := data.read():
        digest.update(block)
    return digest.hexdigest()
