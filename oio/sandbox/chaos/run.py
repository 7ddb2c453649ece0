# SPDX-License-Identifier: Apache-2.0
"""A run: threads that share one client, the plan that troubles them, and the checks at the end."""

from __future__ import annotations

import collections
import contextlib
import gc
import importlib
import random
import shlex
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from oio.common import exceptions as exc
from oio.sandbox.chaos.audit import Doubts, explain, known_chunks, listening
from oio.sandbox.chaos.healing import Healing
from oio.sandbox.chaos.model import Book
from oio.sandbox.chaos.operations import Operations
from oio.sandbox.chaos.plan import Phase, phases
from oio.sandbox.chaos.reads import ACCOUNT, World, base_containers, versioned_container
from oio.sandbox.chaos.report import DONE, FOREIGN, LOST, Finding, Problem, Summary, Tally, Usage, Watch
from oio.sandbox.chaos.transfers import Transfers
from oio.sandbox.chaos.ways import Ways
from oio.sandbox.releases import R7_3, release_named
from oio.sandbox.remote import Control, RemoteNamespace

_CHUNK_SIZE: Final = 50_000
_RAWX: Final = 12
#: Seconds between two checks of the conductor.
_LOOK_EVERY: Final = 0.05
#: Seconds that a thread pauses after a failure, so that a dead namespace does not cost all the operations.
_PAUSE: Final = 0.02
_PAUSES: Final = {DONE: 0.0, "OioConnectionException": 0.2}
#: Attempts in calm weather: the first may meet connections that a kill has cut.
_ATTEMPTS: Final = 4
_B2: Final = "BACKBLAZE"


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    :param seed: of the choices of all threads, and of the plan.
    :param release: what the services answer like: ``7.3``, or ``2026``, where a part of the objects is
        written with BLAKE3 checksums.
    :param threads: how many share the client.
    :param policies: storage policies of objects.
    :param seconds: how long to go on; None until ``operations`` have ended.
    :param operations: how many operations to do; None for no end but ``seconds``.
    :param deadline: seconds that each call is given.
    :param margin: seconds that it may take longer, before it counts as hanging.
    :param cache: whether the client has a cache of locations.
    :param damage: strike chunks on the disks at the end, repair all objects, and check them again.
    :param record: file for the record of phases, failures and problems.
    :raises ValueError: there is no such release, or it has no such policy.
    """

    seed: int
    release: str = R7_3.name
    threads: int = 8
    policies: tuple[str, ...] = ("THREECOPIES", "EC")
    seconds: float | None = 60.0
    operations: int | None = None
    deadline: float = 6.0
    margin: float = 10.0
    cache: bool = False
    record: Path | None = None
    damage: bool = False

    def __post_init__(self) -> None:
        release = release_named(self.release)
        if _B2 in self.policies and release.later_fields:
            raise ValueError(f"policies={self.policies!r}: release {self.release} has no policy {_B2}")

    def command(self) -> str:
        """Write the command that does the same again."""
        parts = ["chaos", "--release", self.release, "--seed", str(self.seed), "--threads", str(self.threads)]
        if self.operations is not None:
            parts += ["--operations", str(self.operations)]
        elif self.seconds is not None:
            parts += ["--seconds", f"{self.seconds:g}"]
        for policy in self.policies:
            parts += ["--policy", policy]
        return shlex.join(parts + ["--cache"] * self.cache + ["--damage"] * self.damage)


class Worker(threading.Thread):
    """One thread of operations.

    :param operations: what it does.
    :param goes_on: tells whether to do one more.
    """

    def __init__(
        self, number: int, operations: Operations, tally: Tally, watch: Watch, goes_on: Callable[[], bool]
    ) -> None:
        super().__init__(name=f"worker {number}", daemon=True)
        self._operations = operations
        self._tally = tally
        self._watch = watch
        self._goes_on = goes_on

    def run(self) -> None:
        """Do operations until told otherwise."""
        while self._goes_on():
            time.sleep(_PAUSES.get(self.step(self._operations.choose()), _PAUSE))

    def step(self, operation: str) -> str:
        """Do one operation, and count it; return its outcome."""
        self._watch.begin(operation)
        try:
            self._operations.run(operation)
            outcome = DONE
        except Finding as finding:
            outcome = finding.kind
            self._problem(finding.kind, self._operations.ran, finding.text)
        except exc.OioException as err:
            outcome = type(err).__name__
            self._tally.note(failed=self._operations.ran, thread=self.name, error=repr(err))
        except BaseException as err:  # noqa: BLE001 - limits of green threads, too, must not get here
            outcome = FOREIGN
            self._problem(FOREIGN, self._operations.ran, _with_trace(err))
        finally:
            self._watch.end()
        self._tally.count(self._operations.ran, outcome)
        return outcome

    def _problem(self, kind: str, operation: str, text: str) -> None:
        self._tally.found(Problem(kind, operation, self.name, text))


def _with_trace(err: BaseException) -> str:
    return "".join(traceback.format_exception(err))


class Conductor:
    """Maker of the troubles, phase after phase, as operations end.

    :param control: the namespace.
    :param plan: the phases.
    """

    def __init__(self, control: Control, plan: Iterator[Phase], tally: Tally) -> None:
        self._control = control
        self._plan = plan
        self._tally = tally
        self._next = 0
        self._phase = Phase()
        self._corrupting = 0.0
        self.counts: collections.Counter[str] = collections.Counter()

    def look(self) -> None:
        """Begin the next phase if it is time."""
        if self._tally.operations < self._next:
            return
        phase = next(self._plan)
        self._tally.note(phase=phase.recorded())
        self.counts.update(phases=1, faults=len(phase.faults), stops=len(phase.stopped), kills=phase.kill)
        previous, self._phase = self._phase, phase
        if previous.corrupts:
            self._corrupting = time.monotonic()
        if phase.kill:
            self._control.kill(phase.pause)
        self._control.trouble(phase.faults, phase.stopped)
        if previous.corrupts:
            self._corrupting = time.monotonic()
        self._next = self._tally.operations + phase.operations

    def calm(self) -> None:
        """End all troubles."""
        self._control.trouble((), ())
        self._tally.note(phase=Phase().recorded())

    def corrupted_since(self, since: float) -> bool:
        """Tell whether a fault that corrupts data was there since a time."""
        return self._phase.corrupts or self._corrupting >= since


def run(settings: Settings, say: Callable[[str], None]) -> bool:
    """Run; return whether nothing is wrong.

    :param say: gets the lines of the summary.
    :raises OSError: the namespace cannot be started, or the record not be written.
    :raises ImportError: services of this release need a package that is not installed.
    """
    say(f"python -m oio.sandbox {settings.command()}")
    options: dict[str, Any] = {"rawx": _RAWX, "chunk_size": _CHUNK_SIZE, "release": settings.release}
    with (
        tempfile.TemporaryDirectory(prefix="oio-chaos-") as directory,
        RemoteNamespace(Path(directory), **options) as control,
        contextlib.closing(Tally(say, settings.record)) as tally,
    ):
        summary = Run(settings, control, tally).summary()
    for line in summary.lines():
        say(line)
    return summary.tally.is_clean


class Run:
    """One run on a namespace that is there.

    :param settings: what is asked for.
    :param control: the namespace.
    :param tally: the counts.
    :param api: the client; by default a new one, with short time limits.
    """

    def __init__(self, settings: Settings, control: Control, tally: Tally, api: Any = None) -> None:
        self._settings = settings
        self._control = control
        self._tally = tally
        self._cache: dict[str, Any] = {}
        self._api = api or self._client("oio.api.object_storage", "ObjectStorageApi")
        awaited = None if api else self._client("oio.aio", "AsyncObjectStorageApi")
        self._ways = Ways(self._api, awaited, importlib.import_module("oio.transfer"))
        self._watch = Watch(tally, settings.deadline + settings.margin, time.monotonic)
        release = release_named(settings.release)
        plan = phases(settings.seed, control.place.rawx, release=release, b2=_B2 in settings.policies)
        self._conductor = Conductor(control, plan, tally)
        self._world = World(
            self._api,
            self._ways,
            Book(time.monotonic),
            Doubts(),
            time.monotonic,
            settings.deadline,
            settings.policies,
            settings.threads,
            _CHUNK_SIZE,
            release,
            settings.cache,
            self._conductor.corrupted_since,
        )
        self._stop = threading.Event()

    def _client(self, module: str, name: str) -> Any:
        # Imported by name: the sandbox shares no code with the client.
        kind = getattr(importlib.import_module(module), name)
        place = self._control.place
        # One cache for all clients: a change by one must not leave stale locations to another.
        options: dict[str, Any] = {"cache": self._cache} if self._settings.cache else {}
        return kind(
            place.name,
            endpoint=place.endpoint,
            key_file=place.b2_key_file,
            backblaze_api_url=place.b2_endpoint,
            connection_timeout=0.5,
            read_timeout=1.5,
            write_timeout=1.5,
            **options,
        )

    def summary(self) -> Summary:
        """Do all of it."""
        summary = Summary(self._tally, self._settings.seed, self._settings.command())
        begin = time.monotonic()
        self._tally.note(run=summary.begun, release=self._settings.release)
        with listening() as ear:
            self._prepare()
            # Without connections, to be compared with the end.
            self._close()
            summary.before = _usage()
            workers = [self._worker(number) for number in range(self._settings.threads)]
            for worker in workers:
                worker.start()
            try:
                self._conduct()
            finally:
                self._stop.set()
                self._conductor.calm()
            for worker in workers:
                worker.join(self._settings.deadline + self._settings.margin)
            self._watch.look()
            summary.seconds = time.monotonic() - begin
            summary.troubles = dict(self._conductor.counts)
            summary.checked = self._check_all()
            self._audit(summary, ear)
            if self._settings.damage:
                self._heal(summary)
        self._close()
        summary.after = _usage()
        return summary

    def _close(self) -> None:
        self._ways.close()
        self._api.close()

    def _worker(self, number: int) -> Worker:
        operations = Transfers(self._world, number, random.Random(f"{self._settings.seed}/{number}"))
        return Worker(number, operations, self._tally, self._watch, self._goes_on)

    def _goes_on(self) -> bool:
        wanted = self._settings.operations
        return not self._stop.is_set() and (wanted is None or self._tally.operations < wanted)

    def _prepare(self) -> None:
        """Make the containers, which are there to the end; warm up."""
        versioned = {versioned_container(number) for number in range(self._settings.threads)}
        for name in base_containers(self._settings.threads):
            system = {"sys.m2.policy.version": "-1"} if name in versioned else None
            self._api.container_create(ACCOUNT, name, system=system)
        for policy in self._settings.policies:
            self._api.object_create(ACCOUNT, "warm-up", obj_name=policy, data=b"warm", policy=policy)
            b"".join(self._api.object_fetch(ACCOUNT, "warm-up", policy)[1])

    def _conduct(self) -> None:
        seconds = self._settings.seconds
        end = None if seconds is None or self._settings.operations is not None else time.monotonic() + seconds
        while self._goes_on() and (end is None or time.monotonic() < end):
            self._conductor.look()
            self._watch.look()
            self._stop.wait(_LOOK_EVERY)

    # -- at the end

    def _check_all(self) -> int:
        """Read everything again, in calm weather; return how many objects."""
        operations = Transfers(self._world, self._settings.threads, random.Random(0))
        keys = self._world.book.keys()
        for key in keys:
            self._check(f"read of {key}", partial(operations.read, key, verify_checksum="strict"))
        for container in base_containers(self._settings.threads):
            if not container.startswith("versions"):
                self._check(f"list of {container}", partial(operations.check_list, container))
        return len(keys)

    def _check(self, what: str, check: Callable[[], None]) -> None:
        """Run a check; a failure that repeats in calm weather counts as a loss."""
        problem = None
        for _ in range(_ATTEMPTS):
            try:
                return check()
            except Finding as finding:
                problem = Problem(finding.kind, what, "at the end", finding.text)
                break
            except exc.OioException as err:
                problem = Problem(LOST, what, "at the end", repr(err))
            except Exception as err:  # noqa: BLE001 - any other error is the result
                problem = Problem(FOREIGN, what, "at the end", _with_trace(err))
                break
            time.sleep(_PAUSE)
        if problem is not None:
            self._tally.found(problem)
        return None

    def _heal(self, summary: Summary) -> None:
        """Strike chunks, repair everything, and read it all again."""
        rng = random.Random(f"{self._settings.seed}/damage")
        healing = Healing(self._api, self._control, ACCOUNT, self._tally, rng)
        try:
            summary.healed = healing.heal().line()
        except exc.OioException as err:
            self._tally.found(Problem(LOST, "healing", "at the end", repr(err)))
        self._check_all()

    def _audit(self, summary: Summary, ear: Any) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                known = known_chunks(self._api, ACCOUNT)
                break
            except exc.OioException:
                if attempt == _ATTEMPTS:
                    raise
        stored = self._control.chunks()
        summary.chunks = len(stored)
        summary.orphans = explain(stored, known, ear, self._world.doubts)


def _usage() -> Usage:
    gc.collect()
    return Usage.now()
