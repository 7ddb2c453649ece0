# SPDX-License-Identifier: Apache-2.0
"""Calls in an event loop: threads, context variables, exceptions, warnings, the end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER
from tests.kit.garbage import garbage_of
from tests.kit.looping import TARGET, blocks, create, face_of, read, turns, until, workers

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")


class Seen(dict[str, Any]):
    """Figures of a call that note who has called."""

    def __init__(self) -> None:
        super().__init__()
        self.who: set[str] = set()
        self.threads: set[str] = set()

    def __setitem__(self, name: str, value: Any) -> None:
        self.who.add(WHO.get())
        self.threads.add(threading.current_thread().name)
        super().__setitem__(name, value)


def test_context_variables_of_the_caller_are_those_of_the_call(namespace: Namespace) -> None:
    async def one(api: Any, name: str) -> None:
        WHO.set(name)
        writing, reading = Seen(), Seen()
        await create(api, blocks(3), name, perfdata=writing)
        _, stream = await api.object_fetch(ACCOUNT, CONTAINER, name, perfdata=reading)
        assert len(await stream.read()) == 300_000
        assert writing.who == reading.who == {name}
        assert threading.current_thread().name not in writing.threads | reading.threads

    async def main() -> None:
        async with face_of(namespace, workers=2) as api:
            await asyncio.gather(*(one(api, f"o{number}") for number in range(6)))

    asyncio.run(main())


def test_many_calls_share_few_threads(namespace: Namespace) -> None:
    async def main() -> set[str]:
        seen: set[str] = set()

        async def one(api: Any, number: int) -> None:
            figures = Seen()
            name = f"o{number}"
            assert await create(api, blocks(2, 1000), name, perfdata=figures) == 2000
            assert await read(api, name) == b"\0" * 1000 + b"\1" * 1000
            seen.update(figures.threads, workers())

        async with face_of(namespace, workers=16) as api:
            await asyncio.gather(*(one(api, number) for number in range(64)))
        return seen

    seen = asyncio.run(main())
    assert len([name for name in seen if name.startswith("oio call")]) <= 16
    assert len([name for name in seen if name.startswith("oio upload")]) <= 16
    assert not workers()


def test_an_upload_may_be_fed_by_downloads_of_the_same_client(namespace: Namespace) -> None:
    async def copied(api: Any) -> Any:
        _, stream = await api.object_fetch(*TARGET)
        async with stream:
            async for block in stream:
                yield block

    async def main() -> list[bytes]:
        async with face_of(namespace, workers=1) as api:
            await create(api, blocks(5))
            names = [f"copy{number}" for number in range(5)]
            await asyncio.gather(*(create(api, copied(api), name) for name in names))
            return await asyncio.gather(*(read(api, name) for name in ["o", *names]))

    data = asyncio.run(main())
    assert len(data[0]) == 500_000
    assert data == data[:1] * 6


def test_nothing_of_a_call_is_left_to_the_garbage_collector(namespace: Namespace) -> None:
    loop = asyncio.new_event_loop()
    api = face_of(namespace)

    async def failing() -> AsyncIterator[bytes]:
        async for block in blocks(3):
            yield block
        raise OSError("the camera is gone")

    async def call() -> None:
        await create(api, blocks(3), "o")
        _, stream = await api.object_fetch(ACCOUNT, CONTAINER, "o")
        assert len(await stream.read()) == 300_000

    async def failing_call() -> None:
        with pytest.raises(exc.SourceReadError, match="the camera is gone"):
            await create(api, failing(), "o")

    try:
        for one in (call, failing_call):
            loop.run_until_complete(one())
            assert garbage_of(lambda _api, one=one: loop.run_until_complete(one()), api) == []
    finally:
        loop.run_until_complete(api.close())
        loop.close()


def test_exceptions_come_out_as_they_are(namespace: Namespace) -> None:
    async def main() -> None:
        async with face_of(namespace) as api:
            await api.container_create(ACCOUNT, CONTAINER)
            with pytest.raises(exc.NoSuchObject) as info:
                await api.object_get_properties(*TARGET)
            assert info.value.reqid
            with pytest.raises(exc.NoSuchAccount):
                _ = [row async for row in api.container_list_all("nobody")]
            with pytest.raises(TypeError, match="limit must be an int"):
                await api.object_list(ACCOUNT, CONTAINER, limit="many")

    asyncio.run(main())


def test_warnings_are_about_the_line_of_the_caller(namespace: Namespace) -> None:
    async def main() -> None:
        async with face_of(namespace) as api:
            await api.account_create("new", dead_line=3)

    with pytest.warns(exc.UnknownOption, match="deadline") as caught:
        asyncio.run(main())
    assert [warning.filename for warning in caught] == [__file__]


def test_listings_are_iterated_over_by_batches(namespace: Namespace) -> None:
    async def main() -> None:
        async with face_of(namespace) as api:
            names = [f"{number:03}" for number in range(250)]
            await asyncio.gather(*(create(api, b"", name, policy="SINGLE") for name in names))
            namespace.forget_requests()
            assert [item["name"] async for item in api.object_list_all(*TARGET[:2])] == names
            found = api.object_list_all(*TARGET[:2], limit=3)
            assert [(await anext(found))["name"] for _ in range(4)] == names[:4]
            await found.aclose()
            assert [item async for item in found] == []
            lists = [record for record in namespace.requests if "container/list" in record.target]
            # One page holds the first listing; of the second one, two have been asked for.
            assert len(lists) == 3
            _, chunks = await api.object_locate(ACCOUNT, CONTAINER, "000", chunk_info=True)
            assert [chunk["chunk_size"] async for chunk in chunks] == ["0"]

    asyncio.run(main())


def test_items_before_an_error_are_given(namespace: Namespace) -> None:
    async def main() -> list[str]:
        async with face_of(namespace, request_attempts=1) as api:
            for number in range(4):
                await create(api, b"", str(number))
            broken = Fault("status", service="proxy", operation="container/list", nth=2, status=400)
            found = api.object_list_all(*TARGET[:2], limit=3)
            with namespace.faults(broken):
                names = [(await anext(found))["name"] for _ in range(3)]
                with pytest.raises(exc.ClientException):
                    await anext(found)
            assert [item async for item in found] == []
            return names

    assert asyncio.run(main()) == ["0", "1", "2"]


def test_a_client_may_be_used_by_one_loop_after_the_other_and_by_several(namespace: Namespace) -> None:
    api = face_of(namespace)
    assert asyncio.run(create(api, b"hello")) == 5
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(asyncio.run(read(api)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"hello"] * 3
    asyncio.run(api.aclose())


def test_closing_ends_what_is_under_way(namespace: Namespace) -> None:
    stalled = Fault("stall", service="rawx", operation="GET", after_bytes=10)

    async def main() -> None:
        api = face_of(namespace)
        await create(api, blocks(5))
        with namespace.faults(stalled) as plan:
            reading = asyncio.ensure_future(read(api))
            await until(lambda: plan.hits(stalled))
            _, stream = await api.object_fetch(*TARGET)
            writing = await api.object_open(ACCOUNT, CONTAINER, "written", "wb")
            await writing.write(b"never stored")
            await api.aclose()
            assert stream.closed
            assert writing.closed
            with pytest.raises(exc.OioException, match="closed"):
                await reading
        assert not workers()
        # It can be used again.
        assert not await api.object_head(ACCOUNT, CONTAINER, "written")
        await api.close()

    asyncio.run(main())
    assert not workers()


def test_the_loop_turns_while_a_client_is_closed(namespace: Namespace) -> None:
    async def main() -> None:
        api = face_of(namespace)
        await create(api, b"hello")
        # It ends only once the loop has turned.
        asked, turned = threading.Event(), threading.Event()

        def data() -> Iterator[bytes]:
            asked.set()
            turned.wait()
            yield b"late"

        creating = asyncio.ensure_future(create(api, data()))
        await until(asked.is_set)
        closing = asyncio.ensure_future(api.aclose())
        await turns()
        assert not closing.done()
        turned.set()
        await closing
        with contextlib.suppress(exc.OioException):
            await creating

    asyncio.run(main())


@pytest.mark.parametrize("workers", [0, -1, True, "4", None])
def test_number_of_workers_is_checked(workers: Any) -> None:
    from oio.aio import AsyncObjectStorageApi

    with pytest.raises(ValueError, match="workers"):
        AsyncObjectStorageApi("OPENIO", endpoint="127.0.0.1:1", workers=workers)


def test_it_is_imported_only_when_it_is_asked_for() -> None:
    program = "import sys, oio; from oio import ObjectStorageApi; print('oio.aio' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"


def test_a_client_that_nobody_closes_leaves_no_thread(namespace: Namespace) -> None:
    async def main() -> None:
        assert await create(face_of(namespace), b"hello") == 5

    asyncio.run(main())
