# SPDX-License-Identifier: Apache-2.0
"""Figures of the time spent, which a caller asks for with ``perfdata={}``."""

from __future__ import annotations

from typing import Any

from oio.common.deadlines import monotonic_time


def add_duration(perfdata: dict[str, Any] | None, service: str, key: str, start: float) -> None:
    """Add the time since ``start`` (monotonic seconds) to the figures of a kind of service.

    Figures are added to what the caller's dict holds, which may be shared by several calls (pitfalls
    row 121). Without a dict, nothing is measured.
    """
    if perfdata is not None:
        figures = perfdata.setdefault(service, {})
        figures[key] = figures.get(key, 0.0) + monotonic_time() - start
