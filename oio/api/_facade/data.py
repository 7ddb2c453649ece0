# SPDX-License-Identifier: Apache-2.0
"""Calls about the data of objects: creation, reading, truncation, another policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from oio.api import _operations as operations
from oio.api._data.source import default_name, open_source
from oio.api._facade.argument_checks import (
    check_header_value,
    check_name,
    check_policy,
    check_properties,
    check_ranges,
    check_size,
    check_system,
)
from oio.api._facade.call import ApiBase, CreationCall, ObjectCall, warn_deprecated
from oio.api._facade.option_checks import check_key_file
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.arguments import WrongType, WrongValue, shorten

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.api._data.source import Data, FileOrPath, Source
    from oio.api._operations.commit import Commit
    from oio.api._operations.download import ObjectStream
    from oio.api._operations.rewrite import Original
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
    from oio.common.answers import JsonMapping
    from oio.common.options import KeyFile, Options
    from oio.common.sources import Readable

_NO_ROUTE = 404
"""Status, in the body of an answer, of services that know no such route."""


class DataApi(ApiBase):
    """Calls that write and read the data of objects."""

    def object_create(
        self,
        account: str | None,
        container: str | None,
        file_or_path: FileOrPath = None,
        data: Data = None,
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

        >>> chunks, size, md5 = api.object_create("doc", "box", obj_name="note", data="hello")
        >>> size, md5
        (5, '5d41402abc4b2a76b9719d911017c592')
        """
        result = self.object_create_ext(
            account,
            container,
            file_or_path=file_or_path,
            data=data,
            etag=etag,
            obj_name=obj_name,
            mime_type=mime_type,
            metadata=metadata,
            policy=policy,
            key_file=key_file,
            append=append,
            properties=properties,
            container_properties=container_properties,
            size=size,
            **kwargs,
        )
        return result[:3]

    def object_create_ext(
        self,
        account: str | None,
        container: str | None,
        file_or_path: FileOrPath = None,
        data: Data = None,
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
        :param data: object data: bytes, str (stored as UTF-8), file-like object or iterable of bytes; read
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

        >>> blocks = iter([b"a", b"b"])
        >>> result = api.object_create_ext("doc", "box", data=blocks, obj_name="ab", policy="SINGLE")
        >>> result[3]["policy"]
        'SINGLE'
        """
        if not obj_name and file_or_path is not None:
            obj_name = default_name(file_or_path)
        given: Mapping[str, object] = kwargs
        if "meta_pos" in given:
            raise WrongValue(
                f"meta_pos must not be given, objects are made whole: {shorten(given['meta_pos'])}"
            )
        if metadata is not None:
            warn_deprecated("the metadata argument is deprecated, use properties")
        changes = bool(given.get("change_policy"))
        call = CreationCall(self, kwargs, account, container, obj_name if changes else None)
        with call as options:
            if changes:
                options = _changing(options, append)
            known = {} if metadata is None else check_properties("metadata", metadata)
            if properties is not None:
                known |= check_properties("properties", properties)
            sysmeta = {"mime_type": mime_type, "etag": etag}
            for name, value in sysmeta.items():
                if value is not None:
                    check_header_value(name, value)
            commit = operations.commit.Commit(
                properties=known,
                append=bool(append),
                change_policy=changes,
                container_properties=(
                    None if container_properties is None else _container_properties(container_properties)
                ),
            )
            policy = check_policy(policy)
            if size is not None:
                check_size("size", size)
            with open_source(file_or_path, data) as source:
                if obj_name is None or obj_name == "":
                    raise exc.MissingName(
                        f"No name for the object has been specified: obj_name is {obj_name!r}"
                    )
                check_name("obj_name", obj_name)
                if key_file is not None:
                    options = options.changed(key_file=check_key_file("key_file", key_file))
                argument = "file_or_path" if data is None else "data"
                return self._object_create(
                    account,
                    container,
                    obj_name,
                    source,
                    sysmeta,
                    commit=commit,
                    policy=policy,
                    options=options,
                    read=partial(call.read, size=size, argument=argument),
                )

    def _object_create(
        self,
        account: str | None,
        container: str | None,
        obj_name: str,
        source: Readable,
        sysmeta: JsonMapping,
        *,
        commit: Commit,
        policy: str | None,
        options: Options,
        read: Callable[[Readable], Source],
    ) -> Uploaded:
        """Store the data of a source. Tests of applications replace this method."""
        target = operations.commit.Target(*self._names_of(account, container, options), obj_name)
        return operations.upload.Upload(self, target, commit, options, policy=policy).run(
            read(source), sysmeta
        )

    # --- reading ---

    def object_fetch(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        ranges: Iterable[Range] | None = None,
        key_file: KeyFile = None,
        properties: bool = True,
        **kwargs: Unpack[ObjectOptions],
    ) -> tuple[FetchedObject, ObjectStream]:
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
        :returns: a dictionary of object metadata and a stream of object data: an iterator of blocks, with
            ``close()``, that gives all the bytes or raises. Errors of the rawx services come when it is
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

        >>> meta, stream = api.object_fetch("doc", "box", "hello", ranges=[(1, 3)])
        >>> with stream:
        ...     b"".join(stream)
        b'ell'
        """
        with ObjectCall(self, kwargs, account, container, obj, version) as options:
            wanted = [] if ranges is None else check_ranges(ranges)
            if key_file is not None:
                options = options.changed(key_file=check_key_file("key_file", key_file))
            download = operations.download.Download(
                self, (account, container, obj), version, bool(properties), wanted, options
            )
            return download.run()

    # --- rewriting ---

    def _original(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None,
        options: Options,
    ) -> Original:
        """Locate an object that is to be stored again, whatever is cached."""
        # Seldom needed: the client is ready sooner without it.
        from oio.api._operations.rewrite import Original

        # A container that has vanished meanwhile must not come back empty; the ID only finds the object.
        later = options.changed(autocreate=None, content_id=None)
        meta, chunks = self.container.content_locate(
            account,
            container,
            obj,
            content=options.content_id,
            version=version,
            properties=False,
            options=later,
        )
        with reading_answer():
            name: str = meta["name"]
        target = operations.commit.Target(*self._names_of(account, container, later), name)
        return Original(self, target, meta, chunks, later)

    def object_change_policy(
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

        >>> chunks, size, _, meta = api.object_change_policy("doc", "box", "hello", "SINGLE")
        >>> len(chunks), size, meta["policy"]
        (1, 5, 'SINGLE')
        """
        from oio.api._operations.rewrite import change_policy

        with ObjectCall(self, kwargs, account, container, obj, version, changes=True) as options:
            if check_policy(policy) is None:
                raise WrongValue("policy is required (the name of a storage policy)")
            original = self._original(account, container, obj, version, options)
            if original.meta.get("policy") == policy:
                # The service accepts it, and stores all the data again (pitfall 110).
                raise exc.Conflict(409, None, f"The object is already using the {policy} storage policy")
            return change_policy(original, policy)

    def object_request_transition(
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

        >>> try:
        ...     api.object_request_transition("doc", "box", "hello", "SINGLE", skip_data_move=True)
        ... except exc.MethodNotAllowed:
        ...     pass
        >>> api.object_change_policy("doc", "box", "hello", "SINGLE")[3]["policy"]
        'SINGLE'
        """
        with ObjectCall(self, kwargs, account, container, obj, version, changes=True) as options:
            if check_policy(policy) is None:
                raise WrongValue("policy is required (the name of a storage policy)")
            try:
                self.container.content_request_transition(
                    account,
                    container,
                    obj,
                    policy,
                    version=version,
                    content=options.content_id,
                    skip_data_move=bool(skip_data_move),
                    internal_transition=bool(internal_transition),
                    options=options,
                )
            except exc.NotFound as err:
                if err.status == _NO_ROUTE:
                    exc.reraise(
                        exc.MethodNotAllowed, err, "the services do not know announcements of policies"
                    )
                raise

    def object_truncate(
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

        >>> api.object_truncate("doc", "box", "hello", size=4)
        >>> b"".join(api.object_fetch("doc", "box", "hello")[1])
        b'hell'
        """
        from oio.api._operations.rewrite import truncate

        with ObjectCall(self, kwargs, account, container, obj, version, changes=True) as options:
            remaining = check_size("size", size)
            truncate(self._original(account, container, obj, version, options), remaining)


def _changing(options: Options, append: object) -> Options:
    """Check the options of a creation that changes a policy: it creates no container."""
    if append:
        raise WrongValue(f"append and change_policy exclude each other: {shorten(append)} and True")
    if options.version is None:
        raise WrongValue("version is required with change_policy (that of the object to change): None")
    return options.changed(autocreate=None)


def _container_properties(value: object) -> dict[str, dict[str, str]]:
    if not isinstance(value, dict) or not value.keys() <= {"properties", "system"}:
        raise WrongType(f"container_properties must be a dict of 'properties' and 'system': {shorten(value)}")
    check = {"properties": check_properties, "system": check_system}
    return {kind: check[kind](f"container_properties[{kind!r}]", known) for kind, known in value.items()}
