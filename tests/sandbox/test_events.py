# SPDX-License-Identifier: Apache-2.0
"""Services hear of what happens at others: at once, after a delay, or when a test says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oio.sandbox import Namespace
from oio.sandbox.metadata.directory import Target
from tests.kit.chunkdata import HEADERS, ID, OTHER_ID, OTHER_PATH, PATH
from tests.kit.rawsocket import RawSocket
from tests.sandbox.asking import ask_proxy, ask_rdir, indexed, store_object

CONTENT_ID = "20BF2194FD420500CD4729AE0B5CBC07"
CID = Target.named("acct", "ref").cid


def account(namespace: Namespace) -> dict[str, Any] | None:
    with RawSocket(namespace.account.address) as connection:
        answer = connection.ask("GET", "/v1.0/account/show?id=acct")
    return json.loads(answer.body) if answer.status == 200 else None


def put_chunk(namespace: Namespace) -> None:
    with RawSocket(namespace.rawx[0].address) as connection:
        assert connection.ask("PUT", PATH, HEADERS, b"data").status == 201


def test_the_directory_says_where_the_index_of_each_volume_is(namespace: Namespace) -> None:
    for service in [namespace.proxy, *namespace.rawx]:
        shown = ask_proxy(namespace, "GET", f"reference/show?acct=_RDIR&ref={service.address}&type=rdir")
        assert [srv["host"] for srv in shown["srv"]] == [namespace.rdir.address]


def test_the_rdir_knows_the_chunks_of_a_rawx_and_their_links(namespace: Namespace) -> None:
    put_chunk(namespace)
    first = indexed(namespace)
    assert [key.rpartition("|")[2] for key in first] == [ID]
    with RawSocket(namespace.rawx[0].address) as connection:
        owner = ("x-oio-chunk-meta-full-path", f"acct/ref/link/5/{CONTENT_ID}")
        copied = connection.ask("COPY", PATH, [("Destination", OTHER_PATH), owner])
        assert copied.status == 201
        assert f"{CID}|{CONTENT_ID}|{OTHER_ID}" in indexed(namespace)
        assert connection.ask("DELETE", PATH).status == 204
    assert indexed(namespace) == [f"{CID}|{CONTENT_ID}|{OTHER_ID}"]


def test_the_rdir_forgets_the_chunks_of_a_deleted_object(namespace: Namespace) -> None:
    store_object(namespace, "o")
    everywhere = range(len(namespace.rawx))
    assert len([key for number in everywhere for key in indexed(namespace, number)]) == 1
    ask_proxy(namespace, "POST", "content/delete?acct=acct&ref=ref&path=o")
    assert not [key for number in everywhere for key in indexed(namespace, number)]


def test_the_rdir_knows_the_containers(namespace: Namespace) -> None:
    ask_proxy(namespace, "POST", "container/create?acct=acct&ref=a%2Fb", {})
    ask_proxy(namespace, "POST", "container/create?acct=acct&ref=c", {})
    ask_proxy(namespace, "POST", "container/destroy?acct=acct&ref=c")
    found = ask_rdir(namespace, "POST", "meta2/fetch", namespace.proxy.address)
    (record,) = found["records"]
    assert record["container_url"] == f"{namespace.name}/acct/a%2Fb"
    assert record["container_id"] == Target.named("acct", "a/b").cid


def test_with_a_delay_nobody_knows_before_it_is_over_or_the_namespace_settles() -> None:
    with Namespace(rawx=1, event_delay=3600) as namespace:
        put_chunk(namespace)
        store_object(namespace, "o")
        assert (account(namespace), indexed(namespace)) == (None, [])
        namespace.settle()
        shown = account(namespace)
        assert shown is not None
        assert (shown["objects"], shown["bytes"]) == (1, 4)
        assert len(indexed(namespace)) == 2
        ask_proxy(namespace, "POST", "content/delete?acct=acct&ref=ref&path=o")
        assert namespace.rawx[0].chunks() == [ID]
        assert account(namespace) == shown
        namespace.settle()
        after = account(namespace)
        assert after is not None
        assert (after["objects"], after["bytes"]) == (0, 0)
        assert len(indexed(namespace)) == 1


def test_a_restart_loses_no_event(tmp_path: Path) -> None:
    with Namespace(tmp_path, rawx=1, event_delay=float("inf")) as namespace:
        put_chunk(namespace)
        store_object(namespace, "o")
    with Namespace(tmp_path, rawx=1, event_delay=float("inf")) as namespace:
        assert (account(namespace), indexed(namespace)) == (None, [])
        namespace.settle()
        shown = account(namespace)
        assert shown is not None
        assert shown["objects"] == 1
        assert len(indexed(namespace)) == 2


def test_what_a_client_tells_the_rdir_is_there_after_a_restart(tmp_path: Path) -> None:
    entry = {"container_id": "AB", "content_id": "CD", "chunk_id": "EF"}
    with Namespace(tmp_path, rawx=1) as namespace:
        put_chunk(namespace)
        volume, address = namespace.rawx[0].address, namespace.rdir.address
        ask_rdir(namespace, "POST", "push", volume, entry)
    with Namespace(tmp_path, rawx=1) as namespace:
        assert namespace.rdir.address == address
        assert len(indexed(namespace)) == 2
        ask_rdir(namespace, "DELETE", "delete", volume, entry)
        assert [key.rpartition("|")[2] for key in indexed(namespace)] == [ID]


def test_a_namespace_that_has_stopped_has_nothing_to_settle(tmp_path: Path) -> None:
    namespace = Namespace(tmp_path, rawx=1)
    namespace.settle()
    namespace.start()
    namespace.close()
    namespace.settle()
    assert not namespace.proxy.running
