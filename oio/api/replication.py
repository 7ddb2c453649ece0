# SPDX-License-Identifier: Apache-2.0
"""Replication: each metachunk is written whole to several chunk servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oio.api import io
from oio.api._data.copies import CopiesWriter
from oio.api._data.metachunks import UploadRequest
from oio.api._data.source import Source
from oio.common.chunks import Chunk
from oio.common.storage_method import StorageMethod

__all__ = ["FakeChecksum", "ReplicatedMetachunkWriter", "ReplicatedWriteHandler"]


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
        super().__init__(
            storage_method=storage_method,
            quorum=quorum,
            connection_timeout=connection_timeout,
            write_timeout=write_timeout,
            read_timeout=read_timeout,
            headers=headers,
            **kwargs,
        )
        self.sysmeta = sysmeta
        self.meta_chunk = meta_chunk
        self.checksum = checksum
        self._first = bool(kwargs.get("first"))

    def stream(self, source: Any, size: int | None = None) -> tuple[int, str, list[dict[str, Any]]]:
        """Write at most ``size`` bytes of a source, or all of it, to all chunks.

        :returns: the bytes transferred, their checksum (hexadecimal; empty when neither side computed one),
            and the chunks that were written, with their ``hash`` and ``size``
        :raises oio.common.exceptions.OioException: see :meth:`~oio.api.io.MetachunkWriter.quorum_or_fail`
        """
        chunks = [Chunk.of(chunk) for chunk in self.meta_chunk]
        writer = CopiesWriter(
            UploadRequest(self.sysmeta, chunks, self.checksum, self._first, self.quorum, self.options)
        )
        try:
            transferred, digest = writer.write(Source(source, self.options.limits), size)
        finally:
            io.describe_outcomes(self.meta_chunk, writer.outcomes)
        return transferred, digest, [chunk for chunk in self.meta_chunk if not chunk.get("error")]


class ReplicatedWriteHandler(io.WriteHandler):
    """Handles writes to a replicated content.

    For initialization parameters, see :class:`oio.api.io.WriteHandler`.
    """

    def _writer(self, chunks: list[Chunk], checksum: Any, first: bool) -> CopiesWriter:
        quorum = self.storage_method.quorum
        return CopiesWriter(UploadRequest(self.sysmeta, chunks, checksum, first, quorum, self.options))
