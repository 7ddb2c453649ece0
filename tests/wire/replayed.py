# SPDX-License-Identifier: Apache-2.0
"""The services of a capture, each on a port of its own, giving the recorded answers to whoever asks."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, unquote

from oio.common.checksums import checksum_like
from oio.common.constants import CHUNK_METADATA_PREFIX, OBJECT_METADATA_KEYS, OBJECT_METADATA_PREFIX
from tests.kit.scripted import Peer, serving
from tests.wire.big import RECORDED_HASH, big, big_of, erasure_coded_chunks, replicated_chunks
from tests.wire.recorded import Capture, Exchange, Message

_ADDRESS = re.compile(r"127\.0\.0\.1:[67]0\d\d")
_HASH_HEADER = "x-oio-chunk-meta-chunk-hash"
_METACHUNK_HASH_HEADER = "x-oio-chunk-meta-metachunk-hash"
_BODILESS = (204, 304)
_DESCRIPTIONS = ("content/locate", "content/prepare2")


@dataclass(frozen=True)
class Sent:
    """A request of the client, with the addresses of the recording."""

    service: str
    peer: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    trailers: dict[str, str]


class Replay:
    """Answers requests with what was recorded for the same service, method and path, in the same order.

    Bodies that were not recorded whole are made up: they begin as recorded, and the checksums that the
    other answers give for them are replaced accordingly.
    """

    def __init__(self, capture: Capture) -> None:
        self.sent: list[Sent] = []
        #: Requests that the recorded client did not make: those that can be answered all the same, and not.
        self.more: list[Sent] = []
        self.unexpected: list[Sent] = []
        #: What stands for what was recorded: addresses of services, checksums (in lower case).
        self.ports: dict[str, str] = {}
        self.hashes: dict[str, str] = {}
        self._exchanges: dict[tuple[str, str, str], list[Exchange]] = defaultdict(list)
        self._services = {exchange.peer: exchange.service for exchange in capture.exchanges}
        self._described = [e.response for e in capture.exchanges if _route(e.target) in _DESCRIPTIONS]
        self._query = capture.exchanges[0].query if capture.exchanges else {}
        self._snapshot = capture.operation == "container_snapshot"
        self._flush = capture.operation == "container_flush"
        self._read = {
            f"http://{e.peer}{e.target}"
            for e in capture.exchanges
            if e.service == "rawx" and e.method == "GET"
        }
        for exchange in capture.exchanges:
            self._exchanges[exchange.peer, exchange.method, _path(exchange.target)].append(exchange)
            self._make_up(exchange)

    def _make_up(self, exchange: Exchange) -> None:
        response = exchange.response
        if response is not None and response.body is None:
            recorded = response.get(_HASH_HEADER)
            assert recorded
            if response.get(_METACHUNK_HASH_HEADER):
                content = erasure_coded_chunks(_metachunk_size(response))[_index(response)]
                self._make_up_object(response)
            elif recorded.lower() in replicated_chunks():
                content = replicated_chunks()[recorded.lower()]
                self.hashes[RECORDED_HASH] = hashlib.md5(big()).hexdigest()
            else:
                content = _whole(response)
            self.hashes[recorded.lower()] = _hash_like(recorded, content)

    def _make_up_object(self, fragment: Message) -> None:
        """Replace the checksums of an erasure-coded object, which is one metachunk."""
        data = big_of(_metachunk_size(fragment))
        self.hashes[RECORDED_HASH] = hashlib.md5(data).hexdigest()
        recorded = [fragment.get(_METACHUNK_HASH_HEADER)]
        recorded += [
            described.get(f"{OBJECT_METADATA_PREFIX}hash") for described in self._described if described
        ]
        self.hashes |= {each.lower(): _hash_like(each, data) for each in recorded if each}

    @property
    def query(self) -> dict[str, str]:
        """Parameters of the first recorded request."""
        return self._query

    @property
    def peers(self) -> dict[str, str]:
        """Recorded address and kind of each service."""
        return self._services

    def local(self, text: str) -> str:
        """Put the addresses and the checksums of this run in place of the recorded ones."""
        text = _ADDRESS.sub(lambda match: self.ports[match[0]], text)
        for recorded, actual in self.hashes.items():
            text = text.replace(recorded, actual).replace(recorded.upper(), actual.upper())
        return text

    def recorded(self, text: str) -> str:
        """Put the recorded addresses and checksums in place of those of this run."""
        for recorded, actual in self.ports.items():
            text = text.replace(actual, recorded)
        for recorded, actual in self.hashes.items():
            text = text.replace(actual, recorded).replace(actual.upper(), recorded.upper())
        return text

    def serve(self, peer: str, connection: Peer) -> None:
        """Serve one connection to the service that was at `peer`."""
        while head := connection.read_head():
            first_line, *lines = head.split("\r\n")
            method, target, _ = first_line.split(" ")
            connection.trailers = {}
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            if headers.get("transfer-encoding") == "chunked":
                body = connection.read_chunked()
            else:
                body = connection.read(int(headers.get("content-length", 0)))
            sent = Sent(self._services[peer], peer, method, target, headers, body, connection.trailers)
            connection.send(self._answer(sent))

    def _answer(self, sent: Sent) -> bytes:
        known = self._exchanges.get((sent.peer, sent.method, _path(sent.target)))
        if not known and (answer := self._deduced(sent)):
            self.more.append(sent)
            return answer
        self.sent.append(sent)
        if not known:
            self.unexpected.append(sent)
            # The chunks that we remove where the recorded client left them.
            status = (
                "204 No Content" if (sent.service, sent.method) == ("rawx", "DELETE") else "500 Unexpected"
            )
            return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
        # Requests for several objects come in any order.
        exchange = next((e for e in known if _object(e.target) == _object(sent.target)), known[0])
        if len(known) > 1:
            known.remove(exchange)
        response = exchange.response
        if response is None:
            # The recorded client had left before the answer, which was that of the others.
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        response = _in_range(response, sent.headers.get("range"))
        return self._render(sent, response, self._overrides(sent, exchange))

    def _deduced(self, sent: Sent) -> bytes | None:
        """Answer what was not asked in the recording, but is known from it."""
        route = _route(sent.target)
        if route == "content/get_properties" and self._described and self._described[0] is not None:
            return _properties(self._described[0])
        if route == "container/get_properties" and self._snapshot:
            return _compose(b'{"status":406,"message":"no such user"}', "404 Not found")
        if route == "container/get_properties":
            return _compose(b'{"properties":{},"system":{}}', "200 OK")
        if route == "container/list" and self._flush:
            return _compose(b'{"objects":[]}', "200 OK", ["x-oio-list-truncated: false"])
        if (sent.service, sent.method) == ("rawx", "HEAD"):
            return self._stored(sent)
        return None

    def _stored(self, sent: Sent) -> bytes | None:
        """Describe a chunk as it was stored here; the recorded client did not look at it."""
        for put in self.sent:
            if (put.peer, put.method, put.target) == (sent.peer, "PUT", sent.target):
                told = [f"{n}: {v}" for n, v in put.headers.items() if n.startswith(CHUNK_METADATA_PREFIX)]
                return _compose(b"", "200 OK", told)
        return None

    def _overrides(self, sent: Sent, exchange: Exchange) -> dict[str, str]:
        """Checksum of what a rawx got, when it is not what was recorded."""
        if sent.method != "PUT" or exchange.request.body is not None or exchange.response is None:
            return {}
        recorded = exchange.response.get(_HASH_HEADER)
        actual = _hash_like(recorded or "0" * 32, sent.body)
        if recorded:
            self.hashes[recorded.lower()] = actual
        return {_HASH_HEADER: actual.upper()}

    def _render(self, sent: Sent, response: Message, overrides: dict[str, str]) -> bytes:
        body = _whole(response)
        if sent.service != "rawx":
            body = self._prefer_what_was_read(self.local(body.decode())).encode()
        lines = [response.first_line]
        for name, value in response.headers:
            if name.lower() == "content-length":
                # Some bodies are shorter than they were: paths of volumes were replaced.
                value = value if sent.method == "HEAD" or not body else str(len(body))
            lines.append(f"{name}: {overrides.get(name.lower()) or self.local(value)}")
        if (
            response.status not in _BODILESS
            and response.get("content-length") is None
            and sent.method != "HEAD"
        ):
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode() + (b"" if sent.method == "HEAD" else body)

    def _prefer_what_was_read(self, text: str) -> str:
        """Raise the scores of the chunks that the recorded client happened to read."""
        if '"score"' not in text or not self._read:
            return text
        chunks = json.loads(text)
        if isinstance(chunks, list):
            for chunk in chunks:
                # Without score, fragments of data too are read after the others.
                chunk["score"] = 100 if self.recorded(chunk["real_url"]) in self._read else 0
        return json.dumps(chunks)


def _hash_like(recorded: str, content: bytes) -> str:
    computed = checksum_like(recorded)
    computed.update(content)
    return computed.hexdigest()


def _path(target: str) -> str:
    return target.partition("?")[0]


def _object(target: str) -> tuple[list[str], list[str]]:
    query = parse_qs(target.partition("?")[2])
    return query.get("path", []), query.get("version", [])


def _route(target: str) -> str:
    return "/".join(_path(target).split("/")[-2:])


def _properties(described: Message) -> bytes:
    """Tell of an object what another answer tells, with the properties in the body."""
    known = [(name, value) for name, value in described.headers if name.startswith(OBJECT_METADATA_PREFIX)]
    fields = [(name, value) for name, value in known if _key(name) in OBJECT_METADATA_KEYS]
    properties = {_key(name): unquote(value) for name, value in known if (name, value) not in fields}
    body = json.dumps({"properties": properties}).encode()
    return _compose(body, "200 OK", [f"{name}: {value}" for name, value in fields])


def _key(header: str) -> str:
    return header[len(OBJECT_METADATA_PREFIX) :]


def _compose(body: bytes, status: str, headers: list[str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(headers or []), f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _whole(response: Message) -> bytes:
    """Return the body, made up to its length after what was recorded of it."""
    if response.body is not None:
        return response.body
    if response.get(_METACHUNK_HASH_HEADER):
        start = int(re.split("[ -]", response.get("content-range") or "bytes 0-")[1])
        chunk = erasure_coded_chunks(_metachunk_size(response))[_index(response)]
        return chunk[start : start + response.length]
    return response.head.ljust(response.length, b"~")


def _in_range(response: Message, byte_range: str | None) -> Message:
    """Return the answer for a range of a chunk of the large object, which may not be the recorded one."""
    chunk = replicated_chunks().get((response.get(_HASH_HEADER) or "").lower())
    if chunk is None or response.body is not None or byte_range is None:
        return response
    first, last = (int(number) for number in byte_range.removeprefix("bytes=").split("-"))
    data = chunk[first : last + 1]
    headers = [(key, value) for key, value in response.headers if key.lower() != "content-range"]
    headers.append(("Content-Range", f"bytes {first}-{first + len(data) - 1}/{len(chunk)}"))
    return replace(response, headers=headers, body=data, length=len(data), head=data)


def _metachunk_size(response: Message) -> int:
    return int(response.get("x-oio-chunk-meta-metachunk-size") or 0)


def _index(response: Message) -> int:
    return int((response.get("x-oio-chunk-meta-chunk-pos") or "").partition(".")[2])


@contextmanager
def replaying(capture: Capture) -> Iterator[Replay]:
    """Start the services of a capture; nobody listens at the other addresses that it mentions."""
    replay = Replay(capture)
    with ExitStack() as stack:
        for peer in replay.peers:
            server = stack.enter_context(
                serving(lambda connection, peer=peer: replay.serve(peer, connection))
            )
            replay.ports[peer] = server.address
        nobody = stack.enter_context(socket.socket())
        nobody.bind(("", 0))
        first = 7000 if capture.release == "2026" else 6000
        for number in range(100):
            replay.ports.setdefault(
                f"127.0.0.1:{first + number}", f"127.0.1.{number}:{nobody.getsockname()[1]}"
            )
        yield replay
