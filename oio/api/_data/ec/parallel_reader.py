# SPDX-License-Identifier: Apache-2.0
"""Parallel reader of fragments: k chunks of a metachunk at a time, and spares that may replace them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from oio.api._data.ec.sources import DamagedChunk, FragmentSource, Request
from oio.blob.connect import (
    CANDIDATES,
    in_turn,
    is_cut,
    seam_is_replaced,
    socket_of,
    stop_replacing,
    take_kept,
)
from oio.blob.events import note_failure, report_failure, report_other_chunk
from oio.blob.hedged import ask_with_rivals
from oio.blob.sender import SMALL
from oio.common import exceptions as exc
from oio.common import green
from oio.common.events import FAILED_OVER, HEDGED, RETRIED
from oio.common.hedging import CONNECTING_SECONDS, Hedging
from oio.common.http_eventlet import DeadConnection
from oio.common.interruptions import forget_frames
from oio.common.perfdata import add_duration, add_figure

if TYPE_CHECKING:
    from oio.api._data.ec.sources import ReadContext, SegmentPlan
    from oio.common.chunks import Chunk

_T = TypeVar("_T")
_LOGGER = logging.getLogger(__name__)

StepResult: TypeAlias = "tuple[int, bytes] | BaseException | None"
"""Result of a step of a source: an index and its fragment, a failure, or None for nothing yet."""


class ParallelReader:
    """The k chunks that are being read, and the spares that may replace them.

    Data fragments come first: when all are there, nothing needs decoding. At most one chunk of each index is
    read at a time; others of the same index are its spares (pitfall 54).

    :param chunks: those with a null score come last
    :param plan: fragments to read; None for whole chunks, until it is known
    :param suspects: addresses of servers that have just failed, whose chunks come last (pitfall 56); others
        are added to it
    :param ranged: False to ask for the whole chunks at first, without a range
    :raises ValueError: a chunk has no index
    """

    def __init__(
        self,
        chunks: Iterable[Chunk],
        context: ReadContext,
        plan: SegmentPlan | None = None,
        suspects: set[str] | None = None,
        ranged: bool = True,
    ) -> None:
        self.plan = plan
        self.spares = self._sorted(chunks, context.codec.k, suspects or (), context.options.rivals)
        self.active: list[FragmentSource] = []
        #: Failures of chunks: URL, HTTP status (0 for the network), reason.
        self.errors: list[tuple[str, int, BaseException]] = []
        #: URL of each chunk that gave an answer.
        self.used: list[str] = []
        #: Chunks that were cut off by the network, and may be tried once more after the others.
        self._second_tries: list[tuple[int, Chunk]] = []
        #: URL of each chunk whose kept connection turned out dead: others may be as well.
        self._dead: set[str] = set()
        self._k = self._wanted = context.codec.k
        self._context = context
        self._suspects = set() if suspects is None else suspects
        self._ranged = ranged

    @staticmethod
    def _sorted(
        chunks: Iterable[Chunk], k: int, suspects: Collection[str], hedging: Hedging | None
    ) -> list[tuple[int, Chunk]]:
        """Chunks with their indexes, those to read first at the front."""
        keyed = []
        for order, chunk in enumerate(chunks):
            index = chunk.index
            if index is None:
                raise ValueError(f"chunk {chunk.url}: the position {chunk.pos!r} has no index")
            is_last = (
                (chunk.score is not None and chunk.score <= 0)
                or (bool(suspects) and chunk.netloc in suspects)
                or (hedging is not None and hedging.knows_late and hedging.is_late(chunk.netloc))
            )
            keyed.append((is_last, index >= k, index, order, chunk))
        keyed.sort()
        return [(index, chunk) for _, _, index, _, chunk in keyed]

    # --- sources ---

    def _fill_up(self, segment: int) -> list[FragmentSource]:
        """Make active as many spares as are needed, to be read from this segment on."""
        added = self._activate(segment, self._wanted)
        for source in added if self.errors else ():
            report_other_chunk(self._context.options, FAILED_OVER, source.chunk)
        if self._second_tries and len(self.active) < self._wanted:
            self.spares += self._second_tries
            self._second_tries = []
            again = self._activate(segment, self._wanted)
            for source in again:
                kind = FAILED_OVER if source.attempt == 1 else RETRIED
                report_other_chunk(self._context.options, kind, source.chunk, source.attempt)
            added += again
        return added

    def _activate(self, segment: int, wanted: int) -> list[FragmentSource]:
        """Make spares active until so many sources are; returns the new ones."""
        added: list[FragmentSource] = []
        active = self.active
        if len(active) >= wanted:
            return added
        taken = {source.index for source in active}
        left = []
        for index, chunk in self.spares:
            if len(active) < wanted and index not in taken:
                taken.add(index)
                attempt = self._attempt(chunk) if self.errors else 1
                source = FragmentSource(chunk, self._context, index, segment, attempt)
                active.append(source)
                added.append(source)
            else:
                left.append((index, chunk))
        self.spares = left
        return added

    def _attempt(self, chunk: Chunk) -> int:
        """Number of times that a chunk was asked, the next one included."""
        return 1 + sum(url == chunk.url for url, _, _ in self.errors)

    def _request(self, segment: int) -> Request:
        """Request for chunks that are read from this segment on."""
        headers, plan = self._context.headers, self.plan
        if plan is None or (not self._ranged and segment == 0 and plan.chunk_offset == 0):
            return Request(headers, 0)
        first = plan.chunk_offset + sum(plan.sizes[:segment])
        # The last fragment may be shorter than that.
        last = plan.chunk_offset + len(plan.sizes) * plan.full_size - 1
        return Request({**headers, "Range": f"bytes={first}-{last}"}, first)

    def _read_from(
        self, sources: list[FragmentSource], segment: int, plan: SegmentPlan | None
    ) -> list[tuple[FragmentSource, StepResult]]:
        """Read a fragment from each of some sources.

        :param plan: None to connect only
        :returns: the result of each; rivals may have taken the places of those that were late
        :raises DeadlineReached: once all are done
        :raises ChecksumUnavailable: the same, when one cannot be verified for want of a package
        """
        fresh = [source for source in sources if not source.is_open]
        before = [source for source in sources if source.is_open]
        outcomes: dict[FragmentSource, StepResult] = dict.fromkeys(sources)
        due = 0.0
        # Fakes of applications see no request but those that they expect.
        may_hurry = plan is not None and len(fresh) == len(sources) and not seam_is_replaced()
        hedging = self._context.options.rivals if may_hurry else None
        if fresh:
            kept = self._take_kept(fresh)
            for source in fresh:
                # A new connection may take long to make.
                source.is_replaced = hedging is None
            if hedging is not None and not kept:
                self._ask_with_rivals(fresh, segment, outcomes, hedging)
            else:
                outcomes.update(zip(fresh, self._ask(fresh, self._request(segment), kept), strict=True))
            limits = self._context.options.limits
            due = limits.due(limits.read)
        asked = [source for source, outcome in outcomes.items() if outcome is None]
        if hedging is not None:
            asked = self._race(asked, segment, due, outcomes, hedging)
        if may_hurry and plan is not None and sum(plan.sizes) <= SMALL and self._context.sound is None:
            taken = self._take_small(asked, plan, due)
        else:
            taken = self._take(asked, plan)
        outcomes.update(zip(asked, taken, strict=True))
        self.used += [source.chunk.url for source in outcomes if source.is_open and source not in before]
        failures = [(source, err) for source, err in outcomes.items() if isinstance(err, BaseException)]
        for _, fatal in failures:
            if isinstance(fatal, (exc.DeadlineReached, exc.ChecksumUnavailable)):
                for source, err in failures:
                    note_failure(source.conn, err)
                raise fatal
        return list(outcomes.items())

    def _take_kept(self, sources: list[FragmentSource]) -> bool:
        """Take the kept connections for some sources; tells whether there is one for each."""
        trusted = [source for source in sources if source.chunk.url not in self._dead]
        kept = take_kept([source.chunk for source in trusted], self._context.options)
        for source, connection in zip(trusted, kept, strict=True):
            source.kept = connection
        return len(trusted) == len(sources) and all(kept)

    def _ask(self, fresh: list[FragmentSource], request: Request, kept: bool) -> list[StepResult]:
        """Send the requests of some sources: all servers have theirs before the first answer is awaited.

        :param kept: there is a kept connection for each
        """
        if not kept:
            return _at_once(fresh, FragmentSource.ask_in_time, request)
        limits = self._context.options.limits
        return in_turn(
            fresh,
            partial(FragmentSource.ask, request=request),
            lambda source: green.ConnectionTimeout(
                min(request.seconds, limits.connecting(source.chunk.address))
            ),
            FragmentSource.failed,
        )

    def _ask_with_rivals(
        self,
        fresh: list[FragmentSource],
        segment: int,
        outcomes: dict[FragmentSource, StepResult],
        hedging: Hedging,
    ) -> None:
        """Send the requests of some sources, and of spares when connections are late.

        :param outcomes: gets the failures, and the spares that have their requests; sources that are given up
            are removed from it
        """
        request, rivals = self._request(segment), []

        def activate_rivals(late: int) -> list[FragmentSource]:
            found = self._activate_rivals(late, segment, hedging)
            rivals.extend(found)
            return found

        asked = ask_with_rivals(fresh, lambda source: source.ask_in_time(request), activate_rivals, hedging)
        good = 0
        for source in [*fresh, *rivals]:
            has_ended, is_rival = source in asked, source in rivals
            if (error := asked.get(source)) is not None:
                if is_rival:
                    self.drop(source, error)
                else:
                    outcomes[source] = error
            elif has_ended and good < len(fresh):
                good += 1
                outcomes[source] = None
                stop_replacing(source.conn)
            else:
                # It is late, or enough others have their requests.
                if not (has_ended or is_rival):
                    hedging.note_late(source.netloc)
                outcomes.pop(source, None)
                self.release(source)

    def _race(
        self,
        asked: list[FragmentSource],
        segment: int,
        due: float,
        outcomes: dict[FragmentSource, StepResult],
        hedging: Hedging,
    ) -> list[FragmentSource]:
        """Ask spares as well when first bytes are late; the first sources that answer are used.

        :param due: time of the clock until which answers are waited for
        :param outcomes: gets the failures of sources that do not answer at all; others that are late leave it
        :returns: the sources that answer
        """
        clock = self._context.options.limits.clock
        waiting = {socket_of(source.conn): source for source in asked}
        if None in waiting:
            return asked
        answering: list[FragmentSource] = []
        times: list[float] = []
        rivals: list[FragmentSource] | None = None
        while waiting and len(answering) < len(asked):
            left, delay = max(0.0, due - clock()), hedging.delay
            ready = green.wait_any(waiting, left if rivals is not None else min(delay, left))
            for sock in ready:
                source = waiting.pop(sock)
                answering.append(source)
                times.append(time.monotonic() - source.begin)
            if not ready:
                if rivals is not None or delay >= left:
                    break
                rivals = self._rivals(len(waiting), segment, hedging)
                waiting.update((socket_of(rival.conn), rival) for rival in rivals)
        hedging.note_first_bytes(*times)
        for source in waiting.values():
            if len(answering) < len(asked):
                outcomes[source] = exc.OioTimeout("Chunk read timeout: no answer in time")
                continue
            if source in asked:
                hedging.note_late(source.netloc)
                del outcomes[source]
            self.release(source)
        return answering

    def _rivals(self, late: int, segment: int, hedging: Hedging) -> list[FragmentSource]:
        """Ask as many spares as servers are late, within the limits of hedging; returns those asked."""
        rivals = self._activate_rivals(late, segment, hedging)
        asked = []
        request = self._request(segment)._replace(seconds=CONNECTING_SECONDS)
        for rival, outcome in zip(rivals, self._ask(rivals, request, self._take_kept(rivals)), strict=True):
            if isinstance(outcome, green.ConnectionTimeout):
                # With all the time of a connection, it may still be of use.
                hedging.note_late(rival.netloc)
                self.release(rival)
            elif isinstance(outcome, BaseException):
                self.drop(rival, outcome)
            else:
                stop_replacing(rival.conn)
                asked.append(rival)
        return asked

    def _activate_rivals(self, late: int, segment: int, hedging: Hedging) -> list[FragmentSource]:
        """Make active as many spares as servers are late, within the limits of hedging."""
        allowed = 0
        # Fakes of applications see no request but those that they expect.
        if not seam_is_replaced():
            while allowed < min(late, len(self.spares)) and hedging.take():
                allowed += 1
        rivals = self._activate(segment, len(self.active) + allowed)
        for _ in range(allowed - len(rivals)):
            # The spares that are left have the fragments of those that are being read.
            hedging.give_back()
        perfdata = self._context.options.perfdata
        if rivals and perfdata is not None:
            add_figure(perfdata.setdefault("rawx", {}), "hedged", len(rivals))
        for rival in rivals:
            report_other_chunk(self._context.options, HEDGED, rival.chunk)
        return rivals

    def _take_small(self, asked: list[FragmentSource], plan: SegmentPlan, due: float) -> list[StepResult]:
        """Take fragments that fit in the buffers of sockets: all are on their way, one limit is enough."""
        limits = self._context.options.limits
        return in_turn(
            asked,
            partial(FragmentSource.take, plan=plan),
            lambda _source: green.ChunkReadTimeout(max(0.0, due - limits.clock())),
            FragmentSource.failed,
        )

    def _take(self, asked: list[FragmentSource], plan: SegmentPlan | None) -> list[StepResult]:
        """Take the fragments of servers that were asked; without a plan, only the heads of their answers."""
        taken: list[StepResult] = []
        # Servers that verify their files do so at the same time.
        if plan is not None and self._context.sound is None and not seam_is_replaced():
            # While one is read, the others go on sending, and no green threads are needed.
            for source in asked:
                try:
                    taken.append(source.take_next(plan))
                except CANDIDATES as err:
                    taken.append(source.failed(err))
                    # The others are not kept waiting for a second server that fails.
                    break
        return taken + _at_once(asked[len(taken) :], FragmentSource.take_in_time, plan)

    def connect(self) -> None:
        """Connect to enough chunks.

        :raises ServiceUnavailable: there are too few; or NotFound when all are gone
        """
        while added := self._fill_up(0):
            for source, outcome in self._read_from(added, 0, None):
                if isinstance(outcome, BaseException):
                    self.drop(source, outcome)
        if len(self.active) < self._k:
            raise self._too_few()

    def connect_all(self) -> None:
        """Connect to all the chunks; those that fail are left out."""
        waiting, self.spares = self.spares, []
        while waiting:
            sources = [FragmentSource(chunk, self._context, index, 0) for index, chunk in waiting]
            self.active += sources
            for source, outcome in self._read_from(sources, 0, None):
                if isinstance(outcome, BaseException):
                    self.drop(source, outcome)
            waiting, self._second_tries = self._second_tries, []

    def drop(self, source: FragmentSource, reason: BaseException) -> None:
        """Leave a source that failed, and remember why.

        :raises DeadlineReached: no time is left for another
        """
        status = reason.http_status if isinstance(reason, exc.StatusMessageException) else 0
        url, reqid = source.chunk.url, self._context.options.reqid
        if is_cut(reason) and all(url != known for known, _, _ in self.errors):
            self._second_tries.append((source.index, source.chunk))
        self.errors.append((url, status, reason))
        if not status:
            self._suspects.add(source.netloc)
        doing = f"{source.doing} {source.netloc}"
        note_failure(source.conn, reason)
        event = report_failure(
            self._context.options, "GET", source.chunk, reason, source.begin, source.attempt
        )
        text = "Failed %s, using a spare: %s: %s (reqid=%s)"
        _LOGGER.warning(text, doing, url, reason, reqid, extra=event.fields())
        forget_frames(reason)
        source.close()
        self.active.remove(source)
        left = self._context.options.limits.left()
        if left is not None and left <= 0:
            text = f"Deadline reached while {doing}: {reason}"
            raise exc.DeadlineReached(text, reqid=reqid, service=source.netloc)

    def release(self, source: FragmentSource) -> None:
        """Close a good source; it may be opened again."""
        source.close()
        self.active.remove(source)
        self.spares.append((source.index, source.chunk))

    def close(self) -> None:
        for source in self.active:
            source.close()

    # --- fragments ---

    def read_segment(self, segment: int, decode: Callable[[dict[int, bytes]], bytes]) -> bytes:
        """Apply a function to the fragments of a segment: index -> fragment.

        :param decode: it gets k fragments or more, and raises ECError to get one more
        :returns: its result
        :raises ServiceUnavailable: there are too few; or NotFound when all chunks are gone
        """
        fragments: dict[int, bytes] = {}
        perfdata = self._context.options.perfdata
        while True:
            if not self._fill_up(segment) and len(self.active) < self._k:
                raise self._too_few()
            self._read(segment, fragments)
            if len(self.active) < self._k:
                continue
            begin = time.monotonic()
            try:
                return decode(fragments)
            except exc.ECError as err:
                # Some sets of k fragments cannot be decoded; more of them can (pitfall 52).
                taken = {source.index for source in self.active}
                if all(index in taken for index, _ in self.spares):
                    raise self._too_few(err) from err
                self._wanted = len(self.active) + 1
            finally:
                if perfdata is not None:
                    add_duration(perfdata, "rawx", "ec", begin)

    def _read(self, segment: int, fragments: dict[int, bytes]) -> None:
        """Read a segment from the active sources that have not given theirs yet."""
        waiting = [source for source in self.active if source.segment == segment]
        for source, outcome in self._read_from(waiting, segment, self.plan):
            if isinstance(outcome, DeadConnection):
                self._dead.add(source.chunk.url)
                self.release(source)
                # It is the first of the spares: it is asked once more.
                self.spares.insert(0, self.spares.pop())
                continue
            if isinstance(outcome, BaseException):
                self.drop(source, outcome)
                continue
            assert outcome is not None
            if outcome[0] in fragments:
                self.drop(source, exc.CorruptedChunk(f"fragment {outcome[0]} was there already"))
            else:
                # A chunk in the place of another one is as good: fragments carry their index.
                fragments[outcome[0]] = outcome[1]

    def _too_few(self, error: Exception | None = None) -> exc.OioException:
        reasons = [f"{url}: {reason}" for url, _, reason in self.errors] + ([str(error)] if error else [])
        found = f"{len(self.active)}/{self._k}"
        text = (
            f"Not enough valid sources to read ({found}): {'; '.join(reasons) or 'there is no other chunk'}"
        )
        statuses = {status for _, status, _ in self.errors}
        # Chunks are only called lost when all that fail say so (pitfall 55).
        if statuses in ({404}, {416}):
            return exc.from_status(statuses.pop(), text)
        damaged = [isinstance(reason, DamagedChunk) for _, _, reason in self.errors]
        if any(damaged) and all(
            is_damaged or status == 404
            for is_damaged, (_, status, _) in zip(damaged, self.errors, strict=True)
        ):
            return exc.CorruptedChunk(text)
        return exc.ServiceUnavailable(text)


def _at_once(
    sources: list[FragmentSource], step: Callable[[FragmentSource, _T], StepResult], what: _T
) -> list[StepResult]:
    """Do a step with each source, in a green thread of its own."""
    with green.ContextPool(max(1, len(sources))) as pool:
        threads = [pool.spawn(step, source, what) for source in sources]
        return [thread.wait() for thread in threads]
