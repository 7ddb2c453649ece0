# SPDX-License-Identifier: Apache-2.0
"""Uploads to the B2 service: whole files and parts of large ones, checked before they are stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from oio.sandbox.b2.calls import B2Call, checked_info, checked_name, decode, described
from oio.sandbox.b2.errors import B2Refusal, bad_request
from oio.sandbox.b2.files import LAST_PART, content_type, described_part
from oio.sandbox.b2.versions import Version
from oio.sandbox.http.values import parse_integer

if TYPE_CHECKING:
    from collections.abc import Callable

    from oio.sandbox.b2.upload_urls import UploadUrl
    from oio.sandbox.storage.files import Writing

_AT_END: Final = "hex_digits_at_end"
_UNCHECKED: Final = "do_not_verify"
_DIGITS: Final = 40
_SHA1: Final = re.compile(r"[0-9a-fA-F]{40}")
_INFO: Final = "x-bz-info-"
_FORBIDDEN: Final = ("disposition", "encoding", "language", "location", "range")


def _upload_file(call: B2Call) -> dict[str, object]:
    with _upload_url(call) as upload_url:
        name = checked_name(decode(_required(call, "X-Bz-File-Name")))
        if not name.startswith(upload_url.prefix or ""):
            raise B2Refusal(401, f"the key is restricted to names that begin with {upload_url.prefix}")
        for header in [*(f"Content-{end}" for end in _FORBIDDEN), "Expires"]:
            if call.request.get(header) is not None:
                raise bad_request(f"header {header} is not allowed")
        info = checked_info(_info(call), name)
        type_ = content_type(_required(call, "Content-Type"), name)
        digest = _announced(call)
        with call.store.receive() as data:
            sha1 = _receive(call, digest, data)
            version = Version(upload_url.bucket, name, length=data.size, sha1=sha1, type=type_, info=info)
            return described(call, call.store.versions.store(version, data))


def _upload_part(call: B2Call) -> dict[str, object]:
    with _upload_url(call) as upload_url:
        file_id = upload_url.file or ""
        call.store.large.get(file_id)
        number = parse_integer(_required(call, "X-Bz-Part-Number"))
        if number is None or not 1 <= number <= LAST_PART:
            raise bad_request(f"X-Bz-Part-Number must be 1 to {LAST_PART}")
        digest = _announced(call)
        if digest == _UNCHECKED:
            raise bad_request("the SHA-1 of a part is needed")
        with call.store.receive() as data:
            _receive(call, digest, data)
            if not data.size:
                raise bad_request("a part must have one byte at least")
            return described_part(call, call.store.large.add(file_id, number, data))


@contextmanager
def _upload_url(call: B2Call) -> Iterator[UploadUrl]:
    """Hold the upload URL of a request."""
    target, url_id = call.rest if len(call.rest) == 2 else ("", "")
    with call.store.upload_urls.use(url_id, target, call.request.get("authorization")) as upload_url:
        try:
            yield upload_url
        except OSError as exc:
            raise B2Refusal(503, f"no tomes available: {exc.strerror}") from exc


def _required(call: B2Call, name: str) -> str:
    value = call.request.get(name)
    if not value:
        raise bad_request(f"Missing header: {name}")
    return value


def _info(call: B2Call) -> dict[str, str]:
    pairs = ((name.lower(), value) for name, value in call.request.headers)
    return {name[len(_INFO) :]: decode(value) for name, value in pairs if name.startswith(_INFO)}


def _announced(call: B2Call) -> str:
    """Check the length of an upload, and return the SHA-1 that the client announces."""
    length = parse_integer(_required(call, "Content-Length"))
    digest = _required(call, "X-Bz-Content-Sha1")
    if not (digest in {_AT_END, _UNCHECKED} or _SHA1.fullmatch(digest)):
        raise bad_request(f"bad X-Bz-Content-Sha1: {digest}")
    size = (length or 0) - (_DIGITS if digest == _AT_END else 0)
    if not 0 <= size <= call.store.limits.largest_upload:
        raise bad_request(f"bad Content-Length: {length}")
    return digest


def _receive(call: B2Call, digest: str, data: Writing) -> str:
    """Write the body of a request; return its SHA-1 as answers show it."""
    tail = Tail(_DIGITS if digest == _AT_END else 0)
    for block in tail.held_back(call.request.stream):
        data.write(block)
    expected = tail.last.decode("latin-1") if digest == _AT_END else digest
    if digest != _UNCHECKED and expected.lower() != data.digest:
        raise bad_request("Sha1 did not match data received")
    return f"unverified:{data.digest}" if digest == _UNCHECKED else data.digest


class Tail:
    """The last ``size`` bytes of a stream: a checksum, not data."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.last = b""

    def held_back(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the stream without its last ``size`` bytes."""
        if not self._size:
            yield from blocks
            return
        for block in blocks:
            joined = self.last + block
            self.last = joined[-self._size :]
            if len(joined) > self._size:
                yield joined[: -self._size]


UPLOAD_OPERATIONS: Final[dict[str, Callable[[B2Call], dict[str, object]]]] = {
    "b2_upload_file": _upload_file,
    "b2_upload_part": _upload_part,
}
