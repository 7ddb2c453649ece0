# SPDX-License-Identifier: Apache-2.0
"""Memory of large blocks, which the C library keeps for the next ones."""

from __future__ import annotations

import functools

LARGEST = 4 << 20
"""Bytes of the largest block whose memory is kept."""


@functools.cache
def keep_memory_of_blocks() -> None:
    """Let the C library keep the memory of large blocks, once in the life of a process.

    Each block of a transfer is freed while the next ones are read. The C library of Linux gives their memory
    back to the system, and gets it again page by page, which costs as much as a fifth of a checksum. It stops
    doing so for blocks up to the size of the largest one that it has seen freed: it keeps twice as much.
    """
    # Freed at once. Its pages are never touched, so it costs one mapping, and takes no memory.
    bytes(LARGEST)
