# SPDX-License-Identifier: Apache-2.0
"""The client, given what the development head answered, links, takes snapshots, empties, changes policies.

Links, changes of policy and flushes are calls of the client of the head, made again. Snapshots and changes of
policy were made by hand too: the client must do what was done there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import urllib3

from oio.api._data.ec.codec import codec_of
from oio.api.object_storage import ObjectStorageApi
from oio.common import exceptions as exc
from oio.common.storage_method import STORAGE_METHODS
from oio.common.utils import cid_from_name, compute_chunk_id
from oio.container.client import ContainerClient
from tests.kit.recording import Asked, RecordingPool, answer
from tests.wire.calls import load_call_2026
from tests.wire.recorded import NAMES_2026, Exchange, load_2026
from tests.wire.replayed import Replay, replaying

CONTENT = "x-oio-content-meta-"
#: MD5 of the object whose policy is changed; only the beginning of its data was recorded.
CHANGED = "5fdbc0105a46a09109c3bf6e920793ef"


@contextmanager
def calling(name: str, **options: Any) -> Iterator[tuple[Replay, Any]]:
    """Services that replay a capture, and a function that makes its call again."""
    capture, call = load_2026(name), load_call_2026(name)
    with replaying(capture) as replay:
        query = replay.query
        names = {"A": query["acct"], "c": query["ref"], "v": query["ref"], "N": query.get("path")}
        endpoint = f"http://{replay.ports['127.0.0.1:7000']}"
        # The checksums of chunks are those of data that were not recorded.
        with ObjectStorageApi("OPENIO", endpoint=endpoint, request_attempts=1, **options) as api:
            yield replay, lambda: eval(call.text, {**names, "api": api})


def sent(replay: Replay, method: str, service: str = "rawx") -> list[str]:
    """Recorded addresses and targets of the requests."""
    return sorted(
        f"{item.peer}{item.target}"
        for item in replay.sent
        if (item.service, item.method) == (service, method)
    )


def recorded(name: str, method: str, service: str = "rawx") -> list[str]:
    return sorted(
        f"{e.peer}{e.target}" for e in load_2026(name).exchanges if (e.service, e.method) == (service, method)
    )


def copied(replay: Replay) -> set[tuple[str, str]]:
    """What was asked to be linked to what, and the full path."""
    return {
        (replay.recorded(item.headers["destination"]), item.headers["x-oio-chunk-meta-full-path"])
        for item in replay.sent
        if item.method == "COPY"
    }


def to_be_copied(name: str) -> set[tuple[str | None, str | None]]:
    return {
        (e.request.get("destination"), e.request.get("x-oio-chunk-meta-full-path"))
        for e in load_2026(name).exchanges
        if e.method == "COPY"
    }


def routes(replay: Replay) -> list[str]:
    return [
        item.target.partition("?")[0].partition("OPENIO/")[2]
        for item in replay.sent
        if item.service == "proxy"
    ]


# --- links --------------------------------------------------------------------------------------------


@pytest.mark.pitfall("W3", "W5")
@pytest.mark.parametrize("name", ["object_link__EC", "object_link__one_refused", "object_link__refused"])
def test_links_have_the_names_that_the_services_compute(name: str) -> None:
    refused = [e.target for e in load_2026(name).exchanges if e.response and e.response.status == 405]
    with calling(name) as (replay, call):
        if refused:
            # The data were not recorded, so that the chunk cannot be copied. The recorded client made a link
            # of eight chunks instead.
            with pytest.raises(exc.OioException):
                call()
        else:
            call()
    assert copied(replay) == to_be_copied(name)
    assert sent(replay, "COPY") == recorded(name, "COPY")
    assert [target.partition("/")[2] for target in sent(replay, "GET")] == [path[1:] for path in refused]


@pytest.mark.pitfall("W3")
def test_link_is_committed_with_all_its_chunks() -> None:
    name = "object_link__EC"
    with calling(name) as (replay, call):
        call()
    commit = next(item for item in replay.sent if "content/create" in item.target)
    (asked,) = [e for e in load_2026(name).exchanges if "content/create" in e.target]
    chunks = json.loads(replay.recorded(commit.body.decode()))["chunks"]
    places = [(chunk["url"].rpartition("/")[2], chunk["pos"], chunk["hash"]) for chunk in chunks]
    assert sorted(places) == sorted(
        (chunk["url"].rpartition("/")[2], chunk["pos"], chunk["hash"])
        for chunk in asked.request.json["chunks"]
    )
    for header in ("length", "hash", "id", "policy", "version", "mime-type", "chunk-method"):
        assert commit.headers[CONTENT + header] == asked.request.get(CONTENT + header)


# --- changes of policy --------------------------------------------------------------------------------


@pytest.fixture
def _unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write fragments without checksums of their data, as the recorded client does."""
    method = STORAGE_METHODS.load("ec/algo=liberasurecode_rs_vand,k=6,m=3")
    monkeypatch.setattr(codec_of(method), "_driver", method.unchecked_driver)  # type: ignore[arg-type,attr-defined]


def make_up_object(name: str, replay: Replay) -> None:
    """Let the object have the MD5 of what stands for the data that were not recorded."""
    (first,) = {
        e.response.head for e in load_2026(name).exchanges if e.method == "GET" and e.service == "rawx"
    }  # type: ignore[union-attr]
    replay.hashes[CHANGED] = hashlib.md5(first.ljust(1500000, b"~")).hexdigest()


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.pitfall("W6")
def test_change_that_was_announced_is_committed_at_once() -> None:
    name = "object_change_policy__ok"
    with calling(name, chunk_checksum_algo=None) as (replay, call):
        make_up_object(name, replay)
        chunks, size, _, meta = call()
        assert (len(chunks), size, meta["policy"]) == (9, 1500000, "EC")
    assert routes(replay) == ["content/locate", "content/prepare2", "content/create"]
    assert sent(replay, "PUT") == recorded(name, "PUT")
    assert not sent(replay, "DELETE")
    commit = replay.sent[-1]
    (asked,) = [e for e in load_2026(name).exchanges if "content/create" in e.target]
    assert commit.target == asked.target
    for header in ("length", "id", "policy", "version"):
        assert commit.headers[CONTENT + header] == asked.request.get(CONTENT + header)
    assert commit.headers[f"{CONTENT}hash"].lower() == replay.hashes[CHANGED]


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.pitfall("W6")
def test_refusal_of_a_change_that_was_not_announced_is_understood() -> None:
    """Nobody answers to the announcement here: it is taken back, and the chunks are removed."""
    name = "object_change_policy__no_transition"
    with calling(name, chunk_checksum_algo=None) as (replay, call):
        make_up_object(name, replay)
        with pytest.raises(exc.ClientException):
            call()
    asked = routes(replay)
    assert asked[:4] == ["content/locate", "content/prepare2", "content/create", "content/transition"]
    assert asked[-1] == "content/transition"
    announced = [json.loads(item.body) for item in replay.sent if "content/transition" in item.target]
    flags = {"skip_data_move": True, "internal_transition": True}
    assert announced == [{"policy": "EC", **flags}, {"policy": "THREECOPIES", **flags}]
    assert sent(replay, "PUT") == recorded(name, "PUT")
    assert sent(replay, "DELETE") == recorded(name, "DELETE")


@pytest.mark.pitfall("W6")
def test_client_announces_a_change_as_the_recorded_one_does() -> None:
    name = "object_request_transition__ok"
    with calling(name) as (replay, call):
        assert call() is None
    (asked,), (exchange,) = replay.sent, load_2026(name).exchanges
    assert asked.target == exchange.target
    assert json.loads(asked.body) == exchange.request.json


TRANSITIONS = [
    (name, number)
    for name in NAMES_2026
    if name.startswith("raw_change_policy__")
    for number, exchange in enumerate(load_2026(name).exchanges)
    if exchange.route == "OPENIO/content/transition"
    or exchange.target.partition("?")[0].endswith("/transition")
]


@pytest.mark.pitfall("W6")
@pytest.mark.parametrize(("name", "number"), TRANSITIONS)
def test_announcements_made_by_hand_can_be_made(name: str, number: int) -> None:
    exchange = load_2026(name).exchanges[number]
    response = exchange.response
    assert response is not None
    pool = RecordingPool(
        urllib3.HTTPResponse(response.body, urllib3.HTTPHeaderDict(response.headers), response.status)
    )
    client = ContainerClient({"namespace": "OPENIO"}, endpoint="127.0.0.1:7000", pool_manager=pool)
    wanted = exchange.request.json or {}
    query = dict(exchange.query)
    ask = {
        "account": query.pop("acct"),
        "reference": query.pop("ref"),
        "path": query.pop("path"),
        "version": query.pop("version", None),
        **wanted,
    }
    assert not query
    if response.status >= 400:
        with pytest.raises(exc.ClientException) as caught:
            client.content_request_transition(**ask)
        assert caught.value.status == response.json["status"]
    else:
        client.content_request_transition(**ask)
    (asked,) = pool.asked
    assert asked.query == exchange.query
    unsaid = {"policy": None, "skip_data_move": False, "internal_transition": False}
    assert asked.json == unsaid | wanted


# --- flushes ------------------------------------------------------------------------------------------


@pytest.mark.pitfall("W12")
@pytest.mark.parametrize("name", ["container_flush__fast", "container_flush__slow"])
def test_flush_ends_when_nothing_is_listed(name: str) -> None:
    with calling(name) as (replay, call):
        assert call() is None
    # The master is asked whether nothing is left, if the first answer does not tell why not to.
    asked = [*routes(replay), *(item.target.partition("?")[0][13:] for item in replay.more)]
    assert asked == [["container/list"] * 2, ["container/flush", "container/list"]][name.endswith("fast")]


# --- snapshots ----------------------------------------------------------------------------------------

SNAPSHOTS = ["SINGLE", "THREECOPIES", "EC", "appended"]


class SnapshotServices:
    """The services of a snapshot made by hand; what was not asked of them there is made up of what was."""

    def __init__(self, exchanges: list[Exchange]) -> None:
        (self.taken,) = [e for e in exchanges if e.route.endswith("container/snapshot")]
        self.names = self.taken.query["acct"], self.taken.query["ref"]
        self.copy = self.taken.request.json["account"], self.taken.request.json["container"]
        self.located = next(
            e for e in exchanges if e.route.endswith("content/locate") and e.query["ref"] == self.copy[1]
        )
        self.copied = {
            (f"{e.peer}{e.target}", e.request.get("destination"))
            for e in exchanges
            if e.method == "COPY" and e.response and e.response.status == 201
        }
        self.updates = [e.request.json for e in exchanges if e.route.endswith("raw_update")]

    def __call__(self, asked: Asked) -> Any:
        if asked.method == "COPY":
            place = (urllib3.util.parse_url(asked.url).netloc or "") + asked.path
            return answer(201 if (place, asked.headers["Destination"]) in self.copied else 403)
        route = "/".join(asked.path.split("/")[-2:])
        if route == "content/locate":
            response = self.located.response
            assert response is not None
            return urllib3.HTTPResponse(response.body, urllib3.HTTPHeaderDict(response.headers), 200)
        if route == "container/list":
            return answer(body={"objects": [self._row()]}, x_oio_list_truncated="false")
        if route == "container/get_properties":
            there = asked.query["ref"] == self.names[1]
            return answer(body={"properties": {}, "system": {}}) if there else answer(404, {"status": 406})
        assert route in {
            "admin/freeze",
            "admin/enable",
            "container/snapshot",
            "container/touch",
            "container/raw_update",
        }
        return answer(204)

    def _row(self) -> dict[str, Any]:
        told = self.located.response
        assert told is not None
        known = {key: told.get(CONTENT + key) for key in ("name", "version", "policy", "chunk-method")}
        return {**known, "version": int(known["version"] or 0), "deleted": False}


@pytest.mark.pitfall("W3", "W4")
@pytest.mark.parametrize("name", SNAPSHOTS)
def test_snapshot_is_taken_as_it_was_by_hand(name: str) -> None:
    services = SnapshotServices(load_2026(f"raw_snapshot__{name}").exchanges)
    pool = RecordingPool(services)
    with ObjectStorageApi("OPENIO", endpoint="127.0.0.1:7000", pool_manager=pool) as api:
        api.container_snapshot(*services.names, *services.copy)
    copies = {
        ((urllib3.util.parse_url(one.url).netloc or "") + one.path, one.headers["Destination"])
        for one in pool.asked
        if one.method == "COPY"
    }
    assert copies == services.copied
    assert [one.json for one in pool.asked if one.path.endswith("raw_update")] == services.updates
    counted = Counter("/".join(one.path.split("/")[-2:]) for one in pool.asked if one.method != "COPY")
    assert counted["content/locate"] == 1
    assert (counted["admin/freeze"], counted["admin/enable"]) == (1, 1)


@pytest.mark.pitfall("W12")
@pytest.mark.parametrize("name", ["raw_shards__snapshot", "raw_shards__show"])
def test_divided_container_is_told_by_its_properties(name: str) -> None:
    """And refused before anything is frozen."""
    shown = next(
        e.response.json
        for e in load_2026(name).exchanges
        if e.response
        and e.route.endswith("container/get_properties")
        and e.response.json["system"].get("sys.m2.shards") == "3"
    )
    pool = RecordingPool(answer(body=shown))
    with (
        ObjectStorageApi("OPENIO", endpoint="127.0.0.1:7000", pool_manager=pool) as api,
        pytest.raises(exc.OioException, match="3 shards"),
    ):
        api.container_snapshot("acct", "s1", "acct", "snp")
    assert [one.path.rpartition("/")[2] for one in pool.asked] == ["get_properties"]


@pytest.mark.pitfall("W3")
def test_ids_of_recorded_chunks_are_those_that_are_computed() -> None:
    """Of all objects that were located and never appended to, rewritten, nor made with other IDs."""
    seen = 0
    for name in NAMES_2026:
        if not re.fullmatch(
            r"object_(fetch|link)__(small|link|EC|one).*|raw_snapshot__(SINGLE|THREE|EC).*", name
        ):
            continue
        for exchange in load_2026(name).exchanges:
            response = exchange.response
            if not exchange.route.endswith("content/locate") or response is None or response.status != 200:
                continue
            cid = cid_from_name(exchange.query["acct"], exchange.query["ref"])
            told = [response.get(CONTENT + key) or "" for key in ("name", "version", "policy")]
            for chunk in response.json:
                computed = compute_chunk_id(cid, told[0], told[1], chunk["pos"], told[2])
                assert chunk["url"].rpartition("/")[2] == computed
                seen += 1
    assert seen > 50
