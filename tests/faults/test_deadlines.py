# SPDX-License-Identifier: Apache-2.0
"""Calls to services that do not answer: they end by their deadline, and say who used it up, doing what."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault
from tests.kit.deadlines import kept_by
from tests.kit.layouts import LAYOUTS
from tests.kit.objects import (
    LARGE,
    SMALL,
    Target,
    assert_nothing_left,
    assert_stored,
    chunks_listed,
    chunks_on_disk,
    create,
    eventually,
    fault,
    new_target,
    stored,
)
from tests.kit.scripted import full_backlog
from tests.kit.watchdog import watched


class Call(NamedTuple):
    """A call of the API, and the request of it that meets the trouble."""

    make: Callable[[Any, Target, float], Any]
    request: str


def fetch(api: Any, target: Target, deadline: float) -> bytes:
    _, stream = api.object_fetch(*target, deadline=deadline)
    return b"".join(stream)


PROXY_CALLS = {
    "show": Call(lambda api, t, d: api.container_show(*t[:2], deadline=d), "GET /v3.0/OPENIO/container/show"),
    "list": Call(lambda api, t, d: api.object_list(*t[:2], deadline=d), "GET /v3.0/OPENIO/container/list"),
    "create": Call(lambda api, t, d: create(api, t, SMALL, deadline=d), "POST /v3.0/OPENIO/content/prepare2"),
    "fetch": Call(fetch, "GET /v3.0/OPENIO/content/locate"),
    "head": Call(
        lambda api, t, d: api.object_head(*t, trust_level=2, deadline=d), "GET /v3.0/OPENIO/content/locate"
    ),
    "delete": Call(lambda api, t, d: api.object_delete(*t, deadline=d), "POST /v3.0/OPENIO/content/delete"),
    "account": Call(lambda api, t, d: api.account_show(t.account, deadline=d), "GET /v3.0/OPENIO/lb/choose"),
}
ACCOUNT_CALLS = {
    "show": Call(lambda api, t, d: api.account_show(t.account, deadline=d), "GET /v1.0/account/show"),
    "create": Call(lambda api, t, d: api.account_create(t.account, deadline=d), "PUT /v1.0/account/create"),
    "list": Call(lambda api, t, d: api.container_list(t.account, deadline=d), "GET /v1.0/account/containers"),
}


class Trouble(NamedTuple):
    """A fault, and what it interrupts."""

    action: str
    settings: dict[str, Any]
    doing: str

    def came(self, error: Any) -> bool:
        return self.doing in str(error)


TROUBLES = {
    "stall when connecting": Trouble("stall", {"phase": "connect"}, "connecting"),
    "stall before the head": Trouble("stall", {"phase": "head"}, "waiting for the answer"),
    "stall inside the head": Trouble("stall", {"phase": "head", "after_bytes": 20}, "waiting for the answer"),
    "dripping head": Trouble("drip", {"phase": "head", "seconds": 0.1}, "waiting for the answer"),
    "stall inside the body": Trouble("stall", {"after_bytes": 1}, "reading the answer"),
    "dripping body": Trouble("drip", {"seconds": 0.3}, "reading the answer"),
}


def pairs(calls: dict[str, Call]) -> Any:
    """Each call with two of the troubles that its answer can have, and each trouble with several calls."""
    turns, cases = itertools.cycle(TROUBLES.items()), []
    for call_name, call in calls.items():
        # A deletion has no answer to read.
        possible = (item for item in turns if call_name != "delete" or item[1].doing != "reading the answer")
        for trouble_name, trouble in itertools.islice(possible, 2):
            cases.append(pytest.param(call, trouble, id=f"{call_name}, {trouble_name}"))
    return pytest.mark.parametrize(("call", "trouble"), cases)


def check(namespace, service, call: Call, trouble: Trouble, target: Target) -> None:
    the_fault = fault(trouble.action, None, service=service.kind, **trouble.settings)
    with namespace.api(key_file=None) as api:
        # Asking the proxy where the account service is takes time too.
        if service is namespace.account:
            api.account_list()
        error = kept_by(
            namespace, the_fault, call=lambda deadline: call.make(api, target, deadline), came=trouble.came
        )
    assert isinstance(error, exc.OioTimeout)
    assert error.service == service.address
    assert f"{call.request}: {trouble.doing}: timeout" in str(error)


@pairs(PROXY_CALLS)
@pytest.mark.pitfall(59)
def test_proxy_that_does_not_answer(namespace, call, trouble):
    with namespace.api() as api:
        target = stored(api, SMALL)
    check(namespace, namespace.proxy, call, trouble, target)


@pairs(ACCOUNT_CALLS)
@pytest.mark.pitfall(59)
def test_account_service_that_does_not_answer(namespace, call, trouble):
    check(namespace, namespace.account, call, trouble, new_target())


@pytest.mark.parametrize("call", PROXY_CALLS.values(), ids=PROXY_CALLS)
def test_proxy_that_refuses_connections(namespace, call):
    with namespace.faults(Fault("refuse", service="proxy")), namespace.api() as api:
        error = watched(lambda: call.make(api, new_target(), time.monotonic() + 5))
    assert isinstance(error, exc.OioNetworkException)
    assert not isinstance(error, exc.OioTimeout)
    assert error.service == namespace.proxy.address
    assert "ECONNREFUSED" in str(error)


@pytest.mark.parametrize("call", PROXY_CALLS.values(), ids=PROXY_CALLS)
@pytest.mark.pitfall(75)
def test_tries_share_the_deadline(namespace, call):
    with namespace.faults(Fault("status", service="proxy")), namespace.api(request_attempts=100) as api:
        error = watched(lambda: call.make(api, new_target(), time.monotonic() + 1))
    assert isinstance(error, exc.ServiceBusy)


@pytest.mark.parametrize("call", PROXY_CALLS.values(), ids=PROXY_CALLS)
@pytest.mark.pitfall(74)
def test_nothing_is_sent_after_the_deadline(namespace, api, call):
    # The route, without its query.
    message = r"Deadline reached before [A-Z]+ /v3\.0/[\w/]+ \("
    with pytest.raises(exc.DeadlineReached, match=message) as caught:
        call.make(api, new_target(), time.monotonic() - 1)
    assert caught.value.service == namespace.proxy.address
    assert caught.value.reqid
    assert namespace.requests == []


# --- rawx -----------------------------------------------------------------------------------------------


READ_TROUBLES = {
    "stall when connecting": Trouble("stall", {"phase": "connect"}, "connecting to"),
    "stall before the head": Trouble("stall", {"phase": "head"}, "waiting for"),
    "stall inside the head": Trouble("stall", {"phase": "head", "after_bytes": 20}, "waiting for"),
    "dripping head": Trouble("drip", {"phase": "head", "seconds": 0.1}, "waiting for"),
    "stall before the data": Trouble("stall", {}, "reading from"),
    "stall inside the data": Trouble("stall", {"after_bytes": 70_000}, "reading from"),
    "dripping data": Trouble("drip", {"seconds": 0.01}, "reading from"),
}


@pytest.mark.parametrize("trouble", READ_TROUBLES.values(), ids=READ_TROUBLES)
@pytest.mark.pitfall(64)
def test_read_from_rawx_that_do_not_answer(namespace, trouble):
    with namespace.api() as api:
        target = stored(api, LARGE)
    the_fault = fault(trouble.action, "GET", **trouble.settings)
    with namespace.api() as api:
        error = kept_by(
            namespace, the_fault, call=lambda deadline: fetch(api, target, deadline), came=trouble.came
        )
    # All the time was used up by the first one, there is none left for another.
    assert isinstance(error, exc.DeadlineReached)
    assert f"Deadline reached while {trouble.doing} {namespace.rawx[0].address}" in str(error)
    assert error.service == namespace.rawx[0].address


WRITE_TROUBLES = {
    "stall when connecting": Trouble("stall", {"phase": "connect"}, "Connection timeout"),
    "stall before the data": Trouble("stall", {"phase": "head"}, "Chunk write timeout"),
    "stall inside the data": Trouble("stall", {"after_bytes": 70_000}, "Chunk write timeout"),
    "stall after the data": Trouble("commit-then-timeout", {}, "Chunk write timeout"),
    "dripping answer": Trouble("drip", {"phase": "head", "seconds": 0.01}, "Chunk write timeout"),
}


@pytest.mark.parametrize("trouble", WRITE_TROUBLES.values(), ids=WRITE_TROUBLES)
@pytest.mark.pitfall(27, 64)
def test_write_to_rawx_that_do_not_answer(namespace, trouble):
    the_fault = fault(trouble.action, "PUT", **trouble.settings)
    target = new_target()
    with namespace.api() as api:
        error = kept_by(
            namespace,
            the_fault,
            call=lambda deadline: create(api, target, LARGE, deadline=deadline),
            came=trouble.came,
        )
    # What was stored has been deleted, in time granted for that alone.
    assert chunks_on_disk(namespace) == set()
    assert isinstance(error, exc.DeadlineReached)
    assert trouble.doing in str(error)
    assert sum(rawx.address in str(error) for rawx in namespace.rawx) >= 2


@pytest.mark.parametrize("trouble", ["stall when connecting", "stall before the head", "dripping head"])
def test_presence_of_chunks_on_rawx_that_do_not_answer(namespace, trouble):
    with namespace.api() as api:
        target = stored(api, SMALL)
    trouble = TROUBLES[trouble]
    the_fault = fault(trouble.action, "HEAD", **trouble.settings)
    with namespace.api() as api:
        error = kept_by(
            namespace,
            the_fault,
            call=lambda deadline: api.object_head(*target, trust_level=2, deadline=deadline),
            came=trouble.came,
        )
    assert isinstance(error, exc.OioTimeout)
    assert error.service in {rawx.address for rawx in namespace.rawx}
    assert trouble.doing in str(error)


# --- the source, and the consumer -----------------------------------------------------------------------


@pytest.mark.pitfall(39)
@pytest.mark.parametrize("block", [b".", b"", []], ids=["data", "nothing", "no blocks"])
def test_endless_source_ends_with_the_deadline(namespace, api, block):
    target = new_target()
    source = itertools.repeat(block)
    error = watched(lambda: create(api, target, source, deadline=time.monotonic() + 0.5))
    # Nobody knows what will be going on then.
    assert isinstance(error, (exc.DeadlineReached, exc.OioTimeout))
    assert_nothing_left(namespace, api, target)


@pytest.mark.pitfall(39)
def test_source_that_gives_nothing_for_ever_ends_with_the_read_timeout(namespace, api):
    target = new_target()
    error = watched(lambda: create(api, target, itertools.repeat(b""), read_timeout=0.5))
    assert isinstance(error, exc.SourceReadTimeout)
    assert_nothing_left(namespace, api, target)


@pytest.mark.pitfall(39)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("data", ["small", "large"])
def test_object_that_servers_stop_giving_is_a_source_that_ends_with_the_deadline(
    tmp_path, release, layout, data
):
    """The read has limits of its own, which are longer."""
    with LAYOUTS[layout].running(tmp_path, release) as namespace, namespace.api(read_timeout=3600.0) as api:
        origin, target = stored(api, LAYOUTS[layout].reads[data].data), new_target()
        stalled = [fault("stall", "GET", address=rawx.address, after_bytes=10) for rawx in namespace.rawx]

        def copy(deadline: float) -> None:
            _, stream = api.object_fetch(*origin)
            with stream:
                create(api, target, stream, deadline=deadline)

        with namespace.faults(*stalled):
            error = watched(lambda: copy(time.monotonic() + 1.0))
        assert isinstance(error, (exc.DeadlineReached, exc.OioTimeout))
        eventually(lambda: chunks_on_disk(namespace) == chunks_listed(api, origin))


@pytest.mark.pitfall(27)
def test_read_timeout_bounds_each_request_and_not_the_whole_upload(namespace, api):
    target = new_target()
    slow = Fault("slow", operation="PUT", address=namespace.rawx[0].address, seconds=0.5)
    with namespace.faults(slow) as plan:
        create(api, target, LARGE, read_timeout=1.0)
    assert plan.hits(slow) == 3
    assert_stored(namespace, api, target, LARGE)


# --- without sandbox ------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", PROXY_CALLS.values(), ids=PROXY_CALLS)
def test_connection_timeout_bounds_the_connection_alone(call):
    from oio import ObjectStorageApi

    with (
        full_backlog() as address,
        ObjectStorageApi("OPENIO", endpoint=address, connection_timeout=0.2) as api,
    ):
        error = watched(lambda: call.make(api, new_target(), time.monotonic() + 15))
    assert isinstance(error, exc.OioTimeout)
    assert error.service == address
    assert "connect timeout=0.2" in str(error)
