# SPDX-License-Identifier: Apache-2.0
"""Attempts at requests to Backblaze B2, and the pauses between them."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oio.b2.errors import BackblazeException, is_transient
from oio.common import exceptions as exc
from oio.common.deadlines import deadline_to_timeout
from oio.common.events import RETRIED, Event, outcome_of, tell
from oio.common.retry import wait

if TYPE_CHECKING:
    from oio.b2.session import B2Limits

_NOT_POSTED = {
    "b2_authorize_account": "GET b2_authorize_account",
    "download": "GET file",
    "look": "HEAD file",
}
"""First word of the name of an operation -> its requests."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backoff:
    """Number of attempts at a request whose failures may pass, and the pauses between them.

    The pauses grow, unless the service says in ``Retry-After`` when to come back; after that, they start
    small again. The longer the service is in trouble, the longer it is left alone.

    :param attempts: how often a request is sent in all
    :param first: seconds of the first pause, doubled for each of the next ones
    :param longest: seconds of the longest pause
    :param jitter: share by which pauses are prolonged at random, so that clients refused together do not
        come back together
    :param patience: longest ``Retry-After`` (seconds) that is waited for; beyond it, the refusal is final
    :param sleep: waits a number of seconds
    :param draw: gives a number from 0 to 1 at random
    """

    attempts: int = 5
    first: float = 1.0
    longest: float = 64.0
    jitter: float = 0.5
    patience: float = 600.0
    sleep: Callable[[float], None] = wait
    draw: Callable[[], float] = random.random

    def pause(self, number: int) -> float:
        """Delay before retry `number`, from 0, in seconds.

        >>> [Backoff(draw=lambda: 0.0).pause(number) for number in (0, 1, 2, 9)]
        [1.0, 2.0, 4.0, 64.0]
        """
        return self._prolong(min(self.first * 2.0 ** min(number, 30), self.longest))

    def pause_asked(self, error: Exception) -> float | None:
        """Delay that an answer asks for, in seconds, a little prolonged; None when it asks for none."""
        headers = error.headers_received if isinstance(error, BackblazeException) else {}
        text = str(headers.get("retry-after", "")).strip()
        # B2 does not document the other form, a date.
        return self._prolong(float(text)) if text.isdecimal() else None

    def _prolong(self, seconds: float) -> float:
        return seconds * (1.0 + self.jitter * self.draw())


class Attempts:
    """Attempts at one operation.

    :param backoff: number of attempts, and pauses
    :param limits: their deadline, which no pause may reach, and their watcher, which is told of each attempt
        but the first
    """

    # Most succeed at once: they set nothing.
    failures = 0
    """Failed attempts since the beginning, or the last progress."""
    _pauses = 0
    _refused_by: str | None = None

    def __init__(self, backoff: Backoff, limits: B2Limits) -> None:
        self._backoff = backoff
        self._limits = limits

    def restart(self) -> None:
        """Forget the failures, after some progress."""
        self.failures = self._pauses = 0

    def failed(self, error: exc.OioException, what: str, *, at_once: bool = False) -> None:
        """Wait before the next attempt.

        :param error: why the last one failed
        :param what: name of the operation, for the log
        :param at_once: try again without a pause, unless the service asks for one: each attempt has an
            upload URL of its own
        :raises OioException: the error itself, when no attempt or time is left
        """
        self.failures += 1
        # Nothing listens there: a wrong address is not worth a long wait. That of an upload is one of many.
        is_fixed = isinstance(error, exc.OioConnectionException) and not at_once
        refused_by = error.service if is_fixed else None
        if refused_by is not None and refused_by == self._refused_by:
            raise error
        self._refused_by = refused_by
        asked = self._backoff.pause_asked(error)
        if asked is not None:
            self._pauses, seconds = 0, asked
        elif at_once and self.failures == 1:
            seconds = 0.0
        else:
            self._pauses, seconds = self._pauses + 1, self._backoff.pause(self._pauses)
        if self.failures >= self._backoff.attempts or seconds > self._longest_wait(asked):
            raise error
        watcher = self._limits.watcher
        event = Event(
            kind=RETRIED,
            reqid="" if watcher is None else watcher.reqid,
            service="b2",
            address=error.service or "",
            operation=_operation(what),
            attempt=self.failures + 1,
            begin=time.monotonic(),
            outcome=outcome_of(error),
            error=str(error),
        )
        text = "%s failed, next attempt in %.1f s: %s"
        _logger.warning(text, what, seconds, error, extra=event.fields())
        if seconds:
            self._backoff.sleep(seconds)
        if watcher is not None:
            tell(watcher.listener, event)

    def _longest_wait(self, asked: float | None) -> float:
        longest = float("inf") if asked is None else self._backoff.patience
        deadline = self._limits.deadline
        return longest if deadline is None else min(longest, deadline_to_timeout(deadline))


def _operation(what: str) -> str:
    """Name of the requests of an operation.

    :param what: name of the operation, in logs and exceptions

    >>> _operation("download of 'a file'"), _operation("b2_upload_part 3")
    ('GET file', 'POST b2_upload_part')
    """
    name = what.partition(" ")[0]
    return _NOT_POSTED.get(name) or f"POST {name}"


def repeat_transient(attempts: Attempts, error: exc.OioException, what: str) -> None:
    """Wait before the next attempt, if the failure may pass.

    :raises OioException: the error itself, when it is final, or no attempt or time is left
    """
    if not is_transient(error):
        raise error
    attempts.failed(error, what)
