# SPDX-License-Identifier: Apache-2.0
"""Small objects over connections that are kept: all servers have all of it before an answer is awaited."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from io import BytesIO

import pytest

from oio.api._data.copies import CopiesWriter
from oio.api._data.metachunks import UploadRequest
from oio.api._data.parallel import QuorumTimer
from oio.api._data.source import Source
from oio.api.io import http_connect
from oio.api.replication import ReplicatedMetachunkWriter
from oio.blob.connect import take_kept
from oio.blob.sender import END_OF_BODY, ChunkSender, frame
from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Chunk, late, to_remove
from oio.common.http_eventlet import POOL
from oio.common.limits import Limits
from oio.common.options import Options
from oio.common.storage_method import STORAGE_METHODS
from tests.kit.fakes import SYSMETA
from tests.kit.objects import eventually
from tests.kit.scripted import Peer, serving
from tests.kit.watchdog import watched

THREE = STORAGE_METHODS.load("plain/nb_copy=3")
DATA = b"some data"
HASH = "x-oio-chunk-meta-chunk-hash"


class Owner:
    """Keeps connections alive."""


@contextlib.contextmanager
def kept_connections(*scripts, again=None):
    """Servers that follow a script on a connection that is kept, and another one on the next."""
    owner = Owner()
    release = POOL.hold(owner)

    def after_a_read(script):
        def play(peer: Peer) -> None:
            peer.read_head()
            peer.answer(200)
            script(peer)

        return play

    try:
        with contextlib.ExitStack() as stack:
            servers = [
                stack.enter_context(serving(after_a_read(script), again or script)) for script in scripts
            ]
            for server in servers:
                connection = http_connect(server.address, "GET", "/0A")
                connection.getresponse().read()
                connection.close()
            yield servers
            release()
    finally:
        release()


def write(servers, data=DATA, **options):
    chunks = [
        {"url": f"http://{server.address}/{number:064X}", "pos": "0", "size": 0, "hash": "0" * 32}
        for number, server in enumerate(servers)
    ]
    writer = ReplicatedMetachunkWriter(SYSMETA, chunks, hashlib.md5(), THREE, **options)
    return writer.stream(BytesIO(data), None)


def store(peer: Peer) -> None:
    peer.read_head()
    peer.answer(201, **{HASH: hashlib.md5(peer.read_chunked()).hexdigest()})


def test_no_server_waits_for_the_answer_of_another():
    everybody_has_it = threading.Barrier(3, timeout=20)

    def store_together(peer: Peer) -> None:
        peer.read_head()
        data = peer.read_chunked()
        everybody_has_it.wait()
        peer.answer(201, **{HASH: hashlib.md5(data).hexdigest()})

    with kept_connections(store_together, store_together, store_together) as servers:
        size, digest, written = write(servers)
        assert (size, digest) == (len(DATA), hashlib.md5(DATA).hexdigest())
        assert len(written) == 3
        assert [server.connections for server in servers] == [1, 1, 1]


def test_nobody_waits_in_a_hub_when_nothing_else_has_to_run():
    def run():
        hub = green.get_hub()
        with kept_connections(store, store, store) as servers:
            # The first connections may have waited there.
            before = hub.greenlet.dead or not hub.running
            write(servers)
            return before, hub.running

    before, after = watched(run)
    assert (before, after) == (True, False)


@pytest.mark.pitfall(135)
def test_kept_connection_that_is_dead_is_replaced():
    def hang_up(peer: Peer) -> None:
        peer.read_head()

    with kept_connections(store, hang_up, store, again=store) as servers:
        _, _, written = write(servers)
        assert len(written) == 3
        assert [server.connections for server in servers] == [1, 2, 1]


@pytest.mark.pitfall("S1", "E29")
def test_refusal_of_what_was_said_twice_is_no_conflict():
    def hang_up(peer: Peer) -> None:
        peer.read_head()
        peer.read_chunked()

    def refuse(peer: Peer) -> None:
        peer.read_head()
        peer.read_chunked()
        peer.answer(409)

    with (
        kept_connections(store, hang_up, hang_up, again=refuse) as servers,
        pytest.raises(exc.ServiceBusy, match="maybe because of the first time"),
    ):
        write(servers)


def test_servers_that_say_nothing_are_named():
    silent = threading.Event()

    def keep_silent(peer: Peer) -> None:
        peer.read_head()
        silent.wait(20)

    with kept_connections(store, keep_silent, keep_silent) as servers:
        with pytest.raises(exc.OioTimeout) as caught:
            write(servers, write_timeout=0.2)
        silent.set()
    assert all(server.address in str(caught.value) for server in servers)
    assert "Chunk write timeout" in str(caught.value)


@pytest.mark.pitfall(27)
def test_deadline_counts_once_for_servers_that_answer_in_turn():
    """What the first one takes is not taken from the others as well."""
    first_has_answered = threading.Event()
    now = [0.0]

    def answer_first(peer: Peer) -> None:
        peer.read_head()
        data = peer.read_chunked()
        # The clock of the limits goes on while the first one is waited for.
        now[0] = 180.0
        peer.answer(201, **{HASH: hashlib.md5(data).hexdigest()})
        first_has_answered.set()

    def answer_then(peer: Peer) -> None:
        peer.read_head()
        data = peer.read_chunked()
        first_has_answered.wait(20)
        peer.answer(201, **{HASH: hashlib.md5(data).hexdigest()})

    options = Options(limits=Limits(deadline=300.0, clock=lambda: now[0]))
    with kept_connections(answer_first, answer_then, answer_then) as servers:
        assert len(write(servers, options=options)[2]) == 3


def test_answer_that_is_there_counts_after_the_deadline():
    """The deadline passes while the chunk is sent, and the answer arrives at the same time."""
    answered = threading.Event()

    def answer(peer: Peer) -> None:
        store(peer)
        answered.set()

    def clock() -> float:
        if sender.conn is None:
            return 0.0
        assert answered.wait(20)
        return 5.0

    with kept_connections(answer) as (server,):
        chunk = Chunk.of({"url": f"http://{server.address}/0A", "pos": "0", "size": 0, "hash": ""})
        sender = ChunkSender(chunk, {}, Options(limits=Limits(deadline=3.0, clock=clock)))
        sender.whole = []
        sender.put(frame(DATA) + END_OF_BODY, len(DATA), is_last=True)
        sender.kept = take_kept([chunk], sender.options)[0]
        sender.connect()
        with green.ChunkWriteTimeout(QuorumTimer(1, sender.options).left()):
            sender.take_answer()
    assert (sender.error, sender.received_hash) == (None, hashlib.md5(DATA).hexdigest())


def test_server_that_has_not_answered_is_late_when_the_write_is_interrupted():
    """What it stores a moment later must be removed all the same."""
    everybody_has_it = threading.Semaphore(0)

    def keep_silent(peer: Peer) -> None:
        peer.read_head()
        peer.read_chunked()
        everybody_has_it.release()
        peer.read_head()

    def clock() -> float:
        if all(sender.conn is not None for sender in writer._current) and writer._current:
            for _ in range(3):
                assert everybody_has_it.acquire(timeout=20)
            raise KeyboardInterrupt
        return 0.0

    with kept_connections(keep_silent, keep_silent, keep_silent) as servers:
        chunks = [
            Chunk.of({"url": f"http://{server.address}/{number:064X}", "pos": "0", "size": 0, "hash": ""})
            for number, server in enumerate(servers)
        ]
        options = Options(limits=Limits(deadline=3.0, clock=clock))
        writer = CopiesWriter(UploadRequest(SYSMETA, chunks, hashlib.md5(), True, 2, options))
        with pytest.raises(KeyboardInterrupt):
            writer.write(Source(BytesIO(DATA), Limits()), None)
        assert late(writer.outcomes) == {chunk.url for chunk in chunks}
        assert to_remove(writer.outcomes) == chunks


@pytest.mark.pitfall(7)
@pytest.mark.parametrize("failure", [exc.DeadlineReached, KeyboardInterrupt])
def test_connections_are_kept_for_others_when_no_request_is_sent_on_them(failure, monkeypatch):
    def fail(*_given: object) -> object:
        raise failure

    with kept_connections(store, store, store) as servers:
        monkeypatch.setattr(Limits, "connecting", fail)
        with pytest.raises((exc.ServiceBusy, exc.DeadlineReached, KeyboardInterrupt)):
            write(servers)
        for server in servers:
            assert POOL.kept_for([("http", server.address, None)])[0]


@pytest.mark.parametrize("options", [{"chunk_buffer_max": 1024}, {"chunk_buffer_min": 1}])
def test_small_blocks_of_a_source_do_not_fill_a_queue_that_nobody_empties(options):
    with kept_connections(store, store, store) as servers:
        assert len(write(servers, b"x" * 30_000, **options)[2]) == 3


def test_connections_that_servers_have_closed_are_made_again_all_at_once():
    """Each of the new ones waits for the two others, so that they cannot be made one after the other."""
    everybody_is_there = threading.Barrier(3, timeout=20)

    def store_together(peer: Peer) -> None:
        everybody_is_there.wait()
        store(peer)

    with kept_connections(*[lambda _peer: None] * 3, again=store_together) as servers:
        for server in servers:
            eventually(lambda address=server.address: not POOL.kept_for([("http", address, None)])[0])
        assert len(write(servers)[2]) == 3
        assert [server.connections for server in servers] == [2, 2, 2]
