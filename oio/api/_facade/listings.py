# SPDX-License-Identifier: Apache-2.0
"""The calls of the object storage API that list everything: iterators, which page by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast, overload

from oio.api._facade.accounts import AccountApi
from oio.api._facade.call import account_call, container_call
from oio.api._facade.checks import check_delimiter, check_limit, check_listing
from oio.api._facade.objects import ObjectApi
from oio.api._operations.paging import PAGE_SIZE, all_containers, all_entries, folding, patiently
from oio.api.types import ContainerRow, ListedObject, ListedPrefix
from oio.common.deadlines import hard_deadline, renewed_options


class ListingApi(AccountApi, ObjectApi):
    """Calls that list everything, whatever the number of pages.

    Nothing is asked before the first item is. A page that a busy service refuses is asked again, a few times.
    """

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
        **kwargs: Any,
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
        **kwargs: Any,
    ) -> Iterator[ListedObject | ListedPrefix]: ...

    @container_call
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
        **kwargs: Any,
    ) -> Iterator[ListedObject] | Iterator[ListedObject | ListedPrefix]:
        """Iterate over the objects of a container, in the order of their names (as UTF-8).

        What is created or deleted meanwhile may be there or not; all the rest is there once.

        :param limit: number of objects and prefixes that are asked for at once, 1000 by default, 10000 at
            most
        :param marker: names after this one only; with a delimiter, none of those that it shares a prefix with
        :param delimiter: one ASCII character; the names in which it occurs after `prefix` are folded into a
            single item, in the place of the first of them: ``{"prefix": "photos/"}``
        :param prefix: names that begin so only
        :param end_marker: names before this one only
        :param properties: give the properties of the objects too
        :param versions: give all versions of the objects, the newest one first, and delete markers
        :param deleted: give the objects whose latest version is a delete marker too
        :param kwargs: also ``deadline`` (monotonic seconds), which bounds all of the iteration
        :returns: an iterator of the descriptions of objects that :meth:`object_list` gives, and prefixes
        :raises NoSuchContainer: at the first item: there is no such container
        :raises OioException: an object has more than 10000 versions, which the service cannot list

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
        check_listing(marker=marker, prefix=prefix, end_marker=end_marker)
        check_delimiter(delimiter)
        page_size = check_limit(limit) or PAGE_SIZE

        def list_page(**page: Any) -> Any:
            return self.object_list(
                account,
                container,
                delimiter=None if versions else delimiter,
                prefix=prefix,
                end_marker=end_marker,
                properties=properties,
                versions=versions,
                deleted=deleted,
                **page,
                **renewed_options(kwargs),
            )

        pages = patiently(list_page, hard_deadline(kwargs))
        if versions and delimiter:
            pages = folding(pages, delimiter, prefix)
        entries = all_entries(pages, page_size, marker or None, whole_names=bool(versions))
        return cast("Iterator[ListedObject | ListedPrefix]", entries)

    @account_call
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
        **kwargs: Any,
    ) -> Iterator[ContainerRow]:
        """Iterate over the containers of an account, in the order of their names (as UTF-8).

        :param limit: number of containers and prefixes that are asked for at once, 1000 by default, 10000 at
            most
        :param marker: names after this one only; with a delimiter, the prefix that it is inside of is there
        :param end_marker: names before this one only
        :param prefix: names that begin so only
        :param delimiter: one ASCII character; the names in which it occurs after `prefix` are folded into a
            single item, in the place of the first of them
        :param s3_buckets_only: only names that can be those of buckets
        :param kwargs: also ``deadline`` (monotonic seconds), which bounds all of the iteration
        :returns: an iterator of the lists of five that :meth:`container_list` gives: name, number of objects,
            number of bytes, 1 if the item is a prefix or 0 if it is a container, and modification time
        :raises NoSuchAccount: at the first item: there is no such account

        >>> for name, objects, size, is_prefix, mtime in api.container_list_all("doc"):
        ...     print(name, objects, size)
        box 1 5
        """
        check_listing(marker=marker, end_marker=end_marker, prefix=prefix)
        check_delimiter(delimiter)
        page_size = check_limit(limit)

        def list_page(**page: Any) -> list[ContainerRow]:
            return self.container_list(
                account,
                end_marker=end_marker,
                prefix=prefix,
                delimiter=delimiter,
                s3_buckets_only=s3_buckets_only,
                **page,
                **renewed_options(kwargs),
            )

        pages = patiently(list_page, hard_deadline(kwargs))
        return all_containers(pages, page_size, marker or None)
