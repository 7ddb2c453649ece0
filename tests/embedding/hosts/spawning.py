# SPDX-License-Identifier: Apache-2.0
"""A program that gives its client to the processes that it spawns."""

import multiprocessing

from common import assert_nothing_left, check, make_api, round_trip, round_trips


def main():
    context = multiprocessing.get_context("spawn")
    with make_api() as api:
        round_trip(api, "parent-first")
        children = [context.Process(target=round_trips, args=(api, f"spawned-{n}")) for n in range(3)]
        for child in children:
            child.start()
        round_trip(api, "parent-meanwhile")
        for child in children:
            child.join()
            check(child.exitcode == 0, child.exitcode)
            child.close()
        round_trip(api, "parent-last")
    assert_nothing_left()
    print("OK")


if __name__ == "__main__":
    main()
