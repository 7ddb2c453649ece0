# SPDX-License-Identifier: Apache-2.0
"""Instructions and cache lines of one operation, as Valgrind counts them whatever the load of the machine."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.cases import Case
from benchmarks.measure import SIDES, Measurement
from benchmarks.report import text_table
from benchmarks.services import Services

COLUMNS: Final = ("case", "instructions ours / bare", "ratio", "cache lines ours / bare", "ratio")
_WARM: Final = 40
"""Operations before the one that is looked at: Python must have specialised its code by then."""
_CACHE: Final = "134217728,16,64"
"""Bytes, ways and line of a cache in which all that was touched once stays."""


@dataclass(frozen=True)
class Touched:
    """Instructions and cache lines of one operation.

    :param instructions: executed
    :param lines: different lines of memory, of 64 bytes, that it has run, read or written
    """

    instructions: int
    lines: int


def count(services: Services, case: Case) -> dict[str, Touched]:
    """Run one operation of each client under Valgrind.

    :raises OSError: Valgrind is not installed
    """
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as directory:
        files = {side: Path(directory, side) for side in SIDES}
        measurement = Measurement(services, case, 1, 0.0, {side: _valgrind(files[side]) for side in SIDES})
        with measurement.workers() as workers:
            for side in SIDES:
                measurement.run(workers, side, _WARM)
                measurement.doom(workers, side, 1)
                worker = workers[side]
                # Switching it on empties the cache: each line that is touched is missed once.
                _control(worker.pid, "--instr=on")
                worker.ask("run", count=1)
                _control(worker.pid, "--instr=off")
                _control(worker.pid, "--dump")
        return {side: _read(file) for side, file in files.items()}


def _valgrind(file: Path) -> list[str]:
    options = ("--instr-atstart=no", "--cache-sim=yes", f"--LL={_CACHE}", f"--callgrind-out-file={file}")
    return ["valgrind", "--tool=callgrind", "--log-file=/dev/null", *options]


def _control(pid: int, wish: str) -> None:
    # Valgrind reports on both outputs.
    subprocess.run(["callgrind_control", wish, str(pid)], check=True, capture_output=True)


def _read(file: Path) -> Touched:
    """Read the first dump of a process."""
    text = file.with_name(f"{file.name}.1").read_text()
    parts = re.search(r"^events: (.*?)$.*^totals: (.*?)$", text, re.MULTILINE | re.DOTALL)
    assert parts
    # Valgrind leaves out zeros at the end.
    found = dict(zip(parts[1].split(), map(int, parts[2].split()), strict=False))
    return Touched(found["Ir"], sum(found.get(name, 0) for name in ("ILmr", "DLmr", "DLmw")))


def table(cases: Sequence[Case], found: Sequence[dict[str, Touched]]) -> str:
    """Lay out the counts for a terminal."""
    rows: list[Sequence[str]] = [COLUMNS]
    for case, sides in zip(cases, found, strict=True):
        ours, bare = sides["ours"], sides["bare"]
        rows.append(
            (
                case.name,
                f"{ours.instructions:,} / {bare.instructions:,}",
                f"{ours.instructions / bare.instructions:.2f}",
                f"{ours.lines:,} / {bare.lines:,}",
                f"{ours.lines / bare.lines:.2f}",
            )
        )
    return text_table(rows)
