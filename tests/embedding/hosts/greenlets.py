# SPDX-License-Identifier: Apache-2.0
"""A program with greenlets of its own, in several threads: each call ends where it began."""

import gc
import os
import threading
import traceback

from common import assert_nothing_left, check, epolls, make_api, round_trip
from greenlet import getcurrent, greenlet

errors = []


def in_greenlet(call, *args):
    above = getcurrent()

    def run():
        result = call(*args)
        check(getcurrent().parent is above)
        return result

    made = greenlet(run)
    result = made.switch()
    check(made.dead, "somebody else came back")
    return result


def fork(api):
    """A child of a greenlet has that greenlet only, and goes on in it."""
    child = os.fork()
    if child == 0:
        try:
            round_trip(api, "child-of-a-greenlet")
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    round_trip(api, "parent-of-a-child")
    _, status = os.waitpid(child, 0)
    check(os.waitstatus_to_exitcode(status) == 0)


def work(api, number):
    try:
        in_greenlet(round_trip, api, f"greenlet-{number}")
        in_greenlet(in_greenlet, round_trip, api, f"nested-{number}")
        round_trip(api, f"thread-{number}")
    except BaseException as err:
        errors.append(err)


with make_api() as api:
    # The very first call of the process is made in a greenlet.
    in_greenlet(round_trip, api, "first")
    round_trip(api, "second")
    in_greenlet(fork, api)
    threads = [threading.Thread(target=work, args=(api, number)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
check(not errors, errors)
gc.collect()
assert_nothing_left()
check(epolls() == 1, epolls())
print("OK")
