# SPDX-License-Identifier: Apache-2.0
"""Reads of erasure-coded objects from rawx that misbehave: the exact bytes or an exception, nothing else."""

from __future__ import annotations

import contextlib
import hashlib

import pytest

from oio.api._data.ec.codec import codec_of
from oio.common import exceptions as exc
from oio.common.storage_method import STORAGE_METHODS
from tests.kit.damage import chunks_of, described_otherwise, remove
from tests.kit.ec_objects import DATA, FRAGMENT, LARGE, METACHUNK, PARITY, SEGMENT, SMALL, running_namespace
from tests.kit.layouts import LAYOUTS
from tests.kit.objects import fault, part_of, read, stored
from tests.kit.releases import for_each
from tests.kit.store import spoil


@pytest.fixture
def own_namespace(tmp_path, release):
    """A namespace whose services may be stopped, and their disks damaged."""
    with running_namespace(tmp_path, release) as running:
        yield running


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A namespace of each release, and the objects to read in it."""

    def make(release):
        running = stack.enter_context(running_namespace(tmp_path_factory.mktemp("ec"), release))
        with running.api() as api:
            return running, {data: stored(api, data) for data in (SMALL, LARGE)}

    with contextlib.ExitStack() as stack:
        yield for_each(make)


@pytest.fixture
def namespace(stores, release):
    return stores[release][0]


@pytest.fixture
def api(namespace):
    with namespace.api() as client:
        yield client


@pytest.fixture
def objects(stores, release):
    """The objects to read."""
    return stores[release][1]


@pytest.mark.pitfall("D2")
def test_fragments_are_always_where_these_tests_strike(namespace, api):
    for _ in range(5):
        for chunk in api.object_locate(*stored(api, LARGE))[1]:
            number = int(chunk["pos"].partition(".")[2])
            assert namespace.rawx[number].address in chunk["url"]


@pytest.mark.pitfall(126, "D2")
def test_padding_is_no_part_of_the_data(namespace, api, objects):
    """The last byte of the last data fragment of a short segment stands for nothing."""
    padding = fault("corrupt", "GET", address=namespace.rawx[DATA - 1].address, after_bytes=-1)
    for verify in (True, "strict"):
        with namespace.faults(padding) as plan:
            assert read(api, objects[SMALL], verify_checksum=verify) == (SMALL, None)
        plan.assert_met()


@pytest.mark.parametrize("faulty", [1, PARITY, PARITY + 1])
@pytest.mark.parametrize("stored_data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.pitfall(126)
def test_read_of_wrong_bytes_is_repaired_before_anything_is_given_or_told(
    namespace, api, objects, stored_data, faulty
):
    struck = LAYOUTS["EC"].pick(namespace, faulty)
    faults = [fault("corrupt", "GET", address=rawx.address, after_bytes=-1) for rawx in struck]
    with namespace.faults(*faults):
        data, error = read(api, objects[stored_data])
    if faulty <= PARITY:
        assert (data, error) == (stored_data, None)
    else:
        assert isinstance(error, exc.CorruptedChunk)
        assert any(rawx.address in str(error) for rawx in struck)
        assert len(data) < len(stored_data)


def flip(rawx, chunk, at: int) -> None:
    """Change one byte of a chunk file."""
    file = rawx.store.path(chunk)
    content = bytearray(file.read_bytes())
    content[at % len(content)] ^= 1
    file.write_bytes(content)


def rot(namespace, api, target, fragments: set[int], at: int) -> list[str]:
    """Damage some chunks of each metachunk on their disks; give their URLs."""
    _, chunks = api.object_locate(*target)
    stores = {rawx.address: rawx for rawx in namespace.rawx}
    damaged = [chunk["url"] for chunk in chunks if int(chunk["pos"].partition(".")[2]) in fragments]
    for url in damaged:
        _, _, address, chunk_id = url.split("/")
        flip(stores[address], chunk_id, at)
    return damaged


@pytest.mark.parametrize("fragments", [{0}, {5, 7}, {0, 3, 8}])
@pytest.mark.parametrize("ranges", [None, [(5, 9)], [(SEGMENT - 1, METACHUNK)]])
@pytest.mark.pitfall(126)
def test_chunks_that_rot_on_disk_are_repaired_by_a_strict_read(own_namespace, fragments, ranges):
    with own_namespace.api() as api:
        target = stored(api, LARGE)
        rot(own_namespace, api, target, fragments, at=FRAGMENT + 500)
        assert read(api, target, ranges, verify_checksum="strict") == (part_of(LARGE, ranges), None)


@pytest.fixture
def unchecked(monkeypatch):
    """Fragments are written without checksums, as by other clients."""
    method = STORAGE_METHODS.load("ec/algo=liberasurecode_rs_vand,k=6,m=3")
    monkeypatch.setattr(codec_of(method), "_driver", method.unchecked_driver)


@pytest.mark.pitfall("A13")
@pytest.mark.parametrize("verify", [True, False, "server"])
@pytest.mark.parametrize("ranges", [None, [(5, 9)], [(SEGMENT - 1, METACHUNK)]])
def test_chunks_that_rot_on_disk_are_repaired_by_any_read(own_namespace, ranges, verify):
    with own_namespace.api() as api:
        target = stored(api, LARGE)
        rot(own_namespace, api, target, {0, 3, 8}, at=FRAGMENT + 500)
        assert read(api, target, ranges, verify_checksum=verify, hold_up_to=0) == (
            part_of(LARGE, ranges),
            None,
        )


@pytest.mark.pitfall("A13")
@pytest.mark.usefixtures("unchecked")
def test_servers_find_chunks_that_rot_when_fragments_have_no_checksums(own_namespace):
    ranges = [(5, 9), (SEGMENT - 1, METACHUNK)]
    with own_namespace.api() as api:
        target = stored(api, LARGE)
        rot(own_namespace, api, target, {0, 3, 8}, at=FRAGMENT + 500)
        assert read(api, target, ranges).data != part_of(LARGE, ranges)
        assert read(api, target, ranges, verify_checksum="server") == (part_of(LARGE, ranges), None)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.pitfall(126)
def test_chunks_that_rot_on_disk_are_told_by_a_whole_read(own_namespace):
    with own_namespace.api() as api:
        target = stored(api, LARGE)
        damaged = rot(own_namespace, api, target, {2}, at=FRAGMENT + 500)
        data, error = read(api, target, hold_up_to=0)
    assert isinstance(error, exc.CorruptedChunk)
    assert sum(url in str(error) for url in damaged) == 1
    assert str(error).count("http://") == 1
    assert len(data) < METACHUNK


@pytest.mark.pitfall(126)
def test_more_rot_than_the_redundancy_never_passes_for_a_success(own_namespace):
    with own_namespace.api() as api:
        target = stored(api, LARGE)
        damaged = rot(own_namespace, api, target, {0, 1, 2, 3}, at=500)
        for ranges in (None, [(5, 9)]):
            data, error = read(api, target, ranges, verify_checksum="strict")
            assert data == b""
            assert isinstance(error, exc.CorruptedChunk)
            assert sum(url in str(error) for url in damaged) == PARITY + 1


def test_no_chunk_is_left_out_on_suspicion_when_too_few_can_be_read(own_namespace):
    with own_namespace.api() as api:
        target = stored(api, SMALL)
        meta, chunks = api.object_locate(*target)
        wrong = min(chunks, key=lambda chunk: chunk["pos"])
        fragments = codec_of(STORAGE_METHODS.load(meta["chunk_method"])).encode(SMALL[::-1])
        spoil(own_namespace, wrong["url"], lambda _: fragments[0])
        busy = [fault("status", "GET", address=rawx.address) for rawx in own_namespace.rawx[1 : PARITY + 1]]
        with own_namespace.faults(*busy) as plan:
            data, error = read(api, target)
    assert (data, type(error)) == (b"", exc.CorruptedChunk)
    assert wrong["url"] in str(error)
    # With the wrong chunk, without it, and once more.
    assert [plan.hits(each) for each in busy] == [3] * PARITY


def test_chunk_whose_trouble_passes_replaces_one_left_out_on_suspicion(own_namespace):
    with own_namespace.api() as api:
        target = stored(api, SMALL)
        meta, _ = api.object_locate(*target)
        wrong, busy, *others = chunks_of(api, *target)
        fragment = codec_of(STORAGE_METHODS.load(meta["chunk_method"])).encode(SMALL[::-1])[0]
        spoil(own_namespace, wrong["url"], lambda _: fragment)
        # Its own checksum does not tell that it is wrong.
        described_otherwise(own_namespace, wrong, hash=hashlib.md5(fragment).hexdigest().upper())
        for chunk in others[: PARITY - 1]:
            remove(own_namespace, chunk)
        address = busy["url"].removeprefix("http://").split("/")[0]
        with own_namespace.faults(fault("status", "GET", address=address, nth=1)) as plan:
            assert read(api, target) == (SMALL, None)
        plan.assert_met()


@pytest.mark.pitfall(112)
def test_a_chunk_cut_short_on_disk_is_left_out(own_namespace):
    with own_namespace.api() as api:
        target = stored(api, LARGE)
        for rawx in own_namespace.rawx[:PARITY]:
            for chunk in rawx.chunks():
                with rawx.store.path(chunk).open("r+b") as file:
                    file.truncate(FRAGMENT)
        assert read(api, target) == (LARGE, None)


@pytest.mark.pitfall(55)
@pytest.mark.parametrize(("lost", "refused", "expected"), [(4, 0, True), (3, 1, False), (9, 0, True)])
def test_chunks_are_only_called_lost_when_all_that_fail_are(own_namespace, lost, refused, expected):
    with own_namespace.api() as api:
        target = stored(api, SMALL)
        for rawx in own_namespace.rawx[:lost]:
            for chunk in rawx.chunks():
                rawx.store.delete(chunk)
        for rawx in own_namespace.rawx[lost : lost + refused]:
            rawx.stop()
        _, error = read(api, target)
    assert isinstance(error, exc.UnrecoverableContent if expected else exc.ServiceUnavailable)
    assert isinstance(error, exc.UnrecoverableContent) is expected


@pytest.mark.pitfall(56)
def test_a_rawx_that_has_failed_is_asked_last_for_the_next_metachunk(own_namespace):
    with own_namespace.api() as api:
        target = stored(api, LARGE)
        _, chunks = api.object_locate(*target)
        address = next(chunk["url"].split("/")[2] for chunk in chunks if chunk["pos"] == "0.0")
        # A connection that was kept would be replaced once.
        api.close()
        cut = fault("truncate", "GET", address=address, phase="head")
        with own_namespace.faults(cut) as plan:
            assert read(api, target) == (LARGE, None)
        assert plan.hits(cut) == 1
