# SPDX-License-Identifier: Apache-2.0
"""Hedged requests: rivals of chunk servers that cannot be connected to, or do not answer, in time."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from oio.blob.connect import (
    CANDIDATES,
    OWN_THREAD_CANDIDATES,
    Connection,
    close_connection,
    connect,
    is_cut,
    reraise_foreign,
    stop_replacing,
)
from oio.blob.events import note_failure, report_failure, report_other_chunk
from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Chunk, ChunkDict
from oio.common.events import HEDGED
from oio.common.hedging import CONNECTING_SECONDS, Hedging
from oio.common.interruptions import forget_frames
from oio.common.options import Options, identify
from oio.common.perfdata import add_figure

_LOGGER = logging.getLogger(__name__)

_T = TypeVar("_T")


def ask_with_rivals(
    first: Sequence[_T],
    ask: Callable[[_T], BaseException | None],
    rivals: Callable[[int], Iterable[_T]],
    hedging: Hedging,
) -> dict[_T, BaseException | None]:
    """Ask several chunk servers at once, and rivals when a connection is late, or its TLS.

    It ends once as many servers have their requests as were asked at first, or when none is left to wait for.
    Those that are late by then are given up, without a request. A server that has failed is not late: it gets
    no rival here.

    :param ask: connects to a server in time, and sends the request; returns the failure. It runs in a green
        thread of its own
    :param rivals: given a number, returns so many rivals at most
    :returns: for each server, None when it has its request, else its failure; those given up are missing
    """
    outcomes: dict[_T, BaseException | None] = {}
    ended: Any = green.LightQueue()

    def run(one: _T) -> None:
        outcomes[one] = ask(one)
        ended.put_nowait(one)

    def good() -> int:
        return sum(outcome is None for outcome in outcomes.values())

    # Leaving the pool kills the green threads that still run, and closes what they had opened.
    with green.ContextPool() as pool:
        for one in first:
            pool.spawn(run, one)
        asked = wanted = len(first)
        may_ask = True
        while len(outcomes) < asked and good() < wanted:
            limit = green.ConnectionTimeout(hedging.delay if may_ask else None)
            try:
                with limit:
                    while len(outcomes) < asked and good() < wanted:
                        ended.get()
            except green.ConnectionTimeout as err:
                if err is not limit:
                    raise
                wanted = min(wanted, good() + asked - len(outcomes))
                late = wanted - good()
                others = list(rivals(late)) if late > 0 else []
                for one in others:
                    pool.spawn(run, one)
                asked += len(others)
                # Without more rivals, the others have all the time of their own limits.
                may_ask = bool(others)
    return outcomes


class _Asked:
    """Candidate that is asked, and its connection once it has the request."""

    def __init__(self, chunk: Chunk, attempt: int = 1, may_keep: bool = True) -> None:
        self.chunk = chunk
        self.attempt = attempt
        self.may_keep = may_keep
        self.begin = 0.0
        self.conn: Connection | None = None


class Rivals:
    """Candidates to read a chunk from: those that are left, and the failures of those that cannot serve.

    When the one that is asked is late, the next of them is asked too, as its rival.
    """

    logger = _LOGGER

    def __init__(
        self,
        chunks: Iterable[Chunk | ChunkDict] | None,
        headers: dict[str, Any],
        options: Options,
        suspects: set[str] | None = None,
    ) -> None:
        self.chunk_iter: Iterator[Chunk | ChunkDict] = iter(() if chunks is None else chunks)
        self.request_headers = headers
        self._options = options
        self._suspects = set() if suspects is None else suspects
        #: Candidates that were cut off by the network, and may be tried once more after the others.
        self._second_tries: list[Chunk] = []
        #: Failures of candidates: URL, HTTP status (0 for the network), reason.
        self.errors: list[tuple[str, int, object]] = []

    @property
    def reqid(self) -> str | None:
        """ID of the request; None when there is none."""
        return identify(self.request_headers)[0] or None

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
        forget_frames(reason)
        left = self._options.limits.left()
        if left is not None and left <= 0:
            text = f"Deadline reached while {doing}: {reason}"
            raise exc.DeadlineReached(text, reqid=self.reqid, service=chunk.netloc)

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

    def _race(self, chunk: Chunk, conn: Any, due: float, hedging: Hedging) -> tuple[Chunk, Connection]:
        """Ask a rival of a candidate whose first byte is late; the first of both that answers is used.

        :param conn: which is no fake
        :param due: end of the wait for either of them (monotonic seconds)
        :returns: the candidate that is used, and its connection
        """
        sock, found = conn.sock, self._rival(hedging)
        if found is None:
            return chunk, conn
        rival, other = found
        winner = conn
        try:
            begun = time.monotonic()
            ready = green.wait_any([sock, other.sock], due - begun)
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
            with green.ConnectionTimeout(min(CONNECTING_SECONDS, options.limits.connecting(chunk.address))):
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
