# SPDX-License-Identifier: Apache-2.0
"""Rebuilder of a lost chunk of an erasure-coded metachunk, from the others."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from oio.api._data.ec.codec import codec_of
from oio.api._data.ec.parallel_reader import ParallelReader
from oio.api._data.ec.sources import ReadContext, SegmentPlan
from oio.common import exceptions as exc
from oio.common.checksums import checksum_like, is_computable

if TYPE_CHECKING:
    from oio.common.checksums import Checksum
    from oio.common.chunks import Chunk
    from oio.common.options import Options
    from oio.common.storage_method import ECStorageMethod


class ChunkRebuilder:
    """Rebuilder of a missing or damaged chunk, bit for bit.

    :param chunks: the other chunks of its metachunk, the best ones first
    :param missing: index of the chunk to rebuild
    :param digest: checksum of the metachunk, which the data of the sources are compared with; None when it is
        not known
    :raises ValueError: a metachunk has no chunk of this index
    """

    def __init__(
        self,
        chunks: Sequence[Chunk],
        missing: int,
        method: ECStorageMethod,
        options: Options,
        digest: str | None = None,
    ) -> None:
        self._codec = codec = codec_of(method)
        if not 0 <= missing < codec.n:
            raise ValueError(f"missing: {missing} is not one of the {codec.n} chunks of a metachunk")
        self._chunks = [chunk for chunk in chunks if chunk.index != missing]
        self._missing = missing
        self._options = options
        self._digest = digest if is_computable(digest) else None
        self._checksum: Checksum | None = None

    def rebuild(self) -> tuple[int, Iterator[bytes]]:
        """Rebuild the chunk.

        All the other chunks are asked for at once; those that differ in size from most of them are left out.
        The chunk is held in memory until each of its sources is verified against its own checksum: when this
        returns, nothing can fail any more, and nothing is left to close.

        :returns: the bytes of the chunk, and an iterator of its fragments
        :raises oio.common.exceptions.UnrecoverableContent: fewer than k good chunks are left
        :raises oio.common.exceptions.DeadlineReached: no time is left
        :raises ValueError: a chunk has no index
        """
        options = self._options
        reader = ParallelReader(self._chunks, ReadContext(self._codec, options.headers, options, verify=True))
        with contextlib.closing(reader):
            reader.connect_all()
            size = self._elect_size(reader)
            plan = SegmentPlan.of_chunk(self._codec, size)
            self._keep_enough(reader, size)
            reader.plan = plan
            return size, iter(self._rebuild_from(reader, len(plan.sizes)))

    def _elect_size(self, reader: ParallelReader) -> int:
        """Elect the size of the chunks (bytes): the one that most of them have.

        In a tie, the size that fits the metachunk wins, else the larger one: a chunk may be cut short. It is
        also that of chunks whose servers, such as fakes, all announce none.
        """
        known = [source.chunk.size for source in reader.active if source.chunk.size is not None]
        expected = self._codec.chunk_size(known[0]) if known else None
        sizes = (source.announced_size for source in reader.active)
        votes = collections.Counter(size for size in sizes if size is not None)
        if not votes:
            if expected is None:
                raise self._unrecoverable(reader)
            return expected
        return max(votes, key=lambda size: (votes[size], size == expected, size))

    def _keep_enough(self, reader: ParallelReader, size: int) -> None:
        """Go on with chunks of the right size, of k different indexes; the others are spares."""
        kept: set[int] = set()
        is_told = any(source.announced_size is not None for source in reader.active)
        for source in sorted(reader.active, key=lambda source: self._chunks.index(source.chunk)):
            announced = source.announced_size
            if is_told and announced != size:
                reader.drop(source, exc.CorruptedChunk(f"chunk of {announced} bytes, not {size}"))
            elif len(kept) < self._codec.k and source.index not in kept:
                kept.add(source.index)
            else:
                reader.release(source)
        if len(reader.active) < self._codec.k:
            raise self._unrecoverable(reader)

    def _rebuild_from(self, reader: ParallelReader, count: int) -> list[bytes]:
        while True:
            self._checksum = checksum_like(self._digest) if self._digest else None
            try:
                fragments = [reader.read_segment(segment, self._reconstruct) for segment in range(count)]
            except (exc.NotFound, exc.ServiceUnavailable) as err:
                raise self._unrecoverable(reader) from err
            for source in [source for source in reader.active if not source.is_sound()]:
                reader.drop(source, exc.CorruptedChunk("its data do not match their checksum"))
            if len(reader.active) >= self._codec.k and all(source.is_whole for source in reader.active):
                self._verify(reader)
                return fragments
            # A chunk that joined late can only be verified when it is read from its beginning.
            for source in list(reader.active):
                reader.release(source)

    def _verify(self, reader: ParallelReader) -> None:
        """Compare the data of the sources with the metachunk: sound chunks may belong to another one.

        :raises UnrecoverableContent: the data are not those that were stored
        """
        if self._checksum is None or self._checksum.hexdigest() == str(self._digest).lower():
            return
        urls = ", ".join(source.chunk.url for source in reader.active)
        raise exc.UnrecoverableContent(
            f"Chunk {self._missing} cannot be rebuilt: the data of {urls} are not those of the metachunk"
        )

    def _reconstruct(self, fragments: dict[int, bytes]) -> bytes:
        codec = self._codec
        others = {index: fragment for index, fragment in fragments.items() if index != self._missing}
        lengths = {codec.check(fragment, None)[1] for fragment in others.values()}
        if len(others) < codec.k or len(lengths) > 1:
            raise exc.ECError(f"{len(others)} fragments, of segments of {sorted(lengths)} bytes")
        rebuilt = codec.reconstruct(others.values(), self._missing)
        if self._checksum is not None:
            self._checksum.update(codec.decode(others, lengths.pop()))
        return rebuilt

    def _unrecoverable(self, reader: ParallelReader) -> exc.UnrecoverableContent:
        reasons = "; ".join(f"{url}: {reason}" for url, _, reason in reader.errors)
        reasons = reasons or "no server tells the size of its chunk"
        found = f"{len(reader.active)}/{self._codec.k}"
        return exc.UnrecoverableContent(
            f"Not enough valid sources to rebuild chunk {self._missing} ({found}): {reasons}"
        )
