# SPDX-License-Identifier: Apache-2.0
"""Requests that are watched: what has begun ends once, also when it is hedged, faked, or forked."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from oio.api._data.copies import CopiesSource
from oio.api._data.layout import Metachunk
from oio.common import events, green
from oio.common.chunks import Chunk
from oio.common.http_api import HttpApi
from oio.common.options import Options
from tests.kit.events import Heard
from tests.kit.fakes import FakeResponse, chunks_on, network
from tests.kit.signals import raising, strike
from tests.unit.test_hedged_reads import (
    DATA,
    EC,
    Late,
    Rawx,
    encoded,
    options_of,
    read,
    running,
    source_of,
)


@pytest.fixture
def heard() -> Heard:
    return Heard()


def watch(heard: Heard) -> events.Watch:
    return events.Watcher(heard, "an-ID").watch("rawx", "127.0.0.1:6010", "GET chunk", 2, "the chunk")


def test_only_the_first_end_counts(heard: Heard) -> None:
    watched = watch(heard)
    watched.received = 7
    watched.end()
    watched.end(ValueError("too late"))
    heard.check_pairs()
    begun, ended = heard.events
    assert begun.kind == events.BEGUN
    assert (ended.outcome, ended.received, ended.bytes, ended.attempt) == ("ok", 7, 7, 2)


@pytest.mark.parametrize(
    ("error", "kwargs", "outcome"),
    [
        (None, {}, "ok"),
        (None, {"is_whole": False}, "abandoned"),
        (None, {"status": 404}, "HTTP 404"),
        (ConnectionResetError("peer"), {}, "ConnectionResetError"),
        (ConnectionResetError("peer"), {"status": 200}, "ConnectionResetError"),
        ("HTTP 507", {}, "HTTP 507"),
        ("another range", {"status": 206}, "unusable"),
        (KeyboardInterrupt(), {}, "KeyboardInterrupt"),
    ],
)
def test_outcomes(heard: Heard, error: Any, kwargs: Any, outcome: str) -> None:
    watch(heard).end(error, **kwargs)
    assert heard.ended() == [("GET chunk", outcome)]


def test_child_of_a_fork_does_not_end_what_its_parent_has_begun(heard: Heard) -> None:
    watched = watch(heard)
    child = os.fork()
    if not child:
        watched.end()
        os._exit(len(heard.events) - 1)
    assert os.waitpid(child, 0)[1] == 0
    watched.end()
    heard.check_pairs()


def test_listener_that_is_interrupted_at_the_beginning_hears_the_end() -> None:
    def interrupt(event: events.Event) -> None:
        if event.kind == events.BEGUN:
            raise KeyboardInterrupt

    heard = Heard(interrupt)
    with pytest.raises(KeyboardInterrupt):
        watch(heard)
    heard.check_pairs()
    assert heard.ended() == [("GET chunk", "KeyboardInterrupt")]


def test_exception_of_a_signal_handler_passes_through_a_listener() -> None:
    error = ValueError("of the host")
    with raising(error), pytest.raises(ValueError, match="of the host") as caught:
        events.tell(lambda _event: strike(), events.Event(kind=events.BEGUN))
    assert caught.value is error


def test_time_limit_of_the_host_passes_through_a_listener() -> None:
    with pytest.raises(green.Timeout), green.Timeout(0.001):
        events.tell(lambda _event: green.sleep(60), events.Event(kind=events.BEGUN))


@pytest.mark.parametrize("is_ec", [False, True])
def test_rivals_are_told(heard: Heard, is_ec: bool) -> None:
    datas = encoded(EC, DATA) if is_ec else [DATA] * 3
    late = Rawx(datas[0], threading.Event())
    others = [Rawx(data) for data in datas[1:]]
    answered = [server.answered for server in others[: EC.ec_nb_data - 1]] if is_ec else []
    hedging = Late(late.asked, *answered)
    with running([late, *others]) as addresses:
        options = options_of(hedging, on_event=heard)
        assert read(source_of(addresses, DATA, is_ec, options), DATA) == DATA
    heard.check_pairs()
    (hedged,) = heard.of(events.HEDGED)
    assert hedged.address != addresses[0].address
    outcomes = {event.address: event.outcome for event in heard.of(events.ENDED)}
    assert outcomes.pop(addresses[0].address) == events.ABANDONED
    assert set(outcomes.values()) == {events.OK}
    assert hedged.address in outcomes


def test_fakes_of_applications_are_watched(heard: Heard) -> None:
    with network(a=FakeResponse(503), b=FakeResponse(200, b"data")):
        made = tuple(map(Chunk.of, chunks_on("a", "b", size=4, digest="")))
        source = CopiesSource(Metachunk(0, 0, 4, made), set(), Options(on_event=heard))
        assert read(source, b"data") == b"data"
    heard.check_pairs()
    assert heard.ended() == [("GET chunk", "HTTP 503"), ("GET chunk", "ok")]


def test_nobody_is_told_where_nobody_listens() -> None:
    assert Options().watcher is None
    assert "on_event" not in Options().for_request()
    with HttpApi("http://127.0.0.1:1") as api:
        assert api._on_event is None
