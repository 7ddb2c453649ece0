# SPDX-License-Identifier: Apache-2.0
"""Measurements: both clients in turns, in processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from benchmarks.cases import GIB, Case
from benchmarks.services import Services
from benchmarks.worker import Setting

SIDES: Final = ("ours", "bare")
_MOST: Final = 2000
"""Operations in a round, at most."""
_FIRST: Final = 3
_PACKAGES: Final = ("openio-sdk", "eventlet", "greenlet", "urllib3", "requests", "pyeclib", "blake3")


@dataclass(frozen=True)
class Spread:
    """Median of several values, and how far they are apart.

    >>> Spread.of([3.0, 1.0, 2.0])
    Spread(median=2.0, least=1.0, most=3.0)
    """

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Side:
    """Cost of one client.

    :param cpu: seconds of its process for one operation, user and system
    :param wall: seconds of a round by its number of operations, however many run at a time
    :param idle: resident bytes before the first operation
    :param peak: most resident bytes
    :param calls: functions called by one operation; None when several run at a time
    :param python_calls: those of them that are written in Python
    """

    cpu: Spread
    wall: Spread
    idle: int
    peak: int
    calls: int | None
    python_calls: int | None


@dataclass(frozen=True)
class Result:
    """Result of a case.

    :param operations: in one round
    :param cpu_ratio: CPU of ours by that of the bare client, round by round
    :param wall_ratio: the same of the time
    """

    case: Case
    rounds: int
    operations: int
    ours: Side
    bare: Side
    cpu_ratio: Spread
    wall_ratio: Spread


@dataclass(frozen=True)
class Failed:
    """A case that could not be measured, and why."""

    case: Case
    reason: str


class WorkerError(Exception):
    """A client failed at a command."""


class Worker:
    """One client, in a process."""

    def __init__(self, setting: Setting, process: subprocess.Popen[str]) -> None:
        self.side = setting.side
        self.pid = process.pid
        self._process = process
        self._answer()

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"{self.side}: the process ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.side}: {answer['error']}")
        return answer


@contextlib.contextmanager
def _started(setting: Setting, wrapper: Sequence[str]) -> Iterator[Worker]:
    command = [*wrapper, sys.executable, "-m", "benchmarks.worker", setting.to_json()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Worker(setting, process)
        finally:
            process.kill()


@dataclass
class _Rounds:
    """Measurements of one client, round by round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


class Measurement:
    """Measurement of one case.

    :param rounds: how often each client is measured
    :param seconds: that one round of one client should take
    :param wrappers: of each client, the beginning of a command that runs its process
    """

    def __init__(
        self,
        services: Services,
        case: Case,
        rounds: int,
        seconds: float,
        wrappers: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._wrappers = wrappers or {}
        self._services = services
        self._case = case
        self._rounds = rounds
        self._seconds = seconds

    def result(self) -> Result:
        """Measure.

        :raises WorkerError: a client failed, or did something wrong
        """
        with self.workers() as workers:
            count = self._count(workers)
            found = {side: _Rounds() for side in workers}
            for number in range(self._rounds):
                order = SIDES if number % 2 == 0 else SIDES[::-1]
                for side in order:
                    took = self.run(workers, side, count)
                    found[side].cpu.append(took["cpu"] / count)
                    found[side].wall.append(took["wall"] / count)
                for side in order:
                    # Wrong operations would look fast.
                    self.doom(workers, side, 1)
                    name = workers[side].ask("check")["name"]
                    workers["bare"].ask("verify", name=name)
                    self._tidy(workers)
            sides = {side: self._side(workers, side, found[side]) for side in workers}
        ours, bare = found["ours"], found["bare"]
        return Result(
            self._case,
            self._rounds,
            count,
            sides["ours"],
            sides["bare"],
            Spread.of([one / other for one, other in zip(ours.cpu, bare.cpu, strict=True)]),
            Spread.of([one / other for one, other in zip(ours.wall, bare.wall, strict=True)]),
        )

    def profile(self, side: str, lines: int) -> str:
        """Profile one client: functions by the time spent in them."""
        with self.workers() as workers:
            count = self._count(workers)
            self.doom(workers, side, count)
            return str(workers[side].ask("profile", count=count, lines=lines)["text"])

    def run(self, workers: dict[str, Worker], side: str, count: int) -> dict[str, Any]:
        """Run operations of one client; return the seconds that they took."""
        self.doom(workers, side, count)
        return workers[side].ask("run", count=count)

    @contextlib.contextmanager
    def workers(self) -> Iterator[dict[str, Worker]]:
        """Both clients, for a ``with`` block."""
        services, case = self._services, self._case
        if case.operation == "list":
            services.fill(case.count)
        with contextlib.ExitStack() as stack:
            stack.callback(services.forget)
            stack.callback(services.hurry)
            workers = {}
            # With credentials, ours sends one more request before each change, to find files it would orphan.
            key_file = services.key_file if case.policy == "B2" else ""
            for side in SIDES:
                setting = Setting(side, case, services.proxy, services.namespace, key_file)
                workers[side] = stack.enter_context(_started(setting, self._wrappers.get(side, ())))
            stored = workers["bare"].ask("store")
            if case.delay:
                for address in services.rawx if case.all_slow else [stored["slow"]]:
                    services.slow_down(address, case.delay)
            try:
                yield workers
            finally:
                if case.policy == "B2":
                    workers["bare"].ask("sweep")

    def _tidy(self, workers: dict[str, Worker]) -> None:
        """Remove the data of the last round: there is no room for those of all."""
        if self._case.operation != "put":
            return
        self._services.forget()
        if self._case.policy == "B2":
            workers["bare"].ask("sweep")

    def doom(self, workers: dict[str, Worker], side: str, count: int) -> None:
        """Create the objects that the next operations of a client delete."""
        names = workers[side].ask("plan", count=count)["names"]
        if names:
            workers["bare"].ask("prepare", names=names)

    def _count(self, workers: dict[str, Worker]) -> int:
        """Operations that fill a round, after some that warm both clients up."""
        case = self._case
        count = _FIRST * case.concurrency if case.size < GIB and case.count < _MOST else 1
        for side in SIDES:
            took = self.run(workers, side, count)["wall"] / count
        wanted = int(self._seconds / max(took, 1e-6))
        count = max(1, min(wanted, _MOST))
        return -(-count // case.concurrency) * case.concurrency

    def _side(self, workers: dict[str, Worker], side: str, found: _Rounds) -> Side:
        memory = workers[side].ask("memory")
        calls: dict[str, Any] = {}
        if self._case.concurrency == 1:
            self.doom(workers, side, 1)
            calls = workers[side].ask("calls")
        return Side(
            Spread.of(found.cpu),
            Spread.of(found.wall),
            memory["idle"],
            memory["peak"],
            calls["python"] + calls["c"] if calls else None,
            calls.get("python"),
        )


def measure(
    services: Services, cases: Sequence[Case], rounds: int, seconds: float, tell: Callable[[str], object]
) -> Iterator[Result | Failed]:
    """Measure cases, one after the other.

    :param rounds: how often each client is measured; three times at most with objects of 1 GiB
    :param seconds: that one round of one client should take
    :param tell: called with the name of each case that begins
    """
    for case in cases:
        tell(case.name)
        number = min(rounds, 3) if case.size >= GIB else rounds
        try:
            yield Measurement(services, case, number, seconds).result()
        except WorkerError as err:
            yield Failed(case, str(err))


def machine() -> dict[str, str]:
    """Versions and hardware of the measurements."""
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "cpu": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / GIB:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def load() -> float:
    """Average number of processes that wanted to run in the last minute."""
    return os.getloadavg()[0]


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()
