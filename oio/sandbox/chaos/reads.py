# SPDX-License-Identifier: Apache-2.0
"""Operations that only read, each checked against the model, and the state that all threads share."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from oio.common import exceptions as exc
from oio.sandbox.chaos.audit import Doubts
from oio.sandbox.chaos.model import Book, Key, State, described
from oio.sandbox.chaos.report import LOST, WRONG, Finding
from oio.sandbox.chaos.ways import Ways
from oio.sandbox.releases import Release

ACCOUNT: Final = "chaos"
#: Container whose objects all threads overwrite and delete at the same time.
SHARED: Final = "shared"
OWN_NAMES: Final = tuple(f"n{number}" for number in range(10))
SHARED_NAMES: Final = tuple(f"s{number}" for number in range(6))
_ABSENCE: Final = (exc.NoSuchObject, exc.NoSuchContainer, exc.NotFound)


def own_container(number: int) -> str:
    """Name the container that only one thread changes."""
    return f"own-{number}"


def versioned_container(number: int) -> str:
    """Name the container with versions that only one thread changes."""
    return f"versions-{number}"


def base_containers(threads: int) -> list[str]:
    """Name the containers that are there from the beginning to the end."""
    numbers = range(threads)
    return [SHARED, *map(own_container, numbers), *map(versioned_container, numbers)]


@dataclass(frozen=True)
class World:
    """State that all threads share.

    :param api: the client.
    :param ways: to write and to read with it.
    :param clock: tells monotonic seconds.
    :param deadline: seconds that each call is given.
    :param release: of the services.
    :param has_cache: whether the client has a cache of locations.
    :param corrupted_since: tells whether a fault that corrupts data was there since a time.
    """

    api: Any
    ways: Ways
    book: Book
    doubts: Doubts
    clock: Callable[[], float]
    deadline: float
    policies: tuple[str, ...]
    threads: int
    chunk_size: int
    release: Release
    has_cache: bool
    corrupted_since: Callable[[float], bool]


class Reads:
    """Operations of one thread that only read.

    :param world: what all threads share.
    :param number: of the thread.
    :param rng: its choices.
    """

    def __init__(self, world: World, number: int, rng: random.Random) -> None:
        self._world = world
        self._api = world.api
        self._book = world.book
        self._rng = rng
        self._number = number
        self._own = own_container(number)
        self._versioned = versioned_container(number)

    # -- reading

    def fetch(self) -> None:
        """Read an object."""
        self._read(self._any_key())

    def fetch_strict(self) -> None:
        """Read an object whose data are verified before they are given."""
        self._read(self._any_key(), verify_checksum="strict")

    def fetch_ranges(self) -> None:
        """Read ranges of an object."""
        key = self._any_key()
        states = [state for state in self._book.possible(key) if state.exists]
        size = min((state.size for state in states), default=0)
        if not size or any(state.shortest is not None for state in states):
            return self._read(key)
        ranges = [self._range(size) for _ in range(self._rng.choice((1, 1, 1, 2, 3)))]
        verified = self._rng.choice((True, True, "strict"))
        return self._read(key, ranges, verify_checksum=verified)

    def read(self, key: Key, **options: Any) -> None:
        """Read one object, and its properties."""
        self._read(key, **options)
        self._look(key)

    def _read(self, key: Key, ranges: list[tuple[int, int]] | None = None, **options: Any) -> None:
        start, received = self._world.clock(), bytearray()
        strict = options.get("verify_checksum") == "strict"
        try:
            with self._about(key):
                self._receive(key, received, ranges=ranges, **options)
        except _ABSENCE:
            self._settle(key, lambda state: not state.exists)
            return
        except exc.UnsatisfiableRange:
            if ranges and any(_ends_before(state, ranges) for state in self._book.possible(key, start)):
                return
            raise
        except exc.OioException as err:
            self._check_beginning(key, start, bytes(received), ranges, err, strict=strict)
            raise
        data = bytes(received)
        states = self._book.possible(key, start)
        if not any(_gives(state, data, ranges) for state in states):
            if self._world.corrupted_since(start) and ranges and not strict:
                # A range of a chunk has no checksum: only "strict" promises something here.
                return
            raise Finding(WRONG, f"{key}: {_shown(data, ranges)}; expected {described(states)}")
        if ranges is None:
            self._settle(key, lambda state: state.has_data(data), len(data))

    def _receive(self, key: Key, received: bytearray, **options: Any) -> None:
        names, version = (ACCOUNT, *key[:2]), key.version or None
        ranges = options.pop("ranges", None)
        more = {"version": version, **options, **self._limits()}
        length = self._world.ways.fetch(self._rng, names, received, ranges, **more)
        if ranges is None and length != len(received):
            raise Finding(WRONG, f"{key}: {len(received)} bytes of {length}")

    def _check_beginning(
        self,
        key: Key,
        start: float,
        data: bytes,
        ranges: list[tuple[int, int]] | None,
        err: exc.OioException,
        *,
        strict: bool,
    ) -> None:
        """Check the bytes that were given before a read failed."""
        if not strict and (isinstance(err, exc.CorruptedChunk) or self._world.corrupted_since(start)):
            return
        states = self._book.possible(key, start)
        if data and not any(_bytes_of(state, ranges).startswith(data) for state in states):
            raise Finding(
                WRONG, f"{key}: {_shown(data, ranges)} before {err!r}; expected {described(states)}"
            )

    def get_properties(self) -> None:
        """Check the description of an object."""
        self._look(self._any_key())

    def _look(self, key: Key) -> None:
        start = self._world.clock()
        try:
            with self._about(key):
                meta = self._api.object_get_properties(
                    ACCOUNT, *key[:2], version=key.version or None, **self._limits()
                )
        except _ABSENCE:
            return
        size, properties = int(meta["length"]), frozenset(meta["properties"].items())
        states = self._book.possible(key, start)
        if not any(state.has_size(size) and state.properties == properties for state in states):
            raise Finding(WRONG, f"{key}: {size} bytes, {meta['properties']}; expected {described(states)}")
        self._settle(key, lambda state: state.has_size(size) and state.properties == properties, size)

    def head(self) -> None:
        """Ask whether there is an object."""
        key, start = self._any_key(), self._world.clock()
        found = self._api.object_head(ACCOUNT, *key[:2], version=key.version or None, **self._limits())
        states = self._book.possible(key, start)
        if found not in [state.exists for state in states]:
            raise Finding(WRONG if found else LOST, f"{key}: head is {found}; expected {described(states)}")

    # -- listing

    def list_objects(self) -> None:
        """List a container."""
        container = self._rng.choice(
            (self._own, SHARED, own_container(self._rng.randrange(self._world.threads)))
        )
        self.check_list(container)

    def check_list(self, container: str) -> None:
        """Compare the listing of a container with the model."""
        start = self._world.clock()
        if self._rng.random() < 0.5:
            rows = self._api.object_list(ACCOUNT, container, **self._limits())["objects"]
        else:
            page = self._rng.choice((None, 3))
            rows = list(self._api.object_list_all(ACCOUNT, container, limit=page, **self._limits()))
        listed = {row["name"]: int(row["size"]) for row in rows}
        for key in {*self._book.keys(container), *(Key(container, name) for name in listed)}:
            self._check_listed(key, listed.get(key.name), start)

    def list_versions(self) -> None:
        """List all versions of the objects of a container."""
        container = versioned_container(self._rng.randrange(self._world.threads))
        start = self._world.clock()
        keys = self._book.keys(container)
        rows = self._api.object_list_all(ACCOUNT, container, versions=True, **self._limits())
        listed = {(row["name"], str(row["version"])): int(row["size"]) for row in rows if not row["deleted"]}
        for key in keys:
            self._check_listed(key, listed.get((key.name, key.version)), start)

    def _check_listed(self, key: Key, size: int | None, start: float) -> None:
        states = self._book.possible(key, start)
        if size is None:
            if all(state.exists for state in states):
                raise Finding(LOST, f"{key} is not listed; expected {described(states)}")
        elif not any(state.has_size(size) for state in states):
            raise Finding(WRONG, f"{key} is listed with {size} bytes; expected {described(states)}")

    def containers(self) -> None:
        """List the containers of the account."""
        names = {row[0] for row in self._api.container_list_all(ACCOUNT, **self._limits())}
        missing = [name for name in base_containers(self._world.threads) if name not in names]
        if missing:
            raise Finding(LOST, f"containers {missing} are not listed")

    # -- checks

    @contextlib.contextmanager
    def _about(self, key: Key) -> Iterator[None]:
        """Report an object as lost when it is not found but must be there."""
        start = self._world.clock()
        try:
            yield
        except (*_ABSENCE, exc.UnrecoverableContent) as err:
            states = self._book.possible(key, start)
            # An object that is overwritten loses the chunks that were located.
            gone = not isinstance(err, exc.UnrecoverableContent) or self._book.is_quiet(key, start)
            if gone and all(state.exists for state in states):
                text = f"{key}, from {start:.6f} to {self._world.clock():.6f}: {err!r}"
                raise Finding(
                    LOST, f"{text}; expected {described(states)}\n{self._book.history(key)}"
                ) from err
            raise

    def _settle(self, key: Key, fits: Callable[[State], bool], size: int = 0) -> None:
        """Keep the states that were seen, of an object that nobody else changes."""
        if key.container not in {self._own, self._versioned}:
            return
        states = self._book.possible(key)
        seen = [state if state.shortest is None else state.cut(size) for state in states if fits(state)]
        if seen and seen != states:
            self._book.settle(key, seen)

    # -- choices

    def _limits(self) -> dict[str, float]:
        return {"deadline": self._world.clock() + self._world.deadline}

    def _own_keys(self) -> list[Key]:
        return [Key(self._own, name) for name in OWN_NAMES]

    def _any_key(self) -> Key:
        """Choose an object: its own, one that all change, or one of another thread."""
        kind = self._rng.random()
        if kind < 0.5:
            return self._rng.choice(self._own_keys())
        if kind < 0.75:
            return Key(SHARED, self._rng.choice(SHARED_NAMES))
        return self._rng.choice(self._book.keys() or self._own_keys())

    def _range(self, size: int) -> tuple[int, int]:
        first = self._rng.randrange(size)
        return first, min(first + self._rng.choice((0, 100, size)), size + 10)


def _bytes_of(state: State, ranges: list[tuple[int, int]] | None) -> bytes:
    data = state.data()
    return data if ranges is None else b"".join(data[first : last + 1] for first, last in ranges)


def _gives(state: State, data: bytes, ranges: list[tuple[int, int]] | None) -> bool:
    if ranges is None:
        return state.has_data(data)
    return state.exists and _bytes_of(state, ranges) == data


def _ends_before(state: State, ranges: list[tuple[int, int]]) -> bool:
    return state.exists and state.size <= max(first for first, _ in ranges)


def _shown(data: bytes, ranges: list[tuple[int, int]] | None) -> str:
    where = "" if ranges is None else f" of ranges {ranges}"
    return f"{len(data)} bytes{where}, beginning {data[:16].hex()}"
