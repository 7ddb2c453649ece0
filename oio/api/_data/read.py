# SPDX-License-Identifier: Apache-2.0
"""Reader of metachunks, which counts and verifies them, and reads them again without damaged chunks."""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import IO, Protocol

from oio.api._data.layout import Metachunk, Piece
from oio.api._data.read_ahead import ALL_ROOM, Part, read_ahead
from oio.common import exceptions as exc
from oio.common.checksums import Checksum, checksum_like
from oio.common.hashing import in_threads, is_behind
from oio.common.memory import keep_memory_of_blocks
from oio.common.options import HOLD_UP_TO
from oio.common.utils import warn_unverified

_LOGGER = logging.getLogger(__name__)

#: Bytes of a metachunk that are held in memory, rather than on disk, until all of it is verified.
_KEPT_IN_MEMORY = 64 << 20
_BLOCK_SIZE = 262144
#: Bytes of the largest range that is given as one block, when there are several.
_LARGEST_BLOCK = 4 << 20


class MetachunkSource(Protocol):
    """Source of the bytes of one metachunk."""

    #: URL of each chunk that gave data since the last opening.
    used: list[str]

    def open(self, start: int, end: int) -> Generator[bytes, None, None]:
        """The bytes from ``start`` to ``end``, inclusive."""

    def find_damaged(self) -> list[str]:
        """URLs of the damaged chunks, or of all that were used when it is not known which are damaged."""

    def exclude_damaged(self) -> bool:
        """Leave out chunks that may be damaged; False when no other set of chunks can be tried."""


def read_ranges(
    ranges: Sequence[Sequence[Piece]],
    source_of: Callable[[Metachunk], MetachunkSource],
    verify: bool | str,
    hold_up_to: int,
    unsure: exc.ChecksumUnavailable | None = None,
    parallel: int = 1,
) -> Generator[bytes, None, None]:
    """Read ranges of an object, one after the other; see :func:`read_pieces`.

    No block spans two of them. When there are several, each is one block unless it is too large: the parts of
    an answer to an HTTP request for several ranges are made of them.

    :param ranges: pieces of each range
    :param unsure: reason for which some cannot be verified, see :func:`unverifiable`: the caller is warned
    :param parallel: number of metachunks of a range that are read at a time
    :raises ChecksumUnavailable: ``"strict"`` cannot be: the package for the checksums is not installed
    """
    if len(ranges) == 1:
        blocks = read_pieces(ranges[0], source_of, verify, hold_up_to, parallel)
    else:
        blocks = _read_each(ranges, source_of, verify, hold_up_to, parallel)
    if verify == "strict":
        return _check_first(ranges, blocks)
    if verify is True and unsure is not None:
        return _warn_first(unsure, blocks)
    return blocks


def _check_first(
    ranges: Iterable[Iterable[Piece]], blocks: Generator[bytes, None, None]
) -> Generator[bytes, None, None]:
    """Refuse metachunks that cannot be verified, before anything is given."""
    for metachunk, _, _ in itertools.chain.from_iterable(ranges):
        metachunk.check_verifiable()
    yield from blocks


def _warn_first(
    reason: exc.ChecksumUnavailable, blocks: Generator[bytes, None, None]
) -> Generator[bytes, None, None]:
    warn_unverified(reason)
    yield from blocks


def _read_each(
    ranges: Iterable[Iterable[Piece]],
    source_of: Callable[[Metachunk], MetachunkSource],
    verify: bool | str,
    hold_up_to: int,
    parallel: int,
) -> Generator[bytes, None, None]:
    """Read several ranges, see :func:`read_ranges`."""
    sources: dict[int, MetachunkSource] = {}

    def known(metachunk: Metachunk) -> MetachunkSource:
        # The next range makes use of what this one has learnt of the chunks of a metachunk.
        source = sources.get(metachunk.position)
        if source is None:
            source = sources[metachunk.position] = source_of(metachunk)
        return source

    for pieces in map(list, ranges):
        blocks = read_pieces(pieces, known, verify, hold_up_to, parallel)
        if sum(last - first + 1 for _, first, last in pieces) <= _LARGEST_BLOCK:
            yield b"".join(blocks)
        else:
            yield from blocks


def read_pieces(
    pieces: Sequence[Piece],
    source_of: Callable[[Metachunk], MetachunkSource],
    verify: bool | str,
    hold_up_to: int = HOLD_UP_TO,
    parallel: int = 1,
    in_memory: int = _KEPT_IN_MEMORY,
) -> Generator[bytes, None, None]:
    """Read parts of metachunks, one after the other.

    While threads complete the checksum of one, the next one is asked for. So the last block of a metachunk
    comes with the first one of the next, or with its failure.

    :param source_of: makes the source of the bytes of a metachunk
    :param verify: True verifies the metachunks that are read whole; ``"strict"`` gives nothing of a metachunk
        before all of it is verified, also for ranges; False verifies nothing, but still counts. ``"server"``
        is for sources, and means True here
    :param hold_up_to: bytes of the largest metachunk of which nothing is given before it is verified
    :param parallel: number of metachunks that are read at a time
    :param in_memory: bytes of a metachunk that are held in memory, rather than on disk, with ``"strict"``
    :returns: a generator of blocks; closing it closes the connections
    :raises oio.common.exceptions.UnrecoverableContent: too few chunks of a metachunk exist any more
    :raises oio.common.exceptions.CorruptedChunk: the data of a metachunk are not those that were stored
    :raises oio.common.exceptions.ServiceUnavailable: a metachunk cannot be read for now
    :raises oio.common.exceptions.DeadlineReached: no time is left
    """
    if parallel > 1:
        room = ALL_ROOM // parallel
        # Lazy: nothing is done for a piece before its turn.
        parts = (read_pieces([piece], source_of, verify, hold_up_to, in_memory=room) for piece in pieces)
        yield from read_ahead(parts, parallel)
        return
    read = functools.partial(_read_piece, source_of, verify, hold_up_to, in_memory)
    if verify and len(pieces) > 1:
        yield from _Turns(pieces, read, hold_up_to).blocks()
        return
    for piece in pieces:
        yield from read(piece)


def _read_piece(
    source_of: Callable[[Metachunk], MetachunkSource],
    verify: bool | str,
    hold_up_to: int,
    in_memory: int,
    piece: Piece,
    meanwhile: Callable[[], None] | None = None,
) -> Generator[bytes, None, None]:
    """Read a part of a metachunk, see :func:`read_pieces` and :meth:`_Reading.plain`."""
    metachunk, first, last = piece
    if last - first >= _BLOCK_SIZE:
        keep_memory_of_blocks()
    reading = _Reading(metachunk, source_of(metachunk), verify, hold_up_to, in_memory)
    return reading.held(first, last) if reading.strict else reading.plain(first, last, meanwhile)


class _Turns:
    """Pieces that are read one after the other, and begun while the checksum of the one before is completed.

    :param read: reads a piece; what it gets besides is called meanwhile
    :param hold_up_to: see :func:`read_pieces`
    """

    def __init__(
        self,
        pieces: Iterable[Piece],
        read: Callable[[Piece, Callable[[], None]], Generator[bytes, None, None]],
        hold_up_to: int,
    ) -> None:
        self._left = collections.deque(pieces)
        self._read = read
        self._hold_up_to = hold_up_to
        self._begun: Part | None = None

    def blocks(self) -> Generator[bytes, None, None]:
        try:
            while self._begun is not None or self._left:
                begun, self._begun = self._begun, None
                yield from self._next_blocks() if begun is None else begun.rest()
        finally:
            if self._begun is not None:
                self._begun.close()

    def _next_blocks(self) -> Generator[bytes, None, None]:
        return self._read(self._left.popleft(), self._begin_next)

    def _begin_next(self) -> None:
        """Read the first block of the next piece, unless that may be held until all of it is there."""
        if self._begun is None and self._left:
            _, first, last = self._left[0]
            if last - first >= self._hold_up_to:
                # Noted before it is read: it may come to begin the one after it.
                self._begun = Part(self._next_blocks())
                self._begun.read()


class _Reading:
    """Reading of a closed range of a metachunk.

    When all of it is read, its last block is held until the whole is verified. All blocks of a small one are,
    so that it is read again when it is damaged, and nobody notices.
    """

    def __init__(
        self,
        metachunk: Metachunk,
        source: MetachunkSource,
        verify: bool | str,
        hold_up_to: int,
        in_memory: int,
    ) -> None:
        self._metachunk = metachunk
        self._source = source
        self._in_memory = in_memory
        self._hold_up_to = hold_up_to
        self._expected = metachunk.digest
        self._verify = bool(verify) and self._expected is not None
        self.strict = self._verify and verify == "strict"
        self._corrupted: list[str] = []

    def held(self, start: int, end: int) -> Generator[bytes, None, None]:
        """Read and verify all of the metachunk before a part of it is given."""
        size = self._metachunk.size
        with contextlib.closing(_Spool(size, self._in_memory)) as spool:
            for _ in self.plain(0, size - 1, spool=spool):
                pass
            yield from spool.cut(start, end)

    def plain(
        self,
        first: int,
        last: int,
        meanwhile: Callable[[], None] | None = None,
        spool: _Spool | None = None,
    ) -> Generator[bytes, None, None]:
        """Read a range; with a spool, into it, and give nothing.

        :param meanwhile: called when all is received, while a thread still has to complete the checksum
        """
        source = self._source
        size = last - first + 1
        verify = self._verify and size == self._metachunk.size
        waits = verify and size <= self._hold_up_to
        while True:
            digest = in_threads(checksum_like(self._expected), size) if verify and self._expected else None
            left, given = size, False
            held: list[bytes] = []
            if spool is not None:
                spool.clear()
            blocks = source.open(first, last)
            try:
                for block in blocks:
                    left -= len(block)
                    if digest is not None:
                        digest.update(block)
                    if spool is not None:
                        spool.write(block)
                    elif waits or left <= 0:
                        held.append(block)
                    else:
                        given = True
                        yield block
            except (exc.ClientException, exc.ServiceUnavailable) as err:
                self._try_again(err, given)
                continue
            finally:
                blocks.close()
            if left:
                raise self._failure(f"{size - left} bytes were read of {source.used}, not {size}")
            # All blocks of a small one wait already, and should not wait for the next one as well.
            if self._is_sound(digest, None if waits else meanwhile):
                while held:
                    yield held.pop(0)
                return
            self._exclude_damaged(given)

    def _is_sound(self, digest: Checksum | None, meanwhile: Callable[[], None] | None) -> bool:
        """Complete the checksum, if there is one, and compare it; see :meth:`plain`."""
        if digest is None:
            return True
        if meanwhile is not None and is_behind(digest):
            meanwhile()
        return digest.hexdigest() == self._expected

    def _exclude_damaged(self, given: bool) -> None:
        """Prepare another attempt, without the chunks whose data do not match the checksum.

        :param given: some bytes were given already
        :raises CorruptedChunk: no other attempt can be made
        """
        self._corrupted += self._source.find_damaged()
        if given or not self._source.exclude_damaged():
            raise self._corruption()
        _LOGGER.warning("Corrupted metachunk, reading it again without trust in %s", self._corrupted)

    def _try_again(self, err: exc.OioException, given: bool) -> None:
        """Prepare another attempt, after a guess at the damaged chunks has left too few of them.

        :param given: some bytes were given already
        :raises OioException: the failure, when no guess was made; or CorruptedChunk
        """
        if not self._corrupted:
            raise self._failure(err, err.reqid) from err
        if given or not self._source.exclude_damaged():
            raise self._corruption(err) from err

    def _failure(self, reason: object, reqid: str | None = None) -> exc.OioException:
        position = self._metachunk.position
        if isinstance(reason, exc.NotFound):
            return exc.UnrecoverableContent(f"Cannot download position {position}: {reason}", reqid=reqid)
        return exc.ServiceUnavailable(f"Error while downloading position {position}: {reason}", reqid=reqid)

    def _corruption(self, cause: Exception | None = None) -> exc.CorruptedChunk:
        urls = ", ".join(dict.fromkeys(self._corrupted))
        text = f"Data read from {urls} do not match their checksum"
        return exc.CorruptedChunk(f"{text}; {cause}" if cause else text)


def unverifiable(ranges: Iterable[Sequence[Piece]]) -> exc.ChecksumUnavailable | None:
    """Tell why a metachunk that is read whole cannot be verified here; None when all of them can."""
    for metachunk, first, last in itertools.chain.from_iterable(ranges):
        if metachunk.digest is None and last - first + 1 == metachunk.size:
            try:
                metachunk.check_verifiable()
            except exc.ChecksumUnavailable as err:
                return err
    return None


def compared(
    blocks: Generator[bytes, None, None], checksum: Checksum, expected: str, hold: bool
) -> Generator[bytes, None, None]:
    """Give the blocks of a whole object, the last one after the object was compared with its checksum.

    :param expected: in hexadecimal digits
    :param hold: give nothing at all before that
    :raises CorruptedChunk: they differ
    """
    held: list[bytes] = []
    with contextlib.closing(blocks):
        for block in blocks:
            checksum.update(block)
            held.append(block)
            if not hold and len(held) > 1:
                yield held.pop(0)
    if checksum.hexdigest() != expected.lower():
        raise exc.CorruptedChunk("The data of the object do not match its checksum")
    yield from held


class _Spool:
    """Bytes of a metachunk that are held until they are verified, on disk when they are many."""

    def __init__(self, size: int, in_memory: int) -> None:
        self._size = size
        self._blocks: list[bytes] = []
        self._file: IO[bytes] | None = None
        if size > in_memory:
            from tempfile import TemporaryFile

            with self._using_disk():
                self._file = TemporaryFile()  # noqa: SIM115

    @contextlib.contextmanager
    def _using_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            raise exc.OioException(
                f"A metachunk of {self._size} bytes cannot be kept in a temporary file until it is verified, "
                f"TMPDIR tells where: {err}"
            ) from err

    def write(self, block: bytes) -> None:
        if self._file is None:
            self._blocks.append(block)
        else:
            with self._using_disk():
                self._file.write(block)

    def clear(self) -> None:
        self._blocks.clear()
        if self._file is not None:
            with self._using_disk():
                self._file.seek(0)
                self._file.truncate()

    def cut(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from ``start`` to ``end``, inclusive."""
        if self._file is not None:
            yield from self._cut_file(self._file, start, end)
        self._blocks.reverse()
        while self._blocks and end >= 0:
            block = self._blocks.pop()
            if start < len(block):
                yield block[max(start, 0) : end + 1]
            start -= len(block)
            end -= len(block)

    def _cut_file(self, file: IO[bytes], start: int, end: int) -> Iterator[bytes]:
        with self._using_disk():
            file.seek(start)
        left = end - start + 1
        while left > 0:
            with self._using_disk():
                block = file.read(min(left, _BLOCK_SIZE))
            if not block:
                return
            left -= len(block)
            yield block

    def close(self) -> None:
        if self._file is not None:
            # Bytes that cannot be written any more are of no use.
            with contextlib.suppress(OSError):
                self._file.close()
