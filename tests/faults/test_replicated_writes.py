# SPDX-License-Identifier: Apache-2.0
"""Writes of replicated objects to rawx that misbehave: stored and complete, or refused without a trace."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault
from tests.kit.objects import (
    CHUNK_SIZE,
    LARGE,
    SMALL,
    assert_nothing_left,
    assert_stored,
    chunks_on_disk,
    create,
    fault,
    limits,
    new_target,
    stored,
)
from tests.kit.write_troubles import (
    AROUND_THE_DATA,
    INSIDE_THE_DATA,
    PLACES,
    QUICK,
    WITHOUT_CONNECTION,
    Trouble,
    place,
)

QUORUM = 2


class Write(NamedTuple):
    """What is stored, which of its metachunks is struck, and how many bytes this one has."""

    data: bytes
    metachunk: int
    length: int


WRITES = {
    "small": Write(SMALL, 1, 1000),
    "large, first metachunk": Write(LARGE, 1, CHUNK_SIZE),
    "large, last metachunk": Write(LARGE, 3, 5000),
}

REPLICAS = (1, 2, 3)


def check(namespace, api, what: Write, trouble: Trouble, replicas: int) -> None:
    """Write while some rawx have a trouble, and see that the result is the right one."""
    target = new_target()
    struck = namespace.rawx[:replicas]
    faults = [fault(trouble.action, "PUT", address=rawx.address, **trouble.settings) for rawx in struck]
    if not faults[0].bars_the_door:
        faults = [replace(each, nth=what.metachunk) for each in faults]
    harmless = trouble.failure is None or (trouble.heals and what.metachunk > 1)
    with namespace.faults(*faults) as plan:
        if harmless or len(namespace.rawx) - replicas >= QUORUM:
            chunks, size, *_ = create(api, target, what.data, **limits(trouble.action, **QUICK))
        else:
            with pytest.raises(trouble.failure) as caught:
                create(api, target, what.data, **limits(trouble.action, **QUICK))
            assert sum(rawx.address in str(caught.value) for rawx in struck) >= QUORUM
            assert caught.value.reqid
            assert_nothing_left(namespace, api, target)
            # With the quorum lost, nobody need wait for the last rawx.
            assert faults[0].bars_the_door or sum(plan.hits(each) for each in faults) >= QUORUM
            return
    plan.assert_met()
    metachunks = -(-len(what.data) // CHUNK_SIZE)
    lost = 0 if harmless else replicas * (metachunks if faults[0].bars_the_door else 1)
    assert size == len(what.data)
    assert len(chunks) == metachunks * len(namespace.rawx) - lost
    assert {chunk["url"].rpartition("/")[2] for chunk in chunks} == chunks_on_disk(namespace)
    assert_stored(namespace, api, target, what.data)


@pytest.mark.parametrize("replicas", REPLICAS)
@pytest.mark.parametrize("what", [WRITES["small"], WRITES["large, first metachunk"]], ids=["small", "large"])
@pytest.mark.parametrize("trouble", WITHOUT_CONNECTION.values(), ids=WITHOUT_CONNECTION)
@pytest.mark.pitfall(21, 25, 28, 64)
def test_write_to_rawx_out_of_reach(namespace, api, caplog, trouble, what, replicas):
    check(namespace, api, what, trouble, replicas)
    for rawx in namespace.rawx[:replicas]:
        assert any("connect" in line and rawx.address in line for line in caplog.messages)


@pytest.mark.parametrize("replicas", REPLICAS)
@pytest.mark.parametrize("what", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("trouble", AROUND_THE_DATA.values(), ids=AROUND_THE_DATA)
@pytest.mark.pitfall(9, 10, 18, 20, 21, 22, 25, 28, 30, 59)
def test_write_with_trouble_around_the_data(namespace, api, trouble, what, replicas):
    check(namespace, api, what, trouble, replicas)


@pytest.mark.parametrize("replicas", REPLICAS)
@pytest.mark.parametrize("what", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("trouble", INSIDE_THE_DATA.values(), ids=INSIDE_THE_DATA)
@pytest.mark.pitfall(9, 10, 15, 16, 18, 21, 22, 25, 28)
def test_write_with_trouble_inside_the_data(namespace, api, trouble, where, what, replicas):
    settings = {**trouble.settings, "after_bytes": place(where, what.length)}
    check(namespace, api, what, trouble._replace(settings=settings), replicas)


@pytest.mark.pitfall(135)
def test_chunk_stored_by_a_first_request_whose_answer_was_lost_is_not_left_behind(namespace, api):
    target = stored(api, SMALL)
    api.object_delete(*target)
    lost_answer = Fault("commit-then-reset", operation="PUT", address=namespace.rawx[0].address, nth=1)
    with namespace.faults(lost_answer) as plan:
        chunks, *_ = create(api, target, SMALL)
    plan.assert_met()
    # The second request is refused because of the first.
    assert [r.status for r in namespace.requests if r.method == "PUT"].count(409) == 1
    assert len(chunks) == 2
    assert_stored(namespace, api, target, SMALL)


@pytest.mark.pitfall(28, 31)
@pytest.mark.parametrize("action", ["status", "commit-then-reset", "commit-then-timeout"])
def test_what_goes_wrong_when_cleaning_does_not_hide_why_the_write_failed(namespace, api, action):
    target = new_target()
    refusals = [Fault("status", operation="PUT", address=rawx.address) for rawx in namespace.rawx[:2]]
    plan = namespace.faults(*refusals, Fault(action, operation="DELETE"))
    with plan, pytest.raises(exc.ServiceBusy, match="quorum not reached"):
        create(api, target, SMALL, read_timeout=0.5)
    plan.assert_met()


@pytest.mark.pitfall(8, 28, 39)
@pytest.mark.parametrize("before", [0, 1, CHUNK_SIZE, CHUNK_SIZE + 1])
def test_source_that_fails_leaves_nothing(namespace, api, before):
    def source():
        yield LARGE[:before]
        raise RuntimeError("the disk is on fire")

    target = new_target()
    with pytest.raises(exc.SourceReadError, match="the disk is on fire") as caught:
        create(api, target, source())
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert_nothing_left(namespace, api, target)


@pytest.mark.pitfall(34, 131)
def test_other_data_than_announced_leave_nothing(namespace, api):
    target = new_target()
    with pytest.raises(exc.EtagMismatch, match="given etag 0000"):
        create(api, target, LARGE, etag="0" * 32)
    assert_nothing_left(namespace, api, target)
