# SPDX-License-Identifier: Apache-2.0
"""Chunk servers that refuse a chunk before the end of its body, and hang up."""

from __future__ import annotations

import contextlib
import io
import re
import threading
from typing import Any

import pytest

from oio.api.io import http_connect
from oio.blob.client import BlobClient
from oio.blob.sender import END_OF_BODY, ChunkSender, frame
from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Chunk, to_remove
from oio.common.green import create_ssl_context
from oio.common.hedging import Hedging
from oio.common.http_eventlet import EarlyAnswer
from oio.common.options import Options
from tests.kit.chunkdata import DESCRIPTION, ID
from tests.kit.scripted import Peer, Script, serving
from tests.kit.tls import CERTIFICATE, speak_tls
from tests.unit.test_small_writes import kept_connections, store
from tests.unit.test_unreachable_writes import EC, HUGE, LONG, send, writer_to


def refuse(status: int) -> Script:
    def play(peer: Peer) -> None:
        if peer.read_head():
            peer.answer(status)

    return play


def over_tls(script: Script) -> Script:
    def play(peer: Peer) -> None:
        with speak_tls(peer):
            script(peer)

    return play


def sender_to(address: str, *, tls: bool, whole: bytes) -> ChunkSender:
    """A sender of a chunk whose body is sent along with the head of its request."""
    scheme = "https" if tls else "http"
    chunk = Chunk.of({"url": f"{scheme}://{address}/0A", "pos": "0", "size": 0, "hash": ""})
    options = Options(ssl_context=create_ssl_context(CERTIFICATE) if tls else None)
    sender = ChunkSender(chunk, {"Transfer-Encoding": "chunked"}, options)
    sender.whole = [frame(whole, END_OF_BODY)]
    return sender


@pytest.mark.parametrize("tls", [False, True])
def test_answer_is_heard_though_the_body_went_along_with_the_head(tls):
    script = refuse(409)
    with serving(over_tls(script) if tls else script) as server:
        sender = sender_to(server.address, tls=tls, whole=HUGE)
        sender.take_or_repeat()
    assert sender.error == "HTTP 409"
    assert (sender.maybe_stored, sender.is_unreached, server.connections) == (False, False, 1)


@pytest.mark.parametrize("tls", [False, True])
def test_connection_that_breaks_while_a_body_is_sent_is_no_failure_to_connect(tls, caplog):
    with serving(over_tls(hang_up) if tls else hang_up) as server:
        sender = sender_to(server.address, tls=tls, whole=HUGE)
        sender.take_or_repeat()
    assert isinstance(sender.error, ConnectionError)
    assert (sender.maybe_stored, sender.is_unreached) == (False, False)
    assert f"{sender.chunk.url}: write: " in caplog.text


def test_time_limit_that_strikes_while_a_body_is_sent_is_none_of_connecting(caplog):
    has_head, end = threading.Event(), threading.Event()

    def read_no_further(peer: Peer) -> None:
        peer.read_head()
        has_head.set()
        end.wait(LONG)

    hedging = Hedging()
    with serving(read_no_further) as server:
        sender = sender_to(server.address, tls=False, whole=HUGE)
        sender.options = sender.options.changed(hedging=hedging)
        with green.ContextPool(1) as pool:
            thread = pool.spawn(sender.take_or_repeat)
            while not has_head.is_set():
                green.sleep(0.001)
            thread.kill(green.ConnectionTimeout(0))
        end.set()
    assert (sender.maybe_stored, sender.is_unreached) == (False, False)
    assert f"{sender.chunk.url}: write: " in caplog.text
    assert not hedging.is_late(server.address)


@pytest.mark.parametrize("is_ec", [False, True])
@pytest.mark.parametrize("connections", ["new", "kept", "TLS"])
@pytest.mark.parametrize(("status", "error"), [(409, exc.Conflict), (405, exc.MethodNotAllowed)])
def test_answer_tells_why_a_large_write_has_failed(status, error, connections, is_ec):
    with contextlib.ExitStack() as stack:
        scripts = [refuse(status)] * (EC.quorum if is_ec else 3)
        options: dict[str, Any] = {}
        if connections == "kept":
            servers = stack.enter_context(kept_connections(*scripts))
        else:
            if connections == "TLS":
                scripts = list(map(over_tls, scripts))
                options = {"scheme": "https", "ssl_context": create_ssl_context(CERTIFICATE)}
            servers = [stack.enter_context(serving(script)) for script in scripts]
        writer = writer_to([server.address for server in servers], is_ec, **options)
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
