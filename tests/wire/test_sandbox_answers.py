# SPDX-License-Identifier: Apache-2.0
"""The sandbox, brought to the same state, answers recorded requests as the real services did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from oio.sandbox.messages import Request
from tests.wire.arrange import Arranger
from tests.wire.recorded import NAMES, Exchange, load
from tests.wire.unify import Mismatch, Unifier
from tests.wire.world import World

PRELUDES = {
    "raw_properties__more_than_100": ["raw_properties__object"],
    "raw_reference__link": ["raw_reference__properties"],
    "raw_account__container_update": ["raw_account__routes"],
    "raw_http__proxy_requests": ["raw_http__proxy_keepalive"],
    "raw_http__account_keepalive": ["raw_http__proxy_keepalive"],
}
SERVICES = {"proxy", "account"}


class Replay:
    """Replays recorded requests on a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._unifier = Unifier()

    def run(self, exchange: Exchange, *, compare: bool = True) -> None:
        """Send one recorded request; compare the answer with the recorded one."""
        recorded = exchange.response
        target = self._unifier.actual(exchange.target)
        headers = [(name, self._unifier.actual(value)) for name, value in exchange.request.headers]
        # The proxy does not read chunked bodies.
        data = b"" if exchange.request.chunked else exchange.request.body or b""
        body = self._unifier.actual(data.decode("utf-8", "surrogateescape"))
        for text in (exchange.target, *(value for _, value in exchange.request.headers), body):
            self._unifier.sent(text)
        request = Request(exchange.method, target, headers, body.encode("utf-8", "surrogateescape"))
        response, sent, reason, keep = self._world.answer(exchange, request)
        if not compare or recorded is None:
            return
        assert isinstance(response.body, bytes)
        detail = response.body[:300]
        if (response.status, reason) != (recorded.status, recorded.reason):
            raise Mismatch(f"{response.status} {reason} {detail!r}, recorded {recorded.first_line} {recorded.head!r}")
        if exchange.error is not None:
            found = json.loads(response.body)["status"]
            if found != exchange.error:
                raise Mismatch(f"status {found} {detail!r}, recorded {exchange.error} {recorded.head!r}")
        self._headers(recorded.headers, sent)
        if exchange.closed is not None and exchange.closed == keep:
            raise Mismatch(f"keep-alive: {keep}")
        if recorded.json is not None and exchange.method != "HEAD":
            found = json.loads(response.body)
            self._unifier.unify(_ordered(recorded.json), _ordered(found))
        elif bool(recorded.length) != bool(response.body) and exchange.method != "HEAD":
            raise Mismatch(f"body {detail!r}, recorded {recorded.head!r}")

    def _headers(self, recorded: list[tuple[str, str]], sent: list[tuple[str, str]]) -> None:
        expected = sorted((self._unifier.actual(name).lower(), value) for name, value in recorded)
        found = sorted(_as_read(sent))
        if [name for name, _ in expected] != [name for name, _ in found]:
            missing = {name for name, _ in expected} ^ {name for name, _ in found}
            raise Mismatch(f"headers: {sorted(missing)} differ")
        for (name, value), (_, actual) in zip(expected, found, strict=True):
            self._unifier.unify(value, actual, name, name)


def _as_read(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return headers as a reader of the wire splits them, whatever their names hold."""
    lines = "\r\n".join(f"{name}: {value}" for name, value in headers).split("\r\n")
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def _ordered(value: object) -> object:
    """Sort the arrays whose order is arbitrary: chunks of one object, services, accounts."""
    if not isinstance(value, list) or not value:
        return value
    if all(isinstance(item, str) for item in value):
        return sorted(value)
    if all(isinstance(item, dict) and "pos" in item for item in value):
        return sorted(value, key=lambda item: (_position(item["pos"]), item["url"]))
    if all(isinstance(item, dict) and "tags" in item for item in value):
        return sorted(value, key=lambda item: item["addr"])
    return value


def _position(text: str) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in text.split(".")]


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Return an empty namespace for the capture of the test."""
    made = World.make(tmp_path, load(request.getfixturevalue("name")).chunk_size)
    yield made
    made.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_sandbox_answers_as_the_real_services(name: str, world: World) -> None:
    capture = load(name)
    exchanges = [exchange for exchange in capture.exchanges if exchange.service in SERVICES]
    if not exchanges:
        pytest.skip("nothing for proxy or account")
    replay = Replay(world)
    for prelude in PRELUDES.get(name, []):
        for exchange in load(prelude).exchanges:
            replay.run(exchange, compare=False)
    Arranger(world).arrange(exchanges, services_only=name.startswith("raw_"))
    failures = []
    for number, exchange in enumerate(exchanges):
        try:
            replay.run(exchange)
        except Mismatch as exc:
            failures.append(f"{number} {exchange.method} {exchange.target[:150]}: {exc}")
    assert not failures, "\n".join(failures)
