# SPDX-License-Identifier: Apache-2.0
"""Calls that a fault keeps until their deadline, however busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from oio.sandbox import Fault, Namespace
from tests.kit.watchdog import watched

#: Seconds that a call is given to come to the fault, each after the other.
_PATIENCE = (0.5, 2.0, 10.0)

#: Faults that only a time limit ends.
_ENDLESS = {"stall", "drip", "commit-then-timeout"}


def growing_limits(action: str, *names: str) -> Iterator[dict[str, float]]:
    """Time limits to try a call with, each after the other, until no sound service was too slow for them.

    A fault that ends by itself leaves the library its own limits.

    :param action: what the fault does
    :param names: options that hold the limit
    """
    if action not in _ENDLESS:
        yield {}
        return
    for seconds in _PATIENCE:
        yield dict.fromkeys(names, seconds)


def kept_by(
    namespace: Namespace,
    *faults: Fault,
    call: Callable[[float], Any],
    came: Callable[[Any], bool] = lambda _result: True,
) -> Any:
    """Make a call that faults keep until its deadline; give its result, or what it raised.

    What comes before the fault takes more time on a busy machine. When the call did not come that far, it is
    made again with more.

    :param call: takes the deadline
    :param came: tells from the result whether the call came to the fault
    """
    for seconds in _PATIENCE:
        with namespace.faults(*faults) as plan:
            result = watched(lambda given=seconds: call(time.monotonic() + given))
        if came(result) and all(fault.bars_the_door or plan.hits(fault) for fault in faults):
            return result
    plan.assert_met()
    return result
