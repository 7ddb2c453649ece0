# SPDX-License-Identifier: Apache-2.0
"""A program that makes a client, and the first calls in a child process and in many threads at once."""

import os
import sys
import threading
import traceback

from common import assert_nothing_left, check, make_api, round_trip, round_trips

errors = []
AT_ONCE = 8


def work(api, number, ready):
    try:
        ready.wait()
        round_trip(api, f"first-{number}")
    except BaseException as err:
        errors.append(err)


with make_api() as api:
    check("urllib3" not in sys.modules, "making a client imports what requests need")
    check("eventlet" not in sys.modules, "making a client imports eventlet")
    child = os.fork()
    if child == 0:
        try:
            round_trips(api, "first-in-a-child")
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    check(os.waitstatus_to_exitcode(status) == 0)
    check(not {"eventlet", "urllib3"} & {*sys.modules}, "a fork imports what requests need")
    ready = threading.Barrier(AT_ONCE)
    threads = [threading.Thread(target=work, args=(api, number, ready)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not errors, errors)
    round_trip(api, "then-in-the-main-one")
assert_nothing_left()
print("OK")
