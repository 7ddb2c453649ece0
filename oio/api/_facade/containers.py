# SPDX-License-Identifier: Apache-2.0
"""Calls of the object storage API about containers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from oio.api import _operations as operations
from oio.api._facade.argument_checks import (
    check_batch,
    check_cid,
    check_integer,
    check_names,
    check_properties,
    check_property_names,
    check_region,
    check_system,
)
from oio.api._facade.call import AccountCall, ApiBase, Call, ContainerCall, warn_deprecated
from oio.api._operations.bulk import Results, in_bulk
from oio.api._operations.location import describe_container
from oio.common import exceptions as exc
from oio.common.arguments import WrongValue, check_flag
from oio.common.cache import del_cached_container_metadata, forget_container

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.api.types import BulkOptions, CallOptions, ContainerInfo, ContainerOptions, ContainerProperties
    from oio.common.options import Options


class ContainerApi(ApiBase):
    """Calls about containers."""

    def container_create(
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

        >>> api.container_create("doc", "shelf", properties={"color": "blue"})
        True
        >>> api.container_create("doc", "shelf")
        False
        """
        with ContainerCall(
            self, kwargs, account, container, forgets=del_cached_container_metadata
        ) as options:
            properties, system = _checked(properties, system)
            check_region(region)
            return self.container.container_create(
                account, container, properties=properties, system=system, region=region, options=options
            )

    def container_create_many(
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

        >>> api.container_create_many("doc", ["shelf-1", "shelf-2"])
        [('shelf-1', True), ('shelf-2', True)]
        """
        with AccountCall(self, kwargs, account) as options:
            names = check_names("containers", containers, "container")
            properties, system = _checked(properties, system)

            def create(names: list[str], /, *, options: Options) -> Results[bool]:
                return self.container.container_create_many(
                    account, names, properties, system, options=options
                )

            try:
                return in_bulk(names, create, options)
            finally:
                for name in names:
                    del_cached_container_metadata(account, name, cache=options.cache)

    def container_delete(
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

        >>> api.container_create("doc", "gone")
        True
        >>> api.container_delete("doc", "gone")
        """
        with ContainerCall(self, kwargs, account, container, forgets=forget_container) as options:
            target = self, account, container, options
            with operations.emptying.forgetting_objects(*target) if force else contextlib.nullcontext():
                try:
                    self.container.container_delete(account, container, force=force, options=options)
                except exc.Conflict as err:
                    exc.reraise(exc.ContainerNotEmpty, err)

    def container_flush(
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

        >>> api.container_flush("doc", "box")
        >>> api.object_list("doc", "box", versions=True)["objects"]
        []
        """
        with ContainerCall(self, kwargs, account, container, forgets=forget_container) as options:
            target = self, account, container, options
            bypass_governance = check_flag("bypass_governance", bypass_governance)
            if fast:
                with operations.emptying.forgetting_objects(*target):
                    operations.emptying.flush_fast(*target, bypass_governance=bypass_governance)
            else:
                operations.emptying.flush(*target, bypass_governance=bypass_governance)

    def container_purge(
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

        >>> api.container_purge("doc", "box", maxvers=2)
        """
        with ContainerCall(self, kwargs, account, container, forgets=forget_container) as options:
            check_integer("maxvers", maxvers)
            operations.emptying.purge(self, account, container, maxvers, options)

    def container_refresh(
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

        >>> api.container_refresh("doc", "box")
        """
        with ContainerCall(self, kwargs, account, container) as options:
            wanted = check_batch("attempts", attempts)
            if wanted is None:
                raise WrongValue("attempts is required (a number of at least 1)")
            names = self._names_of(account, container, options)
            operations.recount.refresh_container(self, *names, wanted, options)

    def resolve_cid(self, cid: str, **kwargs: Unpack[CallOptions]) -> tuple[str, str]:
        """Get the names of a container from its ID.

        :param cid: container ID, hexadecimal
        :returns: names of the account and of the container
        :raises NotFound: there is no such container

        >>> meta, _ = api.object_fetch("doc", "box", "hello")
        >>> api.resolve_cid(meta["container_id"])
        ('doc', 'box')
        """
        with Call(self, kwargs) as options:
            return self._names_of(None, None, replace(options, cid=check_cid("cid", cid)))

    def container_show(
        self, account: str | None, container: str | None, **kwargs: Unpack[ContainerOptions]
    ) -> ContainerInfo:
        """Get information about a container (user properties).

        :returns: a dict with "properties", a dict of user properties
        :raises NoSuchContainer: there is no such container

        >>> api.container_show("doc", "box")
        {'properties': {'color': 'blue'}}
        """
        with ContainerCall(self, kwargs, account, container) as options:
            known = self.container.container_show(account, container, options=options)
            return cast("ContainerInfo", known)

    def container_get_properties(
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

        >>> api.container_get_properties("doc", "box")["system"]["sys.user.name"]
        'box'
        """
        with ContainerCall(self, kwargs, account, container) as options:
            known = describe_container(self, account, container, options)
            return cast("ContainerProperties", known)

    def container_set_properties(
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

        >>> api.container_set_properties("doc", "box", {"size": "big"}, clear=True)
        {}
        """
        with ContainerCall(
            self, kwargs, account, container, forgets=del_cached_container_metadata
        ) as options:
            properties, system = _checked(properties, system)
            if not properties and not system:
                if not clear:
                    raise WrongValue("properties and system are both empty: nothing to set")
                # The service refuses to set nothing; to delete "none" means all for it.
                return self.container.container_del_properties(account, container, [], options=options)
            return self.container.container_set_properties(
                account, container, properties, bool(clear), system=system, options=options
            )

    def container_del_properties(
        self,
        account: str | None,
        container: str | None,
        properties: Iterable[str],
        **kwargs: Unpack[ContainerOptions],
    ) -> Any:
        """Delete properties of a container.

        :param properties: a list of property keys; with none, nothing is removed, and nothing is asked
        :raises NoSuchContainer: there is no such container

        >>> api.container_del_properties("doc", "box", ["color"])
        {}
        """
        with ContainerCall(
            self, kwargs, account, container, forgets=del_cached_container_metadata
        ) as options:
            names = check_property_names("properties", properties)
            if not names:
                # An empty list means "all" for the service (pitfall 103).
                return {}
            return self.container.container_del_properties(account, container, names, options=options)

    def container_touch(
        self,
        account: str | None,
        container: str | None,
        recompute: bool = False,
        **kwargs: Unpack[ContainerOptions],
    ) -> None:
        """Trigger a notification about the container state.

        :param recompute: count its objects and bytes again first, and the chunks that are missing
        :raises NoSuchContainer: there is no such container

        >>> api.container_touch("doc", "box")
        """
        with ContainerCall(
            self, kwargs, account, container, forgets=del_cached_container_metadata
        ) as options:
            damaged = missing = None
            if recompute:
                damaged, missing = operations.recount.count_damage(self, account, container, options)
            self.container.container_touch(
                account,
                container,
                recompute=bool(recompute),
                damaged_objects=damaged,
                missing_chunks=missing,
                options=options.renewed(),
            )

    def container_update(
        self,
        account: str | None,
        container: str | None,
        metadata: dict[str, str],
        clear: bool = False,
        **kwargs: Unpack[ContainerOptions],
    ) -> None:
        """Deprecated: use :meth:`container_set_properties`."""
        warn_deprecated("container_update is deprecated, use container_set_properties")
        if metadata or clear:
            self.container_set_properties(account, container, metadata, clear=clear, **kwargs)


def _checked(properties: object, system: object) -> tuple[dict[str, str], dict[str, str]]:
    return check_properties("properties", properties), check_system("system", system)
