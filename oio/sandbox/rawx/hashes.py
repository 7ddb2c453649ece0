# SPDX-License-Identifier: Apache-2.0
"""Hashes of chunks: which one a chunk method asks for."""

from __future__ import annotations

import hashlib
import importlib
import random
from typing import Final

from oio.sandbox.storage.files import Digest

MD5: Final = "md5"
BLAKE3: Final = "blake3"
#: Digits of the longest hash.
LONGEST: Final = 64

_MD5_DIGITS: Final = 32


def new(algorithm: str) -> Digest:
    """Begin a hash, of :data:`BLAKE3` or any algorithm of ``hashlib``.

    :raises ImportError: the package ``blake3`` is missing.
    """
    if algorithm == BLAKE3:
        begun: Digest = importlib.import_module("blake3").blake3()
        return begun
    return hashlib.new(algorithm, usedforsecurity=False)


def algorithm_by_length(digits: str) -> str:
    """Return the algorithm of a hash that is there: 32 digits are MD5, all others BLAKE3."""
    return MD5 if len(digits) == _MD5_DIGITS else BLAKE3


def algorithm_of(method: str) -> str:
    """Return the algorithm that a chunk method chooses.

    Blanks count, and any name that is unknown means BLAKE3.

    >>> algorithm_of("plain/cca=sha256,nb_copy=1"), algorithm_of("plain/nb_copy=1, cca=blake3")
    ('blake3', 'md5')
    """
    chosen = _parameters(method).get("cca") or MD5
    return MD5 if chosen == MD5 else BLAKE3


def kept_method(method: str, chunk_id: str) -> str:
    """Return a chunk method as a rawx keeps it: with ``cca``, in any order where it had to be added.

    The order depends on the chunk only, so that tests can be repeated.

    >>> kept_method("plain/", "AB")
    'plain/cca=md5'
    """
    if _parameters(method).get("cca"):
        return method
    kind, _, text = method.partition("/")
    kept = [pair for pair in text.split(",") if pair and pair.partition("=")[0] != "cca"]
    kept.append(f"cca={MD5}")
    random.Random(chunk_id).shuffle(kept)
    return f"{kind}/{','.join(kept)}"


def _parameters(method: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in method.partition("/")[2].split(","))
    return {key: value for key, _, value in pairs}
