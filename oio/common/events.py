# SPDX-License-Identifier: Apache-2.0
"""Events of requests, for listeners that follow the work of a client.

A listener is given as ``on_event``, to the client or to a call, and is called with each :class:`Event`. It
runs in the thread, or green thread, of the request, which waits for it: it must be quick, and must not wait
for anything. It may be called while it runs already, when an abandoned stream is collected.

An exception of the listener is logged, and changes nothing: no data are lost because a listener fails.
Exceptions of others pass through it: those of signal handlers, :class:`KeyboardInterrupt`, time limits of the
host.

>>> def show(event):
...     if event.kind == ENDED:
...         print(event.service, event.operation, event.outcome)
>>> watcher = Watcher(show, "an-ID")
>>> watcher.watch("rawx", "127.0.0.1:6010", "GET chunk").end(status=404)
rawx GET chunk HTTP 404
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

from oio.common.interruptions import reraise_interruption

__all__ = [
    "ABANDONED",
    "BEGUN",
    "CHUNK_FAILED",
    "ENDED",
    "FAILED_OVER",
    "HEDGED",
    "OK",
    "RETRIED",
    "UNUSABLE",
    "Event",
    "Listener",
    "Watch",
    "Watcher",
]

_LOGGER = logging.getLogger(__name__)

BEGUN = "begun"
"""A request is about to be sent."""
ENDED = "ended"
"""A request is over, whatever its outcome: each that has begun ends, once."""
RETRIED = "retried"
"""A request that failed is about to be sent again, to the same service."""
FAILED_OVER = "failed_over"
"""A request that failed is about to be sent to another service, at this address."""
HEDGED = "hedged"
"""A chunk server is late: another one, at this address, is asked too."""
CHUNK_FAILED = "chunk_failed"
"""A chunk could not be read, written, linked or deleted. Its request may have ended well before."""

OK = "ok"
"""Outcome of a request that was answered, and whose answer was read to its end."""
ABANDONED = "abandoned"
"""Outcome of a request that was given up before its end: it was late, or nobody wanted the rest."""
UNUSABLE = "unusable"
"""Outcome of a request whose answer cannot be used."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that has happened to a request.

    :param kind: :data:`BEGUN`, :data:`ENDED`, :data:`RETRIED`, :data:`FAILED_OVER`, :data:`HEDGED` or
        :data:`CHUNK_FAILED`; later releases may have more
    :param number: of the request in this process, the same at its beginning and its end; 0 for the other
        kinds
    :param reqid: request ID, the same for all requests of a call; empty without one, as for Backblaze
    :param service: ``proxy``, ``account-service``, ``rawx``, ``rdir`` or ``b2``
    :param address: ``host:port`` of the service
    :param operation: verb, and route without the parts that differ from one request to the next:
        ``GET content/locate``, ``PUT chunk``
    :param attempt: number of the attempt at this service, from 1; of a :data:`RETRIED`, the one to come.
        Requests to Backblaze are not counted: always 1 there
    :param begin: when the request began, or the event happened (seconds of :func:`time.monotonic`)
    :param seconds: since it began; of a chunk server, until the last byte was read
    :param sent: bytes of the body that was sent; of a chunk, of its data
    :param received: bytes of the body that was read
    :param outcome: :data:`OK`, ``HTTP 404`` and the like, :data:`ABANDONED`, :data:`UNUSABLE`, or the name
        of the class of an exception; empty before the end
    :param error: the failure, as text
    :param chunk: URL of the chunk, where there is one
    """

    kind: str
    number: int = 0
    reqid: str = ""
    service: str = ""
    address: str = ""
    operation: str = ""
    attempt: int = 1
    begin: float = 0.0
    seconds: float = 0.0
    sent: int = 0
    received: int = 0
    outcome: str = ""
    error: str = ""
    chunk: str = ""

    @property
    def bytes(self) -> int:
        """Bytes that were sent and received."""
        return self.sent + self.received

    def fields(self) -> dict[str, Any]:
        """The same as fields of log records, for ``extra``.

        >>> sorted(Event(kind=ENDED, reqid="an-ID", seconds=0.5).fields())[:3]
        ['oio_address', 'oio_attempt', 'oio_bytes']
        """
        return {
            "oio_event": self.kind,
            "oio_reqid": self.reqid,
            "oio_service": self.service,
            "oio_address": self.address,
            "oio_operation": self.operation,
            "oio_attempt": self.attempt,
            "oio_seconds": self.seconds,
            "oio_bytes": self.bytes,
            "oio_outcome": self.outcome,
            "oio_error": self.error,
            "oio_chunk": self.chunk,
        }


Listener: TypeAlias = Callable[[Event], object]
"""Is called with each event; its result is ignored.

One that has a method ``for_call(reqid)`` is asked, in the thread of the caller, for the listener of each
call of the object storage API; one that has ``headers_for_call()``, for headers of all its requests.
"""


def outcome_of(error: object) -> str:
    """Name the outcome of a request that has failed.

    >>> outcome_of(ConnectionResetError("peer")), outcome_of("HTTP 507"), outcome_of("wrong range")
    ('ConnectionResetError', 'HTTP 507', 'unusable')
    """
    if isinstance(error, BaseException):
        status = getattr(error, "http_status", None) or getattr(error, "status_code", None)
        return f"HTTP {status}" if isinstance(status, int) and status >= 400 else type(error).__name__
    text = str(error)
    return text[:8] if text.startswith("HTTP ") else UNUSABLE


def tell(listener: Listener, event: Event) -> None:
    """Call a listener; an exception of its own is logged."""
    try:
        listener(event)
    except Exception as err:
        reraise_interruption(err)
        _LOGGER.exception("The listener %r has failed", listener)


def for_call(listener: Listener, reqid: str) -> Listener:
    """The listener of one call."""
    make = getattr(listener, "for_call", None)
    if make is None:
        return listener
    made: Listener = make(reqid)
    return made


def headers_for_call(listener: Listener) -> Mapping[str, str]:
    """Headers that a listener adds to all requests of one call."""
    make = getattr(listener, "headers_for_call", None)
    return {} if make is None else make()


class Watcher(NamedTuple):
    """A listener, and the request ID of the call that it follows."""

    listener: Listener
    reqid: str = ""

    def watch(self, service: str, address: str, operation: str, attempt: int = 1, chunk: str = "") -> Watch:
        """Tell that a request begins."""
        begun = Event(
            kind=BEGUN,
            number=next(_numbers),
            reqid=self.reqid,
            service=service,
            address=address,
            operation=operation,
            attempt=attempt,
            begin=time.monotonic(),
            chunk=chunk,
        )
        watch = Watch(self.listener, begun)
        try:
            tell(self.listener, begun)
        except BaseException as err:  # A request that has begun ends.
            watch.end(err)
            raise
        return watch

    def tell(self, kind: str, **known: Any) -> None:
        """Tell of something that happens now, see :class:`Event`."""
        known.setdefault("begin", time.monotonic())
        tell(self.listener, Event(kind=kind, reqid=self.reqid, **known))


class Watch:
    """A request that a listener follows to its end."""

    __slots__ = ("_begun", "_left", "_pid", "error", "received", "sent")

    def __init__(self, listener: Listener, begun: Event) -> None:
        #: Gives the listener once: two threads may close a connection at the same moment.
        self._left = iter((listener,))
        self._begun = begun
        self._pid = os.getpid()
        #: Bytes of the bodies.
        self.sent = self.received = 0
        #: The failure: an exception, or text.
        self.error: object = None

    def end(self, error: object = None, *, status: int = 0, is_whole: bool = True) -> None:
        """Tell that it is over. Only the first time counts, in the process that has begun it.

        :param error: the failure, an exception or text, instead of :attr:`error`
        :param status: of the answer; 0 for none
        :param is_whole: the answer was read to its end
        """
        listener = next(self._left, None)
        if listener is None or self._pid != os.getpid():
            return
        error = self.error if error is None else error
        if status >= 400:
            outcome = f"HTTP {status}"
        elif error is not None:
            outcome = outcome_of(error)
        else:
            outcome = OK if is_whole else ABANDONED
        self.error = None
        text = "" if error is None else str(error) or type(error).__name__
        ended = replace(
            self._begun,
            kind=ENDED,
            seconds=time.monotonic() - self._begun.begin,
            sent=self.sent,
            received=self.received,
            outcome=outcome,
            error=text,
        )
        tell(listener, ended)
