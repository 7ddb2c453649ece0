# SPDX-License-Identifier: Apache-2.0
"""Uploads of what an event loop gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from oio.aio import _sources
from oio.aio._sources import LARGEST_QUEUE, Blocks
from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, chunks_on_disk
from tests.kit.looping import TARGET, blocks, create, face_of, read, turns, until


class Foreign(Exception):
    """Of the application."""


def of(*items: Any) -> AsyncIterator[Any]:
    async def given() -> AsyncIterator[Any]:
        for item in items:
            if isinstance(item, BaseException):
                raise item
            yield item

    return given()


class Iterable:
    """Gives an iterator that is another object."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __aiter__(self) -> AsyncIterator[Any]:
        return of(*self.items)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (of(), b""),
        (of(b""), b""),
        (of(b"", b"a", None, b"b", b""), b"ab"),
        (of("é", bytearray(b"x"), memoryview(b"yz")), "éxyz".encode()),
        (of([b"1", b"2"], iter((b"3",))), b"123"),
        (Iterable(b"a", b"b"), b"ab"),
        (of(*[b"x"] * 5000), b"x" * 5000),
    ],
    ids=["none", "empty", "nothing yet", "kinds", "nested", "iterable", "tiny"],
)
def test_blocks_are_those_that_the_facade_takes(namespace: Namespace, data: Any, expected: bytes) -> None:
    async def main() -> bytes:
        async with face_of(namespace) as api:
            assert await create(api, data) == len(expected)
            return await read(api)

    assert asyncio.run(main()) == expected


def test_buffers_may_be_used_again(namespace: Namespace) -> None:
    async def data() -> AsyncIterator[bytearray]:
        buffer = bytearray(1000)
        for number in range(5):
            buffer[:] = bytes([number]) * 1000
            yield buffer

    async def main() -> bytes:
        async with face_of(namespace) as api:
            await create(api, data())
            return await read(api)

    assert asyncio.run(main()) == b"".join(bytes([number]) * 1000 for number in range(5))


@pytest.mark.parametrize("size", [0, 3_000_000])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Foreign("mine"), Foreign),
        (exc.Forbidden(403, None, "mine"), exc.Forbidden),
        (KeyError("mine"), KeyError),
        (asyncio.CancelledError(), asyncio.CancelledError),
        # As of any source of the facade.
        (ConnectionResetError("mine"), exc.SourceReadError),
        (ValueError("mine"), exc.SourceReadError),
        (StopIteration("mine"), exc.SourceReadError),
    ],
    ids=repr,
)
def test_an_exception_of_the_iterable_comes_out_and_nothing_is_stored(
    namespace: Namespace, size: int, error: BaseException, expected: type[BaseException]
) -> None:
    async def main() -> None:
        async with face_of(namespace) as api:
            with pytest.raises(expected) as info:
                await create(api, of(*[b"x" * 100_000] * (size // 100_000), error))
            found = info.value
            assert found is error or found.__cause__ is error or isinstance(error, StopIteration)
            assert chunks_on_disk(namespace) == []
            assert not await api.object_head(*TARGET)

    asyncio.run(main())


def test_what_is_no_data_is_refused(namespace: Namespace) -> None:
    async def main() -> None:
        async with face_of(namespace) as api:
            with pytest.raises(exc.SourceReadError, match="int"):
                await create(api, of(b"x", 5))
            assert chunks_on_disk(namespace) == []

    asyncio.run(main())


def test_an_upload_that_fails_ends_its_iterable(namespace: Namespace) -> None:
    ended: list[str] = []

    async def data() -> AsyncIterator[bytes]:
        try:
            for _ in range(100):
                yield b"x" * 300_000
        finally:
            ended.append("closed")

    async def main() -> None:
        async with face_of(namespace) as api:
            full = Fault("status", service="rawx", operation="PUT", phase="head")
            with namespace.faults(full), pytest.raises(exc.OioException):
                await create(api, data())
            assert ended == ["closed"]
            with pytest.raises(exc.BadRequest, match="obj_name"):
                await create(api, data(), "x" * 5000)
            # Nothing was asked of it.
            assert ended == ["closed"]

    asyncio.run(main())


def test_few_blocks_wait_in_memory(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Blocks] = []

    class Watched(Blocks):
        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            super().__init__(loop)
            made.append(self)

    monkeypatch.setattr(_sources, "Blocks", Watched)
    given = 0

    async def data() -> AsyncIterator[bytes]:
        nonlocal given
        async for block in blocks(100):
            given += 1
            yield block

    async def main() -> None:
        async with face_of(namespace, workers=1) as api:
            stalled = Fault("stall", service="rawx", operation="PUT", after_bytes=10)
            with namespace.faults(stalled) as plan:
                creating = [asyncio.ensure_future(create(api, data(), f"o{n}")) for n in range(3)]
                await until(lambda: plan.hits(stalled))
                await turns(1000)
                # The others have no worker yet, so nothing is asked of them.
                assert [source.most_queued > 0 for source in made] == [True, False, False]
                assert given < 100
                for task in creating:
                    task.cancel()
                await asyncio.gather(*creating, return_exceptions=True)
            assert await create(api, blocks(100)) == 10_000_000

    asyncio.run(main())
    assert all(source.most_queued < LARGEST_QUEUE + 100_000 for source in made)
    assert made[-1].most_queued > 0


def test_an_iterable_that_is_too_slow_is_given_up(namespace: Namespace) -> None:
    async def data() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    async def main() -> None:
        async with face_of(namespace) as api:
            with pytest.raises(exc.SourceReadTimeout):
                await create(api, data(), read_timeout=0.1)
            assert chunks_on_disk(namespace) == []

    asyncio.run(main())


def test_appending_and_announced_sizes(namespace: Namespace) -> None:
    async def main() -> bytes:
        async with face_of(namespace) as api:
            await create(api, of(b"head"), size=4)
            await create(api, of(b"ta", b"il"), append=True)
            with pytest.raises(exc.SourceReadError, match="announced"):
                await create(api, of(b"more"), size=3)
            result = await api.object_create_ext(
                ACCOUNT, CONTAINER, data=Iterable(b"x"), obj_name="p", policy="SINGLE"
            )
            assert result[3]["policy"] == "SINGLE"
            return await read(api)

    assert asyncio.run(main()) == b"headtail"


def test_an_upload_whose_loop_was_closed_ends_and_leaves_no_chunk(namespace: Namespace) -> None:
    api = face_of(namespace, workers=1)
    loop = asyncio.new_event_loop()
    # Tells of tasks that are pending: this is what is tested.
    loop.set_exception_handler(lambda *_: None)
    begun = loop.create_future()

    async def data() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        begun.set_result(None)
        await loop.create_future()

    creating = loop.create_task(create(api, data(), "never"))
    loop.run_until_complete(begun)
    loop.close()

    async def main() -> None:
        # The only thread for uploads is free again.
        async with api:
            assert await create(api, of(b"later"), "later") == 5
            await api.object_delete(ACCOUNT, CONTAINER, "later")
            assert not await api.object_head(ACCOUNT, CONTAINER, "never")
            assert chunks_on_disk(namespace) == []

    asyncio.run(main())
    assert not creating.done()
