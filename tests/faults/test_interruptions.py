# SPDX-License-Identifier: Apache-2.0
"""Exceptions that signal handlers of the host raise in the middle of a call leave it as they are."""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from oio.common import exceptions as exc
from oio.common import green
from oio.common.answers import reading_answer
from oio.sandbox import Fault, Namespace
from tests.kit.objects import SMALL, chunks_on_disk, create, eventually, new_target, read, stored
from tests.kit.releases import for_each
from tests.kit.signals import raising, strike, struck_when


class SoftTimeLimitExceeded(Exception):
    """As task queues raise it."""


class OwnError(exc.OioException):
    """As applications derive theirs from the library's."""


ERRORS = [
    SoftTimeLimitExceeded("soft"),
    TimeoutError("an alarm"),
    ConnectionResetError("of the host"),
    ValueError("of the host"),
    KeyError("of the host"),
    OwnError("of the host"),
    KeyboardInterrupt(),
]


class Step(NamedTuple):
    """A service that stalls, and a call that waits for it; the call is given an object that is stored."""

    fault: Fault
    call: Callable[[Any, Any], object]
    policy: str = "THREECOPIES"


def stall(service: str, operation: str | None = None, **settings: Any) -> Fault:
    return Fault("stall", service=service, operation=operation, **settings)


def put(policy: str) -> Callable[[Any, Any], object]:
    return lambda api, _target: create(api, new_target(), SMALL, policy=policy)


STEPS = {
    "read": Step(stall("rawx", "GET"), lambda api, target: b"".join(api.object_fetch(*target)[1])),
    "read, head": Step(
        stall("rawx", "GET", phase="head"), lambda api, target: b"".join(api.object_fetch(*target)[1])
    ),
    "read of fragments": Step(
        stall("rawx", "GET"), lambda api, target: b"".join(api.object_fetch(*target)[1]), "EC"
    ),
    "write": Step(stall("rawx", "PUT", phase="head"), put("THREECOPIES")),
    "write of fragments": Step(stall("rawx", "PUT"), put("EC")),
    "head": Step(
        stall("rawx", "HEAD", phase="head"), lambda api, target: api.object_head(*target, trust_level=2)
    ),
    "link": Step(
        stall("rawx", "COPY", phase="head"),
        lambda api, target: api.object_link(*target, "account", "c", "link"),
    ),
    "listing": Step(
        stall("proxy", "container/list", phase="head"), lambda api, target: api.object_list(*target[:2])
    ),
    "deletion": Step(
        stall("proxy", "content/delete", phase="head"), lambda api, target: api.object_delete(*target)
    ),
    "commit": Step(stall("proxy", "content/create", phase="head"), put("THREECOPIES")),
    "account": Step(stall("account", phase="head"), lambda api, _target: api.account_show("account")),
    "read of B2": Step(
        stall("b2", "download"), lambda api, target: b"".join(api.object_fetch(*target)[1]), "BACKBLAZE"
    ),
    "write to B2": Step(stall("b2", "b2_upload_file"), put("BACKBLAZE"), "BACKBLAZE"),
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A namespace of each release, and an object of each policy in it."""

    def make(release):
        namespace = stack.enter_context(Namespace(tmp_path_factory.mktemp("interrupted"), release=release))
        policies = ["THREECOPIES", "EC", *["BACKBLAZE"] * (release == "7.3")]
        with namespace.api() as api:
            return namespace, {policy: stored(api, SMALL, policy=policy) for policy in policies}

    with contextlib.ExitStack() as stack:
        yield for_each(make)


@pytest.fixture
def namespace(stores, release) -> Namespace:
    return stores[release][0]


@pytest.fixture
def targets(stores, release):
    return stores[release][1]


#: Services of today prepare no chunks for these.
ONLY_BEFORE = {"BACKBLAZE": pytest.mark.on_release("7.3")}


def interrupted_steps():
    """Each step with each error that is like one of ours, and with one of the others, which take turns."""
    like_ours = [error for error in ERRORS if isinstance(error, (OSError, exc.OioException))]
    others = itertools.cycle([error for error in ERRORS if error not in like_ours])
    for name, step in STEPS.items():
        for error in (*like_ours, next(others)):
            marks = ONLY_BEFORE.get(step.policy, ())
            yield pytest.param(step, error, id=f"{name}-{type(error).__name__}", marks=marks)


@pytest.mark.pitfall("B2")
@pytest.mark.parametrize(("step", "error"), list(interrupted_steps()))
def test_exception_of_the_host_passes_untouched(namespace, targets, step, error):
    kept = chunks_on_disk(namespace)
    with (
        namespace.api() as api,
        raising(error),
        namespace.faults(step.fault) as plan,
        pytest.raises(type(error)) as caught,
        struck_when(lambda: plan.hits(step.fault)),
    ):
        step.call(api, targets[step.policy])
    assert caught.value is error
    with namespace.api() as api:
        # Nothing is left in a state that others would suffer from.
        assert read(api, targets[step.policy]).data == SMALL
    if step.fault.operation == "PUT":
        eventually(lambda: chunks_on_disk(namespace) == kept)


@pytest.mark.pitfall("B2", "B5")
@pytest.mark.parametrize(
    "policy", ["THREECOPIES", "EC", pytest.param("BACKBLAZE", marks=ONLY_BEFORE["BACKBLAZE"])]
)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_exception_that_strikes_in_a_source_is_no_failure_of_it(namespace, error, policy):
    class Struck:
        def read(self, _size: int) -> bytes:
            strike()
            return eventually(lambda: False)

    kept = chunks_on_disk(namespace)
    with namespace.api() as api, raising(error), pytest.raises(type(error)) as caught:
        create(api, new_target(), Struck(), policy=policy)
    assert caught.value is error
    eventually(lambda: chunks_on_disk(namespace) == kept)


@pytest.mark.pitfall("B2")
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_exception_that_strikes_while_an_answer_is_read_is_no_fault_of_it(error):
    def use() -> bool:
        strike()
        return False

    with raising(error), pytest.raises(type(error)) as caught, reading_answer("127.0.0.1:6006"):
        eventually(use)
    assert caught.value is error


class OneShot:
    """Signal handlers that are gone when their exception is met."""

    def alarm(self, number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise TimeoutError("alarm of the host")

    def any_arguments(self, *args: object) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        raise ConnectionResetError("of the host")


@pytest.mark.pitfall("B2")
@pytest.mark.parametrize("step", ["read", "read of fragments", "listing", "write"])
@pytest.mark.parametrize("handler", [OneShot().alarm, OneShot().any_arguments])
def test_exception_of_a_handler_that_is_gone_passes_too(namespace, targets, step, handler):
    fault, call, policy = STEPS[step]
    before = signal.signal(signal.SIGALRM, handler)
    try:
        with namespace.api() as api, namespace.faults(fault):
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises((TimeoutError, ConnectionResetError), match="of the host") as caught:
                call(api, targets[policy])
        assert not isinstance(caught.value, exc.OioException)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class OwnLimit(TimeoutError):
    """As applications have their green time limits raise it."""


@pytest.mark.pitfall("B2")
@pytest.mark.parametrize(
    "step",
    [
        "read",
        "read of fragments",
        pytest.param("read of B2", marks=ONLY_BEFORE["BACKBLAZE"]),
        "listing",
        "head",
        "write",
    ],
)
def test_exception_of_a_green_time_limit_of_the_host_passes_untouched(namespace, targets, step):
    fault, call, policy = STEPS[step]
    own = OwnLimit("of the host")
    with namespace.api(read_timeout=5) as api, namespace.faults(fault):
        with pytest.raises(OwnLimit) as caught, green.Timeout(0.4, own):
            call(api, targets[policy])
        assert caught.value is own


@pytest.mark.pitfall("B2")
def test_exception_that_the_host_was_handling_is_not_raised_again(namespace):
    with namespace.api() as api, raising(TimeoutError("an alarm")):
        try:
            strike()
            eventually(lambda: False)
        except TimeoutError:
            with pytest.raises(exc.NoSuchContainer):
                api.object_list("account", "nothing")
            broken = namespace.faults(Fault("reset", service="proxy"))
            with broken, pytest.raises(exc.OioNetworkException):
                api.object_list("account", "nothing", request_attempts=1)
