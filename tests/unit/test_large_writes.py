# SPDX-License-Identifier: Apache-2.0
"""Large blocks of uploads: sent in pieces, at once where nothing waits, within the limits of small ones."""

from __future__ import annotations

import hashlib
import io
import random
import socket
import ssl
import threading
from typing import Any

import pytest

from oio.api.ec import EcMetachunkWriter
from oio.api.io import http_connect
from oio.api.replication import ReplicatedWriteHandler
from oio.blob.sender import STEP, _StepTimeouts
from oio.common.green import create_ssl_context
from oio.common.http_eventlet import POOL
from oio.common.storage_method import STORAGE_METHODS
from tests.kit.chunkdata import ID
from tests.kit.ec_fakes import EC
from tests.kit.fakes import SYSMETA, network, stored
from tests.kit.scripted import Peer, serving
from tests.kit.tls import CERTIFICATE, FILES

MIB = 1 << 20
DATA = random.Random(5).randbytes(5 * MIB + 5)


class Owner:
    """Keeps connections alive."""


class Source:
    """A file that notes what it is asked for, and its end."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self.asked: list[int] = []
        self.has_ended = threading.Event()

    def read(self, size: int) -> bytes:
        self.asked.append(size)
        block = self._data.read(size)
        if not block:
            self.has_ended.set()
        return block


def over_tls(peer: Peer) -> socket.socket:
    """Speak TLS from here on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, FILES / "key.pem")
    peer.sock = context.wrap_socket(peer.sock, server_side=True)
    return peer.sock


class Taking:
    """Script of a server that takes one chunk."""

    def __init__(self, go_on: threading.Event | None = None, tls: bool = False) -> None:
        self.body = b""
        self._go_on, self._tls = go_on, tls

    def __call__(self, peer: Peer) -> None:
        with over_tls(peer) if self._tls else peer.sock:
            peer.read_head()
            if self._go_on is not None:
                self._go_on.wait()
            self.body = peer.read_chunked()
            peer.answer(201)


def upload(source: Any, *addresses: str, scheme: str = "http", **options: Any) -> int:
    chunks = [{"url": f"{scheme}://{address}/{ID}", "pos": "0"} for address in addresses]
    sysmeta = {**SYSMETA, "chunk_size": 1 << 30, "chunk_method": f"plain/nb_copy={len(chunks)}"}
    method = STORAGE_METHODS.load(sysmeta["chunk_method"])
    size: int = ReplicatedWriteHandler(source, sysmeta, {0: chunks}, method, **options).stream()[1]
    return size


@pytest.mark.parametrize("size", [0, 1, 32768, 32769, MIB, 3 * MIB + 5])
@pytest.mark.parametrize("kind", [io.BytesIO, Source])
def test_all_servers_get_the_data(size, kind):
    takers = [Taking() for _ in range(3)]
    with serving(takers[0]) as a, serving(takers[1]) as b, serving(takers[2]) as c:
        assert upload(kind(DATA[:size]), a.address, b.address, c.address) == size
    assert [taker.body == DATA[:size] for taker in takers] == [True] * 3


def test_server_that_does_not_take_all_at_once_gets_it_and_stops_nobody():
    source = Source(DATA)
    slow, quick = Taking(go_on=source.has_ended), Taking()
    with serving(slow) as a, serving(quick) as b:
        assert upload(source, a.address, b.address) == len(DATA)
    assert slow.body == quick.body == DATA


def test_data_are_sent_over_tls():
    taker = Taking(tls=True)
    with serving(taker) as server:
        context = create_ssl_context(CERTIFICATE)
        assert upload(io.BytesIO(DATA), server.address, scheme="https", ssl_context=context) == len(DATA)
    assert taker.body == DATA


@pytest.mark.pitfall(135)
def test_large_block_on_a_kept_connection_that_has_died_is_sent_again():
    def answer_and_die(peer: Peer) -> None:
        peer.read_head()
        peer.answer(200, b"hello")
        peer.read_head()
        peer.reset()

    owner, taker = Owner(), Taking()
    release = POOL.hold(owner)
    try:
        with serving(answer_and_die, taker) as server:
            connection = http_connect(server.address, "GET", "/0A")
            connection.getresponse().read()
            connection.close()
            assert upload(io.BytesIO(DATA[: MIB // 2]), server.address) == MIB // 2
            assert server.connections == 2
    finally:
        release()
    assert taker.body == DATA[: MIB // 2]


def test_blocks_grow_up_to_a_mib_by_default():
    source, taker = Source(DATA), Taking()
    with serving(taker) as server:
        upload(source, server.address)
    assert source.asked[0] == 32768
    assert max(source.asked) == MIB


def test_erasure_coding_asks_for_whole_segments():
    source = Source(DATA)
    chunks = [{"url": f"http://h{n}/{n:064X}", "pos": f"0.{n}", "num": n} for n in range(9)]
    sysmeta = {**SYSMETA, "chunk_method": "ec/algo=liberasurecode_rs_vand,k=6,m=3", "chunk_size": MIB}
    with network(**{f"h{n}": stored for n in range(9)}):
        EcMetachunkWriter(sysmeta, chunks, hashlib.md5(usedforsecurity=False), EC).stream(source, len(DATA))
    assert [size % EC.ec_segment_size for size in source.asked[:-1]] == [0] * (len(source.asked) - 1)


def test_time_limit_of_a_large_block_begins_anew_with_each_step():
    now = [0.0]
    timeouts = _StepTimeouts(lambda: 10.0, lambda: now[0])

    def seconds(at: float, sent: int) -> float:
        now[0] = at
        with timeouts(sent) as limit:
            return float(limit.seconds)

    timeouts.begin()
    assert [seconds(0.0, 0), seconds(4.0, STEP - 1)] == [10.0, 6.0]
    assert [seconds(9.0, STEP), seconds(30.0, STEP + 1)] == [10.0, 0.0]
    assert timeouts.steps == 2
    timeouts.begin()
    assert seconds(30.0, 0) == 10.0


def test_what_may_be_sent_again_is_bounded():
    def answer_and_take(peer: Peer) -> None:
        peer.read_head()
        peer.answer(200, b"hello")
        taker(peer)

    owner, taker = Owner(), Taking()
    release = POOL.hold(owner)
    try:
        with serving(answer_and_take) as server:
            first = http_connect(server.address, "GET", "/0A")
            first.getresponse().read()
            first.close()
            connection = http_connect(server.address, "PUT", "/0A", {"transfer-encoding": "chunked"})
            kept = []
            for begin in range(0, 3 * MIB, MIB):
                block = DATA[begin : begin + MIB]
                rest = connection.send_now((b"%x\r\n" % len(block), block, b"\r\n"))
                if rest:
                    connection.send(rest)
                kept.append(sum(len(piece) for pieces in connection._replay or () for piece in pieces))
            connection.send(b"0\r\n\r\n")
            assert connection.getresponse().status == 201
            connection.close()
            assert server.connections == 1
    finally:
        release()
    assert kept[0] > MIB
    assert kept[1:] == [0, 0]
    assert taker.body == DATA[: 3 * MIB]
