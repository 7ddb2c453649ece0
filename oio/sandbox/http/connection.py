# SPDX-License-Identifier: Apache-2.0
"""One connection of a client to a service, and the exchanges on it.

Requests are parsed by h11. Responses are written here: h11 rightly refuses to write the broken heads and the
HTTP/1.0 status lines that real services send and clients have to live with (pitfalls row 158).
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

try:
    import h11
except ModuleNotFoundError as err:
    raise ModuleNotFoundError(
        "The sandbox needs h11: pip install 'openio-sdk[sandbox]'", name=err.name
    ) from err

from oio.sandbox.faults import FaultBoard
from oio.sandbox.http.dialects import Dialect, Reply
from oio.sandbox.http.injection import HangUp, Injection
from oio.sandbox.http.log import RequestLog, RequestRecord
from oio.sandbox.messages import (
    FaultAware,
    FileSlice,
    FileSlices,
    Handler,
    Headers,
    Incoming,
    IncompleteBody,
    NoBody,
    Request,
    Response,
)

_BLOCK: Final = 256 * 1024
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
#: Seconds given to a client that still sends to see the answer, or the end, before the connection is closed.
_LINGER: Final = 2.0
#: Sends a head together with the first bytes of its body (Linux).
_MORE: Final[int] = getattr(socket, "MSG_MORE", 0)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Endpoint:
    """What all connections of a service share.

    :param dialect: the HTTP habits of the service.
    :param address: where it listens, ``host:port``.
    :param handler: handler of the requests.
    :param log: where requests are recorded.
    :param faults: the faults to inject.
    """

    dialect: Dialect
    address: str
    handler: Handler
    log: RequestLog
    faults: FaultBoard


class _Body:
    """A request body as it arrives on a connection."""

    def __init__(self, sock: socket.socket, parser: h11.Connection) -> None:
        self._sock = sock
        self._parser = parser
        self.trailers: Headers = ()
        self.complete = False

    def __iter__(self) -> Iterator[bytes]:
        while not self.complete:
            try:
                event = self._parser.next_event()
                if event is h11.NEED_DATA:
                    self._parser.receive_data(self._sock.recv(_BLOCK))
                    continue
            except (h11.RemoteProtocolError, OSError) as exc:
                raise IncompleteBody(str(exc)) from exc
            if isinstance(event, h11.Data):
                yield event.data
            elif isinstance(event, h11.EndOfMessage):
                self.trailers = _headers_of(event)
                self.complete = True

    def drain(self) -> None:
        """Read the rest, as far as it arrives."""
        with contextlib.suppress(IncompleteBody):
            for _ in self:
                pass


class Connection:
    """One connection of a client; :meth:`run` serves it in the calling thread."""

    def __init__(self, endpoint: Endpoint, sock: socket.socket, number: int) -> None:
        self._endpoint = endpoint
        self._dialect = endpoint.dialect
        self._sock = sock
        self._number = number
        self._unread = b""

    def cut(self) -> None:
        """Wake the thread of the connection, which then ends."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        """Answer requests until the connection ends."""
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._exchange():
                pass
        except HangUp as exc:
            self._hang_up(reset=exc.reset)
        except (IncompleteBody, OSError) as exc:
            # The client has left, or the server is stopping: nobody is there to answer.
            _logger.debug("%s: connection %d lost: %s", self._endpoint.address, self._number, exc)
        finally:
            self._sock.close()

    def _exchange(self) -> bool:
        """Answer one request; return whether another one may follow."""
        head = self._read_head()
        if not head:
            return False
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=self._dialect.head_limit)
        try:
            event, headers = self._parse(parser, head)
        except h11.RemoteProtocolError as exc:
            self._refuse_head(str(exc))
            return False
        body = self._open_body(parser, event)
        request = Request(event.method.decode(), event.target.decode(), headers, stream=body)
        kept = self._reply(request, event.http_version == b"1.0")
        if isinstance(body, NoBody) or not body.complete:
            # The next bytes are not a request, and a close with unread bytes would reset the connection.
            self._linger()
            return False
        self._unread = bytes(parser.trailing_data[0]) if self._dialect.pipelines else b""
        return kept

    def _reply(self, request: Request, http_1_0: bool) -> bool:
        """Execute and answer a request; return whether the connection is kept."""
        kind, address = self._dialect.kind, self._endpoint.address
        record = RequestRecord(kind, address, self._number, request.method, request.target, request.headers)
        self._endpoint.log.add(record)
        strike = self._endpoint.faults.due(kind, address, request)
        injection = Injection(strike, request, kind, self._sock) if strike else None
        response = self._answer(request, injection)
        try:
            if injection:
                response = injection.executed(response)
            keep = not response.close and self._dialect.keeps(http_1_0, request.get("connection") or "")
            record.status = response.status
            self._send(request.method, response, http_1_0, keep, injection)
        finally:
            if not isinstance(response.body, bytes):
                response.body.close()
        return keep

    # The request -------------------------------------------------------------------------------------------

    def _read_head(self) -> bytes:
        """Return the request up to its empty line; nothing when it does not arrive, or is too large."""
        data = self._unread
        while (end := data.find(b"\r\n\r\n")) < 0 and len(data) <= self._dialect.head_limit:
            more = self._sock.recv(_BLOCK)
            if not more:
                return b""
            data = (data + more).lstrip(b"\r\n")
        if not 0 <= end <= self._dialect.head_limit:
            self._send_bare("431 Request Header Fields Too Large")
            self._linger()
            return b""
        self._unread = data[end + 4 :]
        return data[: end + 4]

    def _parse(self, parser: h11.Connection, head: bytes) -> tuple[h11.Request, Headers]:
        line, _, rest = head.partition(b"\r\n")
        if self._dialect.strict_lines and re.search(rb"(?m)^[^:\r\n]+:[^ \r\n]", rest):
            raise h11.RemoteProtocolError("no space after the colon of a header")
        # h11 insists on a Host; these services do not.
        add_host = not self._dialect.needs_host and not re.search(rb"(?mi)^host:", rest)
        parser.receive_data(line + b"\r\n" + (b"Host: none\r\n" if add_host else b"") + rest)
        event = parser.next_event()
        if not isinstance(event, h11.Request):
            raise h11.RemoteProtocolError("not a request")
        return event, _headers_of(event)[add_host:]

    def _refuse_head(self, problem: str) -> None:
        what = ": missing required Host header" if "Host" in problem else ""
        self._send_bare(f"400 Bad Request{what}")

    def _send_bare(self, status: str) -> None:
        """Answer as the HTTP library under the rawx does; the other services just close."""
        if self._dialect.needs_host:
            lines = [
                f"HTTP/1.1 {status}",
                "Content-Type: text/plain; charset=utf-8",
                "Connection: close",
                "",
                status,
            ]
            self._sock.sendall("\r\n".join(lines).encode())

    def _open_body(self, parser: h11.Connection, event: h11.Request) -> _Body | NoBody:
        framing = {
            name: value for name, value in event.headers if name in {b"transfer-encoding", b"content-length"}
        }
        if b"transfer-encoding" in framing and not self._dialect.reads_chunked:
            return NoBody()
        if self._unread:
            parser.receive_data(self._unread)
        if self._dialect.streams and parser.they_are_waiting_for_100_continue:
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return _Body(self._sock, parser)

    # The answer --------------------------------------------------------------------------------------------

    def _answer(self, request: Request, injection: Injection | None) -> Response:
        """Execute the request, and read its body as far as it arrives."""
        if injection is None:
            response = self._execute(request, None)
        else:
            response = self._struck(request, injection) or self._execute(request, injection)
        if isinstance(request.stream, _Body) and not (injection and injection.early):
            request.stream.drain()
        return response

    def _struck(self, request: Request, injection: Injection) -> Response | None:
        """Inject a fault before the request is executed; return the answer that it gives, if any."""
        handler = self._endpoint.handler
        aware = handler if isinstance(handler, FaultAware) else None
        try:
            response = injection.before()
        except HangUp:
            if aware:
                aware.met_fault(request, None)
            raise
        if response is None:
            return None
        if aware:
            aware.met_fault(request, response.status)
        if response.body:
            return response
        usual = self._failure(response.status)
        return replace(response, headers=[*usual.headers, *response.headers], body=usual.body)

    def _execute(self, request: Request, injection: Injection | None) -> Response:
        stream: Incoming = request.stream
        if injection:
            length = request.get("content-length")
            stream = injection.incoming(stream, int(length) if length else None)
        if self._dialect.streams:
            request = replace(request, stream=stream)
        else:
            request = replace(request, body=b"".join(stream), stream=NoBody())
        try:
            return self._endpoint.handler.handle(request)
        except (HangUp, IncompleteBody):
            raise
        except Exception:  # A mistake in a handler is told to the client, and the server goes on.
            _logger.exception("%s failed on %s %s", self._endpoint.address, request.method, request.target)
            return self._failure(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _failure(self, status: int) -> Response:
        return self._dialect.fail(status)

    def _send(
        self, method: str, response: Response, http_1_0: bool, keep: bool, injection: Injection | None
    ) -> None:
        body = response.body
        length = len(body) if isinstance(body, bytes) else body.length
        head = self._dialect.compose(Reply(response, method, http_1_0, keep, length))
        protocol = "HTTP/1.0" if http_1_0 else "HTTP/1.1"
        lines = b"".join(
            [
                f"{protocol} {response.status} {self._dialect.phrase(response)}\r\n".encode(),
                _encoded(head.before),
                injection.extra_lines() if injection else b"",
                _encoded(head.own),
                _encoded(head.after),
                b"\r\n",
            ]
        )
        if method == "HEAD" or response.status == HTTPStatus.NO_CONTENT:
            body, length = b"", 0
        elif not length:
            body = b""
        if injection:
            for block in injection.outgoing(lines, _blocks(body), length):
                self._sock.sendall(block)
        elif isinstance(body, bytes):
            self._sock.sendall(lines + body)
        else:
            self._sock.sendall(lines, _MORE)
            for part in [body] if isinstance(body, FileSlice) else body:
                self._send_file(part)

    def _send_file(self, body: FileSlice) -> None:
        offset, end = body.offset, body.offset + body.length
        try:
            while offset < end:
                sent = os.sendfile(self._sock.fileno(), body.file.fileno(), offset, end - offset)
                if not sent:
                    raise HangUp(reset=False)
                offset += sent
        except BlockingIOError:
            # A green socket: its descriptor does not block.
            for block in _blocks(FileSlice(body.file, offset, end - offset)):
                self._sock.sendall(block)

    # The end -----------------------------------------------------------------------------------------------

    def _hang_up(self, *, reset: bool) -> None:
        if not reset:
            self._linger()
            return
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    def _linger(self) -> None:
        """Close in good order: a close with unread bytes would be a reset."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(_LINGER)
            while self._sock.recv(_BLOCK):
                pass


def _headers_of(event: h11.Request | h11.EndOfMessage) -> Headers:
    lines = event.headers.raw_items()
    return [(name.decode(), value.decode("utf-8", "surrogateescape")) for name, value in lines]


def _encoded(headers: Headers) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("utf-8", "surrogateescape")


def _blocks(body: bytes | FileSlice | FileSlices) -> Iterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    if isinstance(body, FileSlices):
        for part in body:
            yield from _blocks(part)
        return
    left = body.length
    body.file.seek(body.offset)
    while left and (block := body.file.read(min(_BLOCK, left))):
        left -= len(block)
        yield block
    if left:
        # The file is shorter than was announced.
        raise HangUp(reset=False)
