# SPDX-License-Identifier: Apache-2.0
"""Headers of a caller never contradict the body: a service would take a part of it for another request."""

from __future__ import annotations

import pytest

from oio.account.client import AccountClient
from oio.api.ec import ECChunkDownloadHandler, EcChunkWriter
from oio.b2.client import Requests
from oio.blob.client import BlobClient
from oio.blob.reader import ChunkReader
from oio.common import exceptions as exc
from oio.common.client import ProxyClient
from oio.common.http_api import HttpApi
from oio.common.storage_functions import fetch_stream
from oio.common.storage_method import STORAGE_METHODS
from oio.rdir.client import RdirClient
from tests.kit.recording import RecordingPool
from tests.kit.scripted import Peer, serving

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
META = {
    "chunk_method": "plain/nb_copy=1",
    "chunk_pos": "0",
    "container_id": "AB" * 32,
    "content_path": "o",
    "full_path": "a/c/o/1/AB",
    "id": "AB",
    "policy": "SINGLE",
    "version": "1",
}
CONF = {"namespace": "NS"}
EC = "ec/algo=isa_l_rs_vand,k=2,m=1"


def by_http_api(address, headers):
    with HttpApi(f"http://{address}") as client:
        client._request("POST", "/route", data=SMUGGLED, headers=headers)


def by_proxy_client(address, headers):
    with ProxyClient(CONF, endpoint=address) as client:
        client._request("POST", "/route", json={"k": "v"}, headers=headers)


def by_account_client(address, headers):
    with AccountClient(CONF, f"http://{address}") as client:
        client.account_update("a", {"k": "v"}, headers=headers)


def by_rdir_client(address, headers):
    with RdirClient(CONF, endpoint=address) as client:
        client.status("volume", headers=headers)


def by_chunk_put(address, headers):
    with BlobClient() as client:
        client.chunk_put(f"http://{address}/AB", META, [SMUGGLED], headers=headers)


def by_chunk_get(address, headers):
    with BlobClient() as client:
        client.chunk_get(f"http://{address}/AB", headers=headers)


def by_chunk_head(address, headers):
    with BlobClient() as client:
        client.chunk_head(f"http://{address}/AB", headers=headers)


def by_chunk_link(address, headers):
    with BlobClient() as client:
        client.chunk_link(f"http://{address}/AB", "CD", "a/c/o/1/AB", headers=headers)


def by_chunk_reader(address, headers):
    ChunkReader([{"url": f"http://{address}/AB"}], None, headers)


def by_fetch_stream(address, headers):
    chunks = {0: [{"url": f"http://{address}/AB", "pos": "0", "size": 5}]}
    list(fetch_stream(chunks, None, STORAGE_METHODS.load("plain/nb_copy=1"), headers))


def by_reader_of_fragments(address, headers):
    chunks = [{"url": f"http://{address}/AB", "pos": f"0.{index}", "size": 5} for index in range(3)]
    ECChunkDownloadHandler(STORAGE_METHODS.load(EC), chunks, None, None, headers).get_stream()


def by_writer_of_a_fragment(address, headers):
    chunk = {"url": f"http://{address}/AB", "pos": "0.0", "size": 5}
    EcChunkWriter.connect(chunk, META, headers=headers)


def by_requests_to_backblaze(address, headers):
    with Requests() as requests:
        requests.get_response_from_request("POST", f"http://{address}/", headers, SMUGGLED)


WAYS = [
    by_account_client,
    by_chunk_get,
    by_chunk_head,
    by_chunk_link,
    by_chunk_put,
    by_chunk_reader,
    by_fetch_stream,
    by_http_api,
    by_proxy_client,
    by_rdir_client,
    by_reader_of_fragments,
    by_requests_to_backblaze,
    by_writer_of_a_fragment,
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Length", "2"),
        ("content-length", 1),
        ("Transfer-Encoding", "chunked"),
        ("TRANSFER-ENCODING", "identity"),
        ("Host", "elsewhere"),
        ("Connection", "content-length"),
        ("connection", "upgrade"),
        ("Connection", "keep-alive, Transfer-Encoding"),
        ("Expect", "100-continue"),
        ("trailer", "x-a"),
        ("Content-Length ", "2"),
    ],
)
def test_header_that_contradicts_the_request_is_refused(way, name, value):
    with (
        serving(Peer.reset) as server,
        pytest.raises(ValueError, match=f"headers must not set '{name}'") as caught,
    ):
        way(server.address, {"x-more": "1", name: value})
    assert isinstance(caught.value, exc.BadRequest)
    assert server.connections == 0


def test_name_with_a_blank_is_refused_however_the_request_is_written():
    with (
        serving(Peer.reset) as server,
        pytest.raises(ValueError, match="invalid name of a header: 'content-length '"),
    ):
        by_http_api(server.address, {"accept-encoding": "identity", "content-length ": "2"})
    assert server.connections == 0


@pytest.mark.parametrize("way", [by_http_api, by_requests_to_backblaze])
@pytest.mark.parametrize("name", ["Content-Length", "content-length"])
def test_true_length_of_the_body_is_sent_once(way, name):
    heads = []

    def script(peer):
        heads.append(peer.read_head().lower())
        assert peer.read(len(SMUGGLED)) == SMUGGLED
        peer.answer(200, b"{}")

    with serving(script) as server:
        way(server.address, {name: str(len(SMUGGLED))})
    assert [head.count(f"content-length: {len(SMUGGLED)}") for head in heads] == [1]


@pytest.mark.parametrize("value", ["0", 0, b"0"])
def test_length_of_an_empty_body_is_left_to_the_request(value):
    heads = []

    def script(peer):
        heads.append(peer.read_head().lower())
        peer.answer(200)

    with serving(script) as server:
        by_chunk_head(server.address, {"Content-Length": value})
    assert "content-length" not in heads[0]


@pytest.mark.parametrize("wish", ["close", "Keep-Alive", "keep-alive, close"])
def test_connection_may_be_closed_or_kept(wish):
    pool = RecordingPool()
    with HttpApi("http://host:1", pool_manager=pool) as client:
        client._request("GET", "/route", headers={"Connection": wish})
    assert pool.asked[0].headers["Connection"] == wish
