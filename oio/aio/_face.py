# SPDX-License-Identifier: Apache-2.0
"""Calls of the facade for event loops. They are made as they are, but for those whose types differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from oio.aio._base import FaceBase, awaited, fetched, iterated
from oio.api.object_storage import ObjectStorageApi

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.aio._base import AsyncData
    from oio.aio._files import AsyncObjectReader, AsyncObjectWriter, Opening
    from oio.aio._streams import AsyncItems
    from oio.api._data.source import FileOrPath
    from oio.api.types import (
        Chunk,
        CreateOptions,
        DescribedChunk,
        NewContainerProperties,
        ObjectMeta,
        ObjectOptions,
        ReadOptions,
        Uploaded,
        WrittenChunk,
    )
    from oio.common.options import KeyFile


class Face(FaceBase):
    """Calls of the facade, in threads of the client."""

    # --- accounts ---

    account_create = awaited(ObjectStorageApi.account_create)
    account_delete = awaited(ObjectStorageApi.account_delete)
    account_flush = awaited(ObjectStorageApi.account_flush)
    account_refresh = awaited(ObjectStorageApi.account_refresh)
    all_accounts_refresh = awaited(ObjectStorageApi.all_accounts_refresh)
    account_list = awaited(ObjectStorageApi.account_list)
    account_show = awaited(ObjectStorageApi.account_show)
    account_get_properties = awaited(ObjectStorageApi.account_get_properties)
    account_set_properties = awaited(ObjectStorageApi.account_set_properties)
    account_del_properties = awaited(ObjectStorageApi.account_del_properties)
    account_update = awaited(ObjectStorageApi.account_update)

    # --- containers ---

    container_create = awaited(ObjectStorageApi.container_create)
    container_create_many = awaited(ObjectStorageApi.container_create_many)
    container_delete = awaited(ObjectStorageApi.container_delete)
    container_flush = awaited(ObjectStorageApi.container_flush)
    container_purge = awaited(ObjectStorageApi.container_purge)
    container_refresh = awaited(ObjectStorageApi.container_refresh)
    resolve_cid = awaited(ObjectStorageApi.resolve_cid)
    container_show = awaited(ObjectStorageApi.container_show)
    container_get_properties = awaited(ObjectStorageApi.container_get_properties)
    container_set_properties = awaited(ObjectStorageApi.container_set_properties)
    container_del_properties = awaited(ObjectStorageApi.container_del_properties)
    container_touch = awaited(ObjectStorageApi.container_touch)
    container_update = awaited(ObjectStorageApi.container_update)

    # --- listings ---

    object_list = awaited(ObjectStorageApi.object_list)
    object_list_all = iterated(ObjectStorageApi.object_list_all)
    container_list = awaited(ObjectStorageApi.container_list)
    container_list_all = iterated(ObjectStorageApi.container_list_all)

    # --- objects ---

    @overload
    async def object_locate(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        chunk_info: Literal[False] = False,
        properties: bool = True,
        **kwargs: Unpack[ReadOptions],
    ) -> tuple[ObjectMeta, list[Chunk]]: ...

    @overload
    async def object_locate(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        *,
        chunk_info: Literal[True],
        properties: bool = True,
        **kwargs: Unpack[ReadOptions],
    ) -> tuple[ObjectMeta, AsyncItems[DescribedChunk]]: ...

    @overload
    async def object_locate(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        chunk_info: bool = False,
        properties: bool = True,
        **kwargs: Unpack[ReadOptions],
    ) -> tuple[ObjectMeta, list[Chunk] | AsyncItems[DescribedChunk]]: ...

    async def object_locate(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        chunk_info: bool = False,
        properties: bool = True,
        **kwargs: Unpack[ReadOptions],
    ) -> tuple[Any, Any]:
        """Get a description of the object along with the list of its chunks.

        All is as in :meth:`ObjectStorageApi.object_locate() <oio.ObjectStorageApi.object_locate>`, but that
        `chunk_info` makes the chunks an async iterator.
        """
        return await self._locate(
            lambda: self.sync.object_locate(
                account, container, obj, version, chunk_info, properties, **kwargs
            )
        )

    async def object_analyze(self, *args: Any, **kwargs: Any) -> tuple[ObjectMeta, Any]:
        """Deprecated: use :meth:`object_locate`."""
        return await self._locate(lambda: self.sync.object_analyze(*args, **kwargs))

    object_head = awaited(ObjectStorageApi.object_head)
    object_get_properties = awaited(ObjectStorageApi.object_get_properties)
    object_show = awaited(ObjectStorageApi.object_show)
    object_set_properties = awaited(ObjectStorageApi.object_set_properties)
    object_del_properties = awaited(ObjectStorageApi.object_del_properties)
    object_update = awaited(ObjectStorageApi.object_update)
    object_touch = awaited(ObjectStorageApi.object_touch)

    # --- data of objects ---

    async def object_create(
        self,
        account: str | None,
        container: str | None,
        file_or_path: FileOrPath = None,
        data: AsyncData = None,
        etag: str | None = None,
        obj_name: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, str] | None = None,
        policy: str | None = None,
        key_file: KeyFile = None,
        append: bool = False,
        properties: dict[str, str] | None = None,
        container_properties: NewContainerProperties | None = None,
        size: int | None = None,
        **kwargs: Unpack[CreateOptions],
    ) -> tuple[list[WrittenChunk], int, str]:
        """Create an object, or append data to one; see :meth:`object_create_ext` for the arguments.

        :returns: list of chunks, size and hash of what has been uploaded
        """
        return await self._upload(
            data,
            lambda source: self.sync.object_create(
                account,
                container,
                file_or_path,
                source,
                etag,
                obj_name,
                mime_type,
                metadata,
                policy,
                key_file,
                append,
                properties,
                container_properties,
                size,
                **kwargs,
            ),
        )

    async def object_create_ext(
        self,
        account: str | None,
        container: str | None,
        file_or_path: FileOrPath = None,
        data: AsyncData = None,
        etag: str | None = None,
        obj_name: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, str] | None = None,
        policy: str | None = None,
        key_file: KeyFile = None,
        append: bool = False,
        properties: dict[str, str] | None = None,
        container_properties: NewContainerProperties | None = None,
        size: int | None = None,
        **kwargs: Unpack[CreateOptions],
    ) -> Uploaded:
        """Create an object, or append data to one, with data taken from either `data` or `file_or_path`.

        All is as in :meth:`ObjectStorageApi.object_create_ext() <oio.ObjectStorageApi.object_create_ext>`,
        but that `data` may be an async iterable of blocks, too.

        :returns: list of chunks, size and hash of what has been uploaded, and description of the object
        """
        return await self._upload(
            data,
            lambda source: self.sync.object_create_ext(
                account,
                container,
                file_or_path,
                source,
                etag,
                obj_name,
                mime_type,
                metadata,
                policy,
                key_file,
                append,
                properties,
                container_properties,
                size,
                **kwargs,
            ),
        )

    object_fetch = fetched(ObjectStorageApi.object_fetch)
    object_change_policy = awaited(ObjectStorageApi.object_change_policy)
    object_request_transition = awaited(ObjectStorageApi.object_request_transition)
    object_truncate = awaited(ObjectStorageApi.object_truncate)

    # --- deletions ---

    object_drain = awaited(ObjectStorageApi.object_drain)
    object_delete = awaited(ObjectStorageApi.object_delete)
    object_delete_many = awaited(ObjectStorageApi.object_delete_many)
    object_delete_ext = awaited(ObjectStorageApi.object_delete_ext)
    object_delete_many_ext = awaited(ObjectStorageApi.object_delete_many_ext)

    # --- files ---

    @overload
    def object_open(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        mode: Literal["rb"] = "rb",
        *,
        buffering: int = ...,
        version: int | str | None = None,
        key_file: KeyFile = None,
        **kwargs: Unpack[ObjectOptions],
    ) -> Opening[AsyncObjectReader]: ...

    @overload
    def object_open(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        mode: Literal["wb", "ab", "xb"],
        *,
        buffering: int = ...,
        version: int | str | None = None,
        policy: str | None = None,
        properties: dict[str, str] | None = None,
        mime_type: str | None = None,
        key_file: KeyFile = None,
        **kwargs: Unpack[ObjectOptions],
    ) -> Opening[AsyncObjectWriter]: ...

    @overload
    def object_open(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        mode: Literal["rb", "wb", "ab", "xb"],
        *,
        buffering: int = ...,
        version: int | str | None = None,
        policy: str | None = None,
        properties: dict[str, str] | None = None,
        mime_type: str | None = None,
        key_file: KeyFile = None,
        **kwargs: Unpack[ObjectOptions],
    ) -> Opening[AsyncObjectReader] | Opening[AsyncObjectWriter]: ...

    def object_open(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        mode: Literal["rb", "wb", "ab", "xb"] = "rb",
        *,
        buffering: int = 131072,
        version: int | str | None = None,
        policy: str | None = None,
        properties: dict[str, str] | None = None,
        mime_type: str | None = None,
        key_file: KeyFile = None,
        **kwargs: Unpack[ObjectOptions],
    ) -> Opening[AsyncObjectReader] | Opening[AsyncObjectWriter]:
        """Open an object as a binary file, when the result is awaited, or entered by ``async with``.

        All is as in :meth:`ObjectStorageApi.object_open() <oio.ObjectStorageApi.object_open>`, but for the
        classes of files: a file that is read has itself ``meta`` and ``size``, one that is written
        ``result``.

        :raises NoSuchObject: there is no such object to read
        :raises ObjectExists: the mode is ``"xb"``, and there is one; it is a FileExistsError
        """
        return self._open(
            lambda: self.sync.object_open(
                account,
                container,
                obj,
                mode,
                buffering=buffering,
                version=version,
                policy=policy,
                properties=properties,
                mime_type=mime_type,
                key_file=key_file,
                **kwargs,
            )
        )

    # --- copies ---

    object_link = awaited(ObjectStorageApi.object_link)
    object_fastcopy = awaited(ObjectStorageApi.object_fastcopy)
    container_snapshot = awaited(ObjectStorageApi.container_snapshot)

    # --- health ---

    object_check = awaited(ObjectStorageApi.object_check)
    object_repair = awaited(ObjectStorageApi.object_repair)
    container_check = iterated(ObjectStorageApi.container_check)
    container_repair = iterated(ObjectStorageApi.container_repair)
