# SPDX-License-Identifier: Apache-2.0
"""Base of the strategies that use chunk servers: heads, links and removal of chunks."""

from __future__ import annotations

import abc
from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from oio.api._data.links import MetachunkLinker
from oio.api._data.strategies import OwnerUnknown, Stores, Strategy
from oio.blob.client import PARALLEL_CHUNKS_DELETE
from oio.blob.connect import connect_ahead, unconnected
from oio.blob.events import report_failure
from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Chunk
from oio.common.interruptions import reraise_interruption
from oio.common.limits import CLEANING_TIMEOUT

if TYPE_CHECKING:
    from oio.api._data.inspection import Expected, Findings
    from oio.api._data.strategies import OwnerCheck
    from oio.common.answers import JsonMapping, JsonObject
    from oio.common.options import Options

_NO_CONTENT, _NOT_FOUND, _SERVER_ERROR = 204, 404, 500

_PAUSE = 0.5
"""Seconds before the deletion of a chunk is repeated, because it was not there yet, or because its server was
busy: half of the time for cleaning.
"""


def delete_chunks(
    stores: Stores,
    chunks: Iterable[Chunk],
    cid: str,
    options: Options,
    late: Container[str] = (),
    is_ours: OwnerCheck | None = None,
) -> None:
    """Delete chunks, best effort: a failure is logged, and must not hide its cause (pitfall 31).

    :param cid: ID of their container
    :param options: of the call; the time for cleaning is added to its deadline
    :param late: URLs of those that a server may still be about to store: when they are not there yet, their
        deletion is repeated a moment later, as it is when a server answers that it has failed
    :param is_ours: looks at each chunk just before its deletion, where another call may have stored its own
        in the same place; what it does not vouch for is kept
    """
    doomed = list(chunks)
    if not doomed:
        return
    options = options.for_cleaning()

    def delete(some: list[Chunk]) -> list[Chunk]:
        """Delete some; returns those whose deletion is worth another attempt."""
        if is_ours is None:
            failed = _delete(stores, some, cid, options)
        else:
            with green.ContextPool(PARALLEL_CHUNKS_DELETE) as pool:
                threads = [pool.spawn(_delete_ours, stores, chunk, cid, options, is_ours) for chunk in some]
                failed = [failure for thread in threads for failure in thread.wait()]
        return [
            chunk
            for chunk, status in failed
            if status >= _SERVER_ERROR or (status == _NOT_FOUND and chunk.url in late)
        ]

    with green.Insistence():
        # A late server may be late again, and use up the time for cleaning: the others come first.
        again = delete([chunk for chunk in doomed if chunk.url not in late])
        again += delete([chunk for chunk in doomed if chunk.url in late])
        left = options.limits.left()
        if again and (left is None or left > _PAUSE):
            green.sleep(_PAUSE)
            if left is None:
                options = replace(options, limits=options.limits.at_most(CLEANING_TIMEOUT))
            delete(again)


def _delete_ours(
    stores: Stores, chunk: Chunk, cid: str, options: Options, is_ours: OwnerCheck
) -> list[tuple[Chunk, int]]:
    """Delete a chunk right after a look at it, for a DELETE has no condition; see :func:`_delete`."""
    try:
        if not is_ours(chunk, options):
            return []
    except exc.NotFound:
        return [(chunk, _NOT_FOUND)]
    except (exc.OioException, KeyError, ValueError) as err:
        reraise_interruption(err)
        cause: BaseException = err
        if isinstance(err, OwnerUnknown):
            cause = err.__cause__ or err
            event = report_failure(options, "GET", chunk, cause, proxy=err.service or "")
        else:
            event = report_failure(options, "HEAD", chunk, err)
        stores.logger.warning("Chunk %s may be left: %s", chunk.url, err, extra=event.fields())
        return [(chunk, cause.http_status)] if isinstance(cause, exc.StatusMessageException) else []
    return _delete(stores, [chunk], cid, options)


def _delete(stores: Stores, doomed: list[Chunk], cid: str, options: Options) -> list[tuple[Chunk, int]]:
    """Delete chunks; returns those that a server did not delete, with the status of its answer."""
    if not doomed:
        return []
    try:
        described = [chunk.described() for chunk in doomed]
        results = stores.blob_client.chunk_delete_many(described, cid=cid, options=options)
    except exc.OioException as err:
        stores.logger.warning("Failed to delete %d chunks: %s", len(doomed), err)
        return []
    failed = []
    for result in results:
        status = getattr(result, "status", None)
        if status == _NO_CONTENT:
            continue
        chunk = Chunk.of(result.chunk)
        if status:
            failed.append((chunk, status))
        if status != _NOT_FOUND:
            event = report_failure(options, "DELETE", chunk, f"HTTP {status}" if status else result)
            text = "Failed to delete chunk %s: %s"
            stores.logger.warning(text, chunk.url, status or result, extra=event.fields())
    return failed


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
        is_ours: OwnerCheck | None = None,
    ) -> list[Chunk]:
        delete_chunks(self.stores, chunks, self.cid, options, late, is_ours)
        return []

    def linker(
        self, meta: JsonMapping, chunks: Iterable[Chunk], options: Options, *, renames: bool
    ) -> MetachunkLinker:
        blob, quorum = self.stores.blob_client, self.method.quorum
        return MetachunkLinker(meta, chunks, quorum, blob, options, renames=renames)
