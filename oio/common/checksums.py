# SPDX-License-Identifier: Apache-2.0
"""Checksums of chunks and objects: which algorithm each one is of, and how it is computed."""

from __future__ import annotations

import hashlib
import importlib
from typing import Protocol

from oio.common.constants import BLAKE3, MD5
from oio.common.exceptions import ChecksumUnavailable
from oio.common.storage_method import parse_chunk_method

NO_HASH = "0" * 32
"""Stands for the checksum of data that is not known."""
_OF_CHUNKS = {32: MD5, 64: BLAKE3}
"""Number of hexadecimal digits -> algorithm of the checksum of a chunk, whatever its chunk method says."""
_DIGITS = {MD5: 32, "sha256": 64, BLAKE3: 64}
"""Algorithm that an object may name -> number of hexadecimal digits."""
# This module may be imported after the function was replaced. Files tell nothing: frozen modules have none.
_NEW = hashlib.new if getattr(hashlib.new, "__globals__", None) is vars(hashlib) else None
"""What applications' tests replace, to count checksums; None when it is replaced already."""


class Checksum(Protocol):
    """Checksum of :mod:`hashlib`, of another package, or of an application."""

    def update(self, data: bytes, /) -> object:
        """Add data."""

    def hexdigest(self) -> str:
        """Get the checksum of the data so far, in hexadecimal digits."""


def new_checksum(algorithm: str) -> Checksum:
    """Begin a checksum.

    :raises ChecksumUnavailable: the package that computes it is not installed

    >>> new_checksum("md5").hexdigest()
    'd41d8cd98f00b204e9800998ecf8427e'
    """
    if algorithm == MD5 and hashlib.new is _NEW:
        # Takes a fourth of the time.
        return hashlib.md5(usedforsecurity=False)
    if algorithm != BLAKE3:
        return hashlib.new(algorithm, usedforsecurity=False)
    try:
        # Imported each time: programs that meet no such chunk do without it.
        begun: Checksum = importlib.import_module("blake3").blake3()
    except ImportError as err:
        raise ChecksumUnavailable(
            "BLAKE3 checksums cannot be computed without the package blake3: pip install 'openio-sdk[blake3]'"
        ) from err
    return begun


def algorithm_of(digest: str | None) -> str | None:
    """Tell the algorithm of the checksum of a chunk or a metachunk; None for an unknown one, or for None.

    The length decides: chunk servers of 7.3.0 compute MD5 whatever the chunk method names, and those of
    today compute BLAKE3 under any name that they do not know.

    >>> algorithm_of("0" * 64), algorithm_of("d41d8cd98f00b204e9800998ecf8427e"), algorithm_of(None)
    ('blake3', 'md5', None)
    """
    return _OF_CHUNKS.get(len(digest or ""))


def checksum_like(digest: str) -> Checksum:
    """Begin the checksum that is to be compared with that of a chunk or a metachunk.

    :raises ChecksumUnavailable: it cannot be computed
    """
    algorithm = _OF_CHUNKS.get(len(digest))
    if algorithm is None:
        raise ChecksumUnavailable(f"checksum {digest!r} is of no known algorithm: {len(digest)} digits")
    return new_checksum(algorithm)


def is_computable(digest: str | None) -> bool:
    """Tell whether the checksum of a chunk or a metachunk can be compared here."""
    algorithm = _OF_CHUNKS.get(len(digest or ""))
    if algorithm != BLAKE3:
        return algorithm is not None
    try:
        new_checksum(algorithm)
    except ChecksumUnavailable:
        return False
    return True


def checksum_of_object(digest: str | None, chunk_method: str) -> Checksum | None:
    """Begin the checksum that is to be compared with that of an object.

    :param digest: of the object
    :param chunk_method: of the object; its ``oca`` names the algorithm, MD5 by default
    :returns: None when there is nothing to compare, or when it cannot be computed

    >>> checksum_of_object("a" * 64, "plain/nb_copy=1,oca=sha256").hexdigest()[:8]
    'e3b0c442'
    """
    algorithm = parse_chunk_method(chunk_method)[1].get("oca") or MD5
    if not digest or not digest.strip("0") or len(digest) != _DIGITS.get(algorithm):
        return None
    try:
        return new_checksum(algorithm)
    except ChecksumUnavailable:
        return None


def differ(one: str, other: str) -> bool:
    """Tell whether two checksums of the same data contradict each other; those of two algorithms cannot.

    >>> differ("0" * 32, "1" * 32), differ("0" * 32, "1" * 64), differ("AB" * 16, "ab" * 16)
    (True, False, False)
    """
    kinds = algorithm_of(one), algorithm_of(other)
    if None not in kinds and kinds[0] != kinds[1]:
        return False
    return one.lower() != other.lower()
