# SPDX-License-Identifier: Apache-2.0
"""The work of an eventlet program: many green threads share one client, and none blocks the others."""

import eventlet
from common import assert_nothing_left, check, make_api, round_trip

from oio.common import exceptions as exc


def main(made=None):
    ticks = 0

    def tick():
        nonlocal ticks
        while True:
            ticks += 1
            eventlet.sleep(0)

    ticker = eventlet.spawn(tick)
    with made or make_api() as api:
        pool = eventlet.GreenPool(8)
        for _ in pool.imap(lambda number: round_trip(api, f"green-{number}"), range(12)):
            pass
        check(ticks > 12, ticks)

        # A timeout of the host around a call is the host's to catch, and its alone.
        def slow():
            eventlet.sleep(60)
            yield b""

        mine = eventlet.Timeout(0.05)
        try:
            api.object_create("acct", "cont", obj_name="never", data=slow(), policy="SINGLE")
        except eventlet.Timeout as err:
            check(err is mine)
        else:
            raise AssertionError("the timeout of the host did not come out")
        finally:
            mine.cancel()
        try:
            api.object_fetch("acct", "cont", "never")
        except (exc.NoSuchObject, exc.NoSuchContainer):
            pass
        else:
            raise AssertionError("an interrupted upload made an object")
    ticker.kill()
    assert_nothing_left()
    print("OK")
