# SPDX-License-Identifier: Apache-2.0
"""Published names of the data path: sources, readers, writers, and the seam of connections.

Every request for the data of a chunk goes through the ``http_connect`` of this module, looked up at each
call: an application's tests may put a fake there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, TypeAlias

from oio.api._data.links import MetachunkLinker as _Linker
from oio.api._data.metachunks import KeywordPreparer, ObjectWriter, UploadRequest
from oio.api._data.metachunks import MetachunkWriter as _Writer
from oio.api._data.parallel import FIRST_BLOCK
from oio.api._data.source import HandlerSource
from oio.blob.connect import READ_CHUNK_SIZE, close_source
from oio.blob.quorum import check_quorum
from oio.blob.reader import ChunkReader, discard_bytes, make_iter_from_resp
from oio.blob.sender import PUT_QUEUE_DEPTH
from oio.common.answers import JsonMapping, JsonObject
from oio.common.arguments import wrong_type
from oio.common.checksums import Checksum
from oio.common.chunks import Chunk, ChunkDict, note_outcomes
from oio.common.http_eventlet import http_connect
from oio.common.iterables import Closeable, chain, consume, exp_ramp_gen, iters_to_raw_body
from oio.common.limits import CHUNK_CONNECTION_TIMEOUT, CHUNK_TIMEOUT, SOURCE_TIMEOUT
from oio.common.options import KNOWN_NAMES, Options
from oio.common.sources import Readable, block_of
from oio.common.storage_method import StorageMethod

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.blob.client import BlobClient
    from oio.common.keywords import RequestOptions
    from oio.container.client import ContainerClient

__all__ = [
    "CHUNK_TIMEOUT",
    "CLIENT_TIMEOUT",
    "CONNECTION_TIMEOUT",
    "PUT_QUEUE_DEPTH",
    "READ_CHUNK_SIZE",
    "WRITE_CHUNK_SIZE",
    "ChunkReader",
    "Closeable",
    "IOBaseWrapper",
    "LinkHandler",
    "MetachunkLinker",
    "MetachunkPreparer",
    "MetachunkWriter",
    "WriteHandler",
    "chain",
    "close_source",
    "consume",
    "discard_bytes",
    "exp_ramp_gen",
    "http_connect",
    "iters_to_raw_body",
    "make_iter_from_resp",
]

WRITE_CHUNK_SIZE = 65536
_LARGEST_BLOCK = 262144
"""Bytes of the largest :meth:`MetachunkWriter.buffer_size`."""
#: Seconds to connect to a chunk server, and to wait for the source of the data.
CONNECTION_TIMEOUT = CHUNK_CONNECTION_TIMEOUT
CLIENT_TIMEOUT = SOURCE_TIMEOUT


# --- sources ---------------------------------------------------------------------------------------------


class IOBaseWrapper(io.RawIOBase):
    """File made of any object that has a ``read`` method.

    Closing the wrapper leaves the wrapped object open: it is the caller's.

    :param wrapped: its ``read(size)`` returns bytes
    :raises AttributeError: when it has no ``read``
    """

    def __init__(self, wrapped: Readable) -> None:
        super().__init__()
        self._read = wrapped.read
        self._rest = b""

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, n: int = -1) -> bytes | None:
        """Read at most ``n`` bytes, everything when ``n`` is negative.

        :returns: the bytes; none at the end of the source, None when the source has nothing yet
        :raises TypeError: the source gives text, or something else than bytes
        """
        if self._rest:
            size = len(self._rest) if n < 0 else n
            data, self._rest = self._rest[:size], self._rest[size:]
            return data + ((self.read(-1) or b"") if n < 0 else b"")
        found = self._read(n)
        if found is None:
            return None
        data = block_of("wrapped", found)
        if n >= 0 and len(data) > n:
            data, self._rest = data[:n], data[n:]
        return data

    def readinto(self, b: Any) -> int | None:
        """Fill a buffer; returns the number of bytes, None when the source has nothing yet."""
        data = self.read(len(b))
        if data is None:
            return None
        b[: len(data)] = data
        return len(data)


# --- writing -----------------------------------------------------------------------------------------


ChunkPreparer: TypeAlias = Callable[[], Iterable[list[ChunkDict]]] | dict[int, list[ChunkDict]]
"""Metachunks of an upload, lists of chunks: given one by one, or all of them by their positions."""


class WriteHandler:
    """Base of the writers of objects.

    The attribute ``source`` has ``read(size)`` and ``peek()``, for subclasses that write themselves. It reads
    within the time limits, and may be given to writers of metachunks one after the other.

    :param source: has a ``read`` method that gives the data
    :param sysmeta: metadata of the object; ``chunk_size`` is in bytes
    :param chunk_preparer: gives metachunks, lists of chunk dicts, when called; or a dict of them by position
    :param storage_method: how to store, see :mod:`oio.common.storage_method`
    :param headers: extra headers of the requests to the chunk servers
    :param connection_timeout: seconds for each connection to a chunk server
    :param write_timeout: seconds for each block sent to a chunk server, and for its answer
    :param read_timeout: seconds for each read from the source
    :param deadline: monotonic seconds, bounds all of it
    :param chunk_checksum_algo: of the chunks' checksums; None leaves them to the chunk servers
    """

    def __init__(
        self,
        source: Readable,
        sysmeta: JsonObject,
        chunk_preparer: ChunkPreparer,
        storage_method: StorageMethod,
        headers: Mapping[str, object] | None = None,
        connection_timeout: float | None = None,
        write_timeout: float | None = None,
        read_timeout: float | None = None,
        deadline: float | None = None,
        chunk_checksum_algo: str | None = "md5",
        **_kwargs: Any,
    ) -> None:
        self.options = Options.of(
            _kwargs,
            headers=headers,
            connection_timeout=connection_timeout,
            write_timeout=write_timeout,
            read_timeout=read_timeout,
            deadline=deadline,
            chunk_checksum_algo=chunk_checksum_algo,
        )
        self.source = HandlerSource(source, self.options.limits)
        self.sysmeta = sysmeta
        self.chunk_prep: Callable[[], Iterable[list[ChunkDict]]]
        if isinstance(chunk_preparer, dict):
            self.chunk_prep = lambda: (chunk_preparer[pos] for pos in sorted(chunk_preparer))
        elif callable(chunk_preparer):
            self.chunk_prep = chunk_preparer
        else:
            raise wrong_type("chunk_preparer", "a function or a dict", chunk_preparer)
        self.storage_method = storage_method
        self.headers = dict(headers or {})
        self.connection_timeout = CONNECTION_TIMEOUT if connection_timeout is None else connection_timeout
        self.deadline = deadline
        self.chunk_checksum_algo = chunk_checksum_algo

    @property
    def read_timeout(self) -> float:
        """Seconds for a read of the source: as given, else up to the deadline, else a default."""
        return self.options.limits.reading_source()

    @property
    def write_timeout(self) -> float:
        """Seconds for a write to a chunk server: as given, else up to the deadline, else a default."""
        return self.options.limits.writing("a chunk server")

    def _metachunk_size(self) -> int:
        """Bytes of a full metachunk."""
        return int(self.sysmeta["chunk_size"])

    def _writer(self, request: UploadRequest) -> _Writer:
        """Make the writer of one metachunk."""
        raise TypeError(f"{type(self).__name__} is no strategy: it does not write")

    def stream(self) -> tuple[list[ChunkDict], int, str]:
        """Upload the data of the source, metachunk after metachunk, to its end.

        :returns: the chunks to be saved in the container, the number of bytes transferred, and the checksum
            (hexadecimal MD5) of the data that went through
        """
        taken: list[ChunkDict] = []

        def metachunks() -> Iterator[list[Chunk]]:
            for described in self.chunk_prep():
                taken.extend(described)
                yield Chunk.all_of(described)

        def writer_of(chunks: list[Chunk], checksum: Checksum, first: bool) -> _Writer:
            quorum = self.storage_method.quorum
            return self._writer(UploadRequest(self.sysmeta, chunks, checksum, first, quorum, self.options))

        writer = ObjectWriter(self.source, metachunks(), self._metachunk_size(), writer_of)
        try:
            written = writer.run()
        finally:
            note_outcomes(taken[: len(writer.outcomes)], writer.outcomes)
        stored = [chunk for chunk in taken[: len(writer.outcomes)] if not chunk.get("error")]
        return stored, written.size, written.checksum


class MetachunkPreparer:
    """Iterable of the metachunks of a new object, with its description.

    The first metachunk is asked for at once; the others when the iterator is advanced.

    :param container_client: its ``content_prepare`` is called
    :param policy: storage policy, None for the default one
    :param kwargs: ``meta_pos`` is the position of the first metachunk (0); the rest goes to
        ``content_prepare``
    """

    def __init__(
        self,
        container_client: ContainerClient,
        account: str,
        container: str,
        obj_name: str,
        policy: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.account = account
        self.container = container
        self.obj_name = obj_name
        self.policy = policy
        self.container_client = container_client
        first = int(kwargs.pop("meta_pos", None) or 0)
        self.extra_kwargs = kwargs
        self._preparer = KeywordPreparer(
            container_client, (account, container, obj_name), policy, kwargs, first
        )
        #: Chunks of the first metachunk.
        self.first_body = [chunk.described() for chunk in self._preparer.first_chunks]
        self._all_chunks: list[ChunkDict] = []

    @property
    def obj_meta(self) -> JsonObject:
        """Description of the object."""
        return self._preparer.meta

    def __call__(self) -> Iterator[list[ChunkDict]]:
        """Yield metachunks, lists of chunks, without end."""
        described = self.first_body
        # Each call begins again with the first metachunk.
        metachunks = copy(self._preparer)
        next(metachunks)
        while True:
            self._all_chunks.extend(described)
            yield described
            described = [chunk.described() for chunk in next(metachunks)]

    def all_chunks_so_far(self) -> list[ChunkDict]:
        """All the chunks yielded so far, to be removed after a failure."""
        return self._all_chunks


class MetachunkWriter:
    """Base of the writers of one metachunk.

    :param storage_method: tells the quorum, unless ``quorum`` does
    :param quorum: how many chunks must be written at least
    :param chunk_checksum_algo: of the chunks' checksums; None leaves them to the chunk servers
    :param _kwargs: ``reqid``; ``chunk_buffer_min`` and ``chunk_buffer_max``: bytes of the smallest and
        largest blocks read from the source
    """

    def __init__(
        self,
        storage_method: StorageMethod | None = None,
        quorum: int | None = None,
        chunk_checksum_algo: str | None = "md5",
        **_kwargs: Any,
    ) -> None:
        if quorum is None:
            if storage_method is None:
                raise ValueError("storage_method and quorum are both missing: one must tell the quorum")
            quorum = storage_method.quorum
        self.storage_method = storage_method
        self._quorum = quorum
        self.checksum_algo = chunk_checksum_algo
        self.options = Options.of(_kwargs, chunk_checksum_algo=chunk_checksum_algo)
        self.reqid: str | None = _kwargs.get("reqid")
        self.chunk_buffer_min = int(self.options.buffer_min or FIRST_BLOCK)
        self.chunk_buffer_max = int(self.options.buffer_max or _LARGEST_BLOCK)
        self._buffer_sizes = exp_ramp_gen(self.chunk_buffer_min, self.chunk_buffer_max)

    @property
    def quorum(self) -> int:
        """Number of chunks that must be written at least."""
        return self._quorum

    def buffer_size(self) -> int:
        """Bytes to read next from the source: few at first, for a quick start, then more."""
        return next(self._buffer_sizes)

    @classmethod
    def filter_kwargs(cls, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Options that writers of metachunks understand, of those of a call.

        >>> MetachunkWriter.filter_kwargs({"read_timeout": 5, "chunk_buffer_max": 4096, "obj_name": "o"})
        {'read_timeout': 5, 'chunk_buffer_max': 4096}
        """
        return {name: value for name, value in kwargs.items() if name in KNOWN_NAMES}

    def quorum_or_fail(self, successes: Sequence[object], failures: Iterable[ChunkDict]) -> None:
        """Compare the number of uploads with the quorum.

        A subclass may demand more: writers of metachunks call this once a quorum is stored, when the others
        have answered, too, or were given up.

        :param successes: a list of chunk objects whose upload succeeded
        :param failures: a list of chunk objects whose upload failed; their ``error`` says why
        :raises oio.common.exceptions.SourceReadError: if the source of the data failed
        :raises oio.common.exceptions.SourceReadTimeout: if the source of the data gave nothing in time
        :raises oio.common.exceptions.Conflict: if a chunk exists already
        :raises oio.common.exceptions.MethodNotAllowed: if a chunk server is configured to refuse this
        :raises oio.common.exceptions.OioTimeout: if there is a timeout among the errors
        :raises oio.common.exceptions.ServiceBusy: for any other reason
        """
        errors = [(chunk["url"], chunk.get("error")) for chunk in failures]
        stored = [str(chunk["url"]) if isinstance(chunk, dict) else str(chunk) for chunk in successes]
        check_quorum(self.quorum, stored, errors, self.reqid)


# --- linking -----------------------------------------------------------------------------------------


class MetachunkLinker(MetachunkWriter):
    """Linker of the chunks of one metachunk, all at once.

    :param sysmeta: metadata of the object that the links are for, with keys ``container_id content_path
        version policy full_path``
    :param meta_chunk_target: the chunks, dicts with ``url``, ``pos`` and maybe ``real_url``, ``size``,
        ``hash``
    :param storage_method: tells the quorum
    :param blob_client: sends the requests, see :class:`~oio.blob.client.BlobClient`
    :param quorum: overrides that of the storage method
    :param kwargs: options of the requests: ``headers``, ``reqid``, ``deadline``, ``connection_timeout``,
        ``read_timeout``, ``perfdata``...
    """

    def __init__(
        self,
        sysmeta: JsonMapping,
        meta_chunk_target: list[ChunkDict],
        storage_method: StorageMethod | None,
        blob_client: BlobClient,
        quorum: int | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        super().__init__(storage_method=storage_method, quorum=quorum, **kwargs)
        self.meta_chunk_target = meta_chunk_target
        self.blob_client = blob_client
        chunks = Chunk.all_of(meta_chunk_target)
        self._linker = _Linker(sysmeta, chunks, self.quorum, blob_client, self.options)

    @property
    def links(self) -> list[ChunkDict]:
        """Links, in the order of the chunks.

        Those that failed have an ``error``. Those that the server may hold all the same have a true
        ``maybe_stored``.
        """
        return [outcome.described() for outcome in self._linker.outcomes]

    def link(self) -> list[ChunkDict]:
        """Make the links.

        :returns: those that were made
        :raises oio.common.exceptions.OioException: too few of them could be made, see
            :meth:`~oio.api.io.MetachunkWriter.quorum_or_fail`; those that were made stay
        """
        made = [chunk.described() for chunk in self._linker.link()]
        self.quorum_or_fail(made, [link for link in self.links if link["error"]])
        return made


class LinkHandler:
    """Linker of the chunks of an object.

    :param sysmeta: metadata of the object that the links are for, see :class:`MetachunkLinker`
    :param meta_chunks_target: metachunk position -> its chunks
    :param storage_method: tells the quorum
    :param blob_client: sends the requests
    :param kwargs: options of the requests
    """

    def __init__(
        self,
        sysmeta: JsonMapping,
        meta_chunks_target: Mapping[int, list[ChunkDict]],
        storage_method: StorageMethod,
        blob_client: BlobClient,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        self.sysmeta = sysmeta
        self.meta_chunks_target = meta_chunks_target
        self.storage_method = storage_method
        self.blob_client = blob_client
        self.extra_kwargs = kwargs
        self._linkers: list[MetachunkLinker] = []

    def link(self) -> list[ChunkDict]:
        """Link metachunk after metachunk.

        :returns: the links that were made, as chunks to be saved in a container
        :raises oio.common.exceptions.OioException: too few links to one of them could be made
        """
        made = []
        for _, targets in sorted(self.meta_chunks_target.items()):
            linker = MetachunkLinker(
                self.sysmeta, targets, self.storage_method, self.blob_client, **self.extra_kwargs
            )
            self._linkers.append(linker)
            made += linker.link()
        return made

    @property
    def pairs(self) -> list[tuple[ChunkDict, ChunkDict]]:
        """Chunks, and the links to them, of the metachunks so far; a link may have failed."""
        return [
            pair
            for linker in self._linkers
            for pair in zip(linker.meta_chunk_target, linker.links, strict=True)
        ]

    def all_chunks_so_far(self) -> list[ChunkDict]:
        """All the links so far, to be removed after a failure."""
        return [link for linker in self._linkers for link in linker.links]
