# SPDX-License-Identifier: Apache-2.0
"""API objects as gateways' tests make them: their constructor sets little, and their clients are mocks."""

from __future__ import annotations

import contextlib
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest

from oio.account.client import AccountClient
from oio.api.object_storage import ObjectStorageApi
from oio.blob.client import BlobClient
from oio.common import exceptions as exc
from oio.common.configuration import NS_CONF_CACHE, NamespaceConfiguration
from oio.common.utils import cid_from_name
from oio.container.client import ContainerClient
from oio.sandbox import Namespace
from tests.kit.every_call import CONTAINER_CALLS, OBJECT_CALLS, drawn, make
from tests.kit.facade import ACCOUNT, CONTAINER, create, read

CID = cid_from_name(ACCOUNT, CONTAINER)
TARGET = (ACCOUNT, CONTAINER, "o")


class Fake(ObjectStorageApi):
    """What a gateway's tests have in the place of the API."""

    def __init__(self, namespace: str, real: ObjectStorageApi | None = None) -> None:
        self.namespace = namespace
        self.account = Mock(spec=AccountClient, wraps=real and real.account)
        self.container = Mock(spec=ContainerClient, wraps=real and real.container)
        self._blob_client = Mock(spec=BlobClient, wraps=real and real.blob_client)
        self._global_kwargs = {}
        self.logger = logging.getLogger("gateway")


@pytest.fixture
def fake(namespace: Namespace, api: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An API whose mocks hand on what they are asked; the rest comes from the configuration of the host."""
    known = NamespaceConfiguration("OPENIO", {"proxy": namespace.proxy.address})
    monkeypatch.setitem(NS_CONF_CACHE, "OPENIO", known)
    with Fake("OPENIO", api) as made:
        yield made


def _request_transition(api: Any) -> None:
    # Services of 7.3.0 know no announcements.
    with contextlib.suppress(exc.MethodNotAllowed):
        api.object_request_transition(*TARGET, "SINGLE")


ACCOUNT_CALLS: dict[str, Callable[[Any], Any]] = {
    "account_create": lambda api: api.account_create("new"),
    "account_del_properties": lambda api: api.account_del_properties(ACCOUNT, ["k"]),
    "account_delete": lambda api: api.account_create("new") and api.account_delete("new"),
    "account_flush": lambda api: api.account_flush(ACCOUNT),
    "account_get_properties": lambda api: api.account_get_properties(ACCOUNT),
    "account_list": lambda api: api.account_list(),
    "account_refresh": lambda api: api.account_refresh(ACCOUNT),
    "account_set_properties": lambda api: api.account_set_properties(ACCOUNT, {"k": "v"}),
    "account_show": lambda api: api.account_show(ACCOUNT),
    "account_update": lambda api: api.account_update(ACCOUNT, {"k": "v"}),
    "all_accounts_refresh": lambda api: api.all_accounts_refresh(),
    "container_create": lambda api: api.container_create(ACCOUNT, "new"),
    "container_create_many": lambda api: api.container_create_many(ACCOUNT, ["x", "y"]),
    "container_list": lambda api: api.container_list(ACCOUNT),
    "container_list_all": lambda api: list(api.container_list_all(ACCOUNT)),
    "object_fastcopy": lambda api: api.object_fastcopy(*TARGET, ACCOUNT, CONTAINER, "link"),
    "object_link": lambda api: api.object_link(*TARGET, ACCOUNT, CONTAINER, "link"),
    "object_request_transition": _request_transition,
    "resolve_cid": lambda api: api.resolve_cid(CID),
}
"""Calls that are neither about a container nor about an object, with all their arguments."""
HELPERS = {"close"}
"""Methods that ask nothing of the services."""


def test_tables_have_every_call() -> None:
    tables = [*ACCOUNT_CALLS, *CONTAINER_CALLS, *OBJECT_CALLS]
    public = {n for n, _ in inspect.getmembers(ObjectStorageApi, inspect.isfunction) if not n.startswith("_")}
    assert {name.partition(",")[0] for name in tables} | HELPERS == public


def fill(api: Any) -> str:
    api.container_create(ACCOUNT, CONTAINER, {"k": "v"})
    create(api, "p", b"other")
    return str(create(api, "o", b"hello", properties={"k": "v"})["id"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.pitfall("E2")
@pytest.mark.parametrize("call", ACCOUNT_CALLS)
def test_fake_takes_calls_about_accounts(fake: Any, namespace: Namespace, call: str) -> None:
    fill(fake)
    namespace.settle()
    ACCOUNT_CALLS[call](fake)


@pytest.mark.pitfall("E2")
@pytest.mark.parametrize("by", ["ID", "names"])
@pytest.mark.parametrize("call", CONTAINER_CALLS)
def test_fake_takes_calls_about_containers(fake: Any, namespace: Namespace, call: str, by: str) -> None:
    fill(fake)
    namespace.settle()
    if by == "ID":
        make(call, CONTAINER_CALLS, fake, None, None, cid=CID)
    else:
        make(call, CONTAINER_CALLS, fake, ACCOUNT, CONTAINER, cache={})


@pytest.mark.pitfall("E2")
@pytest.mark.parametrize("by", ["IDs", "names"])
@pytest.mark.parametrize("call", OBJECT_CALLS)
def test_fake_takes_calls_about_objects(fake: Any, call: str, by: str) -> None:
    content_id = fill(fake)
    if by == "IDs":
        make(call, OBJECT_CALLS, fake, None, None, None, cid=CID, content_id=content_id)
        return
    cache: dict[str, Any] = {}
    for _ in range(2):
        drawn(fake.object_fetch)(*TARGET, cache=cache)
    make(call, OBJECT_CALLS, fake, *TARGET, cache=cache)


@pytest.mark.pitfall("E2")
def test_fake_reads_what_it_has_stored(fake: Any) -> None:
    fill(fake)
    assert read(fake, "o") == b"hello"
    fake.close()
    assert read(fake, "o") == b"hello"


@pytest.mark.pitfall("E2")
def test_fake_of_a_namespace_that_this_host_does_not_know_needs_it_for_nothing() -> None:
    """Scores of chunk servers are not worth an exception, and nothing is left to close."""
    chunks = [{"url": "http://rawx:6010/0A", "pos": "0", "size": 3, "hash": "AB", "score": 7}]
    meta = {"id": "ID", "version": "1", "length": "3", "chunk_method": "plain", "properties": {}}
    cache: dict[str, Any] = {}
    with Fake("NOWHERE") as api:
        api.container.content_locate.return_value = meta, chunks
        for _ in range(2):
            assert api.object_locate("a", "c", "o", cache=cache)[0] == meta
        assert api.container.content_locate.call_count == 1
        cache["meta/" + cid_from_name("a", "c") + "/o"]["chunks"][0]["url"] = "http://other:6010/0A"
        assert [chunk["score"] for chunk in api.object_locate("a", "c", "o", cache=cache)[1]] == [0]


@pytest.mark.pitfall("E2")
@pytest.mark.parametrize("cache", [None, {}])
def test_fake_clients_are_asked_in_the_same_way_with_a_cache(cache: dict[str, Any] | None) -> None:
    with Fake("NOWHERE") as api:
        meta = {"id": "ID", "version": "1", "length": "0", "chunk_method": "plain", "properties": {}}
        api.container.content_locate.return_value = meta, []
        api.object_locate("a", "c", "o", cache=cache)
        located = api.container.content_locate.call_args.kwargs
        assert located.keys() == {"content", "options", "properties", "version"}
        api.container.content_get_properties.return_value = meta
        api.object_get_properties("a", "c", "other", cache=cache)
        described = api.container.content_get_properties.call_args.kwargs
        assert described.keys() == {"content", "options", "version"}


@pytest.mark.pitfall("E5d")
def test_properties_of_containers_are_given_where_gateways_look_for_them() -> None:
    properties, system = {"k": "v"}, {"sys.m2.quota": "5"}
    with Fake("NS") as api:
        api.container_create("a", "c", properties, system)
        args, kwargs = api.container.container_create.call_args
        assert (args, kwargs["properties"], kwargs["system"]) == (("a", "c"), properties, system)
        api.container_set_properties("a", "c", properties=properties, system=system)
        args, kwargs = api.container.container_set_properties.call_args
        assert (args[:3], kwargs["system"]) == (("a", "c", properties), system)


@pytest.mark.pitfall("E21", "E9")
@pytest.mark.parametrize("cache", [None, {}])
@pytest.mark.parametrize("nothing", [None, {}])
def test_empty_description_is_handed_through_whatever_is_cached(cache: Any, nothing: Any) -> None:
    with Fake("OPENIO") as fake:
        fake.container.content_get_properties.return_value = nothing
        fake.container.container_get_properties.return_value = nothing
        for _ in range(2):
            assert fake.object_get_properties(*TARGET, cache=cache) == nothing
            assert fake.container_get_properties(ACCOUNT, CONTAINER, cache=cache) == nothing
    assert not cache
