# SPDX-License-Identifier: Apache-2.0
"""Transfers for event loops."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import itertools
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from oio.aio import AsyncObjectStorageApi, AsyncTransfer
from oio.aio._transfers import _Interruptible
from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from oio.transfer import Remote, Result, Transfer, TransferCancelled, TransferConfig
from tests.kit.facade import ACCOUNT, chunks_on_disk
from tests.kit.looping import face_of, turns, until
from tests.kit.transfers import BOX, TREE, content, fill

#: Without the empty one, which the fault lets through.
FILES = {name: data for name, data in TREE.items() if data}
STALLED = Fault("stall", service="rawx", operation="PUT", after_bytes=2)


def worker_threads() -> list[str]:
    """Threads of transfers, and of their workers."""
    kinds = ("oio-transfer", "oio transfer")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(kinds)]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    directory = tmp_path / "files"
    fill(directory, FILES)
    return directory


def test_files_and_objects_are_moved(namespace: Namespace, files: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with face_of(namespace) as api, AsyncTransfer(api, TransferConfig(workers=2)) as transfer:
            uploaded = await transfer.upload_tree(files, BOX)
            assert (uploaded.done, uploaded.failed) == (len(FILES), 0)
            copied = await transfer.sync(BOX, Remote(ACCOUNT, "copy"))
            assert copied.done == len(FILES)
            await transfer.download_tree(Remote(ACCOUNT, "copy"), tmp_path / "copy")
            one = await transfer.download_file(BOX, "a.txt", tmp_path / "one")
            assert (one.outcome, one.size) == ("done", 4)
            with pytest.raises(exc.NoSuchObject):
                await transfer.download_file(BOX, "missing", tmp_path / "none")

    asyncio.run(main())
    assert content(tmp_path / "copy") == FILES
    assert worker_threads() == []


def test_callbacks_run_in_the_loop(namespace: Namespace, files: Path) -> None:
    seen: list[tuple[str, Any, int]] = []

    def note(kind: str) -> Any:
        return lambda told: seen.append((kind, told, threading.get_ident()))

    async def main() -> None:
        options = {"on_progress": note("progress"), "on_result": note("result"), "progress_interval": 0}
        async with face_of(namespace) as api, AsyncTransfer(api, **options) as transfer:
            report = await transfer.upload_tree(files, BOX)
            # All were called before the call has returned.
            assert sorted(told.name for kind, told, _ in seen if kind == "result") == sorted(
                result.name for result in report
            )
            kind, last, _ = seen[-1]
            assert kind == "progress"
            assert (last.objects, last.total_objects, last.bytes) == (len(FILES), len(FILES), report.bytes)

    asyncio.run(main())
    assert {thread for _, _, thread in seen} == {threading.get_ident()}


class Mine(Exception):
    pass


@pytest.mark.parametrize("error", [Mine, TimeoutError, asyncio.TimeoutError])
@pytest.mark.parametrize("hook", ["on_progress", "on_result"])
def test_what_a_callback_raises_ends_the_call(
    namespace: Namespace, files: Path, hook: str, error: type[Exception]
) -> None:
    def fail(_: object) -> None:
        raise error("mine")

    async def main() -> None:
        pairs = ((files / "a.txt", str(number)) for number in range(10**9))
        async with face_of(namespace) as api, AsyncTransfer(api, **{hook: fail}) as transfer:
            with pytest.raises(error, match="mine"):
                await transfer.upload_many(pairs, BOX)
            assert [name for name in worker_threads() if name.startswith("oio-transfer")] == []

    asyncio.run(main())


def test_what_a_callback_raises_is_in_no_cycle(namespace: Namespace, files: Path) -> None:
    def fail(_: object) -> None:
        raise Mine

    async def main() -> None:
        async with face_of(namespace) as api, AsyncTransfer(api, on_result=fail) as transfer:
            gc.collect()
            gc.disable()
            try:
                try:
                    await transfer.upload_file(files / "a.txt", BOX)
                except Mine as err:
                    seen = weakref.ref(err)
                # The worker leaves its last work a moment later.
                await until(lambda: seen() is None)
            finally:
                gc.enable()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_callback_may_cancel_the_transfer(namespace: Namespace, files: Path) -> None:
    seen: list[Result] = []

    async def main() -> None:
        def see(result: Result) -> None:
            seen.append(result)
            if len(seen) == 2:
                transfer.cancel()

        pairs = ((files / "a.txt", str(number)) for number in range(10**9))
        async with face_of(namespace) as api, AsyncTransfer(api, on_result=see) as transfer:
            with pytest.raises(TransferCancelled) as caught:
                await transfer.upload_many(pairs, BOX)
            assert caught.value.report is not None
            assert list(caught.value.report) == sorted(seen, key=lambda result: result.outcome)

    asyncio.run(main())


@pytest.mark.parametrize("times", [1, 3])
def test_a_cancelled_task_ends_its_transfer_and_no_other(
    namespace: Namespace, files: Path, times: int
) -> None:
    async def main() -> None:
        async with face_of(namespace) as api, AsyncTransfer(api) as transfer:
            await transfer.upload_file(files / "a.txt", BOX, "kept")
            stored = sorted(chunks_on_disk(namespace))
            with namespace.faults(STALLED) as plan:
                moving = asyncio.ensure_future(transfer.upload_tree(files, BOX))
                await until(lambda: plan.hits(STALLED))
                await turns(1000)
                assert not moving.done()
                for _ in range(times):
                    moving.cancel()
                    await asyncio.sleep(0)
                with pytest.raises(asyncio.CancelledError):
                    await moving
            assert sorted(chunks_on_disk(namespace)) == stored
            assert [name for name in worker_threads() if name.startswith("oio-transfer")] == []
            report = await transfer.upload_tree(files, BOX)
            assert report.done == len(FILES)

    asyncio.run(main())


def test_a_transfer_that_waits_for_a_worker_is_dropped(namespace: Namespace, files: Path) -> None:
    async def main() -> None:
        async with face_of(namespace, workers=1) as api, AsyncTransfer(api) as transfer:
            with namespace.faults(STALLED) as plan:
                first = asyncio.ensure_future(transfer.upload_file(files / "a.txt", BOX))
                await until(lambda: plan.hits(STALLED))
                second = asyncio.ensure_future(transfer.upload_file(files / "b-", BOX))
                await turns()
                # Calls of the client do not wait for transfers.
                await api.container_create(ACCOUNT, "other")
                second.cancel()
                await asyncio.wait([second])
                assert not first.done()
                first.cancel()
                await asyncio.wait([first])
            assert not await api.object_head(ACCOUNT, BOX.container, "b-")

    asyncio.run(main())


@pytest.mark.parametrize("end", ["cancel", "aclose"])
def test_an_end_reaches_calls_that_wait_for_a_worker(namespace: Namespace, files: Path, end: str) -> None:
    async def main() -> None:
        async with face_of(namespace, workers=1) as api, AsyncTransfer(api) as transfer:
            with namespace.faults(STALLED) as plan:
                first = asyncio.ensure_future(transfer.upload_file(files / "a.txt", BOX))
                await until(lambda: plan.hits(STALLED))
                second = asyncio.ensure_future(transfer.upload_file(files / "b-", BOX))
                await turns()
                ended = getattr(transfer, end)()
                if ended is not None:
                    await ended
                    assert [name for name in worker_threads() if name.startswith("oio-transfer")] == []
                for call in (first, second):
                    with pytest.raises(TransferCancelled):
                        await call
            assert not await api.object_head(ACCOUNT, BOX.container, "b-")

    asyncio.run(main())


@pytest.mark.parametrize("end", ["cancel", "aclose"])
def test_an_end_needs_no_worker_while_another_transfer_has_it(
    namespace: Namespace, files: Path, end: str
) -> None:
    async def main() -> None:
        async with face_of(namespace, workers=1) as api, AsyncTransfer(api) as other:
            transfer = AsyncTransfer(api)
            with namespace.faults(STALLED) as plan:
                first = asyncio.ensure_future(other.upload_file(files / "a.txt", BOX))
                await until(lambda: plan.hits(STALLED))
                second = asyncio.ensure_future(transfer.upload_file(files / "b-", BOX))
                await turns()
                ended = getattr(transfer, end)()
                if ended is not None:
                    await ended
                with pytest.raises(TransferCancelled) as caught:
                    await second
                assert list(caught.value.report or [None]) == []
                assert not first.done()
                first.cancel()
                await asyncio.wait([first])
            assert not await api.object_head(ACCOUNT, BOX.container, "b-")

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_call_that_has_just_begun_is_cancelled(namespace: Namespace, files: Path) -> None:
    async def main() -> None:
        async with face_of(namespace) as api, AsyncTransfer(api) as transfer:
            moving = asyncio.ensure_future(transfer.upload_tree(files, BOX))
            await asyncio.sleep(0)
            transfer.cancel()
            with pytest.raises(TransferCancelled):
                await moving
            # Later calls are made.
            assert (await transfer.upload_tree(files, BOX)).failed == 0

    asyncio.run(main())


class _Closing:
    """Closes a transfer when the thread of one of its calls has come to the nth line of its beginning."""

    def __init__(self, nth: int) -> None:
        self.left = nth
        self.transfer: AsyncTransfer | None = None

    def trace(self, frame: FrameType, event: str, _arg: object) -> Any:
        if frame.f_code not in {_Interruptible._begin.__code__, Transfer._begin.__code__}:
            return None
        if event == "line" and self.transfer is not None:
            self.left -= 1
            if not self.left:
                self._close(self.transfer)
        return self.trace

    def _close(self, transfer: AsyncTransfer) -> None:
        closed, (call,) = threading.Event(), transfer._calls

        def close() -> None:
            self.task = asyncio.ensure_future(transfer.aclose())
            call.loop.call_soon(closed.set)

        call.loop.call_soon_threadsafe(close)
        closed.wait()

    def __enter__(self) -> _Closing:
        threading.settrace(self.trace)
        return self

    def __exit__(self, *_exc: object) -> None:
        threading.settrace(None)  # type: ignore[arg-type]


def test_a_close_cancels_a_call_that_begins_whatever_it_has_looked_at(
    namespace: Namespace, files: Path
) -> None:
    async def main(closing: _Closing) -> None:
        async with face_of(namespace) as api, AsyncTransfer(api) as transfer:
            closing.transfer = transfer
            moving = asyncio.ensure_future(transfer.upload_file(files / "a.txt", BOX))
            await asyncio.wait([moving])
            if closing.left <= 0:
                with pytest.raises(TransferCancelled):
                    await moving

    for nth in itertools.count(1):
        with _Closing(nth) as closing:
            asyncio.run(main(closing))
        if closing.left > 0:
            break
    assert nth > 3


def test_an_interrupted_close_comes_to_its_end(namespace: Namespace, files: Path) -> None:
    async def main() -> None:
        async with face_of(namespace) as api:
            transfer = AsyncTransfer(api)
            with namespace.faults(STALLED) as plan:
                moving = asyncio.ensure_future(transfer.upload_tree(files, BOX))
                await until(lambda: plan.hits(STALLED))
                closing = asyncio.ensure_future(transfer.aclose())
                for _ in range(3):
                    await asyncio.sleep(0)
                    closing.cancel()
                await asyncio.wait([closing])
                assert closing.cancelled()
                assert [name for name in worker_threads() if name.startswith("oio-transfer")] == []
                with pytest.raises(TransferCancelled):
                    await moving

    asyncio.run(main())


def test_closing_the_client_ends_its_transfers(namespace: Namespace, files: Path) -> None:
    async def main() -> None:
        api = face_of(namespace)
        transfer = AsyncTransfer(api)
        with namespace.faults(STALLED) as plan:
            moving = asyncio.ensure_future(transfer.upload_tree(files, BOX))
            await until(lambda: plan.hits(STALLED))
            await api.aclose()
            with pytest.raises(exc.OioException, match="closed"):
                await moving
        assert worker_threads() == []
        assert chunks_on_disk(namespace) == []

    asyncio.run(main())


def test_a_closed_transfer_refuses_calls(namespace: Namespace, files: Path) -> None:
    async def main() -> None:
        async with face_of(namespace) as api:
            async with AsyncTransfer(api) as transfer:
                with namespace.faults(STALLED) as plan:
                    moving = asyncio.ensure_future(transfer.upload_tree(files, BOX))
                    await until(lambda: plan.hits(STALLED))
                    await transfer.close()
                    with pytest.raises(TransferCancelled):
                        await moving
            with pytest.raises(ValueError, match="closed"):
                await transfer.upload_tree(files, BOX)

    asyncio.run(main())


async def _awaited(_: object) -> None:
    pass


class Awaited:
    async def __call__(self, _: object) -> None:
        pass


def test_wrong_arguments_are_refused() -> None:
    api = AsyncObjectStorageApi("OPENIO", endpoint="127.0.0.1:1")
    for options in ({"config": {}}, {"on_progress": "bar"}, {"on_result": 1}, {"progress_interval": "1"}):
        with pytest.raises(TypeError, match=next(iter(options))):
            AsyncTransfer(api, **options)  # type: ignore[arg-type]
    for callback in (_awaited, functools.partial(_awaited), Awaited()):
        for name in ("on_progress", "on_result"):
            with pytest.raises(TypeError, match=f"{name} must be a plain function, not a coroutine function"):
                AsyncTransfer(api, **{name: callback})
    api.sync.close()


def test_it_has_the_methods_of_transfers() -> None:
    names = {name for name in dir(Transfer) if not name.startswith("_")}
    assert names <= {name for name in dir(AsyncTransfer) if not name.startswith("_")}
    for name in names - {"cancel", "close"}:
        method = getattr(AsyncTransfer, name)
        assert inspect.iscoroutinefunction(method)
        assert inspect.signature(method) == inspect.signature(getattr(Transfer, name))
        assert method.__qualname__ == f"AsyncTransfer.{name}"
        assert ">>>" not in method.__doc__


PROGRAM = """
import asyncio, sys
from oio.aio import AsyncObjectStorageApi, AsyncTransfer
from oio.transfer import Remote

loop = asyncio.new_event_loop()
loop.set_exception_handler(lambda *_: None)
seen = asyncio.Event()
api = AsyncObjectStorageApi(sys.argv[1], endpoint=sys.argv[2])
transfer = AsyncTransfer(api, on_result=lambda _: seen.set())
pairs = ((sys.argv[3], str(number)) for number in range(10 ** 9))
task = loop.create_task(transfer.upload_many(pairs, Remote("ACCOUNT", "CONTAINER")))
loop.run_until_complete(seen.wait())
if sys.argv[4] == "closed":
    loop.close()
print("left", flush=True)
"""


@pytest.mark.parametrize("loop", ["standing", "closed"])
def test_a_program_that_leaves_its_loop_ends(namespace: Namespace, files: Path, loop: str) -> None:
    command = [sys.executable, "-c", PROGRAM, namespace.name, namespace.endpoint, str(files / "a.txt"), loop]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "left\n"), ended.stderr
    assert "Traceback" not in ended.stderr.replace("Task was destroyed but it is pending", "")


FORKING = """
import asyncio, os, signal, sys, threading, warnings
from oio.aio import AsyncObjectStorageApi, AsyncTransfer
from oio.transfer import Remote

async def close_in_child(transfer):
    await asyncio.wait_for(transfer.aclose(), 20)

async def main():
    seen = asyncio.Event()
    async with AsyncObjectStorageApi(sys.argv[1], endpoint=sys.argv[2]) as api:
        async with AsyncTransfer(api, on_result=lambda _: seen.set()) as transfer:
            pairs = ((sys.argv[3], str(number)) for number in range(10 ** 9))
            moving = asyncio.ensure_future(transfer.upload_many(pairs, Remote("ACCOUNT", "CONTAINER")))
            await seen.wait()
            warnings.simplefilter("ignore", DeprecationWarning)
            (call,) = transfer._calls
            held, forked = threading.Event(), threading.Event()
            def hold():
                with call.job._place._condition:
                    held.set()
                    forked.wait()
            holder = threading.Thread(target=hold)
            holder.start()
            held.wait()
            pid = os.fork()
            if not pid:
                # A lock cannot be interrupted otherwise.
                signal.alarm(20)
                asyncio._set_running_loop(None)
                status = 1
                try:
                    asyncio.new_event_loop().run_until_complete(close_in_child(transfer))
                    status = 0
                finally:
                    os._exit(status)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            forked.set()
            holder.join()
            print(code, moving.done())
            moving.cancel()

asyncio.run(main())
"""


def test_a_child_waits_for_no_call_and_no_lock_of_its_parent(namespace: Namespace, files: Path) -> None:
    command = [sys.executable, "-c", FORKING, namespace.name, namespace.endpoint, str(files / "a.txt")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.stdout == "0 False\n", ended.stderr
