# SPDX-License-Identifier: Apache-2.0
"""Chunk servers that refuse a chunk before the end of its body, and hang up."""

from __future__ import annotations

import contextlib
import io
import re
from typing import Any

import pytest

from oio.api.io import http_connect
from oio.blob.client import BlobClient
from oio.blob.sender import END_OF_BODY, ChunkSender, frame
from oio.common import exceptions as exc
from oio.common.chunks import Chunk, to_remove
from oio.common.http_eventlet import EarlyAnswer
from oio.common.options import Options
from tests.kit.chunkdata import DESCRIPTION, ID
from tests.kit.scripted import Peer, Script, serving
from tests.unit.test_small_writes import kept_connections, store
from tests.unit.test_unreachable_writes import EC, HUGE, send, writer_to


def refuse(status: int) -> Script:
    def play(peer: Peer) -> None:
        if peer.read_head():
            peer.answer(status)

    return play


@pytest.mark.parametrize("is_ec", [False, True])
@pytest.mark.parametrize("are_kept", [False, True])
@pytest.mark.parametrize(("status", "error"), [(409, exc.Conflict), (405, exc.MethodNotAllowed)])
def test_answer_tells_why_a_large_write_has_failed(status, error, are_kept, is_ec):
    with contextlib.ExitStack() as stack:
        scripts = [refuse(status)] * (EC.quorum if is_ec else 3)
        if are_kept:
            servers = stack.enter_context(kept_connections(*scripts))
        else:
            servers = [stack.enter_context(serving(script)) for script in scripts]
        writer = writer_to([server.address for server in servers], is_ec)
        with pytest.raises(error, match=f"HTTP {status}"):
            send(writer, HUGE)
        # None was asked again. The first refusal may be enough, before others have seen a connection.
        assert max(server.connections for server in servers) == 1
    assert to_remove(writer.outcomes) == []


def until_reset(connection: Any) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            connection.sock.fd.send(b"x")


@pytest.mark.parametrize(
    ("status", "error", "maybe_stored"), [(409, "HTTP 409", False), (201, "Broken pipe|reset", True)]
)
def test_chunk_whose_end_cannot_be_sent_is_not_stored(status, error, maybe_stored):
    """One that was there before is not ours to delete."""
    with serving(refuse(status)) as server:
        chunk = Chunk.of({"url": f"http://{server.address}/0A", "pos": "0", "size": 0, "hash": ""})
        sender = ChunkSender(chunk, {}, Options())
        until_reset(sender.connect())
        sender._finish(END_OF_BODY)
    assert re.search(error, str(sender.error))
    assert sender.outcome().error == sender.error
    assert sender.maybe_stored == maybe_stored


def test_server_that_tires_of_a_kept_connection_gets_a_new_one():
    with kept_connections(refuse(408), again=store) as (server,):
        connection = http_connect(server.address, "PUT", "/0A", {"Transfer-Encoding": "chunked"})
        until_reset(connection)
        connection.send(frame(b"data") + END_OF_BODY)
        assert connection.getresponse().status == 201
        assert connection.said_twice
        connection.close()


def send_for_ever(connection: Any) -> None:
    while True:
        connection.send(frame(bytes(1 << 18)))


def hang_up(peer: Peer) -> None:
    peer.read_head()


def speak_nonsense(peer: Peer) -> None:
    peer.read_head()
    peer.send(b"nonsense\r\n\r\n")


@pytest.mark.parametrize("script", [hang_up, speak_nonsense, refuse(201), refuse(408)])
def test_other_ends_in_the_middle_of_a_body_are_errors_of_the_network(script):
    with serving(script) as server:
        connection = http_connect(server.address, "PUT", "/0A", {"transfer-encoding": "chunked"})
        with pytest.raises(ConnectionError) as caught:
            send_for_ever(connection)
        assert not isinstance(caught.value, EarlyAnswer)
        connection.close()


def test_chunk_on_its_own_that_is_there_already_is_a_conflict_and_stays():
    heads = []

    def refuse_it(peer: Peer) -> None:
        heads.append(peer.read_head().partition(" ")[0])
        peer.answer(409)

    with serving(refuse_it) as server, BlobClient() as client, pytest.raises(exc.Conflict):
        client.chunk_put(f"http://{server.address}/{ID}", DESCRIPTION, io.BytesIO(bytes(16 << 20)))
    assert heads == ["PUT"]
