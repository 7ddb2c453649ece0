# SPDX-License-Identifier: Apache-2.0
"""The work of a gevent program: its greenlets share one client, and so do the threads of its pool."""

import os

import gevent
from common import check, make_api, policy, round_trip, sockets


def slow_blocks(name):
    """A source for which the program waits in gevent's way."""
    for _ in range(4):
        gevent.sleep(0)
        yield name.encode() * 10_000


def store(api, name):
    target = ("acct", "gevent", name)
    api.object_create(*target[:2], obj_name=name, data=slow_blocks(name), policy=policy())
    found = b""
    with api.object_fetch(*target)[1] as stream:
        for block in stream:
            found += block
            gevent.sleep(0)
    check(found == name.encode() * 40_000)
    api.object_delete(*target)
    round_trip(api, name)
    return name


def pipe_blocks(descriptor):
    while block := os.read(descriptor, 1 << 16):
        yield block


def main(made=None):
    with made or make_api() as api:
        round_trip(api, "outside")
        names = [f"greenlet-{number}" for number in range(4)]
        jobs = [gevent.spawn(store, api, name) for name in names]
        gevent.joinall(jobs, raise_error=True)
        check([job.value for job in jobs] == names)

        # A call in a thread of the pool leaves gevent's loop alone: it is a greenlet that gives the data.
        pool = gevent.get_hub().threadpool
        # More calls than it has threads.
        names = [f"pool-{number}" for number in range(12)]
        check(list(pool.map(lambda name: round_trip(api, name), names)) == [None] * 12)
        reader, writer = os.pipe()
        call = pool.spawn(
            api.object_create, "acct", "gevent", obj_name="o", data=pipe_blocks(reader), policy=policy()
        )
        for _ in range(3):
            gevent.sleep(0)
            os.write(writer, b"block")
        os.close(writer)
        check(call.get()[1] == 15)
        os.close(reader)
        api.object_delete("acct", "gevent", "o")
        pool.kill()
    check(not sockets(), sockets())
    print("OK")
