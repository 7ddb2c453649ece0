# SPDX-License-Identifier: Apache-2.0
"""Commit of an upload: the request that makes its chunks an object, or part of one, and its refusals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from oio.common import exceptions as exc
from oio.common import http_stack
from oio.common.cache import forget_object

if TYPE_CHECKING:
    from oio.api._operations.orphan_files import OrphanFiles
    from oio.api._operations.services import Services
    from oio.common.answers import JsonMapping, JsonObject
    from oio.common.chunks import ChunkDict
    from oio.common.options import Options

_DEFINITIVE_STATUSES = (425, 436, 445, 480, 481)
"""Statuses, in the body of a 5xx, that say that nothing was committed."""


class Target(NamedTuple):
    """Object that a change is about: names of the account, of the container, and its own."""

    account: str
    container: str
    name: str


# Frozen classes and named tuples take longer to make, see `Chunk`.
@dataclass(slots=True)
class Product:
    """Result of an upload, before its commit.

    :param meta: description of the object
    :param chunks: that are stored, as the services describe them
    :param size: bytes of the data
    :param checksum: MD5 of the data; empty or None when it is not known
    """

    meta: Final[JsonObject]
    chunks: Final[list[ChunkDict]]
    size: Final[int]
    checksum: Final[str | None]


@dataclass(slots=True, kw_only=True)
class Commit:
    """How the chunks of an upload become part of the namespace.

    :param properties: of the user
    :param checksum: of the object, instead of that of the data; empty when it is not known
    :param algorithm: of the checksum of the object
    :param container_properties: of the container, if it is created on the way
    :param append: put the chunks at the end of the object that exists
    :param change_policy: replace the chunks of this version of an object
    :param former_policy: of that version
    :param update: replace the metachunks at the positions of the chunks
    :param before: request to send first
    """

    properties: Final[Mapping[str, str]] = field(default_factory=dict)
    checksum: Final[str | None] = None
    algorithm: Final[str] = "md5"
    container_properties: Final[Mapping[str, object] | None] = None
    append: Final[bool] = False
    change_policy: Final[bool] = False
    former_policy: Final[str | None] = None
    update: Final[bool] = False
    before: Final[Callable[[Options], None] | None] = None

    def replacing(self, meta: JsonMapping) -> Commit:
        """The same change of policy, with the checksum and the policy of the version that it changes.

        :param meta: description of that version
        """
        checksum = self.checksum
        if checksum is None and not (known := meta.get("hash") or "").strip("0"):
            # The object was written in parts: the service would refuse the checksum of all its data.
            checksum = known
        return replace(self, checksum=checksum, former_policy=meta.get("policy"))

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
                version=meta["version"],
                chunk_method=meta["chunk_method"],
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


def is_definitive(err: exc.OioException) -> bool:
    """Tell whether a failed change, sent once, is certain to leave nothing: refused, or never sent."""
    if isinstance(err, exc.DeadlineReached) or http_stack.nothing_was_sent(err):
        return True
    if not isinstance(err, exc.StatusMessageException):
        return False
    if err.status in _DEFINITIVE_STATUSES:
        return True
    # Tests of applications make exceptions of a text alone, which is in the place of the status then.
    status = err.http_status if isinstance(err.http_status, int) else err.default_http_status
    return status is not None and 400 <= status < 500


def publish(
    services: Services,
    target: Target,
    commit: Commit,
    product: Product,
    options: Options,
    *,
    orphans: OrphanFiles | None,
    undo: Callable[[], None],
) -> None:
    """Commit what was stored.

    :param options: of the call
    :param orphans: files of the versions that the commit replaces; None without Backblaze
    :param undo: removes the chunks, when the commit is certain to have failed
    """
    if commit.before is not None:
        try:
            commit.before(options.renewed())
        except BaseException:  # Whatever became of that request, the services do not know the new chunks.
            undo()
            raise
    try:
        if orphans is None:
            commit.send(services, target, product, options.renewed())
        else:
            with orphans:
                commit.send(services, target, product, options.renewed())
                orphans.committed(target.name, product.meta, product.chunks)
    except exc.OioException as err:
        if commit.former_policy is not None and _wants_transition(err):
            with _announcement(services, target, commit, product, options) as announced:
                publish(services, target, announced, product, options, orphans=orphans, undo=undo)
            return
        if is_definitive(err):
            undo()
            raise
        # The service may commit them all the same, now or later: chunks must stay (pitfall 29).
        if not _was_committed(services, target, commit, product, options):
            raise
        services.logger.warning("Creation of %r succeeded in spite of: %s", target.name, err)
        if orphans is not None:
            orphans.committed(target.name, product.meta, product.chunks)
    finally:
        if options.cache is not None:
            forget_object(*target, cid=options.cid, cache=options.cache)


def _wants_transition(err: exc.OioException) -> bool:
    """Tell whether a change of policy was refused only because it must be announced first."""
    return isinstance(err, exc.BadRequest) and "target policy" in str(err.message)


@contextlib.contextmanager
def _announcement(
    services: Services, target: Target, commit: Commit, product: Product, options: Options
) -> Iterator[Commit]:
    """Make a change of policy announced before its commit; take the announcement back when that fails."""

    def announce(policy: str | None, phase: Options) -> None:
        # The data are stored already, and what users see of the object stays as it was.
        services.container.content_request_transition(
            *target,
            policy,
            version=product.meta["version"],
            skip_data_move=True,
            internal_transition=True,
            options=phase,
        )

    try:
        yield replace(commit, before=partial(announce, product.meta["policy"]), former_policy=None)
    except BaseException:  # The announcement must not stay.
        # Whatever stopped us, the object keeps the policy that it has: the new one, when the commit was done.
        cleaning = replace(options.for_cleaning(), force_master=True)
        try:
            now = services.container.content_get_properties(
                *target, version=product.meta["version"], options=cleaning
            )
            announce(now.get("policy") or commit.former_policy, cleaning)
        except exc.OioException as err:
            services.logger.warning("Object %r is still announced to change its policy: %s", target.name, err)
        raise


def _was_committed(
    services: Services, target: Target, commit: Commit, product: Product, options: Options
) -> bool:
    """Check whether the object, or what was appended to it, is there (pitfall 143)."""
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
