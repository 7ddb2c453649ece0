# SPDX-License-Identifier: Apache-2.0
"""Downloads from the B2 service, by name or by ID, whole or in part."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from oio.sandbox.b2.buckets import PUBLIC, Bucket
from oio.sandbox.b2.calls import B2Call, decode, encode
from oio.sandbox.b2.errors import B2Refusal, not_found
from oio.sandbox.b2.versions import HIDE, Version
from oio.sandbox.messages import FileSlice, FileSlices, Response

_RANGE: Final = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")
#: Entries of the file info that are returned as standard headers.
_PLAIN: Final = {
    "b2-content-disposition": "Content-Disposition",
    "b2-content-language": "Content-Language",
    "b2-expires": "Expires",
    "b2-cache-control": "Cache-Control",
    "b2-content-encoding": "Content-Encoding",
}


def download_by_name(call: B2Call) -> Response:
    """Return the current version of a file of a bucket."""
    bucket_name, *path = call.rest
    name = decode("/".join(path))
    bucket = call.store.buckets.named(decode(bucket_name))
    _check_reader(call, bucket, name)
    return _download(call, call.store.versions.current(bucket.id, name))


def download_by_id(call: B2Call) -> Response:
    """Return any version of a file."""
    version = call.store.versions.get(call.text("fileId"))
    _check_reader(call, call.store.buckets.get(version.bucket), version.name)
    if version.action == HIDE:
        raise not_found(f"no data: {version.id}")
    return _download(call, version)


def _check_reader(call: B2Call, bucket: Bucket, name: str) -> None:
    if bucket.type == PUBLIC:
        return
    if call.token() is None:
        raise B2Refusal(401, "a token is needed to download", "unauthorized")
    call.holder().require("readFiles", bucket.id, name)


def _download(call: B2Call, version: Version) -> Response:
    first, length = requested(call.request.get("range"), version.length)
    partial = length != version.length
    headers = [*_description(version), ("Content-Length", str(length))]
    if partial:
        headers.append(("Content-Range", f"bytes {first}-{first + length - 1}/{version.length}"))
    try:
        body = _body(call, version, first, length)
    except FileNotFoundError:
        raise not_found(f"no such file version: {version.id}") from None
    return Response(206 if partial else 200, headers, body)


def _body(call: B2Call, version: Version, first: int, length: int) -> FileSlice | FileSlices:
    """Return ``length`` bytes from ``first`` of a file, which lie in the files of its parts."""
    chosen: list[tuple[Path, int, int]] = []
    for name, size in call.store.versions.pieces(str(version.id)):
        taken = min(size - first, length)
        if first < size and taken > 0:
            chosen.append((call.store.disk.path(name), first, taken))
            length -= taken
        first = max(first - size, 0)
    if len(chosen) == 1:
        path, offset, taken = chosen[0]
        return FileSlice(path.open("rb", buffering=0), offset, taken)
    return FileSlices(chosen)


def requested(header: str | None, size: int) -> tuple[int, int]:
    """Return offset and length of the requested range; the whole file when the header makes no sense.

    >>> requested("bytes=2-3", 10), requested("bytes=-3", 10), requested("bytes=3-2", 10)
    ((2, 2), (7, 3), (0, 10))
    """
    found = _RANGE.fullmatch(header or "")
    if found is None or found.groups() == ("", ""):
        return 0, size
    start, end = (int(digits) if digits else None for digits in found.groups())
    if start is None:
        start, last = max(size - (end or 0), 0), size - 1
    else:
        last = size - 1 if end is None else min(end, size - 1)
        if end is not None and end < start:
            return 0, size
    if start >= size:
        raise B2Refusal(416, f"the file has {size} bytes")
    return start, last - start + 1


def _description(version: Version) -> list[tuple[str, str]]:
    headers = [
        ("Accept-Ranges", "bytes"),
        ("Content-Type", version.type or ""),
        ("X-Bz-File-Id", version.id or ""),
        ("X-Bz-File-Name", encode(version.name)),
        ("X-Bz-Content-Sha1", version.sha1 or ""),
        ("X-Bz-Upload-Timestamp", str(version.stamp)),
    ]
    plain = [(_PLAIN[name], value) for name, value in version.info.items() if name in _PLAIN]
    info = [
        (f"X-Bz-Info-{name}", encode(value)) for name, value in version.info.items() if name not in _PLAIN
    ]
    return [*headers, *plain, *info]
