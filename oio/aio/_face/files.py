# SPDX-License-Identifier: Apache-2.0
"""Calls of ``oio.api._facade.files`` for event loops: ``tests.kit.face`` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from oio.aio._base import FaceBase

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.aio._files import AsyncObjectReader, AsyncObjectWriter, Opening
    from oio.api.types import ObjectOptions
    from oio.common.options import KeyFile


class AsyncFilesApi(FaceBase):
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
        """Open an object as a binary file. It is opened when the result is awaited,
        or when an ``async with`` block is entered with it.

        A file that is read is located once, and can seek. Read from its beginning to its end, it is one
        download, verified as such. After a jump, ranges of it are asked for, which are verified as
        ``verify_checksum`` says for ranges. It has ``meta``, the description of the object, and
        ``size``.

        A file that is written is uploaded meanwhile, by a thread of its own; a few blocks wait in memory.
        Closing it commits the object: ``result`` is what
        :meth:`object_create_ext` returns. When its
        ``async with`` block raises, or with
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
