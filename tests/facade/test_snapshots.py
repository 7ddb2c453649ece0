# SPDX-License-Identifier: Apache-2.0
"""Snapshots of containers: all that was there, and nothing of what comes after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.common.fullpath import decode_fullpath
from oio.common.utils import cid_from_name, compute_chunk_id
from oio.sandbox import Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, LARGE, chunks_on_disk, create, header, routes
from tests.kit.releases import RELEASES

ON_RELEASES = RELEASES

SNAPSHOT = "snapshot"
ENABLED, FROZEN = "0", "4294967295"

#: Of services that keep the URLs of chunks, or that compute them.
keeping_urls = pytest.mark.on_release("7.3")
computing_urls = pytest.mark.on_release("2026")


@pytest.fixture
def namespace(tmp_path: Path, release: str) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=10, chunk_size=1 << 18, release=release) as running:
        yield running


def take(api: Any, **kwargs: Any) -> None:
    api.container_snapshot(ACCOUNT, CONTAINER, ACCOUNT, SNAPSHOT, **kwargs)


def read(api: Any, container: str, name: str, version: Any = None) -> bytes:
    _, stream = api.object_fetch(ACCOUNT, container, name, version=version)
    with stream:
        return b"".join(stream)


def status(api: Any, container: str) -> str:
    return api.container_get_properties(ACCOUNT, container)["system"]["sys.status"]  # type: ignore[no-any-return]


def contents(api: Any, container: str) -> list[tuple[str, int, bool]]:
    """Name and version of all objects and delete markers."""
    listed = api.object_list(ACCOUNT, container, versions=True, limit=10000)["objects"]
    return [(obj["name"], obj["version"], obj["deleted"]) for obj in listed]


def chunk_ids(api: Any, container: str, name: str, version: Any = None) -> set[str]:
    _, chunks = api.object_locate(ACCOUNT, container, name, version=version)
    return {chunk["url"].rpartition("/")[2] for chunk in chunks}


OBJECTS = {
    "empty": (b"", "THREECOPIES"),
    "small": (b"hello", "SINGLE"),
    "large": (LARGE, "THREECOPIES"),
    "coded": (LARGE, "EC"),
    "é/ +%2F\n": (b"strange name", "THREECOPIES"),
}


@pytest.fixture
def objects(api: Any) -> None:
    for name, (data, policy) in OBJECTS.items():
        create(api, name, data, policy=policy, properties={"of": name, "hash": "mine"})


@pytest.mark.usefixtures("objects")
def test_snapshot_lives_on_without_its_source(api: Any, namespace: Namespace) -> None:
    api.container_set_properties(ACCOUNT, CONTAINER, {"colour": "blue"})
    there = contents(api, CONTAINER)
    take(api)
    assert contents(api, SNAPSHOT) == there
    shared = set(chunks_on_disk(namespace))
    for name in OBJECTS:
        api.object_delete(ACCOUNT, CONTAINER, name)
    api.container_delete(ACCOUNT, CONTAINER)
    assert set(chunks_on_disk(namespace)) < shared
    assert contents(api, SNAPSHOT) == there
    assert api.container_show(ACCOUNT, SNAPSHOT)["properties"] == {"colour": "blue"}
    for name, (data, policy) in OBJECTS.items():
        assert read(api, SNAPSHOT, name) == data
        assert api.object_head(ACCOUNT, SNAPSHOT, name, trust_level=2)
        known = api.object_get_properties(ACCOUNT, SNAPSHOT, name)
        assert (known["policy"], known["properties"]) == (policy, {"of": name, "hash": "mine"})


@pytest.mark.usefixtures("objects")
def test_source_lives_on_without_its_snapshot(api: Any, namespace: Namespace) -> None:
    before = sorted(chunks_on_disk(namespace))
    take(api)
    api.container.container_enable(ACCOUNT, SNAPSHOT)
    for name in OBJECTS:
        api.object_delete(ACCOUNT, SNAPSHOT, name)
    assert sorted(chunks_on_disk(namespace)) == before
    for name, (data, _) in OBJECTS.items():
        assert read(api, CONTAINER, name) == data


@pytest.mark.pitfall(117)
@pytest.mark.usefixtures("objects")
def test_chunks_of_a_snapshot_are_its_own(api: Any) -> None:
    take(api)
    for name in OBJECTS:
        assert chunk_ids(api, SNAPSHOT, name).isdisjoint(chunk_ids(api, CONTAINER, name))
        meta, chunks = api.object_locate(ACCOUNT, SNAPSHOT, name, chunk_info=True)
        owner = (ACCOUNT, SNAPSHOT, name, meta["version"], meta["id"])
        assert {decode_fullpath(chunk["full_path"]) for chunk in chunks} == {owner}
        of_source = sorted(chunk["pos"] for chunk in api.object_locate(ACCOUNT, CONTAINER, name)[1])
        assert sorted(chunk["pos"] for chunk in api.object_locate(ACCOUNT, SNAPSHOT, name)[1]) == of_source


@pytest.mark.pitfall(97)
@pytest.mark.usefixtures("objects")
def test_source_can_be_written_again_and_the_snapshot_cannot(api: Any) -> None:
    take(api)
    assert (status(api, CONTAINER), status(api, SNAPSHOT)) == (ENABLED, FROZEN)
    create(api, "small", b"changed since")
    assert read(api, SNAPSHOT, "small") == b"hello"
    with pytest.raises(exc.ServiceBusy):
        api.object_create(ACCOUNT, SNAPSHOT, obj_name="new", data=b"x")
    with pytest.raises(exc.ServiceBusy):
        api.object_delete(ACCOUNT, SNAPSHOT, "small")


def test_snapshot_of_an_empty_container(api: Any) -> None:
    api.container_create(ACCOUNT, CONTAINER, {"colour": "blue"})
    take(api)
    assert api.container_show(ACCOUNT, SNAPSHOT)["properties"] == {"colour": "blue"}
    assert contents(api, SNAPSHOT) == []
    assert status(api, SNAPSHOT) == FROZEN


def test_account_knows_the_snapshot_and_what_it_holds(api: Any) -> None:
    create(api, "o", LARGE)
    take(api)
    rows = {row[0]: row[1:3] for row in api.container_list(ACCOUNT)}
    assert rows[SNAPSHOT] == rows[CONTAINER] == [1, len(LARGE)]


# --- versions, markers, drained objects -----------------------------------------------------------------


@pytest.mark.pitfall(96)
def test_all_versions_and_delete_markers_are_there(api: Any, namespace: Namespace) -> None:
    api.container_create(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    versions = {create(api, "o", f"data {n}")["version"]: f"data {n}".encode() for n in range(4)}
    api.object_delete(ACCOUNT, CONTAINER, "o")
    create(api, "drained")
    api.object_drain(ACCOUNT, CONTAINER, "drained")
    there = contents(api, CONTAINER)
    assert [deleted for _, _, deleted in there].count(True) == 1
    take(api)
    assert contents(api, SNAPSHOT) == there
    api.container_flush(ACCOUNT, CONTAINER)
    for version, data in versions.items():
        assert read(api, SNAPSHOT, "o", version) == data
    with pytest.raises(exc.NoSuchObject):
        api.object_locate(ACCOUNT, SNAPSHOT, "o")
    with pytest.raises(exc.ContentDrained):
        api.object_locate(ACCOUNT, SNAPSHOT, "drained")
    assert len(chunks_on_disk(namespace)) == 3 * len(versions)


@pytest.mark.pitfall(96, 140)
@keeping_urls
def test_snapshot_has_more_than_a_page(api: Any, namespace: Namespace) -> None:
    """A page of the service has 1000 entries; here, it ends inside a name."""
    api.container_create(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    marker = {"type": "alias", "version": 1, "header": "44454C45544544", "deleted": True}
    markers = [{**marker, "name": f"deleted {number:04}"} for number in range(990)]
    api.container.container_raw_insert(markers, ACCOUNT, CONTAINER)
    versions = [create(api, "of many versions", policy="SINGLE")["version"] for _ in range(20)]
    create(api, "the last", policy="SINGLE")
    take(api)
    assert contents(api, SNAPSHOT) == contents(api, CONTAINER)
    ids = [chunk_ids(api, SNAPSHOT, "of many versions", version) for version in versions]
    ids.append(chunk_ids(api, SNAPSHOT, "the last"))
    assert len(set().union(*ids)) == 21
    assert len(chunks_on_disk(namespace)) == 42


@pytest.mark.pitfall(89, 96)
@keeping_urls
@pytest.mark.parametrize(("batch", "requests"), [(1, 15), (2, 8), (7, 3), (15, 1), (100, 1)])
def test_links_are_noted_in_batches(api: Any, namespace: Namespace, batch: int, requests: int) -> None:
    for name in "abcde":
        create(api, name)
    namespace.forget_requests()
    take(api, batch=batch)
    updates = [request for request in routes(namespace) if request.endswith("container/raw_update")]
    assert len(updates) == requests
    for name in "abcde":
        assert read(api, SNAPSHOT, name) == b"hello"
        assert chunk_ids(api, SNAPSHOT, name).isdisjoint(chunk_ids(api, CONTAINER, name))


@keeping_urls
def test_batch_has_two_names(api: Any, namespace: Namespace) -> None:
    create(api, "o")
    take(api, batch_size=1)
    assert sum(request.endswith("container/raw_update") for request in routes(namespace)) == 3


@pytest.mark.parametrize("names", [{"batch": 0}, {"batch_size": -1}, {"batch": "many"}])
def test_batch_is_a_number_above_zero(offline_api: Any, names: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=f"{next(iter(names))} must be"):
        take(offline_api, **names)


@pytest.mark.parametrize(
    ("account", "container", "named"),
    [("", "s", "dst_account"), ("a", "", "dst_container"), ("x" * 64, "s", "dst_account is 64 bytes")],
)
def test_names_of_the_snapshot_are_checked(
    offline_api: Any, account: str, container: str, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        offline_api.container_snapshot(ACCOUNT, CONTAINER, account, container)


# --- where it is taken ----------------------------------------------------------------------------------


def test_snapshot_in_another_account_of_a_container_known_by_its_id(api: Any, namespace: Namespace) -> None:
    meta = create(api, "o", LARGE)
    namespace.forget_requests()
    api.container_snapshot(None, None, "other", "s", cid=meta["container_id"], reqid="mine")
    assert {header(request, "x-oio-req-id") for request in namespace.requests} == {"mine"}
    _, stream = api.object_fetch("other", "s", "o")
    assert b"".join(stream) == LARGE
    assert status(api, CONTAINER) == ENABLED


def test_snapshot_of_what_does_not_exist(api: Any) -> None:
    with pytest.raises(exc.NoSuchContainer, match=f"Container '{CONTAINER}' does not exist"):
        take(api)
    with pytest.raises(exc.NoSuchContainer):
        api.container_show(ACCOUNT, SNAPSHOT)


@pytest.mark.pitfall(97)
@pytest.mark.parametrize("where", [SNAPSHOT, CONTAINER])
def test_container_that_exists_is_not_replaced(api: Any, namespace: Namespace, where: str) -> None:
    create(api, "o", LARGE)
    api.object_create(ACCOUNT, SNAPSHOT, obj_name="mine", data=b"data")
    before = chunks_on_disk(namespace)
    with pytest.raises(exc.BadRequest):
        api.container_snapshot(ACCOUNT, CONTAINER, ACCOUNT, where)
    assert (status(api, CONTAINER), status(api, SNAPSHOT)) == (ENABLED, ENABLED)
    assert chunks_on_disk(namespace) == before
    assert read(api, SNAPSHOT, "mine") == b"data"
    assert read(api, CONTAINER, "o") == LARGE


def test_what_somebody_has_frozen_stays_so(api: Any, namespace: Namespace) -> None:
    create(api, "o")
    api.container.container_freeze(ACCOUNT, CONTAINER)
    before = chunks_on_disk(namespace)
    with pytest.raises(exc.ServiceBusy) as caught:
        take(api)
    assert caught.value.status == 436
    assert status(api, CONTAINER) == FROZEN
    assert chunks_on_disk(namespace) == before
    with pytest.raises(exc.NoSuchContainer):
        api.container_show(ACCOUNT, SNAPSHOT)


def test_what_somebody_has_disabled_stays_so(api: Any) -> None:
    create(api, "o")
    api.container_set_properties(ACCOUNT, CONTAINER, system={"sys.status": "4294967294"})
    with pytest.raises(exc.ClientException):
        take(api)
    assert status(api, CONTAINER) == "4294967294"


def _forget_snapshot(api: Any) -> None:
    """Remove the snapshot, but not its chunks, whose names are those that another one would give."""
    api.container_delete(ACCOUNT, SNAPSHOT, force=True)
    api.directory.delete(ACCOUNT, SNAPSHOT)


def test_cached_locations_of_an_earlier_snapshot_are_forgotten(api: Any) -> None:
    cache: dict[str, Any] = {}
    create(api, "o", b"first")
    take(api)
    assert b"".join(api.object_fetch(ACCOUNT, SNAPSHOT, "o", cache=cache)[1]) == b"first"
    _forget_snapshot(api)
    create(api, "o", b"second")
    take(api, cache=cache)
    assert b"".join(api.object_fetch(ACCOUNT, SNAPSHOT, "o", cache=cache)[1]) == b"second"


@pytest.mark.pitfall(30)
def test_chunks_left_by_an_earlier_snapshot_are_not_in_the_way(
    api: Any, namespace: Namespace, release: str
) -> None:
    create(api, "o", LARGE)
    take(api)
    _forget_snapshot(api)
    left = set(chunks_on_disk(namespace))
    take(api)
    if release == "7.3":
        assert chunk_ids(api, SNAPSHOT, "o").isdisjoint(left)
    else:
        # There is no other name: what was left is replaced.
        assert chunk_ids(api, SNAPSHOT, "o") < left
    assert left <= set(chunks_on_disk(namespace))
    assert read(api, SNAPSHOT, "o") == LARGE
    assert api.object_head(ACCOUNT, SNAPSHOT, "o", trust_level=2)


# --- computed chunk IDs ---------------------------------------------------------------------------------


def chunk_urls(api: Any, container: str, name: str) -> set[str]:
    return {chunk["url"] for chunk in api.object_locate(ACCOUNT, container, name)[1]}


def computed_urls(api: Any, container: str, name: str) -> set[str]:
    """Where the chunks of an object are if their IDs are computed of what they are for."""
    meta, chunks = api.object_locate(ACCOUNT, container, name)
    cid = cid_from_name(ACCOUNT, container)
    return {
        f"{chunk['url'].rpartition('/')[0]}/"
        f"{compute_chunk_id(cid, name, meta['version'], chunk['pos'], meta['policy'])}"
        for chunk in chunks
    }


@pytest.fixture
def in_parts(api: Any) -> dict[str, bytes]:
    """Objects that were appended to, and cut: some of their chunks keep the URLs that they were made with."""
    for policy in ("SINGLE", "THREECOPIES", "EC"):
        create(api, policy, LARGE, policy=policy)
        create(api, policy, b"tail", append=True)
        create(api, f"cut {policy}", LARGE, policy=policy)
        api.object_truncate(ACCOUNT, CONTAINER, f"cut {policy}", size=len(LARGE) - 1000)
        create(api, f"first {policy}", LARGE[:1000], policy=policy)
        api.object_truncate(ACCOUNT, CONTAINER, f"first {policy}", size=10)
    names = [row[0] for row in contents(api, CONTAINER)]
    return {name: read(api, CONTAINER, name) for name in names}


@pytest.mark.pitfall("W3", "W4")
@pytest.mark.parametrize("links", [False, True], ids=["copied", "linked"])
def test_snapshot_of_objects_in_parts_is_whole_and_its_own(
    api: Any, namespace: Namespace, in_parts: dict[str, bytes], links: bool
) -> None:
    for rawx in namespace.rawx:
        rawx.shallow_copy = links
    before = sorted(chunks_on_disk(namespace))
    take(api)
    for name, data in in_parts.items():
        assert chunk_urls(api, SNAPSHOT, name) == computed_urls(api, SNAPSHOT, name)
        assert read(api, SNAPSHOT, name) == data
        assert api.object_head(ACCOUNT, SNAPSHOT, name, trust_level=2)
    api.container.container_enable(ACCOUNT, SNAPSHOT)
    api.container_flush(ACCOUNT, SNAPSHOT)
    assert sorted(chunks_on_disk(namespace)) == before
    for name, data in in_parts.items():
        assert read(api, CONTAINER, name) == data


@pytest.mark.pitfall("W3", "W4")
@computing_urls
def test_only_chunks_that_the_snapshot_names_otherwise_are_noted(
    api: Any, namespace: Namespace, in_parts: dict[str, bytes]
) -> None:
    kept = {
        url
        for name in in_parts
        for url in chunk_urls(api, CONTAINER, name) - computed_urls(api, CONTAINER, name)
    }
    assert kept
    asked: list[dict[str, Any]] = []
    send = api.container.container_raw_update

    def note(old: Any, new: Any, *args: Any, **kwargs: Any) -> None:
        asked.extend([*old])
        send(old, new, *args, **kwargs)

    api.container.container_raw_update = note
    take(api)
    assert {bean["id"] for bean in asked} == kept


@pytest.mark.pitfall("W3")
def test_source_is_asked_no_more_than_before(api: Any, namespace: Namespace) -> None:
    """Where the chunks of the source are follows from the copy, whatever becomes of the source."""
    create(api, "o", LARGE)
    namespace.forget_requests()
    take(api)
    located = [request for request in namespace.requests if "content/locate" in request.target]
    assert len(located) == 1
    assert f"ref={SNAPSHOT}" in located[0].target


@pytest.mark.pitfall("W3")
@computing_urls
def test_chunk_of_another_in_the_place_of_one_of_a_snapshot_ends_it(api: Any, namespace: Namespace) -> None:
    create(api, "o", b"data", policy="THREECOPIES")
    meta, chunks = api.object_locate(ACCOUNT, CONTAINER, "o")
    chunk_id = compute_chunk_id(cid_from_name(ACCOUNT, SNAPSHOT), "o", meta["version"], "0", meta["policy"])
    place = f"{chunks[0]['url'].rpartition('/')[0]}/{chunk_id}"
    api.blob_client.chunk_copy(chunks[0]["url"], place, path="somebody else's")
    before = sorted(chunks_on_disk(namespace))
    with pytest.raises(exc.Conflict, match="409"):
        take(api)
    assert sorted(chunks_on_disk(namespace)) == before
    assert status(api, CONTAINER) == ENABLED
    with pytest.raises(exc.NoSuchContainer):
        api.container_show(ACCOUNT, SNAPSHOT)


@pytest.mark.pitfall("W3")
@computing_urls
def test_other_names_of_chunks_are_not_believed_before_they_are_seen(api: Any, namespace: Namespace) -> None:
    """Of an object whose chunks all have their first URLs, nobody knows whether other IDs are kept."""
    create(api, "o", b"a lot of data", policy="SINGLE")
    api.object_truncate(ACCOUNT, CONTAINER, "o", size=2)
    take(api)
    _forget_snapshot(api)
    before = sorted(chunks_on_disk(namespace))
    with pytest.raises(exc.Conflict, match="in the places of those of object 'o'"):
        take(api)
    assert sorted(chunks_on_disk(namespace)) == before
    assert status(api, CONTAINER) == ENABLED


# --- containers divided among others --------------------------------------------------------------------


@pytest.mark.pitfall("W12")
@computing_urls
def test_snapshot_of_a_divided_container_is_refused_before_anything_is_frozen(
    api: Any, namespace: Namespace
) -> None:
    for name in ("a", "m", "z"):
        create(api, name)
    shards = namespace.shard(ACCOUNT, CONTAINER, "m")
    namespace.forget_requests()
    with pytest.raises(exc.OioException, match=f"'{CONTAINER}' cannot have a snapshot: .* 2 shards"):
        take(api)
    assert routes(namespace) == ["proxy POST container/get_properties"]
    for cid in shards:
        known = api.container.container_get_properties(cid=cid)
        assert known["system"]["sys.status"] == ENABLED
    for name in ("a", "m", "z"):
        create(api, name, b"as before")
