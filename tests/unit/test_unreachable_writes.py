# SPDX-License-Identifier: Apache-2.0
"""Writes do not wait for servers that cannot be connected to, once a quorum of the others is."""

from __future__ import annotations

import contextlib
import errno
import gc
import hashlib
import io
import socket
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from oio.api._data.copies import CopiesWriter
from oio.api._data.ec.write import FragmentsWriter
from oio.api._data.metachunks import UploadRequest
from oio.api._data.parallel import ParallelWriter
from oio.api._data.source import Source
from oio.blob.sender import ChunkSender
from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Chunk, to_remove
from oio.common.events import BEGUN, CHUNK_FAILED, ENDED, Event
from oio.common.green import create_ssl_context
from oio.common.hedging import CONNECTING_AGAIN_SECONDS, LATE_SECONDS, Hedging
from oio.common.limits import Limits
from oio.common.options import Options
from tests.kit.deadlines import growing_limits
from tests.kit.ec_fakes import method
from tests.kit.fakes import SYSMETA
from tests.kit.garbage import garbage_of
from tests.kit.objects import eventually
from tests.kit.scripted import Peer, Script, full_backlog, serving
from tests.kit.tls import CERTIFICATE, speak_tls
from tests.kit.watchdog import watched
from tests.unit.test_connected_ahead import SIZE, Cluster, Rawx
from tests.unit.test_small_writes import HASH, kept_connections, store

LONG = 60.0
"""A limit in seconds that no test comes to."""
SHORT = 0.05
"""A grace in seconds, where only the server that cannot be connected to can be late."""
BLOCK = b"x" * 200_000
EC = method(segment=len(BLOCK))
HUGE = b"x" * (24 << 20)
"""More than a socket and a queue hold."""


@pytest.fixture
def end() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def silent(end: threading.Event) -> Script:
    """Takes what comes, and never answers."""

    def play(peer: Peer) -> None:
        peer.read_head()
        peer.read_chunked()
        end.wait(LONG)

    return play


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """An address where nobody listens, nor can."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"


class Blocks:
    """A source that gives one block after the other, each of them when it may.

    :param may_give: called before each block and before the end, with the number of those that were given
    """

    def __init__(self, *blocks: bytes, may_give: Callable[[int], object] = bool) -> None:
        self._blocks, self._may_give = list(blocks), may_give
        self.given = 0

    def read(self, _size: int) -> bytes:
        self._may_give(self.given)
        if self.given == len(self._blocks):
            return b""
        self.given += 1
        return self._blocks[self.given - 1]


def writer_to(
    addresses: Sequence[str], is_ec: bool = False, quorum: int = 2, scheme: str = "http", **options: Any
) -> ParallelWriter:
    chunks = [
        Chunk.of({"url": f"{scheme}://{address}/{number:064X}", "pos": f"0.{number}" if is_ec else "0"})
        for number, address in enumerate(addresses)
    ]
    chunk_method = "ec/algo=liberasurecode_rs_vand,k=6,m=3" if is_ec else "plain/nb_copy=3"
    meta = {**SYSMETA, "chunk_method": chunk_method}
    number = EC.quorum if is_ec else quorum
    hedging = options.pop("hedging", None)
    made = Options.of(options).changed(hedging=hedging)
    request = UploadRequest(meta, chunks, hashlib.md5(), True, number, made)
    return FragmentsWriter(request, EC) if is_ec else CopiesWriter(request)


def send(writer: ParallelWriter, source: Any) -> int:
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    return writer.write(Source(file, Limits()), None)[0]


def failed(writer: ParallelWriter) -> list[int]:
    """Numbers of the chunks that are not stored."""
    return [number for number, outcome in enumerate(writer.outcomes) if outcome.error]


def waits_for(events: list[Event], address: str) -> bool:
    """Whether a request to a server has begun, and goes on."""
    kinds = [event.kind for event in events if event.address == address]
    return BEGUN in kinds and ENDED not in kinds and CHUNK_FAILED not in kinds


# --- the data ---


@pytest.mark.parametrize("is_ec", [False, True])
def test_data_are_sent_while_a_server_is_still_being_connected_to(is_ec, caplog):
    """The second block is only given once the others have the first one."""
    number = EC.quorum if is_ec else 2
    begun = threading.Semaphore(0)
    events: list[Event] = []

    def note_first_bytes(peer: Peer) -> None:
        peer.read_head()
        first = peer.read(100)
        begun.release()
        # The beginning of the body is read again, with the rest.
        peer._buffer = first + peer._buffer
        peer.answer(201, **{HASH: hashlib.md5(peer.read_chunked()).hexdigest()})

    def may_give(given: int) -> None:
        if given == 1:
            for _ in range(number):
                eventually(lambda: begun.acquire(blocking=False) or green.eventlet_yield())
        assert waits_for(events, gone)

    with contextlib.ExitStack() as stack:
        gone = stack.enter_context(full_backlog())
        servers = [stack.enter_context(serving(note_first_bytes)) for _ in range(number)]
        addresses = [gone, *[server.address for server in servers]]
        limits = {"connection_timeout": LONG, "write_grace": SHORT}
        writer = writer_to(addresses, is_ec, **limits, chunk_buffer_max=len(BLOCK), on_event=events.append)
        source = Blocks(BLOCK, BLOCK, may_give=may_give)
        assert send(writer, source) == 2 * len(BLOCK)
    assert failed(writer) == [0]
    (line,) = [line for line in caplog.messages if "Failed chunk" in line]
    assert f"{gone}/" in line
    assert "connect: " in line
    assert "after the quorum" in line


@pytest.mark.parametrize("is_ec", [False, True])
def test_server_that_is_being_connected_to_goes_on_after_each_block(is_ec):
    """Also when the source blocks the thread, and the others take all at once."""
    turns: list[int] = []

    def may_give(given: int) -> None:
        assert turns == list(range(given))
        pool.spawn(turns.append, given)

    number = EC.quorum if is_ec else 2
    with contextlib.ExitStack() as stack:
        gone = stack.enter_context(full_backlog())
        addresses = [gone, *[stack.enter_context(serving(store)).address for _ in range(number)]]
        pool = stack.enter_context(green.ContextPool())
        limits = {"connection_timeout": LONG, "write_grace": SHORT}
        writer = writer_to(addresses, is_ec, **limits, chunk_buffer_max=len(BLOCK))
        assert send(writer, Blocks(BLOCK, BLOCK, may_give=may_give)) == 2 * len(BLOCK)
    assert failed(writer) == [0]


@pytest.mark.parametrize("blocks", [[b"small"], [BLOCK, BLOCK]], ids=["small", "large"])
def test_server_that_is_connected_to_after_the_others_gets_all_of_it(blocks):
    """It is late with its TLS handshake, until the others have everything."""
    sent = threading.Semaphore(0)
    took: list[bytes] = []

    def take(peer: Peer) -> None:
        speak_tls(peer)
        with peer.sock:
            peer.read_head()
            took.append(peer.read_chunked())
            sent.release()
            peer.answer(201)

    def take_later(peer: Peer) -> None:
        for _ in range(2):
            assert sent.acquire(timeout=LONG)
        take(peer)

    context = create_ssl_context(CERTIFICATE)
    with serving(take_later) as late, serving(take) as one, serving(take) as two:
        addresses = [server.address for server in (late, one, two)]
        writer = writer_to(addresses, scheme="https", ssl_context=context, write_grace=LONG)
        data = b"".join(blocks)
        assert send(writer, data if data == b"small" else Blocks(*blocks)) == len(data)
    assert took == [data] * 3
    assert failed(writer) == []


def test_server_whose_queue_is_full_before_it_is_connected_to_is_left_behind():
    with full_backlog() as gone, serving(store) as one, serving(store) as two:
        hedging = Hedging()
        # The others must not be late as well because the machine is busy.
        limits = {"connection_timeout": LONG, "write_grace": 3.0, "hedging": hedging}
        events: list[Event] = []

        def may_give(given: int) -> None:
            if given == 24:
                # All is queued for the others: it was left while the data were sent.
                assert not waits_for(events, gone)

        writer = writer_to([gone, one.address, two.address], **limits, on_event=events.append)
        blocks = [HUGE[: 1 << 20]] * 24
        assert send(writer, Blocks(*blocks, may_give=may_give)) == len(HUGE)
    assert failed(writer) == [0]
    assert hedging.is_late(gone)


@pytest.mark.parametrize("grace", [None, LONG])
def test_write_limit_does_not_count_before_a_server_is_connected_to(grace):
    """A server whose queue is full has the time to connect, and that to write after it."""
    enough: list[bool] = []
    with full_backlog() as gone, green.ContextPool(1) as pool:
        chunk = Chunk.of({"url": f"http://{gone}/0A", "pos": "0", "size": 0, "hash": ""})
        limits = Limits(connection=0.5, write=SHORT)
        sender = ChunkSender(chunk, {}, Options(write_grace=grace, limits=limits))
        sender.others_are_enough = lambda: bool(enough.append(True))
        sender.thread = pool.spawn(sender.run)
        while sender.error is None:
            sender.put(b"x", 1)
    assert isinstance(sender.error, green.ConnectionTimeout)


def test_server_whose_queue_is_full_does_not_use_up_the_deadline():
    with full_backlog() as gone, green.ContextPool(1) as pool:
        chunk = Chunk.of({"url": f"http://{gone}/0A", "pos": "0", "size": 0, "hash": ""})
        limits = Limits(deadline=1.0, clock=lambda: 0.0)
        sender = ChunkSender(chunk, {}, Options(write_grace=LONG, limits=limits))
        sender.others_are_enough = lambda: True
        sender.thread = pool.spawn(sender.run)
        while sender.error is None:
            sender.put(b"x", 1)
    assert str(sender.error) == "Chunk write timeout 0.5 seconds"


# --- small objects ---


@pytest.mark.parametrize("is_ec", [False, True])
@pytest.mark.parametrize("are_kept", [False, True])
def test_answers_to_a_small_write_are_taken_while_a_server_is_connected_to(are_kept, is_ec, caplog):
    number = EC.quorum if is_ec else 2
    perfdata: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        gone = stack.enter_context(full_backlog())
        if are_kept:
            servers = stack.enter_context(kept_connections(*[store] * number))
        else:
            servers = [stack.enter_context(serving(store)) for _ in range(number)]
        addresses = [gone, *[server.address for server in servers]]
        limits = {"connection_timeout": LONG, "write_grace": SHORT}
        writer = writer_to(addresses, is_ec, **limits, perfdata=perfdata)
        assert send(writer, b"small") == 5
        assert [server.connections for server in servers] == [1] * number
    assert failed(writer) == [0]
    # It was never sent anything.
    assert to_remove(writer.outcomes, only_failed=True) == []
    (line,) = [line for line in caplog.messages if "Failed chunk" in line]
    assert f"{gone}/" in line
    assert "connect: " in line
    assert "after the quorum" in line
    for address in addresses[1:]:
        steps = {key.partition(".")[0] for key in perfdata["rawx"] if address in key}
        assert steps == {"connect", "upload", "upload_finish"}


def test_small_write_has_the_limits_of_each_step_until_there_is_a_quorum():
    """The write limit is not for connecting, and begins anew with the data."""
    may_connect, are_enough = threading.Event(), threading.Event()
    all_have_it = threading.Barrier(3, timeout=LONG)
    kinds: list[str] = []
    now = [0.0]

    def store_late(peer: Peer) -> None:
        assert may_connect.wait(LONG)
        speak_tls(peer)
        with peer.sock:
            peer.read_head()
            peer.read_chunked()
            if all_have_it.wait() == 0:
                # The last one, whichever that is.
                assert are_enough.wait(LONG)
            peer.answer(201)

    def note(event: Event) -> None:
        kinds.append(event.kind)
        if kinds == [BEGUN] * 3:
            # Connecting takes longer than a write may.
            now[0] = 100.0
            may_connect.set()
        if kinds.count(ENDED) == 2:
            are_enough.set()

    context = create_ssl_context(CERTIFICATE)
    with serving(store_late) as one, serving(store_late) as two, serving(store_late) as three:
        addresses = [server.address for server in (one, two, three)]
        options = Options(limits=Limits(clock=lambda: now[0]), ssl_context=context, on_event=note)
        writer = writer_to(addresses, scheme="https", options=options)
        assert send(writer, b"small") == 5
    assert failed(writer) == []


def test_server_that_has_been_connected_to_has_gone_on():
    """As has one that took data: its grace begins anew."""
    with serving(store) as server:
        chunk = Chunk.of({"url": f"http://{server.address}/0A", "pos": "0", "size": 0, "hash": ""})
        sender = ChunkSender(chunk, {}, Options())
        before = sender.progress
        sender.connect()
        assert sender.progress != before
        sender.close()


# --- without a quorum ---


@pytest.mark.parametrize("are_kept", [False, True])
@pytest.mark.parametrize("data", [b"small", BLOCK], ids=["small", "large"])
def test_write_that_servers_refuse_does_not_wait_for_the_answers_of_others(data, are_kept, end):
    with contextlib.ExitStack() as stack:
        gone, gone_too = [stack.enter_context(refusing()) for _ in range(2)]
        if are_kept:
            (server,) = stack.enter_context(kept_connections(silent(end)))
        else:
            server = stack.enter_context(serving(silent(end)))
        writer = writer_to([gone, server.address, gone_too])
        with pytest.raises(exc.ServiceBusy, match=r"quorum not reached \(1/2\)") as caught:
            send(writer, data)
        end.set()
    assert gone in str(caught.value)
    assert gone_too in str(caught.value)


@pytest.mark.parametrize("are_kept", [False, True])
@pytest.mark.parametrize("data", [b"small", BLOCK], ids=["small", "large"])
def test_write_that_has_failed_does_not_wait_for_a_connection(data, are_kept):
    def refuse(peer: Peer) -> None:
        peer.read_head()
        peer.read_chunked()
        peer.answer(503)

    with contextlib.ExitStack() as stack:
        gone = stack.enter_context(full_backlog())
        if are_kept:
            servers = stack.enter_context(kept_connections(refuse, refuse))
        else:
            servers = [stack.enter_context(serving(refuse)) for _ in range(2)]
        writer = writer_to([gone, *[server.address for server in servers]], connection_timeout=2.0)
        with pytest.raises(exc.ServiceBusy, match=r"quorum not reached \(1/2\): .*HTTP 503"):
            send(writer, data)
    assert failed(writer) == [0, 1, 2]


def test_small_write_that_is_refused_leaves_nothing_of_a_connection_that_is_being_made():
    with full_backlog() as gone, refusing() as one, refusing() as two:
        writer = writer_to([gone, one, two])
        with pytest.raises(exc.OioException):
            send(writer, b"small")
    assert to_remove(writer.outcomes) == []


def test_nothing_is_taken_from_the_source_when_a_quorum_cannot_be_connected_to():
    source = Blocks(BLOCK)
    with full_backlog() as gone, full_backlog() as gone_too, serving(store) as server:
        writer = writer_to([gone, server.address, gone_too], connection_timeout=0.1)
        with pytest.raises(exc.OioTimeout, match=r"Connection timeout 0\.1 seconds"):
            send(writer, source)
    assert source.given == 0
    assert to_remove(writer.outcomes) == []


@pytest.mark.parametrize("are_kept", [False, True])
@pytest.mark.parametrize("data", [b"small", BLOCK], ids=["small", "large"])
def test_servers_that_a_quorum_needs_have_the_time_to_connect(data, are_kept):
    """Which may be more than a write has."""
    with contextlib.ExitStack() as stack:
        gone, gone_too = [stack.enter_context(full_backlog()) for _ in range(2)]
        if are_kept:
            (server,) = stack.enter_context(kept_connections(store))
        else:
            server = stack.enter_context(serving(store))
        limits = {"connection_timeout": 0.5, "write_timeout": SHORT, "write_grace": SHORT}
        writer = writer_to([gone, server.address, gone_too], **limits)
        with pytest.raises(exc.OioTimeout, match=r"Connection timeout 0\.5 seconds"):
            send(writer, data)


def test_server_that_a_quorum_needs_has_the_time_to_connect_when_another_is_silent(end):
    """No grace begins when one is given up before there is a quorum."""
    with full_backlog() as gone, kept_connections(silent(end), store) as servers:
        limits = {"connection_timeout": 0.5, "write_timeout": SHORT, "write_grace": SHORT}
        writer = writer_to([gone, *[server.address for server in servers]], **limits)
        with pytest.raises(exc.OioTimeout, match=r"Connection timeout 0\.5 seconds") as caught:
            send(writer, b"small")
        end.set()
    assert f"Chunk write timeout {SHORT:g} seconds: " in str(caught.value)
    assert "after the quorum" not in str(caught.value)


@pytest.mark.parametrize("data", [b"small", BLOCK], ids=["small", "large"])
def test_deadline_ends_connections_that_a_quorum_needs(data):
    with full_backlog() as gone, full_backlog() as gone_too, serving(store) as server:
        deadline = green.time.monotonic() + 0.2
        writer = writer_to([gone, server.address, gone_too], deadline=deadline)
        with pytest.raises(exc.DeadlineReached):
            send(writer, data)


def test_interrupted_write_leaves_nothing_of_a_connection_that_is_being_made():
    def interrupt(given: int) -> None:
        if given:
            raise KeyboardInterrupt

    with full_backlog() as gone, serving(store) as one, serving(store) as two:
        writer = writer_to([gone, one.address, two.address])
        with pytest.raises(KeyboardInterrupt):
            send(writer, Blocks(BLOCK, may_give=interrupt))
    assert not writer.outcomes[0].maybe_stored


@pytest.mark.parametrize("data", [b"small", BLOCK], ids=["small", "large"])
def test_no_grace_waits_for_the_connection_limit(data, caplog):
    with full_backlog() as gone, serving(store, store) as one, serving(store, store) as two:
        for limits in growing_limits("stall", "connection_timeout"):
            writer = writer_to([gone, one.address, two.address], write_grace=None, **limits)
            with contextlib.suppress(exc.OioTimeout):
                send(writer, data)
            if failed(writer) == [0]:
                break
    assert failed(writer) == [0]
    assert f"Connection timeout {limits['connection_timeout']:g} seconds" in caplog.text
    assert "after the quorum" not in caplog.text


# --- what the client remembers ---


@pytest.mark.parametrize("data", [b"small", BLOCK], ids=["small", "large"])
@pytest.mark.parametrize(
    "limits",
    [{"write_grace": SHORT}, {"write_grace": LONG, "connection_timeout": 0.5}],
    ids=["left", "failed"],
)
def test_server_that_cannot_be_connected_to_in_time_is_remembered(limits, data):
    hedging = Hedging()
    with full_backlog() as gone, serving(store) as one, serving(store) as two:
        writer = writer_to([gone, one.address, two.address], hedging=hedging, hedge=False, **limits)
        send(writer, data)
        assert failed(writer) == [0]
        assert [hedging.is_late(each) for each in (gone, one.address, two.address)] == [True, False, False]


def test_server_whose_kept_connection_is_silent_is_not_remembered(end):
    """It may be slow: what is remembered are servers that nobody can connect to."""
    hedging = Hedging()
    with kept_connections(silent(end), store, store) as servers:
        writer = writer_to([server.address for server in servers], hedging=hedging, write_grace=SHORT)
        send(writer, b"small")
        end.set()
    assert failed(writer) == [0]
    assert not hedging.knows_late


@pytest.mark.parametrize(
    ("error", "is_remembered"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), False),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), False),
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), True),
        # After some seconds, when it was in the same network.
        (OSError(errno.EHOSTUNREACH, "No route to host"), True),
    ],
)
def test_server_that_refuses_at_once_is_not_remembered(error, is_remembered):
    hedging = Hedging()
    chunk = Chunk.of({"url": "http://127.0.0.1:1/0A", "pos": "0", "size": 0, "hash": ""})
    ChunkSender(chunk, {}, Options(hedging=hedging)).fail("connect", error)
    assert hedging.is_late("127.0.0.1:1") == is_remembered


@pytest.mark.parametrize("data", [b"small", BLOCK], ids=["small", "large"])
def test_server_that_is_remembered_has_less_time_to_connect_and_is_remembered_again(data, caplog):
    now = [0.0]
    hedging = Hedging(clock=lambda: now[0])
    with full_backlog() as gone, serving(store) as one, serving(store) as two:
        hedging.note_late(gone)
        now[0] = LATE_SECONDS - 1
        limits = {"connection_timeout": LONG, "write_grace": LONG}
        send(writer_to([gone, one.address, two.address], hedging=hedging, **limits), data)
        now[0] += LATE_SECONDS - 1
        assert hedging.is_late(gone)
    assert f"connect: Connection timeout {CONNECTING_AGAIN_SECONDS:g} seconds" in caplog.text


@pytest.mark.parametrize(
    ("number", "refusals", "grace"),
    [(2, 0, LONG), (1, 1, LONG), (1, 0, None)],
    ids=["a quorum needs one of them", "it does once another has failed", "no grace"],
)
@pytest.mark.parametrize("data", [b"small", BLOCK], ids=["small", "large"])
def test_server_that_is_remembered_has_all_its_time(number, refusals, grace, data, caplog):
    hedging = Hedging()
    seconds = CONNECTING_AGAIN_SECONDS + 0.1
    with contextlib.ExitStack() as stack:
        gone = [stack.enter_context(full_backlog()) for _ in range(number)]
        others = [stack.enter_context(refusing()) for _ in range(refusals)]
        others += [stack.enter_context(serving(store)).address for _ in range(3 - number - refusals)]
        for address in gone:
            hedging.note_late(address)
        writer = writer_to([*gone, *others], hedging=hedging, connection_timeout=seconds, write_grace=grace)
        with contextlib.suppress(exc.OioTimeout):
            send(writer, data)
    assert f"connect: Connection timeout {seconds:g} seconds" in caplog.text
    assert f"{CONNECTING_AGAIN_SECONDS:g} seconds" not in caplog.text


# --- a whole upload ---


@pytest.mark.parametrize("grace", [SHORT, LONG])
def test_long_upload_pays_for_a_host_that_is_gone_once(grace):
    """Later metachunks give it less time to connect, and nobody asks it to delete what it never got."""
    sound, other = Rawx(), Rawx()
    with full_backlog() as gone, serving(sound) as one, serving(other) as two:
        addresses = [gone, one.address, two.address]
        limits = {"connection_timeout": 0.5 if grace == LONG else LONG, "write_grace": grace}
        with Cluster(*[addresses] * 3, **limits) as made:
            assert made.put(3 * SIZE) == 6
            assert made.api._hedging.is_late(gone)
    # A host that is gone is asked once in each metachunk, and never to delete anything.
    assert [(event.address, event.operation) for event in made.failed] == [(gone, "PUT chunk")] * 3


@pytest.mark.parametrize("size", [5, SIZE], ids=["small", "large"])
@pytest.mark.parametrize(
    "limits", [{"write_grace": SHORT}, {"connection_timeout": 0.2}], ids=["left", "failed"]
)
def test_nothing_of_an_upload_is_left_to_the_garbage_collector(limits, size):
    with full_backlog() as gone, serving(Rawx()) as one, serving(Rawx()) as two:
        with Cluster([gone, one.address, two.address], **limits) as made:
            # In a thread of its own: what other tests have left in their hub is none of this.
            assert watched(lambda: garbage_of(lambda _api: made.put(size), made.api)) == []
        assert [event.address for event in made.failed] == [gone]


@pytest.mark.parametrize("unreachable", [refusing, full_backlog])
def test_sender_that_has_failed_does_not_wait_for_the_garbage_collector(unreachable):
    """Its error is kept, the frames in which that was raised are not, nor what its hurry knows."""
    gc.disable()
    try:
        with unreachable() as address:
            chunk = Chunk.of({"url": f"http://{address}/0A", "pos": "0", "size": 0, "hash": ""})
            sender = ChunkSender(chunk, {}, Options())
            sender.is_expendable = lambda sender=sender: sender.error is None
            sender.run()
        assert sender.error is not None
        sender.is_expendable = bool
        seen = weakref.ref(sender)
        del sender
        assert seen() is None
    finally:
        gc.enable()
