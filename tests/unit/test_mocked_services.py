# SPDX-License-Identifier: Apache-2.0
"""Clients whose requests, or pools of connections, the tests of applications replace by mocks."""

from __future__ import annotations

import json
from types import SimpleNamespace
from unittest.mock import MagicMock, Mock, create_autospec, patch

import pytest
import urllib3

from oio.account.client import AccountClient
from oio.api.object_storage import ObjectStorageApi
from oio.blob.client import BlobClient
from oio.common import constants
from oio.common import exceptions as exc
from oio.common.http import HeadersDict
from oio.conscience.client import ConscienceClient
from oio.container.client import ContainerClient
from tests.kit.fakes import FakeConnection, FakeResponse, at_the_seam, stored

CONF = {"namespace": "NS"}
CHUNK = f"http://10.0.0.1:6010/{'0A' * 32}"
META = {"id": "ID", "version": "1", "policy": "SINGLE", "chunk_method": "plain", "chunk_size": 100}

# --- the pool of the client of chunk servers ----------------------------------------------------------

ANSWERS = {
    "namespace": lambda status: SimpleNamespace(status=status, headers={}, data=b""),
    "no more than a status": lambda status: SimpleNamespace(status=status),
    "mock": lambda status: Mock(status=status),
    "magic mock": lambda status: MagicMock(status=status),
    "mock of a response": lambda status: Mock(spec=urllib3.HTTPResponse, status=status, headers={}, data=b""),
    "response": lambda status: urllib3.HTTPResponse(b"", {}, status),
    "response without a body": lambda status: urllib3.HTTPResponse(status=status),
}


def replace_request(client, request):
    client.http_pool.request = request


def replace_pool(client, request):
    client.http_pool = Mock(spec=urllib3.PoolManager, request=request)


@pytest.mark.pitfall("E18")
@pytest.mark.parametrize("made", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("replace", [replace_request, replace_pool])
def test_requests_about_chunks_go_through_the_pool_that_was_replaced(made, replace):
    request = Mock()
    client = BlobClient(CONF)
    replace(client, request)
    request.return_value = made(204)
    assert client.chunk_delete(CHUNK).status == 204
    assert [resp.status for resp in client.chunk_delete_many([{"url": CHUNK}])] == [204]
    request.return_value = made(200)
    assert client.chunk_head(CHUNK, xattr=False) == {}
    request.return_value = made(201)
    assert client.chunk_link(CHUNK, None, "a/c/o/1/AB")[0].status == 201
    assert [call.args for call in request.call_args_list] == [
        (method, CHUNK) for method in ("DELETE", "DELETE", "HEAD", "COPY")
    ]
    request.return_value = made(404)
    with pytest.raises(exc.NotFound):
        client.chunk_delete(CHUNK)


@pytest.mark.pitfall("E18")
def test_description_of_a_chunk_comes_from_a_response_that_is_made_up():
    headers = {"x-oio-chunk-meta-chunk-size": "5", "x-oio-chunk-meta-content-path": "o"}
    with BlobClient(CONF) as client:
        client.http_pool.request = Mock(return_value=SimpleNamespace(status=200, headers=headers))
        assert client.chunk_head(CHUNK) == {"chunk_size": "5", "content_path": "o"}


@pytest.mark.pitfall("E18")
def test_failure_of_a_replaced_pool_is_that_of_its_chunk():
    with BlobClient(CONF) as client:
        failure = urllib3.exceptions.NewConnectionError(Mock(), "refused")
        client.http_pool.request = Mock(side_effect=failure)
        (result,) = client.chunk_delete_many([{"url": CHUNK}])
    assert isinstance(result, urllib3.exceptions.HTTPError)
    assert result.chunk == {"url": CHUNK}


@pytest.mark.pitfall("E18")
def test_pool_has_two_names():
    pool = Mock(spec=urllib3.PoolManager)
    client = BlobClient(CONF, connection_pool=pool)
    assert client.http_pool is client.pool_manager is pool


@pytest.mark.pitfall("E18")
@pytest.mark.parametrize("own", [None, Mock(spec=urllib3.PoolManager)], ids=["of the library", "given"])
def test_pool_is_back_once_its_mock_is_gone(own):
    client = BlobClient(CONF)
    if own is not None:
        client.http_pool = own
    before = client.http_pool
    with patch.object(client, "http_pool") as pool:
        pool.request.return_value = SimpleNamespace(status=204, headers={}, data=b"")
        assert client.chunk_delete(CHUNK).status == 204
        with patch.object(client, "http_pool") as inner:
            client.http_pool = Mock(spec=urllib3.PoolManager)
            assert client.pool_manager is not inner
        assert client.http_pool is client.pool_manager is pool
    assert client.http_pool is client.pool_manager is before


@pytest.mark.pitfall("E18")
@pytest.mark.parametrize("width", [1, 2, 3, 7])
def test_chunks_are_deleted_as_many_at_a_time_as_is_wished(width):
    from oio.common import green

    at_once, most = 0, 0

    def request(*_args, **_kwargs):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        green.eventlet_yield()
        at_once -= 1
        return SimpleNamespace(status=204, headers={}, data=b"")

    with BlobClient(CONF) as client:
        client.http_pool.request = request
        client.chunk_delete_many([{"url": CHUNK}] * 8, concurrency=width)
        assert most == width
        most = 0
        client.chunk_delete_many([{"url": CHUNK}] * 8)
        assert most == 3


@pytest.mark.pitfall("E18")
@pytest.mark.parametrize("width", [0, -1])
def test_deleting_no_chunk_at_a_time_is_refused(width):
    with (
        BlobClient(CONF) as client,
        pytest.raises(ValueError, match=f"concurrency must be at least 1: {width}"),
    ):
        client.chunk_delete_many([{"url": CHUNK}], concurrency=width)


@pytest.mark.pitfall("E18")
@pytest.mark.parametrize("conf", [CONF, None])
def test_conscience_of_the_chunk_client_may_be_replaced(conf):
    with BlobClient(conf, endpoint="127.0.0.1:1") as client:
        client.conscience_client = create_autospec(ConscienceClient, instance=True)
        client.conscience_client.resolve_url.return_value = CHUNK
        client.http_pool.request = Mock(return_value=SimpleNamespace(status=204, headers={}, data=b""))
        client.chunk_delete("http://rawx-1/0A")
        assert client.conscience_client.resolve_url.call_args.args == ("rawx", "http://rawx-1/0A")
        assert client.http_pool.request.call_args.args == ("DELETE", CHUNK)


@pytest.mark.pitfall("E18")
def test_conscience_of_the_chunk_client_shares_its_connections():
    with BlobClient(CONF, endpoint="127.0.0.1:1") as client:
        assert isinstance(client.conscience_client, ConscienceClient)
        assert client.conscience_client.pool_manager is client.http_pool
    with BlobClient() as client, pytest.raises(exc.ConfigurationException, match="conf is required"):
        _ = client.conscience_client


# --- chunks of an upload that fails -----------------------------------------------------------------


class Mocked(ObjectStorageApi):
    """An API of an application's tests, made of mocks."""

    def __init__(self, **defaults):
        self.namespace = "NS"
        self.logger = Mock()
        self.account = Mock(spec=AccountClient)
        self.container = Mock(spec=ContainerClient)
        self._blob_client = Mock(spec=BlobClient)
        self._global_kwargs = defaults


@pytest.mark.pitfall("E19")
@pytest.mark.parametrize("policy", ["plain/nb_copy=3", "ec/algo=isa_l_rs_vand,k=2,m=1"])
@pytest.mark.parametrize("refusal", [exc.Conflict(409), exc.Conflict("a text alone")], ids=repr)
def test_chunks_to_delete_are_described_as_those_of_the_commit(policy, refusal):
    api = Mocked()
    chunks = [
        {"url": f"http://r{n}:1/{n:064X}", "pos": f"0.{n}" if "ec" in policy else "0"} for n in range(3)
    ]
    meta = {**META, "chunk_method": policy, "properties": {}}
    api.container.content_prepare.return_value = meta, chunks
    api.container.content_create.side_effect = refusal
    api._blob_client.chunk_delete_many.return_value = []
    with at_the_seam(lambda *_args: FakeConnection(stored)), pytest.raises(exc.Conflict):
        api.object_create("a", "c", obj_name="o", data=b"data")
    committed = api.container.content_create.call_args.kwargs["data"]["chunks"]
    (deleted,) = api._blob_client.chunk_delete_many.call_args.args
    by_url = [sorted(these, key=lambda chunk: chunk["url"]) for these in (committed, deleted)]
    assert by_url[0] == by_url[1]
    assert len(deleted) == 3
    assert all("maybe_stored" not in chunk and "error" not in chunk for chunk in deleted)


@pytest.mark.pitfall("E19")
def test_chunks_of_an_upload_without_quorum_are_described_as_chunks():
    api = Mocked()
    chunks = [{"url": f"http://r{n}:1/{n:064X}", "pos": "0"} for n in range(3)]
    meta = {**META, "chunk_method": "plain/nb_copy=3", "properties": {}}
    api.container.content_prepare.return_value = meta, chunks
    api._blob_client.chunk_delete_many.return_value = []
    answers = iter([stored, FakeResponse(500), FakeResponse(500)])
    with at_the_seam(lambda *_args: FakeConnection(next(answers))), pytest.raises(exc.ServiceBusy):
        api.object_create("a", "c", obj_name="o", data=b"data")
    (deleted,) = api._blob_client.chunk_delete_many.call_args.args
    assert all(
        chunk.keys() <= {"url", "real_url", "pos", "size", "hash", "num", "score"} for chunk in deleted
    )


# --- requests to the services -----------------------------------------------------------------------


@pytest.fixture
def api():
    with ObjectStorageApi("NS", endpoint="127.0.0.1:1") as made:
        made.account._get_account_addr = Mock(return_value="127.0.0.1:2")
        for client in (made.container, made.account, made.directory):
            client._direct_request = Mock()
        yield made


EMPTY = {
    "container_show": (lambda api: api.container_show("a", "c"), {}),
    "container_get_properties": (lambda api: api.container_get_properties("a", "c"), {}),
    "account_show": (lambda api: api.account_show("a"), {}),
    "account_get_properties": (lambda api: api.account_get_properties("a"), {"properties": {}}),
    "directory.list": (lambda api: api.directory.list("a", "c"), {}),
    "directory.get_properties": (lambda api: api.directory.get_properties("a", "c"), {}),
    "object_get_properties": (lambda api: api.object_get_properties("a", "c", "o"), {"properties": {}}),
}
RESPONSES = {
    "namespace": lambda: SimpleNamespace(status=200, headers={}),
    "mock": lambda: Mock(status=200, headers={}),
    "mock of a response": lambda: Mock(spec=["status", "headers"], status=200, headers={}),
    "magic mock": lambda: MagicMock(status=200),
}


@pytest.mark.pitfall("E21")
@pytest.mark.parametrize("body", [{}, None])
@pytest.mark.parametrize("made", RESPONSES.values(), ids=RESPONSES)
@pytest.mark.parametrize(("call", "expected"), EMPTY.values(), ids=EMPTY)
def test_empty_answer_that_is_made_up_is_handed_through(api, call, expected, made, body):
    for client in (api.container, api.account, api.directory):
        client._direct_request.return_value = made(), body
    assert call(api) == expected


@pytest.mark.pitfall("E21")
@pytest.mark.parametrize("body", [{}, None, b""])
def test_empty_answer_about_an_object_that_is_real_is_refused(api, body):
    api.container._direct_request.return_value = urllib3.HTTPResponse(b"", {}, 200), body
    with pytest.raises(exc.OioProtocolError):
        api.object_get_properties("a", "c", "o")


CHANGES = {
    "container_create": lambda api: api.container_create("a", "c"),
    "container_delete": lambda api: api.container_delete("a", "c"),
    "container_set_properties": lambda api: api.container_set_properties("a", "c", {"k": "v"}),
    "container_del_properties": lambda api: api.container_del_properties("a", "c", ["k"]),
    "container_touch": lambda api: api.container_touch("a", "c"),
    "account_create": lambda api: api.account_create("a"),
    "account_delete": lambda api: api.account_delete("a"),
    "account_flush": lambda api: api.account_flush("a"),
    "account_set_properties": lambda api: api.account_set_properties("a", {"k": "v"}),
    "account_del_properties": lambda api: api.account_del_properties("a", ["k"]),
    "object_delete": lambda api: api.object_delete("a", "c", "o"),
    "object_touch": lambda api: api.object_touch("a", "c", "o"),
    "object_drain": lambda api: api.object_drain("a", "c", "o"),
    "object_set_properties": lambda api: api.object_set_properties("a", "c", "o", {"k": "v"}),
    "object_del_properties": lambda api: api.object_del_properties("a", "c", "o", ["k"]),
    "directory.create": lambda api: api.directory.create("a", "c"),
    "directory.unlink": lambda api: api.directory.unlink("a", "c", "rdir"),
    "directory.delete": lambda api: api.directory.delete("a", "c"),
}


@pytest.mark.pitfall("E21")
@pytest.mark.parametrize("body", [{}, None])
@pytest.mark.parametrize("call", CHANGES.values(), ids=CHANGES)
def test_change_needs_nothing_of_an_answer_but_its_status(api, call, body):
    for client in (api.container, api.account, api.directory):
        client._direct_request.return_value = Mock(spec=["status", "headers"], status=204, headers={}), body
    call(api)


ROUTES = {
    "container": ("container_create", ("POST", "/create")),
    "account": ("account_create", ("PUT", "/create")),
}


@pytest.mark.parametrize("body", [{}, None])
@pytest.mark.parametrize(("client", "call", "route"), [(k, *v) for k, v in ROUTES.items()], ids=ROUTES)
def test_requests_to_routes_go_through_the_method_that_joins_them(api, client, call, route, body):
    ask = getattr(api, client)._request = Mock(return_value=(Mock(status=201, headers={}), body))
    assert getattr(api, call)("a", *(["c"] if client == "container" else [])) is True
    assert ask.call_args.args == route
    getattr(api, client)._direct_request.assert_not_called()


@pytest.mark.pitfall("E2")
@pytest.mark.parametrize("cache", [None, {}])
def test_many_objects_are_deleted_by_the_published_method(cache):
    api = Mocked(cache=cache)
    api.container.content_delete_many.side_effect = lambda _a, _c, names, **_options: [
        (name, name != "p") for name in names
    ]
    assert api.object_delete_many("a", "c", ["o", "p"]) == [("o", True), ("p", False)]
    assert api.container.content_delete_many.call_args.args == ("a", "c", ["o", "p"])


@pytest.mark.pitfall("E20")
def test_properties_may_be_given_as_the_whole_body(api):
    ask = api.container._direct_request
    ask.return_value = Mock(status=204), None
    for given, body in {
        (("k", "v"),): {"properties": {"k": "v"}},
        (): {"properties": {}},
        (("properties", "v"),): {"properties": {"properties": "v"}},
    }.items():
        api.container.content_set_properties("a", "c", "o", properties=dict(given))
        assert json.loads(ask.call_args.kwargs["data"]) == body
        api.container.content_set_properties("a", "c", "o", properties=body)
        assert json.loads(ask.call_args.kwargs["data"]) == body
    both = {"properties": {"k": "v"}, "other": "w"}
    api.container.content_set_properties("a", "c", "o", properties=both)
    assert json.loads(ask.call_args.kwargs["data"]) == {"properties": both}


@pytest.mark.pitfall("E20")
def test_property_named_properties_is_one_for_the_api(api):
    ask = api.container._direct_request
    ask.return_value = Mock(status=204), None
    api.object_set_properties("a", "c", "o", {"properties": "v"})
    assert json.loads(ask.call_args.kwargs["data"]) == {"properties": {"properties": "v"}}
    with pytest.raises(TypeError, match="properties"):
        api.object_set_properties("a", "c", "o", {"properties": {"k": "v"}})


# --- policies, headers, options ---------------------------------------------------------------------


@pytest.mark.pitfall("E14")
@pytest.mark.parametrize("policy", ["", None])
@pytest.mark.parametrize("append", [False, True])
def test_empty_policy_is_the_default_one(policy, append):
    api = Mocked()
    api.container.content_get_properties.side_effect = exc.NotFound(404)
    chunks = [{"url": "http://r1:1/0A", "pos": "0"}]
    api.container.content_prepare.return_value = {**META, "properties": {}}, chunks
    with at_the_seam(lambda *_args: FakeConnection(stored)):
        api.object_create("a", "c", obj_name="o", data=b"data", policy=policy, append=append)
    assert api.container.content_prepare.call_args.kwargs["stgpol"] is None
    assert api.container.content_create.call_args.kwargs["stgpol"] == "SINGLE"


@pytest.mark.pitfall("E24")
def test_header_that_is_not_there_is_popped_as_none():
    headers = HeadersDict({"x-a": "1"})
    assert headers.pop("X-B") is None
    assert headers.pop("X-B", 5) == 5
    assert headers.pop("X-B", default=6) == 6
    assert headers.pop("X-A") == "1"
    assert headers == {}


@pytest.mark.pitfall("E26")
@pytest.mark.parametrize(("given", "seconds"), [({}, 3600.0), ({"refresh_delay": None}, 3600.0)])
def test_account_service_is_looked_for_once_an_hour(given, seconds):
    with ObjectStorageApi("NS", endpoint="127.0.0.1:1", **given) as api:
        assert api.account._refresh_delay == seconds


@pytest.mark.pitfall("E26")
@pytest.mark.parametrize("delay", [0, 5, 2.5, "60"])
def test_delay_of_the_account_client_is_an_option_of_the_api(delay):
    with ObjectStorageApi("NS", endpoint="127.0.0.1:1", refresh_delay=delay) as api:
        assert api.account._refresh_delay == float(delay)
        assert "refresh_delay" not in api._global_kwargs


@pytest.mark.pitfall("E26")
@pytest.mark.parametrize("delay", [-1, "soon", float("nan")])
def test_delay_that_is_none_is_refused(delay):
    with pytest.raises(ValueError, match="refresh_delay must be a"):
        ObjectStorageApi("NS", endpoint="127.0.0.1:1", refresh_delay=delay)


@pytest.mark.pitfall("E26")
def test_counters_of_damage_have_two_names():
    assert constants.M2_PROP_DAMAGED_OBJECTS == "sys.m2.objects.damaged" == constants.M2_PROP_OBJECTS_DAMAGED
    assert constants.M2_PROP_MISSING_CHUNKS == "sys.m2.chunks.missing" == constants.M2_PROP_CHUNKS_MISSING
