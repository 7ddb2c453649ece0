# SPDX-License-Identifier: Apache-2.0
"""Filesystem of fsspec over the object storage API."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any, TypeVar

from fsspec.asyn import AsyncFileSystem, sync, sync_wrapper
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.compression import compr
from fsspec.core import get_compression

from oio import ObjectStorageApi
from oio.common import exceptions as exc
from oio.fs.errors import as_os_errors
from oio.fs.file import CompressedFile, OioFile, OioText
from oio.fs.paths import Path, parents_of

_T = TypeVar("_T")
_Info = dict[str, Any]

_BLOCK = 1 << 20
_DELETED_AT_ONCE = 1000


class OioFileSystem(AsyncFileSystem):  # type: ignore[misc]
    """Containers are directories, and slashes in the names of objects make more of them.

    ``oio://container/a/b`` is the object ``a/b``. There are no empty directories below containers: they are
    there as long as there are objects in them. Operations on many files run several at a time, in threads;
    copies are made by the services. Instances are pickled with their options.

    :param namespace: name of the namespace, by default that of the environment, ``OIO_NS``
    :param account: name of the account, by default ``OIO_ACCOUNT``
    :param endpoint: URL or ``host:port`` of the proxy, by default ``OIO_PROXYD_URL``, or that of the
        configuration of the namespace
    :param workers: how many requests run at a time
    :param client_options: more options of :class:`~oio.ObjectStorageApi`, such as ``verify_checksum``
    :param kwargs: options of fsspec, such as ``use_listings_cache`` and ``asynchronous``
    :raises ValueError: there is no namespace, or no account

    >>> import fsspec
    >>> files = fsspec.filesystem("oio", namespace="OPENIO", account="doc", endpoint="127.0.0.1:6000")
    >>> files.account
    'doc'
    """

    protocol = "oio"
    root_marker = ""
    sep = "/"

    def __init__(
        self,
        namespace: str | None = None,
        account: str | None = None,
        endpoint: str | None = None,
        *,
        workers: int = 16,
        client_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.namespace = _required("namespace", namespace, "OIO_NS")
        self.account = _required("account", account, "OIO_ACCOUNT")
        self.endpoint = endpoint or os.environ.get("OIO_PROXYD_URL")
        if not isinstance(workers, int) or workers < 1:
            raise ValueError(f"workers must be 1 or more: {workers!r}")
        self._workers = workers
        self._client_options = dict(client_options or {})

    @functools.cached_property
    def api(self) -> ObjectStorageApi:
        """The client that is used."""
        where: Any = {"endpoint": self.endpoint} if self.endpoint else {}
        return ObjectStorageApi(self.namespace, **where, **self._client_options)

    @functools.cached_property
    def _executor(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._workers, "oio-fs")

    def close(self) -> None:
        """End the threads, and close idle connections. What is asked for later opens new ones."""
        if (executor := self.__dict__.pop("_executor", None)) is not None:
            executor.shutdown()
        if (api := self.__dict__.pop("api", None)) is not None:
            api.close()

    async def _run(self, path: str, function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """Call a function of the client in a thread.

        :param path: what it is about, for the exception
        """
        with as_os_errors(path):
            call = functools.partial(function, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    # --- paths ---

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return os.fspath(path).removeprefix("oio://").lstrip("/").rstrip("/")

    @property
    def fsid(self) -> str:
        """Name of the place that all instances with the same options are about."""
        return f"oio-{self.namespace}-{self.account}"

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget the listings that a path is in, or all of them."""
        if path is None:
            self.dircache.clear()
        else:
            path = self._strip_protocol(path)
            for directory in [path, *parents_of(path)]:
                self.dircache.pop(directory, None)
        super().invalidate_cache(path)

    # --- descriptions ---

    def _describe(self, container: str, listed: Mapping[str, Any]) -> _Info:
        """Description of an object of a listing."""
        return {
            "name": f"{container}/{listed['name']}",
            "type": "file",
            "size": int(listed["size"]),
            "created": int(listed["ctime"]),
            "mtime": int(listed["mtime"] if listed.get("mtime") else listed["ctime"]),
            "hash": listed["hash"],
            "version": str(listed["version"]),
            "mime_type": listed.get("mime_type"),
            "policy": listed.get("policy"),
        }

    def _describe_version(self, path: str, meta: Mapping[str, Any]) -> _Info:
        """Description of an object that was asked for by name."""
        return {
            "name": path,
            "type": "file",
            "size": int(meta["length"]),
            "created": int(meta["ctime"]),
            "mtime": int(meta["mtime"] if meta.get("mtime") else meta["ctime"]),
            "hash": meta["hash"],
            "version": str(meta["version"]),
            "mime_type": meta.get("mime_type"),
            "policy": meta.get("policy"),
            "properties": dict(meta.get("properties") or {}),
        }

    async def _info(self, path: str, **_kwargs: Any) -> _Info:
        path = self._strip_protocol(path)
        if (known := self._known(path)) is not None:
            return known
        return await self._run(path, self._look_at, path)

    def _known(self, path: str) -> _Info | None:
        """Description of a path that a cached listing has."""
        for directory in parents_of(path)[:1]:
            for entry in self.dircache.get(directory) or ():
                if entry["name"] == path:
                    return dict(entry)
        return None

    def _look_at(self, path: str) -> _Info:
        container, name = place = Path.of(path)
        if not container:
            return _directory("")
        if not name:
            self.api.container_get_properties(self.account, container)
            return _directory(path)
        try:
            return self._describe_version(path, self.api.object_get_properties(self.account, container, name))
        except (exc.NoSuchObject, exc.NotFound):
            found = self.api.object_list(self.account, container, prefix=place.prefix, limit=1)
            if not found["objects"]:
                raise
            return _directory(path)

    # --- listings ---

    async def _ls(self, path: str, detail: bool = True, refresh: bool = False, **_kwargs: Any) -> list[Any]:
        path = self._strip_protocol(path)
        entries: list[_Info] | None = None if refresh else self.dircache.get(path)
        if entries is None:
            entries = await self._run(path, self._list, path)
        return list(entries) if detail else sorted(entry["name"] for entry in entries)

    def _list(self, path: str) -> list[_Info]:
        container, name = place = Path.of(path)
        if not container:
            try:
                entries = [_directory(row[0]) for row in self.api.container_list_all(self.account)]
            except exc.NoSuchAccount:
                # It comes into being with its first container.
                entries = []
        else:
            listed = self.api.object_list_all(self.account, container, prefix=place.prefix, delimiter="/")
            entries = [
                _directory(f"{container}/{entry['prefix'].rstrip('/')}")
                if "prefix" in entry
                else self._describe(container, entry)
                for entry in listed
                # An object of the name of a directory and a slash: others make them.
                if entry.get("name") != place.prefix
            ]
            if not entries and name:
                return [self._look_at(path)]
        self.dircache[path] = entries
        return entries

    async def _find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, **kwargs: Any
    ) -> Any:
        path = self._strip_protocol(path)
        detail = kwargs.pop("detail", False)
        stem = kwargs.pop("prefix", "")
        if maxdepth is not None or not path:
            found = await super()._find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **kwargs)
        else:
            try:
                found = await self._run(path, self._find_below, path, withdirs, stem)
            except FileNotFoundError:
                found = {}
        return found if detail else sorted(found)

    def _find_below(self, path: str, withdirs: bool, stem: str) -> dict[str, _Info]:
        """All files of a tree, by one listing.

        :param stem: beginning of the names in the directory
        """
        container, name = place = Path.of(path)
        found: dict[str, _Info] = {}
        directories: set[str] = set()
        for listed in self.api.object_list_all(self.account, container, prefix=place.prefix + stem):
            if listed["name"].endswith("/"):
                directories.update(_directories(f"{container}/{listed['name']}", path))
                continue
            entry = self._describe(container, listed)
            found[entry["name"]] = entry
            directories.update(_directories(entry["name"], path))
        if withdirs:
            found |= {directory: _directory(directory) for directory in directories}
            if found and not stem:
                found[path] = _directory(path)
        if not found and name:
            with contextlib.suppress(exc.NoSuchObject):
                found[path] = self._describe_version(
                    path, self.api.object_get_properties(self.account, container, name)
                )
        return dict(sorted(found.items()))

    # --- directories ---

    async def _mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        container, name = Path.of(self._strip_protocol(path))
        if name and not create_parents:
            await self._info(container)
        elif container and (not name or create_parents):
            created = await self._run(path, self.api.container_create, self.account, container, **kwargs)
            if not created and not name:
                raise FileExistsError(path)
            self.invalidate_cache(container)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        try:
            await self._mkdir(path, create_parents=True)
        except FileExistsError:
            if not exist_ok:
                raise

    async def _rmdir(self, path: str) -> None:
        path = self._strip_protocol(path)
        container, name = Path.of(path)
        if name:
            entry = await self._info(path)
            if entry["type"] != "directory":
                raise NotADirectoryError(path)
            raise OSError(f"directory not empty: {path}")
        await self._run(path, self.api.container_delete, self.account, container)
        self.invalidate_cache(path)

    rmdir = sync_wrapper(_rmdir)

    # --- removal and copies ---

    async def _rm_file(self, path: str, **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        await self._run(path, self._delete, path, **kwargs)
        self.invalidate_cache(path)

    def _delete(self, path: str, **kwargs: Any) -> None:
        container, name = Path.of(path)
        if not self.api.object_delete(self.account, container, name, **kwargs):
            raise FileNotFoundError(path)

    async def _rm(
        self,
        path: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        batch_size: int | None = None,
        **_kwargs: Any,
    ) -> None:
        asked = path if isinstance(path, list) else [path]
        found = await self._expand_path(path, recursive=recursive, maxdepth=maxdepth)
        try:
            await self._remove(found, recursive=recursive)
            if recursive and maxdepth is None:
                for one in map(self._strip_protocol, asked):
                    if one and "/" not in one and one in found:
                        await self._run(one, self.api.container_delete, self.account, one)
        finally:
            # Some may be removed though others are not.
            for one in found:
                self.invalidate_cache(one)

    async def _remove(self, found: list[str], *, recursive: bool) -> None:
        """Remove files; directories are gone with them."""
        places = [Path.of(one) for one in found]
        directories = {directory for one in found for directory in parents_of(one)}
        by_container: dict[str, list[str]] = {}
        for one, (container, name) in zip(found, places, strict=True):
            if name and one not in directories:
                by_container.setdefault(container, []).append(name)
            elif not recursive:
                await self._info(one)
                raise IsADirectoryError(one)
        removals = [
            self._run(
                container, self._delete_many, container, names[begin : begin + _DELETED_AT_ONCE], recursive
            )
            for container, names in by_container.items()
            for begin in range(0, len(names), _DELETED_AT_ONCE)
        ]
        for removal in await asyncio.gather(*removals, return_exceptions=True):
            if isinstance(removal, BaseException):
                raise removal

    def _delete_many(self, container: str, names: list[str], recursive: bool) -> None:
        deletions = self.api.object_delete_many_ext(self.account, container, names)
        for deletion in [one for one in deletions if not one["deleted"]]:
            path = f"{container}/{deletion['name']}"
            # Of a directory, nothing may have been found but what is to stay, or what stands for it.
            if not recursive or self._look_at(path)["type"] != "directory":
                raise FileNotFoundError(errno.ENOENT, deletion["error"], path)

    def mv(
        self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **_kwargs: Any
    ) -> None:
        """Move files: copy them, and remove what was copied, if all were.

        :raises ValueError: a directory would get into itself
        """
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if source == target:
            return
        if recursive and f"{target}/".startswith(f"{source}/"):
            raise ValueError(f"{source} cannot be moved into itself: {target}")
        # By then, there may be more, copies too.
        found = self.expand_path(path1, recursive=recursive, maxdepth=maxdepth)
        self.copy(path1, path2, recursive=recursive, maxdepth=maxdepth, on_error="raise")
        try:
            sync(self.loop, self._remove, found, recursive=recursive)
        finally:
            for one in found:
                self.invalidate_cache(one)

    async def _cp_file(self, path1: str, path2: str, onerror: object = None, **kwargs: Any) -> None:
        # `mv` of fsspec before 2025.5 passes `onerror` on.
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if path1 == path2:
            # Who moves a file would remove it then.
            raise shutil.SameFileError(f"{path1} cannot be copied onto itself")
        entry = await self._info(path1)
        if entry["type"] == "directory":
            await self._makedirs(path2, exist_ok=True)
            return
        await self._run(
            path1,
            self.api.object_link,
            self.account,
            *Path.of(path1),
            self.account,
            *Path.of(path2),
            **kwargs,
        )
        self.invalidate_cache(path2)

    # --- data ---

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        path = self._strip_protocol(path)
        return await self._run(path, self._fetch, path, start, end, **kwargs)

    def _fetch(self, path: str, start: int | None, end: int | None, **kwargs: Any) -> bytes:
        """Bytes of a file, counted as in slices."""
        place = _object(path)
        ranges = None
        if start is not None or end is not None:
            if (start or 0) < 0 or (end or 0) < 0:
                size = int(self.api.object_get_properties(self.account, *place)["length"])
                start, end, _ = slice(start, end).indices(size)
            first = start or 0
            if end is not None and end <= first:
                return b""
            ranges = [(first, None if end is None else end - 1)]
        _, stream = self.api.object_fetch(self.account, *place, ranges=ranges, **kwargs)
        with stream:
            return b"".join(stream)

    async def _pipe_file(self, path: str, value: Any, mode: str = "overwrite", **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        await self._run(path, self._store, path, value, mode, **kwargs)
        self.invalidate_cache(path)

    def _store(self, path: str, data: Any, mode: str, **kwargs: Any) -> None:
        """Store an object.

        :param data: bytes, or a binary file
        :param mode: ``"create"`` refuses to replace one
        """
        place = _object(path)
        if mode != "create":
            self.api.object_create(self.account, place.container, obj_name=place.name, data=data, **kwargs)
            return
        with self.api.object_open(self.account, *place, "xb", **kwargs) as file:
            if isinstance(data, (bytes, bytearray, memoryview)):
                file.write(data)
            else:
                for block in iter(functools.partial(data.read, _BLOCK), b""):
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
        await self._run(path, self._upload, lpath, path, callback, mode, **kwargs)
        self.invalidate_cache(path)

    def _upload(self, lpath: str, path: str, callback: Callback, mode: str, **kwargs: Any) -> None:
        with open(lpath, "rb") as file:
            callback.set_size(os.fstat(file.fileno()).st_size)
            self._store(path, _Watched(file, callback), mode, **kwargs)

    async def _get_file(
        self, rpath: str, lpath: Any, callback: Callback = DEFAULT_CALLBACK, **kwargs: Any
    ) -> None:
        path = self._strip_protocol(rpath)
        if await self._isdir(path):
            os.makedirs(lpath, exist_ok=True)
            return
        await self._run(path, self._download, path, lpath, callback, **kwargs)

    def _download(self, path: str, lpath: Any, callback: Callback, **kwargs: Any) -> None:
        meta, stream = self.api.object_fetch(self.account, *_object(path), **kwargs)
        callback.set_size(int(meta["length"]))
        is_path = isinstance(lpath, (str, bytes, os.PathLike))
        with stream:
            if not is_path:
                _copy(stream, lpath, callback)
                return
            with open(lpath, "wb") as file:
                try:
                    _copy(stream, file, callback)
                except BaseException:  # Half of a file must not be taken for all of it.
                    os.unlink(lpath)
                    raise

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
        :param block_size: bytes that are read ahead, or that wait to be sent
        :param kwargs: also ``cache_type`` of fsspec, and options of :meth:`~oio.ObjectStorageApi.object_open`
        """
        return OioFile(
            self, path, mode, block_size or "default", autocommit, cache_options=cache_options, **kwargs
        )

    # --- more about files ---

    def created(self, path: str) -> datetime:
        """Time at which the object was created."""
        return datetime.fromtimestamp(self._file(path)["created"], timezone.utc)

    def modified(self, path: str) -> datetime:
        """Time at which the object, or its properties, changed."""
        return datetime.fromtimestamp(self._file(path)["mtime"], timezone.utc)

    def checksum(self, path: str) -> int:
        """A number that is another one when the data are others: the checksum of the object."""
        return int(self._file(path)["hash"], 16)

    def ukey(self, path: str) -> str:
        """A text that is another one when the file is another one: checksum and version."""
        entry = self._file(path)
        return f"{entry['hash']}-{entry['version']}"

    def _file(self, path: str) -> _Info:
        entry: _Info = self.info(path)
        if entry["type"] != "file":
            raise IsADirectoryError(path)
        return entry


class _Watched:
    """A file whose reading is told to a callback."""

    def __init__(self, file: Any, callback: Callback) -> None:
        self._file = file
        self._callback = callback

    def read(self, size: int = -1) -> bytes:
        block: bytes = self._file.read(size)
        self._callback.relative_update(len(block))
        return block


def _copy(blocks: Iterable[bytes], file: Any, callback: Callback) -> None:
    for block in blocks:
        file.write(block)
        callback.relative_update(len(block))


def _directory(path: str) -> _Info:
    return {"name": path, "type": "directory", "size": 0}


def _directories(path: str, root: str) -> Iterable[str]:
    """The directories that a path is in, below a root."""
    for directory in parents_of(path):
        if len(directory) <= len(root):
            return
        yield directory


def _object(path: str) -> Path:
    place = Path.of(path)
    if not place.name:
        raise IsADirectoryError(path)
    return place


def _required(name: str, value: str | None, variable: str) -> str:
    found = value or os.environ.get(variable)
    if not found:
        raise ValueError(f"{name} is required, as an option or by {variable}: {value!r}")
    return found
