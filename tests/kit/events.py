# SPDX-License-Identifier: Apache-2.0
"""A listener that records events, and checks that each request that began has ended."""

from __future__ import annotations

from collections.abc import Callable

from oio.common.events import BEGUN, ENDED, Event


class Heard:
    """Listener that records all events.

    :param then: called with each event, after it is recorded
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
        """Operation and outcome of each request, in the order of their ends."""
        return [(event.operation, event.outcome) for event in self.of(ENDED)]

    def check_pairs(self) -> None:
        """Check that each request that began has ended, once, and after its beginning."""
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
