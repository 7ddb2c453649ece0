# SPDX-License-Identifier: Apache-2.0
"""Paths, descriptions and listings of the filesystem of fsspec."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from fsspec.asyn import AsyncFileSystem

from oio import ObjectStorageApi
from oio.common import exceptions as exc
from oio.fs.errors import as_os_errors
from oio.fs.paths import Path, parents_of

if TYPE_CHECKING:
    from oio.api.types import ClientOptions

_T = TypeVar("_T")
Info: TypeAlias = dict[str, Any]
"""Description of a file or a directory, as fsspec has it."""
Keywords: TypeAlias = dict[str, Any]
"""Keywords of an operation of fsspec that a call of the API takes."""


class Listings(AsyncFileSystem):  # type: ignore[misc]
    """A filesystem that finds and describes files: the base of :class:`~oio.fs.OioFileSystem`."""

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
        client_options: ClientOptions | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.namespace = _required("namespace", namespace, "OIO_NS")
        self.account = _required("account", account, "OIO_ACCOUNT")
        self.endpoint = endpoint or os.environ.get("OIO_PROXYD_URL")
        if not isinstance(workers, int) or workers < 1:
            raise ValueError(f"workers must be 1 or more: {workers!r}")
        self._workers = workers
        if endpoint and client_options and "endpoint" in client_options:
            raise ValueError(f"endpoint is given twice: {endpoint!r}, and in client_options")
        self._client_options: ClientOptions = {"endpoint": self.endpoint} if self.endpoint else {}
        self._client_options.update(client_options or {})

    @functools.cached_property
    def api(self) -> ObjectStorageApi:
        """The client."""
        return ObjectStorageApi(self.namespace, **self._client_options)

    @functools.cached_property
    def _executor(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._workers, "oio-fs")

    def close(self) -> None:
        """End the threads, and close idle connections. Later calls open new ones."""
        if (executor := self.__dict__.pop("_executor", None)) is not None:
            executor.shutdown()
        if (api := self.__dict__.pop("api", None)) is not None:
            api.close()

    async def _run(self, path: str, call: Callable[[], _T]) -> _T:
        """Make a call of the client in a thread.

        :param path: of an exception
        """
        with as_os_errors(path):
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    # --- paths ---

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return os.fspath(path).removeprefix("oio://").lstrip("/").rstrip("/")

    @property
    def fsid(self) -> str:
        """Identity of the storage: the same for all instances on one account."""
        return f"oio-{self.namespace}-{self.account}"

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget the cached listings of a path and of its parents, or all of them."""
        if path is None:
            self.dircache.clear()
        else:
            path = self._strip_protocol(path)
            for directory in [path, *parents_of(path)]:
                self.dircache.pop(directory, None)
        super().invalidate_cache(path)

    # --- descriptions ---

    def _describe_version(self, path: str, meta: Mapping[str, Any]) -> Info:
        """Description of an object that was asked for by name."""
        return _file(path, meta) | {"properties": dict(meta.get("properties") or {})}

    async def _info(self, path: str, **_kwargs: Any) -> Info:
        path = self._strip_protocol(path)
        if (known := self._known(path)) is not None:
            return known
        return await self._run(path, lambda: self._look_at(path))

    async def _isdir(self, path: str) -> bool:
        path = self._strip_protocol(path)
        known = self._known(path)
        if known is not None and known["type"] != "directory":
            return False
        # That of a directory may be old. A copy skips what is a directory, so the file would be missed.
        try:
            entry = await self._run(path, lambda: self._look_at(path))
        except OSError:
            return False
        return bool(entry["type"] == "directory")

    def _known(self, path: str) -> Info | None:
        """Description of a path in a cached listing."""
        for directory in parents_of(path)[:1]:
            for entry in self.dircache.get(directory) or ():
                if entry["name"] == path:
                    return dict(entry)
        return None

    def _look_at(self, path: str) -> Info:
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
        entries: list[Info] | None = None if refresh else self.dircache.get(path)
        if entries is None:
            entries = await self._run(path, lambda: self._list(path))
        return list(entries) if detail else sorted(entry["name"] for entry in entries)

    def _list(self, path: str) -> list[Info]:
        container, name = Path.of(path)
        if not container:
            try:
                entries = [_directory(row[0]) for row in self.api.container_list_all(self.account)]
            except exc.NoSuchAccount:
                # The first container creates it.
                entries = []
        else:
            entries = self._level(path)
            if not entries and name and (itself := self._look_at(path))["type"] == "file":
                return [itself]
        self.dircache[path] = entries
        return entries

    def _level(self, path: str, stem: str = "") -> list[Info]:
        """Entries of one directory.

        :param stem: beginning of their names
        """
        place = Path.of(path)
        entries = []
        for listed in self.api.object_list_all(
            self.account, place.container, prefix=place.prefix + stem, delimiter="/"
        ):
            name = listed["prefix"].removesuffix("/") if "prefix" in listed else listed["name"]
            # Other programs make objects whose names end with a slash, to stand for directories. Names with
            # two slashes in a row are not reached step by step.
            if not name.endswith("/") and name != "":
                entry = f"{place.container}/{name}"
                entries.append(_directory(entry) if "prefix" in listed else _file(entry, listed))
        return entries

    async def _find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, **kwargs: Any
    ) -> Any:
        path = self._strip_protocol(path)
        detail = kwargs.pop("detail", False)
        stem = kwargs.pop("prefix", "")
        try:
            if maxdepth == 1 and path and stem:
                # A glob: other names need not be listed.
                entries = await self._run(path, lambda: self._level(path, stem))
                found = {entry["name"]: entry for entry in entries if withdirs or entry["type"] == "file"}
            elif maxdepth is not None or not path:
                found = await super()._find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **kwargs)
                beginning = f"{path}/{stem}" if path and stem else stem
                found = {name: entry for name, entry in found.items() if name.startswith(beginning)}
            else:
                found = await self._run(path, lambda: self._find_below(path, withdirs, stem))
        except FileNotFoundError:
            found = {}
        return found if detail else sorted(found)

    def _find_below(self, path: str, withdirs: bool, stem: str) -> dict[str, Info]:
        """All files of a tree, by one listing.

        :param stem: beginning of their paths in the tree
        """
        container, name = place = Path.of(path)
        found: dict[str, Info] = {}
        directories: set[str] = set()
        is_directory = not name
        for listed in self.api.object_list_all(self.account, container, prefix=place.prefix + stem):
            is_directory = True
            entry = f"{container}/{listed['name']}"
            directories.update(_directories(entry, path))
            if not entry.endswith("/"):
                found[entry] = _file(entry, listed)
        if withdirs:
            found |= {directory: _directory(directory) for directory in directories}
            if is_directory and not stem:
                found[path] = _directory(path)
        if not found and name:
            with contextlib.suppress(exc.NoSuchObject):
                found[path] = self._describe_version(
                    path, self.api.object_get_properties(self.account, container, name)
                )
        return dict(sorted(found.items()))

    @contextlib.contextmanager
    def _about_file(self, path: str) -> Iterator[None]:
        """Tell a directory from a missing file.

        :raises IsADirectoryError: the path is that of a directory
        """
        try:
            yield
        except (exc.NoSuchObject, exc.NotFound, FileNotFoundError):
            kind = None
            with contextlib.suppress(exc.OioException):
                kind = self._look_at(path)["type"]
            if kind == "directory":
                raise error(IsADirectoryError, errno.EISDIR, path) from None
            raise


def _directory(path: str) -> Info:
    return {"name": path, "type": "directory", "size": 0}


def _file(path: str, described: Mapping[str, Any]) -> Info:
    return {
        "name": path,
        "type": "file",
        "size": int(described["size"]),
        "created": int(described["ctime"]),
        "mtime": int(described["mtime"] if described.get("mtime") else described["ctime"]),
        "hash": described["hash"],
        "version": str(described["version"]),
        "mime_type": described.get("mime_type"),
        "policy": described.get("policy"),
    }


def _directories(path: str, root: str) -> Iterable[str]:
    """Directories that a path is in, below a root."""
    for directory in parents_of(path):
        if len(directory) <= len(root):
            return
        yield directory


def _required(name: str, value: str | None, variable: str) -> str:
    found = value or os.environ.get(variable)
    if not found:
        raise ValueError(f"{name} is required, as an option or by {variable}: {value!r}")
    return found


def error(kind: type[OSError], number: int, path: str) -> OSError:
    """Exception about a path."""
    return kind(number, os.strerror(number), path)


def object_at(path: str) -> Path:
    """Container and name of an object.

    :raises IsADirectoryError: the path is that of a container, or of the root
    """
    place = Path.of(path)
    if not place.name:
        raise error(IsADirectoryError, errno.EISDIR, path)
    return place
