# SPDX-License-Identifier: Apache-2.0
"""The bare limit: what the standard library and PyECLib cost, without one line of ``oio``.

Read it from top to bottom: with ``bare_http`` and ``bare_b2``, it is all there is. One `Bare` is one client
with kept connections (http.client), for one thread. It sends what the services need and no request more,
computes the same checksums as a careful client (hashlib), and compares them with those of the services. It
retries nothing, has no time limits, and checks only what a benchmark needs. A body that goes to several
servers is sent block by block, to each of them in turn: one thread that never waits for another costs the
least CPU.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from http.client import HTTPConnection, HTTPResponse
from typing import IO, Any
from urllib.parse import quote, urlencode, urlsplit

from pyeclib.ec_iface import ECDriver

from benchmarks.bare_b2 import BareB2
from benchmarks.bare_http import BLOCK, SMALL, Connections, answer, body_of, frame, send_block

META = "x-oio-chunk-meta-"
OBJECT = "x-oio-content-meta-"


class Bare:
    """A client for one thread.

    :param proxy: ``host:port``
    :param key_file: credentials of Backblaze, for policies that need them
    """

    def __init__(self, proxy: str, namespace: str, account: str, key_file: str = "") -> None:
        self._proxy = proxy
        self._root = f"/v3.0/{namespace}/"
        self._account = account
        self._connections = Connections()
        self._send = self._connections.send
        self._b2 = BareB2(self._send, key_file)
        self.empty_bucket = self._b2.empty_bucket

    def close(self) -> None:
        self._connections.close()

    # --- requests

    def _ask(self, route: str, container: str, body: Any = None, method: str = "POST", **more: Any) -> Any:
        """Ask the proxy; returns its answer and the JSON of it. `more` are parameters, and ``headers``."""
        headers = more.pop("headers", {})
        parameters = urlencode({"acct": self._account, "ref": container, **more})
        data = None if method == "GET" else b"" if body is None else json.dumps(body).encode()
        response = self._send(
            self._proxy, method, f"{self._root}{route}?{parameters}", data, **headers
        ).getresponse()
        content = response.read()
        if response.status >= 300:
            raise OSError(f"{route}: HTTP {response.status} {content!r}")
        return response, json.loads(content) if content else None

    # --- metadata

    def _container_id(self, container: str) -> str:
        return hashlib.sha256(f"{self._account}\0{container}".encode()).hexdigest().upper()

    def _file_name(self, container: str, chunk: Any) -> str:
        """Name of a chunk in the bucket of Backblaze."""
        return f"{self._container_id(container)}/{chunk['url'].rpartition('/')[2]}"

    def create_container(self, container: str) -> None:
        self._ask("container/create", container)

    def head(self, container: str, name: str) -> dict[str, str]:
        _, found = self._ask("content/get_properties", container, path=name)
        return dict(found["properties"])

    def set_properties(self, container: str, name: str, properties: dict[str, str]) -> None:
        self._ask("content/set_properties", container, {"properties": properties}, path=name)

    def delete(self, container: str, name: str) -> None:
        self._ask("content/delete", container, path=name)

    def delete_many(self, container: str, names: Sequence[str]) -> list[tuple[str, bool]]:
        asked = {"contents": [{"name": name} for name in names]}
        _, found = self._ask("content/delete_many", container, asked)
        return [(item["name"], item["status"] == 204) for item in found["contents"]]

    def list_names(self, container: str, prefix: str = "") -> Iterator[str]:
        asked: dict[str, Any] = {"max": 1000, "prefix": prefix} if prefix else {"max": 1000}
        marker: dict[str, str] = {}
        while True:
            response, found = self._ask("container/list", container, method="GET", **asked, **marker)
            for item in found["objects"]:
                yield item["name"]
            if response.getheader("x-oio-list-truncated") != "true":
                return
            marker = {"marker": found["objects"][-1]["name"]}

    def create_entry(self, container: str, name: str) -> None:
        """Create an object whose chunks were never written: enough to be deleted."""
        prepared, found = self._ask("content/prepare2", container, {"size": 1, "policy": "SINGLE"}, path=name)
        chunks = [{**chunk, "size": 0} for chunk in found["chunks"]]
        self._commit(container, name, prepared, chunks, 0, "d41d8cd98f00b204e9800998ecf8427e")

    def _commit(
        self, container: str, name: str, prepared: HTTPResponse, chunks: list[Any], size: int, digest: str
    ) -> None:
        described = ("id", "version", "policy", "chunk-method", "mime-type")
        headers = {OBJECT + key: prepared.getheader(OBJECT + key, "") for key in described}
        headers |= {f"{OBJECT}length": str(size), f"{OBJECT}hash": digest}
        headers["x-oio-action-mode"] = "autocreate"
        self._ask("content/create", container, {"chunks": chunks}, path=name, headers=headers)

    # --- writing

    def put(
        self,
        container: str,
        name: str,
        policy: str,
        data: bytes | IO[bytes],
        size: int,
        algorithm: str = "md5",
    ) -> None:
        of_object = _new_hash("md5")
        all_chunks: list[Any] = []
        first: HTTPResponse | None = None
        done = 0
        while first is None or done < size:
            asked = {"size": 1, "position": len({chunk["pos"].split(".")[0] for chunk in all_chunks})}
            # The IDs of chunks depend on the version.
            same = {} if first is None else {"version": first.getheader(f"{OBJECT}version", "")}
            prepared, found = self._ask(
                "content/prepare2", container, asked | {"policy": policy}, path=name, **same
            )
            first = first or prepared
            kind, params = _parsed(prepared.getheader(f"{OBJECT}chunk-method", ""))
            room = int(prepared.getheader("x-oio-ns-chunk-size", "0"))
            if kind == "ec":
                room = room * int(params["k"]) // BLOCK * BLOCK
            length = size - done if kind == "backblaze" else min(room, size - done)
            # The data of an object of one metachunk are hashed once.
            alone = length == size and algorithm == "md5"
            of_metachunk = of_object if alone else _new_hash(algorithm)
            blocks = _blocks(data, length, [of_object] if alone else [of_object, of_metachunk])
            if kind == "backblaze":
                self._b2.upload(self._file_name(container, found["chunks"][0]), blocks, length)
            else:
                head = self._described(container, name, first, algorithm)
                writing = self._put_fragments if kind == "ec" else self._put_copies
                writing(found["chunks"], head, blocks, of_metachunk, length, params)
            digest = of_metachunk.hexdigest()
            all_chunks += [{**chunk, "size": length, "hash": digest} for chunk in found["chunks"]]
            done += length
        self._commit(container, name, first, all_chunks, size, of_object.hexdigest())

    def _described(self, container: str, name: str, prepared: HTTPResponse, algorithm: str) -> dict[str, str]:
        """Heads that a rawx needs to store a chunk."""
        version, content_id, method, policy = (
            prepared.getheader(OBJECT + key, "") for key in ("version", "id", "chunk-method", "policy")
        )
        if algorithm != "md5":
            method += f",cca={algorithm},oca=md5"
        parts = (self._account, container, name, version, content_id)
        return {
            "Transfer-Encoding": "chunked",
            f"{META}full-path": "/".join(quote(part, safe="") for part in parts),
            f"{META}container-id": self._container_id(container),
            f"{META}content-id": content_id,
            f"{META}content-path": quote(name, safe=""),
            f"{META}content-version": version,
            f"{META}content-chunk-method": method,
            f"{META}content-storage-policy": policy,
            f"{META}oio-version": "4.2",
        }

    def _start(self, chunk: Any, head: dict[str, str], body: bytes | None = None) -> HTTPConnection:
        target = urlsplit(chunk["real_url"])
        own = {f"{META}chunk-pos": chunk["pos"], f"{META}chunk-id": target.path[1:]}
        return self._send(target.netloc, "PUT", target.path, body, **head, **own)

    def _put_copies(
        self,
        chunks: list[Any],
        head: dict[str, str],
        blocks: Iterator[bytes],
        of_metachunk: Any,
        size: int,
        _: Any,
    ) -> None:
        if size <= SMALL:
            body = frame(b"".join(blocks)) + b"0\r\n\r\n"
            connections = [self._start(chunk, head, body) for chunk in chunks]
        else:
            connections = [self._start(chunk, head) for chunk in chunks]
            for block in blocks:
                for connection in connections:
                    send_block(connection, block)
            for connection in connections:
                connection.send(b"0\r\n\r\n")
        expected = of_metachunk.hexdigest().upper()
        for connection in connections:
            _check_stored(connection, expected)

    def _put_fragments(
        self,
        chunks: list[Any],
        head: dict[str, str],
        segments: Iterator[bytes],
        of_metachunk: Any,
        size: int,
        params: dict[str, str],
    ) -> None:
        driver = _driver(params["algo"], int(params["k"]), int(params["m"]))
        trailers = [f"{META}{name}" for name in ("metachunk-size", "metachunk-hash", "chunk-hash")]
        head = {**head, "Trailer": ", ".join(trailers)}
        chunks = sorted(chunks, key=lambda chunk: int(chunk["pos"].split(".")[1]))
        digests = [_new_hash("blake3" if "cca=blake3" in str(head) else "md5") for _ in chunks]
        connections: list[HTTPConnection] = []
        fragments: list[bytes] = []
        for segment in segments:
            fragments = driver.encode(segment)
            for digest, fragment in zip(digests, fragments, strict=True):
                digest.update(fragment)
            if size > SMALL:
                connections = connections or [self._start(chunk, head) for chunk in chunks]
                for connection, fragment in zip(connections, fragments, strict=True):
                    send_block(connection, fragment)
        told = f"0\r\n{trailers[0]}: {size}\r\n{trailers[1]}: {of_metachunk.hexdigest()}\r\n{trailers[2]}: "
        ends = [f"{told}{digest.hexdigest()}\r\n\r\n".encode() for digest in digests]
        if connections:
            for connection, end in zip(connections, ends, strict=True):
                connection.send(end)
        else:
            bodies = [frame(fragment) + end for fragment, end in zip(fragments, ends, strict=True)]
            connections = [self._start(chunk, head, body) for chunk, body in zip(chunks, bodies, strict=True)]
        for connection, digest in zip(connections, digests, strict=True):
            _check_stored(connection, digest.hexdigest().upper())

    # --- reading

    def get(self, container: str, name: str, verify: bool | str = True) -> Iterator[bytes]:
        """Blocks of an object; the whole of each metachunk is compared with its checksum."""
        located, chunks = self._ask("content/locate", container, method="GET", path=name)
        kind, params = _parsed(located.getheader(f"{OBJECT}chunk-method", ""))
        for copies in _by_metachunk(chunks):
            size, expected = copies[0]["size"], copies[0]["hash"]
            digest = _new_hash("md5" if len(expected) == 32 else "blake3") if verify else None
            for block in self._read(container, kind, params, copies, 0, size - 1):
                if digest is not None:
                    digest.update(block)
                yield block
            if digest is not None and digest.hexdigest().upper() != expected:
                raise OSError(f"{name}: wrong data")

    def get_range(self, container: str, name: str, first: int, last: int, verify: bool | str = True) -> bytes:
        """Bytes of an object, `last` included; ``verify="server"`` lets the rawx check its file first."""
        located, chunks = self._ask("content/locate", container, method="GET", path=name)
        kind, params = _parsed(located.getheader(f"{OBJECT}chunk-method", ""))
        begin, found = 0, []
        for copies in _by_metachunk(chunks):
            start, end = max(first - begin, 0), min(last - begin, copies[0]["size"] - 1)
            if start <= end:
                if verify == "server":
                    self._check_file(copies[0])
                found += list(self._read(container, kind, params, copies, start, end))
            begin += copies[0]["size"]
        return b"".join(found)

    def _read(
        self, container: str, kind: str, params: dict[str, str], chunks: list[Any], first: int, last: int
    ) -> Iterator[bytes]:
        if kind == "ec":
            return self._read_fragments(chunks, params, first, last)
        if kind == "backblaze":
            name = self._file_name(container, chunks[0])
            return self._b2.download(params["bucket_name"], name, first, last)
        return body_of(answer(self._fetch(chunks[0], first, last), 206, 200), last - first + 1)

    def _fetch(self, chunk: Any, first: int, last: int) -> HTTPConnection:
        target = urlsplit(chunk["real_url"])
        return self._send(target.netloc, "GET", target.path, Range=f"bytes={first}-{last}")

    def _check_file(self, chunk: Any) -> None:
        target = urlsplit(chunk["real_url"])
        asked = {"x-oio-check-hash": "true", f"{META}chunk-hash": chunk["hash"]}
        answer(self._send(target.netloc, "HEAD", target.path, **asked), 200).read()

    def _read_fragments(
        self, chunks: list[Any], params: dict[str, str], first: int, last: int
    ) -> Iterator[bytes]:
        k, m = int(params["k"]), int(params["m"])
        driver = _driver(params["algo"], k, m)
        size = chunks[0]["size"]
        # Whole segments: the first and the last of those that hold the range.
        begin, end = first // BLOCK * BLOCK, min(last // BLOCK * BLOCK + BLOCK, size)
        lengths = [min(BLOCK, end - at) for at in range(begin, end, BLOCK)]
        sizes = [_fragment_size(driver, length) for length in lengths]
        offset = begin // BLOCK * _fragment_size(driver, BLOCK)
        chunks = sorted(chunks, key=lambda chunk: int(chunk["pos"].split(".")[1]))
        spare = iter(chunks[k:])
        asked = [self._fetch(chunk, offset, offset + sum(sizes) - 1) for chunk in chunks[:k]]
        responses = []
        for connection in asked:
            response = connection.getresponse()
            while response.status == 404:
                response.read()
                response = self._fetch(next(spare), offset, offset + sum(sizes) - 1).getresponse()
            responses.append(response)
        at = begin
        for length, fragment_size in zip(lengths, sizes, strict=True):
            segment = driver.decode([response.read(fragment_size) for response in responses])
            here = slice(max(first - at, 0), min(last + 1 - at, length))
            yield segment if here == slice(0, length) else segment[here]
            at += length
        for response in responses:
            response.read()

    def lose_chunks(self, container: str, name: str, count: int) -> None:
        """Delete the first `count` chunks of each metachunk, which hold data."""
        _, chunks = self._ask("content/locate", container, method="GET", path=name)
        for chunk in chunks:
            if int(chunk["pos"].split(".")[1]) < count:
                target = urlsplit(chunk["real_url"])
                answer(self._send(target.netloc, "DELETE", target.path), 204).read()

    def address_of(self, container: str, name: str) -> str:
        """Address of the server of the first chunk."""
        _, chunks = self._ask("content/locate", container, method="GET", path=name)
        first = min(chunks, key=lambda chunk: str(chunk["pos"]))
        return str(urlsplit(first["real_url"]).netloc)


# --- small things


def _new_hash(algorithm: str) -> Any:
    if algorithm == "blake3":
        from blake3 import blake3

        return blake3()
    return hashlib.md5(usedforsecurity=False)


def _parsed(chunk_method: str) -> tuple[str, dict[str, str]]:
    """Parts of ``ec/k=6,m=3,algo=isa_l_rs_vand``."""
    kind, _, text = chunk_method.partition("/")
    return kind, dict(item.split("=", 1) for item in text.split(","))


@functools.cache
def _driver(algorithm: str, k: int, m: int) -> Any:
    return ECDriver(k=k, m=m, ec_type=algorithm)


@functools.cache
def _fragment_size(driver: Any, length: int) -> int:
    return int(driver.get_segment_info(length, BLOCK)["fragment_size"])


def _blocks(data: bytes | IO[bytes], size: int, digests: Iterable[Any]) -> Iterator[bytes]:
    """Hashed blocks of the next `size` bytes."""
    while size:
        block = data if isinstance(data, bytes) else data.read(min(BLOCK, size))
        for digest in digests:
            digest.update(block)
        yield block
        size -= len(block)


def _check_stored(connection: HTTPConnection, expected: str) -> None:
    response = answer(connection, 201)
    response.read()
    found = response.getheader(f"{META}chunk-hash")
    if found is not None and found != expected:
        raise OSError(f"stored with the hash {found}, not {expected}")


def _by_metachunk(chunks: list[Any]) -> list[list[Any]]:
    found: dict[int, list[Any]] = {}
    for chunk in chunks:
        found.setdefault(int(chunk["pos"].split(".")[0]), []).append(chunk)
    return [found[position] for position in sorted(found)]
