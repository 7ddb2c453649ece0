# SPDX-License-Identifier: Apache-2.0
"""Directories, removal, copies and moves in the filesystem of fsspec."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shutil
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from fsspec.asyn import _run_coros_in_chunks, sync_wrapper

from oio.common import exceptions as exc
from oio.fs.listings import Keywords, Listings, error, object_at
from oio.fs.paths import Path, parents_of

_DELETED_AT_ONCE = 1000


class Trees(Listings):
    """A filesystem that makes, removes, copies and moves files and directories.

    It is the base of :class:`~oio.fs.OioFileSystem`.
    """

    # --- directories ---

    async def _mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        container, name = Path.of(path)
        if name and await self._exists(path):
            raise error(FileExistsError, errno.EEXIST, path)
        if name and not create_parents:
            await self._info(container)
        elif container and not await self._make_container(container, kwargs) and not name:
            raise error(FileExistsError, errno.EEXIST, path)

    async def _make_container(self, container: str, options: Keywords) -> bool:
        created = await self._run(
            container, lambda: self.api.container_create(self.account, container, **options)
        )
        self.invalidate_cache(container)
        return created

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        if not exist_ok:
            await self._mkdir(path, create_parents=True)
        elif container := Path.of(self._strip_protocol(path)).container:
            await self._make_container(container, {})

    async def _rmdir(self, path: str) -> None:
        path = self._strip_protocol(path)
        container, name = Path.of(path)
        if not name:
            await self._run(path, lambda: self.api.container_delete(self.account, container))
        elif (await self._info(path))["type"] == "directory":
            await self._run(path, lambda: self._remove_marker(path))
        else:
            raise NotADirectoryError(path)
        self.invalidate_cache(path)

    rmdir = sync_wrapper(_rmdir)

    def _remove_marker(self, path: str) -> None:
        """Remove a directory that holds nothing but its marker, the object that stands for it."""
        place = Path.of(path)
        listed = self.api.object_list(self.account, place.container, prefix=place.prefix, limit=2)
        # An object that holds data is more than a marker.
        if [(obj["name"], obj["size"]) for obj in listed["objects"]] != [(place.prefix, 0)]:
            raise error(OSError, errno.ENOTEMPTY, path)
        self.api.object_delete(self.account, place.container, place.prefix)

    def _remove_markers(self, path: str, empty: bool) -> None:
        """Remove the markers of a directory, and of those below it.

        :param empty: leave objects of such names that hold data, of which a move has no copies
        """
        place = Path.of(path)
        listed = self.api.object_list_all(self.account, place.container, prefix=place.prefix)
        names = [
            obj["name"] for obj in listed if obj["name"].endswith("/") and (obj["size"] == 0 or not empty)
        ]
        for batch in _batches(names):
            self.api.object_delete_many_ext(self.account, place.container, batch)

    # --- removal and copies ---

    async def _rm_file(self, path: str, **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        await self._run(path, lambda: self._delete(path, kwargs))
        self.invalidate_cache(path)

    def _delete(self, path: str, options: Keywords) -> None:
        place = object_at(path)
        with self._about_file(path):
            if not self.api.object_delete(self.account, *place, **options):
                raise error(FileNotFoundError, errno.ENOENT, path)

    async def _rm(
        self,
        path: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        batch_size: int | None = None,
        **_kwargs: Any,
    ) -> None:
        asked = path if isinstance(path, list) else [path]
        if recursive and "" in map(self._strip_protocol, asked):
            raise ValueError("the root cannot be removed: name its containers")
        found = await self._expand_path(path, recursive=recursive, maxdepth=maxdepth)
        try:
            await self._remove(found, recursive=recursive, whole=maxdepth is None)
            if recursive and maxdepth is None:
                for one in map(self._strip_protocol, asked):
                    if one and "/" not in one and one in found:
                        await self._run(one, partial(self.api.container_delete, self.account, one))
        finally:
            # Some may be gone though others could not be removed.
            for one in found:
                self.invalidate_cache(one)

    async def _remove(self, found: list[str], *, recursive: bool, whole: bool) -> None:
        """Remove files; their directories are gone with them.

        :param recursive: there may be directories among them
        :param whole: all files in these are among them too
        """
        directories = {directory for one in found for directory in parents_of(one)}
        by_container: dict[str, list[str]] = {}
        for one in found:
            container, name = Path.of(one)
            if name:
                # Directories too: there may be a file of the same name, which only its deletion tells.
                by_container.setdefault(container, []).append(name)
            elif not recursive:
                await self._info(one)
                raise error(IsADirectoryError, errno.EISDIR, one)
        removals = [
            self._run(
                container,
                partial(self._delete_many, container, batch, directories if recursive else None),
            )
            for container, names in by_container.items()
            for batch in _batches(names)
        ]
        for removal in await asyncio.gather(*removals, return_exceptions=True):
            if isinstance(removal, BaseException):
                raise removal
        if recursive and whole:
            await self._remove_markers_below(found, empty=False)

    async def _remove_markers_below(self, found: list[str], *, empty: bool) -> None:
        # Of files too: there may be a directory of the same name, which only its marker tells.
        among = set(found)
        roots = [one for one in found if one and among.isdisjoint(parents_of(one))]
        await asyncio.gather(*(self._run(one, partial(self._remove_markers, one, empty)) for one in roots))

    def _delete_many(self, container: str, names: list[str], known: set[str] | None) -> None:
        """Delete objects.

        :param known: directories that are gone with their files; None when directories must not be removed
        """
        deletions = self.api.object_delete_many_ext(self.account, container, names)
        for deletion in [one for one in deletions if not one["deleted"]]:
            path = f"{container}/{deletion['name']}"
            if known is not None and path in known:
                continue
            # A directory may have nothing to delete but its marker, or files too deep below it.
            kind = None
            with contextlib.suppress(exc.NoSuchObject, exc.NotFound):
                kind = self._look_at(path)["type"]
            if kind != "directory":
                raise FileNotFoundError(errno.ENOENT, deletion["error"], path)
            if known is None:
                raise error(IsADirectoryError, errno.EISDIR, path)

    async def _mv(
        self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **_kwargs: Any
    ) -> None:
        """Move files: copy all of them, then remove the originals.

        :raises ValueError: a directory would be moved into itself, or a file to the place of another that is
            moved, or two files to one place; nothing has been done
        :raises IsADirectoryError: a directory would stay, without `recursive`; no original has been removed
        """
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if source == target:
            return
        if recursive and (not source or f"{target}/".startswith(f"{source}/")):
            raise ValueError(f"{source} cannot be moved into itself: {target}")
        # Listings that are kept may be old: what they take for a directory would not be copied.
        self.invalidate_cache()
        pairs: list[tuple[str, str]] = []
        await self._copy(
            path1, path2, recursive=recursive, maxdepth=maxdepth, on_error="raise", planned=pairs
        )
        # Two lists are taken as they are: nothing below them is copied.
        listed = isinstance(path1, list) and isinstance(path2, list)
        found = [one for one, _ in pairs]
        if not listed:
            found = await self._expand_path(path1, recursive=recursive, maxdepth=maxdepth)
        if not recursive:
            _refuse_directories(set(found) - {one for one, _ in pairs})
        await self._check_targets(pairs)
        try:
            moved = await self._copy_pairs(pairs)
            if listed or not recursive:
                covered = {one for path in moved for one in parents_of(path)} if recursive else set()
                _refuse_directories(set(found) - set(moved) - covered)
            await self._remove(moved, recursive=True, whole=False)
            if recursive and maxdepth is None:
                await self._remove_markers_below(found, empty=True)
        finally:
            for one in found:
                self.invalidate_cache(one)

    mv = sync_wrapper(_mv)

    async def _check_targets(self, pairs: list[tuple[str, str]]) -> None:
        """Refuse moves of which one would replace what another one moves."""
        sources = {source for source, _ in pairs}
        targets = Counter(target for _, target in pairs)
        for source, target in pairs:
            if target not in sources and targets[target] == 1:
                continue
            if (await self._run(source, partial(self._look_at, source)))["type"] == "directory":
                # Nothing is written in its place.
                continue
            if source == target:
                raise shutil.SameFileError(f"{source} cannot be moved onto itself")
            why = "is to be moved too" if target in sources else "is the target of another file"
            raise ValueError(f"{source} cannot be moved to {target}, which {why}")

    async def _copy_pairs(self, pairs: list[tuple[str, str]]) -> list[str]:
        """Copy files, all or fail.

        :return: those that were copied. There are copies of nothing else, such as directories
        """
        copies = [self._copy_one(source, target, {}) for source, target in pairs]
        copied = await _run_coros_in_chunks(
            copies, batch_size=self.batch_size, return_exceptions=True, nofiles=True
        )
        for result in copied:
            if isinstance(result, BaseException):
                raise result
        return list(dict.fromkeys(pair[0] for pair, was_file in zip(pairs, copied, strict=True) if was_file))

    async def _cp_file(
        self,
        path1: str,
        path2: str,
        onerror: object = None,
        planned: list[tuple[str, str]] | None = None,
        **kwargs: Any,
    ) -> None:
        # `mv` of fsspec before 2025.5 passes `onerror` on.
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if planned is not None:
            # Only what `_copy` expands its paths to is wanted.
            planned.append((path1, path2))
            return
        await self._copy_one(path1, path2, kwargs)

    async def _copy_one(self, path1: str, path2: str, options: Keywords) -> bool:
        """Copy a file, or make a directory.

        :return: whether it was a file
        """
        if path1 == path2:
            # A move would remove it afterwards.
            raise shutil.SameFileError(f"{path1} cannot be copied onto itself")
        is_file = await self._run(path1, lambda: self._link(path1, path2, options))
        if is_file:
            self.invalidate_cache(path2)
        else:
            await self._makedirs(path2, exist_ok=True)
        return is_file

    def _link(self, path1: str, path2: str, options: Keywords) -> bool:
        """Copy an object.

        :return: False if there is only a directory of its name
        """
        source, target = Path.of(path1), Path.of(path2)
        if source.name:
            try:
                self.api.object_link(self.account, *source, self.account, *target, **options)
                return True
            except (exc.NoSuchObject, exc.NotFound):
                if self._look_at(path1)["type"] != "directory":
                    raise
        else:
            self._look_at(path1)
        return False


def _refuse_directories(paths: set[str]) -> None:
    for path in sorted(paths):
        raise error(IsADirectoryError, errno.EISDIR, path)


def _batches(names: list[str]) -> Iterator[list[str]]:
    """Names by requests for their deletion."""
    for begin in range(0, len(names), _DELETED_AT_ONCE):
        yield names[begin : begin + _DELETED_AT_ONCE]
