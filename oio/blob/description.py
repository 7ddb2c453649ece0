# SPDX-License-Identifier: Apache-2.0
"""Descriptions of chunks: read from headers, made for copies, compared, translated for new chunks."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from urllib.parse import quote, unquote

from oio.common import exceptions as exc
from oio.common.answers import JsonMapping, JsonObject
from oio.common.constants import BLAKE3, CHUNK_HEADERS, CHUNK_XATTR_KEYS_OPTIONAL, MD5, OIO_VERSION
from oio.common.fullpath import decode_fullpath, encode_fullpath
from oio.common.storage_method import parse_chunk_method
from oio.common.utils import cid_from_name

_FREE_ATTRIBUTE = "x-oio-ext-"

_ARGUMENTS = {
    "cid": "container_id",
    "path": "content_path",
    "version": "content_version",
    "content_id": "content_id",
}
"""Arguments that tell the owner of a copy, and the same in the description of a chunk."""


def extract_headers_meta(headers: Mapping[str, str], check: bool = True) -> JsonObject:
    """Make the description of a chunk from the headers of a response.

    :param headers: names in any case
    :param check: refuse a description that lacks something mandatory
    :returns: a dict with the keys of :data:`~oio.common.constants.CHUNK_HEADERS`; values are text, but
        ``chunk_mtime`` (seconds); ``full_path`` stays percent-encoded
    :raises FaultyChunk: with a :class:`~oio.common.exceptions.MissingAttribute` for each header missing
    """
    found = {name.lower(): value for name, value in headers.items()}
    meta: JsonObject = {}
    missing = []
    for key, header in CHUNK_HEADERS.items():
        value = found.get(header)
        if value is None:
            if key not in CHUNK_XATTR_KEYS_OPTIONAL:
                missing.append(exc.MissingAttribute(key))
        elif key == "chunk_mtime":
            date = parsedate_tz(value)
            if date is not None:
                meta[key] = float(mktime_tz(date))
        else:
            meta[key] = value if key == "full_path" else unquote(value)
    if check and missing:
        raise exc.FaultyChunk(*missing)
    return meta


def owner_of_copy(own: str | None, fullpath: str | None, parts: JsonObject) -> JsonObject:
    """Describe the owner of a copy.

    :param own: full path of the chunk that is copied
    :param fullpath: full path of the owner, if it is given
    :param parts: arguments of the caller, with the keys of :data:`_ARGUMENTS`; None for those not given
    :raises ValueError: the full path is missing, or the parts contradict it
    """
    if fullpath is None:
        if own is None:
            raise ValueError("fullpath is required: the chunk has none")
        account, container, *described = decode_fullpath(own)
        names = ("path", "version", "content_id")
        mixed = [parts[name] or value for name, value in zip(names, described, strict=True)]
        fullpath = encode_fullpath(account, container, *mixed)
    owner = _parts_of(fullpath)
    for name, value in parts.items():
        if value is None:
            continue
        right = owner[_ARGUMENTS[name]]
        # All but the path are digits, decimal or hexadecimal, in either case.
        is_right = value == right if name == "path" else str(value).upper() == right.upper()
        if not is_right:
            raise ValueError(f"{name} {value!r} does not go with full path {fullpath!r}")
    return dict(owner, full_path=fullpath)


def _parts_of(fullpath: str) -> dict[str, str]:
    account, container, path, version, content_id = decode_fullpath(fullpath)
    return {
        "container_id": cid_from_name(account, container),
        "content_path": path,
        "content_version": version,
        "content_id": content_id,
    }


_NAMES_IN_OBJECTS = {
    "content_id": "id",
    "content_version": "version",
    "content_policy": "policy",
    "content_chunkmethod": "chunk_method",
}
"""Keys of the description of a chunk, and the same in that of an object."""


def object_metadata(meta: JsonMapping) -> JsonObject:
    """Translate the description of a chunk into that of the object it belongs to.

    :param meta: with the keys of chunks, or with those of objects, which win
    :raises FaultyChunk: something that chunks are stored with is missing
    """
    named = {name: meta[short] for name, short in _NAMES_IN_OBJECTS.items() if meta.get(short)}
    meta = {**meta, **named}
    required = ("content_policy", "full_path", "content_chunkmethod")
    missing = [name for name in required if not meta.get(name)]
    if meta.get("chunk_pos") in {None, ""}:
        missing.insert(0, "chunk_pos")
    if missing:
        raise exc.FaultyChunk(*map(exc.MissingAttribute, missing))
    if isinstance(meta["full_path"], str):
        known = {key: value for key, value in meta.items() if value is not None}
        meta = dict(_parts_of(meta["full_path"])) | known
    sysmeta = {short: meta.get(name) for name, short in _NAMES_IN_OBJECTS.items()}
    sysmeta |= {name: meta.get(name) for name in ("content_path", "container_id", "full_path")}
    sysmeta["oio_version"] = meta.get("oio_version") or OIO_VERSION
    optional = ("chunk_hash", "metachunk_hash", "metachunk_size")
    return sysmeta | {name: meta[name] for name in optional if meta.get(name) is not None}


def owner_and_position(meta: JsonMapping) -> tuple[str, ...]:
    """Owner and position of a chunk, to be compared with those of another."""
    return (*(unquote(part) for part in meta["full_path"].split("/")), meta["chunk_pos"])


def checksum_algorithms(meta: JsonMapping, wanted: str | None) -> list[str]:
    """Algorithms of the checksum that a chunk server may compute of a chunk.

    :param meta: description of the chunk
    :param wanted: algorithm that the caller asks for; None for no checksum of ours
    """
    if wanted is None or wanted == BLAKE3:
        return [wanted] if wanted else []
    method = str(meta.get("chunk_method") or meta.get("content_chunkmethod") or "")
    named = parse_chunk_method(method)[1].get("cca") or MD5
    return [MD5] if named == MD5 else [BLAKE3, MD5]


def free_attributes(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of the attributes that a chunk has besides its description; services send them unescaped."""
    names = [name for name in headers if name.lower().startswith(_FREE_ATTRIBUTE)]
    return {name: quote(headers[name].encode("latin-1")) for name in names}
