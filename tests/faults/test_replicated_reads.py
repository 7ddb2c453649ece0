# SPDX-License-Identifier: Apache-2.0
"""Reads of replicated objects from rawx that misbehave: the exact bytes or an exception, nothing else."""

from __future__ import annotations

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault
from tests.kit.objects import CHUNK_SIZE, LARGE, SMALL, part_of, read, stored
from tests.kit.read_troubles import PLACES, place
from tests.kit.releases import for_each


@pytest.fixture(scope="module")
def objects_of(shared_namespaces):
    """The objects to read."""

    def store(release):
        with shared_namespaces[release].api() as api:
            return {data: stored(api, data) for data in (SMALL, LARGE)}

    return for_each(store)


@pytest.fixture
def objects(objects_of, release):
    return objects_of[release]


#: A wrong byte is only seen when a metachunk is read whole, and then some of it may have been given already.
WHOLE_METACHUNKS = {
    "small": (SMALL, None, len(SMALL)),
    "small range": (SMALL, [(0, len(SMALL) - 1)], len(SMALL)),
    "large": (LARGE, None, CHUNK_SIZE),
    "large range": (LARGE, [(CHUNK_SIZE, 2 * CHUNK_SIZE - 1)], CHUNK_SIZE),
}


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize(("data", "ranges", "answer"), WHOLE_METACHUNKS.values(), ids=WHOLE_METACHUNKS)
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("held", [True, False])
@pytest.mark.pitfall(126, "A14")
def test_read_of_wrong_bytes(
    shared_namespace, shared_api, objects, where, data, ranges, answer, copies, held
):
    struck = shared_namespace.rawx[:copies]
    flips = [
        Fault("corrupt", operation="GET", address=rawx.address, after_bytes=place(where, answer))
        for rawx in struck
    ]
    with shared_namespace.faults(*flips) as plan:
        given, error = read(shared_api, objects[data], ranges, **({} if held else {"hold_up_to": 0}))
    assert plan.hits(flips[0])
    if copies == 1 and (held or data is SMALL):
        assert (given, error) == (part_of(data, ranges), None)
        return
    assert not (held and given)
    assert isinstance(error, exc.CorruptedChunk)
    assert error.reqid
    assert len(given) < len(part_of(data, ranges))
    # Once wrong bytes were given, no other copy is asked.
    for rawx in struck[:1] if given else struck:
        assert rawx.address in str(error)


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


@pytest.mark.pitfall("B9")
def test_one_reset_of_each_rawx_does_not_end_a_read(shared_namespace, shared_api, objects):
    resets = [
        Fault("reset", operation="GET", address=rawx.address, after_bytes=40_000, nth=1)
        for rawx in shared_namespace.rawx
    ]
    with shared_namespace.faults(*resets) as plan:
        assert read(shared_api, objects[LARGE], [(0, CHUNK_SIZE - 2)]) == (LARGE[: CHUNK_SIZE - 1], None)
    plan.assert_met()


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
