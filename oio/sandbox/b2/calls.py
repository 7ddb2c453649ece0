# SPDX-License-Identifier: Apache-2.0
"""Requests to the B2 service, and the form of its answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote_to_bytes

from oio.sandbox.b2.errors import B2Refusal, bad_request
from oio.sandbox.b2.versions import HIDE, Version
from oio.sandbox.http.values import parse_integer, parse_query
from oio.sandbox.messages import Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from oio.sandbox.b2.keys import Key
    from oio.sandbox.b2.store import B2Store

_JSON: Final = (
    ("Content-Type", "application/json;charset=UTF-8"),
    ("Cache-Control", "max-age=0, no-cache, no-store"),
)
_LARGEST_BODY: Final = 4 * 1024 * 1024
_BARE: Final = "._-/~!$'()*;=:@"
_NAME_BYTES: Final = 1024
_SEGMENT_BYTES: Final = 250
_INFO_ENTRIES: Final = 10
_INFO_NAME: Final = re.compile(r"[0-9a-z_-]{1,50}")
_INFO_BYTES: Final = 7000


@dataclass(frozen=True)
class B2Call:
    """One call of an operation, in the shapes of one version of the API.

    Every method that reads an argument raises :class:`B2Refusal` with status 400 when it is malformed.

    :param store: the store of the service.
    :param endpoint: URL of the service.
    :param version: of the API, from 1.
    :param request: the request itself.
    :param rest: what follows the operation in its path.
    """

    store: B2Store
    endpoint: str
    version: int
    request: Request
    rest: tuple[str, ...]
    body: Mapping[str, object]

    def token(self) -> str | None:
        """Return the token of the request: that of its header, or of the query of a download."""
        asked = parse_query(self.request.query).get("Authorization", b"").decode("utf-8", "replace")
        return self.request.get("authorization") or asked or None

    def holder(self) -> Key:
        """Return the key of the token of the request."""
        return self.store.keys.holder(self.token())

    def text(self, name: str) -> str:
        """Return a field that must be there."""
        value = self.optional(name)
        if value is None:
            raise bad_request(f"required field {name} is missing")
        return value

    def optional(self, name: str) -> str | None:
        """Return a text, None when it is absent."""
        value = self.body.get(name)
        if value is not None and not isinstance(value, str):
            raise bad_request(f"field {name} must be a string")
        return value

    def number(self, name: str, default: int, largest: int, *, least: int = 0) -> int:
        """Return a number within bounds; absent or 0, it is the default."""
        value = self.body.get(name)
        if isinstance(value, str):
            value = parse_integer(value)
            if value is None:
                raise bad_request(f"field {name} must be a number")
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            raise bad_request(f"field {name} must be a number")
        if not least <= value <= largest:
            raise bad_request(f"{name} out of range: {value}", "out_of_range")
        return value or default

    def texts(self, name: str) -> list[str]:
        """Return a list of texts that must be there."""
        value = self.body.get(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise bad_request(f"field {name} must be a list of strings")
        return value

    def info(self, name: str) -> dict[str, str]:
        """Return names and values, none when they are absent."""
        value = self.body.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise bad_request(f"field {name} must be an object of strings")
        return {key.lower(): item for key, item in value.items()}


def read_arguments(request: Request) -> Mapping[str, object]:
    """Return the arguments of an operation: those of the query of a GET, or the JSON object of a POST."""
    if request.method in {"GET", "HEAD"}:
        try:
            return {name: value.decode() for name, value in parse_query(request.query).items()}
        except UnicodeDecodeError as exc:
            raise bad_request(f"query is not UTF-8: {exc}") from exc
    text = bytearray()
    for block in request.stream:
        text += block
        if len(text) > _LARGEST_BODY:
            raise bad_request("request body is too large")
    if not text:
        return {}
    try:
        value = json.loads(bytes(text))
    except (ValueError, RecursionError) as exc:
        raise bad_request(f"request body is not JSON: {exc}", "bad_json") from exc
    if not isinstance(value, dict):
        raise bad_request("request body is not a JSON object", "bad_json")
    return value


def answer(value: Mapping[str, object]) -> Response:
    """Return a success."""
    return Response(200, _JSON, json.dumps(value, separators=(",", ":")).encode())


def refused(refusal: B2Refusal, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Return the answer to a refused request."""
    value = {"status": refusal.status, "code": refusal.code, "message": refusal.message}
    return Response(refusal.status, [*_JSON, *headers], json.dumps(value).encode())


# -- names


def encode(text: str) -> str:
    """Percent-encode a text for a header.

    >>> encode("a b/é+")
    'a%20b/%C3%A9%2B'
    """
    return quote(text, safe=_BARE)


def decode(text: str) -> str:
    """Decode a text of a header or a path, in which a plus is a space.

    >>> decode("a+b%2B")
    'a b+'
    """
    try:
        return unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError as exc:
        raise bad_request(f"not percent-encoded UTF-8: {exc}") from exc


def checked_name(name: str) -> str:
    """Return a file name; raise :class:`B2Refusal` when no file can have it."""
    problem = None
    if not 1 <= len(name.encode()) <= _NAME_BYTES:
        problem = "must have 1 to 1024 bytes"
    elif any(ord(char) < 32 or ord(char) == 127 for char in name):
        problem = "must have no control characters"
    elif "\\" in name:
        problem = "must have no backslash"
    elif name.startswith("/") or name.endswith("/") or "//" in name:
        problem = "must not begin or end with a slash, nor have two in a row"
    elif any(len(segment.encode()) > _SEGMENT_BYTES for segment in name.split("/")):
        problem = "must have no more than 250 bytes between slashes"
    if problem:
        raise bad_request(f"file name {problem}")
    return name


def checked_info(info: dict[str, str], name: str) -> dict[str, str]:
    """Return the info of a file of this name; raise :class:`B2Refusal` when it is too large or malformed."""
    if len(info) > _INFO_ENTRIES:
        raise bad_request(f"more than {_INFO_ENTRIES} entries of file info")
    for key in info:
        if not _INFO_NAME.fullmatch(key):
            raise bad_request(f"bad name of file info: {key}")
    if len(name.encode()) + sum(len(key) + len(value.encode()) for key, value in info.items()) > _INFO_BYTES:
        raise bad_request(f"file name and info have more than {_INFO_BYTES} bytes")
    return info


# -- files


def described(call: B2Call, version: Version, *, listed: bool = False) -> dict[str, object]:
    """Return a version as answers describe it.

    :param listed: in a listing, or a hide marker, which version 1 of the API writes differently.
    """
    value: dict[str, object] = {
        "action": version.action,
        "contentLength": version.length,
        "contentSha1": version.sha1,
        "contentType": version.type,
        "fileId": version.id,
        "fileInfo": dict(version.info),
        "fileName": version.name,
        "uploadTimestamp": version.stamp,
    }
    if call.version == 1:
        owner = {"accountId": call.store.account, "bucketId": version.bucket}
        return value | ({"size": version.length} if listed else owner)
    if version.action == HIDE:
        value["contentType"] = "application/x-bz-hide-marker"
    return value | {
        "accountId": call.store.account,
        "bucketId": version.bucket,
        "contentMd5": None,
        "fileRetention": {
            "isClientAuthorizedToRead": True,
            "value": {"mode": None, "retainUntilTimestamp": None},
        },
        "legalHold": {"isClientAuthorizedToRead": True, "value": None},
        "replicationStatus": None,
        "serverSideEncryption": {"algorithm": None, "mode": None},
    }
