# SPDX-License-Identifier: Apache-2.0
"""Answers without bounds, and texts without end: refused or cut at once, whatever was asked."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from oio.api.object_storage import ObjectStorageApi
from oio.common import exceptions as exc
from oio.common.http_api import HttpApi
from oio.common.http_urllib3 import urllib3
from oio.common.retry import Retry
from tests.kit.scripted import Peer, serving
from tests.kit.watchdog import watched

JSON = {"Content_Type": "application/json"}
LIMIT = 100_000


def answering(body: bytes, status: int = 200, **headers: Any) -> Any:
    def script(peer: Peer) -> None:
        while peer.read_head():
            peer.answer(status, body, **headers)

    return serving(script)


def ask(server: Any, **options: Any) -> Any:
    with HttpApi(f"http://{server.address}", **options) as client:
        return client._request("GET", "/route")


class OwnResponse(urllib3.HTTPResponse):
    """An answer of a class of the host's."""


class OwnManager(urllib3.PoolManager):
    """A pool of the host's, which makes more of the answers."""

    def request(self, *args: Any, **kwargs: Any) -> Any:
        response = super().request(*args, **kwargs)
        response.__class__ = OwnResponse
        return response


def pouring(peer: Peer) -> None:
    """Send without end, until the client leaves."""
    peer.read_head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    block = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    while True:
        peer.send(block)


@pytest.mark.pitfall("C1")
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "gzip, identity"])
@pytest.mark.parametrize("status", [200, 503])
def test_encoded_answer_is_refused(encoding, status):
    packed = gzip.compress(b" " * 1_000_000)
    with (
        answering(packed, status, Content_Encoding=encoding, **JSON) as server,
        pytest.raises(exc.OioProtocolError, match="encoded"),
    ):
        ask(server)
    assert server.connections == 1


@pytest.mark.pitfall("C1")
@pytest.mark.parametrize("encoding", ["identity", ""])
def test_answer_without_an_encoding_is_taken(encoding):
    with answering(b"{}", Content_Encoding=encoding, **JSON) as server:
        assert ask(server)[1] == {}


@pytest.mark.pitfall("C1")
@pytest.mark.parametrize("length", [4_000_000_000, LIMIT + 1, 10**30])
def test_answer_that_announces_too_much_is_refused_at_once(length):
    gone = []

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.answer(200, b"", Content_Length=length, **JSON)
        peer.wait_until_gone()
        gone.append(True)

    with serving(script) as server, pytest.raises(exc.OioProtocolError, match="more than"):
        ask(server, max_answer_size=LIMIT)
    assert gone == [True]


@pytest.mark.pitfall("C1")
@pytest.mark.parametrize("own", [None, urllib3.PoolManager, OwnManager])
def test_answer_that_does_not_end_is_refused(own):
    options = {"pool_manager": own()} if own else {}
    with serving(pouring) as server, pytest.raises(exc.OioProtocolError, match="more than"):
        ask(server, max_answer_size=LIMIT, **options)
    assert server.connections == 1


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000),
    "lines after the body": (CHUNKED + b"0\r\n", b"X-Line: x\r\n" * 50_000),
    "tiny chunks": (CHUNKED, b"1\r\n \r\n" * 10_000),
}


@pytest.mark.pitfall("B10", "C1")
@pytest.mark.parametrize(("begin", "block"), ENDLESS.values(), ids=ENDLESS)
def test_answer_that_never_lets_us_wait_is_bounded_too(begin, block):
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(begin)
        while True:
            peer.send(block)

    def asked() -> exc.OioNetworkException:
        with serving(script) as server, pytest.raises(exc.OioNetworkException) as caught:
            ask(server, read_timeout=0.3, retry=Retry(attempts=1))
        return caught.value

    assert isinstance(watched(asked), exc.OioNetworkException)


@pytest.mark.pitfall("C1")
def test_few_interim_answers_and_lines_after_the_body_are_taken():
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 5 + CHUNKED + b"2\r\n{}\r\n0\r\nX-Line: x\r\n\r\n")

    with serving(script) as server:
        assert ask(server)[1] == {}


@pytest.mark.pitfall("C1")
def test_answer_of_exactly_the_limit_is_taken():
    body = b'"' + b"x" * (LIMIT - 2) + b'"'
    with answering(body, **JSON) as server:
        assert len(ask(server, max_answer_size=str(LIMIT))[1]) == LIMIT - 2
        with pytest.raises(exc.OioProtocolError):
            ask(server, max_answer_size=LIMIT - 1)


@pytest.mark.pitfall("C1")
def test_limit_is_an_option_of_the_api():
    with (
        answering(b"[" + b" " * 1000 + b"]", **JSON) as server,
        ObjectStorageApi("NS", endpoint=server.address, max_answer_size=500, retry=Retry(attempts=1)) as api,
        pytest.raises(exc.OioProtocolError, match="more than the 500"),
    ):
        api.object_list("a", "c")


@pytest.mark.pitfall("C1")
def test_head_of_a_large_chunk_is_no_large_answer():
    with answering(b"", Content_Length=0) as server, HttpApi(f"http://{server.address}") as client:
        assert client._request("HEAD", "/route")[0].status == 200

    def large(peer: Peer) -> None:
        while peer.read_head():
            peer.answer(200, b"", Content_Length=4_000_000_000)

    with serving(large) as server, HttpApi(f"http://{server.address}") as client:
        assert client._request("HEAD", "/route")[0].headers["Content-Length"] == "4000000000"


@pytest.mark.pitfall("C2")
@pytest.mark.parametrize("status", [400, 404, 409, 500, 503, 302])
@pytest.mark.parametrize("kind", ["text/html", "application/json", "text/plain"])
def test_text_of_a_refusal_is_cut(status, kind):
    body = b"x" * 9_000_000
    if kind == "application/json":
        body = b'{"status": 500, "message": "' + body + b'"}'
    with (
        answering(body, status, Content_Type=kind) as server,
        ObjectStorageApi("NS", endpoint=server.address, request_attempts=1) as api,
        pytest.raises(exc.OioException) as caught,
    ):
        api.object_list("a", "c")
    assert len(str(caught.value)) < 3000
    assert len(repr(caught.value)) < 6000


@pytest.mark.pitfall("C2")
def test_long_reasons_are_cut():
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 500 " + b"r" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n")

    with serving(script) as server, pytest.raises(exc.ClientException) as caught:
        ask(server)
    assert len(str(caught.value)) < 3000
