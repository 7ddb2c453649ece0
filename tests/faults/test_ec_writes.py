# SPDX-License-Identifier: Apache-2.0
"""Writes of erasure-coded objects to rawx that misbehave: stored and complete, or refused without a trace."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from tests.kit.ec_objects import DATA, FRAGMENT, LARGE, METACHUNK, PARITY, SMALL, running_namespace
from tests.kit.objects import (
    assert_nothing_left,
    assert_stored,
    chunks_on_disk,
    create,
    fault,
    limits,
    new_target,
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

QUORUM = DATA + 1


class Write(NamedTuple):
    """What is stored, which of its metachunks is struck, and how many bytes the chunks of this one have."""

    data: bytes
    metachunk: int
    length: int


WRITES = {
    "small": Write(SMALL, 1, 248),
    "large, first metachunk": Write(LARGE, 1, 2 * FRAGMENT),
    "large, last metachunk": Write(LARGE, 2, FRAGMENT + 914),
}

FAULTY = (0, 1, PARITY - 1, PARITY, PARITY + 1)


@pytest.fixture
def namespace(tmp_path):
    with running_namespace(tmp_path) as running:
        yield running


def check(namespace, api, what: Write, trouble: Trouble, faulty: int) -> None:
    """Write while some rawx have a trouble, and see that the result is the right one."""
    target = new_target()
    struck = namespace.rawx[:faulty]
    faults = [fault(trouble.action, "PUT", address=rawx.address, **trouble.settings) for rawx in struck]
    bars_the_door = any(each.bars_the_door for each in faults)
    if not bars_the_door:
        faults = [replace(each, nth=what.metachunk) for each in faults]
    harmless = trouble.failure is None or (trouble.heals and what.metachunk > 1)
    with namespace.faults(*faults) as plan:
        if harmless or len(namespace.rawx) - faulty >= QUORUM:
            chunks, size, *_ = create(api, target, what.data, **limits(trouble.action, **QUICK))
        else:
            with pytest.raises(trouble.failure) as caught:
                create(api, target, what.data, **limits(trouble.action, **QUICK))
            assert sum(rawx.address in str(caught.value) for rawx in struck) >= PARITY
            assert caught.value.reqid
            assert_nothing_left(namespace, api, target)
            return
    plan.assert_met()
    metachunks = -(-len(what.data) // METACHUNK)
    lost = 0 if harmless else faulty * (metachunks if bars_the_door else 1)
    assert size == len(what.data)
    assert len(chunks) == metachunks * len(namespace.rawx) - lost
    assert {chunk["url"].rpartition("/")[2] for chunk in chunks} == chunks_on_disk(namespace)
    assert_stored(namespace, api, target, what.data)


@pytest.mark.parametrize("faulty", FAULTY)
@pytest.mark.parametrize("what", [WRITES["small"], WRITES["large, first metachunk"]], ids=["small", "large"])
@pytest.mark.parametrize("trouble", WITHOUT_CONNECTION.values(), ids=WITHOUT_CONNECTION)
@pytest.mark.pitfall(20, 21, 25, 28, 64)
def test_write_to_rawx_out_of_reach(namespace, api, trouble, what, faulty):
    check(namespace, api, what, trouble, faulty)


@pytest.mark.parametrize("faulty", FAULTY[1:])
@pytest.mark.parametrize("what", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("trouble", AROUND_THE_DATA.values(), ids=AROUND_THE_DATA)
@pytest.mark.pitfall(8, 9, 10, 18, 20, 21, 22, 25, 28, 30, 59)
def test_write_with_trouble_around_the_data(namespace, api, trouble, what, faulty):
    check(namespace, api, what, trouble, faulty)


@pytest.mark.parametrize("faulty", FAULTY[1:])
@pytest.mark.parametrize("what", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("trouble", INSIDE_THE_DATA.values(), ids=INSIDE_THE_DATA)
@pytest.mark.pitfall(9, 10, 15, 16, 17, 18, 21, 22, 25, 28)
def test_write_with_trouble_inside_the_data(namespace, api, trouble, where, what, faulty):
    settings = {**trouble.settings, "after_bytes": place(where, what.length)}
    check(namespace, api, what, trouble._replace(settings=settings), faulty)
