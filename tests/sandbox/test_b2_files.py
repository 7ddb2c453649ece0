# SPDX-License-Identifier: Apache-2.0
"""Files of the B2 of a namespace: uploads at once, versions, listings."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oio.sandbox import Namespace
from oio.sandbox.b2.uploads import Tail
from oio.sandbox.storage.database import Clock
from tests.kit.rawsocket import RawSocket, head
from tests.sandbox.b2asking import B2Account, digest, error, stored_files, upload_headers

# -- uploads


@pytest.mark.parametrize("data", [b"", b"data", bytes(range(256)) * 5000], ids=len)
def test_an_upload_is_answered_with_what_was_stored(b2: B2Account, data: bytes) -> None:
    answer = b2.store("dir/name", data, ("X-Bz-Info-Author", "n%C3%A9"))
    file_id, stamp = answer.pop("fileId"), answer.pop("uploadTimestamp")
    assert answer == {
        "accountId": b2.id,
        "action": "upload",
        "bucketId": b2.bucket(),
        "contentLength": len(data),
        "contentSha1": digest(data),
        "contentType": "text/plain",
        "fileInfo": {"author": "né"},
        "fileName": "dir/name",
    }
    assert file_id.startswith(f"4_z{b2.bucket()}_f")
    assert b2.call("b2_get_file_info", fileId=file_id) == answer | {
        "fileId": file_id,
        "uploadTimestamp": stamp,
    }
    assert b2.download("dir/name").body == data


def test_later_versions_have_their_own_shape(namespace: Namespace, b2: B2Account) -> None:
    b2.store("name", b"data")
    (listed,) = b2.call("b2_list_file_names", bucketId=b2.bucket())["files"]
    assert listed["size"] == listed["contentLength"] == 4
    assert "accountId" not in listed
    later = B2Account(namespace.b2, version=2)
    (listed,) = later.call("b2_list_file_names", bucketId=b2.bucket())["files"]
    assert "size" not in listed
    assert listed["accountId"] == b2.id
    assert listed["contentMd5"] is None


@pytest.mark.parametrize("tail", [digest(b"data"), digest(b"data").upper()])
def test_the_digest_may_come_at_the_end(b2: B2Account, tail: str) -> None:
    url = b2.upload_url()
    answer = b2.put(url, "name", b"data" + tail.encode(), ("X-Bz-Content-Sha1", "hex_digits_at_end"))
    stored = json.loads(answer.body)
    assert (stored["contentLength"], stored["contentSha1"]) == (4, digest(b"data"))
    assert b2.download("name").body == b"data"


@given(sizes=st.lists(st.integers(1, 60), max_size=6))
def test_the_digest_at_the_end_may_come_in_pieces(sizes: list[int]) -> None:
    sent = bytes(range(200)) + digest(bytes(range(200))).encode()
    at = [0, *itertools.accumulate(sizes)]
    pieces = [sent[a:b] for a, b in zip(at, [*at[1:], len(sent)], strict=True)]
    tail = Tail(40)
    assert b"".join(tail.held_back(pieces)) == sent[:-40]
    assert tail.last == sent[-40:]


def test_a_digest_that_is_not_to_be_checked_is_shown_as_such(b2: B2Account) -> None:
    stored = b2.store("name", b"data", ("X-Bz-Content-Sha1", "do_not_verify"))
    assert stored["contentSha1"] == f"unverified:{digest(b'data')}"
    assert b2.download("name").get("x-bz-content-sha1") == f"unverified:{digest(b'data')}"


@pytest.mark.parametrize(
    "more",
    [
        ("X-Bz-Content-Sha1", digest(b"other")),
        ("X-Bz-Content-Sha1", "hex_digits_at_end"),
        ("X-Bz-Content-Sha1", "none"),
        ("X-Bz-Content-Sha1", ""),
        ("X-Bz-File-Name", ""),
        ("Content-Type", ""),
        ("Content-Disposition", "attachment"),
        ("Expires", "never"),
        ("X-Bz-Info-bad!name", "value"),
        ("X-Bz-Info-long", "x" * 7000),
        ("X-Bz-File-Name", "%FF"),
    ],
)
def test_a_refused_upload_stores_nothing_and_keeps_its_url(
    namespace: Namespace, b2: B2Account, more: tuple[str, str]
) -> None:
    url = b2.upload_url()
    assert error(b2.put(url, "name", b"data" * 20, more)) == (400, "bad_request")
    assert (b2.names(), stored_files(namespace)) == ([], 0)
    assert b2.put(url, "name", b"data").status == 200


def test_more_than_ten_entries_of_info_are_refused(b2: B2Account) -> None:
    info = [(f"X-Bz-Info-{number}", "v") for number in range(11)]
    assert b2.put(b2.upload_url(), "name", b"", *info[:10]).status == 200
    assert error(b2.put(b2.upload_url(), "name", b"", *info)) == (400, "bad_request")


def test_a_chunked_upload_is_refused_and_the_connection_goes_on(b2: B2Account) -> None:
    url = b2.upload_url()
    headers = [*upload_headers(url, "name", b"data"), ("Host", "h"), ("Transfer-Encoding", "chunked")]
    with RawSocket(b2.b2.address) as connection:
        connection.send(head("POST", url.path, headers) + b"4\r\ndata\r\n0\r\n\r\n")
        assert error(connection.answer()) == (400, "bad_request")
        assert connection.ask("POST", url.path, upload_headers(url, "n", b"x"), b"x").status == 200


def test_an_upload_that_is_too_big_is_refused(namespace: Namespace, b2: B2Account) -> None:
    namespace.b2.limits.largest_upload = 3
    assert error(b2.put(b2.upload_url(), "name", b"data")) == (400, "bad_request")
    assert b2.put(b2.upload_url(), "name", b"dat").status == 200


def test_a_type_is_found_out_by_the_name(b2: B2Account) -> None:
    auto = ("Content-Type", "b2/x-auto")
    assert b2.store("a.TXT", b"", auto)["contentType"] == "text/plain"
    assert b2.store("a", b"", auto)["contentType"] == "application/octet-stream"


# -- upload URLs


def test_an_upload_url_has_a_token_of_its_own(b2: B2Account) -> None:
    one, other = b2.upload_url(), b2.upload_url()
    for token in (b2.token, other.token, "x"):
        answer = b2.put(one, "name", b"data", ("Authorization", token))
        assert error(answer) == (401, "bad_auth_token")
    for _ in range(2):
        assert b2.put(one, "name", b"data").status == 200


def test_an_upload_url_takes_one_upload_at_a_time(namespace: Namespace, b2: B2Account) -> None:
    url = b2.upload_url()
    with RawSocket(b2.b2.address) as slow:
        slow.send(head("POST", url.path, [*upload_headers(url, "slow", b"data"), *length(4)]))
        slow.send(b"da")
        while not stored_files(namespace):
            pass
        assert error(b2.put(url, "name", b"data")) == (400, "auth_token_limit")
        slow.send(b"ta")
        assert slow.answer().status == 200
    assert b2.put(url, "name", b"data").status == 200


def length(size: int) -> list[tuple[str, str]]:
    return [("Host", "h"), ("Content-Length", str(size))]


def test_a_broken_upload_leaves_nothing_and_closes_its_url(namespace: Namespace, b2: B2Account) -> None:
    url = b2.upload_url()
    with RawSocket(b2.b2.address) as broken:
        broken.send(head("POST", url.path, [*upload_headers(url, "name", b"data"), *length(400_000)]))
        broken.send(b"x" * 200_000)
        while not stored_files(namespace):
            pass
    seen = set()
    while (401, "expired_auth_token") not in seen:
        seen.add(error(b2.put(url, "name", b"data")))
    assert seen <= {(400, "auth_token_limit"), (401, "expired_auth_token")}
    assert (b2.names(), stored_files(namespace)) == ([], 0)


def test_upload_urls_end_by_themselves_or_when_told(namespace: Namespace, b2: B2Account) -> None:
    url = b2.upload_url()
    namespace.b2.expire_tokens()
    assert b2.put(url, "name", b"data").status == 200
    namespace.b2.expire_upload_urls()
    assert error(b2.put(url, "name", b"data")) == (401, "expired_auth_token")
    b2.token = b2.authorize()["authorizationToken"]
    namespace.b2.limits.place_life = 0
    assert error(b2.put(b2.upload_url(), "name", b"data")) == (401, "expired_auth_token")


# -- names


@pytest.mark.parametrize(
    ("encoded", "name"),
    [
        ("a+b", "a b"),
        ("a%20b", "a b"),
        ("a%2Bb", "a+b"),
        ("%C3%A9/%E2%82%AC", "é/€"),
        ("x" * 250 + "/" + "%41" * 250, "x" * 250 + "/" + "A" * 250),
        ("._-~!$'()*;=:@", "._-~!$'()*;=:@"),
    ],
)
def test_names_are_decoded(b2: B2Account, encoded: str, name: str) -> None:
    assert b2.store("", b"data", ("X-Bz-File-Name", encoded))["fileName"] == name
    assert b2.names() == [name]
    path = f"/file/{b2.b2.bucket_name}/{encoded}"
    answer = b2.send("GET", path, [("Authorization", b2.token)])
    assert answer.body == b"data"
    assert b2.store("", b"", ("X-Bz-File-Name", str(answer.get("x-bz-file-name"))))["fileName"] == name


BAD_NAMES = ["/a", "a/", "a//b", "a%0Ab", "a%7F", "a%5Cb", "x" * 251, "/".join(["x" * 250] * 5)]


@pytest.mark.parametrize("encoded", BAD_NAMES)
def test_names_that_files_cannot_have_are_refused(b2: B2Account, encoded: str) -> None:
    answer = b2.put(b2.upload_url(), "", b"data", ("X-Bz-File-Name", encoded))
    assert error(answer) == (400, "bad_request")


# -- versions


def test_the_latest_version_counts_until_it_is_deleted(b2: B2Account) -> None:
    one, two = b2.store("name", b"one"), b2.store("name", b"two")
    assert two["uploadTimestamp"] > one["uploadTimestamp"]
    assert b2.download("name").body == b"two"
    assert b2.versions() == [("name", "upload")] * 2
    b2.call("b2_delete_file_version", fileId=two["fileId"], fileName="name")
    assert b2.download("name").body == b"one"
    again = b2.ask("b2_delete_file_version", fileId=two["fileId"], fileName="name")
    assert error(again) == (400, "file_not_present")
    assert error(b2.ask("b2_get_file_info", fileId=two["fileId"])) == (404, "not_found")


def test_a_version_is_deleted_by_its_own_name_only(namespace: Namespace, b2: B2Account) -> None:
    stored = b2.store("name", b"data")
    answer = b2.ask("b2_delete_file_version", fileId=stored["fileId"], fileName="other")
    assert error(answer) == (400, "file_not_present")
    assert stored_files(namespace) == 1
    b2.call("b2_delete_file_version", fileId=stored["fileId"], fileName="name")
    assert stored_files(namespace) == 0


def test_a_hidden_name_is_found_by_its_versions_only(b2: B2Account) -> None:
    stored = b2.store("name", b"data")
    hidden = b2.call("b2_hide_file", bucketId=b2.bucket(), fileName="name")
    assert (hidden["action"], hidden["contentType"], hidden["size"]) == ("hide", None, 0)
    assert b2.names() == []
    assert b2.versions() == [("name", "hide"), ("name", "upload")]
    assert error(b2.download("name")) == (404, "not_found")
    path = f"/b2api/v1/b2_download_file_by_id?fileId={stored['fileId']}"
    assert b2.send("GET", path, [("Authorization", b2.token)]).body == b"data"
    fields = {"bucketId": b2.bucket(), "fileName": "name"}
    assert error(b2.ask("b2_hide_file", **fields)) == (400, "already_hidden")
    assert error(b2.ask("b2_hide_file", **fields | {"fileName": "no"})) == (400, "no_such_file")
    b2.call("b2_delete_file_version", fileId=hidden["fileId"], fileName="name")
    assert b2.download("name").body == b"data"


# -- listings


@pytest.fixture(scope="module")
def listed() -> Any:
    with Namespace(rawx=1) as namespace:
        b2 = B2Account(namespace.b2)
        url = b2.upload_url()
        for name in NAMES:
            for _ in range(1 + len(name) % 3):
                assert b2.put(url, name, b"").status == 200
        b2.call("b2_hide_file", bucketId=b2.bucket(), fileName="c/hidden")
        b2.start_large("a/unfinished")
        yield b2


NAMES = ["a", "a b", "a/1", "a/2", "a/b/1", "aé", "b", "c/hidden", "c/é", "z/1", "\U0001f600", "\uffee"]
VISIBLE = sorted({*NAMES} - {"c/hidden"}, key=str.encode)


@settings(deadline=None, max_examples=40)
@example(limit=1, start=None, prefix=None, delimiter="/")
@given(
    limit=st.integers(1, 13),
    start=st.sampled_from([None, "", "a", "a/", "a/1", "c", "zz"]),
    prefix=st.sampled_from([None, "", "a", "a/", "c/", "x"]),
    delimiter=st.sampled_from([None, "/"]),
)
def test_pages_show_together_what_is_there_once(
    listed: B2Account, limit: int, start: str | None, prefix: str | None, delimiter: str | None
) -> None:
    first, begin = start or "", prefix or ""
    expected = []
    for name in VISIBLE:
        if name.startswith(begin) and name.encode() >= first.encode():
            inside, slash, _ = name[len(begin) :].partition(delimiter or "\0")
            shown = begin + inside + slash
            if shown not in expected:
                expected.append(shown)
    found, following = [], start
    while True:
        page = listed.call(
            "b2_list_file_names",
            bucketId=listed.bucket(),
            startFileName=following,
            maxFileCount=limit,
            prefix=prefix,
            delimiter=delimiter,
        )
        assert len(page["files"]) <= limit
        found += [item["fileName"] for item in page["files"]]
        following = page["nextFileName"]
        if following is None or len(found) > len(expected):
            break
    assert found == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_of_versions_show_each_of_them_once_the_newest_first(listed: B2Account, limit: int) -> None:
    found = listed.versions(maxFileCount=limit)
    expected = []
    for name in sorted({*NAMES, "a/unfinished"}, key=str.encode):
        expected += [(name, "hide")] if name == "c/hidden" else []
        expected += [(name, "start")] if name == "a/unfinished" else []
        expected += [(name, "upload")] * (1 + len(name) % 3) if name in NAMES else []
    assert found == expected


def test_no_date_is_given_twice() -> None:
    clock = Clock(tick=10**15)
    assert len({clock.now() for _ in range(5)}) == 5


def test_a_folder_is_an_entry_without_file(listed: B2Account) -> None:
    page = listed.call("b2_list_file_names", bucketId=listed.bucket(), prefix="a/", delimiter="/")
    folder = page["files"][-1]
    assert (folder["action"], folder["fileName"], folder["fileId"]) == ("folder", "a/b/", None)
    assert (folder["contentLength"], folder["size"], folder["uploadTimestamp"]) == (0, 0, 0)


def test_a_listing_of_versions_goes_on_where_it_was_though_that_is_deleted(b2: B2Account) -> None:
    for data in (b"1", b"2", b"3"):
        b2.store("name", data)
    fields = {"bucketId": b2.bucket(), "maxFileCount": 1}
    page = b2.call("b2_list_file_versions", **fields)
    name, file_id = page["nextFileName"], page["nextFileId"]
    b2.call("b2_delete_file_version", fileId=file_id, fileName=name)
    page = b2.call("b2_list_file_versions", **fields, startFileName=name, startFileId=file_id)
    assert [item["contentSha1"] for item in page["files"]] == [digest(b"1")]
    assert page["nextFileName"] is None


@pytest.mark.parametrize("count", [-1, 10_001])
def test_counts_out_of_range_are_refused(b2: B2Account, count: int) -> None:
    for operation in ("b2_list_file_names", "b2_list_file_versions"):
        answer = b2.ask(operation, bucketId=b2.bucket(), maxFileCount=count)
        assert error(answer) == (400, "out_of_range")


def test_the_default_page_has_100_entries(b2: B2Account) -> None:
    url = b2.upload_url()
    for number in range(101):
        assert b2.put(url, f"{number:03}", b"").status == 200
    for fields in ({}, {"maxFileCount": 0}):
        page = b2.call("b2_list_file_names", bucketId=b2.bucket(), **fields)
        assert (len(page["files"]), page["nextFileName"]) == (100, "099 ")


def test_the_id_to_start_with_needs_its_name_and_a_date(b2: B2Account) -> None:
    stored = b2.store("name", b"")
    fields = {"bucketId": b2.bucket()}
    answer = b2.ask("b2_list_file_versions", **fields, startFileId=stored["fileId"])
    assert error(answer) == (400, "bad_request")
    answer = b2.ask("b2_list_file_versions", **fields, startFileName="name", startFileId="x")
    assert error(answer) == (400, "invalid_file_id")
