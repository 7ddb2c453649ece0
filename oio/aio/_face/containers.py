# SPDX-License-Identifier: Apache-2.0
"""Calls of ``oio.api._facade.containers`` for event loops: ``tests.kit.face`` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oio.aio._base import FaceBase

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from typing_extensions import Unpack

    from oio.api.types import BulkOptions, CallOptions, ContainerInfo, ContainerOptions, ContainerProperties


class AsyncContainerApi(FaceBase):
    """Calls about containers."""

    async def container_create(
        self,
        account: str,
        container: str,
        properties: dict[str, str] | None = None,
        system: dict[str, str] | None = None,
        region: str | None = None,
        **kwargs: Unpack[ContainerOptions],
    ) -> bool:
        """Create a container.

        :param account: account in which to create the container, 63 bytes of UTF-8 at most
        :param container: name of the container, 1023 bytes of UTF-8 at most
        :param properties: properties to set on the container, text to text; an empty value is kept
        :param system: system properties, such as ``sys.m2.policy.version`` (how many versions are kept) or
            ``sys.m2.quota`` (bytes; the services store it, and do not enforce it)
        :param region: where it must be, in any letter case. Services of 7.3 know no regions, and ignore it
        :returns: True if the container has been created, False if it already exists (it is left as it is)
        :raises BadRequest: the namespace is in another region
        """
        return await self._call(
            lambda: self.sync.container_create(account, container, properties, system, region, **kwargs)
        )

    async def container_create_many(
        self,
        account: str,
        containers: Iterable[str],
        properties: dict[str, str] | None = None,
        system: dict[str, str] | None = None,
        **kwargs: Unpack[ContainerOptions],
    ) -> list[tuple[str, bool]]:
        """Create many containers.

        :param account: account in which to create the containers
        :param containers: names of the containers
        :param properties: properties to set on each of them
        :param system: system properties to set on each of them
        :returns: for each name, in order, True if the container has been created; of no name at all, the list
            is empty, and nothing is asked
        :raises TooLarge: the properties are too much for one request
        """
        return await self._call(
            lambda: self.sync.container_create_many(account, containers, properties, system, **kwargs)
        )

    async def container_delete(
        self,
        account: str | None,
        container: str | None,
        force: bool = False,
        **kwargs: Unpack[ContainerOptions],
    ) -> None:
        """Delete a container.

        :param force: also when it holds objects, whose chunks are then left on the rawx services
        :raises NoSuchContainer: there is no such container
        :raises ContainerNotEmpty: it holds objects
        """
        return await self._call(lambda: self.sync.container_delete(account, container, force, **kwargs))

    async def container_flush(
        self,
        account: str | None,
        container: str | None,
        fast: bool = False,
        bypass_governance: bool = False,
        **kwargs: Unpack[BulkOptions],
    ) -> None:
        """Flush a container: delete all its objects, with all their versions, and the delete markers.

        When it fails, some of them may be deleted. Call it again to delete the others.

        :param account: account of the container
        :param container: name of the container
        :param fast: leave it to the service, which deletes 1000 versions at a time; what it leaves in shards
            is deleted by name. This may put high pressure on the event system. It works on a frozen
            container too, unless that is divided among shards.
        :param bypass_governance: also delete the versions that have to be retained, one by one, but not those
            in compliance mode or under legal hold
        :raises NoSuchContainer: there is no such container
        :raises Forbidden: with `fast`, a version is locked
        :raises OioException: nothing of what is left can be deleted, because the container is frozen, say,
            or because all of it is locked
        """
        return await self._call(
            lambda: self.sync.container_flush(account, container, fast, bypass_governance, **kwargs)
        )

    async def container_purge(
        self,
        account: str | None,
        container: str | None,
        maxvers: int | None = None,
        **kwargs: Unpack[BulkOptions],
    ) -> None:
        """Delete the oldest versions of each object of a container. Delete markers are left as they are.

        :param maxvers: number of versions of an object that are kept, not counting delete markers; 0 counts
            as 1, a negative number keeps all of them. By default that of the container
            (``sys.m2.policy.version``), else that of the namespace.
        :raises NoSuchContainer: there is no such container
        :raises BadRequest: the container does not keep versions, and still has some
        :raises OioException: an object has more than 10000 versions, which the service cannot list:
            ``api.container.content_purge`` leaves it to the service to delete the oldest ones
        """
        return await self._call(lambda: self.sync.container_purge(account, container, maxvers, **kwargs))

    async def container_refresh(
        self,
        account: str | None,
        container: str | None,
        attempts: int = 3,
        **kwargs: Unpack[ContainerOptions],
    ) -> None:
        """Refresh counters of a container in its account: they are set to 0, then the container sends them
        again. A container that is not there any more is forgotten by its account. When that fails half-way,
        they stay at 0 until it is called again, or the container changes.

        :param attempts: attempts in all when the account knows of a later event
        :raises NoSuchContainer: the account does not know the container
        :raises Conflict: the account knows of a later event at the last attempt
        """
        return await self._call(lambda: self.sync.container_refresh(account, container, attempts, **kwargs))

    async def resolve_cid(self, cid: str, **kwargs: Unpack[CallOptions]) -> tuple[str, str]:
        """Get the names of a container from its ID.

        :param cid: container ID, hexadecimal
        :returns: names of the account and of the container
        :raises NotFound: there is no such container
        """
        return await self._call(lambda: self.sync.resolve_cid(cid, **kwargs))

    async def container_show(
        self, account: str | None, container: str | None, **kwargs: Unpack[ContainerOptions]
    ) -> ContainerInfo:
        """Get information about a container (user properties).

        :returns: a dict with "properties", a dict of user properties
        :raises NoSuchContainer: there is no such container
        """
        return await self._call(lambda: self.sync.container_show(account, container, **kwargs))

    async def container_get_properties(
        self,
        account: str | None,
        container: str | None,
        properties: Iterable[str] | None = None,
        **kwargs: Unpack[ContainerOptions],
    ) -> ContainerProperties:
        """Get information about a container (user and system properties), which may come from the `cache`.

        :param properties: ignored
        :returns: a dict with "properties" and "system" entries, containing respectively a dict of user
            properties and a dict of system properties, all of them text
        :raises NoSuchContainer: there is no such container
        """
        return await self._call(
            lambda: self.sync.container_get_properties(account, container, properties, **kwargs)
        )

    async def container_set_properties(
        self,
        account: str | None,
        container: str | None,
        properties: dict[str, str] | None = None,
        clear: bool = False,
        system: dict[str, str] | None = None,
        **kwargs: Unpack[ContainerOptions],
    ) -> Any:
        """Set properties on a container.

        :param properties: a dictionary of properties, text to text; an empty value removes the property
        :param clear: remove the other user properties first; with no `properties`, all of them are removed
        :param system: dictionary of system properties to set, whose names begin with ``sys.``
        :raises NoSuchContainer: there is no such container
        :raises ValueError: there is nothing to do
        """
        return await self._call(
            lambda: self.sync.container_set_properties(
                account, container, properties, clear, system, **kwargs
            )
        )

    async def container_del_properties(
        self,
        account: str | None,
        container: str | None,
        properties: Iterable[str],
        **kwargs: Unpack[ContainerOptions],
    ) -> Any:
        """Delete properties of a container.

        :param properties: a list of property keys; with none, nothing is removed, and nothing is asked
        :raises NoSuchContainer: there is no such container
        """
        return await self._call(
            lambda: self.sync.container_del_properties(account, container, properties, **kwargs)
        )

    async def container_touch(
        self,
        account: str | None,
        container: str | None,
        recompute: bool = False,
        **kwargs: Unpack[ContainerOptions],
    ) -> None:
        """Trigger a notification about the container state.

        :param recompute: count its objects and bytes again first, and the chunks that are missing
        :raises NoSuchContainer: there is no such container
        """
        return await self._call(lambda: self.sync.container_touch(account, container, recompute, **kwargs))

    async def container_update(
        self,
        account: str | None,
        container: str | None,
        metadata: dict[str, str],
        clear: bool = False,
        **kwargs: Unpack[ContainerOptions],
    ) -> None:
        """Deprecated: use :meth:`container_set_properties`."""
        return await self._call(
            lambda: self.sync.container_update(account, container, metadata, clear, **kwargs)
        )
