# SPDX-License-Identifier: Apache-2.0
"""Connections that are hedged: rivals of the chunk servers that cannot be connected to in time."""

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
    """Ask several chunk servers at once, and others when some are late: their connection, or its TLS.

    It ends when as many of them all have their requests as there are first ones, or when nobody is left to
    wait for. Those that are still late then are given up, without a request. Who has failed before is not
    late: nobody is asked in its place here, and nobody waits for that.

    :param ask: connects to one, and sends the request, in a green thread of its own and in time; gives the
        failure
    :param rivals: given a number, gives as many others at most, to be asked as well
    :returns: None for each that has its request, and the failures; those that were given up are missing
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
                # Once no other may be asked, no more are looked for.
                may_ask = bool(others)
    return outcomes
