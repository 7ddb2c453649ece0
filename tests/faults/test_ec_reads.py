# SPDX-License-Identifier: Apache-2.0
"""Reads of erasure-coded objects from rawx that misbehave: the exact bytes or an exception, nothing else."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from oio.common import exceptions as exc
from tests.kit.ec_objects import DATA, FRAGMENT, LARGE, METACHUNK, PARITY, SEGMENT, SMALL, running_namespace
from tests.kit.objects import fault, limits, part_of, read, stored
from tests.kit.read_troubles import (
    BEFORE_THE_DATA,
    EXACT,
    INSIDE_THE_DATA,
    PLACES,
    QUICK,
    WITHOUT_CONNECTION,
    Trouble,
    in_head,
    place,
)


class Read(NamedTuple):
    """What is read, and how many bytes the first answer of a rawx to it has."""

    data: bytes
    ranges: list[tuple[int, int]] | None
    answer: int


READS = {
    "small": Read(SMALL, None, 248),
    "small range": Read(SMALL, [(100, 899)], 248),
    "large": Read(LARGE, None, 2 * FRAGMENT),
    "large range": Read(LARGE, [(SEGMENT + 7, METACHUNK + 99)], FRAGMENT),
}

FAULTY = (0, 1, PARITY, PARITY + 1)

STRUCK = (0, 7, 2, 4)
"""The rawx that are struck first: of these fragments, one is parity."""


@pytest.fixture
def own_namespace(tmp_path):
    """A namespace whose services may be stopped, and their disks damaged."""
    with running_namespace(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def namespace(tmp_path_factory):
    with running_namespace(tmp_path_factory.mktemp("ec")) as running:
        yield running


@pytest.fixture
def api(namespace):
    with namespace.api() as client:
        yield client


@pytest.fixture(scope="module")
def objects(namespace):
    """The objects to read."""
    with namespace.api() as api:
        return {data: stored(api, data) for data in (SMALL, LARGE)}


def check(namespace, api, target, what: Read, trouble: Trouble, faulty: int, **kwargs: Any) -> None:
    """Read while some rawx have a trouble, and see that the result is the right one."""
    struck = [namespace.rawx[number] for number in STRUCK[:faulty]]
    faults = [fault(trouble.action, "GET", address=rawx.address, **trouble.settings) for rawx in struck]
    with namespace.faults(*faults) as plan:
        data, error = read(api, target, what.ranges, **limits(trouble.action, **QUICK), **kwargs)
    # Spare fragments are only asked for when something fails.
    assert all(
        plan.hits(each) or each.bars_the_door for each in faults[: 1 if trouble.of_all is EXACT else None]
    )
    expected = part_of(what.data, what.ranges)
    if faulty <= PARITY or trouble.of_all is EXACT:
        assert error is None
        assert data == expected
        return
    assert isinstance(error, trouble.of_all), error
    assert error.reqid
    assert len(data) < len(expected)
    assert expected.startswith(data)
    for rawx in struck:
        assert rawx.address in str(error)


@pytest.mark.parametrize("faulty", FAULTY)
@pytest.mark.parametrize("what", READS.values(), ids=READS)
@pytest.mark.parametrize("trouble", WITHOUT_CONNECTION.values(), ids=WITHOUT_CONNECTION)
@pytest.mark.pitfall(50, 55, 56, 64)
def test_read_from_rawx_out_of_reach(own_namespace, trouble, what, faulty):
    with own_namespace.api() as api:
        target = stored(api, what.data)
        api.close()
        check(own_namespace, api, target, what, trouble, faulty)


@pytest.mark.parametrize("faulty", FAULTY[1:])
@pytest.mark.parametrize("what", READS.values(), ids=READS)
@pytest.mark.parametrize("trouble", BEFORE_THE_DATA.values(), ids=BEFORE_THE_DATA)
@pytest.mark.pitfall(50, 55, 59, 64, 138)
def test_read_with_trouble_before_the_data(namespace, api, objects, trouble, what, faulty):
    check(namespace, api, objects[what.data], what, trouble, faulty)


@pytest.mark.parametrize("faulty", FAULTY[1:])
@pytest.mark.parametrize("what", READS.values(), ids=READS)
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("trouble", INSIDE_THE_DATA.values(), ids=INSIDE_THE_DATA)
@pytest.mark.pitfall(46, 49, 50, 59, 64, 127, 137, 138)
def test_read_with_trouble_inside_the_data(namespace, api, objects, trouble, where, what, faulty):
    settings = {**trouble.settings, "after_bytes": place(where, what.answer)}
    check(namespace, api, objects[what.data], what, trouble._replace(settings=settings), faulty)


@pytest.mark.parametrize("faulty", FAULTY[1:])
@pytest.mark.parametrize("what", READS.values(), ids=READS)
def test_read_of_data_that_come_drop_by_drop(namespace, api, objects, what, faulty):
    drip = Trouble("drip", {"after_bytes": place("middle", what.answer), "seconds": 0.02})
    check(namespace, api, objects[what.data], what, drip, faulty)


#: Where the headers of the fragments are, of the first segment and of the second.
HEADERS = [0, 4, 12, 59, 67]


@pytest.mark.parametrize(
    ("segment", "faulty"), [*((0, faulty) for faulty in FAULTY[1:]), (1, 1), (1, PARITY)]
)
@pytest.mark.parametrize("at", HEADERS)
@pytest.mark.pitfall(53, 126, 137)
def test_read_of_fragments_with_damaged_headers(namespace, api, objects, at, segment, faulty):
    corrupt = Trouble("corrupt", {"after_bytes": at + segment * FRAGMENT})
    check(namespace, api, objects[LARGE], READS["large"], corrupt, faulty)


@pytest.mark.parametrize("faulty", FAULTY[1:])
@pytest.mark.parametrize("what", READS.values(), ids=READS)
@pytest.mark.parametrize("at", [100, 200, -1])
@pytest.mark.pitfall(126)
def test_strict_read_of_wrong_bytes(namespace, api, objects, at, what, faulty):
    target = objects[what.data]
    struck = [namespace.rawx[number] for number in STRUCK[:faulty]]
    faults = [fault("corrupt", "GET", address=rawx.address, after_bytes=at) for rawx in struck]
    with namespace.faults(*faults):
        data, error = read(api, target, what.ranges, verify_checksum="strict")
    expected = part_of(what.data, what.ranges)
    if faulty <= PARITY:
        assert (data, error) == (expected, None)
    else:
        assert isinstance(error, exc.CorruptedChunk)
        assert expected.startswith(data)
        assert any(rawx.address in str(error) for rawx in struck)


@pytest.mark.pitfall(126)
def test_padding_is_no_part_of_the_data(namespace, api, objects):
    """The last byte of the last data fragment of a short segment stands for nothing."""
    padding = fault("corrupt", "GET", address=namespace.rawx[DATA - 1].address, after_bytes=-1)
    for verify in (True, "strict"):
        with namespace.faults(padding) as plan:
            assert read(api, objects[SMALL], verify_checksum=verify) == (SMALL, None)
        plan.assert_met()


@pytest.mark.parametrize("faulty", FAULTY[1:])
@pytest.mark.parametrize("what", [READS["small"], READS["large"]], ids=["small", "large"])
@pytest.mark.pitfall(126)
def test_read_of_wrong_bytes_is_repaired_before_anything_is_given_or_told(
    namespace, api, objects, what, faulty
):
    struck = [namespace.rawx[number] for number in STRUCK[:faulty]]
    faults = [fault("corrupt", "GET", address=rawx.address, after_bytes=-1) for rawx in struck]
    with namespace.faults(*faults):
        data, error = read(api, objects[what.data])
    if what.data is SMALL and faulty <= PARITY:
        assert (data, error) == (SMALL, None)
    else:
        assert isinstance(error, exc.CorruptedChunk)
        assert any(rawx.address in str(error) for rawx in struck)
        assert len(data) < len(what.data)


@pytest.mark.pitfall(138)
def test_whatever_bit_of_a_head_flips_reads_are_exact_or_fail(namespace, api, objects):
    flipped = 0
    for position in range(0, 2000, 29):
        flip = in_head("corrupt", after_bytes=position)
        faults = [
            fault(flip.action, "GET", address=rawx.address, **flip.settings) for rawx in namespace.rawx[:4]
        ]
        with namespace.faults(*faults) as plan:
            data, error = read(api, objects[SMALL], [(10, 989)], **QUICK)
        if not any(map(plan.hits, faults)):
            break
        flipped += 1
        assert error or data == SMALL[10:990]
    assert flipped > 25


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


@pytest.mark.pitfall(126)
def test_chunks_that_rot_on_disk_are_told_by_a_whole_read(own_namespace):
    with own_namespace.api() as api:
        target = stored(api, LARGE)
        damaged = rot(own_namespace, api, target, {2}, at=FRAGMENT + 500)
        data, error = read(api, target)
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
