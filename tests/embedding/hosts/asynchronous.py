# SPDX-License-Identifier: Apache-2.0
"""An asyncio program with the client of threads: no step of a call runs in the thread of the loop."""

import asyncio
import threading

from common import assert_nothing_left, check, make_api, policy, round_trip, sockets

BLOCKS = [bytes([number]) * 50_000 for number in range(6)]


class Turning(dict):
    """Figures of a call, each of which waits until the loop has had a turn: it must be free meanwhile."""

    def __init__(self, loop):
        self.loop = loop
        self.turns = 0

    def __setitem__(self, name, value):
        check(threading.current_thread() is not threading.main_thread(), "the loop is blocked")
        asyncio.run_coroutine_threadsafe(self.turn(), self.loop).result()
        super().__setitem__(name, value)

    async def turn(self):
        self.turns += 1


async def source():
    for block in BLOCKS:
        await asyncio.sleep(0)
        yield block


async def upload(api, name, source, **options):
    loop = asyncio.get_running_loop()

    async def following():
        return await anext(source, None)

    def blocks():
        while (block := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
            yield block

    return await asyncio.to_thread(
        api.object_create, "acct", "async", obj_name=name, data=blocks(), policy=policy(), **options
    )


async def blocks_of(api, name, **options):
    _, stream = await asyncio.to_thread(api.object_fetch, "acct", "async", name, **options)
    try:
        while (block := await asyncio.to_thread(next, stream, None)) is not None:
            yield block
    finally:
        await asyncio.to_thread(stream.close)


async def pass_through(api, name):
    loop = asyncio.get_running_loop()
    writing, reading = Turning(loop), Turning(loop)
    await upload(api, name, source(), perfdata=writing)
    found = [block async for block in blocks_of(api, name, perfdata=reading)]
    check(b"".join(found) == b"".join(BLOCKS))
    check(writing.turns and reading.turns)
    await asyncio.to_thread(api.object_delete, "acct", "async", name)


async def main():
    with make_api() as api:
        await asyncio.gather(*(asyncio.to_thread(round_trip, api, f"async-{number}") for number in range(8)))
        await asyncio.gather(*(pass_through(api, f"stream-{number}") for number in range(4)))


asyncio.run(main())
check(not sockets(), sockets())
assert_nothing_left()
print("OK")
