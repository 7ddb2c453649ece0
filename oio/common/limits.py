# SPDX-License-Identifier: Apache-2.0
"""Time limits: how long a call, its requests and its clean-up may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from oio.common import exceptions as exc
from oio.common.constants import CONNECTION_TIMEOUT, READ_TIMEOUT
from oio.common.deadlines import SoftDeadline

CHUNK_CONNECTION_TIMEOUT = 10.0
"""Seconds to connect to a chunk server."""
CHUNK_TIMEOUT = 60.0
"""Seconds for each block to or from a chunk server, and for its answer."""
SOURCE_TIMEOUT = 60.0
"""Seconds for each read of the source of an upload."""
CLEANING_TIMEOUT = 1.0
"""Seconds that the removal of what a failed call has stored may take after the caller's deadline."""


class RequestTimes(NamedTuple):
    """Limits of one request, in seconds: to connect, for each read, and in all."""

    connect: float
    read: float
    total: float


def _seconds(field: str, default: float, doing: str) -> Callable[..., float]:
    """Make a method that bounds one step of a transfer by its own limit and by the deadline."""

    def seconds(self: Limits, peer: str = "") -> float:
        explicit: float | None = getattr(self, field)
        if self.deadline is None:
            return default if explicit is None else explicit
        left = self.deadline - self.clock()
        if left <= 0:
            raise exc.DeadlineReached(f"Deadline reached before {doing} {peer}".rstrip())
        return left if explicit is None or explicit > left else explicit

    seconds.__doc__ = f"Seconds that {doing} a peer may take from now."
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
        return cls(
            None if connection_timeout is None else float(connection_timeout),
            None if read_timeout is None else float(read_timeout),
            None if write_timeout is None else float(write_timeout),
            None if deadline is None else float(deadline),
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
        """For what must be done even after the caller's deadline."""
        limits = self.renewed()
        if limits.deadline is None or limits.is_phase:
            return limits
        return replace(limits, deadline=max(limits.deadline, self.clock() + CLEANING_TIMEOUT))

    # --- seconds from now ---

    connecting = _seconds("connection", CHUNK_CONNECTION_TIMEOUT, "connecting to")
    writing = _seconds("write", CHUNK_TIMEOUT, "writing to")
    reading = _seconds("read", CHUNK_TIMEOUT, "reading from")
    reading_source = _seconds("read", SOURCE_TIMEOUT, "reading from the source")

    def left(self) -> float | None:
        """Seconds until the deadline, negative after it; None without a deadline."""
        return None if self.deadline is None else self.deadline - self.clock()

    def for_request(
        self, defaults: Limits, doing: str = "", reqid: str | None = None, service: str | None = None
    ) -> RequestTimes:
        """Limits of a request to the proxy or the account service.

        :param defaults: those of the client that sends it
        :param doing: what is about to be sent, for the exception
        :param reqid: ID of the request, for the exception
        :param service: ``host:port``, for the exception
        :raises DeadlineReached: no time is left
        """
        wanted = defaults.connection if self.connection is None else self.connection
        connect = CONNECTION_TIMEOUT if wanted is None else wanted
        explicit = defaults.read if self.read is None else self.read
        read = READ_TIMEOUT if explicit is None else explicit
        if self.deadline is None:
            return RequestTimes(connect, read, connect + read)
        left = self.deadline - self.clock()
        if left <= 0:
            raise exc.DeadlineReached(f"Deadline reached before {doing}", reqid=reqid, service=service)
        return RequestTimes(min(connect, left), left if explicit is None else min(read, left), left)

    def blame(self, err: exc.OioException, reqid: str | None = None) -> None:
        """Raise another exception for a failure after the deadline, which is its cause.

        :raises DeadlineReached: the deadline has passed
        """
        if self.deadline is not None and self.deadline <= self.clock():
            raise exc.DeadlineReached(f"Deadline reached: {err}", reqid=reqid, service=err.service) from err


NO_LIMITS = Limits()
"""The defaults of each kind of service, and no deadline."""
