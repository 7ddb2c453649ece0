# SPDX-License-Identifier: Apache-2.0
"""Objects whose chunks have BLAKE3 checksums, MD5 ones, or both, on services of either release."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from oio.api.ec import ECRebuildHandler
from oio.common import exceptions as exc
from oio.common.fullpath import encode_fullpath
from oio.common.storage_method import STORAGE_METHODS
from oio.sandbox import Namespace
from tests.kit.byhand import write_by_hand
from tests.kit.facade import ACCOUNT, CHUNK_SIZE, CONTAINER, LARGE, chunks_on_disk, create, header, read
from tests.kit.store import spoil

DATA = LARGE[: CHUNK_SIZE + 5000]
"""Two metachunks of copies."""
POLICIES = ["THREECOPIES", "EC"]
KINDS = [("7.3", "md5"), ("2026", "md5"), ("2026", "blake3")]
"""Release of the services, and what is asked of the client."""
DIGITS = {"md5": 32, "blake3": 64}
COMPUTED: dict[str, Callable[[bytes], str]] = {
    "md5": lambda data: hashlib.md5(data).hexdigest(),
    "blake3": lambda data: blake3(data).hexdigest(),
}
METHODS = {
    ("SINGLE", "md5"): "plain/nb_copy=1",
    ("THREECOPIES", "md5"): "plain/nb_copy=3",
    ("EC", "md5"): "ec/algo=liberasurecode_rs_vand,k=6,m=3",
    ("SINGLE", "blake3"): "plain/cca=blake3,nb_copy=1,oca=md5",
    ("THREECOPIES", "blake3"): "plain/cca=blake3,nb_copy=3,oca=md5",
    ("EC", "blake3"): "ec/algo=liberasurecode_rs_vand,cca=blake3,k=6,m=3,oca=md5",
}
RANGES = [(10, 99), (CHUNK_SIZE - 50, CHUNK_SIZE + 49)]
PARTS = b"".join(DATA[first : last + 1] for first, last in RANGES)


@pytest.fixture(params=KINDS, ids="-".join)
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def namespace(tmp_path: Path, kind: tuple[str, str]) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=9, chunk_size=CHUNK_SIZE, release=kind[0]) as running:
        yield running


@pytest.fixture
def algorithm(kind: tuple[str, str]) -> str:
    return kind[1]


@pytest.fixture
def api(namespace: Namespace, algorithm: str) -> Iterator[Any]:
    with namespace.api(key_file=None, chunk_checksum_algo=algorithm) as client:
        yield client


def located(api: Any, name: str = "o") -> list[dict[str, Any]]:
    return api.object_locate(ACCOUNT, CONTAINER, name)[1]  # type: ignore[no-any-return]


def flip(namespace: Namespace, url: str, at: int = 20) -> None:
    """Change a bit of a chunk on its disk."""

    def changed(data: bytes) -> bytes:
        place = at % len(data)
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    spoil(namespace, url, changed)


def prefer(namespace: Namespace, url: str) -> None:
    """Let clients read a chunk rather than the other copies."""
    for rawx in namespace.rawx:
        rawx.lock(100 if rawx.address in url else 10)


def puts(namespace: Namespace) -> list[Any]:
    return [record for record in namespace.requests if (record.service, record.method) == ("rawx", "PUT")]


# --- writing -----------------------------------------------------------------------------------------


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("policy", ["SINGLE", *POLICIES])
def test_chunk_method_names_blake3_only_where_it_is_asked_for(
    namespace: Namespace, api: Any, algorithm: str, policy: str
) -> None:
    expected = METHODS[policy, algorithm]
    meta = create(api, "o", DATA, policy=policy)
    assert meta["chunk_method"] == expected
    assert api.object_get_properties(ACCOUNT, CONTAINER, "o")["chunk_method"] == expected
    assert {header(put, "x-oio-chunk-meta-content-chunk-method") for put in puts(namespace)} == {expected}


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("policy", POLICIES)
def test_checksums_are_of_the_bytes_and_the_algorithm_that_they_should_be(
    namespace: Namespace, api: Any, algorithm: str, policy: str
) -> None:
    chunks, size, md5 = api.object_create(ACCOUNT, CONTAINER, obj_name="o", data=DATA[:65], policy=policy)
    assert (size, md5) == (65, hashlib.md5(DATA[:65]).hexdigest())
    compute = COMPUTED[algorithm]
    assert {chunk["hash"] for chunk in chunks} == {compute(DATA[:65])}
    assert {chunk["hash"].lower() for chunk in located(api)} == {compute(DATA[:65])}
    for chunk in located(api):
        meta, blocks = api.blob_client.chunk_get(chunk["url"])
        assert meta["chunk_hash"].lower() == compute(b"".join(blocks))
    assert api.object_get_properties(ACCOUNT, CONTAINER, "o")["hash"] == md5.upper()


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("kind", [("2026", "blake3")], indirect=True)
@pytest.mark.parametrize("policy", ["THREECOPIES", "EC"])
def test_checksums_are_sent_as_other_clients_of_today_do(namespace: Namespace, api: Any, policy: str) -> None:
    create(api, "o", b"hello openio " * 5, policy=policy)
    digest = "3b27ff3a1997b6c3809782ca97b82646588d15dc9d4b62f78a1c2ccd10745db3"
    assert {chunk["hash"].lower() for chunk in located(api)} == {digest}
    meta = "x-oio-chunk-meta-"
    announced = f"{meta}metachunk-size, {meta}metachunk-hash, {meta}chunk-hash" if policy == "EC" else None
    assert {header(put, "trailer") for put in puts(namespace)} == {announced}
    assert {header(put, f"{meta}chunk-hash") for put in puts(namespace)} == {None}


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("kind", [("2026", "md5")], indirect=True)
@pytest.mark.parametrize("policy", POLICIES)
def test_blake3_is_chosen_for_one_call(namespace: Namespace, api: Any, policy: str) -> None:
    assert (
        create(api, "o", DATA, policy=policy, chunk_checksum_algo="BLAKE3")["chunk_method"]
        == (METHODS[policy, "blake3"])
    )
    assert create(api, "p", DATA, policy=policy)["chunk_method"] == METHODS[policy, "md5"]
    assert read(api, "o", verify_checksum="strict") == read(api, "p", verify_checksum="strict") == DATA


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("kind", [("7.3", "blake3")], indirect=True)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("size", [0, 65, len(DATA)])
def test_blake3_is_refused_where_chunk_servers_compute_md5(
    namespace: Namespace, api: Any, policy: str, size: int
) -> None:
    with pytest.raises(exc.ChecksumRefused, match="chunk_checksum_algo must be 'md5' or None, not 'blake3'"):
        create(api, "o", DATA[:size], policy=policy)
    assert chunks_on_disk(namespace) == []
    with pytest.raises((exc.NoSuchContainer, exc.NoSuchObject)):
        located(api)
    create(api, "o", DATA, policy=policy, chunk_checksum_algo="md5")
    before = sorted(chunks_on_disk(namespace))
    with pytest.raises(exc.ChecksumRefused):
        create(api, "o", b"more", append=True)
    assert sorted(chunks_on_disk(namespace)) == before
    assert read(api, "o", verify_checksum="strict") == DATA


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("kind", [("2026", "md5")], indirect=True)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("first", ["md5", "blake3"])
def test_data_are_appended_to_objects_of_either_algorithm(
    namespace: Namespace, api: Any, policy: str, first: str
) -> None:
    create(api, "o", DATA, policy=policy, chunk_checksum_algo=first)
    before = len(located(api))
    for algorithm in ("md5", "blake3"):
        create(api, "o", b"tail", append=True, chunk_checksum_algo=algorithm)
    expected = DATA + 2 * b"tail"
    meta = api.object_get_properties(ACCOUNT, CONTAINER, "o")
    assert meta["chunk_method"] == METHODS[policy, first]
    chunks = sorted(located(api), key=lambda chunk: int(chunk["pos"].partition(".")[0]))
    assert {len(chunk["hash"]) for chunk in chunks[:before]} == {DIGITS[first]}
    assert {len(chunk["hash"]) for chunk in chunks[before:]} == {32, 64}
    for options in ({}, {"verify_checksum": "strict"}, {"verify_checksum": "server"}):
        assert read(api, "o", **options) == expected
        assert read(api, "o", ranges=[(5, 9), (len(DATA) - 1, len(DATA) + 5)], **options) == (
            expected[5:10] + expected[len(DATA) - 1 : len(DATA) + 6]
        )
    # A range of the last metachunk only: of BLAKE3 chunks.
    for url in [chunk["url"] for chunk in chunks if chunk["pos"].partition(".")[0] == chunks[-1]["pos"][0]]:
        flip(namespace, url, 3 if policy != "EC" else 80)
    with pytest.raises(exc.CorruptedChunk):
        read(api, "o")


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("policy", POLICIES)
def test_object_is_cut(api: Any, policy: str, algorithm: str) -> None:
    create(api, "o", DATA, policy=policy)
    for size in (CHUNK_SIZE + 7, CHUNK_SIZE - 7):
        api.object_truncate(ACCOUNT, CONTAINER, "o", size=size)
        assert read(api, "o", verify_checksum="strict") == DATA[:size]
        assert {len(chunk["hash"]) for chunk in located(api)} == {DIGITS[algorithm]}


# --- reading -----------------------------------------------------------------------------------------


@pytest.mark.pitfall("W1", "A11")
@pytest.mark.parametrize("policy", ["THREECOPIES", "EC"])
@pytest.mark.parametrize("at", [85, 3000])
def test_damage_of_a_chunk_is_repaired(namespace: Namespace, api: Any, policy: str, at: int) -> None:
    create(api, "o", DATA, policy=policy)
    damaged = located(api)[0]["url"]
    prefer(namespace, damaged)
    flip(namespace, damaged, at)
    assert read(api, "o") == read(api, "o", verify_checksum="strict") == DATA
    assert read(api, "o", verify_checksum="server") == DATA
    for verify in ("strict", "server"):
        assert read(api, "o", ranges=RANGES, verify_checksum=verify) == PARTS


@pytest.mark.pitfall("W1", "A11")
@pytest.mark.parametrize("policy", POLICIES)
def test_damage_that_cannot_be_repaired_is_told(namespace: Namespace, api: Any, policy: str) -> None:
    create(api, "o", DATA, policy=policy)
    for chunk in located(api):
        flip(namespace, chunk["url"], 85)
    options: list[dict[str, Any]] = [
        {},
        {"hold_up_to": 0},
        {"verify_checksum": "strict"},
        {"verify_checksum": "strict", "ranges": RANGES},
        {"verify_checksum": "server", "ranges": RANGES},
    ]
    for each in options:
        with pytest.raises(exc.CorruptedChunk):
            read(api, "o", **each)


@pytest.mark.pitfall("W1", "A11")
@pytest.mark.parametrize("policy", POLICIES)
def test_damage_of_the_middle_is_told_before_the_last_block(
    namespace: Namespace, api: Any, policy: str
) -> None:
    create(api, "o", LARGE, policy=policy)
    for chunk in located(api):
        flip(namespace, chunk["url"], 1000)
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o", hold_up_to=0)
    got = []
    with pytest.raises(exc.CorruptedChunk), stream:
        got.extend(stream)
    assert len(b"".join(got)) < len(LARGE)


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("policy", ["THREECOPIES", "EC"])
@pytest.mark.parametrize("options", [{}, {"verify_checksum": False}, {"verify_checksum": "strict"}])
def test_chunk_file_that_was_cut_short_is_counted(
    namespace: Namespace, api: Any, policy: str, options: dict[str, Any]
) -> None:
    # Chunk servers of today announce such a file as if it were whole.
    create(api, "o", DATA, policy=policy)
    damaged = located(api)[0]["url"]
    prefer(namespace, damaged)
    spoil(namespace, damaged, lambda data: data[: len(data) // 2])
    assert read(api, "o", **options) == DATA
    assert read(api, "o", ranges=RANGES, **options) == PARTS
    for chunk in located(api)[1:]:
        spoil(namespace, chunk["url"], lambda data: data[: len(data) // 2])
    with pytest.raises((exc.ServiceUnavailable, exc.CorruptedChunk)):
        read(api, "o", **options)


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("kind", [("2026", "md5")], indirect=True)
@pytest.mark.parametrize("missing", [0, 1])
def test_copies_of_several_algorithms_stand_for_each_other(
    namespace: Namespace, api: Any, missing: int
) -> None:
    create(api, "o", DATA[:100], policy="THREECOPIES")
    content_id = api.object_get_properties(ACCOUNT, CONTAINER, "o")["id"]
    chunk = located(api)[0]
    row = {"type": "chunk", "content": content_id, "id": chunk["url"]}
    row |= {key: chunk[key] for key in ("pos", "size", "hash")}
    new = [row | {"hash": COMPUTED["blake3"](DATA[:100])}]
    api.container.container_raw_update([row], new, ACCOUNT, CONTAINER)
    assert {len(each["hash"]) for each in located(api)} == {32, 64}
    by_kind = sorted(located(api), key=lambda each: len(each["hash"]))
    gone = by_kind[:2] if missing else by_kind[2:]
    for each in gone:
        next(rawx for rawx in namespace.rawx if rawx.address in each["url"]).store.delete(
            each["url"].rpartition("/")[2]
        )
    for verify in (True, "strict"):
        assert read(api, "o", verify_checksum=verify) == DATA[:100]


@pytest.mark.pitfall("W1")
def test_lost_fragment_is_rebuilt_from_sound_chunks(namespace: Namespace, api: Any) -> None:
    meta = create(api, "o", DATA[:70_000], policy="EC")
    chunks = sorted(located(api), key=lambda chunk: chunk["pos"])
    lost, damaged = chunks[0], chunks[1]
    expected = b"".join(api.blob_client.chunk_get(lost["url"])[1])
    # The magic number of the head: nothing but the checksum of the chunk covers its first bytes.
    flip(namespace, damaged["url"], 4)
    method: Any = STORAGE_METHODS.load(meta["chunk_method"])
    size, fragments = ECRebuildHandler(chunks[1:], 0, method).rebuild()
    assert (size, b"".join(fragments)) == (len(expected), expected)


# --- chunks alone ------------------------------------------------------------------------------------

COPY = "B" * 64


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("policy", ["SINGLE", "EC"])
def test_chunk_is_copied_and_damage_is_not(namespace: Namespace, api: Any, policy: str) -> None:
    create(api, "o", DATA[:1000], policy=policy)
    url = located(api)[0]["url"]
    address = next(rawx.address for rawx in namespace.rawx if rawx.address not in url)
    to = f"http://{address}/{COPY}"
    api.blob_client.chunk_copy(url, to)
    original, copy = api.blob_client.chunk_head(url), api.blob_client.chunk_head(to, check_hash=True)
    assert copy["chunk_hash"] == original["chunk_hash"]
    api.blob_client.chunk_delete(to)
    flip(namespace, url, 85)
    with pytest.raises(exc.CorruptedChunk):
        api.blob_client.chunk_copy(url, to)
    with pytest.raises(exc.NotFound):
        api.blob_client.chunk_head(to)


def described(chunk_method: str) -> dict[str, Any]:
    return {
        "full_path": encode_fullpath(ACCOUNT, CONTAINER, "o", "12", "AB" * 16),
        "chunk_pos": "0",
        "policy": "SINGLE",
        "chunk_method": chunk_method,
    }


@pytest.mark.pitfall("W1", "W17")
@pytest.mark.parametrize(
    "method", ["plain/nb_copy=1", "plain/cca=blake3,nb_copy=1", "plain/nb_copy=1,cold,cca=None", "plain"]
)
def test_chunk_of_any_method_is_stored_and_verified(namespace: Namespace, method: str) -> None:
    with namespace.api() as api:
        url = f"http://{namespace.rawx[0].address}/{COPY}"
        size, digest = api.blob_client.chunk_put(url, described(method), [b"hello"])
        meta, blocks = api.blob_client.chunk_get(url)
        assert (size, digest.upper(), b"".join(blocks)) == (5, meta["chunk_hash"], b"hello")
        assert digest in {COMPUTED["md5"](b"hello"), COMPUTED["blake3"](b"hello")}


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("kind", [("7.3", "md5"), ("2026", "md5")], ids="-".join, indirect=True)
def test_chunk_alone_is_hashed_as_asked_or_refused(namespace: Namespace, kind: tuple[str, str]) -> None:
    with namespace.api() as api:
        url = f"http://{namespace.rawx[0].address}/{COPY}"

        def put() -> tuple[int, str]:
            return api.blob_client.chunk_put(  # type: ignore[no-any-return]
                url, described("plain/nb_copy=1"), [b"hello"], chunk_checksum_algo="blake3"
            )

        if kind[0] == "2026":
            assert put() == (5, COMPUTED["blake3"](b"hello"))
            return
        with pytest.raises(exc.ChecksumRefused, match="must be 'md5' or None, not 'blake3'"):
            put()
        with pytest.raises(exc.NotFound):
            api.blob_client.chunk_head(url)


@pytest.mark.pitfall("W2")
@pytest.mark.parametrize("kind", [("2026", "md5")], indirect=True)
def test_copy_has_the_free_attributes_of_the_original(namespace: Namespace, api: Any) -> None:
    blobs = api.blob_client
    url, to = (f"http://{rawx.address}/{COPY}" for rawx in namespace.rawx[:2])
    value = "d%C3%A9j%C3%A0%20vu"
    headers = {"X-oio-Ext-colour": value}
    blobs.chunk_put(
        url, described("plain/nb_copy=1") | {"content_id": "AB" * 16}, [b"hello"], headers=headers
    )
    blobs.chunk_copy(url, to)
    (put,) = [record for record in puts(namespace) if record.address in to]
    assert header(put, "x-oio-ext-colour") == value
    assert blobs.chunk_head(to, check_hash=True)["chunk_size"] == "5"


# --- objects of other clients ------------------------------------------------------------------------


@pytest.mark.pitfall("W1", "A11")
@pytest.mark.parametrize("kind", [("7.3", "md5"), ("2026", "md5")], ids="-".join, indirect=True)
@pytest.mark.parametrize("named", ["blake3", "BLAKE3", "sha256", "None", "md5", ""])
def test_length_of_a_checksum_decides_and_not_the_name(namespace: Namespace, api: Any, named: str) -> None:
    write_by_hand(api, DATA[:1000], f"plain/x=y,nb_copy=1,cca={named},cold,oca=md5", "md5")
    for verify in (True, "strict", "server"):
        assert read(api, "o", verify_checksum=verify) == DATA[:1000]
    meta = api.object_get_properties(ACCOUNT, CONTAINER, "o")
    assert meta["chunk_method"] == f"plain/x=y,nb_copy=1,cca={named},cold,oca=md5"
    create(api, "o", b"more", append=True, policy="SINGLE")
    assert api.object_get_properties(ACCOUNT, CONTAINER, "o")["chunk_method"] == meta["chunk_method"]
    for chunk in located(api):
        flip(namespace, chunk["url"], 2)
    for verify, ranges in ((True, None), ("strict", [(5, 9)]), ("server", [(5, 9)])):
        with pytest.raises(exc.CorruptedChunk):
            read(api, "o", verify_checksum=verify, ranges=ranges)


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("kind", [("7.3", "md5")], indirect=True)
def test_algorithm_of_the_object_stays_when_its_data_move(namespace: Namespace, api: Any) -> None:
    write_by_hand(api, DATA[:1000], "plain/nb_copy=1,oca=sha256", "sha256")
    api.object_change_policy(ACCOUNT, CONTAINER, "o", "THREECOPIES")
    meta = api.object_get_properties(ACCOUNT, CONTAINER, "o")
    assert meta["hash"].lower() == hashlib.sha256(DATA[:1000]).hexdigest()
    assert meta["chunk_method"] == "plain/cca=md5,nb_copy=3,oca=sha256"
    assert read(api, "o", verify_checksum="strict") == DATA[:1000]
