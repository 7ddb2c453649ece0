# SPDX-License-Identifier: Apache-2.0
"""Calls that make copies, if possible without copying data: links and snapshots."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from oio.api import _operations as operations
from oio.api._facade.argument_checks import (
    check_batch,
    check_content_id,
    check_name,
    check_properties,
    check_version,
)
from oio.api._facade.call import ApiBase, Call, as_not_found, warn_deprecated
from oio.common import exceptions as exc
from oio.common.arguments import WrongValue, shorten
from oio.common.not_found import raise_if_no_container, raise_if_no_object

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.api.types import BulkOptions, LinkedObject, LinkOptions

_DIRECTIVES = ("COPY", "REPLACE")
_BATCH = 100


class CopiesApi(ApiBase):
    """Calls that make copies, if possible without copying data."""

    def object_link(
        self,
        target_account: str,
        target_container: str,
        target_obj: str | None,
        link_account: str,
        link_container: str,
        link_obj: str,
        target_version: int | str | None = None,
        target_content_id: str | None = None,
        link_content_id: str | None = None,
        properties_directive: str = "COPY",
        properties: dict[str, str] | None = None,
        metadata: dict[str, str] | None = None,
        **kwargs: Unpack[LinkOptions],
    ) -> LinkedObject:
        """Make a shallow copy of an object: another object, which lives on when the first is deleted, but
        whose chunks share their data with those of the first. Where a chunk server makes no links, the data
        are copied.

        An object of the same name is replaced, or gets a new version, as by :meth:`object_create`. No link is
        left when too few chunks of a metachunk can be linked, when a server refuses to link or copy a chunk
        that it has, or when the new object is refused.

        :param target_account: account of the object to copy
        :param target_container: container of the object to copy
        :param target_obj: name of the object to copy; None when `target_content_id` tells it
        :param link_account: account of the copy
        :param link_container: container of the copy, created if need be
        :param link_obj: name of the copy
        :param target_version: version of the object to copy, the latest by default
        :param target_content_id: content ID of the object, or of the version, to copy
        :param link_content_id: content ID of the copy, by default a new one
        :param properties_directive: ``COPY`` gives the copy the properties of the object, ``REPLACE`` those
            of the next arguments
        :param properties: properties of the copy, with ``REPLACE``: text to text, an empty value is dropped
        :param metadata: older name of `properties`, which win
        :returns: description of the copy
        :raises ValueError: an argument is wrong, or does not tell which of the two objects it is for
            (``cid``, ``version``, ``content_id``)
        :raises NoSuchObject: there is no such object to copy, or its latest version is a delete marker
        :raises NoSuchContainer: there is no container of one of these names. That of the copy may be missing
            only if ``autocreate`` is False; the exception is a NotFound too then
        :raises ContentDrained: the chunks of the object to copy were removed
        :raises UnrecoverableContent: chunks of the object to copy are missing
        :raises Conflict: the content ID is in use
        :raises ServiceBusy: too few chunks could be linked; the container of the copy is frozen

        >>> copy = api.object_link("doc", "box", "hello", "doc", "box", "hello again")
        >>> copy["name"], copy["length"]
        ('hello again', '5')
        """
        with Call(self, kwargs) as options:
            _check_end("target", target_account, target_container, target_obj, target_content_id)
            _check_end("link", link_account, link_container, link_obj, link_content_id)
            for name in ("cid", "content_id", "version"):
                if getattr(options, name) is not None:
                    raise WrongValue(f"{name} does not tell whether it is for the target or for the link")
            if target_version is not None:
                check_version("target_version", target_version)
            properties_directive = properties_directive or "COPY"
            if properties_directive not in _DIRECTIVES:
                raise WrongValue(
                    f"properties_directive must be 'COPY' or 'REPLACE': {shorten(properties_directive)}"
                )
            given = check_properties("metadata", metadata) | check_properties("properties", properties)
            copies = properties_directive == "COPY"
            if copies and given:
                self.logger.warning("properties are ignored, because properties_directive is 'COPY'")
            target = operations.commit.Target(target_account, target_container, target_obj or "")
            try:
                layout = operations.link.find_target(self, target, target_version, target_content_id, options)
                if copies:
                    # Locate leaves out properties that are named like metadata (pitfall 148).
                    known = self.container.content_get_properties(
                        target_account,
                        target_container,
                        layout.meta["name"],
                        version=layout.meta["version"],
                        options=options.renewed(),
                    )
                    given = known["properties"]
            except exc.OioException as err:
                raise_if_no_object(err, target_container, target_obj)
                raise
            link = operations.commit.Target(link_account, link_container, link_obj)
            creation = replace(options, content_id=link_content_id).renewed()
            try:
                return cast("LinkedObject", operations.link.link_object(self, link, layout, given, creation))
            except exc.OioException as err:
                as_not_found(partial(raise_if_no_container, container=link_container), err)
                raise

    def object_fastcopy(self, *args: Any, **kwargs: Any) -> LinkedObject:
        """Deprecated: use :meth:`object_link`."""
        warn_deprecated("object_fastcopy is deprecated, use object_link")
        return self.object_link(*args, **kwargs)

    def container_snapshot(
        self,
        account: str,
        container: str,
        dst_account: str,
        dst_container: str,
        batch: int | None = _BATCH,
        batch_size: int | None = None,
        **kwargs: Unpack[BulkOptions],
    ) -> None:
        """Take a snapshot of a container: another container, with all the objects and versions that the
        first has now, which lives on whatever becomes of those. Nothing can be written into it.

        The objects of the snapshot share the data of their chunks with the originals, as by
        :meth:`object_link`. A chunk that is missing in the container is missing in the snapshot too, unless
        its object has so few of them that no write would be accepted (2 of 3 copies, 7 of 6+3 fragments and
        all 3 of 2+1 are enough): such an object prevents the snapshot.

        The source container is frozen meanwhile, and enabled again in the end, whatever happens (a failure to
        do so is logged). That may take some time, depending on the number of objects in the container.

        When it fails, the snapshot and its chunks are removed, as far as the services can be reached. What
        cannot be removed is logged, and must be destroyed by :meth:`container_delete` with ``force``:
        **deleting the objects** of a half-made snapshot would delete the chunks of the originals.

        :param account: account in which the source container is
        :param container: name of the source container
        :param dst_account: account in which the snapshot will be created
        :param dst_container: name of the new container (i.e. the snapshot)
        :param batch: number of chunks that one request notes in the snapshot
        :param batch_size: another name of `batch`, which wins
        :raises NoSuchContainer: there is no such container
        :raises OioException: the container is divided among shards; nothing was frozen
        :raises BadRequest: there is a container with the name of the snapshot
        :raises ServiceBusy: the source is frozen already, by another snapshot, or because one was killed
            (status 436; ``api.container.container_enable`` ends that); too few chunks could be linked

        >>> api.container_snapshot("doc", "box", "doc", "box-monday")
        >>> b"".join(api.object_fetch("doc", "box-monday", "hello")[1])
        b'hello'
        """
        # Seldom needed: the client is ready sooner without it.
        from oio.api._operations.snapshot import Snapshot

        with Call(self, kwargs) as options:
            if options.cid is None:
                check_name("account", account)
                check_name("container", container)
            check_name("dst_account", dst_account, "account")
            check_name("dst_container", dst_container, "container")
            size = check_batch("batch_size", batch_size) or check_batch("batch", batch) or _BATCH
            Snapshot(self, (account, container), (dst_account, dst_container), size, options).take()


def _check_end(end: str, account: object, container: object, obj: object, content_id: object) -> None:
    """Check the arguments that address one of the two objects.

    :param end: prefix of their names, ``target`` or ``link``
    """
    check_name(f"{end}_account", account, "account")
    check_name(f"{end}_container", container, "container")
    if content_id is not None:
        check_content_id(f"{end}_content_id", content_id)
    if obj is not None or end == "link" or content_id is None:
        check_name(f"{end}_obj", obj, "obj")
