# SPDX-License-Identifier: Apache-2.0
"""Metadata of containers and objects, kept in a dictionary that the application provides.

The dictionary (or anything that has its methods ``get``, ``pop`` and item assignment) is given as keyword
argument ``cache``. Nothing is cached without it, nor for a call that names a version. Changes of all the
objects of a container also iterate over its keys: in a cache that has no iterator, these objects stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from oio.common.utils import cid_from_name

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.answers import JsonArray, JsonObject
    from oio.common.keywords import RequestOptions

Cache: TypeAlias = MutableMapping[str, Any]


def _key(account: str | None, reference: str | None, path: str | None, cid: str | None) -> str:
    if cid:
        # A container ID may come with the number of its database.
        cid = cid.partition(".")[0].upper()
    elif account and reference:
        cid = cid_from_name(account, reference)
    else:
        raise ValueError("either cid, or both account and reference, must be given")
    return f"meta/{cid}" if path is None else f"meta/{cid}/{path}"


def _copy(meta: Mapping[str, object]) -> JsonObject:
    """Copy metadata, so that what the caller does to them is not seen by the next one."""
    return {key: dict(value) if isinstance(value, Mapping) else value for key, value in meta.items()}


def get_cached_container_metadata(
    account: str | None = None,
    reference: str | None = None,
    cid: str | None = None,
    cache: Cache | None = None,
    **_kwargs: Unpack[RequestOptions],
) -> JsonObject | None:
    """Get the metadata of a container; ``None`` when they are not in the cache."""
    if cache is None:
        return None
    meta = cache.get(_key(account, reference, None, cid))
    return None if meta is None else _copy(meta)


def set_cached_container_metadata(
    container_meta: Mapping[str, object],
    account: str | None = None,
    reference: str | None = None,
    cid: str | None = None,
    cache: Cache | None = None,
    **_kwargs: Unpack[RequestOptions],
) -> None:
    """Put the metadata of a container in the cache."""
    if cache is not None:
        cache[_key(account, reference, None, cid)] = _copy(container_meta)


def del_cached_container_metadata(
    account: str | None = None,
    reference: str | None = None,
    cid: str | None = None,
    cache: Cache | None = None,
    **_kwargs: Unpack[RequestOptions],
) -> None:
    """Remove the metadata of a container from the cache."""
    if cache is not None:
        cache.pop(_key(account, reference, None, cid), None)


def get_cached_object_metadata(
    account: str | None = None,
    reference: str | None = None,
    path: str | None = None,
    cid: str | None = None,
    version: int | str | None = None,
    properties: bool = True,
    cache: Cache | None = None,
    **_kwargs: Unpack[RequestOptions],
) -> tuple[JsonObject | None, JsonArray | None]:
    """Get the metadata and the chunks of an object; ``(None, None)`` when they are not in the cache.

    :param properties: whether the properties are wanted: metadata cached without them are not enough then.
    """
    if cache is None or version is not None or path is None:
        return None, None
    entry = cache.get(_key(account, reference, path, cid))
    if entry is None or (properties and not entry["has_properties"]):
        return None, None
    meta = _copy(entry["meta"])
    meta["properties"] = (meta.get("properties") or {}) if properties else {}
    return meta, [dict(chunk) for chunk in entry["chunks"]]


def set_cached_object_metadata(
    content_meta: Mapping[str, object],
    chunks: Iterable[Mapping[str, object]],
    account: str | None = None,
    reference: str | None = None,
    path: str | None = None,
    cid: str | None = None,
    version: int | str | None = None,
    properties: bool = True,
    cache: Cache | None = None,
    **_kwargs: Unpack[RequestOptions],
) -> None:
    """Put the metadata and the chunks of an object in the cache, but for the scores, which soon change.

    :param properties: whether the metadata have the properties of the object.
    """
    if cache is None or version is not None or path is None:
        return
    cache[_key(account, reference, path, cid)] = {
        "meta": _copy(content_meta),
        "chunks": [{key: chunk[key] for key in chunk if key != "score"} for chunk in chunks],
        "has_properties": properties,
    }


def del_cached_object_metadata(
    account: str | None = None,
    reference: str | None = None,
    path: str | None = None,
    cid: str | None = None,
    cache: Cache | None = None,
    **_kwargs: Unpack[RequestOptions],
) -> None:
    """Remove the metadata and the chunks of an object from the cache, whatever the version that changed."""
    if cache is not None and path is not None:
        cache.pop(_key(account, reference, path, cid), None)


# --- changes -----------------------------------------------------------------------------------------


def forget_object(
    account: str | None = None,
    reference: str | None = None,
    path: str | None = None,
    cid: str | None = None,
    cache: Cache | None = None,
) -> None:
    """Remove from the cache what is out of date once an object has changed.

    Its own entry goes, or those of all objects when only its content ID is known; and that of its container,
    whose counters change too.
    """
    if path is None:
        forget_container(account, reference, cid, cache)
    else:
        del_cached_object_metadata(account, reference, path, cid, cache)
        del_cached_container_metadata(account, reference, cid, cache)


def forget_container(
    account: str | None = None,
    reference: str | None = None,
    cid: str | None = None,
    cache: Cache | None = None,
) -> None:
    """Remove a container with all its objects from the cache."""
    if cache is None:
        return
    del_cached_container_metadata(account, reference, cid, cache)
    prefix = _key(account, reference, "", cid)
    keys = list(cache) if isinstance(cache, Iterable) else []
    for key in keys:
        if isinstance(key, str) and key.startswith(prefix):
            cache.pop(key, None)
