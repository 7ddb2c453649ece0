# SPDX-License-Identifier: Apache-2.0
"""How the three kinds of service keep, close and refuse connections."""

from __future__ import annotations

import pytest

from oio.sandbox import Namespace
from oio.sandbox.services import Service
from tests.kit.chunkdata import HEADERS, PATH
from tests.kit.rawsocket import RawSocket

TARGETS = {"proxy": "/v3.0/status", "account": "/status", "rawx": "/info"}


@pytest.fixture(params=sorted(TARGETS))
def service(request: pytest.FixtureRequest, namespace: Namespace) -> Service:
    return next(service for service in namespace.services if service.kind == request.param)


@pytest.mark.pitfall(11, 153)
def test_the_proxy_keeps_only_the_connections_it_is_asked_to_keep(namespace: Namespace) -> None:
    with RawSocket(namespace.proxy.address) as connection:
        asked = [("Connection", "keep-alive")]
        for target in (TARGETS["proxy"], "/nowhere"):
            assert connection.ask("GET", target, asked).get("connection") == "Keep-Alive"
        assert connection.ask("GET", TARGETS["proxy"]).get("connection") == "Close"
        assert connection.is_closed()


@pytest.mark.parametrize("kind", ["account", "rawx"])
@pytest.mark.pitfall(153)
def test_the_others_keep_every_connection_unless_told(namespace: Namespace, kind: str) -> None:
    service = next(service for service in namespace.services if service.kind == kind)
    with RawSocket(service.address) as connection:
        assert connection.ask("GET", TARGETS[kind]).status == 200
        assert connection.ask("GET", "/nowhere").status in {400, 404}
        last = connection.ask("GET", TARGETS[kind], [("Connection", "close")])
        assert last.get("connection") == "close"
        assert connection.is_closed()


@pytest.mark.pitfall(144)
def test_the_proxy_does_not_read_chunked_bodies(namespace: Namespace) -> None:
    with RawSocket(namespace.proxy.address) as connection:
        target = "/v3.0/OPENIO/container/create?acct=a&ref=c"
        lines = f"POST {target} HTTP/1.1\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.send(lines.encode() + b'19\r\n{"properties":{"a":"b"}}\r\n0\r\n\r\n')
        assert connection.answer().status == 201
        assert connection.is_closed()
    with RawSocket(namespace.proxy.address) as connection:
        shown = connection.ask("GET", "/v3.0/OPENIO/container/show?acct=a&ref=c")
        assert b'"properties":{}' in shown.body.replace(b" ", b"")


def test_the_proxy_answers_the_first_of_pipelined_requests_only(namespace: Namespace) -> None:
    with RawSocket(namespace.proxy.address) as connection:
        connection.send(b"GET /v3.0/status HTTP/1.1\r\nConnection: keep-alive\r\n\r\n" * 3)
        assert connection.answer().status == 200
        assert connection.ask("GET", "/nowhere").status == 404


def test_old_clients_are_answered_in_their_own_protocol(service: Service) -> None:
    with RawSocket(service.address) as connection:
        connection.send(f"GET {TARGETS[service.kind]} HTTP/1.0\r\n\r\n".encode())
        assert connection.answer().first_line == "HTTP/1.0 200 OK"
        assert connection.is_closed()


@pytest.mark.parametrize("garbage", [b"GET\r\n\r\n", b"GET /v3.0/status HTTP/1.1\r\nName:value\r\n\r\n"])
def test_the_proxy_drops_connections_on_malformed_heads(namespace: Namespace, garbage: bytes) -> None:
    with RawSocket(namespace.proxy.address) as connection:
        connection.send(garbage)
        assert connection.rest() == b""


def test_a_malformed_head_gets_400_from_a_rawx(namespace: Namespace) -> None:
    with RawSocket(namespace.rawx[0].address) as connection:
        connection.send(b"what is this\r\n\r\n")
        assert connection.answer().first_line == "HTTP/1.1 400 Bad Request"
        assert connection.is_closed()


def test_a_thousand_headers_or_a_long_one_pass(namespace: Namespace) -> None:
    with RawSocket(namespace.proxy.address) as connection:
        many = [("Connection", "keep-alive"), *((f"x-{number}", "v") for number in range(1000))]
        assert connection.ask("GET", TARGETS["proxy"], many).status == 200
        assert connection.ask("GET", TARGETS["proxy"], [("x-long", "v" * 60_000)]).status == 200


def test_requests_are_logged_in_order(namespace: Namespace) -> None:
    rawx = namespace.rawx[0]
    with RawSocket(rawx.address) as first, RawSocket(rawx.address) as second:
        first.ask("PUT", PATH, HEADERS, b"data")
        second.ask("GET", PATH, [("x-mark", "1")])
        first.ask("DELETE", PATH)
    log = namespace.requests
    assert [(record.method, record.target, record.status) for record in log] == [
        ("PUT", PATH, 201),
        ("GET", PATH, 200),
        ("DELETE", PATH, 204),
    ]
    assert [record.address for record in log] == [rawx.address] * 3
    assert log[0].connection == log[2].connection != log[1].connection
    assert ("x-mark", "1") in log[1].headers
    namespace.forget_requests()
    assert namespace.requests == []
