# SPDX-License-Identifier: Apache-2.0
"""Standard streams: closed ones, full ones, and those that cannot print all characters."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

_CLOSED = {"stdin": os.O_WRONLY, "stdout": os.O_RDONLY, "stderr": os.O_WRONLY}
"""Modes in which the null device replaces closed streams: to read the input, or to write the output, is an
error, while messages about errors are dropped.
"""


def open_standard_streams() -> None:
    """Open the standard streams that are closed: else, connections would get their descriptors."""
    for number, (name, mode) in enumerate(_CLOSED.items()):
        if getattr(sys, name) is None:
            place = os.open(os.devnull, mode)
            if place != number:
                os.dup2(place, number)
                os.close(place)
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115


def print_anything(stream: TextIO) -> None:
    """Let a stream escape the characters that its encoding lacks."""
    encoding = (getattr(stream, "encoding", None) or "").lower()
    if hasattr(stream, "reconfigure"):
        # Names of files that are no UTF-8 come out as they are.
        stream.reconfigure(errors="surrogateescape" if encoding == "utf-8" else "backslashreplace")


def read_anything(stream: TextIO) -> None:
    """Let a stream give the bytes that its encoding lacks, as the words of a command line have them.

    Nothing may have been read from it.
    """
    if hasattr(stream, "reconfigure"):
        # A strict one would lose the lines before such a byte as well: they are decoded together.
        stream.reconfigure(errors="surrogateescape")


def abandon(stream: TextIO) -> None:
    """Drop buffered text that cannot be written: the interpreter would try again at its end, and complain."""
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
        return
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
