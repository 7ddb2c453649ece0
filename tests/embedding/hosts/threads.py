# SPDX-License-Identifier: Apache-2.0
"""16 OS threads that share one client."""

import gc
import threading

from common import assert_nothing_left, check, epolls, make_api, round_trip

errors = []


def work(api, number):
    try:
        round_trip(api, f"thread-{number}")
    except BaseException as err:
        errors.append(err)


with make_api() as api:
    threads = [threading.Thread(target=work, args=(api, number)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
check(not errors, errors)
gc.collect()
assert_nothing_left()
# Each thread had a hub of its own, which went with it.
check(epolls() == 0, epolls())
print("OK")
