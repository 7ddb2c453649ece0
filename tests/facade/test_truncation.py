# SPDX-License-Identifier: Apache-2.0
"""Truncated objects hold their own beginning, stored as they were, and nothing is left of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oio.common import exceptions as exc
from oio.sandbox import Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, chunks_on_disk, create, header, read, routes

CHUNK_SIZE = 1000
"""Small, for objects of many metachunks: those of EC21 have 2000 bytes, those of 6+3 have 6000."""
METACHUNK = {
    "SINGLE": 1000,
    "TWOCOPIES": 1000,
    "THREECOPIES": 1000,
    "EC21": 2000,
    "EC": 6000,
    "ECISAL63": 6000,
}
DATA = bytes(number % 251 for number in range(20_000))

everywhere = pytest.mark.parametrize("policy", METACHUNK)


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    with Namespace(rawx=9, chunk_size=CHUNK_SIZE, default_policy="TWOCOPIES") as running:
        yield running


@pytest.fixture
def api(namespace: Namespace) -> Iterator[Any]:
    with namespace.api() as client:
        yield client
        client.container_flush(ACCOUNT, CONTAINER)
    assert chunks_on_disk(namespace) == []


def truncate(api: Any, name: str, size: int, **kwargs: Any) -> None:
    assert api.object_truncate(ACCOUNT, CONTAINER, name, size=size, **kwargs) is None


def listed(api: Any, name: str, **kwargs: Any) -> list[str]:
    """IDs of the chunks of an object."""
    _, chunks = api.object_locate(ACCOUNT, CONTAINER, name, **kwargs)
    return [chunk["url"].rpartition("/")[2] for chunk in chunks]


def assert_is(namespace: Namespace, api: Any, name: str, data: bytes, policy: str) -> None:
    """The object has these data, this policy, and all chunks that there are."""
    meta = api.object_get_properties(ACCOUNT, CONTAINER, name)
    assert (int(meta["length"]), meta["policy"]) == (len(data), policy)
    assert read(api, name, verify_checksum="strict") == data
    assert sorted(listed(api, name)) == sorted(chunks_on_disk(namespace))
    system = api.container_get_properties(ACCOUNT, CONTAINER)["system"]
    assert system["sys.m2.usage"] == str(len(data))


@pytest.mark.pitfall(128, 129, 159)
@settings(max_examples=25, deadline=None)
@given(
    policy=st.sampled_from(sorted({*METACHUNK, "ECISAL63", "TWOCOPIES"})),
    pieces=st.lists(st.integers(0, 5000), min_size=1, max_size=4),
    fractions=st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
def test_any_object_cut_anywhere_is_its_own_beginning(
    namespace: Namespace, policy: str, pieces: list[int], fractions: list[float]
) -> None:
    with namespace.api() as api:
        size = pieces[0]
        create(api, "o", DATA[:size], policy=policy)
        for piece in pieces[1:]:
            create(api, "o", DATA[size : size + piece], append=True)
            size += piece
        for fraction in fractions:
            size = int(size * fraction)
            truncate(api, "o", size)
            assert_is(namespace, api, "o", DATA[:size], policy)
        create(api, "o", b"more", append=True)
        assert_is(namespace, api, "o", DATA[:size] + b"more", policy)
        api.object_delete(ACCOUNT, CONTAINER, "o")
    assert chunks_on_disk(namespace) == []


@everywhere
@pytest.mark.pitfall(129)
def test_cut_between_two_metachunks_moves_no_data(api: Any, namespace: Namespace, policy: str) -> None:
    create(api, "o", DATA[: 3 * METACHUNK[policy]], policy=policy)
    stored = set(listed(api, "o"))
    for metachunks in (3, 2, 1):
        size = METACHUNK[policy] * metachunks
        namespace.forget_requests()
        truncate(api, "o", size)
        assert routes(namespace)[:2] == ["proxy GET content/locate", "proxy POST content/truncate"]
        # Those that the namespace deletes itself.
        assert {record.method for record in namespace.requests if record.service == "rawx"} <= {"DELETE"}
        assert_is(namespace, api, "o", DATA[:size], policy)
        assert set(listed(api, "o")) <= stored


@everywhere
@pytest.mark.pitfall(128, 145)
def test_cut_inside_a_metachunk_stores_its_beginning_again_and_nothing_else(
    api: Any, namespace: Namespace, policy: str
) -> None:
    create(api, "o", DATA[: 3 * METACHUNK[policy]], policy=policy, properties={"k": "v"})
    before = api.object_get_properties(ACCOUNT, CONTAINER, "o")
    stored = listed(api, "o")
    for metachunks in (2, 1, 0):
        size = METACHUNK[policy] * metachunks + 7
        namespace.forget_requests()
        truncate(api, "o", size)
        puts = [record for record in namespace.requests if record.method == "PUT"]
        positions = {str(header(record, "x-oio-chunk-meta-chunk-pos")).partition(".")[0] for record in puts}
        assert positions == {str(metachunks)}
        assert {header(record, "x-oio-chunk-meta-content-storage-policy") for record in puts} == {policy}
        (update,) = [record for record in namespace.requests if "content/update" in record.target]
        assert header(update, "x-oio-content-meta-id") == before["id"]
        assert_is(namespace, api, "o", DATA[:size], policy)
        assert len(set(listed(api, "o")) & set(stored)) == len(stored) * metachunks // 3
        after = api.object_get_properties(ACCOUNT, CONTAINER, "o")
        changed = {key for key in before if after[key] != before[key]} - {"mtime"}
        assert changed == {"hash", "length", "size"}


@everywhere
@pytest.mark.pitfall(159)
@pytest.mark.parametrize("size", [0, 1, 7000])
def test_objects_can_be_made_empty(api: Any, namespace: Namespace, policy: str, size: int) -> None:
    create(api, "o", DATA[:size], policy=policy)
    for _ in range(2):
        truncate(api, "o", 0)
        assert_is(namespace, api, "o", b"", policy)


def test_all_that_there_is_may_remain(api: Any, namespace: Namespace) -> None:
    create(api, "o", DATA[:2500])
    before = listed(api, "o")
    truncate(api, "o", 2500)
    assert sorted(listed(api, "o")) == sorted(before)
    assert_is(namespace, api, "o", DATA[:2500], "TWOCOPIES")


def test_metachunks_of_another_chunk_size_can_be_cut(api: Any, namespace: Namespace) -> None:
    """A namespace may get smaller chunks than it had."""
    create(api, "o", DATA[:1000])
    meta, chunks = api.object_locate(ACCOUNT, CONTAINER, "o")
    with Namespace(rawx=3, chunk_size=300) as other, other.api() as api_of_other:
        create(api_of_other, "o", b"")
        target = (ACCOUNT, CONTAINER, "o")
        found, _ = api_of_other.object_locate(*target)
        # As if it had been stored before: with a chunk of three times the size that chunks have now.
        api_of_other.container.content_update(
            *target, size=1000, chunks=chunks, content_id=found["id"], stgpol="THREECOPIES"
        )
        truncate(api_of_other, "o", 950)
        assert read(api_of_other, "o") == DATA[:950]
        _, chunks = api_of_other.object_locate(*target)
        assert {chunk["pos"] for chunk in chunks} == {"0", "1", "2", "3"}
    assert meta["length"] == "1000"


# --- versions, IDs -----------------------------------------------------------------------------------


@pytest.mark.pitfall(119)
@pytest.mark.parametrize("kind", [int, str])
def test_version_of_an_object_is_cut_alone(api: Any, kind: Any) -> None:
    api.container_create(ACCOUNT, CONTAINER)
    api.container_set_properties(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    old = create(api, "o", DATA[:2500])["version"]
    create(api, "o", DATA[5000:7500])
    for size in (2200, 1000, 0):
        truncate(api, "o", size, version=kind(old))
        assert read(api, "o", version=old) == DATA[:size]
    assert read(api, "o") == DATA[5000:7500]
    api.container_set_properties(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "1"})


@pytest.mark.parametrize("size", [0, 900, 1000, 1200])
@pytest.mark.pitfall(119, 146)
def test_object_is_named_by_its_ids(api: Any, namespace: Namespace, size: int) -> None:
    created = create(api, "o", DATA[:2500], policy="SINGLE")
    cid = created["container_id"].lower()
    api.object_truncate(None, None, "o", size=2400, cid=cid)
    assert_is(namespace, api, "o", DATA[:2400], "SINGLE")
    api.object_truncate(None, None, None, size=size, cid=cid, content_id=created["id"])
    assert_is(namespace, api, "o", DATA[:size], "SINGLE")


# --- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2501, 10**9])
def test_growing_is_refused(api: Any, namespace: Namespace, size: int) -> None:
    create(api, "o", DATA[:2500])
    namespace.forget_requests()
    with pytest.raises(exc.OioException, match=f"position {size}: .* object of 2500 bytes") as caught:
        truncate(api, "o", size)
    assert type(caught.value) is exc.OioException
    assert routes(namespace) == ["proxy GET content/locate"]
    assert_is(namespace, api, "o", DATA[:2500], "TWOCOPIES")


@pytest.mark.pitfall(157)
@pytest.mark.parametrize("size", [0, 2])
def test_what_has_no_data_is_not_cut(api: Any, namespace: Namespace, size: int) -> None:
    """The real service crashes when it is asked to cut a delete marker."""
    container = "versioned"
    api.container_create(ACCOUNT, container, system={"sys.m2.policy.version": "-1"})
    api.object_create(ACCOUNT, container, obj_name="o", data=b"data")
    api.object_delete(ACCOUNT, container, "o")
    marker = api.object_list(ACCOUNT, container, versions=True)["objects"][0]
    assert marker["deleted"]
    create(api, "drained")
    api.object_drain(ACCOUNT, CONTAINER, "drained")
    namespace.forget_requests()
    for version in (None, marker["version"]):
        with pytest.raises(exc.NoSuchObject):
            api.object_truncate(ACCOUNT, container, "o", size=size, version=version)
    with pytest.raises(exc.ContentDrained):
        truncate(api, "drained", size)
    assert set(routes(namespace)) == {"proxy GET content/locate"}
    api.container_flush(ACCOUNT, container)


def test_what_does_not_exist_is_not_cut(api: Any) -> None:
    create(api, "o")
    with pytest.raises(exc.NoSuchObject):
        truncate(api, "nothing", 1)
    with pytest.raises(exc.NoSuchObject):
        truncate(api, "o", 1, version=42)
    with pytest.raises(exc.NoSuchContainer):
        api.object_truncate(ACCOUNT, "nothing", "o", size=1)
    # The client creates containers with objects, but not here.
    with pytest.raises(exc.NoSuchContainer):
        api.container_show(ACCOUNT, "nothing")


# --- what is read is verified ------------------------------------------------------------------------


def damage(namespace: Namespace, chunk: str) -> None:
    """Change the last byte of a chunk on the disk of its rawx."""
    (path,) = [path for rawx in namespace.rawx for path in rawx.volume.rglob(chunk)]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.pitfall(126)
def test_damaged_data_are_not_stored_again_as_sound_ones(api: Any, namespace: Namespace) -> None:
    create(api, "o", DATA[:1000], policy="SINGLE")
    damage(namespace, *listed(api, "o"))
    with pytest.raises(exc.CorruptedChunk):
        truncate(api, "o", 999)
    assert sorted(listed(api, "o")) == sorted(chunks_on_disk(namespace))
    # Who looks at no checksum can keep what is before the damage, and reads no more.
    namespace.forget_requests()
    truncate(api, "o", 999, verify_checksum=False)
    assert [header(record, "range") for record in namespace.requests if record.method == "GET"] == [
        None,
        "bytes=0-998",
    ]
    assert_is(namespace, api, "o", DATA[:999], "SINGLE")


@pytest.mark.pitfall(126)
def test_sound_copy_is_cut_in_place_of_a_damaged_one(api: Any, namespace: Namespace) -> None:
    create(api, "o", DATA[:1000], policy="THREECOPIES")
    for chunk in listed(api, "o")[:2]:
        damage(namespace, chunk)
    truncate(api, "o", 999)
    assert_is(namespace, api, "o", DATA[:999], "THREECOPIES")
