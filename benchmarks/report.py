# SPDX-License-Identifier: Apache-2.0
"""Reports of a run: table of the terminal, table of the documentation, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks.cases import MIB
from benchmarks.measure import Failed, Result, Side, Spread

COLUMNS: Final = (
    "case",
    "CPU ours (ms)",
    "CPU bare (ms)",
    "CPU ratio",
    "wall ours (ms)",
    "wall bare (ms)",
    "wall ratio",
    "rate",
    "RSS (MiB)",
    "calls",
)
FORMAT: Final = 1
"""Version of the JSON."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    :param command: that started it
    :param conditions: versions and hardware
    """

    command: str
    conditions: dict[str, str]
    results: Sequence[Result | Failed]

    @property
    def measured(self) -> list[Result]:
        """The cases that were measured."""
        return [item for item in self.results if isinstance(item, Result)]

    @property
    def failed(self) -> list[Failed]:
        """The cases that failed."""
        return [item for item in self.results if isinstance(item, Failed)]


def row(result: Result) -> list[str]:
    """Cells of one case, in the order of :data:`COLUMNS`."""
    ours, bare = result.ours, result.bare
    return [
        result.case.name,
        milliseconds(ours.cpu),
        milliseconds(bare.cpu),
        _ratio(result.cpu_ratio),
        milliseconds(ours.wall),
        milliseconds(bare.wall),
        _ratio(result.wall_ratio),
        _rate(result),
        f"{_growth(ours):.1f} / {_growth(bare):.1f}",
        "n/a" if ours.calls is None else f"{ours.calls:,} / {bare.calls or 0:,}",
    ]


def milliseconds(seconds: Spread) -> str:
    """Write a time, with the least and the most of it.

    >>> milliseconds(Spread(0.00195, 0.0018, 0.0025))
    '1.95 (1.8-2.5)'
    """
    median, least, most = (_number(value * 1000) for value in _values(seconds))
    return f"{median} ({least}-{most})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _values(spread: Spread) -> tuple[float, float, float]:
    return spread.median, spread.least, spread.most


def _ratio(spread: Spread) -> str:
    return "{:.2f} ({:.2f}-{:.2f})".format(*_values(spread))


def _growth(side: Side) -> float:
    return max(0, side.peak - side.idle) / MIB


def _rate(result: Result) -> str:
    wall = result.ours.wall.median
    if result.case.transferred >= MIB:
        return f"{result.case.transferred / MIB / wall:,.0f} MiB/s"
    return f"{(result.case.count or 1) / wall:,.0f}/s"


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows of text for a terminal; the first column goes to the left, others to the right."""
    widths = [max(len(cells[index]) for cells in rows) for index in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in rows
    )


def text(run: Run) -> str:
    """The whole report, for a terminal."""
    parts = ["\n".join(f"{name}: {value}" for name, value in run.conditions.items())]
    if run.measured:
        parts.append(text_table([COLUMNS, *map(row, run.measured)]))
    parts += [f"{item.case.name}: not measured: {item.reason}" for item in run.failed]
    return "\n\n".join(parts)


def rst(run: Run) -> str:
    """The table of the documentation, and its conditions."""
    lines = [f".. Made by: {run.command}", "", "::", "", f"   $ {run.command}", ""]
    lines += [f":{name}: {value}" for name, value in run.conditions.items()]
    # Only the columns that readers compare; the JSON has the others.
    chosen = [0, 1, 2, 3, 6, 7, 8, 9]
    lines += ["", ".. list-table::", "   :header-rows: 1", "   :class: benchmarks", ""]
    for cells in [list(COLUMNS), *map(row, run.measured)]:
        for number, index in enumerate(chosen):
            lines.append(f"   {'* -' if number == 0 else '  -'} {cells[index]}")
    lines += [f"\n*{item.case.name}* was not measured: {item.reason}." for item in run.failed]
    return "\n".join(lines) + "\n"


def as_json(run: Run) -> dict[str, object]:
    """The whole report, as JSON: seconds and bytes."""
    return {
        "format": FORMAT,
        "command": run.command,
        "conditions": run.conditions,
        "results": [{"name": item.case.name, **asdict(item)} for item in run.measured],
        "failed": [{"name": item.case.name, "reason": item.reason} for item in run.failed],
    }
