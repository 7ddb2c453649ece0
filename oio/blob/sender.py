# SPDX-License-Identifier: Apache-2.0
"""Sender of one chunk: in a green thread of its own, so that a slow server delays no other."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from oio.blob.connect import (
    CANDIDATES,
    OWN_THREAD_CANDIDATES,
    ChunkAnswer,
    Connection,
    connect,
    give_back,
    header_values,
    note_unreached,
    reraise_foreign,
    takes_pieces,
)
from oio.blob.events import count_sent, note_failure, report_failure
from oio.common import green
from oio.common.chunks import Chunk, Failure, Outcome
from oio.common.constants import CHUNK_HEADERS
from oio.common.hedging import CONNECTING_AGAIN_SECONDS
from oio.common.http_eventlet import SENDING, DeadConnection, EarlyAnswer
from oio.common.interruptions import forget_frames
from oio.common.options import Options

_LOGGER = logging.getLogger(__name__)

PUT_QUEUE_DEPTH = 10
"""Blocks that may wait for one slow chunk server while the others go on."""
SMALL = 32768
"""Bytes of a last block that goes along with the end of the body, in one write."""
SAID_TWICE = "HTTP 409 (maybe because of the first time that it was sent)"
"""Failure of a chunk whose request was sent twice: the first one may have stored it."""
END_OF_BODY = b"0\r\n\r\n"
_COMPUTED = CHUNK_HEADERS["chunk_hash"], CHUNK_HEADERS["chunk_size"]
_BEFORE_THE_END = ("connect", "write")
"""Phases of failures before the end of the body was sent."""
STEP = 262144
"""Bytes that one write limit covers: it begins anew with each step of a larger block."""

Pieces: TypeAlias = "tuple[bytes, ...]"
"""Pieces of a frame, which are sent one after the other."""


def frame(data: bytes, end: bytes = b"") -> bytes:
    """A chunk of the chunked transfer coding.

    :param end: bytes to send along with it
    """
    return b"".join((f"{len(data):x}\r\n".encode(), data, b"\r\n", end))


def framed(data: bytes) -> bytes | Pieces:
    """The same, in pieces when the data are large, which are not copied then."""
    return frame(data) if len(data) <= SMALL else (f"{len(data):x}\r\n".encode(), data, b"\r\n")


class _StepTimeouts:
    """Time limits of the steps of a large block, each of which may take as long as a small block.

    :param seconds: returns the limit of a step, or raises when no time is left
    """

    def __init__(self, seconds: Callable[[], float], clock: Callable[[], float]) -> None:
        self._seconds, self._clock = seconds, clock
        self._begin, self._due = -STEP, 0.0
        #: Steps that were begun.
        self.steps = 0

    def begin(self) -> None:
        """Begin a block."""
        self._begin = -STEP

    def __call__(self, sent: int) -> green.ChunkWriteTimeout:
        now = self._clock()
        if sent - self._begin >= STEP:
            self._begin, self._due = sent, now + self._seconds()
            self.steps += 1
        return green.ChunkWriteTimeout(max(0.0, self._due - now))


class _ExpendableTimeout(green.ConnectionTimeout):
    """Time limit of a connection that a write can do without; of no effect once the write needs it."""

    #: Tells whether the write can do without it.
    is_expendable: Callable[[], bool] = bool

    def strike(self, target: object) -> None:
        if self.is_expendable():
            super().strike(target)

    def __exit__(self, *given: Any) -> Any:
        # The limit may be kept as the error of a sender, and the writer must not be kept with it.
        self.is_expendable = bool
        return super().__exit__(*given)


class ChunkSender:
    """Sends the blocks of one chunk, and reads the answer.

    A failure is noted, and concerns this chunk alone.

    :param chunk: to send
    :param headers: of the request
    :param options: of the call
    :param failures: list that gets this sender when it fails
    """

    def __init__(
        self,
        chunk: Chunk,
        headers: Mapping[str, object],
        options: Options,
        failures: list[ChunkSender] | None = None,
    ) -> None:
        self.chunk = chunk
        self.options = options
        self.error: Failure | None = None
        #: The server may hold the chunk, whatever was heard from it.
        self.maybe_stored = False
        #: Checksum that the server has computed.
        self.received_hash: str | None = None
        self.sent = 0
        #: The server has said that it holds the chunk.
        self.is_stored = False
        self.conn: Connection | None = None
        #: Kept connection for its request.
        self.kept: object = None
        #: It turned out dead. What was asked on it may be done.
        self._has_met_dead = False
        #: Tells whether it has little time to connect: the server was late before, and the others are enough.
        self.is_expendable: Callable[[], bool] = bool
        #: No connection could be made.
        self.is_unreached = False
        self._headers = headers
        self._begin = time.monotonic()
        self._failures = failures
        #: All that is sent, when it is sent whole; None for what is queued.
        self.whole: list[bytes] | None = None
        #: Checksum that the server should have computed; empty as long as it is not known.
        self.expected_hash = ""
        #: Green thread that runs the sender.
        self.thread: Any = None
        #: Tells whether a quorum of the other servers has taken all that it was sent.
        self.others_are_enough: Callable[[], bool] = bool

    @functools.cached_property
    def _step_timeouts(self) -> _StepTimeouts:
        limits = self.options.limits
        return _StepTimeouts(functools.partial(limits.writing, self.chunk.address), limits.clock)

    @functools.cached_property
    def ready(self) -> green.LightQueue:
        """Queue that gets an item once the connection is made or has failed. Senders may share one."""
        return green.LightQueue()

    @functools.cached_property
    def _queue(self) -> green.LightQueue:
        """Blocks that wait to be sent. A body that is sent whole needs no queue."""
        return green.LightQueue(PUT_QUEUE_DEPTH)

    def outcome(self, size: int | None = None, checksum: str | None = None) -> Outcome:
        """What became of the chunk.

        :param size: bytes of its metachunk, and their checksum, when it is stored
        """
        chunk = self.chunk if size is None else self.chunk.stored(size, checksum)
        error = self.error
        if error is None and not self.is_stored:
            error = "interrupted before its answer"
        return Outcome(chunk, error, self.maybe_stored)

    def fail(self, phase: str, error: Failure) -> None:
        """Note the first failure, and hang up: the server forgets what it was sent."""
        if self.error is None:
            if phase == "connect" and getattr(error, "doing", None) == SENDING:
                phase = "write"
            forget_frames(error)
            self.error = self._describe(phase, error)
            # The first of two requests may have been done, but not one of which the end was not sent.
            self.maybe_stored = self._is_said_twice() or (self.maybe_stored and phase not in _BEFORE_THE_END)
            failures, self._failures = self._failures, None
            if failures is not None:
                failures.append(self)
            if phase == "connect":
                self.is_unreached = True
                note_unreached(self.chunk, error, self.options)
            note_failure(self.conn, self.error)
            event = report_failure(self.options, "PUT", self.chunk, self.error, self._begin)
            text = "Failed chunk %s: %s: %s (reqid=%s)"
            _LOGGER.warning(text, self.chunk.url, phase, error, self.options.reqid, extra=event.fields())
        self.close()
        # A writer that waits for a place in the queue must not wait for ever (pitfalls 15 and 16).
        if self.whole is None:
            while not self._queue.empty():
                self._queue.get_nowait()

    def _is_said_twice(self) -> bool:
        return self._has_met_dead or getattr(self.conn, "said_twice", False)

    def _describe(self, phase: str, error: Failure) -> Failure:
        return f"{phase}: {error}" if "mismatch" in phase else error

    def close(self) -> None:
        """Close the connection. May be called twice."""
        if self.kept is not None:
            # Its request was not sent.
            kept, self.kept = self.kept, None
            give_back([self.chunk], [kept], self.options)
        conn, self.conn = self.conn, None
        if conn is None:
            return
        if self.options.on_event is not None:
            count_sent(conn, self.sent)
        try:
            conn.close()
        except CANDIDATES as err:  # Closing must never hide why we close.
            reraise_foreign(err, conn)
            _LOGGER.debug("Failed to close the connection to %s: %s", self.chunk.url, err)

    # --- in the green thread ---

    def run(self) -> None:
        """Connect, send what is queued, and read the answer."""
        self._connect_in_time()
        self.ready.put_nowait(None)
        if self.error is None:
            end = self.pump()
            if end is not None:
                self._finish(end)

    def take_or_repeat(self) -> None:
        """Take the answer to a body that is sent whole; send it first if need be."""
        if self.conn is not None:
            try:
                self.take_answer()
                return
            except OWN_THREAD_CANDIDATES as err:
                self.lose(err, "resp")
        if self.error is None:
            self._connect_in_time()
        if self.error is None:
            try:
                with green.ChunkWriteTimeout(self.options.limits.writing(self.chunk.address)):
                    self.take_answer()
            except OWN_THREAD_CANDIDATES as err:
                self.lose(err, "resp")

    def _connect_in_time(self) -> None:
        try:
            with self.time_to_connect():
                if self.is_expendable():
                    with _ExpendableTimeout(CONNECTING_AGAIN_SECONDS) as limit:
                        limit.is_expendable = self.is_expendable
                        self.connect()
                else:
                    self.connect()
        except OWN_THREAD_CANDIDATES as err:
            self.lose(err)

    def time_to_connect(self) -> green.OioTimeout:
        """Time limit of its connection."""
        return green.ConnectionTimeout(self.options.limits.connecting(self.chunk.address))

    def connect(self) -> Connection:
        """Send the head of the request, and return the connection.

        A body that was collected is sent along with it, in one write.
        """
        options, chunk = self.options, self.chunk
        begin = self._begin = time.monotonic()
        kept, self.kept = self.kept, None
        body = b"".join(self.whole or ())
        if body:
            # From here on, the server may have the chunk whatever we hear from it.
            self.maybe_stored = True
        headers = {
            **self._headers,
            CHUNK_HEADERS["chunk_pos"]: chunk.pos,
            CHUNK_HEADERS["chunk_id"]: chunk.url.rpartition("/")[2],
        }
        try:
            # A body that is sent whole is repeated in a green thread: a new connection may take long to make.
            is_replaced = self.whole is None
            self.conn = conn = connect(chunk, "PUT", headers, options, body, 1, kept, is_replaced)
        except green.GreenletExit:
            # It is given up before the end of its body was sent.
            self.maybe_stored = self._is_said_twice()
            raise
        finally:
            if options.perfdata is not None:
                options.add_step("connect", chunk, begin)
        if body and options.perfdata is not None:
            options.add_step("upload", chunk, begin)
        return conn

    def pump(self) -> bytes | None:
        """Send what is queued.

        :returns: the end of the body; None when sending failed
        """
        begin = time.monotonic()
        block: bytes | None = None
        try:
            conn = self.conn
            assert conn is not None
            while True:
                block, is_last = self._queue.get()
                if is_last:
                    break
                self._send(conn, block)
        except EarlyAnswer as err:
            self._note_refusal(err.http_status)
            block = None
        except OWN_THREAD_CANDIDATES as err:
            reraise_foreign(err, self.conn)
            self.fail("write", err)
            block = None
        if self.options.perfdata is not None:
            self.options.add_step("upload", self.chunk, begin)
        return block

    def _send(self, conn: Connection, block: bytes | Pieces) -> None:
        timeouts = self._step_timeouts
        timeouts.begin()
        if isinstance(block, tuple):
            if takes_pieces(conn):
                conn.send(block, timeouts)
                return
            block = b"".join(block)
        for begin in range(0, len(block), STEP):
            with timeouts(begin):
                conn.send(block[begin : begin + STEP])

    def _finish(self, end: bytes) -> None:
        """End the body in one write (pitfall 14), and note the answer of the server."""
        begin, phase = time.monotonic(), "finish"
        # From here on, the server may have the chunk whatever we hear from it.
        self.maybe_stored = True
        try:
            conn = self.conn
            assert conn is not None
            with green.ChunkWriteTimeout(self.options.limits.writing(self.chunk.address)):
                conn.send(end)
                phase = "resp"
                resp = conn.getresponse()
            self._note(resp)
        except EarlyAnswer as err:
            self._note_refusal(err.http_status)
        except OWN_THREAD_CANDIDATES as err:
            reraise_foreign(err, self.conn)
            self.fail(phase, err)
        else:
            self.close()
        if self.options.perfdata is not None:
            self.options.add_step("upload_finish", self.chunk, begin)

    def _note(self, resp: ChunkAnswer) -> None:
        if resp.status != 201:
            self._note_refusal(resp.status)
            return
        self.is_stored = True
        self.received_hash, size = header_values(resp, _COMPUTED)
        if size is not None and str(size) != str(self.sent):
            self.fail("chunk size mismatch", f"{size} received, {self.sent} sent")

    def _note_refusal(self, status: int) -> None:
        if status == 409 and self._is_said_twice():
            self.fail("resp", SAID_TWICE)
            return
        # The server has dropped what it got; an existing chunk (409) is not ours (pitfall 30).
        self.maybe_stored = status < 400
        self.fail("resp", f"HTTP {status}")

    # --- in the thread of the writer ---

    def put(self, block: bytes | Pieces, size: int, is_last: bool = False) -> None:
        """Queue a frame that holds `size` bytes of data; a server that is too slow fails.

        :param is_last: the frame ends the body
        :raises DeadlineReached: no time is left
        """
        if self.error is not None:
            return
        # Counted first: when the queue is full, the answer may be there before this thread is woken.
        self.sent += size
        if self.whole is not None:
            self.whole.append(block if isinstance(block, bytes) else b"".join(block))
            return
        queue = self._queue
        if not is_last and queue.empty() and queue.getting() and takes_pieces(self.conn):
            # To wake its green thread, which waits for a block, takes two switches: as much as this write.
            block = self.conn.send_now(block if isinstance(block, tuple) else (block,))
            if not block:
                return
        if queue.full():
            self._put_in_time((block, is_last))
        else:
            queue.put_nowait((block, is_last))

    def _put_in_time(self, item: tuple[bytes | Pieces, bool]) -> None:
        """Wait for a place in the queue, as long as the server makes progress."""
        limits, grace = self.options.limits, self.options.write_grace
        if grace is not None:
            grace = limits.share(grace)
        left, before = limits.writing(self.chunk.address), self.progress[:2]
        while True:
            seconds = left if grace is None else min(grace, left)
            left -= seconds
            try:
                with green.ChunkWriteTimeout(seconds):
                    self._queue.put(item)
                return
            except green.OioTimeout as err:
                forget_frames(err)
                error = err
            if self.progress[:2] != before and self.error is None:
                # It makes progress: it is connected now, or in the middle of a large block.
                left, before = limits.writing(self.chunk.address), self.progress[:2]
            elif grace is not None and self.others_are_enough():
                break
            elif left <= 0:
                if self.is_connected:
                    break
                # Connecting has its own limit.
                left = limits.writing(self.chunk.address)
        self.leave("write", error)

    @property
    def is_behind(self) -> bool:
        """Whether something is queued."""
        return not self._queue.empty()

    @property
    def is_connected(self) -> bool:
        """Whether the request has had a connection; a new one in the place of a dead one is no progress."""
        return self.conn is not None or self._has_met_dead

    @property
    def progress(self) -> tuple[bool, int, int]:
        """Value that changes when a connection is made, and when the server takes data."""
        if self.whole is not None:
            return self.is_connected, 0, 0
        return self.is_connected, self._step_timeouts.steps, self._queue.qsize()

    def has_taken_all(self) -> bool:
        """Whether everything that was queued so far is sent, or about to be."""
        return self.error is None and not self.is_behind

    def leave(self, phase: str, error: Failure) -> None:
        """Give up a server that is late, whatever its green thread is doing.

        :param phase: step that it is late with, unless it is being connected to
        """
        if self.conn is None:
            phase = "connect"
        if self.thread is not None:
            # To close the socket would not end its write or read.
            self.thread.kill()
        self.fail(phase, error)
        if self.options.perfdata is not None:
            self.options.add_step("left_behind", self.chunk, self._begin)

    def lose(self, error: BaseException, phase: str = "connect") -> None:
        """Note a failure, unless a kept connection has died: then everything is to be sent again."""
        reraise_foreign(error, self.conn)
        if isinstance(error, DeadConnection):
            self._has_met_dead = True
            self.close()
        elif isinstance(error, EarlyAnswer):
            self._note_refusal(error.http_status)
        else:
            self.fail(phase, error)

    def take_answer(self) -> None:
        """Take the answer to a body that was sent whole, within a time limit of the caller."""
        conn, begin = self.conn, time.monotonic()
        assert conn is not None
        self._note(conn.getresponse())
        if self.error is None:
            self.close()
        if self.options.perfdata is not None:
            self.options.add_step("upload_finish", self.chunk, begin)

    def has_stored(self) -> bool:
        """Whether the server has stored what it was sent, as far as can be told now."""
        received, expected = self.received_hash, self.expected_hash
        is_right = not (received and expected) or received.lower() == expected.lower()
        return self.error is None and is_right

    def refuse_hash(self) -> None:
        """Note that the server has computed another checksum (pitfall 23), unless it failed before."""
        self.fail("checksum mismatch", f"{self.received_hash} received, {self.expected_hash} expected")
