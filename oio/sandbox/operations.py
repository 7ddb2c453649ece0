# SPDX-License-Identifier: Apache-2.0
"""Names of the operations of each service, for faults."""

from __future__ import annotations

import difflib
from typing import Final

from oio.sandbox.account import regional
from oio.sandbox.account import service as account
from oio.sandbox.b2 import service as b2
from oio.sandbox.faults import METHODS, Fault
from oio.sandbox.http.values import is_hexadecimal
from oio.sandbox.proxy import administration
from oio.sandbox.proxy import service as proxy
from oio.sandbox.rdir import service as rdir

#: The operations of each kind of service: a :class:`Fault` may have any of them, or an HTTP method.
#: Requests for the chunks of a rawx are named by the method, or by the ID of a chunk.
OPERATIONS: Final = {
    "proxy": sorted({route for _, route in [*proxy.ROUTES, *administration.ROUTES]}),
    "account": sorted(
        {path.strip("/").removeprefix("v1.0/") for path in [*account.ROUTES, *regional.ROUTES]}
    ),
    "rdir": sorted({path.removeprefix("v1/") for path in rdir.ROUTES}),
    "rawx": ["info", "list", "stat"],
    "b2": b2.NAMES,
}


def check(fault: Fault) -> None:
    """Raise ValueError when the service of ``fault`` has no such operation."""
    if fault.operation is None or fault.operation in METHODS:
        return
    wanted, known = fault.operation.strip("/"), OPERATIONS[fault.service]
    if fault.service == "rawx" and is_hexadecimal(wanted):
        return
    # A fault may name more or less of the path.
    if not any(
        f"/{long}".endswith(f"/{end}") for name in known for long, end in ((wanted, name), (name, wanted))
    ):
        close = difflib.get_close_matches(wanted, [*known, *METHODS])
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ValueError(f"operation={fault.operation!r}: no operation of a {fault.service}{hint}")
