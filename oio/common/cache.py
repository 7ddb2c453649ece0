# SPDX-License-Identifier: Apache-2.0
"""Metadata of containers and objects, kept in a dictionary that the application provides.

It is given as keyword argument ``cache``. Nothing is cached without it, nor for a call that names a version
or a content ID. It is read by ``get``, set by item assignment, and entries are removed by item deletion: a
dictionary that overrides these only may keep its items elsewhere, in a memcached for example. Keys are text,
``meta/<container ID>`` and ``meta/<container ID>/<name of the object>``. Values can be written as JSON::

    {"meta": description of the object, whose "properties" are {},
     "chunks": chunks without their scores, where they are known,
     "properties": properties of the user, where they are known}

Other clients of the namespace use the same keys, and may share the cache. What has another shape is asked for
again.

Changes of all the objects of a container at once look for their entries among the keys of a plain dictionary.
With any other cache, the objects are listed first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from oio.common.utils import cid_from_name

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from oio.common.answers import JsonArray, JsonObject
    from oio.common.keywords import RequestOptions

Cache: TypeAlias = MutableMapping[str, Any]

_NEEDED = ("id", "version", "length", "chunk_method")
"""Fields that every description of an object has."""
_OVERRIDDEN = ("__getitem__", "__setitem__", "__delitem__", "get")
"""Methods that a dictionary overrides to keep its items elsewhere."""


def _get_container_metadata_cache_key(
    account: str | None = None, reference: str | None = None, cid: str | None = None
) -> str:
    """Key of a container: ``meta/<container ID>``."""
    if cid:
        # A container ID may come with the number of its database.
        cid = cid.partition(".")[0].upper()
    elif account and reference:
        cid = cid_from_name(account, reference)
    else:
        raise ValueError("cid is required, or both account and reference")
    return f"meta/{cid}"


def _get_object_metadata_cache_key(
    account: str | None = None, reference: str | None = None, path: str | None = None, cid: str | None = None
) -> str:
    """Key of an object: ``meta/<container ID>/<name>``."""
    if path is None:
        raise ValueError("path is required")
    return f"{_get_container_metadata_cache_key(account, reference, cid)}/{path}"


# Tools import the keys by their names above.
container_key = _get_container_metadata_cache_key
object_key = _get_object_metadata_cache_key


# --- entries -----------------------------------------------------------------------------------------


def copied(meta: Mapping[str, object]) -> JsonObject:
    """Copy metadata, so that changes by the caller are not seen by the next one."""
    return {key: dict(value) if isinstance(value, Mapping) else value for key, value in meta.items()}


def _is_chunk(item: object) -> bool:
    return (
        isinstance(item, Mapping)
        and isinstance(item.get("url"), str)
        and isinstance(item.get("hash"), (str, type(None)))
    )


class ObjectEntry(NamedTuple):
    """Entry of a cache about an object.

    :param meta: its description, without the properties of the user
    :param chunks: its chunks, without their scores; None when they are not known
    :param properties: of the user; None when they are not known
    """

    meta: JsonObject
    chunks: JsonArray | None = None
    properties: JsonObject | None = None

    @classmethod
    def made(
        cls, meta: Mapping[str, object], chunks: Iterable[Mapping[str, object]] | None, properties: bool
    ) -> ObjectEntry:
        """Make an entry of the answers of services.

        :param properties: whether the description has the properties of the user
        """
        return cls(
            {**meta, "properties": {}},
            None if chunks is None else [{k: chunk[k] for k in chunk if k != "score"} for chunk in chunks],
            dict(meta.get("properties") or {}) if properties else None,  # type: ignore[call-overload]
        )

    @classmethod
    def read(cls, value: object) -> ObjectEntry | None:
        """Read an item of a cache, which another program may have written; None when it is no entry."""
        if not isinstance(value, Mapping):
            return None
        meta, chunks, properties = value.get("meta"), value.get("chunks"), value.get("properties")
        if not isinstance(meta, Mapping) or not isinstance(properties, (Mapping, type(None))):
            return None
        if chunks is not None and not (isinstance(chunks, (list, tuple)) and all(map(_is_chunk, chunks))):
            return None
        return cls.made({**meta, "properties": properties or {}}, chunks, properties is not None)

    def written(self) -> JsonObject:
        """Write it as an item of a cache."""
        written: JsonObject = {"meta": self.meta}
        if self.chunks is not None:
            written["chunks"] = self.chunks
        if self.properties is not None:
            written["properties"] = self.properties
        return written

    def tells(self, properties: bool) -> bool:
        """Whether the description can be one of an object, and has the properties if they are wanted."""
        if properties and self.properties is None:
            return False
        return all(isinstance(self.meta.get(name), str) for name in _NEEDED)

    def describes(self, meta: Mapping[str, object]) -> bool:
        """Tell whether a description says the same, whatever the properties of the user."""
        return self.meta == {**meta, "properties": {}}

    def described(self, properties: bool) -> JsonObject:
        """Give the description, with the properties of the user if they are wanted."""
        return {**self.meta, "properties": dict(self.properties or {}) if properties else {}}


# --- questions to services ---------------------------------------------------------------------------

_QUESTIONS: set[Question] = set()
"""Questions that are being asked, by all threads."""


class Question:
    """A question that the cache could not answer, while it is asked.

    Its answer is kept, unless its subject has changed since: another thread may change it after the service
    has answered, and has already removed the entries that were out of date then. All caches are taken to be
    the same, because several may stand before the same memcached.

    :param key: of the answer
    """

    __slots__ = ("_cache", "key", "outdated")

    def __init__(self, cache: Cache, key: str) -> None:
        self._cache = cache
        self.key = key
        self.outdated = False

    def __enter__(self) -> Self:
        _QUESTIONS.add(self)
        return self

    def __exit__(self, *_exc: object) -> None:
        _QUESTIONS.discard(self)

    def _is_outdated(self) -> bool:
        # Type checkers would take the attribute for unchanged at the second look.
        return self.outdated

    def keep(self, answer: object) -> None:
        """Put the answer in the cache."""
        if self._is_outdated():
            return
        self._cache[self.key] = answer
        if self._is_outdated():
            # The change came in between; a later one removes the answer itself.
            _remove(self._cache, self.key)


def is_plain(cache: Cache) -> bool:
    """Tell whether a cache is a dictionary that knows its keys."""
    return all(getattr(type(cache), name, None) is getattr(dict, name) for name in _OVERRIDDEN)


def _remove(cache: Cache, key: str) -> None:
    # Real caches override few methods of dict, and "pop" is none of them.
    with suppress(KeyError):
        del cache[key]


def _forget(cache: Cache, key: str) -> None:
    for question in tuple(_QUESTIONS):
        if question.key == key:
            question.outdated = True
    _remove(cache, key)


def _forget_all(cache: Cache, prefix: str) -> None:
    for question in tuple(_QUESTIONS):
        if question.key.startswith(prefix):
            question.outdated = True
    if is_plain(cache):
        for key in tuple(cache):
            if isinstance(key, str) and key.startswith(prefix):
                _remove(cache, key)


# --- containers --------------------------------------------------------------------------------------


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
    meta = cache.get(_get_container_metadata_cache_key(account, reference, cid))
    return copied(meta) if isinstance(meta, Mapping) else None


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
        cache[_get_container_metadata_cache_key(account, reference, cid)] = copied(container_meta)


def del_cached_container_metadata(
    account: str | None = None,
    reference: str | None = None,
    cid: str | None = None,
    cache: Cache | None = None,
    **_kwargs: Unpack[RequestOptions],
) -> None:
    """Remove the metadata of a container from the cache."""
    if cache is not None:
        _forget(cache, _get_container_metadata_cache_key(account, reference, cid))


# --- objects -----------------------------------------------------------------------------------------


def get_cached_object_metadata(
    account: str | None = None,
    reference: str | None = None,
    path: str | None = None,
    cid: str | None = None,
    version: int | str | None = None,
    properties: bool = False,
    cache: Cache | None = None,
    **_kwargs: Unpack[RequestOptions],
) -> tuple[JsonObject | None, JsonArray | None]:
    """Get the metadata and the chunks of an object; ``(None, None)`` when they are not in the cache.

    :param properties: whether the properties are wanted: metadata cached without them are not enough then.
    :returns: the chunks have no scores, and are None when only the metadata are cached.
    """
    if cache is None or version is not None or path is None:
        return None, None
    entry = ObjectEntry.read(cache.get(_get_object_metadata_cache_key(account, reference, path, cid)))
    if entry is None or (properties and entry.properties is None):
        return None, None
    return entry.described(properties), entry.chunks


def set_cached_object_metadata(
    content_meta: Mapping[str, object],
    content_chunks: Iterable[Mapping[str, object]] | None = None,
    account: str | None = None,
    reference: str | None = None,
    path: str | None = None,
    cid: str | None = None,
    version: int | str | None = None,
    properties: bool = False,
    cache: Cache | None = None,
    **_kwargs: Unpack[RequestOptions],
) -> None:
    """Put the metadata of an object in the cache, and its chunks but for the scores, which soon change.

    :param properties: whether the metadata have the properties of the object.
    """
    if cache is None or version is not None or path is None:
        return
    entry = ObjectEntry.made(content_meta, content_chunks, properties)
    cache[_get_object_metadata_cache_key(account, reference, path, cid)] = entry.written()


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
        _forget(cache, _get_object_metadata_cache_key(account, reference, path, cid))


# --- changes -----------------------------------------------------------------------------------------


def forget_object(
    account: str | None = None,
    reference: str | None = None,
    path: str | None = None,
    cid: str | None = None,
    cache: Cache | None = None,
) -> None:
    """Remove from the cache the entries that are out of date once an object has changed.

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
    if cache is not None:
        del_cached_container_metadata(account, reference, cid, cache)
        _forget_all(cache, _get_container_metadata_cache_key(account, reference, cid) + "/")
