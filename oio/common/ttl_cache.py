# SPDX-License-Identifier: Apache-2.0
"""Cache whose values expire: what clients have found out about services."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")

DEFAULT_SECONDS = 300.0
"""How long a value is kept: a service may be replaced meanwhile."""


class TTLCache(Generic[_T]):
    """One value for each key, usually the address of a service. Threads may share it.

    :param seconds: how long each value is kept
    :param clock: tells the time (monotonic seconds)

    >>> cache = TTLCache[bool]()
    >>> cache.set("127.0.0.1:6000", True)
    >>> cache.get("127.0.0.1:6000"), cache.get("127.0.0.1:6001")
    (True, None)
    """

    def __init__(self, seconds: float = DEFAULT_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        # Each entry is replaced as a whole, by one operation of the dict.
        self._entries: dict[Hashable, tuple[float, _T]] = {}

    def set(self, key: Hashable, value: _T) -> None:
        """Keep a value, in place of an earlier one."""
        self._entries[key] = self._clock() + self._seconds, value

    def get(self, key: Hashable) -> _T | None:
        """The value of a key; None when there is none, or it has expired."""
        expiry, value = self._entries.get(key, (0.0, None))
        return value if value is not None and self._clock() < expiry else None

    def discard(self, key: Hashable) -> None:
        """Drop the value of a key, if there is one."""
        self._entries.pop(key, None)
