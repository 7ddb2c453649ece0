# SPDX-License-Identifier: Apache-2.0
"""Fake connections for the seam ``oio.api.io.http_connect``, as applications write them."""

from __future__ import annotations

import contextlib
import hashlib
import io as streams
from collections.abc import Iterator
from typing import Any

from oio.api import io

SYSMETA = {
    "id": "20BF2194FD420500CD4729AE0B5CBC07",
    "version": "1554086800000000",
    "content_path": "obj",
    "chunk_method": "plain/nb_copy=3",
    "policy": "THREECOPIES",
    "container_id": "7B6C" * 16,
    "full_path": "acct/ref/obj/1554086800000000/20BF2194FD420500CD4729AE0B5CBC07",
    "chunk_size": 100,
}
"""System metadata of the object whose chunks are written."""


class FakeResponse:
    """A response with what readers and writers use."""

    reason = "Because"

    def __init__(
        self, status: int, body: bytes = b"", headers: dict[str, Any] | None = None, cut: Any = None
    ):
        self.status = status
        self._headers = {"Content-Length": len(body), **(headers or {})}
        self._body = streams.BytesIO(body)
        self._cut = cut

    def getheader(self, name: str, default: Any = None) -> Any:
        return {k.lower(): v for k, v in self._headers.items()}.get(name.lower(), default)

    def getheaders(self) -> list[tuple[str, Any]]:
        return list(self._headers.items())

    def read(self, size: int) -> bytes:
        data = self._body.read(size)
        if not data and self._cut is not None:
            raise self._cut
        return data


class FakeConnection:
    """A connection that returns a prepared response, or computes one from the sent data."""

    def __init__(self, response: Any) -> None:
        self.response = response
        # Joined in place: a large body is sent in thousands of pieces.
        self._sent = bytearray()
        self.closed = 0

    def send(self, data: bytes) -> None:
        self._sent += data

    @property
    def sent(self) -> bytes:
        """Everything that was sent."""
        return bytes(self._sent)

    def getresponse(self) -> Any:
        response = self.response(self) if callable(self.response) else self.response
        if isinstance(response, BaseException):
            raise response
        return response

    def close(self) -> None:
        self.closed += 1

    @property
    def body(self) -> bytes:
        """The body, with the chunked coding removed."""
        return self._decoded()[0]

    @property
    def trailers(self) -> dict[str, str]:
        """Trailers after the body."""
        lines = self._decoded()[1].decode().split("\r\n")
        return dict(line.split(": ") for line in lines if line)

    def _decoded(self) -> tuple[bytes, bytes]:
        sent, body, at = self.sent, bytearray(), 0
        while at < len(sent):
            end = sent.index(b"\r\n", at)
            size, at = int(sent[at:end], 16), end + 2
            if not size:
                break
            body += sent[at : at + size]
            at += size + 2
        return bytes(body), sent[at:]


class Network:
    """Answers of chunk servers, and a record of the requests to them."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, str, str, dict[str, Any]]] = []
        self.connections: dict[str, FakeConnection] = {}

    def __call__(self, netloc: str, method: str, path: str, headers: dict[str, Any]) -> FakeConnection:
        self.calls.append((netloc, method, path, dict(headers)))
        answer = self.answers[netloc]
        if isinstance(answer, BaseException):
            raise answer
        connection = FakeConnection(answer)
        self.connections[netloc] = connection
        return connection


@contextlib.contextmanager
def at_the_seam(connect: Any) -> Iterator[None]:
    """Make ``connect`` open the connections to chunk servers."""
    real, io.http_connect = io.http_connect, connect
    try:
        yield
    finally:
        io.http_connect = real


@contextlib.contextmanager
def network(**answers: Any) -> Iterator[Network]:
    """Put a fake network at the seam."""
    fake = Network(**answers)
    with at_the_seam(fake):
        yield fake


def stored(connection: FakeConnection) -> FakeResponse:
    """The answer of a chunk server that has stored the sent data."""
    return FakeResponse(
        201,
        headers={
            "x-oio-chunk-meta-chunk-hash": hashlib.md5(connection.body).hexdigest().upper(),
            "x-oio-chunk-meta-chunk-size": str(len(connection.body)),
        },
    )


def chunks_on(*hosts: str, size: int = 1 << 20, digest: str = "0" * 32) -> list[dict[str, Any]]:
    return [
        {"url": f"http://{host}/{number:064X}", "pos": "0", "size": size, "hash": digest, "score": 50}
        for number, host in enumerate(hosts)
    ]


def counted_md5(monkeypatch: Any) -> list[str]:
    """Record each MD5 of the library: unlike those of tests, they are made with ``usedforsecurity``."""
    made: list[str] = []
    real = hashlib.md5

    def counting(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            made.append("md5")
        return real(*args, **kwargs)

    monkeypatch.setattr(hashlib, "md5", counting)
    return made
