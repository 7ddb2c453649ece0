# SPDX-License-Identifier: Apache-2.0
"""Sends one chunk to its server: in a green thread of its own, so that a slow server delays no other."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from oio.api import io
from oio.common import exceptions as exc
from oio.common import green
from oio.common import limits as _limits
from oio.common.constants import CHUNK_HEADERS
from oio.common.deadlines import monotonic_time
from oio.common.http import headers_from_object_metadata
from oio.common.perfdata import add_duration
from oio.common.storage_method import StorageMethod

_LOGGER = logging.getLogger(__name__)


class WriteOptions:
    """The limits of the requests that store the chunks of a metachunk.

    :param connection_timeout: seconds for each connection
    :param write_timeout: seconds for each block, and for the answer
    :param read_timeout: seconds for each read of the source
    :param kwargs: ``deadline`` (monotonic seconds), ``perfdata``, ``ssl_context``, ``reqid``
    """

    def __init__(
        self,
        connection_timeout: float | None = None,
        write_timeout: float | None = None,
        read_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        self._timeouts = connection_timeout, write_timeout, read_timeout
        self.deadline: float | None = kwargs.get("deadline")
        self.perfdata: dict[str, Any] | None = kwargs.get("perfdata")
        self.ssl_context = kwargs.get("ssl_context")
        self.reqid: str | None = kwargs.get("reqid")

    def connection_limit(self, netloc: str) -> float:
        """Seconds that a connection may take from now."""
        return _limits.timeout(
            self._timeouts[0], self.deadline, _limits.CONNECTION_TIMEOUT, f"connecting to {netloc}"
        )

    def write_limit(self, netloc: str = "a chunk server") -> float:
        """Seconds that a block or an answer may take from now."""
        return _limits.timeout(
            self._timeouts[1], self.deadline, _limits.CHUNK_TIMEOUT, f"writing to {netloc}"
        )

    def read_limit(self) -> float:
        """Seconds that a read of the source may take from now."""
        doing = "reading from the source"
        return _limits.timeout(self._timeouts[2], self.deadline, _limits.CLIENT_TIMEOUT, doing)

    def check_deadline(self, err: exc.OioException) -> None:
        """Say that a failure comes of the deadline, when it has passed."""
        _limits.blame_deadline(err, self.deadline, self.reqid)


def frame(data: bytes) -> bytes:
    """A chunk of the chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def connect_to_chunk(chunk: dict[str, Any], headers: Mapping[str, Any], options: WriteOptions) -> Any:
    """Send the head of the request that stores a chunk.

    :returns: the connection
    """
    parsed = urlsplit(chunk.get("real_url") or chunk["url"])
    headers = {
        **headers,
        CHUNK_HEADERS["chunk_pos"]: chunk["pos"],
        CHUNK_HEADERS["chunk_id"]: urlsplit(chunk["url"]).path.rpartition("/")[2],
    }
    kwargs: dict[str, Any] = {"scheme": "https"} if parsed.scheme == "https" else {}
    if options.ssl_context is not None:
        kwargs["ssl_context"] = options.ssl_context
    start = monotonic_time()
    try:
        with green.ConnectionTimeout(options.connection_limit(parsed.netloc)):
            return io.http_connect(parsed.netloc, "PUT", parsed.path, headers, **kwargs)
    finally:
        add_duration(options.perfdata, "rawx", f"connect.{chunk['url']}", start)


class ChunkSender:
    """Sends the blocks of one chunk, and reads the answer.

    What fails is noted in the chunk's ``error``, and concerns this chunk alone; a true ``maybe_stored`` tells
    that the server may hold the chunk all the same.
    """

    def __init__(self, chunk: dict[str, Any], conn: Any, options: WriteOptions) -> None:
        self.chunk = chunk
        self.conn = conn
        self.options = options
        self.queue = green.LightQueue(io.PUT_QUEUE_DEPTH)
        self.bytes_transferred = 0
        self._thread: Any = None
        self._netloc = urlsplit(chunk.get("real_url") or chunk["url"]).netloc

    @property
    def failed(self) -> bool:
        """Whether the chunk is lost."""
        return bool(self.chunk.get("error"))

    def fail(self, phase: str, error: Any) -> None:
        """Note the first failure, and hang up: the server forgets what it was sent."""
        if not self.failed:
            self.chunk["error"] = self._describe(phase, error)
            _LOGGER.warning(
                "Failed chunk %s: %s: %s (reqid=%s)", self.chunk["url"], phase, error, self.options.reqid
            )
        self.close()

    def _describe(self, phase: str, error: Any) -> Any:
        return f"{phase}: {error}" if "mismatch" in phase else error

    def close(self) -> None:
        """Close the connection. May be called twice."""
        conn, self.conn = self.conn, None
        try:
            if conn is not None:
                conn.close()
        except _limits.CHUNK_FAILURES as err:  # Closing must never hide why we close.
            _LOGGER.debug("Failed to close the connection to %s: %s", self.chunk["url"], err)

    def start(self, pool: Any) -> None:
        """Spawn the green thread that sends what is queued."""
        self._thread = pool.spawn(self._run)

    def _run(self) -> None:
        start = monotonic_time()
        try:
            while frame := self.queue.get():
                with green.ChunkWriteTimeout(self.options.write_limit(self._netloc)):
                    self.conn.send(frame)
        except _limits.OWN_THREAD_FAILURES as err:
            self.fail("write", err)
            # Who waits for a place in the queue must not wait for ever (pitfalls rows 15 and 16).
            while not self.queue.empty():
                self.queue.get_nowait()
        add_duration(self.options.perfdata, "rawx", f"upload.{self.chunk['url']}", start)

    def put(self, frame: bytes, size: int) -> None:
        """Queue a frame that holds ``size`` bytes of data; a server too slow for too long fails.

        :raises DeadlineReached:
        """
        if self.failed:
            return
        try:
            with green.ChunkWriteTimeout(self.options.write_limit(self._netloc)):
                self.queue.put(frame)
            self.bytes_transferred += size
        except green.OioTimeout as err:
            # Its thread sits in the middle of a write, which closing the socket would not end.
            self._thread.kill()
            self.fail("write", err)

    def wait(self) -> None:
        """Wait until all data in the queue has been sent, or sending has failed."""
        self.put(b"", 0)
        if not self.failed:
            # Two green threads never write to one socket (pitfalls row 17).
            self._thread.wait()

    def end_body(self, end: bytes) -> None:
        """Send what ends the body, in one write (pitfalls row 14)."""
        if self.failed:
            return
        # From here on, the server may have the chunk whatever we hear from it.
        self.chunk["maybe_stored"] = True
        try:
            with green.ChunkWriteTimeout(self.options.write_limit(self._netloc)):
                self.conn.send(end)
        except _limits.OWN_THREAD_FAILURES as err:
            self.fail("finish", err)

    def getresponse(self) -> Any:
        """Read the HTTP response from the connection."""
        with green.ChunkWriteTimeout(self.options.write_limit(self._netloc)):
            return self.conn.getresponse()

    def complete(self, end: bytes) -> None:
        """Wait for the data to be sent, end the body, and note what the server answers."""
        self.wait()
        start = monotonic_time()
        self.end_body(end)
        if not self.failed:
            try:
                self._note(self.getresponse())
            except _limits.OWN_THREAD_FAILURES as err:
                self.fail("resp", err)
            else:
                self.close()
        add_duration(self.options.perfdata, "rawx", f"upload_finish.{self.chunk['url']}", start)

    def _note(self, resp: Any) -> None:
        if resp.status == 409 and getattr(self.conn, "said_twice", False):
            self.fail("resp", "HTTP 409 (maybe because of the first time that it was sent)")
            return
        if resp.status != 201:
            # The server has dropped what it got; an existing chunk (409) is not ours (row 30).
            self.chunk["maybe_stored"] = resp.status < 400
            self.fail("resp", f"HTTP {resp.status}")
            return
        self.chunk["hash"] = resp.getheader(CHUNK_HEADERS["chunk_hash"])
        size = resp.getheader(CHUNK_HEADERS["chunk_size"])
        if size is not None and str(size) != str(self.bytes_transferred):
            self.fail("chunk size mismatch", f"{size} received, {self.bytes_transferred} sent")

    def check_hash(self, expected: str | None) -> None:
        """Compare the checksum that the server computed, if any, with the right one (pitfalls row 23)."""
        received = self.chunk.get("hash")
        if not self.failed and expected and received and received.lower() != expected.lower():
            self.fail("checksum mismatch", f"{received} received, {expected} expected")


class ParallelMetachunkWriter(io.MetachunkWriter):
    """Base of the writers that send to all chunk servers of a metachunk at once.

    Parameters are those of :class:`~oio.api.replication.ReplicatedMetachunkWriter`.
    """

    def __init__(
        self,
        sysmeta: dict[str, Any],
        meta_chunk: list[dict[str, Any]],
        checksum: Any,
        storage_method: StorageMethod | None,
        headers: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(storage_method=storage_method, **kwargs)
        self.sysmeta = sysmeta
        self.meta_chunk = meta_chunk
        self.checksum = checksum
        self.headers = dict(headers or {})
        self.options = WriteOptions(**kwargs)
        self._first = bool(kwargs.get("first"))

    def _sender(self, chunk: dict[str, Any]) -> Any:
        """Connect to the server of a chunk."""
        headers = {
            "transfer-encoding": "chunked",
            **headers_from_object_metadata(self.sysmeta),
            **self.headers,
        }
        return ChunkSender(chunk, connect_to_chunk(chunk, headers, self.options), self.options)

    def _connect(self, chunk: dict[str, Any], senders: list[Any]) -> None:
        try:
            senders.append(self._sender(chunk))
        except _limits.OWN_THREAD_FAILURES as err:
            chunk["error"] = self._connection_error(err)
            _LOGGER.warning("Failed to connect to %s: %s (reqid=%s)", chunk["url"], err, self.reqid)

    def _connection_error(self, err: BaseException) -> Any:
        return err

    @contextlib.contextmanager
    def _senders(self) -> Iterator[list[Any]]:
        """Connect to all chunk servers; afterwards, whatever happened, nothing runs and nothing is open."""
        start = monotonic_time()
        senders: list[Any] = []
        try:
            # Leaving the pool kills the green threads that still run; only then are connections closed.
            with green.ContextPool(max(1, len(self.meta_chunk))) as pool:
                for thread in [pool.spawn(self._connect, chunk, senders) for chunk in self.meta_chunk]:
                    thread.wait()
                # Before the first byte is taken from the source.
                self._check_quorum()
                for sender in senders:
                    sender.start(pool)
                yield senders
        finally:
            for sender in senders:
                sender.close()
            add_duration(self.options.perfdata, "rawx", "overall", start)

    def _check_quorum(self) -> None:
        try:
            self.quorum_or_fail(
                [chunk for chunk in self.meta_chunk if not chunk.get("error")],
                [chunk for chunk in self.meta_chunk if chunk.get("error")],
            )
        except exc.OioException as err:
            self.options.check_deadline(err)
            raise

    def _read_source(self, source: Any, size: int | None, checksum: Any) -> Iterator[bytes]:
        """The blocks of at most ``size`` bytes of the source, hashed."""
        left = size
        while left is None or left > 0:
            wanted = self.buffer_size() if left is None else min(self.buffer_size(), left)
            with _limits.reading_source(self.options.read_limit()):
                data = source.read(wanted)
            if not data:
                return
            if left is not None:
                left -= len(data)
            self.checksum.update(data)
            if checksum is not None and checksum is not self.checksum:
                checksum.update(data)
            yield data

    def _new_checksum(self, algorithm: str) -> Any:
        """The checksum of the metachunk.

        Up to the end of the first one, that of the object is the same: hash once (pitfalls row 136).
        """
        return self.checksum if self._first and algorithm == "md5" else hashlib.new(algorithm)

    @staticmethod
    def _complete(senders: list[Any], end_of: Callable[[Any], bytes]) -> None:
        """End all bodies, and wait for all answers, in parallel."""
        with green.ContextPool(max(1, len(senders))) as pool:
            threads = [pool.spawn(sender.complete, end_of(sender)) for sender in senders if not sender.failed]
            for thread in threads:
                thread.wait()
