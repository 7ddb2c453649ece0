# SPDX-License-Identifier: Apache-2.0
"""Calls of ``oio.api._facade.data`` for event loops: ``tests.kit.face`` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oio.aio._base import FaceBase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Unpack

    from oio.aio._base import AsyncData
    from oio.aio._streams import AsyncObjectStream
    from oio.api._data.source import FileOrPath
    from oio.api.types import (
        CreateOptions,
        FetchedObject,
        NewContainerProperties,
        ObjectOptions,
        Range,
        ReadOptions,
        Uploaded,
        WrittenChunk,
    )
    from oio.common.options import KeyFile


class AsyncDataApi(FaceBase):
    """Calls that write and read the data of objects."""

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
        The object will be named after `obj_name` if specified, or after the base name of `file_or_path`.

        :param account: name of the account where to create the object
        :param container: name of the container where to create the object
        :param file_or_path: binary file-like object or path to a file from which to read object data
        :param data: object data: bytes, str (stored as UTF-8), file-like object, iterable or async
            iterable of bytes; read
            once, to its first end, and never kept whole. When there are `data`, `file_or_path` only gives
            the name. A ``read()`` or an iterable that gives None has nothing yet: it is waited for
        :param etag: MD5 that the data are expected to have (hexadecimal)
        :param obj_name: name of the object to create, 1023 bytes of UTF-8 at most
        :param mime_type: MIME type of the object
        :param metadata: deprecated, use `properties`
        :param policy: name of the storage policy; by default, or when it is empty, that of the namespace
        :param key_file: path to the file containing credentials (Backblaze), instead of the constructor's
        :param append: append the data to the object, which is created if it does not exist
        :param properties: a dictionary of properties, text to text; those of empty value are dropped
        :param container_properties: ``{"properties": {...}, "system": {...}}`` of the container if it is
            created with the object
        :param size: announced number of bytes, by an HTTP client for example. With fewer or more, nothing is
            stored. To notice more, the data are read to their end
        :param kwargs: also ``autocreate`` (True): False refuses to create the container; ``content_id``
            (hexadecimal) and ``version`` of the new object; ``change_policy``: the data are those of the
            object of this ``version``, which is required, exists, and gets the `policy`
            (:meth:`object_change_policy` reads them itself); ``deadline`` (monotonic seconds), which bounds
            all of it; ``perfdata``, a dict that gets figures of time (seconds)
        :returns: list of chunks, size and hash of what has been uploaded, and description of the object
        :raises MissingData: there is neither `data` nor `file_or_path`
        :raises MissingName: there is no name
        :raises FileNotFound: there is no file at the path
        :raises EtagMismatch: the data have another MD5; nothing is left of them
        :raises ChecksumUnavailable: ``chunk_checksum_algo="blake3"`` needs a package that is not installed
        :raises ChecksumRefused: the chunk servers do not compute BLAKE3; nothing is left of the data
        :raises NoSuchContainer: there is no container, and `autocreate` is False, or ``change_policy`` is set
        :raises NoSuchObject: there is no such version to change the policy of
        :raises Conflict: the version, or the content ID, exists
        :raises ClientException: the policy is unknown
        :raises ServiceBusy: too few chunks could be written; the container is frozen
        :raises SourceReadError: the data could not be read, came too late, or are not of the announced
            `size`; other exceptions of the source than OSError, ValueError, time limits come out as they are
        :raises ConfigurationException: the policy is one of Backblaze, and there are no credentials
        :raises BackblazeException: Backblaze refuses the data
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

    async def object_fetch(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        ranges: Iterable[Range] | None = None,
        key_file: KeyFile = None,
        properties: bool = True,
        **kwargs: Unpack[ObjectOptions],
    ) -> tuple[FetchedObject, AsyncObjectStream]:
        """Download an object.

        :param obj: name of the object to fetch
        :param version: version of the object to fetch, the latest by default
        :param ranges: a list of object ranges to download: (first, last) bytes, inclusive; (n, None) goes to
            the end, (None, n) is the n last bytes. They come in this order, one after the other; no block
            spans two of them, and each of several ranges of 4 MiB at most is one block. Those that hold no
            byte of the object are left out
        :param key_file: path to the file containing credentials (Backblaze), instead of the constructor's
        :param properties: should the request return object properties along with content description, see
            :meth:`object_locate`
        :param kwargs: also ``verify_checksum`` (True): False verifies nothing, ``"strict"`` verifies whole
            metachunks for ranges too, and gives nothing of one before, ``"server"`` makes chunk servers
            verify their files before a part of one is trusted; ``hold_up_to`` (4 MiB): bytes of the largest
            metachunk of which nothing is given before it is verified; ``parallel`` (1): metachunks that are
            read at a time, up to 16, for servers that take long to answer; ``on_unsatisfiable`` (``"skip"``):
            ``"raise"`` refuses ranges that hold no byte of the object; ``hedge`` (True): False asks no second
            chunk server when the first byte of another is late; ``perfdata``, a dict that gets
            ``ttfb`` and ``ttlb`` (seconds)
        :returns: a dictionary of object metadata and a stream of object data: an async iterator of blocks
            that gives all the bytes or raises. Errors of the rawx services come when it is
            read, from the first block on. If nothing can be read where the object was, because it was
            replaced meanwhile, it is located again, once: the dictionary becomes the description of what is
            read. (When the object is located in a `cache`, the first block is asked for at once.)
        :raises NoSuchObject: there is no such object; when reading: not any more
        :raises UnsatisfiableRange: a range holds no byte of the object, with ``on_unsatisfiable="raise"``
        :raises UnrecoverableContent: when reading: the chunks are lost
        :raises ServiceUnavailable: when reading: the chunks are out of reach
        :raises CorruptedChunk: when reading: the data are not what was stored
        :raises ChecksumUnavailable: when reading: ``"strict"`` needs a package that is not installed
        :raises ConfigurationException: the data are in Backblaze, and there are no credentials
        """
        return await self._fetch(
            lambda: self.sync.object_fetch(
                account, container, obj, version, ranges, key_file, properties, **kwargs
            )
        )

    async def object_change_policy(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        policy: str,
        version: int | str | None = None,
        **kwargs: Unpack[ReadOptions],
    ) -> Uploaded:
        """Store an object with another policy. Its data are read, verified and stored again; its version,
        properties, MIME type and dates stay, it gets a new content ID.

        When it fails, the object is as it was. Services that want such a change to be announced are told of
        it, and the announcement is taken back when the change fails.

        :param obj: name of the object
        :param policy: name of the storage policy
        :param version: version of the object, the latest by default
        :returns: list of chunks, size and hash of what has been stored, and description of the object
        :raises NoSuchObject: there is no such object
        :raises Conflict: the object has this policy
        :raises ClientException: the policy is unknown
        :raises ContentDrained: the chunks of the object were removed
        :raises OioException: the object cannot be read, see :meth:`object_fetch`, or cannot be stored, see
            :meth:`object_create_ext`
        """
        return await self._call(
            lambda: self.sync.object_change_policy(account, container, obj, policy, version, **kwargs)
        )

    async def object_request_transition(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        policy: str,
        version: int | str | None = None,
        skip_data_move: bool = False,
        internal_transition: bool = False,
        **kwargs: Unpack[ObjectOptions],
    ) -> None:
        """Announce that an object is to get another policy, and leave it to the services to store its data
        again. Only services of today can; :meth:`object_change_policy` works everywhere, and at once.

        Until it is done, the description of the object has its ``target_policy``.

        :param obj: name of the object
        :param policy: name of the storage policy; its own one takes an announcement back
        :param version: version of the object, the latest by default
        :param skip_data_move: announce it only
        :param internal_transition: do not note the time in property ``ttime`` of the object
        :raises NoSuchObject: there is no such object
        :raises ClientException: the policy is unknown
        :raises MethodNotAllowed: the services do not know announcements, as those of 7.3.0
        """
        return await self._call(
            lambda: self.sync.object_request_transition(
                account, container, obj, policy, version, skip_data_move, internal_transition, **kwargs
            )
        )

    async def object_truncate(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        size: int | None = None,
        **kwargs: Unpack[ReadOptions],
    ) -> None:
        """Truncate object at specified size. Only shrink is supported.

        Data are moved only when the size is inside a chunk: this one is downloaded, verified, and its
        beginning is stored again with the policy of the object. When that fails, the object is as it was;
        when the last requests fail, it may be longer than asked for, but ends at a chunk boundary.

        :param obj: name of the object to truncate
        :param version: version of the object, the latest by default
        :param size: new size of the object (bytes)
        :raises NoSuchObject: there is no such object
        :raises ContentDrained: the chunks of the object were removed
        :raises OioException: the object has fewer bytes; or what has to be stored again cannot be read, see
            :meth:`object_fetch`, or cannot be stored, see :meth:`object_create_ext`
        """
        return await self._call(
            lambda: self.sync.object_truncate(account, container, obj, version, size, **kwargs)
        )
