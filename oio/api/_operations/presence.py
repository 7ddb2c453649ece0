# SPDX-License-Identifier: Apache-2.0
"""Presence of the chunks of an object, and their descriptions, one HEAD request each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from oio.api._data.strategies import Strategy, strategy_for
from oio.api._operations.bulk import PARALLEL_CHUNKS, in_parallel
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.chunks import Chunk
from oio.common.storage_method import STORAGE_METHODS

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.common.answers import JsonMapping
    from oio.common.chunks import ChunkDict
    from oio.common.options import Options

_LOST = (exc.NotFound, exc.ClientPreconditionFailed, exc.CorruptedChunk)
"""Failures of a check when the chunk does not exist, or has another size than what was stored."""


def count_missing(chunk_method: str, located: Iterable[JsonMapping]) -> int:
    """Count the chunks that the metachunks of an object lack."""
    expected = STORAGE_METHODS[chunk_method].expected_chunks
    known = Counter(Chunk.of(chunk).position for chunk in located)
    return sum(max(expected - count, 0) for count in known.values())


def describe_chunks(
    services: Services, meta: JsonMapping, located: Iterable[JsonMapping], cid: str, options: Options
) -> Iterator[ChunkDict]:
    """Add to each chunk, in the order of their positions, what its server knows of it, or an ``error``."""
    # The read timeout bounds each request; the caller may take its time between two of them.
    options = options.per_request()
    strategy = _strategy_of(services, meta, cid, options)
    for chunk in sorted(located, key=_sort_key):
        try:
            known = strategy.head(Chunk.of(chunk), True, options)
        except exc.OioException as err:
            yield {**chunk, "error": str(err)}
        else:
            yield {**chunk, **{key: known.get(key) for key in ("chunk_size", "chunk_hash", "full_path")}}


def is_readable(
    services: Services,
    meta: JsonMapping,
    located: Iterable[JsonMapping],
    cid: str,
    every: bool,
    options: Options,
) -> bool:
    """Tell whether each metachunk has enough chunks to be read, or `every` one that its policy asks for.

    A chunk that was never written is missing too, although nothing names it.

    :raises OioException: the result depends on a server that does not answer
    """
    strategy = _strategy_of(services, meta, cid, options)
    with reading_answer():
        chunks = Chunk.all_of(located)

    def problem(chunk: Chunk) -> exc.OioException | None:
        try:
            strategy.check(chunk, options)
        except exc.OioException as err:
            return err
        return None

    if not _make_up(meta, chunks):
        return False
    method = strategy.method
    # Error of each copy, or of the best chunk of each index: two fragments of one index count once.
    metachunks: dict[int, dict[object, exc.OioException | None]] = {}
    for chunk, error in zip(chunks, in_parallel(problem, chunks, PARALLEL_CHUNKS), strict=True):
        if every and isinstance(error, _LOST):
            return False
        errors = metachunks.setdefault(chunk.position, {})
        key = chunk.index if method.ec else chunk.url
        if key not in errors or error is None or isinstance(errors[key], _LOST):
            errors[key] = error
    unknown = None
    for errors in metachunks.values():
        needed = method.expected_chunks if every else method.min_chunks_to_read
        left = [error for error in errors.values() if not isinstance(error, _LOST)]
        if len(left) < needed:
            return False
        if left.count(None) < (len(left) if every else needed):
            unknown = next(error for error in left if error is not None)
    if unknown is not None:
        raise unknown
    return True


def _make_up(meta: JsonMapping, chunks: Iterable[Chunk]) -> bool:
    """Tell whether the chunks that are known are all of the metachunks of an object."""
    sizes = {chunk.position: chunk.size or 0 for chunk in chunks}
    with reading_answer():
        length = int(meta["length"])
    return sorted(sizes) == list(range(len(sizes))) and sum(sizes.values()) == length


def _strategy_of(services: Services, meta: JsonMapping, cid: str, options: Options) -> Strategy:
    with reading_answer():
        chunk_method = meta["chunk_method"]
    return strategy_for(chunk_method, services, cid, options)


def _sort_key(chunk: JsonMapping) -> tuple[int, int]:
    known = Chunk.of(chunk)
    return known.position, known.index or 0
