# SPDX-License-Identifier: Apache-2.0
"""An eventlet program that patches the standard library between making the client and its first call."""

import sys

from common import check, make_api

api = make_api()
check("eventlet" not in sys.modules)

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import eventlet

eventlet.monkey_patch()

from green_host import main

main(api)
