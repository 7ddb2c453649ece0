# SPDX-License-Identifier: Apache-2.0
"""What reads verify, when, and who does it: the client, a chunk server, fragments themselves."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.api.backblaze_http import Backblaze
from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit.buckets import client_of, versions
from tests.kit.facade import ACCOUNT, CONTAINER, create, header, read, routes
from tests.kit.store import spoil

SIZE = 2_500_000
DATA = random.Random(1).randbytes(SIZE)
RANGES = [(10, 99), (1_000_000, 2_000_000), (20, 29)]
PARTS = b"".join(DATA[first : last + 1] for first, last in RANGES)


@pytest.fixture
def namespace(tmp_path: Path, release: str) -> Iterator[Namespace]:
    """Chunks of the usual size."""
    with Namespace(tmp_path / "namespace", rawx=9, release=release) as running:
        yield running


def located(api: Any) -> list[dict[str, Any]]:
    return api.object_locate(ACCOUNT, CONTAINER, "o")[1]  # type: ignore[no-any-return]


def flip(namespace: Namespace, url: str, at: int) -> None:
    """Change a bit of a chunk on its disk."""

    def changed(content: bytes) -> bytes:
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    spoil(namespace, url, changed)


def prefer(namespace: Namespace, url: str) -> None:
    """Let clients read a chunk rather than the other copies."""
    for rawx in namespace.rawx:
        rawx.lock(100 if rawx.address in url else 10)


@pytest.mark.pitfall("A14")
@pytest.mark.parametrize("policy", ["THREECOPIES", "EC"])
@pytest.mark.parametrize("at", [0, 200_000, -1])
def test_damage_of_a_chunk_is_never_noticed_by_who_reads_an_object_that_is_held(
    namespace: Namespace, api: Any, policy: str, at: int
) -> None:
    create(api, "o", DATA, policy=policy)
    damaged = located(api)[0]["url"]
    prefer(namespace, damaged)
    flip(namespace, damaged, at)
    assert read(api, "o") == DATA


@pytest.mark.pitfall("A14")
def test_what_is_larger_than_what_is_held_is_told_as_before(namespace: Namespace, api: Any) -> None:
    create(api, "o", DATA, policy="THREECOPIES")
    damaged = located(api)[0]["url"]
    prefer(namespace, damaged)
    flip(namespace, damaged, 100)
    for limit in (0, SIZE - 1, str(SIZE - 1)):
        with pytest.raises(exc.CorruptedChunk, match=damaged):
            read(api, "o", hold_up_to=limit)
    with namespace.api(hold_up_to=0) as hasty:
        with pytest.raises(exc.CorruptedChunk, match=damaged):
            read(hasty, "o")
        for limit in (SIZE, None, ""):
            assert read(hasty, "o", hold_up_to=limit) == DATA


@pytest.mark.pitfall("A14")
def test_nothing_is_given_of_what_is_held_before_it_is_verified(namespace: Namespace, api: Any) -> None:
    create(api, "o", DATA, policy="THREECOPIES")
    for chunk in located(api):
        flip(namespace, chunk["url"], SIZE - 1)
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")
    with pytest.raises(exc.CorruptedChunk):
        next(stream)


# --- the chunk server verifies its file --------------------------------------------------------------


@pytest.mark.pitfall("A13")
@pytest.mark.parametrize("verify", ["server", "strict"])
def test_range_of_a_damaged_copy_comes_from_another(namespace: Namespace, api: Any, verify: str) -> None:
    create(api, "o", DATA, policy="THREECOPIES")
    damaged = located(api)[0]["url"]
    prefer(namespace, damaged)
    for at in (15, SIZE - 1):
        flip(namespace, damaged, at)
        assert read(api, "o", ranges=RANGES, verify_checksum=verify) == PARTS
    with namespace.api(verify_checksum=verify) as careful:
        assert read(careful, "o", ranges=RANGES) == PARTS


@pytest.mark.pitfall("A13")
def test_server_is_asked_once_for_each_chunk_and_stream(namespace: Namespace, api: Any) -> None:
    create(api, "o", DATA, policy="THREECOPIES")
    good = located(api)[1]["url"]
    prefer(namespace, good)
    namespace.forget_requests()
    assert read(api, "o", ranges=RANGES, verify_checksum="server") == PARTS
    asked = [record for record in namespace.requests if record.service == "rawx"]
    assert [record.method for record in asked] == ["HEAD", "GET", "GET", "GET"]
    assert {record.address for record in asked} == {good.split("/")[2]}
    assert header(asked[0], "x-oio-check-hash") == "True"
    namespace.forget_requests()
    assert read(api, "o", verify_checksum="server") == DATA
    assert read(api, "o", ranges=RANGES) == PARTS
    assert not any(route.startswith("rawx HEAD") for route in routes(namespace))


@pytest.mark.pitfall("A13")
def test_copy_that_is_not_that_of_the_object_is_not_trusted(namespace: Namespace, api: Any) -> None:
    """Its server finds that it has the checksum that was stored with it: the object knows another."""
    create(api, "o", DATA, policy="SINGLE")
    (chunk,) = located(api)
    meta = api.blob_client.chunk_head(chunk["url"])
    api.blob_client.chunk_delete(chunk["url"])
    other = bytes(SIZE)
    del meta["chunk_hash"], meta["chunk_size"]
    api.blob_client.chunk_put(chunk["url"], meta, [other])
    api.blob_client.chunk_head(chunk["url"], check_hash=True)
    with pytest.raises(exc.CorruptedChunk, match=chunk["url"]):
        read(api, "o", ranges=RANGES, verify_checksum="server")


@pytest.mark.pitfall("A13")
def test_ranges_of_which_every_copy_is_damaged_are_told(namespace: Namespace, api: Any) -> None:
    create(api, "o", DATA, policy="THREECOPIES")
    urls = [chunk["url"] for chunk in located(api)]
    for url in urls:
        flip(namespace, url, 2_000_000)
    with pytest.raises(exc.CorruptedChunk) as caught:
        read(api, "o", ranges=[(0, 9)], verify_checksum="server")
    assert all(url in str(caught.value) for url in urls)
    down = Fault("status", address=urls[0].split("/")[2])
    with namespace.faults(down), pytest.raises(exc.ServiceUnavailable):
        read(api, "o", ranges=[(0, 9)], verify_checksum="server")


@pytest.mark.pitfall("A13")
@pytest.mark.parametrize("action", ["reset", "status", "truncate"])
def test_server_that_cannot_verify_is_a_failed_source(namespace: Namespace, api: Any, action: str) -> None:
    create(api, "o", DATA, policy="THREECOPIES")
    first = located(api)[0]["url"]
    prefer(namespace, first)
    trouble = Fault(action, operation="HEAD", address=first.split("/")[2], phase="head")
    if action == "status":
        trouble = Fault(action, operation="HEAD", address=first.split("/")[2])
    with namespace.faults(trouble) as plan:
        assert read(api, "o", ranges=RANGES, verify_checksum="server") == PARTS
    plan.assert_met()


@pytest.mark.pitfall("A13")
@pytest.mark.parametrize("policy", ["EC", "EC21", "ECISAL63"])
@pytest.mark.parametrize("verify", [True, "server", False])
def test_range_of_damaged_fragments_is_repaired(
    namespace: Namespace, api: Any, policy: str, verify: Any
) -> None:
    """Each fragment is verified by itself, against the checksum in its head."""
    create(api, "o", DATA, policy=policy)
    chunk = next(chunk for chunk in located(api) if chunk["pos"] == "0.0")
    for at in (90, 100, 170_000):
        flip(namespace, chunk["url"], at)
        assert read(api, "o", ranges=RANGES, verify_checksum=verify) == PARTS


@pytest.mark.parametrize("value", ["Strict", "yes", "none", "client"])
def test_verification_that_is_not_known_is_refused(offline_api: Any, value: str) -> None:
    with pytest.raises(ValueError, match="verify_checksum must be True, False, 'strict' or 'server'"):
        offline_api.object_fetch(ACCOUNT, CONTAINER, "o", verify_checksum=value)


@pytest.mark.parametrize("value", [-1, "many", [5]])
def test_limit_of_what_is_held_must_be_a_number_of_bytes(offline_api: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="hold_up_to must"):
        offline_api.object_fetch(ACCOUNT, CONTAINER, "o", hold_up_to=value)


@pytest.mark.parametrize("value", ["drop", True, 416])
def test_what_to_do_with_ranges_after_the_end_must_be_known(offline_api: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="on_unsatisfiable must be 'skip' or 'raise'"):
        offline_api.object_fetch(ACCOUNT, CONTAINER, "o", on_unsatisfiable=value)


# --- what is missing ---------------------------------------------------------------------------------


def create_and_locate(api: Any, policy: str) -> list[dict[str, Any]]:
    create(api, "o", DATA, policy=policy)
    return located(api)


@pytest.mark.pitfall("A12")
@pytest.mark.parametrize("policy", ["THREECOPIES", "EC"])
def test_chunk_that_was_never_written_is_missing(namespace: Namespace, api: Any, policy: str) -> None:
    expected = len(create_and_locate(api, policy))
    with namespace.faults(Fault("status", service="rawx", operation="PUT", nth=1)) as plan:
        assert len(create_and_locate(api, policy)) == expected - 1
    plan.assert_met()
    levels = [api.object_head(ACCOUNT, CONTAINER, "o", trust_level=level) for level in (0, 1, 2)]
    assert levels == [True, True, False]
    assert read(api, "o") == DATA


@pytest.mark.pitfall("A12")
def test_fragments_of_one_index_count_once(namespace: Namespace, api: Any) -> None:
    create(api, "o", DATA, policy="EC")
    chunks = located(api)
    last = next(chunk for chunk in chunks if chunk["pos"] == "0.8")
    rows = [
        {
            "type": "chunk",
            "content": api.object_get_properties(ACCOUNT, CONTAINER, "o")["id"],
            "id": last["url"],
        }
        | {key: last[key] for key in ("pos", "size", "hash")}
    ]
    api.container.container_raw_update(rows, [rows[0] | {"pos": "0.7"}], ACCOUNT, CONTAINER)
    assert [chunk["pos"] for chunk in located(api)].count("0.7") == 2
    assert api.object_head(ACCOUNT, CONTAINER, "o", trust_level=1)
    assert not api.object_head(ACCOUNT, CONTAINER, "o", trust_level=2)


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("policy", ["THREECOPIES", "EC"])
def test_chunk_that_was_cut_short_is_missing(tmp_path: Path, release: str, policy: str) -> None:
    with Namespace(tmp_path, rawx=9, release=release) as namespace, namespace.api() as api:
        create(api, "empty", b"", policy=policy)
        assert api.object_head(ACCOUNT, CONTAINER, "empty", trust_level=2)
        chunks = create_and_locate(api, policy)
        # A connection may end early for another reason.
        with namespace.faults(Fault("truncate", service="rawx", operation="GET", after_bytes=0, nth=1)):
            assert api.object_head(ACCOUNT, CONTAINER, "o", trust_level=2)
        spoil(namespace, chunks[-1]["url"], lambda content: content[:-1])
        levels = [api.object_head(ACCOUNT, CONTAINER, "o", trust_level=level) for level in (0, 1, 2)]
        assert levels == [True, True, False]
        for chunk in chunks[:-1]:
            spoil(namespace, chunk["url"], lambda content: content[:-1])
        assert not api.object_head(ACCOUNT, CONTAINER, "o", trust_level=1)


# --- Backblaze ---------------------------------------------------------------------------------------


@pytest.mark.on_release("7.3")
@pytest.mark.pitfall("A6")
@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b""])
def test_page_of_another_server_is_not_the_object(namespace: Namespace, body: bytes) -> None:
    page = Fault("status", service="b2", operation="download", status=200, body=body)
    with client_of(namespace) as api:
        create(api, "o", b"hello", policy="BACKBLAZE")
        with namespace.faults(page):
            for ranges in (None, [(0, 3)]):
                with pytest.raises(exc.OioProtocolError, match="X-Bz-File-Id"):
                    read(api, "o", ranges=ranges)
            with pytest.raises(exc.OioProtocolError, match="X-Bz-File-Id"):
                api.object_head(ACCOUNT, CONTAINER, "o", trust_level=2)
        assert api.object_head(ACCOUNT, CONTAINER, "o", trust_level=2)


@pytest.mark.on_release("7.3")
@pytest.mark.pitfall("A6")
@pytest.mark.parametrize("size", [3, 7])
def test_file_of_another_size_is_not_the_object(namespace: Namespace, size: int) -> None:
    with client_of(namespace) as api:
        create(api, "o", b"hello", policy="BACKBLAZE")
        (file,) = versions(namespace)
        key = namespace.b2.application_key
        with Backblaze(namespace.b2.account_id, key, api_url=namespace.b2_endpoint) as backblaze:
            backblaze.put(namespace.b2.bucket_name, file.name, bytes(size))
        for options in ({}, {"verify_checksum": False}, {"ranges": [(0, 1)]}):
            with pytest.raises(exc.CorruptedChunk, match=f"has {size} bytes, not 5"):
                read(api, "o", **options)
        assert not api.object_head(ACCOUNT, CONTAINER, "o", trust_level=1)
        assert not api.object_head(ACCOUNT, CONTAINER, "o", trust_level=2)
