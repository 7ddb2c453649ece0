# SPDX-License-Identifier: Apache-2.0
"""Hedged connections: rivals of chunk servers that cannot be connected to in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from oio.common import green
from oio.common.hedging import Hedging

_T = TypeVar("_T")


def ask_with_rivals(
    first: Sequence[_T],
    ask: Callable[[_T], BaseException | None],
    rivals: Callable[[int], Iterable[_T]],
    hedging: Hedging,
) -> dict[_T, BaseException | None]:
    """Ask several chunk servers at once, and rivals when a connection is late, or its TLS.

    It ends once as many servers have their requests as were asked at first, or when none is left to wait for.
    Those that are late by then are given up, without a request. A server that has failed is not late: it gets
    no rival here.

    :param ask: connects to a server in time, and sends the request; returns the failure. It runs in a green
        thread of its own
    :param rivals: given a number, returns so many rivals at most
    :returns: for each server, None when it has its request, else its failure; those given up are missing
    """
    outcomes: dict[_T, BaseException | None] = {}
    ended: Any = green.LightQueue()

    def run(one: _T) -> None:
        outcomes[one] = ask(one)
        ended.put_nowait(one)

    def good() -> int:
        return sum(outcome is None for outcome in outcomes.values())

    # Leaving the pool kills the green threads that still run, and closes what they had opened.
    with green.ContextPool() as pool:
        for one in first:
            pool.spawn(run, one)
        asked = wanted = len(first)
        may_ask = True
        while len(outcomes) < asked and good() < wanted:
            limit = green.ConnectionTimeout(hedging.delay if may_ask else None)
            try:
                with limit:
                    while len(outcomes) < asked and good() < wanted:
                        ended.get()
            except green.ConnectionTimeout as err:
                if err is not limit:
                    raise
                wanted = min(wanted, good() + asked - len(outcomes))
                late = wanted - good()
                others = list(rivals(late)) if late > 0 else []
                for one in others:
                    pool.spawn(run, one)
                asked += len(others)
                # Without more rivals, the others have all the time of their own limits.
                may_ask = bool(others)
    return outcomes
