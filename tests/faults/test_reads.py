# SPDX-License-Identifier: Apache-2.0
"""Reads of copies and of fragments from rawx that misbehave: the exact bytes, or an exception."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import pytest

from oio.common import exceptions as exc
from tests.kit.deadlines import growing_limits
from tests.kit.ec_objects import FRAGMENT
from tests.kit.layouts import LAYOUTS, Layout, Read, each_layout, taking_turns
from tests.kit.objects import SMALL, fault, part_of, read, stored
from tests.kit.read_troubles import (
    BEFORE_THE_DATA,
    EXACT,
    INSIDE_THE_DATA,
    PLACES,
    WITHOUT_CONNECTION,
    Trouble,
    in_head,
    place,
)
from tests.kit.releases import RELEASES


@pytest.fixture
def layout(request) -> Layout:
    return request.param


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A namespace of each layout and release, and the objects to read in it."""
    with contextlib.ExitStack() as stack:
        made = {}
        for (name, layout), release in itertools.product(LAYOUTS.items(), RELEASES):
            namespace = stack.enter_context(layout.running(tmp_path_factory.mktemp(name), release))
            with namespace.api() as api:
                objects = {data: stored(api, data) for data in layout.objects}
                made[layout.spare, release] = namespace, objects
        yield made


@pytest.fixture
def namespace(stores, layout, release):
    return stores[layout.spare, release][0]


@pytest.fixture
def objects(stores, layout, release):
    return stores[layout.spare, release][1]


def check(layout, namespace, api, target, what: Read, trouble: Trouble, faulty: int, **kwargs: Any) -> None:
    """Read while some rawx have a trouble, and see that the result is the right one."""
    struck = layout.pick(namespace, faulty)
    faults = [fault(trouble.action, "GET", address=rawx.address, **trouble.settings) for rawx in struck]
    expected = part_of(what.data, what.ranges)
    result = trouble.of_one if faulty <= layout.spare else trouble.of_all
    for quick in growing_limits(trouble.action, "connection_timeout", "read_timeout"):
        with namespace.faults(*faults) as plan:
            data, error = read(api, target, what.ranges, **quick, **kwargs)
        assert expected.startswith(data)
        assert (data == expected) == (error is None)
        told = (error is None) if result is EXACT else isinstance(error, result) and error.reqid
        if told and all(rawx.address in str(error) for rawx in struck if error):
            break
        api.close()
    assert told, error
    assert all(rawx.address in str(error) for rawx in struck if error)
    # While nothing fails, no other rawx is asked.
    asked = 1 if trouble.of_all is EXACT else faulty
    assert all(plan.hits(each) or each.bars_the_door for each in faults[:asked])


@taking_turns("reads", trouble=WITHOUT_CONNECTION)
@pytest.mark.pitfall(50, 55, 56, 64)
def test_read_from_rawx_out_of_reach(layout, tmp_path, caplog, trouble, what, faulty):
    with layout.running(tmp_path) as namespace, namespace.api(key_file=None) as api:
        target = stored(api, what.data)
        assert read(api, target, what.ranges) == (part_of(what.data, what.ranges), None)
        api.close()
        check(layout, namespace, api, target, what, trouble, faulty)
        assert f"connecting to {namespace.rawx[0].address}" in caplog.text


@taking_turns("reads", trouble=BEFORE_THE_DATA)
@pytest.mark.pitfall(13, 48, 50, 55, 59, 64, 138)
def test_read_with_trouble_before_the_data(layout, namespace, api, objects, trouble, what, faulty):
    check(layout, namespace, api, objects[what.data], what, trouble, faulty)


@taking_turns("reads", where=PLACES, trouble=INSIDE_THE_DATA)
@pytest.mark.pitfall(46, 49, 50, 59, 64, 127, 137, 138)
def test_read_with_trouble_inside_the_data(layout, namespace, api, objects, trouble, where, what, faulty):
    settings = {**trouble.settings, "after_bytes": place(where, what.answer)}
    check(layout, namespace, api, objects[what.data], what, trouble._replace(settings=settings), faulty)


@taking_turns("reads", where=("middle", "last"))
def test_read_of_data_that_come_drop_by_drop(layout, namespace, api, objects, where, what, faulty):
    of_all = EXACT if where == "last" else exc.ServiceUnavailable
    settings = {"after_bytes": place(where, what.answer), "seconds": 0.02}
    drip = Trouble("drip", settings, of_all=of_all)
    check(layout, namespace, api, objects[what.data], what, drip, faulty)


#: Where the headers of the fragments are, of the first segment and of the second.
HEADERS = [0, 4, 12, 59, 67]


@pytest.mark.parametrize("layout", [LAYOUTS["EC"]], ids=["EC"], indirect=True)
@pytest.mark.parametrize(("segment", "faulty"), [(0, 1), (0, 3), (0, 4), (1, 1), (1, 3)])
@pytest.mark.parametrize("at", HEADERS)
@pytest.mark.pitfall(53, 126, 137)
def test_read_of_fragments_with_damaged_headers(layout, namespace, api, objects, at, segment, faulty):
    corrupt = Trouble("corrupt", {"after_bytes": at + segment * FRAGMENT})
    what = layout.reads["large"]
    check(layout, namespace, api, objects[what.data], what, corrupt, faulty)


@taking_turns("reads", at=(100, 200, -1))
@pytest.mark.pitfall(126, "D2")
def test_strict_read_of_wrong_bytes(layout, namespace, api, objects, at, what, faulty):
    struck = layout.pick(namespace, faulty)
    faults = [fault("corrupt", "GET", address=rawx.address, after_bytes=at) for rawx in struck]
    with namespace.faults(*faults) as plan:
        data, error = read(api, objects[what.data], what.ranges, verify_checksum="strict")
    plan.assert_met()
    expected = part_of(what.data, what.ranges)
    if faulty <= layout.spare:
        assert (data, error) == (expected, None)
    else:
        assert isinstance(error, exc.CorruptedChunk)
        assert expected.startswith(data)
        assert any(rawx.address in str(error) for rawx in struck)


@each_layout
@pytest.mark.pitfall(138)
def test_whatever_bit_of_a_head_flips_reads_are_exact_or_fail(layout, namespace, api):
    target = stored(api, SMALL)
    flipped = 0
    for position in range(0, 2000, 17):
        flip = in_head("corrupt", after_bytes=position)
        struck = layout.pick(namespace, 4)
        faults = [fault(flip.action, "GET", address=rawx.address, **flip.settings) for rawx in struck]
        with namespace.faults(*faults) as plan:
            data, error = read(api, target, [(10, 989)], read_timeout=1.0)
        if not any(map(plan.hits, faults)):
            break
        flipped += 1
        assert error or data == SMALL[10:990]
    assert flipped > 40
