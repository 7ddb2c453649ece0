# SPDX-License-Identifier: Apache-2.0
"""Commit of an upload: the request that makes its chunks an object, or part of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from oio.api._operations.certainty import is_definitive
from oio.common import exceptions as exc
from oio.common.cache import forget_object

if TYPE_CHECKING:
    from oio.api._operations.leftovers import Leftovers
    from oio.api._operations.services import Services
    from oio.common.answers import JsonObject
    from oio.common.chunks import ChunkDict
    from oio.common.options import Options


class Target(NamedTuple):
    """Object that a change is about: names of the account, of the container, and its own."""

    account: str
    container: str
    name: str


class Product(NamedTuple):
    """Result of an upload, before its commit.

    :param meta: description of the object
    :param chunks: that are stored, as the services describe them
    :param size: bytes of the data
    :param checksum: MD5 of the data; empty or None when it is not known
    """

    meta: JsonObject
    chunks: list[ChunkDict]
    size: int
    checksum: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """How the chunks of an upload become part of the namespace.

    :param properties: of the user
    :param checksum: of the object, instead of that of the data; empty when it is not known
    :param container_properties: of the container, if it is created on the way
    :param append: put the chunks at the end of the object that exists
    :param change_policy: replace the chunks of this version of an object
    :param update: replace the metachunks at the positions of the chunks
    :param before: request to send first
    """

    properties: Mapping[str, str] = field(default_factory=dict)
    checksum: str | None = None
    container_properties: Mapping[str, object] | None = None
    append: bool = False
    change_policy: bool = False
    update: bool = False
    before: Callable[[Options], None] | None = None

    def send(self, services: Services, target: Target, product: Product, options: Options) -> None:
        """Tell the metadata service about the chunks."""
        meta, chunks = product.meta, product.chunks
        if self.update:
            # The service loses the chunks when the content ID is missing (pitfall 145).
            services.container.content_update(
                *target,
                size=product.size,
                chunks=chunks,
                content_id=meta["id"],
                stgpol=meta["policy"],
                options=options,
            )
            return
        data: JsonObject = {"chunks": chunks, "properties": {**meta["properties"], **self.properties}}
        if self.container_properties is not None:
            data["container_properties"] = self.container_properties
        services.container.content_create(
            *target,
            size=product.size,
            checksum=(product.checksum if self.checksum is None else self.checksum) or None,
            data=data,
            content_id=meta["id"],
            stgpol=meta["policy"],
            version=meta["version"],
            mime_type=meta.get("mime_type"),
            chunk_method=meta["chunk_method"],
            append=self.append,
            change_policy=self.change_policy,
            options=options,
        )


def publish(
    services: Services,
    target: Target,
    commit: Commit,
    product: Product,
    options: Options,
    *,
    leftovers: Leftovers,
    undo: Callable[[], None],
) -> None:
    """Commit what was stored.

    :param options: of the call
    :param leftovers: files of the versions that the commit replaces
    :param undo: removes the chunks, when the commit is certain to have failed
    """
    if commit.before is not None:
        try:
            commit.before(options.renewed())
        except BaseException:
            # Whatever became of that request, the services do not know the new chunks.
            undo()
            raise
    try:
        with leftovers.swept():
            commit.send(services, target, product, options.renewed())
    except exc.OioException as err:
        if is_definitive(err):
            undo()
            raise
        # The service may commit them all the same, now or later: chunks must stay (pitfall 29).
        if not _was_committed(services, target, commit, product, options):
            raise
        services.logger.warning("Creation of %r succeeded in spite of: %s", target.name, err)
    finally:
        if options.cache is not None:
            forget_object(*target, cid=options.cid, cache=options.cache)


def _was_committed(
    services: Services, target: Target, commit: Commit, product: Product, options: Options
) -> bool:
    """Look whether the object, or what was appended to it, is there (pitfall 143)."""
    wanted = product.meta["id"], product.meta["version"]
    try:
        found, there = services.container.content_locate(
            *target,
            version=None if commit.append else wanted[1],
            properties=False,
            options=options.renewed(),
        )
    except exc.OioException as err:
        services.logger.warning("Unknown whether %r was created: %s", target.name, err)
        return False
    if not commit.append and (found.get("id"), found.get("version")) != wanted:
        return False
    return {chunk["url"] for chunk in product.chunks} <= {chunk["url"] for chunk in there}
