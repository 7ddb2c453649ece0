# SPDX-License-Identifier: Apache-2.0
"""Asking the B2 of a namespace by hand, without any client of B2."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any
from urllib.parse import quote, urlsplit

from oio.sandbox import Namespace
from oio.sandbox.services import B2Service
from tests.kit.rawsocket import Answer, RawSocket

Lines = Sequence[tuple[str, str]]


def digest(data: bytes) -> str:
    return sha1(data, usedforsecurity=False).hexdigest()


def basic(key_id: str, key: str) -> str:
    return f"Basic {base64.b64encode(f'{key_id}:{key}'.encode()).decode()}"


def error(answer: Answer) -> tuple[int, str]:
    """Return status and code of a refusal, whose form is checked."""
    found = json.loads(answer.body)
    assert set(found) == {"status", "code", "message"}
    assert found["status"] == answer.status
    assert answer.get("content-type") == "application/json;charset=UTF-8"
    return answer.status, found["code"]


@dataclass(frozen=True)
class UploadUrl:
    path: str
    token: str


class B2Account:
    """One authorisation at the B2 of a namespace; every request has a connection of its own."""

    def __init__(
        self, b2: B2Service, key_id: str | None = None, key: str | None = None, *, version: int = 1
    ) -> None:
        self.b2 = b2
        self.version = version
        self.credentials = basic(key_id or b2.account_id, key or b2.application_key)
        self.session = self.authorize()
        self.token = self.session["authorizationToken"]
        self.id = self.session["accountId"]

    def authorize(self) -> dict[str, Any]:
        answer = self.send(
            "GET", f"/b2api/v{self.version}/b2_authorize_account", [("Authorization", self.credentials)]
        )
        assert answer.status == 200, answer
        return dict(json.loads(answer.body))

    def send(self, method: str, path: str, headers: Lines = (), body: bytes | None = None) -> Answer:
        with RawSocket(self.b2.address) as connection:
            return connection.ask(method, path, headers, body)

    def ask(self, operation: str, *, headers: Lines = (), **fields: Any) -> Answer:
        """Call an operation; return its answer, whatever it is."""
        return self.send(
            "POST",
            f"/b2api/v{self.version}/{operation}",
            [("Authorization", self.token), *headers],
            json.dumps(fields).encode(),
        )

    def call(self, operation: str, **fields: Any) -> dict[str, Any]:
        """Call an operation that must succeed."""
        answer = self.ask(operation, **fields)
        assert answer.status == 200, answer
        return dict(json.loads(answer.body))

    def bucket(self, name: str | None = None) -> str:
        """Return the ID of a bucket."""
        found = self.call("b2_list_buckets", accountId=self.id, bucketName=name or self.b2.bucket_name)
        return str(found["buckets"][0]["bucketId"])

    # -- uploads

    def upload_url(self, bucket: str | None = None) -> UploadUrl:
        return url_of(self.call("b2_get_upload_url", bucketId=bucket or self.bucket()))

    def part_url(self, file_id: str) -> UploadUrl:
        return url_of(self.call("b2_get_upload_part_url", fileId=file_id))

    def put(self, url: UploadUrl, name: str, data: bytes, *more: tuple[str, str]) -> Answer:
        """Upload a file; ``more`` headers replace those of the same name."""
        return self.send("POST", url.path, upload_headers(url, name, data, *more), data)

    def store(self, name: str, data: bytes, *more: tuple[str, str]) -> dict[str, Any]:
        """Upload a file to the bucket of objects."""
        answer = self.put(self.upload_url(), name, data, *more)
        assert answer.status == 200, answer
        return dict(json.loads(answer.body))

    def start_large(self, name: str = "large") -> str:
        started = self.call(
            "b2_start_large_file", bucketId=self.bucket(), fileName=name, contentType="text/plain"
        )
        return str(started["fileId"])

    def put_part(self, url: UploadUrl, number: int, data: bytes, *more: tuple[str, str]) -> Answer:
        headers = {
            "Authorization": url.token,
            "X-Bz-Part-Number": str(number),
            "X-Bz-Content-Sha1": digest(data),
        }
        return self.send("POST", url.path, list((headers | dict(more)).items()), data)

    def store_large(self, name: str, *parts: bytes) -> dict[str, Any]:
        file_id = self.start_large(name)
        url = self.part_url(file_id)
        for number, part in enumerate(parts, start=1):
            assert self.put_part(url, number, part).status == 200
        return self.call("b2_finish_large_file", fileId=file_id, partSha1Array=[*map(digest, parts)])

    # -- looking

    def download(
        self, name: str, *headers: tuple[str, str], method: str = "GET", bucket: str | None = None
    ) -> Answer:
        path = f"/file/{bucket or self.b2.bucket_name}/{quote(name)}"
        return self.send(method, path, [("Authorization", self.token), *headers])

    def names(self, **fields: Any) -> list[str]:
        """Return the names of all pages of a listing."""
        found: list[str] = []
        following: str | None = ""
        while following is not None:
            page = self.call(
                "b2_list_file_names", bucketId=self.bucket(), startFileName=following or None, **fields
            )
            found += [item["fileName"] for item in page["files"]]
            following = page["nextFileName"]
        return found

    def versions(self, **fields: Any) -> list[tuple[str, str]]:
        """Return name and action of the entries of all pages of a listing of versions."""
        found: list[tuple[str, str]] = []
        name, file_id = None, None
        while True:
            page = self.call(
                "b2_list_file_versions",
                bucketId=self.bucket(),
                startFileName=name,
                startFileId=file_id,
                **fields,
            )
            found += [(item["fileName"], item["action"]) for item in page["files"]]
            name, file_id = page["nextFileName"], page["nextFileId"]
            if name is None:
                return found


def url_of(answer: dict[str, Any]) -> UploadUrl:
    return UploadUrl(urlsplit(answer["uploadUrl"]).path, answer["authorizationToken"])


def upload_headers(url: UploadUrl, name: str, data: bytes, *more: tuple[str, str]) -> Lines:
    headers = {
        "Authorization": url.token,
        "X-Bz-File-Name": quote(name),
        "Content-Type": "text/plain",
        "X-Bz-Content-Sha1": digest(data),
    }
    return [(key, value) for key, value in (headers | dict(more)).items() if value]


def stored_files(namespace: Namespace) -> int:
    """Return how many files of data are on the disk."""
    return sum(path.is_file() for path in namespace.b2.store.disk.directory.rglob("*"))
