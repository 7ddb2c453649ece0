# SPDX-License-Identifier: Apache-2.0
"""Points of time as the services write them."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from functools import total_ordering

_LAST_SECOND = 31494784780800
"""Greater values are microseconds."""


@total_ordering
class Timestamp:
    """Seconds since the epoch.

    :param timestamp: seconds, or microseconds when greater than 31494784780800, as number or text;
        now by default.

    >>> Timestamp(1554086800000000).normal
    '1554086800.00000'
    >>> Timestamp("1554086800").isoformat
    '2019-04-01T02:46:40.000000'
    """

    def __init__(self, timestamp: float | str | Timestamp | None = None) -> None:
        seconds = time.time() if timestamp is None else float(timestamp)
        self.timestamp = seconds / 1e6 if seconds > _LAST_SECOND else seconds

    @property
    def normal(self) -> str:
        """Seconds with five decimals, padded so that the order of the texts is that of time."""
        return f"{self.timestamp:016.05f}"

    @property
    def isoformat(self) -> str:
        """Date and time in UTC, with microseconds."""
        date = datetime.fromtimestamp(self.timestamp, timezone.utc)
        return date.replace(tzinfo=None).isoformat(timespec="microseconds")

    def __repr__(self) -> str:
        return self.normal

    def __int__(self) -> int:
        return int(self.timestamp)

    def __float__(self) -> float:
        return self.timestamp

    def __bool__(self) -> bool:
        return bool(self.timestamp)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (Timestamp, float, int, str)):
            return self.timestamp == Timestamp(other).timestamp
        return NotImplemented

    def __lt__(self, other: object) -> bool:
        if isinstance(other, (Timestamp, float, int, str)):
            return self.timestamp < Timestamp(other).timestamp
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.timestamp)
