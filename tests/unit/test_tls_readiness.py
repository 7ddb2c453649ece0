# SPDX-License-Identifier: Apache-2.0
"""What a connection over TLS can be read for: data and its end, not what TLS itself has to say."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from oio.common import green
from oio.common.http_keepalive import ConnectionPool
from tests.kit.scripted import Peer, serving
from tests.kit.tls import CERTIFICATE, speak_tls


class Speaker:
    """Server with session tickets, which does a thing after the other when it is told to."""

    def __init__(self, *steps: Callable[[Peer], object]) -> None:
        self._steps = steps
        self._told = threading.Semaphore(0)
        self._done = threading.Semaphore(0)
        self._is_over = False

    def __call__(self, peer: Peer) -> None:
        with speak_tls(peer):
            # Its tickets are on their way now.
            self._done.release()
            for step in self._steps:
                assert self._told.acquire(timeout=60)
                if self._is_over:
                    return
                step(peer)
                self._done.release()
            peer.wait_until_gone()

    def wait(self) -> None:
        assert self._done.acquire(timeout=60)

    def next(self) -> None:
        self._told.release()
        self.wait()

    def end(self) -> None:
        self._is_over = True
        self._told.release()


@contextlib.contextmanager
def connected(speaker: Speaker) -> Iterator[Any]:
    with serving(speaker) as server:
        host, port = server.address.split(":")
        raw = green.create_connection((host, int(port)))
        sock = green.create_ssl_context(CERTIFICATE).wrap_socket(raw, server_hostname=host)
        try:
            speaker.wait()
            yield sock
        finally:
            sock.close()
            speaker.end()


def say(data: bytes) -> Callable[[Peer], object]:
    return lambda peer: peer.send(data)


def hang_up(peer: Peer) -> None:
    peer.sock.shutdown(socket.SHUT_WR)


def in_green_thread(function: Callable[[], Any]) -> Any:
    with green.ContextPool(1) as pool:
        return pool.spawn(function).wait()


def here(function: Callable[[], Any]) -> Any:
    return function()


@pytest.fixture(params=[here, in_green_thread])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Any]], Any]:
    runner: Callable[[Callable[[], Any]], Any] = request.param
    return runner


def test_tickets_are_nothing_to_read(run):
    speaker = Speaker(say(b"hello"))
    with connected(speaker) as sock:
        assert green.wait_any([sock], 0.0) == []
        assert not green.is_readable(sock)
        assert run(lambda: green.wait_any([sock], 0.01)) == []
        speaker.next()
        assert run(lambda: green.wait_any([sock])) == [sock]


def test_what_was_looked_for_is_still_there():
    speaker = Speaker(say(b"hello"), say(b" world"))
    with connected(speaker) as sock:
        speaker.next()
        assert green.wait_any([sock]) == [sock]
        for _ in range(2):
            assert green.wait_any([sock], 0.0) == [sock]
            assert green.is_readable(sock)
        assert sock.recv(2) == b"he"
        # What is left was taken from the connection already.
        assert green.wait_any([sock], 0.0) == [sock]
        buffer = bytearray(16)
        assert (sock.recv_into(buffer), bytes(buffer[:3])) == (3, b"llo")
        assert green.wait_any([sock], 0.0) == []
        speaker.next()
        assert green.wait_any([sock]) == [sock]
        with sock.makefile("rb") as file:
            assert file.read(6) == b" world"


def test_one_byte_at_a_time():
    speaker = Speaker(say(b"ab"))
    with connected(speaker) as sock:
        speaker.next()
        assert green.wait_any([sock]) == [sock]
        assert green.is_readable(sock)
        assert [sock.read(1), sock.read(1)] == [b"a", b"b"]


def test_the_end_is_something_to_read(run):
    speaker = Speaker(hang_up)
    with connected(speaker) as sock:
        assert green.wait_any([sock], 0.0) == []
        speaker.next()
        assert run(lambda: green.wait_any([sock])) == [sock]
        assert green.is_readable(sock)
        assert sock.recv(1) == b""


def test_one_that_speaks_among_others_that_only_have_tickets(run):
    speaker, silent = Speaker(say(b"hello")), Speaker()
    with connected(speaker) as sock, connected(silent) as other:
        speaker.next()
        assert run(lambda: green.wait_any([other, sock])) == [sock]


def test_new_connection_is_as_good_as_one_that_was_used():
    class Connection:
        def __init__(self, sock: Any) -> None:
            self.sock = sock

        def close(self) -> None:
            self.sock.close()

    class Owner:
        pass

    pool, owner, speaker = ConnectionPool(), Owner(), Speaker(hang_up)
    release = pool.hold(owner)
    with connected(speaker) as sock:
        pool.give("key", Connection(sock))
        assert pool.kept_for(["key"])[0]
        kept = pool.take("key")
        assert kept.sock is sock
        pool.give("key", kept)
        speaker.next()
        assert green.wait_any([sock]) == [sock]
        assert not pool.kept_for(["key"])[0]
        assert pool.take("key") is None
    release()
