# SPDX-License-Identifier: Apache-2.0
"""The bridge to OpenTelemetry: spans that belong to those of the program, and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from oio.common.events import CHUNK_FAILED, FAILED_OVER
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, create, read
from tests.kit.releases import RELEASES
from tests.kit.telemetry import Program

ON_RELEASES = RELEASES
DATA = b"a few bytes"


@pytest.fixture
def program() -> Iterator[Program]:
    made = Program()
    yield made
    made.close()


def test_requests_become_spans_of_the_one_that_was_current(api: Any, program: Program) -> None:
    with program.span():
        create(api, "o", DATA, on_event=program.bridge, reqid="an-ID")
        assert read(api, "o", on_event=program.bridge, reqid="an-ID") == DATA
    (work,) = program.spans("work")
    spans = [span for span in program.spans() if span is not work]
    # Those of the chunks are sent by other green threads.
    assert {span.parent.span_id for span in spans} == {work.context.span_id}
    assert {span.kind for span in spans} == {SpanKind.CLIENT}
    assert {span.status.status_code for span in spans} == {StatusCode.UNSET}
    assert {span.attributes["oio.reqid"] for span in spans} == {"an-ID"}
    assert len(program.spans("PUT chunk")) == 3
    (get,) = program.spans("GET chunk")
    address, _, port = get.attributes["oio.chunk"].split("/")[2].partition(":")
    assert (
        dict(get.attributes).items()
        >= {
            "http.request.method": "GET",
            "http.response.body.size": len(DATA),
            "oio.service": "rawx",
            "oio.outcome": "ok",
            "server.address": address,
            "server.port": int(port),
        }.items()
    )
    assert work.start_time <= get.start_time <= get.end_time <= work.end_time


def test_failures_are_errors_and_events_of_the_parent(
    namespace: Namespace, api: Any, program: Program
) -> None:
    create(api, "o", DATA)
    with namespace.faults(Fault("status", operation="GET", nth=1)), program.span():
        read(api, "o", on_event=program.bridge)
    bad, good = program.spans("GET chunk")
    assert (bad.status.status_code, good.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert (bad.attributes["http.response.status_code"], bad.attributes["error.type"]) == (503, "503")
    assert "error.type" not in good.attributes
    (work,) = program.spans("work")
    failed, other = work.events
    assert (failed.name, other.name) == ("oio.chunk_failed", "oio.failed_over")
    assert failed.attributes["oio.chunk"] == bad.attributes["oio.chunk"]
    assert other.attributes["oio.chunk"] == good.attributes["oio.chunk"]
    counted = {point.attributes["oio.event"]: point.value for point in program.metrics()["oio.events"]}
    assert counted == {CHUNK_FAILED: 1, FAILED_OVER: 1}


def test_metrics_are_by_service_operation_and_outcome(namespace: Namespace, program: Program) -> None:
    with namespace.api(on_event=program.bridge) as api:
        for number in range(3):
            create(api, f"o{number}", DATA)
        with namespace.faults(Fault("status", operation="GET", nth=1)):
            for number in range(3):
                read(api, f"o{number}")
        api.object_delete(ACCOUNT, CONTAINER, "o0")
    found = program.metrics()

    def of(metric: str, operation: str, outcome: str) -> tuple[int, float]:
        (point,) = [
            point
            for point in found[metric]
            if (point.attributes["oio.operation"], point.attributes["oio.outcome"]) == (operation, outcome)
        ]
        assert set(point.attributes) == {"oio.service", "oio.operation", "oio.outcome"}
        return point.count, point.sum

    assert of("oio.request.size", "PUT chunk", "ok") == (9, 9 * len(DATA))
    assert of("oio.response.size", "GET chunk", "ok") == (3, 3 * len(DATA))
    assert of("oio.request.duration", "GET chunk", "HTTP 503")[0] == 1
    count, seconds = of("oio.request.duration", "POST content/create", "ok")
    assert (count, seconds > 0) == (3, True)
