# SPDX-License-Identifier: Apache-2.0
"""Erasure coding: each segment of a metachunk is cut in k+m fragments, one for each chunk."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from typing import Any, TypeVar

from oio.api import io
from oio.api._data.ec.codec import codec_of
from oio.api._data.ec.read import (
    ECChunkDownloadHandler,
    ECStream,
    meta_chunk_range_to_segment_range,
    segment_range_to_fragment_range,
)
from oio.api._data.ec.rebuild import ECRebuildHandler
from oio.api._data.ec.sources import number
from oio.blob.sender import ChunkSender, ParallelMetachunkWriter, WriteOptions, connect_to_chunk, frame
from oio.common import exceptions as exc
from oio.common.constants import CHUNK_HEADERS
from oio.common.deadlines import monotonic_time
from oio.common.http import headers_from_object_metadata
from oio.common.perfdata import add_duration
from oio.common.storage_method import StorageMethod

__all__ = [
    "ECChunkDownloadHandler",
    "ECRebuildHandler",
    "ECStream",
    "ECWriteHandler",
    "EcChunkWriter",
    "EcMetachunkWriter",
    "ec_encode",
    "meta_chunk_range_to_segment_range",
    "segment_range_to_fragment_range",
]

_T = TypeVar("_T")
_TRAILERS = (CHUNK_HEADERS["metachunk_size"], CHUNK_HEADERS["metachunk_hash"])


def ec_encode(storage_method: Any, n: int) -> Generator[list[bytes] | None, bytes, None]:
    """Encode EC segments

    A coroutine: prime it with ``send(None)``, then send it blocks of any size.

    :param storage_method: an :class:`~oio.common.storage_method.ECStorageMethod`
    :param n: number of chunks
    :returns: for each block, None when no segment is complete yet, else a list of ``n`` byte strings: the
        fragments of the segments that this block completed. An empty block ends the data.

    >>> from oio.common.storage_method import STORAGE_METHODS
    >>> encoder = ec_encode(STORAGE_METHODS.load("ec/algo=liberasurecode_rs_vand,k=2,m=1"), 3)
    >>> encoder.send(None)
    >>> encoder.send(b"some data")
    >>> [len(fragment) for fragment in encoder.send(b"")]
    [86, 86, 86]
    """
    codec = codec_of(storage_method)
    size = codec.segment_size
    blocks: list[bytes] = []
    length = 0
    result: list[bytes] | None = None
    while block := (yield result):
        blocks.append(block)
        length += len(block)
        result = None
        if length >= size:
            data = b"".join(blocks)
            full = length // size * size
            encoded = [codec.encode(data[begin : begin + size]) for begin in range(0, full, size)]
            result = [b"".join(fragments) for fragments in zip(*encoded, strict=True)]
            blocks, length = [data[full:]], length - full
    rest = b"".join(blocks)
    yield codec.encode(rest) if rest else [b""] * n


class EcChunkWriter(ChunkSender):
    """Writes an EC chunk

    :param chunk: dict with ``url``, ``pos``
    :param conn: connection to its server, with the head of the request already sent
    :param write_timeout: seconds for each block, and for the answer
    :param chunk_checksum_algo: of the checksum of the fragments; None for none
    """

    def __init__(
        self,
        chunk: dict[str, Any],
        conn: Any,
        write_timeout: float | None = None,
        chunk_checksum_algo: str | None = "md5",
        **_kwargs: Any,
    ) -> None:
        super().__init__(chunk, conn, WriteOptions(write_timeout=write_timeout, **_kwargs))
        self.checksum = hashlib.new(chunk_checksum_algo) if chunk_checksum_algo else None

    @classmethod
    def connect(
        cls,
        chunk: dict[str, Any],
        sysmeta: dict[str, Any],
        reqid: str | None = None,
        connection_timeout: float | None = None,
        write_timeout: float | None = None,
        **kwargs: Any,
    ) -> EcChunkWriter:
        """Connect to the server of a chunk, and announce what will come.

        :param sysmeta: metadata of the object
        :param kwargs: ``headers`` of the request, ``chunk_checksum_algo``, ``deadline``...
        """
        algo = kwargs.get("chunk_checksum_algo", "md5")
        # Only what will really be sent is announced (pitfalls row 19).
        trailers = (*_TRAILERS, CHUNK_HEADERS["chunk_hash"]) if algo else _TRAILERS
        headers = {
            "transfer-encoding": "chunked",
            **headers_from_object_metadata(sysmeta),
            **(kwargs.pop("headers", None) or {}),
            "Trailer": ", ".join(trailers),
        }
        if reqid:
            headers["x-oio-req-id"] = reqid
        timeouts: dict[str, Any] = {"connection_timeout": connection_timeout, "write_timeout": write_timeout}
        conn = connect_to_chunk(chunk, headers, WriteOptions(**timeouts, reqid=reqid, **kwargs))
        return cls(chunk, conn, write_timeout=write_timeout, reqid=reqid, **kwargs)

    def _describe(self, phase: str, error: Any) -> Any:
        return f"{phase}: {error}"

    def send(self, data: bytes) -> None:
        """Queue the fragments of some segments; nothing when there are none."""
        if data and not self.failed:
            if self.checksum is not None:
                self.checksum.update(data)
            self.put(frame(data), len(data))

    def _trailers(self, metachunk_size: int, metachunk_hash: str) -> bytes:
        values: dict[str, Any] = dict(zip(_TRAILERS, (metachunk_size, metachunk_hash), strict=True))
        if self.checksum is not None:
            values[CHUNK_HEADERS["chunk_hash"]] = self.checksum.hexdigest()
        lines = "".join(f"{name}: {value}\r\n" for name, value in values.items())
        return f"0\r\n{lines}\r\n".encode("ascii")

    def finish(self, metachunk_size: int, metachunk_hash: str) -> dict[str, Any] | None:
        """Send metachunk_size and metachunk_hash as trailers

        :returns: the chunk when it failed
        """
        self.end_body(self._trailers(metachunk_size, metachunk_hash))
        return self.chunk if self.failed else None


class EcMetachunkWriter(ParallelMetachunkWriter):
    """Writes the chunks of one metachunk.

    :param sysmeta: metadata of the object
    :param meta_chunk: the chunks, dicts with ``url``, ``pos`` and ``num``; those that fail get an ``error``
    :param global_checksum: of the object, updated with the data
    :param storage_method: an :class:`~oio.common.storage_method.ECStorageMethod`
    :param reqid: ID of the request
    :param connection_timeout: seconds for each connection
    :param write_timeout: seconds for each block, and for the answer
    :param read_timeout: seconds for each read of the source
    :param kwargs: as for :class:`~oio.api.replication.ReplicatedMetachunkWriter`
    """

    def __init__(
        self,
        sysmeta: dict[str, Any],
        meta_chunk: list[dict[str, Any]],
        global_checksum: Any,
        storage_method: StorageMethod,
        reqid: str | None = None,
        connection_timeout: float | None = None,
        write_timeout: float | None = None,
        read_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        timeouts: dict[str, Any] = {
            "connection_timeout": connection_timeout,
            "write_timeout": write_timeout,
            "read_timeout": read_timeout,
        }
        number(meta_chunk)
        super().__init__(
            sysmeta, meta_chunk, global_checksum, storage_method, reqid=reqid, **timeouts, **kwargs
        )
        self._connect_kwargs = {
            **kwargs,
            **timeouts,
            "headers": self.headers,
            "chunk_checksum_algo": self.checksum_algo,
        }

    def _sender(self, chunk: dict[str, Any]) -> EcChunkWriter:
        return EcChunkWriter.connect(chunk, self.sysmeta, self.reqid, **self._connect_kwargs)

    def _connection_error(self, err: BaseException) -> Any:
        return f"connect: {err}"

    def stream(self, source: Any, size: int) -> tuple[int, str, list[dict[str, Any]]]:
        """Write at most ``size`` bytes of a source.

        :returns: the bytes transferred, their checksum (hexadecimal), and the chunks: those that were written
            with the ``hash`` and ``size`` of the metachunk, then those that failed, with their ``error``
        :raises oio.common.exceptions.OioException: see :meth:`~oio.api.io.MetachunkWriter.quorum_or_fail`
        """
        checksum = self._new_checksum(self.checksum_algo or "md5")
        encoder = ec_encode(self.storage_method, codec_of(self.storage_method).n)
        encoder.send(None)  # type: ignore[arg-type]
        transferred = 0
        with self._senders() as writers:
            for data in self._read_source(source, size, checksum):
                transferred += len(data)
                self._send(writers, self._encoded(encoder, data))
            self._send(writers, self._encoded(encoder, b""))
            digest = checksum.hexdigest()
            self._complete(writers, lambda writer: writer._trailers(transferred, digest))
        for writer in writers:
            writer.check_hash(None if writer.checksum is None else writer.checksum.hexdigest())
        self._check_quorum()
        for chunk in self.meta_chunk:
            chunk.update(hash=digest, size=transferred)
        return transferred, digest, sorted(self.meta_chunk, key=lambda chunk: bool(chunk.get("error")))

    def _encoded(self, encoder: Generator[_T, bytes, None], data: bytes) -> _T:
        begin = monotonic_time()
        try:
            return encoder.send(data)
        except exc.ECError as err:
            raise exc.OioException(f"The data cannot be encoded: {err}", reqid=self.reqid) from err
        finally:
            add_duration(self.options.perfdata, "rawx", "ec", begin)

    def _send(self, writers: list[EcChunkWriter], fragments: list[bytes] | None) -> None:
        if fragments is None:
            return
        for writer in writers:
            writer.send(fragments[writer.chunk["num"]])
        self._check_quorum()


class ECWriteHandler(io.WriteHandler):
    """Handles writes to an EC content.

    For initialization parameters, see :class:`oio.api.io.WriteHandler`.
    """

    _writer_class = EcMetachunkWriter

    def _metachunk_size(self) -> int:
        """The data of k chunks, as whole segments when there is more than one (pitfalls row 24)."""
        storage_method: Any = self.storage_method
        size = int(storage_method.ec_nb_data) * int(self.sysmeta["chunk_size"])
        segment = int(storage_method.ec_segment_size)
        return size // segment * segment if size > segment else size
