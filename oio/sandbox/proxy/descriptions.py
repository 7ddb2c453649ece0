# SPDX-License-Identifier: Apache-2.0
"""Descriptions of containers, objects and chunks in answers of the proxy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from oio.sandbox.http.values import escape
from oio.sandbox.metadata.contents import MARKER_MIME_TYPE, Content

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oio.sandbox.metadata.layout import Chunk
    from oio.sandbox.proxy.registry import Conscience

_CONTAINER: Final = "x-oio-container-meta-"
_CONTENT: Final = "x-oio-content-meta-"


def listing_headers(properties: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the headers of a listing: system and user properties, their keys with the prefixes."""
    shown = {key: value for key, value in properties.items() if key.startswith(("sys.", "user."))}
    return [(_CONTAINER + _header_name(key), escape(value)) for key, value in shown.items()]


def container_headers(properties: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the headers of a container: all its properties but those of the user."""
    shown = {key if key.startswith("sys.") else f"x-{key}": value for key, value in properties.items()}
    return [(_CONTAINER + _header_name(key), escape(value)) for key, value in shown.items()]


def _header_name(key: str) -> str:
    # Sorted by their bytes.
    return re.sub(rb"[^0-9A-Za-z-]", b"-", key.encode()).decode()


def listed_object(content: Content, properties: Mapping[str, str], *, twice: bool) -> dict[str, object]:
    """Return an object as ``container/list`` gives it.

    :param twice: give the content ID under its former name too.
    """
    item: dict[str, object] = {
        "name": content.name,
        "version": content.version,
        "ctime": content.ctime,
        "mtime": content.mtime,
        "deleted": content.deleted,
        "id": content.id,
        **({"content": content.id} if twice else {}),
        "policy": content.policy,
        "chunk-method": content.chunk_method,
        "hash": content.hash,
        "size": content.size,
        "mime-type": MARKER_MIME_TYPE if content.deleted else content.mime_type,
    }
    return item | ({"properties": dict(properties)} if properties else {})


def content_headers(
    content: Content, properties: Mapping[str, str] | None = None, target_policy: str | None = None
) -> list[tuple[str, str]]:
    """Return the headers that describe an object, its user properties among them, sorted by name.

    The keys of user properties go raw, whatever they hold (pitfalls row 158).
    """
    values = {
        "ctime": str(content.ctime),
        "deleted": str(content.deleted),
        "mtime": str(content.mtime),
        "name": escape(content.name),
        "version": str(content.version),
    }
    if not content.deleted:
        values |= {
            "chunk-method": str(content.chunk_method),
            "hash": str(content.hash),
            "hash-method": "md5",
            "id": content.id,
            "length": str(content.size),
            "mime-type": str(content.mime_type),
            "policy": str(content.policy),
            "size": str(content.size),
        }
    if target_policy:
        values["target-policy"] = target_policy
    own = {key: escape(value) for key, value in (properties or {}).items() if key not in values}
    return sorted((_CONTENT + key, value) for key, value in (own | values).items())


def described_chunk(conscience: Conscience, chunk: Chunk) -> dict[str, object]:
    """Return a chunk as ``content/locate`` gives it."""
    return {
        "url": chunk.url,
        "real_url": conscience.real_url(chunk.url),
        "pos": chunk.pos,
        "size": chunk.size,
        "hash": chunk.hash,
        "score": conscience.score_of(chunk.url),
    }
