# SPDX-License-Identifier: Apache-2.0
"""Candidates to read a chunk from: the search for one that can serve, and rivals of those that are late."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from oio.blob.connect import (
    CANDIDATES,
    OWN_THREAD_CANDIDATES,
    ChunkAnswer,
    Connection,
    close_connection,
    connect,
    is_cut,
    reraise_foreign,
    seam_is_replaced,
    served_range,
    stop_replacing,
)
from oio.blob.events import note_failure, report_failure, report_other_chunk
from oio.blob.hedged import ask_with_rivals
from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Chunk, ChunkDict, place_of
from oio.common.events import FAILED_OVER, HEDGED, RETRIED
from oio.common.hedging import CONNECTING_SECONDS, Hedging
from oio.common.http import ranges_from_http_header
from oio.common.http_eventlet import POOL, DeadConnection
from oio.common.options import Options, identify
from oio.common.perfdata import add_figure

_SERVED = (200, 206)
_GONE = 404


class _Asked:
    """Candidate that is asked, and its connection once it has the request."""

    def __init__(self, chunk: Chunk, attempt: int = 1, may_keep: bool = True) -> None:
        self.chunk = chunk
        self.attempt = attempt
        self.may_keep = may_keep
        self.begin = 0.0
        self.conn: Connection | None = None


class Candidates:
    """Search for a candidate that can serve, and record of the failures of the others."""

    logger: logging.Logger
    _exact: bool
    _check_head: Callable[[ChunkAnswer, Chunk], str | None] | None

    def _seek(
        self, chunks: Iterable[Chunk | ChunkDict] | None, headers: dict[str, Any], options: Options
    ) -> None:
        """Begin the search.

        :param chunks: the candidates
        :param headers: of the requests; their range follows the reading
        """
        self.chunk_iter = iter(() if chunks is None else chunks)
        self.request_headers = headers
        self._options = options
        self._netloc = ""
        #: When the candidate that is read was asked (monotonic seconds).
        self._begun = 0.0
        self._response: ChunkAnswer | None = None
        self._served: tuple[int, int | None, int | None] | None = None
        self._check_file: Callable[[Chunk], object] | None = None
        #: Gets the addresses of servers that fail.
        self._suspects: set[str] = set()
        #: Candidates that were cut off by the network, and may be tried once more after the others.
        self._second_tries: list[Chunk] = []
        #: Status of the last answer that could be used.
        self.status: int | None = None
        #: Failures of candidates: URL, HTTP status (0 for the network), reason.
        self.errors: list[tuple[str, int, object]] = []
        #: URL of each candidate that gave data.
        self.served: list[str] = []

    @property
    def reqid(self) -> str | None:
        """ID of the request; None when there is none."""
        return identify(self.request_headers)[0] or None

    def _asked_range(self) -> tuple[int, int] | None:
        """The closed range that is asked for, if any."""
        value = self.request_headers.get("Range")
        if not value:
            return None
        start, end = ranges_from_http_header(value)[0]
        return None if start is None or end is None else (start, end)

    def _attempt(self, chunk: Chunk) -> int:
        """Number of times that a candidate was asked, this one included."""
        return 1 + sum(url == chunk.url for url, _, _ in self.errors)

    def _failed(self, chunk: Chunk, status: int, reason: object, doing: str, begin: float) -> None:
        """Note why a candidate cannot be used.

        :param begin: when it was asked (monotonic seconds)
        :raises DeadlineReached: no time is left for another
        """
        if is_cut(reason) and all(url != chunk.url for url, _, _ in self.errors):
            self._second_tries.append(chunk)
        error = f"HTTP {status}: {reason}" if status and isinstance(reason, str) else reason
        attempt = self._attempt(chunk)
        event = report_failure(self._options, "GET", chunk, error, begin, attempt)
        self.errors.append((chunk.url, status, reason))
        if not status:
            self._suspects.add(chunk.netloc)
        text = "Failed %s: %s: %s (reqid=%s)"
        self.logger.warning(text, doing, chunk.url, reason, self.reqid, extra=event.fields())
        left = self._options.limits.left()
        if left is not None and left <= 0:
            text = f"Deadline reached while {doing}: {reason}"
            raise exc.DeadlineReached(text, reqid=self.reqid, service=chunk.netloc)

    def _open(self, chunk: Chunk, may_keep: bool = True) -> tuple[ChunkAnswer, Chunk] | None:
        """Ask a candidate for the data.

        :param may_keep: use a kept connection, if there is one: it may be dead
        :returns: the answer, and the candidate that gave it, which may be a rival; None for a failure, which
            is noted
        """
        options, limits = self._options, self._options.limits
        conn = source = None
        problem: object = None
        doing, usable = "connecting to", False
        # Fakes of applications see no request but those that they expect.
        hedging = None if seam_is_replaced() else options.rivals
        begin = self._begun = time.monotonic()
        try:
            if self._check_file is not None:
                hedging, doing = None, "verifying the file at"
                self._check_file(chunk)
                doing = "connecting to"
            asked = self._connect(chunk, hedging, may_keep)
            if asked is None:
                return None
            chunk, conn = asked
            doing = "waiting for"
            seconds = limits.reading(chunk.netloc)
            if hedging is not None:
                due = limits.clock() + seconds
                chunk, conn = self._race(chunk, conn, seconds, hedging)
                seconds = max(0.0, due - limits.clock())
            with green.ChunkReadTimeout(seconds):
                source = conn.getresponse()
            source.conn = conn
            if options.perfdata is not None:
                options.add_step("connect", chunk, begin)
            problem = self._problem(source, chunk)
            usable = problem is None
        except exc.DeadlineReached:
            raise
        except CANDIDATES as err:
            reraise_foreign(err, conn)
            problem = err
        finally:
            if conn is not None and not usable:
                if problem is not None and not isinstance(problem, DeadConnection):
                    note_failure(conn, problem)
                close_connection(conn, source, self.logger)
        if isinstance(problem, DeadConnection):
            # A new one may take long to make: it may have rivals.
            return self._open(chunk, may_keep=False)
        if problem is not None or source is None:
            self._failed(chunk, _status_of(problem, source), problem, f"{doing} {chunk.netloc}", begin)
            return None
        self._netloc = chunk.netloc
        self.status, self._response = source.status, source
        self.served.append(chunk.url)
        return source, chunk

    def _connect(
        self, chunk: Chunk, hedging: Hedging | None, may_keep: bool
    ) -> tuple[Chunk, Connection] | None:
        """Send a candidate the request.

        :param may_keep: see :meth:`_open`
        :returns: the candidate that has it, which may be a rival, and the connection; None when all that were
            asked have failed, which is noted
        """
        options, headers = self._options, self.request_headers
        attempt = self._attempt(chunk) if self.errors else 1
        scheme, netloc, _ = place_of(chunk.address)
        with green.ConnectionTimeout(options.limits.connecting(netloc)):
            if hedging is None:
                return chunk, connect(chunk, "GET", headers, options, attempt=attempt)
            kept = POOL.take((scheme, netloc, options.ssl_context)) if may_keep else None
            try:
                if kept is not None:
                    return chunk, connect(chunk, "GET", headers, options, b"", attempt, kept, False)
            except DeadConnection:
                pass  # A new one may take long to make.
        return self._connect_with_rivals(chunk, attempt, hedging)

    def _connect_with_rivals(
        self, chunk: Chunk, attempt: int, hedging: Hedging
    ) -> tuple[Chunk, Connection] | None:
        """Connect to a candidate, and to rivals when it is late; the first connection is used."""
        # No connection is kept for it, or those that are may be dead.
        asked = [_Asked(chunk, attempt, may_keep=False)]

        def rivals(_late: int) -> list[_Asked]:
            rival = self._next_rival(hedging)
            if rival is None:
                return []
            asked.append(_Asked(rival))
            return asked[-1:]

        found = used = None
        try:
            outcomes = ask_with_rivals(asked[:], self._ask, rivals, hedging)
            for one in asked:
                if one not in outcomes:
                    if found is None:
                        # A rival was quicker.
                        hedging.note_late(one.chunk.netloc)
                    # It may still be of use.
                    self._second_tries.append(one.chunk)
                elif (error := outcomes[one]) is not None:
                    if isinstance(error, exc.DeadlineReached):
                        raise error
                    self._failed(one.chunk, 0, error, f"connecting to {one.chunk.netloc}", one.begin)
                elif found is None:
                    found = one
                else:
                    self._second_tries.append(one.chunk)
            used = found
        finally:
            for one in asked:
                if one is not used and one.conn is not None:
                    close_connection(one.conn, None, self.logger)
        return None if used is None or used.conn is None else (used.chunk, used.conn)

    def _ask(self, one: _Asked) -> BaseException | None:
        """Send a candidate the request, in a green thread of ours; returns the failure."""
        options, netloc, headers = self._options, one.chunk.netloc, self.request_headers
        one.begin = time.monotonic()
        try:
            with green.ConnectionTimeout(options.limits.connecting(netloc)):
                one.conn = connect(
                    one.chunk, "GET", headers, options, b"", one.attempt, is_replaced=one.may_keep
                )
            stop_replacing(one.conn)
        except OWN_THREAD_CANDIDATES as err:
            reraise_foreign(err)
            return err
        return None

    def _race(self, chunk: Chunk, conn: Any, seconds: float, hedging: Hedging) -> tuple[Chunk, Connection]:
        """Ask a rival as well when the first byte is late; the first candidate that answers is used.

        :param conn: which is no fake
        :param seconds: to wait for either of them
        :returns: the candidate that is used, and its connection
        """
        sock, begin, delay = conn.sock, time.monotonic(), hedging.delay
        if green.wait_any([sock], min(delay, seconds)):
            hedging.note_first_bytes(time.monotonic() - begin)
            return chunk, conn
        # Without time for a rival, the first one has used up its limit, and fails.
        found = self._rival(hedging) if delay < seconds else None
        if found is None:
            return chunk, conn
        rival, other = found
        winner = conn
        try:
            begun = time.monotonic()
            ready = green.wait_any([sock, other.sock], seconds - (begun - begin))
            if ready and sock not in ready:
                hedging.note_first_bytes(time.monotonic() - begun)
                hedging.note_late(chunk.netloc)
                winner = other
                # It may still be of use.
                self._second_tries.append(chunk)
                return rival, other
            if ready:
                # The rival may still be needed if the first one fails later.
                self.chunk_iter = itertools.chain([rival], self.chunk_iter)
            else:
                reason = exc.OioTimeout("Chunk read timeout: no answer in time")
                note_failure(other, reason)
                self._failed(rival, 0, reason, f"waiting for {rival.netloc}", begun)
            return chunk, conn
        finally:
            close_connection(other if winner is conn else conn, None, self.logger)

    def _rival(self, hedging: Hedging) -> tuple[Chunk, Any] | None:
        """Ask the next candidate for the data, if it may be a rival."""
        chunk = self._next_rival(hedging)
        if chunk is None:
            return None
        options, begin = self._options, time.monotonic()
        try:
            with green.ConnectionTimeout(min(CONNECTING_SECONDS, options.limits.connecting(chunk.netloc))):
                conn = connect(chunk, "GET", self.request_headers, options)
            stop_replacing(conn)
            return chunk, conn
        except green.ConnectionTimeout:
            hedging.note_late(chunk.netloc)
            # With all the time of a connection, it may still be of use.
            self._second_tries.append(chunk)
        except CANDIDATES as err:
            reraise_foreign(err)
            self._failed(chunk, 0, err, f"connecting to {chunk.netloc}", begin)
        return None

    def _next_rival(self, hedging: Hedging) -> Chunk | None:
        """The next candidate, if it may be asked while another one is."""
        if not hedging.take():
            return None
        candidate = next(self.chunk_iter, None)
        if candidate is None:
            hedging.give_back()
            return None
        chunk, options = Chunk.of(candidate), self._options
        report_other_chunk(options, HEDGED, chunk)
        if options.perfdata is not None:
            add_figure(options.perfdata.setdefault("rawx", {}), "hedged", 1)
        return chunk

    def _problem(self, source: ChunkAnswer, chunk: Chunk) -> str | None:
        """Reason to refuse a response; None when it is the one that was asked for."""
        if source.status not in _SERVED:
            return exc.brief(getattr(source, "reason", "")) or "no reason"
        announced = source.getheader("Content-Length")
        try:
            start, end, _ = self._served = served_range(source)
            length = None if announced is None else int(announced)
            # Most often the same: then, nothing has to be parsed.
            is_asked = self.request_headers.get("Range") == f"bytes={start}-{end}"
            asked = None if is_asked else self._asked_range()
        except ValueError as err:
            return str(err)
        if asked is not None and (start != asked[0] or (self._exact and end != asked[1])):
            # Also a 200 with the whole chunk: a rawx ignores a range that it does not understand.
            return f"range {asked} was asked for, {(start, end)} came (HTTP {source.status})"
        if self._exact and length is not None and end is not None and length != end - start + 1:
            return f"{announced} bytes are announced for the range {(start, end)}"
        return None if self._check_head is None else self._check_head(source, chunk)

    def _get_source(self) -> tuple[Any, Any]:
        """Response of the next candidate that can serve, and that candidate; (None, None) without one."""
        while True:
            candidate = next(self.chunk_iter, None)
            if candidate is None:
                if not self._second_tries:
                    return None, None
                candidate = self._second_tries.pop(0)
            chunk = candidate if type(candidate) is Chunk else Chunk.of(candidate)
            if self.errors:
                attempt = self._attempt(chunk)
                report_other_chunk(self._options, FAILED_OVER if attempt == 1 else RETRIED, chunk, attempt)
            opened = self._open(chunk)
            if opened is not None:
                return opened

    def _no_source_left(self) -> exc.OioException:
        """Make the exception that tells why no candidate could serve."""
        statuses = {status for _, status, _ in self.errors}
        reasons = "; ".join(
            f"{url}: {reason} (HTTP {status})" if status else f"{url}: {reason}"
            for url, status, reason in self.errors
        )
        text = f"No source left: {reasons or 'there is no chunk to read'}"
        # Chunks that do not exist say nothing about the data.
        others = [reason for _, status, reason in self.errors if status != _GONE]
        if others and all(isinstance(reason, exc.CorruptedChunk) for reason in others):
            error: exc.OioException = exc.CorruptedChunk(text)
        elif len(statuses) == 1 and not self.served:
            error = exc.from_status(statuses.pop(), text)
        else:
            error = exc.ServiceUnavailable(text)
        error.reqid = self.reqid
        return error


def _status_of(problem: object, source: ChunkAnswer | None) -> int:
    """HTTP status of a refusal; 0 for other failures."""
    if isinstance(problem, exc.StatusMessageException):
        status: int = problem.http_status
        return status
    is_refused = isinstance(problem, str) and source is not None and source.status not in _SERVED
    return source.status if source is not None and is_refused else 0
