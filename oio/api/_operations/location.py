# SPDX-License-Identifier: Apache-2.0
"""Location of objects, and descriptions of objects and containers, which may come from a cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oio.common.cache import (
    ObjectEntry,
    Question,
    container_key,
    copied,
    get_cached_container_metadata,
    object_key,
)
from oio.common.easy_value import boolean_value

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.common.answers import JsonObject
    from oio.common.chunks import ChunkDict
    from oio.common.options import Options


def locate(
    services: Services,
    account: str | None,
    container: str | None,
    obj: str | None,
    version: int | str | None,
    properties: bool,
    options: Options,
    *,
    fresh: bool = False,
) -> tuple[JsonObject, list[ChunkDict], bool]:
    """Locate an object: description, chunks, and whether they come from the cache.

    :param fresh: ask the services, whatever is cached
    """
    cache, content, client = options.cache, options.content_id, services.container
    if cache is None or obj is None or version is not None or content is not None:
        meta, chunks = client.content_locate(
            account, container, obj, content=content, version=version, properties=properties, options=options
        )
        return meta, chunks, False
    with Question(cache, object_key(account, container, obj, options.cid)) as question:
        entry = ObjectEntry.read(None if fresh else cache.get(question.key))
        if entry is not None and entry.chunks is not None and entry.tells(properties):
            return entry.described(properties), services._scores.put_back(entry.chunks, options), True
        meta, chunks = client.content_locate(
            account, container, obj, content=None, version=None, properties=properties, options=options
        )
        services._scores.learn(chunks)
        found = ObjectEntry.made(meta, chunks, properties)
        if entry is not None and not properties and entry.describes(meta):
            found = found._replace(properties=entry.properties)
        question.keep(found.written())
    return meta, chunks, False


def describe(
    services: Services,
    account: str | None,
    container: str | None,
    obj: str | None,
    version: int | str | None,
    options: Options,
) -> JsonObject:
    """Get the description of an object, with its properties."""
    cache, content, client = options.cache, options.content_id, services.container
    if cache is None or obj is None or version is not None or content is not None:
        return client.content_get_properties(
            account, container, obj, content=content, version=version, options=options
        )
    with Question(cache, object_key(account, container, obj, options.cid)) as question:
        entry = ObjectEntry.read(cache.get(question.key))
        if entry is not None and entry.tells(properties=True):
            return entry.described(properties=True)
        meta = client.content_get_properties(
            account, container, obj, content=None, version=None, options=options
        )
        # A delete marker has a description too, but is no object. Applications' tests may answer nothing.
        if meta and not boolean_value(meta.get("deleted"), False):
            found = ObjectEntry.made(meta, None, properties=True)
            if entry is not None and entry.describes(meta):
                found = found._replace(chunks=entry.chunks)
            question.keep(found.written())
    return meta


def describe_container(
    services: Services, account: str | None, container: str | None, options: Options
) -> JsonObject:
    def ask() -> JsonObject:
        return services.container.container_get_properties(account, container, None, options=options)

    cache, cid = options.cache, options.cid
    if cache is None:
        return ask()
    with Question(cache, container_key(account, container, cid)) as question:
        known = get_cached_container_metadata(account, container, cid, cache)
        if known is not None and all(isinstance(known.get(kind), dict) for kind in ("properties", "system")):
            return known
        known = ask()
        if known:
            question.keep(copied(known))
    return known
