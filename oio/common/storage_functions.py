# SPDX-License-Identifier: Apache-2.0
"""From the description of an object to the reading of its chunks."""

from __future__ import annotations

import pkgutil
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from logging import Logger
from typing import Any
from urllib.parse import unquote

from oio.common.constants import OBJECT_METADATA_KEYS, OBJECT_METADATA_PREFIX
from oio.common.ranges import Range, get_meta_ranges, obj_range_to_meta_chunk_range
from oio.common.storage_method import StorageMethod

__all__ = [
    "fetch_stream",
    "fetch_stream_ec",
    "get_meta_ranges",
    "obj_range_to_meta_chunk_range",
    "wrand_choice_index",
]

# Not the shared generator: a program that seeds it must get the same numbers with and without us.
_RANDOM = random.Random()


def _make_object_metadata(headers: Mapping[str, str]) -> dict[str, Any]:
    """Make the description of an object from response headers; those that are not known are properties.

    The services do not escape the names of properties: what looks like a property may be forged, and what
    looks like metadata is only reliable when nothing is missing (pitfalls row 158).
    """
    meta: dict[str, Any] = {}
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
        return _RANDOM.randrange(len(scores))
    return _RANDOM.choices(range(len(scores)), scores)[0]


def _sort_chunks(
    raw_chunks: Iterable[dict[str, Any]], ec_security: bool, logger: Logger | None = None
) -> dict[int, list[dict[str, Any]]]:
    """Group chunks by metachunk, and put them in the order in which to read them.

    :param raw_chunks: chunks of an object. They get key ``offset``, where their metachunk starts in the
        object, and with erasure coding key ``num``, the index of their fragments.
    :param ec_security: the object is erasure-coded.
    :param logger: where to tell which chunks are set aside.
    :return: for each position, the chunks to read, the preferred ones first. Those whose hash or size differs
        from most of the others are left out.
    """
    positions: dict[int, list[dict[str, Any]]] = {}
    for chunk in raw_chunks:
        position, _, num = str(chunk["pos"]).partition(".")
        if ec_security:
            chunk["num"] = int(num)
        positions.setdefault(int(position), []).append(chunk)

    result = {}
    offset = 0
    for pos in sorted(positions):
        chunks = sorted(_majority(pos, positions[pos], logger), key=_preference)
        if ec_security:
            chunks = _spares_last(pos, chunks, logger)
        for chunk in chunks:
            chunk["offset"] = offset
        offset += chunks[0].get("size", 0)
        result[pos] = chunks
    return result


def _majority(pos: int, chunks: list[dict[str, Any]], logger: Logger | None) -> list[dict[str, Any]]:
    """Keep the chunks that most of their metachunk agree with (pitfalls row 63)."""

    def identity(chunk: Mapping[str, Any]) -> tuple[str, Any]:
        return str(chunk.get("hash")).upper(), chunk.get("size")

    counts = Counter(identity(chunk) for chunk in chunks)
    if len(counts) == 1:
        return chunks
    (elected, _), *_ = counts.most_common()
    if logger:
        for chunk in chunks:
            if identity(chunk) != elected:
                logger.warning("metachunk %d: chunk %s differs from the others", pos, chunk.get("url"))
    return [chunk for chunk in chunks if identity(chunk) == elected]


def _preference(chunk: Mapping[str, Any]) -> float:
    """Sort by score, with enough chance to spread the load over equal services; dead ones last."""
    score = chunk.get("score", 0)
    return -(score + _RANDOM.random() * 10) if score > 0 else 0


def _spares_last(pos: int, chunks: list[dict[str, Any]], logger: Logger | None) -> list[dict[str, Any]]:
    """Put after the others the chunks whose fragments are those of a preferred one (pitfalls row 54)."""
    firsts: dict[int, dict[str, Any]] = {}
    spares = []
    for chunk in chunks:
        if firsts.setdefault(chunk["num"], chunk) is not chunk:
            spares.append(chunk)
            if logger:
                logger.warning("metachunk %d: chunk %s is a duplicate", pos, chunk.get("url"))
    return [*firsts.values(), *spares]


def fetch_stream(
    chunks: Mapping[int, list[dict[str, Any]]],
    ranges: Iterable[Range] | None,
    storage_method: StorageMethod,
    headers: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Iterator[bytes]:
    """Read a replicated object: see :func:`oio.api._data.read.fetch_stream`."""
    return _fetch_with("fetch_stream", chunks, ranges, storage_method, headers=headers, **kwargs)


def fetch_stream_ec(
    chunks: Mapping[int, list[dict[str, Any]]],
    ranges: Iterable[Range] | None,
    storage_method: StorageMethod,
    **kwargs: Any,
) -> Iterator[bytes]:
    """Read an erasure-coded object: see :func:`oio.api._data.read.fetch_stream_ec`."""
    return _fetch_with("fetch_stream_ec", chunks, ranges, storage_method, **kwargs)


def _fetch_with(strategy: str, *args: Any, **kwargs: Any) -> Iterator[bytes]:
    # The strategies of the data path are plug-ins of a higher layer: named, and loaded at first use.
    stream: Iterator[bytes] = pkgutil.resolve_name(f"oio.api._data.read:{strategy}")(*args, **kwargs)
    return stream
