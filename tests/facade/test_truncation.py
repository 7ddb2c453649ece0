# SPDX-License-Identifier: Apache-2.0
"""Truncated objects hold their own beginning, stored as they were, and nothing is left of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, chunks_on_disk, create, header, read, routes

CHUNK_SIZE = 1000
"""Small, for objects of many metachunks: those of EC21 have 2000 bytes, those of 6+3 have 6000."""
DATA = bytes(number % 251 for number in range(20_000))


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    with Namespace(
        tmp_path_factory.mktemp("namespace"), rawx=9, chunk_size=CHUNK_SIZE, default_policy="TWOCOPIES"
    ) as running:
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


# --- refusals ----------------------------------------------------------------------------------------


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
