# SPDX-License-Identifier: Apache-2.0
"""Source of the copy of a chunk: its data, verified while they are read, and the checks of the copy."""

from __future__ import annotations

from collections.abc import Iterator

from oio.common import exceptions as exc
from oio.common.answers import JsonMapping
from oio.common.checksums import (
    algorithm_of,
    checksum_like,
    differ,
    is_computable,
    new_checksum,
)
from oio.common.constants import BLAKE3, MD5


class CopySource(Iterator[bytes]):
    """Data of a chunk to copy; reading them fails before their end when they differ from what was stored.

    :param meta: description of the chunk
    :param blocks: its data
    """

    def __init__(self, url: str, meta: JsonMapping, blocks: Iterator[bytes]) -> None:
        self._url = url
        self._blocks = blocks
        self._known = (meta.get("chunk_size"), meta.get("chunk_hash"))
        self._size = 0
        #: By algorithm: the server of the copy may use another one than that of the chunk.
        self._checksums = {MD5: new_checksum(MD5)}
        if is_computable(self._known[1]) and algorithm_of(self._known[1]) == BLAKE3:
            self._checksums[BLAKE3] = new_checksum(BLAKE3)

    def __next__(self) -> bytes:
        block = next(self._blocks, None)
        if block is None:
            self._compare(self._url, *self._known)
            raise StopIteration
        self._size += len(block)
        for checksum in self._checksums.values():
            checksum.update(block)
        return block

    def check(self, url: str, size: int | str | None, checksum: str | None) -> None:
        """Compare the data that were read with the description of the copy (pitfall 100); None is not known.

        :raises CorruptedChunk: they differ
        :raises ChecksumUnavailable: the package that verifies the chunk is not installed, and the server of
            the copy does not compute the same checksum
        """
        known = self._known[1]
        self._compare(url, size, checksum)
        algorithm = algorithm_of(known)
        if known is None or algorithm is None or algorithm in self._checksums:
            return
        # The checksum that the server of the copy has computed is as good.
        if algorithm_of(checksum) != algorithm:
            checksum_like(known)
        elif checksum is not None and differ(checksum, known):
            raise exc.CorruptedChunk(f"{url} has checksum {checksum}, but {self._url} has {known}")

    def _compare(self, url: str, size: int | str | None, checksum: str | None) -> None:
        own = self._checksums.get(algorithm_of(checksum) or "")
        differs = own is not None and checksum is not None and checksum.lower() != own.hexdigest()
        if differs or size not in (None, self._size, str(self._size)):
            raise exc.CorruptedChunk(
                f"{url} has {size} bytes of checksum {checksum}, but {self._size} were read, of "
                f"{' or '.join(each.hexdigest() for each in self._checksums.values())}"
            )
