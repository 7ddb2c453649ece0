# SPDX-License-Identifier: Apache-2.0
"""Reads do not wait for a server that cannot be connected to: a rival is, and the first one is used."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from oio.api._data.copies import CopiesSource
from oio.api._data.ec.metachunk import FragmentsSource
from oio.api.io import http_connect
from oio.common import exceptions as exc
from oio.common import green, http_eventlet
from oio.common.events import ABANDONED, BEGUN, CHUNK_FAILED, ENDED, FAILED_OVER, HEDGED, OK, Event
from oio.common.hedging import BURST
from oio.common.limits import Limits
from tests.kit.ec_fakes import encoded
from tests.kit.hedged import (
    DATA,
    EC,
    HasAddress,
    Late,
    Rawx,
    metachunk,
    options_of,
    read,
    running,
    source_of,
    wait_green,
)
from tests.kit.scripted import Peer, full_backlog, serving
from tests.kit.tls import CERTIFICATE, speak_tls

TLS = green.create_ssl_context(CERTIFICATE)
SOON = Limits(connection=0.05)


class Gated:
    """Chunk server over TLS whose handshake waits for something."""

    def __init__(self, gate: threading.Event, data: bytes = DATA) -> None:
        self._gate = gate
        self.rawx = Rawx(data)

    def __call__(self, peer: Peer) -> None:
        assert self._gate.wait(60)
        with speak_tls(peer):
            self.rawx(peer)


def over_tls(rawx: Callable[[Peer], None]) -> Callable[[Peer], None]:
    def serve(peer: Peer) -> None:
        with speak_tls(peer):
            rawx(peer)

    return serve


@contextlib.contextmanager
def nowhere() -> Iterator[SimpleNamespace]:
    """A server that cannot be connected to, for as long as one waits."""
    with full_backlog() as address:
        yield SimpleNamespace(address=address)


@contextlib.contextmanager
def never_shaking_hands() -> Iterator[SimpleNamespace]:
    """A server that accepts, and says nothing of TLS."""
    with serving(Peer.wait_until_gone) as server:
        yield SimpleNamespace(address=server.address)


@contextlib.contextmanager
def refusing() -> Iterator[SimpleNamespace]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield SimpleNamespace(address=f"127.0.0.1:{sock.getsockname()[1]}")


def here(function: Callable[[], Any]) -> Any:
    return function()


def in_green_thread(function: Callable[[], Any]) -> Any:
    with green.ContextPool(1) as pool:
        return pool.spawn(function).wait()


def in_os_thread(function: Callable[[], Any]) -> Any:
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize("run", [here, in_green_thread, in_os_thread])
@pytest.mark.parametrize(("hanging", "scheme"), [(nowhere, "http"), (never_shaking_hands, "https")])
def test_copy_that_cannot_be_connected_to_is_left_for_another(run, hanging, scheme):
    hedging, perfdata, suspects, events = Late(), {}, set(), []
    good = Rawx(DATA)
    with hanging() as first, serving(over_tls(good) if scheme == "https" else good) as second:
        options = options_of(hedging, perfdata=perfdata, ssl_context=TLS, on_event=events.append)
        whole = metachunk([first, second], DATA, False, scheme)
        source = CopiesSource(whole, suspects, options)
        assert run(lambda: read(source, DATA)) == DATA
        assert source.used == [whole.chunks[1].url]
        assert hedging.is_late(first.address)
        assert not hedging.is_late(second.address)
    # It is no failure.
    assert suspects == set()
    assert [event.address for event in events if event.kind == HEDGED] == [second.address]
    assert not [event for event in events if event.kind == CHUNK_FAILED]
    ended = {event.address: event.outcome for event in events if event.kind == ENDED}
    assert ended == {first.address: ABANDONED, second.address: OK}
    assert perfdata["rawx"]["hedged"] == 1


@pytest.fixture
def idle() -> Iterator[dict[Any, Any]]:
    """The idle connections, by where they lead to: they are kept."""

    class Owner:
        pass

    owner = Owner()
    release = http_eventlet.POOL.hold(owner)
    yield http_eventlet.POOL._idle
    release()


def keep(*servers: HasAddress) -> None:
    for server in servers:
        http_eventlet.connect_ahead("http", server.address)


class Leaving:
    """Chunk server that leaves when it is asked."""

    def __init__(self, how: str) -> None:
        self._how = how
        self.asked: list[str] = []
        self.has_left = threading.Event()

    def __call__(self, peer: Peer) -> None:
        if head := peer.read_head():
            self.asked.append(head)
            if self._how == "resets":
                peer.reset()
            else:
                peer.sock.shutdown(socket.SHUT_RDWR)
            self.has_left.set()


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("how", ["closes", "resets"])
def test_copy_that_leaves_and_cannot_be_connected_to_again_is_left_for_another(how, number, idle):
    """A host that goes away closes its connections, and is silent after that."""
    first, suspects = Leaving(how), set()
    hedging = Late(first.has_left)
    with nowhere() as silent, running([Rawx(DATA)]) as [other], serving(first) as leaving:
        keep(*[leaving] * number)
        # Nobody is at its address any more.
        idle["http", silent.address, None] = idle.pop(("http", leaving.address, None))
        again = metachunk([silent, other], DATA, False)
        source = CopiesSource(again, suspects, options_of(hedging))
        assert read(source, DATA) == DATA
        # It is no failure.
        assert suspects == set()
        assert source.used == [again.chunks[1].url]
        assert hedging.is_late(silent.address)
        # The others that were kept are no better.
        assert len(first.asked) == 1


@pytest.mark.parametrize("others", [4, 5])
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("how", ["closes", "resets"])
def test_fragment_whose_server_leaves_and_cannot_be_connected_to_again_is_left_for_a_spare(
    how, number, others, idle
):
    """Whether connections to all the others are kept or not."""
    servers = [Rawx(data) for data in encoded(EC, DATA)[1:]]
    first, suspects = Leaving(how), set()
    hedging = Late(first.has_left, *[server.answered for server in servers[:5]])
    with nowhere() as silent, running(servers) as addresses, serving(first) as leaving:
        keep(*[leaving] * number, *addresses[:others])
        # Nobody is at its address any more.
        idle["http", silent.address, None] = idle.pop(("http", leaving.address, None))
        whole = metachunk([silent, *addresses], DATA, True)
        source = FragmentsSource(EC, whole, suspects, options_of(hedging))
        assert read(source, DATA) == DATA
        # It is no failure.
        assert suspects == set()
        assert whole.chunks[0].url not in source.used
        assert hedging.is_late(silent.address)
        # The others that were kept are no better.
        assert len(first.asked) == 1


class LateThen(Late):
    """Finds others late once something has happened after a rival was asked."""

    def __init__(self, first: list[threading.Event], then: list[threading.Event]) -> None:
        super().__init__(*first)
        self._then = then

    def take(self) -> bool:
        self._events = tuple(self._then)
        return super().take()


@pytest.mark.parametrize("why", ["answer", "connection"])
@pytest.mark.parametrize("is_ec", [False, True])
def test_rival_that_leaves_and_cannot_be_connected_to_again_is_left_for_another(is_ec, why, idle):
    """It was asked on a kept connection, because an answer or a connection was late."""
    datas = encoded(EC, DATA) if is_ec else [DATA] * 3
    needed = 6 if is_ec else 1
    first = Rawx(datas[0], threading.Event())
    others = [Rawx(data) for data in (*datas[1:needed], *datas[needed + 1 :])]
    leaver, suspects, events = Leaving("closes"), set(), []
    before = [server.answered for server in others[: needed - 1]]
    hedging = LateThen([*before, first.asked] if why == "answer" else before, [leaver.has_left])
    with (
        nowhere() as hanging,
        nowhere() as silent,
        running([first, *others]) as addresses,
        serving(leaver) as leaving,
    ):
        keep(leaving)
        # Nobody is at its address any more.
        idle["http", silent.address, None] = idle.pop(("http", leaving.address, None))
        places = [addresses[0] if why == "answer" else hanging, *addresses[1:]]
        places.insert(needed, silent)
        whole, options = metachunk(places, DATA, is_ec), options_of(hedging, on_event=events.append)
        source = (
            FragmentsSource(EC, whole, suspects, options) if is_ec else CopiesSource(whole, suspects, options)
        )
        assert read(source, DATA) == DATA
    # It is no failure.
    assert suspects == set()
    assert not [event for event in events if event.kind == CHUNK_FAILED]
    assert whole.chunks[needed].url not in source.used
    assert hedging.is_late(silent.address)
    assert len(leaver.asked) == 1


class Patient(Late):
    """Finds nobody late."""

    @property
    def delay(self) -> float:
        return 3600.0

    @delay.setter
    def delay(self, _seconds: float) -> None:
        pass


@pytest.mark.parametrize("is_ec", [False, True])
def test_kept_connection_that_has_died_is_no_reason_to_ask_another_server(is_ec, idle):
    datas = encoded(EC, DATA) if is_ec else [DATA] * 2
    needed = 6 if is_ec else 1
    servers, first, events = list(map(Rawx, datas)), Leaving("closes"), []
    with contextlib.ExitStack() as stack:
        addresses = [stack.enter_context(serving(first, servers[0]))]
        addresses += [stack.enter_context(serving(server)) for server in servers[1:]]
        keep(*addresses[:needed])
        source = source_of(addresses, DATA, is_ec, options_of(Patient(), on_event=events.append))
        assert read(source, DATA) == DATA
        urls = [chunk.url for chunk in metachunk(addresses, DATA, is_ec).chunks[:needed]]
        assert sorted(source.used) == sorted(urls)
    outcomes = [event.outcome for event in events if event.kind == ENDED]
    assert sorted(outcomes) == [ABANDONED, *[OK] * needed]
    assert {event.kind for event in events} == {BEGUN, ENDED}


def test_deadline_that_comes_after_the_rival_was_asked_names_the_rival():
    times = [0.0]
    with nowhere() as first, serving(Rawx(DATA)) as second:

        def listen(event: Event) -> None:
            if event.kind == BEGUN and event.address == second.address:
                times.append(9.0)

        limits = Limits(deadline=5.0, clock=lambda: times[-1])
        source = source_of([first, second], DATA, False, options_of(Late(), limits=limits, on_event=listen))
        with pytest.raises(exc.DeadlineReached, match=f"reading from {second.address}"):
            read(source, DATA)


def test_rival_that_cannot_be_connected_to_has_a_rival_too():
    hedging, perfdata = Late(), {}
    with nowhere() as first, nowhere() as second, serving(Rawx(DATA)) as third:
        options = options_of(hedging, perfdata=perfdata)
        assert read(source_of([first, second, third], DATA, False, options), DATA) == DATA
    assert hedging.is_late(first.address)
    assert perfdata["rawx"]["hedged"] == 2


class Opening(Late):
    """Lets something go on once a rival may be asked."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self._gate = gate

    def take(self) -> bool:
        self._gate.set()
        return super().take()


def test_first_copy_is_used_when_it_is_there_before_its_rival():
    gate = threading.Event()
    hedging, perfdata = Opening(gate), {}
    with serving(Gated(gate)) as first, never_shaking_hands() as rival:
        options = options_of(hedging, ssl_context=TLS, perfdata=perfdata)
        whole = metachunk([first, rival], DATA, False, "https")
        source = CopiesSource(whole, set(), options)
        assert read(source, DATA) == DATA
        assert source.used == [whole.chunks[0].url]
        # It had no time to be late.
        assert not hedging.is_late(first.address)
        assert not hedging.is_late(rival.address)
        assert first.connections == 1
    assert perfdata["rawx"]["hedged"] == 1


class BothThere(Late):
    """Lets the one that was late go on once its rival is asked; both have their requests then."""

    def __init__(self, gate: threading.Event, *both: threading.Event) -> None:
        super().__init__(*both)
        self._gate = gate
        self.before: list[threading.Event] = []
        self.is_first = True

    @property
    def delay(self) -> float:
        if not self.is_first:
            self._gate.set()
            return super().delay + 3600.0
        for event in self.before:
            wait_green(event)
        return 0.0

    @delay.setter
    def delay(self, _seconds: float) -> None:
        pass

    def take(self) -> bool:
        self.is_first = False
        return super().take()


@pytest.mark.parametrize("is_ec", [False, True])
def test_connection_of_the_one_that_is_not_used_is_closed_at_once(is_ec, monkeypatch):
    made, connected = [], http_eventlet._connected

    def connect(*args):
        # Nothing is closed because nobody refers to it.
        made.append(connected(*args))
        return made[-1]

    monkeypatch.setattr(http_eventlet, "_connected", connect)
    datas = encoded(EC, DATA)[:7] if is_ec else [DATA] * 2
    gate = threading.Event()
    first, others = Gated(gate, datas[0]), list(map(Rawx, datas[1:]))
    rival = others[-1]
    hedging, perfdata = BothThere(gate, first.rawx.asked, rival.asked), {}
    hedging.before = [other.asked for other in others[:-1]]
    ended = threading.Event()

    def serve_rival(peer: Peer) -> None:
        try:
            over_tls(rival)(peer)
        finally:
            ended.set()

    with contextlib.ExitStack() as stack:
        scripts = [first, *map(over_tls, others[:-1]), serve_rival]
        addresses = [stack.enter_context(serving(script)) for script in scripts]
        stack.callback(lambda: [connection.close() for connection in made])
        whole = metachunk(addresses, DATA, is_ec, "https")
        options = options_of(hedging, ssl_context=TLS, perfdata=perfdata)
        source = FragmentsSource(EC, whole, set(), options) if is_ec else CopiesSource(whole, set(), options)
        assert read(source, DATA) == DATA
        assert perfdata["rawx"]["hedged"] == 1
        assert source.used == [chunk.url for chunk in whole.chunks[: len(others)]]
        assert ended.wait(20)
        assert len(made) == len(addresses)


def test_first_copy_is_waited_for_when_its_rival_fails():
    gate = threading.Event()
    hedging, failed = Late(), []
    with serving(Gated(gate)) as first, refusing() as rival:

        def listen(event: Event) -> None:
            # A connection that is refused ends at once.
            if event.address == rival.address and event.kind == ENDED:
                failed.append(event.outcome)
                gate.set()

        options = options_of(hedging, ssl_context=TLS, on_event=listen)
        whole = metachunk([first, rival], DATA, False, "https")
        source = CopiesSource(whole, set(), options)
        assert read(source, DATA) == DATA
        assert source.used == [whole.chunks[0].url]
    assert len(failed) == 1


def test_all_that_cannot_be_connected_to_are_named():
    with nowhere() as first, refusing() as second:
        whole = metachunk([first, second], DATA, False)
        suspects = set()
        source = CopiesSource(whole, suspects, options_of(Late(), limits=SOON))
        with pytest.raises(exc.OioException) as caught:
            read(source, DATA)
        assert all(chunk.url in str(caught.value) for chunk in whole.chunks)
        assert suspects == {first.address, second.address}


@pytest.mark.parametrize("is_ec", [False, True])
@pytest.mark.parametrize("why", ["no more may be asked", "not hedged", "hedge=False"])
def test_connections_have_no_more_rivals_than_their_share(is_ec, why):
    datas = encoded(EC, DATA) if is_ec else [DATA] * 2
    servers, hedging, perfdata, suspects = list(map(Rawx, datas[1:])), Late(), {}, set()
    if why == "no more may be asked":
        while hedging.take():
            pass
    options = options_of(
        None if why == "not hedged" else hedging, limits=SOON, perfdata=perfdata, hedge=why != "hedge=False"
    )
    with nowhere() as first, running(servers) as addresses:
        whole = metachunk([first, *addresses], DATA, is_ec)
        source = (
            FragmentsSource(EC, whole, suspects, options) if is_ec else CopiesSource(whole, suspects, options)
        )
        assert read(source, DATA) == DATA
        # It has failed, after all the time of a connection.
        assert suspects == {first.address}
    assert "hedged" not in perfdata["rawx"]


@pytest.mark.parametrize("is_ec", [False, True])
def test_applications_that_make_connections_see_no_rivals_of_them(is_ec, monkeypatch):
    asked, datas = [], encoded(EC, DATA) if is_ec else [DATA] * 2

    def connect(netloc, *args, **kwargs):
        asked.append(netloc)
        return http_connect(netloc, *args, **kwargs)

    monkeypatch.setattr("oio.api.io.http_connect", connect)
    perfdata = {}
    with nowhere() as first, running(list(map(Rawx, datas[1:]))) as addresses:
        options = options_of(Late(), limits=SOON, perfdata=perfdata)
        assert read(source_of([first, *addresses], DATA, is_ec, options), DATA) == DATA
        wanted = 7 if is_ec else 2
        assert sorted(asked) == sorted([first.address, *[server.address for server in addresses]][:wanted])
    assert "hedged" not in perfdata["rawx"]


class LateOnce(Late):
    """Finds nobody late any more after that."""

    is_late_now = True

    @property
    def delay(self) -> float:
        was_late, self.is_late_now = self.is_late_now, False
        return super().delay if was_late else 3600.0

    @delay.setter
    def delay(self, _seconds: float) -> None:
        pass


@pytest.mark.parametrize("run", [here, in_green_thread, in_os_thread])
@pytest.mark.parametrize("number", [0, 5])
def test_fragment_whose_server_cannot_be_connected_to_is_left_for_a_spare(run, number):
    servers = [Rawx(data) for data in encoded(EC, DATA)]
    others = [server.answered for at, server in enumerate(servers[:6]) if at != number]
    hedging, perfdata, suspects = LateOnce(*others), {}, set()
    with running(servers) as addresses, nowhere() as hung:
        places = [*addresses[:number], hung, *addresses[number + 1 :]]
        source = FragmentsSource(
            EC, metachunk(places, DATA, True), suspects, options_of(hedging, perfdata=perfdata)
        )
        assert run(lambda: read(source, DATA)) == DATA
        assert [server.connections for server in addresses] == [int(at != number) for at in range(7)] + [0, 0]
        assert hedging.is_late(hung.address)
    assert suspects == set()
    assert perfdata["rawx"]["hedged"] == 1


def test_server_that_has_failed_is_not_late_while_others_are_connected_to():
    """It leaves what may be hedged to one that is late, and its spare does not wait for that one."""
    servers = [Rawx(data) for data in encoded(EC, DATA)]
    hedging, events, suspects = LateOnce(*[server.answered for server in servers[2:6]]), [], set()
    while hedging.take():
        pass
    hedging.give_back()
    with running(servers) as addresses, refusing() as failed, nowhere() as hung:
        whole = metachunk([failed, hung, *addresses[2:]], DATA, True)
        source = FragmentsSource(EC, whole, suspects, options_of(hedging, on_event=events.append))
        assert read(source, DATA) == DATA
        assert hedging.is_late(hung.address)
        assert not hedging.is_late(failed.address)
        # Nobody has waited for the one that hangs until it had failed.
        assert suspects == {failed.address}
        others = [(event.kind, event.address) for event in events if event.kind in {HEDGED, FAILED_OVER}]
        assert others == [(HEDGED, addresses[6].address), (FAILED_OVER, addresses[7].address)]


def test_right_to_ask_a_spare_is_given_back_when_none_can_be_asked():
    """A second copy of a fragment that is being read is of no use."""
    servers = [Rawx(data) for data in encoded(EC, DATA)[:5]]
    hedging, perfdata = LateOnce(*[server.answered for server in servers]), {}
    with running(servers) as addresses, nowhere() as hung:
        whole = metachunk([*addresses, hung], DATA, True)
        twice = replace(whole, chunks=(*whole.chunks, whole.chunks[0]))
        source = FragmentsSource(EC, twice, set(), options_of(hedging, limits=SOON, perfdata=perfdata))
        with pytest.raises(exc.ServiceUnavailable, match="5/6"):
            read(source, DATA)
    assert "hedged" not in perfdata["rawx"]
    assert sum(iter(hedging.take, False)) == BURST


def test_first_request_over_tls_has_a_rival_although_its_socket_has_something():
    """Tickets come with the handshake."""
    late, good = Rawx(DATA, threading.Event()), Rawx(DATA)
    hedging, perfdata = Late(late.asked), {}
    with serving(over_tls(late)) as first, serving(over_tls(good)) as second:
        whole = metachunk([first, second], DATA, False, "https")
        source = CopiesSource(whole, set(), options_of(hedging, ssl_context=TLS, perfdata=perfdata))
        assert read(source, DATA) == DATA
        assert not late.answered.is_set()
        assert source.used == [whole.chunks[1].url]
        assert perfdata["rawx"]["hedged"] == 1
        late.after.set()


@pytest.mark.parametrize("is_ec", [False, True])
def test_exception_of_the_host_ends_all_of_them(is_ec):
    hedging = Late()
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(nowhere()) for _ in range(7)]
        source = source_of(places, DATA, is_ec, options_of(hedging))
        with pytest.raises(KeyError, match="of the host"), green.Timeout(0.05, KeyError("of the host")):
            read(source, DATA)


@pytest.mark.parametrize("is_ec", [False, True])
def test_deadline_ends_all_of_them(is_ec):
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(nowhere()) for _ in range(7)]
        limits = Limits(deadline=Limits().clock() + 0.05)
        source = source_of(places, DATA, is_ec, options_of(Late(), limits=limits))
        with pytest.raises(exc.DeadlineReached):
            read(source, DATA)
