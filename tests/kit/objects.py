# SPDX-License-Identifier: Apache-2.0
"""The objects that tests of faults store and read, and what must be left, or not, of them."""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace

CHUNK_SIZE = 1 << 18
"""Of the namespaces of these tests: several blocks of a reader, yet quick to store."""

SMALL = random.Random(1).randbytes(1000)
"""Fits in one block."""
LARGE = random.Random(2).randbytes(2 * CHUNK_SIZE + 5000)
"""Three metachunks, the last of them short."""

Ranges = list[tuple[int, int]]


class Target(NamedTuple):
    """What names an object in the calls of the API."""

    account: str
    container: str
    name: str


_numbers = itertools.count(1)


@contextlib.contextmanager
def running_namespace(path: Path, release: str = "7.3", **settings: Any) -> Iterator[Namespace]:
    """Three rawx, whose scores make clients read from the first, else the second, else the third."""
    with Namespace(path / "namespace", rawx=3, chunk_size=CHUNK_SIZE, release=release, **settings) as running:
        for rawx, score in zip(running.rawx, (100, 50, 10), strict=True):
            rawx.lock(score)
        yield running


def new_target() -> Target:
    """Name an object that does not exist, in a container that does not exist."""
    number = next(_numbers)
    return Target("account", f"container-{number}", f"object-{number}")


def create(api: Any, target: Target, data: Any, **kwargs: Any) -> Any:
    """Store an object."""
    account, container, name = target
    return api.object_create_ext(account, container, data=data, obj_name=name, **kwargs)


def stored(api: Any, data: bytes, **kwargs: Any) -> Target:
    """Store a new object."""
    target = new_target()
    create(api, target, data, **kwargs)
    return target


def fault(action: str, operation: str | None, **settings: Any) -> Fault:
    """Make a fault; those that keep clients from connecting concern no operation."""
    if action == "refuse" or settings.get("phase") == "connect":
        operation = None
    return Fault(action, operation=operation, **settings)


def limits(action: str, **quick: float) -> dict[str, float]:
    """Timeouts for a call with a fault: ``quick`` where only they end it, else those of the library.

    On a busy machine, a service that is well may take longer than a quick one.
    """
    return quick if action in {"stall", "drip", "commit-then-timeout"} else {}


def part_of(data: bytes, ranges: Ranges | None) -> bytes:
    """What a read of these ranges must give."""
    return data if ranges is None else b"".join(data[first : last + 1] for first, last in ranges)


class Outcome(NamedTuple):
    """What a read gave, and what it raised after that."""

    data: bytes
    error: exc.OioException | None


def read(api: Any, target: Target, ranges: Ranges | None = None, **kwargs: Any) -> Outcome:
    """Read an object until its end, or until an exception of the library."""
    blocks = []
    try:
        _, stream = api.object_fetch(*target, ranges=ranges, **kwargs)
        with stream:
            blocks.extend(stream)
    except exc.OioException as err:
        return Outcome(b"".join(blocks), err)
    return Outcome(b"".join(blocks), None)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for the other end of a connection to notice something."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def chunks_on_disk(namespace: Namespace) -> set[str]:
    """The chunks that all rawx have, as ``host:port/ID``: those of one metachunk may be namesakes."""
    return {f"{rawx.address}/{chunk}" for rawx in namespace.rawx for chunk in rawx.chunks()}


def chunks_listed(api: Any, target: Target) -> set[str]:
    """The chunks that the object has, as ``host:port/ID``."""
    _, chunks = api.object_locate(*target)
    return {chunk["url"].removeprefix("http://") for chunk in chunks}


def assert_nothing_left(namespace: Namespace, api: Any, target: Target) -> None:
    """No chunk on any rawx, and no object."""
    assert chunks_on_disk(namespace) == set()
    with pytest.raises((exc.NoSuchObject, exc.NoSuchContainer)):
        api.object_locate(*target)


def assert_stored(namespace: Namespace, api: Any, target: Target, data: bytes) -> None:
    """The object is there, lists the chunks on the rawx and no other, and gives its data."""
    assert chunks_on_disk(namespace) == chunks_listed(api, target)
    assert read(api, target) == Outcome(data, None)
