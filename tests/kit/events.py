# SPDX-License-Identifier: Apache-2.0
"""Listener of tests: it keeps what it is told, and tells whether all that has begun has ended."""

from __future__ import annotations

from collections.abc import Callable

from oio.common.events import BEGUN, ENDED, Event


class Heard:
    """All the events so far.

    :param then: called with each of them, after it is kept
    """

    def __init__(self, then: Callable[[Event], object] | None = None) -> None:
        self.events: list[Event] = []
        self._then = then

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if self._then is not None:
            self._then(event)

    def of(self, kind: str, operation: str | None = None) -> list[Event]:
        return [each for each in self.events if each.kind == kind and operation in (None, each.operation)]

    def ended(self) -> list[tuple[str, str]]:
        """Operation and outcome of the requests, as they have ended."""
        return [(event.operation, event.outcome) for event in self.of(ENDED)]

    def check_pairs(self) -> None:
        """Each request that has begun has ended, once and after that."""
        under_way: dict[int, Event] = {}
        for event in self.events:
            if event.kind == BEGUN:
                assert event.number not in under_way
                assert (event.seconds, event.outcome) == (0.0, "")
                under_way[event.number] = event
            elif event.kind == ENDED:
                begun = under_way.pop(event.number)
                names = ("reqid", "service", "address", "operation", "attempt", "begin", "chunk")
                assert [getattr(begun, name) for name in names] == [getattr(event, name) for name in names]
                assert event.outcome
                assert event.seconds >= 0
            else:
                assert event.number == 0
        assert not under_way
