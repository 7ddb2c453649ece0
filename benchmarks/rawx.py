# SPDX-License-Identifier: Apache-2.0
"""Bare chunk servers, which take and give data as fast as the kernel does: ``python -m benchmarks.rawx``.

They answer as a rawx does, as far as a client that makes no mistake can tell. Chunks of containers whose name
begins with "kept" are kept. Those of others are dropped: they are hashed when they have no more than a MiB;
beyond, the answer has no hash, like that of a rawx that is told to compute none. So the servers are not what
is measured.

``POST /delay`` with ``X-Seconds`` makes one server wait before each answer, and with every 4 MiB of data.
``POST /forget`` removes the chunks of all.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final, Protocol
from urllib.parse import unquote

HASHED: Final = 1 << 20
"""Bytes of the largest dropped chunk that is hashed."""
_IN_MEMORY: Final = 1 << 20
_BUFFER: Final = 1 << 20
_STEP: Final = 4 << 20
"""Bytes of data with which a slow server waits once."""
_LINE: Final = 1 << 16
_META: Final = "x-oio-chunk-meta-"
_REASONS: Final = {
    200: "OK",
    201: "Created",
    204: "No Content",
    206: "Partial Content",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    412: "Precondition Failed",
    416: "Requested Range Not Satisfiable",
    418: "I'm a teapot",
}

Headers = dict[str, str]
Take = Callable[[memoryview], object]


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


@dataclass(frozen=True)
class _Chunk:
    """A chunk that is kept: small ones in memory, others in a file."""

    size: int
    headers: Headers
    data: bytes | None
    path: str


class _Connection:
    """Buffered bytes of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._begin = self._end = 0
        self._passed = 0
        #: Seconds to wait for each 4 MiB of data.
        self.delay = 0.0

    def until(self, mark: bytes) -> bytes | None:
        """Return the bytes before a mark; None at the end of the connection."""
        while (at := self._buffer.find(mark, self._begin, self._end)) < 0:
            if self._begin:
                self._buffer[: self._end - self._begin] = self._buffer[self._begin : self._end]
                self._begin, self._end = 0, self._end - self._begin
            received = self.sock.recv_into(self._view[self._end : self._end + _LINE])
            if not received:
                return None
            self._end += received
        found = bytes(self._view[self._begin : at])
        self._begin = at + len(mark)
        return found

    def pass_on(self, size: int, take: Take | None) -> None:
        """Give the next bytes to `take`; without it, they never leave the kernel."""
        buffered = min(size, self._end - self._begin)
        if buffered and take is not None:
            take(self._view[self._begin : self._begin + buffered])
        self._begin += buffered
        self.wait_for(size)
        left = size - buffered
        if left:
            self._begin = self._end = 0
        while left:
            flags = 0 if take is not None else socket.MSG_TRUNC
            received = self.sock.recv_into(self._view[: min(left, _BUFFER)], 0, flags)
            if not received:
                raise ConnectionError("the body ends early")
            if take is not None:
                take(self._view[:received])
            left -= received

    def wait_for(self, size: int) -> None:
        """Wait as long as a slow server takes for so many more bytes."""
        before, self._passed = self._passed // _STEP, self._passed + size
        if self.delay:
            time.sleep(self.delay * (self._passed // _STEP - before))


class _Body:
    """Receiver of the body of a PUT."""

    def __init__(self, digest: _Hash, kept: str | None) -> None:
        self.size = 0
        self.blocks: list[bytes] = []
        self.path = ""
        self._digest: _Hash | None = digest
        self._kept = kept is not None
        self._file = None if kept is None else tempfile.NamedTemporaryFile(dir=kept, delete=False)  # noqa: SIM115

    def receive(self, connection: _Connection, size: int) -> None:
        """Receive a part of it."""
        self.size += size
        if not self._kept and self.size > HASHED:
            self._digest = None
        connection.pass_on(size, self._take if self._kept or self._digest is not None else None)

    def _take(self, block: memoryview) -> None:
        if self._digest is not None:
            self._digest.update(block)
        if self._file is not None:
            self._file.write(block)

    def close(self) -> bytes | None:
        """Return the received data if small, else their file, to be kept."""
        if self._file is None:
            return None
        with self._file:
            self._file.flush()
            if self.size > _IN_MEMORY:
                self.path = self._file.name
                return None
            self._file.seek(0)
            data = self._file.read()
        os.unlink(self._file.name)
        return data

    @property
    def checksum(self) -> str | None:
        """In hexadecimal digits."""
        return None if self._digest is None else self._digest.hexdigest().upper()


class Servers:
    """Chunk servers of one process, on ports of their own.

    :param directory: for the chunks that are kept
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._chunks: dict[str, _Chunk] = {}
        self._delays: dict[str, float] = {}

    def listen(self, host: str) -> str:
        """Start one; returns its address."""
        listener = socket.create_server((host, 0), backlog=512)
        address = "{}:{}".format(*listener.getsockname())
        threading.Thread(target=self._accept, args=(listener, address), daemon=True).start()
        return address

    def _accept(self, listener: socket.socket, address: str) -> None:
        while True:
            sock = listener.accept()[0]
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(sock, address), daemon=True).start()

    def _serve(self, sock: socket.socket, address: str) -> None:
        # A client that hangs up, even in the middle of a body, is no failure here.
        with sock, contextlib.suppress(ConnectionError):
            connection = _Connection(sock)
            while (head := connection.until(b"\r\n\r\n")) is not None:
                first, *lines = head.decode("latin-1").split("\r\n")
                method, target, _ = first.split(" ")
                pairs = (line.partition(":") for line in lines)
                headers = {name.lower(): value.strip() for name, _, value in pairs}
                name = target.strip("/").upper()
                connection.delay = self._delays.get(address, 0.0)
                if method == "POST":
                    self._control(connection, name, address, headers)
                elif headers.get("host") != address:
                    self._answer(connection, 418, headers)
                elif method == "PUT":
                    self._put(connection, name, headers)
                else:
                    time.sleep(connection.delay)
                    self._find(connection, method, name, headers)

    def _control(self, connection: _Connection, name: str, address: str, headers: Headers) -> None:
        connection.pass_on(int(headers.get("content-length", "0")), None)
        if name == "DELAY":
            self._delays[address] = float(headers["x-seconds"])
        else:
            for chunk in list(self._chunks):
                self._remove(chunk)
        self._answer(connection, 204, headers)

    def _remove(self, name: str) -> None:
        chunk = self._chunks.pop(name)
        if chunk.path:
            os.unlink(chunk.path)

    # --- PUT

    def _put(self, connection: _Connection, name: str, headers: Headers) -> None:
        meta = {key: value for key, value in headers.items() if key.startswith(_META)}
        container = unquote(meta.get(f"{_META}full-path", "//").split("/")[1])
        method = meta.get(f"{_META}content-chunk-method", "")
        body = _Body(_new_hash(method), self._directory if container.startswith("kept") else None)
        announced = headers.get("content-length")
        if announced is not None:
            body.receive(connection, int(announced))
        else:
            meta |= _receive_chunked(connection, body)
        data = body.close()
        time.sleep(connection.delay)
        stored = {f"{_META}chunk-size": str(body.size), f"{_META}oio-version": "4.2"}
        if body.checksum is not None:
            stored[f"{_META}chunk-hash"] = body.checksum
        refusal = self._refusal(name, method, meta, stored)
        if refusal is None and (data is not None or body.path):
            self._chunks[name] = _Chunk(body.size, meta | stored, data, body.path)
        elif body.path:
            os.unlink(body.path)
        if refusal is not None:
            self._answer(connection, refusal, headers)
        else:
            self._answer(connection, 201, headers, stored | {"connection": "keep-alive"})

    def _refusal(self, name: str, method: str, meta: Headers, stored: Headers) -> int | None:
        mandatory = ["full-path", "chunk-pos", "content-chunk-method", "content-storage-policy"]
        if method.startswith("ec/"):
            mandatory += ["metachunk-size", "metachunk-hash"]
        if any(f"{_META}{key}" not in meta for key in mandatory):
            return 400
        if name in self._chunks:
            return 409
        for key in ("chunk-size", "chunk-hash"):
            given, found = (values.get(f"{_META}{key}") for values in (meta, stored))
            if given is not None and found is not None and given.upper() != found:
                return 400
        return None

    # --- GET, HEAD, DELETE

    def _find(self, connection: _Connection, method: str, name: str, headers: Headers) -> None:
        chunk = self._chunks.get(name)
        if chunk is None:
            self._answer(connection, 404, headers)
        elif method == "DELETE":
            self._remove(name)
            self._answer(connection, 204, headers)
        elif method == "HEAD":
            failed = "x-oio-check-hash" in headers and not _is_sound(chunk)
            found = chunk.headers | {"content-length": str(chunk.size), "accept-ranges": "bytes"}
            self._answer(connection, *((412, headers) if failed else (200, headers, found)))
        elif method == "GET":
            self._get(connection, chunk, headers)
        else:
            self._answer(connection, 405, headers)

    def _get(self, connection: _Connection, chunk: _Chunk, headers: Headers) -> None:
        status, first, last = 200, 0, chunk.size - 1
        asked = headers.get("range", "")
        if asked and chunk.size:
            begin, end = map(int, asked.removeprefix("bytes=").split("-"))
            if begin >= chunk.size:
                self._answer(connection, 416, headers)
                return
            status, first, last = 206, begin, min(end, last)
        size = last - first + 1
        answer = chunk.headers | {"content-length": str(size)}
        if status == 206:
            answer["content-range"] = f"bytes {first}-{last}/{chunk.size}"
        if chunk.data is not None:
            self._answer(connection, status, headers, answer, chunk.data[first : last + 1])
            return
        self._answer(connection, status, headers, answer)
        with open(chunk.path, "rb") as file:
            while size:
                sent = os.sendfile(connection.sock.fileno(), file.fileno(), first, min(size, _STEP))
                connection.wait_for(sent)
                first, size = first + sent, size - sent

    @staticmethod
    def _answer(
        connection: _Connection,
        status: int,
        request: Headers,
        found: Headers | None = None,
        body: bytes = b"",
    ) -> None:
        headers = {"date": formatdate(usegmt=True), **(found or {})}
        if status != 204:
            headers.setdefault("content-length", "0")
        if "x-oio-req-id" in request:
            headers["x-oio-req-id"] = request["x-oio-req-id"][:63]
        lines = "".join(f"{name.title()}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\n{lines}\r\n".encode("latin-1")
        connection.sock.sendall(head + body)


def _receive_chunked(connection: _Connection, body: _Body) -> Headers:
    """Receive a body in chunked transfer coding; returns its trailers."""
    while (line := connection.until(b"\r\n")) is not None:
        size = int(line, 16)
        if not size:
            trailers: Headers = {}
            while line := connection.until(b"\r\n"):
                name, _, value = line.decode("latin-1").partition(":")
                trailers[name.lower()] = value.strip()
            return trailers
        body.receive(connection, size)
        connection.until(b"\r\n")
    raise ConnectionError("the body ends early")


def _new_hash(method: str) -> _Hash:
    if "cca=blake3" in method:
        from blake3 import blake3

        return blake3()
    return hashlib.md5(usedforsecurity=False)


def _is_sound(chunk: _Chunk) -> bool:
    digest = _new_hash(chunk.headers[f"{_META}content-chunk-method"])
    if chunk.data is not None:
        digest.update(memoryview(chunk.data))
    else:
        buffer = memoryview(bytearray(_BUFFER))
        with open(chunk.path, "rb", buffering=0) as file:
            while size := file.readinto(buffer):
                digest.update(buffer[:size])
    return digest.hexdigest().upper() == chunk.headers[f"{_META}chunk-hash"]


def main() -> None:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rawx", description=__doc__)
    parser.add_argument("--count", type=int, default=9, help="how many (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--directory", help="for the chunks that are kept (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="benchmarks-rawx-") as directory:
        servers = Servers(directory)
        print(json.dumps([servers.listen(options.host) for _ in range(options.count)]), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
