# SPDX-License-Identifier: Apache-2.0
"""Calls in greenlets of the host program, which the library does not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

from tests.kit.watchdog import watched


def in_greenlet(call: Callable[[], Any]) -> Any:
    """Run a call in its own greenlet and thread: if the greenlet does not return, the thread hangs.

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
    """Leave a greenlet of :func:`in_turns` until its next turn."""
    return getcurrent().parent.switch(value)


def in_turns(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls in turns: each runs until it ends or calls :func:`wait_outside`, until all have ended.

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
