# SPDX-License-Identifier: Apache-2.0
"""Chunk servers that refuse an upload before they have all of it, and hang up."""

from __future__ import annotations

import io
from contextlib import ExitStack
from typing import Any

import pytest

from oio.api.io import http_connect
from oio.api.replication import ReplicatedWriteHandler
from oio.blob.client import BlobClient
from oio.common import exceptions as exc
from oio.common.http_eventlet import POOL, EarlyRefusal
from oio.common.storage_method import STORAGE_METHODS
from tests.kit.chunkdata import ID
from tests.kit.fakes import SYSMETA
from tests.kit.scripted import Peer, Script, serving

BLOCK = bytes(1 << 18)
DATA = bytes(16 << 20)


class Owner:
    """Keeps connections alive."""


def refusing(status: int, heads: list[str] | None = None) -> Script:
    """Answer as soon as the head is there, and close: what comes then is met by a reset."""

    def serve(peer: Peer) -> None:
        head = peer.read_head()
        if heads is not None:
            heads.append(head.partition(" ")[0])
        peer.answer(status)

    return serve


def send_for_ever(connection: Any) -> None:
    while True:
        connection.send(b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK))


@pytest.mark.parametrize("status", [400, 405, 409, 507])
def test_refusal_that_came_before_the_end_of_the_connection_is_heard(status: int) -> None:
    with serving(refusing(status)) as server:
        connection = http_connect(server.address, "PUT", "/0A", {"transfer-encoding": "chunked"})
        with pytest.raises(EarlyRefusal, match=f"HTTP {status}"):
            send_for_ever(connection)
        connection.close()


def hang_up(peer: Peer) -> None:
    peer.read_head()


def speak_nonsense(peer: Peer) -> None:
    peer.read_head()
    peer.send(b"nonsense\r\n\r\n")


@pytest.mark.parametrize("script", [hang_up, speak_nonsense, refusing(201), refusing(408)])
def test_other_ends_in_the_middle_of_an_upload_are_errors_of_the_network(script: Script) -> None:
    with serving(script) as server:
        connection = http_connect(server.address, "PUT", "/0A", {"transfer-encoding": "chunked"})
        with pytest.raises(ConnectionError) as caught:
            send_for_ever(connection)
        assert not isinstance(caught.value, EarlyRefusal)
        connection.close()


def test_refusal_on_a_kept_connection_is_not_asked_for_again() -> None:
    def answer_and_refuse(peer: Peer) -> None:
        refusing(200)(peer)
        refusing(507)(peer)

    owner = Owner()
    release = POOL.hold(owner)
    try:
        with serving(answer_and_refuse, hang_up) as server:
            first = http_connect(server.address, "GET", "/0A")
            first.getresponse().read()
            first.close()
            connection = http_connect(server.address, "PUT", "/0A", {"transfer-encoding": "chunked"})
            with pytest.raises(EarlyRefusal, match="HTTP 507"):
                send_for_ever(connection)
            connection.close()
            assert server.connections == 1
            assert len(POOL) == 0
    finally:
        release()


@pytest.mark.parametrize(
    ("status", "error"), [(405, exc.MethodNotAllowed), (409, exc.Conflict), (507, exc.ServiceBusy)]
)
def test_upload_that_all_servers_refuse_early_tells_why(status: int, error: type[Exception]) -> None:
    sysmeta = {**SYSMETA, "chunk_size": 1 << 30, "chunk_method": "plain/nb_copy=3"}
    method = STORAGE_METHODS.load("plain/nb_copy=3")
    with ExitStack() as servers:
        addresses = [servers.enter_context(serving(refusing(status))).address for _ in range(3)]
        chunks = [{"url": f"http://{address}/{ID}", "pos": "0"} for address in addresses]
        with pytest.raises(error, match=f"HTTP {status}"):
            ReplicatedWriteHandler(io.BytesIO(DATA), sysmeta, {0: chunks}, method).stream()


def test_chunk_that_was_there_before_a_refused_copy_of_it_stays() -> None:
    heads: list[str] = []
    meta = {
        "chunk_method": "plain/nb_copy=1",
        "chunk_pos": "0",
        "container_id": "C0" * 32,
        "content_id": "AB" * 16,
        "content_path": "o",
        "content_policy": "SINGLE",
        "content_version": "1",
        "full_path": f"a/c/o/1/{'AB' * 16}",
    }
    with serving(refusing(409, heads)) as server, BlobClient() as client:
        with pytest.raises(exc.Conflict):
            client.chunk_put(f"http://{server.address}/{ID}", meta, io.BytesIO(DATA))
        assert server.connections == 1
    assert heads == ["PUT"]
