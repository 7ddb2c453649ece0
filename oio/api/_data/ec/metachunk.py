# SPDX-License-Identifier: Apache-2.0
"""Reader of an erasure-coded metachunk, from k fragments of each segment, without damaged chunks."""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from oio.api._data.ec.codec import codec_of
from oio.api._data.ec.parallel_reader import ParallelReader
from oio.api._data.ec.sources import ReadContext, SegmentPlan
from oio.blob.reader import ChunkReader
from oio.common import exceptions as exc
from oio.common.checksums import checksum_like
from oio.common.constants import CHUNK_HEADERS

if TYPE_CHECKING:
    from oio.api._data.layout import Metachunk
    from oio.common.chunks import Chunk
    from oio.common.options import Options
    from oio.common.storage_method import ECStorageMethod

_LOGGER = logging.getLogger(__name__)

_MAX_GUESSES = 100
"""Number of times that a metachunk is read again to find the damaged chunk, when no checksum tells."""


class RangeReader:
    """Reader of a closed range of a metachunk. The range is not empty.

    :param size: bytes of the metachunk
    :param start: first byte
    :param end: last byte, inclusive
    :param headers: of the requests
    :param suspects: addresses of servers that have just failed; others are added to it
    :param ranged: False when all of the metachunk is read, without ranges
    :param sound: see :class:`~oio.api._data.ec.sources.ReadContext`
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
        context = ReadContext(codec, headers, options, codec.chunk_size(size), size, sound=sound)
        self.parallel_reader = ParallelReader(chunks, context, self._plan, suspects, ranged)

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
                segment = self.parallel_reader.read_segment(number, decode)
                yield segment[max(self._start - offset, 0) : self._end - offset + 1]
                offset += length
        finally:
            self.parallel_reader.close()


class FragmentsSource:
    """The chunks of a metachunk, see :class:`~oio.api._data.read.MetachunkSource`.

    :param suspects: addresses of servers that have just failed; others are added to it
    """

    def __init__(
        self, method: ECStorageMethod, metachunk: Metachunk, suspects: set[str], options: Options
    ) -> None:
        self._method = method
        self._metachunk = metachunk
        self._chunks = metachunk.chunks
        self._suspects = suspects
        self._options = options
        #: URLs of chunks that differ from their own checksums, of those that do not, and of suspects.
        self._damaged: set[str] = set()
        self._sound: set[str] = set()
        self._guess: set[str] = set()
        self._guesses: Iterator[set[str]] | None = None
        self.used: list[str] = []
        self._reader: ParallelReader | None = None

    def open(self, start: int, end: int) -> Generator[bytes, None, None]:
        options = self._options
        # A metachunk that is read whole is compared with its checksum.
        asks = options.verify_checksum == "server" and self._metachunk.needs_server(start, end)
        reader = RangeReader(
            self._method,
            self._candidates(),
            self._metachunk.size,
            start,
            end,
            options.headers,
            options,
            self._suspects,
            sound=self._sound if asks else None,
        )
        self._reader, self.used = reader.parallel_reader, reader.parallel_reader.used
        return reader.blocks()

    def _candidates(self) -> tuple[Chunk, ...]:
        """The chunks that may be read."""
        excluded = self._damaged | self._guess
        if not excluded:
            return self._chunks
        return tuple(chunk for chunk in self._chunks if chunk.url not in excluded)

    def find_damaged(self) -> list[str]:
        doubtful = set(self.used) - self._sound
        found = []
        for chunk in self._chunks:
            if chunk.url not in doubtful:
                continue
            try:
                sound = self._is_sound(chunk)
            except exc.DeadlineReached:
                break
            if sound:
                self._sound.add(chunk.url)
            else:
                self._damaged.add(chunk.url)
                found.append(chunk.url)
        if found:
            self._guess, self._guesses = set(), None
        return found or list(self.used)

    def exclude_damaged(self) -> bool:
        if not self._damaged.isdisjoint(self.used):
            return bool(self._candidates())
        if self._guesses is None:
            if not self.used:
                return False
            self._guesses = itertools.islice(self._suspicions(), _MAX_GUESSES)
        self._guess = next(self._guesses, set())
        return bool(self._guess)

    def _suspicions(self) -> Iterator[set[str]]:
        """Sets of chunks to leave out, the smallest first, such that others than before are read.

        A chunk that could not be read may be asked once more, and is in all sets when it fails again: each
        attempt could take the time limit of a read.
        """
        min_chunks = self._method.min_chunks_to_read
        failures = collections.Counter(self._failed())
        left = [url for url in self.used if url not in failures]
        others = [chunk.url for chunk in self._chunks if chunk.url not in self._damaged.union(left)]
        left += sorted(others, key=failures.__contains__)
        tried = {frozenset(left[:min_chunks])}
        for size in range(1, len(left) - min_chunks + 1):
            for suspects in map(set, itertools.combinations(left, size)):
                given_up = {url for url, count in failures.items() if count > 1}
                chosen = frozenset([url for url in left if url not in suspects | given_up][:min_chunks])
                again = len(chosen) == min_chunks and chosen not in tried
                tried.add(chosen)
                while again:
                    yield suspects | given_up
                    failed = self._failed()
                    failures.update(failed)
                    again = any(failures[url] == 1 for url in failed & chosen)

    def _failed(self) -> set[str]:
        """URLs of the chunks that could not be read since the last opening."""
        if self._reader is None:
            return set()
        active = {source.chunk.url for source in self._reader.active}
        return {url for url, _, _ in self._reader.errors} - active

    def _is_sound(self, chunk: Chunk) -> bool:
        """Read a chunk whole, and compare it with its own checksum.

        :raises ChecksumUnavailable: the checksum cannot be computed
        """
        reader = ChunkReader.with_options(chunk, dict(self._options.headers), self._options)
        try:
            with contextlib.closing(reader.stream()) as blocks:
                stored = reader.headers.get(CHUNK_HEADERS["chunk_hash"])
                checksum = checksum_like(stored) if stored else None
                for block in blocks:
                    if checksum is not None:
                        checksum.update(block)
        except (exc.DeadlineReached, exc.ChecksumUnavailable):
            raise
        except exc.OioException as err:
            _LOGGER.warning("Failed to verify %s: %s", chunk.url, err)
            return False
        return checksum is None or stored is None or stored.lower() == checksum.hexdigest()
