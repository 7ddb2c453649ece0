# SPDX-License-Identifier: Apache-2.0
"""The object storage API with erasure-coded policies, from the first byte to the repair of a lost chunk."""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.api.ec import ECRebuildHandler
from oio.common import exceptions as exc
from oio.common.storage_method import STORAGE_METHODS
from oio.sandbox import Namespace
from tests.kit.facade import ACCOUNT, CHUNK_SIZE, CONTAINER, chunks_on_disk, create, read
from tests.kit.garbage import garbage_of

POLICIES = {"EC": (6, 3), "ECISAL63": (6, 3), "EC21": (2, 1)}
SEGMENT = 1 << 20
#: Two metachunks of 6+3 and five of 2+1, whose size is that of k chunks of 256 KiB.
LARGE = random.Random(1).randbytes(2 * SEGMENT + 4)

everywhere = pytest.mark.parametrize("policy", POLICIES)


@pytest.fixture
def namespace(tmp_path: Path, release: str) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=10, chunk_size=CHUNK_SIZE, release=release) as running:
        yield running


def located(api: Any, name: str, **kwargs: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The description of an object, and its chunks in the order of their positions."""
    meta, chunks = api.object_locate(ACCOUNT, CONTAINER, name, **kwargs)
    return meta, sorted(chunks, key=position)


def position(chunk: dict[str, Any]) -> tuple[int, int]:
    metachunk, _, index = chunk["pos"].partition(".")
    return int(metachunk), int(index)


def lose(api: Any, chunks: list[dict[str, Any]]) -> None:
    """Delete chunks from their rawx behind the back of the namespace."""
    for chunk in chunks:
        api.blob_client.chunk_delete(chunk["url"])


def test_fragments_of_a_degraded_read_are_not_left_to_the_garbage_collector(
    api: Any, namespace: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    """They would add up to tens of MiB between two collections."""
    caplog.set_level(logging.CRITICAL, logger="oio")  # captured records would keep the failures
    create(api, "o", LARGE, policy="EC")
    lose(api, located(api, "o")[1][:1])
    assert read(api, "o") == LARGE
    assert garbage_of(lambda _api: read(api, "o"), api) == []


@everywhere
@pytest.mark.parametrize("size", [0, 1, 600, SEGMENT - 1, SEGMENT, SEGMENT + 1, len(LARGE)])
def test_objects_of_any_size(api: Any, namespace: Namespace, policy: str, size: int) -> None:
    k, m = POLICIES[policy]
    meta = create(api, "o", LARGE[:size], policy=policy)
    assert meta["policy"] == policy
    assert read(api, "o") == LARGE[:size]
    _, chunks = located(api, "o")
    metachunk_size = min(SEGMENT, k * CHUNK_SIZE)
    positions = [(pos, index) for pos in range(max(1, -(-size // metachunk_size))) for index in range(k + m)]
    assert list(map(position, chunks)) == positions
    assert len({(position(chunk)[0], chunk["real_url"].split("/")[2]) for chunk in chunks}) == len(chunks)
    api.object_delete(ACCOUNT, CONTAINER, "o")
    assert chunks_on_disk(namespace) == []


@everywhere
def test_head_looks_at_as_many_chunks_as_are_needed(api: Any, policy: str) -> None:
    k, m = POLICIES[policy]
    create(api, "o", LARGE, policy=policy)

    def head(trust_level: int) -> bool:
        return api.object_head(ACCOUNT, CONTAINER, "o", trust_level=trust_level)  # type: ignore[no-any-return]

    assert [head(0), head(1), head(2)] == [True, True, True]
    _, chunks = located(api, "o")
    lose(api, chunks[:m])
    assert [head(0), head(1), head(2)] == [True, True, False]
    lose(api, chunks[m : m + 1])
    assert [head(0), head(1), head(2)] == [True, False, False]
    assert k + m < len(chunks)


@pytest.mark.pitfall(128)
@pytest.mark.parametrize("policy", [*POLICIES, None])
def test_what_is_appended_is_coded_as_the_object_is(api: Any, policy: str | None) -> None:
    create(api, "o", LARGE, policy="EC")
    create(api, "o", b"tail", policy=policy, append=True)
    assert read(api, "o") == LARGE + b"tail"
    meta, chunks = located(api, "o")
    assert meta["policy"] == "EC"
    assert list(map(position, chunks))[-9:] == [(3, index) for index in range(9)]


@everywhere
def test_locate_describes_what_is_on_the_disks(api: Any, policy: str) -> None:
    k, _ = POLICIES[policy]
    create(api, "o", LARGE[:SEGMENT], policy=policy)
    _, chunks = located(api, "o", chunk_info=True)
    driver = STORAGE_METHODS.load(located(api, "o")[0]["chunk_method"]).driver  # type: ignore[attr-defined]
    expected = driver.get_segment_info(chunks[0]["size"], chunks[0]["size"])["fragment_size"]
    assert {int(chunk["chunk_size"]) for chunk in chunks[:k]} == {expected}
    assert all(chunk["chunk_hash"] != chunk["hash"] for chunk in chunks)
    lose(api, chunks[:1])
    described = located(api, "o", chunk_info=True)[1]
    assert "404" in described[0]["error"]
    assert not any("error" in chunk for chunk in described[1:])


def rebuild(api: Any, chunk: dict[str, Any], others: list[dict[str, Any]], **kwargs: Any) -> Any:
    storage_method = STORAGE_METHODS.load(located(api, "o")[0]["chunk_method"])
    return ECRebuildHandler(others, position(chunk)[1], storage_method, **kwargs).rebuild()


def shared(meta: dict[str, str]) -> dict[str, Any]:
    """What the description of a chunk has in common with that of another in its place."""
    # A server of today gives the parameters in any order.
    method = sorted(re.split("[/,]", meta["content_chunkmethod"]))
    own = {"chunk_id", "chunk_mtime", "content_chunkmethod"}
    return {"method": method, **{key: value for key, value in meta.items() if key not in own}}


@everywhere
@pytest.mark.pitfall(117)
def test_a_lost_chunk_is_rebuilt_in_another_place(api: Any, namespace: Namespace, policy: str) -> None:
    k, m = POLICIES[policy]
    create(api, "o", LARGE, policy=policy)
    meta, chunks = located(api, "o")
    lost, others = chunks[0], chunks[1 : k + m]
    meta_of_lost, stream = api.blob_client.chunk_get(lost["url"])
    content = b"".join(stream)
    lose(api, [lost])

    size, fragments = rebuild(api, lost, others)
    spare = api.container.content_spare(
        ACCOUNT,
        CONTAINER,
        "o",
        {"notin": others, "broken": [lost]},
        stgpol=policy,
        position=lost["pos"],
        # Services of today compute the place of the chunk of it.
        version=meta["version"],
    )
    place = spare["chunks"][0]["id"]
    chunk_meta = {**api.blob_client.chunk_head(others[0]["url"]), "chunk_pos": lost["pos"]}
    for of_another in ("chunk_id", "chunk_hash", "chunk_size"):
        del chunk_meta[of_another]
    assert api.blob_client.chunk_put(place, chunk_meta, fragments)[0] == size == len(content)
    bean = {
        "type": "chunk",
        "content": meta["id"],
        "pos": lost["pos"],
        "size": lost["size"],
        "hash": lost["hash"],
    }
    api.container.container_raw_update(
        [{**bean, "id": lost["url"]}], [{**bean, "id": place}], ACCOUNT, CONTAINER
    )

    stored, stream = api.blob_client.chunk_get(place)
    assert b"".join(stream) == content
    assert shared(stored) == shared(meta_of_lost)
    api.blob_client.chunk_head(place, check_hash=True)
    assert api.object_head(ACCOUNT, CONTAINER, "o", trust_level=2)
    # Only with the new chunk is there enough to read.
    lose(api, others[:m])
    assert read(api, "o") == LARGE


@pytest.mark.pitfall(115)
def test_a_place_that_holds_the_chunk_already_is_refused_and_may_be_verified(api: Any) -> None:
    create(api, "o", LARGE[:1000], policy="EC21")
    _, (first, *others) = located(api, "o")
    meta = api.blob_client.chunk_head(first["url"])
    size, fragments = rebuild(api, first, others)
    with pytest.raises(exc.Conflict):
        api.blob_client.chunk_put(first["url"], meta, fragments)
    assert int(api.blob_client.chunk_head(first["url"], check_hash=True)["chunk_size"]) == size


@pytest.mark.pitfall(116)
def test_a_rebuild_leaves_nothing_open_when_its_result_is_not_used(api: Any, namespace: Namespace) -> None:
    create(api, "o", LARGE[:1000], policy="EC")
    _, (first, *others) = located(api, "o")
    _, fragments = rebuild(api, first, others)
    assert iter(fragments) is fragments
    api.close()
    namespace.stop()
    assert namespace.open_connections("rawx") == 0
