# SPDX-License-Identifier: Apache-2.0
"""The bridge to OpenTelemetry: spans that belong to those of the program, and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from oio.common.events import CHUNK_FAILED, FAILED_OVER
from oio.sandbox import Fault, Namespace
from oio.telemetry import Telemetry
from tests.kit.facade import ACCOUNT, CONTAINER, create, read
from tests.kit.telemetry import Program

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


def carried(namespace: Namespace) -> dict[str, set[str]]:
    """Trace contexts that requests had, by the service that got them."""
    found: dict[str, set[str]] = {}
    for record in namespace.requests:
        found.setdefault(record.service, set()).update(
            [value for name, value in record.headers if name.lower() == "traceparent"] or [""]
        )
    return found


def use_all(api: Any, **options: Any) -> None:
    """Ask the proxy and chunk servers, by all kinds of requests to these."""
    for policy in ("TWOCOPIES", "EC21"):
        create(api, "o", DATA, policy=policy, **options)
        assert read(api, "o", **options) == DATA
        api.object_link(ACCOUNT, CONTAINER, "o", ACCOUNT, CONTAINER, "link", **options)
        api.object_delete(ACCOUNT, CONTAINER, "link", **options)
    create(api, "o", b"more", append=True, **options)
    list(api.object_list_all(ACCOUNT, CONTAINER, **options))
    list(api.container_list_all(ACCOUNT, **options))


def test_context_of_the_caller_is_carried_when_it_is_asked_for(
    namespace: Namespace, api: Any, program: Program
) -> None:
    bridge = Telemetry(program.tracers, program.meters, propagate=True)
    namespace.forget_requests()
    with program.span() as span:
        use_all(api, on_event=bridge)
        context = span.get_span_context()
    wanted = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    services = carried(namespace)
    assert services == {service: {wanted} for service in services}
    assert services.keys() >= {"proxy", "rawx", "account"}
    # Nothing of it is stored with the chunks, nor with the object.
    assert read(api, "o") == DATA + b"more"
    (chunk, *_) = api.object_locate(ACCOUNT, CONTAINER, "o")[1]
    meta = api.blob_client.chunk_head(chunk["url"])
    assert "traceparent" not in str((meta, api.object_get_properties(ACCOUNT, CONTAINER, "o"))).lower()


def test_no_context_is_carried_otherwise(namespace: Namespace, api: Any, program: Program) -> None:
    namespace.forget_requests()
    with program.span():
        use_all(api, on_event=program.bridge)
    # There is none.
    use_all(api, on_event=Telemetry(program.tracers, program.meters, propagate=True))
    assert set().union(*carried(namespace).values()) == {""}


def test_header_that_the_caller_gives_wins(namespace: Namespace, api: Any, program: Program) -> None:
    bridge = Telemetry(program.tracers, program.meters, propagate=True)
    namespace.forget_requests()
    with program.span():
        create(api, "o", DATA, on_event=bridge, headers={"Traceparent": "mine"})
    assert set().union(*carried(namespace).values()) == {"mine"}
