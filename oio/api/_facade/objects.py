# SPDX-License-Identifier: Apache-2.0
"""Calls about what the services know of objects: location, presence, properties, notification."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

from oio.api import _operations as operations
from oio.api._facade.argument_checks import check_properties, check_property_names
from oio.api._facade.call import ApiBase, NoticeCall, ObjectCall, warn_deprecated
from oio.api._operations.location import describe, locate
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.arguments import WrongValue, shorten
from oio.common.easy_value import boolean_value

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.api.types import Chunk, DescribedChunk, ObjectMeta, ObjectOptions, ReadOptions


class ObjectApi(ApiBase):
    """Calls about objects that leave their data as they are."""

    # --- location ---

    @overload
    def object_locate(
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
    def object_locate(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        *,
        chunk_info: Literal[True],
        properties: bool = True,
        **kwargs: Unpack[ReadOptions],
    ) -> tuple[ObjectMeta, Iterator[DescribedChunk]]: ...

    @overload
    def object_locate(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        chunk_info: bool = False,
        properties: bool = True,
        **kwargs: Unpack[ReadOptions],
    ) -> tuple[ObjectMeta, list[Chunk] | Iterator[DescribedChunk]]: ...

    def object_locate(
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
            Backblaze, which knows their sizes only (slow). The second element of the returned tuple becomes a
            generator, in the order of positions, of chunks with ``chunk_size``, ``chunk_hash`` and
            ``full_path``, or ``error``.
        :param properties: should the request return object properties along with content description. Those
            named exactly like a field of the description (``hash``, ``size``...) are given by
            :meth:`object_get_properties` only.
        :returns: a tuple with object metadata dict as first element and chunk list as second element
        :raises NoSuchObject: there is no such object
        :raises ContentDrained: its chunks were removed

        >>> meta, chunks = api.object_locate("doc", "box", "hello")
        >>> meta["length"], chunks[0]["size"]
        ('5', 5)
        """
        with ObjectCall(self, kwargs, account, container, obj, version) as options:
            meta, chunks, _ = locate(self, account, container, obj, version, bool(properties), options)
            if not chunk_info:
                return meta, chunks
            cid = options.cid_of(account, container)
            return meta, operations.presence.describe_chunks(self, meta, chunks, cid, options)

    def object_analyze(self, *args: Any, **kwargs: Any) -> tuple[ObjectMeta, Any]:
        """Deprecated: use :meth:`object_locate`."""
        warn_deprecated("object_analyze is deprecated, use object_locate")
        return self.object_locate(*args, **kwargs)

    def object_head(
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

        >>> api.object_head("doc", "box", "hello", trust_level=2)
        True
        """
        if trust_level not in (0, 1, 2):
            raise WrongValue(f"trust_level must be 0, 1 or 2: {shorten(trust_level)}")
        try:
            with ObjectCall(self, kwargs, account, container, obj, version) as options:
                content = options.content_id
                if trust_level == 0:
                    meta = self.container.content_get_properties(
                        account, container, obj, content=content, version=version, options=options
                    )
                    # A delete marker has properties too, but is no object.
                    return not boolean_value(meta.get("deleted"), False)
                # Chunks that are cached may be elsewhere by now.
                meta, chunks = self.container.content_locate(
                    account,
                    container,
                    obj,
                    content=content,
                    version=version,
                    properties=False,
                    options=options,
                )
                cid = options.cid_of(account, container)
                return operations.presence.is_readable(self, meta, chunks, cid, trust_level == 2, options)
        except (exc.NoSuchObject, exc.NoSuchContainer):
            return False

    # --- properties ---

    def object_get_properties(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        **kwargs: Unpack[ObjectOptions],
    ) -> ObjectMeta:
        """Get the description of an object along with its user properties, which may come from the `cache`.

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

        >>> api.object_get_properties("doc", "box", "hello")["mime_type"]
        'application/octet-stream'
        """
        with ObjectCall(self, kwargs, account, container, obj, version) as options:
            meta: ObjectMeta | Any = describe(self, account, container, obj, version, options)
            return meta

    def object_show(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        **kwargs: Unpack[ObjectOptions],
    ) -> ObjectMeta:
        """Deprecated: use :meth:`object_get_properties`."""
        warn_deprecated("object_show is deprecated, use object_get_properties")
        return self.object_get_properties(account, container, obj, version=version, **kwargs)

    def object_set_properties(
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

        >>> api.object_set_properties("doc", "box", "hello", {"color": "blue"})
        """
        with ObjectCall(self, kwargs, account, container, obj, version, changes=True) as options:
            checked = check_properties("properties", properties)
            if not obj:
                # This route alone takes no content ID.
                meta = self.container.content_get_properties(
                    account, container, content=options.content_id, version=version, options=options
                )
                with reading_answer():
                    obj, version = meta["name"], meta["version"]
            self.container.content_set_properties(
                account, container, obj, checked, version=version, clear=bool(clear), options=options
            )

    def object_del_properties(
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

        >>> api.object_del_properties("doc", "box", "hello", ["color"])
        True
        """
        with ObjectCall(self, kwargs, account, container, obj, version, changes=True) as options:
            names = check_property_names("properties", properties)
            if not names:
                # An empty list means "all" for the service (pitfall 103).
                return True
            return self.container.content_del_properties(
                account,
                container,
                obj,
                names,
                version=version,
                content=options.content_id,
                options=options,
            )

    def object_update(
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
        warn_deprecated("object_update is deprecated, use object_set_properties")
        self.object_set_properties(account, container, obj, metadata, version=version, clear=clear, **kwargs)

    # --- notification ---

    def object_touch(
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

        >>> api.object_touch("doc", "box", "hello")
        """
        with NoticeCall(self, kwargs, account, container, obj, version) as options:
            self.container.content_touch(
                account, container, obj, version=version, content=options.content_id, options=options
            )
