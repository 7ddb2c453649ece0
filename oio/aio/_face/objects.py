# SPDX-License-Identifier: Apache-2.0
"""Calls of ``oio.api._facade.objects`` for event loops: ``tests.kit.face`` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from oio.aio._base import FaceBase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Unpack

    from oio.aio._streams import AsyncItems
    from oio.api.types import Chunk, DescribedChunk, ObjectMeta, ObjectOptions, ReadOptions


class AsyncObjectApi(FaceBase):
    """Calls about objects that leave their data as they are."""

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

        :param obj: name of the object to query; None when ``content`` gives its content ID
        :param version: version of the object to query, the latest by default
        :param chunk_info: if True, fetch additional information about chunks from rawx services, or from
            Backblaze, which knows their sizes only (slow). The second element of the returned tuple becomes
            an
            async iterator, in the order of positions, of chunks with ``chunk_size``, ``chunk_hash`` and
            ``full_path``, or ``error``.
        :param properties: should the request return object properties along with content description. Those
            named exactly like a field of the description (``hash``, ``size``...) are given by
            :meth:`object_get_properties` only.
        :returns: a tuple with object metadata dict as first element and chunk list as second element
        :raises NoSuchObject: there is no such object
        :raises ContentDrained: its chunks were removed
        """
        return await self._locate(
            lambda: self.sync.object_locate(
                account, container, obj, version, chunk_info, properties, **kwargs
            )
        )

    async def object_analyze(self, *args: Any, **kwargs: Any) -> tuple[ObjectMeta, Any]:
        """Deprecated: use :meth:`object_locate`."""
        return await self._locate(lambda: self.sync.object_analyze(*args, **kwargs))

    async def object_head(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        trust_level: int = 0,
        *,
        version: int | str | None = None,
        **kwargs: Unpack[ReadOptions],
    ) -> bool:
        """Check for the presence of an object in a container.

        :param trust_level: 0: do not check chunks; 1: check if there are enough chunks to read the object;
            2: check if all chunks are present. Chunks whose files were cut short count as missing; bytes that
            changed are not noticed
        :raises ValueError: the trust level is another one
        :raises ContentDrained: its chunks were removed, and the trust level is not 0
        """
        return await self._call(
            lambda: self.sync.object_head(account, container, obj, trust_level, version=version, **kwargs)
        )

    async def object_get_properties(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        **kwargs: Unpack[ObjectOptions],
    ) -> ObjectMeta:
        """Get the description of an object along with its user properties, which may come from the
        `cache`.

        :param obj: name of the object to query
        :param version: version of the object to query, the latest by default
        :returns: a dict describing the object, all of it text, with a dict of the user's ``properties``

            .. code-block:: python

                {'chunk_method': 'plain/nb_copy=3', 'ctime': '1481031763', 'deleted': 'False',
                 'hash': '6BF60C17CC15EEA108024903B481738F', 'hash_method': 'md5',
                 'id': '20BF2194FD420500CD4729AE0B5CBC07', 'length': '43518',
                 'mime_type': 'application/octet-stream', 'mtime': '1481031763', 'name': 'Makefile',
                 'policy': 'THREECOPIES', 'properties': {'project': 'OpenIO-SDS'}, 'size': '43518',
                 'version': '1481031762951972'}
        :raises NoSuchObject: there is no such object
        """
        return await self._call(
            lambda: self.sync.object_get_properties(account, container, obj, version, **kwargs)
        )

    async def object_show(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        **kwargs: Unpack[ObjectOptions],
    ) -> ObjectMeta:
        """Deprecated: use :meth:`object_get_properties`."""
        return await self._call(lambda: self.sync.object_show(account, container, obj, version, **kwargs))

    async def object_set_properties(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        properties: dict[str, str],
        version: int | str | None = None,
        clear: bool = False,
        **kwargs: Unpack[ObjectOptions],
    ) -> None:
        """Set properties on an object.

        :param properties: dictionary of properties, text to text; an empty value removes the property
        :param version: version of the object, the latest by default
        :param clear: remove the others first; with no `properties`, all of them are removed
        :raises NoSuchObject: there is no such object
        """
        return await self._call(
            lambda: self.sync.object_set_properties(
                account, container, obj, properties, version, clear, **kwargs
            )
        )

    async def object_del_properties(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        properties: Iterable[str],
        version: int | str | None = None,
        **kwargs: Unpack[ObjectOptions],
    ) -> bool:
        """Delete some properties from an object.

        :param properties: list of property keys to delete; with none, nothing is removed or asked
        :param version: version of the object, the latest by default
        :returns: True if the property has been deleted (or was missing)
        :raises NoSuchObject: there is no such object
        """
        return await self._call(
            lambda: self.sync.object_del_properties(account, container, obj, properties, version, **kwargs)
        )

    async def object_update(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        metadata: dict[str, str],
        version: int | str | None = None,
        clear: bool = False,
        **kwargs: Unpack[ObjectOptions],
    ) -> None:
        """Deprecated: use :meth:`object_set_properties`."""
        return await self._call(
            lambda: self.sync.object_update(account, container, obj, metadata, version, clear, **kwargs)
        )

    async def object_touch(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        **kwargs: Unpack[ObjectOptions],
    ) -> None:
        """Trigger a notification about an object (as if it just had been created).

        :param obj: name of the object to touch
        :param version: version of the object, the latest by default
        :raises NoSuchObject: there is no such object; it is a NotFound too
        """
        return await self._call(lambda: self.sync.object_touch(account, container, obj, version, **kwargs))
