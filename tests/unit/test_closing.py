# SPDX-License-Identifier: Apache-2.0
"""Closing connections: it always reaches the other side, and never fails."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import SimpleNamespace

import pytest

from oio.api.io import close_source
from oio.common import exceptions as exc
from oio.common import green
from oio.common.http_api import HttpApi
from oio.common.http_eventlet import http_connect
from oio.common.http_keepalive import shutdown_and_close
from tests.kit.scripted import Peer, serving


@pytest.mark.pitfall(2)
def test_the_other_side_learns_of_a_close_though_the_socket_is_held_elsewhere():
    ours, theirs = socket.socketpair()
    with ours.dup(), theirs:
        shutdown_and_close(ours)
        theirs.settimeout(10)
        assert theirs.recv(1) == b""


@pytest.mark.pitfall(2, 7)
def test_a_socket_that_is_closed_or_was_never_connected_or_is_none_is_closed_without_a_word():
    sock = socket.socket()
    for _ in range(2):
        shutdown_and_close(sock)
    shutdown_and_close(None)
    assert sock.fileno() == -1


class Stubborn:
    """A connection that does not let itself be closed."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.asked = 0

    def close(self) -> None:
        self.asked += 1
        raise self.error


@pytest.mark.pitfall(7)
@pytest.mark.parametrize("error", [OSError("gone"), ValueError("closed"), green.ChunkReadTimeout()])
def test_closing_a_source_never_fails(error):
    connection = Stubborn(error)
    close_source(SimpleNamespace(conn=connection))
    assert connection.asked == 1


@pytest.mark.pitfall(7)
@pytest.mark.parametrize(
    "source", [None, SimpleNamespace(), SimpleNamespace(conn=None), SimpleNamespace(conn=object())]
)
def test_a_source_without_a_connection_is_closed_already(source):
    assert close_source(source) is None


@pytest.mark.pitfall(6, 7)
def test_a_connection_closed_by_two_green_threads_while_it_is_read():
    def stall(peer: Peer) -> None:
        peer.read_head()
        peer.answer(200, b"some", Content_Length=100)
        peer.wait_until_gone()

    errors = []

    def read(response):
        try:
            while response.read(10):
                pass
        except OSError as err:
            errors.append(err)

    with serving(stall) as server:
        connection = http_connect(server.address, "GET", "/0A")
        response = connection.getresponse()
        with green.Timeout(20), green.ContextPool(3) as pool:
            reader = pool.spawn(read, response)
            green.sleep(0)
            for closer in [pool.spawn(connection.close) for _ in range(2)]:
                closer.wait()
            reader.wait()
        connection.close()
    # The end of the data is as good as an error: bytes are counted elsewhere.
    assert reader.dead
    assert len(errors) <= 1


@pytest.fixture
def silent():
    """A server that accepts, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


@pytest.mark.parametrize("has_waited", [False, True])
def test_a_wait_on_a_closed_socket_is_an_error_of_the_network(silent, has_waited):
    sock = green.create_connection(silent, timeout=0.01)
    if has_waited:
        with pytest.raises(TimeoutError):
            sock.await_data()
    sock.close()

    def answer():
        # As answers are waited for: what is there is read next.
        sock.await_data()
        return sock.recv(1)

    def wait():
        with pytest.raises(OSError, match="Bad file descriptor"):
            answer()

    wait()
    # With others to run, the hub waits.
    with green.ContextPool(2) as pool:
        waiter = pool.spawn(wait)
        pool.spawn(green.sleep, 1)
        waiter.wait()


def test_a_connection_closed_while_an_answer_is_waited_for_fails_the_request(silent):
    """By another green thread, and then by another OS thread."""
    asked = threading.Event()

    def never(peer: Peer) -> None:
        peer.read_head()
        asked.set()
        peer.wait_until_gone()

    with serving(never) as server, HttpApi(f"http://{server.address}", read_timeout=1.5) as api:
        pool = api.pool_manager.connection_from_url(f"http://{server.address}")
        known = []

        class Known(pool.ConnectionCls):
            def connect(self):
                super().connect()
                known.append(self.sock)

        pool.ConnectionCls = Known

        def request():
            with pytest.raises(exc.OioNetworkException):
                # Which changes something, and is not asked again.
                api._request("POST", "/route")

        with green.ContextPool(1) as threads:
            waiter = threads.spawn(request)
            while not asked.is_set():
                green.sleep(0)
            known[0].close()
            # The next socket has the same descriptor: the hub notices.
            with contextlib.closing(green.create_connection(silent)):
                waiter.wait()
        asked.clear()
        closer = threading.Thread(target=lambda: (asked.wait(), known[-1].close()))
        closer.start()
        request()
        closer.join()
    assert len(known) == 2
