# SPDX-License-Identifier: Apache-2.0
"""Client of the rawx services: one chunk at a time, without the metadata of objects."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from oio.blob.copy_source import CopySource
from oio.blob.description import (
    checksum_algorithms,
    extract_headers_meta,
    free_attributes,
    object_metadata,
    owner_and_position,
    owner_of_copy,
)
from oio.blob.events import report_failure
from oio.blob.reader import ChunkReader
from oio.blob.sender import SAID_TWICE, ChunkSender
from oio.blob.writer import write_chunk
from oio.common import exceptions as exc
from oio.common import green
from oio.common.answers import JsonMapping, JsonObject
from oio.common.chunks import Chunk
from oio.common.constants import CHECKHASH_HEADER, CHUNK_HEADERS, FETCHXATTR_HEADER, MD5
from oio.common.http import headers_from_object_metadata, ranges_from_http_header
from oio.common.http_api import HttpApi
from oio.common.http_urllib3 import KeptConnectionDied, urllib3
from oio.common.interruptions import reraise_interruption
from oio.common.limits import check_seconds
from oio.common.options import Options
from oio.common.storage_method import written_chunk_method
from oio.common.ttl_cache import TTLCache
from oio.conscience.client import ConscienceClient

if TYPE_CHECKING:
    from typing import TypeAlias

    from typing_extensions import Unpack

    from oio.common.keywords import ChunkOptions, RequestOptions, ServiceOptions
    from oio.common.shared_pool import SharedPool

    Data: TypeAlias = Iterable[object] | IO[bytes]
    """Iterable of blocks of bytes, or file."""

__all__ = [
    "CHUNK_TIMEOUT",
    "PARALLEL_CHUNKS_DELETE",
    "READ_BUFFER_SIZE",
    "BlobClient",
    "extract_headers_meta",
]

CHUNK_TIMEOUT = 60
"""Seconds to wait for an answer."""
READ_BUFFER_SIZE = 65535
PARALLEL_CHUNKS_DELETE = 3

_LOGGER = logging.getLogger(__name__)
_CREATED = 201
_KEPT_HEX_DIGITS = 4


class BlobClient(HttpApi):
    """Requests to rawx services, one method for each of their operations.

    Every method takes a chunk URL, whose host may be a service ID, and the options of a request as
    keywords: ``headers``, ``reqid``, ``deadline``, ``connection_timeout``, ``read_timeout``...

    :param conf: a dict with at least ``namespace``, needed to resolve service IDs only
    :param connection_pool: pool of connections shared with other clients
    :param perfdata: dict to add performance figures to, unless a call brings its own
    :param endpoint: URL or ``host:port`` of the proxy, to resolve service IDs
    :param kwargs: options of :class:`~oio.common.http_api.HttpApi`, and ``write_timeout`` (seconds)

    >>> with BlobClient() as client:
    ...     client.resolve_url("127.0.0.1:6010/0A12")
    'http://127.0.0.1:6010/0A12'
    """

    def __init__(
        self,
        conf: JsonObject | None = None,
        connection_pool: urllib3.PoolManager | SharedPool | None = None,
        perfdata: JsonObject | None = None,
        endpoint: str | None = None,
        logger: logging.Logger | None = None,
        **kwargs: Unpack[ServiceOptions],
    ) -> None:
        kwargs.setdefault("pool_manager", connection_pool)
        super().__init__(service_type="rawx", **kwargs)
        self.conf = conf
        self.perfdata = perfdata
        self.logger = _LOGGER if logger is None else logger
        self._proxy_endpoint = endpoint
        #: Defaults of the calls.
        self._own_limits = replace(
            self._limits, write=check_seconds("write_timeout", kwargs.get("write_timeout"))
        )
        if self._limits.read is None:
            self._limits = replace(self._limits, read=CHUNK_TIMEOUT)

    @cached_property
    def conscience_client(self) -> ConscienceClient:
        """Client that resolves service IDs; programs may replace it.

        :raises ConfigurationException: the namespace is not known
        """
        # Two threads may make one each. Both use the same pool, so that either may be dropped.
        if self.conf is None:
            raise exc.ConfigurationException("conf is required (a dict with the namespace)")
        return ConscienceClient(self.conf, endpoint=self._proxy_endpoint, pool_manager=self._connections)

    @cached_property
    def link_refusals(self) -> TTLCache[bool]:
        """Servers that make no links, by their addresses."""
        return TTLCache()

    @property
    def http_pool(self) -> urllib3.PoolManager:
        """Connections for all requests but those that carry data, also known as ``pool_manager``.

        Programs may replace it, or its ``request``.
        """
        if self.pool_manager is None:
            raise AttributeError("http_pool has been deleted")
        return self.pool_manager

    @http_pool.setter
    def http_pool(self, pool: urllib3.PoolManager) -> None:
        self.pool_manager = pool

    @http_pool.deleter
    def http_pool(self) -> None:
        # Mocks delete what they have put here. They put the former one back if nothing is found then.
        vars(self)["pool_manager"] = None

    def _operation(self, method: str, url: str) -> str:
        return f"{method} chunk"

    def _chunk_of(self, url: str) -> str:
        return url

    def _options(self, given: JsonMapping) -> Options:
        """Options of a call."""
        ready: Options | None = given.get("options")
        if ready is not None:
            return ready
        shared = Options(
            limits=self._own_limits,
            perfdata=self.perfdata,
            figures_by_chunk=False,
            on_event=self._on_event,
        )
        return Options.make(given.items(), shared)

    def resolve_url(self, url: str, **kwargs: Unpack[RequestOptions]) -> str:
        """Replace the service ID in a chunk URL by the address of the service; add ``http://`` if need be.

        :raises ConfigurationException: there is a service ID, and the namespace is not known
        """
        full = _with_scheme(url)
        if urlsplit(full).port is not None:
            return full
        try:
            conscience = self.conscience_client
        except exc.ConfigurationException as err:
            raise exc.ConfigurationException(f"cannot resolve the service of {url!r}: {err}") from err
        return conscience.resolve_url("rawx", full, options=self._options(kwargs))

    def _address(self, url: str, options: Options) -> str:
        """Resolve the URL of a chunk."""
        full = _with_scheme(url)
        if urlsplit(full).port is not None:
            return full
        # The conscience has no use for the headers and the figures of a chunk.
        return self.resolve_url(full, options=replace(options, headers={}, perfdata=None))

    def _refused(self, resp: Any, answer: object, reqid: str | None, service: str | None) -> None:
        # Each method decides which statuses are failures, and chunk_delete_many returns refusals.
        pass

    def _call(self, method: str, url: str, options: Options) -> Any:
        """Send a request about a chunk, and get its response, whatever its status."""
        try:
            return self._send(method, url, {"options": options})[0]
        except exc.OioNetworkException as err:
            # To delete a chunk once more is harmless, even if the first request has arrived.
            if method != "DELETE" or not isinstance(err.__cause__, KeptConnectionDied):
                raise
        return self._send(method, url, {"options": options})[0]

    def _checked(self, method: str, url: str, options: Options) -> Any:
        resp = self._call(method, url, options)
        # One server says 200 where another says 204 (pitfall 82).
        if not 200 <= resp.status < 300:
            super()._refused(resp, getattr(resp, "data", b""), options.reqid, urlsplit(url).netloc)
        return resp

    def chunk_head(
        self, url: str, xattr: bool = True, check_hash: bool = False, **kwargs: Unpack[RequestOptions]
    ) -> JsonObject:
        """Get the description of a chunk.

        :param xattr: False to know only whether it exists
        :param check_hash: make the service compare the data with their checksum, which reads them all
        :returns: see :func:`extract_headers_meta`; empty when `xattr` is False
        :raises NotFound: there is no such chunk
        :raises ClientPreconditionFailed: size or checksum are not those of the data
        """
        options = self._options(kwargs)
        url = self._address(url, options)
        wishes = {FETCHXATTR_HEADER: xattr}
        if check_hash:
            wishes[CHECKHASH_HEADER] = True
        resp = self._checked("HEAD", url, options.with_headers(wishes))
        return extract_headers_meta(resp.headers, check=False) if xattr else {}

    def chunk_get(
        self, url: str, check_headers: bool = True, **kwargs: Unpack[ChunkOptions]
    ) -> tuple[JsonObject, Generator[bytes, None, None]]:
        """Read a chunk, or the range of it that is asked for in the headers.

        :param check_headers: refuse a chunk whose description lacks something mandatory
        :returns: its description (see :func:`extract_headers_meta`), and an iterable of blocks of bytes
            which has a ``close()``
        :raises ValueError: the range has not both a first and a last byte
        :raises FaultyChunk: see `check_headers`
        :raises NotFound: there is no such chunk
        :raises UnsatisfiableRange: the range begins after the last byte
        """
        reader, stream = self._open(url, self._options(kwargs))
        try:
            return extract_headers_meta(reader.headers, check=check_headers), stream
        except exc.FaultyChunk:
            stream.close()
            raise

    def _open(self, url: str, options: Options) -> tuple[ChunkReader, Generator[bytes, None, None]]:
        """Ask for a chunk: a reader, which has the headers of the answer, and the generator of its data."""
        headers = _with_closed_range(options.headers)
        chunk = Chunk(url, self._address(url, options))
        # A range that ends after the last byte of the chunk is served as far as it goes.
        reader = ChunkReader.with_options(
            chunk, headers, options, exact="Range" not in headers, read_size=READ_BUFFER_SIZE
        )
        return reader, reader.stream()

    def chunk_put(
        self, url: str, meta: JsonMapping, data: Data, **kwargs: Unpack[ChunkOptions]
    ) -> tuple[int, str]:
        """Write a chunk.

        :param meta: its description, with the keys of :data:`~oio.common.constants.CHUNK_HEADERS`; a
            ``chunk_hash`` is checked. ``id``, ``version``, ``policy`` and ``chunk_method``, as in the
            description of an object, win over the keys of the same meaning that begin with ``content_``
        :param data: iterable of blocks of bytes, or binary file; None in the place of a block stands for no
            data yet
        :returns: number of bytes, and checksum of the data
        :raises SourceReadError: the data failed, or came too late; other exceptions of theirs than OSError,
            ValueError and time limits come out as they are
        :raises FaultyChunk: the description lacks something that chunks are stored with
        :raises Conflict: there is such a chunk already
        :raises ChecksumUnavailable: the package for the checksum that the chunk method names is not
            installed; with ``chunk_checksum_algo=None``, that of the chunk server is taken
        :raises ChecksumRefused: the chunk server computes another checksum than `chunk_checksum_algo`; there
            is no chunk then
        """
        options = self._options(kwargs)
        try:
            algorithms = checksum_algorithms(meta, options.checksum_algo)
            return write_chunk(self._sender(url, meta, options), data, algorithms)
        except exc.ChecksumRefused:
            self._remove(url, options)
            raise

    def _sender(self, url: str, meta: JsonMapping, options: Options) -> ChunkSender:
        described_owner = object_metadata(meta)
        # MD5 is the default, and leaves the chunk method as it is.
        algorithm = None if options.checksum_algo == MD5 else options.checksum_algo
        method = written_chunk_method(described_owner["chunk_method"], algorithm)
        headers = headers_from_object_metadata(described_owner | {"chunk_method": method})
        headers.update(options.headers)
        described = {"url": url, "real_url": self._address(url, options), "pos": meta["chunk_pos"]}
        return ChunkSender(Chunk.of(described), headers, options)

    def chunk_copy(
        self,
        from_url: str,
        to_url: str,
        chunk_id: str | None = None,
        fullpath: str | None = None,
        cid: str | None = None,
        path: str | None = None,
        version: int | str | None = None,
        content_id: str | None = None,
        **kwargs: Unpack[ChunkOptions],
    ) -> None:
        """Copy a chunk, with its description, to another service or place. The data are verified on the way.

        A copy that its server has stored is deleted when something fails after that. When no answer tells
        whether it was stored, nothing is deleted: there may have been another chunk in its place.

        :param from_url: URL of the chunk
        :param to_url: URL of the copy
        :param chunk_id: ID of the chunk or of the copy, which is checked; `to_url` tells that of the copy
        :param fullpath: full path of the owner of the copy, by default that of the chunk
        :param cid: ID of the container of that owner; this and the following can stand for a full path, when
            the container is that of the chunk
        :param path: name of the object
        :param version: version of the object
        :param content_id: content ID of the object
        :raises ValueError: the arguments contradict each other
        :raises NotFound: there is no such chunk
        :raises Conflict: there is a chunk in the place of the copy
        :raises CorruptedChunk: the chunk is not what was stored, or the copy is not the chunk; there is no
            copy then
        :raises ChecksumUnavailable: the chunk cannot be verified without a package that is not installed;
            there is no copy then
        """
        known = {url.rpartition("/")[2].upper() for url in (from_url, to_url)}
        if chunk_id is not None and chunk_id.upper() not in known:
            raise ValueError(f"chunk_id {chunk_id!r} is neither that of {from_url!r} nor that of {to_url!r}")
        options = self._options(kwargs)
        reader, stream = self._open(from_url, options)
        with contextlib.closing(stream):
            meta = extract_headers_meta(reader.headers)
            source = CopySource(from_url, meta, stream)
            parts = {"cid": cid, "path": path, "version": version, "content_id": content_id}
            meta.update(owner_of_copy(meta.get("full_path"), fullpath, parts))
            # The source computes the checksum.
            copying = replace(options, checksum_algo=None).with_headers(free_attributes(reader.headers))
            sender = self._sender(to_url, meta, copying)
            try:
                source.check(to_url, *self._write_copy(sender, source, meta, options))
            except BaseException:  # Nobody knows of the copy yet, whatever stopped us.
                # Without an answer, what is there may be the chunk of somebody else.
                if sender.is_stored:
                    self._remove(to_url, options)
                raise

    def _write_copy(
        self, sender: ChunkSender, source: CopySource, meta: JsonMapping, options: Options
    ) -> tuple[int | str, str]:
        """Write the copy of a chunk.

        A request that was sent twice may be refused because the first one was done: the chunk that is there
        is the copy then.

        :param meta: description of the copy
        :returns: its size, and its checksum
        """
        try:
            return write_chunk(sender, source)
        except exc.ServiceBusy:
            there = self._describe_existing(sender.chunk, options) if sender.error == SAID_TWICE else None
            if there is None:
                raise
        if owner_and_position(there) != owner_and_position(meta):
            raise exc.Conflict(409, None, f"there is another chunk at {sender.chunk.url}")
        for _ in source:
            pass  # The rest is read too: the source is verified at its end.
        return there["chunk_size"], there["chunk_hash"]

    def _describe_existing(self, chunk: Chunk, options: Options) -> JsonMapping | None:
        """Description of the chunk that is in the place of a copy; None when it is not known."""
        try:
            there = self.chunk_head(chunk.address, options=options)
            if {"full_path", "chunk_pos", "chunk_size", "chunk_hash"} <= there.keys():
                return there
        except exc.OioException as err:
            reraise_interruption(err)
            fields = report_failure(options, "HEAD", chunk, err).fields()
            self.logger.warning("Failed to look at chunk %s: %s", chunk.url, err, extra=fields)
        return None

    def _remove(self, url: str, options: Options) -> None:
        """Delete a chunk that a failed call may have stored, best effort."""
        try:
            self.chunk_delete(url, options=options.for_cleaning())
        except exc.NotFound:
            return
        except exc.OioException as err:
            fields = report_failure(options, "DELETE", Chunk(url, url), err).fields()
            self.logger.warning("Failed to delete chunk %s: %s", url, err, extra=fields)

    def chunk_delete(self, url: str, **kwargs: Unpack[RequestOptions]) -> Any:
        """Delete a chunk.

        The request is sent once more, on a new connection, when a kept one turns out dead. Pools of urllib3
        itself do not tell that: there, it is sent once.

        :returns: the response
        :raises NotFound: there is no such chunk, or the first of two requests has deleted it
        """
        options = self._options(kwargs)
        return self._checked("DELETE", self._address(url, options), options)

    def chunk_delete_many(
        self,
        chunks: Iterable[JsonObject],
        cid: str | None = None,
        concurrency: int = PARALLEL_CHUNKS_DELETE,
        **kwargs: Unpack[RequestOptions],
    ) -> list[Any]:
        """Delete several chunks, some at a time. One that fails does not prevent the others.

        A request is sent once more, on a new connection, when a kept one turns out dead. A status of 404 may
        then mean that the first request has deleted the chunk.

        :param chunks: dicts with ``url``, and maybe ``real_url``
        :param cid: ID of their container, for the services' logs
        :param concurrency: how many at a time
        :returns: for each chunk, the response, or an ``HTTPError`` of urllib3 when there was none; the
            ``chunk`` attribute of either tells which
        """
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1: {concurrency!r}")
        options = self._options(kwargs)
        if cid is not None:
            options = options.with_headers({CHUNK_HEADERS["container_id"]: cid})

        def delete(chunk: JsonObject) -> Any:
            result: Any
            try:
                url = self._address(chunk.get("real_url") or chunk["url"], options)
                result = self._call("DELETE", url, options)
            except exc.OioException as err:
                reraise_interruption(err)
                result = err.__cause__
                if not isinstance(result, urllib3.exceptions.HTTPError):
                    result = urllib3.exceptions.HTTPError(str(err))
                    result.__cause__ = err
            result.chunk = chunk
            return result

        with green.ContextPool(concurrency) as pool:
            threads = [pool.spawn(delete, chunk) for chunk in chunks]
            return [thread.wait() for thread in threads]

    def chunk_link(  # type: ignore[misc] # headers have a place of their own among the published arguments
        self,
        target: str,
        link: str | None,
        fullpath: str,
        headers: Mapping[str, object] | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> tuple[Any, str]:
        """Give a chunk a second name, on the same service; its data are not copied.

        :param target: URL of the chunk
        :param link: URL or ID of the link, None for a random ID
        :param fullpath: full path of the object that the link is for
        :returns: the response, and the URL of the link
        :raises ChunkException: with the status of the answer
        """
        if headers is not None:
            kwargs["headers"] = headers
        options = self._options(kwargs)
        url = self._address(target, options)
        parts = urlsplit(url)
        chunk_id = link.rpartition("/")[2] if link else _similar_id(parts.path.strip("/"))
        new_url = urlunsplit(parts._replace(path=f"/{chunk_id}"))
        described = {"Destination": new_url, CHUNK_HEADERS["full_path"]: fullpath}
        resp = self._call("COPY", url, options.with_headers(described))
        if resp.status != _CREATED:
            raise exc.ChunkException(resp.status, reqid=options.reqid, service=parts.netloc)
        return resp, new_url


def _with_scheme(url: str) -> str:
    return url if "://" in url else f"http://{url}"


def _similar_id(chunk_id: str) -> str:
    """Make a random chunk ID that is stored in the same directory."""
    kept = chunk_id[:_KEPT_HEX_DIGITS]
    return kept + secrets.token_hex(len(chunk_id))[: len(chunk_id) - len(kept)].upper()


def _with_closed_range(headers: Mapping[str, object]) -> dict[str, object]:
    """Copy headers; a range that is not closed would give the whole chunk (pitfall 48)."""
    copy = {name: value for name, value in headers.items() if name.lower() != "range"}
    for value in [headers[name] for name in headers if name.lower() == "range"]:
        ranges = ranges_from_http_header(str(value))
        if len(ranges) != 1 or None in ranges[0]:
            raise ValueError(f"Range must be one first and one last byte, such as 'bytes=0-9': {value!r}")
        copy["Range"] = value
    return copy
