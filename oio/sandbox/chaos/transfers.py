# SPDX-License-Identifier: Apache-2.0
"""Operations of one thread on files: uploads, copies and synchronisations, each checked against the model."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from oio.common import exceptions as exc
from oio.sandbox.chaos import operations
from oio.sandbox.chaos.model import ABSENT, Change, Key, Piece, State, described
from oio.sandbox.chaos.operations import Operations
from oio.sandbox.chaos.reads import ACCOUNT, SHARED, SHARED_NAMES, World, own_container
from oio.sandbox.chaos.report import FOREIGN, LOST, WRONG, Finding

#: How often each operation is chosen.
WEIGHTS: Final = {**operations.WEIGHTS, "upload": 6, "copy": 3, "sync_up": 4, "sync_down": 4}
#: Prefix of the objects that mirror trees of files, and the paths of the files.
PREFIX: Final = "tree/"
PATHS: Final = ("a", "b/c", "b/d", "é 1%", "z")
#: Property of an object that was a file, and the times of files: no two are the same.
_MTIME: Final = "file-mtime"
_FIRST_TIME: Final = 1_500_000_000
_MOST_CHANGES: Final = 3


class Transfers(Operations):
    """Operations of one thread, those on files too.

    :param world: what all threads share.
    :param number: of the thread.
    :param rng: its choices.
    """

    def __init__(self, world: World, number: int, rng: random.Random) -> None:
        super().__init__(world, number, rng)
        self._times = itertools.count(1)
        self._tree: dict[str, State] = {}

    def choose(self) -> str:
        """Choose the next operation."""
        return self._rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]

    # -- one object

    def upload(self) -> None:
        """Upload a file over an object of its own, or over one that other threads overwrite too."""
        key = self._target_key()
        if key is None:
            return self._instead("fetch")
        path = self._directory("files") / "file"
        state = self._write(path)
        with self._changing({key: [state]}, atomic=False):
            transfer = self._world.ways.transfer(policy=self._policy())
            result = transfer.upload_file(path, self._remote(key.container), key.name, **self._limits())
            _check_done(key, result, [state])
        return None

    def copy(self) -> None:
        """Copy an object of its own to another name."""
        original, key = self._existing_key(), self._target_key()
        if original is None or key is None or key == original:
            return self._instead("fetch")
        states = self._book.possible(original)
        places = self._remote(original.container), original.name, self._remote(key.container), key.name
        with self._about(original), self._changing({key: states}, atomic=False):
            _check_done(key, self._world.ways.transfer().copy_object(*places, **self._limits()), states)
        return None

    def _target_key(self) -> Key | None:
        if self._rng.random() < 0.3:
            return Key(SHARED, self._rng.choice(SHARED_NAMES))
        return self._quiet_key()

    # -- trees

    def sync_up(self) -> None:
        """Change some files of a directory of its own, and make its objects like them."""
        keys = [Key(self._own, PREFIX + path) for path in PATHS]
        if not all(map(self._book.is_quiet, keys)):
            return self._instead("sync_down")
        directory, delete = self._directory("up"), self._rng.random() < 0.7
        self._change_files(directory)
        wanted = {}
        for key in keys:
            state = self._tree.get(key.name.removeprefix(PREFIX))
            if state is not None or delete:
                wanted[key] = [state or ABSENT]
        start = self._world.clock()
        with self._changing(wanted, atomic=False) as change:
            transfer = self._world.ways.transfer(policy=self._policy(), overwrite="changed")
            place = self._remote(self._own, PREFIX)
            report = transfer.sync(directory, place, delete=delete, **self._limits())
            results = _results(report)
            for key, (state,) in wanted.items():
                self._judge_sent(change, key, state, results.get(key.name), start)
        report.raise_failures()
        return None

    def _judge_sent(self, change: Change, key: Key, state: State, result: Any, start: float) -> None:
        before = change.others(key, start)
        if result is None:
            if state.exists:
                raise Finding(LOST, f"{key}: nothing is said of its file")
            if all(other.exists for other in before):
                raise Finding(LOST, f"{key} to delete is not listed; expected {described(before)}")
        elif result.outcome == "failed":
            self._world.doubts.add(key.container, key.name)
            change.unknown(key)
            return
        elif result.outcome == "skipped":
            if state not in before:
                raise Finding(
                    WRONG, f"{key} is {result.reason}: {described([state])}; was {described(before)}"
                )
        else:
            _check_done(key, result, [state])
        change.done(key)

    def sync_down(self) -> None:
        """Make files like the objects of a tree, of its own or of another thread, and look at them."""
        number = self._rng.choice((self._number, self._rng.randrange(self._world.threads)))
        directory, start = self._directory(f"down-{number}"), self._world.clock()
        transfer = self._world.ways.transfer(overwrite="changed")
        place = self._remote(own_container(number), PREFIX)
        try:
            report = transfer.sync(place, directory, delete=True, **self._limits())
        except exc.NoSuchObject as err:
            # The tree is empty, so that the files stay.
            for path in PATHS:
                self._check_absence(Key(own_container(number), PREFIX + path), err, start)
            return
        results = _results(report)
        for path in PATHS:
            key = Key(own_container(number), PREFIX + path)
            self._judge_received(key, directory / path, results.get(key.name), start)
        report.raise_failures()

    def _judge_received(self, key: Key, path: Path, result: Any, start: float) -> None:
        states = self._book.possible(key, start)
        error = None if result is None else result.error
        if result is None or result.action == "delete" or isinstance(error, exc.NoSuchObject):
            self._check_absence(key, error, start)
            if error is None and path.exists():
                raise Finding(WRONG, f"{key} is not there, and {path} is")
        elif error is None:
            data, time = path.read_bytes(), (_MTIME, _time_text(path.stat().st_mtime_ns))
            if not any(state.has_data(data) and time in state.properties for state in states):
                text = f"{key}: {len(data)} bytes of {time[1]}, beginning {data[:16].hex()}"
                raise Finding(WRONG, f"{text}; expected {described(states)}")

    def _check_absence(self, key: Key, error: object, start: float) -> None:
        """Check that an object that was not found was absent at some time."""
        states = self._book.possible(key, start)
        if all(state.exists for state in states):
            raise Finding(LOST, f"{key}: {error or 'it is not listed'}; expected {described(states)}")

    def _change_files(self, directory: Path) -> None:
        for name in self._rng.sample(PATHS, self._rng.randint(1, _MOST_CHANGES)):
            path = directory / name
            if name in self._tree and self._rng.random() < 0.4:
                path.unlink()
                del self._tree[name]
            else:
                path.parent.mkdir(exist_ok=True)
                self._tree[name] = self._write(path)

    # -- files

    def _directory(self, name: str) -> Path:
        path: Path = self._world.ways.directory() / str(self._number) / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _remote(self, container: str, prefix: str = "") -> Any:
        return self._world.ways.remote(ACCOUNT, container, prefix)

    def _write(self, path: Path) -> State:
        """Write a file.

        :returns: the state of an object that has its data.
        """
        piece: Piece = self._piece()
        path.write_bytes(piece.data())
        time = (_FIRST_TIME + self._number) * 10**9 + next(self._times)
        os.utime(path, ns=(time, time))
        return State((piece,), frozenset({(_MTIME, _time_text(time))}))


def _time_text(nanoseconds: int) -> str:
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09}"


def _check_done(key: Key, result: Any, states: list[State]) -> None:
    sizes = {state.size for state in states}
    if result.outcome != "done" or result.size not in (sizes if result.action != "delete" else {result.size}):
        raise Finding(WRONG, f"{key}: {result}; expected {described(states)}")
    if (result.action == "delete") != (states == [ABSENT]):
        raise Finding(WRONG, f"{key}: {result.action}; expected {described(states)}")


def _results(report: Any) -> Mapping[str, Any]:
    """The results of each name, none of which may have failed for a reason of the library."""
    for result in report.failures:
        if not isinstance(result.error, exc.OioException):
            raise Finding(FOREIGN, f"{result.name}: {result.error!r}")
    return {result.name: result for result in report}
