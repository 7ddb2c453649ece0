# SPDX-License-Identifier: Apache-2.0
"""Reads of replicated objects from rawx that misbehave: the exact bytes or an exception, nothing else."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault
from tests.kit.objects import CHUNK_SIZE, LARGE, SMALL, fault, limits, part_of, read, stored
from tests.kit.read_troubles import (
    BEFORE_THE_DATA,
    EXACT,
    INSIDE_THE_DATA,
    PLACES,
    QUICK,
    WITHOUT_CONNECTION,
    Trouble,
    place,
)


class Read(NamedTuple):
    """What is read, and how many bytes the first answer of a rawx to it has."""

    data: bytes
    ranges: list[tuple[int, int]] | None
    answer: int


READS = {
    "small": Read(SMALL, None, 1000),
    "small range": Read(SMALL, [(100, 899)], 800),
    "large": Read(LARGE, None, CHUNK_SIZE),
    "large range": Read(LARGE, [(CHUNK_SIZE // 2, 2 * CHUNK_SIZE + 99)], CHUNK_SIZE // 2),
}


@pytest.fixture(scope="module")
def objects(shared_namespace):
    """The objects to read."""
    with shared_namespace.api() as api:
        return {data: stored(api, data) for data in (SMALL, LARGE)}


def check(namespace, api, target, what: Read, trouble: Trouble, replicas: str, **kwargs: Any) -> None:
    """Read with a trouble, and see that the result is the right one."""
    address = namespace.rawx[0].address if replicas == "one" else None
    namespace.forget_requests()
    with namespace.faults(fault(trouble.action, "GET", address=address, **trouble.settings)) as plan:
        data, error = read(api, target, what.ranges, **limits(trouble.action, **QUICK), **kwargs)
    plan.assert_met()
    expected = part_of(what.data, what.ranges)
    result = trouble.of_one if replicas == "one" else trouble.of_all
    if result is EXACT:
        assert error is None
        assert data == expected
        return
    assert isinstance(error, result), error
    assert error.reqid
    # Once wrong bytes were given, no other copy is asked.
    too_late = result is exc.CorruptedChunk and data
    for rawx in namespace.rawx[:1] if replicas == "one" or too_late else namespace.rawx:
        assert rawx.address in str(error)
    assert len(data) < len(expected)
    if trouble.action != "corrupt":
        assert expected.startswith(data)


@pytest.mark.parametrize("replicas", ["one", "all"])
@pytest.mark.parametrize("what", READS.values(), ids=READS)
@pytest.mark.parametrize("trouble", WITHOUT_CONNECTION.values(), ids=WITHOUT_CONNECTION)
@pytest.mark.pitfall(55, 56, 64)
def test_read_from_a_rawx_out_of_reach(namespace, api, caplog, trouble, what, replicas):
    target = stored(api, what.data)
    api.close()
    check(namespace, api, target, what, trouble, replicas)
    assert f"connecting to {namespace.rawx[0].address}" in caplog.text


@pytest.mark.parametrize("replicas", ["one", "all"])
@pytest.mark.parametrize("what", READS.values(), ids=READS)
@pytest.mark.parametrize("trouble", BEFORE_THE_DATA.values(), ids=BEFORE_THE_DATA)
@pytest.mark.pitfall(13, 48, 55, 59, 64)
def test_read_with_trouble_before_the_data(shared_namespace, shared_api, objects, trouble, what, replicas):
    check(shared_namespace, shared_api, objects[what.data], what, trouble, replicas)


@pytest.mark.parametrize("replicas", ["one", "all"])
@pytest.mark.parametrize("what", READS.values(), ids=READS)
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("trouble", INSIDE_THE_DATA.values(), ids=INSIDE_THE_DATA)
@pytest.mark.pitfall(46, 49, 50, 59, 64, 127, 138)
def test_read_with_trouble_inside_the_data(
    shared_namespace, shared_api, objects, trouble, where, what, replicas
):
    settings = {**trouble.settings, "after_bytes": place(where, what.answer)}
    trouble = trouble._replace(settings=settings)
    check(shared_namespace, shared_api, objects[what.data], what, trouble, replicas)


@pytest.mark.parametrize(("where", "of_all"), [("first", exc.ServiceUnavailable), ("last", EXACT)])
@pytest.mark.parametrize("replicas", ["one", "all"])
@pytest.mark.parametrize("what", READS.values(), ids=READS)
def test_read_of_data_that_come_drop_by_drop(
    shared_namespace, shared_api, objects, what, replicas, where, of_all
):
    settings = {"after_bytes": place(where, what.answer), "seconds": 0.02}
    drip = Trouble("drip", settings, of_all=of_all)
    check(shared_namespace, shared_api, objects[what.data], what, drip, replicas)


#: A wrong byte is only seen when a metachunk is read whole, and then some of it may have been given already.
WHOLE_METACHUNKS = {
    "small": (READS["small"], EXACT),
    "small range": (Read(SMALL, [(0, 999)], 1000), EXACT),
    "large": (READS["large"], exc.CorruptedChunk),
    "large range": (Read(LARGE, [(CHUNK_SIZE, 2 * CHUNK_SIZE - 1)], CHUNK_SIZE), exc.CorruptedChunk),
}


@pytest.mark.parametrize("replicas", ["one", "all"])
@pytest.mark.parametrize(("what", "of_one"), WHOLE_METACHUNKS.values(), ids=WHOLE_METACHUNKS)
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.pitfall(126)
def test_read_of_wrong_bytes(shared_namespace, shared_api, objects, where, what, of_one, replicas):
    settings = {"after_bytes": place(where, what.answer)}
    corrupt = Trouble("corrupt", settings, of_one, exc.CorruptedChunk)
    check(shared_namespace, shared_api, objects[what.data], what, corrupt, replicas)


@pytest.mark.parametrize("replicas", ["one", "all"])
@pytest.mark.parametrize("what", READS.values(), ids=READS)
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.pitfall(126)
def test_strict_read_of_wrong_bytes(shared_namespace, shared_api, objects, where, what, replicas):
    answer = len(SMALL) if what.data is SMALL else CHUNK_SIZE
    corrupt = Trouble("corrupt", {"after_bytes": place(where, answer)}, EXACT, exc.CorruptedChunk)
    target = objects[what.data]
    check(shared_namespace, shared_api, target, what, corrupt, replicas, verify_checksum="strict")


@pytest.mark.pitfall(126)
def test_read_of_chunks_that_rot_on_disk(namespace, api):
    target = stored(api, LARGE)
    for rawx in namespace.rawx:
        for chunk in rawx.chunks():
            file = rawx.store.path(chunk)
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
    data, error = read(api, target)
    assert isinstance(error, exc.CorruptedChunk)
    assert len(data) < len(LARGE)


@pytest.mark.pitfall(138)
def test_whatever_bit_of_a_head_flips_reads_are_exact_or_fail(shared_namespace, shared_api, objects):
    flipped = 0
    for position in range(0, 2000, 7):
        flip = Fault("corrupt", operation="GET", phase="head", after_bytes=position)
        with shared_namespace.faults(flip) as plan:
            data, error = read(shared_api, objects[SMALL], [(10, 989)], read_timeout=2.0)
        if not plan.hits(flip):
            break
        flipped += 1
        assert error or data == SMALL[10:990]
    assert flipped > 100


@pytest.mark.pitfall(46)
def test_three_rawx_cut_in_turn_give_the_whole_between_them(shared_namespace, shared_api, objects):
    cuts = [
        Fault("reset", operation="GET", address=shared_namespace.rawx[0].address, after_bytes=70_001),
        Fault("truncate", operation="GET", address=shared_namespace.rawx[1].address, after_bytes=100_003),
    ]
    shared_namespace.forget_requests()
    with shared_namespace.faults(*cuts) as plan:
        assert read(shared_api, objects[LARGE], [(5, CHUNK_SIZE - 1)]) == (LARGE[5:CHUNK_SIZE], None)
    plan.assert_met()
    ranges = [dict(request.headers)["Range"] for request in shared_namespace.requests[1:]]
    asked = [int(value.removeprefix("bytes=").partition("-")[0]) for value in ranges]
    # What arrives of a reset body depends on the network.
    assert asked[0] == 5
    assert 5 <= asked[1] <= 70_006
    assert asked[1] <= asked[2] <= asked[1] + 100_003


@pytest.mark.pitfall(55)
@pytest.mark.parametrize("trouble", ["refuse", "status"])
def test_chunks_are_not_called_lost_while_a_rawx_is_out_of_order(namespace, api, trouble):
    target = stored(api, SMALL)
    api.close()
    for rawx in namespace.rawx[1:]:
        for chunk in rawx.chunks():
            rawx.store.delete(chunk)
    with namespace.faults(Fault(trouble, address=namespace.rawx[0].address)) as plan:
        _, error = read(api, target)
    plan.assert_met()
    assert isinstance(error, exc.ServiceUnavailable)
    assert not isinstance(error, exc.UnrecoverableContent)


@pytest.mark.pitfall(56)
def test_a_rawx_that_is_down_is_asked_last(namespace, api):
    target = stored(api, SMALL)
    namespace.rawx[0].lock(0)
    namespace.forget_requests()
    assert read(api, target) == (SMALL, None)
    assert [r.address for r in namespace.requests if r.service == "rawx"] == [namespace.rawx[1].address]
