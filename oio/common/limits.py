# SPDX-License-Identifier: Apache-2.0
"""Time limits: how long a call, its requests and its clean-up may take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from oio.common import exceptions as exc
from oio.common.arguments import WrongValue, shorten
from oio.common.constants import CONNECTION_TIMEOUT, READ_TIMEOUT
from oio.common.deadlines import SoftDeadline
from oio.common.easy_value import float_value

CHUNK_CONNECTION_TIMEOUT = 10.0
"""Seconds to connect to a chunk server."""
CHUNK_TIMEOUT = 60.0
"""Seconds for each block to or from a chunk server, and for its answer."""
SOURCE_TIMEOUT = 60.0
"""Seconds for each read of the source of an upload."""
CLEANING_TIMEOUT = 1.0
"""Seconds after the caller's deadline in which a failed call may remove the chunks that it has stored."""

LONGEST = 1e6
"""Seconds of the longest limit, eleven days: timers cannot count far beyond it."""


def check_seconds(name: str, value: Any, *, may_be_zero: bool = False) -> float | None:
    """Refuse a limit of time that makes no sense: it would break every timer.

    :param name: of the argument; ``deadline`` is a time rather than a duration
    :param value: number, or text
    :param may_be_zero: no time at all, which amounts to a deadline in the past
    :returns: the limit, or the longest that timers can count; None when there is none
    :raises ValueError: it is no number, or not positive

    >>> check_seconds("read_timeout", "1.5"), check_seconds("read_timeout", 1e30)
    (1.5, 1000000.0)
    """
    try:
        number = value if isinstance(value, float) else float_value(value, None)
    except (TypeError, ValueError, OverflowError) as err:
        raise WrongValue(f"{name} must be a number, not {shorten(value)}") from err
    if number is None:
        return None
    is_deadline = name == "deadline"
    if not math.isfinite(number) or (
        not is_deadline and (number < 0.0 or (number == 0.0 and not may_be_zero))
    ):
        raise WrongValue(f"{name} must be a positive number: {shorten(value)}")
    # Deadlines made by the published functions are floats of a class of their own.
    return number if is_deadline else min(number, LONGEST)


def _seconds(field: str, default: float, doing: str) -> Callable[..., float]:
    """Make a method that bounds one step of a transfer by its own limit and by the deadline."""

    def seconds(self: Limits, peer: str = "") -> float:
        explicit: float | None = getattr(self, field)
        if self.deadline is None:
            return default if explicit is None else explicit
        left = self.deadline - self.clock()
        if left <= 0:
            place = urlsplit(peer).netloc or peer
            raise exc.DeadlineReached(f"Deadline reached before {doing} {place}".rstrip())
        left = min(left, LONGEST)
        return left if explicit is None or explicit > left else explicit

    seconds.__doc__ = f"Seconds that {doing} a peer, given by its URL or its name, may take from now."
    return seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of a call; None stands for the default of each kind of service.

    :param connection: seconds for each connection
    :param read: seconds for each answer, and for each block that is read
    :param write: seconds for each block sent to a chunk server, and for its answer
    :param deadline: end of the call, or of its current phase (seconds of the clock)
    :param is_phase: the deadline was deduced from the read limit: the next phase gets a new one. The
        deadline of the caller is never renewed
    :param clock: gives the time, in seconds

    >>> Limits(read=5.0, deadline=12.0, clock=lambda: 10.0).reading("rawx-1")
    2.0
    """

    connection: float | None = None
    read: float | None = None
    write: float | None = None
    deadline: float | None = None
    is_phase: bool = False
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def of(
        cls,
        connection_timeout: float | str | None = None,
        read_timeout: float | str | None = None,
        write_timeout: float | str | None = None,
        deadline: float | str | None = None,
    ) -> Limits:
        """Make limits of the keywords of the published API, which may be text."""
        if connection_timeout is None and read_timeout is None and write_timeout is None and deadline is None:
            return NO_LIMITS
        return cls(
            check_seconds("connection_timeout", connection_timeout),
            check_seconds("read_timeout", read_timeout, may_be_zero=True),
            check_seconds("write_timeout", write_timeout),
            check_seconds("deadline", deadline),
            type(deadline) is SoftDeadline,
        )

    @property
    def hard_deadline(self) -> float | None:
        """The deadline that the caller has set for the whole call, if any."""
        return None if self.is_phase else self.deadline

    # --- the same, for another part of the call ---

    def renewed(self) -> Limits:
        """For the next phase: a metachunk, a page, the commit (pitfall 27)."""
        if self.read is None or not (self.is_phase or self.deadline is None):
            return self
        return replace(self, deadline=self.clock() + self.read, is_phase=True)

    def per_request(self) -> Limits:
        """For a transfer of any length, each request of which has its own limit."""
        return replace(self, deadline=None, is_phase=False) if self.is_phase else self

    def for_cleaning(self) -> Limits:
        """For the clean-up, which must be done even after the caller's deadline."""
        limits = self.renewed()
        if limits.deadline is None or limits.is_phase:
            return limits
        return replace(limits, deadline=max(limits.deadline, self.clock() + CLEANING_TIMEOUT))

    def at_most(self, seconds: float) -> Limits:
        """For a step that is not worth more seconds than these."""
        end = self.clock() + seconds
        if self.hard_deadline is not None:
            end = min(end, self.hard_deadline)
        return replace(self, deadline=end, is_phase=False)

    # --- seconds from now ---

    connecting = _seconds("connection", CHUNK_CONNECTION_TIMEOUT, "connecting to")
    writing = _seconds("write", CHUNK_TIMEOUT, "writing to")
    reading = _seconds("read", CHUNK_TIMEOUT, "reading from")
    reading_source = _seconds("read", SOURCE_TIMEOUT, "reading from the source")

    def left(self) -> float | None:
        """Seconds until the deadline, negative after it; None without a deadline."""
        return None if self.deadline is None else self.deadline - self.clock()

    def share(self, seconds: float) -> float:
        """These seconds for servers that are late, or half of what is left of the call when that is less.

        The call has to commit what the others have stored.
        """
        if self.deadline is None:
            return seconds
        return min(seconds, max(0.0, (self.deadline - self.clock()) / 2))

    def due(self, explicit: float | None) -> float:
        """Time of the clock until which a chunk server is waited for, after a request that was just sent.

        This may be a deadline that has passed meanwhile: an answer that has arrived by then is still read.

        :param explicit: limit of the call for such an answer (seconds): :attr:`write` or :attr:`read`
        """
        due = self.clock() + (CHUNK_TIMEOUT if explicit is None else explicit)
        if self.deadline is None:
            return due
        return self.deadline if explicit is None else min(due, self.deadline)

    def for_request(
        self, defaults: Limits, method: str = "", url: str = "", reqid: str | None = None
    ) -> tuple[float, float, float]:
        """Limits of a request to the proxy or the account service.

        :param defaults: those of the client that sends it
        :param method: of the request, for the exception
        :param url: of the request, for the exception
        :param reqid: ID of the request, for the exception
        :returns: seconds to connect, for each read, and in all
        :raises DeadlineReached: no time is left
        """
        wanted = defaults.connection if self.connection is None else self.connection
        connect = CONNECTION_TIMEOUT if wanted is None else wanted
        explicit = defaults.read if self.read is None else self.read
        read = READ_TIMEOUT if explicit is None else explicit
        if self.deadline is None:
            return connect, read, connect + read
        left = self.deadline - self.clock()
        if left <= 0:
            parts = urlsplit(url)
            text = f"Deadline reached before {method} {parts.path}"
            raise exc.DeadlineReached(text, reqid=reqid, service=parts.netloc)
        left = min(left, LONGEST)
        return min(connect, left), left if explicit is None else min(read, left), left

    def raise_if_late(self, err: exc.OioException, reqid: str | None = None) -> None:
        """Raise `DeadlineReached` for a failure that came after the deadline, as its cause.

        :raises DeadlineReached: the deadline has passed
        """
        if self.deadline is not None and self.deadline <= self.clock():
            raise exc.DeadlineReached(f"Deadline reached: {err}", reqid=reqid, service=err.service) from err


NO_LIMITS = Limits()
"""The defaults of each kind of service, and no deadline."""
