# SPDX-License-Identifier: Apache-2.0
"""A task that is cancelled, or whose time is over, ends the work underneath."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from oio.aio._workers import Workers
from oio.common import exceptions as exc
from oio.common.block_reader import ClosedFile
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, chunks_on_disk
from tests.kit.looping import (
    TARGET,
    blocks,
    connections,
    create,
    face_of,
    read,
    turns,
    until,
)

STALLED = Fault("stall", service="rawx", operation="GET", after_bytes=10)
UNPUT = Fault("stall", service="rawx", operation="PUT", after_bytes=10)


def test_the_loop_turns_while_a_read_is_stalled_and_a_cancel_frees_all(namespace: Namespace) -> None:
    async def main() -> None:
        async with face_of(namespace) as api:
            await create(api, blocks(2), policy="SINGLE")
            with namespace.faults(STALLED) as plan:
                _, stream = await api.object_fetch(*TARGET)
                reading = asyncio.ensure_future(anext(stream))
                await until(lambda: plan.hits(STALLED))
                await turns(1000)
                assert not reading.done()
                assert connections(namespace)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
                assert not connections(namespace)
            assert stream.closed
            with pytest.raises(exc.OioException, match="closed"):
                await anext(stream)
            with pytest.raises(ClosedFile):
                await stream.read(1)

    asyncio.run(main())


def test_a_time_limit_ends_a_call(namespace: Namespace) -> None:
    silent = Fault("stall", service="proxy", phase="head")

    async def main() -> None:
        async with face_of(namespace) as api:
            with namespace.faults(silent), pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(api.container_create(ACCOUNT, "c"), 0.2)
            assert not await api.object_head(*TARGET)

    asyncio.run(main())


@pytest.mark.parametrize("source", ["async", "sync"])
def test_a_cancelled_upload_leaves_no_chunk(namespace: Namespace, source: str) -> None:
    async def main() -> None:
        data: Any = blocks(50) if source == "async" else (b"x" * 100_000 for _ in range(50))
        async with face_of(namespace) as api:
            # The second metachunk, so that there are whole chunks of the first one.
            stalled = Fault("stall", service="rawx", operation="PUT", after_bytes=10, nth=4)
            with namespace.faults(stalled) as plan:
                creating = asyncio.ensure_future(create(api, data))
                await until(lambda: plan.hits(stalled))
                creating.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await creating
            assert chunks_on_disk(namespace) == []
            assert not await api.object_head(*TARGET)

    asyncio.run(main())


def test_an_upload_cancelled_just_before_its_commit_leaves_no_chunk(namespace: Namespace) -> None:
    # With credentials for Backblaze, it is looked at what is replaced.
    stalled = Fault("stall", service="proxy", operation="content/locate", phase="head")

    async def main() -> None:
        options = {"key_file": namespace.b2_key_file, "backblaze_api_url": namespace.b2_endpoint}
        async with face_of(namespace, **options) as api:
            await api.container_create(ACCOUNT, CONTAINER)
            with namespace.faults(stalled) as plan:
                creating = asyncio.ensure_future(create(api, blocks(2)))
                await until(lambda: plan.hits(stalled))
                assert chunks_on_disk(namespace)
                creating.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await creating
            assert chunks_on_disk(namespace) == []

    asyncio.run(main())


def test_an_upload_that_waits_for_its_data_is_cancelled_with_them(namespace: Namespace) -> None:
    ended: list[str] = []

    async def data() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def main() -> None:
        async with face_of(namespace) as api:
            creating = asyncio.ensure_future(create(api, data()))
            await until(lambda: chunks_on_disk(namespace))
            creating.cancel()
            with pytest.raises(asyncio.CancelledError):
                await creating
            assert chunks_on_disk(namespace) == []
            assert ended == ["cancelled"]

    asyncio.run(main())


def test_a_second_cancel_does_not_leave_the_clean_up_behind(namespace: Namespace) -> None:
    async def main() -> None:
        async with face_of(namespace) as api:
            with namespace.faults(UNPUT) as plan:
                creating = asyncio.ensure_future(create(api, blocks(5)))
                await until(lambda: plan.hits(UNPUT))
                while not creating.done():
                    creating.cancel()
                    await asyncio.sleep(0)
            assert creating.cancelled()
            assert chunks_on_disk(namespace) == []

    asyncio.run(main())


def test_calls_that_wait_for_a_worker_are_dropped(namespace: Namespace) -> None:
    async def main() -> None:
        async with face_of(namespace, workers=1) as api:
            await create(api, blocks(3))
            with namespace.faults(STALLED) as plan:
                reading = asyncio.ensure_future(read(api))
                await until(lambda: plan.hits(STALLED))
                namespace.forget_requests()
                waiting = [asyncio.ensure_future(api.container_create(ACCOUNT, str(n))) for n in range(9)]
                await turns()
                for task in waiting:
                    task.cancel()
                ends = await asyncio.gather(*waiting, return_exceptions=True)
                assert {type(end) for end in ends} == {asyncio.CancelledError}
                assert not reading.done()
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            assert [
                record.target for record in namespace.requests if "container/create" in record.target
            ] == []

    asyncio.run(main())


def test_a_failure_ends_the_other_tasks_of_a_group(namespace: Namespace) -> None:
    class Stop(Exception):
        pass

    async def failing(plan: Any) -> None:
        await until(lambda: plan.hits(UNPUT) >= 3)
        raise Stop

    async def main() -> None:
        async with face_of(namespace) as api:
            with namespace.faults(UNPUT) as plan:
                works = [create(api, blocks(5), f"o{number}") for number in range(3)]
                tasks = [asyncio.ensure_future(work) for work in (*works, failing(plan))]
                # What asyncio.TaskGroup does, which Python 3.10 has not.
                await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(end) for end in ends] == [asyncio.CancelledError] * 3 + [Stop]
            assert chunks_on_disk(namespace) == []

    asyncio.run(main())


def test_a_result_that_nobody_gets_is_discarded() -> None:
    discarded: list[str] = []

    async def main() -> None:
        workers, gate = Workers(1), threading.Event()

        def work() -> str:
            gate.wait()
            return "stream"

        job = workers.start(work)
        task = asyncio.ensure_future(workers.finish(job, discard=discarded.append))
        await turns()
        gate.set()
        while not job.has_result():
            # The loop cannot be told of it.
            pass
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert discarded == ["stream"]
        await workers.close()

    asyncio.run(main())


def test_a_second_cancel_does_not_leave_a_result_behind() -> None:
    discarded: list[str] = []

    async def main() -> None:
        workers, gate = Workers(1), threading.Event()

        def work() -> str:
            gate.wait()
            return "file"

        job = workers.start(work)
        task = asyncio.ensure_future(workers.finish(job, discard=discarded.append))
        for _ in range(2):
            await turns()
            task.cancel()
        await turns()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert discarded == ["file"]
        await workers.close()

    asyncio.run(main())


def test_what_is_ended_after_the_client_was_closed_leaves_no_thread() -> None:
    ended: list[str] = []

    async def main() -> None:
        workers = Workers(1)
        assert await workers.call(lambda: "result") == "result"
        await workers.close()
        await workers.end(lambda: ended.append("late"))

    asyncio.run(main())
    assert ended == ["late"]


def test_an_ending_that_fails_does_not_keep_the_others_from_it() -> None:
    ended: list[str] = []

    def fail() -> None:
        raise ValueError("mine")

    async def main() -> None:
        workers = Workers(1)
        assert await workers.call(lambda: "result") == "result"
        with pytest.raises(ValueError, match="mine"):
            await workers.close(lambda: ended.append("one"), fail, lambda: ended.append("other"))

    asyncio.run(main())
    assert ended == ["one", "other"]


def test_cancelled_files_are_closed_and_nothing_of_them_is_stored(namespace: Namespace) -> None:
    async def main() -> None:
        async with face_of(namespace) as api:
            await create(api, blocks(2), policy="SINGLE")
            with namespace.faults(STALLED) as plan:
                file = await api.object_open(*TARGET)
                reading = asyncio.ensure_future(file.read())
                await until(lambda: plan.hits(STALLED))
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                assert file.closed
                assert not connections(namespace)
            stored = sorted(chunks_on_disk(namespace))
            with namespace.faults(UNPUT) as plan:
                written = await api.object_open(ACCOUNT, CONTAINER, "written", "wb")
                writing = asyncio.ensure_future(written.write(b"x" * 20_000_000))
                await until(lambda: plan.hits(UNPUT))
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
                assert written.closed
            assert sorted(chunks_on_disk(namespace)) == stored
            assert not await api.object_head(ACCOUNT, CONTAINER, "written")

    asyncio.run(main())
