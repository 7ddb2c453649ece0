# SPDX-License-Identifier: Apache-2.0
"""Behaviour of the rawx that no recording shows: streaming, concurrency, durability, ranges."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oio.sandbox import Namespace
from oio.sandbox.messages import FileSlice, Request
from oio.sandbox.rawx.chunks import ChunkStore
from oio.sandbox.rawx.service import FullPath, Rawx
from oio.sandbox.services import RawxService
from tests.kit.chunkdata import HEADERS, ID, META, OTHER_ID, OTHER_PATH, PATH, md5
from tests.kit.rawsocket import RawSocket, chunk

MIB = 1 << 20


@pytest.fixture
def rawx(namespace: Namespace) -> RawxService:
    return namespace.rawx[0]


@pytest.fixture
def connection(rawx: RawxService) -> Iterator[RawSocket]:
    with RawSocket(rawx.address) as opened:
        yield opened


def files_of(rawx: RawxService) -> list[Path]:
    return [path for path in rawx.volume.rglob("*") if path.is_file()]


def wait_for_no_connection(rawx: RawxService) -> None:
    while rawx.open_connections():
        pass


def test_a_big_chunk_comes_back_identical(connection: RawSocket) -> None:
    data = os.urandom(MIB) * 5 + b"tail"
    blocks = [data[at : at + 700_001] for at in range(0, len(data), 700_001)]
    stored = connection.ask_chunked(PATH, HEADERS, blocks)
    assert (stored.status, stored.get(f"{META}chunk-hash")) == (201, md5(data))
    fetched = connection.ask("GET", PATH)
    assert fetched.status == 200
    assert fetched.body == data


def test_memory_does_not_grow_with_the_size_of_a_chunk(connection: RawSocket) -> None:
    block = os.urandom(MIB)
    tracemalloc.start()
    try:
        stored = connection.ask_chunked(PATH, HEADERS, (block for _ in range(64)))
        connection.send(f"GET {PATH} HTTP/1.1\r\nHost: {connection.address}\r\n\r\n".encode())
        connection.read_until(b"\r\n\r\n")
        received = 0
        while received < 64 * MIB:
            received += len(connection.read(256 * 1024))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stored.get(f"{META}chunk-size") == str(64 * MIB)
    assert peak < 8 * MIB


def test_an_upload_that_is_abandoned_leaves_no_file(rawx: RawxService) -> None:
    with RawSocket(rawx.address) as connection:
        connection.begin_chunked(PATH, HEADERS)
        connection.send(chunk(b"x" * MIB))
    wait_for_no_connection(rawx)
    assert files_of(rawx) == []


def test_a_refused_upload_leaves_no_file(rawx: RawxService, connection: RawSocket) -> None:
    wrong = [*HEADERS, (f"{META}chunk-hash", "0" * 32)]
    assert connection.ask_chunked(PATH, wrong, [b"data"]).status == 400
    assert files_of(rawx) == []


def test_of_simultaneous_uploads_of_one_chunk_one_wins(rawx: RawxService) -> None:
    statuses: list[int] = []
    barrier = threading.Barrier(8)

    def upload(letter: bytes) -> None:
        with RawSocket(rawx.address) as connection:
            barrier.wait()
            statuses.append(connection.ask_chunked(PATH, HEADERS, [letter * 1000]).status)

    threads = [threading.Thread(target=upload, args=(bytes([65 + number]),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The chunk may have been complete, or still under way, when the others came.
    assert sorted(statuses) == [201] + [409] * 7
    assert rawx.chunks() == [ID]


def test_a_link_shares_the_data_and_has_its_own_owner(rawx: RawxService, connection: RawSocket) -> None:
    connection.ask("PUT", PATH, HEADERS, b"data")
    fullpath = "acct/ref/%C3%A9%20t%2Fx/1700000000000001/CDCDCDCD"
    headers = [("Destination", f"http://{rawx.address}{OTHER_PATH}"), (f"{META}full-path", fullpath)]
    assert connection.ask("COPY", PATH, headers).status == 201
    assert rawx.store.path(ID).stat().st_ino == rawx.store.path(OTHER_ID).stat().st_ino
    assert connection.ask("DELETE", PATH).status == 204
    link = connection.ask("GET", OTHER_PATH)
    assert link.body == b"data"
    assert link.get(f"{META}full-path") == fullpath
    assert link.get(f"{META}content-path") == "%C3%A9%20t%2Fx"
    assert connection.ask("GET", PATH).status == 404


def test_a_link_outlives_its_source_and_a_restart(namespace: Namespace) -> None:
    rawx, owner = namespace.rawx[0], (f"{META}full-path", f"a/c/copy/1/{'AB' * 16}")
    with RawSocket(rawx.address) as connection:
        connection.ask("PUT", PATH, HEADERS, b"data")
        assert connection.ask("COPY", PATH, [("Destination", OTHER_PATH), owner]).status == 201
        assert connection.ask("COPY", PATH, [("Destination", OTHER_PATH), owner]).status == 409
        assert connection.ask("DELETE", PATH).status == 204
    namespace.stop()
    namespace.start()
    with RawSocket(rawx.address) as connection:
        assert connection.ask("GET", PATH).status == 404
        link = connection.ask("GET", OTHER_PATH)
        assert (link.body, link.get(f"{META}full-path")) == (b"data", owner[1])
        checked = [("x-oio-check-hash", "true")]
        assert connection.ask("HEAD", OTHER_PATH, checked).status == 200
        rawx.store.path(OTHER_ID).write_bytes(b"rots")
        assert connection.ask("HEAD", OTHER_PATH, checked).status == 412
        assert connection.ask("DELETE", OTHER_PATH).status == 204
    assert files_of(rawx) == []


def test_a_chunk_without_its_attributes_is_an_error_not_a_lie(
    rawx: RawxService, connection: RawSocket
) -> None:
    connection.ask("PUT", PATH, HEADERS, b"data")
    rawx.store.path(ID).with_suffix(".json").unlink()
    assert connection.ask("GET", PATH).status == 500
    assert connection.ask("HEAD", PATH).status == 500


def test_pipelined_requests_are_answered_in_order(connection: RawSocket) -> None:
    connection.ask("PUT", PATH, HEADERS, b"data")
    one = f"GET {PATH} HTTP/1.1\r\nHost: {connection.address}\r\n\r\n".encode()
    other = one.replace(PATH.encode(), OTHER_PATH.encode())
    connection.send(one + other + one)
    assert [connection.answer().status for _ in range(3)] == [200, 404, 200]


def test_statistics_count_requests(connection: RawSocket) -> None:
    connection.ask("PUT", PATH, HEADERS, b"data")
    answer = connection.ask("GET", "/stat")
    assert answer.status == 200
    assert b"counter req.hits.put 1\n" in answer.body


def test_only_get_is_allowed_on_special_paths(connection: RawSocket) -> None:
    assert connection.ask("PUT", "/info", [], b"").status == 405
    assert connection.ask("DELETE", "/stat").status == 405


@pytest.mark.pitfall(154)
def test_dates_end_in_utc(connection: RawSocket) -> None:
    connection.ask("PUT", PATH, HEADERS, b"data")
    modified = connection.ask("HEAD", PATH).get("last-modified") or ""
    assert modified.endswith(" UTC")


class Nobody:
    """Somebody who does not care which chunks there are."""

    def stored(self, chunk: FullPath, chunk_id: str) -> None:
        pass

    def deleted(self, chunk_id: str) -> None:
        pass


@pytest.fixture(scope="module")
def ten_bytes(tmp_path_factory: pytest.TempPathFactory) -> Rawx:
    store = ChunkStore(tmp_path_factory.mktemp("volume"))
    rawx = Rawx("NS", frozenset(), store, Nobody())
    headers = [*HEADERS, ("content-length", "10")]
    assert rawx.handle(Request("PUT", PATH, headers, stream=_Stream(b"0123456789"))).status == 201
    return rawx


class _Stream:
    def __init__(self, data: bytes) -> None:
        self.trailers: list[tuple[str, str]] = []
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        yield self._data


@settings(deadline=None)
@given(first=st.integers(0, 15), last=st.integers(0, 2**64))
def test_closed_ranges(ten_bytes: Rawx, first: int, last: int) -> None:
    response = ten_bytes.handle(Request("GET", PATH, [("Range", f"bytes={first}-{last}")]))
    body = response.body
    if first > last or last >= 2**63:
        assert response.status == 200
    elif first >= 10:
        assert response.status == 416
    else:
        assert response.status == 206
        assert ("Content-Range", f"bytes {first}-{min(last, 9)}/10") in response.headers
    if isinstance(body, FileSlice):
        expected = b"0123456789"[first : last + 1] if response.status == 206 else b"0123456789"
        body.file.seek(body.offset)
        assert body.file.read(body.length) == expected
        body.close()
