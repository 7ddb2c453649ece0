# SPDX-License-Identifier: Apache-2.0
"""Writer of a metachunk to all of its chunk servers at once."""

from __future__ import annotations

import abc
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from oio.blob.quorum import check_quorum
from oio.blob.sender import ChunkSender
from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Outcome
from oio.common.perfdata import add_duration

if TYPE_CHECKING:
    from oio.api._data.metachunks import Checksum, UploadRequest
    from oio.api._data.source import Source

FIRST_BLOCK, LARGEST_BLOCK = 32768, 262144
"""Bytes read from a source: few at first, for a quick start, then more."""


class ParallelWriter(abc.ABC):
    """Base of the writers that send to all chunk servers of a metachunk at once.

    :param request: what to write, and how
    """

    def __init__(self, request: UploadRequest) -> None:
        self._request = request
        self._options = request.options
        self._failures: list[ChunkSender] = []
        #: What became of each chunk, see :class:`~oio.api._data.metachunks.MetachunkWriter`.
        self.outcomes: list[Outcome] = []

    @abc.abstractmethod
    def _senders(self) -> list[ChunkSender]:
        """Make the senders of the chunks."""

    @abc.abstractmethod
    def _transfer(self, source: Source, size: int | None, senders: list[ChunkSender]) -> tuple[int, str]:
        """Send the data, and the end of each body.

        :returns: number of bytes, and their checksum (hexadecimal; empty when none was computed)
        """

    @abc.abstractmethod
    def _verified(self, senders: list[ChunkSender], checksum: str) -> str:
        """Compare the checksums that the servers have computed with the right ones.

        :param checksum: of the metachunk; empty when we have computed none
        :returns: checksum of the metachunk
        """

    def write(self, source: Source, size: int | None) -> tuple[int, str]:
        """Write at most `size` bytes of a source, or all of it.

        :returns: number of bytes, and their checksum (hexadecimal; empty when none was computed)
        :raises oio.common.exceptions.OioException: too few chunks are stored,
            see :func:`~oio.blob.quorum.check_quorum`
        """
        begin = time.monotonic()
        senders = self._senders()
        transferred: int | None = None
        checksum = ""
        try:
            # Leaving the pool kills the green threads that still run; only then are connections closed.
            with green.ContextPool(max(1, len(senders))) as pool:
                # Two green threads never write to one socket (pitfall 17).
                for sender in senders:
                    sender.thread = pool.spawn(sender.run)
                for sender in senders:
                    sender.ready.wait()
                # Before the first byte is taken from the source.
                self._check()
                count, checksum = self._transfer(source, size, senders)
                for sender in senders:
                    sender.thread.wait()
            checksum = self._verified(senders, checksum)
            transferred = count
        finally:
            self.outcomes = []
            for sender in senders:
                if sender.conn is not None:
                    sender.close()
                known = transferred if sender.error is None else None
                self.outcomes.append(sender.outcome(known, checksum or sender.received_hash))
            if self._options.perfdata is not None:
                add_duration(self._options.perfdata, "rawx", "overall", begin)
        self._check()
        return transferred, checksum

    def _check(self) -> None:
        failed, total = self._failures, len(self._request.chunks)
        if total - len(failed) >= self._request.quorum:
            return
        try:
            check_quorum(
                self._request.quorum,
                total - len(failed),
                [(sender.chunk.url, sender.error) for sender in failed],
                self._options.reqid,
            )
        except exc.OioException as err:
            self._options.limits.blame(err, self._options.reqid)
            raise

    def _blocks(self, source: Source, size: int | None, checksum: Checksum | None) -> Iterator[bytes]:
        """Blocks of at most `size` bytes of the source, hashed.

        :param checksum: of the metachunk; the data are added to it, and to that of the object. None for none
        """
        options, of_object = self._options, self._request.checksum
        wanted = options.buffer_min or FIRST_BLOCK
        largest = options.buffer_max or LARGEST_BLOCK
        left = size
        while left is None or left > 0:
            wanted = min(wanted, largest)
            data = source.read(wanted if left is None else min(wanted, left))
            if not data:
                return
            wanted *= 2
            if left is not None:
                left -= len(data)
            of_object.update(data)
            if checksum is not None and checksum is not of_object:
                checksum.update(data)
            yield data
            if self._failures:
                self._check()
