# SPDX-License-Identifier: Apache-2.0
"""Client of the rawx services: one chunk at a time, without the metadata of objects."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import pkgutil
import secrets
from collections.abc import Iterable, Iterator, Mapping
from email.utils import mktime_tz, parsedate_tz
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from oio.common import exceptions as exc
from oio.common import green
from oio.common.constants import (
    CHECKHASH_HEADER,
    CHUNK_HEADERS,
    CHUNK_XATTR_KEYS_OPTIONAL,
    FETCHXATTR_HEADER,
    OIO_VERSION,
    TIMEOUT_KEYS,
)
from oio.common.deadlines import cleaning_options
from oio.common.fullpath import decode_fullpath, encode_fullpath
from oio.common.http import ranges_from_http_header
from oio.common.http_api import HttpApi
from oio.common.http_urllib3 import urllib3
from oio.common.utils import GeneratorIO, cid_from_name
from oio.conscience.client import ConscienceClient

CHUNK_TIMEOUT = 60
"""Seconds to wait for an answer."""
READ_BUFFER_SIZE = 65535
PARALLEL_CHUNKS_DELETE = 3

_LOGGER = logging.getLogger(__name__)
_CREATED = 201
_KEPT_HEX_DIGITS = 4
_ARGUMENTS = {
    "container_id": "cid",
    "content_path": "path",
    "content_version": "version",
    "content_id": "content_id",
}
"""What the owner of a chunk is described by, and the arguments that tell it."""


def extract_headers_meta(headers: Mapping[str, str], check: bool = True) -> dict[str, Any]:
    """Make the description of a chunk from the headers of a response.

    :param headers: names in any case
    :param check: refuse a description that lacks something mandatory
    :returns: a dict with the keys of :data:`~oio.common.constants.CHUNK_HEADERS`; values are text, but
        ``chunk_mtime`` (seconds); ``full_path`` stays percent-encoded
    :raises FaultyChunk: with a :class:`~oio.common.exceptions.MissingAttribute` for each header missing
    """
    found = {name.lower(): value for name, value in headers.items()}
    meta: dict[str, Any] = {}
    missing = []
    for key, header in CHUNK_HEADERS.items():
        value = found.get(header)
        if value is None:
            if key not in CHUNK_XATTR_KEYS_OPTIONAL:
                missing.append(exc.MissingAttribute(key))
        elif key == "chunk_mtime":
            date = parsedate_tz(value)
            if date is not None:
                meta[key] = float(mktime_tz(date))
        else:
            meta[key] = value if key == "full_path" else unquote(value)
    if check and missing:
        raise exc.FaultyChunk(*missing)
    return meta


class BlobClient(HttpApi):
    """Requests to rawx services, one method for each of their operations.

    Every method takes a chunk URL, whose host may be a service ID, and the options of a request as
    keywords: ``headers``, ``reqid``, ``deadline``, ``connection_timeout``, ``read_timeout``...

    :param conf: a dict with at least ``namespace``, needed to resolve service IDs only
    :param connection_pool: pool of connections shared with other clients
    :param perfdata: dict to add performance figures to, unless a call brings its own
    :param kwargs: options of :class:`~oio.common.http_api.HttpApi`; ``endpoint`` is that of the proxy

    >>> with BlobClient() as client:
    ...     client.resolve_url("127.0.0.1:6010/0A12")
    'http://127.0.0.1:6010/0A12'
    """

    def __init__(
        self,
        conf: dict[str, Any] | None = None,
        connection_pool: Any = None,
        perfdata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.conf = conf
        self.perfdata = perfdata
        self.logger = kwargs.pop("logger", None) or _LOGGER
        self._proxy_endpoint = kwargs.pop("endpoint", None)
        kwargs.setdefault("pool_manager", connection_pool)
        super().__init__(service_type="rawx", **kwargs)
        self._timeouts = {name: kwargs[name] for name in TIMEOUT_KEYS if kwargs.get(name) is not None}
        self._default_timeouts.setdefault("read_timeout", CHUNK_TIMEOUT)
        self._conscience: ConscienceClient | None = None

    def resolve_url(self, url: str, **kwargs: Any) -> str:
        """Replace the service ID in a chunk URL by the address of the service; add ``http://`` if need be.

        :raises ConfigurationException: there is a service ID, and the namespace is not known
        """
        full = url if "://" in url else f"http://{url}"
        if urlsplit(full).port is not None:
            return full
        if self._conscience is None:
            if self.conf is None:
                raise exc.ConfigurationException(f"conf is needed to resolve the service of {url!r}")
            self._conscience = ConscienceClient(
                self.conf, endpoint=self._proxy_endpoint, pool_manager=self.pool_manager, **self._timeouts
            )
        return self._conscience.resolve_url("rawx", full, **kwargs)

    def _refused(self, resp: Any, answer: Any, reqid: str | None, service: str | None) -> None:
        # Each operation has its own idea of success, and chunk_delete_many gives refusals back.
        pass

    def _call(self, method: str, url: str, headers: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        """Send a request about a chunk, and get its response, whatever its status."""
        kwargs.setdefault("perfdata", self.perfdata)
        resp, _ = self._direct_request(method, url, headers=headers, **kwargs)
        return resp

    def _checked(self, method: str, url: str, **kwargs: Any) -> Any:
        resp = self._call(method, url, **kwargs)
        # One server says 200 where another says 204 (pitfalls row 82).
        if not 200 <= resp.status < 300:
            super()._refused(resp, resp.data, kwargs.get("reqid"), urlsplit(url).netloc)
        return resp

    def chunk_head(
        self, url: str, xattr: bool = True, check_hash: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Get the description of a chunk.

        :param xattr: False to know only whether it exists
        :param check_hash: make the service compare the data with their checksum, which reads them all
        :returns: see :func:`extract_headers_meta`; empty when `xattr` is False
        :raises NotFound: there is no such chunk
        :raises ClientPreconditionFailed: size or checksum are not those of the data
        """
        headers = {**(kwargs.pop("headers", None) or {}), FETCHXATTR_HEADER: xattr}
        if check_hash:
            headers[CHECKHASH_HEADER] = True
        url = self.resolve_url(url, **_without_perfdata(kwargs))
        resp = self._checked("HEAD", url, headers=headers, **kwargs)
        return extract_headers_meta(resp.headers, check=False) if xattr else {}

    def chunk_get(self, url: str, check_headers: bool = True, **kwargs: Any) -> tuple[dict[str, Any], Any]:
        """Read a chunk, or the range of it that is asked for in the headers.

        :param check_headers: refuse a chunk whose description lacks something mandatory
        :returns: its description (see :func:`extract_headers_meta`), and an iterable of blocks of bytes
            which has a ``close()``
        :raises ValueError: the range has not both a first and a last byte
        :raises FaultyChunk: see `check_headers`
        :raises NotFound: there is no such chunk
        :raises UnsatisfiableRange: the range begins after the last byte
        """
        reader_class = pkgutil.resolve_name("oio.api.io:ChunkReader")
        headers = _with_reqid(kwargs.pop("headers", None), kwargs.get("reqid"))
        headers = _with_closed_range(headers)
        chunk = {"url": url, "real_url": self.resolve_url(url, **_without_perfdata(kwargs))}
        kwargs.setdefault("perfdata", self.perfdata)
        # A range may end after the last byte.
        options = {**self._timeouts, **kwargs, "exact": "Range" not in headers}
        reader = reader_class([chunk], READ_BUFFER_SIZE, headers, **options)
        stream = reader.stream()
        try:
            return extract_headers_meta(reader.headers, check=check_headers), stream
        except exc.FaultyChunk:
            stream.close()
            raise

    def chunk_put(self, url: str, meta: dict[str, Any], data: Any, **kwargs: Any) -> tuple[int, str]:
        """Write a chunk.

        :param meta: its description, with the keys of :data:`~oio.common.constants.CHUNK_HEADERS`
            (``chunk_method`` is as good as ``content_chunkmethod``); a ``chunk_hash`` is checked
        :param data: iterable of blocks of bytes, or file
        :returns: number of bytes, and checksum of the data
        :raises FaultyChunk: the description lacks something that chunks are stored with
        :raises Conflict: there is such a chunk already
        """
        return self._put({"url": url}, meta, data, **kwargs)

    def _put(
        self, chunk: dict[str, Any], meta: Mapping[str, Any], data: Any, **kwargs: Any
    ) -> tuple[int, str]:
        """Write a chunk, noting in ``maybe_stored`` of ``chunk`` that the service may have it."""
        writer_class = pkgutil.resolve_name("oio.api.replication:ReplicatedMetachunkWriter")
        checksum_class = pkgutil.resolve_name("oio.api.replication:FakeChecksum")
        sysmeta = _sysmeta(meta)
        kwargs = {**self._timeouts, **kwargs}
        kwargs["headers"] = _with_reqid(kwargs.get("headers"), kwargs.get("reqid"))
        kwargs.setdefault("perfdata", self.perfdata)
        chunk["real_url"] = self.resolve_url(chunk["url"], **_without_perfdata(kwargs))
        chunk["pos"] = meta["chunk_pos"]
        checksum = checksum_class(meta.get("chunk_hash") or meta.get("metachunk_hash"))
        source = data if hasattr(data, "read") else io.BufferedReader(GeneratorIO(data))
        size, written, _ = writer_class(sysmeta, [chunk], checksum, None, quorum=1, **kwargs).stream(source)
        return size, written

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
        **kwargs: Any,
    ) -> None:
        """Copy a chunk, with its description, to another service or place. The data are verified on the way.

        :param from_url: URL of the chunk
        :param to_url: URL of the copy
        :param chunk_id: ID of the copy, which `to_url` must end with
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
        """
        if chunk_id is not None and chunk_id.upper() != to_url.rpartition("/")[2].upper():
            raise ValueError(f"chunk_id {chunk_id!r} is not that of to_url {to_url!r}")
        meta, stream = self.chunk_get(from_url, **kwargs)
        copy = {"url": to_url}
        original = _Original(from_url, meta, stream)
        with contextlib.closing(stream):
            new_owner = {
                "container_id": cid,
                "content_path": path,
                "content_version": version,
                "content_id": content_id,
            }
            described = {**meta, **_owner(meta.get("full_path"), fullpath, new_owner)}
            try:
                # Hashed once, by the original.
                written = self._put(copy, described, original, **{**kwargs, "chunk_checksum_algo": None})
                original.check(to_url, *written)
            except BaseException as err:
                self._remove(copy, kwargs)
                if isinstance(err, exc.SourceReadError) and isinstance(err.__cause__, exc.OioException):
                    raise err.__cause__ from None
                raise

    def _remove(self, chunk: dict[str, Any], options: dict[str, Any]) -> None:
        """Delete a chunk that a failed call may have stored, best effort."""
        if not chunk.get("maybe_stored"):
            return
        try:
            self.chunk_delete(chunk["url"], **cleaning_options(options))
        except exc.NotFound:
            return
        except exc.OioException as err:
            self.logger.warning("Failed to delete chunk %s: %s", chunk["url"], err)

    def chunk_delete(self, url: str, **kwargs: Any) -> Any:
        """Delete a chunk.

        :returns: the response
        :raises NotFound: there is no such chunk
        """
        url = self.resolve_url(url, **_without_perfdata(kwargs))
        return self._checked("DELETE", url, **kwargs)

    def chunk_delete_many(
        self, chunks: Iterable[dict[str, Any]], cid: str | None = None, **kwargs: Any
    ) -> list[Any]:
        """Delete several chunks, some at a time. One that fails does not prevent the others.

        :param chunks: dicts with ``url``, and maybe ``real_url``
        :param cid: ID of their container, for the services' logs
        :returns: for each chunk, the response, or an ``HTTPError`` of urllib3 when there was none; the
            ``chunk`` attribute of either tells which
        """
        headers = dict(kwargs.pop("headers", None) or {})
        if cid is not None:
            headers[CHUNK_HEADERS["container_id"]] = cid

        def delete(chunk: dict[str, Any]) -> Any:
            result: Any
            try:
                url = self.resolve_url(chunk.get("real_url") or chunk["url"], **_without_perfdata(kwargs))
                result = self._call("DELETE", url, headers=headers, **kwargs)
            except exc.OioException as err:
                result = err.__cause__
                if not isinstance(result, urllib3.exceptions.HTTPError):
                    result = urllib3.exceptions.HTTPError(str(err))
                    result.__cause__ = err
            result.chunk = chunk
            return result

        green.adopt_thread()
        with green.ContextPool(PARALLEL_CHUNKS_DELETE) as pool:
            threads = [pool.spawn(delete, chunk) for chunk in chunks]
            return [thread.wait() for thread in threads]

    def chunk_link(
        self,
        target: str,
        link: str | None,
        fullpath: str,
        headers: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, str]:
        """Give a chunk a second name, on the same service; its data are not copied.

        :param target: URL of the chunk
        :param link: URL or ID of the link, None for a random ID
        :param fullpath: full path of the object that the link is for
        :returns: the response, and the URL of the link
        :raises ChunkException: with the status of the answer
        """
        url = self.resolve_url(target, **_without_perfdata(kwargs))
        parts = urlsplit(url)
        chunk_id = link.rpartition("/")[2] if link else _similar_id(parts.path.strip("/"))
        new_url = urlunsplit(parts._replace(path=f"/{chunk_id}"))
        headers = {**(headers or {}), "Destination": new_url, CHUNK_HEADERS["full_path"]: fullpath}
        resp = self._call("COPY", url, headers=headers, **kwargs)
        if resp.status != _CREATED:
            raise exc.ChunkException(resp.status, reqid=kwargs.get("reqid"), service=parts.netloc)
        return resp, new_url


class _Original(Iterator[bytes]):
    """The data of a chunk to copy, which fail before their end when they are not what was stored.

    :param meta: description of the chunk
    :param blocks: its data
    """

    def __init__(self, url: str, meta: Mapping[str, Any], blocks: Iterator[bytes]) -> None:
        self._url = url
        self._blocks = blocks
        self._known = (meta.get("chunk_size"), meta.get("chunk_hash"))
        self._size = 0
        self._digest = hashlib.new("md5")

    def __next__(self) -> bytes:
        block = next(self._blocks, None)
        if block is None:
            self.check(self._url, *self._known)
            raise StopIteration
        self._size += len(block)
        self._digest.update(block)
        return block

    def check(self, url: str, size: Any, checksum: str | None) -> None:
        """Compare what was read with what is said of a chunk, as far as it is known (pitfalls row 100).

        :raises CorruptedChunk: they differ
        """
        digest = self._digest.hexdigest()
        # Checksums of other services than those of 7.3.0 may be of other kinds.
        other = checksum and len(checksum) == len(digest) and checksum.lower() != digest
        if other or size not in (None, self._size, str(self._size)):
            raise exc.CorruptedChunk(
                f"{url} has {size} bytes of checksum {checksum}, but {self._size} of {digest} were read"
            )


def _owner(own: str | None, fullpath: str | None, parts: dict[str, Any]) -> dict[str, Any]:
    """Describe the owner of a copy.

    :param own: full path of the chunk that is copied
    :param fullpath: full path of the owner, if it is given
    :param parts: what is given of the owner besides, None where nothing is
    :raises ValueError: that is not enough, or too much
    """
    if fullpath is None:
        if own is None:
            raise ValueError("fullpath is needed: the chunk has none")
        account, container, *described = decode_fullpath(own)
        names = ("content_path", "content_version", "content_id")
        mixed = [parts[name] or value for name, value in zip(names, described, strict=True)]
        fullpath = encode_fullpath(account, container, *mixed)
    owner = _parts_of(fullpath)
    for name, value in parts.items():
        if value is None:
            continue
        # All but the name is made of digits, of either case.
        same = value == owner[name] if name == "content_path" else str(value).upper() == owner[name].upper()
        if not same:
            raise ValueError(f"{_ARGUMENTS[name]} {value!r} does not go with full path {fullpath!r}")
    return {"full_path": fullpath, **owner}


def _parts_of(fullpath: str) -> dict[str, str]:
    account, container, path, version, content_id = decode_fullpath(fullpath)
    return {
        "container_id": cid_from_name(account, container),
        "content_path": path,
        "content_version": version,
        "content_id": content_id,
    }


def _similar_id(chunk_id: str) -> str:
    """Make a random chunk ID that is stored in the same directory."""
    kept = chunk_id[:_KEPT_HEX_DIGITS]
    return kept + secrets.token_hex(len(chunk_id))[: len(chunk_id) - len(kept)].upper()


def _without_perfdata(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Make the options of a question to the proxy, which is no chunk request to be measured as one."""
    return {name: value for name, value in kwargs.items() if name not in ("perfdata", "headers")}


def _with_reqid(headers: Any, reqid: str | None) -> dict[str, Any]:
    """Copy headers, with the request ID, under one name only whatever the case (pitfalls row 68)."""
    name = "x-oio-req-id"
    copy = {key: value for key, value in (headers or {}).items() if not (reqid and key.lower() == name)}
    return {**copy, name: reqid} if reqid else copy


def _with_closed_range(headers: dict[str, Any]) -> dict[str, Any]:
    """Copy headers; a range that is not closed would give the whole chunk, without a word (row 48)."""
    copy = {name: value for name, value in headers.items() if name.lower() != "range"}
    for value in [headers[name] for name in headers if name.lower() == "range"]:
        ranges = ranges_from_http_header(value)
        if len(ranges) != 1 or None in ranges[0]:
            raise ValueError(f"Range must be one first and one last byte, such as 'bytes=0-9': {value!r}")
        copy["Range"] = value
    return copy


def _sysmeta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Translate the description of a chunk into that of the object it belongs to.

    :raises FaultyChunk: what a chunk must be stored with is missing
    """
    missing = [name for name in ("chunk_pos", "content_policy", "full_path") if not meta.get(name)]
    if not (meta.get("chunk_method") or meta.get("content_chunkmethod")):
        missing.append("content_chunkmethod")
    if missing:
        raise exc.FaultyChunk(*map(exc.MissingAttribute, missing))
    if isinstance(meta["full_path"], str):
        meta = {**_parts_of(meta["full_path"]), **{key: meta[key] for key in meta if meta[key] is not None}}
    sysmeta = {
        "id": meta.get("content_id"),
        "version": meta.get("content_version"),
        "content_path": meta.get("content_path"),
        "chunk_method": meta.get("chunk_method") or meta.get("content_chunkmethod"),
        "policy": meta.get("content_policy"),
        "container_id": meta.get("container_id"),
        "full_path": meta.get("full_path"),
        "oio_version": meta.get("oio_version") or OIO_VERSION,
    }
    optional = ("chunk_hash", "metachunk_hash", "metachunk_size")
    return sysmeta | {name: meta[name] for name in optional if meta.get(name) is not None}
