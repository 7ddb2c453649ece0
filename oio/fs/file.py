# SPDX-License-Identifier: Apache-2.0
"""Files of the fsspec filesystem."""

from __future__ import annotations

import io
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fsspec.spec import AbstractBufferedFile

from oio.fs.errors import as_os_errors
from oio.fs.paths import Path

if TYPE_CHECKING:
    from io import BufferedReader

    from oio.api._operations.files import ObjectWriter
    from oio.fs.filesystem import OioFileSystem


class OioFile(AbstractBufferedFile):  # type: ignore[misc]
    """One object, opened by :meth:`OioFileSystem.open`, which tells about the arguments.

    To read, the object is located once, and the cache asks for ranges of it. What is written is uploaded
    meanwhile, and committed when the file is closed, unless its ``with`` block raises.
    """

    fs: OioFileSystem
    _reader: BufferedReader | None = None
    _writer: ObjectWriter | None = None

    def __init__(
        self,
        fs: OioFileSystem,
        path: str,
        mode: str = "rb",
        block_size: int | str | None = "default",
        autocommit: bool = True,
        cache_type: str = "readahead",
        cache_options: dict[str, Any] | None = None,
        size: int | None = None,
        **kwargs: Any,
    ) -> None:
        place = Path.of(path)
        if not place.name:
            raise IsADirectoryError(path)
        with as_os_errors(path), fs._about_file(path):
            opening: Any = fs.api.object_open
            opened = opening(fs.account, *place, mode, **kwargs)
        if mode == "rb":
            self._reader = opened
            size = opened.raw.size
            self._details = fs._describe_version(path, opened.raw.meta)
        else:
            self._writer = opened
        super().__init__(fs, path, mode, block_size, autocommit, cache_type, cache_options, size, **kwargs)
        if mode == "ab":
            self.loc = opened.tell()

    def _fetch_range(self, start: int, end: int) -> bytes:
        """Read bytes; the end is exclusive."""
        end = min(end, self.size)
        if start >= end:
            return b""
        reader: Any = self._reader
        with as_os_errors(self.path):
            data: bytes = reader.raw.pread(end - start, start)
            return data

    def _initiate_upload(self) -> None:
        """Do nothing: the writer begins the upload."""

    def _upload_chunk(self, final: bool = False) -> bool:
        assert self._writer is not None
        with as_os_errors(self.path):
            self._writer.write(self.buffer.getvalue())
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        """Store what was written; a transaction does it when it ends.

        :raises ValueError: it was not closed, and may not be whole
        """
        assert self._writer is not None
        if not self.closed and not self.forced:
            raise ValueError(f"{self.path} must be closed before it is committed")
        with as_os_errors(self.path):
            self._writer.close()
        self.fs.invalidate_cache(self.path)

    def discard(self) -> None:
        """Store nothing."""
        if self._writer is not None:
            self._writer.abort()
        self.closed = True

    def close(self) -> None:
        """Store what was written, unless a transaction or an exception decides otherwise."""
        try:
            super().close()
        except BaseException:  # Also an interruption: half of a file must not be stored.
            self.discard()
            raise
        finally:
            if self._reader is not None:
                self._reader.close()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._writer is not None:
            self.discard()
        else:
            self.close()

    def __del__(self) -> None:
        # A file that nobody has closed is not stored; the writer itself warns of it.
        if self._reader is not None:
            self._reader.close()


class OioText(io.TextIOWrapper):
    """Text layer of a file that is written; nothing is stored when its ``with`` block raises."""

    buffer: Any

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.buffer.discard()
        self.close()

    def __del__(self) -> None:
        """Leave the file, which is not stored then."""


class CompressedFile(io.RawIOBase):
    """Compression layer of a file that is written. Closing it also closes the file, as compressors do not.

    :param compressor: writes to the file
    :param file: is committed at the end
    """

    def __init__(self, compressor: Any, file: OioFile) -> None:
        super().__init__()
        self._compressor = compressor
        self._file = file

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Any, /) -> int:
        """Compress bytes."""
        if self.closed:
            raise ValueError("I/O operation on closed file")
        self._compressor.write(data)
        return memoryview(data).nbytes

    def close(self) -> None:
        """Store what was written."""
        if self.closed:
            return
        try:
            self._compressor.close()
            self._file.close()
        except BaseException:  # Also an interruption: half of a file must not be stored.
            self._file.discard()
            raise
        finally:
            super().close()

    def discard(self) -> None:
        """Store nothing."""
        self._file.discard()
        super().close()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
        else:
            self.close()

    def __del__(self) -> None:
        """Leave the file, which is not stored then."""
