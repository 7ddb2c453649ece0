# SPDX-License-Identifier: Apache-2.0
"""A pool of connections that records requests instead of sending them, and returns prepared answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import urllib3


@dataclass(frozen=True)
class Asked:
    """A recorded request."""

    method: str
    url: str
    headers: Any
    body: bytes | None
    timeout: Any

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        return {
            name: values[0]
            for name, values in parse_qs(urlsplit(self.url).query, keep_blank_values=True).items()
        }

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


def answer(status: int = 200, body: Any = None, **headers: str) -> urllib3.HTTPResponse:
    """An answer; a body that is neither bytes nor None is encoded as JSON."""
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib3.HTTPResponse(raw, named, status, reason="Because")


LISTING = {"x_oio_list_truncated": "false", "x_oio_truncated": "false"}
"""Headers of the last page of a listing, and of a finished flush."""
DESCRIPTION = {
    f"x_oio_content_meta_{name}": value
    for name, value in {
        "chunk_method": "plain/nb_copy=3",
        "ctime": "1554086800",
        "deleted": "False",
        "hash": "",
        "hash_method": "md5",
        "id": "AB" * 16,
        "length": "5",
        "mime_type": "application/octet-stream",
        "mtime": "1554086800",
        "name": "o",
        "policy": "THREECOPIES",
        "size": "5",
        "version": "1554086800000000",
    }.items()
}
"""Headers of the description of an object."""


class RecordingPool:
    """A pool that clients can use.

    :param answers: answers in order, exceptions to raise, or functions of a request to call; the last
        one serves for all the requests to come
    """

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers) or [answer()]
        self.asked: list[Asked] = []

    def request(
        self, method: str, url: str, headers: Any, body: bytes | None, timeout: Any, redirect: bool
    ) -> Any:
        self.asked.append(Asked(method, url, headers, body, timeout))
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if callable(found):
            found = found(self.asked[-1])
        if isinstance(found, BaseException):
            raise found
        return found
