# SPDX-License-Identifier: Apache-2.0
"""Upload of one file."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from oio.common import exceptions as exc
from oio.common.rereading import Rereadable
from oio.transfer._config import Remote
from oio.transfer._entries import MTIME, RemoteObject, is_same, time_text
from oio.transfer._results import FileChanged, FileRefused, Result
from oio.transfer._session import ByteCount, Session

_LARGEST_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    """Upload of one file.

    :param name: of the object, with the prefix
    :param known: the object at the target, None if there is none
    :param asks: nobody has looked yet whether there is one
    :param follow: follow a symbolic link
    """

    session: Session
    path: str
    remote: Remote
    name: str
    known: RemoteObject | None = None
    asks: bool = False
    follow: bool = False

    def run(self) -> Result:
        """Upload it unless it is there."""
        return self.session.guarded(Result("upload", self.name, self.path, "done"), self._run)

    def _run(self, result: Result) -> Result:
        # To open a pipe would wait for its other end.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if self.follow else os.O_NOFOLLOW)
        fd = os.open(self.path, flags)
        try:
            known = os.fstat(fd)
            if not stat.S_ISREG(known.st_mode):
                raise FileRefused(f"{self.path!r} is no regular file")
            result = replace(result, size=known.st_size)
            reason = self._reason_to_skip(fd, known)
            if reason:
                return replace(result, outcome="skipped", reason=reason)
            if self.session.dry_run:
                return replace(result, outcome="planned")
            self.session.pool.count(found=known.st_size)
            size = store(self.session, self.remote, self.name, partial(self._upload, fd))
            return replace(result, size=size)
        finally:
            os.close(fd)

    def _reason_to_skip(self, fd: int, known: os.stat_result) -> str:
        config = self.session.config
        if config.overwrite == "always":
            return ""
        session, there = self.session, self.known
        if self.asks:
            there = session.attempt(lambda: look(session, self.remote, self.name))
        if there is None:
            return ""
        if config.overwrite == "never":
            return "exists"
        same = is_same(known.st_size, known.st_mtime_ns, fd, there, config.compare)
        return "same" if same else ""

    def _upload(self, fd: int, content_id: str) -> int:
        known = os.fstat(fd)
        with ByteCount(self.session) as moved:
            _, size, _, _ = self.session.api.object_create_ext(
                self.remote.account,
                self.remote.container,
                data=_Source(self.session, fd, known, self.path, moved),
                obj_name=self.name,
                size=known.st_size,
                policy=self.session.config.policy,
                properties={MTIME: time_text(known.st_mtime_ns)},
                content_id=content_id,
                deadline=self.session.deadline,
            )
        return size


def store(session: Session, remote: Remote, name: str, attempt: Callable[[str], int]) -> int:
    """Store an object, with retries; returns its size (bytes).

    :param attempt: stores it once, with the content ID given; returns the size
    """
    # An attempt may succeed though its answer is lost. With the same ID each time, the next one fails then,
    # and the object is recognised.
    content_id = secrets.token_hex(16).upper()
    failed: list[bool] = []

    def once() -> int:
        there = look(session, remote, name) if failed else None
        if there is not None and there.id.upper() == content_id:
            return there.size
        failed.append(True)
        return attempt(content_id)

    return session.attempt(once)


def look(session: Session, remote: Remote, name: str) -> RemoteObject | None:
    """Describe an object; None when there is none."""
    try:
        meta = session.api.object_get_properties(
            remote.account, remote.container, name, deadline=session.deadline
        )
    except (exc.NoSuchObject, exc.NoSuchContainer, exc.NotFound):
        return None
    if str(meta.get("deleted")).lower() == "true":
        return None
    return RemoteObject.of(meta)


class _Source(Rereadable):
    """The bytes of a file, which must not change meanwhile."""

    def __init__(self, session: Session, fd: int, known: os.stat_result, path: str, moved: ByteCount) -> None:
        self._session = session
        self._fd = fd
        self._known = known
        self._path = path
        self._moved = moved
        self._offset = 0

    def read(self, size: int = -1) -> bytes:
        """Read a block; nothing at the end."""
        self._session.pool.check()
        wanted = _LARGEST_BLOCK if size < 0 else min(size, _LARGEST_BLOCK)
        block = os.pread(self._fd, self._session.rate_limiter.block_size(wanted), self._offset)
        self._offset += len(block)
        if not block or self._offset >= self._known.st_size:
            # The commit needs the last block, so this comes before it.
            self._check_unchanged()
        self._moved.add(len(block))
        return block

    def tell(self) -> int:
        """Bytes that were read."""
        return self._offset

    def read_at(self, position: int, size: int) -> bytes:
        """Read bytes again, which count no more."""
        block = os.pread(self._fd, size, position)
        self._check_unchanged()
        return block

    def _check_unchanged(self) -> None:
        now, known = os.fstat(self._fd), self._known
        if (now.st_size, now.st_mtime_ns) != (known.st_size, known.st_mtime_ns):
            raise FileChanged(f"{self._path!r} was changed while it was read")
