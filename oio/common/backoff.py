# SPDX-License-Identifier: Apache-2.0
"""The pause between two attempts at a request that a busy service has refused."""

from __future__ import annotations

import random
from typing import Any

from oio.common import green
from oio.common.deadlines import deadline_to_timeout
from oio.common.easy_value import int_value
from oio.common.exceptions import OioException

_LAST_BACKOFF = 6
"""Beyond this number of attempts, the time between two of them grows no more."""


def check_attempts(value: Any, default: int = 1) -> int:
    """Get how often a request may be sent in all, from an option that may be text.

    :raises OioException: it is less than once
    """
    attempts = int_value(value, default)
    if attempts < 1:
        raise OioException(f"request_attempts must be at least 1, not {value!r}")
    return attempts


def back_off(attempt: int, deadline: float | None = None) -> bool:
    """Pause before the next attempt, for a time that is longer on average after each of them.

    :param attempt: number of attempts so far
    :param deadline: monotonic seconds
    :returns: False, without a pause, when the deadline leaves no time for another attempt
    """
    delay = random.randrange(2 ** min(attempt, _LAST_BACKOFF)) * 0.5
    if deadline is not None and deadline_to_timeout(deadline) <= delay:
        return False
    if delay:
        green.adopt_thread()
        green.sleep(delay)
    return True
