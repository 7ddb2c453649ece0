# SPDX-License-Identifier: Apache-2.0
"""A program that forks after it has used the client: parent and children go on with the same client."""

import logging
import os
import sys
import threading
import traceback
import warnings

from common import assert_nothing_left, check, epolls, make_api, round_trip, round_trips, sockets


def leave(stream, rest):
    stream.close()


def read_on(stream, rest):
    logging.getLogger("oio").setLevel(logging.ERROR)  # It is told that the parent's connection is not used.
    check(b"".join(stream) == rest)


def fork_while_reading(api, policy, act):
    """A child may do what it likes with the copy of a stream: its parent reads on."""
    data = os.urandom(16_000_000)
    api.object_create("acct", "forking", obj_name="large", data=data, policy=policy)
    _, stream = api.object_fetch("acct", "forking", "large")
    first = next(stream)
    child = os.fork()
    if child == 0:
        try:
            act(stream, data[len(first) :])
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    check(os.waitstatus_to_exitcode(status) == 0)
    check(first + b"".join(stream) == data)
    api.object_delete("acct", "forking", "large")


def fork_beside_a_thread(api):
    """The thread exists in the parent only, and all that it has set up."""
    ready, done = threading.Event(), threading.Event()

    def work():
        round_trip(api, "thread")
        ready.set()
        done.wait()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of what this is about.
        child = os.fork()
    if child == 0:
        try:
            check(epolls() <= 1, "the child has the hub of a thread that it does not have")
            round_trip(api, "child-of-threads")
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    done.set()
    thread.join()
    _, status = os.waitpid(child, 0)
    check(os.waitstatus_to_exitcode(status) == 0)


with make_api() as api:
    round_trips(api, "parent-first")
    kept = sockets()
    check(kept, "connections are kept")
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            try:
                round_trip(api, f"child-{number}")
                check(not set(kept) & set(sockets()), "the child still has sockets of its parent")
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
        round_trip(api, f"parent-{number}")
    for child in children:
        _, status = os.waitpid(child, 0)
        check(os.waitstatus_to_exitcode(status) == 0)
    round_trip(api, "parent-last")
    fork_while_reading(api, "SINGLE", leave)
    fork_while_reading(api, "THREECOPIES", read_on)
    fork_while_reading(api, "BACKBLAZE", leave)
    fork_while_reading(api, "BACKBLAZE", read_on)
    fork_beside_a_thread(api)
    # Nobody has closed what the parent keeps.
    check(set(kept) & set(sockets()), "the parent lost its connections")
assert_nothing_left()
print("OK")
sys.stdout.flush()
