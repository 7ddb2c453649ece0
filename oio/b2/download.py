# SPDX-License-Identifier: Apache-2.0
"""Downloads from Backblaze B2: counted, verified when whole, and resumed where the connection broke."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Generator, Mapping
from hashlib import sha1 as new_sha1
from typing import Protocol, TypedDict
from urllib.parse import unquote_plus

from oio.b2.account import Account, Grant
from oio.b2.errors import BackblazeException, NotBackblaze
from oio.b2.names import file_path
from oio.b2.retry import Attempts
from oio.b2.session import BLOCK_SIZE, LARGE_BLOCK_SIZE, Answer, B2Limits
from oio.common import exceptions as exc
from oio.common.checksums import Checksum
from oio.common.hashing import in_threads
from oio.common.ranges import check_range

#: Longer numbers are no sizes, and Python may refuse to read them.
_LENGTH = re.compile(r"\d{1,19}", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)
_SHA1 = re.compile(r"[0-9a-f]{40}", re.ASCII)
_QUICK = 0.05
"""Seconds in which a block comes over a quick connection."""


class Headers(Protocol):
    """Headers of an answer; a mapping will do."""

    def get(self, name: str, default: str, /) -> str:
        """Get a header, whose name is spelt as the service spells it."""


def file_id_of(headers: Headers) -> str:
    """ID of the file in an answer.

    :raises NotBackblaze: there is none: another server has answered
    """
    file_id = headers.get("X-Bz-File-Id", "")
    if not file_id:
        raise NotBackblaze("the answer has no X-Bz-File-Id, as those of Backblaze have")
    return file_id


def read_range(start: int, last: int | None) -> str | None:
    """The ``Range`` header that asks for these bytes; None for a whole file.

    >>> read_range(0, None), read_range(5, None), read_range(0, 4)
    (None, 'bytes=5-', 'bytes=0-4')
    """
    if not start and last is None:
        return None
    return f"bytes={start}-{'' if last is None else last}"


def locate_answer(status: int, headers: Headers) -> tuple[int, int, int]:
    """Find the first byte and the last byte of an answer, and the size of its file.

    >>> locate_answer(206, {"Content-Range": "bytes 2-4/10", "Content-Length": "3"})
    (2, 4, 10)
    >>> locate_answer(200, {"Content-Length": "10"})
    (0, 9, 10)

    :raises OioProtocolError: the headers lack them, or contradict each other
    """
    length = headers.get("Content-Length", "")
    if not _LENGTH.fullmatch(length):
        raise exc.OioProtocolError(f"the answer has no length: {length!r:.80}")
    count = int(length)
    if status == 200:
        return 0, count - 1, count
    text = headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(text)
    if status != 206 or match is None:
        raise exc.OioProtocolError(f"status {status} and Content-Range {text!r:.80} tell of no range")
    first, last, size = map(int, match.groups())
    if not first <= last < size or last - first + 1 != count:
        raise exc.OioProtocolError(f"Content-Range {text!r} is not of {count} bytes")
    return first, last, size


def known_sha1(headers: Headers) -> str | None:
    """The SHA-1 of a whole file, from the headers of its download.

    >>> known_sha1({"X-Bz-Content-Sha1": "unverified:" + "a" * 40})[:8]
    'aaaaaaaa'
    """
    sha1 = headers.get("X-Bz-Content-Sha1", "").removeprefix("unverified:")
    if not sha1 or sha1 == "none":
        sha1 = unquote_plus(headers.get("X-Bz-Info-large_file_sha1", ""))
    sha1 = sha1.lower()
    return sha1 if _SHA1.fullmatch(sha1) else None


class FileHead(TypedDict):
    """File as :meth:`~oio.api.backblaze_http.Backblaze.head` describes it."""

    fileId: str | None
    contentLength: int
    contentSha1: str | None


def look_at(account: Account, bucket_name: str, name: str, limits: B2Limits) -> FileHead:
    """Describe the current version of a file.

    :raises BackblazeException: 404, there is none
    """
    what = f"look at {name!r}"

    def send(grant: Grant) -> FileHead:
        headers = {"Authorization": grant.token}
        url = grant.download_url + file_path(bucket_name, name)
        with contextlib.closing(account.session.open("HEAD", url, headers, None, limits, what)) as answer:
            size = locate_answer(answer.status, answer)[2]
            return {
                "fileId": file_id_of(answer),
                "contentLength": size,
                "contentSha1": known_sha1(answer),
            }

    return account.run(what, send, limits)


class Download:
    """Read of the current version of a file.

    :param start: first byte
    :param end: last byte, at most that of the file; None for that of the file
    :param verify: compare a file that is read whole with its SHA-1
    :param size: bytes that the file must have, whatever is read of it
    """

    def __init__(
        self,
        account: Account,
        bucket_name: str,
        name: str,
        start: int | None,
        end: int | None,
        limits: B2Limits,
        verify: bool,
        size: int | None,
    ) -> None:
        check_range(start or 0, end)
        self._account = account
        self._path = file_path(bucket_name, name)
        self._what = f"download of {name!r}"
        self._start = self._position = start or 0
        self._end = end
        self._limits = limits
        self._attempts = Attempts(account.backoff, limits)
        self._answer: Answer | None = None
        self._pid = os.getpid()
        self._skip = 0
        self._block_size = BLOCK_SIZE
        #: ID and size (bytes) of the file, which tell it from others.
        self._file: tuple[str, int] | None = None
        self._last = -1
        #: SHA-1 that the file must have, and that of the bytes so far. None when nothing is to be compared.
        self._expected: str | None = None
        self._digest: Checksum | None = None
        self._may_reread = True
        self._verify = verify
        self._size = size

    def blocks(self) -> Generator[bytes, None, None]:
        """Give the bytes; the last ones of a whole file come once they are verified.

        :raises BackblazeException: refused: 404, there is no such file; 416, it ends before the range
        :raises CorruptedChunk: the data are not those that were stored
        :raises OioNetworkException: the connection broke too often
        """
        try:
            held, handed_out = b"", False
            while True:
                block = self._next()
                if block:
                    if held:
                        yield held
                        handed_out = True
                    held = block
                elif self._digest is None or self._is_intact(self._digest, final=handed_out):
                    break
                else:
                    held = b""
            if held:
                yield held
        finally:
            self._close()

    def _next(self) -> bytes:
        """The next bytes; none at the end."""
        while True:
            if self._pid != os.getpid():
                # After a fork, the parent reads on from the connection that both have.
                self._pid = os.getpid()
                self._close()
            if self._answer is None:
                self._answer = self._account.run(self._what, self._open, self._limits)
            try:
                return self._take(self._answer)
            except exc.OioNetworkException as err:
                self._close()
                self._attempts.failed(err, self._what)

    def _take(self, answer: Answer) -> bytes:
        while self._skip:
            # The service has sent more than it was asked for.
            self._skip -= len(self._read(answer, self._skip))
        wanted = self._last + 1 - self._position
        if wanted <= 0:
            return b""
        block = self._read(answer, wanted)
        if self._attempts.failures and len(block) >= min(wanted, BLOCK_SIZE):
            # A few bytes at each attempt are not enough progress to go on.
            self._attempts.restart()
        self._position += len(block)
        if self._digest is not None:
            self._digest.update(block)
        return block

    def _read(self, answer: Answer, wanted: int) -> bytes:
        # The read timeout bounds a block, and a block that breaks off is lost: only a quick connection gets
        # large ones.
        size, self._block_size = self._block_size, BLOCK_SIZE
        begin = time.monotonic()
        block = answer.read(min(wanted, size), self._limits)
        if time.monotonic() - begin < _QUICK:
            self._block_size = min(4 * size, LARGE_BLOCK_SIZE)
        if not block:
            raise exc.OioNetworkException(f"{self._what}: the data end before byte {self._last + 1}")
        return block

    def _open(self, grant: Grant) -> Answer:
        headers: dict[str, str] = {"Authorization": grant.token}
        wanted = read_range(self._position, self._end)
        if wanted is not None:
            headers["Range"] = wanted
        answer = self._account.session.open(
            "GET", grant.download_url + self._path, headers, None, self._limits, self._what
        )
        try:
            self._locate(answer, headers)
        except BaseException:  # Nobody else has the answer yet.
            answer.close()
            raise
        return answer

    def _locate(self, answer: Answer, headers: Mapping[str, str]) -> None:
        """Note which bytes an answer has, and check that they are of the same file as before."""
        first, last, size = locate_answer(answer.status, answer)
        file = file_id_of(answer), size
        if self._file not in (None, file):
            raise exc.OioException(f"{self._what}: the file was replaced meanwhile")
        if self._size not in (None, size):
            raise exc.CorruptedChunk(f"{self._what}: the file has {size} bytes, not {self._size}")
        if self._position >= size and self._position > 0:
            raise BackblazeException(416, f"the file has {size} bytes only", answer, headers)
        wanted_last = size - 1 if self._end is None else min(self._end, size - 1)
        if first > self._position or last < wanted_last or (first < self._position and answer.status != 200):
            raise exc.OioProtocolError(
                f"{self._what}: bytes {first}-{last} came instead of {self._position}-{wanted_last}"
            )
        if self._verify and self._position == 0 and wanted_last == size - 1:
            self._expected = self._expected or known_sha1(answer)
            if self._expected is not None:
                self._digest = in_threads(new_sha1(usedforsecurity=False), size)
        self._file, self._last, self._skip = file, wanted_last, self._position - first

    def _is_intact(self, digest: Checksum, *, final: bool) -> bool:
        """Compare a file that was read whole with its SHA-1.

        :param digest: SHA-1 of what was read
        :param final: it is too late to read it again
        :returns: False when it will be read again
        :raises CorruptedChunk: it differs from what was stored
        """
        found = digest.hexdigest()
        if found == self._expected:
            return True
        if final or not self._may_reread:
            raise exc.CorruptedChunk(f"{self._what}: SHA-1 {found} instead of {self._expected}")
        self._close()
        self._may_reread = False
        self._position = self._start
        return False

    def _close(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None
