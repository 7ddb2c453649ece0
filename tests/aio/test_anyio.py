# SPDX-License-Identifier: Apache-2.0
"""The asyncio face under anyio, whose scopes cancel a task again and again until it has left."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import pytest

from oio.aio import AsyncTransfer
from oio.aio._workers import Workers
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, chunks_on_disk
from tests.kit.looping import TARGET, blocks, connections, create, face_of, read, turns, until
from tests.kit.transfers import BOX, fill

UNPUT = Fault("stall", service="rawx", operation="PUT", after_bytes=10)
STALLED = Fault("stall", service="rawx", operation="GET", after_bytes=10)


def test_calls_of_a_task_group_go_side_by_side(namespace: Namespace) -> None:
    async def main() -> tuple[bytes, list[str]]:
        async with face_of(namespace) as api:
            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(create, api, blocks(2), f"o{number:02}")
            await create(api, blocks(2))
            names = [obj["name"] async for obj in api.object_list_all(ACCOUNT, CONTAINER)]
            return await read(api), names

    data, names = anyio.run(main)
    assert len(data) > 0
    assert names[-20:] == [f"o{number:02}" for number in range(20)]


@pytest.mark.parametrize("fault", [UNPUT, STALLED], ids=["upload", "read"])
def test_a_scope_that_is_cancelled_ends_the_work_underneath(namespace: Namespace, fault: Fault) -> None:
    async def work(api: object) -> None:
        await (create(api, blocks(5), "new") if fault is UNPUT else read(api))

    async def main() -> None:
        async with face_of(namespace) as api:
            await create(api, blocks(2), policy="SINGLE")
            before = sorted(chunks_on_disk(namespace))
            with namespace.faults(fault) as plan:
                async with anyio.create_task_group() as group:
                    group.start_soon(work, api)
                    await until(lambda: plan.hits(fault))
                    group.cancel_scope.cancel()
                # Those of a clean-up are kept.
                assert fault is UNPUT or not connections(namespace)
            assert sorted(chunks_on_disk(namespace)) == before
            assert not await api.object_head(ACCOUNT, CONTAINER, "new")
            # The client goes on.
            assert await read(api)

    anyio.run(main)


def test_a_time_limit_ends_a_call(namespace: Namespace) -> None:
    silent = Fault("stall", service="proxy", phase="head")

    async def main() -> None:
        async with face_of(namespace) as api:
            with namespace.faults(silent), pytest.raises(TimeoutError):
                with anyio.fail_after(0.2):
                    await api.container_create(ACCOUNT, "c")
            with namespace.faults(silent), anyio.move_on_after(0.2) as scope:
                await api.container_create(ACCOUNT, "c")
            assert scope.cancelled_caught
            assert not await api.object_head(*TARGET)

    anyio.run(main)


def test_a_failure_ends_the_other_tasks_of_a_group(namespace: Namespace) -> None:
    class Stop(Exception):
        pass

    async def main() -> None:
        async with face_of(namespace) as api:
            with namespace.faults(UNPUT) as plan:
                async with anyio.create_task_group() as group:
                    for number in range(3):
                        group.start_soon(create, api, blocks(5), f"o{number}")
                    await until(lambda: plan.hits(UNPUT) >= 3)
                    raise Stop

    with pytest.raises(Exception, match="unhandled errors in a TaskGroup") as caught:
        anyio.run(main)
    assert [type(one) for one in caught.value.exceptions] == [Stop]  # type: ignore[attr-defined]
    assert chunks_on_disk(namespace) == []


def test_a_scope_that_is_cancelled_ends_its_transfer(namespace: Namespace, tmp_path: Path) -> None:
    files = tmp_path / "files"
    fill(files, {"a": b"some more bytes", "b": b"than the fault lets through"})

    async def main() -> None:
        async with face_of(namespace) as api, AsyncTransfer(api) as transfer:
            with namespace.faults(UNPUT) as plan:
                async with anyio.create_task_group() as group:
                    group.start_soon(transfer.upload_tree, files, BOX)
                    await until(lambda: plan.hits(UNPUT))
                    group.cancel_scope.cancel()
            assert chunks_on_disk(namespace) == []
            assert (await transfer.upload_tree(files, BOX)).done == 2

    anyio.run(main)


def test_waits_that_were_cancelled_are_not_kept() -> None:
    gate, ended = threading.Event(), []

    async def main() -> None:
        workers = Workers(1)
        job = workers.start(gate.wait)
        async with anyio.create_task_group() as group:
            group.start_soon(workers.finish, job)
            await turns()
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                # Meanwhile the scope has cancelled the task as often as the loop has turned.
                await turns(200)
                ended.append(len(job._waiters))
                gate.set()
        await workers.close()

    anyio.run(main)
    assert ended == [1]
