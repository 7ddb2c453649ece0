# SPDX-License-Identifier: Apache-2.0
"""Sizes of the files of Backblaze B2, and of the parts of large ones."""

from __future__ import annotations

MAX_PARTS = 10000
"""Parts that a file has at most."""
PART_SIZE = 209715200
"""Bytes of the largest file that is sent at once, and of the parts of larger ones."""
MAX_FILE_SIZE = MAX_PARTS * PART_SIZE
"""Bytes of the largest file that is made of parts of this size."""


def part_size_for(size: int | None, part_size: int) -> int:
    """Bytes of each part of a file but the last: as asked for, or more where there would be too many parts.

    :param size: bytes of the file, None when unknown

    >>> part_size_for(25_000_000, 10_000_000), part_size_for(10**12, 10_000_000)
    (10000000, 100000000)
    """
    return max(part_size, -(-(size or 0) // MAX_PARTS))
