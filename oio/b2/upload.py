# SPDX-License-Identifier: Apache-2.0
"""Uploads to Backblaze B2: of files or parts, each over an upload URL of its own."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha1 as new_sha1
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, TypeAlias, cast

from oio.b2.account import Account
from oio.b2.errors import BackblazeException, Secret, check_secrecy, is_transient
from oio.b2.retry import Attempts
from oio.b2.session import LARGE_BLOCK_SIZE, B2Limits, FileBody, JsonObject
from oio.common import exceptions as exc
from oio.common import green, sources
from oio.common.answers import ANSWER_ERRORS, reading_answer, unexpected
from oio.common.memory import keep_memory_of_blocks
from oio.common.rereading import read_file_at
from oio.common.sources import Portion, Readable

if TYPE_CHECKING:
    from hashlib import _Hash

_IN_MEMORY = 1024 * 1024
"""Bytes of the largest part that is kept in memory."""


# --- data --------------------------------------------------------------------------------------------


class Source(sources.Source):
    """Data of a file: read once, and never further than asked.

    :param file: where they are read
    :param size: bytes to take, which the file must have; None for all that it gives
    :param limits: of the whole upload
    :param argument: name of the argument that the file is
    """

    def __init__(self, file: Readable, size: int | None, limits: B2Limits, argument: str = "source") -> None:
        super().__init__(
            file,
            lambda: limits.left("reading the data"),
            patience=limits.read,
            size=size,
            may_have_more=True,
            argument=argument,
        )
        self._limits = limits

    def sha1_of_all(self, taken: _Hash) -> str | None:
        """SHA-1 of all the data, if they can be read twice.

        :param taken: SHA-1 object of the data taken so far; not changed
        """
        file = self._seekable_file()
        if file is None:
            return None
        digest = taken.copy()
        digest.update(self._ahead)
        with self._failures():
            before = file.tell()
        left = None if self._size is None else self._size - self._given
        rest = Source(file, left, self._limits, self._argument)
        while block := rest.read(LARGE_BLOCK_SIZE):
            digest.update(block)
            green.eventlet_yield()
        with self._failures():
            file.seek(before)
        return digest.hexdigest()

    def _seekable_file(self) -> IO[bytes] | None:
        seekable = getattr(self._wrapped, "seekable", None)
        return cast("IO[bytes]", self._wrapped) if seekable is not None and seekable() else None


FileSource: TypeAlias = Source | Portion
"""Source of the data of a file: all that a caller gives, or the part of it that one metachunk holds."""


class Part:
    """Data that can be sent several times.

    :param body: the data, as a request takes them
    :param sha1: SHA-1 object of the data
    :param file: temporary file that holds the data, if there is one
    """

    def __init__(self, body: bytes | FileBody, sha1: _Hash, file: IO[bytes] | None = None) -> None:
        self.body = body
        self.size = len(body)
        self.digest = sha1
        self.sha1 = sha1.hexdigest()
        self._file = file

    @classmethod
    def taken_from(cls, source: FileSource, limit: int | None, whole: _Hash | None = None) -> Part:
        """Read the next data of a source, and see to it that they can be read again.

        They are kept in memory; when they are many, in a temporary file, unless the source can be read twice.

        :param limit: most bytes to take; None for all
        :param whole: SHA-1 object of the whole file, to be updated
        """
        sha1 = new_sha1(usedforsecurity=False)
        size, end = 0, sys.maxsize if limit is None else limit
        blocks: list[bytes] = []
        file: IO[bytes] | None = None
        read_at = source.reread()
        try:
            while block := source.read(min(LARGE_BLOCK_SIZE, end - size)):
                sha1.update(block)
                if whole is not None:
                    whole.update(block)
                size += len(block)
                blocks.append(block)
                if size > _IN_MEMORY:
                    keep_memory_of_blocks()
                    if read_at is not None:
                        blocks.clear()
                    else:
                        with _using_disk():
                            # Blocks are large: a buffer would only copy them.
                            file = file or tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - its owner closes it
                            _move(blocks, file)
                    green.eventlet_yield()
                if len(block) < LARGE_BLOCK_SIZE:
                    # A source gives as much as it is asked for, up to its end.
                    break
        except BaseException:  # Nobody else has the file yet.
            if file is not None:
                file.close()
            raise
        if file is not None:
            read_at = partial(read_file_at, file)
        if size <= _IN_MEMORY or read_at is None:
            return cls(b"".join(blocks), sha1)
        return cls(FileBody(read_at, size), sha1, file)

    def check_unchanged(self, limits: B2Limits) -> None:
        """Compare the data of a source that are read again with those that were read first.

        :raises SourceReadError: they differ
        :raises DeadlineReached: no time is left
        """
        if self._file is not None or not isinstance(self.body, FileBody):
            return
        found = new_sha1(usedforsecurity=False)
        for block in self.body:
            limits.left("reading the data again")
            found.update(block)
            green.eventlet_yield()
        if found.digest() != self.digest.digest():
            raise exc.SourceReadError("the data have changed while they were stored")

    def close(self) -> None:
        """Free the temporary file."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def _using_disk() -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise exc.OioException(f"cannot set data aside in {tempfile.gettempdir()}: {err}") from err


def _move(blocks: list[bytes], file: IO[bytes]) -> None:
    """Move blocks to the end of a file."""
    for block in blocks:
        left = memoryview(block)
        while left:
            left = left[file.write(left) :]
    blocks.clear()


# --- transfers ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UploadUrl:
    """URL that takes one upload at a time, until it refuses one."""

    url: str
    token: Secret

    @classmethod
    def of(cls, answer: JsonObject) -> UploadUrl:
        """Read an answer of the service.

        :raises OioProtocolError: it lacks something
        """
        with reading_answer():
            return cls(check_secrecy(str(answer["uploadUrl"])), Secret(answer["authorizationToken"]))


class UploadUrls:
    """Idle upload URLs of a bucket, or of a large file.

    :param ask: asks the service for a new one
    """

    def __init__(self, ask: Callable[[B2Limits], JsonObject]) -> None:
        self._ask = ask
        self._idle: deque[UploadUrl] = deque()
        self._pid = os.getpid()

    def take(self, limits: B2Limits, *, fresh: bool = False) -> UploadUrl:
        """Get a URL for an upload.

        :param fresh: ask for a new one: what has ended another may have ended the idle ones too
        """
        if self._pid != os.getpid():
            # After a fork, the parent still uses them.
            self._idle, self._pid = deque(), os.getpid()
        try:
            if not fresh:
                return self._idle.pop()
        except IndexError:
            pass
        return UploadUrl.of(self._ask(limits))

    def give_back(self, url: UploadUrl) -> None:
        """Make a URL available again, after a successful upload."""
        self._idle.append(url)


def _wants_other_url(error: exc.OioException) -> bool:
    if isinstance(error, BackblazeException) and error.code == "auth_token_limit":
        return True
    return is_transient(error) or getattr(error, "is_stale_token", False)


def _was_damaged(error: exc.OioException) -> bool:
    """Whether the data were damaged on the way; no error code tells it."""
    return (
        isinstance(error, BackblazeException)
        and error.status_code == 400
        and error.message.endswith("did not match data received")
    )


def send_upload(
    account: Account,
    urls: UploadUrls,
    headers: Mapping[str, str],
    part: Part,
    limits: B2Limits,
    what: str,
) -> JsonObject:
    """Send data to an upload URL, and to others when that one fails.

    :param headers: of the request; token and SHA-1 are added for each attempt (pitfall 122)
    :returns: the answer, which confirms size and SHA-1
    :raises BackblazeException: refused
    :raises OioNetworkException: no attempt was answered
    :raises SourceReadError: the data cannot be read again, or have changed
    """
    damaged = False
    attempts = Attempts(account.backoff, limits)
    while True:
        # To ask for a URL has attempts of its own.
        url = urls.take(limits, fresh=attempts.failures > 0)
        known = {**headers, "Authorization": url.token, "X-Bz-Content-Sha1": part.sha1}
        try:
            answer = account.session.ask_json("POST", url.url, known, part.body, limits, what)
            _check(answer, part, what)
        except (BackblazeException, exc.OioNetworkException) as err:
            if not _wants_other_url(err) and (damaged or not _was_damaged(err)):
                raise
            if _was_damaged(err):
                part.check_unchanged(limits)
                damaged = True
            # All URLs of an account share its rate.
            attempts.failed(
                err, what, at_once=getattr(err, "status_code", None) != HTTPStatus.TOO_MANY_REQUESTS
            )
        else:
            urls.give_back(url)
            return answer


def _check(answer: JsonObject, part: Part, what: str) -> None:
    """Compare what the service has stored with what was sent."""
    try:
        size, sha1 = int(answer["contentLength"]), str(answer["contentSha1"])
    except ANSWER_ERRORS as err:
        raise unexpected(err) from err
    if size != part.size or sha1.removeprefix("unverified:").lower() != part.sha1:
        raise exc.OioProtocolError(
            f"{what}: {size} bytes of SHA-1 {sha1} were stored, {part.size} of {part.sha1} were sent"
        )


def check_sha1(announced: str | None, found: str) -> None:
    """Compare the SHA-1 of data with the one that the caller has given, if any.

    :raises EtagMismatch: they differ
    """
    if announced and announced.lower() != found:
        raise exc.EtagMismatch(f"the data have SHA-1 {found}, not {announced}")
