# SPDX-License-Identifier: Apache-2.0
"""Command line of the benchmarks: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final
from urllib.parse import urlsplit

from benchmarks import lines
from benchmarks.cases import CASES, Case
from benchmarks.measure import Measurement, Result, load, machine, measure
from benchmarks.plots import plots
from benchmarks.report import Run, as_json, row, rst, text
from benchmarks.services import Services, embedded
from benchmarks.starting import start_times

_QUICK: Final = (3, 0.15)
_FULL: Final = (5, 1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(given)
    cases = _chosen(options)
    if options.list:
        print("\n".join(case.name for case in cases))
        return 0
    if not cases:
        print(f"--case {options.case!r}: no case has such a name; --list tells them", file=sys.stderr)
        return 2
    if options.lines and not shutil.which("valgrind"):
        print("--lines: valgrind is not installed", file=sys.stderr)
        return 2
    rounds, seconds = _QUICK if options.quick else _FULL
    rounds, seconds = options.rounds or rounds, options.seconds or seconds
    command = shlex.join(["python", "-m", "benchmarks", *given])
    begin, busy = time.monotonic(), load()
    with _services(options) as services:
        if options.profile:
            for case in cases:
                print(
                    f"{case.name}\n{Measurement(services, case, 1, seconds).profile('ours', options.profile)}"
                )
            return 0
        if options.lines:
            print(lines.table(cases, [lines.count(services, case) for case in cases]))
            return 0
        results = []
        for result in measure(services, cases, rounds, seconds, _tell):
            results.append(result)
            if isinstance(result, Result):
                _tell("    " + "  ".join(row(result)[1:]))
            else:
                _tell(f"    not measured: {result.reason}")
        conditions = _conditions(options, services, begin, busy)
    run = Run(command, conditions, results)
    print(text(run))
    _write(options, run)
    return 1 if run.failed else 0


def _chosen(options: argparse.Namespace) -> list[Case]:
    cases: list[Case] = [case for case in CASES if case.quick or not options.quick]
    if options.endpoint:
        cases = [case for case in cases if not case.only_embedded]
    if options.largest:
        # Scaled cases that become equal are run once.
        cases = list({case.name: case for case in (case.scaled(options.largest) for case in cases)}.values())
    return [case for case in cases if re.search(options.case, case.name)]


def _services(options: argparse.Namespace) -> contextlib.AbstractContextManager[Services]:
    if not options.endpoint:
        return embedded(options.chunk_size)
    services = Services(urlsplit(options.endpoint).netloc, options.namespace)
    services.make_containers()
    return contextlib.nullcontext(services)


def _conditions(options: argparse.Namespace, services: Services, begin: float, busy: float) -> dict[str, str]:
    where = options.endpoint or f"sandbox and bare chunk servers, chunks of {options.chunk_size:,} bytes"
    return {
        **machine(),
        "services": where,
        "start": ", ".join(
            f"{name} {took.median * 1000:.3g} ms ({took.least * 1000:.3g}-{took.most * 1000:.3g})"
            for name, took in start_times(services).items()
        ),
        "load": f"{busy:.2f} before, {load():.2f} after (1 minute)",
        "duration": f"{time.monotonic() - begin:.0f} s",
    }


def _write(options: argparse.Namespace, run: Run) -> None:
    if options.json:
        options.json.write_text(json.dumps(as_json(run), indent=1) + "\n")
    if options.rst:
        options.rst.write_text(rst(run))
    if options.svg:
        options.svg.mkdir(parents=True, exist_ok=True)
        for name, drawing in plots(run.measured).items():
            (options.svg / name).write_text(drawing)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the client beside what http.client, hashlib and PyECLib cost without it.",
        epilog="Measure on a machine that does nothing else: the load is part of the report.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="some of the cases, shortly: less than 2 minutes")
    add("--case", default="", metavar="PATTERN", help="only cases whose name this regular expression is in")
    add("--list", action="store_true", help="print the names of the cases")
    add("--rounds", type=_positive, metavar="N", help="how often each client is measured (5; quick: 3)")
    add("--seconds", type=float, metavar="N", help="that a round of a client takes (1; quick: 0.15)")
    add("--largest", type=_positive, metavar="BYTES", help="make objects and listings no larger than that")
    add(
        "--chunk-size",
        type=_positive,
        default=10 * 1024 * 1024,
        metavar="BYTES",
        help="of the chunks of new objects (default: %(default)s, as in services without a setting)",
    )
    add("--json", type=Path, metavar="FILE", help="gets everything that was measured")
    add("--rst", type=Path, metavar="FILE", help="gets the table of docs/performance.rst")
    add("--svg", type=Path, metavar="DIRECTORY", help="gets the plots")
    add("--profile", type=_positive, metavar="N", help="print the N functions that cost the most, instead")
    add("--lines", action="store_true", help="count instructions and cache lines with Valgrind, instead")
    add("--endpoint", metavar="URL", help="proxy of another namespace, which gets containers that stay")
    add("--namespace", default="OPENIO", help="its name (default: %(default)s)")
    return parser


def _positive(value: str) -> int:
    if not value.isdecimal() or not int(value):
        raise argparse.ArgumentTypeError(f"must be 1 or more: {value!r}")
    return int(value)


def _end(number: int, _frame: FrameType | None) -> None:
    """Exit as after Ctrl-C, so that all services are stopped."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main())
