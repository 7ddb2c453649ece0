# SPDX-License-Identifier: Apache-2.0
"""Limit of the bandwidth: a token bucket."""

from __future__ import annotations

import threading
from collections.abc import Callable

_SHARE = 8
"""A block has at most one eighth of the bytes of a second, so that no wait for tokens is long."""
_SMALLEST = 1024


class RateLimiter:
    """Bandwidth that several threads share.

    :param rate: bytes a second; None for no limit
    :param clock: monotonic clock, in seconds
    :param sleep: waits a number of seconds

    >>> waits = []
    >>> rate_limiter = RateLimiter(1000, clock=lambda: 0.0, sleep=waits.append)
    >>> rate_limiter.acquire(500), rate_limiter.acquire(500), waits
    (None, None, [0.5, 1.0])
    """

    def __init__(
        self, rate: int | None, clock: Callable[[], float], sleep: Callable[[float], object]
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = 0.0

    def block_size(self, size: int) -> int:
        """Size of the next block to read, so that no wait is long (bytes)."""
        if self._rate is None:
            return size
        return max(1, min(size, max(_SMALLEST, self._rate // _SHARE)))

    def acquire(self, count: int) -> None:
        """Wait until this many bytes may have been moved."""
        if self._rate is None or not count:
            return
        with self._lock:
            now = self._clock()
            # Bandwidth that nobody used is lost: no burst follows a rest.
            self._free_at = max(self._free_at, now) + count / self._rate
            wait = self._free_at - now
        self._sleep(wait)
