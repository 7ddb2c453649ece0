# SPDX-License-Identifier: Apache-2.0
"""Source of the data of an upload, made from the arguments of a call, within its time limits."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from oio.common import exceptions as exc
from oio.common import sources
from oio.common.arguments import WrongType, WrongValue, shorten, wrong_type
from oio.common.generator_io import GeneratorIO
from oio.common.limits import Limits
from oio.common.sources import Readable, UnlimitedReader, bytes_of

FileOrPath: TypeAlias = "Readable | str | bytes | PathLike[str] | None"
"""Binary file to upload, or its path."""
Data: TypeAlias = "Readable | bytes | bytearray | memoryview | str | Iterable[object] | None"
"""Data to upload: bytes, text which is encoded as UTF-8, a binary file, or an iterable of bytes."""

_BLOCK = 1 << 20
"""Bytes of each read of a source of which everything is wanted."""


class Source(sources.Source):
    """Bytes to upload to chunk servers, or to a bucket.

    :param limits: of the time of each read
    :param size: bytes that the source must have; None when unknown
    :param argument: name of the argument that the source is
    """

    def __init__(
        self, wrapped: Readable, limits: Limits, size: int | None = None, argument: str = "source"
    ) -> None:
        # The phase of a call does not bound an upload of any length.
        limits = limits.per_request() if limits.is_phase else limits
        seconds = limits.left if isinstance(wrapped, UnlimitedReader) else limits.reading_source
        super().__init__(wrapped, seconds, size=size, argument=argument)


class HandlerSource(Source):
    """Source of a published handler, whose subclasses may read it as they read a buffered file.

    :raises TypeError: it has no ``read``
    """

    def __init__(self, wrapped: Readable, limits: Limits) -> None:
        if not hasattr(wrapped, "read"):
            raise wrong_type("source", "a file", wrapped)
        super().__init__(wrapped, limits)

    def read(self, size: int | None = -1) -> bytes:
        """Read `size` bytes, or all that are left before the end; nothing at the end.

        :param size: None, or negative, for all that are left
        """
        if size is not None and size >= 0:
            return super().read(size)
        return b"".join(iter(functools.partial(super().read, _BLOCK), b""))

    def peek(self, size: int = 0) -> bytes:
        """Look at the next bytes, which stay to be read; nothing at the end.

        :param size: number of bytes, at least one; there are fewer before the end
        """
        wanted, memory = max(size, 1), self._memory
        if memory is None:
            # What is read leaves that which the source gave beyond it.
            self._ahead = super().read(wanted) + self._ahead
            return self._ahead
        with self._failures():
            position = memory.tell()
            data = memory.read(wanted)
            memory.seek(position)
        return b"" if self._ended else data


# --- arguments of a caller ---


def open_source(file_or_path: FileOrPath, data: Data) -> AbstractContextManager[Readable]:
    """Open the source of the data of an object; a file that is opened here is closed with its context.

    :param file_or_path: not used when there are `data`
    :raises MissingData: there is neither data nor file
    :raises FileNotFound: there is no file at the path
    """
    if type(data) is bytes:
        return io.BytesIO(data)
    if data is not None:
        return _open_data(data)
    if file_or_path is None:
        raise exc.MissingData("neither data nor file_or_path is given")
    if isinstance(file_or_path, (str, bytes, PathLike)):
        return _open_file(file_or_path)
    return nullcontext(_readable("file_or_path", file_or_path))


def _open_data(data: Any) -> AbstractContextManager[Readable]:
    if isinstance(data, str):
        try:
            data = data.encode("utf-8")
        except UnicodeEncodeError as err:
            raise WrongValue(f"data must be text that UTF-8 can encode: {shorten(data)}") from err
    if isinstance(data, (bytes, bytearray, memoryview)):
        return io.BytesIO(bytes_of("data", data))
    if hasattr(data, "read"):
        return nullcontext(_readable("data", data))
    if isinstance(data, Iterable) and not isinstance(data, Mapping):
        return nullcontext(GeneratorIO(data))
    raise WrongType(f"data must be bytes, a str, a file or an iterable of bytes, not {type(data).__name__}")


def _readable(argument: str, source: Any) -> Readable:
    if not hasattr(source, "read"):
        raise wrong_type(argument, "a path or a file", source)
    if isinstance(source, io.TextIOBase):
        raise WrongType(f"{argument} must be opened in binary mode: {shorten(source)}")
    readable: Readable = source
    return readable


def _open_file(path: str | bytes | PathLike[str]) -> AbstractContextManager[Readable]:
    try:
        return Path(os.fsdecode(path)).open("rb")
    except FileNotFoundError as err:
        raise exc.FileNotFound(f"File {os.fsdecode(path)!r} not found.") from err
    except (OSError, ValueError) as err:
        raise exc.SourceReadError(f"File {os.fsdecode(path)!r} cannot be read: {err}") from err


def default_name(file_or_path: object) -> str | None:
    """Name for an object, deduced from that of its file; None without one."""
    path = file_or_path
    if not isinstance(path, (str, bytes, PathLike)):
        path = getattr(file_or_path, "name", None)
        if not isinstance(path, (str, bytes)):
            return None
    return Path(os.fsdecode(path)).name or None
