# SPDX-License-Identifier: Apache-2.0
"""Requests to the proxy: where it is, and which refusals of a repeated request are as good as success."""

from __future__ import annotations

import json

import pytest

from oio.account.client import AccountClient
from oio.api.object_storage import ObjectStorageApi
from oio.common import exceptions as exc
from oio.common.client import ProxyClient
from oio.common.configuration import NS_CONF_CACHE, set_namespace_options
from oio.container.client import ContainerClient
from oio.directory.client import DirectoryClient
from tests.kit.scripted import Peer, serving


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch):
    monkeypatch.setattr("random.randrange", lambda *_: 0)


def refusing(*refusals):
    """A server that gives these refusals, (HTTP status, status of the body), one for each request."""

    def script(peer: Peer) -> None:
        for http_status, status in refusals:
            peer.read_head()
            body = json.dumps({"status": status, "message": "so it is"}).encode()
            peer.answer(http_status, body, Content_Type="application/json")

    return serving(script)


def create(server, **kwargs):
    with ContainerClient({"namespace": "NS"}, endpoint=server.address, request_attempts=3) as client:
        return client.container_create("a", "c", **kwargs)


@pytest.mark.pitfall(33)
@pytest.mark.parametrize("status", [408, 421, 433])
def test_what_exists_after_an_attempt_that_failed_is_as_good_as_created(status):
    with refusing((503, 503), (503, 503), (409, status)) as server:
        assert create(server) is False
    with (
        refusing((503, 503), (409, status)) as server,
        DirectoryClient({"namespace": "NS"}, endpoint=server.address, request_attempts=3) as client,
    ):
        assert client.create("a", "r") is False


@pytest.mark.pitfall(33)
@pytest.mark.parametrize("status", [409, 424, 438, None])
def test_other_conflicts_of_a_repeated_request_are_raised(status):
    with refusing((503, 503), (409, status)) as server, pytest.raises(exc.Conflict) as caught:
        create(server)
    assert caught.value.status == status


@pytest.mark.pitfall(33)
def test_what_exists_at_the_first_attempt_is_a_conflict():
    with refusing((409, 433)) as server, pytest.raises(exc.Conflict):
        create(server)


@pytest.mark.pitfall(65)
@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("127.0.0.1:6000", "http://127.0.0.1:6000"),
        ("http://host:6000/", "http://host:6000"),
        ("HTTPS://proxy.example", "https://proxy.example"),
        ("https://[::1]:6000/", "https://[::1]:6000"),
        ("[::1]:6000", "http://[::1]:6000"),
        ("http://user:secret@host:6000", "http://host:6000"),
    ],
)
def test_forms_of_an_endpoint(endpoint, expected):
    assert ProxyClient({"namespace": "NS"}, endpoint=endpoint).endpoint == f"{expected}/v3.0/NS"


@pytest.mark.parametrize(
    "endpoint",
    ["http://", " 127.0.0.1:1", "ftp://host:21", "host:port", "host:99999", "http://[::1", "/path", 6000, ""],
)
def test_endpoint_that_is_none_is_told_before_anything_is_sent(endpoint):
    with pytest.raises(exc.ConfigurationException) as caught:
        ProxyClient({"namespace": "NS"}, endpoint=endpoint)
    assert repr(endpoint) in str(caught.value)


@pytest.mark.parametrize(("wish", "expected"), [(True, True), ("true", True), (False, False), ("no", False)])
def test_wishes_may_be_words(wish, expected):
    heads = []

    def script(peer: Peer) -> None:
        heads.append(peer.read_head())
        peer.answer(201)

    with serving(script) as server:
        create(server, autocreate=wish, tls=wish)
    assert ("x-oio-action-mode: autocreate" in heads[0]) is expected
    assert ("x-oio-upgrade-to-tls: 1" in heads[0]) is expected


@pytest.mark.parametrize("status", [101, 302, 304, 307])
def test_answer_that_is_no_result_is_not_taken_for_success(status):
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.answer(status, Location="http://elsewhere/")

    conf = {"namespace": "NS"}
    with serving(script) as server:
        with (
            ContainerClient(conf, endpoint=server.address) as client,
            pytest.raises(
                exc.OioProtocolError, match=f"HTTP {status} Because, see http://elsewhere/"
            ) as caught,
        ):
            client.container_delete("a", "c", reqid="R")
        assert (caught.value.service, caught.value.reqid) == (server.address, "R")
        with (
            AccountClient(conf, endpoint=f"http://{server.address}/v1.0/account") as account,
            pytest.raises(exc.OioProtocolError, match=f"HTTP {status}"),
        ):
            account.account_delete("a")


def test_interim_answer_is_waited_through():
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        peer.answer(201)

    with serving(script) as server:
        assert create(server) is True


@pytest.mark.pitfall("D3")
@pytest.mark.parametrize("rest", ["/v3.0", "/v3.0/NS", "?a=b", "/?", "#part"])
def test_endpoint_with_more_than_an_address_is_refused(rest):
    with pytest.raises(exc.ConfigurationException, match="path, query or fragment") as caught:
        ProxyClient({"namespace": "NS"}, endpoint=f"http://host:6000{rest}")
    assert f"host:6000{rest}" in str(caught.value)


@pytest.mark.pitfall("D3")
@pytest.mark.parametrize("endpoint", ["", " "])
def test_empty_endpoint_does_not_stand_for_that_of_the_host(endpoint):
    set_namespace_options("NS-OF-HOST", {"proxy": "10.0.0.1:6000"})
    try:
        with pytest.raises(exc.ConfigurationException, match="endpoint"):
            ProxyClient({"namespace": "NS-OF-HOST"}, endpoint=endpoint)
        with pytest.raises(exc.ConfigurationException, match="endpoint"):
            ObjectStorageApi("NS-OF-HOST", endpoint=endpoint)
    finally:
        del NS_CONF_CACHE["NS-OF-HOST"]
