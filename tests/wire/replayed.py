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
from dataclasses import dataclass

from tests.scripted import Peer, serving
from tests.wire.big import RECORDED_HASH, big, erasure_coded_chunks
from tests.wire.recorded import Capture, Exchange, Message

_ADDRESS = re.compile(r"127\.0\.0\.1:60\d\d")
_HASH_HEADER = "x-oio-chunk-meta-chunk-hash"
_METACHUNK_HASH_HEADER = "x-oio-chunk-meta-metachunk-hash"
_BODILESS = (204, 304)


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
        self.unexpected: list[Sent] = []
        #: What stands for what was recorded: addresses of services, checksums (in lower case).
        self.ports: dict[str, str] = {}
        self.hashes: dict[str, str] = {}
        self._exchanges: dict[tuple[str, str, str], list[Exchange]] = defaultdict(list)
        self._services = {exchange.peer: exchange.service for exchange in capture.exchanges}
        self._read = {e.target for e in capture.exchanges if e.service == "rawx" and e.method == "GET"}
        for exchange in capture.exchanges:
            self._exchanges[exchange.peer, exchange.method, _path(exchange.target)].append(exchange)
            self._make_up(exchange)

    def _make_up(self, exchange: Exchange) -> None:
        response = exchange.response
        if response is not None and response.body is None:
            recorded = response.get(_HASH_HEADER)
            assert recorded
            if response.get(_METACHUNK_HASH_HEADER):
                content = erasure_coded_chunks()[_index(response)]
                self.hashes[RECORDED_HASH] = hashlib.md5(big()).hexdigest()
            else:
                content = _whole(response)
            self.hashes[recorded.lower()] = hashlib.md5(content).hexdigest()

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
            self.sent.append(sent)
            connection.send(self._answer(sent))

    def _answer(self, sent: Sent) -> bytes:
        known = self._exchanges.get((sent.peer, sent.method, _path(sent.target)))
        if not known:
            self.unexpected.append(sent)
            # The chunks that we remove where the recorded client left them.
            status = (
                "204 No Content" if (sent.service, sent.method) == ("rawx", "DELETE") else "500 Unexpected"
            )
            return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
        exchange = known.pop(0) if len(known) > 1 else known[0]
        response = exchange.response
        if response is None:
            # The recorded client had left before the answer, which was that of the others.
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        return self._render(sent, response, self._overrides(sent, exchange))

    def _overrides(self, sent: Sent, exchange: Exchange) -> dict[str, str]:
        """Checksum of what a rawx got, when it is not what was recorded."""
        if sent.method != "PUT" or exchange.request.body is not None or exchange.response is None:
            return {}
        actual, recorded = hashlib.md5(sent.body).hexdigest(), exchange.response.get(_HASH_HEADER)
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
                chunk["score"] = 100 if "/" + chunk["url"].rpartition("/")[2] in self._read else 0
        return json.dumps(chunks)


def _path(target: str) -> str:
    return target.partition("?")[0]


def _whole(response: Message) -> bytes:
    """Return the body, made up to its length after what was recorded of it."""
    if response.body is not None:
        return response.body
    if response.get(_METACHUNK_HASH_HEADER):
        start = int(re.split("[ -]", response.get("content-range") or "bytes 0-")[1])
        return erasure_coded_chunks()[_index(response)][start : start + response.length]
    return response.head.ljust(response.length, b"~")


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
        for number in range(100):
            replay.ports.setdefault(
                f"127.0.0.1:{6000 + number}", f"127.0.1.{number}:{nobody.getsockname()[1]}"
            )
        yield replay
