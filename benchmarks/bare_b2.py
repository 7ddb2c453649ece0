# SPDX-License-Identifier: Apache-2.0
"""Bare client of Backblaze B2, for objects of that policy."""

from __future__ import annotations

import base64
import configparser
import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from benchmarks.bare_http import answer, body_of


class BareB2:
    """A client for one thread; it authorises itself on first use.

    :param send: sends requests on kept connections
    :param key_file: credentials
    """

    def __init__(self, send: Callable[..., HTTPConnection], key_file: str) -> None:
        self._send = send
        self._key_file = key_file

    @functools.cached_property
    def _credentials(self) -> tuple[str, str]:
        """Its address, and what authorises there."""
        config = configparser.ConfigParser()
        config.read(self._key_file)
        section = config["backblaze"]
        name, key = next((name, key) for name, key in section.items() if name.endswith(".application_key"))
        place = name.removesuffix(".application_key")
        login = base64.b64encode(f"{place.split('.')[0]}:{key}".encode()).decode()
        return urlsplit(section[f"{place}.api_url"]).netloc, f"Basic {login}"

    @functools.cached_property
    def _session(self) -> tuple[str, str, str]:
        """The address for files, the token, and the account."""
        netloc, login = self._credentials
        connection = self._send(netloc, "GET", "/b2api/v1/b2_authorize_account", Authorization=login)
        found = json.loads(answer(connection, 200).read())
        return urlsplit(found["downloadUrl"]).netloc, found["authorizationToken"], found["accountId"]

    @functools.cached_property
    def _bucket(self) -> str:
        buckets = self._b2_call("b2_list_buckets", {"accountId": self._session[2]})["buckets"]
        return next(str(item["bucketId"]) for item in buckets if item["bucketName"].startswith("openio-"))

    @functools.cached_property
    def _upload_place(self) -> tuple[str, str, str]:
        """The address, the path and the token of uploads."""
        found = self._b2_call("b2_get_upload_url", {"bucketId": self._bucket})
        target = urlsplit(found["uploadUrl"])
        return target.netloc, target.path, found["authorizationToken"]

    def empty_bucket(self) -> None:
        """Delete all files."""
        page = {"bucketId": self._bucket, "maxFileCount": 1000}
        while found := self._b2_call("b2_list_file_versions", page)["files"]:
            for item in found:
                self._b2_call("b2_delete_file_version", {key: item[key] for key in ("fileName", "fileId")})

    def _b2_call(self, call: str, body: dict[str, Any]) -> Any:
        netloc, token, _ = self._session
        data = json.dumps(body).encode()
        connection = self._send(netloc, "POST", f"/b2api/v1/{call}", data, Authorization=token)
        return json.loads(answer(connection, 200).read())

    def upload(self, name: str, blocks: Iterator[bytes], size: int) -> None:
        netloc, path, token = self._upload_place
        digest = hashlib.sha1(usedforsecurity=False)
        headers = {
            "Authorization": token,
            "X-Bz-File-Name": name,
            "Content-Type": "application/octet-stream",
            "X-Bz-Content-Sha1": "hex_digits_at_end",
            "Content-Length": str(size + 40),
        }
        connection = self._send(netloc, "POST", path, None, **headers)
        for block in blocks:
            digest.update(block)
            connection.send(block)
        connection.send(digest.hexdigest().encode())
        found = json.loads(answer(connection, 200).read())
        if found["contentSha1"] != digest.hexdigest():
            raise OSError(f"{name}: stored as {found}")

    def download(self, bucket: str, name: str, first: int, last: int) -> Iterator[bytes]:
        netloc, token, _ = self._session
        connection = self._send(
            netloc, "GET", f"/file/{bucket}/{name}", Authorization=token, Range=f"bytes={first}-{last}"
        )
        return body_of(answer(connection, 206, 200), last - first + 1)
