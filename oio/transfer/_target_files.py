# SPDX-License-Identifier: Apache-2.0
"""Target files of downloads, below a directory that they cannot leave, and partial files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from oio.transfer._names import temporary_names
from oio.transfer._results import FileRefused, NameRefused

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PERMISSIONS = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO
_IN_THE_WAY = (errno.ELOOP, errno.ENOTDIR, errno.EEXIST)


def is_special(path: str) -> bool:
    """Whether a path is a pipe, a device or a descriptor, which is written to, and not replaced."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or _is_descriptor(path)


def _is_descriptor(path: str) -> bool:
    """Whether links lead to an open file, as from ``/dev/stdout``."""
    while os.path.islink(path):
        directory = os.path.realpath(os.path.dirname(path))
        if directory.startswith("/proc/"):
            return True
        path = os.path.join(directory, os.readlink(path))
    return False


def followed(path: str) -> str:
    """The path that a link leads to, unless that is an open file."""
    return os.path.realpath(path) if os.path.islink(path) and not is_special(path) else path


@dataclass(frozen=True, slots=True)
class TargetFile:
    """Path of the file of an object, which may not exist yet.

    :param root: directory that the path cannot leave
    :param parts: of the path from there, the name of the file last
    """

    root: str
    parts: tuple[bytes, ...]

    @property
    def path(self) -> str:
        """The path as text, for messages."""
        return self._path(self.parts)

    def _path(self, parts: tuple[bytes, ...]) -> str:
        return os.path.join(self.root, *map(os.fsdecode, parts))

    @contextlib.contextmanager
    def directory(self, *, create: bool) -> Iterator[int | None]:
        """Open the directory of the file, without following any link below the root.

        :param create: make missing directories
        :returns: its descriptor; None when it is missing
        :raises NameRefused: something other than a directory is in the way
        """
        if create:
            # Opened as a directory, a file that is there is told better than as one that exists.
            with contextlib.suppress(FileExistsError):
                os.makedirs(self.root, exist_ok=True)
        fd: int | None = None
        try:
            try:
                fd = os.open(self.root, _DIRECTORY)
                for depth, part in enumerate(self.parts[:-1]):
                    below = self._step(fd, part, self.parts[: depth + 1], create=create)
                    os.close(fd)
                    fd = below
            except FileNotFoundError:
                if create:
                    raise
                if fd is not None:
                    os.close(fd)
                fd = None
            yield fd
        finally:
            if fd is not None:
                os.close(fd)

    def _step(self, fd: int, part: bytes, way: tuple[bytes, ...], *, create: bool) -> int:
        try:
            try:
                return os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            except FileNotFoundError:
                if not create:
                    raise
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=fd)
            return os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        except OSError as err:
            if err.errno not in _IN_THE_WAY:
                raise
            raise NameRefused(
                f"{self._path(way)!r} is in the way of {self.path!r}: it is no directory, or a symbolic link"
            ) from err

    def look(self, fd: int | None) -> os.stat_result | None:
        """Describe the file; None when there is none.

        :param fd: its directory
        :raises FileRefused: it is a directory
        """
        if fd is None:
            return None
        try:
            known = os.stat(self.parts[-1], dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(known.st_mode):
            raise FileRefused(f"{self.path!r} is a directory, which no object can replace")
        return known

    def remove(self) -> None:
        """Remove the file, and the directories below the root that this leaves empty."""
        for depth in range(len(self.parts), 0, -1):
            target = TargetFile(self.root, self.parts[:depth])
            with target.directory(create=False) as fd:
                if fd is None:
                    return
                try:
                    if depth == len(self.parts):
                        os.unlink(self.parts[-1], dir_fd=fd)
                    else:
                        os.rmdir(self.parts[depth - 1], dir_fd=fd)
                except FileNotFoundError:
                    continue
                except OSError:
                    if depth == len(self.parts):
                        raise
                    return


class PartialFile:
    """File that a download is written into, in the directory of the final one: ``.oio-*.part``.

    Beside it, ``.oio-*.journal`` tells the object that it is of, and the parts that are there.

    :param target: the final file
    :param directory: descriptor of its directory
    :param identity: account, container and name of the object
    :raises FileRefused: another download, of this process or not, is writing it
    """

    def __init__(self, target: TargetFile, directory: int, *identity: str) -> None:
        self._target = target
        self._directory = directory
        self._name, self._journal_name = temporary_names(target.parts[-1], *identity)
        self._journal = -1
        #: Whether another download may go on from parts that are there.
        self.has_parts = True
        self.fd = self._open()
        mode = self._replaced_mode()
        if mode is not None:
            # Users who may not read the old file may not read the new one meanwhile.
            os.fchmod(self.fd, mode | stat.S_IRUSR | stat.S_IWUSR)

    def _replaced_mode(self) -> int | None:
        """Permissions of the file that is replaced; None when there is none."""
        try:
            known = os.stat(self._target.parts[-1], dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return known.st_mode & _PERMISSIONS if stat.S_ISREG(known.st_mode) else None

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            fd = os.open(self._name, flags, 0o666, dir_fd=self._directory)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                known = os.fstat(fd)
                with contextlib.suppress(FileNotFoundError):
                    named = os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
                    if (named.st_dev, named.st_ino) == (known.st_dev, known.st_ino):
                        return fd
                # The transfer that had the lock has finished meanwhile: this is the final file now.
                os.close(fd)
            except BlockingIOError as err:
                os.close(fd)
                raise FileRefused(f"another transfer is downloading {self._target.path!r}") from err
            except BaseException:  # Nobody else has the descriptor yet.
                os.close(fd)
                raise

    def restart(self) -> None:
        """Empty the file, and forget its parts."""
        if self._journal >= 0:
            os.close(self._journal)
            self._journal = -1
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._journal_name, dir_fd=self._directory)
        os.ftruncate(self.fd, 0)
        self.has_parts = False

    def resume(self, header: dict[str, object], size: int) -> set[int]:
        """Go on with the parts that are there already; begin anew if they are not of the same object.

        :param header: identity of the object
        :param size: bytes of the object
        :returns: numbers of the parts
        """
        found = self._read_journal(header) if os.fstat(self.fd).st_size == size else None
        if found is None:
            self.restart()
            os.ftruncate(self.fd, size)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._journal = os.open(self._journal_name, flags, 0o666, dir_fd=self._directory)
        if found is None:
            self._append(json.dumps(header, sort_keys=True).encode())
        else:
            self.has_parts = bool(found)
        return found or set()

    def _append(self, line: bytes) -> None:
        if os.write(self._journal, line) < len(line):
            # The rest cannot follow: another thread may have begun a line meanwhile.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._target.path)

    def _read_journal(self, header: dict[str, object]) -> set[int] | None:
        try:
            fd = os.open(
                self._journal_name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory
            )
        except OSError:
            return None
        with os.fdopen(fd, "rb") as file:
            try:
                if json.loads(file.readline()) != header:
                    return None
            except ValueError:
                return None
            lines = file.readlines()
        return {int(line[:-2]) for line in lines if line.endswith(b".\n") and line[:-2].isdigit()}

    def note(self, number: int) -> None:
        """Note that a part is there."""
        # A line that a kill or a full disk has cut short has no dot, so it is not taken for another number;
        # nor does it become one with the next.
        self._append(b"\n%d.\n" % number)
        self.has_parts = True

    def write(self, data: bytes, offset: int) -> None:
        """Write data at an offset, all of them."""
        view = memoryview(data)
        while view:
            count = os.pwrite(self.fd, view, offset)
            view, offset = view[count:], offset + count

    def finish(self, mtime: int, *, sync: bool) -> None:
        """Give the file its final name."""
        os.utime(self.fd, ns=(mtime, mtime))
        mode = self._replaced_mode()
        if mode is not None:
            os.fchmod(self.fd, mode)
        if sync:
            os.fsync(self.fd)
        os.rename(
            self._name,
            self._target.parts[-1],
            src_dir_fd=self._directory,
            dst_dir_fd=self._directory,
        )
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._journal_name, dir_fd=self._directory)
        if sync:
            os.fsync(self._directory)

    def discard(self) -> None:
        """Remove the file and the journal."""
        for name in (self._journal_name, self._name):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._directory)

    def close(self) -> None:
        """Close the descriptors; the files stay as they are."""
        for fd in (self.fd, self._journal):
            if fd >= 0:
                os.close(fd)
        self.fd = self._journal = -1
