# SPDX-License-Identifier: Apache-2.0
"""Layout of an object: its metachunks, their chunks in order of preference, and the ranges to read."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from logging import Logger
from typing import Final, TypeAlias

from oio.common import exceptions as exc
from oio.common.answers import ANSWER_ERRORS, JsonMapping, unexpected
from oio.common.checksums import algorithm_of, checksum_like, is_computable
from oio.common.chunks import Chunk
from oio.common.ranges import ClosedRange, Range, close_range
from oio.common.storage_method import STORAGE_METHODS, StorageMethod

# A generator of our own: a program that seeds the shared one gets the same numbers with and without us.
RANDOM = random.Random()


@dataclass(slots=True, unsafe_hash=True)
class Metachunk:
    """Part of an object, with the chunks that hold copies or fragments of it.

    :param start: its first byte in the object
    :param size: number of bytes
    :param chunks: the preferred ones first
    """

    position: Final[int]
    start: Final[int]
    size: Final[int]
    chunks: Final[tuple[Chunk, ...]]
    #: Checksum of its bytes, in lower case, of an algorithm that can be computed here; None without one.
    digest: str | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        self.digest = None
        # Chunks may have checksums of several algorithms.
        for chunk in self.chunks:
            digest = chunk.digest
            if is_computable(digest):
                self.digest = digest
                return

    @property
    def end(self) -> int:
        """Byte after the last one."""
        return self.start + self.size

    def needs_server(self, start: int, end: int) -> bool:
        """Whether only chunk servers can verify this part: it is not whole, or has no checksum for us."""
        return end - start + 1 < self.size or self.digest is None

    def check_verifiable(self) -> None:
        """Refuse to go on without verifying.

        :raises ChecksumUnavailable: it has checksums, of which none can be computed
        """
        if self.digest is None:
            told = next((chunk.digest for chunk in self.chunks if chunk.digest), None)
            if told is not None:
                checksum_like(told)


Piece: TypeAlias = "tuple[Metachunk, int, int]"
"""Part of a metachunk to read: first and last byte in it."""


@dataclass(slots=True)
class Layout:
    """Metachunks that hold the bytes of an object that are asked for.

    :param meta: description of the object
    :param metachunks: in order: all of them, or at least those that hold some of the ranges
    :param ranges: first and last byte of each range that holds some of the object; None for all of it
    :param size: number of bytes that are asked for
    """

    meta: Final[JsonMapping]
    metachunks: Final[tuple[Metachunk, ...]]
    method: Final[StorageMethod]
    ranges: Final[tuple[ClosedRange, ...] | None]
    size: Final[int]

    @property
    def is_whole(self) -> bool:
        """Whether all bytes of the object are asked for, in order."""
        return self.ranges is None or (len(self.ranges) == 1 and self.size == int(self.meta["length"]))

    def pieces(self) -> list[list[Piece]]:
        """The parts of metachunks to read, in order, for each range; the whole object counts as one range."""
        if self.ranges is None:
            return [[(metachunk, 0, metachunk.size - 1) for metachunk in self.metachunks if metachunk.size]]
        return [
            [
                (metachunk, max(first - metachunk.start, 0), min(last, metachunk.end - 1) - metachunk.start)
                for metachunk in self.metachunks
                # Appending nothing leaves an empty one.
                if metachunk.size and first < metachunk.end and last >= metachunk.start
            ]
            for first, last in self.ranges
        ]


def lay_out(
    meta: JsonMapping,
    located: Iterable[JsonMapping],
    ranges: list[Range],
    logger: Logger,
    *,
    strict: bool = False,
) -> Layout:
    """Find the chunks that hold some ranges of an object, or all of it.

    :param meta: description of the object
    :param located: its chunks, as the services describe them
    :param ranges: those that hold no byte of the object are left out (pitfall 133)
    :param strict: refuse such a range instead
    :raises UnsatisfiableRange: a range holds no byte of the object, and `strict` is true
    :raises UnrecoverableContent: the chunks do not make up the object
    :raises OioProtocolError: the description lacks something
    """
    try:
        method = STORAGE_METHODS[meta["chunk_method"]]
        length = int(meta["length"])
        known, closed = [], None
        if ranges:
            known = [(start, end, close_range(start, end, length)) for start, end in ranges]
            closed = tuple(bounds for _, _, bounds in known if bounds is not None)
        groups = _by_position(located)
        metachunks, found = _metachunks(groups, method.ec, closed, logger)
    except ANSWER_ERRORS as err:
        raise unexpected(err) from err
    positions = sorted(groups)
    is_gapless = not positions or (positions[0] == 0 and positions[-1] == len(positions) - 1)
    if not is_gapless or found != length:
        raise exc.UnrecoverableContent(
            f"metachunks {positions} of {meta.get('name')!r} hold {found} bytes, not {length}"
        )
    if closed is None:
        return Layout(meta, metachunks, method, None, length)
    if strict:
        for start, end, bounds in known:
            if bounds is None:
                text = f"range ({start}, {end}) is not in an object of {length} bytes"
                raise exc.UnsatisfiableRange(416, None, text)
    return Layout(meta, metachunks, method, closed, sum(end - start + 1 for start, end in closed))


def _by_position(located: Iterable[JsonMapping]) -> dict[int, list[JsonMapping]]:
    """Group the chunks of an object, which may have thousands, by metachunk."""
    groups: dict[int, list[JsonMapping]] = {}
    known: dict[object, list[JsonMapping]] = {}
    for chunk in located:
        pos = chunk.get("pos") or 0
        group = known.get(pos)
        if group is None:
            group = known[pos] = groups.setdefault(int(str(pos).partition(".")[0]), [])
        group.append(chunk)
    return groups


def _metachunks(
    groups: dict[int, list[JsonMapping]], is_ec: bool, ranges: tuple[ClosedRange, ...] | None, logger: Logger
) -> tuple[tuple[Metachunk, ...], int]:
    """Make the metachunks that hold some of the ranges of an object, and tell how many bytes all hold.

    :param groups: chunks by metachunk
    :param ranges: None for all of the object
    """
    metachunks: list[Metachunk] = []
    start = 0
    for position in sorted(groups):
        group = groups[position]
        size = None if ranges is None else _common_size(group)
        if size is None or _overlaps(start, start + size - 1, ranges or ()):
            metachunks.append(_metachunk(position, start, Chunk.all_of(group), is_ec, logger))
            size = metachunks[-1].size
        start += size
    return tuple(metachunks), start


def _overlaps(first: int, last: int, ranges: Iterable[ClosedRange]) -> bool:
    for begin, end in ranges:  # noqa: SIM110 - a generator takes longer, and objects may have many parts
        if begin <= last and end >= first:
            return True
    return False


def _common_size(group: list[JsonMapping]) -> int | None:
    """Bytes of the metachunk of some chunks; None when they do not agree, or do not tell."""
    size, digest = group[0].get("size"), group[0].get("hash")
    if type(size) is not int or size < 0:
        return None
    for chunk in group:
        if chunk.get("size") != size or chunk.get("hash") != digest:
            return None
    return size


def order(chunks: Iterable[Chunk], is_ec: bool, logger: Logger | None = None) -> tuple[Metachunk, ...]:
    """Group chunks by metachunk, and put them in the order in which to read them.

    Those whose checksum or size differs from most of the others are left out.

    :param is_ec: they are fragments, which have an index
    :param logger: gets a warning for each that is left out
    """
    positions: dict[int, list[Chunk]] = {}
    for chunk in chunks:
        positions.setdefault(chunk.position, []).append(chunk)
    metachunks: list[Metachunk] = []
    start = 0
    for position in sorted(positions):
        metachunks.append(_metachunk(position, start, positions[position], is_ec, logger))
        start = metachunks[-1].end
    return tuple(metachunks)


def _metachunk(
    position: int, start: int, chunks: list[Chunk], is_ec: bool, logger: Logger | None
) -> Metachunk:
    """Make a metachunk of its chunks, see :func:`order`."""
    first, agreed = chunks[0], chunks
    for chunk in chunks:
        if is_ec and chunk.index is None:
            raise ValueError(f"chunk {chunk.url}: the position {chunk.pos!r} has no index")
        if chunk.size != first.size or chunk.hash != first.hash:
            agreed = []
    agreed = _preferred_first(agreed or _majority(position, chunks, logger))
    if is_ec:
        agreed = _spares_last(position, agreed, logger)
    size = agreed[0].size or 0
    if size < 0:
        raise ValueError(f"metachunk {position} has {size} bytes")
    return Metachunk(position, start, size, tuple(agreed))


def _majority(position: int, chunks: list[Chunk], logger: Logger | None) -> list[Chunk]:
    """Keep the chunks that most of their metachunk agree with (pitfall 63)."""
    identities = [(str(chunk.hash).upper(), chunk.size) for chunk in chunks]
    agreed = elected(identities)
    kept = []
    for chunk, identity in zip(chunks, identities, strict=True):
        if identity in agreed:
            kept.append(chunk)
        elif logger is not None:
            logger.warning("metachunk %d: chunk %s differs from the others", position, chunk.url)
    return kept


def elected(identities: list[tuple[str, int | None]]) -> set[tuple[str, int | None]]:
    """Checksum and size that most chunks have, and the commonest of each other algorithm with that size."""
    ranked = [identity for identity, _ in Counter(identities).most_common()]
    first, size = ranked[0]
    found = {algorithm_of(first): ranked[0]}
    if None not in found:
        for digest, length in ranked:
            algorithm = algorithm_of(digest)
            if algorithm is not None and length == size:
                found.setdefault(algorithm, (digest, length))
    return set(found.values())


def _preferred_first(chunks: list[Chunk]) -> list[Chunk]:
    """Sort by score, with enough chance to spread the load over equal services; dead ones come last."""
    keys = []
    for chunk in chunks:
        score, chance = chunk.score or 0, RANDOM.random()
        keys.append(-(score + chance * 10) if score > 0 else chance)
    return list(map(chunks.__getitem__, sorted(range(len(chunks)), key=keys.__getitem__)))


def _spares_last(position: int, chunks: list[Chunk], logger: Logger | None) -> list[Chunk]:
    """Move the chunks whose fragment a preferred chunk also has to the end (pitfall 54)."""
    firsts: dict[int | None, Chunk] = {}
    spares = []
    for chunk in chunks:
        if firsts.setdefault(chunk.index, chunk) is not chunk:
            spares.append(chunk)
            if logger is not None:
                logger.warning("metachunk %d: chunk %s is a duplicate", position, chunk.url)
    return [*firsts.values(), *spares]
