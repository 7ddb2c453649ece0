# SPDX-License-Identifier: Apache-2.0
"""Snapshots that fail: nothing is left of them, and the source can be written again."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit.deadlines import kept_by
from tests.kit.facade import header
from tests.kit.objects import (
    LARGE,
    SMALL,
    Target,
    chunks_listed,
    chunks_on_disk,
    create,
    eventually,
    read,
    running_namespace,
)
from tests.kit.releases import RELEASES

ON_RELEASES = RELEASES

SOURCE, SNAPSHOT = ("account", "source"), ("account", "snapshot")
NAMES = ("a", "b", "c")
ENABLED, FROZEN = "0", "4294967295"
QUICK = {"read_timeout": 2.0}


@pytest.fixture
def namespace(tmp_path: Path, release: str) -> Iterator[Namespace]:
    """A namespace that makes links: those of 2026 do if they are told to."""
    with running_namespace(tmp_path, release, shallow_copy=True) as running:
        yield running


def store(api: Any, name: str, data: bytes, release: str) -> None:
    """Store an object; a snapshot must be told of the links of all its chunks, or of the last ones."""
    if release == "7.3":
        create(api, Target(*SOURCE, name), data)
    else:
        # The others have no URLs of their own.
        create(api, Target(*SOURCE, name), data + b"more")
        api.object_truncate(*SOURCE, name, size=len(data))


@pytest.fixture
def before(namespace: Namespace, api: Any, release: str) -> set[str]:
    """The chunks of the source: three objects, of one, three and one metachunks."""
    for name, data in zip(NAMES, (SMALL, LARGE, b"last"), strict=True):
        store(api, name, data, release)
    namespace.forget_requests()
    return chunks_on_disk(namespace)


def take(api: Any, **kwargs: Any) -> None:
    api.container_snapshot(*SOURCE, *SNAPSHOT, **kwargs)


def proxy(action: str, route: str, **settings: Any) -> Fault:
    return Fault(action, service="proxy", operation=route, **settings)


def refusal(route: str, http: int = 400, status: int = 400, **settings: Any) -> Fault:
    body = json.dumps({"status": status, "message": "because"})
    return proxy("status", route, status=http, body=body, **settings)


def status(api: Any, container: tuple[str, str] = SOURCE) -> str:
    return api.container_get_properties(*container)["system"]["sys.status"]  # type: ignore[no-any-return]


def asked(namespace: Namespace, text: str) -> int:
    """How many requests have this in their target, or are of this method."""
    return sum(text in request.target or text == request.method for request in namespace.requests)


def assert_nothing_left(namespace: Namespace, api: Any, before: set[str]) -> None:
    with pytest.raises(exc.NoSuchContainer):
        api.container_show(*SNAPSHOT)
    assert chunks_on_disk(namespace) == before
    _assert_source_is_well(api)


def _assert_source_is_well(api: Any) -> None:
    assert status(api) == ENABLED
    for name, data in zip(NAMES, (SMALL, LARGE, b"last"), strict=True):
        assert read(api, Target(*SOURCE, name)) == (data, None)
    create(api, Target(*SOURCE, "new"), b"new")


def assert_taken(namespace: Namespace, api: Any, before: set[str]) -> None:
    assert status(api, SNAPSHOT) == FROZEN
    listed = {
        place for name in NAMES for place in chunks_listed(api, Target(*SNAPSHOT, name))
    } & chunks_on_disk(namespace)
    assert chunks_on_disk(namespace) == before | listed
    assert not before & listed
    for name, data in zip(NAMES, (SMALL, LARGE, b"last"), strict=True):
        assert read(api, Target(*SNAPSHOT, name)) == (data, None)


# --- links ----------------------------------------------------------------------------------------------


def breaking(api: Any, name: str, pos: str) -> list[Fault]:
    """Keep two of the three chunks of a metachunk from being linked."""
    _, chunks = api.object_locate(*SOURCE, name)
    places = [chunk["url"].removeprefix("http://") for chunk in chunks if chunk["pos"] == pos]
    return [
        Fault("status", operation=chunk_id, address=address, status=500)
        for address, _, chunk_id in (place.partition("/") for place in places[:2])
    ]


@pytest.mark.pitfall(97, 99, 130)
@pytest.mark.parametrize(
    ("name", "pos", "batch"), [("a", "0", 100), ("b", "0", 1), ("b", "2", 4), ("b", "2", 100), ("c", "0", 1)]
)
def test_nothing_is_left_when_links_fail_midway(namespace, api, before, name, pos, batch):
    faults = breaking(api, name, pos)
    with namespace.faults(*faults) as plan, pytest.raises(exc.ServiceBusy, match=r"reached \(1/2\)"):
        take(api, batch=batch)
    plan.assert_met()
    assert_nothing_left(namespace, api, before)


@pytest.mark.pitfall(97, 99)
def test_links_that_are_slow_do_not_come_after_their_removal(namespace, api, before):
    _, chunks = api.object_locate(*SOURCE, "c")
    chunk_id = chunks[0]["url"].rpartition("/")[2]
    slow = Fault("slow", operation=chunk_id, phase="head", seconds=0.5)
    with namespace.faults(*breaking(api, "a", "0"), slow) as plan:
        with pytest.raises(exc.ServiceBusy):
            take(api)
        # The service has done all that it was asked for.
        eventually(lambda: all(request.status for request in namespace.requests))
    plan.assert_met()
    assert_nothing_left(namespace, api, before)


@pytest.mark.pitfall(97, 130)
def test_nothing_is_left_when_links_fail_after_others_are_noted(namespace, api, before, release):
    """Objects are linked several at a time; these are more."""
    for number in range(20):
        store(api, f"a{number:02}", SMALL, release)
    before = chunks_on_disk(namespace)
    namespace.forget_requests()
    with namespace.faults(*breaking(api, "c", "0")) as plan, pytest.raises(exc.ServiceBusy):
        take(api, batch=6)
    plan.assert_met()
    assert asked(namespace, "container/raw_update") >= 8
    assert_nothing_left(namespace, api, before)


@pytest.mark.pitfall(97, 130)
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"action": "commit-then-timeout"}, exc.OioTimeout),
        ({"action": "commit-then-reset"}, exc.ServiceBusy),
        ({"action": "stall", "phase": "head"}, exc.OioTimeout),
        ({"action": "status", "status": 404}, exc.ServiceBusy),
        ({"action": "status", "status": 409}, exc.Conflict),
    ],
)
def test_the_first_error_is_the_one_that_is_raised(namespace, api, before, fault, expected):
    faults = [Fault(operation="COPY", address=rawx.address, **fault) for rawx in namespace.rawx[:2]]
    with namespace.faults(*faults) as plan, pytest.raises(expected, match="quorum"):
        take(api, **QUICK)
    plan.assert_met()
    assert_nothing_left(namespace, api, before)


@pytest.mark.pitfall("S6")
def test_link_that_may_come_late_is_looked_for_once_more(namespace, api, before):
    late = {rawx.address for rawx in namespace.rawx[:2]}
    faults = [Fault("stall", operation="COPY", phase="head", address=address) for address in late]
    with namespace.faults(*faults) as plan, pytest.raises(exc.OioTimeout):
        take(api, **QUICK)
    plan.assert_met()
    deletions = Counter(
        (header(request, "host"), request.target)
        for request in namespace.requests
        if request.method == "DELETE"
    )
    assert deletions
    assert all(count == (2 if server in late else 1) for (server, _), count in deletions.items())
    assert_nothing_left(namespace, api, before)


@pytest.mark.pitfall(99)
@pytest.mark.parametrize(
    "fault",
    [{"action": "status"}, {"action": "commit-then-reset"}, {"action": "status", "status": 409}],
    ids=["not made", "made, but unknown", "in the way"],
)
def test_chunks_that_are_not_linked_count_as_lost(namespace, api, before, fault, release):
    """The snapshot names links in their places, never the chunks of the source."""
    if (release, fault.get("status")) == ("2026", 409):
        # There is no other place for them, and there must not be fewer chunks because of that.
        in_the_way = Fault(operation="COPY", address=namespace.rawx[0].address, **fault)
        with namespace.faults(in_the_way), pytest.raises(exc.Conflict, match="HTTP 409"):
            take(api)
        assert_nothing_left(namespace, api, before)
        return
    with namespace.faults(Fault(operation="COPY", address=namespace.rawx[0].address, **fault)) as plan:
        take(api)
    plan.assert_met()
    assert_taken(namespace, api, before)
    for name in NAMES:
        listed = chunks_listed(api, Target(*SNAPSHOT, name))
        assert not listed & before
        assert len(listed) == len(chunks_listed(api, Target(*SOURCE, name)))
    # So nothing of the source is deleted with the snapshot.
    api.container.container_enable(*SNAPSHOT)
    for name in NAMES:
        api.object_delete(*SNAPSHOT, name)
    assert chunks_on_disk(namespace) == before


@pytest.mark.pitfall("W4", "W5")
def test_no_snapshot_has_fewer_chunks_because_a_server_wants_none(namespace, api, before):
    namespace.rawx[0].shallow_copy = False
    full = Fault("status", operation="PUT", status=507, address=namespace.rawx[0].address)
    with namespace.faults(full) as plan, pytest.raises(exc.ServiceBusy, match=r"not reached \(2/3\).*507"):
        take(api)
    plan.assert_met()
    assert_nothing_left(namespace, api, before)


# --- requests about the containers ----------------------------------------------------------------------


@pytest.mark.pitfall(97, 130)
@pytest.mark.parametrize("how", ["answer", "reset"])
@pytest.mark.parametrize(
    ("route", "nth", "answer"),
    [
        ("container/list", None, "refused"),
        ("content/locate", 1, "500"),
        ("content/locate", 3, "refused"),
        ("container/raw_update", 1, "500"),
        ("container/raw_update", 2, "refused"),
        ("container/touch", None, "500"),
    ],
)
def test_nothing_is_left_when_a_request_fails(namespace, api, before, route, nth, how, answer):
    if how == "answer":
        how = answer
    expected = {"refused": exc.BadRequest, "500": exc.ClientException, "reset": exc.OioNetworkException}[how]
    if how == "reset":
        fault = proxy("reset", route, nth=nth, phase="head")
    else:
        fault = refusal(route, *((400, 400) if how == "refused" else (500, 500)), nth=nth)
    # What only reads would be asked again.
    with namespace.faults(fault) as plan, pytest.raises(expected) as caught:
        take(api, batch=6, request_attempts=1, **QUICK)
    plan.assert_met()
    assert caught.value.service == namespace.proxy.address
    assert_nothing_left(namespace, api, before)


@pytest.mark.pitfall(97)
@pytest.mark.parametrize("action", ["commit-then-timeout", "commit-then-reset"])
@pytest.mark.parametrize("route", ["container/raw_update", "container/touch"])
def test_nothing_is_left_when_an_answer_is_lost(namespace, api, before, route, action):
    with namespace.faults(proxy(action, route)) as plan, pytest.raises(exc.OioNetworkException):
        take(api, batch=6, **QUICK)
    plan.assert_met()
    assert_nothing_left(namespace, api, before)


@pytest.mark.pitfall(97)
@pytest.mark.parametrize("action", ["commit-then-timeout", "commit-then-reset"])
def test_snapshot_of_which_nobody_knows_if_it_was_made_is_removed(namespace, api, before, action):
    with (
        namespace.faults(proxy(action, "container/snapshot")) as plan,
        pytest.raises(exc.OioNetworkException),
    ):
        take(api, **QUICK)
    plan.assert_met()
    assert asked(namespace, "COPY") == 0
    assert_nothing_left(namespace, api, before)


@pytest.mark.pitfall(97)
def test_snapshot_that_was_not_made_is_not_removed(namespace, api, before, caplog):
    with namespace.faults(proxy("reset", "container/snapshot", phase="head")) as plan:
        with pytest.raises(exc.OioNetworkException):
            take(api)
        plan.assert_met()
    assert asked(namespace, "container/destroy") == 0
    assert "Half-made snapshot account/snapshot may be left: unknown whether it was made" in caplog.text
    assert_nothing_left(namespace, api, before)


@pytest.mark.parametrize("lost", [True, False])
def test_snapshot_of_an_earlier_day_is_never_removed(namespace, api, before, lost):
    """It has the date of the same source: only that it was there before tells it from a half-made one."""
    take(api)
    there = chunks_on_disk(namespace)
    fault = proxy("commit-then-reset", "container/snapshot") if lost else refusal("container/snapshot")
    with namespace.faults(fault) as plan, pytest.raises(exc.OioException):
        take(api)
    plan.assert_met()
    assert chunks_on_disk(namespace) == there
    assert_taken(namespace, api, before)
    assert status(api) == ENABLED


def test_container_that_somebody_makes_meanwhile_is_not_removed(namespace, api, before):
    """The name was free before; what is there afterwards has another date than a copy."""
    other = namespace.api(key_file=None)

    def look(*args: Any, **kwargs: Any) -> Any:
        other.object_create(*SNAPSHOT, obj_name="mine", data=b"data")
        raise exc.OioNetworkException("reset")

    api.container.container_snapshot = look
    with other, pytest.raises(exc.OioNetworkException):
        take(api)
    assert read(api, Target(*SNAPSHOT, "mine")) == (b"data", None)
    assert status(api) == ENABLED


# --- the freeze -----------------------------------------------------------------------------------------


@pytest.mark.pitfall(97)
@pytest.mark.parametrize("action", ["commit-then-timeout", "commit-then-reset"])
def test_source_is_enabled_when_nobody_knows_if_it_was_frozen(namespace, api, before, action):
    with namespace.faults(proxy(action, "admin/freeze")) as plan, pytest.raises(exc.OioNetworkException):
        take(api, **QUICK)
    plan.assert_met()
    assert_nothing_left(namespace, api, before)


@pytest.mark.pitfall(97)
def test_trouble_with_enabling_is_logged_and_hides_nothing(namespace, api, before, caplog):
    faults = [refusal("admin/enable", 500, 500), refusal("container/touch", 403, 403)]
    with namespace.faults(*faults) as plan, pytest.raises(exc.Forbidden):
        take(api)
    plan.assert_met()
    assert "Container account/source stays frozen: because" in caplog.text
    api.container.container_enable(*SOURCE)
    assert_nothing_left(namespace, api, before)


@pytest.mark.pitfall(97)
def test_snapshot_stays_when_only_the_enabling_fails(namespace, api, before, caplog):
    with namespace.faults(refusal("admin/enable", 500, 500)) as plan:
        take(api)
    plan.assert_met()
    assert "stays frozen" in caplog.text
    assert_taken(namespace, api, before)


@pytest.mark.pitfall(33, 97)
@pytest.mark.parametrize("route", ["admin/freeze", "container/snapshot"])
def test_freeze_and_copy_are_sent_once(namespace, api, before, route):
    """Of a second one, nobody would know if it is refused because of the first."""
    with namespace.faults(proxy("status", route, nth=1)) as plan, pytest.raises(exc.ServiceBusy):
        take(api, request_attempts=5)
    plan.assert_met()
    assert asked(namespace, route) == 1
    assert_nothing_left(namespace, api, before)


@pytest.mark.pitfall(97)
def test_source_is_enabled_by_the_second_attempt_after_a_deadline(namespace, api, before):
    with namespace.faults(proxy("stall", "admin/enable", phase="head", nth=1)) as plan:
        During(api, "admin/enable", namespace.forget_requests)
        take(api, deadline=time.monotonic() + 8.0)
    plan.assert_met()
    assert asked(namespace, "admin/enable") == 2
    assert status(api) == ENABLED


def test_links_are_noted_once_in_a_snapshot(namespace, api, before):
    """A second one would not find the rows that the first has replaced."""
    fault = proxy("status", "container/raw_update", nth=1)
    with namespace.faults(fault) as plan, pytest.raises(exc.ServiceBusy):
        take(api, request_attempts=5)
    plan.assert_met()
    assert asked(namespace, "container/raw_update") == 1
    assert_nothing_left(namespace, api, before)


@pytest.mark.pitfall(97)
def test_source_that_could_not_be_asked_is_left_as_it_is(namespace, api, other, before):
    """Somebody else may have frozen it."""
    other.container.container_freeze(*SOURCE)
    with contextlib.ExitStack() as down:

        def stop_and_start_again() -> None:
            down.enter_context(namespace.faults(Fault("refuse", service="proxy")))
            During(api, "admin/enable", down.close)

        During(api, "admin/freeze", stop_and_start_again)
        with pytest.raises(exc.OioConnectionException):
            take(api)
    assert asked(namespace, "admin/enable") == 0
    assert status(other) == FROZEN


@pytest.mark.pitfall(97)
@pytest.mark.parametrize(
    "fault",
    [
        refusal("admin/enable", 503, 503, nth=1),
        refusal("admin/enable", 500, 500, nth=1),
        proxy("reset", "admin/enable", phase="head", nth=1),
        proxy("commit-then-reset", "admin/enable", nth=1),
    ],
    ids=["busy", "internal error", "reset", "answer lost"],
)
def test_service_is_asked_again_to_enable(namespace, api, before, fault, caplog):
    with namespace.faults(fault) as plan:
        take(api)
    assert "frozen" not in caplog.text
    plan.assert_met()
    assert status(api) == ENABLED


class During:
    """Does something once, when a route is asked for."""

    def __init__(self, api: Any, route: str, action: Any) -> None:
        self._request = api.container._direct_request
        self._route = route
        self._action = action
        api.container._direct_request = self

    def __call__(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        if url.endswith(self._route) and self._action is not None:
            action, self._action = self._action, None
            action()
        return self._request(method, url, *args, **kwargs)


@pytest.fixture
def other(namespace: Namespace) -> Iterator[Any]:
    """Somebody else."""
    with namespace.api(key_file=None) as client:
        yield client


def enable_by_refused_delete(other: Any) -> None:
    with pytest.raises(exc.ContainerNotEmpty):
        other.container_delete(*SOURCE)
    assert status(other) == ENABLED


@pytest.mark.pitfall(156)
@pytest.mark.parametrize("route", ["container/list", "content/locate", "container/raw_update"])
def test_snapshot_has_the_state_of_the_freeze_even_if_that_is_undone(namespace, api, other, before, route):
    """A refused deletion enables the source in the middle; it is written to, and the snapshot is whole."""

    def write() -> None:
        enable_by_refused_delete(other)
        other.object_create(*SOURCE, obj_name="a", data=b"more", append=True)
        other.object_create(*SOURCE, obj_name="d", data=b"new")

    During(api, route, write)
    take(api)
    assert [obj["name"] for obj in other.object_list(*SNAPSHOT)["objects"]] == list(NAMES)
    for name, data in zip(NAMES, (SMALL, LARGE, b"last"), strict=True):
        assert read(other, Target(*SNAPSHOT, name)) == (data, None)
    assert read(other, Target(*SOURCE, "a")) == (SMALL + b"more", None)
    assert status(other) == ENABLED


@pytest.mark.pitfall(156)
def test_snapshot_fails_when_its_source_loses_chunks(namespace, api, other, before):
    lost = chunks_listed(api, Target(*SOURCE, "b"))

    def delete() -> None:
        enable_by_refused_delete(other)
        other.object_delete(*SOURCE, "b")
        eventually(lambda: lost.isdisjoint(chunks_on_disk(namespace)))

    During(api, "container/list", delete)
    with pytest.raises(exc.ServiceBusy, match="HTTP 404"):
        take(api)
    with pytest.raises(exc.NoSuchContainer):
        other.container_show(*SNAPSHOT)
    assert chunks_on_disk(namespace) == before - lost
    assert status(other) == ENABLED


def test_two_snapshots_at_a_time_do_not_meet(namespace, api, other, before):
    """The second is refused, and leaves the freeze to the first."""
    refused = []

    def second() -> None:
        with pytest.raises(exc.ServiceBusy) as caught:
            other.container_snapshot(*SOURCE, "account", "second")
        refused.append(caught.value.status)
        assert status(other) == FROZEN

    During(api, "container/list", second)
    take(api)
    assert refused == [436]
    assert_taken(namespace, api, before)
    with pytest.raises(exc.NoSuchContainer):
        other.container_show("account", "second")


# --- what cannot be removed -----------------------------------------------------------------------------


@pytest.mark.pitfall(31)
@pytest.mark.parametrize("batch", [6, 100])
def test_half_made_snapshot_that_cannot_be_removed_keeps_the_links_it_names(
    namespace, api, before, caplog, batch, release
):
    """And those that it surely does not name are removed."""
    faults = [refusal("container/destroy", 403, 403)]
    last = 3 if release == "7.3" else 2
    faults += [refusal("container/raw_update", nth=last)] if batch == 6 else breaking(api, "c", "0")
    with namespace.faults(*faults) as plan, pytest.raises((exc.BadRequest, exc.ServiceBusy)):
        take(api, batch=batch)
    plan.assert_met()
    assert "Destroy it with container_delete(force=True)" in caplog.text
    named = {place for name in NAMES for place in chunks_listed(api, Target(*SNAPSHOT, name))}
    assert named <= chunks_on_disk(namespace)
    left = chunks_on_disk(namespace) - before
    assert left == named - before if batch == 100 else left >= named - before
    for name, data in zip(NAMES, (SMALL, LARGE, b"last"), strict=True):
        assert read(api, Target(*SNAPSHOT, name)) == (data, None)
    api.container_delete(*SNAPSHOT, force=True)
    _assert_source_is_well(api)


@pytest.mark.pitfall(31, 97)
@pytest.mark.parametrize("action", ["commit-then-reset", "reset"])
@pytest.mark.parametrize("route", ["container/destroy", "reference/destroy"])
def test_nothing_is_left_when_a_request_to_remove_the_snapshot_or_its_answer_is_lost(
    namespace, api, before, route, action
):
    phase = {"phase": "head"} if action == "reset" else {}
    faults = [refusal("container/touch", 403, 403), proxy(action, route, nth=1, **phase)]
    with namespace.faults(*faults) as plan, pytest.raises(exc.Forbidden):
        take(api)
    plan.assert_met()
    assert_nothing_left(namespace, api, before)
    # Its name is free again.
    take(api)
    assert status(api, SNAPSHOT) == FROZEN


@pytest.mark.pitfall(31, 97)
def test_links_whose_servers_are_busy_when_they_are_removed_do_not_stay(namespace, api, before):
    faults = [
        refusal("container/touch", 403, 403),
        *(Fault("status", operation="DELETE", nth=n) for n in (1, 4)),
    ]
    with namespace.faults(*faults) as plan, pytest.raises(exc.Forbidden):
        take(api)
    plan.assert_met()
    assert_nothing_left(namespace, api, before)


@pytest.mark.pitfall(31, 97)
def test_container_that_somebody_makes_in_the_place_of_a_removed_snapshot_stays(
    namespace, api, other, before
):
    destroy, calls = api.container.container_delete, []

    def destroy_and_make(*args: Any, **kwargs: Any) -> Any:
        destroy(*args, **kwargs)
        calls.append(args)
        other.object_create(*SNAPSHOT, obj_name="mine", data=b"data")
        raise exc.OioNetworkException("the answer was lost")

    api.container.container_delete = destroy_and_make
    with namespace.faults(refusal("container/touch", 403, 403)), pytest.raises(exc.Forbidden):
        take(api)
    assert len(calls) == 1
    assert read(other, Target(*SNAPSHOT, "mine")) == (b"data", None)
    _assert_source_is_well(api)


@pytest.mark.pitfall(31, 97)
def test_copy_whose_source_is_gone_keeps_the_links_it_names(namespace, api, other, before, caplog):
    destroy = api.container.container_delete

    def lose_the_request(*args: Any, **kwargs: Any) -> Any:
        other.container_delete(*SOURCE, force=True)
        api.container.container_delete = destroy
        raise exc.OioNetworkException("the request was lost")

    api.container.container_delete = lose_the_request
    with namespace.faults(refusal("container/touch", 403, 403)), pytest.raises(exc.Forbidden):
        take(api)
    named = {place for name in NAMES for place in chunks_listed(other, Target(*SNAPSHOT, name))}
    assert named
    assert named <= chunks_on_disk(namespace)
    assert "Destroy it with container_delete(force=True)" in caplog.text


@pytest.mark.pitfall(31)
def test_trouble_with_the_directory_is_logged(namespace, api, before, caplog):
    faults = [refusal("reference/destroy"), refusal("container/touch", 403, 403)]
    with namespace.faults(*faults) as plan, pytest.raises(exc.Forbidden):
        take(api)
    plan.assert_met()
    assert "Failed to remove account/snapshot from the directory" in caplog.text
    assert_nothing_left(namespace, api, before)


def test_snapshot_can_be_taken_again_after_a_failure(namespace, api, before):
    with namespace.faults(refusal("container/touch")), pytest.raises(exc.BadRequest):
        take(api)
    take(api)
    assert_taken(namespace, api, before)


# --- deadlines and interruptions ------------------------------------------------------------------------


@pytest.mark.pitfall(27, 97)
@pytest.mark.parametrize(
    "route", ["container/snapshot", "container/list", "content/locate", "container/touch"]
)
def test_source_is_enabled_after_the_deadline_too(namespace, api, before, route):
    stall = proxy("stall", route, phase="head")
    error = kept_by(namespace, stall, call=lambda deadline: take(api, deadline=deadline))
    assert isinstance(error, (exc.DeadlineReached, exc.OioTimeout))
    assert_nothing_left(namespace, api, before)


@pytest.mark.pitfall(97)
def test_source_is_enabled_when_the_user_interrupts(namespace, api, before):
    def interrupt() -> None:
        raise KeyboardInterrupt

    During(api, "container/raw_update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        take(api)
    assert_nothing_left(namespace, api, before)


def test_snapshots_of_several_containers_in_several_threads(namespace, api, before):
    containers = [f"source-{number}" for number in range(4)]
    for container in containers:
        create(api, Target("account", container, "o"), SMALL)
    errors: list[BaseException] = []

    def snapshot(container: str) -> None:
        with contextlib.ExitStack() as stack:
            try:
                api.container_snapshot("account", container, "account", f"{container}-copy")
            except exc.OioException as err:
                stack.callback(errors.append, err)

    threads = [threading.Thread(target=snapshot, args=(container,)) for container in containers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for container in containers:
        assert read(api, Target("account", f"{container}-copy", "o")) == (SMALL, None)
