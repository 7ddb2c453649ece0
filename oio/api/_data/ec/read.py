# SPDX-License-Identifier: Apache-2.0
"""Reader of a range of a metachunk: k fragments of each segment, whichever chunks can give them."""

from __future__ import annotations

import functools
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING

from oio.api._data.ec.codec import codec_of
from oio.api._data.ec.sources import ChunkFamily, SegmentPlan
from oio.api._data.ec.team import SourceTeam

if TYPE_CHECKING:
    from oio.common.chunks import Chunk
    from oio.common.options import Options
    from oio.common.storage_method import ECStorageMethod


class RangeReader:
    """Reader of a closed range of a metachunk, that is not empty.

    :param size: bytes of the metachunk
    :param start: first byte
    :param end: last byte, inclusive
    :param headers: of the requests
    :param suspects: addresses of servers that have just failed; others are added to it
    :param ranged: False when all of the metachunk is read, without ranges
    :param sound: see :class:`~oio.api._data.ec.sources.ChunkFamily`
    :raises ValueError: a chunk has no index
    """

    def __init__(
        self,
        method: ECStorageMethod,
        chunks: Sequence[Chunk],
        size: int,
        start: int,
        end: int,
        headers: Mapping[str, object],
        options: Options,
        suspects: set[str] | None = None,
        ranged: bool = True,
        sound: set[str] | None = None,
    ) -> None:
        self._codec = codec = codec_of(method)
        self._start, self._end = start, end
        self._plan = SegmentPlan.of(codec, start, end, size)
        family = ChunkFamily(codec, headers, options, codec.chunk_size(size), size, sound=sound)
        self.team = SourceTeam(chunks, family, self._plan, suspects, ranged)

    def blocks(self) -> Generator[bytes, None, None]:
        """The bytes, a segment at a time.

        :raises ServiceUnavailable: too few fragments can be read; or NotFound when all chunks are gone
        :raises DeadlineReached: no time is left
        """
        offset = self._plan.offset
        try:
            for number, length in enumerate(self._plan.lengths):
                assert length is not None
                decode = functools.partial(self._codec.decode, segment_length=length)
                segment = self.team.solve(number, decode)
                yield segment[max(self._start - offset, 0) : self._end - offset + 1]
                offset += length
        finally:
            self.team.close()
