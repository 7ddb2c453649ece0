# SPDX-License-Identifier: Apache-2.0
"""Uploads to Backblaze B2: files at once, or in parts, each over an upload URL that nobody else uses."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha1 as new_sha1
from typing import IO, Any

from oio.b2.errors import BackblazeException, Secret, is_transient
from oio.b2.retry import Attempts
from oio.b2.session import BLOCK_SIZE, B2Session, FileBody, Limits
from oio.common import exceptions as exc
from oio.common import green
from oio.common.answers import reading_answer
from oio.common.limits import reading_source

_IN_MEMORY = 1024 * 1024
"""Bytes of a part that are kept in memory; more go to a temporary file."""


# --- what is sent ------------------------------------------------------------------------------------


class Source:
    """What a file is made of: read once, and never further than asked.

    :param file: anything with ``read``
    :param size: how many bytes to take (and no less); all that it gives by default
    """

    def __init__(self, file: Any, size: int | None) -> None:
        self._file = file
        self._size = size
        self._ahead = b""
        self.taken = 0

    def read(self, size: int, limits: Limits) -> bytes:
        """Read some bytes, at most ``size``; none at the end.

        :raises SourceReadError: the source fails, or ends before what was promised
        """
        if self._size is not None:
            size = min(size, self._size - self.taken)
        if self._ahead or size <= 0:
            block, self._ahead = self._ahead[:size], self._ahead[size:]
        else:
            block = self._read(size, limits)
        self.taken += len(block)
        return block

    def _read(self, size: int, limits: Limits) -> bytes:
        with reading_source(limits.left("reading the data")):
            block = self._file.read(size) or b""
            if not isinstance(block, (bytes, bytearray, memoryview)):
                raise TypeError(f"data must be bytes, not {type(block).__name__}")
        if not block and self._size is not None:
            raise exc.SourceReadError(f"the data end after {self.taken} bytes of {self._size}")
        return bytes(block)

    def at_end(self, limits: Limits) -> bool:
        """Whether no byte is left."""
        if self._size is not None:
            return self.taken >= self._size
        self._ahead = self._ahead or self._read(1, limits)
        return not self._ahead

    def sha1_of_all(self, known: Any, limits: Limits) -> str | None:
        """SHA-1 of the data, of which those taken so far are known, when they can be read twice.

        :param known: SHA-1 object of what was taken; left as it is
        """
        if not self._can_rewind():
            return None
        digest = known.copy()
        digest.update(self._ahead)
        with reading_source(limits.left("reading the data")):
            before = self._file.tell()
        left = None if self._size is None else self._size - self.taken - len(self._ahead)
        while left is None or left > 0:
            block = self._read(BLOCK_SIZE if left is None else min(left, BLOCK_SIZE), limits)
            if not block:
                break
            digest.update(block)
            left = None if left is None else left - len(block)
            green.eventlet_yield()
        with reading_source(limits.left("reading the data")):
            self._file.seek(before)
        return str(digest.hexdigest())

    def _can_rewind(self) -> bool:
        seekable = getattr(self._file, "seekable", None)
        return bool(seekable is not None and seekable())


class Part:
    """Bytes that can be sent several times.

    :param file: where they are
    :param size: how many
    :param sha1: SHA-1 object of theirs
    """

    def __init__(self, file: IO[bytes], size: int, sha1: Any) -> None:
        self._file = file
        self.size = size
        self.digest = sha1
        self.sha1: str = sha1.hexdigest()

    @classmethod
    def spool(cls, source: Source, limit: int | None, limits: Limits, *digests: Any) -> Part:
        """Put bytes of a source aside: its next ones, ``limit`` at most, or all.

        :param digests: SHA-1 objects to update too
        """
        green.adopt_thread()
        sha1 = new_sha1(usedforsecurity=False)
        size = 0
        file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - its owner closes it
        try:
            while limit is None or size < limit:
                wanted = BLOCK_SIZE if limit is None else min(BLOCK_SIZE, limit - size)
                block = source.read(wanted, limits)
                if not block:
                    break
                for digest in (sha1, *digests):
                    digest.update(block)
                _write(file, block)
                size += len(block)
                green.eventlet_yield()
        except BaseException:  # Nobody else has the file yet.
            file.close()
            raise
        return cls(file, size, sha1)

    def body(self) -> FileBody:
        """The body of one request."""
        return FileBody(self._file, self.size)

    def close(self) -> None:
        """Free the temporary file."""
        self._file.close()

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _write(file: IO[bytes], block: bytes) -> None:
    try:
        file.write(block)
    except OSError as err:
        raise exc.OioException(f"cannot set data aside in {tempfile.gettempdir()}: {err}") from err


# --- how it is sent ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class UploadUrl:
    """Where one upload at a time may go, until it has refused one."""

    url: str
    token: Secret

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> UploadUrl:
        """Read the answer that gives one.

        :raises OioProtocolError: it lacks something
        """
        with reading_answer():
            return cls(str(answer["uploadUrl"]), Secret(answer["authorizationToken"]))


class UploadUrls:
    """The upload URLs of a bucket, or of a large file, that nobody uses now.

    :param ask: gets another one from the service
    """

    def __init__(self, ask: Callable[[Limits], Mapping[str, Any]]) -> None:
        self._ask = ask
        self._idle: deque[UploadUrl] = deque()
        self._pid = os.getpid()

    def take(self, limits: Limits, *, fresh: bool = False) -> UploadUrl:
        """Get one for an upload.

        :param fresh: one that nobody has used: what has ended one may have ended all the idle ones
        """
        if self._pid != os.getpid():
            # After a fork, the parent goes on to use them.
            self._idle, self._pid = deque(), os.getpid()
        if not fresh:
            with contextlib.suppress(IndexError):
                return self._idle.pop()
        return UploadUrl.of(self._ask(limits))

    def give_back(self, url: UploadUrl) -> None:
        """Make one available, whose last upload has succeeded."""
        self._idle.append(url)


def _wants_other_url(error: exc.OioException) -> bool:
    if isinstance(error, BackblazeException) and error.code == "auth_token_limit":
        return True
    return is_transient(error) or getattr(error, "is_stale_token", False)


def _was_damaged(error: exc.OioException) -> bool:
    """Whether other data have arrived than those whose SHA-1 we have just made; no code tells that."""
    return (
        isinstance(error, BackblazeException)
        and error.status_code == 400
        and error.message.endswith("did not match data received")
    )


def send_upload(
    session: B2Session,
    urls: UploadUrls,
    headers: Mapping[str, str],
    part: Part,
    attempts: Attempts,
    limits: Limits,
    what: str,
) -> dict[str, Any]:
    """Send bytes to an upload URL, and to others when that one fails.

    :param headers: of the request; token and SHA-1 are added for each attempt (pitfalls row 122)
    :returns: the answer, which confirms size and SHA-1
    :raises BackblazeException: refused
    :raises OioNetworkException: no attempt was answered
    """
    damaged = failed = False
    while True:
        # When none can be had, that was repeated already.
        url = urls.take(limits, fresh=failed)
        known = {**headers, "Authorization": url.token, "X-Bz-Content-Sha1": part.sha1}
        try:
            answer = session.ask_json("POST", url.url, known, part.body(), limits, what)
            _check(answer, part, what)
        except (BackblazeException, exc.OioNetworkException) as err:
            if not _wants_other_url(err) and (damaged or not _was_damaged(err)):
                raise
            damaged, failed = damaged or _was_damaged(err), True
            attempts.failed(err, what, at_once=True)
        else:
            urls.give_back(url)
            return answer


def _check(answer: Mapping[str, Any], part: Part, what: str) -> None:
    """Compare what the service has stored with what was sent."""
    with reading_answer():
        size, sha1 = int(answer["contentLength"]), str(answer["contentSha1"])
    if size != part.size or sha1.removeprefix("unverified:").lower() != part.sha1:
        raise exc.OioProtocolError(
            f"{what}: {size} bytes of SHA-1 {sha1} were stored, {part.size} of {part.sha1} were sent"
        )


def check_sha1(announced: str | None, found: str) -> None:
    """Compare data with what the caller says that they are.

    :raises EtagMismatch: they are others
    """
    if announced and announced.lower() != found:
        raise exc.EtagMismatch(f"the data have SHA-1 {found}, not {announced}")
