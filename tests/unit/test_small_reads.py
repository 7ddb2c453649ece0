# SPDX-License-Identifier: Apache-2.0
"""Small fragments: all servers have their request before an answer is awaited, in no thread of its own."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import sys
import termios
import threading
from collections.abc import Callable, Iterator

import pytest

from oio.api._data.ec.metachunk import FragmentsSource
from oio.api._data.layout import Metachunk
from oio.api.io import http_connect
from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Chunk
from oio.common.http_eventlet import POOL
from oio.common.limits import Limits
from oio.common.options import Options
from tests.kit.deadlines import growing_limits
from tests.kit.ec_fakes import encoded, method
from tests.kit.objects import eventually
from tests.kit.scripted import Peer, ScriptedServer, serving
from tests.kit.watchdog import watched

DATA = bytes(range(256)) * 16
EC = method(segment=1 << 20)
FRAGMENTS = encoded(EC, DATA)

Before = Callable[[int], None]


def nothing(_number: int) -> None:
    pass


class Rawx:
    """Chunk server of one fragment, with something that it does between a request and its answer."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.before: Before = nothing
        self.has_answered = threading.Event()

    def __call__(self, peer: Peer) -> None:
        data = FRAGMENTS[self.number]
        while peer.read_head():
            self.before(self.number)
            peer.answer(206, data, Content_Range=f"bytes 0-{len(data) - 1}/{len(data)}")
            self.peer = peer
            self.has_answered.set()

    def has_arrived(self) -> bool:
        """Whether the answer is at the other end: a busy machine may keep it for a moment on the way."""
        return self.has_answered.is_set() and not unacknowledged(self.peer)


def unacknowledged(peer: Peer) -> int:
    """Number of bytes that were sent, and that the other end has not received yet."""
    return int.from_bytes(fcntl.ioctl(peer.sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


class Owner:
    """Keeps connections alive."""


class Servers:
    """The nine servers of a metachunk."""

    def __init__(self, rawx: list[Rawx], addresses: list[ScriptedServer]) -> None:
        self.rawx = rawx
        self.addresses = addresses

    def read(self, before: Before = nothing, **options: object) -> bytes:
        for rawx in self.rawx:
            rawx.before = before
            rawx.has_answered.clear()
        digest = hashlib.md5(DATA).hexdigest()
        chunks = [
            Chunk(url, url, 0, number, len(DATA), digest)
            for number, server in enumerate(self.addresses)
            for url in [f"http://{server.address}/{number:064X}"]
        ]
        source = FragmentsSource(EC, Metachunk(0, 0, len(DATA), tuple(chunks)), set(), Options(**options))
        return b"".join(source.open(0, len(DATA) - 1))

    @property
    def connections(self) -> list[int]:
        return [server.connections for server in self.addresses]


@pytest.fixture
def servers() -> Iterator[Servers]:
    owner = Owner()
    release = POOL.hold(owner)
    rawx = [Rawx(number) for number in range(9)]
    try:
        with contextlib.ExitStack() as stack:
            yield Servers(rawx, [stack.enter_context(serving(each)) for each in rawx])
            release()
    finally:
        release()


@pytest.fixture
def kept(servers: Servers) -> Servers:
    """The same, with a connection to each of the first six."""
    assert servers.read() == DATA
    return servers


@pytest.mark.parametrize("connections", ["servers", "kept"])
def test_no_server_waits_for_the_answer_of_another(connections, request):
    everybody_is_asked = threading.Barrier(6, timeout=20)
    servers = request.getfixturevalue(connections)
    assert servers.read(lambda _number: everybody_is_asked.wait()) == DATA
    assert servers.connections == [1] * 6 + [0] * 3


def test_nobody_waits_in_a_hub_when_nothing_else_has_to_run(servers):
    def run() -> tuple[bool, bool]:
        hub = green.get_hub()
        for server in servers.addresses[:6]:
            connection = http_connect(server.address, "GET", "/0A")
            connection.getresponse().read()
            connection.close()
        # The first connections may have waited there.
        before = hub.greenlet.dead or not hub.running
        assert servers.read() == DATA
        return before, hub.running

    assert watched(run) == (True, False)


@pytest.mark.pitfall(27)
def test_deadline_counts_once_for_servers_that_answer_in_turn(kept):
    """What the first one takes is not taken from the others as well."""
    now = [0.0]
    first_has_answered = threading.Event()

    def before(number: int) -> None:
        if number == 0:
            # The clock of the limits goes on while the first one is waited for.
            now[0] = 180.0
            first_has_answered.set()
        else:
            first_has_answered.wait(20)

    assert kept.read(before, limits=Limits(deadline=300.0, clock=lambda: now[0])) == DATA
    assert kept.connections == [1] * 6 + [0] * 3


def test_answers_that_are_there_count_after_the_deadline(kept):
    """The deadline passes while the requests are sent, and the answers arrive at the same time."""
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        if looks == 1:
            # Before the first request.
            return 0.0
        for rawx in kept.rawx[:6]:
            eventually(rawx.has_arrived)
        return 5.0

    assert kept.read(limits=Limits(deadline=3.0, clock=clock)) == DATA
    assert looks > 1


@pytest.mark.pitfall(7)
def test_connections_are_kept_for_others_when_no_request_is_sent_on_them(kept):
    with pytest.raises(exc.DeadlineReached):
        kept.read(limits=Limits(deadline=0.0, clock=lambda: 1.0))
    for server in kept.addresses[:6]:
        assert POOL.kept_for([("http", server.address, None)])[0]


@pytest.mark.pitfall(135)
def test_kept_connections_that_are_dead_are_replaced(kept):
    for number in (2, 4):
        for sock in kept.addresses[number]._peers:
            sock.shutdown(2)
        address = kept.addresses[number].address
        eventually(lambda address=address: not POOL.kept_for([("http", address, None)])[0])
    assert kept.read() == DATA
    assert kept.connections == [1, 1, 2, 1, 2, 1, 0, 0, 0]


def test_server_that_says_nothing_is_left_for_a_spare_in_time(kept):
    silent = threading.Event()

    def before(number: int) -> None:
        if number == 3:
            silent.wait(60)

    try:
        for limits in growing_limits("stall", "read"):
            # On a busy machine, the others may be silent as well.
            with contextlib.suppress(exc.ServiceUnavailable):
                assert kept.read(before, limits=Limits(**limits)) == DATA
                break
    finally:
        silent.set()
    assert sum(kept.connections[6:]) >= 1
