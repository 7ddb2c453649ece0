# SPDX-License-Identifier: Apache-2.0
"""Deadlines as the published functions take and give them: seconds of the monotonic clock."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any

from oio.common.exceptions import DeadlineReached


class SoftDeadline(float):
    """Deadline deduced from the read timeout of a call.

    It bounds one phase of the call and is renewed at the next one, whereas a plain ``float`` is the
    caller's: it bounds the whole call, and is never renewed.
    """

    __slots__ = ()


def monotonic_time() -> float:
    """Get the time of the clock that deadlines refer to, in seconds."""
    return time.monotonic()


def deadline_to_timeout(deadline: float, check: bool = False) -> float:
    """Get the time left before a deadline, in seconds; negative when it is past.

    :param check: refuse a deadline that is reached.
    :raises DeadlineReached: ``check`` is set and no time is left.
    """
    timeout = float(deadline) - monotonic_time()
    if check and timeout <= 0:
        raise DeadlineReached
    return timeout


def timeout_to_deadline(timeout: float, now: float | None = None) -> float:
    """Get the deadline of something that may take ``timeout`` seconds from now (or from ``now``).

    >>> timeout_to_deadline(2.5, now=10.0)
    12.5
    """
    return (monotonic_time() if now is None else now) + timeout


def set_deadline_from_read_timeout(kwargs: MutableMapping[str, Any], force: bool = False) -> None:
    """Give a deadline to the keyword arguments that have a ``read_timeout`` and none yet.

    :param kwargs: keyword arguments of a call, changed in place.
    :param force: replace a deadline that is there.

    >>> kwargs = {"read_timeout": 5.0, "deadline": 1234.5}
    >>> set_deadline_from_read_timeout(kwargs)
    >>> kwargs["deadline"]
    1234.5
    """
    read_timeout = kwargs.get("read_timeout")
    if read_timeout is not None and (force or kwargs.get("deadline") is None):
        kwargs["deadline"] = SoftDeadline(timeout_to_deadline(float(read_timeout)))
