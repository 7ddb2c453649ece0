# SPDX-License-Identifier: Apache-2.0
"""A gevent program that patches the standard library before it imports anything else."""

from gevent import monkey

monkey.patch_all()

import sys

PATCHED = {name: sys.modules[name] for name in ("_thread", "select", "socket", "ssl", "threading", "time")}

from common import check
from gevent_host import main

from oio.common import green


def strangers():
    """Modules that do not use the standard library as the program has patched it."""
    return {
        (module, name)
        for module, imported in list(sys.modules.items())
        if not module.startswith(("eventlet", "__original_module_", "gevent"))
        for name, patched in PATCHED.items()
        if type(found := vars(imported).get(name)) is type(sys) and found.__name__ == name
        if found is not patched
    }


check({name: sys.modules[name] for name in PATCHED} == PATCHED)
check(strangers() <= {("oio.common.green", name) for name in PATCHED}, strangers())
# Built over the TLS of gevent, it would fail.
check(green.create_ssl_context(verify=False).verify_mode == PATCHED["ssl"].CERT_NONE)
main()
