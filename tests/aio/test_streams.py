# SPDX-License-Identifier: Apache-2.0
"""Streams and files of an event loop."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from oio.aio import AsyncObjectStorageApi, AsyncObjectStream
from oio.aio._workers import Workers
from oio.common import exceptions as exc
from oio.common.block_reader import ClosedFile
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CHUNK_SIZE, CONTAINER, LARGE
from tests.kit.looping import TARGET, connections, create, face_of, read, turns, until


@pytest.mark.parametrize("size", [1, 1000, 262_144, 300_000, 10_000_000])
def test_streams_are_read_by_any_number_of_bytes(namespace: Namespace, size: int) -> None:
    data = LARGE[: size * 5 + 3] if size < 1000 else LARGE

    async def main() -> bytes:
        async with face_of(namespace) as api:
            await create(api, data)
            _, stream = await api.object_fetch(*TARGET)
            pieces = []
            while piece := await stream.read(size):
                pieces.append(piece)
            assert {len(piece) for piece in pieces[:-1]} <= {size}
            assert [block async for block in stream] == []
            assert await stream.read() == b""
            return b"".join(pieces)

    assert asyncio.run(main()) == data


class Counted:
    """A stream of three blocks, which counts those that were taken."""

    closed = False

    def __init__(self) -> None:
        self.taken = 0

    def __next__(self) -> bytes:
        if self.taken == 3:
            raise StopIteration
        self.taken += 1
        return b"block"

    def close(self) -> None:
        self.closed = True


def test_one_block_is_read_ahead_and_no_more() -> None:
    async def main() -> None:
        workers, counted = Workers(4), Counted()
        stream = AsyncObjectStream(workers, counted)  # type: ignore[arg-type]
        await turns()
        assert counted.taken == 0
        for number in (2, 3, 3):
            assert await anext(stream) == b"block"
            await until(lambda: stream._job is not None and stream._job.is_over)
            await turns()
            assert counted.taken == number
        assert [block async for block in stream] == []
        await stream.aclose()
        assert counted.closed
        await workers.close()

    asyncio.run(main())


def test_a_stream_that_is_left_frees_its_connection(namespace: Namespace) -> None:
    stalled = Fault("stall", service="rawx", operation="GET", after_bytes=CHUNK_SIZE - 9)

    async def main() -> None:
        async with face_of(namespace, hold_up_to=0) as api:
            await create(api, LARGE[:CHUNK_SIZE], policy="SINGLE")
            with namespace.faults(stalled) as plan:
                _, stream = await api.object_fetch(*TARGET)
                await anext(stream)
                # The next block is being waited for.
                await until(lambda: plan.hits(stalled))
                assert connections(namespace)
                del stream
                await until(lambda: gc.collect() is not None and not connections(namespace))

    asyncio.run(main())


def test_a_stream_closed_by_another_task_is_no_end(namespace: Namespace) -> None:
    stalled = Fault("stall", service="rawx", operation="GET", after_bytes=10)

    async def main() -> None:
        async with face_of(namespace) as api:
            await create(api, LARGE)
            with namespace.faults(stalled) as plan:
                _, stream = await api.object_fetch(*TARGET)
                reading = asyncio.ensure_future(stream.read())
                await until(lambda: plan.hits(stalled))
                with pytest.raises(exc.OioException, match="another task"):
                    await anext(stream)
                await stream.aclose()
                await stream.aclose()
            with pytest.raises(exc.OioException, match="closed"):
                await reading
            with pytest.raises(ClosedFile):
                await stream.read()

    asyncio.run(main())


@pytest.mark.parametrize("size", ["5", 1.5])
def test_size_must_be_a_number(namespace: Namespace, size: Any) -> None:
    async def main() -> None:
        async with face_of(namespace) as api:
            await create(api, b"hello")
            _, stream = await api.object_fetch(*TARGET)
            with pytest.raises(TypeError, match="size"):
                await stream.read(size)
            assert await stream.read(None) == b"hello"

    asyncio.run(main())


def test_files_are_read_and_written(namespace: Namespace) -> None:
    async def main() -> None:
        async with face_of(namespace, workers=2) as api:
            async with api.object_open(*TARGET, "wb", properties={"k": "v"}) as written:
                assert await written.write(LARGE) == await written.tell() == len(LARGE)
                await written.flush()
                assert not written.closed
            assert (written.closed, written.name) == (True, "o")
            assert written.result is not None
            assert written.result[1] == len(LARGE)
            async with api.object_open(*TARGET) as file:
                assert (file.name, file.size, file.meta["properties"]) == ("o", len(LARGE), {"k": "v"})
                assert await file.seek(-5, 2) == len(LARGE) - 5
                assert await file.read(3) == LARGE[-5:-2]
                assert await file.tell() == len(LARGE) - 2
                assert await file.read() == LARGE[-2:]
            assert file.closed
            with pytest.raises(exc.ObjectExists):
                await api.object_open(*TARGET, "xb")

    asyncio.run(main())


def test_a_file_whose_block_raises_is_not_stored(namespace: Namespace) -> None:
    class Stop(Exception):
        pass

    async def failing(api: AsyncObjectStorageApi) -> None:
        async with api.object_open(*TARGET, "wb") as written:
            await written.write(LARGE)
            raise Stop

    async def main() -> None:
        async with face_of(namespace) as api:
            with pytest.raises(Stop):
                await failing(api)
            aborted = await api.object_open(*TARGET, "wb")
            await aborted.write(LARGE)
            await aborted.abort()
            assert not await api.object_head(*TARGET)

    asyncio.run(main())


def test_many_files_are_written_at_a_time(namespace: Namespace) -> None:
    async def main() -> None:
        async with face_of(namespace, workers=2) as api:
            names = [f"o{number}" for number in range(8)]
            files = [await api.object_open(ACCOUNT, CONTAINER, name, "wb") for name in names]
            for number in range(3):
                for file in files:
                    await file.write(bytes([number]) * 500_000)
            for file in files:
                await file.aclose()
            assert {len(data) for data in await asyncio.gather(*(read(api, name) for name in names))} == {
                1_500_000
            }

    asyncio.run(main())
