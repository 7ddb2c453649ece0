# SPDX-License-Identifier: Apache-2.0
"""Changes of objects that store their data again: another policy, or the head of a metachunk that is cut.

The new chunks are stored and verified before anything is changed, so a failure leaves the object as it was.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from oio.api._facade.call import ApiBase
from oio.api._operations.download import Location, ObjectStream, locate_bytes, stream_object
from oio.api._operations.leftovers import Leftovers, bucket_options
from oio.api._operations.upload import Upload, open_source
from oio.api.io import MetachunkPreparer
from oio.api.types import Uploaded
from oio.common import exceptions as exc

_PATIENCE = 24 * 3600.0
"""Seconds that an upload waits for an object: the requests that read it have limits of their own."""


class _Copied(Iterator[bytes]):
    """The beginning of what is read of an object, all of which is read, so that it is verified.

    :param size: bytes that are wanted
    """

    def __init__(self, stream: ObjectStream, size: int) -> None:
        self._stream = stream
        self._left = size
        self.error: exc.OioException | None = None

    def __next__(self) -> bytes:
        try:
            block = next(self._stream)
        except exc.OioException as err:
            self.error = err
            raise
        wanted = block[: self._left]
        self._left -= len(wanted)
        return wanted


@contextlib.contextmanager
def _reading(location: Location, size: int, options: dict[str, Any]) -> Iterator[Any]:
    """Open a source that gives the first bytes of a part of an object.

    :raises OioException: the error of the read, instead of that of an upload whose source fails
    """
    # The figures of an upload are those of the bytes that are sent.
    unmeasured = {**options, "perfdata": None}
    with stream_object(location, unmeasured) as stream:
        copied = _Copied(stream, size)
        try:
            with open_source(None, copied) as source:
                yield source
        except exc.SourceReadError:
            if copied.error is not None:
                raise copied.error from None
            raise
        except exc.SourceReadTimeout as err:
            raise exc.DeadlineReached("Deadline reached while reading the object") from err


class _Rewrite(Upload):
    """An upload of the data of an object that exists.

    :param found: its description
    """

    def __init__(
        self, api: ApiBase, account: str, container: str, found: dict[str, Any], **options: Any
    ) -> None:
        super().__init__(api, account, container, found["name"], **options)
        self.found = found
        self._replaced = Leftovers(api, account, container, options)

    def _writing_options(self) -> dict[str, Any]:
        return {**super()._writing_options(), "read_timeout": _PATIENCE}

    def _leftovers(self) -> Leftovers:
        return self._replaced

    def _copy(self, location: Location, size: int, sysmeta: dict[str, Any]) -> Uploaded:
        """Store the first bytes of a part of the object."""
        bucket = bucket_options(self.api, location.storage_method, self.cid, self.options)
        options = {**self.options, **bucket}
        try:
            with _reading(location, size, options) as source:
                return self.run(source, sysmeta)
        except exc.CorruptedChunk as err:
            self.api.logger.warning("Reading %r again, from other chunks: %s", self.target[2], err)
        # Once a block is given, what turns out to be damaged cannot be read from elsewhere: verify it before.
        with _reading(location, size, {**options, "verify_checksum": "strict"}) as source:
            return self.run(source, sysmeta)


# --- another policy ----------------------------------------------------------------------------------


class PolicyChange(_Rewrite):
    """Stores all the data of a version of an object again, with another policy."""

    def __init__(
        self, api: ApiBase, account: str, container: str, found: dict[str, Any], policy: str, **options: Any
    ) -> None:
        super().__init__(api, account, container, found, policy=policy, version=found["version"], **options)

    def of(self, chunks: list[dict[str, Any]]) -> Uploaded:
        """Store the data that are in these chunks.

        :raises EtagMismatch: the data are not those that the object is known to have
        """
        location = locate_bytes(self.found, chunks, [], self.api.logger)
        self._replaced.note(self.found, chunks)
        sysmeta = {"mime_type": self.found.get("mime_type"), "etag": self._md5()}
        return self._copy(location, location.size, sysmeta)

    def _md5(self) -> str | None:
        """MD5 of the object; unknown when parts of it were written apart."""
        known: str = self.found.get("hash") or ""
        return known if len(known) == 32 and known.strip("0") else None

    def _send(self, meta: dict[str, Any], chunks: list[dict[str, Any]], size: int, checksum: str) -> None:
        self.api.container.content_create(
            *self.target,
            size=size,
            # It must be told as it is known, even if it is not.
            checksum=self.found.get("hash") or None,
            data={"chunks": chunks, "properties": meta["properties"]},
            content_id=meta["id"],
            stgpol=meta["policy"],
            version=meta["version"],
            mime_type=meta.get("mime_type"),
            chunk_method=meta["chunk_method"],
            change_policy=True,
            **self._renewed_options(),
        )


# --- truncation --------------------------------------------------------------------------------------


def truncate(
    api: ApiBase,
    account: str,
    container: str,
    found: dict[str, Any],
    chunks: list[dict[str, Any]],
    size: int,
    options: dict[str, Any],
) -> None:
    """Cut an object: what is after the metachunk of the cut is dropped, then this one is cut itself.

    In between, the object is longer than it should be, but what it holds is its own beginning.

    :param found: its description
    :param size: bytes that remain
    :raises OioException: the object has fewer bytes
    """
    location = locate_bytes(found, chunks, [], api.logger)
    if size > location.size:
        raise exc.OioException(
            f"No chunk found at position {size}: truncating cannot grow an object of {location.size} bytes"
        )
    leftovers = Leftovers(api, account, container, options)
    leftovers.note(found, chunks)
    cut = _metachunk_to_cut(location, size)
    with leftovers.swept():
        if cut is None:
            # No data have to move (pitfalls row 129).
            _drop_from(api, account, container, found, size, options)
        else:
            _HeadRewrite(api, account, container, found, cut, **options).keep(location, size)


@dataclass(frozen=True)
class _Metachunk:
    """A part of an object, from byte ``start`` to before byte ``end``."""

    position: int
    start: int
    end: int


def _metachunk_to_cut(location: Location, size: int) -> _Metachunk | None:
    """Find the metachunk that a cut goes through; there is none when it is between two.

    The service never drops the first one: to be empty, it is cut at its first byte (pitfalls row 159).
    """
    start = 0
    for position, copies in location.chunks.items():
        end = start + int(copies[0]["size"])
        if start < size < end or (size == start == 0 < end):
            return _Metachunk(position, start, end)
        start = end
    return None


def _drop_from(
    api: ApiBase, account: str, container: str, found: dict[str, Any], end: int, options: dict[str, Any]
) -> None:
    """Drop the metachunks of an object that begin at `end`, or after."""
    api.container.content_truncate(
        account, container, found["name"], version=found["version"], size=end, **options
    )


class _HeadRewrite(_Rewrite):
    """Replaces a metachunk by its own beginning, as the last one of the object."""

    def __init__(
        self,
        api: ApiBase,
        account: str,
        container: str,
        found: dict[str, Any],
        metachunk: _Metachunk,
        **options: Any,
    ) -> None:
        super().__init__(api, account, container, found, **options)
        self._join(found)
        self.wishes["meta_pos"] = metachunk.position
        self._metachunk = metachunk

    def keep(self, location: Location, size: int) -> None:
        """Store what remains of the metachunk.

        :param location: of the object
        :param size: bytes that remain of the object
        """
        start, end = self._metachunk.start, self._metachunk.end
        sysmeta = {"mime_type": self.found.get("mime_type")}
        if size == start:
            self.run(io.BytesIO(), sysmeta)
            return
        if not self.options.get("verify_checksum", True):
            # All of a metachunk is read only because no part of it can be verified.
            end = size
        part = replace(location, ranges=[(start, end - 1)], size=end - start)
        self._copy(part, size - start, sysmeta)

    def _commit(
        self,
        preparer: MetachunkPreparer,
        meta: dict[str, Any],
        chunks: list[dict[str, Any]],
        size: int,
        checksum: str,
    ) -> None:
        if self._metachunk.end < int(self.found["length"]):
            account, container, _ = self.target
            try:
                _drop_from(
                    self.api, account, container, self.found, self._metachunk.end, self._renewed_options()
                )
            except BaseException:
                # Whatever became of that, nobody knows of the new chunks.
                self._clean(preparer.all_chunks_so_far())
                raise
        super()._commit(preparer, meta, chunks, size, checksum)

    def _send(self, meta: dict[str, Any], chunks: list[dict[str, Any]], size: int, checksum: str) -> None:
        # The service loses the chunks when the content ID is missing (pitfalls row 145).
        self.api.container.content_update(
            *self.target,
            size=size,
            chunks=chunks,
            content_id=meta["id"],
            stgpol=meta["policy"],
            **self._renewed_options(),
        )
