# SPDX-License-Identifier: Apache-2.0
"""What the bridge to OpenTelemetry makes of events."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oio.common.events import ENDED, FAILED_OVER, Event
from oio.telemetry import Telemetry
from tests.kit.telemetry import Program


@pytest.fixture
def program() -> Iterator[Program]:
    made = Program()
    yield made
    made.close()


def test_an_attempt_tells_which_it_is(program: Program) -> None:
    again = Event(kind=ENDED, operation="GET chunk", attempt=3, outcome="OioTimeout", address="[::1]:6010")
    program.bridge(again)
    (span,) = program.spans()
    assert span.parent is None
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "http.request.resend_count": 2,
        "oio.operation": "GET chunk",
        "oio.outcome": "OioTimeout",
        "error.type": "OioTimeout",
        "server.address": "::1",
        "server.port": 6010,
    }


def test_without_a_provider_those_of_the_program_are_used() -> None:
    bridge = Telemetry()
    bridge(Event(kind=ENDED, operation="GET chunk", outcome="ok"))
    bridge.for_call("an-ID")(Event(kind=FAILED_OVER, operation="GET chunk"))
