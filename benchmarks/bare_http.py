# SPDX-License-Identifier: Apache-2.0
"""Requests of the bare client: kept connections, bodies in chunked transfer coding, answers."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any

BLOCK = 1 << 20
"""Bytes read, encoded and sent at once: the segment of erasure coding."""
SMALL = 1 << 16
"""Bytes up to which copying a block into its frame is cheaper than another system call."""


class Connections:
    """Kept connections, one to each service, for one thread."""

    def __init__(self) -> None:
        self._kept: dict[str, HTTPConnection] = {}

    def close(self) -> None:
        for connection in self._kept.values():
            connection.close()

    def send(self, netloc: str, method: str, path: str, body: Any = None, **headers: str) -> HTTPConnection:
        connection = self._kept.get(netloc)
        if connection is None:
            connection = self._kept[netloc] = HTTPConnection(netloc)
        chunked = headers.get("Transfer-Encoding") == "chunked"
        connection.putrequest(method, path, skip_accept_encoding=True)
        # The proxy closes after each answer unless it is asked not to.
        connection.putheader("Connection", "keep-alive")
        if body is not None and not chunked:
            connection.putheader("Content-Length", str(len(body)))
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection


def frame(block: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(block), block)


def send_block(connection: HTTPConnection, block: bytes) -> None:
    if len(block) <= SMALL:
        connection.send(frame(block))
    else:
        connection.send(b"%x\r\n" % len(block))
        connection.send(block)
        connection.send(b"\r\n")


def answer(connection: HTTPConnection, *expected: int) -> HTTPResponse:
    response = connection.getresponse()
    if response.status not in expected:
        raise OSError(f"HTTP {response.status} {response.read()!r}")
    return response


def body_of(response: HTTPResponse, size: int) -> Iterator[bytes]:
    """Blocks of a body of the right length."""
    while size:
        block = response.read(min(BLOCK, size))
        if not block:
            raise OSError(f"a body ends {size} bytes early")
        size -= len(block)
        yield block
    response.read()
