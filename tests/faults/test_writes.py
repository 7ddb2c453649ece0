# SPDX-License-Identifier: Apache-2.0
"""Writes of copies and of fragments to rawx that misbehave: complete, or refused without a trace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault
from tests.kit.deadlines import growing_limits
from tests.kit.layouts import LAYOUTS, Layout, Write, each_layout, taking_turns
from tests.kit.objects import (
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
    WITHOUT_CONNECTION,
    Trouble,
    place,
)


@pytest.fixture
def layout(request) -> Layout:
    return request.param


@pytest.fixture
def namespace(layout, tmp_path, release):
    with layout.running(tmp_path, release) as running:
        yield running


def attempt(api, target, data, **limits) -> tuple[list, exc.OioException | None]:
    """Write; the chunks that were stored, or the exception of the library."""
    try:
        chunks, size, *_ = create(api, target, data, **limits)
    except exc.OioException as err:
        return [], err
    assert size == len(data)
    return chunks, None


def check(layout, namespace, api, what: Write, trouble: Trouble, faulty: int) -> None:
    """Write while some rawx have a trouble, and see that the result is the right one."""
    if what.kept:
        api.object_delete(*stored(api, what.data))
    struck = layout.pick(namespace, faulty)
    faults = [fault(trouble.action, "PUT", address=rawx.address, **trouble.settings) for rawx in struck]
    bars_the_door = faults[0].bars_the_door
    if not bars_the_door:
        faults = [replace(each, nth=what.metachunk) for each in faults]
    harmless = trouble.failure is None or (trouble.heals and (what.kept or what.metachunk > 1))
    tolerated = len(namespace.rawx) - layout.quorum
    metachunks = -(-len(what.data) // layout.metachunk)
    lost = 0 if harmless else faulty * (metachunks if bars_the_door else 1)
    expected = 0 if not harmless and faulty > tolerated else metachunks * len(namespace.rawx) - lost
    for quick in growing_limits(trouble.action, "connection_timeout", "write_timeout"):
        target = new_target()
        with namespace.faults(*faults) as plan:
            chunks, error = attempt(api, target, what.data, **quick)
        named = sum(rawx.address in str(error) for rawx in struck)
        hits = sum(plan.hits(each) for each in faults)
        # With the quorum lost, nobody need wait for the last rawx.
        enough = expected or (named > tolerated and (bars_the_door or hits > tolerated))
        if len(chunks) == expected and enough:
            break
        if chunks:
            api.object_delete(*target)
    assert len(chunks) == expected
    if expected:
        plan.assert_met()
        assert {chunk["url"].removeprefix("http://") for chunk in chunks} == chunks_on_disk(namespace)
        assert_stored(namespace, api, target, what.data)
    else:
        assert isinstance(error, trouble.failure), error
        assert enough, error
        assert error.reqid
        assert_nothing_left(namespace, api, target)


@taking_turns("writes", "small$|large, first", trouble=WITHOUT_CONNECTION)
@pytest.mark.pitfall(20, 21, 25, 28, 64)
def test_write_to_rawx_out_of_reach(layout, namespace, api, caplog, trouble, what, faulty):
    check(layout, namespace, api, what, trouble, faulty)
    named = [
        rawx
        for rawx in layout.pick(namespace, faulty)
        if any("connect" in line and rawx.address in line for line in caplog.messages)
    ]
    # With the quorum lost, nobody need wait for the last rawx.
    assert len(named) >= min(faulty, len(namespace.rawx) - layout.quorum + 1)


@taking_turns("writes", trouble=AROUND_THE_DATA)
@pytest.mark.pitfall(8, 9, 10, 18, 20, 21, 22, 25, 28, 30, 59, 135)
def test_write_with_trouble_around_the_data(layout, namespace, api, trouble, what, faulty):
    check(layout, namespace, api, what, trouble, faulty)


@taking_turns("writes", where=PLACES, trouble=INSIDE_THE_DATA)
@pytest.mark.pitfall(9, 10, 15, 16, 17, 18, 21, 22, 25, 28, 135)
def test_write_with_trouble_inside_the_data(layout, namespace, api, trouble, where, what, faulty):
    settings = {**trouble.settings, "after_bytes": place(where, what.length)}
    check(layout, namespace, api, what, trouble._replace(settings=settings), faulty)


@each_layout
@pytest.mark.pitfall(135)
def test_chunk_stored_by_a_first_request_whose_answer_was_lost_is_not_left_behind(layout, namespace, api):
    data = layout.writes["small"].data
    target = stored(api, data)
    api.object_delete(*target)
    lost_answer = Fault("commit-then-reset", operation="PUT", address=namespace.rawx[0].address, nth=1)
    with namespace.faults(lost_answer) as plan:
        chunks, *_ = create(api, target, data)
    plan.assert_met()
    # The second request is refused because of the first.
    assert [r.status for r in namespace.requests if r.method == "PUT"].count(409) == 1
    assert len(chunks) == len(namespace.rawx) - 1
    assert_stored(namespace, api, target, data)


@pytest.mark.parametrize("layout", [LAYOUTS["copies"]], ids=["copies"], indirect=True)
@pytest.mark.pitfall(28, 31)
@pytest.mark.parametrize("action", ["status", "commit-then-reset", "commit-then-timeout"])
def test_what_goes_wrong_when_cleaning_does_not_hide_why_the_write_failed(layout, namespace, api, action):
    target = new_target()
    refusals = [Fault("status", operation="PUT", address=rawx.address) for rawx in namespace.rawx[:2]]
    plan = namespace.faults(*refusals, Fault(action, operation="DELETE"))
    with plan, pytest.raises(exc.ServiceBusy, match="quorum not reached"):
        create(api, target, b"data", **limits(action, read_timeout=1.0))
    plan.assert_met()
