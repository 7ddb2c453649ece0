# SPDX-License-Identifier: Apache-2.0
"""A patched server that makes a client, uses it, and forks workers: all go on with the same client."""

import os
import sys
import traceback
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import eventlet
    import eventlet.hubs

eventlet.monkey_patch()

from common import assert_nothing_left, check, make_api, policy, round_trip, sockets

WORKERS, AT_ONCE = 2, 4


def serve(api, name):
    """Several requests at a time, each in a green thread."""
    pool = eventlet.GreenPool(AT_ONCE)
    for _ in pool.imap(lambda number: round_trip(api, f"{name}-{number}"), range(2 * AT_ONCE)):
        pass


def work(api, kept, number):
    # As servers do: a hub that is shared gives each process the events of the other.
    eventlet.hubs.use_hub()
    serve(api, f"worker-{number}")
    check(not kept & set(sockets()), "a worker still has idle sockets of its parent")


def fork(*work_of_child):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Eventlet's own.
        child = os.fork()
    if child == 0:
        try:
            work(*work_of_child)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def wait_for(child):
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        eventlet.sleep(0.01)
    check(os.waitstatus_to_exitcode(ended[1]) == 0)


with make_api() as api:
    serve(api, "before")
    # Forked in the middle of a read, and from a green thread.
    data = os.urandom(8_000_000)
    api.object_create("acct", "green-forking", obj_name="large", data=data, policy=policy())
    _, stream = api.object_fetch("acct", "green-forking", "large")
    first = next(stream)
    children = [eventlet.spawn(fork, api, set(), number).wait() for number in range(WORKERS)]
    serve(api, "beside")
    check(first + b"".join(stream) == data)
    for child in children:
        wait_for(child)
    # A worker that has ended is replaced.
    kept = set(sockets())
    check(kept, "connections are kept")
    child = fork(api, kept, WORKERS)
    serve(api, "after")
    wait_for(child)
    check(kept & set(sockets()), "the parent lost its connections")
    api.object_delete("acct", "green-forking", "large")
assert_nothing_left()
print("OK")
sys.stdout.flush()
