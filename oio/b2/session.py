# SPDX-License-Identifier: Apache-2.0
"""HTTP towards Backblaze B2: single requests and their answers, on ``requests`` over green sockets."""

from __future__ import annotations

import http.client
import platform
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from http.cookiejar import DefaultCookiePolicy
from typing import IO, Any
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError, ProtocolError

from oio._version import __version__
from oio.b2.errors import BackblazeException
from oio.common import exceptions as exc
from oio.common import green
from oio.common.deadlines import deadline_to_timeout
from oio.common.http_urllib3 import SafePoolManager, oio_exception_from_httperror, tls_context
from oio.common.json import json as jsonlib

# The import of requests adds to the warning filters, which are the host's.
with warnings.catch_warnings():
    import requests
    from requests.adapters import HTTPAdapter

USER_AGENT = f"openio-sdk/{__version__} python/{platform.python_version()}"
BLOCK_SIZE = 131072
"""Bytes that are sent or received at once."""
_POOL_SIZE = 32
_MAX_ANSWER = 64 * 1024 * 1024
_MAX_COMPLAINT = 65536

JsonObject = dict[str, Any]
"""Answer of the service: what is documented, and maybe more."""


@dataclass(frozen=True)
class B2Limits:
    """Time limits of requests.

    :param connect: seconds to connect, and to send each block over a new connection
    :param read: seconds without a byte; also of a whole answer that is not a file
    :param deadline: monotonic seconds at which everything ends, whatever is being done
    """

    connect: float = 10.0
    read: float = 60.0
    deadline: float | None = None

    def until(self, deadline: float | None) -> B2Limits:
        """The same, with another deadline."""
        return replace(self, deadline=deadline)

    def left(self, what: str) -> float | None:
        """Seconds until the deadline; None when there is none.

        :raises DeadlineReached: before ``what``
        """
        if self.deadline is None:
            return None
        left = deadline_to_timeout(self.deadline)
        if left <= 0:
            raise exc.DeadlineReached(f"Deadline reached before {what}")
        return left

    def within(self, seconds: float, what: str) -> float:
        """A number of seconds, or fewer when the deadline is nearer."""
        left = self.left(what)
        return seconds if left is None else min(seconds, left)


class FileBody:
    """Bytes of a file, the same ones each time that they are sent.

    :param file: seekable, binary
    :param size: bytes
    :param start: the first of them
    """

    def __init__(self, file: IO[bytes], size: int, start: int = 0) -> None:
        self._file = file
        self._size = size
        self._start = start

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(self._start)
        while block := self._file.read(BLOCK_SIZE):
            yield block


Body = bytes | FileBody | None


class _GreenAdapter(HTTPAdapter):
    """Connections that do not block the other green threads of their OS thread."""

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        self.poolmanager = SafePoolManager(num_pools=connections, maxsize=maxsize, block=block, **pool_kwargs)

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        host, tls = super().build_connection_pool_key_attributes(*args, **kwargs)
        # Some versions bring a context whose sockets would block.
        tls.pop("ssl_context", None)
        return host, tls


class Answer:
    """An answer whose body is still to be read."""

    def __init__(self, response: requests.Response, what: str) -> None:
        self._response = response
        self._what = what
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    def read(self, size: int, limits: B2Limits) -> bytes:
        """Read a number of bytes, or fewer at the end.

        :raises OioNetworkException: the connection broke, or nothing comes
        """
        host = urlsplit(self._response.url).netloc
        limit = green.OioTimeout(limits.within(limits.read, self._what))
        try:
            with limit:
                # As it is stored: we have asked for no encoding.
                data: bytes = self._response.raw.read(size, decode_content=False)
                return data
        except green.OioTimeout as err:
            if err is not limit:
                raise
            raise _timed_out(err, "reading the answer", self._what, host) from err
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as err:
            failure: Exception = err
        raise _network_failure(failure, self._what, self._response.url)

    def read_all(self, limit: int, limits: B2Limits) -> bytes:
        """Read a whole body.

        :raises OioProtocolError: it has more than `limit` bytes
        """
        blocks, size = [], 0
        while block := self.read(BLOCK_SIZE, limits):
            blocks.append(block)
            size += len(block)
            if size > limit:
                raise exc.OioProtocolError(f"{self._what}: the answer has more than {limit} bytes")
        return b"".join(blocks)

    def close(self) -> None:
        """Close the connection, unless the answer was read to its end."""
        self._response.close()


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
        session = requests.Session()
        # Settings of the environment are for others; a netrc file would replace our tokens.
        session.trust_env = False
        session.verify = ca_certs or True
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _GreenAdapter(pool_connections=_POOL_SIZE, pool_maxsize=_POOL_SIZE)
        for scheme in ("http://", "https://"):
            session.mount(scheme, adapter)
        session.headers.clear()
        session.headers.update(
            {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", "Connection": "keep-alive"}
        )
        session.headers.update(headers or {})
        self._session = session

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
        :param what: what is done, for exceptions
        :raises BackblazeException: the status is not one of success
        :raises OioNetworkException: there is no answer
        :raises DeadlineReached: before anything is sent
        """
        host = urlsplit(url).netloc
        timeouts = (limits.within(limits.connect, what), limits.within(limits.read, what))
        limit = green.OioTimeout(limits.left(what))
        try:
            with limit:
                request = self._prepare(method, url, headers, body)
                response = self._session.send(
                    request, stream=True, timeout=timeouts, allow_redirects=False, verify=self._session.verify
                )
        except green.OioTimeout as err:
            if err is not limit:
                raise
            raise _timed_out(err, "", what, host) from err
        except requests.exceptions.InvalidHeader:
            # Its message shows the value.
            raise exc.OioProtocolError(f"{what}: a header cannot be sent", service=host) from None
        except (requests.RequestException, HTTPError, http.client.HTTPException, OSError) as err:
            failure: Exception = err
        else:
            answer = Answer(response, what)
            if 200 <= answer.status < 300:
                return answer
            raise _refusal(answer, response, headers, limits, host)
        raise _network_failure(failure, what, url)

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: Body,
        limits: B2Limits,
        what: str,
    ) -> bytes:
        """Send a request, and read its answer whole."""
        answer = self.open(method, url, headers, body, limits, what)
        try:
            return answer.read_all(_MAX_ANSWER, limits)
        finally:
            answer.close()

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
        return _json_object(self.ask(method, url, headers, body, limits, what), what)

    def _prepare(
        self, method: str, url: str, headers: Mapping[str, str] | None, body: Body
    ) -> requests.PreparedRequest:
        request = requests.Request(method, url, headers=dict(headers or {}), data=body)
        if isinstance(body, FileBody) and not len(body):
            # An empty body would be sent as chunked, which B2 refuses.
            request.data = b""
        prepared = self._session.prepare_request(request)
        # requests decodes characters of the URL, and resolves dots.
        prepared.url = url
        return prepared

    def close(self) -> None:
        """Close the idle connections; the session may still be used."""
        self._session.close()


def decode_json(raw: bytes, what: str) -> object:
    """Decode an answer.

    :raises OioProtocolError: it is not JSON
    """
    try:
        found: object = jsonlib.loads(raw)
    except (ValueError, RecursionError):
        # The body is not shown: it may hold a token.
        raise exc.OioProtocolError(f"{what}: the answer of {len(raw)} bytes is not JSON") from None
    return found


def _json_object(raw: bytes, what: str) -> JsonObject:
    found = decode_json(raw, what)
    if not isinstance(found, dict):
        raise exc.OioProtocolError(f"{what}: the answer is no JSON object")
    return found


def _refusal(
    answer: Answer,
    response: requests.Response,
    headers: Mapping[str, str] | None,
    limits: B2Limits,
    host: str,
) -> BackblazeException:
    """Make the exception for an error status; the body may be anything, or missing."""
    try:
        raw = answer.read_all(_MAX_COMPLAINT, limits)
    except exc.OioException:
        raw = b""
    finally:
        answer.close()
    message: object = raw.decode("utf-8", errors="replace")
    code = None
    try:
        found: object = jsonlib.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        code = found.get("code")
        message = found.get("message") or code
    error = BackblazeException(answer.status, message or response.reason or "n/a", response, headers)
    error.code = str(code) if code else None
    error.service = host
    return error


def _timed_out(err: green.OioTimeout, doing: str, what: str, host: str) -> exc.OioTimeout:
    """Make the exception for a time limit that was hit.

    :param doing: what took so long, unless it is known
    """
    text = ": ".join(part for part in (what, err.doing or doing, str(err)) if part)
    return exc.OioTimeout(text, service=host)


def _network_failure(failure: Exception, what: str, url: str) -> exc.OioException:
    """Make the exception of the library for one of `requests` or urllib3, which may hold the request."""
    if isinstance(failure, requests.RequestException):
        failure.request = None
        inner = failure.args[0] if failure.args else None
        failure = inner if isinstance(inner, Exception) else failure
    if not isinstance(failure, HTTPError):
        failure = ProtocolError(f"{type(failure).__name__}: {failure}")
    try:
        oio_exception_from_httperror(failure, url=url)
    except exc.OioException as err:
        err.args = (f"{what}: {err.args[0]}", *err.args[1:])
        return err
