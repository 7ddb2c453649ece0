# SPDX-License-Identifier: Apache-2.0
"""Writer of a metachunk to all of its chunk servers at once."""

from __future__ import annotations

import abc
import collections
import time
from collections.abc import Callable, Collection, Iterator, Set
from typing import TYPE_CHECKING, Any

from oio.blob.connect import CANDIDATES, in_turn, reraise_foreign, seam_is_replaced, socket_of, take_kept
from oio.blob.quorum import check_quorum
from oio.blob.sender import SMALL, ChunkSender
from oio.common import exceptions as exc
from oio.common import green
from oio.common.checksums import algorithm_of
from oio.common.chunks import Outcome
from oio.common.constants import MD5
from oio.common.http import headers_from_object_metadata
from oio.common.memory import keep_memory_of_blocks
from oio.common.perfdata import add_duration
from oio.common.storage_method import written_chunk_method

if TYPE_CHECKING:
    from oio.api._data.metachunks import UploadRequest
    from oio.api._data.source import Source
    from oio.common.answers import JsonMapping
    from oio.common.checksums import Checksum
    from oio.common.hedging import Hedging
    from oio.common.options import Options

FIRST_BLOCK, LARGEST_BLOCK = 32768, 1 << 20
"""Bytes of the reads of a source: few at first, for a quick start, then more."""
_QUICK = 1.0
"""Seconds that a read of a source may take before the next one is smaller: servers wait meanwhile."""

GRACE_FACTOR = 3
"""Least grace of a server that is late, as a multiple of the time that the quorum took."""
CONNECTING_GRACE = 0.1
"""Least grace, in seconds, for servers that a write has not connected to yet when it has a quorum."""


def described_chunk(meta: JsonMapping, options: Options) -> dict[str, object]:
    """Headers that the chunks of an object are stored with, along with those of the caller.

    :param meta: description of the object
    """
    method = written_chunk_method(str(meta["chunk_method"]), options.checksum_algo)
    return {**headers_from_object_metadata({**meta, "chunk_method": method}), **options.headers}


class QuorumTimer:
    """Time limit of the wait for the answers to a write, which begins at the end of the data.

    It is the write limit, until a quorum has stored its chunks, or so many servers have failed that there can
    be none. The others then get the grace of the call, or more when the answers so far took long: a disk that
    is busy is no reason to lose a copy.

    :param quorum: number of chunks that must be stored
    """

    def __init__(self, quorum: int, options: Options) -> None:
        self._limits = limits = options.limits
        self._write_grace = options.write_grace
        self._missing = quorum
        self._begin = limits.clock()
        #: Time of the clock at which it ends.
        self.end = limits.due(limits.write)
        #: Event that the grace begins with.
        self._decided_by = "the quorum"
        #: Seconds of the grace, once it counts.
        self.grace: float | None = None

    def note_stored(self, *, has_own_limits: bool = False) -> None:
        """Count a chunk that is stored.

        :param has_own_limits: some of the others have begun later, within limits of their own
        """
        self._missing -= 1
        if self._missing == 0:
            if has_own_limits:
                self.renew()
            else:
                self._allow_grace()

    def note_lost(self) -> None:
        """Note that there can be no quorum any more: the other answers can only tell more of the reason."""
        if self._missing > 0:
            self._missing, self._decided_by = 0, "the failure of others"
            self.renew()

    def renew(self) -> None:
        """Begin the grace anew, for servers that took data meanwhile: they are slow, but do not hang."""
        self.end = self._limits.due(self._limits.write)
        self._allow_grace()

    def _allow_grace(self) -> None:
        if self._missing <= 0 and self._write_grace is not None:
            now = self._limits.clock()
            self.grace = self._limits.share(max(self._write_grace, GRACE_FACTOR * (now - self._begin)))
            self.end = min(self.end, now + self.grace)

    def timeout_reason(self) -> str:
        """Reason for the failure of a server that is late."""
        if self.grace is None:
            return f"Chunk write timeout {self.end - self._begin:.3g} seconds"
        return f"Chunk write timeout {self.grace:.3g} seconds after {self._decided_by}"

    def left(self) -> float:
        """Seconds from now; at their end, answers that have arrived still count."""
        return max(0.0, self.end - self._limits.clock())


class ParallelWriter(abc.ABC):
    """Base of the writers that send to all chunk servers of a metachunk at once.

    :param request: task of the writer
    """

    def __init__(self, request: UploadRequest) -> None:
        self._request = request
        self._options = request.options
        self._failures: list[ChunkSender] = []
        self._first_block = FIRST_BLOCK
        #: Failures that leave a quorum.
        self._tolerated = len(request.chunks) - request.quorum
        self._current: list[ChunkSender] = []
        #: Senders that run in green threads, and so need a turn now and then.
        self._running: list[ChunkSender] = []
        #: What became of each chunk, see :class:`~oio.api._data.metachunks.MetachunkWriter`.
        self.outcomes: list[Outcome] = []

    @abc.abstractmethod
    def _senders(self, left: int | None) -> list[ChunkSender]:
        """Make the senders of the chunks.

        :param left: bytes that the source has, when they lie in memory; the chunks may get fewer
        """

    @abc.abstractmethod
    def _transfer(self, source: Source, size: int | None, senders: list[ChunkSender]) -> tuple[int, str]:
        """Send the data, and the end of each body.

        :returns: number of bytes, and their checksum (hexadecimal; empty when none was computed)
        """

    def write(self, source: Source, size: int | None) -> tuple[int, str]:
        """Write at most `size` bytes of a source, or all of it.

        :returns: number of bytes, and their checksum (hexadecimal; empty when none was computed)
        :raises oio.common.exceptions.OioException: too few chunks are stored,
            see :func:`~oio.blob.quorum.check_quorum`
        """
        begin = time.monotonic()
        left = source.left_in_memory()
        # Bytes in memory need no quick start, and fewer blocks cost less.
        self._first_block = FIRST_BLOCK if left is None else LARGEST_BLOCK
        senders = self._current = self._senders(left)
        hedging = self._options.hedging
        if hedging is not None and hedging.knows_late:
            self._mark_expendable(senders, hedging)
        transferred: int | None = None
        checksum = ""
        try:
            if left is not None and left <= SMALL and not seam_is_replaced():
                # Fakes of applications have no sockets to wait for.
                count, checksum = self._send_whole(source, size, senders)
            else:
                count, checksum = self._send_in_blocks(source, size, senders)
            if self._options.checksum_algo not in {None, MD5}:
                self._check_algorithm(senders, self._options.checksum_algo)
            if not checksum:
                checksum = _trusted(senders)
            for sender in senders:
                if not sender.has_stored():
                    sender.refuse_hash()
            transferred = count
        finally:
            self.outcomes = []
            for sender in senders:
                # Its functions refer to the other senders: only the garbage collector would free them.
                sender.others_are_enough = sender.is_expendable = bool
                sender.close()
                known = transferred if sender.error is None else None
                self.outcomes.append(sender.outcome(known, checksum or sender.received_hash))
            if self._options.perfdata is not None:
                add_duration(self._options.perfdata, "rawx", "overall", begin)
        self._check()
        return transferred, checksum

    def _send_in_blocks(
        self, source: Source, size: int | None, senders: list[ChunkSender]
    ) -> tuple[int, str]:
        """Send blocks as the source gives them, each server in a green thread."""

        def enough() -> bool:
            return sum(map(ChunkSender.has_taken_all, senders)) >= self._request.quorum

        # Leaving the pool kills the green threads that still run; only then are connections closed.
        with green.ContextPool(max(1, len(senders))) as pool:
            done = _started(pool, senders, ChunkSender.run)
            self._running = senders
            ready = green.LightQueue()
            for sender in senders:
                sender.others_are_enough = enough
                sender.ready = ready
            # Before the first byte is taken from the source.
            self._wait_for_connections(senders, ready)
            count, checksum = self._transfer(source, size, senders)
            self._wait_for(senders, done)
        return count, checksum

    def _mark_expendable(self, senders: list[ChunkSender], hedging: Hedging) -> None:
        """Give less time to connect to servers that were late before, as long as the others are a quorum."""
        late = [sender for sender in senders if hedging.is_late(sender.chunk.netloc)]
        others = [sender for sender in senders if sender not in late]

        def are_enough() -> bool:
            return sum(sender.error is None for sender in others) >= self._request.quorum

        if self._options.write_grace is not None:
            for sender in late:
                sender.is_expendable = are_enough

    def _wait_for_connections(self, senders: list[ChunkSender], ready: Any) -> None:
        """Wait until a quorum is connected to, and a moment for the others, unless they were late before.

        :param ready: queue that gets an item for each connection that is made or has failed
        :raises OioException: there can be no quorum
        """
        begin = time.monotonic()
        end: float | None = None
        while True:
            self._check()
            missing = [sender for sender in senders if sender.error is None and not sender.is_connected]
            if len(senders) - len(self._failures) - len(missing) < self._request.quorum:
                left = None
            elif all(sender.is_expendable() for sender in missing):
                return
            else:
                now = time.monotonic()
                if end is None:
                    # A source that blocks the whole thread would keep them from connecting.
                    grace = max(CONNECTING_GRACE, GRACE_FACTOR * (now - begin))
                    end = now + self._options.limits.share(grace)
                left = max(0.0, end - now)
            try:
                with green.ConnectionTimeout(left):
                    ready.get()
            except green.ConnectionTimeout:
                return

    def _wait_for(
        self,
        senders: list[ChunkSender],
        done: Any,
        timer: QuorumTimer | None = None,
        sent: Set[ChunkSender] = frozenset(),
    ) -> None:
        """Wait for the answers to the bodies that are queued, and give up the servers that are late.

        :param done: queue that gets each sender whose green thread has ended
        :param timer: time limit that has begun already; None for a new one
        :param sent: senders that it counts for before there is a quorum; the others have their own limits
        """
        timer = timer or QuorumTimer(self._request.quorum, self._options)
        has_own_limits = len(sent) < len(senders)
        running = dict.fromkeys(senders)
        while running:
            limit = timer.end, timer.grace
            counts = {s: s.progress for s in running if timer.grace is not None or s in sent}
            try:
                with green.ChunkWriteTimeout(timer.left() if counts else None):
                    while running and (timer.end, timer.grace) == limit:
                        sender = done.get()
                        del running[sender]
                        if counts:  # Who takes nothing from here on hangs.
                            counts = {s: s.progress for s in counts if s in running}
                        is_stored = self._note(sender, timer, has_own_limits=has_own_limits)
                        if not is_stored and (sender.is_unreached or _have_nothing(running)):
                            # The others cannot tell more of the reason.
                            self._check()
            except green.ChunkWriteTimeout:
                for sender, before in counts.items():
                    if sender.progress == before and not sender.thread.dead:
                        sender.leave("resp", timer.timeout_reason())
                timer.renew()

    def _send_whole(self, source: Source, size: int | None, senders: list[ChunkSender]) -> tuple[int, str]:
        """Send a small body to each server in one write, without green threads where connections are kept."""
        # Servers with a kept connection have the whole body before the first answer is waited for.
        for sender in senders:
            sender.whole = []
        count, checksum = self._transfer(source, size, senders)
        connected = []
        for sender, kept in zip(senders, take_kept(self._request.chunks, self._options), strict=True):
            if kept is not None:
                sender.kept = kept
                connected.append(sender)
        in_turn(connected, ChunkSender.connect, ChunkSender.time_to_connect, ChunkSender.lose)
        self._check()
        self._take_answers(senders)
        return count, checksum

    def _take_answers(self, senders: list[ChunkSender]) -> None:
        """Take the answers to bodies that were sent whole as they come, and give up servers that are late.

        Servers without a kept connection are connected to meanwhile.
        """
        timer = QuorumTimer(self._request.quorum, self._options)
        by_socket = {}
        for sender in senders:
            if sender.error is None:
                by_socket[socket_of(sender.conn)] = sender
        taking: ChunkSender | None = None
        # Senders without an answer, once one of them has to make a connection.
        left = [sender for sender in senders if sender.error is None] if None in by_socket else []
        while by_socket and not left:
            limit = timer.end, timer.grace
            try:
                with green.ChunkWriteTimeout(timer.left()):
                    while by_socket and (timer.end, timer.grace) == limit:
                        for sock in green.wait_any(by_socket):
                            taking = by_socket.pop(sock)
                            taking.take_answer()
                            self._note(taking, timer)
                            taking = None
            except CANDIDATES as err:
                if taking is None:
                    reraise_foreign(err)
                    if isinstance(err, green.ChunkWriteTimeout):
                        break
                    raise
                taking.lose(err, "resp")
                if taking.error is None:
                    left = [taking, *by_socket.values()]
                else:
                    self._note(taking, timer)
                taking = None
        if left:
            with green.ContextPool(len(left)) as pool:
                sent = {sender for sender in left if sender.is_connected}
                done = _started(pool, left, ChunkSender.take_or_repeat)
                self._wait_for(left, done, timer, sent)
            return
        for sender in by_socket.values():
            sender.leave("resp", timer.timeout_reason())

    def _note(self, sender: ChunkSender, timer: QuorumTimer, *, has_own_limits: bool = False) -> bool:
        """Note whether a server has stored its chunk, and return that."""
        is_stored = sender.has_stored()
        if is_stored:
            timer.note_stored(has_own_limits=has_own_limits)
        elif len(self._failures) > self._tolerated:
            timer.note_lost()
        return is_stored

    def _check_algorithm(self, senders: list[ChunkSender], algorithm: str | None) -> None:
        """Refuse chunk servers that compute other checksums than the algorithm of the call, which is not MD5.

        :raises ChecksumRefused: there is one; chunks may be stored all the same
        """
        others = [s for s in senders if s.received_hash and algorithm_of(s.received_hash) != algorithm]
        if not others and all(str(sender.error).endswith("HTTP 400") for sender in senders):
            # Those of 7.3.0 do not understand the checksum of erasure-coded chunks.
            others = senders
        if others:
            places = ", ".join(sorted({sender.chunk.netloc for sender in others}))
            raise exc.ChecksumRefused(
                f"chunk_checksum_algo must be 'md5' or None, not {algorithm!r}: some chunk servers compute "
                f"nothing else, as those of 7.3.0 do: {places}",
                reqid=self._options.reqid,
            )

    def _check(self) -> None:
        """Give up the metachunk when there can be no quorum.

        :raises OioException: see :func:`~oio.blob.quorum.check_quorum`
        """
        if len(self._failures) <= self._tolerated:
            return
        try:
            check_quorum(
                self._request.quorum,
                [sender.chunk.url for sender in self._current if sender.error is None],
                [(sender.chunk.url, sender.error) for sender in self._failures],
                self._options.reqid,
            )
        except exc.OioException as err:
            self._options.limits.raise_if_late(err, self._options.reqid)
            raise

    def _blocks(
        self, source: Source, size: int | None, checksum: Checksum | None, unit: int = 0
    ) -> Iterator[bytes]:
        """Blocks of at most `size` bytes of the source, which are hashed once they are on their way.

        :param checksum: of the metachunk; the data are added to it, and to that of the object. None for none
        :param unit: bytes that can only be sent together: fewer at first would start nothing
        """
        options, of_object = self._options, self._request.checksum
        keep_memory_of_blocks()
        largest = options.buffer_max or unit or LARGEST_BLOCK
        smallest = options.buffer_min or unit or self._first_block
        wanted = smallest = min(smallest, largest)
        left = size
        while left is None or left > 0:
            # What is sent without waiting has no time limit of its own.
            options.limits.writing("the chunk servers")
            begin = time.monotonic()
            asked = wanted if left is None else min(wanted, left)
            data = source.read(asked)
            if not data:
                return
            is_quick = time.monotonic() - begin < _QUICK
            wanted = min(wanted * 2, largest) if is_quick else max(wanted // 2, smallest)
            if left is not None:
                left -= len(data)
            yield data
            if self._running and any(sender.is_behind for sender in self._running):
                # The block is sent while it is hashed, and late connections go on.
                green.eventlet_yield()
            of_object.update(data)
            if checksum is not None and checksum is not of_object:
                checksum.update(data)
            if self._failures:
                self._check()
            if len(data) < asked:
                # A source gives fewer at its end only.
                return


def _trusted(senders: list[ChunkSender]) -> str:
    """Take for right the checksum of most servers, since we have computed none; empty when they have none."""
    votes = collections.Counter(s.received_hash.lower() for s in senders if s.received_hash and not s.error)
    checksum = votes.most_common(1)[0][0] if votes else ""
    for sender in senders:
        sender.expected_hash = checksum
    return checksum


def _have_nothing(senders: Collection[ChunkSender]) -> bool:
    """Whether there are servers to wait for, and none of them has got the head of its request yet."""
    return bool(senders) and all(sender.error is None and not sender.is_connected for sender in senders)


def _started(pool: green.ContextPool, senders: list[ChunkSender], work: Callable[[ChunkSender], None]) -> Any:
    """Run senders in green threads; returns the queue that gets each one whose thread has ended."""
    done = green.LightQueue()

    def run(sender: ChunkSender) -> None:
        try:
            work(sender)
        finally:
            done.put_nowait(sender)

    # Two green threads never write to one socket (pitfall 17).
    for sender in senders:
        sender.thread = pool.spawn(run, sender)
    return done
