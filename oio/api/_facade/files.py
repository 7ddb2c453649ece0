# SPDX-License-Identifier: Apache-2.0
"""Calls that open objects as files."""

from __future__ import annotations

from dataclasses import replace
from io import BufferedReader
from typing import TYPE_CHECKING, Any, Literal, overload

from oio.api import _operations as operations
from oio.api._facade.argument_checks import (
    check_name,
    check_policy,
    check_properties,
    check_size,
)
from oio.api._facade.call import ObjectCall
from oio.api._facade.data import DataApi
from oio.api._facade.option_checks import check_key_file
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.arguments import WrongType, WrongValue, shorten
from oio.common.easy_value import boolean_value
from oio.common.options import KNOWN_NAMES

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.api._operations.files import ObjectWriter
    from oio.api.types import ObjectOptions, Uploaded
    from oio.common.options import KeyFile, Options
    from oio.common.sources import UnlimitedReader

_MODES = ("rb", "wb", "ab", "xb")


class FilesApi(DataApi):
    """Calls that open objects as files."""

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
    ) -> BufferedReader: ...
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
    ) -> ObjectWriter: ...
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
    ) -> BufferedReader | ObjectWriter: ...

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
    ) -> BufferedReader | ObjectWriter:
        """Open an object as a binary file; for text, put an :class:`io.TextIOWrapper` around it.

        A file that is read is located once, and can seek. Read from its beginning to its end, it is one
        download, verified as such. After a jump, ranges of it are asked for, which are verified as
        ``verify_checksum`` says for ranges. Its ``raw`` has ``meta``, the description of the object, and
        ``size``.

        A file that is written is uploaded meanwhile, by a thread of its own; a few blocks wait in memory.
        Closing it commits the object: ``raw.result`` is what
        :meth:`~oio.ObjectStorageApi.object_create_ext` returns. When its ``with`` block raises, or with
        ``abort()``, nothing is stored. A file that nobody closes is not stored either, and gives a
        ResourceWarning.

        :param obj: name of the object
        :param mode: ``"rb"`` reads; ``"wb"`` creates the object or replaces it; ``"ab"`` appends to it, or
            creates it; ``"xb"`` creates it, and is refused when it exists, which is looked at before the
            first byte and again before the commit
        :param buffering: bytes of the buffer, 1 at least
        :param version: version to read, the latest by default; or that of the new object
        :param policy: storage policy of the object that is written; by default that of the namespace
        :param properties: of the object that is written, text to text
        :param mime_type: of the object that is written
        :param key_file: path to the file containing credentials (Backblaze), instead of the constructor's
        :raises NoSuchObject: there is no such object to read
        :raises ObjectExists: the mode is ``"xb"``, and there is one; it is a FileExistsError

        >>> with api.object_open("doc", "box", "numbers", "wb") as file:
        ...     file.write(b"one two three")
        13
        >>> with api.object_open("doc", "box", "numbers") as file:
        ...     file.seek(-5, 2), file.read()
        (8, b'three')
        """
        if mode not in _MODES:
            raise WrongValue(f"mode must be one of {', '.join(_MODES)}: {shorten(mode)}")
        if check_size("buffering", buffering) < 1:
            raise WrongValue(f"buffering must be a number of bytes, 1 at least: {buffering}")
        new: dict[str, Any] = {"policy": policy, "properties": properties, "mime_type": mime_type}
        with ObjectCall(self, kwargs, account, container, obj, version) as options:
            if key_file is not None:
                options = replace(options, key_file=check_key_file("key_file", key_file))
            if mode == "rb":
                for name, value in new.items():
                    if value is not None:
                        raise WrongType(f"{name} must not be given to read an object: {shorten(value)}")
                target = account, container, obj
                opened = operations.download.Download(self, target, version, True, [], options).open()
                return BufferedReader(
                    operations.files.RawObjectReader(opened, opened.meta["name"]), buffering
                )
            check_policy(policy)
            check_properties("properties", properties)
            name = check_name("obj", obj)
            size = 0 if mode == "wb" else self._size_of(account, container, name, mode, options)
        known: dict[str, Any] = {key: value for key, value in kwargs.items() if key in KNOWN_NAMES}
        known["reqid"] = options.reqid

        def store(source: UnlimitedReader) -> Uploaded:
            return self.object_create_ext(
                account,
                container,
                data=source,
                obj_name=name,
                append=mode == "ab",
                version=version,
                key_file=key_file,
                **new,
                **known,
            )

        def look() -> None:
            with ObjectCall(self, known, account, container, obj) as options:
                self._size_of(account, container, name, mode, options)

        raw = operations.files.RawObjectWriter(store, name, mode, size, look if mode == "xb" else None)
        return operations.files.ObjectWriter(raw, buffering)

    def _size_of(
        self, account: str | None, container: str | None, name: str, mode: str, options: Options
    ) -> int:
        """Bytes of an object before it is written; 0 when there is none.

        :raises ObjectExists: there is one, and the mode is ``"xb"``
        """
        try:
            meta = self.container.content_get_properties(account, container, name, options=options.renewed())
        except exc.NotFound:
            return 0
        if boolean_value(meta.get("deleted")):
            return 0
        if mode == "xb":
            raise exc.ObjectExists(409, None, f"object {name!r} exists")
        with reading_answer():
            return int(meta["length"])
