# SPDX-License-Identifier: Apache-2.0
"""Figures of the time spent, which a caller asks for with ``perfdata={}``.

They are added to what the caller's dict holds, which several calls may share, in several threads (pitfall
121).
"""

from __future__ import annotations

from typing import Any, TypeAlias

from oio.common.deadlines import monotonic_time

Perfdata: TypeAlias = "dict[str, Any]"
"""Figures: numbers, or dicts of numbers by kind of service."""


def add_figure(figures: dict[str, float], key: str, amount: float) -> None:
    """Add to a figure."""
    figures.setdefault(key, 0)
    # No call comes between reading and writing, so no other thread can.
    figures[key] += amount


def add_request(perfdata: Perfdata, service: str, seconds: float, header: str | None) -> None:
    """Add the time of a request to the figures of a kind of service.

    :param header: figures of the service itself, in microseconds
    """
    figures = perfdata.setdefault(service, {})
    add_figure(figures, "overall", seconds)
    for item in (header or "").split(","):
        name, _, value = item.partition("=")
        # Longer ones are no times, and Python may refuse to read them.
        if value.isdecimal() and len(value) < 20:
            add_figure(figures, name, int(value) / 1e6)


def add_duration(perfdata: Perfdata | None, service: str, key: str, start: float) -> None:
    """Add the time since ``start`` (monotonic seconds) to the figures of a kind of service.

    Without a dict, nothing is measured.
    """
    if perfdata is not None:
        add_figure(perfdata.setdefault(service, {}), key, monotonic_time() - start)
