# SPDX-License-Identifier: Apache-2.0
"""Reads of replicated objects from rawx that misbehave: the exact bytes or an exception, nothing else."""

from __future__ import annotations

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault
from tests.kit.objects import CHUNK_SIZE, LARGE, SMALL, part_of, read, stored
from tests.kit.read_troubles import (
    PLACES,
    place,
)


@pytest.fixture(scope="module")
def objects(shared_namespace):
    """The objects to read."""
    with shared_namespace.api() as api:
        return {data: stored(api, data) for data in (SMALL, LARGE)}


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
@pytest.mark.pitfall(126)
def test_read_of_wrong_bytes(shared_namespace, shared_api, objects, where, data, ranges, answer, copies):
    struck = shared_namespace.rawx[:copies]
    flips = [
        Fault("corrupt", operation="GET", address=rawx.address, after_bytes=place(where, answer))
        for rawx in struck
    ]
    with shared_namespace.faults(*flips) as plan:
        given, error = read(shared_api, objects[data], ranges)
    assert plan.hits(flips[0])
    if data is SMALL and copies == 1:
        assert (given, error) == (SMALL, None)
        return
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
