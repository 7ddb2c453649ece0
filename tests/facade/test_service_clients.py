# SPDX-License-Identifier: Apache-2.0
"""The clients below the API: what they send, and what they make of the answers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from oio.account.client import AccountClient
from oio.blob.client import BlobClient, extract_headers_meta
from oio.common import exceptions as exc
from oio.common.constants import CHUNK_HEADERS
from oio.common.http_urllib3 import urllib3
from oio.conscience.client import ConscienceClient, LbClient
from oio.container.client import ContainerClient, extract_chunk_qualities
from oio.directory.client import DirectoryClient
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, create
from tests.kit.releases import RELEASES

ON_RELEASES = RELEASES

CONF = {"namespace": "OPENIO"}
CID = "A" * 64


def answer(status: int = 200, body: Any = None, **headers: str) -> tuple[Any, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(status=status, headers=named), {} if body is None else body


# --- what embedding applications put in place of requests --------------------------------------------


@pytest.fixture
def seen(offline_api: Any) -> Mock:
    """What replaces the requests of the API's container client, as applications' tests do."""
    offline_api.container._direct_request = Mock()
    return offline_api.container._direct_request  # type: ignore[no-any-return]


URI = "http://127.0.0.1:1/v3.0/OPENIO"
OPTIONS = {"autocreate": True, "headers": {"x-oio-req-id": "R"}, "reqid": "R"}


def test_container_requests_have_the_arguments_that_applications_know(offline_api: Any, seen: Mock) -> None:
    seen.return_value = answer(201)
    assert offline_api.container_create("a", "c", {"k": "v"}, reqid="R") is True
    params = {"acct": "a", "ref": "c"}
    data = json.dumps({"properties": {"k": "v"}, "system": {}})
    seen.assert_called_once_with("POST", f"{URI}/container/create", params=params, data=data, **OPTIONS)


def test_listing_requests_have_the_arguments_that_applications_know(offline_api: Any, seen: Mock) -> None:
    seen.return_value = answer(body={"objects": []})
    offline_api.object_list("a", "c", limit=5, prefix="p", reqid="R")
    params = {
        "acct": "a",
        "ref": "c",
        "prefix": "p",
        "delimiter": None,
        "marker": None,
        "end_marker": None,
        "max": 5,
        "properties": False,
    }
    seen.assert_called_once_with("GET", f"{URI}/container/list", params=params, path=None, **OPTIONS)


@pytest.mark.pitfall(119, 146)
def test_limit_of_a_listing_may_be_text(offline_api: Any, seen: Mock) -> None:
    seen.return_value = answer(body={"objects": []})
    offline_api.object_list("a", "c", limit="5")
    assert int(seen.call_args.kwargs["params"]["max"]) == 5


def test_object_requests_have_the_arguments_that_applications_know(offline_api: Any, seen: Mock) -> None:
    seen.return_value = answer(204)
    assert offline_api.object_delete("a", "c", "o", reqid="R") is True
    params = {"acct": "a", "ref": "c", "path": "o"}
    seen.assert_called_once_with("POST", f"{URI}/content/delete", params=params, **OPTIONS)
    offline_api.object_touch(None, None, "o", version=7, cid="ab" * 32, reqid="R")
    params = {"cid": "AB" * 32, "path": "o", "version": 7}
    seen.assert_called_with("POST", f"{URI}/content/touch", params=params, **OPTIONS)


@pytest.mark.pitfall("E21")
def test_question_about_properties_has_no_body_and_says_so(offline_api: Any, seen: Mock) -> None:
    seen.return_value = answer(body={"properties": {}})
    offline_api.object_get_properties("a", "c", "o", reqid="R")
    params = {"acct": "a", "ref": "c", "path": "o"}
    seen.assert_called_once_with("POST", f"{URI}/content/get_properties", params=params, data=None, **OPTIONS)


NO_VERSION: dict[str, Any] = {
    "drain": lambda api: api.object_drain("a", "c", "o"),
    "touch": lambda api: api.object_touch("a", "c", "o"),
    "set": lambda api: api.object_set_properties("a", "c", "o", {"k": "v"}),
    "del": lambda api: api.object_del_properties("a", "c", "o", ["k"]),
    "locate": lambda api: api.container.content_locate("a", "c", "o", properties=False),
    "shard": lambda api: api.container.content_shard("a", "c", "o"),
    "truncate": lambda api: api.container.content_truncate("a", "c", "o", size=0),
    "purge": lambda api: api.container.content_purge("a", "c", "o"),
    "spare": lambda api: api.container.content_spare("a", "c", "o", stgpol="P", position=0),
    "create": lambda api: api.container.content_create("a", "c", "o", 0, "", {}),
}


@pytest.mark.pitfall("E21")
@pytest.mark.parametrize("call", NO_VERSION.values(), ids=NO_VERSION)
def test_version_is_no_parameter_when_none_is_given(offline_api: Any, seen: Mock, call: Any) -> None:
    seen.return_value = SimpleNamespace(status=204, headers={}), None
    call(offline_api)
    assert "version" not in seen.call_args.kwargs["params"]


@pytest.mark.pitfall("E21")
def test_version_zero_is_a_version(offline_api: Any, seen: Mock) -> None:
    seen.return_value = answer(204)
    offline_api.object_delete("a", "c", "o", version=0)
    assert seen.call_args.kwargs["params"]["version"] == 0


def test_account_requests_go_where_applications_say(offline_api: Any) -> None:
    offline_api.account._get_account_addr = Mock(return_value="127.0.0.1:2")
    offline_api.account._direct_request = Mock(return_value=answer(body={"listing": [["c", 0, 0, 0, 1.5]]}))
    assert offline_api.container_list("a", limit=3, reqid="R") == [["c", 0, 0, 0, 1.5]]
    params = {
        "id": "a",
        "prefix": None,
        "delimiter": None,
        "marker": None,
        "end_marker": None,
        "limit": 3,
        "s3_buckets_only": False,
    }
    offline_api.account._direct_request.assert_called_once_with(
        "GET", "http://127.0.0.1:2/v1.0/account/containers", params=params, **OPTIONS
    )


# --- listings ----------------------------------------------------------------------------------------


@pytest.mark.pitfall(141)
def test_truncated_page_without_a_marker_is_refused(offline_api: Any, seen: Mock) -> None:
    seen.return_value = answer(body={"objects": [{"name": "o"}]}, x_oio_list_truncated="true")
    with pytest.raises(exc.OioProtocolError, match="has no marker"):
        offline_api.object_list("a", "c")


@pytest.mark.pitfall(90, 95, 141)
@pytest.mark.parametrize(
    ("headers", "truncated", "marker"),
    [
        ({"x_oio_list_truncated": "true", "x_oio_list_marker": "b%2F%25%C3%A9"}, True, "b/%é"),
        ({"x_oio_list_truncated": "false", "x_oio_list_marker": "z"}, False, "z"),
        ({"x_oio_list_truncated": "false"}, False, None),
        ({}, False, None),
    ],
)
def test_only_the_service_says_whether_a_page_is_the_last(
    offline_api: Any, seen: Mock, headers: dict[str, str], truncated: bool, marker: str | None
) -> None:
    seen.return_value = answer(body={"objects": [], "prefixes": []}, **headers)
    page = offline_api.object_list("a", "c")
    assert (page["truncated"], page.get("next_marker")) == (truncated, marker)


# --- the container client ----------------------------------------------------------------------------


@pytest.fixture
def container() -> Iterator[Any]:
    with ContainerClient(CONF, endpoint="127.0.0.1:1") as client:
        client._direct_request = Mock(return_value=answer(204))  # type: ignore[method-assign]
        yield client


@pytest.mark.pitfall(104)
def test_single_item_that_is_too_large_is_not_cut_for_ever(container: Any) -> None:
    container._direct_request.side_effect = exc.TooLarge(413)
    with pytest.raises(exc.TooLarge):
        container.content_delete_many("a", "c", ["x", "y", "z"])
    with pytest.raises(exc.TooLarge):
        container.container_create_many("a", ["x", "y"])


@pytest.mark.pitfall(145)
@pytest.mark.parametrize("missing", ["content_id", "stgpol", "size"])
def test_update_is_not_sent_without_what_it_needs(container: Any, missing: str) -> None:
    arguments = {"content_id": "AB", "stgpol": "SINGLE", "size": 3, missing: None}
    with pytest.raises(ValueError, match=f"{missing} is required"):
        container.content_update("a", "c", "o", chunks=[], **arguments)
    container._direct_request.assert_not_called()


def test_spare_chunks_need_a_policy_and_a_position(container: Any) -> None:
    with pytest.raises(ValueError, match="position is required"):
        container.content_spare("a", "c", "o", {}, stgpol="SINGLE")


def test_creation_describes_the_object_in_headers(container: Any) -> None:
    container.content_create(
        "a", "c", "o", 5, "AB", {"chunks": []}, content_id="CD", stgpol="P", version=7,
        headers={"x-oio-content-meta-length": 6, "x-oio-content-meta-id": "EF"},
    )  # fmt: skip
    _, kwargs = container._direct_request.call_args
    assert kwargs["headers"] == {
        "x-oio-content-meta-length": 6,
        "x-oio-content-meta-hash": "AB",
        "x-oio-content-meta-id": "CD",
        "x-oio-content-meta-policy": "P",
        "x-oio-content-meta-version": 7,
    }


def test_placement_of_chunks_is_read_from_properties() -> None:
    raw = [{"key": "__OIO_CHUNK__http://h/AB", "value": '{"final_dist": 1}'}, {"key": "k", "value": "v"}]
    assert extract_chunk_qualities(raw, raw=True) == {"http://h/AB": {"final_dist": 1}}


def test_container_is_frozen_and_enabled(api: Any) -> None:
    api.container_create(ACCOUNT, CONTAINER)
    api.container.container_freeze(ACCOUNT, CONTAINER)
    with pytest.raises(exc.ServiceBusy) as info:
        create(api, "o")
    assert info.value.status == 436
    api.container.container_enable(ACCOUNT, CONTAINER)
    create(api, "o")
    assert api.container.container_flush(ACCOUNT, CONTAINER) == {"truncated": False}
    assert api.object_list(ACCOUNT, CONTAINER)["objects"] == []


# --- directory, conscience, account ------------------------------------------------------------------


def test_life_of_a_reference(namespace: Namespace) -> None:
    with DirectoryClient(CONF, endpoint=namespace.endpoint) as directory:
        assert not directory.has("a", "r")
        assert directory.create("a", "r", {"k": "v"}) is True
        assert directory.create("a", "r") is False
        assert directory.has("a", "r")
        directory.set_properties("a", "r", {"l": "w"})
        directory.del_properties("a", "r", ["k"])
        known = directory.get_properties("a", "r")
        assert known["properties"] == {"l": "w"}
        assert directory.show(cid=known["cid"])["name"] == "r"
        service = {"seq": 1, "type": "rdir", "host": "127.0.0.1:9", "args": ""}
        directory.force("a", "r", "rdir", service)
        assert directory.list("a", "r", service_type="rdir")["srv"] == [service]
        directory.unlink("a", "r", "rdir")
        with pytest.raises(exc.Forbidden):
            directory.delete("a", "r")
        directory.delete("a", "r", force=True)
        with pytest.raises(exc.NotFound):
            directory.list("a", "r")


@pytest.mark.pitfall(108)
def test_conscience_tells_of_services(namespace: Namespace) -> None:
    with ConscienceClient(CONF, endpoint=namespace.endpoint) as conscience:
        addresses = {rawx.address for rawx in namespace.rawx}
        assert {srv["id"] for srv in conscience.all_services("rawx")} == addresses
        assert len(conscience.next_instances("rawx", 3)) == 3
        assert conscience.next_instance("rawx")["addr"] in addresses
        assert len(conscience.poll("rawx3")) == 3
        assert "THREECOPIES" in conscience.info()["storage_policy"]
        assert "rawx" in conscience.service_types()
        address = namespace.rawx[0].address
        assert conscience.resolve("rawx", address) == {"addr": address}
        with pytest.raises(exc.NotFound):
            conscience.all_services("nothing")


@pytest.mark.pitfall(107)
def test_several_services_are_locked_at_once(namespace: Namespace) -> None:
    with ConscienceClient(CONF, endpoint=namespace.endpoint) as conscience:
        nodes = [
            conscience.get_service_definition("rawx", node.address, score=5) for node in namespace.rawx[:2]
        ]
        conscience.lock_score(nodes)
        assert [node.score for node in namespace.rawx[:2]] == [5, 5]
        conscience.unlock_score(nodes)
        assert [node.score for node in namespace.rawx[:2]] == [100, 100]
        with pytest.raises(exc.BadRequest):
            conscience.lock_score([*nodes, "a name"])
        assert [node.score for node in namespace.rawx[:2]] == [100, 100]


def test_address_of_a_service_is_remembered() -> None:
    with ConscienceClient(CONF, endpoint="127.0.0.1:1") as conscience:
        conscience._direct_request = Mock(return_value=answer(body={"addr": "10.0.0.1:6010"}))  # type: ignore[method-assign]
        for _ in range(2):
            assert conscience.resolve_url("rawx", "http://rawx-1/AB") == "http://10.0.0.1:6010/AB"
        assert conscience.resolve_url("rawx", "10.0.0.2:6011/CD") == "http://10.0.0.2:6011/CD"
        assert conscience._direct_request.call_count == 1


@pytest.mark.pitfall("E25")
@pytest.mark.parametrize("address", ["10.0.0.1:6010", "[::1]:6010"])
def test_address_is_resolved_to_itself_when_its_format_is_checked(address: str) -> None:
    with ConscienceClient(CONF, endpoint="127.0.0.1:1") as conscience:
        ask = conscience._direct_request = Mock(return_value=answer(body={"addr": "10.0.0.9:1"}))  # type: ignore[method-assign]
        named = {"service_type": "rawx", "service_id": address}
        assert conscience.resolve_service_id(**named, check_format=True) == address
        assert conscience.resolve_service_id("rawx", address) == address
        ask.assert_not_called()
        assert conscience.resolve_service_id(**named, check_format=False) == "10.0.0.9:1"
        assert ask.call_count == 1


@pytest.mark.pitfall("E25")
@pytest.mark.parametrize(
    "service_id", ["rawx-1", "rawx-1:6010", "10.0.0.1", "10.0.0.1:", "10.0.0.1:a", "1.2:3"]
)
def test_name_is_no_address(service_id: str) -> None:
    with ConscienceClient(CONF, endpoint="127.0.0.1:1") as conscience:
        conscience._direct_request = Mock(return_value=answer(body={"addr": "10.0.0.9:1"}))  # type: ignore[method-assign]
        assert conscience.resolve_service_id("rawx", service_id, check_format=True) == "10.0.0.9:1"


def test_load_balancer_is_told_what_to_avoid() -> None:
    with LbClient(CONF, endpoint="127.0.0.1:1") as client:
        client._direct_request = Mock(return_value=answer(body=[]))  # type: ignore[method-assign]
        client.poll("rawx3", avoid=iter(["x"]), known=[])
        _, kwargs = client._direct_request.call_args
        assert json.loads(kwargs["data"]) == {"avoid": ["x"], "known": []}
        client.create_pool("p", [(1, "rawx-even", "rawx"), (2, "rawx-odd", "rawx")], options={"min_dist": 2})
        _, kwargs = client._direct_request.call_args
        assert json.loads(kwargs["data"])["targets"] == "1,rawx-even,rawx;2,rawx-odd,rawx"


def test_account_client_of_one_service_asks_no_proxy(namespace: Namespace, release: str) -> None:
    with AccountClient(CONF, endpoint=f"http://{namespace.account.address}/v1.0/account") as client:
        assert client.account_create("a") is True
        state = {"mtime": 5.5, "objects": 3, "bytes": 10}
        if release == "2026":
            # There is nobody to ask for what is missing.
            with pytest.raises(exc.BadRequest, match="Missing region"):
                client.container_update("a", "c", state)
            state |= {"objects-details": {"SINGLE": 3}, "bytes-details": {"SINGLE": 10}}
        assert client.container_update("a", "c", state, region="here") == "c"
        assert client.container_show("a", "c")["objects"] == 3
        client.container_reset("a", "c", 6.5)
        assert client.account_show("a")["objects"] == 0
        client.account_refresh("a")
        client.account_flush("a")
        assert client.container_list("a")["listing"] == []
    assert {record.service for record in namespace.requests} == {"account"}


@pytest.mark.pitfall(105)
def test_fixed_account_service_is_not_replaced(namespace: Namespace) -> None:
    with (
        AccountClient(CONF, endpoint=f"http://{namespace.account.address}/v1.0/account") as client,
        namespace.faults(Fault("refuse", service="account")),
        pytest.raises(exc.OioNetworkException),
    ):
        client.account_show("a")


# --- chunks ------------------------------------------------------------------------------------------


@pytest.fixture
def blobs(namespace: Namespace) -> Iterator[BlobClient]:
    with BlobClient(CONF, endpoint=namespace.endpoint) as client:
        yield client


def description(data: bytes) -> dict[str, Any]:
    return {
        "chunk_pos": "0",
        "chunk_method": "plain/nb_copy=1",
        "chunk_hash": hashlib.md5(data).hexdigest().upper(),
        "content_id": "AB" * 16,
        "content_version": "1",
        "content_path": "o",
        "content_policy": "SINGLE",
        "container_id": None,
        "full_path": f"a/c/o/1/{'AB' * 16}",
    }


@pytest.mark.parametrize("kind", [lambda data: data, lambda data: iter([data[:2], data[2:]])])
def test_life_of_a_chunk(blobs: BlobClient, namespace: Namespace, kind: Any) -> None:
    namespace.rawx[0].shallow_copy = True
    url = f"{namespace.rawx[0].address}/{CID}"
    meta = {key: value for key, value in description(b"hello").items() if value is not None}
    meta["container_id"] = hashlib.sha256(b"a\0c").hexdigest().upper()
    assert blobs.chunk_put(url, meta, kind(b"hello"))[0] == 5
    with pytest.raises(exc.Conflict):
        blobs.chunk_put(url, meta, kind(b"hello"))
    known = blobs.chunk_head(url, check_hash=True)
    assert (known["chunk_size"], known["content_path"]) == ("5", "o")
    assert blobs.chunk_head(url, xattr=False) == {}
    got, stream = blobs.chunk_get(url, headers={"Range": "bytes=1-3"})
    assert (got["full_path"], b"".join(stream)) == (meta["full_path"], b"ell")
    response, link = blobs.chunk_link(url, None, meta["full_path"])
    assert response.status == 201
    assert blobs.chunk_delete(link).status == 204
    assert blobs.chunk_delete(url).status == 204
    for call in (blobs.chunk_head, blobs.chunk_get, blobs.chunk_delete):
        with pytest.raises(exc.NotFound):
            call(url)
    with pytest.raises(exc.ChunkException, match="404"):
        blobs.chunk_link(url, "B" * 64, meta["full_path"])


SHORT = {"content_id": "id", "content_version": "version", "content_policy": "policy"}


@pytest.mark.pitfall("E16")
@pytest.mark.parametrize("others", [{}, {"content_policy": "X", "content_chunkmethod": "ec/algo=x,k=1,m=1"}])
def test_chunk_may_be_described_as_its_object_is(
    blobs: BlobClient, namespace: Namespace, others: dict[str, str]
) -> None:
    url = f"{namespace.rawx[0].address}/{CID}"
    meta = {SHORT.get(key, key): value for key, value in description(b"hello").items() if value is not None}
    assert {"id", "version", "policy", "chunk_method"} <= meta.keys()
    blobs.chunk_put(url, {**meta, **others, "chunk_pos": 0}, b"hello")
    stored = blobs.chunk_head(url)
    assert stored["chunk_pos"] == "0"
    assert stored["content_policy"] == "SINGLE"
    # A server of today says which checksum it has computed.
    assert set(re.split("[/,]", stored["content_chunkmethod"])) - {"cca=md5"} == {"plain", "nb_copy=1"}
    assert (stored["content_id"], stored["content_version"]) == ("AB" * 16, "1")


@pytest.mark.pitfall("E16")
@pytest.mark.parametrize("key", ["chunk_pos", "policy", "chunk_method", "full_path"])
@pytest.mark.parametrize("nothing", [None, "", ...])
def test_chunk_that_is_described_in_part_is_refused(key: str, nothing: Any) -> None:
    meta = {"chunk_pos": 0, "policy": "P", "chunk_method": "plain", "full_path": f"a/c/o/1/{'AB' * 16}"}
    meta = {name: value for name, value in meta.items() if name != key or nothing is not ...}
    if nothing is not ...:
        meta[key] = nothing
    with BlobClient() as client, pytest.raises(exc.FaultyChunk, match=key.removeprefix("chunk_")[:6]):
        client.chunk_put(f"http://127.0.0.1:1/{CID}", meta, b"hello")


def test_mistaken_checksum_of_a_chunk_is_refused(blobs: BlobClient, namespace: Namespace) -> None:
    meta = {**description(b"other"), "container_id": hashlib.sha256(b"a\0c").hexdigest().upper()}
    with pytest.raises(exc.OioException):
        blobs.chunk_put(f"{namespace.rawx[0].address}/{CID}", meta, b"hello")
    assert namespace.rawx[0].chunks() == []


@pytest.mark.pitfall(32)
def test_chunks_that_cannot_be_deleted_do_not_stop_the_others(
    blobs: BlobClient, api: Any, namespace: Namespace
) -> None:
    create(api, "o", policy="THREECOPIES")
    _, chunks = api.object_locate(ACCOUNT, CONTAINER, "o")
    missing = {"url": f"http://{namespace.rawx[0].address}/{CID}"}
    nowhere = {"url": f"http://127.0.0.1:1/{CID}"}
    results = blobs.chunk_delete_many([missing, *chunks, nowhere], cid=CID, headers=None, whatever=1)
    assert [result.chunk for result in results] == [missing, *chunks, nowhere]
    assert [result.status for result in results[:-1]] == [404, 204, 204, 204]
    assert isinstance(results[-1], urllib3.exceptions.HTTPError)
    assert [rawx.chunks() for rawx in namespace.rawx] == [[], [], []]


def test_chunk_of_a_service_id_is_found_through_the_conscience(blobs: BlobClient) -> None:
    with pytest.raises(exc.ServiceBusy):
        blobs.chunk_head("http://rawx-1/AB")
    with BlobClient() as lonely, pytest.raises(exc.ConfigurationException, match="'http://rawx-1/AB'"):
        lonely.chunk_head("http://rawx-1/AB")


@pytest.mark.pitfall(154)
def test_dates_of_chunks_are_read_though_they_end_in_utc() -> None:
    meta = extract_headers_meta({"Last-Modified": "Sun, 22 Nov 2026 07:30:33 UTC"}, check=False)
    assert meta == {"chunk_mtime": 1795332633.0}


@pytest.mark.pitfall(154)
def test_description_of_a_chunk_keeps_its_full_path_encoded() -> None:
    headers = {CHUNK_HEADERS["full_path"]: "a/c/x%2Fy/1/AB", CHUNK_HEADERS["content_path"].title(): "x%2Fy"}
    meta = extract_headers_meta(headers, check=False)
    assert meta == {"full_path": "a/c/x%2Fy/1/AB", "content_path": "x/y"}
    with pytest.raises(exc.FaultyChunk) as info:
        extract_headers_meta(headers)
    assert {str(missing) for missing in info.value.args} == {
        "chunk_id",
        "chunk_pos",
        "content_chunkmethod",
        "content_policy",
    }


# --- limits of time -----------------------------------------------------------------------------------


LIMITS = ["connection_timeout", "read_timeout", "write_timeout", "deadline", "timeout"]


def calls_with(api: Any, namespace: Namespace, url: str, **limit: Any) -> list[Any]:
    """Calls of each client with a limit of its own, and calls of clients that have it as their default."""
    calls: list[Any] = [
        lambda: api.object_head(ACCOUNT, CONTAINER, "o", **limit),
        lambda: api.container.container_get_properties(ACCOUNT, CONTAINER, **limit),
        lambda: api.blob_client.chunk_head(url, **limit),
        lambda: b"".join(api.blob_client.chunk_get(url, **limit)[1]),
    ]
    if not limit.keys() & {"deadline", "timeout"}:

        def container() -> Any:
            with ContainerClient(CONF, endpoint=namespace.endpoint, **limit) as client:
                return client.container_get_properties(ACCOUNT, CONTAINER)

        def blob() -> Any:
            with BlobClient(CONF, **limit) as client:
                return client.chunk_head(url)

        def facade() -> Any:
            with namespace.api(**limit) as client:
                return client.object_head(ACCOUNT, CONTAINER, "o")

        calls += [container, blob, facade]
    return calls


@pytest.mark.pitfall("B4")
@pytest.mark.parametrize("name", LIMITS)
def test_limit_of_any_length_is_taken(api: Any, namespace: Namespace, name: str) -> None:
    create(api, "o", b"data")
    url = api.object_locate(ACCOUNT, CONTAINER, "o")[1][0]["url"]
    for value in (1e30, 3e6, "1e30", 10**300):
        for call in calls_with(api, namespace, url, **{name: value}):
            assert call()


@pytest.mark.pitfall("B4")
@pytest.mark.parametrize("name", LIMITS)
def test_limit_without_sense_is_refused_in_words_of_ours(api: Any, namespace: Namespace, name: str) -> None:
    create(api, "o", b"data")
    url = api.object_locate(ACCOUNT, CONTAINER, "o")[1][0]["url"]
    for value in (0, "0", -1, "soon", math.nan, math.inf, 10**400, [1]):
        first, *others = calls_with(api, namespace, url, **{name: value})
        is_past = name == "deadline" and value in (0, "0", -1)
        is_past = is_past or (name == "read_timeout" and value in (0, "0"))
        with pytest.raises(
            exc.DeadlineReached if is_past else ValueError, match="eadline" if is_past else name
        ):
            first()
        for call in others:
            # Some do nothing that the limit is about.
            with contextlib.suppress(exc.OioException):
                call()
