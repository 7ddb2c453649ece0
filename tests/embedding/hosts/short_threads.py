# SPDX-License-Identifier: Apache-2.0
"""30 OS threads that live as long as one call, ten at a time: the hub of each goes with it."""

import gc
import threading

from common import assert_nothing_left, check, epolls, make_api, round_trip

errors = []


def work(api, number):
    try:
        round_trip(api, f"short-{number}", 3200)
    except BaseException as err:
        errors.append(err)


with make_api() as api:
    for wave in range(3):
        threads = [threading.Thread(target=work, args=(api, f"{wave}-{number}")) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(epolls() == 0, wave, epolls())
check(not errors, errors)
gc.collect()
assert_nothing_left()
print("OK")
