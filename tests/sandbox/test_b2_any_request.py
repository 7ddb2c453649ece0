# SPDX-License-Identifier: Apache-2.0
"""Whatever a B2 is asked, it answers as B2 does: with a success, or a refusal that says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oio.sandbox.b2.service import B2, OPERATIONS
from oio.sandbox.b2.store import B2Store, Limits
from oio.sandbox.messages import Request

FIELDS = (
    *("accountId", "bucketId", "bucketName", "bucketType", "bucketTypes", "bucketInfo", "fileId", "fileName"),
    *("startFileName", "startFileId", "maxFileCount", "prefix", "delimiter", "contentType", "fileInfo"),
    *("partSha1Array", "startPartNumber", "maxPartCount", "namePrefix", "keyName", "capabilities"),
    *("applicationKeyId", "bucketIds", "maxKeyCount", "startApplicationKeyId"),
)
USUAL = {
    "accountId": "ACCOUNT",
    "fileName": "a",
    "contentType": "text/plain",
    "keyName": "key",
    "capabilities": ["listFiles"],
}
TEXTS = st.sampled_from(["", "a", "a/b", "\ud800", "\0", "x" * 2000, "ACCOUNT", "9" * 25, "é", "_u99"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
HEADERS = st.sampled_from(
    [
        *(("X-Bz-File-Name", value) for value in ("a", "%", "%ff", "\udcff", "a%00")),
        *(("Content-Length", value) for value in ("4", "x", "-1", "9" * 25)),
        *(("X-Bz-Content-Sha1", value) for value in ("0" * 40, "do_not_verify", "hex_digits_at_end")),
        *(("X-Bz-Info-a", value) for value in ("v", "%ff", "\udcff")),
        *(("Authorization", value) for value in ("", "x", "Basic x", "Basic \udcff", "é")),
        *(("Range", value) for value in ("bytes=0-1", "bytes=\u0660-", "bytes=9999999999999999999-")),
        ("X-Bz-Part-Number", "\u0661"),
        ("Content-Type", "text/plain"),
        ("X-Bz-Test-Mode", "fail_some_uploads"),
    ]
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[B2, B2Store]]:
    store = B2Store(tmp_path_factory.mktemp("b2"), "ACCOUNT", Limits())
    yield B2(store, "http://host"), store
    store.close()


@settings(deadline=None, max_examples=200)
@given(
    operation=st.sampled_from([*sorted(OPERATIONS), "b2_download_file_by_id", "file"]),
    version=st.integers(1, 4),
    fields=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6),
    headers=st.lists(HEADERS, max_size=5),
    method=st.sampled_from(["POST", "POST", "POST", "GET", "HEAD", "PUT"]),
    data=st.binary(max_size=50),
)
def test_every_request_is_answered(
    service: tuple[B2, B2Store],
    operation: str,
    version: int,
    fields: dict[str, Any],
    headers: list[tuple[str, str]],
    method: str,
    data: bytes,
) -> None:
    b2, store = service
    if not store.buckets.exists("bucket"):
        store.buckets.create("bucket")
    bucket = store.buckets.named("bucket").id
    key = store.keys.master()
    token, _ = store.keys.authorise(key.id, key.secret)
    upload_url = store.upload_urls.create(bucket)
    path, asked = f"/b2api/v{version}/{operation}", [*headers, ("Authorization", token)]
    if operation == "file":
        path = "/file/bucket/a%ff"
    elif operation == "b2_upload_file":
        path, asked = f"{path}/{bucket}/{upload_url.id}", [*headers, ("Authorization", upload_url.token)]
    known = USUAL | {"bucketId": bucket} | fields
    body = data if operation in {"b2_upload_file", "b2_upload_part"} else json.dumps(known).encode()
    answer = b2.handle(Request(method, path, asked, stream=_Stream(body)))
    if not isinstance(answer.body, bytes):
        answer.body.close()
    elif answer.status >= 300:
        assert json.loads(answer.body)["status"] == answer.status
        assert answer.status in {400, 401, 403, 404, 405, 416, 503}


class _Stream:
    """A body that comes in one block."""

    trailers: list[tuple[str, str]] = []

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        return iter([self._data])
