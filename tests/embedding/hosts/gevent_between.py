# SPDX-License-Identifier: Apache-2.0
"""A gevent program that patches the standard library between making the client and its first call."""

import sys

from common import check, make_api

api = make_api()
check("eventlet" not in sys.modules)

from gevent import monkey

monkey.patch_all()

from gevent_host import main

main(api)
