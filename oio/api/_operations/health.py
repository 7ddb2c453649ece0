# SPDX-License-Identifier: Apache-2.0
"""Examination of objects: each chunk of each metachunk is compared with what its policy asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from oio.api._data.inspection import Expected
from oio.api._data.layout import elected
from oio.api._data.strategies import Strategy, strategy_for
from oio.api._operations.bulk import in_parallel
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.chunks import Chunk
from oio.common.health import ChunkHealth, Damage, MetachunkHealth, ObjectHealth

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.common.answers import JsonMapping
    from oio.common.chunks import ChunkDict
    from oio.common.options import Options

_Finding = tuple[Damage, str]


@dataclass(frozen=True, slots=True)
class Group:
    """One metachunk as the services have recorded it.

    :param expected: what its chunks should be
    :param digest: checksum that is recorded for most of them
    :param agreed: checksums and sizes that go together, as they are recorded
    :param is_tie: as many chunks are recorded with other ones: nobody knows which are right
    :param chunks: in the order of their indexes
    """

    position: int
    expected: Expected
    digest: str
    agreed: frozenset[tuple[str, int | None]]
    is_tie: bool
    chunks: tuple[Chunk, ...]

    def expected_of(self, chunk: Chunk) -> Expected:
        """What one of its chunks should be, with a checksum of the algorithm of this chunk."""
        if record_of(chunk) in self.agreed:
            return replace(self.expected, digest=chunk.digest)
        return self.expected


@dataclass(frozen=True, slots=True)
class Examined:
    """An object that was examined.

    :param meta: its description
    :param groups: its metachunks, in order, as they are recorded
    :param health: the result
    """

    meta: JsonMapping
    strategy: Strategy
    groups: tuple[Group, ...]
    health: ObjectHealth


def examine(
    services: Services,
    meta: JsonMapping,
    located: Iterable[ChunkDict],
    cid: str,
    deep: bool,
    concurrency: int,
    options: Options,
) -> Examined:
    """Look at each chunk of an object.

    :param located: its chunks
    :param cid: ID of its container
    :param deep: let servers read their chunks, and compare them with their checksums
    :param concurrency: how many chunks at a time
    :raises InvalidStorageMethod: its chunk method is not known
    :raises DeadlineReached: no time is left
    """
    # The read timeout bounds each request.
    options = options.per_request()
    with reading_answer():
        name, chunk_method = meta["name"], meta["chunk_method"]
        chunks = Chunk.all_of(located)
        length = int(meta["length"])
        known = (name, meta["version"], meta["id"], meta.get("policy") or "", chunk_method, length)
    strategy = strategy_for(chunk_method, services, cid, options)
    groups = _groups(chunks, cid, name, str(meta["version"]))
    pairs = [(group, chunk) for group in groups for chunk in group.chunks]

    def look(pair: tuple[Group, Chunk]) -> list[_Finding]:
        group, chunk = pair
        return strategy.examine(chunk, group.expected_of(chunk), deep, options)

    found = iter(in_parallel(look, pairs, concurrency))
    metachunks = tuple(_health_of(group, [next(found) for _ in group.chunks], strategy) for group in groups)
    health = ObjectHealth(*known, metachunks, _incoherence(groups, length))
    return Examined(meta, strategy, groups, health)


def _groups(chunks: Iterable[Chunk], cid: str, name: str, version: str) -> tuple[Group, ...]:
    """Group chunks by metachunk."""
    positions: dict[int, list[Chunk]] = {}
    for chunk in chunks:
        positions.setdefault(chunk.position, []).append(chunk)
    groups = []
    for position, members in sorted(positions.items()):
        members.sort(key=lambda chunk: (chunk.index or 0, chunk.url))
        records = [record_of(chunk) for chunk in members]
        agreed = elected(records)
        counts = Counter(records)
        first, size = counts.most_common(1)[0][0]
        like = members[records.index((first, size))]
        tie = any(count >= counts[first, size] for other, count in counts.items() if other not in agreed)
        expected = Expected(size or 0, like.digest, cid, name, version)
        groups.append(Group(position, expected, first, frozenset(agreed), tie, tuple(members)))
    return tuple(groups)


def record_of(chunk: Chunk) -> tuple[str, int | None]:
    """Checksum and size that the services have recorded for a chunk."""
    return (chunk.hash or "").upper(), chunk.size


def _incoherence(groups: tuple[Group, ...], length: int) -> str | None:
    """How metachunks do not make up an object, None if they do."""
    ties = [group.position for group in groups if group.is_tie]
    if ties:
        return f"the chunks of metachunks {ties} are recorded with different checksums or sizes, as many each"
    positions = [group.position for group in groups]
    found = sum(group.expected.size for group in groups)
    if positions == list(range(len(groups))) and found == length and groups:
        return None
    return f"metachunks {positions} hold {found} bytes, not {length}"


def _health_of(group: Group, findings: list[list[_Finding]], strategy: Strategy) -> MetachunkHealth:
    """Add to the findings what only the chunks of a metachunk together tell."""
    method = strategy.method
    taken: set[str] = set()
    healths = []
    for chunk, found in sorted(zip(group.chunks, findings, strict=True), key=lambda pair: bool(pair[1])):
        known = list(found)
        if record_of(chunk) not in group.agreed:
            known.append((Damage.WRONG_RECORD, f"{chunk.size} bytes of checksum {chunk.hash} are recorded"))
        # Chunks without findings come first: they stay where they are.
        if chunk.host and chunk.host in taken:
            known.append((Damage.MISPLACED, f"another chunk of the metachunk is on {chunk.host}"))
        taken.add(chunk.host)
        healths.append(_health(chunk, known))
    places = {chunk.url: place for place, chunk in enumerate(group.chunks)}
    healths.sort(key=lambda health: places[health.url or ""])
    return MetachunkHealth(
        group.position,
        group.expected.size,
        method.expected_chunks,
        method.min_chunks_to_read,
        (*healths, *_absent(group, strategy)),
    )


def _health(chunk: Chunk, findings: list[_Finding]) -> ChunkHealth:
    damage = tuple(dict.fromkeys(kind for kind, _ in findings))
    detail = "; ".join(text for _, text in findings)
    return ChunkHealth(chunk.position, chunk.index, chunk.url, damage, detail)


def _absent(group: Group, strategy: Strategy) -> list[ChunkHealth]:
    """The chunks that the policy asks for, and that are not recorded."""
    expected = strategy.method.expected_chunks
    indexes: Sequence[int | None]
    if strategy.method.ec:
        indexes = sorted(
            set(range(expected)) - {chunk.index for chunk in group.chunks if chunk.index is not None}
        )
    else:
        indexes = [None] * (expected - len(group.chunks))
    text = "the services have recorded no such chunk"
    return [ChunkHealth(group.position, index, None, (Damage.ABSENT,), text) for index in indexes]


def failed(row: JsonMapping, err: exc.OioException) -> ObjectHealth:
    """Health of an object that could not be looked at.

    :param row: of the listing
    """
    with reading_answer():
        return ObjectHealth(
            row["name"],
            str(row["version"]),
            row.get("id") or "",
            row.get("policy") or "",
            row.get("chunk_method") or "",
            int(row.get("size") or 0),
            error=str(err),
        )
