# SPDX-License-Identifier: Apache-2.0
"""Objects are created whole, or leave nothing; what is uncertain is left alone."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from oio.common import exceptions as exc
from oio.common.constants import CHUNK_HEADERS
from oio.sandbox import Fault, Namespace
from oio.sandbox.messages import Request, Response
from oio.sandbox.rawx.service import Rawx
from tests.kit.facade import ACCOUNT, CONTAINER, LARGE, chunks_on_disk, create, header, read
from tests.kit.releases import RELEASES

ON_RELEASES = RELEASES


def test_file_gives_its_name(api: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_bytes(b"content")
    api.object_create(ACCOUNT, CONTAINER, str(path))
    assert read(api, "report.txt") == b"content"
    with path.open("rb") as file:
        api.object_create(ACCOUNT, "other", file)
        assert not file.closed
    assert api.object_head(ACCOUNT, "other", "report.txt")
    api.object_create(ACCOUNT, "third", path, obj_name="renamed")
    assert api.object_head(ACCOUNT, "third", "renamed")


@pytest.mark.pitfall(150)
def test_container_is_created_with_its_properties(api: Any) -> None:
    create(
        api, "o", container_properties={"properties": {"a": "b"}, "system": {"sys.m2.policy.version": "-1"}}
    )
    known = api.container_get_properties(ACCOUNT, CONTAINER)
    assert known["properties"] == {"a": "b"}
    assert known["system"]["sys.m2.policy.version"] == "-1"


@pytest.mark.pitfall(131, 150)
def test_unknown_policy_is_named_and_leaves_nothing(api: Any, namespace: Namespace, release: str) -> None:
    with pytest.raises(exc.ClientException, match="storage policy 'NOPE'") as info:
        create(api, "o", policy="NOPE")
    assert (info.value.http_status, info.value.status) == (500 if release == "7.3" else 400, 480)
    assert info.value.service == namespace.proxy.address
    assert info.value.reqid
    assert chunks_on_disk(namespace) == []
    with pytest.raises(exc.NoSuchContainer):
        api.container_show(ACCOUNT, CONTAINER)


def test_policy_out_of_reach_is_named(api: Any) -> None:
    with pytest.raises(exc.ClientException, match="storage policy '17COPIES'"):
        create(api, "o", policy="17COPIES")


# --- cleaning ----------------------------------------------------------------------------------------


@pytest.mark.pitfall(28, 31)
def test_failed_cleaning_does_not_hide_why_it_was_needed(
    api: Any, namespace: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    fault = Fault("status", operation="DELETE", status=500)
    with namespace.faults(fault) as plan, pytest.raises(exc.EtagMismatch):
        create(api, "o", etag="0" * 32, policy="THREECOPIES")
    plan.assert_met()
    # Each of them is asked once more.
    assert plan.hits(fault) == 6
    assert caplog.text.count("Failed to delete chunk") == 6


@pytest.mark.pitfall(27)
def test_slow_upload_leaves_the_commit_its_own_time(api: Any, namespace: Namespace) -> None:
    fault = Fault("slow", operation="PUT", nth=2, seconds=1.2)
    with namespace.faults(fault) as plan:
        create(api, "o", LARGE, policy="SINGLE", read_timeout=1.0)
    plan.assert_met()
    assert read(api, "o") == LARGE


@pytest.mark.pitfall(27)
def test_spent_deadline_still_leaves_time_to_clean(api: Any, namespace: Namespace) -> None:
    fault = Fault("slow", operation="PUT", after_bytes=len(LARGE) // 4, seconds=0.6)
    with namespace.faults(fault), pytest.raises(exc.OioException) as info:
        create(api, "o", LARGE, policy="SINGLE", deadline=time.monotonic() + 0.3)
    assert isinstance(info.value, (exc.DeadlineReached, exc.OioTimeout, exc.ServiceBusy))
    assert chunks_on_disk(namespace) == []


def test_past_deadline_sends_nothing(api: Any, namespace: Namespace) -> None:
    with pytest.raises(exc.DeadlineReached):
        create(api, "o", deadline=0.0)
    assert namespace.requests == []


@pytest.mark.parametrize("policy", ["THREECOPIES", "EC21"])
def test_figures_of_a_read_tell_of_each_chunk_server(api: Any, policy: str) -> None:
    perfdata: dict[str, Any] = {}
    create(api, "o", LARGE, policy=policy, perfdata=perfdata)
    encoding = perfdata["rawx"].get("ec")
    perfdata.clear()
    assert read(api, "o", perfdata=perfdata) == LARGE
    rawx = perfdata["rawx"]
    read_from = {key.partition(".")[2] for key in rawx if key.startswith("download.http")}
    located = {chunk["url"] for chunk in api.object_locate(ACCOUNT, CONTAINER, "o")[1]}
    assert read_from
    assert read_from <= located
    assert {f"connect.{url}" for url in read_from} <= rawx.keys()
    assert min(rawx["download.AVG"], rawx["connect.AVG"]) > 0
    assert 0 < rawx["overall"] <= perfdata["ttlb"]
    assert perfdata["data_size"] == len(LARGE)
    if policy == "EC21":
        assert min(encoding, rawx["ec"]) > 0
    else:
        assert (encoding, rawx.get("ec")) == (None, None)


def test_checksum_left_to_the_rawx(namespace: Namespace) -> None:
    with namespace.api(chunk_checksum_algo=None) as api:
        create(api, "o", LARGE)
        assert read(api, "o") == LARGE


@pytest.mark.parametrize("data", [b"", LARGE[:100], LARGE])
def test_object_is_created_although_nobody_computes_the_hashes_of_its_chunks(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    """Chunk servers may be told to compute none; the proxy wants one for each chunk all the same."""
    handle = Rawx.handle

    def without_hash(rawx: Rawx, request: Request) -> Response:
        answer = handle(rawx, request)
        headers = [item for item in answer.headers if item[0].lower() != CHUNK_HEADERS["chunk_hash"]]
        return Response(answer.status, headers, answer.body, close=answer.close)

    monkeypatch.setattr(Rawx, "handle", without_hash)
    with namespace.api(chunk_checksum_algo=None) as api:
        create(api, "o", data)
        _, chunks = api.object_locate(ACCOUNT, CONTAINER, "o")
        known = hashlib.md5(data).hexdigest() if data is not LARGE else "0" * 32
        assert {chunk["hash"].lower() for chunk in chunks} == {known}
        assert read(api, "o") == read(api, "o", verify_checksum="server") == data
        create(api, "o", b"more", append=True)
        assert read(api, "o") == data + b"more"
        assert api.object_check(ACCOUNT, CONTAINER, "o").damaged == []


@pytest.mark.pitfall(128)
def test_all_that_is_appended_is_prepared_for_one_new_version(api: Any, namespace: Namespace) -> None:
    """Chunk IDs may be made of version and position: with those of the object, they would be in place."""
    create(api, "o", LARGE)
    version = api.object_get_properties(ACCOUNT, CONTAINER, "o")["version"]
    namespace.forget_requests()
    create(api, "o", LARGE, append=True)
    queries = [parse_qs(r.target) for r in namespace.requests if "content/prepare2" in r.target]
    prepared = {query["version"][0] for query in queries[1:]}
    assert len(queries) > 1
    assert len(prepared) == 1
    assert prepared != {version}
    assert read(api, "o") == LARGE + LARGE


@pytest.mark.pitfall("S4")
def test_creation_that_a_newer_one_has_overtaken_leaves_nothing_and_can_be_repeated(
    api: Any, namespace: Namespace
) -> None:
    def overtaken() -> Iterator[bytes]:
        yield b"fir"
        create(api, "o", b"second")
        yield b"st"

    with pytest.raises(exc.Conflict) as caught:
        create(api, "o", overtaken())
    assert caught.value.status == 424
    assert read(api, "o") == b"second"
    assert len(chunks_on_disk(namespace)) == 3
    create(api, "o", b"first")
    assert read(api, "o") == b"first"


_GRACES = (0.2, 1.0, 5.0, 25.0)
"""Seconds that are tried one after the other: on a busy machine, a deletion takes longer than the first."""


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_server_that_hangs_holds_up_a_failed_creation_no_longer_than_the_grace(
    tmp_path: Path, release: str, data: bytes
) -> None:
    with Namespace(tmp_path / "three", rawx=3, release=release) as namespace, namespace.api() as api:
        hanging, *others = (rawx.address for rawx in namespace.rawx)
        faults = [Fault("status", operation="PUT", address=address, status=503) for address in others]
        hang = Fault("commit-then-timeout", operation="PUT", address=hanging)
        for grace in _GRACES:
            before = set(chunks_on_disk(namespace))
            namespace.forget_requests()
            late = r"Chunk write timeout [0-9.]+ seconds after the failure of others"
            with namespace.faults(hang, *faults), pytest.raises(exc.OioTimeout, match=late):
                create(api, "o", data, policy="THREECOPIES", write_grace=grace)
            left = set(chunks_on_disk(namespace)) - before
            if not left:
                break
        deletions = [record for record in namespace.requests if record.method == "DELETE"]
        assert deletions
        for deletion in deletions:
            assert 0 < int(header(deletion, "x-oio-timeout") or 0) <= max(1.0, grace) * 1_000_000
        assert left == set()
