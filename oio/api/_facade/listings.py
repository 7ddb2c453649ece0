# SPDX-License-Identifier: Apache-2.0
"""Calls of the object storage API that list objects and containers: single pages, and iterators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeVar, overload

from oio.api import _operations as operations
from oio.api._facade.argument_checks import (
    check_delimiter,
    check_limit,
    check_listing,
    check_region,
    check_version_marker,
)
from oio.api._facade.call import AccountCall, ApiBase, ContainerCall
from oio.common.exceptions import OioException
from oio.common.not_found import raise_if_no_account, raise_if_no_container

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.api._operations.paging import ListPage, Marker
    from oio.api.types import (
        CallOptions,
        ContainerOptions,
        ContainerRow,
        ListedObject,
        ListedPrefix,
        ObjectListing,
    )
    from oio.common.options import Options

_P = TypeVar("_P")


class ListingApi(ApiBase):
    """Calls that list objects and containers.

    The iterators ask for nothing before their first item is wanted. A page that a busy service refuses is
    asked for again, a few times.
    """

    # --- objects ---

    def object_list(
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

        >>> api.object_list("doc", "box", limit=1)["objects"][0]["name"]
        'hello'
        """
        with ContainerCall(self, kwargs, account, container) as options:
            check_listing(marker=marker, prefix=prefix, end_marker=end_marker)
            check_delimiter(delimiter)
            check_version_marker(version_marker, marker)
            return operations.paging.object_page(
                self.container,
                account,
                container,
                options,
                limit=check_limit(limit),
                marker=marker,
                delimiter=delimiter,
                prefix=prefix,
                end_marker=end_marker,
                properties=properties,
                versions=versions,
                deleted=deleted,
                version_marker=version_marker,
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
    ) -> Iterator[ListedObject]: ...

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
    ) -> Iterator[ListedObject | ListedPrefix]: ...

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
    ) -> Iterator[ListedObject] | Iterator[ListedObject | ListedPrefix]:
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
        :returns: an iterator of the descriptions of objects that :meth:`object_list` gives, and prefixes
        :raises NoSuchContainer: at the first item: there is no such container
        :raises OioException: an object has more than 10000 versions, which services of 7.3 cannot list

        >>> chunks, size, md5 = api.object_create("doc", "box", obj_name="photos/cat", data="miaow")
        >>> [obj["name"] for obj in api.object_list_all("doc", "box")]
        ['hello', 'photos/cat']
        >>> for item in api.object_list_all("doc", "box", delimiter="/"):
        ...     if "prefix" in item:
        ...         print("all of", item["prefix"])
        ...     else:
        ...         print(item["name"], item["size"], "bytes")
        hello 5 bytes
        all of photos/
        """
        with ContainerCall(self, kwargs, account, container) as options:
            check_listing(marker=marker, prefix=prefix, end_marker=end_marker)
            check_delimiter(delimiter)
            page_size = check_limit(limit) or operations.paging.PAGE_SIZE

        def list_page(options: Options, limit: int | None, marker: Marker | None) -> ObjectListing:
            name, version = marker or (None, None)
            return operations.paging.object_page(
                self.container,
                account,
                container,
                options,
                limit=limit,
                marker=name,
                version_marker=version,
                delimiter=None if versions else delimiter,
                prefix=prefix,
                end_marker=end_marker,
                properties=properties,
                versions=versions,
                deleted=deleted,
            )

        explain = partial(raise_if_no_container, container=container or options.cid)
        pages = _explained(operations.paging.with_retries(list_page, options), explain, options)
        if versions and delimiter:
            pages = operations.paging.fold_names(pages, delimiter, prefix)
        return operations.paging.all_entries(pages, page_size, marker or None, whole_names=bool(versions))

    # --- containers ---

    def container_list(
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

        >>> [name for name, objects, size, is_prefix, mtime in api.container_list("doc", prefix="box")]
        ['box']
        """
        with AccountCall(self, kwargs, account) as options:
            check_listing(marker=marker, end_marker=end_marker, prefix=prefix, delimiter=delimiter)
            check_region(region)
            return operations.paging.container_page(
                self.account,
                account,
                options,
                limit=check_limit(limit),
                marker=marker,
                end_marker=end_marker,
                prefix=prefix,
                delimiter=delimiter,
                s3_buckets_only=s3_buckets_only,
                region=region,
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
    ) -> Iterator[ContainerRow]:
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
        :returns: an iterator of the lists of five that :meth:`container_list` gives: name, number of objects,
            number of bytes, 1 if the item is a prefix or 0 if it is a container, and modification time
        :raises NoSuchAccount: at the first item: there is no such account
        :raises BadRequest: at the first item: a region is given, and the services are of 7.3, which know none

        >>> for name, objects, size, is_prefix, mtime in api.container_list_all("doc"):
        ...     print(name, objects, size)
        box 1 5
        """
        with AccountCall(self, kwargs, account) as options:
            check_listing(marker=marker, end_marker=end_marker, prefix=prefix)
            check_delimiter(delimiter)
            check_region(region)
            page_size = check_limit(limit)

        def list_page(options: Options, limit: int | None, marker: Marker | None) -> list[ContainerRow]:
            return operations.paging.container_page(
                self.account,
                account,
                options,
                limit=limit,
                marker=None if marker is None else marker.name,
                end_marker=end_marker,
                prefix=prefix,
                delimiter=delimiter,
                s3_buckets_only=s3_buckets_only,
                region=region,
            )

        explain = partial(raise_if_no_account, account=account)
        pages = _explained(operations.paging.with_retries(list_page, options), explain, options)
        return operations.paging.all_containers(pages, page_size, marker or None)


def _explained(
    list_page: ListPage[_P], explain: Callable[[OioException], None], options: Options
) -> ListPage[_P]:
    """Explain the failures of pages, which are asked for after the call has returned."""

    def ask(*, limit: int | None, marker: Marker | None) -> _P:
        try:
            return list_page(limit=limit, marker=marker)
        except OioException as err:
            err.reqid = err.reqid or options.reqid
            explain(err)
            raise

    return ask
