# SPDX-License-Identifier: Apache-2.0
"""Objects of any policy are stored and read by greenlets of the application, at once and in one OS thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.conftest import KINDS
from tests.kit.greenlets import in_turns, wait_outside
from tests.kit.store import Store
from tests.kit.watchdog import watched

pytestmark = pytest.mark.pitfall("B1")


@pytest.fixture(params=KINDS)
def served(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """Not the asyncio face: greenlets of an application belong to one OS thread."""
    return KINDS[request.param]


NAMES = ("first", "second", "third")


def data_of(store: Store, name: str) -> bytes:
    return (name.encode() * (2 * store.unit))[: 2 * store.unit + len(name)]


def outside_between(data: bytes, size: int) -> Iterator[bytes]:
    """Blocks of a source for which the application waits in its own way."""
    for start in range(0, len(data), size):
        wait_outside()
        yield data[start : start + size]
    wait_outside()


def test_sources_may_wait_outside_while_others_are_stored(store: Store) -> None:
    def create(name: str) -> None:
        data = data_of(store, name)
        store.create(outside_between(data, len(data) // 3), name)

    def run() -> list[bytes]:
        in_turns(*(lambda name=name: create(name) for name in NAMES))  # type: ignore[misc]
        return [store.read(name) for name in NAMES]

    assert watched(run) == [data_of(store, name) for name in NAMES]


def test_streams_are_read_in_turns(store: Store) -> None:
    for name in NAMES:
        store.create(data_of(store, name), name)

    def read(name: str) -> bytes:
        blocks = []
        with store.api.object_fetch(*store.target(name))[1] as stream:
            for block in stream:
                blocks.append(block)
                wait_outside()
        return b"".join(blocks)

    def run() -> list[bytes]:
        return in_turns(*(lambda name=name: read(name) for name in NAMES))  # type: ignore[misc]

    assert watched(run) == [data_of(store, name) for name in NAMES]


def test_stream_that_one_greenlet_opens_is_read_by_others(store: Store) -> None:
    data = data_of(store, "o")
    store.create(data)

    def run() -> bytes:
        (stream,) = in_turns(lambda: store.api.object_fetch(*store.target())[1])
        blocks = []
        while block := in_turns(lambda: next(stream, b""))[0]:
            blocks.append(block)
        in_turns(stream.close)
        return b"".join(blocks)

    assert watched(run) == data
