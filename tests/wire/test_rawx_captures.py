# SPDX-License-Identifier: Apache-2.0
"""The rawx of the sandbox answers as the real ones whose traffic was recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from oio.sandbox import Namespace
from oio.sandbox.services import RawxService
from tests.kit.rawsocket import Answer, RawSocket, chunk, head, rendered

CAPTURES = Path(__file__).parent / "captures"
NAMES = sorted(
    path.stem for pattern in ("raw_rawx__*", "chunk_*") for path in CAPTURES.glob(f"{pattern}.json")
)

VOLATILE = {"date", "last-modified"}

#: What happened to the chunk on disk before the exchange of this number.
FLIPPED_BEFORE, CUT_BEFORE = 6, 9
#: When the connections that were left in the middle of a request were closed.
CLOSED_BEFORE = {"raw_rawx__drop_mid_put": (4, 1)}

META = "x-oio-chunk-meta-"


def load(name: str) -> dict[str, Any]:
    return json.loads((CAPTURES / f"{name}.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture
def rawx() -> Iterator[RawxService]:
    with Namespace(rawx=1) as namespace:
        yield namespace.rawx[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_rawx_answers_as_recorded(name: str, rawx: RawxService) -> None:
    capture = load(name)
    recorded_address = capture["exchanges"][0]["peer"]
    for chunk_id in chunks_there_before(capture):
        store_recorded_chunk(rawx.address, chunk_id)
    with ExitStack() as stack:
        connections: dict[int, RawSocket] = {}
        for number, exchange in enumerate(capture["exchanges"]):
            disturb(name, number, rawx, connections)
            key = exchange["connection"]
            if key not in connections:
                connections[key] = stack.enter_context(RawSocket(rawx.address))
            replay(exchange, connections[key], recorded_address, number)
            if exchange["response"] is None:
                wait_until_the_upload_has_begun(rawx)


def wait_until_the_upload_has_begun(rawx: RawxService) -> None:
    while not list(rawx.volume.rglob("*.pending")):
        pass


def replay(exchange: dict[str, Any], connection: RawSocket, recorded_address: str, number: int) -> None:
    request, recorded = exchange["request"], exchange["response"]
    headers = [
        (key, value.replace(recorded_address, connection.address)) for key, value in request["headers"]
    ]
    first_line = request["first_line"]
    connection.send(f"{first_line}\r\n".encode() + rendered(headers) + b"\r\n")
    for interim in request.get("interim", []):
        assert connection.answer().first_line == interim["first_line"]
    connection.send(framed_body(request))
    if request.get("note", "").endswith("shuts its sending side down"):
        connection.sock.shutdown(1)
    if recorded is None:
        return
    answer = connection.answer(request["method"])
    assert_same(answer, recorded, f"exchange {number}: {first_line}")
    if exchange.get("server_closed_after"):
        assert connection.is_closed()
    elif exchange.get("server_closed_after") is False:
        assert connection.ask("GET", "/info").status == 200


def assert_same(answer: Answer, recorded: dict[str, Any], what: str) -> None:
    assert answer.first_line == recorded["first_line"], what
    assert answer.names == [name for name, _ in recorded["headers"]], what
    body = recorded["body"].get("text", "").encode()
    if body.startswith(b"namespace "):
        # /info gives the place of the volume.
        assert answer.body.startswith(body.partition(b"path ")[0] + b"path /"), what
        return
    assert without_volatile(answer.headers) == without_volatile(recorded["headers"]), what
    assert answer.body == body, what
    modified = answer.get("last-modified")
    assert modified is None or modified.endswith(" UTC"), what


def without_volatile(headers: Any) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in VOLATILE]


def framed_body(request: dict[str, Any]) -> bytes:
    body = recorded_body(request)
    if not request.get("chunked"):
        return body
    framed, offset = b"", 0
    for size in request["chunk_sizes"]:
        framed += chunk(body[offset : offset + size])
        offset += size
    if request.get("incomplete"):
        return framed
    return framed + b"0\r\n" + rendered(request["trailers"]) + b"\r\n"


def recorded_body(request: dict[str, Any]) -> bytes:
    """Return the body of a request; of long ones only the beginning is recorded, one letter repeated."""
    body = request.get("body") or {"length": 0}
    text = body.get("text", "").encode()
    if len(text) == body["length"]:
        return text
    assert len(set(text)) == 1
    return text[:1] * body["length"]


def disturb(name: str, number: int, rawx: RawxService, connections: dict[int, RawSocket]) -> None:
    """Do what was done beside the recorded connections."""
    if name == "raw_rawx__check_hash_damaged" and number in {FLIPPED_BEFORE, CUT_BEFORE}:
        (chunk_id,) = rawx.chunks()
        with rawx.store.path(chunk_id).open("r+b") as file:
            if number == FLIPPED_BEFORE:
                file.write(b"j")
            else:
                file.truncate(5)
    when, key = CLOSED_BEFORE.get(name, (None, 0))
    if number == when:
        others = len(connections) - 1
        connections[key].sock.close()
        while rawx.open_connections() > others:
            pass


def chunks_there_before(capture: dict[str, Any]) -> list[str]:
    """Return the chunks that the recorded answers suppose.

    The series made by hand begin with an empty volume; the others with the chunks that they found.
    """
    if capture["name"].startswith("raw_"):
        return []
    seen: dict[str, bool] = {}
    for exchange in capture["exchanges"]:
        method, status = exchange["request"]["method"], exchange["response"]["status"]
        chunk_id = exchange["request"]["target"].lstrip("/")
        seen.setdefault(chunk_id, status == 409 if method == "PUT" else status not in {400, 404})
    return [chunk_id for chunk_id, there in seen.items() if there]


def store_recorded_chunk(address: str, chunk_id: str) -> None:
    """Store the chunk that all captures of chunk operations are about, under any ID."""
    _, response = (load("chunk_get__ok")["exchanges"][0][key] for key in ("request", "response"))
    headers = [
        (name, value)
        for name, value in response["headers"]
        if name.lower().startswith(META) and name.lower() != f"{META}chunk-id"
    ]
    body = response["body"]["text"].encode()
    with RawSocket(address) as connection:
        lines = [("Host", address), ("Content-Length", str(len(body))), *headers]
        connection.send(head("PUT", f"/{chunk_id}", lines) + body)
        assert connection.answer("PUT").status == 201
