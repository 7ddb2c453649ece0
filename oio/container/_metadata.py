# SPDX-License-Identifier: Apache-2.0
"""Descriptions of objects in headers, and checks that they can be believed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from oio.common.answers import JsonObject
from oio.common.chunks import ChunkDict
from oio.common.constants import OBJECT_METADATA_KEYS, OBJECT_METADATA_PREFIX
from oio.common.http_urllib3 import urllib3

CONTENT_HEADER_PREFIX = OBJECT_METADATA_PREFIX
SYSMETA_KEYS = OBJECT_METADATA_KEYS

CHUNK_SYSMETA_PREFIX = "__OIO_CHUNK__"
"""Prefix of the properties that tell how well a chunk is placed."""

_ESCAPED_VALUE = re.compile(r"[A-Za-z0-9._~%!*'()-]*")


def extract_chunk_qualities(properties: Any, raw: bool = False) -> JsonObject:
    """Take the placement of chunks from the properties of an object.

    :param properties: dict of properties, or list of ``{"key": name, "value": text}`` when `raw`
    :returns: the quality dict of each chunk URL

    >>> extract_chunk_qualities({"__OIO_CHUNK__http://h/AB": '{"final_dist": 1}', "color": "red"})
    {'http://h/AB': {'final_dist': 1}}
    """
    items = ((p["key"], p["value"]) for p in properties) if raw else properties.items()
    return {
        key[len(CHUNK_SYSMETA_PREFIX) :]: json.loads(value)
        for key, value in items
        if key.startswith(CHUNK_SYSMETA_PREFIX)
    }


def extract_content_headers_meta(headers: Mapping[str, str]) -> JsonObject:
    """Make the description of an object from the headers of a response.

    :param headers: mapping of names, in any case, to values
    :returns: a dict of the fields found (text), with the properties of the user in ``properties``

    >>> extract_content_headers_meta({"X-Oio-Content-Meta-Mime-Type": "text/plain"})
    {'properties': {}, 'mime_type': 'text/plain'}
    """
    properties: dict[str, str] = {}
    meta: JsonObject = {"properties": properties}
    for name, value in headers.items():
        key = name.lower()
        if not key.startswith(CONTENT_HEADER_PREFIX):
            continue
        suffix = key[len(CONTENT_HEADER_PREFIX) :]
        if suffix in SYSMETA_KEYS:
            meta[suffix.replace("-", "_")] = unquote(value)
        else:
            properties[name[len(CONTENT_HEADER_PREFIX) :]] = unquote(value)
    return meta


def is_trustworthy(resp: object) -> bool:
    """Tell whether the headers of a ``locate`` with properties describe the object, and nothing else.

    Keys of properties are sent raw: some hide the headers that follow, some double a real one, some are
    cut at a colon (pitfall 158). What a key has touched is told by a missing or doubled header, by a
    complaint of the parser, or by a value that is not escaped.
    """
    if not isinstance(resp, urllib3.BaseHTTPResponse):
        # An application's test has put its own in the place of requests: nothing can be lost on its way.
        return True
    original = getattr(resp, "_original_response", None)
    # Our connections note it; those of a host's own pool leave the complaints in the message.
    if getattr(original, "head_is_broken", False):
        return False
    message = getattr(original, "msg", None)
    if message is not None and (message.defects or message.get_payload()):
        return False
    seen: set[str] = set()
    # One item for each line of the answer: a header that came twice is there twice.
    for name, value in resp.headers.items():
        key = name.lower()
        if not key.startswith(CONTENT_HEADER_PREFIX):
            continue
        key = key[len(CONTENT_HEADER_PREFIX) :]
        if key in seen or not (key in SYSMETA_KEYS or _ESCAPED_VALUE.fullmatch(value)):
            return False
        seen.add(key)
    return seen.issuperset(SYSMETA_KEYS)


def check_chunks(chunks: list[ChunkDict]) -> list[ChunkDict]:
    """Give back chunks that tell where they are, and which part of the object they hold.

    :raises LookupError: one does not; or TypeError, ValueError
    """
    for chunk in chunks:
        urlsplit(chunk["url"])
        int(str(chunk["pos"]).partition(".")[0])
    return chunks
