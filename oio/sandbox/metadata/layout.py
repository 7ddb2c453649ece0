# SPDX-License-Identifier: Apache-2.0
"""Chunk layout of objects: positions, metachunks, and checks that an object is whole."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from oio.sandbox.refusals import CONTENT_BROKEN, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oio.sandbox.metadata.policies import Policy

_POSITION = re.compile(r"(\d*)(?:\.(\d+))?")


@dataclass(frozen=True)
class Chunk:
    """One chunk: ``pos`` is ``"metachunk"`` or ``"metachunk.fragment"``, any other text being metachunk 0."""

    url: str
    pos: str
    size: int
    hash: str
    #: Host and position, which the container keeps in place of the URL when the ID is computed.
    kept: str | None = None

    @property
    def metachunk(self) -> int:
        """Index of the metachunk that the chunk belongs to."""
        return position(self.pos)[0]

    def moved(self, offset: int) -> Chunk:
        """Return this chunk ``offset`` metachunks further."""
        index, fragment = position(self.pos)
        suffix = "" if fragment is None else f".{fragment}"
        return Chunk(self.url, f"{index + offset}{suffix}", self.size, self.hash)

    @property
    def key(self) -> str:
        """Key of the chunk in its container."""
        return self.kept or self.url


_HOST: Final = re.compile(r"https?://[^/]+/")


@dataclass(frozen=True)
class Owner:
    """The version of an object whose chunk IDs are computed."""

    cid: str
    name: str
    version: int
    policy: str

    def chunk_id(self, pos: str) -> str:
        """Return the ID of the chunk at a position, the same for all copies of a metachunk.

        >>> Owner("AB", "name", 1, "SINGLE").chunk_id("0")[:8]
        'B7293B96'
        """
        text = f"{self.cid}{self.name}{self.version}{pos}{self.policy}"
        return hashlib.sha256(text.encode()).hexdigest().upper()

    def computed(self, chunk: Chunk) -> Chunk:
        """Return the full chunk for one kept as host and position."""
        host = _HOST.match(chunk.url)
        if host is None:
            return chunk
        return replace(chunk, url=host[0] + self.chunk_id(chunk.pos), kept=host_only(chunk.url, chunk.pos))

    def shown(self, chunk: Chunk) -> Chunk:
        """Return the chunk with a full URL, computed if need be."""
        return self.computed(chunk) if "#" in chunk.url else chunk


def host_only(url: str, pos: str) -> str:
    """Return what is kept of a chunk whose ID is computed.

    >>> host_only("http://127.0.0.1:6010/ABCD", "0.3")
    'http://127.0.0.1:6010/#0.3'
    """
    host = _HOST.match(url)
    return f"{host[0]}#{pos}" if host else url


def position(text: str) -> tuple[int, int | None]:
    """Split the position of a chunk into metachunk and fragment.

    >>> position("3.8"), position("3"), position("?")
    ((3, 8), (3, None), (0, None))
    """
    match = _POSITION.match(text)
    index, fragment = match.groups() if match else (None, None)
    return int(index or 0), None if fragment is None else int(fragment)


def metachunks(chunks: Iterable[Chunk]) -> dict[int, list[Chunk]]:
    """Group chunks by the index of their metachunk, in order."""
    groups: dict[int, list[Chunk]] = {}
    for chunk in chunks:
        groups.setdefault(chunk.metachunk, []).append(chunk)
    return dict(sorted(groups.items()))


def metachunk_sizes(chunks: Iterable[Chunk]) -> dict[int, int]:
    """Return the size of each metachunk in bytes, by its index: every chunk carries that of its own."""
    return {index: members[-1].size for index, members in metachunks(chunks).items()}


def check_metachunks(policy: Policy, chunks: Sequence[Chunk]) -> None:
    """Refuse chunks from which some metachunk could not be read back."""
    for members in metachunks(chunks).values():
        fragments = {position(chunk.pos)[1] for chunk in members}
        if policy.kind == "ec":
            fragments.discard(None)
        if len(fragments) < policy.required:
            raise _broken()


def check_object(policy: Policy, chunks: Sequence[Chunk], size: int) -> None:
    """Refuse chunks that do not make a whole object of ``size`` bytes; more bytes than that are accepted."""
    check_metachunks(policy, chunks)
    sizes = metachunk_sizes(chunks)
    if list(sizes) != list(range(len(sizes))) or sum(sizes.values()) < size or min(sizes.values()) < 0:
        raise _broken()


def _broken() -> Refusal:
    return Refusal(CONTENT_BROKEN, "Content broken and irreparable")
