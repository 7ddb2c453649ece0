# SPDX-License-Identifier: Apache-2.0
"""TCP servers that follow a script of a test, to misbehave on real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Script = Callable[["Peer"], None]


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        #: Trailers of the last chunked body; names are in lower case.
        self.trailers: dict[str, str] = {}
        self._buffer = b""

    def read_head(self) -> str:
        """Read a request line and its headers; empty when the client is gone."""
        while b"\r\n\r\n" not in self._buffer:
            data = self._recv()
            if not data:
                return ""
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def read_chunked(self) -> bytes:
        """Read a chunked body, or its part before the client left, and set ``trailers``."""
        body = b""
        self.trailers = {}
        while size := int(self.read_line() or b"0", 16):
            body += self.read(size)
            self.read(2)
        while line := self.read_line().decode("latin-1"):
            name, _, value = line.partition(":")
            self.trailers[name.lower()] = value.strip()
        return body

    def read_line(self) -> bytes:
        """Read a line, without its end; empty when the client is gone."""
        while b"\r\n" not in self._buffer:
            data = self._recv()
            if not data:
                return b""
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def read(self, size: int) -> bytes:
        """Read `size` bytes, or fewer when the client has left."""
        while len(self._buffer) < size:
            data = self._recv()
            if not data:
                break
            self._buffer += data
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _recv(self) -> bytes:
        with contextlib.suppress(ConnectionError):
            return self.sock.recv(65536)
        return b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, status: int, body: bytes = b"", **headers: object) -> None:
        """Send a complete response, and keep the connection open."""
        lines = [f"HTTP/1.1 {status} Because"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if not any(name.lower() == "content_length" for name in headers):
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def wait_until_gone(self) -> None:
        """Block until the client closes its end."""
        while self._recv():
            pass

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.sock.close()


class ScriptedServer:
    """Server that runs the next script for each connection; the last one serves all further ones."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.errors: list[BaseException] = []
        self._peers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            self._peers.append(sock)
            thread = threading.Thread(target=self._play, args=(script, sock))
            self._threads.append(thread)
            thread.start()

    def _play(self, script: Script, sock: socket.socket) -> None:
        try:
            script(Peer(sock))
        except OSError:
            pass  # The client left, or the test is over.
        except BaseException as err:  # noqa: BLE001 - told to the test, whatever it is
            self.errors.append(err)
        finally:
            sock.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for sock in self._peers:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        assert not self.errors, self.errors


@contextlib.contextmanager
def serving(*scripts: Script) -> Iterator[ScriptedServer]:
    server = ScriptedServer(*scripts)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def full_backlog() -> Iterator[str]:
    """An address where connecting neither succeeds nor fails: its backlog is full."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    try:
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for sock in (*fillers, listener):
            sock.close()
