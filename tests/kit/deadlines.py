# SPDX-License-Identifier: Apache-2.0
"""Calls that a fault holds up until their deadline, on busy machines too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from oio.sandbox import Fault, Namespace
from tests.kit.watchdog import watched

#: Time limits (seconds) to try in turn, until a call reaches the fault.
_PATIENCE = (0.5, 2.0, 10.0)

#: Faults that only a time limit ends.
_ENDLESS = {"stall", "drip", "commit-then-timeout"}


def growing_limits(action: str, *names: str) -> Iterator[dict[str, float]]:
    """Time limits to try in turn, until no healthy service is too slow for them.

    For a fault that ends by itself, the limits of the library apply.

    :param action: action of the fault
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
    """Make a call that faults hold up until its deadline; return its result, or the exception that it raised.

    On a busy machine, the steps before the fault take more time. If the call did not reach the fault, it is
    made again with a later deadline.

    :param call: takes the deadline
    :param came: whether, by its result, the call reached the fault
    """
    for seconds in _PATIENCE:
        with namespace.faults(*faults) as plan:
            result = watched(lambda given=seconds: call(time.monotonic() + given))
        if came(result) and all(fault.bars_the_door or plan.hits(fault) for fault in faults):
            return result
    plan.assert_met()
    return result
