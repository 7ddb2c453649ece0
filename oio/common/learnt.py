# SPDX-License-Identifier: Apache-2.0
"""Memory of what services have shown of themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")

SECONDS = 300.0
"""How long it is kept: services may be replaced by others meanwhile."""


class Learnt(Generic[_T]):
    """What is known of each service, for a while. Threads may share it.

    :param seconds: how long it is kept
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

    def learn(self, service: Hashable, what: _T) -> None:
        """Remember something of a service, instead of what was known of it."""
        self._known[service] = self._clock() + self._seconds, what

    def get(self, service: Hashable) -> _T | None:
        """What is known of a service; None when that is nothing, or too old."""
        until, what = self._known.get(service, (0.0, None))
        return what if what is not None and self._clock() < until else None

    def forget(self, service: Hashable) -> None:
        """Forget what was known of a service."""
        self._known.pop(service, None)
