# SPDX-License-Identifier: Apache-2.0
"""Base of the strategies whose chunks are on chunk servers: their heads, links and removal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from oio.api._data.links import MetachunkLinker
from oio.api._data.strategies import Stores, Strategy
from oio.common import exceptions as exc
from oio.common.chunks import Chunk

if TYPE_CHECKING:
    from oio.common.answers import JsonMapping, JsonObject
    from oio.common.options import Options


def delete_chunks(stores: Stores, chunks: Iterable[Chunk], cid: str, options: Options) -> None:
    """Delete chunks, best effort: a failure is logged, and must not hide its cause (pitfall 31).

    :param cid: ID of their container
    :param options: of the call; the time for cleaning is added to its deadline
    """
    doomed = [chunk.described() for chunk in chunks]
    if not doomed:
        return
    try:
        results = stores.blob.chunk_delete_many(doomed, cid=cid, options=options.for_cleaning())
    except exc.OioException as err:
        stores.logger.warning("Failed to delete %d chunks: %s", len(doomed), err)
        return
    for result in results:
        status = getattr(result, "status", None)
        if status not in (204, 404):
            stores.logger.warning("Failed to delete chunk %s: %s", result.chunk["url"], status or result)


class ChunkServerStrategy(Strategy):
    """Base of replication and erasure coding."""

    def head(self, chunk: Chunk, xattr: bool, options: Options) -> JsonObject:
        return self.stores.blob.chunk_head(chunk.address, xattr=xattr, options=options)

    def delete(self, chunks: Iterable[Chunk], options: Options) -> None:
        delete_chunks(self.stores, chunks, self.cid, options)

    def linker(self, meta: JsonMapping, chunks: Iterable[Chunk], options: Options) -> MetachunkLinker:
        return MetachunkLinker(meta, chunks, self.method.quorum, self.stores.blob, options)
