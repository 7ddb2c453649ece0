# SPDX-License-Identifier: Apache-2.0
"""Sources of uploads that behave in unusual ways: late, cut short, broken."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import threading
import tty
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any


class Late:
    """A non-blocking pipe into which the next block is written whenever a read finds it empty."""

    def __init__(self, blocks: Sequence[bytes], buffering: int = 0) -> None:
        reading, self._writing = os.pipe()
        os.set_blocking(reading, False)
        self._file: Any = open(reading, "rb", buffering=buffering)  # noqa: SIM115 - closed at the end
        self._blocks = list(blocks)
        self.empty = 0

    def fileno(self) -> int:
        return int(self._file.fileno())

    def read(self, size: int) -> bytes | None:
        found: bytes | None = self._file.read(size)
        if found is None:
            self.empty += 1
            if self._blocks:
                os.write(self._writing, self._blocks.pop(0))
            else:
                self.close_writer()
        return found

    def close_writer(self) -> None:
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def __enter__(self) -> Late:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_writer()
        self._file.close()


class Silent:
    """A pipe into which nobody ever writes."""

    def __init__(self, *, watched: bool) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._file = open(self._reading, "rb", buffering=0)  # noqa: SIM115 - closed at the end
        if watched:
            self.fileno = self._file.fileno
        self.read = self._file.read

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._writing)
        self._file.close()


class Listed:
    """A file that returns or raises the items of a list, and counts reads after its end."""

    def __init__(self, *found: Any) -> None:
        self._found = list(found)
        self.ended = False
        self.asked_after_end = 0

    def read(self, _size: int) -> Any:
        if self.ended:
            self.asked_after_end += 1
            return b"after the end"
        found = self._found.pop(0) if self._found else b""
        if isinstance(found, BaseException):
            raise found
        self.ended = found == b""
        return found


@contextlib.contextmanager
def terminal(typed: bytes, buffering: int) -> Iterator[Any]:
    """A terminal at which somebody has typed; ``^D`` is ``\\x04``."""
    master, slave = os.openpty()
    try:
        attributes = tty.tcgetattr(slave)  # type: ignore[attr-defined]
        attributes[3] &= ~tty.ECHO  # type: ignore[attr-defined]
        tty.tcsetattr(slave, tty.TCSANOW, attributes)  # type: ignore[attr-defined]
        os.write(master, typed)
        with open(slave, "rb", buffering=buffering) as file:
            yield file
    finally:
        os.close(master)


@contextlib.contextmanager
def response(raw: bytes) -> Iterator[Any]:
    """Response of ``urlopen`` to a raw answer, after which the server hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            sock, _ = server.accept()
            with sock:
                while b"\r\n\r\n" not in sock.recv(65536):
                    pass
                sock.sendall(raw)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as answer:
                yield answer
        finally:
            thread.join()


def announced(length: int, body: bytes) -> bytes:
    """Raw answer that announces a length."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (length, body)


def chunked(*chunks: bytes) -> bytes:
    """Raw answer in chunks, without the last one."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


def dying(blocks: Sequence[bytes]) -> Iterator[bytes]:
    """A generator that ends by a stray ``StopIteration`` in the middle of its data."""
    it = iter(blocks)
    while True:
        yield next(it) + next(it)


def around(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """A generator around another one."""
    yield from blocks


def telling(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """A generator that raises a new error from that of another one."""
    try:
        yield from blocks
    except RuntimeError as err:
        raise RuntimeError("the inner one died") from err


def buffered(blocks: Iterator[bytes]) -> io.BufferedReader:
    """A buffered file around a generator."""
    from oio.common.utils import GeneratorIO

    return io.BufferedReader(GeneratorIO(blocks))
