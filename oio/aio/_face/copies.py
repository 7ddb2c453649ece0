# SPDX-License-Identifier: Apache-2.0
"""Calls of ``oio.api._facade.copies`` for event loops: ``tests.kit.face`` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oio.aio._base import FaceBase

if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Unpack

    from oio.api.types import BulkOptions, LinkedObject, LinkOptions


class AsyncCopiesApi(FaceBase):
    """Calls that make copies, if possible without copying data."""

    async def object_link(
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
        """
        return await self._call(
            lambda: self.sync.object_link(
                target_account,
                target_container,
                target_obj,
                link_account,
                link_container,
                link_obj,
                target_version,
                target_content_id,
                link_content_id,
                properties_directive,
                properties,
                metadata,
                **kwargs,
            )
        )

    async def object_fastcopy(self, *args: Any, **kwargs: Any) -> LinkedObject:
        """Deprecated: use :meth:`object_link`."""
        return await self._call(lambda: self.sync.object_fastcopy(*args, **kwargs))

    async def container_snapshot(
        self,
        account: str,
        container: str,
        dst_account: str,
        dst_container: str,
        batch: int | None = 100,
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
        """
        return await self._call(
            lambda: self.sync.container_snapshot(
                account, container, dst_account, dst_container, batch, batch_size, **kwargs
            )
        )
