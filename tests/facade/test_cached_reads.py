# SPDX-License-Identifier: Apache-2.0
"""Reads of cached locations: they spread over the servers, and never trust what is out of date."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from oio.api._data.layout import RANDOM
from oio.api._operations.scores import Scores
from oio.common import exceptions as exc
from oio.common.utils import cid_from_name
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, chunks_on_disk, create, read, routes
from tests.kit.objects import eventually

KEY = f"meta/{cid_from_name(ACCOUNT, CONTAINER)}/o"
TARGET = (ACCOUNT, CONTAINER, "o")
ASKED = "proxy GET content/locate"
SCORES = "proxy GET conscience/list"


@pytest.fixture
def cache() -> dict[str, Any]:
    return {}


@pytest.fixture
def cached(namespace: Namespace, cache: dict[str, Any]) -> Iterator[Any]:
    """A client with a cache."""
    with namespace.api(cache=cache) as client:
        yield client


# --- scores ------------------------------------------------------------------------------------------


def lock(api: Any, addresses: list[str], score: int) -> None:
    conscience = api._conscience
    for address in addresses:
        conscience.lock_score(conscience.get_service_definition("rawx", address, score=score))


def readers(namespace: Namespace) -> Counter[str]:
    """How often each chunk server was read from."""
    return Counter(r.address for r in namespace.requests if r.service == "rawx" and r.method == "GET")


@pytest.mark.pitfall("E8")
def test_reads_of_a_cached_location_spread_over_the_servers(cached: Any, namespace: Namespace) -> None:
    lock(cached, [rawx.address for rawx in namespace.rawx], 50)
    create(cached, "o")
    cached.object_locate(*TARGET)
    namespace.forget_requests()
    RANDOM.seed(8)
    for _ in range(60):
        assert read(cached, "o") == b"hello"
    assert min(readers(namespace)[rawx.address] for rawx in namespace.rawx) >= 10
    assert len(routes(namespace)) == 60


@pytest.mark.pitfall("E8")
def test_cached_chunks_have_the_scores_of_now(cached: Any, namespace: Namespace) -> None:
    lock(cached, [rawx.address for rawx in namespace.rawx], 50)
    create(cached, "o")
    now = [0.0]
    cached._scores = Scores(lambda: cached._conscience, 30.0, cached.logger, lambda: now[0])
    assert {chunk["score"] for chunk in cached.object_locate(*TARGET)[1]} == {50}
    dead, *alive = [rawx.address for rawx in namespace.rawx]
    lock(cached, [dead], 0)
    lock(cached, alive, 70)
    now[0] += 30
    namespace.forget_requests()
    cached.object_locate(*TARGET)
    cached._scores._background.join()
    _, chunks = cached.object_locate(*TARGET)
    assert {chunk["url"].split("/")[2]: chunk["score"] for chunk in chunks} == {
        dead: 0,
        **dict.fromkeys(alive, 70),
    }
    assert routes(namespace) == [SCORES]
    for _ in range(20):
        assert read(cached, "o") == b"hello"
    assert readers(namespace)[dead] == 0


@pytest.mark.pitfall("E8")
def test_scores_are_asked_for_once_in_a_while(cached: Any, namespace: Namespace, cache: Any) -> None:
    create(cached, "o")
    with namespace.api() as other:
        other.object_locate(*TARGET, cache=cache)
    namespace.forget_requests()
    assert cached.object_locate(*TARGET)[1][0]["score"] == 0
    cached._scores._background.join()
    for _ in range(5):
        assert cached.object_locate(*TARGET)[1][0]["score"] > 0
    assert routes(namespace) == [SCORES]


@pytest.mark.pitfall("E8")
def test_delay_between_two_questions_about_scores_is_an_option(namespace: Namespace) -> None:
    with namespace.api(refresh_rawx_scores_delay="1e-9", cache={}) as api:
        create(api, "o")
        api.object_locate(*TARGET)
        namespace.forget_requests()
        for _ in range(3):
            api.object_locate(*TARGET)
            api._scores._background.join()
        assert routes(namespace) == [SCORES] * 3
    with pytest.raises(ValueError, match="refresh_rawx_scores_delay"):
        namespace.api(refresh_rawx_scores_delay="often")


@pytest.mark.pitfall("E8")
@pytest.mark.parametrize(
    "fault",
    [
        Fault("reset", service="proxy", operation="conscience/list"),
        Fault("status", service="proxy", operation="conscience/list", status=200, body="[3]"),
        Fault("status", service="proxy", operation="conscience/list", status=200, body="<html>"),
        Fault("status", service="proxy", operation="conscience/list", status=404),
    ],
    ids=str,
)
def test_cached_location_is_read_without_scores(
    cached: Any, cache: Any, namespace: Namespace, fault: Fault
) -> None:
    create(cached, "o")
    with namespace.api() as other:
        other.object_locate(*TARGET, cache=cache)
    with namespace.faults(fault) as plan:
        for _ in range(2):
            assert [chunk["score"] for chunk in cached.object_locate(*TARGET)[1]] == [0, 0, 0]
            cached._scores._background.join()
        assert read(cached, "o") == b"hello"
    plan.assert_met()


@pytest.mark.pitfall("E8")
def test_no_call_waits_for_scores_nor_does_the_end_of_the_client(
    namespace: Namespace, cache: dict[str, Any]
) -> None:
    with namespace.api() as api:
        create(api, "o")
        api.object_locate(*TARGET, cache=cache)
    # Nobody is answered before the faults are taken back.
    stall = Fault("stall", service="proxy", operation="conscience/list")
    with namespace.faults(stall) as plan:
        with namespace.api(cache=cache, refresh_rawx_scores_delay=1e-9) as api:
            for _ in range(3):
                assert read(api, "o") == b"hello"
            eventually(lambda: plan.hits(stall) == 1)
            assert read(api, "o") == b"hello"
            assert plan.hits(stall) == 1, "one question at a time"
        assert not api._scores._background._turn.locked()


def test_closed_stream_tells_of_the_bytes_that_were_given(cached: Any) -> None:
    """Of a cached location, the first block is read before anything is given."""
    create(cached, "o")
    cached.object_locate(*TARGET)
    _, stream = cached.object_fetch(*TARGET)
    closer = threading.Thread(target=stream.close)
    closer.start()
    closer.join()
    with pytest.raises(exc.OioException, match="closed by another thread, after 0 of 5 bytes"):
        next(stream)


def test_stream_that_was_given_whole_is_at_its_end_whoever_closes_it(cached: Any) -> None:
    create(cached, "o")
    _, stream = cached.object_fetch(*TARGET)
    assert next(stream) == b"hello"
    closer = threading.Thread(target=stream.close)
    closer.start()
    closer.join()
    assert next(stream, None) is None


# --- descriptions ------------------------------------------------------------------------------------


@pytest.mark.pitfall("E9")
def test_description_is_kept_and_found(cached: Any, namespace: Namespace) -> None:
    create(cached, "o", properties={"k": "v"})
    first = cached.object_get_properties(*TARGET)
    namespace.forget_requests()
    assert cached.object_get_properties(*TARGET) == first
    assert first["properties"] == {"k": "v"}
    assert routes(namespace) == []
    # It has no chunks.
    located, chunks = cached.object_locate(*TARGET)
    assert (located["properties"], len(chunks), routes(namespace)) == ({"k": "v"}, 3, [ASKED])
    cached.object_get_properties(*TARGET)
    assert routes(namespace) == [ASKED]


@pytest.mark.pitfall("E9")
def test_location_without_properties_does_not_describe(cached: Any, namespace: Namespace) -> None:
    create(cached, "o", properties={"k": "v"})
    cached.object_locate(*TARGET, properties=False)
    assert cached.object_get_properties(*TARGET)["properties"] == {"k": "v"}
    namespace.forget_requests()
    # Either completes what the other knows.
    assert len(cached.object_locate(*TARGET)[1]) == 3
    assert cached.object_get_properties(*TARGET)["properties"] == {"k": "v"}
    assert routes(namespace) == []


def test_description_of_an_object_that_was_replaced_elsewhere_gets_no_chunks_of_the_old_one(
    cached: Any, api: Any, namespace: Namespace
) -> None:
    create(cached, "o", b"older")
    cached.object_locate(*TARGET, properties=False)
    create(api, "o", b"newer than that")
    assert cached.object_get_properties(*TARGET)["length"] == "15"
    assert read(cached, "o") == b"newer than that"


def test_delete_marker_is_not_kept(cached: Any, cache: Any) -> None:
    cached.container_create(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    create(cached, "o")
    cached.object_delete(*TARGET)
    assert cached.object_get_properties(*TARGET)["deleted"] == "True"
    assert cache == {}


# --- entries that are wrong --------------------------------------------------------------------------


def old(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "chunks": [], "meta": entry["meta"] | {"length": "0"}}


WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    "text": lambda entry: "text",
    "nothing": lambda entry: {},
    "old shape": lambda entry: {k: entry[k] for k in ("meta", "chunks")} | {"has_properties": True},
    "no description": lambda entry: entry | {"meta": {}},
    "no length": lambda entry: entry | {"meta": entry["meta"] | {"length": None}},
    "length of words": lambda entry: entry | {"meta": entry["meta"] | {"length": "five"}},
    "another length": lambda entry: entry | {"meta": entry["meta"] | {"length": "6"}},
    "unknown chunk method": lambda entry: entry | {"meta": entry["meta"] | {"chunk_method": "magic"}},
    "drained": lambda entry: entry | {"meta": entry["meta"] | {"chunk_method": "drained"}},
    "no chunks": lambda entry: entry | {"chunks": []},
    "chunks of words": lambda entry: entry | {"chunks": ["chunk"]},
    "chunks without sizes": lambda entry: entry | {"chunks": [{"url": entry["chunks"][0]["url"]}]},
    "checksums that are numbers": lambda entry: (
        entry | {"chunks": [chunk | {"hash": 5} for chunk in entry["chunks"]]}
    ),
    "positions of words": lambda entry: (
        entry | {"chunks": [chunk | {"pos": "first"} for chunk in entry["chunks"]]}
    ),
    "chunks that are gone": lambda entry: (
        entry
        | {
            "chunks": [
                chunk | dict.fromkeys(("url", "real_url"), chunk["url"][:-8] + "00000000")
                for chunk in entry["chunks"]
            ]
        }
    ),
    "another checksum": lambda entry: (
        entry | {"chunks": [chunk | {"hash": "0A" * 16} for chunk in entry["chunks"]]}
    ),
}


@pytest.mark.pitfall("E7", "E31")
@pytest.mark.parametrize("wrong", WRONG)
def test_entry_that_is_wrong_does_no_harm(cached: Any, cache: Any, wrong: str) -> None:
    create(cached, "o", properties={"k": "v"})
    assert read(cached, "o") == b"hello"
    cache[KEY] = WRONG[wrong](json.loads(json.dumps(cache[KEY])))
    meta, stream = cached.object_fetch(*TARGET)
    assert (b"".join(stream), meta["length"], meta["properties"]) == (b"hello", "5", {"k": "v"})


class Keeper(dict[str, Any]):
    """A cache that is out of reach when something is to be removed."""

    def __delitem__(self, key: str) -> None:
        pass


@pytest.mark.pitfall("E31", 57)
def test_object_is_located_again_in_spite_of_an_entry_that_stays(namespace: Namespace, api: Any) -> None:
    with namespace.api(cache=Keeper()) as cached:
        create(cached, "o", b"older")
        assert read(cached, "o") == b"older"
        kept = chunks_on_disk(namespace)
        create(api, "o", b"newer")
        namespace.settle()
        assert not {*kept} & {*chunks_on_disk(namespace)}
        assert read(cached, "o") == b"newer"
        api.object_delete(*TARGET)
        namespace.settle()
        with pytest.raises(exc.NoSuchObject):
            read(cached, "o")


# --- changes while something is asked ----------------------------------------------------------------


class Interrupted(dict[str, Any]):
    """A cache that lets something happen just before an answer is put in it."""

    def __init__(self) -> None:
        super().__init__()
        self.happening: Callable[[], object] | None = None

    def __setitem__(self, key: str, value: Any) -> None:
        happening, self.happening = self.happening, None
        if happening is not None:
            happening()
        super().__setitem__(key, value)


CHANGES: dict[str, Callable[[Any], object]] = {
    "replaced": lambda api: create(api, "o", b"newer"),
    "described": lambda api: api.object_set_properties(*TARGET, {"new": "x"}),
    "deleted": lambda api: api.object_delete(*TARGET),
    "flushed": lambda api: api.container_flush(ACCOUNT, CONTAINER),
}
QUESTIONS: dict[str, Callable[[Any], object]] = {
    "location": lambda api: api.object_locate(*TARGET),
    "description": lambda api: api.object_get_properties(*TARGET),
    "container": lambda api: api.container_get_properties(ACCOUNT, CONTAINER),
}


@pytest.mark.pitfall("S5")
@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_change_has_made_old_is_not_kept(namespace: Namespace, change: str, question: str) -> None:
    cache = Interrupted()
    with namespace.api(cache=cache) as reader, namespace.api(cache=cache) as writer:
        create(reader, "o", b"older")
        cache.happening = lambda: CHANGES[change](writer)
        QUESTIONS[question](reader)
        assert cache.happening is None
        assert not cache
