# SPDX-License-Identifier: Apache-2.0
"""Sender of one chunk: in a green thread of its own, so that a slow server delays no other."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from oio.blob.connect import FAILURES, OWN_THREAD_FAILURES, ChunkAnswer, Connection, connect
from oio.common import green
from oio.common.chunks import Chunk, Failure, Outcome
from oio.common.constants import CHUNK_HEADERS
from oio.common.options import Options
from oio.common.perfdata import add_duration

_LOGGER = logging.getLogger(__name__)

PUT_QUEUE_DEPTH = 10
"""Blocks that may wait for one slow chunk server while the others go on."""
SMALL = 32768
"""Bytes of a last block that goes along with the end of the body, in one write."""
END_OF_BODY = b"0\r\n\r\n"


def frame(data: bytes) -> bytes:
    """A chunk of the chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


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
        self.conn: Connection | None = None
        self.ready = green.Event()
        self._headers = headers
        self._failures = failures
        self._netloc = urlsplit(chunk.address).netloc
        self._queue = green.LightQueue(PUT_QUEUE_DEPTH)
        #: Green thread that runs the sender.
        self.thread: Any = None

    def outcome(self, size: int | None = None, checksum: str | None = None) -> Outcome:
        """What became of the chunk.

        :param size: bytes of its metachunk, and their checksum, when it is stored
        """
        chunk = self.chunk if size is None else replace(self.chunk, size=size, hash=checksum)
        return Outcome(chunk, self.error, self.maybe_stored)

    def fail(self, phase: str, error: Failure) -> None:
        """Note the first failure, and hang up: the server forgets what it was sent."""
        if self.error is None:
            self.error = self._describe(phase, error)
            if self._failures is not None:
                self._failures.append(self)
            _LOGGER.warning(
                "Failed chunk %s: %s: %s (reqid=%s)", self.chunk.url, phase, error, self.options.reqid
            )
        self.close()

    def _describe(self, phase: str, error: Failure) -> Failure:
        return f"{phase}: {error}" if "mismatch" in phase else error

    def close(self) -> None:
        """Close the connection. May be called twice."""
        conn, self.conn = self.conn, None
        if conn is None:
            return
        try:
            conn.close()
        except FAILURES as err:  # Closing must never hide why we close.
            _LOGGER.debug("Failed to close the connection to %s: %s", self.chunk.url, err)

    # --- in the green thread ---

    def run(self) -> None:
        """Connect, send what is queued, and read the answer."""
        try:
            self.connect()
        except OWN_THREAD_FAILURES as err:
            self.fail("connect", err)
        self.ready.send()
        if self.error is None:
            end = self.pump()
            if end is not None:
                self._finish(end)

    def connect(self) -> Connection:
        """Send the head of the request, and get the connection.

        :raises DeadlineReached: no time is left
        """
        options, begin = self.options, time.monotonic()
        position, index = self.chunk.position, self.chunk.index
        headers = {
            **self._headers,
            CHUNK_HEADERS["chunk_pos"]: str(position) if index is None else f"{position}.{index}",
            CHUNK_HEADERS["chunk_id"]: self.chunk.url.rpartition("/")[2],
        }
        try:
            with green.ConnectionTimeout(options.limits.connecting(self._netloc)):
                self.conn = conn = connect(self.chunk, "PUT", headers, options.ssl_context)
        finally:
            if options.perfdata is not None:
                add_duration(options.perfdata, "rawx", f"connect.{self.chunk.url}", begin)
        return conn

    def pump(self) -> bytes | None:
        """Send what is queued.

        :returns: the end of the body; None when sending failed
        """
        begin, writing = time.monotonic(), self.options.limits.writing
        block: bytes | None
        try:
            conn = self.conn
            assert conn is not None
            while True:
                block, is_last = self._queue.get()
                if is_last:
                    break
                with green.ChunkWriteTimeout(writing(self._netloc)):
                    conn.send(block)
        except OWN_THREAD_FAILURES as err:
            self.fail("write", err)
            # A writer that waits for a place in the queue must not wait for ever (pitfalls 15 and 16).
            while not self._queue.empty():
                self._queue.get_nowait()
            block = None
        if self.options.perfdata is not None:
            add_duration(self.options.perfdata, "rawx", f"upload.{self.chunk.url}", begin)
        return block

    def _finish(self, end: bytes) -> None:
        """End the body in one write (pitfall 14), and note the answer of the server."""
        begin, phase = time.monotonic(), "finish"
        # From here on, the server may have the chunk whatever we hear from it.
        self.maybe_stored = True
        try:
            conn = self.conn
            assert conn is not None
            with green.ChunkWriteTimeout(self.options.limits.writing(self._netloc)):
                conn.send(end)
                phase = "resp"
                resp = conn.getresponse()
            self._note(resp)
        except OWN_THREAD_FAILURES as err:
            self.fail(phase, err)
        else:
            self.close()
        if self.options.perfdata is not None:
            add_duration(self.options.perfdata, "rawx", f"upload_finish.{self.chunk.url}", begin)

    def _note(self, resp: ChunkAnswer) -> None:
        if resp.status != 201:
            if resp.status == 409 and getattr(self.conn, "said_twice", False):
                self.fail("resp", "HTTP 409 (maybe because of the first time that it was sent)")
                return
            # The server has dropped what it got; an existing chunk (409) is not ours (pitfall 30).
            self.maybe_stored = resp.status < 400
            self.fail("resp", f"HTTP {resp.status}")
            return
        self.received_hash = resp.getheader(CHUNK_HEADERS["chunk_hash"])
        size = resp.getheader(CHUNK_HEADERS["chunk_size"])
        if size is not None and str(size) != str(self.sent):
            self.fail("chunk size mismatch", f"{size} received, {self.sent} sent")

    # --- in the thread of the writer ---

    def put(self, block: bytes, size: int, is_last: bool = False) -> None:
        """Queue a frame that holds `size` bytes of data; a server too slow for too long fails.

        :param is_last: it ends the body
        :raises DeadlineReached: no time is left
        """
        if self.error is not None:
            return
        if not self._queue.full():
            self._queue.put_nowait((block, is_last))
            self.sent += size
            return
        try:
            with green.ChunkWriteTimeout(self.options.limits.writing(self._netloc)):
                self._queue.put((block, is_last))
            self.sent += size
        except green.OioTimeout as err:
            # Its thread sits in the middle of a write, which closing the socket would not end.
            self.thread.kill()
            self.fail("write", err)

    def check_hash(self, expected: str | None) -> None:
        """Compare the checksum that the server computed, if any, with the right one (pitfall 23)."""
        received = self.received_hash
        if self.error is None and expected and received and received.lower() != expected.lower():
            self.fail("checksum mismatch", f"{received} received, {expected} expected")
