# SPDX-License-Identifier: Apache-2.0
"""The calls of the object storage API that create objects."""

from __future__ import annotations

from typing import Any

from oio.api._facade.call import ApiBase, creation_call, warn_deprecated
from oio.api._facade.checks import (
    WrongType,
    WrongValue,
    check_header_value,
    check_name,
    check_policy,
    check_properties,
    check_system,
)
from oio.api._operations.upload import Upload, default_name, open_source
from oio.api.types import NewContainerProperties, Uploaded, WrittenChunk
from oio.common import exceptions as exc


class CreationApi(ApiBase):
    """Calls that create objects."""

    def object_create(
        self,
        account: str | None,
        container: str | None,
        file_or_path: Any = None,
        data: Any = None,
        etag: str | None = None,
        obj_name: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, str] | None = None,
        policy: str | None = None,
        key_file: str | None = None,
        append: bool = False,
        properties: dict[str, str] | None = None,
        container_properties: NewContainerProperties | None = None,
        **kwargs: Any,
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
            **kwargs,
        )
        return result[:3]

    @creation_call
    def object_create_ext(
        self,
        account: str | None,
        container: str | None,
        file_or_path: Any = None,
        data: Any = None,
        etag: str | None = None,
        obj_name: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, str] | None = None,
        policy: str | None = None,
        key_file: str | None = None,
        append: bool = False,
        properties: dict[str, str] | None = None,
        container_properties: NewContainerProperties | None = None,
        **kwargs: Any,
    ) -> Uploaded:
        """Create an object, or append data to one, with data taken from either `data` or `file_or_path`.
        The object will be named after `obj_name` if specified, or after the base name of `file_or_path`.

        :param account: name of the account where to create the object
        :param container: name of the container where to create the object
        :param file_or_path: binary file-like object or path to a file from which to read object data
        :param data: object data: bytes, str (stored as UTF-8), file-like object or iterable of bytes; read
            once, and never kept whole. When there are `data`, nothing but a name is taken of `file_or_path`
        :param etag: MD5 that the data are expected to have (hexadecimal)
        :param obj_name: name of the object to create, 1023 bytes of UTF-8 at most
        :param mime_type: MIME type of the object
        :param metadata: deprecated, use `properties`
        :param policy: name of the storage policy; by default, that of the namespace
        :param key_file: path to the file containing credentials (Backblaze), instead of the constructor's
        :param append: if set, data will be appended to the object, or it will be created
        :param properties: a dictionary of properties, text to text; those of empty value are dropped
        :param container_properties: ``{"properties": {...}, "system": {...}}`` of the container if it is
            created with the object
        :param kwargs: also ``autocreate`` (True): False refuses to create the container; ``content_id``
            (hexadecimal) and ``version`` of the new object; ``deadline`` (monotonic seconds), which bounds
            all of it; ``perfdata``, a dict that gets figures of time (seconds)
        :returns: list of chunks, size and hash of what has been uploaded, and description of the object
        :raises MissingData: there is neither `data` nor `file_or_path`
        :raises MissingName: there is no name
        :raises FileNotFound: there is no file at the path
        :raises EtagMismatch: the data have another MD5; nothing is left of them
        :raises NoSuchContainer: there is no container, and `autocreate` is False
        :raises Conflict: the version, or the content ID, exists
        :raises ClientException: the policy is unknown
        :raises ServiceBusy: too few chunks could be written; the container is frozen
        :raises SourceReadError: the data could not be read
        :raises ConfigurationException: the policy is one of Backblaze, and there are no credentials
        :raises BackblazeException: Backblaze refuses the data

        >>> blocks = iter([b"a", b"b"])
        >>> result = api.object_create_ext("doc", "box", data=blocks, obj_name="ab", policy="SINGLE")
        >>> result[3]["policy"]
        'SINGLE'
        """
        if not obj_name and file_or_path is not None:
            obj_name = default_name(file_or_path)
        if "meta_pos" in kwargs:
            raise WrongValue(f"meta_pos must not be given, objects are made whole: {kwargs['meta_pos']!r}")
        if metadata is not None:
            warn_deprecated("the metadata argument is deprecated, use properties")
        known = {
            **check_properties("metadata", metadata),
            **check_properties("properties", properties),
        }
        sysmeta = {
            "mime_type": check_header_value("mime_type", mime_type),
            "etag": check_header_value("etag", etag),
        }
        options = {
            "policy": check_policy(policy),
            "append": bool(append),
            "container_properties": _container_properties(container_properties),
        }
        with open_source(file_or_path, data) as source:
            if obj_name is None or obj_name == "":
                raise exc.MissingName(f"No name for the object has been specified: obj_name is {obj_name!r}")
            check_name("obj_name", obj_name)
            kwargs["key_file"] = key_file or self._global_kwargs.get("key_file")
            return self._object_create(
                account, container, obj_name, source, sysmeta, properties=known, **options, **kwargs
            )

    def _object_create(
        self,
        account: str | None,
        container: str | None,
        obj_name: str,
        source: Any,
        sysmeta: dict[str, Any],
        **kwargs: Any,
    ) -> Uploaded:
        names = self._names_of(account, container, **kwargs)
        return Upload(self, *names, obj_name, **kwargs).run(source, sysmeta)


def _container_properties(value: Any) -> dict[str, dict[str, str]] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not value.keys() <= {"properties", "system"}:
        raise WrongType(f"container_properties must be a dict of 'properties' and 'system': {value!r}")
    check = {"properties": check_properties, "system": check_system}
    return {kind: check[kind](f"container_properties[{kind!r}]", known) for kind, known in value.items()}
