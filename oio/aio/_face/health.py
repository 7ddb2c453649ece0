# SPDX-License-Identifier: Apache-2.0
"""Calls of ``oio.api._facade.health`` for event loops: ``tests.kit.face`` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oio.aio._base import FaceBase

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

    from oio.aio._streams import AsyncItems
    from oio.api.types import BulkOptions, HealthProgress, ObjectHealth, ObjectRepair, ReadOptions


class AsyncHealthApi(FaceBase):
    """Calls that look for damage in objects, and repair it."""

    async def object_check(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        *,
        checksum: bool = True,
        concurrency: int = 8,
        **kwargs: Unpack[ReadOptions],
    ) -> ObjectHealth:
        """Compare each chunk of an object with what its policy asks for. Nothing is changed.

        :param obj: name of the object; None when ``content_id`` gives its content ID
        :param version: version of the object, the latest by default
        :param checksum: let each chunk server read its chunk, and compare it with its checksum. Without, only
            chunks that are missing, short, in the wrong place or of another object are noticed
        :param concurrency: how many chunks are looked at at a time
        :returns: what was found, chunk by chunk; damage is no exception
        :raises NoSuchObject: there is no such object, or its latest version is a delete marker
        :raises ContentDrained: its chunks were removed
        :raises InvalidStorageMethod: its chunk method is not known
        :raises ConfigurationException: it is in Backblaze, and there are no credentials
        """
        return await self._call(
            lambda: self.sync.object_check(
                account, container, obj, version, checksum=checksum, concurrency=concurrency, **kwargs
            )
        )

    async def object_repair(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        *,
        checksum: bool = True,
        unreachable: bool = False,
        frozen: bool = False,
        concurrency: int = 8,
        **kwargs: Unpack[ReadOptions],
    ) -> ObjectRepair:
        """Make the chunks of an object again that are missing or damaged.

        All of them are looked at, as :meth:`object_check` does. New ones are made of the other copies, or of
        the other fragments.

        A new chunk goes to a server that has none of its metachunk, is verified there, and then takes the
        place of the old one, which is deleted last. When anything fails before, the new chunk is removed, and
        the object is as it was. If no other server is free, a chunk is made again where it was: the damaged
        one is deleted first. An object that is replaced, cut or deleted meanwhile stays so.

        What cannot be repaired is told by the result, and is no exception.

        :param obj: name of the object; None when ``content_id`` gives its content ID
        :param version: version of the object, the latest by default
        :param checksum: see :meth:`object_check`
        :param unreachable: also make chunks again whose servers do not answer. These servers then keep chunks
            that nothing names when they come back
        :param frozen: also if the container is frozen, as snapshots are
        :param concurrency: how many chunks are looked at, and how many metachunks repaired, at a time. One
            chunk of each metachunk that is erasure-coded is held in memory
        :returns: what was found, and what became of each damaged chunk
        :raises NoSuchObject: there is no such object, or its latest version is a delete marker
        :raises ContentDrained: its chunks were removed
        :raises InvalidStorageMethod: its chunk method is not known
        :raises ConfigurationException: it is in Backblaze, and there are no credentials
        """
        return await self._call(
            lambda: self.sync.object_repair(
                account,
                container,
                obj,
                version,
                checksum=checksum,
                unreachable=unreachable,
                frozen=frozen,
                concurrency=concurrency,
                **kwargs,
            )
        )

    def container_check(
        self,
        account: str | None,
        container: str | None,
        prefix: str | None = None,
        *,
        checksum: bool = True,
        concurrency: int = 8,
        on_progress: Callable[[HealthProgress], object] | None = None,
        **kwargs: Unpack[BulkOptions],
    ) -> AsyncItems[ObjectHealth]:
        """Iterate over the health of all versions of the objects of a container, sound ones included.

        Delete markers and drained objects have no chunks: they are left out. An object that cannot be looked
        at has an ``error``, and the next one follows.

        :param prefix: only objects whose names have this prefix
        :param checksum: see :meth:`object_check`
        :param concurrency: how many objects are looked at at a time, and up to 8 chunks of each
        :param on_progress: called after each object, in a thread of the client
        :param kwargs: also ``deadline`` (monotonic seconds), which bounds all of the iteration
        :returns: an async iterator of what :meth:`object_check` gives, in the order of names, newest version
            first
        :raises NoSuchContainer: at the first item: there is no such container
        """
        return self._each(
            lambda: self.sync.container_check(
                account,
                container,
                prefix,
                checksum=checksum,
                concurrency=concurrency,
                on_progress=on_progress,
                **kwargs,
            )
        )

    def container_repair(
        self,
        account: str | None,
        container: str | None,
        prefix: str | None = None,
        *,
        checksum: bool = True,
        unreachable: bool = False,
        frozen: bool = False,
        concurrency: int = 8,
        on_progress: Callable[[HealthProgress], object] | None = None,
        **kwargs: Unpack[BulkOptions],
    ) -> AsyncItems[ObjectRepair]:
        """Repair all versions of the objects of a container, one by one, by iterating.

        Each is repaired as by :meth:`object_repair`. **Nothing is done but by iterating**: whoever stops
        early leaves the rest as it is, but for those that were repaired at the same time.

        :param prefix: only objects whose names have this prefix
        :param checksum: see :meth:`object_check`
        :param unreachable: see :meth:`object_repair`
        :param frozen: see :meth:`object_repair`
        :param concurrency: how many objects at a time
        :param on_progress: called after each object, in a thread of the client
        :param kwargs: also ``deadline`` (monotonic seconds), which bounds all of the iteration
        :returns: an async iterator of what :meth:`object_repair` gives, sound objects included
        :raises NoSuchContainer: at the first item: there is no such container
        """
        return self._each(
            lambda: self.sync.container_repair(
                account,
                container,
                prefix,
                checksum=checksum,
                unreachable=unreachable,
                frozen=frozen,
                concurrency=concurrency,
                on_progress=on_progress,
                **kwargs,
            )
        )
