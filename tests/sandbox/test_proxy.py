# SPDX-License-Identifier: Apache-2.0
"""The proxy of the sandbox withstands whatever it is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oio.sandbox.messages import Request
from oio.sandbox.metadata.policies import Policies
from oio.sandbox.metadata.store import Metadata
from oio.sandbox.proxy.backend import Backend
from oio.sandbox.proxy.registry import Conscience, Service
from oio.sandbox.proxy.service import ROUTES, Proxy
from oio.sandbox.releases import R7_3, R2026, Release
from tests.sandbox.asking import ask, status

URL = "http://10.0.0.1:6000/" + "AB" * 32

KEYS = [
    *(
        "chunks",
        "properties",
        "system",
        "containers",
        "contents",
        "name",
        "url",
        "pos",
        "size",
        "hash",
        "type",
    ),
    *(
        "notin",
        "broken",
        "old",
        "new",
        "policy",
        "position",
        "account",
        "container",
        "seq_num",
        "addr",
        "tags",
    ),
    *("known", "avoid", "targets", "kept", "seq", "host", "args", "id", "header", "version", "content"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
PARAMETERS = [
    *(
        "acct",
        "ref",
        "cid",
        "path",
        "version",
        "content",
        "type",
        "size",
        "max",
        "marker",
        "prefix",
        "delimiter",
    ),
    *(
        "flush",
        "append",
        "force",
        "change_policy",
        "recompute",
        "damaged_objects",
        "maxvers",
        "stgpol",
        "pool",
    ),
    *(
        "policy",
        "name",
        "service_id",
        "slot",
        "autocreate",
        "delete_marker",
        "frozen",
        "replace",
        "all",
        "deleted",
    ),
]
HEADERS = ["id", "size", "version", "policy", "hash", "chunk-method", "mime-type"]
WORDS = st.sampled_from(
    ["", "a", "1", "-1", "0", "AB", "THREECOPIES", "rawx", "rawx3", "true", "9" * 25, "\ud800"]
)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    yield from made_proxy(tmp_path_factory.mktemp("proxy"), R7_3)


@pytest.fixture(scope="module", params=[R7_3, R2026], ids=["7.3", "2026"])
def any_proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    yield from made_proxy(tmp_path_factory.mktemp("any"), request.param)


def made_proxy(path: Path, release: Release) -> Iterator[Proxy]:
    metadata = Metadata(path / "metadata.db", namespace="NS", meta2="h:1", release=release)
    conscience = Conscience("NS")
    for number in range(3):
        conscience.register(Service("rawx", f"10.0.0.{number}:6000"))
    yield Proxy(Backend(metadata, conscience, Policies("THREECOPIES"), 1000))
    metadata.close()


@settings(deadline=None, max_examples=200)
@given(
    route=st.sampled_from(sorted(ROUTES)),
    query=st.dictionaries(st.sampled_from(PARAMETERS), WORDS, max_size=8),
    meta=st.dictionaries(st.sampled_from(HEADERS), WORDS, max_size=7),
    body=st.just(b"") | st.binary(max_size=8) | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_any_request_gets_an_answer(
    any_proxy: Proxy, route: tuple[str, str], query: dict[str, str], meta: dict[str, str], body: bytes
) -> None:
    named = {"acct": "a", "ref": "r"} | query
    text = "&".join(f"{key}={quote(value, errors='surrogatepass')}" for key, value in named.items())
    headers = [(f"x-oio-content-meta-{name}", value) for name, value in meta.items()]
    response = any_proxy.handle(Request(route[0], f"/v3.0/NS/{route[1]}?{text}", headers, body))
    assert isinstance(response.body, bytes)
    if response.status >= 400:
        assert json.loads(response.body).keys() == {"status", "message"}
    elif response.status == 200:
        json.loads(response.body)


@pytest.mark.parametrize(
    "body",
    ['{"properties": {"a": "\\ud800"}}', '{"properties": ' * 5000, '{"properties": NaN}', "null", "{"],
    ids=["half a surrogate pair", "too deep", "not a number", "null", "cut"],
)
def test_bodies_that_are_no_sound_json_are_refused(proxy: Proxy, body: str) -> None:
    target = "/v3.0/NS/container/create?acct=a&ref=unsound"
    assert status(proxy.handle(Request("POST", target, (), body.encode()))) == (400, 400)


def test_numbers_of_more_than_64_bits_are_refused(proxy: Proxy) -> None:
    ask(proxy, "POST", "container/create", "acct=a&ref=big")
    chunks = [{"url": URL, "pos": "0", "size": 2**70, "hash": "00" * 16}]
    meta = {"size": "1", "id": "AB", "version": "1", "policy": "SINGLE"}
    response = ask(proxy, "POST", "content/create", "acct=a&ref=big&path=o", chunks, **meta)
    assert status(response) == (400, 400)
    assert status(ask(proxy, "GET", "content/locate", "acct=a&ref=big&path=o")) == (404, 420)


@pytest.mark.pitfall(157)
@pytest.mark.parametrize(
    ("method", "route", "query", "body", "expected"),
    [
        ("GET", "lb/choose", "size=1", None, (400, 400)),
        (
            "POST",
            "reference/relink",
            "acct=a&ref=crash&type=meta2",
            {"kept": None, "replaced": {}},
            (400, 400),
        ),
        ("POST", "content/truncate", "acct=a&ref=crash&path=marked&size=0", None, (404, 426)),
    ],
    ids=["a choice without type", "a relink with nothing kept", "truncating a delete marker"],
)
def test_what_crashes_the_real_services_is_refused(
    proxy: Proxy, method: str, route: str, query: str, body: object, expected: tuple[int, int]
) -> None:
    # Another case may have left its delete marker, which a second deletion would remove.
    ask(proxy, "POST", "container/destroy", "acct=a&ref=crash&force=1")
    ask(proxy, "POST", "container/create", "acct=a&ref=crash", {"system": {"sys.m2.policy.version": "-1"}})
    chunks = [{"url": URL, "pos": "0", "size": 1, "hash": "00" * 16}]
    meta = {"size": "1", "id": "AB", "version": "1", "policy": "SINGLE"}
    ask(proxy, "POST", "content/create", "acct=a&ref=crash&path=marked", chunks, **meta)
    ask(proxy, "POST", "content/delete", "acct=a&ref=crash&path=marked")
    assert status(ask(proxy, method, route, query, body)) == expected


def test_a_chunk_that_the_object_has_already_cannot_be_appended(proxy: Proxy) -> None:
    ask(proxy, "POST", "container/create", "acct=a&ref=twice")
    chunks = [{"url": URL, "pos": "0", "size": 1, "hash": "00" * 16}]
    meta = {"size": "1", "id": "AB", "version": "1", "policy": "SINGLE"}
    assert ask(proxy, "POST", "content/create", "acct=a&ref=twice&path=o", chunks, **meta).status == 204
    again = ask(proxy, "POST", "content/create", "acct=a&ref=twice&path=o&append=1", chunks, **meta)
    assert status(again) == (400, 400)


@pytest.mark.pitfall(145)
def test_an_update_without_content_id_is_refused_and_loses_nothing(proxy: Proxy) -> None:
    ask(proxy, "POST", "container/create", "acct=a&ref=noid")
    chunks = [{"url": URL, "pos": "0", "size": 1, "hash": "00" * 16}]
    meta = {"size": "1", "version": "1", "policy": "SINGLE"}
    ask(proxy, "POST", "content/create", "acct=a&ref=noid&path=o", chunks, id="AB", **meta)
    other = [{**chunks[0], "url": URL[:-2] + "CD"}]
    assert status(ask(proxy, "POST", "content/update", "acct=a&ref=noid&path=o", other, **meta)) == (400, 400)
    located = ask(proxy, "GET", "content/locate", "acct=a&ref=noid&path=o")
    assert isinstance(located.body, bytes)
    assert [chunk["url"] for chunk in json.loads(located.body)] == [URL]


def test_a_policy_that_is_not_served_is_refused_before_any_data_is_written(proxy: Proxy) -> None:
    asked = {"size": 1, "policy": "BACKBLAZE"}
    response = ask(proxy, "POST", "content/prepare2", "acct=a&ref=r&path=o", asked)
    assert status(response) == (500, 480)
    assert isinstance(response.body, bytes)
    assert "BACKBLAZE" in json.loads(response.body)["message"]


@pytest.mark.parametrize(
    ("positions", "error"),
    [
        (["0.0", "0.1"], None),
        (["0.0", "0.1", "0.2", "1.1", "1.2"], None),
        (["0.0"], 425),
        (["0.1", "0.1"], 425),
        (["0", "0"], 425),
        (["0.0", "0.1", "1.2"], 425),
    ],
)
def test_an_object_needs_k_different_chunks_of_each_metachunk(
    proxy: Proxy, positions: list[str], error: int | None
) -> None:
    chunks = [
        {"url": f"{URL[:-2]}{number:02d}", "pos": pos, "size": 1, "hash": "0" * 32}
        for number, pos in enumerate(positions)
    ]
    meta = {"size": "1", "version": "1", "policy": "EC21"}
    ask(proxy, "POST", "container/create", "acct=a&ref=ec")
    query = f"acct=a&ref=ec&path={'-'.join(positions)}"
    response = ask(proxy, "POST", "content/create", query, chunks, id=f"{len(chunks)}{error or 0}", **meta)
    if error is None:
        assert response.status == 204
    else:
        assert status(response) == (500, error)


def test_a_snapshot_needs_a_name(proxy: Proxy) -> None:
    ask(proxy, "POST", "container/create", "acct=a&ref=source")
    for body in ({"account": "", "container": "copy"}, {"account": "a", "container": ""}):
        assert status(ask(proxy, "POST", "container/snapshot", "acct=a&ref=source", body)) == (400, 400)


def test_a_link_to_services_that_cannot_be_chosen_is_forbidden(proxy: Proxy) -> None:
    ask(proxy, "POST", "conscience/register", body={"addr": "10.0.0.9:1", "type": "redis"})
    ask(proxy, "POST", "conscience/lock", body={"addr": "10.0.0.9:1", "type": "redis", "score": 0})
    query = "acct=a&ref=linked&autocreate=1&type="
    assert status(ask(proxy, "POST", "reference/link", f"{query}redis")) == (403, 481)
    assert status(ask(proxy, "POST", "reference/link", f"{query}xcute")) == (400, 400)
