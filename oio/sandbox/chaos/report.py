# SPDX-License-Identifier: Apache-2.0
"""Results of a run: counts of operations, problems, the watch over calls that hang, and the summary."""

from __future__ import annotations

import collections
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

#: Kinds of problems that make a run fail.
WRONG: Final = "wrong"
LOST: Final = "lost"
FOREIGN: Final = "foreign"
HANG: Final = "hang"
PROBLEMS: Final = (WRONG, LOST, FOREIGN, HANG)
#: Outcome of a right operation.
DONE: Final = "done"

_SHOWN: Final = 20


class Finding(Exception):
    """Something that must not happen.

    :param kind: ``wrong`` or ``lost``.
    :param text: what, and what was expected.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    kind: str
    operation: str
    thread: str
    text: str


class Tally:
    """Counts of operations by their outcome, and the problems; safe from many threads.

    :param say: gets a text for each of the first problems.
    :param record: file that gets one line of JSON for each phase, failure and problem; None for no record.
    """

    def __init__(self, say: Callable[[str], object], record: Path | None = None) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._file = None if record is None else record.open("w", encoding="utf-8")
        self._begin = time.monotonic()
        self.outcomes: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.problems: list[Problem] = []
        self.operations = 0

    def close(self) -> None:
        """Close the record."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def note(self, **line: Any) -> None:
        """Add a line to the record."""
        with self._lock:
            if self._file is not None:
                head = {"at": round(time.monotonic() - self._begin, 3), "operations": self.operations}
                self._file.write(json.dumps(head | line, default=str) + "\n")
                self._file.flush()

    def count(self, operation: str, outcome: str) -> None:
        """Count one operation that has ended."""
        with self._lock:
            self.operations += 1
            self.outcomes[operation][outcome] += 1

    def found(self, problem: Problem) -> None:
        """Keep a problem, and show it unless there are many."""
        with self._lock:
            self.problems.append(problem)
            number = len(self.problems)
        self.note(problem=problem.kind, operation=problem.operation, thread=problem.thread, text=problem.text)
        if number <= _SHOWN:
            self._say(f"{problem.kind.upper()} in {problem.operation} ({problem.thread}): {problem.text}")

    def number_of(self, kind: str) -> int:
        """Return how many problems of a kind there are."""
        with self._lock:
            return sum(problem.kind == kind for problem in self.problems)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not any(map(self.number_of, PROBLEMS))


@dataclass
class _Running:
    operation: str
    ident: int
    since: float
    counted: bool = False


class Watch:
    """Watch over the operations that run: one that takes longer than allowed is a hang, and counted once.

    :param tally: where hangs are counted.
    :param limit: seconds that an operation may take.
    :param clock: tells monotonic seconds.
    """

    def __init__(self, tally: Tally, limit: float, clock: Callable[[], float]) -> None:
        self._tally = tally
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}

    def begin(self, operation: str) -> None:
        """Note that the present thread begins an operation."""
        with self._lock:
            self._running[threading.current_thread().name] = _Running(
                operation, threading.get_ident(), self._clock()
            )

    def end(self) -> None:
        """Note that the operation of the present thread has ended."""
        name = threading.current_thread().name
        with self._lock:
            running = self._running.pop(name)
        self._judge(name, running, ended=True)

    def look(self) -> None:
        """Count the operations that should have ended by now."""
        with self._lock:
            running = list(self._running.items())
        for name, item in running:
            self._judge(name, item, ended=False)

    def _judge(self, name: str, running: _Running, *, ended: bool) -> None:
        spent = self._clock() - running.since
        with self._lock:
            if running.counted or spent <= self._limit:
                return
            running.counted = True
        text = f"{spent:.1f} s, {self._limit:.1f} are allowed"
        if not ended:
            frame = sys._current_frames().get(running.ident)
            text += "; now at:\n" + "".join(traceback.format_stack(frame)) if frame else ""
        self._tally.found(Problem(HANG, running.operation, name, text))


@dataclass(frozen=True)
class Usage:
    """Resources of this process: open descriptors, bytes of memory, and threads."""

    descriptors: int
    memory: int
    threads: int = 0

    @classmethod
    def now(cls) -> Usage:
        """Measure."""
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return cls(
            len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE"), threading.active_count()
        )


@dataclass
class Summary:
    """Summary of a run."""

    tally: Tally
    seed: int
    begun: str
    seconds: float = 0.0
    troubles: Mapping[str, int] = field(default_factory=dict)
    checked: int = 0
    orphans: Mapping[str, int] = field(default_factory=dict)
    chunks: int = 0
    healed: str = ""
    before: Usage = Usage(0, 0)
    after: Usage = Usage(0, 0)

    def lines(self) -> list[str]:
        """Write the summary."""
        tally = self.tally
        rows = [("operation", DONE, "failed", "failures")]
        for operation, outcomes in sorted(tally.outcomes.items()):
            failures = [f"{name} {number}" for name, number in outcomes.most_common() if name != DONE]
            failed = outcomes.total() - outcomes[DONE]
            rows.append((operation, f"{outcomes[DONE]:,}", f"{failed:,}", ", ".join(failures)))
        done = sum(outcomes[DONE] for outcomes in tally.outcomes.values())
        rows.append(("all", f"{done:,}", f"{tally.operations - done:,}", ""))
        lines = [f"{name:<20} {first:>8} {second:>8}  {rest}".rstrip() for name, first, second, rest in rows]
        went_wrong = ", ".join(f"{name} {number}" for name, number in self.troubles.items())
        memory = f"memory: {_megabytes(self.before)} before, {_megabytes(self.after)} after"
        descriptors = f"descriptors: {self.before.descriptors} before, {self.after.descriptors} after"
        threads = f"threads: {self.before.threads} before, {self.after.threads} after"
        lines += [
            f"in {self.seconds:.0f} s; planned: {went_wrong or 'nothing'}",
            f"read again at the end: {self.checked:,} objects",
            ", ".join(f"{kind} {tally.number_of(kind)}" for kind in PROBLEMS),
            self._orphans(),
            *([self.healed] if self.healed else []),
            f"{descriptors}; {threads}; {memory}",
            f"{self.begun}: {'nothing is wrong' if tally.is_clean else 'FAILED'}",
        ]
        return lines

    def _orphans(self) -> str:
        why = ", ".join(f"{name} {number}" for name, number in self.orphans.items())
        return f"chunks: {self.chunks:,}, without object: {sum(self.orphans.values()):,}" + (
            f" ({why})" if why else ""
        )


def _megabytes(usage: Usage) -> str:
    return f"{usage.memory / 10**6:.0f} MB"
