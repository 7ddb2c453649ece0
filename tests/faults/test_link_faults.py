# SPDX-License-Identifier: Apache-2.0
"""Links that fail: below the quorum, or when the new object is refused, none of them is left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.common.fullpath import decode_fullpath, encode_fullpath
from oio.sandbox import Fault, Namespace
from tests.kit import ec_objects
from tests.kit.commit_troubles import DONE, NOT_DONE, QUICK, REFUSALS, refusal
from tests.kit.deadlines import kept_by
from tests.kit.objects import (
    LARGE,
    SMALL,
    Target,
    chunks_listed,
    chunks_on_disk,
    limits,
    new_target,
    read,
    running_namespace,
    stored,
)
from tests.kit.releases import RELEASES

ON_RELEASES = RELEASES


@pytest.fixture
def namespace(tmp_path: Path, release: str) -> Iterator[Namespace]:
    """A namespace that makes links: those of 2026 do if they are told to."""
    with running_namespace(tmp_path, release, shallow_copy=True) as running:
        yield running


#: What may go wrong with a COPY, what is raised when that is so for too many, and whether it may be done.
TROUBLES: dict[str, tuple[dict[str, Any], type[exc.OioException]]] = {
    "refuse": ({"action": "refuse"}, exc.ServiceBusy),
    "stall in connect": ({"action": "stall", "phase": "connect"}, exc.OioTimeout),
    "stall": ({"action": "stall", "phase": "head"}, exc.OioTimeout),
    "reset": ({"action": "reset", "phase": "head"}, exc.ServiceBusy),
    "truncated answer": ({"action": "truncate", "phase": "head", "after_bytes": 5}, exc.ServiceBusy),
    "stalled answer": ({"action": "stall", "phase": "head", "after_bytes": 5}, exc.OioTimeout),
    "no answer": ({"action": "commit-then-timeout"}, exc.OioTimeout),
    "reset instead of an answer": ({"action": "commit-then-reset"}, exc.ServiceBusy),
    "corrupt answer": ({"action": "corrupt", "phase": "head"}, exc.ServiceBusy),
    **{
        f"status {status}": ({"action": "status", "status": status}, exc.ServiceBusy)
        for status in (200, 400, 403, 404, 500, 503)
    },
    "status 409": ({"action": "status", "status": 409}, exc.Conflict),
}


def trouble(name: str, address: str) -> Fault:
    settings, _ = TROUBLES[name]
    bars_the_door = name in ("refuse", "stall in connect")
    return Fault(**settings, operation=None if bars_the_door else "COPY", address=address)


def waiting(name: str) -> dict[str, float]:
    """Timeouts of a call, where nothing else ends a trouble."""
    return limits(TROUBLES[name][0]["action"], connection_timeout=2.0, read_timeout=2.0)


def link(api: Any, target: Target, to: Target, **kwargs: Any) -> Any:
    return api.object_link(*target, *to, **kwargs)


def targets_of(namespace: Namespace, method: str) -> list[str]:
    return [
        f"{request.address}{request.target}"
        for request in namespace.requests
        if request.service == "rawx" and request.method == method
    ]


# --- one of three, two of three -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in TROUBLES if name != "status 409"])
@pytest.mark.pitfall(99)
def test_link_has_the_quorum_without_one_of_three(namespace, api, name):
    # Each metachunk waits for a service that does not answer.
    data = SMALL if waiting(name) else LARGE
    target, to = stored(api, data), new_target()
    before = chunks_on_disk(namespace)
    with namespace.faults(trouble(name, namespace.rawx[0].address)) as plan:
        link(api, target, to, **waiting(name))
        plan.assert_met()
    assert len(chunks_listed(api, to)) == 2 * len(before) / 3
    assert chunks_on_disk(namespace) == before | chunks_listed(api, to)
    assert read(api, to) == read(api, target) == (data, None)


@pytest.mark.parametrize("name", TROUBLES)
@pytest.mark.pitfall(99, 117)
def test_no_link_is_left_without_the_quorum(namespace, api, name, release):
    _, expected = TROUBLES[name]
    # Where links have only one name, there must not be fewer of them because of what is in the way.
    wanted = 3 if (release, name) == ("2026", "status 409") else 2
    target, to = stored(api, SMALL), new_target()
    before = chunks_on_disk(namespace)
    faults = [trouble(name, rawx.address) for rawx in namespace.rawx[:2]]
    with namespace.faults(*faults) as plan, pytest.raises(expected, match=rf"not reached \(1/{wanted}\)"):
        link(api, target, to, **waiting(name))
    plan.assert_met()
    _assert_nothing_linked(namespace, api, target, to, before)
    assert read(api, target) == (SMALL, None)


def _assert_nothing_linked(
    namespace: Namespace, api: Any, target: Target, to: Target, before: set[str]
) -> None:
    with pytest.raises((exc.NoSuchObject, exc.NoSuchContainer)):
        api.object_locate(*to)
    assert chunks_on_disk(namespace) == before
    # No request has ever concerned the chunks of the target otherwise.
    assert set(targets_of(namespace, "DELETE")).isdisjoint(before)


@pytest.mark.pitfall(99)
def test_links_of_earlier_metachunks_are_removed_too(namespace, api):
    target, to = stored(api, LARGE), new_target()
    before = chunks_on_disk(namespace)
    faults = [Fault("status", operation="COPY", address=rawx.address, nth=3) for rawx in namespace.rawx[1:]]
    with namespace.faults(*faults) as plan, pytest.raises(exc.ServiceBusy):
        link(api, target, to)
    plan.assert_met()
    # All rawx had two links by then, and one of them a third.
    assert len(targets_of(namespace, "COPY")) == 9
    _assert_nothing_linked(namespace, api, target, to, before)


@pytest.mark.pitfall(99)
def test_chunk_that_is_lost_counts_as_a_failure(namespace, api):
    target, to = stored(api, SMALL), new_target()
    _, chunks = api.object_locate(*target)
    api.blob_client.chunk_delete(chunks[0]["url"])
    link(api, target, to)
    assert len(chunks_listed(api, to)) == 2
    api.blob_client.chunk_delete(chunks[1]["url"])
    before = chunks_on_disk(namespace)
    with pytest.raises(exc.ServiceBusy, match="HTTP 404"):
        link(api, target, new_target())
    assert chunks_on_disk(namespace) == before


@pytest.mark.pitfall(30)
def test_chunk_that_has_the_name_of_a_link_is_left_alone(namespace, api):
    """The link gets another name; when that is taken too, the chunk that has it stays."""
    target, to = stored(api, SMALL), new_target()
    fault = Fault("status", operation="COPY", status=409, address=namespace.rawx[0].address, nth=1)
    with namespace.faults(fault) as plan:
        link(api, target, to)
        plan.assert_met()
    assert len(chunks_listed(api, to)) == 3
    assert targets_of(namespace, "DELETE") == []
    assert len(targets_of(namespace, "COPY")) == 4
    faults = [Fault("status", operation="COPY", status=409, address=rawx.address) for rawx in namespace.rawx]
    # Not even when its server does not say whose it is.
    for untold in ([], [Fault("status", operation="HEAD", status=200)]):
        with namespace.faults(*faults, *untold), pytest.raises(exc.Conflict):
            link(api, target, new_target())
    assert targets_of(namespace, "DELETE") == []


# --- servers that make no links -------------------------------------------------------------------------

OWNER = {"container_id", "content_id", "content_path", "content_version", "full_path", "chunk_id"}
"""What is told of a chunk and of the object that it is for."""


def described(api: Any, target: Target) -> dict[str, dict[str, Any]]:
    """What chunk servers know of the chunks of an object, but for their owner and their dates."""
    _, chunks = api.object_locate(*target)
    heads = {
        f"{c['url'].rpartition('/')[0]} {c['pos']}": api.blob_client.chunk_head(c["url"]) for c in chunks
    }
    return {
        place: {key: value for key, value in head.items() if key not in OWNER | {"chunk_mtime"}}
        for place, head in heads.items()
    }


def refuse_links(namespace: Namespace, count: int) -> None:
    for rawx in namespace.rawx[:count]:
        rawx.shallow_copy = False


@pytest.mark.pitfall("W5")
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=len)
def test_data_are_copied_where_links_are_refused(namespace, api, data, count):
    refuse_links(namespace, count)
    target, to = stored(api, data), new_target()
    namespace.forget_requests()
    link(api, target, to)
    assert len(chunks_listed(api, to)) == len(chunks_listed(api, target))
    assert chunks_on_disk(namespace) == chunks_listed(api, target) | chunks_listed(api, to)
    assert described(api, to) == described(api, target)
    assert api.object_head(*to, trust_level=2)
    api.object_delete(*target)
    assert read(api, to, verify_checksum="strict") == (data, None)
    assert chunks_on_disk(namespace) == chunks_listed(api, to)


@pytest.mark.pitfall("W5")
def test_server_that_refuses_links_is_remembered(namespace, api):
    refuse_links(namespace, 1)
    target = stored(api, LARGE)
    refusing = namespace.rawx[0].address
    link(api, target, new_target())
    namespace.forget_requests()
    link(api, target, new_target())
    copies = targets_of(namespace, "COPY")
    assert len(copies) == 6
    assert not [place for place in copies if place.startswith(refusing)]
    assert {place.partition("/")[0] for place in targets_of(namespace, "PUT")} == {refusing}


@pytest.mark.pitfall("W5")
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("answers", [True, False], ids=["full", "out of reach"])
def test_no_link_has_fewer_chunks_because_a_server_wants_none(namespace, api, known, answers):
    refuse_links(namespace, 1)
    if known:
        link(api, stored(api, SMALL), new_target())
    target, to = stored(api, SMALL), new_target()
    before = chunks_on_disk(namespace)
    namespace.forget_requests()
    address = namespace.rawx[0].address
    troubles = [Fault("status", operation="PUT", status=507, address=address)]
    if not answers:
        # Nobody knows whether the chunk is still there.
        troubles.append(Fault("reset", operation="HEAD", phase="head", address=address))
    with (
        namespace.faults(*troubles) as plan,
        pytest.raises(exc.ServiceBusy, match=r"not reached \(2/3\).*507"),
    ):
        link(api, target, to)
    plan.assert_met()
    _assert_nothing_linked(namespace, api, target, to, before)


@pytest.mark.pitfall("W5", 99)
@pytest.mark.parametrize("how", ["lost", "damaged"])
def test_chunk_that_cannot_be_copied_for_its_own_fault_is_lost(namespace, api, how):
    refuse_links(namespace, 3)
    target, to = stored(api, SMALL), new_target()
    address = namespace.rawx[0].address
    (place,) = [place for place in chunks_listed(api, target) if place.startswith(address)]
    if how == "lost":
        api.blob_client.chunk_delete(place)
    else:
        (path,) = namespace.rawx[0].volume.rglob(place.rpartition("/")[2])
        path.write_bytes(b"?" + path.read_bytes()[1:])
    before = chunks_on_disk(namespace)
    link(api, target, to)
    made = chunks_listed(api, to)
    assert len(made) == 2
    assert not [place for place in made if place.startswith(address)]
    assert chunks_on_disk(namespace) == before | made
    assert read(api, to) == (SMALL, None)


@pytest.mark.pitfall("W5")
@pytest.mark.parametrize(
    "trouble",
    [
        {"action": "reset", "phase": "body", "operation": "GET"},
        {"action": "reset", "phase": "head", "operation": "PUT"},
        {"action": "commit-then-reset", "operation": "PUT"},
    ],
    ids=["while reading", "while writing", "answer lost"],
)
def test_copies_of_which_too_many_fail_leave_nothing(namespace, api, trouble):
    refuse_links(namespace, 3)
    target, to = stored(api, SMALL), new_target()
    before = chunks_on_disk(namespace)
    namespace.forget_requests()
    faults = [Fault(address=rawx.address, **trouble) for rawx in namespace.rawx[:2]]
    with namespace.faults(*faults) as plan, pytest.raises(exc.OioException, match="not reached"):
        link(api, target, to)
    plan.assert_met()
    _assert_nothing_linked(namespace, api, target, to, before)


def linked_before(api: Any) -> set[str]:
    """Make a link, so that there are kept connections, and give the chunks that there are by then."""
    target, to = stored(api, SMALL), new_target()
    link(api, target, to)
    return chunks_listed(api, target) | chunks_listed(api, to)


@pytest.mark.pitfall("W3", "W5", 135)
@pytest.mark.parametrize("call", ["link", "snapshot"])
def test_copy_whose_answer_was_lost_is_there(namespace, api, call):
    """It is said twice on its way, and refused the second time."""
    refuse_links(namespace, 3)
    target, to, earlier = stored(api, SMALL), new_target(), linked_before(api)
    answer_lost = Fault("commit-then-reset", operation="PUT", nth=1)
    with namespace.faults(answer_lost) as plan:
        if call == "link":
            link(api, target, to)
        else:
            api.container_snapshot(*target[:2], *to[:2])
            to = to._replace(name=target.name)
        plan.assert_met()
    assert len(chunks_listed(api, to)) == 3
    assert chunks_on_disk(namespace) == earlier | chunks_listed(api, target) | chunks_listed(api, to)
    assert described(api, to) == described(api, target)
    assert read(api, to, verify_checksum="strict") == (SMALL, None)


@pytest.mark.pitfall("W3", "W5", 30)
@pytest.mark.parametrize(("nth", "left"), [(1, 0), (None, 1)], ids=["once", "ever"])
def test_copy_that_nobody_can_tell_of_is_removed_once_it_can_be_looked_at(namespace, api, nth, left):
    refuse_links(namespace, 3)
    linked_before(api)
    target, to = stored(api, SMALL), new_target()
    before = chunks_on_disk(namespace)
    troubles = [
        Fault("commit-then-reset", operation="PUT", nth=1),
        Fault("status", operation="HEAD", status=503, nth=nth),
    ]
    with (
        namespace.faults(*troubles) as plan,
        pytest.raises(exc.ServiceBusy, match="maybe because of the first time"),
    ):
        link(api, target, to)
    plan.assert_met()
    # It may be the chunk of another object.
    found = chunks_on_disk(namespace)
    assert len(found - before) == left
    _assert_nothing_linked(namespace, api, target, to, found)


@pytest.mark.pitfall("W3", 30, 135)
@pytest.mark.parametrize("other", [{"path": "another"}, {}], ids=["object", "position"])
def test_chunk_in_the_place_of_a_copy_that_was_said_twice_stays(namespace, api, other):
    target = stored(api, LARGE)
    _, chunks = api.object_locate(*target)
    blob = api.blob_client
    first, second = (next(chunk["url"] for chunk in chunks if chunk["pos"] == pos) for pos in "01")
    place = f"{first.rpartition('/')[0]}/{'AB' * 32}"
    blob.chunk_copy(first, place, **other)
    there = blob.chunk_head(place)
    reset = Fault("reset", operation="PUT", phase="head", nth=1)
    with namespace.faults(reset) as plan, pytest.raises(exc.Conflict):
        blob.chunk_copy(second, place)
    plan.assert_met()
    assert blob.chunk_head(place, check_hash=True) == there


@pytest.mark.pitfall("W5", 29)
def test_refused_commit_of_copies_leaves_no_chunk(namespace, api):
    refuse_links(namespace, 3)
    target, to = stored(api, SMALL), new_target()
    before = chunks_on_disk(namespace)
    namespace.forget_requests()
    with namespace.faults(refusal(403, 403)), pytest.raises(exc.Forbidden):
        link(api, target, to)
    _assert_nothing_linked(namespace, api, target, to, before)


@pytest.mark.pitfall("W5")
def test_nine_fragments_are_linked_though_one_server_refuses(ec_namespace):
    refuse_links(ec_namespace, 1)
    with ec_namespace.api() as api:
        target, to = stored(api, ec_objects.SMALL), new_target()
        link(api, target, to)
        assert len(chunks_listed(api, to)) == len(chunks_listed(api, target)) == 9
        assert described(api, to) == described(api, target)
        api.object_delete(*target)
        assert read(api, to, verify_checksum="strict") == (ec_objects.SMALL, None)


# --- erasure coding -------------------------------------------------------------------------------------


@pytest.fixture
def ec_namespace(tmp_path, release) -> Iterator[Namespace]:
    with ec_objects.running_namespace(tmp_path, release, shallow_copy=True) as running:
        yield running


@pytest.mark.parametrize("lost", [2, 3])
@pytest.mark.pitfall(99)
def test_quorum_of_fragments(ec_namespace, lost):
    with ec_namespace.api() as api:
        target, to = stored(api, ec_objects.SMALL), new_target()
        before = chunks_on_disk(ec_namespace)
        faults = [
            Fault("status", operation="COPY", address=rawx.address) for rawx in ec_namespace.rawx[:lost]
        ]
        with ec_namespace.faults(*faults) as plan:
            if lost == 2:
                link(api, target, to)
            else:
                with pytest.raises(exc.ServiceBusy, match=r"\(6/7\)"):
                    link(api, target, to)
            plan.assert_met()
        if lost == 2:
            _, chunks = api.object_locate(*to)
            positions = {
                chunk["pos"]: api.blob_client.chunk_head(chunk["url"])["chunk_pos"] for chunk in chunks
            }
            assert all(pos == on_disk for pos, on_disk in positions.items())
            assert len(positions) == 7
            api.object_delete(*target)
            assert read(api, to) == (ec_objects.SMALL, None)
        else:
            _assert_nothing_linked(ec_namespace, api, target, to, before)


@pytest.mark.pitfall(30, 99)
def test_chunk_of_another_object_is_left_when_its_refusal_was_lost(namespace, api, monkeypatch):
    target, to = stored(api, SMALL), new_target()
    before, make, places = chunks_on_disk(namespace), api.blob_client.chunk_link, []

    def make_after_another(address: str, place: str, fullpath: str, **kwargs: Any) -> None:
        another = encode_fullpath(*decode_fullpath(fullpath)[:-1], "AB" * 16)
        api.blob_client.chunk_copy(address, place, fullpath=another)
        places.append(place)
        with pytest.raises(exc.ChunkException, match="409"):
            make(address, place, fullpath, **kwargs)
        raise exc.OioNetworkException("the answer was lost")

    monkeypatch.setattr(api.blob_client, "chunk_link", make_after_another)
    with pytest.raises(exc.ServiceBusy, match="the answer was lost"):
        link(api, target, to)
    assert len(places) == 3
    for place in places:
        api.blob_client.chunk_head(place, check_hash=True)
    assert len(chunks_on_disk(namespace) - before) == 3


# --- commit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("http", "status", "expected"), REFUSALS)
@pytest.mark.pitfall(29, 99)
def test_refused_link_leaves_no_chunk(namespace, api, http, status, expected):
    target, to = stored(api, SMALL), new_target()
    before = chunks_on_disk(namespace)
    with namespace.faults(refusal(http, status)) as plan, pytest.raises(expected, match="because") as caught:
        link(api, target, to)
    plan.assert_met()
    assert caught.value.reqid
    _assert_nothing_linked(namespace, api, target, to, before)


@pytest.mark.parametrize("doubt", NOT_DONE.values(), ids=NOT_DONE)
@pytest.mark.pitfall(29, 33)
def test_uncertain_link_is_raised_and_keeps_its_chunks(namespace, api, doubt):
    target, to = stored(api, SMALL), new_target()
    namespace.forget_requests()
    with namespace.faults(doubt.fault) as plan, pytest.raises(doubt.expected):
        link(api, target, to, request_attempts=5, **QUICK)
    plan.assert_met()
    assert len([r for r in namespace.requests if "content/create" in r.target]) == 1
    assert len(chunks_on_disk(namespace)) == 6


@pytest.mark.parametrize("lost_answer", DONE.values(), ids=DONE)
@pytest.mark.pitfall(29, 143)
def test_link_whose_answer_was_lost_is_a_success(namespace, api, lost_answer):
    target, to = stored(api, SMALL), new_target()
    with namespace.faults(lost_answer) as plan:
        meta = link(api, target, to, request_attempts=5, **QUICK)
    plan.assert_met()
    assert api.object_get_properties(*to)["id"] == meta["id"]
    assert read(api, to) == (SMALL, None)


def test_frozen_container_gets_no_link(namespace, api):
    target, to = stored(api, SMALL), new_target()
    api.container_create(*to[:2])
    api.container.container_freeze(*to[:2])
    before = chunks_on_disk(namespace)
    with pytest.raises(exc.ServiceBusy) as caught:
        link(api, target, to)
    assert caught.value.status == 436
    assert chunks_on_disk(namespace) == before


@pytest.mark.pitfall(31)
def test_trouble_with_the_removal_does_not_hide_the_failure(namespace, api):
    target = stored(api, SMALL)
    removal = Fault("status", operation="DELETE")
    with namespace.faults(refusal(403, 403), removal) as plan, pytest.raises(exc.Forbidden):
        link(api, target, new_target())
    plan.assert_met()


@pytest.mark.parametrize("route", ["content/locate", "content/get_properties", "content/prepare2"])
def test_trouble_before_the_links_leaves_none(namespace, api, route):
    target, to = stored(api, SMALL), new_target()
    before = chunks_on_disk(namespace)
    body = json.dumps({"status": 503, "message": "because"})
    fault = Fault("status", service="proxy", operation=route, body=body)
    with namespace.faults(fault) as plan, pytest.raises(exc.ServiceBusy, match="because"):
        link(api, target, to)
    plan.assert_met()
    assert targets_of(namespace, "COPY") == []
    assert chunks_on_disk(namespace) == before


# --- deadlines ------------------------------------------------------------------------------------------


def test_deadline_bounds_the_links_and_says_so(namespace, api):
    target, to = stored(api, SMALL), new_target()
    before = chunks_on_disk(namespace)
    stall = [
        Fault("stall", operation="COPY", phase="head", address=rawx.address) for rawx in namespace.rawx[:2]
    ]
    error = kept_by(namespace, *stall, call=lambda deadline: link(api, target, to, deadline=deadline))
    assert isinstance(error, exc.DeadlineReached)
    assert "quorum not reached" in str(error)
    _assert_nothing_linked(namespace, api, target, to, before)


@pytest.mark.pitfall("W5")
def test_copies_whose_answers_come_after_the_deadline_are_removed(namespace, api):
    refuse_links(namespace, 3)
    target, to = stored(api, SMALL), new_target()
    before = chunks_on_disk(namespace)
    late = [
        Fault("commit-then-timeout", operation="PUT", address=rawx.address) for rawx in namespace.rawx[:2]
    ]
    error = kept_by(namespace, *late, call=lambda deadline: link(api, target, to, deadline=deadline))
    assert isinstance(error, exc.DeadlineReached)
    _assert_nothing_linked(namespace, api, target, to, before)


def test_deadline_that_has_passed_sends_nothing(namespace, api):
    target = stored(api, SMALL)
    namespace.forget_requests()
    with pytest.raises(exc.DeadlineReached):
        link(api, target, new_target(), deadline=time.monotonic() - 1.0)
    assert list(namespace.requests) == []
