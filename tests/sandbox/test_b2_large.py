# SPDX-License-Identifier: Apache-2.0
"""Large files of the B2 of a namespace: parts in any order, checked when they are put together."""

from __future__ import annotations

import http.client
import json
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest

from oio.sandbox import Namespace
from tests.sandbox.b2asking import B2Account, digest, error, stored_files

PARTS = (b"a" * 100, b"b" * 120, b"c")


@pytest.fixture(autouse=True)
def small_parts(namespace: Namespace) -> None:
    namespace.b2.limits.minimum_part_size = 100


def test_a_large_file_is_its_parts_end_to_end(b2: B2Account) -> None:
    answer = b2.store_large("large", *PARTS)
    file_id = answer["fileId"]
    assert (answer["action"], answer["contentLength"], answer["contentSha1"]) == ("upload", 221, "none")
    assert b2.call("b2_get_file_info", fileId=file_id) == answer
    (listed,) = b2.call("b2_list_file_names", bucketId=b2.bucket())["files"]
    assert (listed["size"], listed["contentSha1"], listed["fileId"]) == (221, "none", file_id)
    whole = b2.download("large")
    assert (whole.body, whole.get("x-bz-content-sha1")) == (b"".join(PARTS), "none")
    for first, last in ((0, 99), (99, 100), (50, 220), (219, 400), (100, 219)):
        part = b2.download("large", ("Range", f"bytes={first}-{last}"))
        assert (part.status, part.body) == (206, b"".join(PARTS)[first : last + 1])


def test_the_answers_about_a_file_in_progress_have_the_shape_of_version_1(b2: B2Account) -> None:
    fields: dict[str, Any] = {"bucketId": b2.bucket(), "fileName": "large", "contentType": "b2/x-auto"}
    started = b2.call("b2_start_large_file", **fields, fileInfo={"large_file_sha1": "0" * 40})
    file_id, stamp = started.pop("fileId"), started.pop("uploadTimestamp")
    assert started == {
        "accountId": b2.id,
        "bucketId": b2.bucket(),
        "contentType": "application/octet-stream",
        "fileInfo": {"large_file_sha1": "0" * 40},
        "fileName": "large",
    }
    part = json.loads(b2.put_part(b2.part_url(file_id), 2, b"data").body)
    assert part.pop("uploadTimestamp") > stamp
    assert part == {
        "fileId": file_id,
        "partNumber": 2,
        "contentLength": 4,
        "contentSha1": digest(b"data"),
    }
    assert b2.call("b2_cancel_large_file", fileId=file_id) == {
        "fileId": file_id,
        "accountId": b2.id,
        "bucketId": b2.bucket(),
        "fileName": "large",
    }


def test_the_digest_of_the_whole_comes_back_when_it_was_given(b2: B2Account) -> None:
    whole = digest(b"".join(PARTS))
    file_id = b2.call(
        "b2_start_large_file",
        bucketId=b2.bucket(),
        fileName="large",
        contentType="text/plain",
        fileInfo={"large_file_sha1": whole},
    )["fileId"]
    url = b2.part_url(file_id)
    for number, part in enumerate(PARTS, start=1):
        b2.put_part(url, number, part)
    b2.call("b2_finish_large_file", fileId=file_id, partSha1Array=[*map(digest, PARTS)])
    assert b2.download("large").get("x-bz-info-large_file_sha1") == whole


def test_parts_come_in_any_order_and_at_once(b2: B2Account) -> None:
    parts = [bytes([number]) * 100 for number in range(12)]
    file_id = b2.start_large()

    def put(number: int) -> int:
        return b2.put_part(b2.part_url(file_id), number + 1, parts[number]).status

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(put, reversed(range(12)))) == {200}
    b2.call("b2_finish_large_file", fileId=file_id, partSha1Array=[*map(digest, parts)])
    assert b2.download("large").body == b"".join(parts)


def test_a_part_that_comes_again_replaces_the_former_one(namespace: Namespace, b2: B2Account) -> None:
    file_id = b2.start_large()
    url = b2.part_url(file_id)
    for data in (b"x" * 100, PARTS[0]):
        assert b2.put_part(url, 1, data).status == 200
    assert stored_files(namespace) == 1
    b2.put_part(url, 2, b"end")
    b2.call("b2_finish_large_file", fileId=file_id, partSha1Array=[digest(PARTS[0]), digest(b"end")])
    assert b2.download("large").body == PARTS[0] + b"end"


@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", ""])
def test_part_numbers_have_bounds(b2: B2Account, number: str) -> None:
    url = b2.part_url(b2.start_large())
    assert error(b2.put_part(url, 1, b"data", ("X-Bz-Part-Number", number))) == (400, "bad_request")
    assert b2.put_part(url, 10_000, b"data").status == 200


@pytest.mark.parametrize("sha1_header", [digest(b"other"), "do_not_verify", "hex_digits_at_end"])
def test_a_part_is_checked_before_it_counts(namespace: Namespace, b2: B2Account, sha1_header: str) -> None:
    file_id = b2.start_large()
    url = b2.part_url(file_id)
    answer = b2.put_part(url, 1, b"data" * 20, ("X-Bz-Content-Sha1", sha1_header))
    assert error(answer) == (400, "bad_request")
    assert b2.call("b2_list_parts", fileId=file_id)["parts"] == []
    assert stored_files(namespace) == 0
    assert error(b2.put_part(url, 1, b"")) == (400, "bad_request")
    tail = digest(b"data").encode()
    at_end = b2.put_part(url, 1, b"data" + tail, ("X-Bz-Content-Sha1", "hex_digits_at_end"))
    assert json.loads(at_end.body)["contentLength"] == 4


@pytest.mark.parametrize(
    ("parts", "array", "code"),
    [
        ({}, [], "bad_request"),
        ({1: PARTS[0]}, [PARTS[0]], "bad_request"),
        ({1: PARTS[0], 3: PARTS[2]}, [PARTS[0], PARTS[2]], "missing_part"),
        ({1: PARTS[0], 2: PARTS[1]}, [PARTS[0]], "missing_part"),
        ({1: PARTS[0]}, [PARTS[0], PARTS[1]], "missing_part"),
        ({2: PARTS[0], 3: PARTS[1]}, [PARTS[0], PARTS[1]], "missing_part"),
        ({1: PARTS[0], 2: PARTS[1]}, [PARTS[1], PARTS[0]], "part_sha1_mismatch"),
        ({1: b"small", 2: PARTS[1]}, [b"small", PARTS[1]], "bad_request"),
    ],
)
def test_a_file_that_is_not_whole_is_not_finished_and_can_be_mended(
    b2: B2Account, parts: dict[int, bytes], array: list[bytes], code: str
) -> None:
    file_id = b2.start_large()
    url = b2.part_url(file_id)
    for number, data in parts.items():
        assert b2.put_part(url, number, data).status == 200
    answer = b2.ask("b2_finish_large_file", fileId=file_id, partSha1Array=[*map(digest, array)])
    assert error(answer) == (400, code)
    assert b2.names() == []
    listed = b2.call("b2_list_parts", fileId=file_id)["parts"]
    assert [part["partNumber"] for part in listed] == sorted(parts)
    for number, data in enumerate(PARTS, start=1):
        b2.put_part(url, number, data)
    b2.call("b2_finish_large_file", fileId=file_id, partSha1Array=[*map(digest, PARTS)])


def test_the_array_of_digests_must_be_one(b2: B2Account) -> None:
    for array in (None, "x", [1]):
        answer = b2.ask("b2_finish_large_file", fileId=b2.start_large(), partSha1Array=array)
        assert error(answer) == (400, "bad_request")


def test_it_is_finished_or_cancelled_once(namespace: Namespace, b2: B2Account) -> None:
    file_id = b2.store_large("large", *PARTS)["fileId"]
    again = b2.ask("b2_finish_large_file", fileId=file_id, partSha1Array=[*map(digest, PARTS)])
    assert error(again) == (400, "bad_request")
    assert error(b2.ask("b2_cancel_large_file", fileId=file_id)) == (400, "bad_request")
    assert error(b2.ask("b2_list_parts", fileId=file_id)) == (400, "bad_request")
    assert b2.download("large").status == 200
    cancelled = b2.start_large()
    url = b2.part_url(cancelled)
    b2.put_part(url, 1, b"data")
    assert stored_files(namespace) == 4
    b2.call("b2_cancel_large_file", fileId=cancelled)
    assert stored_files(namespace) == 3
    assert error(b2.ask("b2_cancel_large_file", fileId=cancelled)) == (400, "bad_request")
    assert error(b2.put_part(url, 1, b"data")) == (400, "bad_request")
    b2.call("b2_delete_file_version", fileId=file_id, fileName="large")
    assert stored_files(namespace) == 0


def test_a_file_in_progress_is_seen_among_the_versions_only(b2: B2Account) -> None:
    b2.store("large", b"before")
    file_id = b2.start_large("large")
    assert b2.download("large").body == b"before"
    assert b2.names() == ["large"]
    assert b2.versions() == [("large", "start"), ("large", "upload")]
    assert error(b2.ask("b2_get_file_info", fileId=file_id)) == (404, "not_found")
    path = f"/b2api/v1/b2_download_file_by_id?fileId={file_id}"
    assert error(b2.send("GET", path, [("Authorization", b2.token)])) == (404, "not_found")
    b2.call("b2_delete_file_version", fileId=file_id, fileName="large")
    assert b2.versions() == [("large", "upload")]


def test_a_large_file_is_as_old_as_its_start(b2: B2Account) -> None:
    file_id = b2.start_large("name")
    b2.store("name", b"later")
    url = b2.part_url(file_id)
    for number, part in enumerate(PARTS, start=1):
        b2.put_part(url, number, part)
    b2.call("b2_finish_large_file", fileId=file_id, partSha1Array=[*map(digest, PARTS)])
    assert b2.download("name").body == b"later"


def test_parts_and_unfinished_files_are_listed_in_pages(b2: B2Account) -> None:
    ids = [b2.start_large(name) for name in ("b/1", "a/1", "b/2", "b/3")]
    url = b2.part_url(ids[0])
    for number in (7, 2, 3):
        b2.put_part(url, number, b"data")
    page = b2.call("b2_list_parts", fileId=ids[0], maxPartCount=2)
    assert ([part["partNumber"] for part in page["parts"]], page["nextPartNumber"]) == ([2, 3], 7)
    page = b2.call("b2_list_parts", fileId=ids[0], startPartNumber=4)
    assert ([part["partNumber"] for part in page["parts"]], page["nextPartNumber"]) == ([7], None)
    fields = {"bucketId": b2.bucket(), "namePrefix": "b/", "maxFileCount": 2}
    page = b2.call("b2_list_unfinished_large_files", **fields)
    assert [item["fileId"] for item in page["files"]] == [ids[0], ids[2]]
    page = b2.call("b2_list_unfinished_large_files", **fields, startFileId=page["nextFileId"])
    assert ([item["fileId"] for item in page["files"]], page["nextFileId"]) == ([ids[3]], None)


def test_an_unfinished_file_goes_on_after_a_restart(namespace: Namespace, b2: B2Account) -> None:
    file_id = b2.start_large()
    b2.put_part(b2.part_url(file_id), 1, PARTS[0])
    namespace.stop()
    namespace.start()
    b2.put_part(b2.part_url(file_id), 2, PARTS[1])
    b2.call("b2_finish_large_file", fileId=file_id, partSha1Array=[*map(digest, PARTS[:2])])
    namespace.stop()
    namespace.start()
    assert b2.download("large").body == PARTS[0] + PARTS[1]


BLOCK = os.urandom(1 << 20)


def generated(blocks: int) -> Iterator[bytes]:
    return (BLOCK for _ in range(blocks))


def sha1_of(blocks: Iterator[bytes]) -> str:
    whole = sha1(usedforsecurity=False)
    for block in blocks:
        whole.update(block)
    return whole.hexdigest()


def test_120_megabytes_pass_without_being_held_in_memory(tmp_path: Path, namespace: Namespace) -> None:
    b2 = B2Account(namespace.b2)
    file_id = b2.start_large()
    counts = (100, 20)
    digests = [sha1_of(generated(count)) for count in counts]
    connection = http.client.HTTPConnection(namespace.b2.address)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, (count, part_sha1) in enumerate(zip(counts, digests, strict=True), start=1):
        url = b2.part_url(file_id)
        headers = {
            "Authorization": url.token,
            "Content-Length": str(count << 20),
            "X-Bz-Part-Number": str(number),
            "X-Bz-Content-Sha1": part_sha1,
        }
        connection.request("POST", url.path, generated(count), headers)
        assert connection.getresponse().read().startswith(b'{"fileId"')
    b2.call("b2_finish_large_file", fileId=file_id, partSha1Array=digests)
    path = f"/file/{namespace.b2.bucket_name}/large"
    connection.request("GET", path, headers={"Authorization": b2.token})
    answer = connection.getresponse()
    blocks = iter(lambda: answer.read(1 << 20), b"")
    assert answer.status == 200
    assert sha1_of(blocks) == sha1_of(generated(sum(counts)))
    assert answer.length == 0
    connection.close()
    # In KiB; both ends are in this process.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
