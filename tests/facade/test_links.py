# SPDX-License-Identifier: Apache-2.0
"""Links of objects: copies that share data, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.common.fullpath import decode_fullpath
from oio.sandbox import Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, LARGE, chunks_on_disk, create, header, read
from tests.kit.releases import RELEASES

ON_RELEASES = RELEASES

STRANGE = {
    **{
        name: f"my {name}" for name in ("hash", "size", "name", "version", "policy", "length", "chunk-method")
    },
    "Size": "as a key",
    "x-foo": "y",
    "a b": "with blanks",
    "a: 1": "é\n\tü",
    "é": "ö",
}


@pytest.fixture
def namespace(tmp_path: Path, release: str) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=10, chunk_size=1 << 18, release=release) as running:
        yield running


def link(api: Any, target: str, name: str, **kwargs: Any) -> dict[str, Any]:
    return api.object_link(ACCOUNT, CONTAINER, target, ACCOUNT, CONTAINER, name, **kwargs)  # type: ignore[no-any-return]


def owners(api: Any, account: str, container: str, name: str) -> set[tuple[str, ...]]:
    """Who the rawx think that the chunks of an object are for."""
    _, chunks = api.object_locate(account, container, name, chunk_info=True)
    return {decode_fullpath(chunk["full_path"]) for chunk in chunks}


# --- what a link is -------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["SINGLE", "THREECOPIES", "EC", "EC21"])
@pytest.mark.parametrize("size", [0, 5, len(LARGE)])
def test_link_lives_on_without_its_target(api: Any, namespace: Namespace, policy: str, size: int) -> None:
    properties = {"colour": "blue"}
    create(api, "o", LARGE[:size], policy=policy, mime_type="text/plain", properties=properties)
    described = link(api, "o", "l")
    known = api.object_get_properties(ACCOUNT, CONTAINER, "l")
    assert known["properties"] == described["properties"] == properties
    original = api.object_get_properties(ACCOUNT, CONTAINER, "o")
    for key in ("chunk_method", "hash", "length", "mime_type", "policy", "size"):
        assert original[key] == known[key] == described[key]
    for key in ("id", "version", "name"):
        assert original[key] != known[key] == described[key]
    positions = [
        sorted((chunk["pos"], chunk["size"], chunk["hash"]) for chunk in chunks)
        for _, chunks in (api.object_locate(ACCOUNT, CONTAINER, name) for name in ("o", "l"))
    ]
    assert positions[0] == positions[1]
    api.object_delete(ACCOUNT, CONTAINER, "o")
    assert api.object_head(ACCOUNT, CONTAINER, "l", trust_level=2)
    assert read(api, "l") == LARGE[:size]
    api.object_delete(ACCOUNT, CONTAINER, "l")
    assert chunks_on_disk(namespace) == []


def test_no_data_are_sent(api: Any, namespace: Namespace) -> None:
    create(api, "o", LARGE)
    for rawx in namespace.rawx:
        rawx.shallow_copy = True
    namespace.forget_requests()
    link(api, "o", "l")
    assert {request.method for request in namespace.requests if request.service == "rawx"} == {"COPY"}


@pytest.mark.pitfall(117, 118)
@pytest.mark.parametrize("policy", ["THREECOPIES", "EC"])
def test_links_carry_the_full_path_of_their_own_object(api: Any, namespace: Namespace, policy: str) -> None:
    names = "another/account", "c/1 é", "o/é +%2F"
    create(api, "o", LARGE, policy=policy)
    namespace.forget_requests()
    meta = api.object_link(ACCOUNT, CONTAINER, "o", *names)
    sent = {
        decode_fullpath(header(request, "x-oio-chunk-meta-full-path") or "")
        for request in namespace.requests
        if request.method == "COPY"
    }
    assert sent == owners(api, *names) == {(*names, meta["version"], meta["id"])}
    assert owners(api, ACCOUNT, CONTAINER, "o").isdisjoint(sent)


@pytest.mark.pitfall(70)
def test_one_request_id_is_seen_by_all_services(api: Any, namespace: Namespace) -> None:
    create(api, "o")
    namespace.forget_requests()
    link(api, "o", "l", reqid="mine")
    assert {header(request, "x-oio-req-id") for request in namespace.requests} == {"mine"}
    assert {request.service for request in namespace.requests} == {"proxy", "rawx"}


@pytest.mark.pitfall("W3", "W4", "W5")
@pytest.mark.parametrize("name", ["a/\u00e9?%2F #b", "/", "\u65e5\u672c+\U0001f600\\"])
def test_names_of_links_and_of_snapshots_may_be_any(api: Any, namespace: Namespace, name: str) -> None:
    """IDs of chunks may be computed from them, as they are."""
    create(api, name, LARGE[:-5])
    create(api, name, LARGE[-5:], append=True)
    links, copy = f"links {name}", f"copy {name}"
    api.object_link(ACCOUNT, CONTAINER, name, ACCOUNT, links, name)
    api.object_delete(ACCOUNT, CONTAINER, name)
    api.container_snapshot(ACCOUNT, links, ACCOUNT, copy)
    assert api.object_head(ACCOUNT, links, name, trust_level=2)
    api.container_flush(ACCOUNT, links)
    assert api.object_head(ACCOUNT, copy, name, trust_level=2)
    _, stream = api.object_fetch(ACCOUNT, copy, name, verify_checksum="strict")
    with stream:
        assert b"".join(stream) == LARGE
    api.container.container_enable(ACCOUNT, copy)
    api.container_flush(ACCOUNT, copy)
    assert chunks_on_disk(namespace) == []


def test_link_in_a_container_that_does_not_exist(api: Any) -> None:
    create(api, "o")
    api.object_link(ACCOUNT, CONTAINER, "o", ACCOUNT, "new", "l")
    assert api.object_head(ACCOUNT, "new", "l", trust_level=2)


def test_empty_hash_of_an_object_in_parts_stays_empty(api: Any) -> None:
    create(api, "o", b"one")
    create(api, "o", b"two", append=True)
    assert link(api, "o", "l")["hash"] == ""
    assert read(api, "l") == b"onetwo"
    assert api.object_get_properties(ACCOUNT, CONTAINER, "l")["hash"] == ""


# --- properties -----------------------------------------------------------------------------------------


@pytest.mark.pitfall(101, 148)
def test_strange_properties_are_copied(api: Any) -> None:
    create(api, "o", properties=STRANGE)
    assert link(api, "o", "l")["properties"] == STRANGE
    assert api.object_get_properties(ACCOUNT, CONTAINER, "l")["properties"] == STRANGE
    assert api.object_get_properties(ACCOUNT, CONTAINER, "l")["length"] == "5"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"properties": {"a": "1"}}, {"a": "1"}),
        ({"metadata": {"a": "1"}}, {"a": "1"}),
        ({"metadata": {"a": "1", "b": "2"}, "properties": {"b": "3"}}, {"a": "1", "b": "3"}),
    ],
)
def test_properties_are_replaced(api: Any, given: dict[str, Any], expected: dict[str, str]) -> None:
    create(api, "o", properties={"old": "1"})
    assert link(api, "o", "l", properties_directive="REPLACE", **given)["properties"] == expected
    assert api.object_get_properties(ACCOUNT, CONTAINER, "l")["properties"] == expected


def test_properties_that_are_ignored_are_told_of(api: Any, caplog: pytest.LogCaptureFixture) -> None:
    create(api, "o", properties={"old": "1"})
    assert link(api, "o", "l", properties={"new": "1"})["properties"] == {"old": "1"}
    assert "properties are ignored" in caplog.text


# --- names and versions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["o", "other"])
def test_link_replaces_an_object_of_its_name(api: Any, namespace: Namespace, to: str) -> None:
    create(api, "o", LARGE, properties={"a": "1"})
    create(api, "other", b"something else")
    before = api.object_get_properties(ACCOUNT, CONTAINER, to)
    meta = link(api, "o", to)
    assert read(api, to) == read(api, "o") == LARGE
    assert meta["id"] != before["id"]
    assert api.object_get_properties(ACCOUNT, CONTAINER, to)["properties"] == {"a": "1"}
    located = [api.object_locate(ACCOUNT, CONTAINER, name)[1] for name in {"o", to}]
    # The other objects' chunks have gone with them.
    names = {chunk["url"].rpartition("/")[2] for chunks in located for chunk in chunks}
    if to == "o":
        names |= {c["url"].rpartition("/")[2] for c in api.object_locate(ACCOUNT, CONTAINER, "other")[1]}
    assert set(chunks_on_disk(namespace)) == names


@pytest.fixture
def versions(api: Any) -> list[str]:
    """The versions of an object, the oldest first."""
    api.container_create(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    return [create(api, "o", data, properties={"p": data})["version"] for data in ("one", "two", "three")]


@pytest.mark.pitfall(119)
def test_any_version_can_be_linked(api: Any, versions: list[str]) -> None:
    assert read(api, link(api, "o", "l")["name"]) == b"three"
    for version, data in zip(versions, ("one", "two", "three"), strict=True):
        for spelled in (version, int(version)):
            meta = link(api, "o", "l", target_version=spelled)
            assert meta["properties"] == {"p": data}
            assert read(api, "l") == data.encode()
    link(api, "o", "o", target_version=versions[0])
    listed = api.object_list(ACCOUNT, CONTAINER, prefix="o", versions=True)["objects"]
    assert [obj["properties"]["p"] for obj in _with_properties(api, listed)] == ["one", "three", "two", "one"]


def _with_properties(api: Any, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        api.object_get_properties(ACCOUNT, CONTAINER, obj["name"], version=obj["version"]) for obj in objects
    ]


def test_target_can_be_told_by_its_content_id(api: Any, versions: list[str]) -> None:
    first = api.object_get_properties(ACCOUNT, CONTAINER, "o", version=versions[0])
    for name in (None, "o"):
        for version in (None, versions[0]):
            link(api, name, "l", target_content_id=first["id"], target_version=version)  # type: ignore[arg-type]
            assert read(api, "l") == b"one"
    for wrong in ({"target": "other"}, {"target": "o", "target_version": versions[1]}):
        with pytest.raises(exc.NoSuchObject):
            link(api, name="l", target_content_id=first["id"], **wrong)  # type: ignore[arg-type]


def test_link_gets_the_content_id_that_is_asked_for(api: Any, namespace: Namespace) -> None:
    create(api, "o", LARGE)
    wanted = "AB" * 16
    assert link(api, "o", "l", link_content_id=wanted)["id"] == wanted
    assert api.object_get_properties(ACCOUNT, CONTAINER, "l")["id"] == wanted
    assert {path[-1] for path in owners(api, ACCOUNT, CONTAINER, "l")} == {wanted}
    before = set(chunks_on_disk(namespace))
    with pytest.raises(exc.Conflict):
        link(api, "o", "m", link_content_id=wanted)
    assert set(chunks_on_disk(namespace)) == before


def test_cached_location_is_neither_used_nor_left(api: Any) -> None:
    cache: dict[str, Any] = {}
    create(api, "o", b"old")
    create(api, "l", b"old link")
    for name in ("o", "l"):
        assert read(api, name, cache=cache).startswith(b"old")
    # By somebody who does not share the cache.
    create(api, "o", b"new")
    link(api, "o", "l", cache=cache)
    assert read(api, "l", cache=cache) == b"new"


# --- what cannot be linked ------------------------------------------------------------------------------


def test_what_does_not_exist_cannot_be_linked(api: Any, namespace: Namespace) -> None:
    with pytest.raises(exc.NoSuchContainer, match=f"Container '{CONTAINER}' does not exist"):
        link(api, "o", "l")
    create(api, "o")
    with pytest.raises(exc.NoSuchObject, match="Object 'nothing' does not exist"):
        link(api, "nothing", "l")
    with pytest.raises(exc.NoSuchObject):
        link(api, "o", "l", target_version=1)
    assert len(chunks_on_disk(namespace)) == 3


@pytest.mark.pitfall("E11")
def test_missing_container_of_a_link_is_not_found_by_either_name(api: Any, namespace: Namespace) -> None:
    create(api, "o")
    with pytest.raises(exc.NoSuchContainer, match="Container 'nowhere' does not exist") as caught:
        api.object_link(ACCOUNT, CONTAINER, "o", ACCOUNT, "nowhere", "l", autocreate=False)
    err = caught.value
    assert isinstance(err, exc.NotFound)
    assert (err.http_status, err.status, bool(err.reqid)) == (404, 406, True)
    assert len(chunks_on_disk(namespace)) == 3


def test_delete_marker_cannot_be_linked(api: Any, versions: list[str]) -> None:
    api.object_delete(ACCOUNT, CONTAINER, "o")
    with pytest.raises(exc.NoSuchObject):
        link(api, "o", "l")
    link(api, "o", "l", target_version=versions[2])
    assert read(api, "l") == b"three"


def test_drained_object_cannot_be_linked(api: Any) -> None:
    create(api, "o")
    api.object_drain(ACCOUNT, CONTAINER, "o")
    with pytest.raises(exc.ContentDrained, match="drained"):
        link(api, "o", "l")


def test_object_in_backblaze_cannot_be_linked(api: Any, namespace: Namespace) -> None:
    api.container_create(ACCOUNT, CONTAINER)
    content_id = "AB" * 16
    api.container.content_create(
        ACCOUNT,
        CONTAINER,
        "o",
        size=1,
        data={"chunks": [{"url": f"http://127.0.0.1:1/{'A' * 64}", "pos": "0", "size": 1, "hash": "0" * 32}]},
        content_id=content_id,
        version=1,
        stgpol="SINGLE",
        chunk_method="backblaze/account_id=A,bucket_name=B",
    )
    namespace.forget_requests()
    with pytest.raises(exc.InvalidStorageMethod, match=r"'o'.*Backblaze"):
        link(api, "o", "l")
    with pytest.raises(exc.InvalidStorageMethod, match=r"'o'.*Backblaze"):
        api.container_snapshot(ACCOUNT, CONTAINER, ACCOUNT, "s")
    assert not [request for request in namespace.requests if request.service == "rawx"]


def test_object_that_lacks_a_metachunk_cannot_be_linked(api: Any) -> None:
    create(api, "o", LARGE, policy="SINGLE")
    meta, chunks = api.object_locate(ACCOUNT, CONTAINER, "o")
    (first,) = [chunk for chunk in chunks if chunk["pos"] == "0"]
    bean = {"type": "chunk", "id": first["url"], "content": meta["id"]}
    api.container.container_raw_delete(
        ACCOUNT, CONTAINER, [{**bean, **{key: first[key] for key in ("hash", "size", "pos")}}]
    )
    with pytest.raises(exc.UnrecoverableContent):
        link(api, "o", "l")


# --- arguments ------------------------------------------------------------------------------------------

GOOD = {
    "target_account": "a",
    "target_container": "c",
    "target_obj": "o",
    "link_account": "b",
    "link_container": "d",
    "link_obj": "l",
}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        *(({name: ""}, name) for name in GOOD),
        *(({name: None}, name) for name in GOOD),
        ({"link_container": "x" * 1024}, "link_container is 1024 bytes"),
        ({"target_version": "latest"}, "target_version.*'latest'"),
        ({"target_content_id": "xyz"}, "target_content_id.*'xyz'"),
        ({"link_content_id": "ABC"}, "link_content_id.*'ABC'"),
        ({"properties_directive": "MOVE"}, "properties_directive.*'MOVE'"),
        ({"properties_directive": "REPLACE", "properties": {"a": 1}}, r"properties\['a'\]"),
        ({"properties_directive": "REPLACE", "metadata": ["a"]}, "metadata must be a dict"),
        ({"cid": "AB"}, "cid does not tell"),
        ({"version": 1}, "version does not tell"),
        ({"content_id": "AB"}, "content_id does not tell"),
    ],
)
def test_mistaken_arguments_are_named(offline_api: Any, wrong: dict[str, Any], named: str) -> None:
    with pytest.raises((ValueError, TypeError), match=named):
        offline_api.object_link(**{**GOOD, **wrong})


def test_fastcopy_is_a_link_and_deprecated(api: Any) -> None:
    create(api, "o")
    with pytest.deprecated_call():
        meta = api.object_fastcopy(ACCOUNT, CONTAINER, "o", ACCOUNT, CONTAINER, "l")
    assert meta["name"] == "l"
    assert read(api, "l") == b"hello"
