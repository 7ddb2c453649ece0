# SPDX-License-Identifier: Apache-2.0
"""What all storage strategies share: sources of data, and the bases of chunk readers and writers.

Every request to a chunk server goes through the ``http_connect`` of this module, looked up at each call:
an application's tests may put a fake there.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import logging
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from oio.blob.reader import (
    READ_CHUNK_SIZE,
    ChunkReader,
    close_source,
    discard_bytes,
    make_iter_from_resp,
)
from oio.common import exceptions as exc
from oio.common import green
from oio.common import limits as _limits
from oio.common.generator_io import GeneratorIO
from oio.common.http_eventlet import http_connect
from oio.common.storage_method import StorageMethod
from oio.common.utils import group_chunk_errors, hard_deadline, set_deadline_from_read_timeout

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
    "LinkHandler",  # noqa: F822 - loaded at first use
    "MetachunkLinker",  # noqa: F822
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

_LOGGER = logging.getLogger(__name__)

WRITE_CHUNK_SIZE = 65536
#: Seconds to connect to a chunk server, to wait for it, and to wait for the source of the data.
CONNECTION_TIMEOUT = _limits.CONNECTION_TIMEOUT
CHUNK_TIMEOUT = _limits.CHUNK_TIMEOUT
CLIENT_TIMEOUT = _limits.CLIENT_TIMEOUT
#: Blocks that may wait for one slow chunk server while the others go on.
PUT_QUEUE_DEPTH = 10


def __getattr__(name: str) -> Any:
    # They are made of what is here.
    if name in ("LinkHandler", "MetachunkLinker"):
        return pkgutil.resolve_name(f"oio.api._operations.link:{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# --- sources and iterables ---------------------------------------------------------------------------


class IOBaseWrapper(io.RawIOBase):
    """Wrap any object that has a ``read`` method into an :class:`io.IOBase`.

    Closing the wrapper leaves the wrapped object open: it is the caller's.

    :param wrapped: its ``read(size)`` returns bytes, or text which is encoded as UTF-8
    :raises AttributeError: when it has no ``read``
    """

    def __init__(self, wrapped: Any) -> None:
        super().__init__()
        self._wrapped = wrapped
        self._read = wrapped.read
        self._rest = b""

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def read(self, n: int = -1) -> bytes:
        """Read at most ``n`` bytes, everything when ``n`` is negative; nothing at the end of the source."""
        if self._rest:
            size = len(self._rest) if n < 0 else n
            data, self._rest = self._rest[:size], self._rest[size:]
            return data + (self.read(-1) if n < 0 else b"")
        data = self._read(n)
        if data is None:
            return b""
        if isinstance(data, str):
            data = data.encode("utf-8")
        if n >= 0 and len(data) > n:
            data, self._rest = data[:n], data[n:]
        return data

    def readinto(self, b: Any) -> int:
        """Fill a buffer, and tell how many bytes were put into it."""
        data = self.read(len(b))
        b[: len(data)] = data
        return len(data)


class _TimedSource(IOBaseWrapper):
    """A source that may come drop by drop: the deadline is looked at before each read."""

    def __init__(self, wrapped: Any, deadline: float | None) -> None:
        super().__init__(wrapped)
        self._deadline = deadline

        if isinstance(wrapped, GeneratorIO):
            wrapped.after_nothing = self._wait

    def _look_at_deadline(self) -> None:
        _limits.timeout(None, self._deadline, CLIENT_TIMEOUT, "reading from the source")

    def _wait(self) -> None:
        self._look_at_deadline()
        # The limit of the read can only strike when others have their turn.
        green.sleep(0)

    def readinto(self, b: Any) -> int:
        self._look_at_deadline()
        if isinstance(self._wrapped, GeneratorIO):
            # Its read would wait until there is as much as that.
            return self._wrapped.readinto(b)
        return super().readinto(b)


class Closeable:
    """Iterates over several iterables in turn, and closes those that can be closed."""

    def __init__(self, *iterables: Any) -> None:
        self._iterables = iterables
        self._chain = itertools.chain(*iterables)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._chain)

    def close(self) -> None:
        """Close every iterable that has a ``close``."""
        for iterable in self._iterables:
            if hasattr(iterable, "close"):
                iterable.close()


def chain(iterable: Iterable[Any]) -> Any:
    """Skip the empty items at the head of an iterable, and give back a :class:`Closeable` of the rest.

    :returns: an empty list when there is no such item

    >>> list(chain(iter([b"", b"a", b"", b"b"])))
    [b'a', b'', b'b']
    """
    iterator = iter(iterable)
    for first in iterator:
        if first:
            return Closeable([first], iterator)
    return []


def consume(it: Iterable[Any]) -> None:
    """Run an iterable to its end."""
    for _ in it:
        pass


def iters_to_raw_body(parts_iter: Iterator[Mapping[str, Any]]) -> Iterator[bytes]:
    """The bytes of the first part of a body; nothing when it has no part."""
    part = next(parts_iter, None)
    if part is None:
        return
    yield from part["iter"]
    next(parts_iter, None)


def exp_ramp_gen(start: int, maximum: int) -> Iterator[int]:
    """Sizes that double from ``start`` to ``maximum``, and stay there.

    >>> list(itertools.islice(exp_ramp_gen(32, 100), 4))
    [32, 64, 100, 100]
    """
    size = start
    while size < maximum:
        yield size
        size *= 2
    yield from itertools.repeat(maximum)


# --- writing -----------------------------------------------------------------------------------------


class WriteHandler:
    """Base of the strategies that upload an object.

    :param source: what to read the data from: an object with a ``read`` method
    :param sysmeta: metadata of the object; ``chunk_size`` is in bytes
    :param chunk_preparer: callable that gives an iterable of metachunks (lists of chunk dicts), or a dict
        of metachunk position -> list of chunks
    :param storage_method: how to store, see :mod:`oio.common.storage_method`
    :param headers: extra headers of the requests to the chunk servers
    :param connection_timeout: seconds for each connection to a chunk server
    :param write_timeout: seconds for each block sent to a chunk server, and for its answer
    :param read_timeout: seconds for each read from the source
    :param deadline: monotonic seconds, bounds all of it
    :param chunk_checksum_algo: of the chunks' checksums; None leaves them to the chunk servers
    """

    #: What a strategy writes each metachunk with.
    _writer_class: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        source: Any,
        sysmeta: dict[str, Any],
        chunk_preparer: Any,
        storage_method: StorageMethod,
        headers: Mapping[str, Any] | None = None,
        connection_timeout: float | None = None,
        write_timeout: float | None = None,
        read_timeout: float | None = None,
        deadline: float | None = None,
        chunk_checksum_algo: str | None = "md5",
        **_kwargs: Any,
    ) -> None:
        self.source = io.BufferedReader(
            _TimedSource(source, deadline), buffer_size=_kwargs.get("chunk_buffer_max") or WRITE_CHUNK_SIZE
        )
        self.sysmeta = sysmeta
        self.chunk_prep: Callable[[], Iterable[list[dict[str, Any]]]]
        if isinstance(chunk_preparer, dict):
            self.chunk_prep = lambda: (chunk_preparer[pos] for pos in sorted(chunk_preparer))
        else:
            self.chunk_prep = chunk_preparer
        self.storage_method = storage_method
        self.headers = dict(headers or {})
        self.connection_timeout = CONNECTION_TIMEOUT if connection_timeout is None else connection_timeout
        self.deadline = deadline
        self.chunk_checksum_algo = chunk_checksum_algo
        self._read_timeout = read_timeout
        self._write_timeout = write_timeout
        self.extra_kwargs = _kwargs

    @property
    def read_timeout(self) -> float:
        """Seconds for a read of the source: as asked, else what the deadline leaves, else a default."""
        return _limits.timeout(self._read_timeout, self.deadline, CLIENT_TIMEOUT)

    @property
    def write_timeout(self) -> float:
        """Seconds for a write to a chunk server: as asked, else what the deadline leaves, else a default."""
        return _limits.timeout(self._write_timeout, self.deadline, CHUNK_TIMEOUT)

    def _source_is_exhausted(self) -> bool:
        with _limits.reading_source(self.read_timeout):
            return not self.source.peek(1)

    def _metachunk_size(self) -> int:
        """Bytes of a full metachunk."""
        return int(self.sysmeta["chunk_size"])

    def _metachunk_writer(self, meta_chunk: list[dict[str, Any]], object_checksum: Any, first: bool) -> Any:
        return self._writer_class(
            self.sysmeta,
            meta_chunk,
            object_checksum,
            self.storage_method,
            **{
                **self.extra_kwargs,
                "connection_timeout": self.connection_timeout,
                "write_timeout": self._write_timeout,
                "read_timeout": self._read_timeout,
                "deadline": self.deadline,
                "headers": self.headers,
                "chunk_checksum_algo": self.chunk_checksum_algo,
                "first": first,
            },
        )

    def stream(self) -> tuple[list[dict[str, Any]], int, str]:
        """Upload a stream of data, metachunk after metachunk, as long as there is something left to read.

        :returns: the chunks to be saved in the container, the number of bytes transferred, and the checksum
            (hexadecimal MD5) of the data that went through
        """
        object_checksum = hashlib.new("md5")
        max_size = self._metachunk_size()
        chunks: list[dict[str, Any]] = []
        total = 0
        for meta_chunk in self.chunk_prep():
            writer = self._metachunk_writer(meta_chunk, object_checksum, first=not chunks)
            size, _checksum, written = writer.stream(self.source, max_size)
            chunks += [chunk for chunk in written if not chunk.get("error")]
            total += size
            if size < max_size or self._source_is_exhausted():
                return chunks, total, object_checksum.hexdigest()
        raise exc.OioException(f"The source has more than the {total} bytes that chunks were prepared for")


class MetachunkPreparer:
    """Get metadata for a new object and continuously yield new metachunks.

    The first metachunk is asked for at once; the others when the iterator is advanced.

    :param container_client: its ``content_prepare`` is called
    :param policy: storage policy, None for the default one
    :param kwargs: ``meta_pos`` is the position of the first metachunk (0); the rest goes to
        ``content_prepare``
    """

    def __init__(
        self,
        container_client: Any,
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
        self._first_pos = int(kwargs.pop("meta_pos", None) or 0)
        self.extra_kwargs = kwargs
        self._all_chunks: list[dict[str, Any]] = []
        self.obj_meta, self.first_body = self._prepare(self._first_pos, **kwargs)
        self.obj_meta.setdefault("properties", {})

    def _prepare(self, position: int, **kwargs: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        meta, chunks = self.container_client.content_prepare(
            self.account,
            self.container,
            self.obj_name,
            size=1,
            position=position,
            stgpol=self.policy,
            **kwargs,
        )
        return meta, chunks

    def _placed(self, chunks: list[dict[str, Any]], position: int) -> list[dict[str, Any]]:
        """Set the positions, which the service numbers from 0 in each answer."""
        for chunk in chunks:
            _, dot, num = str(chunk["pos"]).partition(".")
            chunk["pos"] = f"{position}{dot}{num}"
            if dot:
                chunk["num"] = int(num)
        self._all_chunks.extend(chunks)
        return chunks

    def __call__(self) -> Iterator[list[dict[str, Any]]]:
        """Yield metachunks, lists of chunks, as long as one is asked for."""
        yield self._placed(self.first_body, self._first_pos)
        for position in itertools.count(self._first_pos + 1):
            kwargs = dict(self.extra_kwargs)
            if hard_deadline(kwargs) is None:
                # A long upload needs the time of one request for each of them (pitfalls row 27).
                set_deadline_from_read_timeout(kwargs, force=True)
            if "version" in self.obj_meta:
                kwargs["version"] = self.obj_meta["version"]
            if "id" in self.obj_meta:
                kwargs["content_id"] = self.obj_meta["id"]
            meta, chunks = self._prepare(position, **kwargs)
            self.obj_meta["properties"].update(meta.get("properties") or {})
            yield self._placed(chunks, position)

    def all_chunks_so_far(self) -> list[dict[str, Any]]:
        """All the chunks yielded so far, for who must remove them."""
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
        if storage_method is None and quorum is None:
            raise ValueError("storage_method and quorum are both missing: one must tell the quorum")
        self.storage_method = storage_method
        self._quorum = quorum if quorum is not None else storage_method.quorum  # type: ignore[union-attr]
        self.checksum_algo = chunk_checksum_algo
        self.reqid: str | None = _kwargs.get("reqid")
        self.chunk_buffer_min = int(_kwargs.get("chunk_buffer_min") or 32768)
        self.chunk_buffer_max = int(_kwargs.get("chunk_buffer_max") or 262144)
        self._buffer_sizes = exp_ramp_gen(self.chunk_buffer_min, self.chunk_buffer_max)

    @property
    def quorum(self) -> int:
        """Minimum number of chunks required to validate an upload"""
        return self._quorum

    def buffer_size(self) -> int:
        """Bytes to read next from the source: small at first, for a quick start, then more."""
        return next(self._buffer_sizes)

    def quorum_or_fail(self, successes: list[Any], failures: list[Any]) -> None:
        """Compare the number of uploads against the quorum.

        :param successes: a list of chunk objects whose upload succeeded
        :type successes: `list` or `tuple`
        :param failures: a list of chunk objects whose upload failed; their ``error`` says why
        :type failures: `list` or `tuple`
        :raises oio.common.exceptions.SourceReadError: if the source of the data failed
        :raises oio.common.exceptions.SourceReadTimeout: if the source of the data gave nothing in time
        :raises oio.common.exceptions.Conflict: if a chunk exists already
        :raises oio.common.exceptions.MethodNotAllowed: if a chunk server is configured to refuse this
        :raises oio.common.exceptions.OioTimeout: if there is a timeout among the errors
        :raises oio.common.exceptions.ServiceBusy: for any other reason
        """
        if len(successes) >= self.quorum:
            return
        errors = [chunk.get("error") for chunk in failures]
        grouped = group_chunk_errors((chunk["url"], chunk.get("error")) for chunk in failures)
        reasons = ", ".join(f"{error}: {chunks}" for error, chunks in grouped.items())
        text = f"RAWX write failure, quorum not reached ({len(successes)}/{self.quorum}): {reasons}"
        if any(isinstance(error, exc.SourceReadError) for error in errors):
            raise exc.SourceReadError(text, reqid=self.reqid)
        if any(isinstance(error, (green.SourceReadTimeout, exc.SourceReadTimeout)) for error in errors):
            raise exc.SourceReadTimeout(text, reqid=self.reqid)
        # A conflict explains more than the timeouts of others (pitfalls row 26).
        if any(str(error).endswith("HTTP 409") for error in errors):
            raise exc.Conflict(message=text, reqid=self.reqid)
        if any(str(error).endswith("HTTP 405") for error in errors):
            raise exc.MethodNotAllowed(message=text, reqid=self.reqid)
        # Some writers note errors as text.
        if any(isinstance(e, (green.OioTimeout, exc.OioTimeout)) or " timeout " in f"{e} " for e in errors):
            raise exc.OioTimeout(text, reqid=self.reqid)
        raise exc.ServiceBusy(message=text, reqid=self.reqid)
