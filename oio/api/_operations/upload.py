# SPDX-License-Identifier: Apache-2.0
"""The creation of an object: prepare, store the chunks, commit; and clean up when it is refused."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

from oio.api._data.strategies import write_handler
from oio.api._facade.call import ApiBase
from oio.api._facade.checks import shorten
from oio.api._operations.cleaning import delete_chunks, is_definitive
from oio.api._operations.leftovers import Leftovers, bucket_options, delete_files
from oio.api.io import MetachunkPreparer
from oio.api.types import Uploaded
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.cache import forget_object
from oio.common.constants import OIO_VERSION, STRLEN_CHUNKID
from oio.common.deadlines import hard_deadline, renewed_options
from oio.common.easy_value import boolean_value
from oio.common.fullpath import encode_fullpath
from oio.common.perfdata import add_figure
from oio.common.storage_method import DRAINED, STORAGE_METHODS
from oio.common.utils import (
    GeneratorIO,
    cid_from_name,
    compute_perfdata_stats,
)

_POLICY_STATUSES = (480, 481)
_PRIVATE_KEYS = ("maybe_stored", "error")
"""What the writers note in chunks, and the metadata service has no use for."""


# --- sources -----------------------------------------------------------------------------------------


def open_source(file_or_path: Any, data: Any) -> AbstractContextManager[Any]:
    """Make what to read the data of an object from; what is opened here is closed with its context.

    :param file_or_path: not looked at when there are `data`
    :raises MissingData: there is neither data nor file
    :raises FileNotFound: there is no file at the path
    """
    if data is None and file_or_path is None:
        raise exc.MissingData("neither data nor file_or_path is given")
    if data is not None:
        return nullcontext(_data_source(data))
    if isinstance(file_or_path, (str, bytes, os.PathLike)):
        return _open_file(file_or_path)
    return nullcontext(_readable("file_or_path", file_or_path))


def _data_source(data: Any) -> Any:
    if isinstance(data, str):
        data = data.encode("utf-8")
    if isinstance(data, (bytes, bytearray, memoryview)):
        return io.BytesIO(data)
    if hasattr(data, "read"):
        return _readable("data", data)
    if isinstance(data, Iterable) and not isinstance(data, Mapping):
        return GeneratorIO(data)
    raise TypeError(f"data must be bytes, a str, a file or an iterable of bytes, not {type(data).__name__}")


def _readable(argument: str, source: Any) -> Any:
    if not hasattr(source, "read"):
        raise TypeError(
            f"{argument} must be a path or a file, not {type(source).__name__}: {shorten(source)}"
        )
    if isinstance(source, io.TextIOBase):
        raise TypeError(f"{argument} must be opened in binary mode: {shorten(source)}")
    return source


def _open_file(path: Any) -> AbstractContextManager[Any]:
    try:
        return Path(os.fsdecode(path)).open("rb")
    except FileNotFoundError as err:
        raise exc.FileNotFound(f"File {os.fsdecode(path)!r} not found.") from err
    except (OSError, ValueError) as err:
        raise exc.SourceReadError(f"File {os.fsdecode(path)!r} cannot be read: {err}") from err


def default_name(file_or_path: Any) -> str | None:
    """Deduce the name of an object from that of its file."""
    path = file_or_path
    if not isinstance(path, (str, bytes, os.PathLike)):
        path = getattr(file_or_path, "name", None)
        if not isinstance(path, (str, bytes)):
            return None
    return Path(os.fsdecode(path)).name or None


# --- the upload --------------------------------------------------------------------------------------


class Upload:
    """One creation of an object.

    :param api: whose clients are used
    :param properties: of the user
    :param policy: storage policy, None for the default one
    :param append: add the data to those of the object that exists
    :param container_properties: ``{"properties": {...}, "system": {...}}`` of the container, if it is
        created on the way
    :param options: those of the call; ``content_id`` and ``version`` are those of the new object
    """

    def __init__(
        self,
        api: ApiBase,
        account: str,
        container: str,
        name: str,
        properties: Mapping[str, str] | None = None,
        policy: str | None = None,
        append: bool = False,
        container_properties: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.api = api
        self.target = (account, container, name)
        self.properties = dict(properties or {})
        self.policy = policy
        #: ID, version and chunk method of the object that the chunks are for, if it has others.
        self.joined: dict[str, str] | None = None
        self.append = append
        self.container_properties = container_properties
        self.wishes: dict[str, Any] = {
            key: options.pop(key) for key in ("content_id", "version") if key in options
        }
        self.cid = options.get("cid") or cid_from_name(account, container)
        self.options = options
        #: What only objects in a bucket of Backblaze need.
        self._bucket: dict[str, Any] = {}

    def run(self, source: Any, sysmeta: Mapping[str, Any]) -> Uploaded:
        """Upload the data of a source, and commit the object.

        :param sysmeta: ``mime_type``, and ``etag``: the MD5 that the data are expected to have
        :returns: chunks, size (bytes) and MD5 (hexadecimal) of what was uploaded, and its description
        """
        preparer = self._prepare()
        meta = self._describe(preparer.obj_meta, sysmeta)
        handler = self._handler(source, meta, preparer)
        try:
            chunks, size, checksum = handler.stream()
            etag = meta.get("etag")
            if etag and etag.lower() != checksum.lower():
                raise exc.EtagMismatch(
                    f"given etag {etag} != computed {checksum}", reqid=self.options.get("reqid")
                )
        except BaseException:  # Nobody knows of the chunks, whatever stopped us.
            self._clean(preparer.all_chunks_so_far())
            raise
        meta["etag"] = checksum
        chunks = [{key: chunk[key] for key in chunk if key not in _PRIVATE_KEYS} for chunk in chunks]
        self._commit(preparer, meta, chunks, size, checksum)
        # Nobody knows of those that failed, but a server may hold them all the same.
        self._clean(chunk for chunk in preparer.all_chunks_so_far() if chunk.get("error"))
        self._measure(size)
        return cast("Uploaded", (chunks, size, checksum, meta))

    def _join(self, meta: dict[str, Any]) -> None:
        """Make chunks for an object that has some: all must be of one kind, and name it (pitfalls row 128).

        :param meta: description of the object
        :raises ContentDrained: its chunks were removed
        """
        if meta.get("chunk_method") == DRAINED:
            raise exc.ContentDrained(410, 427, f"The chunks of object {self.target[2]!r} were removed")
        self.policy = meta.get("policy") or self.policy
        with reading_answer():
            self.joined = {key: meta[key] for key in ("id", "version", "chunk_method")}
        # Chunk IDs may be made of version and position: with this version, they would be those in place.
        self.wishes = {"content_id": self.joined["id"]}

    def _join_existing(self) -> None:
        """Append to an object, if there is one."""
        try:
            meta = self.api.container.content_get_properties(*self.target, **self._renewed_options())
        except exc.NotFound:
            return
        if not boolean_value(meta.get("deleted")):
            self._join(meta)

    def _prepare(self) -> MetachunkPreparer:
        if self.append:
            self._join_existing()
        preparer = self._ask_for_chunks()
        if self.joined is not None:
            now, stored = preparer.obj_meta["chunk_method"], self.joined["chunk_method"]
            if _kind(now) != _kind(stored):
                raise exc.OioException(
                    f"Storage policy {self.policy!r} gives {now!r} now, but object {self.target[2]!r} "
                    f"is stored as {stored!r}: change its policy first"
                )
        return preparer

    def _ask_for_chunks(self) -> MetachunkPreparer:
        account, container, name = self.target
        try:
            return MetachunkPreparer(
                self.api.container,
                account,
                container,
                name,
                policy=self.policy,
                **self.wishes,
                **self.options,
            )
        except exc.ClientException as err:
            if err.status not in _POLICY_STATUSES:
                raise
            policy = (
                "the default storage policy" if self.policy is None else f"storage policy {self.policy!r}"
            )
            text = f"{policy}: {err.message}"
            raise type(err)(err.http_status, err.status, text, reqid=err.reqid, service=err.service) from err

    def _describe(self, meta: dict[str, Any], sysmeta: Mapping[str, Any]) -> dict[str, Any]:
        account, container, name = self.target
        # The preparation keeps its own version, see _join.
        meta = dict(meta)
        if self.joined is not None:
            meta["version"] = self.joined["version"]
        meta.update(
            sysmeta,
            content_path=name,
            container_id=self.cid,
            ns=self.api.namespace,
            full_path=encode_fullpath(account, container, name, meta["version"], meta["id"]),
            oio_version=OIO_VERSION,
        )
        return meta

    def _handler(self, source: Any, meta: dict[str, Any], preparer: MetachunkPreparer) -> Any:
        storage_method = STORAGE_METHODS.load(meta["chunk_method"])
        self._bucket = bucket_options(self.api, storage_method, self.cid, self.options)
        chunk_prep = _newly_named(preparer) if self._bucket else preparer
        return write_handler(storage_method)(
            source, meta, chunk_prep, storage_method, **{**self._writing_options(), **self._bucket}
        )

    def _writing_options(self) -> dict[str, Any]:
        options = dict(self.options)
        if hard_deadline(options) is None:
            # The read timeout is that of each request; it does not bound the whole upload.
            options.pop("deadline", None)
        return options

    def _renewed_options(self) -> dict[str, Any]:
        return renewed_options(self.options)

    # --- commit ---

    def _commit(
        self,
        preparer: MetachunkPreparer,
        meta: dict[str, Any],
        chunks: list[dict[str, Any]],
        size: int,
        checksum: str,
    ) -> None:
        account, container, name = self.target
        try:
            with self._leftovers().swept():
                self._send(meta, chunks, size, checksum)
        except exc.OioException as err:
            if is_definitive(err):
                self._clean(preparer.all_chunks_so_far())
                raise
            # The service may do it all the same, now or later: chunks must stay (pitfalls row 29).
            if not self._was_committed(meta, chunks):
                raise
            self.api.logger.warning("Creation of %r succeeded in spite of: %s", name, err)
        finally:
            forget_object(account, container, name, **self.options)

    def _leftovers(self) -> Leftovers:
        """What may be in Backblaze of what the commit replaces."""
        leftovers = Leftovers(self.api, *self.target[:2], self.options)
        if not self.append:
            try:
                leftovers.look_at(self.target[2])
            except exc.OioException as err:
                self.api.logger.warning(
                    "What is in Backblaze of the %r that is replaced may stay: %s", self.target[2], err
                )
        return leftovers

    def _send(self, meta: dict[str, Any], chunks: list[dict[str, Any]], size: int, checksum: str) -> None:
        """Tell the metadata service about the chunks."""
        data: dict[str, Any] = {"chunks": chunks, "properties": {**meta["properties"], **self.properties}}
        if self.container_properties is not None:
            data["container_properties"] = self.container_properties
        self.api.container.content_create(
            *self.target,
            size=size,
            checksum=checksum,
            data=data,
            content_id=meta["id"],
            stgpol=meta["policy"],
            version=meta["version"],
            mime_type=meta.get("mime_type"),
            chunk_method=meta["chunk_method"],
            append=self.append,
            **self._renewed_options(),
        )

    def _was_committed(self, meta: dict[str, Any], chunks: list[dict[str, Any]]) -> bool:
        """Look whether the object, or what was appended to it, is there (pitfalls row 143)."""
        version = None if self.append else meta["version"]
        try:
            found, there = self.api.container.content_locate(
                *self.target, version=version, properties=False, **self._renewed_options()
            )
        except exc.OioException as err:
            self.api.logger.warning("Unknown whether %r was created: %s", self.target[2], err)
            return False
        if not self.append and (found.get("id"), found.get("version")) != (meta["id"], meta["version"]):
            return False
        return {chunk["url"] for chunk in chunks} <= {chunk["url"] for chunk in there}

    # --- afterwards ---

    def _clean(self, prepared: Iterable[dict[str, Any]]) -> None:
        """Delete the chunks that may be stored."""
        doomed = [chunk for chunk in prepared if chunk.get("maybe_stored")]
        if self._bucket:
            delete_files(self.api, doomed, self._bucket["backblaze_info"], self.cid, self.options)
        else:
            delete_chunks(self.api, doomed, self.cid, self.options)

    def _measure(self, size: int) -> None:
        perfdata = self.options.get("perfdata")
        if perfdata is not None:
            for prefix in ("connect.", "upload."):
                compute_perfdata_stats(perfdata, prefix)
            add_figure(perfdata, "data_size", size)


def _newly_named(preparer: MetachunkPreparer) -> Callable[[], Iterator[list[dict[str, Any]]]]:
    """Give chunks in Backblaze names that were never used.

    Those that are prepared may be made of the version, which the caller can choose. A chunk server refuses a
    chunk that it has; B2 would hide the one that is there behind the new one.
    """

    def prepare() -> Iterator[list[dict[str, Any]]]:
        for meta_chunk in preparer():
            for chunk in meta_chunk:
                chunk["real_url"] = chunk["url"] = f"b2/{secrets.token_hex(STRLEN_CHUNKID // 2).upper()}"
            yield meta_chunk

    return prepare


def _kind(chunk_method: str) -> tuple[Any, ...]:
    """What chunks must have in common to be of one object: of copies, there may be any number."""
    method: Any = STORAGE_METHODS.load(chunk_method)
    if method.backblaze:
        return (method.account_id, method.bucket_name)
    return (method.ec_type, method.ec_nb_data, method.ec_nb_parity) if method.ec else (method.name,)
