# SPDX-License-Identifier: Apache-2.0
"""Transfers of the chaos: what is planted among files and objects is noticed, and what is right is not."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oio import transfer
from oio.common import exceptions as exc
from oio.sandbox import Namespace
from oio.sandbox.chaos.audit import Doubts
from oio.sandbox.chaos.model import Book, Key, Piece
from oio.sandbox.chaos.reads import ACCOUNT, SHARED, World
from oio.sandbox.chaos.report import DONE, FOREIGN, LOST, WRONG, Tally, Watch
from oio.sandbox.chaos.run import Worker
from oio.sandbox.chaos.transfers import PATHS, PREFIX, WEIGHTS, Transfers
from oio.sandbox.chaos.ways import Ways
from oio.sandbox.releases import R7_3

TREE = [Key("own-0", PREFIX + path) for path in PATHS]


class Planted:
    """An object of which some attributes are others."""

    def __init__(self, real: Any, **others: Any) -> None:
        self._real = real
        self._others = others

    def __getattr__(self, name: str) -> Any:
        return self._others[name] if name in self._others else getattr(self._real, name)


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    with Namespace(tmp_path_factory.mktemp("chaos"), rawx=3) as running:
        yield running


@pytest.fixture
def real(namespace: Namespace) -> Iterator[Any]:
    with namespace.api() as api:
        for name in ("own-0", "versions-0", SHARED):
            system = {"sys.m2.policy.version": "-1"} if name.startswith("versions") else None
            api.container_create(ACCOUNT, name, system=system)
        yield api
        for name in ("own-0", "versions-0", SHARED):
            api.container_delete(ACCOUNT, name, force=True)


class Stage:
    """One thread of the chaos, which does what a test says.

    :param api: what is planted is in it.
    :param moving: makes something else of each new ``Transfer``.
    """

    def __init__(self, api: Any, moving: Callable[[Any], Any] = lambda real: real) -> None:
        ticks = itertools.count()
        self.book = Book(lambda: next(ticks) / 1e6)
        module = Planted(transfer, Transfer=lambda *args: moving(transfer.Transfer(*args)))
        self.ways = Ways(api, None, module)
        shared = (self.book, Doubts(), lambda: next(ticks) / 1e6, 60.0, ("SINGLE",), 1, 50_000, R7_3, False)
        world = World(api, self.ways, *shared, lambda _since: False)
        self.operations: Any = Transfers(world, 0, random.Random(3))
        # Deadlines are those of the real clock.
        self.operations._limits = dict
        self.tally = Tally(lambda text: None)
        watch = Watch(self.tally, 60.0, lambda: 0.0)
        self.worker = Worker(0, self.operations, self.tally, watch, lambda: False)

    def kinds(self) -> list[str]:
        return [problem.kind for problem in self.tally.problems]


@pytest.fixture
def stage(request: pytest.FixtureRequest, real: Any) -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(*args: Any) -> Stage:
        made.append(Stage(*(args or (real,))))
        return made[-1]

    yield make
    for one in made:
        one.ways.close()


def result(action: str, name: str, outcome: str = "done", **more: Any) -> transfer.Result:
    return transfer.Result(action, name, None, outcome, **more)  # type: ignore[arg-type]


def changed(change: Callable[[transfer.Result], transfer.Result | None]) -> Callable[[Any], Any]:
    """Transfers whose reports have other results."""

    def moving(real: Any) -> Any:
        def sync(*args: Any, **kwargs: Any) -> Any:
            report = transfer.Report(100)
            for found in map(change, real.sync(*args, **kwargs)):
                if found is not None:
                    report.add(found)
            return report

        return Planted(real, sync=sync)

    return moving


@pytest.mark.parametrize("operation", sorted(WEIGHTS))
def test_every_operation_can_be_done(stage: Callable[..., Stage], operation: str) -> None:
    one = stage()
    assert one.worker.step("upload") == DONE, one.tally.problems
    assert [one.worker.step(operation) for _ in range(3)] == [DONE] * 3, one.tally.problems
    assert one.worker.step("list_objects") == DONE, one.tally.problems


def test_trees_stay_alike(real: Any, stage: Callable[..., Stage]) -> None:
    one = stage()
    for _ in range(8):
        assert one.worker.step("sync_up") == DONE, one.tally.problems
        assert one.worker.step("sync_down") == DONE, one.tally.problems
        for key in TREE:
            one.operations.read(key)
    assert one.kinds() == []
    up, down = (one.ways.directory() / "0" / name for name in ("up", "down-0"))
    names = {obj["name"].removeprefix(PREFIX) for obj in real.object_list_all(ACCOUNT, "own-0")}
    assert names >= {str(path.relative_to(up)) for path in up.rglob("*") if path.is_file()} != set()
    assert names == {str(path.relative_to(down)) for path in down.rglob("*") if path.is_file()}


def test_whole_reads_go_through_downloads_too(real: Any, stage: Callable[..., Stage]) -> None:
    one = stage()
    one.ways._awaited = True
    key = Key("own-0", "n0")
    one.operations._pick = lambda fits: key
    assert one.worker.step("upload") == DONE, one.tally.problems
    one.ways._chosen = lambda rng, weights: "transfer" if "transfer" in weights else "call"
    one.operations._read(key)
    one.operations._read(key, [(0, 10)])
    one.ways._transfers = Planted(transfer, Transfer=lambda *args: Wrong())
    one.operations.read_it = lambda: one.operations._read(key)
    assert one.worker.step("read_it") == WRONG
    assert list(one.ways.directory().rglob("file")) == [one.ways.directory() / "0" / "files" / "file"]
    one.ways._awaited = None


class Wrong:
    """A transfer that downloads something else."""

    def download_file(self, source: Any, name: str, path: Path, **_more: Any) -> transfer.Result:
        path.write_bytes(b"something else")
        return result("download", name, size=14)


def test_wrong_size_of_an_upload_is_counted(stage: Callable[..., Stage], real: Any) -> None:
    wrong = Planted(None, upload_file=lambda path, remote, name, **_more: result("upload", name, size=1))
    one = stage(real, lambda _real: wrong)
    one.operations._piece = pieces_of(5)
    assert one.worker.step("upload") == WRONG


def pieces_of(length: int) -> Callable[[], Piece]:
    return lambda: Piece("a", length)


def test_upload_that_stores_other_data_is_noticed_by_the_next_read(
    stage: Callable[..., Stage], real: Any
) -> None:
    def moving(transfers: Any) -> Any:
        def upload_file(path: Path, *args: Any, **kwargs: Any) -> Any:
            data = bytearray(path.read_bytes())
            data[0] ^= 1
            path.write_bytes(data)
            return transfers.upload_file(path, *args, **kwargs)

        return Planted(transfers, upload_file=upload_file)

    one, key = stage(real, moving), Key("own-0", "n0")
    one.operations._pick = lambda fits: key
    one.operations._piece = pieces_of(5)
    one.operations._any_key = lambda: key
    one.operations._rng.random = lambda: 0.5
    assert one.worker.step("upload") == DONE
    assert one.worker.step("fetch") == WRONG


UP = [
    (lambda one: one if one.action == "delete" else None, LOST),
    (lambda one: result(one.action, one.name, size=one.size + 1) if one.action == "upload" else one, WRONG),
    (lambda one: result("upload", one.name, "skipped", reason="same"), WRONG),
    (lambda one: result("upload", one.name, "failed", error=KeyError("bug")), FOREIGN),
    (lambda one: result("delete", one.name), WRONG),
]


@pytest.mark.parametrize(("change", "kind"), UP)
def test_wrong_report_of_a_synchronisation_is_counted(
    stage: Callable[..., Stage], real: Any, change: Any, kind: str
) -> None:
    one = stage(real, changed(change))
    assert one.worker.step("sync_up") == kind
    assert one.kinds() == [kind]


def test_failure_of_one_object_is_no_problem_and_leaves_it_unknown(
    stage: Callable[..., Stage], real: Any
) -> None:
    failed: list[str] = []

    def change(found: transfer.Result) -> transfer.Result:
        if failed:
            return found
        failed.append(found.name)
        return result("upload", found.name, "failed", error=exc.ServiceBusy())

    one = stage(real, changed(change))
    assert one.worker.step("sync_up") == "TransfersFailed"
    assert one.kinds() == []
    (name,) = failed
    key = Key("own-0", name)
    assert {state.exists for state in one.book.possible(key)} == {True, False}
    assert not one.book.is_quiet(key)


def flip(path: Path) -> None:
    path.write_bytes(b"?" + path.read_bytes()[1:])


DOWN = [
    (flip, WRONG),
    (lambda path: os.utime(path, ns=(1, 1)), WRONG),
    (Path.unlink, FOREIGN),
]


@pytest.mark.parametrize(("spoil", "kind"), DOWN)
def test_files_that_are_unlike_their_objects_are_counted(
    stage: Callable[..., Stage], real: Any, spoil: Callable[[Path], None], kind: str
) -> None:
    def moving(transfers: Any) -> Any:
        def sync(source: Any, target: Any, **kwargs: Any) -> Any:
            report = transfers.sync(source, target, **kwargs)
            if isinstance(target, Path):
                spoil(next(path for path in sorted(target.rglob("*")) if path.is_file()))
            return report

        return Planted(transfers, sync=sync)

    one = stage(real, moving)
    one.operations._piece = pieces_of(5)
    assert one.worker.step("sync_up") == DONE
    assert one.worker.step("sync_down") == kind


@pytest.mark.parametrize("is_told", [False, True])
def test_objects_that_a_synchronisation_does_not_find_are_lost(
    stage: Callable[..., Stage], real: Any, is_told: bool
) -> None:
    class Blind:
        """A transfer that finds no object."""

        def __init__(self, transfers: Any) -> None:
            self._transfers = transfers

        def sync(self, source: Any, target: Any, **kwargs: Any) -> Any:
            if isinstance(target, Path):
                if is_told:
                    raise exc.NoSuchObject("no object begins with the prefix")
                return transfer.Report(1)
            return self._transfers.sync(source, target, **kwargs)

    one = stage(real, Blind)
    assert one.worker.step("sync_up") == DONE
    assert one.worker.step("sync_down") == LOST


def test_copy_that_is_none_is_counted(stage: Callable[..., Stage], real: Any) -> None:
    def moving(transfers: Any) -> Any:
        return Planted(transfers, copy_object=lambda *args, **kwargs: result("copy", args[3], "skipped"))

    one = stage(real, moving)
    one.operations._existing_key = lambda: Key("own-0", "n0")
    one.operations._quiet_key = lambda: Key("own-0", "n1")
    assert one.worker.step("copy") == WRONG
