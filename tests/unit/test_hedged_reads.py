# SPDX-License-Identifier: Apache-2.0
"""Reads do not wait for a server whose first byte is late: a rival is asked, and the first one is used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace

import pytest

from oio.api._data.copies import CopiesSource
from oio.api._data.ec import parallel_reader
from oio.api._data.ec.metachunk import FragmentsSource
from oio.api._data.layout import Metachunk
from oio.api.io import http_connect
from oio.blob import candidates, hedged
from oio.blob.connect import seam_is_replaced
from oio.common.chunks import Chunk
from oio.common.hedging import Hedging
from oio.common.http_eventlet import POOL
from tests.kit.ec_fakes import encoded
from tests.kit.fakes import FakeResponse, chunks_on, network
from tests.kit.hedged import DATA, EC, Late, Rawx, metachunk, options_of, read, running, source_of
from tests.kit.scripted import Peer, full_backlog, serving

LARGE = bytes(range(256)) * 2048
"""Its fragments do not fit where small ones do."""


def test_copy_that_is_late_is_left_for_another():
    late, quick, third = Rawx(DATA, threading.Event()), Rawx(DATA), Rawx(DATA)
    hedging, perfdata, suspects = Late(late.asked), {}, set()
    with running([late, quick, third]) as addresses:
        options = options_of(hedging, perfdata=perfdata)
        source = CopiesSource(metachunk(addresses, DATA, False), suspects, options)
        assert read(source, DATA) == DATA
        # It is not answered for as long as the test goes on.
        assert not late.answered.is_set()
        assert addresses[2].connections == 0
        assert source.used == [source._copies[1].url]
        assert suspects == set()
        assert perfdata["rawx"]["hedged"] == 1
        assert hedging.is_late(addresses[0].address)
        # The next read asks it last.
        again = CopiesSource(metachunk(addresses, DATA, False), suspects, options)
        assert [chunk.netloc for chunk in again._copies] == [
            addresses[number].address for number in (1, 2, 0)
        ]
        late.after.set()
        assert late.left.wait(20)


def test_first_copy_is_used_when_it_answers_before_its_rival():
    rival = Rawx(DATA, threading.Event())
    first = Rawx(DATA, rival.asked)
    hedging = Late(first.asked)
    with running([first, rival]) as addresses:
        source = CopiesSource(metachunk(addresses, DATA, False), set(), options_of(hedging))
        assert read(source, DATA) == DATA
        assert source.used == [source._copies[0].url]
        assert not hedging.is_late(addresses[0].address)
        rival.after.set()
        assert rival.left.wait(20)


def test_rival_that_is_wrong_gives_way_to_the_first():
    """The one that was left for it is asked again, after the others."""
    late, wrong = Rawx(DATA, threading.Event()), Rawx(b"")

    def refuse(peer: Peer) -> None:
        peer.read_head()
        peer.answer(503)
        late.after.set()

    with serving(late) as one, serving(refuse) as other:
        source = CopiesSource(metachunk([one, other], DATA, False), set(), options_of(Late(late.asked)))
        assert read(source, DATA) == DATA
        assert source.used == [source._copies[0].url]
    assert wrong.data == b""


@pytest.mark.parametrize("is_ec", [False, True])
def test_no_rival_is_asked_when_reads_are_not_hedged(is_ec):
    datas = encoded(EC, DATA) if is_ec else [DATA] * 3
    for options in (options_of(None), options_of(Late(), hedge=False)):
        servers = [Rawx(data) for data in datas]
        with running(servers) as addresses:
            assert read(source_of(addresses, DATA, is_ec, options), DATA) == DATA
            count = sum(server.connections for server in addresses)
            assert count == (6 if is_ec else 1)


@pytest.mark.parametrize("is_ec", [False, True])
def test_no_more_rivals_than_their_share(is_ec):
    """The servers that are late are waited for when others must not be asked."""
    datas = encoded(EC, DATA) if is_ec else [DATA] * 3
    late = Rawx(datas[0], threading.Event())
    others = [Rawx(data) for data in datas[1:]]
    hedging = Late(late.asked)
    while hedging.take():
        pass
    refused = hedging.take

    def take() -> bool:
        # Nothing else is waited for any more.
        late.after.set()
        return refused()

    hedging.take = take
    with running([late, *others]) as addresses:
        assert read(source_of(addresses, DATA, is_ec, options_of(hedging)), DATA) == DATA
        assert sum(server.connections for server in addresses) == (6 if is_ec else 1)


@pytest.fixture
def keep() -> Iterator[Callable[[], None]]:
    """Connections are kept."""

    class Owner:
        pass

    owner = Owner()
    release = POOL.hold(owner)
    yield release
    release()


@pytest.mark.usefixtures("keep")
@pytest.mark.parametrize("data", [DATA, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("number", [0, 3, 5])
def test_fragment_that_is_late_is_left_for_a_spare(data, number):
    datas = encoded(EC, data)
    servers = [Rawx(each, threading.Event() if at == number else None) for at, each in enumerate(datas)]
    late = servers[number]
    others = [server.answered for at, server in enumerate(servers[:6]) if at != number]
    hedging, perfdata, suspects = Late(late.asked, *others), {}, set()
    with running(servers) as addresses:
        options = options_of(hedging, perfdata=perfdata)
        whole = metachunk(addresses, data, True)
        source = FragmentsSource(EC, whole, suspects, options)
        assert read(source, data) == data
        assert not late.answered.is_set()
        assert [server.connections for server in addresses] == [1] * 7 + [0, 0]
        assert perfdata["rawx"]["hedged"] == 1
        assert suspects == set()
        assert hedging.is_late(addresses[number].address)
        # The next read does without it from the beginning, over connections that are kept.
        patient = Hedging()
        patient.note_late(addresses[number].address)
        assert read(FragmentsSource(EC, whole, suspects, options_of(patient)), data) == data
        assert [server.connections for server in addresses] == [1] * 7 + [0, 0]
        late.after.set()
        assert late.left.wait(20)


@pytest.mark.parametrize("is_ec", [False, True])
def test_rival_that_cannot_be_connected_to_does_not_hold_up_the_first(is_ec, monkeypatch):
    for module in (hedged, parallel_reader):
        monkeypatch.setattr(module, "CONNECTING_SECONDS", 0.01)
    datas = encoded(EC, DATA) if is_ec else [DATA]
    servers = [Rawx(data) for data in datas[:6]]
    late = servers[0]
    late.after = threading.Event()

    class Noting(Late):
        def note_late(self, netloc: str) -> None:
            super().note_late(netloc)
            late.after.set()

    hedging, suspects = Noting(late.asked), set()
    with running(servers) as addresses, full_backlog() as nowhere:
        chunks = [*addresses, SimpleNamespace(address=nowhere)]
        whole = metachunk(chunks, DATA, is_ec)
        options = options_of(hedging)
        kind = partial(FragmentsSource, EC) if is_ec else CopiesSource
        source = kind(whole, suspects, options)
        assert read(source, DATA) == DATA
    assert hedging.is_late(nowhere)
    assert suspects == set()


@pytest.mark.parametrize("is_ec", [False, True])
def test_applications_that_make_connections_see_no_rivals(is_ec, monkeypatch):
    """Not even when they are those of the library."""
    datas = encoded(EC, DATA) if is_ec else [DATA] * 3
    late = Rawx(datas[0], threading.Event())
    asked = []

    def connect(*args, **kwargs):
        asked.append(args)
        return http_connect(*args, **kwargs)

    def is_replaced() -> bool:
        # This is looked at when it is late.
        late.after.set()
        return seam_is_replaced()

    for module in (candidates, parallel_reader):
        monkeypatch.setattr(module, "seam_is_replaced", is_replaced)
    monkeypatch.setattr("oio.api.io.http_connect", connect)
    with running([late, *map(Rawx, datas[1:])]) as addresses:
        options = options_of(Late(late.asked))
        assert read(source_of(addresses, DATA, is_ec, options), DATA) == DATA
    assert len(asked) == (6 if is_ec else 1)


def test_fakes_of_applications_are_asked_once():
    answer = FakeResponse(200, b"data")
    with network(a=answer, b=answer) as fake:
        made = tuple(map(Chunk.of, chunks_on("a", "b", size=4, digest="")))
        source = CopiesSource(Metachunk(0, 0, 4, made), set(), options_of(Late()))
        assert read(source, b"data") == b"data"
    assert len(fake.calls) == 1
