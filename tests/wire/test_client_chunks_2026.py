# SPDX-License-Identifier: Apache-2.0
"""The client of chunk servers asks what was asked by hand of those of the development head."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from oio.blob.client import BlobClient
from oio.common import exceptions as exc
from tests.kit.scripted import Peer, serving
from tests.wire.recorded import NAMES_2026, Exchange, Message, load_2026

META = "x-oio-chunk-meta-"
NAMES = [name for name in NAMES_2026 if name.startswith("raw_rawx__")]
#: Keys of the descriptions of chunks, and the headers that they are sent in.
KEYS = {
    "full_path": "full-path",
    "container_id": "container-id",
    "content_id": "content-id",
    "content_path": "content-path",
    "content_version": "content-version",
    "content_chunkmethod": "content-chunk-method",
    "content_policy": "content-storage-policy",
    "chunk_pos": "chunk-pos",
    "chunk_hash": "chunk-hash",
    "metachunk_hash": "metachunk-hash",
    "metachunk_size": "metachunk-size",
}
_CALLS = {"GET", "HEAD", "PUT", "DELETE", "COPY"}


def why_not_said(exchange: Exchange) -> str | None:
    """Why the client cannot make a request, or would not; None when it can."""
    request = exchange.request
    if exchange.method not in _CALLS or exchange.route in {"/info", "/stat", "/list"}:
        return "no method of the client"
    if len(exchange.route) != 65:
        return "the ID of no chunk"
    if exchange.method == "PUT":
        return why_not_put(request)
    if exchange.method == "COPY" and not request.get(f"{META}full-path"):
        return "a copy is always that of an object"
    return None


def why_not_put(request: Message) -> str | None:
    """The same, of a chunk to write."""
    if request.trailers:
        return "sent by the writers of objects: test_client_captures_2026.py"
    if request.get(f"{META}chunk-size"):
        return "the client does not say sizes that it does not know yet"
    if "/" not in (request.get(f"{META}content-chunk-method") or ""):
        return "the client adds the slash"
    return None


SAID = [
    (name, number)
    for name in NAMES
    for number, exchange in enumerate(load_2026(name).exchanges)
    if why_not_said(exchange) is None
]


@contextlib.contextmanager
def answering(exchange: Exchange, seen: list[dict[str, str]]) -> Iterator[str]:
    """A chunk server that gives the recorded answer, and then goes."""

    def serve(peer: Peer) -> None:
        head = peer.read_head()
        if not head:
            return
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            peer.read_chunked()
        seen.append({"first": first, **headers})
        if exchange.response is not None:
            peer.send(rendered(exchange.method, exchange.response))

    with serving(serve) as server:
        yield server.address


def rendered(method: str, response: Message) -> bytes:
    headers = [(name, value) for name, value in response.headers if name.lower() != "connection"]
    if response.get("content-length") is None:
        headers.append(("Content-Length", "0"))
    lines = [response.first_line, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode() + (b"" if method == "HEAD" else response.body or b"")


def perform(client: BlobClient, exchange: Exchange, address: str) -> Any:
    """Make the call that the request stands for."""
    request, url = exchange.request, f"http://{address}{exchange.target}"
    given = {key: request.get(META + name) for key, name in KEYS.items()}
    if exchange.method == "PUT":
        meta = {key: value for key, value in given.items() if value is not None}
        return client.chunk_put(url, meta, [request.data] if request.data else [])
    if exchange.method == "GET":
        asked = request.get("range")
        meta, blocks = client.chunk_get(url, headers={"Range": asked} if asked else {})
        return meta, b"".join(blocks)
    if exchange.method == "HEAD":
        expected = given["chunk_hash"]
        headers = {f"{META}chunk-hash": expected} if expected else {}
        return client.chunk_head(url, check_hash=bool(request.get("x-oio-check-hash")), headers=headers)
    if exchange.method == "DELETE":
        return client.chunk_delete(url).status
    target = request.get("destination") or ""
    return client.chunk_link(url, target, str(given["full_path"]))[0].status


@pytest.mark.pitfall("W1", "W2", "W17")
@pytest.mark.parametrize(("name", "number"), SAID)
def test_client_meets_the_chunk_servers_of_the_development_head(name: str, number: int) -> None:
    exchange = load_2026(name).exchanges[number]
    recorded, seen = exchange.response, list[dict[str, str]]()
    assert recorded is not None
    with answering(exchange, seen) as address, BlobClient() as client:
        try:
            outcome: Any = perform(client, exchange, address)
        except exc.OioException as err:
            outcome = err
    check_request(exchange, seen[0])
    if recorded.status >= 400 or "ended after" in ENDED.get((name, number), ""):
        assert isinstance(outcome, exc.OioException), outcome
        assert recorded.status < 400 or str(recorded.status) in str(outcome)
        return
    if isinstance(outcome, Exception):
        raise outcome
    check_outcome(exchange, recorded, outcome)


ENDED = {
    # The file was cut short: the answer ends before its length.
    ("raw_rawx__damaged_blake3", number): "the connection ended after a part"
    for number in (4, 5, 9, 10)
}


def check_request(exchange: Exchange, sent: dict[str, str]) -> None:
    request = exchange.request
    assert sent["first"].split(" ")[:2] == [exchange.method, exchange.target]
    for name in ("range", "x-oio-check-hash", *(META + name for name in KEYS.values())):
        if name == f"{META}content-path" or exchange.method == "COPY":
            continue
        assert (sent.get(name) or "").lower() == (request.get(name) or "").lower(), name


def check_outcome(exchange: Exchange, recorded: Message, outcome: Any) -> None:
    if exchange.method == "PUT":
        hashed = recorded.get(f"{META}chunk-hash") or ""
        assert outcome == (exchange.request.length, hashed.lower())
    elif exchange.method in {"DELETE", "COPY"}:
        assert outcome == recorded.status
    else:
        meta, data = outcome if exchange.method == "GET" else (outcome, recorded.body)
        assert data == recorded.body
        for key, name in KEYS.items():
            if key not in {"full_path", "content_path"}:
                assert meta.get(key) == recorded.get(META + name), key


def test_nearly_all_that_was_asked_can_be_said() -> None:
    exchanges = [exchange for name in NAMES for exchange in load_2026(name).exchanges]
    assert (len(SAID), len(exchanges)) == (104, 135)
