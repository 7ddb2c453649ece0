# SPDX-License-Identifier: Apache-2.0
"""An asyncio program that awaits in the middle of synchronous code, in greenlets, as SQLAlchemy does."""

import asyncio
import sys
import threading

from common import assert_nothing_left, check, make_api, policy, round_trip
from greenlet import getcurrent, greenlet

errors = []


async def greenlet_spawn(function, *args):
    """Run synchronous code, and await for it what it hands out."""
    made = greenlet(function, getcurrent())
    result = made.switch(*args)
    while not made.dead:
        try:
            value = await result
        except BaseException:
            result = made.throw(*sys.exc_info())
        else:
            result = made.switch(value)
    return result


def await_only(awaitable):
    return getcurrent().parent.switch(awaitable)


async def block_of(data, start):
    await asyncio.sleep(0)
    return data[start : start + 50_000]


def blocks(data):
    for start in range(0, len(data), 50_000):
        yield await_only(block_of(data, start))


def synchronous(api, name):
    data = name.encode() * 20_000
    target = ("acct", "awaiting", name)
    api.object_create(*target[:2], obj_name=name, data=blocks(data), policy=policy())
    found = b""
    with api.object_fetch(*target)[1] as stream:
        for block in stream:
            found += block
            await_only(asyncio.sleep(0))
    check(found == data)
    api.object_delete(*target)
    round_trip(api, name)
    return name


async def main(api, label):
    names = [f"{label}-{number}" for number in range(6)]
    results = await asyncio.gather(*(greenlet_spawn(synchronous, api, name) for name in names))
    check(results == names, results)


def work(api, number):
    try:
        asyncio.run(main(api, f"thread-{number}"))
    except BaseException as err:
        errors.append(err)


with make_api() as api:
    asyncio.run(main(api, "main"))
    threads = [threading.Thread(target=work, args=(api, number)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
check(not errors, errors)
assert_nothing_left()
print("OK")
