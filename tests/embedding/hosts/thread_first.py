# SPDX-License-Identifier: Apache-2.0
"""A program that imports the library in a thread which it joins, as web servers do in their first request."""

import threading

from common import assert_nothing_left, check, make_api, round_trip, round_trips

errors = []


def work():
    try:
        with make_api() as api:
            round_trips(api, "first-in-a-thread")
    except BaseException as err:
        errors.append(err)


thread = threading.Thread(target=work, daemon=True)
thread.start()
# A thread of whose end nobody learns is waited for in vain: fail then.
thread.join(120)
check(not thread.is_alive(), "the thread has ended, and is waited for")
check(not errors, errors)
with make_api() as api:
    round_trip(api, "then-in-the-main-one")
assert_nothing_left()
print("OK")
