# SPDX-License-Identifier: Apache-2.0
"""What a request to a service looks like: its URL, its headers, its time limits."""

from __future__ import annotations

import gc
import json
import logging
import re
import threading
import time
import weakref
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oio import ObjectStorageApi
from oio.account.client import AccountClient
from oio.common import exceptions as exc
from oio.common.client import ProxyClient
from oio.common.http_api import HttpApi
from tests.kit.recording import RecordingPool, answer
from tests.kit.scripted import Peer, serving

MASTER, ADMIN = "x-oio-force-master", "x-oio-admin"


def ask(path="/route", pool=None, endpoint="http://host:1/prefix", call=None, **options):
    """Send a request with some options; get what was sent."""
    pool = pool or RecordingPool()
    HttpApi(endpoint, pool_manager=pool, **options)._request("GET", path, **(call or {}))
    return pool.asked[-1]


@pytest.mark.pitfall(66)
@pytest.mark.parametrize("endpoint", ["http://host:1/prefix", "http://host:1/prefix/"])
@pytest.mark.parametrize("path", ["route", "/route", "//route"])
def test_one_slash_joins_an_endpoint_and_a_route(endpoint, path):
    assert ask(path, endpoint=endpoint).url == "http://host:1/prefix/route"


@pytest.mark.pitfall(66)
@pytest.mark.parametrize("params", [None, {}, [], {"a": None}, {"a": None, "b": None}])
def test_no_question_mark_without_a_parameter(params):
    assert ask(call={"params": params}).url == "http://host:1/prefix/route"


@pytest.mark.pitfall(66, 67, 92)
@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"a": "", "b": None}, "a="),
        ({"a": True, "b": False, "c": 0}, "a=1&b=0&c=0"),
        ([("a", 1), ("a", 2)], "a=1&a=2"),
        ([(b"a b", 1), (b"\xff", 2)], "a+b=1&%FF=2"),
        ({"path": "a b+c/é?&=%25\n"}, "path=a+b%2Bc%2F%C3%A9%3F%26%3D%2525%0A"),
    ],
)
def test_parameters_are_encoded_once(params, query):
    assert ask(call={"params": params}).url == f"http://host:1/prefix/route?{query}"


@pytest.mark.pitfall(66)
@pytest.mark.parametrize("prefix", ["", "container", "/container", "container/"])
@pytest.mark.parametrize("place", ["host:1", "http://host:1", "http://host:1/"])
def test_endpoint_of_a_group_of_routes_has_single_slashes(prefix, place):
    client = ProxyClient({"namespace": "NS"}, prefix, endpoint=place, pool_manager=RecordingPool())
    assert client.endpoint == "http://host:1/v3.0/NS" + ("/container" if prefix else "")


@pytest.mark.pitfall(73)
@pytest.mark.parametrize(
    ("call", "seconds"),
    [
        ({}, 30.0),
        ({"read_timeout": 600}, 600.0),
        ({"read_timeout": "600"}, 600.0),
        ({"timeout": 8}, 8.0),
        ({"connection_timeout": 9.0}, 30.0),
    ],
)
def test_service_is_told_to_answer_before_we_leave(call, seconds):
    asked = ask(call=call)
    assert asked.timeout.read_timeout == seconds
    assert int(asked.headers["x-oio-timeout"]) == int(seconds * 990_000)


@pytest.mark.pitfall(73)
def test_service_has_a_little_less_time_than_is_left_before_the_deadline():
    before = time.monotonic()
    asked = ask(call={"deadline": before + 500})
    allowed = int(asked.headers["x-oio-timeout"])
    assert allowed == int(asked.timeout.read_timeout * 990_000)
    assert (500 - (time.monotonic() - before)) * 990_000 - 1 <= allowed < 495_000_000


@pytest.mark.pitfall(73, 74)
def test_time_that_a_service_is_given_is_never_nothing():
    assert ask(call={"read_timeout": 1e-7}).headers["x-oio-timeout"] == "1"
    pool = RecordingPool()
    with pytest.raises(exc.DeadlineReached):
        ask(pool=pool, call={"deadline": time.monotonic()})
    assert pool.asked == []


@pytest.mark.parametrize("name", ["force_master", "admin_mode"])
@pytest.mark.parametrize(
    ("constructor", "call", "expected"),
    [
        (None, None, False),
        (True, None, True),
        ("yes", None, True),
        ("false", None, False),
        (None, True, True),
        (None, "1", True),
        (None, "false", False),
        (None, "no", False),
        (None, "0", False),
        (False, True, True),
        (True, False, False),
        ("true", "off", False),
        (True, 0, False),
    ],
)
def test_wish_of_a_call_wins_over_that_of_the_constructor(name, constructor, call, expected):
    options = {} if constructor is None else {name: constructor}
    asked = ask(call={} if call is None else {name: call}, **options)
    header = {"force_master": MASTER, "admin_mode": ADMIN}[name]
    assert asked.headers.get(header) == ("1" if expected else None)


@pytest.mark.parametrize("word", ["yess", 7, [], {}, b"true", 1.0])
@pytest.mark.parametrize("name", ["force_master", "admin_mode", "autocreate", "tls"])
def test_flag_that_is_neither_true_nor_false_is_refused_by_name(name, word):
    pool = RecordingPool()
    refusal = re.escape(f"{name} must be True or False, not {word!r}")
    with (
        ProxyClient({"namespace": "NS"}, endpoint="host:1", pool_manager=pool) as proxy,
        pytest.raises(ValueError, match=refusal) as caught,
    ):
        proxy._request("GET", "/route", **{name: word})
    assert isinstance(caught.value, exc.BadRequest)
    with pytest.raises(ValueError, match=refusal):
        ObjectStorageApi("NS", endpoint="host:1", pool_manager=pool, **{name: word})
    with (
        ObjectStorageApi("NS", endpoint="host:1", pool_manager=pool) as api,
        pytest.raises(ValueError, match=refusal),
    ):
        api.container_show("a", "c", **{name: word})
    assert pool.asked == []


@pytest.mark.parametrize("word", ["yess", 7, []])
@pytest.mark.parametrize("name", ["force_master", "admin_mode"])
@pytest.mark.parametrize("kind", [HttpApi, AccountClient])
def test_default_that_is_no_flag_is_refused_by_name(kind, name, word):
    with pytest.raises(ValueError, match=re.escape(f"{name} must be True or False, not {word!r}")):
        ask(**{name: word}) if kind is HttpApi else kind({"namespace": "NS"}, "host:1", **{name: word})


@pytest.mark.parametrize("absent", [None, "", "None"])
def test_flag_that_is_absent_is_no_wish(absent):
    headers = ask(call={"force_master": absent}, admin_mode=absent).headers
    assert not {MASTER, ADMIN} & set(headers)


@pytest.mark.parametrize(("name", "header"), [("force_master", MASTER), ("admin_mode", ADMIN)])
def test_wish_wins_over_a_header_of_the_caller(name, header):
    assert ask(call={name: True, "headers": {header: "0"}}).headers[header] == "1"


def test_headers_may_be_bytes():
    asked = ask(call={"headers": {"x-name": b"caf\xe9", "x-number": 5}, "reqid": b"MINE"})
    assert asked.headers["x-name"] == "café"
    assert asked.headers["x-number"] == "5"
    assert asked.headers["x-oio-req-id"] == "MINE"


@pytest.mark.pitfall(69)
def test_request_id_is_cut_to_what_services_keep():
    assert ask(call={"reqid": "R" * 80}).headers["x-oio-req-id"] == "R" * 63
    assert ask(call={"headers": {"X-Oio-Req-Id": "R" * 80}}).headers["x-oio-req-id"] == "R" * 63


@pytest.mark.pitfall(79)
def test_json_is_decoded_whatever_it_is_called():
    pool = RecordingPool(answer(body=b'{"a": "\xc3\xa9"}', Content_Type="text/json; charset=utf-8"))
    assert HttpApi("http://host:1", pool_manager=pool)._request("GET", "/")[1] == {"a": "é"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
@pytest.mark.parametrize("value", [{"name": "\u20ac"}, {}, ["\u20ac"], "\u20ac"])
def test_answer_may_have_any_encoding_of_json(encoding, value):
    pool = RecordingPool(answer(body=json.dumps(value, ensure_ascii=False).encode(encoding)))
    assert HttpApi("http://host:1", pool_manager=pool)._request("GET", "/")[1] == value


def test_refusal_keeps_nothing_once_it_is_forgotten():
    """What a cycle keeps stays until it is collected, the connections of the pool with it."""

    def refused() -> Any:
        pool = RecordingPool(answer(404, body=b'{"status": 420, "message": "no"}'))
        try:
            HttpApi("http://host:1", pool_manager=pool)._request("GET", "/")
        except exc.NotFound as err:
            return weakref.ref(err), weakref.ref(pool)
        raise AssertionError("not refused")

    gc.disable()
    try:
        assert [reference() for reference in refused()] == [None, None]
    finally:
        gc.enable()


def test_more_requests_at_once_than_connections_are_kept_are_nothing_to_warn_about(caplog):
    number, kept = 6, 2
    all_there = threading.Barrier(number, timeout=30)

    def script(peer: Peer) -> None:
        while peer.read_head():
            if waiting:
                all_there.wait()
            peer.answer(200, b"{}")

    caplog.set_level(logging.DEBUG, "urllib3")
    waiting = True
    with serving(script) as server, HttpApi(f"http://{server.address}", pool_maxsize=kept) as api:
        threads = [threading.Thread(target=api._request, args=("GET", "/")) for _ in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        waiting = False
        for _ in range(number):
            api._request("GET", "/")
        assert server.connections == number, "the connections that are kept serve again"
        (pool,) = (api.pool_manager.pools[key] for key in api.pool_manager.pools.keys())  # noqa: SIM118
        assert len([item for item in pool.pool.queue if item is not None]) == kept
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


PARAMETERS = st.one_of(
    st.text(), st.binary(), st.booleans(), st.integers(), st.floats(), st.text("a /+%&=é", min_size=120)
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), PARAMETERS)))
def test_query_is_written_as_by_the_standard_library(params):
    expected = urlencode([(key, int(value) if isinstance(value, bool) else value) for key, value in params])
    asked = ask(call={"params": params}, endpoint="http://host:1")
    assert asked.url == f"http://host:1/route{'?' if expected else ''}{expected}"
