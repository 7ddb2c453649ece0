# SPDX-License-Identifier: Apache-2.0
"""Retry policy and back-off."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from oio.common import green
from oio.common.easy_value import int_value
from oio.common.exceptions import OioException, ServiceBusy
from oio.common.limits import Limits

_T = TypeVar("_T")

_LAST_BACKOFF = 6
"""Number of attempts after which pauses no longer grow."""


def _draw(below: int) -> int:
    return random.randrange(below)


def _sleep(seconds: float) -> None:
    green.adopt_thread()
    green.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Retry:
    """Which failures are worth another attempt, how many attempts are made, and the pauses between them.

    The pause before attempt ``n + 1`` is drawn from 0 to ``unit * (2 ** n - 1)`` seconds, so that clients
    refused together do not come back together, and a service in trouble is left alone for longer each time.

    :param attempts: how often a request is sent in all
    :param on: exceptions that are worth another attempt
    :param unit: step of the pauses (seconds); 0 for no pause
    :param draw: gives an integer below its argument, at random
    :param sleep: waits a number of seconds

    >>> Retry.of("3").attempts
    3
    """

    attempts: int = 1
    on: tuple[type[OioException], ...] = (ServiceBusy,)
    unit: float = 0.5
    draw: Callable[[int], int] = _draw
    sleep: Callable[[float], None] = _sleep

    @classmethod
    def of(cls, request_attempts: int | str | None) -> Retry:
        """Make the policy that the option ``request_attempts``, which may be text, stands for.

        :raises OioException: it is less than 1
        """
        return cls().times(request_attempts)

    def times(self, request_attempts: int | str | None) -> Retry:
        """The same policy, with this number of attempts; unchanged when it is None or an empty text.

        :raises OioException: it is less than 1
        """
        attempts = int_value(request_attempts, self.attempts)
        if attempts < 1:
            raise OioException(f"request_attempts must be at least 1, not {request_attempts!r}")
        return self if attempts == self.attempts else replace(self, attempts=attempts)

    def also_on(self, *errors: type[OioException]) -> Retry:
        """The same policy, for more kinds of failure."""
        return replace(self, on=(*self.on, *errors))

    def at_least(self, attempts: int) -> Retry:
        """The same policy, with no fewer attempts than this."""
        return replace(self, attempts=max(attempts, self.attempts))

    def pause(self, attempt: int) -> float:
        """Delay after failed attempt number `attempt`, in seconds."""
        return self.draw(2 ** min(attempt, _LAST_BACKOFF)) * self.unit if self.unit else 0.0


class Attempts:
    """Attempts at one operation.

    :param retry: the policy
    :param limits: its deadline ends the attempts

    >>> attempts = Attempts(Retry(attempts=2, unit=0), Limits())
    >>> attempts.again(ServiceBusy()), attempts.again(ServiceBusy())
    (True, False)
    """

    __slots__ = ("_limits", "_retry", "failed")

    def __init__(self, retry: Retry, limits: Limits) -> None:
        self._retry = retry
        self._limits = limits
        self.failed = 0

    def run(self, action: Callable[[], _T]) -> _T:
        """Do something until it succeeds.

        :raises OioException: the last failure, when it is final, or no attempt or time is left
        """
        while True:
            try:
                return action()
            except OioException as err:
                if not self.again(err):
                    raise

    def again(self, error: BaseException) -> bool:
        """Pause before the next attempt.

        :param error: why the last one failed
        :returns: False, at once, when the failure is final, or no attempt or time is left
        """
        self.failed += 1
        if self.failed >= self._retry.attempts or not isinstance(error, self._retry.on):
            return False
        delay, left = self._retry.pause(self.failed), self._limits.left()
        if left is not None and left <= delay:
            return False
        if delay:
            self._retry.sleep(delay)
        return True
