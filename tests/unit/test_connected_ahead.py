# SPDX-License-Identifier: Apache-2.0
"""Connections to the servers of the next metachunk, which are made while one is sent."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock

import pytest

from oio import ObjectStorageApi
from oio.api.io import http_connect
from oio.common import exceptions as exc
from oio.common import green
from oio.common.events import CHUNK_FAILED, Event
from oio.common.http_eventlet import POOL
from tests.kit.fakes import network, stored
from tests.kit.objects import eventually
from tests.kit.scripted import Peer, ScriptedServer, full_backlog, serving
from tests.kit.tls import CERTIFICATE, speak_tls

SIZE = 100_000
"""Bytes of a metachunk. Smaller ones would be sent whole."""
DATA = bytes(range(250)) * 1200
"""Three of them."""


class Rawx:
    """Chunk server that stores what it gets, once something has happened.

    :param after: what has to happen before an answer
    :param status: of the answers
    :param leaves: hang up on so many connections, as soon as they are there
    :param tls: speak TLS
    :param never: do not answer
    """

    def __init__(
        self,
        after: Sequence[threading.Event] = (),
        status: int = 201,
        leaves: int = 0,
        tls: bool = False,
        never: bool = False,
    ) -> None:
        self.after, self.status, self.leaves, self.tls, self.never = after, status, leaves, tls, never
        #: One has connected; and it was hung up on.
        self.connected, self.hung_up = threading.Event(), threading.Event()
        self.heads = 0

    def __call__(self, peer: Peer) -> None:
        if self.tls:
            speak_tls(peer)
        self.connected.set()
        with peer.sock:
            if self.leaves:
                self.leaves -= 1
            else:
                self._serve(peer)
        self.hung_up.set()

    def _serve(self, peer: Peer) -> None:
        while head := peer.read_head():
            if head.startswith("DELETE"):
                peer.answer(204)
                continue
            self.heads += 1
            body = peer.read_chunked()
            for event in self.after:
                assert event.wait(20), "it has not happened"
            if self.never:
                peer.wait_until_gone()
                return
            digest = hashlib.md5(body).hexdigest()
            peer.answer(self.status, x_oio_chunk_meta_chunk_hash=digest)


class Cluster:
    """Client of chunk servers, whose metadata are made up.

    :param metachunks: addresses of the servers of each metachunk
    """

    def __init__(self, *metachunks: Sequence[str], scheme: str = "http", **options: Any) -> None:
        self._metachunks, self._scheme = metachunks, scheme
        self.failed: list[Event] = []
        self.api = api = ObjectStorageApi("NS", endpoint="http://127.0.0.1:1", on_event=self._note, **options)
        api.container.content_prepare = Mock(side_effect=self._prepare)
        api.container.content_create = Mock(return_value=(None, None))
        api.container.content_get_properties = Mock(side_effect=exc.NotFound(404))
        api.container.content_locate = Mock(side_effect=exc.NotFound(404))
        self.prepared = threading.Event()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.api.close()

    def _note(self, event: Event) -> None:
        if event.kind == CHUNK_FAILED:
            self.failed.append(event)

    def _prepare(self, *_args: Any, position: int, **_kwargs: Any) -> Any:
        if position:
            self.prepared.set()
        addresses = self._metachunks[position]
        meta = {
            "id": "20BF2194FD420500CD4729AE0B5CBC07",
            "version": "1",
            "policy": "COPIES",
            "chunk_method": f"plain/nb_copy={len(addresses)}",
            "chunk_size": SIZE,
            "name": "o",
        }
        chunks = [
            {"url": f"{self._scheme}://{address}/{position:02X}{number:062X}", "pos": "0"}
            for number, address in enumerate(addresses)
        ]
        return meta, chunks

    def put(self, size: int = len(DATA), **kwargs: Any) -> int:
        """Store an object; gives the number of its chunks."""
        return len(self.api.object_create_ext("acct", "box", obj_name="o", data=DATA[:size], **kwargs)[0])


def connections(*servers: ScriptedServer) -> list[int]:
    return [server.connections for server in servers]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_servers_of_the_next_metachunk_are_connected_to_while_this_one_is_sent(scheme):
    tls = scheme == "https"
    last = Rawx(tls=tls)
    second = Rawx([last.connected], tls=tls)
    first = Rawx([second.connected], tls=tls)
    with serving(first) as one, serving(second) as two, serving(last) as three:
        addresses = [[server.address] for server in (one, two, three)]
        options = {"ca_certs": CERTIFICATE} if tls else {}
        with Cluster(*addresses, scheme=scheme, **options) as made:
            assert made.put() == 3
            # These connections were used.
            assert connections(one, two, three) == [1, 1, 1]
            assert [first.heads, second.heads, last.heads] == [1, 1, 1]
    assert not made.failed


def test_connections_that_there_are_already_will_do():
    """That of a server which is being written to, and that which is kept from before."""
    always, other, kept = Rawx(), Rawx(), Rawx()
    with (
        serving(always) as one,
        serving(other) as two,
        serving(kept) as three,
        Cluster([one.address, two.address], [one.address, three.address]) as made,
    ):
        made.put(1)
        warm = http_connect(three.address, "PUT", "/0A", {"transfer-encoding": "chunked"})
        warm.send(b"0\r\n\r\n")
        assert warm.getresponse().status == 201
        warm.close()
        # Nothing more is prepared than what is needed.
        always.after = other.after = [made.prepared]
        assert made.put(2 * SIZE) == 4
        assert connections(one, two, three) == [1, 1, 1]


def test_server_of_several_chunks_gets_the_connections_that_are_missing():
    once, often = Rawx(), Rawx()
    with (
        serving(once) as one,
        serving(often) as two,
        Cluster([one.address, two.address], [two.address] * 3) as made,
    ):
        assert made.put(2 * SIZE) == 5
        assert connections(one, two) == [1, 3]


def test_small_object_has_no_next_metachunk():
    with serving(Rawx()) as one, serving(Rawx()) as two, Cluster([one.address], [two.address]) as made:
        assert made.put(SIZE) == 1
        assert not made.prepared.is_set()
        assert connections(one, two) == [1, 0]


def test_connection_that_has_died_meanwhile_is_replaced_and_nothing_failed():
    second = Rawx(leaves=1)
    first = Rawx([second.hung_up])
    with serving(first) as one, serving(second) as two, Cluster([one.address], [two.address]) as made:
        assert made.put(2 * SIZE) == 2
        assert connections(one, two) == [1, 2]
    assert not made.failed


def test_server_that_cannot_be_connected_to_ahead_fails_when_it_is_needed():
    with (
        serving(Rawx()) as one,
        serving(Rawx()) as two,
        full_backlog() as nowhere,
        Cluster([one.address] * 3, [one.address, two.address, nowhere], connection_timeout=0.05) as made,
    ):
        assert made.put(2 * SIZE) == 5
    # Once, as if nobody had tried before.
    assert [event.address for event in made.failed] == [nowhere]


def test_server_that_cannot_be_connected_to_ahead_is_remembered():
    """Before it is needed: the first metachunk ends after that."""
    first = Rawx()
    with (
        serving(first) as one,
        serving(Rawx()) as two,
        full_backlog() as nowhere,
        Cluster([one.address] * 3, [one.address, two.address, nowhere], connection_timeout=0.5) as made,
    ):
        is_late = threading.Event()
        first.after = [is_late]
        hedging = made.api._hedging
        watcher = threading.Thread(
            target=lambda: (eventually(lambda: hedging.is_late(nowhere)), is_late.set()), daemon=True
        )
        watcher.start()
        made.put(2 * SIZE)
        watcher.join()
        assert is_late.is_set()


def test_nothing_is_left_of_connections_that_are_not_there_yet():
    """Whatever ends the upload."""
    with (
        serving(Rawx(status=500)) as one,
        full_backlog() as nowhere,
        Cluster([one.address], [nowhere]) as made,
    ):
        with pytest.raises(exc.OioException, match="HTTP 500"):
            made.put()
        assert made.prepared.is_set()
    with serving(Rawx()) as two, full_backlog() as nowhere, Cluster([two.address], [nowhere]) as made:

        class Source:
            left = 2

            def read(self, size: int) -> bytes:
                self.left -= 1
                if not self.left:
                    raise KeyError("of the host")
                return bytes(min(size, SIZE // 2))

            def seek(self, *_args: int) -> int:
                return 0

        with pytest.raises(KeyError, match="of the host"):
            made.api.object_create_ext("acct", "box", obj_name="o", file_or_path=Source())


def test_connections_that_were_made_in_vain_are_closed_with_the_client():
    second = Rawx()
    with (
        serving(Rawx([second.connected], status=500)) as one,
        serving(second) as two,
        Cluster([one.address], [two.address]) as made,
    ):
        with pytest.raises(exc.OioException, match="HTTP 500"):
            made.put()
        made.api.close()
        assert second.hung_up.wait(20)
        assert second.heads == 0
        assert not POOL.kept_for([("http", two.address, None)])[0]


def test_applications_that_make_connections_see_none_that_they_would_not_expect():
    with serving(Rawx()) as server, Cluster(["a"], [server.address]) as made:
        with network(**{"a": stored, server.address: stored}) as fake:
            assert made.put(2 * SIZE) == 2
        assert [call[:2] for call in fake.calls] == [("a", "PUT"), (server.address, "PUT")]
        assert server.connections == 0


def test_deadline_ends_connections_that_are_not_there_yet():
    with (
        serving(Rawx(never=True)) as one,
        full_backlog() as nowhere,
        Cluster([one.address], [nowhere]) as made,
        pytest.raises(exc.DeadlineReached),
    ):
        made.put(deadline=green.time.monotonic() + 0.1)
