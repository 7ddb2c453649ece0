# SPDX-License-Identifier: Apache-2.0
"""Calls of ``oio.api._facade.listings`` for event loops: ``tests.kit.face`` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from oio.aio._base import FaceBase

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.aio._streams import AsyncItems
    from oio.api.types import (
        CallOptions,
        ContainerOptions,
        ContainerRow,
        ListedObject,
        ListedPrefix,
        ObjectListing,
    )


class AsyncListingApi(FaceBase):
    """Calls that list objects and containers."""

    async def object_list(
        self,
        account: str | None,
        container: str | None,
        limit: int | None = None,
        marker: str | None = None,
        delimiter: str | None = None,
        prefix: str | None = None,
        end_marker: str | None = None,
        properties: bool = False,
        versions: bool = False,
        deleted: bool = False,
        version_marker: int | str | None = None,
        **kwargs: Unpack[ContainerOptions],
    ) -> ObjectListing:
        """List objects inside a container, page by page.

        :param limit: maximum number of objects and prefixes to return; 1000 by default, and for 0 or less
        :param marker: only names after this one
        :param delimiter: one ASCII character; what follows it in names is folded into prefixes
        :param prefix: only names with this prefix
        :param end_marker: only names before this one
        :param properties: if True, list object properties along with objects
        :param versions: if True, list all versions of objects. After a page that ends between two versions of
            an object, go on with `version_marker`. Services of 7.3 lose the other versions there, and more
            with a delimiter; :meth:`object_list_all` loses none.
        :param deleted: if True, also list the objects whose latest version is a delete marker
        :param version_marker: with `versions`, also the versions of the object `marker` that are older than
            this one. Services of 7.3 ignore it, and never give one
        :returns: a dict which contains

            * 'objects': the list of object descriptions
            * 'prefixes': common prefixes (only if delimiter and prefix are set)
            * 'properties': a dict of container properties
            * 'system': a dict of system metadata
            * 'truncated': a bool telling if the listing was truncated
            * 'next_marker': a str to be used as marker to get the next page of results. Go on while
              'truncated' is true, even when a page is empty
            * 'next_version_marker': a str to be used as version_marker with it; of services of 2026 only, in
              pages of versions
        :raises NoSuchContainer: there is no such container
        :raises ValueError: version_marker is given without marker, or is no number
        """
        return await self._call(
            lambda: self.sync.object_list(
                account,
                container,
                limit,
                marker,
                delimiter,
                prefix,
                end_marker,
                properties,
                versions,
                deleted,
                version_marker,
                **kwargs,
            )
        )

    @overload
    def object_list_all(
        self,
        account: str | None,
        container: str | None,
        *,
        limit: int | None = None,
        marker: str | None = None,
        delimiter: None = None,
        prefix: str | None = None,
        end_marker: str | None = None,
        properties: bool = False,
        versions: bool = False,
        deleted: bool = False,
        **kwargs: Unpack[ContainerOptions],
    ) -> AsyncItems[ListedObject]: ...

    @overload
    def object_list_all(
        self,
        account: str | None,
        container: str | None,
        *,
        limit: int | None = None,
        marker: str | None = None,
        delimiter: str | None,
        prefix: str | None = None,
        end_marker: str | None = None,
        properties: bool = False,
        versions: bool = False,
        deleted: bool = False,
        **kwargs: Unpack[ContainerOptions],
    ) -> AsyncItems[ListedObject | ListedPrefix]: ...

    def object_list_all(
        self,
        account: str | None,
        container: str | None,
        *,
        limit: int | None = None,
        marker: str | None = None,
        delimiter: str | None = None,
        prefix: str | None = None,
        end_marker: str | None = None,
        properties: bool = False,
        versions: bool = False,
        deleted: bool = False,
        **kwargs: Unpack[ContainerOptions],
    ) -> AsyncItems[ListedObject] | AsyncItems[ListedObject | ListedPrefix]:
        """Iterate over the objects of a container, in the order of their names (as UTF-8).

        Objects that are created or deleted meanwhile may be there or not; all others are there once.

        :param limit: number of objects and prefixes in one page: 1000 by default and for 0 or less, 10000 at
            most
        :param marker: only names after this one; with a delimiter, none that it shares a prefix with
        :param delimiter: one ASCII character; the names in which it occurs after `prefix` are folded into a
            single item, in the place of the first of them: ``{"prefix": "photos/"}``
        :param prefix: only names with this prefix
        :param end_marker: only names before this one
        :param properties: give the properties of the objects too
        :param versions: give all versions of the objects, the newest one first, and delete markers
        :param deleted: give the objects whose latest version is a delete marker too
        :param kwargs: also ``deadline`` (monotonic seconds), which bounds all of the iteration
        :returns: an async iterator of the descriptions of objects that :meth:`object_list` gives, and
            prefixes
        :raises NoSuchContainer: at the first item: there is no such container
        :raises OioException: an object has more than 10000 versions, which services of 7.3 cannot list
        """
        return self._iterate(
            limit,
            lambda: self.sync.object_list_all(
                account,
                container,
                limit=limit,
                marker=marker,
                delimiter=delimiter,
                prefix=prefix,
                end_marker=end_marker,
                properties=properties,
                versions=versions,
                deleted=deleted,
                **kwargs,
            ),
        )

    async def container_list(
        self,
        account: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
        end_marker: str | None = None,
        prefix: str | None = None,
        delimiter: str | None = None,
        s3_buckets_only: bool = False,
        region: str | None = None,
        **kwargs: Unpack[CallOptions],
    ) -> list[ContainerRow]:
        """Get the list of containers of an account, page by page.

        :param account: account in which the containers are
        :param limit: maximum number of results to return; 1000 by default, and for 0 or less
        :param marker: only names after this one
        :param end_marker: only names before this one
        :param prefix: only names with this prefix
        :param delimiter: what follows it in names is folded into prefixes
        :param s3_buckets_only: only names that can be those of buckets
        :param region: only the containers of this region, in any letter case
        :returns: lists of name, number of objects, number of bytes, 1 if the item is a prefix or 0 if it
            is a container, and modification time (seconds). The marker of the next page is the last name;
            only an empty page is the end.
        :raises NoSuchAccount: there is no such account
        :raises BadRequest: a region is given, and the services are of 7.3, which know none
        """
        return await self._call(
            lambda: self.sync.container_list(
                account, limit, marker, end_marker, prefix, delimiter, s3_buckets_only, region, **kwargs
            )
        )

    def container_list_all(
        self,
        account: str,
        *,
        limit: int | None = None,
        marker: str | None = None,
        end_marker: str | None = None,
        prefix: str | None = None,
        delimiter: str | None = None,
        s3_buckets_only: bool = False,
        region: str | None = None,
        **kwargs: Unpack[CallOptions],
    ) -> AsyncItems[ContainerRow]:
        """Iterate over the containers of an account, in the order of their names (as UTF-8).

        :param limit: number of containers and prefixes in one page: 1000 by default and for 0 or less, 10000
            at most
        :param marker: only names after this one; with a delimiter, the prefix that it is inside of is there
        :param end_marker: only names before this one
        :param prefix: only names with this prefix
        :param delimiter: one ASCII character; the names in which it occurs after `prefix` are folded into a
            single item, in the place of the first of them
        :param s3_buckets_only: only names that can be those of buckets
        :param region: only the containers of this region, in any letter case
        :param kwargs: also ``deadline`` (monotonic seconds), which bounds all of the iteration
        :returns: an async iterator of the lists of five that :meth:`container_list` gives: name, number of
            objects,
            number of bytes, 1 if the item is a prefix or 0 if it is a container, and modification time
        :raises NoSuchAccount: at the first item: there is no such account
        :raises BadRequest: at the first item: a region is given, and the services are of 7.3, which know none
        """
        return self._iterate(
            limit,
            lambda: self.sync.container_list_all(
                account,
                limit=limit,
                marker=marker,
                end_marker=end_marker,
                prefix=prefix,
                delimiter=delimiter,
                s3_buckets_only=s3_buckets_only,
                region=region,
                **kwargs,
            ),
        )
