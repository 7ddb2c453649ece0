# SPDX-License-Identifier: Apache-2.0
"""Arithmetic of byte ranges. Both ends are inclusive; ``None`` stands for an open end, or for a suffix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

Range: TypeAlias = "tuple[int | None, int | None]"
ClosedRange: TypeAlias = "tuple[int, int]"


def check_range(start: int | None, end: int | None) -> None:
    """Refuse a range that no data can satisfy.

    :param start: first byte, ``None`` for the last ``end`` bytes.
    :param end: last byte, ``None`` for all that follow ``start``.
    :raises ValueError: a bound is negative, or the range ends before it starts.
    """
    for bound in (start, end):
        if bound is not None and bound < 0:
            raise ValueError(f"range ({start}, {end}) has a negative bound")
    if start is not None and end is not None and end < start:
        raise ValueError(f"range ({start}, {end}) ends before it starts")


def close_range(start: int | None, end: int | None, length: int) -> ClosedRange | None:
    """Resolve a range against the length of the data; ``None`` when it holds no byte of them.

    :raises ValueError: see :func:`check_range`.

    >>> close_range(None, 10, 100), close_range(90, None, 100), close_range(100, 110, 100)
    ((90, 99), (90, 99), None)
    """
    check_range(start, end)
    last = length - 1
    if start is None:
        first = 0 if end is None else max(length - end, 0)
    else:
        first = start
        if end is not None:
            last = min(end, last)
    return (first, last) if first <= last else None


def fix_ranges(ranges: Iterable[Range] | None, length: int | None) -> list[ClosedRange] | None:
    """Resolve ranges against the length of the data, and drop those that hold no byte of them.

    :return: ``None`` when there is no range or no known length.
    :raises ValueError: see :func:`check_range`.

    >>> fix_ranges([(0, 4), (None, 3), (8, None), (10, 12)], 10)
    [(0, 4), (7, 9), (8, 9)]
    """
    ranges = list(ranges or ())
    if length is None or not ranges:
        return None
    closed = (close_range(start, end, length) for start, end in ranges)
    return [bounds for bounds in closed if bounds is not None]


def obj_range_to_meta_chunk_range(
    obj_start: int | None, obj_end: int | None, meta_sizes: Iterable[int]
) -> dict[int, ClosedRange]:
    """Spread a range of an object over its metachunks.

    :param obj_start: first byte in the object, ``None`` for the last ``obj_end`` bytes.
    :param obj_end: last byte in the object, ``None`` for all that follow ``obj_start``.
    :param meta_sizes: number of bytes of each metachunk, in the order of their positions.
    :return: for each position that holds bytes of the range, a range relative to the metachunk.
    :raises ValueError: see :func:`check_range`.

    >>> obj_range_to_meta_chunk_range(12, 21, [10, 10, 5])
    {1: (2, 9), 2: (0, 1)}
    """
    # Read twice.
    sizes = list(meta_sizes)
    bounds = close_range(obj_start, obj_end, sum(sizes))
    if bounds is None:
        return {}
    result = {}
    offset = 0
    for pos, size in enumerate(sizes):
        start, end = max(bounds[0] - offset, 0), min(bounds[1] - offset, size - 1)
        if start <= end:
            result[pos] = (start, end)
        offset += size
    return result


def get_meta_ranges(
    ranges: Iterable[Range], chunks: Mapping[int, Sequence[Mapping[str, Any]]]
) -> list[dict[int, ClosedRange]]:
    """Spread each range of an object over its metachunks, in the order of the request.

    :param chunks: the chunks of each metachunk; the first one tells its size.
    """
    # Sorted as numbers: 10 comes after 9 (pitfall 43).
    positions = sorted(chunks)
    meta_sizes = [chunks[pos][0]["size"] for pos in positions]
    return [
        {
            positions[index]: bounds
            for index, bounds in obj_range_to_meta_chunk_range(start, end, meta_sizes).items()
        }
        for start, end in ranges
    ]
