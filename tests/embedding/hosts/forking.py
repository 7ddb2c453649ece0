# SPDX-License-Identifier: Apache-2.0
"""A program that forks after it has used the client: parent and children go on with the same client."""

import os
import sys
import traceback

from common import assert_nothing_left, make_api, round_trip, sockets

with make_api() as api:
    round_trip(api, "parent-first")
    kept = sockets()
    assert kept, "connections are kept"
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            try:
                for turn in range(3):
                    round_trip(api, f"child-{number}-{turn}")
                assert not set(kept) & set(sockets()), "the child still has sockets of its parent"
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
        round_trip(api, f"parent-{number}")
    for child in children:
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    round_trip(api, "parent-last")
    # Nobody has closed what the parent keeps.
    assert set(kept) & set(sockets()), "the parent lost its connections"
assert_nothing_left()
print("OK")
sys.stdout.flush()
