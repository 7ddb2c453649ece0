# SPDX-License-Identifier: Apache-2.0
"""HTTP towards Backblaze B2: single requests and their answers."""

from __future__ import annotations

import functools
import http.client
import platform
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError, LocationValueError, ProtocolError

from oio._version import __version__
from oio.b2.errors import BackblazeException, check_secrecy
from oio.common import exceptions as exc
from oio.common import green
from oio.common.events import Watch, Watcher
from oio.common.http_api import decode_body
from oio.common.http_connections import LazyResponse, RequestTimeout, tls_context
from oio.common.http_urllib3 import get_pool_manager, oio_exception_from_httperror
from oio.common.interruptions import reraise_interruption
from oio.common.limits import LONGEST, check_seconds

# The import of requests adds to the warning filters, which are the host's.
with warnings.catch_warnings():
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

USER_AGENT = f"openio-sdk/{__version__} python/{platform.python_version()}"
BLOCK_SIZE = 131072
"""Bytes that are read of an answer at once, whatever the connection is like."""
LARGE_BLOCK_SIZE = 1048576
"""Bytes that are read at once of files, and of answers that come quickly."""
_POOL_SIZE = 32
_CALL = re.compile(r"/b2api/v[0-9]+/(b2_[a-z_]+)")
_SENDABLE = re.compile(r"[^:\s][^:\r\n]*:(\S[^\r\n]*)?")
"""Name and value of a header."""
_MAX_ANSWER = 64 * 1024 * 1024
_MAX_COMPLAINT = 65536
"""Bytes of the largest explanation of a refusal that is read."""

JsonObject = dict[str, Any]
"""Answer of the service: what is documented, and maybe more."""


@dataclass(frozen=True)
class B2Limits:
    """Time limits of requests, and who is told of them.

    :param connect: seconds to connect, and without progress while a request is sent
    :param read: seconds for the head of an answer, for each block of a file, and for any other answer; also
        without progress while a file on disk is sent over a connection that was used before
    :param deadline: monotonic seconds at which everything ends, whatever is being done
    :param watcher: is told of the requests; None for nobody
    """

    connect: float = 10.0
    read: float = 60.0
    deadline: float | None = None
    watcher: Watcher | None = None

    def until(self, deadline: float | None, watcher: Watcher | None = None) -> B2Limits:
        """The same, with another deadline, and for another call."""
        if deadline is None and self.deadline is None and watcher is self.watcher:
            return self
        return replace(self, deadline=check_seconds("deadline", deadline), watcher=watcher)

    def left(self, what: str) -> float | None:
        """Seconds until the deadline; None when there is none.

        :raises DeadlineReached: before ``what``
        """
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise exc.DeadlineReached(f"Deadline reached before {what}")
        return min(left, LONGEST)

    def within(self, seconds: float, what: str) -> float:
        """A number of seconds, or fewer when the deadline is nearer."""
        left = self.left(what)
        return seconds if left is None else min(seconds, left)

    @functools.cached_property
    def of_requests(self) -> RequestTimeout:
        """Limits of each request, when there is no deadline."""
        return RequestTimeout(self.connect, self.read)


class FileBody:
    """Bytes that are not in memory, the same ones each time that they are sent.

    :param read_at: reads some of them, see :func:`oio.common.rereading.reread`
    :param size: bytes
    """

    def __init__(self, read_at: Callable[[int, int], bytes], size: int) -> None:
        self._read_at = read_at
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        done = 0
        while done < self._size:
            try:
                block = self._read_at(done, min(LARGE_BLOCK_SIZE, self._size - done))
            except (OSError, ValueError) as err:
                reraise_interruption(err)
                raise exc.SourceReadError(f"the data cannot be read again: {err}") from err
            if not block:
                raise exc.SourceReadError(f"the data end after {done} of {self._size} bytes when read again")
            done += len(block)
            yield block


Body = bytes | FileBody | None


class Answer:
    """Answer whose body is still to be read.

    :param response: of urllib3
    :param what: name of the operation, for exceptions
    :param watch: of the request; None without a listener
    :param is_head: it has no body, whatever its length says
    """

    def __init__(
        self, response: Any, what: str, url: str, watch: Watch | None = None, *, is_head: bool = False
    ) -> None:
        self._is_head = is_head
        self._response = response
        self._watch = watch
        self._what = what
        self.url = url
        self.status: int = response.status
        self.reason: str | None = response.reason

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, whatever the case of their names."""
        found: Mapping[str, str] = self._response.headers
        return found

    def get(self, name: str, default: str = "", /) -> str:
        """Get a header, whatever the case of its name."""
        response = self._response
        if type(response) is LazyResponse:
            return response.header(name.lower()) or default
        return self.headers.get(name, default)

    def read(self, size: int, limits: B2Limits) -> bytes:
        """Read a number of bytes, or fewer at the end.

        :raises OioNetworkException: the connection broke, or nothing comes
        """
        response = self._response
        data = self._within(limits, response.read_block, size) if type(response) is LazyResponse else None
        # As it is stored: we have asked for no encoding.
        return self._within(limits, response.read, size, False) or b"" if data is None else data

    def read_all(self, limits: B2Limits, limit: int = _MAX_ANSWER) -> bytes:
        """Read a whole body.

        :param limit: bytes of the largest body that is taken
        :raises OioProtocolError: it is larger
        """
        if type(response := self._response) is LazyResponse:
            data = self._within(limits, response.read_block, None, limit)
            if data is not None:
                return data
        announced = self.get("Content-Length")
        if announced.isdecimal() and float(announced) > limit:
            raise exc.OioProtocolError(f"{self._what}: the answer has more than {limit} bytes")
        blocks, size = [], 0
        while block := self.read(BLOCK_SIZE, limits):
            blocks.append(block)
            size += len(block)
            if size > limit:
                raise exc.OioProtocolError(f"{self._what}: the answer has more than {limit} bytes")
        return b"".join(blocks)

    def _within(self, limits: B2Limits, read: Callable[..., bytes | None], *args: Any) -> bytes | None:
        """Read some bytes in time, and count them.

        :param read: may return None, when the bytes have to be read in another way
        """
        limit = green.OioTimeout(limits.within(limits.read, self._what))
        try:
            with limit:
                data = read(*args)
            if data and self._watch is not None:
                self._watch.received += len(data)
            return data
        except green.OioTimeout as err:
            if err is not limit:
                raise
            self._note_failure(err)
            raise _timed_out(err, "reading the answer", self._what, self.url) from err
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as err:
            reraise_interruption(err)
            failure: Exception = err
            self._note_failure(err)
        raise _network_failure(failure, self._what, self.url)

    def _note_failure(self, error: BaseException) -> None:
        if self._watch is not None:
            self._watch.error = error

    def close(self) -> None:
        """Close the connection, unless the answer was read to its end."""
        response = self._response
        is_whole = self._is_head
        try:
            if not (is_read := response.closed) and response.length_remaining == 0:
                # Reading nothing more gives the connection back.
                response.read(1, decode_content=False)
                is_read = response.closed
            if is_read:
                is_whole = True
            else:
                response.close()
                response.release_conn()
        finally:
            if self._watch is not None:
                self._watch.end(status=self.status, is_whole=is_whole)


class B2Session:
    """A pool of connections, which OS threads and green threads share.

    :param ca_certs: PEM file of the authorities to trust, instead of those of ``requests``
    :param headers: of every request
    :raises ConfigurationException: the file cannot be used
    """

    def __init__(self, ca_certs: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        if ca_certs is not None:
            # A wrong file fails now, not at each request.
            tls_context(ca_certs)
        self.ca_certs = ca_certs or DEFAULT_CA_BUNDLE_PATH
        self._headers = {"User-Agent": USER_AGENT, "Connection": "keep-alive", **(headers or {})}
        self._names = {name.lower(): name for name in self._headers}
        self._pools = get_pool_manager(
            _POOL_SIZE, _POOL_SIZE, cert_reqs="CERT_REQUIRED", ca_certs=self.ca_certs
        )

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: Body,
        limits: B2Limits,
        what: str,
    ) -> Answer:
        """Send a request, and get its answer once the head is there.

        :param body: bytes, or a :class:`FileBody`
        :param what: name of the operation, for exceptions
        :raises BackblazeException: the status is not one of success
        :raises OioNetworkException: there is no answer
        :raises DeadlineReached: before anything is sent
        """
        sent = self._merged(headers, what, url)
        if isinstance(body, FileBody) and len(body):
            sent["Content-Length"] = str(len(body))
        left = limits.left(what)
        watch = None
        if limits.watcher is not None:
            watch = limits.watcher.watch("b2", urlsplit(url).netloc, _operation(method, url))
            watch.sent = len(body or b"")
        try:
            response = self._respond(method, url, sent, body, limits, left, what)
        except BaseException as err:
            if watch is not None:
                watch.end(err)
            raise
        answer = Answer(response, what, url, watch, is_head=method == "HEAD")
        if 200 <= answer.status < 300:
            return answer
        raise _refusal(answer, headers, limits)

    def _respond(
        self,
        method: str,
        url: str,
        sent: dict[str, str],
        body: Body,
        limits: B2Limits,
        left: float | None,
        what: str,
    ) -> Any:
        """Send a request, and get the head of its answer.

        :param left: seconds until the deadline; None when there is none
        """
        times = limits.of_requests
        if left is not None:
            times = RequestTimeout(min(limits.connect, left), min(limits.read, left))
        limit = green.OioTimeout(left)
        try:
            with limit:
                # An empty FileBody would be sent in chunks, which B2 refuses.
                return self._pools.send_as_is(method, url, sent, body or None, times)
        except green.OioTimeout as err:
            if err is not limit:
                raise
            raise _timed_out(err, "", what, url) from err
        except (HTTPError, http.client.HTTPException, OSError) as err:
            reraise_interruption(err)
            failure: Exception | None = err
        except ValueError as err:
            reraise_interruption(err)
            # It shows the value, which may be a token: no context of ours must lead to it.
            failure = None
        raise _unsendable(what, url) if failure is None else _network_failure(failure, what, url)

    def ask_json(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: Body,
        limits: B2Limits,
        what: str,
    ) -> JsonObject:
        """Send a request, and read its answer, which must be a JSON object."""
        answer = self.open(method, url, headers, body, limits, what)
        try:
            raw = answer.read_all(limits)
        finally:
            answer.close()
        found = decode_json(raw, what)
        if not isinstance(found, dict):
            raise exc.OioProtocolError(f"{what}: the answer is no JSON object")
        return found

    def _merged(self, headers: Mapping[str, str] | None, what: str, url: str) -> dict[str, str]:
        """Headers to send, as plain text: those of every request, and those of this one, which win.

        :raises OioProtocolError: one cannot be sent, or not to this URL
        """
        sent: dict[str, str] = {}
        left = dict(self._headers)
        wanted: Mapping[str, object] = headers or {}
        for name, value in wanted.items():
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            if not isinstance(text, str) or not _SENDABLE.fullmatch(f"{name}:{text}"):
                raise _unsendable(what, url)
            # A Secret is text of another class, which would hide itself.
            sent[name] = str.__str__(text)
            key = name.lower()
            left.pop(self._names.get(key, ""), None)
            if key == "authorization":
                check_secrecy(url)
        return left | sent

    def close(self) -> None:
        """Close the idle connections; the session may still be used."""
        self._pools.clear()


def _operation(method: str, url: str) -> str:
    """Name of a request for listeners; the URLs of uploads and files hold names and IDs besides.

    >>> _operation("POST", "http://127.0.0.1/b2api/v1/b2_upload_file/of/bucket")
    'POST b2_upload_file'
    """
    found = _CALL.match(urlsplit(url).path)
    return f"{method} {found[1] if found else 'file'}"


def _unsendable(what: str, url: str) -> exc.OioProtocolError:
    return exc.OioProtocolError(f"{what}: a header cannot be sent", service=urlsplit(url).netloc)


def decode_json(raw: bytes, what: str) -> object:
    """Decode an answer.

    :raises OioProtocolError: it is not JSON
    """
    found: object = decode_body(raw)
    if found is raw:
        # The body is not shown: it may hold a token.
        raise exc.OioProtocolError(f"{what}: the answer of {len(raw)} bytes is not JSON")
    return found


def _refusal(answer: Answer, headers: Mapping[str, str] | None, limits: B2Limits) -> BackblazeException:
    """Make the exception for an error status; the body may be anything, or missing."""
    try:
        raw = answer.read_all(limits, _MAX_COMPLAINT)
    except exc.OioException:
        raw = b""
    finally:
        answer.close()
    message: object = raw.decode("utf-8", errors="replace")
    code = None
    found = decode_body(raw)
    if isinstance(found, dict):
        code = found.get("code")
        message = found.get("message") or code
    error = BackblazeException(answer.status, message or answer.reason or "n/a", answer, headers)
    error.code = str(code) if code else None
    error.service = urlsplit(answer.url).netloc
    return error


def _timed_out(err: green.OioTimeout, doing: str, what: str, url: str) -> exc.OioTimeout:
    """Make the exception for a time limit that was hit.

    :param doing: what took so long, unless it is known
    """
    text = ": ".join(part for part in (what, err.doing or doing, str(err)) if part)
    return exc.OioTimeout(text, service=urlsplit(url).netloc)


def _network_failure(failure: Exception, what: str, url: str) -> exc.OioException:
    """Make the exception of the library for one of urllib3, or of the standard library."""
    if not isinstance(failure, HTTPError) or isinstance(failure, LocationValueError):
        failure = ProtocolError(f"{type(failure).__name__}: {failure}")
    try:
        oio_exception_from_httperror(failure, url=url)
    except exc.OioException as err:
        err.args = (f"{what}: {err.args[0]}", *err.args[1:])
        return err
