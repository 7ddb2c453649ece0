# SPDX-License-Identifier: Apache-2.0
"""Entries of trees: files of a directory, objects of a container, and the merge of both."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from oio.common.checksums import Checksum, checksum_of_object
from oio.transfer._names import is_temporary_name
from oio.transfer._results import NameRefused

if TYPE_CHECKING:
    from oio import ObjectStorageApi
    from oio.common.answers import JsonMapping
    from oio.transfer._config import Compare, Remote

MTIME = "file-mtime"
"""Property of an object: time of the last change of its file, in seconds since 1970 with nine decimals."""

_TIME = re.compile(r"(-?)([0-9]{1,11})(?:\.([0-9]{1,9}))?")
_SECOND = 10**9
_BLOCK = 1 << 20
_BROKEN = "broken symbolic link"


def time_text(nanoseconds: int) -> str:
    """A time as the property :data:`MTIME` has it.

    >>> time_text(1_500_000_000_250_000_000), time_text(-1)
    ('1500000000.250000000', '-0.000000001')
    """
    seconds, rest = divmod(abs(nanoseconds), _SECOND)
    return f"{'-' if nanoseconds < 0 else ''}{seconds}.{rest:09}"


def time_of(text: object) -> int | None:
    """Nanoseconds since 1970 of a property; None if it is not a time.

    >>> time_of("1500000000.25"), time_of("yesterday")
    (1500000000250000000, None)
    """
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    sign, seconds, decimals = found.groups(default="")
    value = int(seconds) * _SECOND + int(decimals.ljust(9, "0") or 0)
    return -value if sign else value


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A regular file below a directory.

    :param name: its path from there
    :param path: where to open it
    """

    name: str
    path: str
    size: int
    mtime: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry of a directory that is not uploaded.

    :param error: why it cannot be; None when it is left out on purpose, for the `reason` given
    """

    name: str
    path: str
    reason: str = ""
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """An object.

    :param name: without the prefix
    :param mtime: of the file that was uploaded, else of the object, in nanoseconds since 1970
    """

    name: str
    size: int
    mtime: int
    hash: str
    chunk_method: str
    id: str

    @classmethod
    def of(cls, described: JsonMapping, prefix: str = "") -> RemoteObject:
        """Make one of a description, or of an item of a listing."""
        known = time_of((described.get("properties") or {}).get(MTIME))
        return cls(
            name=described["name"][len(prefix) :],
            size=int(described["size"]),
            mtime=int(described["mtime"]) * _SECOND if known is None else known,
            hash=described["hash"] or "",
            chunk_method=described["chunk_method"],
            id=described["id"],
        )

    def checksum(self) -> Checksum | None:
        """A new checksum of the algorithm of the object; None when that is not known."""
        return checksum_of_object(self.hash, self.chunk_method)


def is_same(size: int, mtime: int, fd: int | None, obj: RemoteObject, compare: Compare) -> bool:
    """Whether a file and an object are the same.

    :param fd: the file, whose position does not move; with None, nothing is read, and checksums differ
    """
    if size != obj.size:
        return False
    if compare == "size+mtime":
        return mtime == obj.mtime
    checksum = obj.checksum()
    if checksum is None or fd is None:
        return False
    offset = 0
    while block := os.pread(fd, _BLOCK, offset):
        checksum.update(block)
        offset += len(block)
    return offset == size and checksum.hexdigest().lower() == obj.hash.lower()


# --- objects ---


def objects(api: ObjectStorageApi, remote: Remote, deadline: float | None) -> Iterator[RemoteObject]:
    """The objects of a container whose names have a prefix, in the order of their bytes."""
    found = api.object_list_all(
        remote.account, remote.container, prefix=remote.prefix or None, properties=True, deadline=deadline
    )
    for item in found:
        yield RemoteObject.of(item, remote.prefix)


# --- files ---


def walk(root: str, *, follow: bool) -> Iterator[LocalFile | Skipped]:
    """The files below a directory, in the order of the bytes of their paths.

    Only the names in the current directory, and in those above it, are in memory.

    :param follow: follow symbolic links
    :raises OSError: the directory itself cannot be read
    """
    here = os.fsencode(root)
    try:
        levels = [_Level(here, b"", _scan(here, follow=follow))]
    except OSError as err:
        # Not as bytes.
        err.filename = root
        raise
    while levels:
        level = levels[-1]
        if not level.waiting:
            levels.pop()
            continue
        name, kind = level.waiting.pop()
        path, raw = os.path.join(level.path, name), level.prefix + name
        try:
            known = raw.decode("utf-8")
        except UnicodeDecodeError:
            shown = os.fsdecode(raw)
            error = NameRefused(f"the name of {os.fsdecode(path)!r} is no UTF-8, as those of objects are")
            yield Skipped(shown, os.fsdecode(path), error=error)
            continue
        if kind is None:
            found = _look(known, path, follow=follow)
            if found is not None:
                yield found
        elif kind:
            yield Skipped(known, os.fsdecode(path), reason=kind)
        elif any(_is_same_directory(path, above.path) for above in levels if follow):
            yield Skipped(known, os.fsdecode(path), reason="symbolic link to a directory that it is in")
        else:
            try:
                levels.append(_Level(path, raw + b"/", _scan(path, follow=follow)))
            except OSError as err:
                yield Skipped(known, os.fsdecode(path), error=err)


@dataclass(slots=True)
class _Level:
    """A directory that a walk is in; `waiting` are its names, the next one last, with their kinds."""

    path: bytes
    prefix: bytes
    waiting: list[tuple[bytes, str | None]]


def _scan(path: bytes, *, follow: bool) -> list[tuple[bytes, str | None]]:
    """Names in a directory, the last one first, and their kinds: None for files, an empty text for
    directories, else the reason to leave them out.
    """
    found = []
    with os.scandir(path) as entries:
        for entry in entries:
            if is_temporary_name(os.fsdecode(entry.name)):
                continue
            kind = _kind(entry, follow=follow)
            # The files in a directory have its name and a slash, by which they come among the others.
            found.append((entry.name + b"/" if kind == "" else entry.name, entry.name, kind))
    found.sort(reverse=True)
    return [(name, kind) for _, name, kind in found]


def _kind(entry: os.DirEntry[bytes], *, follow: bool) -> str | None:
    if entry.is_symlink() and not follow:
        return "symbolic link"
    try:
        if entry.is_dir():
            return ""
        if entry.is_file():
            return None
    except OSError:
        # Only links lead to such errors, which a look at the file will tell.
        return None
    return _BROKEN if entry.is_symlink() and not os.path.exists(entry.path) else "special file"


def _look(name: str, path: bytes, *, follow: bool) -> LocalFile | Skipped | None:
    """Describe a file; None when it has vanished."""
    shown = os.fsdecode(path)
    try:
        known = os.stat(path, follow_symlinks=follow)
    except FileNotFoundError:
        return None
    except OSError as err:
        if err.errno in {errno.ELOOP, errno.ENOTDIR}:
            return Skipped(name, shown, reason=_BROKEN)
        return Skipped(name, shown, error=err)
    if not stat.S_ISREG(known.st_mode):
        return Skipped(name, shown, reason="special file")
    return LocalFile(name, shown, known.st_size, known.st_mtime_ns)


def _is_same_directory(one: bytes, other: bytes) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


# --- both ---


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_L = TypeVar("_L", bound=_Named)
_R = TypeVar("_R", bound=_Named)


def merge(left: Iterator[_L], right: Iterator[_R]) -> Iterator[tuple[_L | None, _R | None]]:
    """Pairs of the items of the same name, or one item and None, of two iterators in the order of names."""
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        first, second = _key(one), _key(other)
        if other is None or (one is not None and first < second):
            yield one, None
            one = next(left, None)
        elif one is None or second < first:
            yield None, other
            other = next(right, None)
        else:
            yield one, other
            one, other = next(left, None), next(right, None)


def name_of(one: _Named | None, other: _Named | None) -> str:
    """The name of a pair that :func:`merge` gives."""
    named = one or other
    assert named is not None
    return named.name


def _key(item: _Named | None) -> bytes:
    return b"" if item is None else item.name.encode("utf-8", "surrogateescape")
