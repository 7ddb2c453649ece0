# SPDX-License-Identifier: Apache-2.0
"""An asyncio program with the client of event loops, which is left to a child process as well."""

import asyncio
import os
import warnings

from common import assert_nothing_left, check, endpoint, epolls, key_file, policy

from oio.aio import AsyncObjectStorageApi

BLOCKS = [bytes([number]) * 50_000 for number in range(6)]


async def source():
    for block in BLOCKS:
        await asyncio.sleep(0)
        yield block


async def endless():
    while True:
        yield b"more"
        await asyncio.sleep(0)


async def pass_through(api, name):
    target = "acct", "awaiting", name
    await api.object_create(*target[:2], obj_name=name, data=source(), policy=policy())
    _, stream = await api.object_fetch(*target)
    async with stream:
        check(b"".join([block async for block in stream]) == b"".join(BLOCKS))
    async with api.object_open(*target) as file:
        await file.seek(-3, 2)
        check(await file.read() == BLOCKS[-1][-3:])
    check(await api.object_delete(*target))


async def main(api):
    await asyncio.gather(*(pass_through(api, f"o{number}") for number in range(8)))
    late = asyncio.ensure_future(
        api.object_create("acct", "awaiting", obj_name="late", data=endless(), policy=policy())
    )
    await pass_through(api, "meanwhile")
    late.cancel()
    check(isinstance((await asyncio.gather(late, return_exceptions=True))[0], asyncio.CancelledError))
    check([obj async for obj in api.object_list_all("acct", "awaiting")] == [])


def in_child(api):
    async def run():
        await pass_through(api, "child")
        await api.aclose()

    # Python warns of threads, which are not needed there.
    warnings.simplefilter("ignore", DeprecationWarning)
    child = os.fork()
    if not child:
        status = 1
        try:
            asyncio.run(run())
            status = 0
        finally:
            os._exit(status)
    check(os.waitpid(child, 0)[1] == 0)


face = AsyncObjectStorageApi("OPENIO", endpoint=endpoint(), workers=4, key_file=key_file())
asyncio.run(main(face))
in_child(face)
asyncio.run(face.aclose())
assert_nothing_left()
check(epolls() == 0, epolls())
print("OK")
