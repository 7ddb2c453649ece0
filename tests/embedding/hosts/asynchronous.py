# SPDX-License-Identifier: Apache-2.0
"""An asyncio program that calls the client through ``asyncio.to_thread``."""

import asyncio

from common import make_api, round_trip, sockets


async def main():
    with make_api() as api:
        await asyncio.gather(*(asyncio.to_thread(round_trip, api, f"async-{number}") for number in range(20)))


asyncio.run(main())
assert not sockets(), sockets()
print("OK")
