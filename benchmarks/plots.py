# SPDX-License-Identifier: Apache-2.0
"""Plots of a run: throughput over size, time over concurrency, as SVG written by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from benchmarks.cases import MIB, Case, in_units
from benchmarks.measure import Result

WIDTH: Final = 680
HEIGHT: Final = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 190, 40, 50
_COLOURS: Final = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2")

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """Points to be joined; a dashed line is the bare limit of the one of that colour."""

    name: str
    colour: str
    points: Sequence[Point]
    dashed: bool = False


def plots(results: Sequence[Result]) -> dict[str, str]:
    """Draw all plots that a run has data for; return the text of each file by its name."""
    found = {}
    for operation in ("put", "get"):
        plain = [
            item
            for item in results
            if item.case == Case(operation, item.case.policy, item.case.size, quick=item.case.quick)
        ]
        drawn = _lines(plain, _series_of_policy, lambda item: item.case.size, _throughput)
        if drawn:
            title = f"{operation}: MiB/s over size (dashed: bare limit)"
            found[f"throughput-{operation}.svg"] = draw(title, drawn, _size_name)
    small = [item for item in results if item.case.operation in {"put", "get"} and item.case.policy == "x3"]
    small = [item for item in small if item.case.size == 4096 and item.case.verify is True]
    drawn = _lines(small, _series_of_threads, lambda item: item.case.concurrency, _milliseconds)
    if drawn:
        title = "4 KiB x3: ms per operation over concurrency (dashed: bare limit)"
        found["concurrency.svg"] = draw(title, drawn, lambda number: f"{number:g}")
    return found


def _series_of_policy(item: Result) -> tuple[str, ...]:
    return (item.case.policy,)


def _series_of_threads(item: Result) -> tuple[str, ...]:
    case = item.case
    # The lines of all kinds of threads begin at one operation at a time.
    kinds = ("green", "OS") if case.concurrency == 1 else (case.threads,)
    return tuple(f"{case.operation}, {kind} threads" for kind in kinds)


def _throughput(item: Result) -> tuple[float, float]:
    size = item.case.size / MIB
    return size / item.ours.wall.median, size / item.bare.wall.median


def _milliseconds(item: Result) -> tuple[float, float]:
    return item.ours.wall.median * 1e3, item.bare.wall.median * 1e3


def _size_name(size: float) -> str:
    return in_units(round(size))


def _lines(
    results: Sequence[Result],
    names: Callable[[Result], tuple[str, ...]],
    x: Callable[[Result], float],
    y: Callable[[Result], tuple[float, float]],
) -> list[Line]:
    """Lines of several points, ours and bare, in the order of the results."""
    series: dict[str, list[tuple[float, float, float]]] = {}
    for item in results:
        for name in names(item):
            series.setdefault(name, []).append((x(item), *y(item)))
    lines = []
    for number, (name, points) in enumerate(item for item in series.items() if len(item[1]) > 1):
        colour = _COLOURS[number % len(_COLOURS)]
        points.sort()
        lines.append(Line(name, colour, [(at, ours) for at, ours, _ in points]))
        lines.append(Line("", colour, [(at, bare) for at, _, bare in points], dashed=True))
    return lines


def draw(title: str, lines: Sequence[Line], name_of: Callable[[float], str]) -> str:
    """Draw lines in a plane of two logarithmic axes.

    :param name_of: how a value of the horizontal axis is written
    """
    across = sorted({x for line in lines for x, _ in line.points})
    values = [y for line in lines for _, y in line.points]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    span = math.log(across[-1] / across[0]) or 1

    def at(point: Point) -> tuple[float, float]:
        right = math.log(point[0] / across[0]) / span
        up = (math.log10(point[1]) - low) / (high - low)
        return _LEFT + right * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
        '  font-family="sans-serif" font-size="12" fill="#444">',
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">{escape(title)}</text>',
    ]
    for power in range(low, high + 1):
        x, y = at((across[0], 10.0**power))
        parts.append(f'<path d="M{x:.1f} {y:.1f}H{WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{x - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for value in across:
        x, y = at((value, 10.0**low))
        parts.append(
            f'<text x="{x:.1f}" y="{y + 20:.1f}" text-anchor="middle">{escape(name_of(value))}</text>'
        )
    named = 0
    for line in lines:
        joined = "L".join("{:.1f} {:.1f}".format(*at(point)) for point in line.points)
        dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(f'<path d="M{joined}" fill="none" stroke="{line.colour}" stroke-width="2"{dashes}/>')
        if line.name:
            y = _TOP + 18 * named
            x = WIDTH - _RIGHT + 16
            parts.append(f'<path d="M{x} {y}h20" stroke="{line.colour}" stroke-width="2"/>')
            parts.append(f'<text x="{x + 26}" y="{y + 4}">{escape(line.name)}</text>')
            named += 1
    return "\n".join([*parts, "</svg>", ""])
