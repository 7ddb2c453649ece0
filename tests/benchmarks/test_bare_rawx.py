# SPDX-License-Identifier: Apache-2.0
"""The bare chunk servers answer what the rawx of the sandbox answers."""

import contextlib
import hashlib
import json
from http.client import HTTPConnection

import pytest

from benchmarks.services import running
from oio.common.utils import cid_from_name
from oio.sandbox import Namespace

CHUNK = "/" + "0A" * 32
META = "x-oio-chunk-meta-"
HASH = hashlib.md5(b"hello").hexdigest().upper()
DESCRIBED = {
    f"{META}full-path": f"account/kept/object/1554086800000000/{'AB' * 16}",
    f"{META}container-id": cid_from_name("account", "kept"),
    f"{META}content-id": "AB" * 16,
    f"{META}content-path": "object",
    f"{META}content-version": "1554086800000000",
    f"{META}content-chunk-method": "plain/nb_copy=3",
    f"{META}content-storage-policy": "THREECOPIES",
    f"{META}chunk-pos": "0",
    f"{META}chunk-id": "0A" * 32,
    f"{META}oio-version": "4.2",
    "X-oio-req-id": "1A2B",
}
CODED = DESCRIBED | {f"{META}content-chunk-method": "ec/algo=liberasurecode_rs_vand,k=6,m=3"}
TRAILERS = f"{META}metachunk-size: 5\r\n{META}metachunk-hash: {HASH}\r\n{META}chunk-hash: "
BODY = b"5\r\nhello\r\n0\r\n"

EXCHANGES = [
    ("PUT", CHUNK, DESCRIBED, BODY + b"\r\n"),
    ("PUT", CHUNK, DESCRIBED, BODY + b"\r\n"),
    ("GET", CHUNK, {}, None),
    ("GET", CHUNK, {"Range": "bytes=1-3"}, None),
    ("GET", CHUNK, {"Range": "bytes=1-99"}, None),
    ("GET", CHUNK, {"Range": "bytes=5-9"}, None),
    ("HEAD", CHUNK, {}, None),
    ("HEAD", CHUNK, {"x-oio-check-hash": "true", f"{META}chunk-hash": HASH}, None),
    ("DELETE", CHUNK, {}, None),
    ("DELETE", CHUNK, {}, None),
    ("GET", CHUNK, {}, None),
    ("PUT", CHUNK, {}, BODY + b"\r\n"),
    ("PUT", CHUNK, CODED, BODY + b"\r\n"),
    ("PUT", CHUNK, CODED, BODY + TRAILERS.encode() + b"00\r\n\r\n"),
    ("PUT", CHUNK, CODED, BODY + TRAILERS.encode() + HASH.encode() + b"\r\n\r\n"),
    ("GET", CHUNK, {}, None),
]
#: What no client looks at, or what is different each time.
UNSEEN = {"date", "last-modified", "content-type", "accept-ranges", "connection"}


def answers(address):
    with contextlib.closing(HTTPConnection(address)) as connection:
        for method, path, headers, body in EXCHANGES:
            coding = {} if body is None else {"Transfer-Encoding": "chunked"}
            connection.request(method, path, body, headers | coding)
            response = connection.getresponse()
            data = response.read()
            shown = {
                name.lower(): value for name, value in response.getheaders() if name.lower() not in UNSEEN
            }
            yield method, response.status, shown, data


@pytest.fixture
def bare(tmp_path):
    with running("benchmarks.rawx", "--count", "1", "--directory", str(tmp_path)) as process:
        yield json.loads(process.stdout.readline())[0]


def test_answers_are_those_of_the_sandbox(bare):
    with Namespace(rawx=1) as namespace:
        right = list(answers(namespace.rawx[0].address))
    assert [status for _, status, _, _ in right][:4] == [201, 409, 200, 206]
    assert list(answers(bare)) == right


def test_chunks_of_other_containers_are_dropped(bare):
    headers = DESCRIBED | {f"{META}full-path": f"account/dropped/object/1554086800000000/{'AB' * 16}"}
    with contextlib.closing(HTTPConnection(bare)) as connection:
        connection.request("PUT", CHUNK, BODY + b"\r\n", headers | {"Transfer-Encoding": "chunked"})
        response = connection.getresponse()
        response.read()
        assert (response.status, response.getheader(f"{META}chunk-hash")) == (201, HASH)
        connection.request("GET", CHUNK)
        response = connection.getresponse()
        response.read()
        assert response.status == 404
