# SPDX-License-Identifier: Apache-2.0
"""Runs calls in greenlets that the library knows nothing of, as programs do that are built on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

from tests.kit.watchdog import watched


def in_greenlet(call: Callable[[], Any]) -> Any:
    """Run a call in a greenlet of its own, in a thread of its own: it would hang if it did not come back.

    :returns: its result, or the exception that it raised
    """

    def run() -> Any:
        outside = getcurrent()
        guest = greenlet(call)
        result = guest.switch()
        assert guest.dead, "somebody else came back"
        assert getcurrent() is outside
        return result

    return watched(run)


def wait_outside(value: object = None) -> Any:
    """Leave a greenlet of :func:`in_turns`, until it is its turn again."""
    return getcurrent().parent.switch(value)


def in_turns(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls at once: each runs until it ends or waits outside, then the next one; again until all ended.

    :returns: their results
    """
    running = {number: greenlet(call) for number, call in enumerate(calls)}
    results: dict[int, Any] = {}
    while running:
        for number, guest in list(running.items()):
            result = guest.switch()
            if guest.dead:
                results[number] = result
                del running[number]
    return [results[number] for number in range(len(calls))]
