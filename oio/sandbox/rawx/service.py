# SPDX-License-Identifier: Apache-2.0
"""The rawx: requests for chunks, checked in the order of the real service."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from itertools import groupby
from typing import Final, Protocol
from urllib.parse import quote, unquote, urlsplit

from oio.common.easy_value import true_value
from oio.common.fullpath import decode_fullpath
from oio.common.utils import cid_from_name
from oio.sandbox.http.injection import HangUp
from oio.sandbox.messages import FileSlice, Headers, IncompleteBody, Request, Response
from oio.sandbox.rawx import hashes
from oio.sandbox.rawx.chunks import Attributes, Chunk, ChunkDamaged, ChunkStore
from oio.sandbox.releases import R7_3, Release
from oio.sandbox.storage.files import NameTaken, NotStored, Writing

_META: Final = "x-oio-chunk-meta-"
_SHOWN_META: Final = "X-Oio-Chunk-Meta-"
_EXTRA: Final = "x-oio-ext-"
_SHOWN_EXTRA: Final = "X-Oio-Ext-"
_CHUNK_ID: Final = re.compile(r"[0-9A-Fa-f]{24,64}\Z")
_HEX: Final = re.compile(r"[0-9A-Fa-f]+\Z")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+\Z")
# Blanks are skipped before a number, and what follows the second number is ignored, as scanf does.
_RANGE: Final = re.compile(r"bytes= *\+?(\d+)- *\+?(\d+)")
_LARGEST: Final = 2**63 - 1
_BLOCK: Final = 256 * 1024
_SNIFFED: Final = 512
_NOT_TEXT: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_REQUEST_ID_LENGTH: Final = 63
_VERSION: Final = "4.2"
_TEXT: Final = ("Content-Type", "text/plain; charset=utf-8")
_JSON: Final = ("Content-Type", "application/json")
#: Chunks lie in directories of that many digits, and a page of a list ends with one of them.
_DIGITS: Final = 3
_LAYOUT: Final = f"hash_depth 1\nhash_width {_DIGITS}\n"


class _Refused(Exception):
    """A refusal: a status without a body."""

    def __init__(self, status: int, *, close: bool = False) -> None:
        super().__init__(status)
        self.response = Response(status, close=close)


@dataclass(frozen=True)
class FullPath:
    """Full path of a chunk, which names the object that owns it."""

    encoded: str
    cid: str
    path: str
    version: str
    content_id: str

    @classmethod
    def parse(cls, encoded: str) -> FullPath:
        """Read the header; anything but five parts, a number and hexadecimal digits is refused."""
        try:
            account, container, path, version, content_id = decode_fullpath(encoded)
        except ValueError:
            raise _Refused(400) from None
        if not (account and container and path and _INTEGER.match(version) and _HEX.match(content_id)):
            raise _Refused(400)
        return cls(encoded, cid_from_name(account, container).upper(), path, version, content_id.upper())

    def check(self, meta: Mapping[str, str]) -> None:
        """Refuse headers that contradict it."""
        same = (
            meta.get("container-id", self.cid).upper() == self.cid
            and meta.get("content-id", self.content_id).upper() == self.content_id
            and unquote(meta.get("content-path", quote(self.path))) == self.path
            and meta.get("content-version", self.version) == self.version
        )
        if not same:
            raise _Refused(400)


class Index(Protocol):
    """Receiver of the events of chunks."""

    def stored(self, chunk: FullPath, chunk_id: str) -> None:
        """Receive a new chunk, or a new link to one."""

    def deleted(self, chunk_id: str) -> None:
        """Receive that a chunk was deleted."""


class Rawx:
    """One rawx service.

    :param namespace: name that ``/info`` gives.
    :param names: what ``Host`` may name: its address and its service ID.
    :param store: its chunks.
    :param index: told of chunks stored and deleted, once that is durable.
    :param release: what it answers like.
    """

    def __init__(
        self,
        namespace: str,
        names: frozenset[str],
        store: ChunkStore,
        index: Index,
        release: Release = R7_3,
    ) -> None:
        self._namespace = namespace
        self._names = names
        self._store = store
        self._index = index
        self._release = release
        #: Whether ``COPY`` is allowed; may be changed at any time.
        self.shallow_copy = release.shallow_copy
        self._lock = threading.Lock()
        self._hits: Counter[str] = Counter()

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        with self._lock:
            self._hits[request.method] += 1
        try:
            response = self._route(request)
        except _Refused as exc:
            response = exc.response
        except NotStored:
            response = Response(404)
        except NameTaken:
            response = Response(409)
        except (ChunkDamaged, OSError):
            response = Response(500)
        request_id = request.get("x-oio-req-id")
        if not request_id:
            return response
        headers = [*response.headers, ("X-Oio-Req-Id", request_id[:_REQUEST_ID_LENGTH])]
        return Response(response.status, headers, response.body, close=response.close)

    def _route(self, request: Request) -> Response:
        name = request.path.lstrip("/")
        specials = {"info": self._info, "stat": self._stat}
        if self._release.chunk_hashes:
            specials["list"] = self._list
        special = specials.get(name)
        if special is None and not _CHUNK_ID.match(name):
            raise _Refused(400)
        host = request.get("host")
        if host and host not in self._names:
            raise _Refused(418)
        if special is not None:
            if request.method != "GET":
                raise _Refused(405)
            return special(request)
        methods = {
            "GET": self._get,
            "HEAD": self._head,
            "PUT": self._put,
            "DELETE": self._delete,
            "COPY": self._copy,
        }
        if self._release.chunk_hashes:
            methods["POST"] = self._post
        if request.method not in methods:
            raise _Refused(405)
        return methods[request.method](request, name.upper())

    def _info(self, request: Request) -> Response:
        text = f"namespace {self._namespace}\npath {self._store.directory}\n"
        if self._release.chunk_hashes:
            text += _LAYOUT
        return Response(200, [_TEXT], text.encode())

    def _list(self, request: Request) -> Response:
        try:
            asked = json.loads(b"".join(request.stream) or b"{}")
            least, marker = int(asked.get("min_to_return", 1000)), str(asked.get("marker", ""))
        except (ValueError, TypeError, AttributeError):
            raise _Refused(400) from None
        names = [name for name in self._store.names() if name[:_DIGITS] >= marker]
        listed: list[dict[str, str]] = []
        page: dict[str, object] = {"chunks": listed, "is_truncated": False}
        last = 0
        for directory, inside in groupby(names, lambda name: name[:_DIGITS]):
            # A page ends with a directory.
            if len(listed) >= least:
                page |= {"is_truncated": True, "marker": f"{last + 1:0{_DIGITS}X}"}
                break
            listed += [{"chunk_id": name} for name in inside]
            last = int(directory, 16)
        return Response(200, [_JSON], json.dumps(page, separators=(",", ":")).encode() + b"\n")

    def _stat(self, request: Request) -> Response:
        with self._lock:
            hits = sorted(self._hits.items())
        lines = [f"counter req.hits.{method.lower()} {count}\n" for method, count in hits]
        lines.append(
            f"counter req.hits {sum(count for _, count in hits)}\nconfig volume {self._store.directory}\n"
        )
        return Response(200, [_TEXT], "".join(lines).encode())

    # Reading -----------------------------------------------------------------------------------------------

    def _get(self, request: Request, chunk_id: str) -> Response:
        chunk = self._open(chunk_id)
        try:
            size = chunk.attributes.size
            part = _requested_range(request.get("range") or "", size)
            offset, length = (part[0], part[1] - part[0] + 1) if part else (0, size)
            headers = self._describe(chunk_id, chunk)
            headers.append(("Content-Length", str(length)))
            if part:
                headers.append(("Content-Range", f"bytes {part[0]}-{part[1]}/{size}"))
            if length:
                chunk.file.seek(offset)
                headers.append(("Content-Type", _guess_type(chunk.file.read(min(length, _SNIFFED)))))
        except BaseException:  # No response will close the file.
            chunk.file.close()
            raise
        return Response(206 if part else 200, headers, FileSlice(chunk.file, offset, length))

    def _head(self, request: Request, chunk_id: str) -> Response:
        with self._open(chunk_id) as chunk:
            if true_value(request.get("x-oio-check-hash")):
                expected = request.get(f"{_META}chunk-hash") or chunk.attributes.hash
                if not expected:
                    raise _Refused(500)
                by_length = self._release.chunk_hashes
                algorithm = hashes.algorithm_by_length(expected) if by_length else hashes.MD5
                if _hash_of(chunk, algorithm) != expected.upper():
                    raise _Refused(412)
            headers = self._describe(chunk_id, chunk)
            headers += [("Accept-Ranges", "bytes"), ("Content-Length", str(chunk.attributes.size))]
            return Response(200, headers)

    def _describe(self, chunk_id: str, chunk: Chunk) -> list[tuple[str, str]]:
        """Return the headers that describe a chunk."""
        attributes = chunk.attributes
        owner = FullPath.parse(attributes.fullpath)
        values = {
            "Chunk-Hash": attributes.hash,
            "Chunk-Id": chunk_id,
            "Chunk-Pos": attributes.position,
            "Chunk-Size": attributes.size,
            "Container-Id": owner.cid,
            "Content-Chunk-Method": attributes.chunk_method,
            "Content-Id": owner.content_id,
            "Content-Path": quote(owner.path, safe="$&+=:@"),
            "Content-Storage-Policy": attributes.policy,
            "Content-Version": owner.version,
            "Full-Path": attributes.fullpath,
            "Metachunk-Hash": attributes.metachunk_hash,
            "Metachunk-Size": attributes.metachunk_size,
        }
        # The real service writes UTC where the standard has GMT (pitfalls row 154).
        modified = formatdate(chunk.mtime, usegmt=True).replace("GMT", "UTC")
        shown = [(f"{_SHOWN_META}{name}", str(value)) for name, value in values.items() if value is not None]
        shown += [(_SHOWN_EXTRA + name.title(), value) for name, value in attributes.extra.items()]
        return [("Last-Modified", modified), *shown, *self._version()]

    def _open(self, chunk_id: str) -> Chunk:
        """Open a chunk, unless its file has been cut short (or lengthened) and the release looks at that."""
        chunk = self._store.open(chunk_id)
        if chunk.length != chunk.attributes.size and not self._release.chunk_hashes:
            chunk.file.close()
            raise _Refused(412)
        return chunk

    # Writing -----------------------------------------------------------------------------------------------

    def _put(self, request: Request, chunk_id: str) -> Response:
        meta = _metadata(request.headers)
        if not all(
            meta.get(name) for name in ("chunk-pos", "content-chunk-method", "content-storage-policy")
        ):
            raise _Refused(400)
        fullpath = FullPath.parse(meta.get("full-path", ""))
        fullpath.check(meta)
        if meta.get("chunk-id", chunk_id).upper() != chunk_id:
            raise _Refused(400)
        method = meta["content-chunk-method"]
        algorithm = hashes.MD5
        if self._release.chunk_hashes:
            if "/" not in method:
                raise HangUp(reset=False)
            algorithm = hashes.algorithm_of(method)
            meta["content-chunk-method"] = hashes.kept_method(method, chunk_id)
        with self._store.create(chunk_id, hashes.new(algorithm)) as upload:
            try:
                for block in request.stream:
                    upload.write(block)
            except IncompleteBody:
                raise _Refused(500, close=request.get("transfer-encoding") is not None) from None
            attributes = _checked(meta | _metadata(request.stream.trailers), fullpath, upload)
            if self._release.chunk_hashes:
                attributes = replace(attributes, extra=_extra(request.headers))
            self._store.commit(upload, attributes)
        self._index.stored(fullpath, chunk_id)
        headers = [
            ("Connection", "keep-alive"),
            (f"{_SHOWN_META}Chunk-Hash", attributes.hash),
            (f"{_SHOWN_META}Chunk-Size", str(attributes.size)),
        ]
        return Response(201, [*headers, *self._version()])

    def _version(self) -> list[tuple[str, str]]:
        return [] if self._release.chunk_hashes else [(f"{_SHOWN_META}Oio-Version", _VERSION)]

    def _post(self, request: Request, chunk_id: str) -> Response:
        self._store.describe(chunk_id, _extra(request.headers))
        return Response(200)

    def _delete(self, request: Request, chunk_id: str) -> Response:
        self._store.delete(chunk_id)
        self._index.deleted(chunk_id)
        return Response(204)

    def _copy(self, request: Request, chunk_id: str) -> Response:
        destination = urlsplit(request.get("destination") or "")
        target = destination.path.lstrip("/")
        if not _CHUNK_ID.match(target):
            raise _Refused(400)
        meta = _metadata(request.headers)
        fullpath = FullPath.parse(meta.get("full-path", ""))
        fullpath.check(meta)
        if (destination.netloc and destination.netloc not in self._names) or target.upper() == chunk_id:
            raise _Refused(403)
        if not self.shallow_copy:
            raise _Refused(405)
        self._store.link(chunk_id, target.upper(), fullpath.encoded)
        self._index.stored(fullpath, target.upper())
        return Response(201)


def _metadata(headers: Headers) -> dict[str, str]:
    """Return the chunk metadata among ``headers``, by the end of their names in lower case."""
    pairs = [(name.lower(), value) for name, value in headers]
    return {name[len(_META) :]: value for name, value in pairs if name.startswith(_META)}


def _checked(meta: Mapping[str, str], fullpath: FullPath, upload: Writing) -> Attributes:
    """Return the attributes of a received chunk; refuse headers that contradict its data."""
    digests = {name: meta.get(name) for name in ("chunk-hash", "metachunk-hash")}
    sizes = {name: meta.get(name) for name in ("chunk-size", "metachunk-size")}
    if any(value and not _HEX.match(value) for value in digests.values()):
        raise _Refused(400)
    if any(value and len(value) > hashes.LONGEST for value in digests.values()):
        raise _Refused(400)
    if any(value and not _INTEGER.match(value) for value in sizes.values()):
        raise _Refused(400)
    if meta["content-chunk-method"].startswith("ec/") and not (
        meta.get("metachunk-hash") and meta.get("metachunk-size")
    ):
        raise _Refused(400)
    chunk_hash, chunk_size, digest = digests["chunk-hash"], sizes["chunk-size"], upload.digest.upper()
    if (chunk_hash and chunk_hash.upper() != digest) or (chunk_size and int(chunk_size) != upload.size):
        raise _Refused(400)
    return Attributes(
        fullpath=fullpath.encoded,
        position=meta["chunk-pos"],
        chunk_method=meta["content-chunk-method"],
        policy=meta["content-storage-policy"],
        hash=digest,
        size=upload.size,
        metachunk_hash=(digests["metachunk-hash"] or "").upper() or None,
        metachunk_size=int(sizes["metachunk-size"]) if sizes["metachunk-size"] else None,
    )


def _requested_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the first and last byte requested; None for the whole chunk, or a malformed header."""
    found = _RANGE.match(header)
    if not found or not size:
        return None
    first, last = int(found[1]), int(found[2])
    if first > last or last > _LARGEST:
        return None
    if first >= size:
        raise _Refused(416)
    return first, min(last, size - 1)


def _guess_type(start: bytes) -> str:
    return "application/octet-stream" if _NOT_TEXT.search(start) else _TEXT[1]


def _extra(headers: Headers) -> dict[str, str]:
    """Return the free attributes among ``headers``, unescaped, by the end of their names in lower case."""
    pairs = [(name.lower(), unquote(value)) for name, value in headers]
    return {name[len(_EXTRA) :]: value for name, value in pairs if name.startswith(_EXTRA)}


def _hash_of(chunk: Chunk, algorithm: str) -> str:
    computed = hashes.new(algorithm)
    chunk.file.seek(0)
    while block := chunk.file.read(_BLOCK):
        computed.update(block)
    return computed.hexdigest().upper()
