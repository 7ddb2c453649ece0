# SPDX-License-Identifier: Apache-2.0
"""Connections of urllib3 that are green, and the answers that come on them."""

from __future__ import annotations

import functools
import http.client
import socket
import ssl
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3 import exceptions as urllib3_exceptions
from urllib3._version import __version__ as urllib3_version
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import SKIP_HEADER
from urllib3.util.ssl_ import resolve_cert_reqs

from oio.common import exceptions as exc
from oio.common import green
from oio.common.http_heads import HTTPResponse, check_name, host_of, request_head

_BLOCK = 65536
"""Bytes of an answer of unknown length that are read at once."""
_LARGE = 65536
"""Bytes above which a copy of the body behind the head costs more than a system call of its own."""


class _Response(HTTPResponse):
    def begin(self) -> None:
        try:
            super().begin()
        except green.OioTimeout as err:
            err.doing = err.doing or "waiting for the answer"
            raise


_WRITTEN_BY_US = frozenset({"host", "accept-encoding", "content-length", "transfer-encoding"})
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_USER_AGENT = f"python-urllib3/{urllib3_version}"


@functools.lru_cache(256)
def _look_at_names(names: tuple[str, ...]) -> tuple[bool, bool]:
    """Tell whether none of some headers is written by us, and whether one of them names the program."""
    known = {name.lower() for name in names}
    return known.isdisjoint(_WRITTEN_BY_US), "user-agent" in known


def is_plain(body: object, fields: Mapping[str, str]) -> bool:
    """Tell whether a request can be written here; only urllib3 knows how to frame others."""
    if body is not None and not isinstance(body, bytes):
        return False
    for value in fields.values():
        # Values of other classes may say another text when they are formatted.
        if type(value) is not str or value == SKIP_HEADER:
            return False
    return _look_at_names(tuple(fields))[0]


class RequestTimeout(urllib3.Timeout):
    """Time limits of a request and of its parts, in seconds.

    :param total: for the whole request
    """

    def __init__(self, connect: float, read: float, total: float | None = None) -> None:
        # The constructor of urllib3 takes long to check them. It makes copies of its own to count with.
        self._connect, self._read, self.total, self._start_connect = connect, read, total, None
        #: Limits of sending it on a connection that is there, and of each read of the answer.
        self.sending, self.reading = connect, read
        if total is not None:
            self.sending, self.reading = min(connect, total), min(read, total)


class GreenHTTPConnection(HTTPConnection):
    """A green connection of urllib3, which tells what it was doing when a time limit strikes.

    It writes and reads heads itself. Requests that are streamed, framed by the caller or sent through another
    proxy, as those of our clients never are, are left to urllib3.
    """

    response_class: type[_Response] = _Response
    _asked: tuple[str, str, dict[str, Any]] | None = None
    """Request that was written here, until its answer begins."""
    _answer: HTTPResponse | None = None
    """Answer that is not read to its end yet; one that came whole takes nothing more from the connection."""
    sock: Any
    _has_plain_socket = True
    """Whether :attr:`sock` is one of :mod:`oio.common.green` without TLS."""
    host_header = functools.cached_property(host_of)

    def _new_conn(self) -> Any:
        try:
            sock = green.create_connection(
                (self._dns_host, self.port), self.timeout, self.source_address, self.socket_options
            )
        except green.OioTimeout as err:
            err.doing = err.doing or "connecting"
            raise
        except socket.gaierror as err:
            raise urllib3_exceptions.NameResolutionError(self.host, self, err) from err
        except TimeoutError as err:
            message = f"Connection to {self.host} timed out. (connect timeout={self.timeout})"
            raise urllib3_exceptions.ConnectTimeoutError(self, message) from err
        except OSError as err:
            message = f"Failed to establish a new connection: {err}"
            raise urllib3_exceptions.NewConnectionError(self, message) from err
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        chunked: bool = False,
        **options: Any,
    ) -> None:
        """Send a request."""
        fields = {} if headers is None else headers
        if not (chunked or self.proxy) and is_plain(body, fields):
            self.ask(method, url, body, fields, options)
            return
        self._asked = None
        if self._answer is not None:
            self._check_answered(self._answer)
        for name in fields:
            # urllib3 lets blanks pass, which services cut off.
            check_name(name)
        options["chunked"] = chunked
        try:
            super().request(method, url, body, headers, **options)
        except green.OioTimeout as err:
            err.doing = err.doing or "sending the request"
            raise

    def ask(
        self,
        method: str,
        url: str,
        body: bytes | None,
        fields: Mapping[str, str],
        options: dict[str, Any] | None = None,
    ) -> None:
        """Send a plain request, see :func:`is_plain`."""
        self._asked = None
        if self._answer is not None:
            self._check_answered(self._answer)
        pairs = [*fields.items()]
        # As urllib3 would.
        if not _look_at_names(tuple(fields))[1]:
            pairs.insert(0, ("User-Agent", _USER_AGENT))
        if body is not None or method not in _WITHOUT_BODY:
            pairs.insert(0, ("Content-Length", str(len(body or b""))))
        head = request_head(method, url, self.host_header, pairs)
        try:
            if self.sock is None:
                self.connect()
            else:
                self.sock.settimeout(self.timeout)
            self._asked = (method, url, options or {})
            if body and self._has_plain_socket:
                self.sock.send_together(head, body)
            elif body and len(body) > _LARGE:
                self.sock.sendall(head)
                self.sock.sendall(body)
            else:
                self.sock.sendall(head + body if body else head)
        except green.OioTimeout as err:
            err.doing = err.doing or "sending the request"
            raise

    def _check_answered(self, answer: HTTPResponse) -> None:
        if answer.fp is not None:
            raise http.client.CannotSendRequest("an answer was not read to its end")
        self._answer = None

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        """Read the head of the answer."""
        if self._asked is None:
            answered: urllib3.HTTPResponse = super().getresponse()
            return answered
        method, url, options = self._asked
        answer = self.answer()
        try:
            response = urllib3.HTTPResponse(
                body=answer,
                headers=urllib3.HTTPHeaderDict(answer.pairs),
                status=answer.status,
                version=answer.version,
                reason=answer.reason,
                original_response=answer,
                request_method=method,
                request_url=url,
                **options,
            )
        except BaseException:  # Nobody will read it.
            self.close()
            answer.close()
            raise
        return response

    def answer(self) -> HTTPResponse:
        """Read the head of the answer to a request that was written here."""
        assert self._asked is not None
        method, self._asked = self._asked[0], None
        answer = HTTPResponse(self.sock, method=method)
        try:
            self.sock.settimeout(self.timeout)
            if self._has_plain_socket:
                self.sock.await_data()
            answer.begin()
        except BaseException as err:  # A half-read answer is of no use.
            answer.close()
            if isinstance(err, green.OioTimeout):
                err.doing = err.doing or "waiting for the answer"
            raise
        if answer.will_close:
            # The answer has the socket for itself.
            self.close()
        elif not answer.is_there:
            self._answer = answer
        return answer

    def close(self) -> None:
        """Close the connection, and with it an answer that is not read to its end."""
        answer, self._answer = self._answer, None
        super().close()
        if answer is not None:
            # It would keep the socket open until it is read.
            answer.close()

    @property
    def is_connected(self) -> bool:
        """Whether it looks alive."""
        # urllib3's own test polls in a way that a host patched later breaks.
        return self.sock is not None and not green.is_readable(self.sock)


class GreenHTTPSConnection(GreenHTTPConnection, HTTPSConnection):
    """The same over TLS."""

    _has_plain_socket = False

    def connect(self) -> None:
        """Connect, and verify the server."""
        if self.ssl_context is None:
            # A context of the standard class would make a socket that blocks the whole thread.
            self.ssl_context = tls_context(self.ca_certs, self.cert_reqs)
        try:
            super().connect()
        except green.OioTimeout as err:
            err.doing = err.doing or "connecting"
            raise
        except TimeoutError as err:
            # urllib3 would speak of a read.
            message = f"TLS handshake with {self.host} timed out. (connect timeout={self.timeout})"
            raise urllib3_exceptions.ConnectTimeoutError(self, message) from err


@functools.cache
def tls_context(ca_certs: str | None = None, cert_reqs: str | int | None = None) -> ssl.SSLContext:
    """One context for each setting: making one reads all the system's certificates (pitfall 124).

    :param ca_certs: PEM file of the authorities to trust, instead of the system's
    :param cert_reqs: ``CERT_NONE`` accepts any certificate of any host
    :raises ConfigurationException: the file cannot be used, or nothing is known by that name
    """
    try:
        verify = resolve_cert_reqs(cert_reqs) != ssl.CERT_NONE
        return green.create_ssl_context(ca_certs, verify=verify)
    except (OSError, AttributeError) as err:
        raise exc.ConfigurationException(
            f"ca_certs {ca_certs!r} or cert_reqs {cert_reqs!r} cannot be used: {err}"
        ) from err


# --- answers ---


class LazyResponse(urllib3.HTTPResponse):
    """An answer that only becomes a whole response of urllib3 when somebody needs one.

    Our clients need its status, its headers, and its body: in one piece or in blocks, see :meth:`read_block`.
    To make the rest takes as long as all that.

    :param answer: whose head was read
    :param pool: that the connection is given back to
    :param connection: that the answer comes on
    :param method: of the request
    :param target: of the request
    :raises urllib3.exceptions.HTTPError: headers of the answer contradict each other about its length
    """

    #: Connection that the answer comes on, until it is read.
    _lent: Any = None
    _data: bytes | None = None

    def __init__(self, answer: HTTPResponse, pool: Any, connection: Any, method: str, target: str) -> None:
        self._original_response = self._answer = answer
        self._rest = (pool, method, target)
        self._lent = connection
        self.status, self.reason, self.version = answer.status, answer.reason, answer.version
        index = answer.index
        lengths = index.get("content-length", ("", "0"))
        is_odd = len(lengths) > 2 or not lengths[1].isdecimal()
        if answer.length is None or is_odd or "transfer-encoding" in index:
            # urllib3 may refuse it, also when there is no body.
            self.complete()

    @functools.cached_property
    def headers(self) -> urllib3.HTTPHeaderDict:  # type: ignore[override]
        """All the headers, made sooner than by urllib3 itself."""
        headers = urllib3.HTTPHeaderDict()
        headers._container = self._answer.index
        return headers

    def header(self, name: str) -> str:
        """Get a header, given in lower case; empty without one."""
        return ", ".join(self._answer.index.get(name, ("",))[1:])

    def read_block(self, size: int | None = None, limit: int = sys.maxsize) -> bytes | None:
        """Read the next bytes of a plain body, and give the connection back after the last ones.

        :param size: largest number of bytes; fewer come when the connection has ended. None for a whole body,
            which is kept as :attr:`data`
        :param limit: bytes of the largest body that is taken
        :returns: None for another kind of body, a larger one, or one that was read to its end
        """
        answer = self._answer
        left = answer.length
        if self._lent is None or left is None or left > limit or "content-encoding" in answer.index:
            return None
        try:
            data = answer.whole() if size is None or size >= left else None
            if data is None:
                data = answer.read(size)
            if not data and answer.length:
                raise http.client.IncompleteRead(data, answer.length)
        except BaseException as err:
            # urllib3's own translator of failures, which closes the answer too.
            with self._error_catcher():
                raise err from err.__cause__
        if size is None:
            self._data = data
        if answer.fp is None:
            connection, self._lent = self._lent, None
            if (kept := self._rest[0].pool) is None:
                connection.close()
            else:
                kept.put(connection)
        return data

    @property
    def data(self) -> bytes:
        """The whole body."""
        return super().data if self._data is None else self._data

    @property
    def closed(self) -> bool:
        """Whether the body was read to its end, or given up."""
        return self._answer.fp is None if "_rest" in self.__dict__ else super().closed

    def complete(self) -> None:
        """Become a whole response of urllib3.

        :raises urllib3.exceptions.HTTPError: see the class
        """
        answer, data = self._answer, self._data
        pool, method, target = self.__dict__.pop("_rest")
        connection, self._lent = self._lent, None
        super().__init__(
            answer,
            self.headers,
            answer.status,
            answer.version,
            reason=answer.reason,
            preload_content=False,
            decode_content=False,
            original_response=answer,
            pool=pool,
            connection=connection,
            retries=pool.retries,
            request_method=method,
            request_url=target,
        )
        if data is not None:
            self._body, self._fp_bytes_read, self.length_remaining = data, len(data), 0
        elif self.length_remaining:
            # Some blocks may have been read.
            self._fp_bytes_read = self.length_remaining - (answer.length or 0)
            self.length_remaining = answer.length

    def __getattr__(self, name: str) -> Any:
        # An attribute that is missing is one that urllib3's constructor sets.
        if "_rest" not in self.__dict__:
            raise AttributeError(name)
        self.complete()
        return getattr(self, name)


def read_whole(method: str, resp: Any, limit: int, url: str | None = None, reqid: str | None = None) -> Any:
    """Read the body of an answer, which was asked for without an encoding.

    :param method: of the request
    :param resp: the answer, not read yet, which keeps the body as its ``data``; or that of a fake
    :param limit: bytes of the largest body that is taken
    :param url: of the request, for the exception
    :param reqid: ID of the request, for the exception
    :raises OioProtocolError: it is encoded, or larger; nothing more of it is read
    """
    if type(resp) is LazyResponse and (read := resp.read_block(None, limit)) is not None:
        return read
    # Not isinstance(): a mock says that it is of the class that it stands for.
    if not issubclass(type(resp), urllib3.HTTPResponse):
        # Answers that applications' tests make up may be no more than a status.
        return getattr(resp, "data", b"")
    problem = ""
    length = resp.headers.get("Content-Length", "")
    encoding = resp.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in {"", "identity"}:
        # A small body of this kind may stand for any number of bytes.
        problem = f"answer is encoded ({encoding[:64]})"
    elif resp._body is not None or method == "HEAD":
        data = resp.data
    elif length.isdecimal() and float(length) > limit:
        problem = f"answer has {length[:24]} bytes, more than the {limit} that are taken"
    elif length.isdecimal() and not resp.chunked:
        data = resp.data
    else:
        blocks, left = [], limit + 1
        try:
            while left > 0 and (block := resp.read(min(left, _BLOCK), decode_content=False)):
                blocks.append(block)
                left -= len(block)
                # Tiny chunks may take long to read without a wait in which a time limit could strike.
                green.eventlet_yield()
        except BaseException:  # A half-read answer is of no use.
            resp.close()
            raise
        if left > 0:
            data = resp._body = b"".join(blocks)
        else:
            problem = f"answer has more than the {limit} bytes that are taken"
    if problem:
        resp.close()
        service = urlsplit(url).netloc if url else None
        raise exc.OioProtocolError(f"{problem}: HTTP {resp.status}", reqid=reqid, service=service)
    return data


def is_made_up(resp: object) -> bool:
    """Tell an answer that an application's test has put in the place of a real one.

    Nothing can be lost on its way: it may lack parts that a real one has.
    """
    return type(resp) is not LazyResponse and not isinstance(resp, urllib3.BaseHTTPResponse)


def is_page(resp: Any) -> bool:
    """Tell a web page of another server from the answer of a service of the namespace."""
    if type(resp) is LazyResponse:
        kind = resp.header("content-type")
    else:
        kind = str(getattr(resp, "headers", {}).get("Content-Type", ""))
    return "html" in kind.lower()
