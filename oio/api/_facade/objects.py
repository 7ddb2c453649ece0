# SPDX-License-Identifier: Apache-2.0
"""The calls of the object storage API that look at objects, and those about their properties."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, cast, overload

from oio.api._facade.call import ApiBase, container_call, forgetting, object_call, warn_deprecated
from oio.api._facade.checks import (
    WrongValue,
    check_limit,
    check_listing,
    check_properties,
    check_property_names,
    check_ranges,
)
from oio.api._operations.download import ObjectStream, locate_bytes, stream_object
from oio.api._operations.leftovers import bucket_options
from oio.api._operations.paging import make_page, useful_marker
from oio.api._operations.presence import describe_chunks, is_readable
from oio.api.types import Chunk, DescribedChunk, FetchedObject, ObjectListing, ObjectMeta, Range
from oio.common import exceptions as exc
from oio.common.cache import (
    del_cached_object_metadata,
    forget_object,
    get_cached_object_metadata,
    set_cached_object_metadata,
)
from oio.common.easy_value import boolean_value
from oio.common.utils import cid_from_name


class ObjectApi(ApiBase):
    """Calls about objects that leave their data alone."""

    @container_call
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
        **kwargs: Any,
    ) -> ObjectListing:
        """List objects inside a container, page by page.

        :param limit: maximum number of objects and prefixes to return, 1000 by default
        :param marker: names after this one only
        :param delimiter: one ASCII character; what follows it in names is folded into prefixes
        :param prefix: names that begin so only
        :param end_marker: names before this one only
        :param properties: if True, list object properties along with objects
        :param versions: if True, list all versions of objects. A page that ends between two versions of an
            object loses the others, and one with a delimiter may lose more: :meth:`object_list_all` does not.
        :param deleted: if True, list also the deleted objects
        :returns: a dict which contains

            * 'objects': the list of object descriptions
            * 'prefixes': common prefixes (only if delimiter and prefix are set)
            * 'properties': a dict of container properties
            * 'system': a dict of system metadata
            * 'truncated': a bool telling if the listing was truncated
            * 'next_marker': a str to be used as marker to get the next page of results. Go on while
              'truncated' is true, even when a page is empty
        :raises NoSuchContainer: there is no such container

        >>> api.object_list("doc", "box", limit=1)["objects"][0]["name"]
        'hello'
        """
        check_limit(limit)
        check_listing(marker=marker, delimiter=delimiter, prefix=prefix, end_marker=end_marker)
        headers, body = self.container.content_list(
            account,
            container,
            limit=limit,
            marker=useful_marker(marker, prefix),
            end_marker=end_marker,
            prefix=prefix,
            delimiter=delimiter,
            properties=bool(properties),
            versions=bool(versions),
            deleted=bool(deleted),
            **kwargs,
        )
        return cast("ObjectListing", make_page(headers, body))

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
        **kwargs: Any,
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
        **kwargs: Any,
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
        **kwargs: Any,
    ) -> tuple[ObjectMeta, list[Chunk] | Iterator[DescribedChunk]]: ...

    @object_call
    def object_locate(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        chunk_info: bool = False,
        properties: bool = True,
        **kwargs: Any,
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
        meta, chunks, _ = self._locate(account, container, obj, version, properties, **kwargs)
        if not chunk_info:
            return meta, chunks
        cid = kwargs.get("cid") or cid_from_name(str(account), str(container))
        return meta, describe_chunks(self, meta, chunks, cid, kwargs)

    def _locate(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None,
        properties: bool,
        **kwargs: Any,
    ) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
        """Locate an object: description, chunks, and whether they come from the cache."""
        if kwargs.get("content") or kwargs.get("content_id"):
            kwargs.pop("cache", None)
        target: dict[str, Any] = {
            "account": account,
            "reference": container,
            "path": obj,
            "version": version,
        }
        meta, chunks = get_cached_object_metadata(**target, properties=properties, **kwargs)
        if meta is not None and chunks is not None:
            return meta, chunks, True
        meta, chunks = self.container.content_locate(**target, properties=bool(properties), **kwargs)
        set_cached_object_metadata(meta, chunks, **target, properties=properties, **kwargs)
        return meta, chunks, False

    def object_analyze(self, *args: Any, **kwargs: Any) -> tuple[ObjectMeta, Any]:
        """Deprecated: use :meth:`object_locate`."""
        warn_deprecated("object_analyze is deprecated, use object_locate")
        return self.object_locate(*args, **kwargs)

    @object_call
    def object_fetch(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        ranges: Iterable[Range] | None = None,
        key_file: str | None = None,
        properties: bool = True,
        **kwargs: Any,
    ) -> tuple[FetchedObject, ObjectStream]:
        """Download an object.

        :param obj: name of the object to fetch
        :param version: version of the object to fetch, the latest by default
        :param ranges: a list of object ranges to download: (first, last) bytes, inclusive; (n, None) goes to
            the end, (None, n) is the n last bytes. They come in this order, one after the other.
        :param key_file: path to the file containing credentials (Backblaze), instead of the constructor's
        :param properties: should the request return object properties along with content description, see
            :meth:`object_locate`
        :param kwargs: also ``verify_checksum`` (True): False verifies nothing, ``"strict"`` verifies whole
            metachunks for ranges too, and gives nothing of one before; ``perfdata``, a dict that gets
            ``ttfb`` and ``ttlb`` (seconds)
        :returns: a dictionary of object metadata and a stream of object data: an iterator of blocks, with
            ``close()``, that gives all the bytes or raises. Errors of the rawx services come when it is
            read, from the first block on. (When the object is located in a `cache`, the first block is
            asked for at once; if it cannot be read, the object is located again.)
        :raises NoSuchObject: there is no such object
        :raises UnsatisfiableRange: a range begins after the end of the object
        :raises UnrecoverableContent: when reading: the chunks are lost
        :raises ServiceUnavailable: when reading: the chunks are out of reach
        :raises CorruptedChunk: when reading: the data are not what was stored
        :raises ConfigurationException: the data are in Backblaze, and there are no credentials

        >>> meta, stream = api.object_fetch("doc", "box", "hello", ranges=[(1, 3)])
        >>> with stream:
        ...     b"".join(stream)
        b'ell'
        """
        wanted = check_ranges(ranges)
        kwargs["key_file"] = key_file or self._global_kwargs.get("key_file")
        target = (account, container, obj)
        meta, chunks, cached = self._locate(*target, version, properties, **kwargs)
        try:
            return self._open(account, container, meta, chunks, wanted, at_once=cached, **kwargs)
        except (exc.UnsatisfiableRange, exc.UnrecoverableContent, exc.ServiceUnavailable) as err:
            if not cached:
                raise
            # Once a byte is given, it is too late to look where the object is now (pitfalls row 57).
            self.logger.info("Locating %r again: %s", obj, err)
            del_cached_object_metadata(*target, **kwargs)
        meta, chunks, _ = self._locate(*target, version, properties, **kwargs)
        return self._open(account, container, meta, chunks, wanted, **kwargs)

    def _open(
        self,
        account: str | None,
        container: str | None,
        meta: dict[str, Any],
        chunks: list[dict[str, Any]],
        ranges: list[tuple[int | None, int | None]],
        at_once: bool = False,
        **kwargs: Any,
    ) -> tuple[FetchedObject, ObjectStream]:
        # There are names when there is no ID.
        meta["container_id"] = kwargs.get("cid") or cid_from_name(str(account), str(container))
        meta["ns"] = self.namespace
        location = locate_bytes(meta, chunks, ranges, self.logger)
        bucket = bucket_options(self, location.storage_method, meta["container_id"], kwargs)
        stream = stream_object(location, {**kwargs, **bucket})
        if at_once:
            stream.start()
        return cast("FetchedObject", meta), stream

    @object_call
    def _object_exists(
        self, account: str | None, container: str | None, obj: str | None, trust_level: int, **kwargs: Any
    ) -> bool:
        version = kwargs.pop("version", None)
        if trust_level == 0:
            meta = self.container.content_get_properties(account, container, obj, version=version, **kwargs)
            # A delete marker has properties too, but is no object.
            return not boolean_value(meta.get("deleted"), False)
        # Chunks that are cached may be elsewhere by now.
        meta, chunks = self.container.content_locate(
            account, container, obj, version=version, properties=False, **kwargs
        )
        cid = kwargs.get("cid") or cid_from_name(str(account), str(container))
        return is_readable(self, meta, chunks, cid, trust_level == 2, kwargs)

    def object_head(
        self, account: str | None, container: str | None, obj: str | None, trust_level: int = 0, **kwargs: Any
    ) -> bool:
        """Check for the presence of an object in a container.

        :param trust_level: 0: do not check chunks; 1: check if there are enough chunks to read the object;
            2: check if all chunks are present
        :raises ValueError: the trust level is another one

        >>> api.object_head("doc", "box", "hello", trust_level=2)
        True
        """
        if trust_level not in (0, 1, 2):
            raise WrongValue(f"trust_level must be 0, 1 or 2: {trust_level!r}")
        try:
            return self._object_exists(account, container, obj, trust_level, **kwargs)
        except (exc.NoSuchObject, exc.NoSuchContainer):
            return False

    # --- properties ---

    @object_call
    def object_get_properties(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        **kwargs: Any,
    ) -> ObjectMeta:
        """Get the description of an object along with its user properties.

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
        meta = self.container.content_get_properties(account, container, obj, version=version, **kwargs)
        return cast("ObjectMeta", meta)

    def object_show(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        **kwargs: Any,
    ) -> ObjectMeta:
        """Deprecated: use :meth:`object_get_properties`."""
        warn_deprecated("object_show is deprecated, use object_get_properties")
        return self.object_get_properties(account, container, obj, version=version, **kwargs)

    @object_call
    @forgetting(forget_object)
    def object_set_properties(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        properties: dict[str, str],
        version: int | str | None = None,
        clear: bool = False,
        **kwargs: Any,
    ) -> None:
        """Set properties on an object.

        :param properties: dictionary of properties, text to text; an empty value removes the property
        :param version: version of the object, the latest by default
        :param clear: remove the others first; the way to remove all of them is to set none
        :raises NoSuchObject: there is no such object

        >>> api.object_set_properties("doc", "box", "hello", {"color": "blue"})
        """
        checked = check_properties("properties", properties)
        if not obj:
            # This route alone takes no content ID.
            meta = self.container.content_get_properties(account, container, version=version, **kwargs)
            obj, version = meta["name"], meta["version"]
        kwargs = {key: kwargs[key] for key in kwargs if key not in ("content", "content_id")}
        self.container.content_set_properties(
            account, container, obj, checked, version=version, clear=bool(clear), **kwargs
        )

    @object_call
    @forgetting(forget_object)
    def object_del_properties(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        properties: Iterable[str],
        version: int | str | None = None,
        **kwargs: Any,
    ) -> bool:
        """Delete some properties from an object.

        :param properties: list of property keys to delete; with none, nothing is removed, nor asked
        :param version: version of the object, the latest by default
        :returns: True if the property has been deleted (or was missing)
        :raises NoSuchObject: there is no such object

        >>> api.object_del_properties("doc", "box", "hello", ["color"])
        True
        """
        names = check_property_names("properties", properties)
        if not names:
            # An empty list means "all" for the service (pitfalls row 103).
            return True
        return self.container.content_del_properties(
            account, container, obj, names, version=version, **kwargs
        )

    def object_update(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        metadata: dict[str, str],
        version: int | str | None = None,
        clear: bool = False,
        **kwargs: Any,
    ) -> None:
        """Deprecated: use :meth:`object_set_properties`."""
        warn_deprecated("object_update is deprecated, use object_set_properties")
        self.object_set_properties(account, container, obj, metadata, version=version, clear=clear, **kwargs)
