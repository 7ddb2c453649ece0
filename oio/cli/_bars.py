# SPDX-License-Identifier: Apache-2.0
"""Progress bars on a terminal."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from oio.cli._app import Openio
    from oio.common.sources import Readable
    from oio.transfer import Progress

    Told: TypeAlias = Callable[[Progress], object] | None

_WORTH_A_BAR = 1 << 20
"""Bytes of the smallest file that is worth a bar."""


def bar(app: Openio) -> contextlib.AbstractContextManager[Told]:
    """Show a bar, if the standard error is a terminal, and rich is installed.

    :param app: the program
    :returns: context of a function that takes the progress; of None, without a bar
    """
    if app.stderr.isatty() and app.options.verbose_level:
        with contextlib.suppress(ImportError):
            from rich.console import Console

            from oio.transfer.bars import RichBar

            return RichBar(console=Console(file=app.stderr), transient=True)
    return contextlib.nullcontext()


@contextlib.contextmanager
def watched(app: Openio, source: IO[bytes]) -> Iterator[Readable]:
    """Show a bar while a source is read.

    :returns: the source to read: the same one without a bar
    """
    size = _size(source)
    if size is not None and size < _WORTH_A_BAR:
        yield source
        return
    with bar(app) as told:
        yield source if told is None else _Watched(source, size, told)


def _size(source: IO[bytes]) -> int | None:
    """Bytes of a file; None if that is not known."""
    try:
        known = os.fstat(source.fileno())
    except OSError:
        return None
    return known.st_size if stat.S_ISREG(known.st_mode) else None


class Count:
    """Count of the moved bytes of one object.

    :param size: bytes in all; None if that is not known
    :param told: gets the progress
    """

    def __init__(self, size: int | None, told: Told) -> None:
        self._size = size
        self._told = told
        self._moved = 0
        self.add(0)

    def add(self, count: int) -> None:
        if self._told is not None:
            from oio.transfer import Progress

            self._moved += count
            found = self._size or self._moved
            self._told(Progress(self._moved, 0, self._size, 1, found, 1, 0))


class _Watched:
    """A source whose bytes are counted as they are read."""

    def __init__(self, source: IO[bytes], size: int | None, told: Told) -> None:
        self._source = source
        self._count = Count(size, told)

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._count.add(len(data))
        return data
