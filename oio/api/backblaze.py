# SPDX-License-Identifier: Apache-2.0
"""Backblaze B2: each metachunk is one file of a bucket, and B2 takes care of its copies.

The file of a chunk is named ``<container ID>/<last part of the chunk's URL>``. What the handlers take as
`backblaze_info` comes of :meth:`oio.api.backblaze_http.BackblazeUtils.get_credentials`.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

from oio.api import io
from oio.api._data.read import MetachunkSource, fetch_metachunks
from oio.api.backblaze_http import Backblaze, BackblazeException
from oio.b2.large import MAX_PARTS
from oio.blob.sender import WriteOptions
from oio.common import exceptions as exc
from oio.common import limits as _limits
from oio.common.deadlines import hard_deadline, monotonic_time
from oio.common.perfdata import add_duration
from oio.common.ranges import Range
from oio.common.storage_method import StorageMethod

__all__ = [
    "BackblazeChunkDownloadHandler",
    "BackblazeChunkWriteHandler",
    "BackblazeDeleteHandler",
    "BackblazeDownloadHandler",
    "BackblazeWriteHandler",
]

CLIENT = "client"
"""Key, in `backblaze_info`, of a client to use, instead of one that is made for the occasion."""
_READ_SIZE = 262144

_Chunk = dict[str, Any]
_Info = Mapping[str, Any]


@contextlib.contextmanager
def client_of(info: _Info) -> Iterator[Backblaze]:
    """Get a client of the account that credentials are for; one that is made here is closed afterwards."""
    known = info.get(CLIENT)
    if known is not None:
        yield known
        return
    client = Backblaze(
        info["backblaze.account_id"],
        info["backblaze.application_key"],
        info.get("authorization"),
        info.get("upload_token"),
        api_url=info.get("backblaze.api_url"),
        authorize=False,
    )
    with contextlib.closing(client):
        yield client


def file_name(meta: Mapping[str, Any], chunk: _Chunk) -> str:
    """Name the file of a chunk.

    :param meta: metadata of the object, with ``container_id``

    >>> file_name({"container_id": "C0FFEE"}, {"url": "b2/0A1B"})
    'C0FFEE/0A1B'
    """
    return f"{meta['container_id']}/{chunk['url'].rpartition('/')[2]}"


# --- writing -----------------------------------------------------------------------------------------


class _Hashed:
    """What a file is read from: no more of the source than it may have, hashed and counted.

    :param size: bytes that the file may have; None for all that there are
    :param checksums: to be updated
    :param options: limit the time of each read
    """

    def __init__(self, source: Any, size: int | None, checksums: list[Any], options: WriteOptions) -> None:
        self._source = source
        self._left = size
        self._checksums = checksums
        self._options = options
        self._ahead = b""
        self.size = 0

    def is_empty(self) -> bool:
        """Whether the source is at its end."""
        self._ahead = self._ahead or self.read(_READ_SIZE)
        return not self._ahead

    def read(self, size: int = -1) -> bytes:
        """Read some bytes; nothing at the end only."""
        wanted = _READ_SIZE if size < 0 else min(size, _READ_SIZE)
        if self._ahead:
            data, self._ahead = self._ahead[:wanted], self._ahead[wanted:]
            return data
        if self._left is not None:
            wanted = min(wanted, self._left)
        if not wanted:
            return b""
        with _limits.reading_source(self._options.read_limit()):
            block: bytes = self._source.read(wanted)
        self.size += len(block)
        if self._left is not None:
            self._left -= len(block)
        for checksum in self._checksums:
            checksum.update(block)
        return block


class _FileWriter:
    """Writes the file of one metachunk.

    :param sysmeta: metadata of the object: ``container_id``, and maybe ``mime_type``
    :param meta_chunk: its chunk; a true ``maybe_stored`` tells that the bucket may hold something of it
    :param checksum: of the object, updated with the data
    :param kwargs: ``deadline`` (monotonic seconds), ``read_timeout`` of the source (seconds), ``first``:
        nothing went into ``checksum`` before; ``perfdata``; ``skip_empty``: make no file without a byte
    """

    def __init__(
        self,
        sysmeta: Mapping[str, Any],
        meta_chunk: list[_Chunk],
        checksum: Any,
        storage_method: StorageMethod,
        backblaze_info: _Info,
        **kwargs: Any,
    ) -> None:
        self._sysmeta = sysmeta
        self._chunk = meta_chunk[0]
        self._checksum = checksum
        self._info = backblaze_info
        self._options = WriteOptions(
            **{name: kwargs.get(name) for name in ("deadline", "read_timeout", "perfdata", "reqid")}
        )
        self._first = bool(kwargs.get("first"))
        self._skip_empty = bool(kwargs.get("skip_empty"))

    def stream(self, source: Any, size: int | None = None) -> tuple[int, str, list[_Chunk]]:
        """Write at most ``size`` bytes of a source, or all of it.

        :returns: the bytes transferred, their MD5 (hexadecimal), and the chunk with its ``hash`` and ``size``
        """
        # Up to the end of the first metachunk, the checksum of the object is the same: hash once.
        checksum = self._checksum if self._first else hashlib.new("md5")
        checksums = [checksum] if self._first else [checksum, self._checksum]
        data = _Hashed(source, size, checksums, self._options)
        if self._skip_empty and data.is_empty():
            return 0, checksum.hexdigest(), []
        self._chunk["maybe_stored"] = True
        stored = self._put(data)
        if int(stored["contentLength"]) != data.size:
            raise exc.OioException(
                f"Backblaze has {stored['contentLength']} bytes of {self._chunk['url']}, not {data.size}"
            )
        self._chunk.update(hash=checksum.hexdigest().upper(), size=data.size)
        return data.size, checksum.hexdigest(), [self._chunk]

    def _put(self, data: _Hashed) -> Mapping[str, Any]:
        start = monotonic_time()
        name = file_name(self._sysmeta, self._chunk)
        options = {"mime_type": self._sysmeta["mime_type"]} if self._sysmeta.get("mime_type") else {}
        try:
            with client_of(self._info) as client:
                return client.put(
                    self._info["bucket_name"], name, data, deadline=self._options.deadline, **options
                )
        except (BackblazeException, exc.OioNetworkException) as err:
            self._options.check_deadline(err)
            raise
        finally:
            add_duration(self._options.perfdata, "b2", f"upload.{self._chunk['url']}", start)


class BackblazeChunkWriteHandler:
    """Writes one metachunk, as one file.

    :param sysmeta: metadata of the object, with ``container_id``
    :param meta_chunk: its chunks, of which the first is used: a dict with ``url``, and maybe ``size``, the
        bytes that the file may have
    :param checksum: of the object (MD5), updated with the data
    :param storage_method: how to store
    :param backblaze_info: credentials
    :param kwargs: ``deadline`` (monotonic seconds), ``read_timeout``: seconds for each read of the source
    """

    def __init__(
        self,
        sysmeta: dict[str, Any],
        meta_chunk: list[_Chunk],
        checksum: Any,
        storage_method: StorageMethod,
        backblaze_info: _Info,
        **kwargs: Any,
    ) -> None:
        self._size = meta_chunk[0].get("size")
        self._writer = _FileWriter(
            sysmeta, meta_chunk, checksum, storage_method, backblaze_info, skip_empty=True, **kwargs
        )

    def stream(self, source: Any) -> tuple[int, list[_Chunk]]:
        """Write what is left in a source, but no more than the chunk may have.

        :param source: its ``read(size)`` returns bytes
        :returns: the bytes transferred, and the chunk, with its ``hash`` (MD5) and ``size``; no chunk, nor
            file, when the source is at its end
        :raises oio.api.backblaze_http.BackblazeException: Backblaze refuses it
        :raises oio.common.exceptions.OioNetworkException: Backblaze does not answer
        :raises oio.common.exceptions.SourceReadError: the source failed
        """
        size, _, chunks = self._writer.stream(source, self._size)
        return size, chunks


class BackblazeWriteHandler(io.WriteHandler):
    """Handles writes to a bucket.

    An object is one file, whatever the size of the chunks of the namespace: this size spreads an object over
    drives, which B2 does by itself, and each file costs requests. Above 200 MiB, the file is a large one, in
    parts of 200 MiB. Only an object of more than 10,000 parts, 2 TB, is several files.

    :param source: what to read the data from: an object with a ``read`` method, of any size
    :param sysmeta: metadata of the object, with ``container_id``
    :param chunk_prep: callable that gives an iterable of metachunks, or a dict of position -> list of chunks
    :param storage_method: tells the bucket
    :param backblaze_info: credentials
    :param kwargs: those of :class:`oio.api.io.WriteHandler`; ``read_timeout`` (seconds) is that of the source
    """

    _writer_class = _FileWriter
    #: Bytes that a file has at most.
    file_size = MAX_PARTS * Backblaze.BACKBLAZE_MAX_CHUNK_SIZE

    def __init__(
        self,
        source: Any,
        sysmeta: dict[str, Any],
        chunk_prep: Any,
        storage_method: StorageMethod,
        backblaze_info: _Info,
        **kwargs: Any,
    ) -> None:
        super().__init__(source, sysmeta, chunk_prep, storage_method, **kwargs)
        self.extra_kwargs["backblaze_info"] = backblaze_info

    def _metachunk_size(self) -> int:
        return self.file_size


# --- reading -----------------------------------------------------------------------------------------


class _File:
    """The file of one metachunk, see :class:`~oio.api._data.read.MetachunkSource`.

    :param meta: metadata of the object, with ``container_id``
    :param options: ``deadline`` (monotonic seconds); ``verify_checksum``
    """

    def __init__(
        self, info: _Info, meta: Mapping[str, Any], chunk: _Chunk, options: Mapping[str, Any]
    ) -> None:
        self._info = info
        self._name = file_name(meta, chunk)
        self._chunk = chunk
        self._deadline = hard_deadline(options)
        self._verify = bool(options.get("verify_checksum", True))
        self._again = True
        self.used: list[str] = []

    def open(self, start: int, end: int) -> Generator[bytes, None, None]:
        self.used = [self._chunk["url"]]
        wanted = end - start + 1
        given = 0
        with self._explained(), client_of(self._info) as client:
            blocks = client.get(
                self._info["bucket_name"],
                self._name,
                start,
                end,
                verify=self._verify,
                deadline=self._deadline,
            )
            with contextlib.closing(blocks):
                for block in blocks:
                    given += len(block)
                    yield block
        if given != wanted:
            raise exc.CorruptedChunk(f"The file of {self._chunk['url']} is shorter than what was stored")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise what readers of any kind of chunk raise."""
        url = self._chunk["url"]
        try:
            yield
        except BackblazeException as err:
            if err.status_code == 404:
                raise exc.NotFound(404, None, f"{url}: {err}") from err
            if err.status_code == 416:
                raise exc.CorruptedChunk(f"The file of {url} is shorter than what was stored") from err
            _limits.blame_deadline(err, self._deadline)
            raise exc.ServiceUnavailable(f"{url}: {err}", service=err.service) from err
        except exc.OioNetworkException as err:
            _limits.blame_deadline(err, self._deadline)
            raise exc.ServiceUnavailable(f"{url}: {err}", service=err.service) from err

    def find_damaged(self) -> list[str]:
        return self.used

    def exclude_damaged(self) -> bool:
        # There is no other copy, but what was damaged on the way may come whole the next time.
        again, self._again = self._again, False
        return again


def fetch_stream_backblaze(
    chunks: Mapping[int, list[_Chunk]],
    ranges: Iterable[Range] | None,
    storage_method: StorageMethod,  # noqa: ARG001 - what all strategies are given
    headers: Mapping[str, Any] | None = None,  # noqa: ARG001
    *,
    backblaze_info: _Info,
    container_id: str,
    **kwargs: Any,
) -> Generator[bytes, None, None]:
    """Read an object stored in a bucket; see :func:`oio.api._data.read.fetch_stream` for what is not here.

    :param backblaze_info: credentials
    :param container_id: ID of the container of the object
    :raises oio.common.exceptions.UnrecoverableContent: when a file does not exist any more
    """
    meta = {"container_id": container_id}

    def source(copies: list[_Chunk]) -> MetachunkSource:
        return _File(backblaze_info, meta, copies[0], kwargs)

    return fetch_metachunks(chunks, ranges, source, kwargs.get("verify_checksum", True))


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
        sysmeta: Mapping[str, Any],
        meta_chunks: Mapping[int, list[_Chunk]],
        backblaze_info: _Info,
        headers: Mapping[str, Any] | None,
        range_start: int | None = None,
        range_end: int | None = None,
    ) -> None:
        self._sysmeta = sysmeta
        self._chunks = meta_chunks
        self._info = backblaze_info
        self._range = range_start, range_end

    def get_iter(self) -> Iterator[Iterator[bytes]]:
        """Get an iterator of one iterator of bytes. Nothing is asked for before its first block is.

        :raises oio.common.exceptions.OioException: while it is read, see :func:`fetch_stream_backblaze`
        """

        def source(copies: list[_Chunk]) -> MetachunkSource:
            return _File(self._info, self._sysmeta, copies[0], {})

        return iter([fetch_metachunks(self._chunks, [self._range], source, True)])


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
        meta: Mapping[str, Any],
        chunks: list[_Chunk],
        offset: int,
        size: int | None,
        headers: Mapping[str, Any] | None = None,
        backblaze_info: _Info | None = None,
    ) -> None:
        if backblaze_info is None:
            raise ValueError("backblaze_info must be credentials: None")
        self._name = file_name(meta, chunks[0])
        self._bounds = offset or 0, offset + size - 1 if size else None
        self._info = backblaze_info

    def get_stream(self) -> bytes | None:
        """Read it.

        :returns: the bytes; None when the file has none there
        :raises oio.api.backblaze_http.BackblazeException: there is no such file, or Backblaze refuses
        :raises oio.common.exceptions.OioNetworkException: Backblaze does not answer, or the connection breaks
        """
        try:
            with client_of(self._info) as client:
                return b"".join(client.get(self._info["bucket_name"], self._name, *self._bounds)) or None
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
        meta: Mapping[str, Any],
        chunks: Mapping[int, list[_Chunk]] | Iterable[_Chunk],
        backblaze_info: _Info,
        **kwargs: Any,
    ) -> None:
        listed = itertools.chain.from_iterable(chunks.values()) if isinstance(chunks, Mapping) else chunks
        self._names = list(dict.fromkeys(file_name(meta, chunk) for chunk in listed))
        self._info = backblaze_info
        self._deadline: float | None = kwargs.get("deadline")
        #: Files that could not be deleted.
        self.left: list[str] = []

    def delete(self) -> None:
        """Delete them. Those that are not there are no failure; of several failures, the first is raised.

        :raises oio.api.backblaze_http.BackblazeException: Backblaze refuses to delete one
        :raises oio.common.exceptions.OioNetworkException: Backblaze does not answer
        """
        first: exc.OioException | None = None
        self.left = []
        with client_of(self._info) as client:
            for name in self._names:
                try:
                    client.remove(self._info["bucket_name"], name, deadline=self._deadline)
                except exc.OioException as err:
                    first = first or err
                    self.left.append(name)
        if first is not None:
            raise first
