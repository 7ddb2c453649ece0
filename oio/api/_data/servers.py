# SPDX-License-Identifier: Apache-2.0
"""Base of the strategies that use chunk servers: heads, links and removal of chunks."""

from __future__ import annotations

import abc
from collections.abc import Callable, Container, Iterable
from functools import partial
from typing import TYPE_CHECKING

from oio.api._data.links import MetachunkLinker, is_owned
from oio.api._data.strategies import Stores, Strategy
from oio.blob.client import PARALLEL_CHUNKS_DELETE
from oio.blob.connect import connect_ahead, reraise_foreign, unconnected
from oio.blob.events import report_failure
from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Chunk

if TYPE_CHECKING:
    from oio.api._data.inspection import Expected, Findings
    from oio.common.answers import JsonMapping, JsonObject
    from oio.common.chunks import ChunkDict
    from oio.common.options import Options

_NO_CONTENT, _NOT_FOUND = 204, 404

_LATE_PUT = 0.5
"""Seconds before the deletion of a chunk that was not there is repeated: half of the time for cleaning."""


def delete_chunks(
    stores: Stores,
    chunks: Iterable[Chunk],
    cid: str,
    options: Options,
    late: Container[str] = (),
    is_doomed: Callable[[], bool] = lambda: True,
    owner: str | None = None,
) -> None:
    """Delete chunks, best effort: a failure is logged, and must not hide its cause (pitfall 31).

    :param cid: ID of their container
    :param options: of the call; the time for cleaning is added to its deadline
    :param late: URLs of those that a server may still be about to store: when they are not there yet, their
        deletion is repeated a moment later
    :param is_doomed: asked before each deletion, tells whether they are to be deleted
    :param owner: full path of their object, where another may have stored chunks in the same places: late
        ones are looked at, and kept unless they are known to be of this object
    """
    doomed = [chunk.described() for chunk in chunks]
    if not doomed:
        return
    options = options.for_cleaning()
    with green.Insistence():
        if not is_doomed():
            return
        if owner is not None:
            # A late server may be late again, and use up the time for cleaning: the others come first.
            _delete(stores, [chunk for chunk in doomed if chunk["url"] not in late], cid, options)
            doomed = _owned(stores, [chunk for chunk in doomed if chunk["url"] in late], owner, options)
        absent = _delete(stores, doomed, cid, options)
        again = [chunk for chunk in absent if chunk["url"] in late]
        left = options.limits.left()
        if again and (left is None or left > _LATE_PUT):
            green.ensure_hub()
            green.sleep(_LATE_PUT)
            if not is_doomed():
                return
            if owner is not None:
                again = _owned(stores, again, owner, options)
            _delete(stores, again, cid, options)


def _owned(stores: Stores, chunks: list[ChunkDict], owner: str, options: Options) -> list[ChunkDict]:
    """Leave out chunks that are not known to be of an object, but for those that are not there."""

    def may_be_deleted(chunk: ChunkDict) -> bool:
        try:
            return is_owned(stores.blob_client, Chunk.of(chunk), owner, options)
        except exc.NotFound:
            return True
        except (exc.OioException, KeyError, ValueError) as err:
            reraise_foreign(err)
            event = report_failure(options, "HEAD", Chunk.of(chunk), err)
            stores.logger.warning("Chunk %s may be left: %s", chunk["url"], err, extra=event.fields())
            return False

    green.ensure_hub()
    with green.ContextPool(PARALLEL_CHUNKS_DELETE) as pool:
        threads = [pool.spawn(may_be_deleted, chunk) for chunk in chunks]
        return [chunk for chunk, thread in zip(chunks, threads, strict=True) if thread.wait()]


def _delete(stores: Stores, doomed: list[ChunkDict], cid: str, options: Options) -> list[ChunkDict]:
    """Delete chunks; returns those that were not there."""
    if not doomed:
        return []
    try:
        results = stores.blob_client.chunk_delete_many(doomed, cid=cid, options=options)
    except exc.OioException as err:
        stores.logger.warning("Failed to delete %d chunks: %s", len(doomed), err)
        return []
    absent = []
    for result in results:
        status = getattr(result, "status", None)
        if status == _NOT_FOUND:
            absent.append(result.chunk)
        elif status != _NO_CONTENT:
            error = f"HTTP {status}" if status else result
            event = report_failure(options, "DELETE", Chunk.of(result.chunk), error)
            text = "Failed to delete chunk %s: %s"
            stores.logger.warning(text, result.chunk["url"], status or result, extra=event.fields())
    return absent


class ChunkServerStrategy(Strategy):
    """Base of replication and erasure coding."""

    def head(self, chunk: Chunk, xattr: bool, options: Options) -> JsonObject:
        return self.stores.blob_client.chunk_head(chunk.address, xattr=xattr, options=options)

    def check(self, chunk: Chunk, options: Options) -> None:
        # Seldom needed: data are read and written without it.
        from oio.api._data.inspection import reaches_its_end

        blob = self.stores.blob_client
        known = blob.chunk_head(chunk.address, options=options)
        if not reaches_its_end(blob, chunk, known, options):
            # The file may be cut short, or only the connection was: the checksum tells.
            blob.chunk_head(chunk.address, xattr=False, check_hash=True, options=options)

    def connections(
        self, chunks: list[Chunk], using: list[Chunk], options: Options
    ) -> list[Callable[[], object]]:
        return [partial(connect_ahead, chunk, options) for chunk in unconnected(chunks, using, options)]

    @abc.abstractmethod
    def _file_of(self, expected: Expected) -> tuple[int, str | None]:
        """Size and checksum of the file of each chunk of a metachunk; None if only its server knows that."""

    def examine(self, chunk: Chunk, expected: Expected, deep: bool, options: Options) -> Findings:
        from oio.api._data.inspection import Inspection

        size, digest = self._file_of(expected)
        return Inspection(self.stores.blob_client, chunk, expected, size, digest, options).findings(deep)

    def delete(
        self,
        chunks: Iterable[Chunk],
        options: Options,
        late: Container[str] = (),
        owner: str | None = None,
    ) -> list[Chunk]:
        delete_chunks(self.stores, chunks, self.cid, options, late, owner=owner)
        return []

    def linker(
        self, meta: JsonMapping, chunks: Iterable[Chunk], options: Options, *, renames: bool
    ) -> MetachunkLinker:
        blob, quorum = self.stores.blob_client, self.method.quorum
        return MetachunkLinker(meta, chunks, quorum, blob, options, renames=renames)
