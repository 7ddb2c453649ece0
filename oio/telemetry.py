# SPDX-License-Identifier: Apache-2.0
"""Bridge to OpenTelemetry: spans and metrics of the requests of a client.

It needs the extra ``otel``, which brings ``opentelemetry-api``. A program that has set up OpenTelemetry gives
the bridge to its client, as ``on_event``:

>>> from oio import ObjectStorageApi
>>> with ObjectStorageApi("OPENIO", endpoint="127.0.0.1:6000", on_event=Telemetry()) as api:
...     api.namespace
'OPENIO'
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry import context, metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from oio._version import __version__
from oio.common.events import ABANDONED, BEGUN, ENDED, OK, Event

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from oio.common.events import Listener

__all__ = ["Telemetry"]

# Not that of the program, which may send more: its baggage is none of the store's business.
_PROPAGATOR = TraceContextTextMapPropagator()


class Telemetry:
    """Listener that makes spans and metrics; threads and clients may share one.

    Each request becomes a span of kind ``CLIENT``, whose name is its operation, such as ``PUT chunk``. Its
    parent is the span that was current when the object storage API was called, whatever thread the request
    is sent by; for other clients, when the request has ended. It has the attributes of HTTP clients,
    ``http.request.method``, ``http.response.status_code``, ``http.request.resend_count``, ``server.address``,
    ``server.port``, ``error.type``, ``http.request.body.size`` and ``http.response.body.size`` (bytes), and
    ``oio.reqid``, ``oio.service``, ``oio.outcome``, ``oio.chunk``. The parent gets the events
    ``oio.retried``, ``oio.failed_over``, ``oio.hedged`` and ``oio.chunk_failed``.

    Metrics have the attributes ``oio.service`` and ``oio.operation``: histograms ``oio.request.duration``
    (seconds), ``oio.request.size`` and ``oio.response.size`` (bytes), also with ``oio.outcome``, and the
    counter ``oio.events``, with ``oio.event``, of the events of spans.

    Spans are made when requests have ended: a request that is under way is not seen. Services know the
    request ID.

    :param tracer_provider: where spans go; by default that of the program, as it is when this is made
    :param meter_provider: where metrics go; the same
    :param propagate: send the trace context of the caller along, as headers ``traceparent`` and
        ``tracestate`` of W3C, to all services but Backblaze. Services of the store take no notice of it; what
        is between may. It names the span that was current when the API was called, not that of each request
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        propagate: bool = False,
    ) -> None:
        self._propagates = propagate
        self._tracer = trace.get_tracer("oio", __version__, tracer_provider)
        meter = metrics.get_meter("oio", __version__, meter_provider)
        self._seconds = meter.create_histogram("oio.request.duration", "s", "Duration of requests")
        self._sent = meter.create_histogram("oio.request.size", "By", "Size of the bodies of requests")
        self._received = meter.create_histogram("oio.response.size", "By", "Size of the bodies of answers")
        self._events = meter.create_counter("oio.events", "{event}", "Retries, failures and late servers")

    def for_call(self, _reqid: str) -> Listener:
        """Get the listener of one call, whose spans belong to the span that is current now."""
        return partial(self, parent=context.get_current())

    def headers_for_call(self) -> dict[str, str]:
        """Get the trace context that the requests of a call carry; nothing unless it is propagated."""
        headers: dict[str, str] = {}
        if self._propagates:
            _PROPAGATOR.inject(headers)
        return headers

    def __call__(self, event: Event, parent: Context | None = None) -> None:
        """Take an event.

        :param parent: context that spans belong to; None for the current one
        """
        if event.kind == ENDED:
            self._ended(event, parent)
        elif event.kind != BEGUN:
            self._happened(event, parent)

    def _ended(self, event: Event, parent: Context | None) -> None:
        by = {
            "oio.service": event.service,
            "oio.operation": event.operation,
            "oio.outcome": event.outcome,
        }
        self._seconds.record(event.seconds, by, parent)
        self._sent.record(event.sent, by, parent)
        self._received.record(event.received, by, parent)
        now = time.time_ns()
        span = self._tracer.start_span(
            event.operation,
            parent,
            trace.SpanKind.CLIENT,
            _attributes(event),
            start_time=now - int(event.seconds * 1e9),
        )
        if event.outcome not in {OK, ABANDONED}:
            span.set_status(trace.Status(trace.StatusCode.ERROR, event.error or event.outcome))
        span.end(now)

    def _happened(self, event: Event, parent: Context | None) -> None:
        by = {"oio.event": event.kind, "oio.service": event.service, "oio.operation": event.operation}
        self._events.add(1, by, parent)
        span = trace.get_current_span(parent)
        if span.is_recording():
            known = _attributes(event)
            known["oio.attempt"], known["oio.error"] = event.attempt, event.error
            span.add_event(f"oio.{event.kind}", known)


def _attributes(event: Event) -> dict[str, str | int]:
    """Attributes of a span, or of an event of one."""
    place = urlsplit(f"//{event.address}")
    known: dict[str, str | int | None] = {
        "http.request.method": event.operation.partition(" ")[0],
        "server.address": place.hostname,
        "server.port": place.port,
        "oio.reqid": event.reqid,
        "oio.service": event.service,
        "oio.operation": event.operation,
        "oio.outcome": event.outcome,
        "oio.chunk": event.chunk,
        "http.request.resend_count": event.attempt - 1,
        "http.request.body.size": event.sent,
        "http.response.body.size": event.received,
    }
    if event.outcome.startswith("HTTP "):
        known["http.response.status_code"] = int(event.outcome[5:])
    if event.outcome not in {"", OK, ABANDONED}:
        known["error.type"] = event.outcome.removeprefix("HTTP ")
    return {name: value for name, value in known.items() if value}
