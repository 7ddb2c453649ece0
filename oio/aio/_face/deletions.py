# SPDX-License-Identifier: Apache-2.0
"""Calls of ``oio.api._facade.deletions`` for event loops: ``tests.kit.face`` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oio.aio._base import FaceBase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Unpack

    from oio.api.types import BulkOptions, DeletedObject, ReadOptions


class AsyncDeletionApi(FaceBase):
    """Calls that delete objects, or their chunks alone."""

    async def object_drain(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        **kwargs: Unpack[ReadOptions],
    ) -> None:
        """Remove all the chunks of an object, but keep all the metadata.

        :param obj: name of the object to drain
        :param version: version of the object, the latest by default
        :raises NoSuchObject: there is no such object; it is a NotFound too
        """
        return await self._call(lambda: self.sync.object_drain(account, container, obj, version, **kwargs))

    async def object_delete(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        bypass_governance: bool = False,
        **kwargs: Unpack[ReadOptions],
    ) -> bool:
        """Delete an object from a container. If versioning is enabled and no version is specified, the
        object
        will be marked as deleted but not actually deleted.

        What is actually deleted is also deleted from Backblaze, where there are credentials. What cannot be
        is logged.

        :param obj: name of the object to delete
        :param version: version of the object to delete. When a call without it fails for an unknown reason,
            look before calling again: the second one may remove the mark of the first.
        :param bypass_governance: also delete a version that has to be retained, unless that is in compliance
            mode or under legal hold. Services of 7.3 lock no versions
        :returns: True on success
        :raises NoSuchObject: there is no such object, or version
        :raises Forbidden: this version is locked
        """
        return await self._call(
            lambda: self.sync.object_delete(account, container, obj, version, bypass_governance, **kwargs)
        )

    async def object_delete_many(
        self,
        account: str | None,
        container: str | None,
        objs: Iterable[str],
        bypass_governance: bool = False,
        **kwargs: Unpack[BulkOptions],
    ) -> list[tuple[str, bool]]:
        """Delete several objects, any number of them. Each is deleted as :meth:`object_delete` does it.

        When it fails, some of them may be deleted.

        :param objs: an iterable of object names
        :param bypass_governance: also delete what has to be retained, see :meth:`object_delete`; objects are
            deleted one by one then
        :returns: a list of tuples with the name of the object, in the order of `objs`, and a boolean telling
            if the object has been successfully deleted; all of them are false when there is no such container
            (of no name at all, the list is empty, and nothing is asked)
        """
        return await self._call(
            lambda: self.sync.object_delete_many(account, container, objs, bypass_governance, **kwargs)
        )

    async def object_delete_ext(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        bypass_governance: bool = False,
        **kwargs: Unpack[ReadOptions],
    ) -> DeletedObject:
        """Delete an object as :meth:`object_delete` does it, and tell what became of it.

        :param obj: name of the object to delete
        :param version: version of the object to delete
        :param bypass_governance: also delete a version that has to be retained, unless that is in compliance
            mode or under legal hold. Services of 7.3 lock no versions
        :returns: a dict with ``deleted`` (True), ``version`` and ``delete_marker``: which version was
            deleted, or was made to mark the object as deleted. Services of 7.3 do not tell: None, but for a
            `version` that was given.
        :raises NoSuchObject: there is no such object, or version
        :raises Forbidden: this version is locked
        """
        return await self._call(
            lambda: self.sync.object_delete_ext(account, container, obj, version, bypass_governance, **kwargs)
        )

    async def object_delete_many_ext(
        self,
        account: str | None,
        container: str | None,
        objs: Iterable[str | tuple[str, int | str | None]],
        bypass_governance: bool = False,
        **kwargs: Unpack[BulkOptions],
    ) -> list[DeletedObject]:
        """Delete several objects, or versions of them, and tell what became of each.

        Objects are deleted many at a time, as by :meth:`object_delete_many`, and versions one by one: in a
        request about many, services of 7.3 would delete the latest version instead.

        :param objs: names of objects, and tuples of name and version
        :param bypass_governance: also delete what has to be retained, see :meth:`object_delete`; objects are
            deleted one by one then
        :returns: a dict for each of them, in order, with ``name``, ``deleted``, ``version`` and
            ``delete_marker`` (see :meth:`object_delete_ext`; of what is deleted by its name alone, services
            tell neither), and ``error``, which says why it was not deleted
        """
        return await self._call(
            lambda: self.sync.object_delete_many_ext(account, container, objs, bypass_governance, **kwargs)
        )
