# SPDX-License-Identifier: Apache-2.0
"""Writes do not wait for servers that are late, once a quorum of the others has done its part."""

from __future__ import annotations

import contextlib
import hashlib
import io
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from oio.api._data import parallel
from oio.api._data.copies import CopiesWriter
from oio.api._data.metachunks import UploadRequest
from oio.api._data.parallel import CONNECTING_GRACE, GRACE_FACTOR, QuorumTimer
from oio.api._data.source import Source
from oio.api.ec import EcMetachunkWriter
from oio.blob import sender as sending
from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Chunk, late, to_remove
from oio.common.events import ABANDONED, BEGUN, ENDED, OK
from oio.common.green import create_ssl_context
from oio.common.http_eventlet import POOL
from oio.common.limits import Limits
from oio.common.options import WRITE_GRACE, Options
from tests.kit.deadlines import growing_limits
from tests.kit.ec_fakes import EC
from tests.kit.fakes import SYSMETA
from tests.kit.garbage import garbage_of
from tests.kit.scripted import Peer, ScriptedServer, full_backlog, serving
from tests.kit.tls import CERTIFICATE
from tests.kit.watchdog import watched
from tests.unit.test_connected_ahead import SIZE, Cluster, Rawx
from tests.unit.test_large_writes import Taking, over_tls, upload
from tests.unit.test_small_writes import HASH, kept_connections, store, write

LARGE = b"x" * 200_000
"""Not small, and less than the queue of a server holds."""
HUGE = b"x" * (24 << 20)
"""More than a socket and a queue hold."""
SHORT = 0.05
"""A grace in seconds. Of three servers, only the one that waits can be late: a quorum needs both others."""


@pytest.fixture
def end() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def silent(end: threading.Event):
    """Takes everything, and never answers."""

    def play(peer: Peer) -> None:
        peer.read_head()
        peer.read_chunked()
        end.wait(60)

    return play


def deaf(end: threading.Event):
    """Takes the head, and no data."""

    def play(peer: Peer) -> None:
        peer.read_head()
        end.wait(60)

    return play


@contextlib.contextmanager
def new_connections(*scripts) -> Iterator[list[ScriptedServer]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(serving(script)) for script in scripts]


def names(servers, chunks) -> list[int]:
    """Numbers of the servers of the chunks that are stored."""
    stored = [chunk["url"] for chunk in chunks if not chunk.get("error")]
    return [n for n, server in enumerate(servers) if any(server.address in url for url in stored)]


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("connections", [kept_connections, new_connections])
def test_server_that_does_not_answer_is_left_behind(connections, data, end, caplog):
    perfdata = {}
    with connections(store, silent(end), store) as servers:
        size, digest, chunks = write(servers, data, write_grace=SHORT, perfdata=perfdata)
        end.set()
    assert (size, digest) == (len(data), hashlib.md5(data).hexdigest())
    assert names(servers, chunks) == [0, 2]
    (line,) = [line for line in caplog.messages if "Failed chunk" in line]
    assert servers[1].address in line
    assert "seconds after the quorum" in line
    (figure,) = [key for key in perfdata["rawx"] if key.startswith("left_behind.")]
    assert servers[1].address in figure


def test_server_that_does_not_answer_over_tls_is_left_behind(end, caplog):
    """The tickets of a session make a socket readable, and are no answer."""

    def silent_over_tls(peer: Peer) -> None:
        with over_tls(peer):
            peer.read_head()
            peer.read_chunked()
            end.wait(60)

    scripts = [silent_over_tls, Taking(tls=True), Taking(tls=True)]
    with new_connections(*scripts) as servers:
        addresses = [server.address for server in servers]
        context = create_ssl_context(CERTIFICATE)
        options = {"scheme": "https", "ssl_context": context, "write_grace": SHORT}
        assert upload(io.BytesIO(b"small"), *addresses, **options) == 5
        end.set()
    (line,) = [line for line in caplog.messages if "Failed chunk" in line]
    assert servers[0].address in line
    assert "after the quorum" in line


def test_server_that_takes_nothing_is_left_behind(end):
    with new_connections(store, deaf(end), store) as servers:
        # The others must not be late as well because the machine is busy.
        _, _, chunks = write(servers, HUGE, write_grace=3.0)
        end.set()
    assert names(servers, chunks) == [0, 2]


def test_server_that_takes_nothing_is_only_left_when_others_are_enough(end):
    enough = [False, False, True]
    with serving(deaf(end)) as server:
        chunk = Chunk.of({"url": f"http://{server.address}/0A", "pos": "0", "size": 0, "hash": ""})
        sender = sending.ChunkSender(chunk, {}, Options(write_grace=SHORT))
        sender.others_are_enough = lambda: enough.pop(0)
        with green.ContextPool(1) as pool:
            sender.thread = pool.spawn(sender.run)
            while sender.error is None:
                sender.put(b"x" * (1 << 20), 1 << 20)
        end.set()
    assert enough == []


def test_blocks_that_waited_for_a_server_are_not_left_to_the_garbage_collector():
    has_waited = threading.Event()

    def slow(peer: Peer) -> None:
        peer.read_head()
        has_waited.wait(60)
        peer.answer(201, **{HASH: hashlib.md5(peer.read_chunked()).hexdigest()})

    def others_are_enough() -> bool:
        has_waited.set()
        return False

    def send(_api: object) -> None:
        has_waited.clear()
        chunk = Chunk.of({"url": f"http://{server.address}/0A", "pos": "0", "size": 0, "hash": ""})
        sender = sending.ChunkSender(chunk, {}, Options(write_grace=SHORT))
        sender.others_are_enough = others_are_enough
        with green.ContextPool(1) as pool:
            sender.thread = pool.spawn(sender.run)
            while not has_waited.is_set():
                sender.put(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n", 1 << 20)
            sender.put(b"0\r\n\r\n", 0, is_last=True)
        assert sender.error is None

    with serving(slow, slow) as server:
        send(None)
        assert garbage_of(send, None) == []


def test_quorum_is_never_given_up(end):
    """Two of three are late: the write limit counts, and the write fails."""
    with new_connections(store, silent(end), silent(end)) as servers:
        with pytest.raises(exc.OioTimeout, match="quorum not reached") as caught:
            write(servers, b"small", write_grace=SHORT, write_timeout=0.5)
        end.set()
    assert "Chunk write timeout 0.5 seconds:" in str(caught.value)
    assert "after the quorum" not in str(caught.value)


def store_wrong(peer: Peer) -> None:
    peer.read_head()
    peer.read_chunked()
    peer.answer(201, **{HASH: "0" * 31 + "1"})


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("is_ec", [False, True])
def test_chunk_whose_checksum_is_wrong_is_none_of_the_quorum(data, is_ec, end):
    """The server that is late is waited for as long as without that chunk."""
    right, late = (6, 2) if is_ec else (1, 1)
    with new_connections(store_wrong, *[store] * right, *[silent(end)] * late) as servers:
        limits = {"write_grace": SHORT, "write_timeout": 0.5}
        with pytest.raises(exc.OioTimeout, match=rf"quorum not reached \({right}/") as caught:
            (write_fragments if is_ec else write)(servers, data, **limits)
        end.set()
    assert "checksum mismatch" in str(caught.value)
    assert "Chunk write timeout 0.5 seconds:" in str(caught.value)


def write_fragments(servers: list[ScriptedServer], data: bytes, **options: object) -> object:
    chunks = [
        {"url": f"http://{server.address}/{number:064X}", "pos": f"0.{number}", "num": number}
        for number, server in enumerate(servers)
    ]
    sysmeta = {**SYSMETA, "chunk_method": "ec/algo=liberasurecode_rs_vand,k=6,m=3", "policy": "EC"}
    writer = EcMetachunkWriter(sysmeta, chunks, hashlib.md5(), EC, **options)
    return writer.stream(io.BytesIO(data), len(data) + 1)


def test_no_grace_waits_for_the_write_limit(end, caplog):
    with new_connections(store, silent(end), store) as servers:
        for limits in growing_limits("stall", "write_timeout"):
            with contextlib.suppress(exc.OioTimeout):
                _, _, chunks = write(servers, b"small", write_grace=None, **limits)
                break
        end.set()
    assert names(servers, chunks) == [0, 2]
    assert f"Chunk write timeout {limits['write_timeout']:g} seconds (" in caplog.text
    assert "after the quorum" not in caplog.text


def test_server_that_is_left_behind_may_hold_the_chunk(end, monkeypatch):
    made: list[sending.ChunkSender] = []
    outcome = sending.ChunkSender.outcome

    def noted(self, *args):
        made.append(self)
        return outcome(self, *args)

    monkeypatch.setattr(sending.ChunkSender, "outcome", noted)
    with new_connections(store, silent(end), store) as servers:
        write(servers, b"small", write_grace=SHORT)
        end.set()
    assert [bool(sender.error) for sender in made] == [False, True, False]
    assert all(sender.maybe_stored for sender in made)


@pytest.mark.parametrize("size", [5, SIZE], ids=["small", "large"])
@pytest.mark.parametrize("trouble", [{"never": True}, {"status": 500}], ids=["late", "failed"])
def test_write_without_all_its_servers_leaves_nothing_to_the_garbage_collector(trouble, size):
    with serving(Rawx(**trouble)) as one, serving(Rawx()) as two, serving(Rawx()) as three:
        addresses = [server.address for server in (one, two, three)]
        with Cluster(addresses, write_grace=SHORT) as made:
            # In a thread of its own: what other tests have left in their hub is none of this.
            assert watched(lambda: garbage_of(lambda _api: made.put(size), made.api)) == []
        assert [event.operation for event in made.failed if event.operation != "DELETE chunk"] == [
            "PUT chunk"
        ]


def test_late_answer_within_the_grace_counts():
    others = threading.Barrier(3, timeout=20)

    def first(peer: Peer) -> None:
        store(peer)
        others.wait()

    def last(peer: Peer) -> None:
        peer.read_head()
        data = peer.read_chunked()
        others.wait()
        peer.answer(201, **{HASH: hashlib.md5(data).hexdigest()})

    with new_connections(first, last, first) as servers:
        _, _, chunks = write(servers, b"small", write_grace=60.0)
    assert names(servers, chunks) == [0, 1, 2]


def test_server_that_goes_on_taking_data_is_waited_for():
    """However long it takes: it is slow, and does not hang."""
    done = green.LightQueue()

    class Slow:
        thread = SimpleNamespace(dead=False)
        left = 5

        @property
        def progress(self) -> int:
            self.left -= 1
            if not self.left:
                done.put_nowait(self)
            return self.left

        def has_stored(self) -> bool:
            return True

        def leave(self, *given: object) -> None:
            raise AssertionError(given)

    quick, slow = [Slow(), Slow()], Slow()
    for sender in quick:
        done.put_nowait(sender)
    request = UploadRequest({}, [], hashlib.md5(), True, 2, Options.of({"write_grace": 0.001}))
    CopiesWriter(request)._wait_for([*quick, slow], done)
    assert slow.left == 0


def test_grace_grows_with_the_time_that_the_quorum_took():
    now = [0.0]
    options = Options(limits=Limits(write=60.0, clock=lambda: now[0]))
    timer = QuorumTimer(2, options)
    now[0] = 1.0
    timer.note_stored()
    assert (timer.grace, timer.left()) == (None, 59.0)
    now[0] = 4.0
    timer.note_stored()
    assert timer.grace == timer.left() == 4.0 * GRACE_FACTOR > WRITE_GRACE


def test_grace_is_the_one_of_the_call_when_the_quorum_was_quick():
    timer = QuorumTimer(1, Options(limits=Limits(clock=lambda: 0.0)))
    timer.note_stored()
    assert timer.left() == WRITE_GRACE


def test_grace_ends_with_the_write_limit():
    timer = QuorumTimer(1, Options(limits=Limits(write=2.0, clock=lambda: 0.0)))
    timer.note_stored()
    assert timer.left() == 2.0


@pytest.mark.parametrize(("deadline", "seconds"), [(100.0, 40.0), (30.0, 10.0), (10.0, 0.0)])
def test_grace_leaves_time_to_commit_what_is_stored(deadline, seconds):
    now = [0.0]
    limits = Limits(deadline=deadline, clock=lambda: now[0])
    timer = QuorumTimer(1, Options(write_grace=40.0, limits=limits))
    now[0] = 10.0
    timer.note_stored()
    assert timer.left() == timer.grace == seconds


# --- kept connections that die ---


def leave(peer: Peer) -> None:
    """Takes everything, and hangs up."""
    peer.read_head()
    peer.read_chunked()


def after(event: threading.Event):
    """Stores what it was sent, and says so once something has happened."""

    def play(peer: Peer) -> None:
        peer.read_head()
        data = peer.read_chunked()
        assert event.wait(60)
        peer.answer(201, **{HASH: hashlib.md5(data).hexdigest()})

    return play


def break_our_end(server: ScriptedServer) -> None:
    """Let what is sent next on the kept connection to a server fail; nothing shows it before."""
    ((connection, _),) = POOL._idle["http", server.address, None]
    connection.sock.shutdown(socket.SHUT_WR)


@pytest.mark.pitfall(135)
@pytest.mark.parametrize("is_ec", [False, True])
@pytest.mark.parametrize("moment", ["request", "answer"])
def test_answers_are_taken_while_a_request_is_sent_again(moment, is_ec, end, caplog):
    """Its kept connection has died, and the server says nothing on the next one."""
    asked_again = threading.Event()

    def keep_silent(peer: Peer) -> None:
        leave(peer)
        asked_again.set()
        end.wait(60)

    first = leave if moment == "answer" else deaf(end)
    # A quorum needs all the others: none of them can be late.
    others = [after(asked_again)] * (EC.quorum if is_ec else 2)
    with kept_connections(first, *others, again=keep_silent) as servers:
        if moment == "request":
            break_our_end(servers[0])
        chunks = (write_fragments if is_ec else write)(servers, b"small", write_grace=SHORT)[2]
        end.set()
        assert [server.connections for server in servers] == [2, *[1] * len(others)]
    assert names(servers, chunks) == list(range(1, len(servers)))
    (line,) = [line for line in caplog.messages if "Failed chunk" in line]
    assert servers[0].address in line
    assert "seconds after the quorum" in line


@pytest.mark.parametrize("moment", ["request", "answer"])
def test_host_that_leaves_and_is_silent_after_that_is_left_behind(moment, end, caplog):
    """Its kept connection is closed, and nothing answers to another one."""
    first = leave if moment == "answer" else deaf(end)
    with full_backlog() as address, kept_connections(first, store, store) as servers:
        if moment == "request":
            break_our_end(servers[0])
        # Nobody is at its address any more.
        POOL._idle["http", address, None] = POOL._idle.pop(("http", servers[0].address, None))
        gone = SimpleNamespace(address=address)
        limits = {"write_grace": SHORT, "connection_timeout": 60.0}
        _, _, chunks = write([gone, *servers[1:]], b"small", **limits)
        end.set()
    assert names([gone, *servers[1:]], chunks) == [1, 2]
    (line,) = [line for line in caplog.messages if "Failed chunk" in line]
    assert address in line
    assert "seconds after the quorum" in line


def test_requests_are_sent_again_all_at_once():
    """Each of the new connections waits for the two others."""
    everybody_is_there = threading.Barrier(3, timeout=20)

    def store_together(peer: Peer) -> None:
        everybody_is_there.wait()
        store(peer)

    perfdata, events = {}, []
    with kept_connections(leave, leave, leave, again=store_together) as servers:
        options = {"perfdata": perfdata, "on_event": events.append, "write_grace": None}
        assert names(servers, write(servers, b"small", **options)[2]) == [0, 1, 2]
    # As when a read meets a connection that has died: it is no failure, and no other attempt.
    assert {(event.kind, event.attempt) for event in events} == {(BEGUN, 1), (ENDED, 1)}
    ended = [(event.outcome, event.sent) for event in events if event.kind == ENDED]
    assert sorted(ended) == [(ABANDONED, 5)] * 3 + [(OK, 5)] * 3
    for server in servers:
        steps = {key.partition(".")[0] for key in perfdata["rawx"] if server.address in key}
        assert steps == {"connect", "upload", "upload_finish"}


def test_quorum_that_needs_a_request_that_is_sent_again_has_the_write_limit(end):
    with kept_connections(store, leave, silent(end), again=silent(end)) as servers:
        with pytest.raises(exc.OioTimeout, match=r"quorum not reached \(1/") as caught:
            write(servers, b"small", write_grace=SHORT, write_timeout=0.5)
        end.set()
        # One limit is enough for those that were not asked again.
        assert [servers[0].connections, servers[2].connections] == [1, 1]
    late_ones = str(caught.value).partition("Chunk write timeout 0.5 seconds: [")[2].partition("]")[0]
    assert [server.address in late_ones for server in servers] == [False, True, True]


def answer_503(peer: Peer) -> None:
    leave(peer)
    peer.answer(503)


@pytest.mark.pitfall("S1", "E29", "S6")
@pytest.mark.parametrize("again", [answer_503, leave, Peer.reset], ids=["refuses", "hangs up", "resets"])
@pytest.mark.parametrize("moment", ["request", "answer"])
def test_chunk_that_was_sent_twice_in_vain_may_be_stored(moment, again, end):
    with kept_connections(leave if moment == "answer" else deaf(end), store, store, again=again) as servers:
        if moment == "request":
            break_our_end(servers[0])
        urls = [f"http://{server.address}/{number:064X}" for number, server in enumerate(servers)]
        chunks = [Chunk.of({"url": url, "pos": "0", "size": 0, "hash": ""}) for url in urls]
        writer = CopiesWriter(UploadRequest(SYSMETA, chunks, hashlib.md5(), True, 2, Options()))
        assert writer.write(Source(io.BytesIO(b"small"), Limits()), None)[0] == 5
        end.set()
        assert [server.connections for server in servers] == [2, 1, 1]
    assert to_remove(writer.outcomes, only_failed=True) == chunks[:1]
    assert late(writer.outcomes) == {urls[0]}


@pytest.mark.parametrize(
    ("deadline", "grace", "expected"),
    [(None, 6.0, 6.0), (60.0, 6.0, 6.0), (0.1, 0.1, 0.05), (4.0, 6.0, 2.0), (-1.0, 0.1, 0.0)],
)
def test_servers_that_are_late_get_half_of_what_is_left_at_most(deadline, grace, expected):
    limits = Limits(deadline=deadline, clock=lambda: 0.0)
    assert limits.share(grace) == expected


@pytest.mark.parametrize(
    ("spent", "deadline", "grace"),
    [
        (0.0, None, CONNECTING_GRACE),
        (2.0, None, 2.0 * GRACE_FACTOR),
        (2.0, 60.0, 2.0 * GRACE_FACTOR),
        (0.0, CONNECTING_GRACE, CONNECTING_GRACE / 2),
        (2.0, 6.0, 2.0),
    ],
)
def test_servers_that_are_not_connected_to_get_the_grace_of_connections(spent, deadline, grace, monkeypatch):
    """From the moment on when a quorum is connected to, however slow or quick that was."""
    now, waits = [0.0], []

    class Limit(green.ConnectionTimeout):
        def __init__(self, seconds: float | None) -> None:
            waits.append(seconds)
            super().__init__(None)

    monkeypatch.setattr(green, "ConnectionTimeout", Limit)
    monkeypatch.setattr(parallel, "time", SimpleNamespace(monotonic=lambda: now[0]))
    senders = [SimpleNamespace(error=None, is_connected=False, is_expendable=bool) for _ in range(3)]

    def get() -> None:
        if waits[-1] is not None:
            raise Limit(None)
        next(sender for sender in senders if not sender.is_connected).is_connected = True
        now[0] += spent / 2

    options = Options(limits=Limits(deadline=deadline, clock=lambda: now[0]))
    writer = CopiesWriter(UploadRequest({}, [1, 2, 3], hashlib.md5(), True, 2, options))
    writer._wait_for_connections(senders, SimpleNamespace(get=get))
    assert waits[:3] == [None, None, pytest.approx(grace)]


def later(seconds: float):
    """Stores what it was sent, and says so some seconds later."""

    def play(peer: Peer) -> None:
        peer.read_head()
        data = peer.read_chunked()
        time.sleep(seconds)
        peer.answer(201, **{HASH: hashlib.md5(data).hexdigest()})

    return play


def test_write_limit_begins_anew_with_a_quorum_that_had_limits_of_its_own():
    """The quorum comes with a request that was sent again: the others get the write limit from then on."""
    with kept_connections(leave, store, later(2.2), again=later(1.2)) as servers:
        # Its connection is no longer kept: it has limits of its own.
        ((connection, _),) = POOL._idle.pop(("http", servers[0].address, None))
        connection.close()
        chunks = write(servers, b"small", write_grace=None, write_timeout=1.7)[2]
    assert names(servers, chunks) == [0, 1, 2]


def test_server_that_hangs_is_left_at_the_end_of_the_grace_in_which_another_answers():
    done = green.LightQueue()
    begin, left = time.monotonic(), []

    class Fake:
        thread = SimpleNamespace(dead=False)
        progress = 0
        error, is_connected, is_unreached = None, True, False

        def has_stored(self) -> bool:
            return self not in left

        def leave(self, *given: object) -> None:
            left.append(self)
            self.after = time.monotonic() - begin
            done.put_nowait(self)

    quick, third, hanging = [Fake(), Fake()], Fake(), Fake()
    for sender in quick:
        done.put_nowait(sender)
    request = UploadRequest({}, [1, 2, 3, 4], hashlib.md5(), True, 2, Options.of({"write_grace": 1.0}))

    def third_answers() -> None:
        green.sleep(0.2)
        hanging.progress = 1
        green.sleep(0.3)
        done.put_nowait(third)

    with green.ContextPool(1) as pool:
        pool.spawn(third_answers)
        CopiesWriter(request)._wait_for([*quick, third, hanging], done)
    assert left == [hanging]
    assert hanging.after < 1.5
