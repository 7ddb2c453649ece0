# SPDX-License-Identifier: Apache-2.0
"""Commits that fail: what is certain to be refused leaves nothing, what is uncertain loses nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit.commit_troubles import COMMIT, DONE, NOT_DONE, QUICK, REFUSALS, refusal, trouble
from tests.kit.facade import header
from tests.kit.objects import (
    SMALL,
    assert_nothing_left,
    assert_stored,
    chunks_on_disk,
    create,
    new_target,
    read,
    stored,
)

#: Where each trouble strikes a request whose answer has no body.
PHASES = {
    "status": "body",
    "stall": "head",
    "reset": "head",
    "commit-then-timeout": "body",
    "commit-then-reset": "body",
}

DELETE = "content/delete"

VERSION = {"version": 5, "policy": "THREECOPIES"}
#: Chunk servers that do not answer whether they have the chunk.
LATE = Fault("stall", service="rawx", operation="PUT", phase="head")


def requests_to(namespace: Namespace, route: str) -> list[Any]:
    return [request for request in namespace.requests if route in request.target]


# --- definitive -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("http", "status", "expected"), REFUSALS)
@pytest.mark.pitfall(29, 40, 131)
def test_refused_commit_leaves_no_chunk(namespace, api, http, status, expected):
    target = new_target()
    with namespace.faults(refusal(http, status)) as plan, pytest.raises(expected, match="because") as caught:
        create(api, target, SMALL)
    plan.assert_met()
    assert caught.value.reqid
    assert caught.value.service == namespace.proxy.address
    assert_nothing_left(namespace, api, target)


@pytest.mark.pitfall(30)
@pytest.mark.on_release("2026")
@pytest.mark.parametrize("sent_whole", [True, False])
def test_version_that_is_created_again_keeps_its_chunks_when_their_servers_are_late(
    namespace, api, sent_whole
):
    # Where chunk IDs are computed, each rawx has a chunk in the place of the new one.
    target, data = new_target(), SMALL[::-1]
    create(api, target, SMALL, **VERSION)
    with namespace.faults(LATE) as plan, pytest.raises(exc.OioTimeout):
        create(api, target, data if sent_whole else iter([data]), write_timeout=0.5, **VERSION)
    plan.assert_met()
    assert_stored(namespace, api, target, SMALL)


@pytest.mark.pitfall(30)
@pytest.mark.on_release("2026")
def test_version_keeps_its_chunks_when_a_second_creator_fails_before_the_first_has_committed(namespace, api):
    target, send = new_target(), api.container.content_create

    def commit_later(*args: Any, **kwargs: Any) -> Any:
        api.container.content_create = send
        with namespace.api(key_file=None) as other, namespace.faults(LATE) as plan:
            with pytest.raises(exc.OioTimeout):
                create(other, target, SMALL[::-1], write_timeout=0.5, **VERSION)
            plan.assert_met()
        return send(*args, **kwargs)

    api.container.content_create = commit_later
    create(api, target, SMALL, **VERSION)
    assert_stored(namespace, api, target, SMALL)


@pytest.mark.pitfall(30)
@pytest.mark.on_release("2026")
def test_creator_of_a_version_that_is_there_removes_only_its_own_chunks(namespace, api):
    """Both are stored, on other servers or the same: who commits first has the version."""
    target, send = new_target(), api.container.content_create

    def commit_later(*args: Any, **kwargs: Any) -> Any:
        api.container.content_create = send
        with namespace.api(key_file=None) as other:
            create(other, target, SMALL, version=5, policy="SINGLE")
        return send(*args, **kwargs)

    api.container.content_create = commit_later
    with pytest.raises(exc.Conflict):
        create(api, target, SMALL[::-1], **VERSION)
    assert_stored(namespace, api, target, SMALL)


@pytest.mark.pitfall(30)
@pytest.mark.on_release("2026")
def test_repeated_creation_with_a_chosen_content_id_keeps_the_chunks_of_the_first(namespace, api):
    target, chosen = new_target(), {**VERSION, "content_id": "AB" * 16}
    create(api, target, SMALL, **chosen)
    with namespace.faults(LATE) as plan, pytest.raises(exc.OioTimeout):
        create(api, target, SMALL, write_timeout=0.5, **chosen)
    plan.assert_met()
    # A replica may not know yet what was created just before.
    asked = {header(request, "x-oio-force-master") for request in requests_to(namespace, "content/locate")}
    assert asked == {"1"}
    assert_stored(namespace, api, target, SMALL)


@pytest.mark.pitfall(30)
@pytest.mark.on_release("2026")
def test_repeated_creation_keeps_what_there_is_when_nobody_knows_the_container(namespace, api):
    target, chosen = new_target(), {**VERSION, "content_id": "AB" * 16}
    create(api, target, SMALL, **chosen)
    empty = Fault("status", service="proxy", operation="container/get_properties", status=200, body="{}")
    with namespace.faults(LATE, empty), pytest.raises(exc.OioTimeout):
        create(api, target, SMALL, write_timeout=0.5, **chosen)
    assert_stored(namespace, api, target, SMALL)


@pytest.mark.pitfall(29)
def test_commit_that_cannot_be_sent_leaves_no_chunk(namespace, api):
    target = new_target()
    with contextlib.ExitStack() as down:

        def data() -> Iterator[bytes]:
            yield SMALL
            down.enter_context(namespace.faults(Fault("refuse", service="proxy")))

        with pytest.raises(exc.OioConnectionException):
            create(api, target, data())
    assert_nothing_left(namespace, api, target)


@pytest.mark.pitfall(40)
def test_commit_asks_for_the_creation_of_the_container(namespace, api):
    create(api, new_target(), SMALL)
    (commit,) = requests_to(namespace, COMMIT)
    assert ("x-oio-action-mode", "autocreate") in [(name.lower(), value) for name, value in commit.headers]


@pytest.mark.pitfall(131)
def test_object_of_a_frozen_container_leaves_no_chunk(namespace, api):
    target = new_target()
    api.container_create(*target[:2])
    api.container.container_freeze(*target[:2])
    with pytest.raises(exc.ServiceBusy) as caught:
        create(api, target, SMALL)
    assert caught.value.status == 436
    assert chunks_on_disk(namespace) == set()


@pytest.mark.pitfall(31)
@pytest.mark.parametrize("trouble", ["status", "stall", "commit-then-reset"])
def test_trouble_with_the_removal_of_chunks_does_not_hide_the_refusal(namespace, api, trouble):
    plan = namespace.faults(refusal(403, 403), Fault(trouble, operation="DELETE", phase=PHASES[trouble]))
    with plan, pytest.raises(exc.Forbidden):
        create(api, new_target(), SMALL, read_timeout=1.0)
    plan.assert_met()


# --- uncertain ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("doubt", NOT_DONE.values(), ids=NOT_DONE)
@pytest.mark.pitfall(29, 33)
def test_uncertain_commit_is_raised_and_keeps_the_chunks(namespace, api, doubt):
    target = new_target()
    with namespace.faults(doubt.fault) as plan, pytest.raises(doubt.expected) as caught:
        create(api, target, SMALL, request_attempts=5, **QUICK)
    plan.assert_met()
    assert caught.value.service == namespace.proxy.address
    assert len(requests_to(namespace, COMMIT)) == 1
    assert len(chunks_on_disk(namespace)) == 3
    with pytest.raises((exc.NoSuchObject, exc.NoSuchContainer)):
        api.object_locate(*target)


@pytest.mark.parametrize("lost_answer", DONE.values(), ids=DONE)
@pytest.mark.pitfall(29, 33, 143)
def test_commit_whose_answer_was_lost_is_a_success(namespace, api, lost_answer):
    target = new_target()
    with namespace.faults(lost_answer) as plan:
        chunks, size, md5, meta = create(api, target, SMALL, request_attempts=5, **QUICK)
    plan.assert_met()
    assert len(requests_to(namespace, COMMIT)) == 1
    assert (len(chunks), size) == (3, len(SMALL))
    found = api.object_get_properties(*target)
    assert (found["id"], found["version"], found["hash"]) == (meta["id"], meta["version"], md5.upper())
    assert_stored(namespace, api, target, SMALL)


@pytest.mark.pitfall(143)
def test_object_of_somebody_else_is_not_taken_for_ours(namespace, api):
    target = stored(api, b"of somebody else")
    with namespace.faults(trouble("reset", phase="head")) as plan, pytest.raises(exc.OioNetworkException):
        create(api, target, SMALL)
    plan.assert_met()
    assert read(api, target) == (b"of somebody else", None)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(DONE["timeout"], None), (DONE["reset"], None), (NOT_DONE["reset"].fault, exc.OioNetworkException)],
    ids=["done, timeout", "done, reset", "not done"],
)
@pytest.mark.pitfall(143)
def test_uncertain_append_is_looked_up_too(namespace, api, fault, expected):
    target = stored(api, SMALL)
    with namespace.faults(fault) as plan:
        if expected is None:
            create(api, target, b"more", append=True, **QUICK)
        else:
            with pytest.raises(expected):
                create(api, target, b"more", append=True, **QUICK)
    plan.assert_met()
    assert read(api, target) == (SMALL + (b"" if expected else b"more"), None)


# --- deletions ------------------------------------------------------------------------------------------


@pytest.fixture
def versions(api):
    """An object of two versions."""
    target = new_target()
    api.container_create(*target[:2], system={"sys.m2.policy.version": "-1"})
    create(api, target, b"one", version=1)
    create(api, target, b"two", version=2)
    return target


@pytest.mark.parametrize("trouble", PHASES)
@pytest.mark.pitfall(142)
def test_deletion_without_version_is_sent_once(namespace, api, versions, trouble):
    fault = Fault(trouble, service="proxy", operation=DELETE, phase=PHASES[trouble])
    with namespace.faults(fault) as plan, pytest.raises(exc.OioException):
        api.object_delete(*versions, request_attempts=5, **QUICK)
    plan.assert_met()
    assert len(requests_to(namespace, DELETE)) == 1
    # A second one would have removed the mark of the first.
    for trust_level in (0, 1, 2):
        is_there = api.object_head(*versions, trust_level=trust_level)
        assert is_there is not trouble.startswith("commit")


@pytest.mark.pitfall(142)
def test_deletions_without_versions_are_sent_once(namespace, api, versions):
    fault = Fault("status", service="proxy", operation="content/delete_many")
    with namespace.faults(fault) as plan, pytest.raises(exc.ServiceBusy):
        api.object_delete_many(versions.account, versions.container, [versions.name], request_attempts=5)
    plan.assert_met()
    assert len(requests_to(namespace, "content/delete_many")) == 1


@pytest.mark.pitfall(142)
def test_deletion_of_a_version_may_be_sent_again(namespace, api, versions):
    fault = Fault("status", service="proxy", operation=DELETE, nth=1)
    with namespace.faults(fault) as plan:
        assert api.object_delete(*versions, version=2, request_attempts=5)
    plan.assert_met()
    assert len(requests_to(namespace, DELETE)) == 2
    assert read(api, versions) == (b"one", None)
