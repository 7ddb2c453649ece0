# SPDX-License-Identifier: Apache-2.0
"""TLS towards the proxy and the chunk servers: verified, unless the application says otherwise."""

from __future__ import annotations

import io
import ssl
import warnings

import pytest
import urllib3

from oio import ObjectStorageApi
from oio.common import exceptions as exc
from oio.common import green
from oio.common.http_connections import tls_context
from oio.common.http_eventlet import http_connect
from tests.kit.scripted import Peer, serving
from tests.kit.tls import CERTIFICATE, FILES, answer_over_tls, speak_tls


def answer_garbage(peer: Peer) -> None:
    peer.send(b"220 this is the mail server\r\n")
    peer.wait_until_gone()


def list_objects(server, **options):
    host = options.pop("host", "127.0.0.1")
    endpoint = f"https://{server.address.replace('127.0.0.1', host)}"
    with ObjectStorageApi("NS", endpoint=endpoint, **options) as api:
        return api.container._request("GET", "/show")[1]


def get_chunk(server, context):
    connection = http_connect(server.address, "GET", "/0A", scheme="https", ssl_context=context)
    try:
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_server_of_an_authority_that_the_application_trusts(host):
    with serving(answer_over_tls) as server:
        assert list_objects(server, host=host, ca_certs=CERTIFICATE) == []


def test_server_that_is_not_to_be_verified():
    with serving(answer_over_tls) as server, warnings.catch_warnings():
        # A fair warning of urllib3.
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        assert list_objects(server, cert_reqs="CERT_NONE") == []


@pytest.mark.parametrize("script", [answer_over_tls, answer_garbage])
def test_server_of_an_unknown_authority_is_refused_and_its_connection_closed(script):
    with serving(script) as server, pytest.raises(exc.OioNetworkException, match=server.address):
        list_objects(server)


def test_chunk_server_is_verified_too():
    with serving(answer_over_tls) as server:
        assert get_chunk(server, tls_context(CERTIFICATE)) == b"[]"
        assert get_chunk(server, tls_context(cert_reqs="CERT_NONE")) == b"[]"
        with pytest.raises(ssl.SSLCertVerificationError):
            get_chunk(server, None)


def answer_and_more(peer: Peer) -> None:
    """The rest of a record of TLS is waiting in the client when its answer was read."""
    with speak_tls(peer):
        while peer.read_head():
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
            peer.send(answer + b"[]".ljust(io.DEFAULT_BUFFER_SIZE - len(answer)) + answer + b"{}")


def test_what_comes_after_an_answer_is_not_the_next_one():
    with serving(answer_and_more) as server:
        endpoint = f"https://{server.address}"
        with ObjectStorageApi("NS", endpoint=endpoint, ca_certs=CERTIFICATE) as api:
            for _ in range(3):
                assert api.container._request("GET", "/show")[1] == []
            for _ in range(3):
                assert get_chunk(server, tls_context(CERTIFICATE)) == b"[]"


@pytest.mark.pitfall(2)
def test_handshake_that_takes_too_long_leaves_no_connection():
    gone = []

    def stall(peer: Peer) -> None:
        peer.wait_until_gone()
        gone.append(True)

    with serving(stall) as server:
        with pytest.raises(green.ConnectionTimeout), green.ConnectionTimeout(0.1):
            get_chunk(server, tls_context(CERTIFICATE))
        with pytest.raises(exc.OioTimeout, match="handshake"):
            list_objects(server, connection_timeout=0.1, request_attempts=1)
    assert gone == [True, True]


@pytest.mark.pitfall(124)
def test_each_setting_has_one_context():
    assert tls_context(CERTIFICATE, "CERT_REQUIRED") is tls_context(CERTIFICATE, "CERT_REQUIRED")


@pytest.mark.parametrize(
    "options", [{"ca_certs": "/nowhere.pem"}, {"ca_certs": str(FILES / "key.pem")}, {"cert_reqs": "SOME"}]
)
def test_settings_that_cannot_be_used_are_told_at_once(options):
    with pytest.raises(exc.ConfigurationException, match=next(iter(options.values()))):
        ObjectStorageApi("NS", endpoint="https://127.0.0.1:1", **options)
