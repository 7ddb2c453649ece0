# SPDX-License-Identifier: Apache-2.0
"""Filesystem of fsspec over the object storage API."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import partial
from typing import IO, Any

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.compression import compr
from fsspec.core import get_compression
from fsspec.utils import tokenize

from oio.fs.file import CompressedFile, OioFile, OioText
from oio.fs.listings import Info, Keywords, error, object_at
from oio.fs.trees import Trees
from oio.transfer._checks import target_file
from oio.transfer._download import written_file
from oio.transfer._target_files import followed

_BLOCK = 1 << 20


class OioFileSystem(Trees):
    """Containers are directories, and slashes in the names of objects make more of them.

    ``oio://container/a/b`` is the object ``a/b``. A directory below a container exists as long as there are
    objects in it. Operations on many files run several at a time, in threads; the services make copies.
    Instances are pickled with their options.

    :param namespace: name of the namespace, by default that of the environment, ``OIO_NS``
    :param account: name of the account, by default ``OIO_ACCOUNT``
    :param endpoint: URL or ``host:port`` of the proxy, by default ``OIO_PROXYD_URL``, or that of the
        configuration of the namespace
    :param workers: requests at a time
    :param client_options: more options of :class:`~oio.ObjectStorageApi`, such as ``verify_checksum``
    :param kwargs: options of fsspec, such as ``use_listings_cache`` and ``asynchronous``
    :raises ValueError: there is no namespace, or no account, or the endpoint is given twice

    >>> import fsspec
    >>> files = fsspec.filesystem("oio", namespace="OPENIO", account="doc", endpoint="127.0.0.1:6000")
    >>> files.account
    'doc'
    """

    # --- data ---

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        path = self._strip_protocol(path)
        return await self._run(path, lambda: self._fetch(path, start, end, kwargs))

    def _fetch(self, path: str, start: int | None, end: int | None, options: Keywords) -> bytes:
        """Bytes of a file, from `start` to `end` as in a slice."""
        place = object_at(path)
        ranges = None
        with self._about_file(path):
            if start is not None or end is not None:
                if min(start or 0, end or 0) < 0 or (end is not None and end <= (start or 0)):
                    size = int(self.api.object_get_properties(self.account, *place)["length"])
                    start, end, _ = slice(start, end).indices(size)
                first = start or 0
                if end is not None and end <= first:
                    return b""
                ranges = [(first, None if end is None else end - 1)]
            _, stream = self.api.object_fetch(self.account, *place, ranges=ranges, **options)
        with stream:
            return b"".join(stream)

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        await self._run(path, lambda: self._store(path, value, mode, kwargs))
        self.invalidate_cache(path)

    def _store(self, path: str, data: bytes | _Watched, mode: str, options: Keywords) -> None:
        """Store an object.

        :param data: bytes, or a binary file
        :param mode: ``"create"`` refuses to replace one
        """
        place = object_at(path)
        if mode != "create":
            self.api.object_create(self.account, place.container, obj_name=place.name, data=data, **options)
            return
        with self.api.object_open(self.account, *place, "xb", **options) as file:
            if isinstance(data, (bytes, bytearray, memoryview)):
                file.write(data)
            else:
                for block in iter(partial(data.read, _BLOCK), b""):
                    file.write(block)

    async def _put_file(
        self,
        lpath: str,
        rpath: str,
        callback: Callback = DEFAULT_CALLBACK,
        mode: str = "overwrite",
        **kwargs: Any,
    ) -> None:
        if os.path.isdir(lpath):
            await self._makedirs(rpath, exist_ok=True)
            return
        path = self._strip_protocol(rpath)
        await self._run(path, lambda: self._upload(lpath, path, callback, mode, kwargs))
        self.invalidate_cache(path)

    def _upload(self, lpath: str, path: str, callback: Callback, mode: str, options: Keywords) -> None:
        with open(lpath, "rb") as file:
            callback.set_size(os.fstat(file.fileno()).st_size)
            self._store(path, _Watched(file, callback), mode, options)

    async def _get_file(
        self, rpath: str, lpath: Any, callback: Callback = DEFAULT_CALLBACK, **kwargs: Any
    ) -> None:
        path = self._strip_protocol(rpath)
        if isinstance(lpath, str):
            _check_parts(path, lpath)
        if await self._isdir(path):
            os.makedirs(lpath, exist_ok=True)
            return
        await self._run(path, lambda: self._download(path, lpath, callback, kwargs))

    def _download(self, path: str, lpath: Any, callback: Callback, options: Keywords) -> None:
        target = None
        if isinstance(lpath, (str, bytes, os.PathLike)):
            shown = os.fsdecode(lpath)
            if os.path.isdir(shown):
                raise error(IsADirectoryError, errno.EISDIR, shown)
            target = target_file(followed(shown))
        meta, stream = self.api.object_fetch(self.account, *object_at(path), **options)
        callback.set_size(int(meta["length"]))
        opened = contextlib.nullcontext(lpath) if target is None else written_file(target, meta)
        with stream, opened as file:
            _copy(stream, file, callback)

    def open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:
        """Open a file, as :meth:`fsspec.spec.AbstractFileSystem.open` describes."""
        if "r" in mode:
            return super().open(path, mode, *args, **kwargs)
        if "b" not in mode:
            text = {key: kwargs.pop(key) for key in ("encoding", "errors", "newline") if key in kwargs}
            return OioText(self.open(path, mode.replace("t", "") + "b", *args, **kwargs), **text)
        compression = get_compression(path, kwargs.pop("compression", None))
        file = super().open(path, mode, *args, **kwargs)
        return file if compression is None else CompressedFile(compr[compression](file, mode=mode[0]), file)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> OioFile:
        """Open a file.

        :param mode: ``"rb"``, ``"wb"``, ``"ab"`` or ``"xb"``
        :param block_size: bytes to read ahead, or to collect before they are sent
        :param kwargs: also ``cache_type`` of fsspec, and options of :meth:`~oio.ObjectStorageApi.object_open`
        """
        # dask gives it to this call, where it means nothing.
        kwargs.pop("default_cache", None)
        return OioFile(
            self, path, mode, block_size or "default", autocommit, cache_options=cache_options, **kwargs
        )

    # --- more about files ---

    def created(self, path: str) -> datetime:
        """Time of the creation of the object."""
        return datetime.fromtimestamp(self._file(path)["created"], timezone.utc)

    def modified(self, path: str) -> datetime:
        """Time of the last change of the object, or of its properties."""
        return datetime.fromtimestamp(self._file(path)["mtime"], timezone.utc)

    def checksum(self, path: str) -> int:
        """Checksum of the object, as a number.

        After an append, the checksum is not known. The number still changes with the file.
        """
        return int(self._file(path)["hash"] or tokenize(self.ukey(path)), 16)

    def ukey(self, path: str) -> str:
        """Text that changes with the file: checksum and version.

        After an append, which keeps the version and leaves no checksum: version, size and time.
        """
        entry = self._file(path)
        if entry["hash"]:
            return f"{entry['hash']}-{entry['version']}"
        return f"{entry['version']}-{entry['size']}-{entry['mtime']}"

    def _file(self, path: str) -> Info:
        entry: Info = self.info(path)
        if entry["type"] != "file":
            raise error(IsADirectoryError, errno.EISDIR, path)
        return entry


class _Watched:
    """A file that reports its reads to a callback."""

    def __init__(self, file: IO[bytes], callback: Callback) -> None:
        self._file = file
        self._callback = callback

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._callback.relative_update(len(block))
        return block


def _copy(blocks: Iterable[bytes], file: IO[bytes], callback: Callback) -> None:
    for block in blocks:
        file.write(block)
        callback.relative_update(len(block))


def _check_parts(path: str, lpath: str) -> None:
    """Refuse names that lead out of the directory of a download, or to the file of another name."""
    for part in ("..", ".", ""):
        if part in path.split("/") and part in lpath.lstrip("/").split("/"):
            raise ValueError(
                f"{path} has a part {part!r}: give the path of its file without one, not {lpath!r}"
            )
