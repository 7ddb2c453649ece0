# SPDX-License-Identifier: Apache-2.0
"""Replication: each metachunk is written whole to several chunk servers."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Any

from oio.api import io
from oio.blob.sender import ParallelMetachunkWriter, frame
from oio.common.storage_method import StorageMethod

__all__ = ["FakeChecksum", "ReplicatedMetachunkWriter", "ReplicatedWriteHandler"]

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


class ReplicatedMetachunkWriter(ParallelMetachunkWriter):
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
        super().__init__(
            sysmeta,
            meta_chunk,
            checksum,
            storage_method,
            quorum=quorum,
            connection_timeout=connection_timeout,
            write_timeout=write_timeout,
            read_timeout=read_timeout,
            headers=headers,
            **kwargs,
        )

    def stream(self, source: Any, size: int | None = None) -> tuple[int, str, list[dict[str, Any]]]:
        """Write at most ``size`` bytes of a source, or all of it, to all chunks.

        :returns: the bytes transferred, their checksum (hexadecimal; empty when neither side computed one),
            and the chunks that were written, with their ``hash`` and ``size``
        :raises oio.common.exceptions.OioException: see :meth:`~oio.api.io.MetachunkWriter.quorum_or_fail`
        """
        checksum = None if self.checksum_algo is None else self._new_checksum(self.checksum_algo)
        transferred = 0
        with self._senders() as senders:
            for data in self._read_source(source, size, checksum):
                transferred += len(data)
                framed = frame(data)
                for sender in senders:
                    sender.put(framed, len(data))
                self._check_quorum()
            self._complete(senders, lambda _sender: _END_OF_BODY)
        digest = checksum.hexdigest() if checksum is not None else self._agreed_hash()
        for sender in senders:
            sender.check_hash(digest)
            sender.chunk["hash"] = digest or sender.chunk.get("hash")
            sender.chunk["size"] = transferred
        self._check_quorum()
        return transferred, digest or "", [chunk for chunk in self.meta_chunk if not chunk.get("error")]

    def _agreed_hash(self) -> str | None:
        """The checksum that most chunk servers have computed, when we have none."""
        hashes = [chunk.get("hash") for chunk in self.meta_chunk if not chunk.get("error")]
        votes = collections.Counter(found.lower() for found in hashes if found)
        return votes.most_common(1)[0][0] if votes else None


class ReplicatedWriteHandler(io.WriteHandler):
    """Handles writes to a replicated content.

    For initialization parameters, see :class:`oio.api.io.WriteHandler`.
    """

    _writer_class = ReplicatedMetachunkWriter
