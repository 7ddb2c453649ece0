# SPDX-License-Identifier: Apache-2.0
"""Facts that clients have learnt about services, kept for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")

SECONDS = 300.0
"""How long a fact is kept: a service may be replaced meanwhile."""


class Learnt(Generic[_T]):
    """One fact about each service. Threads may share it.

    :param seconds: how long each is kept
    :param clock: tells the time (monotonic seconds)

    >>> known = Learnt[bool]()
    >>> known.learn("127.0.0.1:6000", True)
    >>> known.get("127.0.0.1:6000"), known.get("127.0.0.1:6001")
    (True, None)
    """

    def __init__(self, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        # Each entry is replaced as a whole, by one operation of the dict.
        self._known: dict[Hashable, tuple[float, _T]] = {}

    def learn(self, service: Hashable, fact: _T) -> None:
        """Remember the fact about a service, in place of an earlier one."""
        self._known[service] = self._clock() + self._seconds, fact

    def get(self, service: Hashable) -> _T | None:
        """The fact about a service; None when none is known, or it is too old."""
        until, fact = self._known.get(service, (0.0, None))
        return fact if fact is not None and self._clock() < until else None

    def forget(self, service: Hashable) -> None:
        """Forget the fact about a service."""
        self._known.pop(service, None)
