# SPDX-License-Identifier: Apache-2.0
"""An eventlet program that patches the standard library after it has imported, and used, the client."""

from common import make_api, round_trip

with make_api() as api:
    round_trip(api, "before-the-patch")

import eventlet

eventlet.monkey_patch()

with make_api() as api:
    round_trip(api, "after-the-patch")

from green_host import main

main()
