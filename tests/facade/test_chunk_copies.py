# SPDX-License-Identifier: Apache-2.0
"""Copies of chunks: verified, described as their originals, and gone when they are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.blob.client import BlobClient
from oio.common import exceptions as exc
from oio.common.fullpath import encode_fullpath
from oio.common.utils import cid_from_name
from oio.sandbox import Fault, Namespace
from tests.kit.deadlines import kept_by
from tests.kit.facade import ACCOUNT, CONTAINER, LARGE, create, header
from tests.kit.releases import RELEASES
from tests.kit.scripted import Peer, serving

ON_RELEASES = RELEASES

COPY = "B" * 64


@pytest.fixture
def namespace(tmp_path: Path, release: str) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=10, chunk_size=1 << 18, release=release) as running:
        yield running


@pytest.fixture
def blobs(api: Any) -> BlobClient:
    return api.blob_client  # type: ignore[no-any-return]


def chunk(api: Any, data: bytes, policy: str = "SINGLE") -> str:
    """Store an object, and return the URL of its first chunk."""
    create(api, "o", data, policy=policy)
    _, chunks = api.object_locate(ACCOUNT, CONTAINER, "o")
    return min(chunks, key=lambda item: [int(part) for part in item["pos"].split(".")])["url"]  # type: ignore[no-any-return]


def place(namespace: Namespace, url: str) -> str:
    """Where to put a copy: on another rawx."""
    address = next(rawx.address for rawx in namespace.rawx if rawx.address not in url)
    return f"http://{address}/{COPY}"


def content(blobs: BlobClient, url: str) -> tuple[dict[str, Any], bytes]:
    meta, stream = blobs.chunk_get(url)
    return meta, b"".join(stream)


def described(meta: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in meta.items() if key not in ("chunk_id", "chunk_mtime")}


@pytest.mark.pitfall(100)
@pytest.mark.parametrize("policy", ["SINGLE", "EC", "EC21"])
@pytest.mark.parametrize("size", [0, 5, 200_000])
def test_copy_is_like_the_original(
    api: Any, blobs: BlobClient, namespace: Namespace, policy: str, size: int
) -> None:
    url = chunk(api, LARGE[:size], policy)
    to = place(namespace, url)
    blobs.chunk_copy(url, to)
    (meta, data), (meta_of_copy, data_of_copy) = content(blobs, url), content(blobs, to)
    assert data == data_of_copy
    assert described(meta) == described(meta_of_copy)
    assert meta_of_copy["chunk_id"] == COPY
    blobs.chunk_head(to, check_hash=True)


@pytest.mark.pitfall(117, 118)
def test_copy_for_another_object(api: Any, blobs: BlobClient, namespace: Namespace) -> None:
    url = chunk(api, b"hello")
    owner = ("another/account", "c 1", "o/é", "12", "AB" * 16)
    to = place(namespace, url)
    blobs.chunk_copy(url, to, fullpath=encode_fullpath(*owner))
    meta = blobs.chunk_head(to)
    assert meta["full_path"] == encode_fullpath(*owner)
    assert meta["container_id"] == cid_from_name(*owner[:2])
    assert (meta["content_path"], meta["content_version"], meta["content_id"]) == owner[2:]


@pytest.mark.parametrize(
    ("parts", "path", "version", "content_id"),
    [
        ({"path": "other"}, "other", None, None),
        ({"version": 7}, None, "7", None),
        ({"content_id": "cd" * 16}, None, None, "cd" * 16),
        ({"path": "x", "version": "8", "content_id": "EF" * 16, "cid": "own"}, "x", "8", "EF" * 16),
    ],
)
def test_copy_for_another_object_of_the_container(
    api: Any,
    blobs: BlobClient,
    namespace: Namespace,
    parts: dict[str, Any],
    path: str | None,
    version: str | None,
    content_id: str | None,
) -> None:
    url = chunk(api, b"hello")
    own = blobs.chunk_head(url)
    if "cid" in parts:
        parts = {**parts, "cid": own["container_id"].lower()}
    to = place(namespace, url)
    blobs.chunk_copy(url, to, chunk_id=COPY.lower(), **parts)
    meta = blobs.chunk_head(to)
    assert meta["content_path"] == (path or own["content_path"])
    assert meta["content_version"] == (version or own["content_version"])
    assert meta["content_id"] == (content_id or own["content_id"]).upper()
    assert meta["container_id"] == own["container_id"]


@pytest.mark.pitfall("E17")
@pytest.mark.parametrize("spelled", [str.upper, str.lower])
def test_copy_is_asked_for_by_the_id_of_the_chunk(
    api: Any, blobs: BlobClient, namespace: Namespace, spelled: Any
) -> None:
    url = chunk(api, b"hello")
    to = place(namespace, url)
    blobs.chunk_copy(url, to, chunk_id=spelled(url.rpartition("/")[2]))
    assert blobs.chunk_head(to)["chunk_id"] == COPY


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"chunk_id": "C" * 64}, "chunk_id"),
        ({"cid": "C" * 64}, "cid 'CCC"),
        ({"fullpath": "a/c/o/1"}, "a/c/o/1"),
        ({"fullpath": f"a/c/o/1/{'AB' * 16}", "path": "O"}, "path 'O'"),
        ({"fullpath": f"a/c/o/1/{'AB' * 16}", "version": 2}, "version 2"),
        ({"fullpath": f"a/c/o/1/{'AB' * 16}", "content_id": "CD"}, "content_id 'CD'"),
    ],
)
def test_contradictions_are_refused(
    api: Any, blobs: BlobClient, namespace: Namespace, wrong: dict[str, Any], named: str
) -> None:
    url = chunk(api, b"hello")
    with pytest.raises(ValueError, match=named):
        blobs.chunk_copy(url, place(namespace, url), **wrong)
    assert not exists(blobs, place(namespace, url))


def exists(blobs: BlobClient, url: str) -> bool:
    try:
        blobs.chunk_head(url)
    except exc.NotFound:
        return False
    return True


def test_chunk_that_is_not_there(blobs: BlobClient, namespace: Namespace) -> None:
    with pytest.raises(exc.NotFound):
        blobs.chunk_copy(
            f"http://{namespace.rawx[0].address}/{'A' * 64}", f"http://{namespace.rawx[1].address}/{COPY}"
        )


@pytest.mark.pitfall(30, 100)
def test_chunk_in_the_place_of_the_copy_is_left_alone(
    api: Any, blobs: BlobClient, namespace: Namespace
) -> None:
    url = chunk(api, b"hello")
    to = place(namespace, url)
    blobs.chunk_copy(url, to)
    with pytest.raises(exc.Conflict):
        blobs.chunk_copy(url, to)
    assert content(blobs, to)[1] == b"hello"


# --- what goes wrong ------------------------------------------------------------------------------------


@pytest.mark.pitfall(100)
@pytest.mark.parametrize("policy", ["SINGLE", "EC21"])
def test_rotten_chunk_is_not_copied(api: Any, blobs: BlobClient, namespace: Namespace, policy: str) -> None:
    url = chunk(api, LARGE[:200_000], policy)
    to = place(namespace, url)
    with namespace.faults(Fault("corrupt", operation="GET", after_bytes=50_000)) as plan:
        with pytest.raises(exc.CorruptedChunk, match=url):
            blobs.chunk_copy(url, to)
        plan.assert_met()
    assert not exists(blobs, to)


@pytest.mark.pitfall(100)
@pytest.mark.parametrize("size", [5, 200_000])
def test_copy_of_another_checksum_is_deleted(
    api: Any, blobs: BlobClient, namespace: Namespace, size: int
) -> None:
    url = chunk(api, LARGE[:size])
    to = place(namespace, url)
    with namespace.faults(Fault("wrong-hash", operation="PUT")) as plan:
        with pytest.raises(exc.CorruptedChunk, match=to):
            blobs.chunk_copy(url, to)
        plan.assert_met()
    assert not exists(blobs, to)


@pytest.mark.pitfall(100)
def test_copy_of_another_size_is_deleted(api: Any, blobs: BlobClient, namespace: Namespace) -> None:
    url = chunk(api, b"hello")
    to = place(namespace, url)
    lie = Fault("raw-head", operation="PUT", body="X-Oio-Chunk-Meta-Chunk-Size: 4\r\n")
    with namespace.faults(lie) as plan, pytest.raises(exc.OioException):
        blobs.chunk_copy(url, to)
    plan.assert_met()
    assert not exists(blobs, to)


@pytest.mark.pitfall(4, 8)
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("reset", operation="GET", after_bytes=70_000), exc.ServiceUnavailable),
        (Fault("truncate", operation="GET", after_bytes=70_000), exc.ServiceUnavailable),
        (Fault("stall", operation="GET", after_bytes=100_000), exc.OioException),
        (Fault("status", operation="PUT"), exc.ServiceBusy),
        (Fault("disk-full"), exc.ServiceBusy),
        (Fault("reset", operation="PUT", after_bytes=100_000), exc.ServiceBusy),
        (Fault("stall", operation="PUT", after_bytes=100_000), exc.OioTimeout),
    ],
    ids=lambda value: f"{value.operation} {value.action}" if isinstance(value, Fault) else "",
)
def test_no_copy_is_left_of_one_that_fails(
    api: Any, blobs: BlobClient, namespace: Namespace, fault: Fault, expected: type[Exception]
) -> None:
    url = chunk(api, LARGE[:200_000])
    to = place(namespace, url)
    with namespace.faults(fault) as plan, pytest.raises(expected):
        blobs.chunk_copy(url, to, connection_timeout=2.0, read_timeout=1.0, write_timeout=1.0)
    plan.assert_met()
    assert not exists(blobs, to)
    assert content(blobs, url)[1] == LARGE[:200_000]


@pytest.mark.pitfall(30)
@pytest.mark.parametrize(
    ("action", "expected"), [("commit-then-reset", exc.ServiceBusy), ("commit-then-timeout", exc.OioTimeout)]
)
def test_copy_that_may_be_stored_is_left(
    api: Any, blobs: BlobClient, namespace: Namespace, action: str, expected: type[Exception]
) -> None:
    url = chunk(api, b"hello")
    to = place(namespace, url)
    with namespace.faults(Fault(action, operation="PUT")) as plan, pytest.raises(expected):
        blobs.chunk_copy(url, to, write_timeout=1.0)
    plan.assert_met()
    assert content(blobs, to)[1] == b"hello"


@pytest.mark.pitfall(30)
def test_nothing_is_deleted_where_a_late_server_has_the_chunk_of_another(api: Any, blobs: BlobClient) -> None:
    heads: list[str] = []

    def late(peer: Peer) -> None:
        while head := peer.read_head():
            heads.append(head.partition(" ")[0])
            if heads[-1] == "PUT":
                peer.read_chunked()
            else:
                peer.answer(204)

    url = chunk(api, b"hello")
    with serving(late) as server, pytest.raises(exc.OioTimeout):
        blobs.chunk_copy(url, f"http://{server.address}/{COPY}", write_timeout=0.5)
    assert heads == ["PUT"]


@pytest.mark.pitfall(31)
def test_trouble_with_the_removal_is_logged(
    api: Any, blobs: BlobClient, namespace: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    url = chunk(api, b"hello")
    faults = [Fault("wrong-hash", operation="PUT"), Fault("status", operation="DELETE")]
    with namespace.faults(*faults) as plan, pytest.raises(exc.CorruptedChunk):
        blobs.chunk_copy(url, place(namespace, url))
    plan.assert_met()
    assert f"Failed to delete chunk {place(namespace, url)}" in caplog.text


def test_deadline_bounds_a_copy(api: Any, blobs: BlobClient, namespace: Namespace) -> None:
    url = chunk(api, LARGE[:200_000])
    to = place(namespace, url)
    stall = Fault("stall", operation="PUT", phase="head")
    error = kept_by(namespace, stall, call=lambda deadline: blobs.chunk_copy(url, to, deadline=deadline))
    assert isinstance(error, exc.DeadlineReached)
    assert not exists(blobs, to)


# --- the rest -------------------------------------------------------------------------------------------


@pytest.mark.pitfall(70, 121)
def test_copy_is_measured_and_has_one_request_id(api: Any, blobs: BlobClient, namespace: Namespace) -> None:
    url = chunk(api, b"hello")
    to = place(namespace, url)
    namespace.forget_requests()
    perfdata: dict[str, Any] = {}
    blobs.chunk_copy(url, to, perfdata=perfdata, reqid="mine", headers={"x-own": "1"})
    sent = [(request.method, header(request, "x-oio-req-id")) for request in namespace.requests]
    assert sent == [("GET", "mine"), ("PUT", "mine")]
    assert {header(request, "x-own") for request in namespace.requests} == {"1"}
    assert {f"download.{url}", f"connect.{to}", f"upload.{to}", "overall"} <= perfdata["rawx"].keys()
    assert all(seconds >= 0 for seconds in perfdata["rawx"].values())


def test_performance_of_all_calls_of_a_client_is_added_up(api: Any, namespace: Namespace) -> None:
    url = chunk(api, b"hello")
    perfdata: dict[str, Any] = {}
    with BlobClient(perfdata=perfdata) as blobs:
        blobs.chunk_copy(url, place(namespace, url))
        once = perfdata["rawx"]["overall"]
        blobs.chunk_delete(place(namespace, url))
    assert perfdata["rawx"]["overall"] > once > 0


@pytest.mark.pitfall(48)
@pytest.mark.parametrize(
    ("asked", "expected"), [("bytes=1-3", b"ell"), ("bytes=0-99", b"hello"), ("bytes=4-4", b"o")]
)
def test_ranges_of_a_chunk(api: Any, blobs: BlobClient, asked: str, expected: bytes) -> None:
    url = chunk(api, b"hello")
    for name in ("Range", "range"):
        _, stream = blobs.chunk_get(url, headers={name: asked})
        assert b"".join(stream) == expected


@pytest.mark.pitfall(48)
def test_ranges_that_would_give_the_whole_chunk_are_refused(api: Any, blobs: BlobClient) -> None:
    url = chunk(api, b"hello")
    for asked in ("bytes=1-", "bytes=-3", "bytes=0-1,3-4", "lines=1-2"):
        with pytest.raises(ValueError, match=asked):
            blobs.chunk_get(url, headers={"range": asked})
    with pytest.raises(exc.UnsatisfiableRange):
        blobs.chunk_get(url, headers={"Range": "bytes=5-9"})


@pytest.mark.parametrize("missing", ["chunk_pos", "content_policy", "full_path", "content_chunkmethod"])
def test_description_that_lacks_something_is_refused(blobs: BlobClient, missing: str) -> None:
    meta = {
        "chunk_pos": "0",
        "content_policy": "SINGLE",
        "full_path": f"a/c/o/1/{'AB' * 16}",
        "content_chunkmethod": "plain/nb_copy=1",
    }
    del meta[missing]
    with pytest.raises(exc.FaultyChunk) as caught:
        blobs.chunk_put(f"http://127.0.0.1:1/{COPY}", meta, b"data")
    assert [str(arg) for arg in caught.value.args] == [missing]


def test_full_path_tells_the_rest_of_a_description(blobs: BlobClient, namespace: Namespace) -> None:
    url = f"http://{namespace.rawx[0].address}/{COPY}"
    owner = ("a", "c/1", "o é", "1", "AB" * 16)
    meta = {
        "chunk_pos": "0",
        "content_policy": "SINGLE",
        "full_path": encode_fullpath(*owner),
        "chunk_method": "plain/nb_copy=1",
        "container_id": None,
    }
    assert blobs.chunk_put(url, meta, b"data")[0] == 4
    known = blobs.chunk_head(url)
    assert known["container_id"] == cid_from_name("a", "c/1")
    assert (known["content_path"], known["content_version"], known["content_id"]) == owner[2:]
