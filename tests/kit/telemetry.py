# SPDX-License-Identifier: Apache-2.0
"""A program that has set up OpenTelemetry, and keeps spans and metrics in memory."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from oio.telemetry import Telemetry


class Program:
    """A program that has set up OpenTelemetry."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.bridge = Telemetry(self.tracers, self.meters)

    def span(self) -> Any:
        return self.tracers.get_tracer("program").start_as_current_span("work")

    def spans(self, name: str | None = None) -> list[Any]:
        return [span for span in self._exporter.get_finished_spans() if name in (None, span.name)]

    def metrics(self) -> dict[str, list[Any]]:
        found = self._reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in found.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def close(self) -> None:
        self.tracers.shutdown()
        self.meters.shutdown()
