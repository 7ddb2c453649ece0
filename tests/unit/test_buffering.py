# SPDX-License-Identifier: Apache-2.0
"""Sources that give little at a time: what they give is gathered before it is sent."""

from __future__ import annotations

import io as stdio

import pytest

from oio.api.replication import ReplicatedWriteHandler
from oio.common.storage_method import STORAGE_METHODS
from tests.kit.fakes import SYSMETA, chunks_on, network, stored


class Trickle:
    """Gives seven bytes at a time, however many are asked for."""

    def __init__(self, data: bytes) -> None:
        self._source = stdio.BytesIO(data)
        self.reads = 0

    def read(self, size: int) -> bytes:
        self.reads += 1
        return self._source.read(min(size, 7))


def sizes_sent(source, **options) -> list[int]:
    """Upload the source; sizes of the blocks that a chunk server received."""
    sysmeta = {**SYSMETA, "chunk_size": 1 << 20, "chunk_method": "plain/nb_copy=1"}
    single = STORAGE_METHODS.load("plain/nb_copy=1")
    with network(a=stored) as net:
        ReplicatedWriteHandler(source, sysmeta, {0: chunks_on("a")}, single, **options).stream()
    sizes, rest = [], net.connections["a"].sent
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        sizes.append(int(size, 16))
        rest = rest[sizes[-1] + 2 :]
    assert sizes.pop() == 0
    return sizes


@pytest.mark.pitfall(36)
def test_small_reads_are_gathered_into_blocks():
    source = Trickle(bytes(200_000))
    sizes = sizes_sent(source)
    assert source.reads > 20_000
    assert sum(sizes) == 200_000
    assert len(sizes) < 10


@pytest.mark.pitfall(36)
def test_blocks_grow_up_to_the_limit():
    sizes = sizes_sent(stdio.BytesIO(bytes(5000)), chunk_buffer_min=100, chunk_buffer_max=1000)
    assert sizes[:4] == [100, 200, 400, 800]
    assert set(sizes[4:-1]) == {1000}
    assert sum(sizes) == 5000
