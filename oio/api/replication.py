# SPDX-License-Identifier: Apache-2.0
"""Published names of replication; chunks come in and go out as dicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oio.api import io
from oio.api._data.copies import CopiesWriter
from oio.api._data.metachunks import UploadRequest
from oio.api._data.source import Source
from oio.common.answers import JsonObject
from oio.common.checksums import Checksum
from oio.common.chunks import Chunk, ChunkDict, note_outcomes
from oio.common.sources import Readable, check_limit
from oio.common.storage_method import StorageMethod

__all__ = ["FakeChecksum", "ReplicatedMetachunkWriter", "ReplicatedWriteHandler"]


class FakeChecksum:
    """Checksum object that computes nothing, and gives what it was made with.

    >>> FakeChecksum("6bf6").hexdigest()
    '6bf6'
    """

    def __init__(self, actual_checksum: str) -> None:
        self.checksum = actual_checksum

    def hexdigest(self) -> str:
        """Get the checksum that was given to the constructor."""
        return self.checksum

    def update(self, *_args: object, **_kwargs: object) -> None:
        """Ignore data."""


class ReplicatedMetachunkWriter(io.MetachunkWriter):
    """Writer of the copies of one metachunk.

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
        sysmeta: JsonObject,
        meta_chunk: list[ChunkDict],
        checksum: Checksum,
        storage_method: StorageMethod | None,
        quorum: int | None = None,
        connection_timeout: float | None = None,
        write_timeout: float | None = None,
        read_timeout: float | None = None,
        headers: Mapping[str, object] | None = None,
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

    def stream(self, source: Readable, size: int | None = None) -> tuple[int, str, list[ChunkDict]]:
        """Write at most ``size`` bytes of a source, or all of it, to all chunks.

        :param size: None, or -1, for all of it
        :returns: the bytes transferred, their checksum (hexadecimal; empty when neither side computed one),
            and the chunks that were written, with their ``hash`` and ``size``
        :raises oio.common.exceptions.OioException: see :meth:`~oio.api.io.MetachunkWriter.quorum_or_fail`
        """
        size = check_limit("size", size)
        chunks = Chunk.all_of(self.meta_chunk)
        writer = CopiesWriter(
            UploadRequest(self.sysmeta, chunks, self.checksum, self._first, self.quorum, self.options)
        )
        try:
            transferred, digest = writer.write(Source(source, self.options.limits), size)
        finally:
            note_outcomes(self.meta_chunk, writer.outcomes)
        written = [chunk for chunk in self.meta_chunk if not chunk.get("error")]
        self.quorum_or_fail(written, [chunk for chunk in self.meta_chunk if chunk.get("error")])
        return transferred, digest, written


class ReplicatedWriteHandler(io.WriteHandler):
    """Writer of a replicated object.

    For initialization parameters, see :class:`oio.api.io.WriteHandler`.
    """

    def _writer(self, request: UploadRequest) -> CopiesWriter:
        return CopiesWriter(request)
