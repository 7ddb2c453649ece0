# SPDX-License-Identifier: Apache-2.0
"""Strategy of erasure coding: each segment of a metachunk is encoded as k+m fragments, one for each chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oio.api._data.ec.codec import codec_of
from oio.api._data.ec.metachunk import FragmentsSource
from oio.api._data.ec.rebuild import ChunkRebuilder
from oio.api._data.ec.write import FragmentsWriter, metachunk_size
from oio.api._data.metachunks import UploadRequest
from oio.api._data.servers import ChunkServerStrategy
from oio.common.checksums import NO_HASH, Checksum

if TYPE_CHECKING:
    from oio.api._data.inspection import Expected
    from oio.api._data.layout import Metachunk
    from oio.common.answers import JsonMapping, JsonObject
    from oio.common.chunks import Chunk
    from oio.common.options import Options
    from oio.common.storage_method import ECStorageMethod


class ErasureStrategy(ChunkServerStrategy):
    """Erasure coding."""

    method: ECStorageMethod

    @staticmethod
    def family(method: ECStorageMethod) -> tuple[object, ...]:
        return (method.ec_type, method.ec_nb_data, method.ec_nb_parity)

    def metachunk_size(self, chunk_size: int) -> int:
        return metachunk_size(self.method, chunk_size)

    def writer(
        self, meta: JsonObject, chunks: list[Chunk], checksum: Checksum, first: bool, options: Options
    ) -> FragmentsWriter:
        request = UploadRequest(meta, chunks, checksum, first, self.method.quorum, options)
        return FragmentsWriter(request, self.method)

    def source(self, metachunk: Metachunk, suspects: set[str], options: Options) -> FragmentsSource:
        return FragmentsSource(self.method, metachunk, suspects, options)

    def _file_of(self, expected: Expected) -> tuple[int, str | None]:
        return codec_of(self.method).chunk_size(expected.size), None

    def mend(
        self, place: Chunk, sources: list[Chunk], expected: Expected, owner: JsonMapping, options: Options
    ) -> None:
        # The chunk is rebuilt in memory, and verified, before it is stored.
        _, fragments = ChunkRebuilder(
            sources, place.index or 0, self.method, options, expected.digest
        ).rebuild()
        meta = {
            "chunk_pos": place.pos,
            "full_path": owner["full_path"],
            "content_chunkmethod": owner["chunk_method"],
            "content_policy": owner["policy"],
            "metachunk_size": expected.size,
            # Chunk servers want one, even where none is known.
            "metachunk_hash": expected.digest or NO_HASH,
        }
        self.stores.blob_client.chunk_put(place.address, meta, fragments, options=options)
