# SPDX-License-Identifier: Apache-2.0
"""Descriptions of objects in headers, and checks that they can be believed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from oio.common import exceptions as exc
from oio.common import http_stack
from oio.common.answers import JsonObject, Response
from oio.common.chunks import ChunkDict
from oio.common.constants import OBJECT_METADATA_KEYS, OBJECT_METADATA_PREFIX

CONTENT_HEADER_PREFIX = OBJECT_METADATA_PREFIX
SYSMETA_KEYS = OBJECT_METADATA_KEYS

CHUNK_SYSMETA_PREFIX = "__OIO_CHUNK__"
"""Prefix of the properties that tell how well a chunk is placed."""

_TARGET_POLICY = "target-policy"
"""Field of an object that waits for another policy; among properties, maybe a property of the user."""
_FIELDS = {CONTENT_HEADER_PREFIX + key: key.replace("-", "_") for key in (*SYSMETA_KEYS, _TARGET_POLICY)}
"""Lower-case name of a header -> field of the description."""
_OF_ALL = {"name", "version", "ctime", "mtime", "deleted"}
"""Fields that the descriptions of delete markers have too."""
_OF_OBJECTS = {_FIELDS[CONTENT_HEADER_PREFIX + key] for key in SYSMETA_KEYS}
"""Fields that the descriptions of objects have."""
_PREFIX_LENGTH = len(CONTENT_HEADER_PREFIX)
_HIGHEST = 1e9
"""No score is higher: services give 0 to 100."""
_MANY_DIGITS = 10
"""Digits that the position of no chunk has; Python refuses to read thousands of them."""
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
    return _described(http_stack.index_of(headers.items()))[0]


def headers_of(resp: Response) -> dict[str, list[str]]:
    """Lower-case name of each header of a response -> its name as it came first, and all its values."""
    answer = getattr(resp, "_original_response", None)
    return (
        answer.index
        if isinstance(answer, http_stack.HTTPResponse)
        else http_stack.index_of(resp.headers.items())
    )


def _described(index: dict[str, list[str]]) -> tuple[JsonObject, bool]:
    """Make a description, and tell whether each header has one value, which is escaped if it is a property's.

    :param index: see :func:`headers_of`
    """
    properties: dict[str, str] = {}
    meta: JsonObject = {"properties": properties}
    is_clear = True
    for key, found in index.items():
        field = _FIELDS.get(key)
        if field is not None or key.startswith(CONTENT_HEADER_PREFIX):
            # Of several values, the last one counts.
            value = found[-1]
            # The name of the header and one value.
            if len(found) > 2 or not (field or _ESCAPED_VALUE.fullmatch(value)):
                is_clear = False
            if "%" in value:
                value = unquote(value)
            if field is None:
                properties[found[0][_PREFIX_LENGTH:]] = value
            else:
                meta[field] = value
    return meta, is_clear


def description_of(resp: Response, service: str | None = None) -> JsonObject:
    """Make the description of an object from the headers of a response, which must have all its fields.

    The fake answers of applications' tests may have fewer.

    :raises OioProtocolError: some are missing
    """
    meta, _ = _described(headers_of(resp))
    wanted = _OF_ALL if meta.get("deleted", "").lower() == "true" else _OF_OBJECTS
    if not meta.keys() >= wanted and not http_stack.is_made_up(resp):
        missing = ", ".join(sorted(wanted - meta.keys()))
        raise exc.OioProtocolError(f"answer has no {missing} of the object", service=service)
    return meta


def faithful_description(resp: Response) -> JsonObject | None:
    """Make the description of an object from the headers of a ``locate`` with properties, if they are right.

    Keys of properties are sent raw: some hide the headers that follow, some double a real one, some are
    cut at a colon (pitfall 158). The damage shows as a missing or doubled header, as a complaint of the
    parser, or as a value that is not escaped.

    :returns: None when the headers may describe something else than the object and its properties
    """
    original = getattr(resp, "_original_response", None)
    if isinstance(original, http_stack.HTTPResponse):
        is_broken, index = original.head_is_broken, original.index
    elif http_stack.is_made_up(resp):
        return _described(headers_of(resp))[0]
    else:
        message = getattr(original, "msg", None)
        is_broken = message is not None and (message.defects or message.get_payload())
        index = http_stack.index_of(resp.headers.items())
    if is_broken:
        return None
    meta, is_clear = _described(index)
    return meta if is_clear and meta.keys() >= _OF_OBJECTS and "target_policy" not in meta else None


def check_chunks(chunks: list[ChunkDict]) -> list[ChunkDict]:
    """Check that chunks tell where they are, and which part of the object they hold; returns them.

    :raises LookupError: one does not; or TypeError, ValueError
    """
    # An object may have thousands of chunks: values that many share are checked once.
    texts: list[str] = []
    scores, positions = set(), set()
    for chunk in chunks:
        texts.append(chunk["url"])
        if (address := chunk.get("real_url")) is not None:
            texts.append(address)
        if (digest := chunk.get("hash")) is not None:
            texts.append(digest)
        scores.add(chunk.get("score"))
        positions.add(chunk["pos"])
    # Raises TypeError for anything but text.
    joined = "".join(texts)
    if "[" in joined or "]" in joined or not joined.isascii():
        for text in texts:
            urlsplit(text)
    for score in scores:
        # A larger one would swallow the fraction that sorts equal chunks at random.
        if score is not None and not -_HIGHEST <= score <= _HIGHEST:
            raise ValueError(f"the score of a chunk is {score!r:.80}")
    for position in positions:
        if not (type(position) is str and len(position) < _MANY_DIGITS and position.isdecimal()):
            int(str(position).partition(".")[0])
    return chunks
