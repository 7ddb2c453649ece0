# SPDX-License-Identifier: Apache-2.0
"""Published functions that sort and read the chunks of an object."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from logging import Logger
from typing import Any
from urllib.parse import unquote

from oio.api._data.layout import RANDOM, Metachunk, order
from oio.api._data.read import MetachunkSource, read_ranges, unverifiable
from oio.api._data.strategies import load_class
from oio.common.answers import JsonObject
from oio.common.chunks import Chunk, ChunkDict
from oio.common.constants import OBJECT_METADATA_KEYS, OBJECT_METADATA_PREFIX
from oio.common.options import Options
from oio.common.ranges import Range, get_meta_ranges, obj_range_to_meta_chunk_range
from oio.common.storage_method import StorageMethod

__all__ = [
    "fetch_stream",
    "fetch_stream_ec",
    "get_meta_ranges",
    "obj_range_to_meta_chunk_range",
    "wrand_choice_index",
]


def _make_object_metadata(headers: Mapping[str, str]) -> JsonObject:
    """Make the description of an object from response headers; those that are not known are properties.

    The services do not escape the names of properties: an apparent property may be forged, and the apparent
    metadata are only reliable when none is missing (pitfall 158).
    """
    meta: JsonObject = {}
    properties: dict[str, str] = {}
    for header, value in headers.items():
        if not header.lower().startswith(OBJECT_METADATA_PREFIX):
            continue
        key = header[len(OBJECT_METADATA_PREFIX) :]
        if key.lower() in OBJECT_METADATA_KEYS:
            meta[key.lower().replace("-", "_")] = unquote(value)
        else:
            properties[key] = unquote(value)
    meta["properties"] = properties
    return meta


def wrand_choice_index(scores: Sequence[float]) -> int:
    """Choose an index at random, the more often the higher its score.

    >>> wrand_choice_index([0, 0, 12])
    2
    """
    if not any(scores):
        return RANDOM.randrange(len(scores))
    return RANDOM.choices(range(len(scores)), scores)[0]


def _sort_chunks(
    raw_chunks: Iterable[ChunkDict], ec_security: bool, logger: Logger | None = None
) -> dict[int, list[ChunkDict]]:
    """Group chunks by metachunk, and put them in the order in which to read them.

    :param raw_chunks: chunks of an object. They get key ``offset``, the start of their metachunk in the
        object, and with erasure coding key ``num``, the index of their fragments.
    :param ec_security: the object is erasure-coded.
    :param logger: gets a warning for each chunk that is left out.
    :return: for each position, the chunks to read, the preferred ones first. Those whose hash or size differs
        from most of the others are left out.
    """
    given = [(chunk, Chunk.of(chunk)) for chunk in raw_chunks]
    described = {id(value): chunk for chunk, value in given}
    result = {}
    for metachunk in order([value for _, value in given], ec_security, logger):
        result[metachunk.position] = [described[id(chunk)] for chunk in metachunk.chunks]
        for chunk in metachunk.chunks:
            described[id(chunk)]["offset"] = metachunk.start
            if ec_security:
                described[id(chunk)]["num"] = chunk.index
    return result


def fetch_stream(
    chunks: Mapping[int, list[ChunkDict]],
    ranges: Iterable[Range] | None,
    storage_method: StorageMethod,
    headers: Mapping[str, object] | None = None,
    **kwargs: Any,
) -> Generator[bytes, None, None]:
    """Read a replicated object. Nothing is asked for before the first ``next()``.

    :param chunks: metachunk position -> its copies, in order of preference; each has ``url``, ``size`` and
        ``hash`` of the metachunk
    :param ranges: (first, last) bytes of the object, inclusive; None for all of it
    :param headers: of the requests to the chunk servers
    :param kwargs: ``connection_timeout``, ``read_timeout`` (seconds), ``deadline`` (monotonic seconds);
        ``verify_checksum``: True verifies the metachunks that are read whole; ``"strict"`` gives nothing of a
        metachunk before all of it is verified, also for ranges; False verifies nothing, but still counts;
        ``hold_up_to``: bytes of the largest metachunk of which nothing is given before it is verified
    :returns: a generator of blocks; closing it closes the connections
    :raises oio.common.exceptions.UnrecoverableContent: when too few chunks of a metachunk exist any more
    :raises oio.common.exceptions.CorruptedChunk: when what was read of a metachunk is not what was stored
    :raises oio.common.exceptions.ServiceUnavailable: when a metachunk cannot be read for now
    :raises oio.common.exceptions.DeadlineReached: no time is left
    """
    options = Options.of(kwargs, headers=headers).per_request()
    suspects: set[str] = set()
    # A strategy reads without clients of services.
    strategy = load_class(storage_method)(storage_method, None, "", options)  # type: ignore[arg-type]
    metachunks = {
        pos: Metachunk(pos, 0, int(copies[0]["size"]), tuple(Chunk.all_of(copies)))
        for pos, copies in chunks.items()
    }

    def source_of(metachunk: Metachunk) -> MetachunkSource:
        return strategy.source(metachunk, suspects, options)

    pieces = [
        [(metachunks[pos], start, end) for pos, (start, end) in sorted(meta_range.items())]
        for meta_range in get_meta_ranges(ranges or [(None, None)], chunks)
    ]
    return read_ranges(pieces, source_of, options.verify_checksum, options.hold_up_to, unverifiable(pieces))


fetch_stream_ec = fetch_stream
"""Read an erasure-coded object, as :func:`fetch_stream` does."""
