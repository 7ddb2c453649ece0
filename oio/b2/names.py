# SPDX-License-Identifier: Apache-2.0
"""Names and descriptions of the files of Backblaze B2, as headers and URLs carry them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

DEFAULT_MIME_TYPE = "application/octet-stream"
_FORBIDDEN = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
MAX_NAME = 1024
#: Characters that B2 leaves bare. A plus would be read as a space.
_BARE = "/._-~!$'()*;=:@"
#: Names that need no encoding, as those of the files of objects.
_PLAIN = re.compile(r"[A-Za-z0-9/_~!$'()*;=:@-]*", re.ASCII)
_INFO_NAME = re.compile(r"[A-Za-z0-9_-]{1,50}", re.ASCII)


def encode_name(name: str) -> str:
    """Encode a file name for headers and URLs.

    >>> encode_name("a b+é/(1)")
    'a%20b%2B%C3%A9/(1)'
    """
    if _PLAIN.fullmatch(name):
        return name
    parts = quote(name, safe=_BARE).split("/")
    # Segments of dots mean something else in a URL, and a proxy may resolve them.
    return "/".join(part.replace(".", "%2E") if part in {".", ".."} else part for part in parts)


def file_path(bucket_name: str, name: str) -> str:
    """Path of a file, below the URL of downloads."""
    return f"/file/{encode_name(bucket_name)}/{encode_name(name)}"


def check_file_name(name: object) -> str:
    """Refuse a name that no file can have.

    :raises TypeError: it is not a str
    :raises ValueError: it is empty, or longer than 1024 bytes, or has control characters
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {type(name).__name__}: {name!r:.80}")
    size = len(name.encode("utf-8", errors="surrogatepass"))
    if not 1 <= size <= MAX_NAME:
        raise ValueError(f"name is {size} bytes long in UTF-8, 1 to {MAX_NAME} are allowed: {name!r:.80}")
    if _FORBIDDEN.search(name):
        raise ValueError(f"name has characters that no file name may have: {name!r:.80}")
    return name


@dataclass(frozen=True)
class Description:
    """Name and description of a new file.

    :param info: text under names that headers can carry
    :raises TypeError: the name is not a str
    :raises ValueError: a value cannot be sent
    """

    name: str
    mime_type: str = DEFAULT_MIME_TYPE
    info: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_file_name(self.name)
        kind = self.mime_type
        if not isinstance(kind, str) or not kind or not kind.isascii() or not kind.isprintable():
            raise ValueError(f"mime_type must be printable ASCII: {kind!r:.80}")
        for key, value in self.info.items():
            if not isinstance(key, str) or not isinstance(value, str) or not _INFO_NAME.fullmatch(key):
                raise ValueError(
                    f"info must be text under names of letters, digits, '-' and '_': {key!r:.80}"
                )

    def headers(self) -> dict[str, str]:
        """Headers of the upload."""
        headers = {"X-Bz-File-Name": encode_name(self.name), "Content-Type": self.mime_type}
        for key, value in self.info.items():
            headers[f"X-Bz-Info-{key}"] = encode_name(value)
        return headers
