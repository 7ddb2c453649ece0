# SPDX-License-Identifier: Apache-2.0
"""Downloads from the B2 of a namespace: headers, ranges, and what is not there."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from oio.sandbox import Namespace
from tests.kit.rawsocket import RawSocket
from tests.sandbox.b2asking import B2Account, digest, error

DATA = bytes(range(100))


@pytest.fixture(scope="module")
def filled() -> Iterator[B2Account]:
    with Namespace(rawx=1) as namespace:
        b2 = B2Account(namespace.b2)
        b2.store("name", DATA)
        b2.store("empty", b"")
        yield b2


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=1-", 1, 99),
        ("bytes=10-19", 10, 19),
        ("bytes=0-98", 0, 98),
        ("bytes=90-1000", 90, 99),
        ("bytes=-1", 99, 99),
        ("bytes=-30", 70, 99),
    ],
)
def test_a_part_is_answered_with_206(filled: B2Account, asked: str, first: int, last: int) -> None:
    answer = filled.download("name", ("Range", asked))
    assert (answer.status, answer.body) == (206, DATA[first : last + 1])
    assert answer.get("content-range") == f"bytes {first}-{last}/100"
    assert answer.get("x-bz-content-sha1") == digest(DATA)


@pytest.mark.parametrize(
    "asked",
    [
        *("bytes=0-", "bytes=0-99", "bytes=0-1000", "bytes=-100", "bytes=-1000"),
        *("bytes=3-2", "bytes=", "bytes=-", "bytes=x-3", "bytes=1-2,5-6", "lines=1-2", "nothing"),
    ],
)
def test_all_of_it_or_nonsense_is_answered_with_200(filled: B2Account, asked: str) -> None:
    answer = filled.download("name", ("Range", asked))
    assert (answer.status, answer.body, answer.get("content-range")) == (200, DATA, None)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("name", "bytes=100-"),
        ("name", "bytes=500-600"),
        ("name", "bytes=-0"),
        ("empty", "bytes=0-"),
        ("empty", "bytes=0-0"),
        ("empty", "bytes=-1"),
    ],
)
def test_what_begins_after_the_end_is_refused(filled: B2Account, name: str, asked: str) -> None:
    assert error(filled.download(name, ("Range", asked))) == (416, "range_not_satisfiable")


def test_headers_describe_the_file(b2: B2Account) -> None:
    stored = b2.store(
        "dir/né +",
        b"data",
        ("X-Bz-Info-Author", "a%20%C3%A9%2B"),
        ("X-Bz-Info-b2-content-disposition", "attachment"),
        ("X-Bz-Info-b2-expires", "Thu,%2001%20Dec%201994%2016:00:00%20GMT"),
    )
    answer = b2.download("dir/né +")
    headers = {name.lower(): value for name, value in answer.headers}
    headers.pop("date")
    assert headers == {
        "accept-ranges": "bytes",
        "content-length": "4",
        "content-type": "text/plain",
        "x-bz-file-id": stored["fileId"],
        "x-bz-file-name": "dir/n%C3%A9%20%2B",
        "x-bz-content-sha1": digest(b"data"),
        "x-bz-upload-timestamp": str(stored["uploadTimestamp"]),
        "x-bz-info-author": "a%20%C3%A9%2B",
        "content-disposition": "attachment",
        "expires": "Thu, 01 Dec 1994 16:00:00 GMT",
    }


def test_a_head_is_that_of_the_download(filled: B2Account) -> None:
    for more in ((), (("Range", "bytes=1-2"),)):
        looked, read = (filled.download("name", *more, method=method) for method in ("HEAD", "GET"))
        assert (looked.status, looked.headers, looked.body) == (read.status, read.headers, b"")
    assert filled.download("nothing", method="HEAD").status == 404


def test_any_version_is_there_by_its_id(b2: B2Account) -> None:
    old, new = b2.store("name", b"old"), b2.store("name", b"new")
    assert b2.download("name").body == b"new"
    for stored, data in ((old, b"old"), (new, b"new")):
        path = f"/b2api/v1/b2_download_file_by_id?fileId={quote(stored['fileId'])}"
        assert b2.send("GET", path, [("Authorization", b2.token)]).body == data
        assert b2.ask("b2_download_file_by_id", fileId=stored["fileId"]).body == data


@pytest.mark.parametrize("name", ["nothing", "name/", "NAME"])
def test_what_is_not_there_is_not_found(filled: B2Account, name: str) -> None:
    assert error(filled.download(name)) == (404, "not_found")
    assert error(filled.download("name", bucket="no-such-bucket")) == (404, "not_found")
    missing = filled.ask("b2_download_file_by_id", fileId=name)
    assert error(missing) == (404, "not_found")


def test_a_connection_serves_one_request_after_the_other(filled: B2Account) -> None:
    path = f"/file/{filled.b2.bucket_name}/name"
    asked = [("Authorization", filled.token)]
    with RawSocket(filled.b2.address) as connection:
        for _ in range(3):
            assert connection.ask("GET", path, asked).body == DATA
            assert connection.ask("GET", path).status == 401
            assert connection.ask("HEAD", path, asked).status == 200


def test_a_token_that_has_expired_reads_nothing(namespace: Namespace, b2: B2Account) -> None:
    b2.store("name", DATA)
    namespace.b2.expire_tokens()
    assert error(b2.download("name")) == (401, "expired_auth_token")
