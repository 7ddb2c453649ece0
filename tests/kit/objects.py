# SPDX-License-Identifier: Apache-2.0
"""Objects for tests of faults, and checks of the chunks that are left."""

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
"""Bytes of a chunk in the namespaces of these tests: several blocks of a reader, yet quick to store."""

SMALL = random.Random(1).randbytes(1000)
"""Fits in one block."""
LARGE = random.Random(2).randbytes(2 * CHUNK_SIZE + 5000)
"""Three metachunks, the last of them short."""

Ranges = list[tuple[int, int]]


class Target(NamedTuple):
    """Account, container and name of an object."""

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
    """Make a fault; one that keeps clients from connecting has no operation."""
    if action == "refuse" or settings.get("phase") == "connect":
        operation = None
    return Fault(action, operation=operation, **settings)


def limits(action: str, **quick: float) -> dict[str, float]:
    """Timeouts for a call with a fault: ``quick`` if only a timeout ends it, else those of the library.

    On a busy machine, a healthy service may take longer than a quick timeout.
    """
    return quick if action in {"stall", "drip", "commit-then-timeout"} else {}


def part_of(data: bytes, ranges: Ranges | None) -> bytes:
    """The bytes that a read of these ranges must return."""
    return data if ranges is None else b"".join(data[first : last + 1] for first, last in ranges)


class Outcome(NamedTuple):
    """Data that a read returned, and the exception that it then raised."""

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
    """Wait for a condition that depends on the other end of a connection."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def chunks_on_disk(namespace: Namespace) -> set[str]:
    """All chunks on the disks, as ``host:port/ID``, since those of one metachunk may have the same ID."""
    return {f"{rawx.address}/{chunk}" for rawx in namespace.rawx for chunk in rawx.chunks()}


def chunks_listed(api: Any, target: Target) -> set[str]:
    """The recorded chunks of an object, as ``host:port/ID``."""
    _, chunks = api.object_locate(*target)
    return {chunk["url"].removeprefix("http://") for chunk in chunks}


def assert_nothing_left(namespace: Namespace, api: Any, target: Target) -> None:
    """Check that there is no chunk on any rawx, and no object."""
    assert chunks_on_disk(namespace) == set()
    with pytest.raises((exc.NoSuchObject, exc.NoSuchContainer)):
        api.object_locate(*target)


def assert_stored(namespace: Namespace, api: Any, target: Target, data: bytes) -> None:
    """Check that the object exists, records exactly the chunks on the disks, and can be read."""
    assert chunks_on_disk(namespace) == chunks_listed(api, target)
    assert read(api, target) == Outcome(data, None)
