# SPDX-License-Identifier: Apache-2.0
"""Replication: each metachunk is written whole to several chunk servers."""

from __future__ import annotations

import collections
import hashlib
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from oio.api import _limits, io
from oio.common import exceptions as exc
from oio.common import green
from oio.common.constants import CHUNK_HEADERS
from oio.common.http import headers_from_object_metadata
from oio.common.perfdata import add_duration
from oio.common.storage_method import StorageMethod
from oio.common.utils import deadline_to_timeout, monotonic_time

__all__ = ["FakeChecksum", "ReplicatedMetachunkWriter", "ReplicatedWriteHandler"]

_LOGGER = logging.getLogger(__name__)

_END_OF_BODY = b"0\r\n\r\n"


class FakeChecksum:
    """Acts as a checksum object but does not compute anything

    >>> FakeChecksum("6bf6").hexdigest()
    '6bf6'
    """

    def __init__(self, actual_checksum: str) -> None:
        self.checksum = actual_checksum

    def hexdigest(self) -> str:
        """Returns the checksum passed as constructor parameter"""
        return self.checksum

    def update(self, *_args: Any, **_kwargs: Any) -> None:
        """Does nothing."""


class _ChunkSender:
    """Sends the blocks of one chunk, in a green thread of its own, and reads the answer.

    What fails is noted in the chunk's ``error``, and concerns this chunk alone.
    """

    def __init__(self, chunk: dict[str, Any], writer: ReplicatedMetachunkWriter) -> None:
        self.chunk = chunk
        self.writer = writer
        self.conn: Any = None
        self.queue = green.LightQueue(io.PUT_QUEUE_DEPTH)
        self.thread: Any = None
        self.sent = 0

    @property
    def failed(self) -> bool:
        return bool(self.chunk.get("error"))

    def fail(self, error: Any, doing: str) -> None:
        """Note the first failure, and hang up: the server forgets what it was sent."""
        self.chunk["error"] = error
        _LOGGER.warning("Failed %s %s: %s (reqid=%s)", doing, self.chunk["url"], error, self.writer.reqid)
        self.close()

    def close(self) -> None:
        conn, self.conn = self.conn, None
        try:
            if conn is not None:
                conn.close()
        except _limits.CHUNK_FAILURES as err:  # Closing must never hide why we close.
            _LOGGER.debug("Failed to close the connection to %s: %s", self.chunk["url"], err)

    def connect(self, headers: dict[str, Any]) -> None:
        """Send the head of the request."""
        parsed = urlsplit(self.chunk.get("real_url") or self.chunk["url"])
        headers = {
            **headers,
            CHUNK_HEADERS["chunk_pos"]: self.chunk["pos"],
            CHUNK_HEADERS["chunk_id"]: urlsplit(self.chunk["url"]).path.rpartition("/")[2],
        }
        kwargs = dict(self.writer.connect_kwargs)
        if parsed.scheme == "https":
            kwargs["scheme"] = "https"
        start = monotonic_time()
        try:
            with green.ConnectionTimeout(self.writer.connection_limit(parsed.netloc)):
                self.conn = io.http_connect(parsed.netloc, "PUT", parsed.path, headers, **kwargs)
        except _limits.CHUNK_FAILURES as err:
            self.fail(err, "connecting to")
        add_duration(self.writer.perfdata, "rawx", f"connect.{self.chunk['url']}", start)

    def start(self, pool: Any) -> None:
        """Begin to send what is queued."""
        self.thread = pool.spawn(self._run)

    def put(self, data: bytes, frame: bytes) -> None:
        """Queue a block, an empty frame for the end; a server too slow for too long fails."""
        if self.failed:
            return
        try:
            with green.ChunkWriteTimeout(self.writer.write_limit()):
                self.queue.put(frame)
            self.sent += len(data)
        except green.OioTimeout as err:
            # Its thread sits in the middle of a write, which closing the socket would not end.
            self.thread.kill()
            self.fail(err, "sending to")

    def wait(self) -> None:
        """Wait for the answer, or the failure."""
        if self.thread is not None and not self.failed:
            self.thread.wait()

    def _run(self) -> None:
        doing, start = "sending to", monotonic_time()
        try:
            while frame := self.queue.get():
                self._send(frame)
            add_duration(self.writer.perfdata, "rawx", f"upload.{self.chunk['url']}", start)
            doing, start = "waiting for the answer of", monotonic_time()
            # From here on, the server may have the chunk whatever we hear from it.
            self.chunk["maybe_stored"] = True
            self._send(_END_OF_BODY)
            with green.ChunkWriteTimeout(self.writer.write_limit()):
                resp = self.conn.getresponse()
            self._note(resp)
            add_duration(self.writer.perfdata, "rawx", f"upload_finish.{self.chunk['url']}", start)
        except _limits.CHUNK_FAILURES as err:
            self.fail(err, doing)
            # Who waits for a place in the queue must not wait for ever (pitfalls rows 15 and 16).
            while not self.queue.empty():
                self.queue.get_nowait()
        else:
            self.close()

    def _send(self, data: bytes) -> None:
        with green.ChunkWriteTimeout(self.writer.write_limit()):
            self.conn.send(data)

    def _note(self, resp: Any) -> None:
        """Keep what the answer says of the chunk."""
        if resp.status != 201:
            # The server has dropped what it got; an existing chunk (409) is not ours (row 30).
            self.chunk["maybe_stored"] = False
            self.fail(f"HTTP {resp.status}", "writing to")
            return
        self.chunk["hash"] = resp.getheader(CHUNK_HEADERS["chunk_hash"])
        size = resp.getheader(CHUNK_HEADERS["chunk_size"])
        if size is not None and str(size) != str(self.sent):
            self.fail(f"chunk size mismatch: {size} received, {self.sent} sent", "writing to")

    def check(self, checksum: str | None) -> None:
        """Compare the checksum that the server computed, if any, with the right one, and note the latter."""
        received = self.chunk.get("hash")
        if checksum and received and received.lower() != checksum.lower():
            self.fail(f"checksum mismatch: {received} received, {checksum} expected", "writing to")
            return
        self.chunk["hash"] = checksum or received
        self.chunk["size"] = self.sent


class ReplicatedMetachunkWriter(io.MetachunkWriter):
    """Writes the copies of one metachunk.

    :param sysmeta: metadata of the object
    :param meta_chunk: the chunks, dicts with ``url``, ``pos`` and maybe ``real_url``; those that fail get an
        ``error``, and those that the server may hold all the same get a true ``maybe_stored``
    :param checksum: of the object, updated with the data
    :param storage_method: tells the quorum
    :param quorum: overrides it
    :param connection_timeout: seconds for each connection
    :param write_timeout: seconds for each block, and for the answer
    :param read_timeout: seconds for each read of the source
    :param headers: of the requests to the chunk servers
    :param kwargs: those of :class:`~oio.api.io.MetachunkWriter`; ``deadline`` (monotonic seconds);
        ``first``: nothing went into ``checksum`` before; ``perfdata``; ``ssl_context``
    """

    def __init__(
        self,
        sysmeta: dict[str, Any],
        meta_chunk: list[dict[str, Any]],
        checksum: Any,
        storage_method: StorageMethod | None,
        quorum: int | None = None,
        connection_timeout: float | None = None,
        write_timeout: float | None = None,
        read_timeout: float | None = None,
        headers: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(storage_method=storage_method, quorum=quorum, **kwargs)
        self.sysmeta = sysmeta
        self.meta_chunk = meta_chunk
        self.checksum = checksum
        self.connection_timeout = connection_timeout
        self.write_timeout = write_timeout
        self.read_timeout = read_timeout
        self.headers = dict(headers or {})
        self.deadline: float | None = kwargs.get("deadline")
        self.perfdata: dict[str, Any] | None = kwargs.get("perfdata")
        self.connect_kwargs = {k: kwargs[k] for k in ("ssl_context",) if kwargs.get(k) is not None}
        # Up to the end of the first metachunk both checksums are the same: hash once (pitfalls row 136).
        self._share_checksum = bool(kwargs.get("first")) and self.checksum_algo == "md5"

    def connection_limit(self, netloc: str) -> float:
        """Seconds that a connection may take from now."""
        doing = f"connecting to {netloc}"
        return _limits.timeout(self.connection_timeout, self.deadline, _limits.CONNECTION_TIMEOUT, doing)

    def write_limit(self) -> float:
        """Seconds that a block or an answer may take from now."""
        doing = "writing to a chunk server"
        return _limits.timeout(self.write_timeout, self.deadline, _limits.CHUNK_TIMEOUT, doing)

    def _read_limit(self) -> float:
        doing = "reading from the source"
        return _limits.timeout(self.read_timeout, self.deadline, _limits.CLIENT_TIMEOUT, doing)

    def stream(self, source: Any, size: int | None = None) -> tuple[int, str, list[dict[str, Any]]]:
        """Write at most ``size`` bytes of a source, or all of it, to all chunks.

        :returns: the bytes transferred, their checksum (hexadecimal; empty when neither side computed one),
            and the chunks that were written, with their ``hash`` and ``size``
        :raises oio.common.exceptions.OioException: see :meth:`~oio.api.io.MetachunkWriter.quorum_or_fail`
        """
        senders = [_ChunkSender(chunk, self) for chunk in self.meta_chunk]
        start = monotonic_time()
        try:
            # Leaving the pool kills the green threads that still run; only then are connections closed.
            with green.ContextPool(max(1, len(senders))) as pool:
                self._connect(pool, senders)
                for sender in senders:
                    if not sender.failed:
                        sender.start(pool)
                transferred, checksum = self._send(source, size, senders)
                for sender in senders:
                    sender.wait()
        finally:
            for sender in senders:
                sender.close()
            add_duration(self.perfdata, "rawx", "overall", start)
        checksum = self._check(senders, checksum)
        self._quorum_or_fail(senders)
        return transferred, checksum or "", [sender.chunk for sender in senders if not sender.failed]

    def _quorum_or_fail(self, senders: list[_ChunkSender]) -> None:
        try:
            self.quorum_or_fail(
                [sender.chunk for sender in senders if not sender.failed],
                [sender.chunk for sender in senders if sender.failed],
            )
        except exc.OioException as err:
            if self.deadline is not None and deadline_to_timeout(self.deadline) <= 0:
                raise exc.DeadlineReached(f"Deadline reached: {err}", reqid=self.reqid) from err
            raise

    def _connect(self, pool: Any, senders: list[_ChunkSender]) -> None:
        """Connect to all, before the first byte is taken from the source."""
        headers = {
            "transfer-encoding": "chunked",
            **headers_from_object_metadata(self.sysmeta),
            **self.headers,
        }
        for thread in [pool.spawn(sender.connect, headers) for sender in senders]:
            thread.wait()
        self._quorum_or_fail(senders)

    def _send(self, source: Any, size: int | None, senders: list[_ChunkSender]) -> tuple[int, str | None]:
        checksum = None
        if self.checksum_algo is not None and not self._share_checksum:
            checksum = hashlib.new(self.checksum_algo)
        transferred = 0
        while size is None or transferred < size:
            wanted = self.buffer_size()
            if size is not None:
                wanted = min(wanted, size - transferred)
            with _limits.reading_source(self._read_limit()):
                data = source.read(wanted)
            if not data:
                break
            transferred += len(data)
            self.checksum.update(data)
            if checksum is not None:
                checksum.update(data)
            frame = b"%x\r\n%b\r\n" % (len(data), data)
            for sender in senders:
                sender.put(data, frame)
            self._quorum_or_fail(senders)
        for sender in senders:
            sender.put(b"", b"")
        if self._share_checksum:
            checksum = self.checksum
        return transferred, checksum.hexdigest() if checksum is not None else None

    def _check(self, senders: list[_ChunkSender], checksum: str | None) -> str | None:
        """Verify the checksums that the servers answered; without one of ours, they must agree."""
        alive = [sender for sender in senders if not sender.failed]
        received = collections.Counter(str(s.chunk["hash"]).lower() for s in alive if s.chunk["hash"])
        if checksum is None and received:
            checksum = received.most_common(1)[0][0]
        for sender in alive:
            sender.check(checksum)
        return checksum


class ReplicatedWriteHandler(io.WriteHandler):
    """Handles writes to a replicated content.

    For initialization parameters, see :class:`oio.api.io.WriteHandler`.
    """

    _writer_class = ReplicatedMetachunkWriter
