# SPDX-License-Identifier: Apache-2.0
"""The filesystem beside two of fsspec: random operations, which must give what one of the others gives."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from oio.fs import OioFileSystem

NAMES = ("a", "b", "a b", "p%20q", "h#x", "q?y", "é", "[s]", "st*r", "{x}", "a.txt")
PATTERNS = ("*", "**", "a*", "?", "[ab]", "*.txt", "*b", "[!a]*", "{a,b}")
LARGE = 30
Files: TypeAlias = dict[str, bytes]
Ask: TypeAlias = "Callable[[Side], Any]"


class Side:
    """A filesystem, and where its root is.

    :param drop: removes directories that are empty, which the store has not.
    """

    def __init__(self, fs: Any, root: str, drop: Callable[[], None]) -> None:
        self.fs = fs
        self.root = root
        self._drop = drop

    def at(self, path: Any) -> Any:
        """Path in this filesystem."""
        return [self.at(one) for one in path] if isinstance(path, list) else self.root + path

    def plain(self, value: Any) -> Any:
        """What it gives, without what is its own."""
        if isinstance(value, str):
            return value.removeprefix(self.root).strip("/")
        if isinstance(value, dict) and {"name", "type", "size"} <= value.keys():
            size = value["size"] if value["type"] == "file" else 0
            return self.plain(value["name"]), value["type"], size
        if isinstance(value, dict):
            return {self.plain(key): self.plain(one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.plain(one) for one in value]
        return value

    def give(self, ask: Ask) -> Any:
        """What an operation gives, or how it fails."""
        try:
            return self.plain(ask(self))
        except (FileNotFoundError, NotADirectoryError):
            # A file is in the way of nothing in a store: what would be below it is only missing.
            return "not found"
        except (OSError, ValueError):
            return "refused"

    def files(self) -> Files:
        """All files below its root."""
        self._drop()
        if not self.fs.exists(self.at("box")):
            self.fs.mkdir(self.at("box"))
        return {self.plain(path): self.fs.cat_file(path) for path in self.fs.find(self.at("box"))}


def nothing() -> None:
    """Drop nothing: there are no empty directories."""


@pytest.fixture
def sides(files: OioFileSystem, tmp_path: Path) -> Iterator[list[Side]]:
    local, memory = LocalFileSystem(auto_mkdir=True), MemoryFileSystem()

    def drop_local() -> None:
        for directory, _, _ in os.walk(tmp_path, topdown=False):
            if Path(directory) not in {tmp_path, tmp_path / "box"} and not os.listdir(directory):
                os.rmdir(directory)

    def drop_memory() -> None:
        memory.pseudo_dirs[:] = ["", "/m", "/m/box"]

    def clear() -> None:
        memory.store.clear()
        memory.pseudo_dirs[:] = [""]

    clear()
    memory.makedirs("/m/box")
    (tmp_path / "box").mkdir()
    yield [
        Side(files, "", nothing),
        Side(local, f"{os.path.realpath(tmp_path)}/", drop_local),
        Side(memory, "/m/", drop_memory),
    ]
    clear()


class Choices:
    """Random operations.

    :param there: the files that there are.
    """

    def __init__(self, rng: random.Random, there: Files, scratch: Path) -> None:
        self.rng = rng
        self.there = sorted(there)
        self.scratch = scratch

    def path(self) -> str:
        kind = self.rng.random()
        if self.there and kind < 0.7:
            parts = self.rng.choice(self.there).split("/")
            return "/".join(parts if kind < 0.4 else parts[: self.rng.randint(1, len(parts))])
        return "/".join(["box", *self.rng.choices(NAMES, k=self.rng.randint(1, 3))])

    def slashed(self) -> str:
        return self.path() + "/" * (self.rng.random() < 0.2)

    def pattern(self) -> str:
        parts = self.path().split("/")
        if len(parts) > 1:
            parts[self.rng.randrange(1, len(parts))] = self.rng.choice(PATTERNS)
        return "/".join(parts)

    def fresh(self) -> str:
        """Path where a file may be: neither one nor a directory is in its way."""
        while True:
            path = "/".join(["box", *self.rng.choices(NAMES, k=self.rng.randint(1, 3))])
            if not any(f"{path}/".startswith(f"{one}/") or one.startswith(f"{path}/") for one in self.there):
                return path

    def options(self, **chances: float | int) -> dict[str, Any]:
        """Options that are set now and then: flags, and numbers up to a greatest one."""
        given: dict[str, Any] = {}
        for name, chance in chances.items():
            if isinstance(chance, int) and self.rng.random() < 0.4:
                given[name] = self.rng.randint(1, chance)
            elif isinstance(chance, float) and self.rng.random() < chance:
                given[name] = True
        return given

    # -- operations that change nothing

    def look(self) -> Ask:
        path, method = self.slashed(), self.rng.choice(("exists", "isdir", "isfile", "info", "lexists"))
        return lambda side: getattr(side.fs, method)(side.at(path))

    def ls(self) -> Ask:
        path, detail = self.slashed(), self.rng.random() < 0.5
        key = (lambda entry: entry["name"]) if detail else None
        return lambda side: sorted(side.fs.ls(side.at(path), detail=detail), key=key)

    def find(self) -> Ask:
        path, options = self.slashed(), self.options(maxdepth=3, withdirs=0.5, detail=0.3)
        return lambda side: side.fs.find(side.at(path), **options)

    def glob(self) -> Ask:
        path, options = self.pattern(), self.options(maxdepth=3, detail=0.3)
        path += "/" * (self.rng.random() < 0.2)
        return lambda side: side.fs.glob(side.at(path), **options)

    def walk(self) -> Ask:
        path, options = self.slashed(), self.options(maxdepth=3)
        options["topdown"] = self.rng.random() < 0.7

        def walk(side: Side) -> Any:
            # Of a directory that is missing, asynchronous filesystems of fsspec give an empty one.
            if not side.fs.isdir(side.at(path)):
                return None
            return sorted((root, sorted(dirs), sorted(found)) for root, dirs, found in _walked(side))

        def _walked(side: Side) -> Any:
            return side.fs.walk(side.at(path), **options)

        return walk

    def du(self) -> Ask:
        path, options = self.slashed(), self.options(maxdepth=3)
        return lambda side: side.fs.du(side.at(path), **options)

    def expand(self) -> Ask:
        path = self.rng.choice((self.slashed(), self.pattern()))
        options = self.options(maxdepth=3, recursive=0.5)
        return lambda side: side.fs.expand_path(side.at(path), **options)

    def cat_file(self) -> Ask:
        path, bounds = self.path(), (self.rng.choice((None, 0, 3, -4, 40)), self.rng.choice((None, 0, 5, -2)))
        return lambda side: side.fs.cat_file(side.at(path), *bounds)

    def cat(self) -> Ask:
        path, options = self.pattern(), self.options(recursive=0.4)
        return lambda side: side.fs.cat(side.at(path), on_error="omit", **options)

    def ends(self) -> Ask:
        path, method = self.path(), self.rng.choice(("head", "tail"))
        return lambda side: getattr(side.fs, method)(side.at(path), 7)

    def get(self) -> Ask:
        path, options = self.rng.choice((self.slashed(), self.pattern())), self.options(recursive=0.6)
        is_there, slash = self.rng.random() < 0.5, "/" * (self.rng.random() < 0.5)
        # A container has nothing above it, so that fsspec gives its files without a directory for them.
        path = path if "/" in path.strip("/") else f"{path}/*"

        def get(side: Side) -> Any:
            target = self.scratch / "target"
            shutil.rmtree(target, ignore_errors=True)
            if is_there:
                target.mkdir()
            failure = side.give(lambda side: side.fs.get(side.at(path), f"{target}{slash}", **options))
            # What is returned is nobody's business.
            return failure if isinstance(failure, str) else "", _tree(target)

        return get

    # -- operations that change something

    def pipe(self) -> Ask:
        path, data = self.fresh(), self.rng.randbytes(self.rng.randint(0, LARGE))

        def pipe(side: Side) -> None:
            side.fs.makedirs(side.at(path.rpartition("/")[0]), exist_ok=True)
            side.fs.pipe_file(side.at(path), data)

        return pipe

    def rm(self) -> Ask:
        path: Any = self.rng.choice((self.slashed(), self.pattern()))
        options = self.options(recursive=0.5)
        return lambda side: side.fs.rm(side.at(path), **options)

    def rm_file(self) -> Ask:
        path = self.path()
        return lambda side: side.fs.rm_file(side.at(path))

    def make(self) -> Ask:
        path, exist_ok = self.path(), self.rng.random() < 0.5
        return lambda side: side.fs.makedirs(side.at(path), exist_ok=exist_ok)

    def move(self) -> Ask:
        method, options = self.rng.choice(("cp", "mv")), {"recursive": self.rng.random() < 0.6}
        # Into what is there, files and directories may get in each other's way, which objects do not.
        source, target = self.path(), self.fresh()
        if f"{target}/".startswith(f"{source}/"):
            target = f"box/fresh {self.rng.random()}"
        return lambda side: getattr(side.fs, method)(side.at(source), side.at(target), **options)

    def put(self) -> Ask:
        tree = {"a": b"a", "b c/é": b"1", "b c/[s]": b"2", "p%20q/d/e": b"3"}
        source, target = self.scratch / "source", self.fresh() + "/" * (self.rng.random() < 0.5)
        for name, data in tree.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(data)
        what, options = self.rng.choice(("", "/", "/*", "/a")), {"recursive": self.rng.random() < 0.7}
        return lambda side: side.fs.put(f"{source}{what}", side.at(target), **options)


def _tree(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


LOOKS = ("look", "ls", "find", "glob", "walk", "du", "expand", "cat_file", "cat", "ends", "get")
CHANGES = ("pipe", "pipe", "pipe", "rm", "rm_file", "make", "move", "put")


def catch_up(side: Side, wanted: Files) -> None:
    """Make a filesystem that did something else like the first one."""
    side.fs.rm(side.at("box"), recursive=True)
    side.fs.mkdir(side.at("box"))
    for path, data in wanted.items():
        side.fs.makedirs(side.at(path.rpartition("/")[0]), exist_ok=True)
        side.fs.pipe_file(side.at(path), data)


@pytest.mark.parametrize("seed", range(3))
def test_operations_give_what_those_of_fsspec_give(
    sides: list[Side], tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    rng, scratch = random.Random(seed), tmp_path_factory.mktemp("scratch")
    there: Files = {}
    for _ in range(25):
        change = rng.choice(CHANGES)
        ask = getattr(Choices(rng, there, scratch), change)()
        given = [side.give(ask) for side in sides]
        left = [side.files() for side in sides]
        told = (change, sorted(there), given, left)
        if change == "rm" and isinstance(given[0], str):
            # Nobody says which files are gone when others are refused.
            assert left[0].items() <= there.items(), told
        else:
            assert any(left[0] == other for other in left[1:]), told
        # What is refused, and why, differs between those two as well; that it is refused does not.
        if change != "make":
            refused = [isinstance(one, str) for one in given]
            assert refused[0] in refused[1:], told
        there = left[0]
        for side, found in zip(sides[1:], left[1:], strict=True):
            if found != there:
                catch_up(side, there)
        for look in rng.sample(LOOKS, 4):
            ask = getattr(Choices(rng, there, scratch), look)()
            given = [side.give(ask) for side in sides]
            assert any(given[0] == other for other in given[1:]), (look, sorted(there), given)
