# SPDX-License-Identifier: Apache-2.0
"""Truncations and changes of policy that fail: the object is as it was, or as it was asked to be."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from oio.common import exceptions as exc
from oio.common.events import CHUNK_FAILED
from oio.common.options import Options
from oio.common.utils import cid_from_name, compute_chunk_id
from oio.sandbox import Fault
from tests.kit import ec_objects
from tests.kit.deadlines import kept_by
from tests.kit.objects import (
    CHUNK_SIZE,
    LARGE,
    SMALL,
    Target,
    assert_stored,
    chunks_listed,
    chunks_on_disk,
    create,
    fault,
    limits,
    read,
    stored,
)
from tests.kit.releases import RELEASES

ON_RELEASES = RELEASES

CUT = CHUNK_SIZE + 1000
"""Inside the second of three metachunks."""


class Rewrite(NamedTuple):
    """A call that stores data of an object again."""

    make: Callable[..., Any]
    commit: str
    result: bytes


def truncate(api: Any, target: Target, **options: Any) -> Any:
    return api.object_truncate(*target, size=CUT, **options)


def change_policy(api: Any, target: Target, **options: Any) -> Any:
    return api.object_change_policy(*target, "EC21", **options)


REWRITES = {
    "truncation": Rewrite(truncate, "content/update", LARGE[:CUT]),
    "change of policy": Rewrite(change_policy, "content/create", LARGE),
}
#: What an object may be when its truncation failed after the first of its two requests.
BETWEEN = LARGE[: 2 * CHUNK_SIZE]

everywhere = pytest.mark.parametrize("rewrite", REWRITES.values(), ids=REWRITES)


@pytest.fixture
def target(api) -> Target:
    return stored(api, LARGE, policy="THREECOPIES")


def keep_places(client: Any, places: dict[int, Any]) -> None:
    """Let all changes have the chunk servers of the first one, in the same order.

    :param places: gets the chunks of each metachunk
    """
    prepare = client.container.content_prepare

    def prepare_there(*args: Any, position: int = 0, **kwargs: Any) -> Any:
        meta, chunks = prepare(*args, position=position, **kwargs)
        return meta, places.setdefault(position, chunks)

    client.container.content_prepare = prepare_there


def requests_to(namespace: Any, route: str) -> list[Any]:
    return [request for request in namespace.requests if route in request.target]


# --- storing again --------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize(
    ("action", "settings"),
    [
        ("refuse", {}),
        ("status", {"status": 503}),
        ("status", {"status": 409}),
        ("disk-full", {}),
        ("reset", {"after_bytes": 500}),
        ("wrong-hash", {}),
        ("stall", {"after_bytes": 500}),
    ],
)
def test_object_is_as_it_was_when_too_few_rawx_store_it_again(
    namespace, api, target, rewrite, action, settings
):
    troubles = [fault(action, "PUT", address=rawx.address, **settings) for rawx in namespace.rawx[1:]]
    if action == "refuse":
        # Those are not there to be read from either.
        troubles = [Fault("refuse", address=rawx.address) for rawx in namespace.rawx[1:]]
    with namespace.faults(*troubles) as plan, pytest.raises(exc.OioException):
        rewrite.make(api, target, **limits(action, write_timeout=1.0))
    plan.assert_met()
    assert_stored(namespace, api, target, LARGE)
    assert requests_to(namespace, "content/truncate") == []
    rewrite.make(api, target)
    assert_stored(namespace, api, target, rewrite.result)


def test_quorum_of_rawx_is_enough_to_cut(namespace, api, target):
    trouble = fault("status", "PUT", address=namespace.rawx[0].address)
    with namespace.faults(trouble) as plan:
        truncate(api, target)
    plan.assert_met()
    assert_stored(namespace, api, target, LARGE[:CUT])
    _, chunks = api.object_locate(*target)
    assert sorted(chunk["pos"] for chunk in chunks) == ["0", "0", "0", "1", "1"]


@everywhere
@pytest.mark.parametrize("action", ["status", "reset", "truncate", "corrupt", "stall"])
@pytest.mark.pitfall(46, 126, 127)
def test_copies_that_cannot_be_read_leave_the_others(namespace, api, target, rewrite, action):
    settings = {} if action == "status" else {"after_bytes": 500}
    troubles = [fault(action, "GET", address=rawx.address, nth=1, **settings) for rawx in namespace.rawx[:2]]
    with namespace.faults(*troubles) as plan:
        rewrite.make(api, target, **limits(action, read_timeout=0.5))
    assert plan.hits(troubles[0])
    assert_stored(namespace, api, target, rewrite.result)


@everywhere
@pytest.mark.parametrize(
    ("action", "expected"),
    [("status", exc.ServiceUnavailable), ("reset", exc.ServiceUnavailable), ("corrupt", exc.CorruptedChunk)],
)
def test_object_that_cannot_be_read_is_as_it_was(namespace, api, target, rewrite, action, expected):
    settings = {} if action == "status" else {"after_bytes": 500}
    with namespace.faults(fault(action, "GET", **settings)) as plan, pytest.raises(expected):
        rewrite.make(api, target)
    plan.assert_met()
    assert_stored(namespace, api, target, LARGE)


@everywhere
def test_chunks_that_are_lost_are_told_so(namespace, api, target, rewrite):
    lost = Fault("status", operation="GET", status=404)
    with namespace.faults(lost), pytest.raises(exc.UnrecoverableContent):
        rewrite.make(api, target)
    assert_stored(namespace, api, target, LARGE)


@everywhere
def test_cut_of_a_policy_that_is_not_there_any_more_leaves_the_object(namespace, api, target, rewrite):
    body = json.dumps({"status": 481, "message": "Policy not satisfiable"})
    refusal = Fault("status", service="proxy", operation="content/prepare2", status=500, body=body)
    with namespace.faults(refusal), pytest.raises(exc.ClientException, match="not satisfiable"):
        rewrite.make(api, target)
    assert_stored(namespace, api, target, LARGE)


@pytest.mark.parametrize("size", [1, ec_objects.SEGMENT + 5, ec_objects.METACHUNK + 3])
def test_erasure_coded_object_is_cut_without_all_of_its_rawx(tmp_path, size, release):
    with ec_objects.running_namespace(tmp_path, release) as namespace, namespace.api() as api:
        target = stored(api, ec_objects.LARGE)
        _, chunks = api.object_locate(*target)
        (missing,) = [rawx for rawx in namespace.rawx if rawx.address in chunks[0]["real_url"]]
        with namespace.faults(Fault("refuse", address=missing.address)) as plan:
            api.object_truncate(*target, size=size)
            assert read(api, target) == (ec_objects.LARGE[:size], None)
        plan.assert_met()
        assert read(api, target, verify_checksum="strict") == (ec_objects.LARGE[:size], None)
        assert api.object_locate(*target)[0]["policy"] == ec_objects.POLICY


# --- the last requests ----------------------------------------------------------------------------------


def refusal(operation: str, http: int, status: int) -> Fault:
    body = json.dumps({"status": status, "message": "because"})
    return Fault("status", service="proxy", operation=operation, status=http, body=body)


@everywhere
@pytest.mark.parametrize(
    ("http", "status", "expected"),
    [
        (400, 400, exc.BadRequest),
        (404, 420, exc.NoSuchObject),
        (404, 406, exc.NoSuchContainer),
        (410, 427, exc.ContentDrained),
        (500, 425, exc.ClientException),
        (503, 436, exc.ServiceBusy),
    ],
)
@pytest.mark.pitfall(29)
def test_refused_commit_leaves_no_new_chunk(namespace, api, target, rewrite, http, status, expected):
    with namespace.faults(refusal(rewrite.commit, http, status)) as plan, pytest.raises(expected):
        rewrite.make(api, target)
    plan.assert_met()
    assert_stored(namespace, api, target, BETWEEN if rewrite.commit == "content/update" else LARGE)


@pytest.mark.parametrize("action", ["status", "stall", "reset"])
def test_object_is_as_it_was_when_nothing_is_dropped(namespace, api, target, action):
    trouble = Fault(
        action,
        service="proxy",
        operation="content/truncate",
        phase="body" if action == "status" else "head",
    )
    with namespace.faults(trouble) as plan, pytest.raises(exc.OioException):
        truncate(api, target, **limits(action, read_timeout=1.0))
    plan.assert_met()
    assert requests_to(namespace, "content/update") == []
    assert_stored(namespace, api, target, LARGE)


@pytest.mark.parametrize("action", ["commit-then-timeout", "commit-then-reset"])
def test_object_is_its_own_beginning_when_nobody_knows_what_was_dropped(namespace, api, target, action):
    trouble = Fault(action, service="proxy", operation="content/truncate")
    with namespace.faults(trouble) as plan, pytest.raises(exc.OioException):
        truncate(api, target, **limits(action, read_timeout=1.0))
    plan.assert_met()
    assert_stored(namespace, api, target, BETWEEN)
    truncate(api, target)
    assert_stored(namespace, api, target, LARGE[:CUT])


@everywhere
@pytest.mark.parametrize("action", ["commit-then-timeout", "commit-then-reset"])
@pytest.mark.pitfall(29, 143)
def test_commit_whose_answer_was_lost_is_a_success(namespace, api, target, rewrite, action, release):
    # The first commit of a change that must be announced is refused.
    commits = 2 if (release, rewrite.commit) == ("2026", "content/create") else 1
    trouble = Fault(action, service="proxy", operation=rewrite.commit, nth=commits)
    namespace.forget_requests()
    with namespace.faults(trouble) as plan:
        rewrite.make(api, target, request_attempts=5, **limits(action, read_timeout=1.0))
    plan.assert_met()
    assert len(requests_to(namespace, rewrite.commit)) == commits
    assert_stored(namespace, api, target, rewrite.result)


@everywhere
@pytest.mark.pitfall(33)
def test_commit_is_sent_once(namespace, api, target, rewrite):
    """A second one would drop what the first has put in the place of the old chunks."""
    trouble = Fault("status", service="proxy", operation=rewrite.commit, nth=1)
    namespace.forget_requests()
    with namespace.faults(trouble) as plan, pytest.raises(exc.ServiceBusy):
        rewrite.make(api, target, request_attempts=5)
    plan.assert_met()
    assert len(requests_to(namespace, rewrite.commit)) == 1


def test_new_chunks_are_removed_when_the_user_interrupts(namespace, api, target, monkeypatch):
    def interrupt(*_args: Any, **_kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api.container, "content_truncate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        truncate(api, target)
    assert_stored(namespace, api, target, LARGE)


@everywhere
@pytest.mark.parametrize("action", ["stall", "reset"])
@pytest.mark.pitfall(29)
def test_uncertain_commit_keeps_the_new_chunks(namespace, api, target, rewrite, action):
    trouble = Fault(action, service="proxy", operation=rewrite.commit, phase="head")
    with namespace.faults(trouble) as plan, pytest.raises(exc.OioNetworkException):
        rewrite.make(api, target, **limits(action, read_timeout=1.0))
    plan.assert_met()
    new = chunks_on_disk(namespace) - chunks_listed(api, target)
    assert len(new) == (3 if rewrite.result != LARGE else 6)
    assert read(api, target) == (BETWEEN if rewrite.commit == "content/update" else LARGE, None)
    rewrite.make(api, target)
    assert read(api, target) == (rewrite.result, None)


@everywhere
@pytest.mark.pitfall(31)
def test_trouble_with_the_removal_of_chunks_does_not_hide_why(namespace, api, target, rewrite):
    troubles = [refusal(rewrite.commit, 403, 403), Fault("reset", operation="DELETE", phase="head")]
    with namespace.faults(*troubles) as plan, pytest.raises(exc.Forbidden):
        rewrite.make(api, target)
    plan.assert_met()


@everywhere
def test_frozen_container_keeps_its_objects(namespace, api, target, rewrite):
    api.container.container_freeze(*target[:2])
    with pytest.raises(exc.ServiceBusy) as caught:
        rewrite.make(api, target)
    assert caught.value.status == 436
    assert_stored(namespace, api, target, LARGE)


def once_located(api: Any, monkeypatch: Any, change: Callable[[], Any]) -> None:
    """Have somebody else change something just after the next look at the object."""
    locate = api.container.content_locate

    def locate_and_change(*args: Any, **kwargs: Any) -> Any:
        found = locate(*args, **kwargs)
        monkeypatch.undo()
        change()
        return found

    monkeypatch.setattr(api.container, "content_locate", locate_and_change)


@everywhere
def test_object_that_was_replaced_meanwhile_is_left_alone(namespace, api, target, rewrite, monkeypatch):
    other = b"of somebody else"
    account, container, name = target
    once_located(api, monkeypatch, lambda: api.object_create(account, container, obj_name=name, data=other))
    with pytest.raises(exc.OioException):
        rewrite.make(api, target)
    assert_stored(namespace, api, target, other)


@everywhere
def test_container_that_has_vanished_meanwhile_does_not_come_back(api, target, rewrite, monkeypatch):
    once_located(api, monkeypatch, lambda: api.container_delete(*target[:2], force=True))
    with pytest.raises(exc.NoSuchContainer):
        rewrite.make(api, target)
    with pytest.raises(exc.NoSuchContainer):
        api.container_show(*target[:2])


# --- the call as a whole --------------------------------------------------------------------------------


@everywhere
@pytest.mark.pitfall(70)
def test_all_requests_of_a_call_have_its_id(namespace, api, target, rewrite):
    namespace.forget_requests()
    rewrite.make(api, target, reqid="MINE")
    ours = [
        request
        for request in namespace.requests
        # The namespace deletes the old chunks itself.
        if request.method != "DELETE"
    ]
    assert len(ours) > 5
    for request in ours:
        assert ("x-oio-req-id", "MINE") in [(name.lower(), value) for name, value in request.headers]


@everywhere
@pytest.mark.parametrize(
    "trouble",
    [
        Fault("stall", operation="GET", after_bytes=500),
        Fault("stall", operation="PUT", after_bytes=500),
        Fault("drip", operation="GET", after_bytes=500, seconds=0.01),
    ],
    ids=["stalled read", "stalled write", "dripping read"],
)
def test_deadline_bounds_the_whole_call(namespace, api, target, rewrite, trouble):
    error = kept_by(namespace, trouble, call=lambda deadline: rewrite.make(api, target, deadline=deadline))
    assert isinstance(error, (exc.DeadlineReached, exc.OioTimeout))
    assert_stored(namespace, api, target, LARGE)


# --- changes of policy that are announced ---------------------------------------------------------------

#: Of services that want changes of policies to be announced, and compute the IDs of chunks.
announcing = pytest.mark.on_release("2026")
TRANSITION = "content/transition"


def announcements(namespace: Any) -> int:
    """How many there were; the second takes back what the first said."""
    return len(requests_to(namespace, TRANSITION))


def assert_as_before(namespace: Any, api: Any, target: Target, before: set[str]) -> None:
    assert chunks_on_disk(namespace) == chunks_listed(api, target) == before
    known = api.object_get_properties(*target)
    assert (known["policy"], known.get("target_policy"), known["properties"]) == ("THREECOPIES", None, {})
    assert read(api, target, verify_checksum="strict") == (LARGE, None)


@announcing
@pytest.mark.pitfall("W6")
@pytest.mark.parametrize(("http", "status"), [(400, 400), (403, 403), (500, 425), (503, 436)])
def test_announcement_is_taken_back_when_the_change_is_refused(namespace, api, target, http, status):
    before = chunks_on_disk(namespace)
    body = json.dumps({"status": status, "message": "because"})
    trouble = Fault("status", service="proxy", operation="content/create", status=http, body=body, nth=2)
    namespace.forget_requests()
    with namespace.faults(trouble) as plan, pytest.raises(exc.ClientException, match="because"):
        change_policy(api, target)
    plan.assert_met()
    assert announcements(namespace) == 2
    assert_as_before(namespace, api, target, before)


@announcing
@pytest.mark.pitfall("W6")
@pytest.mark.parametrize(
    "trouble", [{"action": "status", "status": 403}, {"action": "commit-then-reset"}], ids=["refused", "lost"]
)
def test_nothing_is_left_when_the_announcement_fails(namespace, api, target, trouble):
    before = chunks_on_disk(namespace)
    fault = Fault(service="proxy", operation=TRANSITION, nth=1, **trouble)
    with namespace.faults(fault) as plan, pytest.raises(exc.OioException):
        change_policy(api, target, request_attempts=1)
    plan.assert_met()
    assert_as_before(namespace, api, target, before)


@announcing
@pytest.mark.pitfall("W6", 31)
def test_trouble_with_taking_it_back_does_not_hide_why(namespace, api, target, caplog):
    before = chunks_on_disk(namespace)
    troubles = [
        Fault("status", service="proxy", operation="content/create", status=403, nth=2),
        Fault("status", service="proxy", operation=TRANSITION, status=500, nth=2),
    ]
    with namespace.faults(*troubles) as plan, pytest.raises(exc.Forbidden):
        change_policy(api, target)
    plan.assert_met()
    assert "still announced to change its policy" in caplog.text
    assert chunks_on_disk(namespace) == before
    assert api.object_get_properties(*target)["target_policy"] == "EC21"
    change_policy(api, target)
    assert_stored(namespace, api, target, LARGE)


@announcing
@pytest.mark.pitfall("W6", 31)
def test_cleaning_after_a_refused_change_looks_at_the_object_for_none_of_its_chunks(namespace, api, target):
    before = chunks_on_disk(namespace)
    refusal = Fault("status", service="proxy", operation="content/create", status=403, nth=2)
    namespace.forget_requests()
    with namespace.faults(refusal) as plan, pytest.raises(exc.Forbidden):
        change_policy(api, target)
    plan.assert_met()
    asked = [request.target for request in namespace.requests]
    # The one that finds the data to be copied.
    assert sum("content/locate" in each for each in asked) == 1
    assert not [each for each in asked if "container/get_properties" in each]
    assert chunks_on_disk(namespace) == before


@announcing
@pytest.mark.pitfall("W6", 31)
def test_chunks_whose_servers_do_not_say_whose_they_are_are_kept_and_hide_nothing(namespace, api, target):
    before = chunks_on_disk(namespace)
    refusal = Fault("status", service="proxy", operation="content/create", status=403, nth=2)
    # The first looks are those before the commit.
    untold = [Fault("status", operation="HEAD", status=200, nth=nth) for nth in range(7, 13)]
    with namespace.faults(refusal, *untold) as plan, pytest.raises(exc.Forbidden):
        change_policy(api, target)
    plan.assert_met()
    assert len(chunks_on_disk(namespace) - before) == 6


@announcing
@pytest.mark.pitfall("W6", 31)
def test_chunks_whose_servers_are_busy_when_they_are_removed_do_not_stay(namespace, api, target):
    before = chunks_on_disk(namespace)
    refusal = Fault("status", service="proxy", operation="content/create", status=403, nth=2)
    busy = Fault("status", operation="DELETE", nth=2)
    with namespace.faults(refusal, busy) as plan, pytest.raises(exc.Forbidden):
        change_policy(api, target)
    plan.assert_met()
    assert chunks_on_disk(namespace) == before


@announcing
@pytest.mark.pitfall("W6", 27)
def test_looks_at_the_new_chunks_before_the_commit_share_one_limit(api, target):
    ends, look = [], api.blob_client.chunk_head

    def note(url: str, **given: Any) -> Any:
        ends.append(given["options"].limits.deadline)
        return look(url, **given)

    api.blob_client.chunk_head = note
    change_policy(api, target, read_timeout=60)
    assert len(ends) == 6
    assert len(set(ends)) == 1
    assert ends[0] is not None


@announcing
@pytest.mark.pitfall("W6", 29)
def test_change_that_was_made_all_the_same_is_not_announced_back(namespace, api, target):
    """Nobody can tell that the second commit was done, until the announcement is taken back."""
    troubles = [
        Fault("commit-then-reset", service="proxy", operation="content/create", nth=2),
        Fault("status", service="proxy", operation="content/locate", status=503, nth=2),
    ]
    with namespace.faults(*troubles) as plan, pytest.raises(exc.OioNetworkException):
        change_policy(api, target, request_attempts=1)
    plan.assert_met()
    known = api.object_get_properties(*target)
    assert (known["policy"], known.get("target_policy")) == ("EC21", None)
    assert_stored(namespace, api, target, LARGE)


@announcing
@pytest.mark.pitfall("W6", 31)
def test_trouble_with_looking_at_the_policy_does_not_hide_why(namespace, api, target, caplog):
    before = chunks_on_disk(namespace)
    troubles = [
        Fault("status", service="proxy", operation="content/create", status=403, nth=2),
        Fault("status", service="proxy", operation="content/get_properties", status=500),
    ]
    with namespace.faults(*troubles) as plan, pytest.raises(exc.Forbidden):
        change_policy(api, target)
    plan.assert_met()
    assert "still announced to change its policy" in caplog.text
    assert chunks_on_disk(namespace) == before


@announcing
@pytest.mark.pitfall("W6")
def test_announcement_is_taken_back_when_the_user_interrupts(namespace, api, target):
    commits = []
    send = api.container.content_create

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        commits.append(args)
        if len(commits) == 2:
            raise KeyboardInterrupt
        return send(*args, **kwargs)

    api.container.content_create = interrupted
    namespace.forget_requests()
    with pytest.raises(KeyboardInterrupt):
        change_policy(api, target)
    assert announcements(namespace) == 2
    assert read(api, target) == (LARGE, None)
    assert "target_policy" not in api.object_get_properties(*target)


@announcing
@pytest.mark.pitfall("W6")
def test_announcement_is_taken_back_after_the_deadline_too(namespace, api, target):
    stall = Fault("stall", service="proxy", operation="content/create", phase="head", nth=2)
    namespace.forget_requests()
    error = kept_by(namespace, stall, call=lambda deadline: change_policy(api, target, deadline=deadline))
    assert isinstance(error, (exc.DeadlineReached, exc.OioTimeout))
    assert announcements(namespace) == 2
    assert read(api, target) == (LARGE, None)


@announcing
@pytest.mark.pitfall("W3", 30)
def test_chunks_that_an_interrupted_change_has_left_are_replaced(namespace, api, target):
    """Their IDs are those of the second try; each of the chunk servers has some of them."""
    trouble = Fault("reset", service="proxy", operation="content/create", phase="head")
    for _ in range(3):
        with namespace.faults(trouble) as plan, pytest.raises(exc.OioNetworkException):
            change_policy(api, target)
        plan.assert_met()
    chunks, *_ = change_policy(api, target)
    meta, located = api.object_locate(*target)
    assert len(chunks) == len(located) == 6
    for chunk in located:
        known = api.blob_client.chunk_head(chunk["url"], check_hash=True)
        assert (known["content_id"], known["chunk_pos"]) == (meta["id"], chunk["pos"])
    assert read(api, target, verify_checksum="strict") == (LARGE, None)


@announcing
@pytest.mark.pitfall("W3", 31)
def test_proxy_that_does_not_tell_whose_a_chunk_is_is_not_taken_for_its_server(namespace, api, target):
    trouble = Fault("reset", service="proxy", operation="content/create", phase="head")
    keep_places(api, {})
    with namespace.faults(trouble), pytest.raises(exc.OioNetworkException):
        change_policy(api, target)
    before, told = chunks_on_disk(namespace), []
    # The first one finds the data to be copied.
    asked = [Fault("status", service="proxy", operation="content/locate", nth=nth) for nth in range(2, 20)]
    with namespace.faults(*asked), pytest.raises(exc.Conflict):
        change_policy(api, target, on_event=told.append, request_attempts=1)
    assert before <= chunks_on_disk(namespace)
    failed = [event for event in told if event.kind == CHUNK_FAILED and event.service == "proxy"]
    where = (namespace.proxy.address, "GET content/locate", "HTTP 503")
    assert {(event.address, event.operation, event.outcome) for event in failed} == {where}
    left = {name.rpartition("/")[2] for name in before}
    assert {urlsplit(event.chunk).path[1:] for event in failed} <= left
    assert not [event for event in told if event.kind == CHUNK_FAILED and event.operation == "HEAD chunk"]


@announcing
@pytest.mark.pitfall("W3", 30)
def test_change_that_was_slow_to_commit_keeps_what_a_second_one_would_replace(namespace, api, target):
    """The second one has replaced the first metachunk when the first one is committed."""
    send, commits = api.container.content_create, []

    def put_off(*args: Any, **kwargs: Any) -> Any:
        if not commits and kwargs.get("change_policy"):
            with pytest.raises(exc.BadRequest):
                send(*args, **kwargs)
            commits.append(lambda: send(*args, **{**kwargs, "options": Options()}))
            raise exc.OioNetworkException("the answer was lost")
        return send(*args, **kwargs)

    api.container.content_create = put_off
    # All chunks of the first one are in the way of those of the second one.
    keep_places(api, {})
    with pytest.raises(exc.OioNetworkException):
        change_policy(api, target)
    seen: list[str] = []

    def commit_first(event: Any) -> None:
        # The third chunk that the second one stores, after it has removed some.
        if (event.operation, event.kind) == ("PUT chunk", "ended") and "DELETE chunk" in seen and commits:
            seen.append("PUT chunk")
            if seen.count("PUT chunk") == 3:
                meta = api.object_get_properties(*target)
                api.container.content_request_transition(
                    *target,
                    "EC21",
                    version=meta["version"],
                    skip_data_move=True,
                    internal_transition=True,
                    options=Options(),
                )
                commits.pop()()
                # The chunks that it copies are removed.
                namespace.settle()
        seen.append(event.operation if event.operation == "DELETE chunk" else "")

    with pytest.raises(exc.OioException):
        change_policy(api, target, on_event=commit_first)
    assert not commits
    namespace.settle()
    assert chunks_listed(api, target) <= chunks_on_disk(namespace)
    assert read(api, target, verify_checksum="strict") == (LARGE, None)


@announcing
@pytest.mark.pitfall("W3", 30)
def test_change_whose_chunks_a_second_one_has_removed_is_not_committed(namespace, api, target):
    """The second one takes them for those of an interrupted change, and fails before it has its own."""
    before, seen = chunks_on_disk(namespace), []
    places: dict[int, Any] = {}

    def overtake(event: Any) -> None:
        if (event.operation, event.kind) == ("PUT chunk", "ended"):
            seen.append(event.chunk)
            if len(seen) == 6:
                # The first three are refused, since chunks are in the way.
                full = [Fault("disk-full", operation="PUT", nth=nth) for nth in range(4, 30)]
                with namespace.api(key_file=None) as other, namespace.faults(*full):
                    keep_places(other, places)
                    with pytest.raises(exc.ServiceBusy):
                        change_policy(other, target)

    keep_places(api, places)
    with pytest.raises(exc.Conflict, match="removed meanwhile"):
        change_policy(api, target, on_event=overtake)
    assert_as_before(namespace, api, target, before)


@announcing
@pytest.mark.pitfall("W3", 30)
def test_chunk_of_another_in_the_place_of_a_new_one_is_left_alone(namespace, api, target):
    before = chunks_on_disk(namespace)
    meta, chunks = api.object_locate(*target)
    for rawx in namespace.rawx:
        owned = cid_from_name(*target[:2]), target.name, meta["version"], "0", "SINGLE"
        place = f"http://{rawx.address}/{compute_chunk_id(*owned)}"
        (near,) = [c["url"] for c in chunks if c["pos"] == "0" and f"//{rawx.address}/" in c["url"]]
        api.blob_client.chunk_copy(near, place, path="somebody else's")
    there = chunks_on_disk(namespace)
    with pytest.raises(exc.Conflict, match="in the places of those of object"):
        api.object_change_policy(*target, "SINGLE")
    assert chunks_on_disk(namespace) == there
    assert before < there
    assert read(api, target) == (LARGE, None)


@announcing
@pytest.mark.pitfall("W3", 30)
def test_creation_of_the_version_that_is_changed_meanwhile_loses_nothing(namespace, api):
    """The change takes the chunks of the creation for those of an interrupted one, and replaces them."""
    target = stored(api, SMALL, policy="SINGLE", version=5)
    send = api.container.content_create

    def late(*args: Any, **kwargs: Any) -> Any:
        api.container.content_create = send
        with namespace.api(key_file=None) as other:
            change_policy(other, target)
        return send(*args, **kwargs)

    api.container.content_create = late
    with pytest.raises(exc.Conflict):
        create(api, target, SMALL[::-1], policy="EC21", version=5)
    assert api.object_get_properties(*target)["policy"] == "EC21"
    assert_stored(namespace, api, target, SMALL)


@announcing
@pytest.mark.pitfall("W3", "W6")
def test_two_changes_to_the_same_policy_at_a_time_lose_nothing(namespace, api, target):
    """Both have the same chunks in the end, which the one that fails must not remove."""
    send = api.container.content_create

    def late(*args: Any, **kwargs: Any) -> Any:
        api.container.content_create = send
        with namespace.api(key_file=None) as other:
            change_policy(other, target)
        raise exc.Forbidden(403, None, "because")

    api.container.content_create = late
    with pytest.raises(exc.Forbidden):
        change_policy(api, target)
    assert api.object_get_properties(*target)["policy"] == "EC21"
    assert chunks_listed(api, target) <= chunks_on_disk(namespace)
    assert read(api, target, verify_checksum="strict") == (LARGE, None)
