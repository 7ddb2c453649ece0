# SPDX-License-Identifier: Apache-2.0
"""Source of the data of an upload: read once, within time limits, up to its first end."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from oio.common import exceptions as exc
from oio.common import green
from oio.common.arguments import WrongType
from oio.common.generator_io import GeneratorIO
from oio.common.limits import Limits
from oio.common.sources import block_of, reading_source
from oio.common.utils import shorten


class Readable(Protocol):
    """Anything that data can be read from."""

    def read(self, size: int, /) -> bytes | bytearray | memoryview | str | None:
        """Read at most `size` bytes, or text which is encoded as UTF-8; nothing at the end."""


FileOrPath: TypeAlias = "Readable | str | bytes | PathLike[str] | None"
"""Binary file to upload, or its path."""
Data: TypeAlias = "Readable | bytes | bytearray | memoryview | str | Iterable[object] | None"
"""Data to upload: bytes, text which is encoded as UTF-8, a binary file, or an iterable of bytes."""


class Source:
    """Bytes to upload.

    :param limits: of the time of each read
    """

    def __init__(self, wrapped: Readable, limits: Limits) -> None:
        # The phase of a call does not bound an upload of any length.
        self._limits = limits.per_request() if limits.is_phase else limits
        self._ahead = b""
        self._wrapped = wrapped
        self._memory = wrapped if type(wrapped) is io.BytesIO else None
        self._generator = wrapped if isinstance(wrapped, GeneratorIO) else None
        if self._generator is not None:
            self._generator.after_nothing = self._wait

    def read(self, size: int) -> bytes:
        """Read `size` bytes, or all that are left before the end; nothing at the end.

        :raises SourceReadTimeout: the source gives nothing in time
        :raises SourceReadError: from the exception that the source raised
        :raises DeadlineReached: no time is left for it
        """
        if self._memory is not None and not self._memory.closed:
            return self._memory.read(size)
        blocks, wanted = [], size
        if self._ahead:
            blocks.append(self._ahead[:wanted])
            self._ahead = self._ahead[wanted:]
            wanted -= len(blocks[0])
        if wanted:
            with reading_source(self._limits.reading_source()):
                while wanted and (block := self._next(wanted)):
                    blocks.append(block[:wanted])
                    self._ahead = block[wanted:]
                    wanted -= len(blocks[-1])
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def is_exhausted(self) -> bool:
        """Whether the end was reached."""
        if self._memory is not None and not self._memory.closed:
            return self._memory.tell() >= len(self._memory.getbuffer())
        if not self._ahead:
            self._ahead = self.read(1)
        return not self._ahead

    def _next(self, size: int) -> bytes:
        """Read what there is now; a source may give more than `size` bytes all the same."""
        self._limits.reading_source()
        if self._generator is not None:
            # Its read would wait for that many bytes.
            buffer = bytearray(size)
            return bytes(memoryview(buffer)[: self._generator.readinto(buffer)])
        return block_of(self._wrapped.read(size))

    def _wait(self) -> None:
        self._limits.reading_source()
        # The limit of the read can only strike when other green threads have their turn.
        green.sleep(0)


# --- arguments of a caller ---


def open_source(file_or_path: FileOrPath, data: Data) -> AbstractContextManager[Readable]:
    """Open the source of the data of an object; a file that is opened here is closed with its context.

    :param file_or_path: not used when there are `data`
    :raises MissingData: there is neither data nor file
    :raises FileNotFound: there is no file at the path
    """
    if data is not None:
        return nullcontext(_readable_data(data))
    if file_or_path is None:
        raise exc.MissingData("neither data nor file_or_path is given")
    if isinstance(file_or_path, (str, bytes, PathLike)):
        return _open_file(file_or_path)
    return nullcontext(_readable("file_or_path", file_or_path))


def _readable_data(data: Any) -> Readable:
    if isinstance(data, str):
        data = data.encode("utf-8")
    if isinstance(data, (bytes, bytearray, memoryview)):
        return io.BytesIO(data)
    if hasattr(data, "read"):
        return _readable("data", data)
    if isinstance(data, Iterable) and not isinstance(data, Mapping):
        return GeneratorIO(data)
    raise WrongType(f"data must be bytes, a str, a file or an iterable of bytes, not {type(data).__name__}")


def _readable(argument: str, source: Readable) -> Readable:
    if not hasattr(source, "read"):
        raise WrongType(
            f"{argument} must be a path or a file, not {type(source).__name__}: {shorten(source)}"
        )
    if isinstance(source, io.TextIOBase):
        raise WrongType(f"{argument} must be opened in binary mode: {shorten(source)}")
    return source


def _open_file(path: str | bytes | PathLike[str]) -> AbstractContextManager[Readable]:
    try:
        return Path(os.fsdecode(path)).open("rb")
    except FileNotFoundError as err:
        raise exc.FileNotFound(f"File {os.fsdecode(path)!r} not found.") from err
    except (OSError, ValueError) as err:
        raise exc.SourceReadError(f"File {os.fsdecode(path)!r} cannot be read: {err}") from err


def default_name(file_or_path: object) -> str | None:
    """Deduce the name of an object from that of its file."""
    path = file_or_path
    if not isinstance(path, (str, bytes, PathLike)):
        path = getattr(file_or_path, "name", None)
        if not isinstance(path, (str, bytes)):
            return None
    return Path(os.fsdecode(path)).name or None
