# SPDX-License-Identifier: Apache-2.0
"""A bare HTTP client: tests write its requests themselves, and see responses as received."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Lines = Sequence[tuple[str, str]]

#: A server that never answers fails the test, rather than hanging it.
_PATIENCE = 30


@dataclass(frozen=True)
class Answer:
    """One response, with ``headers`` in their original order and spelling."""

    first_line: str
    headers: Lines
    body: bytes

    @property
    def status(self) -> int:
        return int(self.first_line.split()[1])

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.headers]

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class RawSocket:
    """One connection to ``address`` (``host:port``)."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.address = address
        self.sock = socket.create_connection((host, int(port)), timeout=_PATIENCE)
        self._unread = b""

    def __enter__(self) -> RawSocket:
        return self

    def __exit__(self, *_: Any) -> None:
        self.sock.close()

    def ask(self, method: str, target: str, headers: Lines = (), body: bytes | None = None) -> Answer:
        """Send a request and return its answer; ``Host`` and ``Content-Length`` are added."""
        lines = [("Host", self.address), *headers]
        if body is not None:
            lines.append(("Content-Length", str(len(body))))
        self.send(head(method, target, lines) + (body or b""))
        return self.answer(method)

    def ask_chunked(self, target: str, headers: Lines, blocks: Iterable[bytes]) -> Answer:
        """PUT a chunked body, one chunk for each block."""
        self.begin_chunked(target, headers)
        for block in blocks:
            self.send(chunk(block))
        self.send(b"0\r\n\r\n")
        return self.answer("PUT")

    def begin_chunked(self, target: str, headers: Lines) -> None:
        """Send the head of a PUT with a chunked body."""
        lines = [("Host", self.address), *headers, ("Transfer-Encoding", "chunked")]
        self.send(head("PUT", target, lines))

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, method: str = "GET") -> Answer:
        """Receive one response."""
        raw = self.read_until(b"\r\n\r\n")
        first_line, *lines = raw.decode("utf-8", "surrogateescape").split("\r\n")[:-2]
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        answer = Answer(first_line, headers, b"")
        if method == "HEAD" or answer.status in {100, 204}:
            return answer
        length = answer.get("content-length")
        body = self.rest() if length is None else self.read(int(length))
        return Answer(first_line, headers, body)

    def read_until(self, end: bytes) -> bytes:
        while end not in self._unread:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError(f"connection closed after {self._unread!r}")
            self._unread += more
        found, _, self._unread = self._unread.partition(end)
        return found + end

    def read(self, size: int) -> bytes:
        """Receive exactly ``size`` bytes, or fewer at the end of the connection."""
        while len(self._unread) < size and (more := self.sock.recv(1 << 20)):
            self._unread += more
        found, self._unread = self._unread[:size], self._unread[size:]
        return found

    def rest(self) -> bytes:
        """Receive everything up to the end of the connection."""
        blocks = [self._unread]
        self._unread = b""
        while more := self.sock.recv(1 << 20):
            blocks.append(more)
        return b"".join(blocks)

    def is_closed(self) -> bool:
        """Wait for the next data; return whether the connection has ended instead."""
        return not self._unread and not self.sock.recv(1)


def head(method: str, target: str, headers: Lines) -> bytes:
    return f"{method} {target} HTTP/1.1\r\n".encode() + rendered(headers) + b"\r\n"


def rendered(headers: Lines) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode()


def chunk(block: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(block), block)
