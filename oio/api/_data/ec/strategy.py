# SPDX-License-Identifier: Apache-2.0
"""Strategy of erasure coding: each segment of a metachunk is encoded as k+m fragments, one for each chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oio.api._data.ec.metachunk import FragmentsSource
from oio.api._data.ec.write import FragmentsWriter, metachunk_size
from oio.api._data.metachunks import UploadRequest
from oio.api._data.servers import ChunkServerStrategy
from oio.common.checksums import Checksum

if TYPE_CHECKING:
    from oio.api._data.layout import Metachunk
    from oio.common.answers import JsonObject
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
