# SPDX-License-Identifier: Apache-2.0
"""Any answer of Backblaze B2: a result, or an exception of ours."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oio.common import exceptions as exc
from tests.kit.b2_service import client_of
from tests.kit.fuzzing import Reply, examples, mimic, spoilt

DATA = b"data of a file"
SHA1 = hashlib.sha1(DATA, usedforsecurity=False).hexdigest()
FILE = {
    "accountId": "acc",
    "action": "upload",
    "bucketId": "buck",
    "contentLength": len(DATA),
    "contentSha1": SHA1,
    "fileId": "4_z1",
    "fileName": "name",
    "size": len(DATA),
    "uploadTimestamp": 1,
}
_OK = "HTTP/1.1 200 OK"
_JSON = (("Content-Type", "application/json"),)


def replies(url: str) -> dict[str, Reply]:
    """What a B2 answers to each operation; its addresses are those of the server."""
    answers = {
        "b2_authorize_account": {
            "accountId": "acc",
            "authorizationToken": "token",
            "apiUrl": url,
            "downloadUrl": url,
            "allowed": {},
            "absoluteMinimumPartSize": 1,
            "recommendedPartSize": 100,
        },
        "b2_list_buckets": {"buckets": [{"bucketName": "box", "bucketId": "buck", "accountId": "acc"}]},
        "b2_get_upload_url": {"uploadUrl": f"{url}/b2api/v1/b2_upload_file", "authorizationToken": "t"}
        | {"bucketId": "buck"},
        "b2_upload_file": FILE,
        "b2_list_file_names": {"files": [FILE, FILE | {"fileName": "other"}], "nextFileName": None},
        "b2_list_file_versions": {"files": [FILE], "nextFileName": None, "nextFileId": None},
        "b2_delete_file_version": {"fileId": "4_z1", "fileName": "name"},
    }
    found = {name: Reply(_OK, _JSON, json.dumps(body).encode()) for name, body in answers.items()}
    headers = (("X-Bz-File-Id", "4_z1"), ("X-Bz-File-Name", "name"), ("X-Bz-Content-Sha1", SHA1))
    found["file"] = Reply(_OK, (*headers, ("Content-Type", "application/octet-stream")), DATA)
    return found


def subject_of(method: str, path: str) -> str:
    """Name the operation of a request."""
    return "file" if path.startswith("/file/") else path.split("/")[3]


CALLS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "get": (lambda b2, **limits: list(b2.get("box", "name", **limits)), ["b2_authorize_account", "file"]),
    "head": (lambda b2, **limits: b2.head("box", "name", **limits), ["file"]),
    "put": (
        lambda b2, **limits: b2.put("box", "name", DATA, **limits),
        ["b2_list_buckets", "b2_get_upload_url", "b2_upload_file"],
    ),
    "remove": (
        lambda b2, **limits: b2.remove("box", "name", **limits),
        ["b2_list_buckets", "b2_list_file_versions", "b2_delete_file_version"],
    ),
    "list": (lambda b2, **limits: list(b2.get_list_file_names("box")), ["b2_list_file_names"]),
    "infos": (lambda b2, **limits: b2.get_backblaze_infos("box"), ["b2_list_file_names"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_any_answer_is_a_result_or_an_exception_of_ours(name: str) -> None:
    call, subjects = CALLS[name]
    with mimic(subject_of=subject_of) as server:
        server.replies = replies(server.url)

        @examples(75)
        @given(st.data())
        def try_one(data: st.DataObject) -> None:
            subject = data.draw(st.sampled_from(subjects))
            server.others = {subject: data.draw(spoilt(server.replies[subject]))}
            try:
                with client_of(server) as b2:
                    call(b2, deadline=time.monotonic() + 1.0)
            except exc.OioException as err:
                str(err)

        try_one()


def test_the_answers_are_right_when_nothing_is_spoilt() -> None:
    with mimic(subject_of=subject_of) as server:
        server.replies = replies(server.url)
        for call, _ in CALLS.values():
            with client_of(server) as b2:
                call(b2)
