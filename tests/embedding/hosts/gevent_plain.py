# SPDX-License-Identifier: Apache-2.0
"""A gevent program that leaves the standard library as it is."""

from gevent_host import main

main()
