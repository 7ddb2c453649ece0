# SPDX-License-Identifier: Apache-2.0
"""Deadlines: points of the monotonic clock, in seconds, that whole operations must respect."""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping
from typing import Any

from oio.common.exceptions import DeadlineReached

CLEANING_TIMEOUT = 1.0
"""Seconds that the removal of what a failed call has stored may take after the caller's deadline."""


class SoftDeadline(float):
    """Deadline deduced from the read timeout of a call.

    It bounds one phase (a metachunk, the commit, the cleaning) and is renewed at the next one, whereas a
    plain ``float`` is the caller's: it bounds the whole call, and nobody may renew it.
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
    :param force: renew the deadline that an earlier call of this function has set. The deadline of the
        caller is never renewed.

    >>> kwargs = {"read_timeout": 5.0, "deadline": 1234.5}
    >>> set_deadline_from_read_timeout(kwargs, force=True)
    >>> kwargs["deadline"]
    1234.5
    """
    read_timeout = kwargs.get("read_timeout")
    if read_timeout is None or hard_deadline(kwargs) is not None:
        return
    if force or kwargs.get("deadline") is None:
        kwargs["deadline"] = SoftDeadline(timeout_to_deadline(float(read_timeout)))


def renewed_options(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the keyword arguments of a call, with a fresh deadline unless the caller has set one (row 27).

    >>> renewed_options({"deadline": 12.5, "read_timeout": 5.0})
    {'deadline': 12.5, 'read_timeout': 5.0}
    """
    options = dict(kwargs)
    set_deadline_from_read_timeout(options, force=True)
    return options


def hard_deadline(kwargs: Mapping[str, Any]) -> float | None:
    """Get the deadline that the caller has set for the whole call, if any.

    >>> hard_deadline({"deadline": 12.5}), hard_deadline({"deadline": SoftDeadline(12.5)})
    (12.5, None)
    """
    deadline = kwargs.get("deadline")
    return None if deadline is None or isinstance(deadline, SoftDeadline) else float(deadline)


def cleaning_options(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the keyword arguments of a call, for what must be done even after the caller's deadline."""
    options = renewed_options(kwargs)
    if hard_deadline(options) is not None:
        options["deadline"] = max(options["deadline"], monotonic_time() + CLEANING_TIMEOUT)
    return options
