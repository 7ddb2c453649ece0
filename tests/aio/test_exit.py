# SPDX-License-Identifier: Apache-2.0
"""Programs that end while an upload waits for their loop."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from oio.sandbox import Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, chunks_on_disk

COMMON = """
import asyncio, sys, threading
from oio.aio import AsyncObjectStorageApi

async def data(begun, go_on):
    yield b"x" * 300_000
    begun.set()
    await go_on
    yield b"end"

def api_of():
    return AsyncObjectStorageApi(sys.argv[1], endpoint=sys.argv[2])
"""
LEFT = """
loop = asyncio.new_event_loop()
loop.set_exception_handler(lambda *_: None)
begun = asyncio.Event()
source = data(begun, loop.create_future())
task = loop.create_task(api_of().object_create("ACCOUNT", "CONTAINER", obj_name="o", data=source))
loop.run_until_complete(begun.wait())
print("left", flush=True)
"""
RUNNING = """
known = threading.Event()

def work():
    async def main():
        async with api_of() as api:
            begun, go_on = asyncio.Event(), asyncio.get_running_loop().create_future()
            source = data(begun, go_on)
            upload = asyncio.ensure_future(
                api.object_create("ACCOUNT", "CONTAINER", obj_name="o", data=source))
            await begun.wait()
            known.set()
            # Longer than a loop may stand still in a program that ends.
            for _ in range(200):
                await asyncio.sleep(0.01)
            go_on.set_result(None)
            print((await upload)[1], flush=True)
    asyncio.run(main())

threading.Thread(target=work).start()
known.wait()
"""


def run(program: str, namespace: Namespace, path: Path) -> tuple[int, str, str]:
    source = (COMMON + program).replace("ACCOUNT", ACCOUNT).replace("CONTAINER", CONTAINER)
    (path / "program.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-X", "faulthandler", "-W", "error", str(path / "program.py")]
    program_of = subprocess.Popen(
        [*command, namespace.name, namespace.endpoint],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # Shorter than the pause of a source that fails the upload: only a program that hangs needs the limit.
        found = program_of.communicate(timeout=50)
    except subprocess.TimeoutExpired:
        # It tells where its threads are.
        program_of.send_signal(signal.SIGABRT)
        found = program_of.communicate()
    return program_of.returncode, *found


def test_a_program_that_leaves_its_loop_ends_and_leaves_no_chunk(
    namespace: Namespace, tmp_path: Path
) -> None:
    status, told, failures = run(LEFT, namespace, tmp_path)
    assert (status, told) == (0, "left\n"), failures
    assert chunks_on_disk(namespace) == []


def test_an_upload_whose_loop_still_runs_is_finished_when_the_main_thread_has_ended(
    namespace: Namespace, tmp_path: Path
) -> None:
    assert run(RUNNING, namespace, tmp_path) == (0, "300003\n", "")
    with namespace.api() as api:
        assert api.object_head(ACCOUNT, CONTAINER, "o")
