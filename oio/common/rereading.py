# SPDX-License-Identifier: Apache-2.0
"""Sources of uploads that can be read again, so that their data need not be kept for another attempt."""

from __future__ import annotations

import functools
import io
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import IO, Any

NO_DESCRIPTOR = (AttributeError, NotImplementedError, OSError, TypeError, ValueError)
"""Exceptions of ``fileno`` when there is none."""


class Rereadable(ABC):
    """A source whose bytes can be read more than once."""

    @abstractmethod
    def read(self, size: int, /) -> bytes:
        """Read the bytes that follow, see :class:`Readable`."""

    @abstractmethod
    def tell(self) -> int:
        """Position of the byte that follows."""

    @abstractmethod
    def read_at(self, position: int, size: int) -> bytes:
        """Read some bytes, wherever the source is; nothing at the end only."""


def reread(source: Any, ahead: int) -> Callable[[int, int], bytes] | None:
    """Get a function that reads the bytes of a source again, after they were read from it.

    :param ahead: bytes that were taken from it, and are still to be read
    :returns: it takes an offset, from the byte that is to be read now, and a number of bytes, and reads
        some of them, nothing at the end only; None when the source can only be read once
    """
    try:
        if isinstance(source, Rereadable):
            read_at = source.read_at
        elif type(source) is io.BytesIO:
            read_at = functools.partial(_read_memory_at, source)
        elif is_on_disk(source):
            if type(source) is io.BufferedRandom:
                # What it still has to write is not on the disk.
                source.flush()
            read_at = functools.partial(read_file_at, source)
        else:
            return None
        start = source.tell() - ahead
    except NO_DESCRIPTOR:
        return None
    return lambda offset, size: read_at(start + offset, size)


def _read_memory_at(memory: io.BytesIO, position: int, size: int) -> bytes:
    # Its own position is that of the source, which may be read meanwhile.
    before = memory.tell()
    memory.seek(position)
    data = memory.read(size)
    memory.seek(before)
    return data


def read_file_at(file: IO[bytes], position: int, size: int) -> bytes:
    """Read a file on disk, and leave its own position as it is."""
    return os.pread(file.fileno(), size, position)


def is_on_disk(source: Any) -> bool:
    """Whether a source gives the bytes of a regular file, as they are there.

    Others that have its descriptor, such as those of module gzip, give something else.
    """
    raw = source.raw if type(source) in (io.BufferedReader, io.BufferedRandom) else source
    return type(raw) is io.FileIO and stat.S_ISREG(os.fstat(raw.fileno()).st_mode)
