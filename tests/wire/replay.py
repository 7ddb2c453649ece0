# SPDX-License-Identifier: Apache-2.0
"""Sending recorded requests to the sandbox, and comparing its answers with the recorded ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol
from urllib.parse import urlsplit

from oio.sandbox.messages import Request
from oio.sandbox.rawx import hashes
from tests.wire.recorded import Exchange, Message
from tests.wire.unify import Mismatch, Unifier
from tests.wire.world import Sent

_CREATED = 201
_CHUNK_HASH = "x-oio-chunk-meta-chunk-hash"


class _Stream:
    """A request body as a service reads it."""

    def __init__(self, data: bytes, trailers: list[tuple[str, str]]) -> None:
        self.trailers = trailers
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        return iter([self._data] if self._data else [])


class Sender(Protocol):
    """Where requests go: services called directly, or over sockets."""

    def send(self, exchange: Exchange, address: str, request: Request) -> Sent:
        """Have the service at an address, as it was recorded, answer a request."""

    def foresee(self, exchange: Exchange) -> None:
        """Be told of the exchange that comes next."""


class Replay:
    """Replays the exchanges of one capture on a world, in their order."""

    def __init__(self, world: Sender) -> None:
        self._world = world
        self._unifier = Unifier()

    def run(self, exchange: Exchange, *, compare: bool = True) -> None:
        """Send one recorded request; raise :class:`Mismatch` when the answer is not the recorded one."""
        address = exchange.peer
        if exchange.service == "rawx":
            address = urlsplit(self._unifier.actual(f"http://{exchange.peer}{exchange.target}")).netloc
        request = self._request(exchange, address)
        self._world.foresee(exchange)
        sent = self._world.send(exchange, address, request)
        if exchange.dropped and sent.status:
            raise Mismatch(f"{sent.status} {sent.reason}, recorded no answer")
        if compare and exchange.response is not None:
            self._compare(exchange, exchange.response, sent)

    def check(
        self,
        name: str,
        exchanges: Iterable[Exchange],
        differences: Iterable[tuple[str, int]],
        before: Callable[[int], object] = lambda _number: None,
    ) -> None:
        """Send the requests of a capture; check that only known answers differ from the recorded ones.

        :param differences: names of captures, and numbers of exchanges
        :param before: called before each exchange, with its number
        """
        failures = {}
        for number, exchange in enumerate(exchanges):
            before(number)
            try:
                self.run(exchange)
            except Mismatch as exc:
                failures[name, number] = f"{exchange.method} {exchange.target}: {exc}"
        expected = {key for key in differences if key[0] == name}
        assert failures.keys() == expected, "\n".join(f"{key}: {text}" for key, text in failures.items())

    def _request(self, exchange: Exchange, address: str) -> Request:
        """Return a recorded request with what actually stands for what services had made up."""
        recorded = exchange.request
        target = self._unifier.actual(exchange.target)
        headers = [(name, self._unifier.actual(value)) for name, value in recorded.headers]
        self._unifier.sent(exchange.target)
        for _, value in recorded.headers:
            self._unifier.sent(value)
        if exchange.service != "rawx":
            # The proxy does not read chunked bodies.
            data = b"" if recorded.chunked else recorded.body or b""
            text = data.decode("utf-8", "surrogateescape")
            self._unifier.sent(text)
            body = self._unifier.actual(text).encode("utf-8", "surrogateescape")
            return Request(exchange.method, target, headers, body)
        headers = [(name, address if name.lower() == "host" else value) for name, value in headers]
        data = recorded.data
        stream = _Stream(data, [(name, _trailer(exchange, name, value)) for name, value in recorded.trailers])
        return Request(exchange.method, target, headers, stream=stream)

    def _compare(self, exchange: Exchange, recorded: Message, sent: Sent) -> None:
        if (sent.status, sent.reason) != (recorded.status, recorded.reason):
            raise Mismatch(f"{sent.status} {sent.reason} {sent.body[:300]!r}, recorded {recorded.first_line}")
        self._compare_headers(recorded.headers, sent.headers)
        if exchange.closed is not None and exchange.closed != sent.closes:
            raise Mismatch(f"closes: {sent.closes}, recorded {exchange.closed}")
        if exchange.service == "rawx":
            # What /info says depends on the place of the volume.
            if exchange.method != "HEAD" and exchange.route != "/info" and len(sent.body) != recorded.length:
                raise Mismatch(f"body of {len(sent.body)} bytes, recorded {recorded.length}")
        elif recorded.json is not None:
            self._unifier.unify(_ordered(recorded.json), _ordered(json.loads(sent.body)))
        elif exchange.method != "HEAD" and bool(recorded.length) != bool(sent.body):
            raise Mismatch(f"body {sent.body[:300]!r}, recorded {recorded.head!r}")

    def _compare_headers(self, recorded: list[tuple[str, str]], sent: list[tuple[str, str]]) -> None:
        expected = sorted((self._unifier.actual(name).lower(), value) for name, value in recorded)
        found = sorted(_as_read(sent))
        names = [[name for name, _ in lines] for lines in (expected, found)]
        if names[0] != names[1]:
            raise Mismatch(f"headers: {sorted(set(names[0]) ^ set(names[1]))} differ")
        for (name, value), (_, actual) in zip(expected, found, strict=True):
            self._unifier.unify(value, actual, name, name)


def _trailer(exchange: Exchange, name: str, value: str) -> str:
    """Return the value of a trailer; only the beginning of long bodies was recorded, the rest differs."""
    accepted = exchange.response is not None and exchange.response.status == _CREATED
    if name.lower() != _CHUNK_HASH or not accepted:
        return value
    computed = hashes.new(hashes.algorithm_by_length(value))
    computed.update(exchange.request.data)
    return computed.hexdigest().upper()


def _as_read(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return headers as a reader of the wire splits them, whatever their names hold."""
    lines = "\r\n".join(f"{name}: {value}" for name, value in headers).split("\r\n")
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def _ordered(value: object) -> object:
    """Sort the arrays whose order is arbitrary: names, services, chunks of an object that exists."""
    if not isinstance(value, list) or not value:
        return value
    if all(isinstance(item, str) for item in value):
        return sorted(value)
    if all(isinstance(item, dict) and "pos" in item for item in value):
        return sorted(value, key=lambda item: (_position(item["pos"]), item["url"]))
    if all(isinstance(item, dict) and "tags" in item for item in value):
        return sorted(value, key=lambda item: str(item["addr"]))
    return value


def _position(text: str) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in text.split(".")]
