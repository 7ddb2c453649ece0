# SPDX-License-Identifier: Apache-2.0
"""Objects are created whole, or leave nothing; what is uncertain is left alone."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, LARGE, chunks_on_disk, create, header, read, routes

COMMIT = "content/create"
FROZEN = '{"status": 436, "message": "Invalid status: frozen"}'
BROKEN = '{"status": 500, "message": "Internal error"}'


@pytest.mark.parametrize("policy", ["SINGLE", "TWOCOPIES", "THREECOPIES"])
@pytest.mark.parametrize("data", [b"", b"hello", LARGE], ids=["empty", "small", "large"])
def test_object_comes_back_as_it_was_stored(api: Any, data: bytes, policy: str) -> None:
    chunks, size, md5, meta = api.object_create_ext(
        ACCOUNT, CONTAINER, data=data, obj_name="o", policy=policy
    )
    assert (size, md5) == (len(data), hashlib.md5(data).hexdigest())
    assert meta["policy"] == policy
    assert {chunk["url"] for chunk in chunks} == {
        chunk["url"] for chunk in api.object_locate(ACCOUNT, CONTAINER, "o")[1]
    }
    assert read(api, "o") == data


class Trickle(io.RawIOBase):
    """A file that gives a few bytes at a time, however many are asked for."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block, self._rest = self._rest[:7], self._rest[7:]
        return block


SOURCES: dict[str, Callable[[bytes], Any]] = {
    "bytes": lambda data: data,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "text": lambda data: data.decode(),
    "list": lambda data: [data[:3], data[3:]],
    "generator": lambda data: (data[i : i + 5] for i in range(0, len(data), 5)),
    "file": io.BytesIO,
    "slow file": Trickle,
}


@pytest.mark.pitfall(36, 37, 38)
@pytest.mark.parametrize("kind", SOURCES)
def test_data_come_from_anything_that_gives_bytes(api: Any, kind: str) -> None:
    data = "deux cafés au lait".encode() * 50
    create(api, "o", SOURCES[kind](data))
    assert read(api, "o") == data


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


def test_description_carries_mime_type_and_properties(api: Any) -> None:
    create(api, "o", mime_type="text/plain", properties={"clé": "é", "empty": ""})
    meta = api.object_get_properties(ACCOUNT, CONTAINER, "o")
    assert meta["mime_type"] == "text/plain"
    # The service drops properties of empty value at creation (pitfalls row 149).
    assert meta["properties"] == {"clé": "é"}


def test_etag_in_either_case_is_accepted(api: Any) -> None:
    md5 = hashlib.md5(b"hello").hexdigest()
    create(api, "lower", etag=md5)
    create(api, "upper", etag=md5.upper())
    assert read(api, "upper") == b"hello"


@pytest.mark.pitfall(34, 131)
def test_other_etag_leaves_nothing(api: Any, namespace: Namespace) -> None:
    with pytest.raises(
        exc.EtagMismatch, match=r"given etag 0{32} != computed 5d41402abc4b2a76b9719d911017c592"
    ):
        create(api, "o", etag="0" * 32)
    assert chunks_on_disk(namespace) == []
    assert not api.object_head(ACCOUNT, CONTAINER, "o")


@pytest.mark.pitfall(120)
def test_append_adds_data_and_returns_what_was_added(api: Any) -> None:
    create(api, "o", b"head", policy="SINGLE")
    _, size, md5 = api.object_create(
        ACCOUNT, CONTAINER, obj_name="o", data=b"tail", append=True, etag=hashlib.md5(b"tail").hexdigest()
    )
    assert (size, md5) == (4, hashlib.md5(b"tail").hexdigest())
    assert read(api, "o") == b"headtail"
    assert api.object_get_properties(ACCOUNT, CONTAINER, "o")["hash"] == ""


def test_append_creates_what_does_not_exist(api: Any) -> None:
    create(api, "o", b"first", append=True)
    assert read(api, "o") == b"first"


@pytest.mark.pitfall(41, 119)
@pytest.mark.parametrize("version", [1600000000000000, "1600000000000000"])
def test_content_id_and_version_of_the_caller_are_taken(api: Any, version: Any) -> None:
    meta = create(api, "o", content_id="0123456789ABCDEF0123456789ABCDEF", version=version)
    assert (meta["id"], meta["version"]) == ("0123456789ABCDEF0123456789ABCDEF", "1600000000000000")
    assert read(api, "o", version=version) == b"hello"


def test_container_given_by_its_id_is_enough(api: Any, namespace: Namespace) -> None:
    api.container_create(ACCOUNT, CONTAINER)
    cid = create(api, "first")["container_id"]
    _, _, _, meta = api.object_create_ext(None, None, data=b"x", obj_name="o", cid=cid.lower())
    assert meta["full_path"].startswith(f"{ACCOUNT}/{CONTAINER}/o/")
    assert read(api, "o") == b"x"


@pytest.mark.pitfall(40, 131)
def test_missing_container_without_autocreate_leaves_nothing(api: Any, namespace: Namespace) -> None:
    with pytest.raises(exc.NoSuchContainer, match="Container 'box' does not exist"):
        create(api, "o", autocreate=False)
    assert chunks_on_disk(namespace) == []


@pytest.mark.pitfall(150)
def test_container_is_created_with_its_properties(api: Any) -> None:
    create(
        api, "o", container_properties={"properties": {"a": "b"}, "system": {"sys.m2.policy.version": "-1"}}
    )
    known = api.container_get_properties(ACCOUNT, CONTAINER)
    assert known["properties"] == {"a": "b"}
    assert known["system"]["sys.m2.policy.version"] == "-1"


@pytest.mark.pitfall(131, 150)
def test_unknown_policy_is_named_and_leaves_nothing(api: Any, namespace: Namespace) -> None:
    with pytest.raises(exc.ClientException, match="storage policy 'NOPE'") as info:
        create(api, "o", policy="NOPE")
    assert (info.value.http_status, info.value.status) == (500, 480)
    assert info.value.service == namespace.proxy.address
    assert info.value.reqid
    assert chunks_on_disk(namespace) == []
    with pytest.raises(exc.NoSuchContainer):
        api.container_show(ACCOUNT, CONTAINER)


def test_policy_out_of_reach_is_named(api: Any) -> None:
    with pytest.raises(exc.ClientException, match="storage policy '17COPIES'"):
        create(api, "o", policy="17COPIES")


@pytest.mark.pitfall(28, 39)
def test_source_that_raises_leaves_nothing(api: Any, namespace: Namespace) -> None:
    def source() -> Iterator[bytes]:
        yield LARGE[:-1]
        raise KeyError("gone")

    with pytest.raises(exc.SourceReadError, match="KeyError: 'gone'") as info:
        create(api, "o", source())
    assert isinstance(info.value.__cause__, KeyError)
    assert chunks_on_disk(namespace) == []
    assert not api.object_head(ACCOUNT, CONTAINER, "o")


def test_source_that_interrupts_the_program_leaves_nothing(api: Any, namespace: Namespace) -> None:
    def source() -> Iterator[bytes]:
        yield LARGE[:-1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create(api, "o", source())
    assert chunks_on_disk(namespace) == []


# --- the commit --------------------------------------------------------------------------------------


@pytest.mark.pitfall(29, 131)
@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, '{"status": 400, "message": "Bad"}', exc.BadRequest),
        (403, '{"status": 403, "message": "No"}', exc.Forbidden),
        (404, '{"status": 406, "message": "No such user"}', exc.NoSuchContainer),
        (409, '{"status": 424, "message": "Older"}', exc.Conflict),
        (500, '{"status": 425, "message": "Irreparable"}', exc.ClientException),
        (500, '{"status": 445, "message": "Full"}', exc.ClientException),
        (500, '{"status": 480, "message": "Policy"}', exc.ClientException),
        (503, FROZEN, exc.ServiceBusy),
    ],
)
def test_refused_commit_leaves_nothing(
    api: Any, namespace: Namespace, status: int, body: str, expected: type[Exception]
) -> None:
    fault = Fault("status", service="proxy", operation=COMMIT, status=status, body=body)
    with namespace.faults(fault) as plan, pytest.raises(expected):
        create(api, "o", LARGE)
    plan.assert_met()
    assert chunks_on_disk(namespace) == []
    assert "proxy GET content/locate" not in routes(namespace)


@pytest.mark.pitfall(29, 33)
@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", service="proxy", operation=COMMIT, status=503, body=BROKEN),
        Fault("status", service="proxy", operation=COMMIT, status=500, body="<html>Oops</html>"),
        Fault("reset", service="proxy", operation=COMMIT, phase="head"),
        Fault("stall", service="proxy", operation=COMMIT, phase="head"),
    ],
    ids=["busy", "HTML", "reset", "stall"],
)
def test_uncertain_commit_is_not_repeated_and_deletes_nothing(
    api: Any, namespace: Namespace, fault: Fault
) -> None:
    with (
        namespace.faults(fault) as plan,
        pytest.raises((exc.ClientException, exc.OioNetworkException)) as info,
    ):
        create(api, "o", policy="THREECOPIES", request_attempts=3, read_timeout=0.5)
    plan.assert_met()
    assert plan.hits(fault) == 1
    assert info.value.service == namespace.proxy.address
    assert len(chunks_on_disk(namespace)) == 3


@pytest.mark.pitfall(33, 143)
@pytest.mark.parametrize("action", ["commit-then-reset", "commit-then-timeout"])
def test_commit_whose_answer_is_lost_is_found_done(api: Any, namespace: Namespace, action: str) -> None:
    fault = Fault(action, service="proxy", operation=COMMIT)
    with namespace.faults(fault) as plan:
        meta = create(api, "o", LARGE, read_timeout=0.5)
    plan.assert_met()
    assert read(api, "o") == LARGE
    assert api.object_get_properties(ACCOUNT, CONTAINER, "o")["id"] == meta["id"]


@pytest.mark.pitfall(143)
def test_append_whose_answer_is_lost_is_found_done(api: Any, namespace: Namespace) -> None:
    create(api, "o", b"head")
    with namespace.faults(Fault("commit-then-reset", service="proxy", operation=COMMIT)) as plan:
        create(api, "o", b"tail", append=True)
    plan.assert_met()
    assert read(api, "o") == b"headtail"


@pytest.mark.pitfall(143)
def test_append_that_was_not_done_is_not_taken_for_done(api: Any, namespace: Namespace) -> None:
    create(api, "o", b"head")
    fault = Fault("status", service="proxy", operation=COMMIT, body=BROKEN)
    with namespace.faults(fault), pytest.raises(exc.ServiceBusy):
        create(api, "o", b"tail", append=True)
    assert read(api, "o") == b"head"


@pytest.mark.pitfall(30)
def test_conflict_leaves_the_object_that_was_there(api: Any, namespace: Namespace) -> None:
    create(api, "o", version=2000)
    before = sorted(chunks_on_disk(namespace))
    with pytest.raises(exc.Conflict):
        create(api, "o", b"other", version=1000)
    assert sorted(chunks_on_disk(namespace)) == before
    assert read(api, "o") == b"hello"


# --- cleaning ----------------------------------------------------------------------------------------


@pytest.mark.pitfall(28, 31)
def test_failed_cleaning_does_not_hide_why_it_was_needed(
    api: Any, namespace: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    fault = Fault("status", operation="DELETE", status=500)
    with namespace.faults(fault) as plan, pytest.raises(exc.EtagMismatch):
        create(api, "o", etag="0" * 32, policy="THREECOPIES")
    plan.assert_met()
    assert plan.hits(fault) == 3
    assert caplog.text.count("Failed to delete chunk") == 3


@pytest.mark.pitfall(31)
def test_cleaning_without_a_rawx_does_not_hide_why_it_was_needed(api: Any, namespace: Namespace) -> None:
    with namespace.faults(Fault("reset", operation="DELETE", phase="head")), pytest.raises(exc.EtagMismatch):
        create(api, "o", etag="0" * 32)


@pytest.mark.pitfall(27)
def test_slow_upload_leaves_the_commit_its_own_time(api: Any, namespace: Namespace) -> None:
    fault = Fault("slow", operation="PUT", nth=2, seconds=0.6)
    with namespace.faults(fault) as plan:
        create(api, "o", LARGE, policy="SINGLE", read_timeout=0.5)
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


@pytest.mark.pitfall(70)
def test_one_call_has_one_request_id_everywhere(api: Any, namespace: Namespace) -> None:
    with pytest.raises(exc.EtagMismatch):
        create(api, "o", LARGE, etag="0" * 32, reqid="MINE")
    seen = {header(record, "x-oio-req-id") for record in namespace.requests}
    assert {record.method for record in namespace.requests} == {"POST", "PUT", "DELETE"}
    assert seen == {"MINE"}


@pytest.mark.pitfall(121)
def test_performance_figures_add_up(api: Any) -> None:
    perfdata: dict[str, Any] = {"rawx": {"mine": 1.0}}
    create(api, "o", LARGE, perfdata=perfdata)
    first = perfdata["proxy"]["overall"]
    create(api, "p", LARGE, perfdata=perfdata)
    assert perfdata["data_size"] == 2 * len(LARGE)
    assert perfdata["proxy"]["overall"] > first > 0
    assert perfdata["rawx"]["mine"] == 1.0
    assert perfdata["rawx"]["overall"] > 0
    assert perfdata["rawx"]["upload.AVG"] > 0
    read(api, "o", perfdata=perfdata)
    assert 0 < perfdata["ttfb"] <= perfdata["ttlb"]


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


@pytest.mark.pitfall(128)
@pytest.mark.parametrize("policy", [None, "THREECOPIES"])
def test_what_is_appended_is_stored_as_the_object_is(api: Any, policy: str | None) -> None:
    create(api, "o", b"head", policy="TWOCOPIES")
    create(api, "o", b"tail", policy=policy, append=True)
    meta, chunks = api.object_locate(ACCOUNT, CONTAINER, "o")
    assert (meta["policy"], [chunk["pos"] for chunk in chunks].count("1")) == ("TWOCOPIES", 2)
    assert read(api, "o") == b"headtail"
