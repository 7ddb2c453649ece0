# SPDX-License-Identifier: Apache-2.0
"""Retry policy and back-off."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from oio.common import green, http_stack
from oio.common.arguments import WrongType, WrongValue, shorten, wrong_type
from oio.common.easy_value import int_value
from oio.common.exceptions import (
    OioException,
    OioNetworkException,
    OioProtocolError,
    ServiceBusy,
    StatusMessageException,
)
from oio.common.limits import Limits

_T = TypeVar("_T")

_LAST_BACKOFF = 6
"""Number of attempts after which pauses no longer grow."""


def _draw(below: int) -> int:
    return random.randrange(below)


def wait(seconds: float) -> None:
    """Let the current green thread wait, for some seconds."""
    green.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Retry:
    """Which failures are worth another attempt, how many attempts are made, and the pauses between them.

    A request that only reads can be sent again after any failure that may pass, whatever its verb. A request
    that changes something is sent again only when a service has refused it because it was busy, and only if
    a second one cannot do harm.

    The pause before attempt ``n + 1`` is drawn from 0 to ``unit * (2 ** n - 1)`` seconds, so that clients
    refused together do not come back together, and a service in trouble is left alone for longer each time.
    When the service says in ``Retry-After`` when to come back, the pause begins after that.

    No attempt begins after the deadline of the call or its ``read_timeout``, nor `patience` seconds after the
    first one: the failure is final at once when the pause would last longer.

    :param attempts: how often a request that only reads is sent in all
    :param changes: how often one that changes something is sent in all, if a second one is harmless
    :param on: exceptions that are worth another attempt at a read
    :param statuses: HTTP statuses that are worth another attempt at a read, besides these exceptions
    :param final: exceptions that are not, although they derive from those of `on`
    :param patience: seconds after the first attempt within which the others begin
    :param unit: step of the pauses (seconds); 0 for no pause but those that services ask for
    :param draw: gives an integer below its argument, at random
    :param sleep: waits a number of seconds
    :raises ValueError: a number is out of its range
    :raises TypeError: a value is of another type

    >>> Retry(attempts=5).for_changes().attempts
    1
    """

    attempts: int = 3
    changes: int = 1
    on: tuple[type[OioException], ...] = (ServiceBusy, OioNetworkException)
    statuses: tuple[int, ...] = (429, 502, 503, 504)
    final: tuple[type[OioException], ...] = (OioProtocolError,)
    patience: float = 60.0
    unit: float = 0.5
    draw: Callable[[int], int] = _draw
    sleep: Callable[[float], None] = wait

    def __post_init__(self) -> None:
        for name, lowest in (("attempts", 1), ("changes", 1), ("patience", 0), ("unit", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise wrong_type(name, "a number", value)
            if lowest and isinstance(value, float):
                raise WrongType(f"{name} must be a whole number: {value}")
            if not value >= lowest:
                raise WrongValue(f"{name} must be at least {lowest}: {shorten(value)}")
        if self.unit == math.inf:
            raise WrongValue(f"unit must be finite: {self.unit}")
        for name in ("on", "statuses", "final"):
            value = getattr(self, name)
            if not isinstance(value, tuple):
                raise wrong_type(name, "a tuple", value)

    def times(self, request_attempts: int | str | None) -> Retry:
        """The same policy, with this number of attempts, also at changes.

        :param request_attempts: may be text; None and an empty text change nothing
        :raises ValueError: it is less than 1, or no number
        """
        try:
            attempts = int_value(request_attempts, None)
        except (TypeError, ValueError, OverflowError):
            raise WrongValue(f"request_attempts must be a number, not {shorten(request_attempts)}") from None
        if attempts is None:
            return self
        if attempts < 1:
            raise WrongValue(f"request_attempts must be at least 1, not {shorten(request_attempts)}")
        return replace(self, attempts=attempts, changes=attempts)

    def at_least(self, attempts: int) -> Retry:
        """The same policy, with no fewer attempts than this."""
        return replace(self, attempts=max(attempts, self.attempts), changes=max(attempts, self.changes))

    def for_changes(self) -> Retry:
        """The policy of a request that changes something, and that may be sent again.

        After a failure of the network, nobody knows whether it was done.
        """
        return replace(self, attempts=self.changes, on=(ServiceBusy,), statuses=())

    def is_transient(self, error: BaseException) -> bool:
        """Tell whether a failure is worth another attempt."""
        if isinstance(error, self.on):
            return not (isinstance(error, self.final) or http_stack.is_untrusted(error))
        return isinstance(error, StatusMessageException) and error.http_status in self.statuses

    def pause(self, attempt: int, error: BaseException | None = None) -> float:
        """Delay after failed attempt number `attempt`, in seconds.

        :param error: why it failed
        """
        drawn = self.draw(2 ** min(attempt, _LAST_BACKOFF)) * self.unit if self.unit else 0.0
        return drawn + (getattr(error, "retry_after", None) or 0.0)


ONCE = Retry(attempts=1)
"""Every request is sent once."""


def check_retry(name: str, value: object) -> Retry | None:
    """Refuse a value that is no policy.

    :raises TypeError: it is something else
    """
    if value is None or isinstance(value, Retry):
        return value
    raise wrong_type(name, "an oio.common.retry.Retry", value)


def seconds_asked(retry_after: object) -> float | None:
    """Read a ``Retry-After`` header: seconds, or a date; None when it tells nothing.

    >>> seconds_asked("7"), seconds_asked("soon")
    (7.0, None)
    """
    # The headers of answers that applications' tests make up may be no text.
    text = retry_after.strip() if isinstance(retry_after, str) else ""
    if text.isascii() and text.isdigit():
        return float(text)
    if not text:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


class Attempts:
    """Attempts at one operation.

    :param retry: the policy
    :param limits: its deadline ends the attempts
    :param begin: when the first attempt began (seconds of the clock of the limits); now by default

    >>> attempts = Attempts(Retry(attempts=2, unit=0), Limits())
    >>> attempts.again(ServiceBusy()), attempts.again(ServiceBusy())
    (True, False)
    """

    __slots__ = ("_begin", "_limits", "_retry", "failed")

    def __init__(self, retry: Retry, limits: Limits, begin: float | None = None) -> None:
        self._retry = retry
        self._limits = limits
        self._begin = limits.clock() if begin is None else begin
        self.failed = 0

    def run(self, action: Callable[[], _T], note: Callable[[OioException], object] | None = None) -> _T:
        """Do something until it succeeds.

        :param note: is told of each failure after which it is done again
        :raises OioException: the last failure, when it is final, or no attempt or time is left
        """
        while True:
            try:
                return action()
            except OioException as err:
                if not self.again(err):
                    raise
                if note is not None:
                    note(err)

    def again(self, error: BaseException, *, at_once: bool = False) -> bool:
        """Pause before the next attempt.

        :param error: why the last one failed
        :param at_once: it goes to another service, which needs no pause
        :returns: False, at once, when the failure is final, or no attempt or time is left
        """
        self.failed += 1
        retry, limits = self._retry, self._limits
        if self.failed >= retry.attempts or not retry.is_transient(error):
            return False
        delay = 0.0 if at_once else retry.pause(self.failed, error)
        left = self._begin + retry.patience - limits.clock()
        if limits.deadline is not None:
            left = min(left, limits.deadline - limits.clock())
        if left <= delay:
            return False
        if delay:
            retry.sleep(delay)
        return True
