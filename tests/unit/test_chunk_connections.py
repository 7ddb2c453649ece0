# SPDX-License-Identifier: Apache-2.0
"""Kept-alive connections to chunk servers, over real sockets."""

from __future__ import annotations

import array
import contextlib
import gc
import socket
import threading

import pytest

from oio.blob.client import BlobClient
from oio.common import green, http_eventlet
from oio.common.http_eventlet import CustomHttpConnection, http_connect
from oio.common.http_keepalive import ConnectionPool
from tests.kit.scripted import Peer, serving


class Owner:
    """Somebody who wants connections to be kept."""


@pytest.fixture
def pool(monkeypatch):
    pool = ConnectionPool()
    monkeypatch.setattr(http_eventlet, "POOL", pool)
    owner = Owner()
    release = pool.hold(owner)
    yield pool
    release()
    assert len(pool) == 0


def get(address, path="/0A"):
    connection = http_connect(address, "GET", path, {"x-test": 1})
    try:
        return connection.getresponse().read()
    finally:
        connection.close()


def put(address, *blocks):
    connection = http_connect(address, "PUT", "/0A", {"transfer-encoding": "chunked"})
    try:
        for block in (*blocks, b""):
            connection.send(b"%x\r\n%b\r\n" % (len(block), block))
        return connection.getresponse().status
    finally:
        connection.close()


def answer_always(peer: Peer) -> None:
    while peer.read_head():
        peer.answer(200, b"hello")


def talkative(gone: list[bool]):
    """A server that announces more than it says, and notes when its client has left."""

    def serve(peer: Peer) -> None:
        peer.read_head()
        peer.answer(200, b"x" * 10, Content_Length=1 << 20)
        peer.wait_until_gone()
        gone.append(True)

    return serve


def answer_once(peer: Peer) -> None:
    peer.read_head()
    peer.answer(200, b"hello")


def answer_once_then_drop(peer: Peer) -> None:
    answer_once(peer)
    peer.read_head()


@pytest.mark.pitfall(135)
def test_a_connection_whose_response_was_read_serves_the_next_request(pool):
    with serving(answer_always) as server:
        assert [get(server.address) for _ in range(3)] == [b"hello"] * 3
        assert server.connections == 1
        assert len(pool) == 1


def test_the_request_is_quoted_and_its_headers_are_sent_as_text(pool):
    heads = []

    def note(peer):
        heads.append(peer.read_head())
        peer.answer(200)

    with serving(note) as server:
        connection = http_connect(server.address, "GET", "é/a b", {"x-one": 1, "x-many": ["a", "b"]}, "q=1")
        assert connection.getresponse().status == 200
        connection.close()
    line, *headers = heads[0].split("\r\n")
    assert line == "GET /%C3%A9/a%20b?q=1 HTTP/1.1"
    assert {"x-one: 1", "x-many: a", "x-many: b"} <= set(headers)


@pytest.mark.pitfall(4, 1)
def test_a_response_that_was_not_read_closes_its_connection(pool):
    gone = []
    with serving(talkative(gone)) as server:
        connection = http_connect(server.address, "GET", "/0A")
        assert connection.getresponse().read(5) == b"xxxxx"
        connection.close()
        assert len(pool) == 0
    assert gone == [True]


@pytest.mark.pitfall(7)
def test_closing_twice_is_harmless_and_gives_the_connection_back_once(pool):
    with serving(answer_always) as server:
        connection = http_connect(server.address, "GET", "/0A")
        connection.getresponse().read()
        connection.close()
        connection.close()
        assert len(pool) == 1


class ClosingToo:
    """Lets another OS thread close the same connection, in the middle of its end."""

    connection = None

    def close_too(self):
        connection, self.connection = self.connection, None
        if connection is not None:
            thread = threading.Thread(target=connection.close)
            thread.start()
            thread.join()


class PoolClosingToo(ConnectionPool, ClosingToo):
    def give(self, key, connection):
        self.close_too()
        super().give(key, connection)


class SocketClosingToo(socket.socket, ClosingToo):
    is_cut = False

    def shutdown(self, how):
        self.close_too()
        super().shutdown(how)

    def recv_into(self, *args):
        if self.is_cut:
            self.close_too()
            raise ConnectionResetError("cut")
        return super().recv_into(*args)


def kept(address):
    """A connection that is kept, over a socket that lets it be closed."""
    own = CustomHttpConnection(address)
    own.sock = SocketClosingToo()
    host, port = address.split(":")
    own.sock.connect((host, int(port)))
    return own


@pytest.mark.pitfall(7)
def test_connection_that_two_threads_close_at_once_is_given_back_once(monkeypatch):
    pool, owner = PoolClosingToo(), Owner()
    monkeypatch.setattr(http_eventlet, "POOL", pool)
    release = pool.hold(owner)
    with serving(answer_always) as server:
        pool.connection = connection = http_connect(server.address, "GET", "/0A")
        connection.getresponse().read()
        connection.close()
        # Two requests at once would get each other's answers.
        assert len(pool) == 1
        assert pool.connection is None
        release()


@pytest.mark.pitfall(7)
def test_connection_that_two_threads_close_at_once_before_its_end_is_closed(pool):
    gone = []
    with serving(talkative(gone)) as server:
        own = kept(server.address)
        own.sock.connection = connection = http_connect(server.address, "GET", "/0A", kept=own)
        assert connection.getresponse().read(5) == b"xxxxx"
        connection.close()
        assert len(pool) == 0
    assert gone == [True]


@pytest.mark.pitfall(7)
def test_kept_connection_that_is_cut_and_closed_by_another_thread_is_not_replaced(pool):
    with serving(answer_always) as server:
        own = kept(server.address)
        own.sock.is_cut = True
        own.sock.connection = connection = http_connect(server.address, "GET", "/0A", kept=own)
        with pytest.raises(ConnectionResetError, match="cut"):
            connection.getresponse()
        # So it is before another connection is made.
        assert not connection.said_twice


@pytest.mark.pitfall(135)
def test_a_kept_connection_that_the_server_closed_is_not_used(pool):
    with serving(answer_once, answer_always) as server:
        assert get(server.address) == b"hello"
        assert get(server.address) == b"hello"
        assert server.connections == 2


@pytest.mark.pitfall(135)
def test_a_kept_connection_that_dies_before_the_first_byte_is_replaced_once(pool):
    with serving(answer_once_then_drop, answer_always) as server:
        assert get(server.address) == b"hello"
        assert get(server.address) == b"hello"
        assert server.connections == 2


def test_a_fresh_connection_that_dies_is_not_replaced(pool):
    with serving(lambda peer: peer.read_head()) as server:
        connection = http_connect(server.address, "GET", "/0A")
        with pytest.raises(ConnectionError):
            connection.getresponse()
        connection.close()
        assert server.connections == 1


@pytest.mark.pitfall(135)
def test_an_upload_is_said_again_when_its_kept_connection_was_dead(pool):
    bodies = []

    def store(peer):
        assert peer.read_head().startswith("PUT")
        bodies.append(peer.read_chunked())
        peer.answer(201)

    with serving(answer_once_then_drop, store) as server:
        assert get(server.address) == b"hello"
        assert put(server.address, b"some", b"bytes") == 201
    assert bodies == [b"somebytes"]


def test_a_stored_chunk_leaves_its_connection_to_the_next(pool):
    def store(peer):
        while peer.read_head():
            peer.read_chunked()
            peer.answer(201)

    with serving(store) as server:
        assert [put(server.address, b"data"), put(server.address, b"data")] == [201, 201]
        assert server.connections == 1


def test_a_refused_upload_does_not_keep_its_connection(pool):
    def refuse(peer):
        peer.read_head()
        peer.read_chunked()
        peer.answer(409)

    with serving(refuse) as server:
        assert put(server.address, b"data") == 409
        assert len(pool) == 0


def test_without_anybody_to_hold_them_connections_are_not_kept(monkeypatch):
    pool = ConnectionPool()
    monkeypatch.setattr(http_eventlet, "POOL", pool)
    with serving(answer_always) as server:
        get(server.address)
        assert len(pool) == 0


def test_the_last_holder_to_leave_closes_the_connections(monkeypatch):
    pool = ConnectionPool()
    monkeypatch.setattr(http_eventlet, "POOL", pool)
    first, second = Owner(), Owner()
    release_first, release_second = pool.hold(first), pool.hold(second)
    with serving(answer_always) as server:
        get(server.address)
        release_first()
        assert len(pool) == 1
        del second
        assert not release_second.alive
        assert len(pool) == 0


def test_the_oldest_idle_connections_make_room_for_new_ones(monkeypatch):
    pool = ConnectionPool(max_idle=2)
    monkeypatch.setattr(http_eventlet, "POOL", pool)
    owner = Owner()
    release = pool.hold(owner)
    with serving(answer_always) as one, serving(answer_always) as two, serving(answer_always) as three:
        for server in (one, two, three, two, three):
            get(server.address)
        assert len(pool) == 2
        assert [one.connections, two.connections, three.connections] == [1, 1, 1]
        release()


def test_idle_connections_have_an_age_limit(monkeypatch):
    pool = ConnectionPool(max_idle_seconds=0.0)
    monkeypatch.setattr(http_eventlet, "POOL", pool)
    owner = Owner()
    release = pool.hold(owner)
    with serving(answer_always) as server:
        get(server.address)
        get(server.address)
        assert server.connections == 2
        release()


@pytest.mark.pitfall(6)
def test_a_read_after_the_close_of_the_source_is_an_ioerror(pool):
    with serving(answer_always) as server:
        connection = CustomHttpConnection(server.address)
        connection.request("GET", "/0A")
        response = connection.getresponse()
        response.fp.close()
        with pytest.raises(OSError, match="closed source"):
            response.read(1)
        response.close()
        connection.close()


@pytest.mark.pitfall(14)
def test_a_corked_connection_sends_all_once_it_is_uncorked(pool):
    bodies = []

    def store(peer):
        peer.read_head()
        bodies.append(peer.read_chunked())
        peer.answer(201)

    with serving(store) as server:
        connection = http_connect(server.address, "PUT", "/0A", {"transfer-encoding": "chunked"})
        connection.set_cork(True)
        connection.send(b"1\r\na\r\n")
        connection.send(b"0\r\n\r\n")
        connection.set_cork(False)
        assert connection.getresponse().status == 201
        connection.close()
    assert bodies == [b"a"]


class CollectingKey:
    """The key of a server, which triggers a garbage collection in the middle of the pool's work."""

    def __hash__(self):
        gc.collect()
        return 1


def test_owner_that_is_collected_while_the_pool_is_at_work():
    pool = ConnectionPool()
    owner = Owner()
    owner.itself = owner
    pool.hold(owner)
    gc.disable()
    try:
        del owner
        worker = threading.Thread(target=pool.take, args=(CollectingKey(),), daemon=True)
        worker.start()
        worker.join(10)
    finally:
        gc.enable()
    assert not worker.is_alive()
    assert pool._holders == 0


class WatchedSocket(socket.socket):
    """Tells whether another thread could take it out of the pool while it is looked at."""

    pool: ConnectionPool
    could_be_taken = False

    def fileno(self):
        if self.pool._lock.acquire(blocking=False):
            self.could_be_taken = True
            self.pool._lock.release()
        return super().fileno()


def test_kept_connection_is_not_taken_and_closed_by_another_thread_while_it_is_looked_at(pool):
    with serving(answer_always) as server:
        connection = CustomHttpConnection(server.address)
        host, port = server.address.split(":")
        connection.sock = sock = WatchedSocket()
        sock.pool = pool
        sock.connect((host, int(port)))
        pool.give("key", connection)
        assert pool.kept_for(["key", "key", "other"]) == [True, False, False]
        assert pool.kept_for(["key"])[0]
        assert not sock.could_be_taken
        assert pool.take("key") is connection
        connection.close()


def test_connections_for_several_requests_are_looked_at_in_one_go(pool, monkeypatch):
    looks = []
    monkeypatch.setattr(green, "is_readable", lambda sock: pytest.fail("one was looked at by itself"))
    look = green.readable
    monkeypatch.setattr(green, "readable", lambda socks: looks.append(len(socks)) or look(socks))
    with serving(answer_always) as one, serving(answer_always) as two:
        connections = [CustomHttpConnection(server.address) for server in (one, two, two)]
        for key, connection in zip(("one", "two", "two"), connections, strict=True):
            connection.connect()
            pool.give(key, connection)
        assert pool.take_all(["two", "one", "three", "two"]) == [
            connections[2],
            connections[0],
            None,
            connections[1],
        ]
        assert looks == [3]
        for connection in connections:
            connection.close()


def test_dead_connections_are_no_use_for_several_requests(pool):
    def leave(peer: Peer) -> None:
        peer.sock.shutdown(socket.SHUT_RDWR)

    with serving(leave) as leaving, serving(answer_always) as staying:
        alive, *dead = [CustomHttpConnection(s.address) for s in (staying, leaving, leaving)]
        for connection in (alive, *dead):
            connection.connect()
            pool.give("key", connection)
        for connection in dead:
            assert green.wait_any([connection.sock], 60)
        assert pool.take_all(["key", "key"]) == [alive, None]
        assert [connection.sock for connection in dead] == [None, None]
        alive.close()


def test_connection_whose_answer_was_closed_before_its_end_is_not_kept(pool):
    with serving(answer_always) as server:
        connection = http_connect(server.address, "GET", "/0A")
        connection.getresponse().close()
        connection.close()
        assert len(pool) == 0
        assert pool.take_all([("http", server.address, None)] * 2) == [None, None]


def test_name_that_no_host_can_have():
    with pytest.raises(OSError, match=r"a\.\.b"):
        http_connect("a..b:1", "GET", "/0A")


@pytest.mark.pitfall("S2")
def test_idle_connections_to_other_servers_expire_too(monkeypatch):
    now = [100.0]
    pool = ConnectionPool(max_idle_seconds=60.0, clock=lambda: now[0])
    monkeypatch.setattr(http_eventlet, "POOL", pool)
    owner = Owner()
    release = pool.hold(owner)
    gone = []

    def answer_and_watch(peer):
        peer.read_head()
        peer.answer(200, b"hello")
        peer.wait_until_gone()
        gone.append(True)

    with serving(answer_and_watch) as one, serving(answer_always) as two:
        get(one.address)
        now[0] += 59.0
        get(two.address)
        assert len(pool) == 2
        now[0] += 1.0
        get(two.address)
        assert len(pool) == 1
        assert two.connections == 1
        now[0] += 60.0
        # Any call does that, also one that needs no chunk server.
        pool.expire()
        assert len(pool) == 0
        release()
    assert gone == [True]


def test_connection_in_the_place_of_a_dead_one_is_made_in_time(pool):
    """Pieces have no other limit than that of their waits."""
    waits = []

    @contextlib.contextmanager
    def waiting(sent):
        before = server.connections
        yield
        waits.append((sent, before, accepted.wait(20)))

    accepted = threading.Event()

    def die(peer):
        peer.read_head()
        peer.answer(200, b"hello")
        peer.read_head()
        peer.reset()

    def take(peer):
        accepted.set()
        peer.read_head()
        peer.read_chunked()
        peer.answer(201)

    with serving(die, take) as server:
        assert get(server.address) == b"hello"
        connection = http_connect(server.address, "PUT", "/0A", {"transfer-encoding": "chunked"})
        while not connection.said_twice:
            connection.send((b"1\r\n", b"x", b"\r\n"), waiting)
        connection.send(b"0\r\n\r\n")
        assert connection.getresponse().status == 201
        connection.close()
    assert waits == [(0, 1, True)]


@pytest.mark.pitfall("S1", "E29")
@pytest.mark.parametrize("moment", ["head", "body", "answer"])
def test_request_that_is_said_again_notes_it(pool, moment):
    """The kept connection is reset at this moment of the second request."""
    ready = threading.Event()

    def reset_later(peer):
        peer.read_head()
        peer.answer(200, b"hello")
        if moment == "head":
            ready.wait()
            return
        assert peer.read_head().startswith("PUT")
        if moment == "answer":
            peer.read_chunked()
        peer.reset()
        ready.set()

    def refuse(peer):
        peer.read_head()
        peer.read_chunked()
        peer.answer(409)

    with serving(reset_later, refuse) as server:
        try:
            assert get(server.address) == b"hello"
            if moment == "head":
                # Our end breaks, while the server's stays open.
                next(iter(pool._idle.values()))[0][0].sock.shutdown(socket.SHUT_WR)
            connection = http_connect(server.address, "PUT", "/0A", {"transfer-encoding": "chunked"})
            if moment == "body":
                ready.wait(10)
            connection.send(b"4\r\ndata\r\n")
            connection.send(b"0\r\n\r\n")
            assert connection.getresponse().status == 409
            assert connection.said_twice
            connection.close()
        finally:
            ready.set()


def test_buffer_of_items_of_several_bytes_is_sent_whole(pool):
    items = array.array("Q", range(1 << 20))
    size = len(items) * items.itemsize

    def script(peer: Peer) -> None:
        peer.read_head()
        assert peer.read(size) == items.tobytes()
        peer.answer(201)

    with serving(script) as server:
        connection = http_connect(server.address, "PUT", "/0A", {"Content-Length": size})
        connection.send(items)
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.getresponse().status == 201
        connection.close()


@pytest.mark.parametrize("size", [1, 1 << 23])
def test_body_that_goes_along_with_its_head_is_sent_whole(pool, size):
    body = bytes(range(256)) * (size // 256) or b"x"

    def script(peer: Peer) -> None:
        peer.read_head()
        assert peer.read(size) == body
        peer.answer(201)

    with serving(script) as server:
        connection = http_connect(server.address, "PUT", "/0A", {"Content-Length": size}, body=body)
        assert connection.getresponse().status == 201
        connection.close()


def test_more_than_the_range_of_an_answer_is_left_unread_with_its_connection(pool):
    def script(peer: Peer) -> None:
        while peer.read_head():
            peer.answer(206, b"helloagain", Content_Range="bytes 0-4/10")

    with serving(script) as server:
        for number in (1, 2):
            url = f"http://{server.address}/0A"
            _, blocks = BlobClient({}).chunk_get(url, check_headers=False, headers={"Range": "bytes=0-4"})
            assert b"".join(blocks) == b"hello"
            assert server.connections == number
