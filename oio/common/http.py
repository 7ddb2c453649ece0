# SPDX-License-Identifier: Apache-2.0
"""HTTP headers: parsing, formatting, and those that describe a chunk."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from oio.common.constants import CHUNK_HEADERS, OIO_VERSION
from oio.common.ranges import Range, check_range
from oio.common.utils import quote

_TOKEN = r"[^\s;,=\"]+"
_PARAMETER = rf';\s*({_TOKEN})\s*=\s*({_TOKEN}|"(?:[^"\\]|\\.)*")\s*'
CONTENT_RANGE = re.compile(r"^\s*bytes\s+(\d+)-(\d+)/(\d+)\s*$", re.ASCII)
_RANGE = re.compile(r"^\s*(\d*)\s*-\s*(\d*)\s*$", re.ASCII)


def __getattr__(name: str) -> Any:
    if name == "CustomHttpConnection":
        warnings.warn(
            "oio.common.http.CustomHttpConnection is now oio.common.http_eventlet.CustomHttpConnection",
            DeprecationWarning,
            stacklevel=2,
        )
        from oio.common.http_eventlet import CustomHttpConnection

        return CustomHttpConnection
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_addr(host: str, port: int | str) -> str:
    """Join a host and a port; an IPv6 address gets brackets.

    >>> get_addr("127.0.0.1", 6000), get_addr("::1", 6000)
    ('127.0.0.1:6000', '[::1]:6000')
    """
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def parse_content_type(raw_content_type: str) -> tuple[str, list[tuple[str, str]]]:
    """Get the parameters of a content type, along with the header as it was.

    >>> parse_content_type('text/plain; charset="utf-8"; level=1')
    ('text/plain; charset="utf-8"; level=1', [('charset', 'utf-8'), ('level', '1')])
    """
    params = []
    for key, value in re.findall(_PARAMETER, raw_content_type):
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        params.append((key, value))
    return raw_content_type, params


def parse_content_range(raw_content_range: str) -> tuple[int, int, int]:
    """Get the first byte, the last byte and the whole length of a ``Content-Range``.

    :raises ValueError: the header is not of that form.

    >>> parse_content_range("bytes 0-9/100")
    (0, 9, 100)
    """
    found = CONTENT_RANGE.match(raw_content_range)
    if not found:
        raise ValueError(f"invalid content range: {raw_content_range!r}")
    return int(found[1]), int(found[2]), int(found[3])


def http_header_from_ranges(ranges: Iterable[Range]) -> str:
    """Write a ``Range`` header.

    :raises ValueError: a range has neither a first byte nor a length, or is refused by
        :func:`~oio.common.ranges.check_range`.

    >>> http_header_from_ranges([(0, 9), (None, 5), (10, None)])
    'bytes=0-9,-5,10-'
    """
    specs = []
    for start, end in ranges:
        if start is None and not end:
            raise ValueError(f"invalid range ({start}, {end})")
        check_range(start, end)
        specs.append(f"{'' if start is None else start}-{'' if end is None else end}")
    if not specs:
        raise ValueError("no range")
    return "bytes=" + ",".join(specs)


def ranges_from_http_header(val: str) -> list[Range]:
    """Read a ``Range`` header.

    :raises ValueError: the header is malformed.

    >>> ranges_from_http_header("bytes=0-9,-5,10-")
    [(0, 9), (None, 5), (10, None)]
    """
    unit, _, specs = val.partition("=")
    if unit.strip() != "bytes":
        raise ValueError(f"invalid range header: {val!r}")
    ranges: list[Range] = []
    for spec in specs.split(","):
        found = _RANGE.match(spec)
        if not found or not any(found.groups()):
            raise ValueError(f"invalid range header: {val!r}")
        start, end = (int(bound) if bound else None for bound in found.groups())
        check_range(start, end)
        ranges.append((start, end))
    return ranges


_PUT_KEYS = {
    "id": "content_id",
    "version": "content_version",
    "content_path": "content_path",
    "chunk_method": "content_chunkmethod",
    "policy": "content_policy",
    "container_id": "container_id",
    "full_path": "full_path",
}
_OPTIONAL_PUT_KEYS = ("oio_version", "metachunk_hash", "metachunk_size", "chunk_hash")


def headers_from_object_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Make the headers that all the chunks of an object are stored with.

    :param metadata: description of the object, with keys ``id version content_path chunk_method policy
        container_id full_path``, and maybe ``oio_version metachunk_hash metachunk_size chunk_hash``.
    :raises KeyError: a mandatory key is missing.

    A full path that is a list stays one: it is sent as several headers.
    """
    headers: dict[str, Any] = {"transfer-encoding": "chunked"}
    for key, header_key in _PUT_KEYS.items():
        value = metadata[key]
        if key == "chunk_method" and "/" not in str(value):
            # Without the slash, chunk servers of today hang up.
            value = f"{value}/"
        headers[CHUNK_HEADERS[header_key]] = value if isinstance(value, (list, tuple)) else str(value)
    headers[CHUNK_HEADERS["content_path"]] = quote(metadata["content_path"])
    headers[CHUNK_HEADERS["oio_version"]] = OIO_VERSION
    for key in _OPTIONAL_PUT_KEYS:
        if metadata.get(key) is not None:
            headers[CHUNK_HEADERS[key]] = str(metadata[key])
    return headers


class HeadersDict(dict[str, Any]):
    """Headers, whose names are in Title-Case whatever the case they are given in.

    :param headers: mapping or pairs.

    >>> HeadersDict({"x-oio-req-id": "A"})
    {'X-Oio-Req-Id': 'A'}
    """

    def __init__(
        self, headers: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__()
        self.update(headers or {}, **kwargs)

    def __getitem__(self, key: str) -> Any:
        return super().__getitem__(key.title())

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key.title(), value)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key.title())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and super().__contains__(key.title())

    def get(self, key: str, default: Any = None) -> Any:
        """Get the value of a header."""
        return super().get(key.title(), default)

    def pop(self, key: str, default: Any = None) -> Any:
        """Remove a header and get its value; that of one that is not there is `default`."""
        return super().pop(key.title(), default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Get the value of a header, which is set if it was not."""
        return super().setdefault(key.title(), default)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several headers."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value
