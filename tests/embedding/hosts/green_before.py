# SPDX-License-Identifier: Apache-2.0
"""An eventlet program that patches the standard library before it imports the client."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import eventlet

eventlet.monkey_patch()

from green_host import main

main()
