# SPDX-License-Identifier: Apache-2.0
"""Published names of the data path of Backblaze B2: one file of a bucket for each metachunk.

The file of a chunk is named ``<container ID>/<last part of the chunk's URL>``. The argument `backblaze_info`
of the handlers is what :meth:`oio.api.backblaze_http.BackblazeUtils.get_credentials` returns.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from oio.api import io
from oio.api._data.bucket import FileSource, FileWriter, delete_files, file_name
from oio.api._data.layout import Metachunk
from oio.api._data.metachunks import UploadRequest
from oio.api._data.read import read_pieces
from oio.api._data.source import Source
from oio.api.backblaze_http import Backblaze, BackblazeException
from oio.b2.clients import Bucket
from oio.b2.sizes import MAX_FILE_SIZE
from oio.common.answers import JsonMapping, JsonObject
from oio.common.checksums import Checksum
from oio.common.chunks import Chunk, ChunkDict, note_outcomes
from oio.common.options import Options
from oio.common.ranges import get_meta_ranges
from oio.common.sources import Readable, check_limit
from oio.common.storage_method import StorageMethod

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.keywords import SharedOptions

__all__ = [
    "BackblazeChunkDownloadHandler",
    "BackblazeChunkWriteHandler",
    "BackblazeDeleteHandler",
    "BackblazeDownloadHandler",
    "BackblazeWriteHandler",
]

CLIENT = "client"
"""Key, in `backblaze_info`, of a client to use, instead of a new one for each operation."""

_Info = Mapping[str, Any]
"""Credentials."""


@contextlib.contextmanager
def _bucket_of(info: _Info) -> Iterator[Bucket]:
    """Get access to the bucket that credentials are for; a client that is made here is closed afterwards."""
    known = info.get(CLIENT)
    if known is not None:
        yield Bucket(known, info["bucket_name"])
        return
    with Backblaze(
        info["backblaze.account_id"],
        info["backblaze.application_key"],
        info.get("authorization"),
        info.get("upload_token"),
        api_url=info.get("backblaze.api_url"),
        authorize=False,
    ) as client:
        yield Bucket(client, info["bucket_name"])


# --- writing -----------------------------------------------------------------------------------------


class BackblazeChunkWriteHandler:
    """Writes one metachunk, as one file.

    :param sysmeta: metadata of the object, with ``container_id``
    :param meta_chunk: its chunks, of which the first is used: a dict with ``url``, and maybe ``size``, the
        bytes that the file may have; it gets a true ``maybe_stored`` when the bucket may hold such a file
    :param checksum: of the object (MD5), updated with the data
    :param storage_method: how to store
    :param backblaze_info: credentials
    :param kwargs: ``deadline`` (monotonic seconds), ``read_timeout``: seconds for each read of the source
    """

    def __init__(
        self,
        sysmeta: JsonObject,
        meta_chunk: list[ChunkDict],
        checksum: Checksum,
        storage_method: StorageMethod,
        backblaze_info: _Info,
        **kwargs: Unpack[SharedOptions],
    ) -> None:
        self._described = meta_chunk[:1]
        self._size = check_limit("size", Chunk.of(meta_chunk[0]).size)
        self._sysmeta = sysmeta
        self._checksum = checksum
        self._quorum = storage_method.quorum
        self._info = backblaze_info
        self._options = Options.of(kwargs)

    def stream(self, source: Readable) -> tuple[int, list[ChunkDict]]:
        """Write the rest of a source, but no more than the chunk may have.

        :param source: its ``read(size)`` returns bytes
        :returns: the bytes transferred, and the chunk, with its ``hash`` (MD5) and ``size``; no chunk, nor
            file, when the source is at its end
        :raises oio.api.backblaze_http.BackblazeException: Backblaze refuses it
        :raises oio.common.exceptions.OioNetworkException: Backblaze does not answer
        :raises oio.common.exceptions.SourceReadError: the source failed
        """
        data = Source(source, self._options.limits)
        if self._size == 0 or data.is_exhausted():
            return 0, []
        chunks = Chunk.all_of(self._described)
        request = UploadRequest(self._sysmeta, chunks, self._checksum, False, self._quorum, self._options)
        with _bucket_of(self._info) as bucket:
            writer = FileWriter(bucket, file_name(self._sysmeta["container_id"], chunks[0]), request)
            try:
                size, _ = writer.write(data, self._size)
            finally:
                note_outcomes(self._described, writer.outcomes)
        return size, self._described


class BackblazeWriteHandler(io.WriteHandler):
    """Writes an object to a bucket.

    An object is one file, whatever the size of the chunks of the namespace: that size spreads an object over
    drives, which B2 does by itself, and each file costs requests. Above 200 MiB, the file is sent in parts of
    200 MiB. Only an object of more than 10,000 parts, 2 TB, is several files.

    :param source: what to read the data from: an object with a ``read`` method, of any size
    :param sysmeta: metadata of the object, with ``container_id``
    :param chunk_prep: callable that gives an iterable of metachunks, or a dict of position -> list of chunks
    :param storage_method: tells the bucket
    :param backblaze_info: credentials
    :param kwargs: those of :class:`oio.api.io.WriteHandler`; ``read_timeout`` (seconds) is that of the source
    """

    #: Bytes that a file has at most.
    file_size = MAX_FILE_SIZE

    _bucket: Bucket

    def __init__(
        self,
        source: Readable,
        sysmeta: JsonObject,
        chunk_prep: io.ChunkPreparer,
        storage_method: StorageMethod,
        backblaze_info: _Info,
        **kwargs: Any,
    ) -> None:
        super().__init__(source, sysmeta, chunk_prep, storage_method, **kwargs)
        self._info = backblaze_info

    def _metachunk_size(self) -> int:
        return self.file_size

    def _writer(self, request: UploadRequest) -> FileWriter:
        name = file_name(self.sysmeta["container_id"], request.chunks[0])
        return FileWriter(self._bucket, name, request)

    def stream(self) -> tuple[list[ChunkDict], int, str]:
        """Upload the data of the source, as one file or several.

        :returns: the chunks to be saved in the container, the number of bytes transferred, and the MD5 of the
            data (hexadecimal)
        :raises oio.common.exceptions.OioException: see :meth:`BackblazeChunkWriteHandler.stream`
        """
        with _bucket_of(self._info) as self._bucket:
            return super().stream()


# --- reading -----------------------------------------------------------------------------------------


class BackblazeDownloadHandler:
    """Reads an object, or a range of it: counted, and compared with the MD5 of the metachunks read whole.

    :param sysmeta: metadata of the object, with ``container_id``
    :param meta_chunks: metachunk position -> its chunks, dicts with ``url``, ``size`` and maybe ``hash``
    :param backblaze_info: credentials
    :param headers: not used: B2 has no use for those of the namespace
    :param range_start: first byte of the object to read; with None, `range_end` tells how many of the last
        ones
    :param range_end: last byte to read, None for all that follow
    """

    def __init__(
        self,
        sysmeta: JsonMapping,
        meta_chunks: Mapping[int, list[ChunkDict]],
        backblaze_info: _Info,
        headers: Mapping[str, object] | None,
        range_start: int | None = None,
        range_end: int | None = None,
    ) -> None:
        self._cid: str = sysmeta["container_id"]
        self._chunks = meta_chunks
        self._info = backblaze_info
        self._range = range_start, range_end

    def get_iter(self) -> Iterator[Iterator[bytes]]:
        """Get an iterator of one iterator of bytes. Nothing is sent before its first block is asked for.

        The exceptions come while it is read.

        :raises oio.common.exceptions.UnrecoverableContent: a file does not exist any more
        :raises oio.common.exceptions.CorruptedChunk: the data of a file differ from those that were stored
        :raises oio.common.exceptions.ServiceUnavailable: a file cannot be read for now
        """
        return iter([self._blocks()])

    def _blocks(self) -> Generator[bytes, None, None]:
        pieces = [
            (Metachunk(pos, 0, int(copies[0]["size"]), tuple(Chunk.all_of(copies))), first, last)
            for bounds in get_meta_ranges([self._range], self._chunks)
            for pos, (first, last) in sorted(bounds.items())
            for copies in [self._chunks[pos]]
        ]
        options = Options()
        with _bucket_of(self._info) as bucket:

            def source_of(metachunk: Metachunk) -> FileSource:
                chunk = metachunk.chunks[0]
                return FileSource(bucket, file_name(self._cid, chunk), chunk, options)

            yield from read_pieces(pieces, source_of, verify=True)


class BackblazeChunkDownloadHandler:
    """Reads a part of one file, into memory.

    :param meta: metadata of the object, with ``container_id``
    :param chunks: the chunks of the metachunk, of which the first is read: a dict with ``url``
    :param offset: first byte to read
    :param size: how many bytes to read; None, or 0, for all that follow
    :param headers: not used, see :class:`BackblazeDownloadHandler`
    :param backblaze_info: credentials
    """

    def __init__(
        self,
        meta: JsonMapping,
        chunks: list[ChunkDict],
        offset: int,
        size: int | None,
        headers: Mapping[str, object] | None = None,
        backblaze_info: _Info | None = None,
    ) -> None:
        if backblaze_info is None:
            raise ValueError("backblaze_info is required (what BackblazeUtils.get_credentials gives)")
        self._name = file_name(meta["container_id"], Chunk.of(chunks[0]))
        self._bounds = offset or 0, offset + size - 1 if size else None
        self._info = backblaze_info

    def get_stream(self) -> bytes | None:
        """Read it.

        :returns: the bytes; None when the file has none there
        :raises oio.api.backblaze_http.BackblazeException: there is no such file, or Backblaze refuses
        :raises oio.common.exceptions.OioNetworkException: Backblaze does not answer, or the connection breaks
        """
        try:
            with _bucket_of(self._info) as bucket:
                return b"".join(bucket.client.get(bucket.name, self._name, *self._bounds)) or None
        except BackblazeException as err:
            if err.status_code == 416:
                return None
            raise


# --- deleting ----------------------------------------------------------------------------------------


class BackblazeDeleteHandler:
    """Deletes the files of an object, all their versions included.

    :param meta: metadata of the object, with ``container_id``
    :param chunks: its chunks, in a list, or metachunk position -> list of chunks
    :param backblaze_info: credentials
    :param kwargs: ``deadline`` (monotonic seconds)
    """

    def __init__(
        self,
        meta: JsonMapping,
        chunks: Mapping[int, list[ChunkDict]] | Iterable[ChunkDict],
        backblaze_info: _Info,
        **kwargs: Unpack[SharedOptions],
    ) -> None:
        listed = itertools.chain.from_iterable(chunks.values()) if isinstance(chunks, Mapping) else chunks
        self._names = [file_name(meta["container_id"], Chunk.of(chunk)) for chunk in listed]
        self._info = backblaze_info
        self._deadline = kwargs.get("deadline")
        #: Files that could not be deleted.
        self.left: list[str] = []

    def delete(self) -> None:
        """Delete them. Those that do not exist are no failure; of several failures, the first is raised.

        :raises oio.api.backblaze_http.BackblazeException: Backblaze refuses to delete one
        :raises oio.common.exceptions.OioNetworkException: Backblaze does not answer
        """
        with _bucket_of(self._info) as bucket:
            remove = partial(bucket.client.remove, deadline=self._deadline)
            self.left, first = delete_files(remove, bucket.name, self._names)
        if first is not None:
            raise first
