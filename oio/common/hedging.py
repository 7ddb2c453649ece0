# SPDX-License-Identifier: Apache-2.0
"""Hedging: when a chunk server is late, how often a rival may be asked, and which servers were late."""

from __future__ import annotations

import time
from collections.abc import Callable

from oio.common.ttl_cache import TTLCache

FIRST_DELAY = 0.5
"""Seconds until a first byte is late, as long as too little was measured."""
SHORTEST_DELAY, LONGEST_DELAY = 0.05, 2.0
"""Bounds of the measured delay, in seconds: a disk that has to seek is not late."""
DELAY_FACTOR = 4
"""A first byte is late after this many times the median, which rises only once half the servers are slow."""
SHARE = 0.1
"""Requests to rivals for each request: overloaded servers must not get twice the load."""
BURST = 10.0
"""Requests to rivals that may come at once."""
CONNECTING_SECONDS = 0.5
"""Seconds to connect to a rival; meanwhile, nobody looks for the late answer."""
LATE_SECONDS = 10.0
"""Seconds for which a server that was late is asked after the others."""
CONNECTING_AGAIN_SECONDS = 1.5
"""Seconds that a write gives to the connection of a server that was late, and that it can do without: a lost
SYN is sent again after one second."""
_SAMPLES = 64
_FEW, _MANY = 8, 32
"""Samples after which the delay follows them, and after which it may exceed the first one."""


class Hedging:
    """Delays of chunk servers, as a client has seen them. Threads may share it.

    Nothing is locked: when two of them come at the same moment, a sample is lost, or one more rival asked.

    :param clock: gives the time, in seconds

    >>> hedging = Hedging()
    >>> hedging.note_late("rawx-1:6010")
    >>> hedging.is_late("rawx-1:6010"), hedging.is_late("rawx-2:6010")
    (True, False)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        #: Seconds until a first byte is late.
        self.delay = FIRST_DELAY
        self._times: list[float] = []
        self._count = 0
        self._tokens = BURST
        self._late = TTLCache[bool](LATE_SECONDS, clock)
        #: Some server was late once.
        self.knows_late = False

    def note_first_bytes(self, *times: float) -> None:
        """Note how long servers have taken to begin their answers, in seconds."""
        before = self._count
        for seconds in times:
            if len(self._times) < _SAMPLES:
                self._times.append(seconds)
            else:
                self._times[self._count % _SAMPLES] = seconds
            self._count += 1
        self._tokens = min(BURST, self._tokens + SHARE * len(times))
        if self._count // _FEW > before // _FEW:
            usual = DELAY_FACTOR * sorted(self._times)[len(self._times) // 2]
            # Most of the first few may have come from the same slow server.
            longest = LONGEST_DELAY if self._count >= _MANY else FIRST_DELAY
            self.delay = min(max(usual, SHORTEST_DELAY), longest)

    def take(self) -> bool:
        """Take the right to ask a rival, if there is one left."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def give_back(self) -> None:
        """Give back a right that was of no use: there is no rival."""
        self._tokens += 1.0

    def note_late(self, netloc: str) -> None:
        """Remember for a while that a rival was quicker than this server, or that it could not be reached."""
        self.knows_late = True
        self._late.set(netloc, True)

    def is_late(self, netloc: str) -> bool:
        """Tell whether a server was late a while ago, and should be asked after the others."""
        return self.knows_late and bool(self._late.get(netloc))
