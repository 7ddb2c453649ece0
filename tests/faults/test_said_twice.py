# SPDX-License-Identifier: Apache-2.0
"""Writes whose request is said twice on the way, and chunks that arrive after their deletion."""

from __future__ import annotations

import logging
import socket
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3

from oio.api._data.servers import delete_chunks
from oio.api.io import http_connect
from oio.blob.client import BlobClient
from oio.common import exceptions as exc
from oio.common.chunks import Chunk, Outcome, late
from oio.common.http_eventlet import POOL
from oio.common.http_urllib3 import SafePoolManager, get_pool_manager
from oio.common.limits import CLEANING_TIMEOUT, Limits
from oio.common.options import Options
from tests.kit.chunkdata import ID
from tests.kit.fakes import SYSMETA
from tests.kit.scripted import Peer, serving

META = {
    "chunk_pos": "0",
    "container_id": SYSMETA["container_id"],
    "content_chunkmethod": "plain/nb_copy=3",
    "content_id": SYSMETA["id"],
    "content_path": "obj",
    "content_policy": "THREECOPIES",
    "content_version": SYSMETA["version"],
    "full_path": SYSMETA["full_path"],
}


class Owner:
    """Keeps connections alive."""


def answer_get(peer: Peer) -> None:
    peer.read_head()
    peer.answer(200, b"hello")


@pytest.mark.pitfall("S1", "E29", "B9b")
def test_chunk_that_was_said_twice_never_ends_as_a_conflict():
    """The first half of the first request is still pending when the second one comes."""
    over = threading.Event()

    def keep_pending(peer: Peer) -> None:
        answer_get(peer)
        peer.read_head()
        over.wait()

    def refuse(peer: Peer) -> None:
        peer.read_head()
        peer.read_chunked()
        peer.answer(409)

    owner = Owner()
    release = POOL.hold(owner)
    with serving(keep_pending, refuse) as server:
        first = http_connect(server.address, "GET", "/0A")
        first.getresponse().read()
        sock = first.sock
        first.close()

        def blocks() -> Any:
            # Our end of the kept connection breaks in the middle of the body.
            sock.shutdown(socket.SHUT_WR)
            yield b"data"

        try:
            with BlobClient() as client, pytest.raises(exc.OioException) as caught:
                client.chunk_put(f"http://{server.address}/{ID}", META, blocks())
        finally:
            over.set()
    release()
    assert isinstance(caught.value, (exc.ServiceBusy, exc.OioNetworkException))
    assert not isinstance(caught.value, exc.Conflict)


def deleting(*statuses: int) -> tuple[list[str], Any]:
    """A rawx that answers so to one request after the other; and the requests."""
    heads: list[str] = []
    left = list(statuses)

    def script(peer: Peer) -> None:
        while head := peer.read_head():
            heads.append(head.partition(" HTTP")[0])
            peer.answer(left.pop(0))

    return heads, serving(script)


def delete_one(client: BlobClient, url: str) -> Any:
    return client.chunk_delete(url)


def delete_many(client: BlobClient, url: str) -> Any:
    (result,) = client.chunk_delete_many([{"url": url}])
    return result


def dying(heads: list[str], together: threading.Barrier) -> Any:
    """A connection of a rawx that answers once, along with others, and dies of the next request."""

    def script(peer: Peer) -> None:
        peer.read_head()
        together.wait()
        peer.answer(204)
        if head := peer.read_head():
            heads.append(head.partition(" HTTP")[0])

    return script


def answering(heads: list[str], status: int) -> Any:
    def script(peer: Peer) -> None:
        while head := peer.read_head():
            heads.append(head.partition(" HTTP")[0])
            peer.answer(status)

    return script


def blocking_pool() -> SafePoolManager:
    return SafePoolManager(maxsize=3, block=True, retries=urllib3.Retry(0, read=False))


@pytest.mark.parametrize("pool", [get_pool_manager, blocking_pool])
@pytest.mark.parametrize("delete", [delete_one, delete_many])
@pytest.mark.parametrize("kept", [1, 3])
def test_deletion_is_said_again_on_a_new_connection_when_the_kept_one_has_died(delete, kept, pool):
    heads: list[str] = []
    scripts = [dying(heads, threading.Barrier(kept))] * kept
    with (
        serving(*scripts, *[answering(heads, 204)] * 3) as server,
        pool() as manager,
        BlobClient(connection_pool=manager) as client,
    ):
        url = f"http://{server.address}/{ID}"
        client.chunk_delete_many([{"url": url}] * kept)
        assert delete(client, url).status == 204
        assert heads == [f"DELETE /{ID}"] * 2
        assert server.connections == kept + 1
        # No request waits for a connection that has died.
        results = client.chunk_delete_many([{"url": url}] * 3)
        assert [result.status for result in results] == [204] * 3


@pytest.mark.parametrize("first", [0, 1], ids=["new connection", "kept connection"])
def test_deletion_is_said_again_once_at_most(first):
    heads: list[str] = []

    def die(peer: Peer) -> None:
        heads.append(peer.read_head().partition(" HTTP")[0])

    scripts = [dying(heads, threading.Barrier(1))] * first
    with serving(*scripts, die) as server, BlobClient() as client:
        url = f"http://{server.address}/{ID}"
        for _ in range(first):
            client.chunk_delete(url)
        assert isinstance(delete_many(client, url), urllib3.exceptions.HTTPError)
        assert heads == [f"DELETE /{ID}"] * (1 + first)


@pytest.mark.pitfall("S6")
@pytest.mark.parametrize("is_late", [True, False])
@pytest.mark.parametrize("deadline", [None, -1.0])
def test_chunk_that_may_come_late_is_looked_for_once_more(is_late, deadline):
    limits = Limits(deadline=deadline if deadline is None else time.monotonic() + deadline)
    heads, rawx = deleting(404, 204)
    with rawx as server, BlobClient() as client:
        chunk = Chunk.of({"url": f"http://{server.address}/{ID}"})
        stores = SimpleNamespace(blob_client=client, logger=logging.getLogger(__name__))
        delete_chunks(stores, [chunk], "AB" * 32, Options(limits=limits), {chunk.url} if is_late else ())
    assert heads == [f"DELETE /{ID}"] * (2 if is_late else 1)


@pytest.mark.pitfall("S6")
@pytest.mark.parametrize("status", [403, 503])
@pytest.mark.parametrize("fails", [True, False], ids=["look at the owner", "deletion"])
def test_deletion_is_repeated_when_a_server_has_failed_before_it_or_at_it(status, fails):
    looks = 0

    def is_ours(_chunk: Chunk, _options: Options) -> bool:
        nonlocal looks
        looks += 1
        if fails and looks == 1:
            raise exc.from_status(status, "no")
        return True

    heads, rawx = deleting(*[204] if fails else [status, 204])
    with rawx as server, BlobClient() as client:
        chunk = Chunk.of({"url": f"http://{server.address}/{ID}"})
        stores = SimpleNamespace(blob_client=client, logger=logging.getLogger(__name__))
        delete_chunks(stores, [chunk], "AB" * 32, Options(), is_ours=is_ours)
    assert looks == (2 if status == 503 else 1)
    assert len(heads) == (not fails) + (status == 503)


@pytest.mark.pitfall("S6")
def test_second_deletion_has_a_limit_without_any():
    limits = []

    def is_ours(_chunk: Chunk, options: Options) -> bool:
        limits.append(options.limits.left())
        raise exc.ServiceBusy(503, None, "busy")

    stores = SimpleNamespace(blob_client=None, logger=logging.getLogger(__name__))
    delete_chunks(stores, [Chunk.of({"url": f"http://h/{ID}"})], "AB" * 32, Options(), is_ours=is_ours)
    assert limits[0] is None
    assert limits[1] <= CLEANING_TIMEOUT


@pytest.mark.pitfall("S6")
def test_chunks_without_an_answer_may_come_late():
    chunk = Chunk("http://h/AB", "http://h/AB")
    assert late([Outcome(chunk, "reset", maybe_stored=True)]) == {chunk.url}
    assert late([Outcome(chunk, "HTTP 500"), Outcome(chunk, maybe_stored=True)]) == set()
