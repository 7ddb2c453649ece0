# SPDX-License-Identifier: Apache-2.0
"""Chunks as values, and the outcomes of sending them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

_MD5_DIGITS = 32
_PLAIN_URL = re.compile(r"(https?)://([A-Za-z0-9.:_-]+)(/[A-Za-z0-9/._-]*)")

ChunkDict: TypeAlias = "dict[str, Any]"
"""Chunk as the services and the published API describe it: ``url``, maybe ``real_url pos size hash``..."""
Failure: TypeAlias = "BaseException | str"
"""Why a chunk is lost: an exception, or text that tells more."""


@functools.lru_cache(512)
def place_of(address: str) -> tuple[str, str, str]:
    """Split the URL of a chunk: scheme, ``host:port`` and path.

    :raises ValueError: it is no URL

    >>> place_of("http://127.0.0.1:6010/0A")
    ('http', '127.0.0.1:6010', '/0A')
    """
    plain = _PLAIN_URL.fullmatch(address)
    if plain is not None:
        return plain[1], plain[2], plain[3]
    parts = urlsplit(address)
    return parts.scheme, parts.netloc, parts.path


# A frozen class sets each field by a call, and there may be thousands of chunks. Final is for type checkers.
@dataclass(slots=True, unsafe_hash=True)
class Chunk:
    """Piece of the data of an object, or of the redundancy of it, on one chunk server or in a bucket.

    :param url: its permanent name
    :param address: URL where it can be reached now
    :param position: index of its metachunk
    :param index: index of its fragment, with erasure coding
    :param size: bytes of data in its metachunk
    :param hash: checksum of the data of its metachunk, in hexadecimal digits
    :param score: how good its server is, from 0 (do not use) to 100
    """

    url: Final[str]
    address: Final[str]
    position: Final[int] = 0
    index: Final[int | None] = None
    size: Final[int | None] = None
    hash: Final[str | None] = None
    score: Final[int | None] = None

    @classmethod
    def of(cls, described: Mapping[str, Any] | Chunk) -> Chunk:
        """Make a chunk of its description: ``url``, and maybe ``real_url pos num size hash score``.

        :raises KeyError: there is no URL
        :raises ValueError: the position or the size is not a number

        >>> Chunk.of({"url": "http://rawx-1/0A", "pos": "1.3"}).index
        3
        """
        return cls.all_of((described,))[0]

    @classmethod
    def all_of(cls, described: Iterable[Mapping[str, Any] | Chunk]) -> list[Chunk]:
        """Make several chunks of their descriptions, as :meth:`of` makes one."""
        made = []
        for one in described:
            if isinstance(one, Chunk):
                made.append(one)
                continue
            get = one.get
            url, size = one["url"], get("size")
            position, _, index = str(get("pos") or 0).partition(".")
            number = get("num", index)
            chunk = cls(
                url,
                get("real_url") or url,
                int(position),
                None if number is None or number == "" else int(number),
                None if size is None else int(size),
                get("hash"),
                get("score"),
            )
            made.append(chunk)
        return made

    @property
    def pos(self) -> str:
        """Position as the services write it: ``metachunk``, or ``metachunk.fragment``."""
        return str(self.position) if self.index is None else f"{self.position}.{self.index}"

    @property
    def netloc(self) -> str:
        """``host:port`` of its server."""
        return place_of(self.address)[1]

    @property
    def host(self) -> str:
        """Its server as its permanent name has it: a service ID, or ``host:port``; empty in Backblaze."""
        return place_of(self.url)[1]

    def named(self, url: str) -> Chunk:
        """The same with another URL, which is its address too."""
        return Chunk(url, url, self.position, self.index, self.size, self.hash, self.score)

    def stored(self, size: int, checksum: str | None) -> Chunk:
        """The same once it is stored.

        :param size: bytes of data of its metachunk, and their checksum
        """
        return Chunk(self.url, self.address, self.position, self.index, size, checksum, self.score)

    @property
    def id(self) -> str:
        """Last part of its URL."""
        return self.url.rpartition("/")[2]

    @property
    def digest(self) -> str | None:
        """Checksum of the data of its metachunk, in lower case; None when the services tell none."""
        known = (self.hash or "").lower()
        return known if known.strip("0") else None

    @property
    def md5(self) -> str | None:
        """The digest, if it is an MD5."""
        known = self.digest
        return known if known and len(known) == _MD5_DIGITS else None

    def described(self) -> ChunkDict:
        """Describe it as the services, and the published API, do."""
        pos = str(self.position)
        described: ChunkDict = {"url": self.url, "real_url": self.address, "pos": pos}
        if self.size is not None:
            described["size"] = self.size
        if self.hash is not None:
            described["hash"] = self.hash
        if self.score is not None:
            described["score"] = self.score
        if self.index is not None:
            described.update(pos=f"{pos}.{self.index}", num=self.index)
        return described

    def row(self, content_id: str) -> ChunkDict:
        """Describe it as a row of the database of a container.

        :param content_id: ID of the object
        """
        return {
            "type": "chunk",
            "id": self.url,
            "hash": self.hash or "",
            "size": self.size or 0,
            "pos": self.pos,
            "content": content_id,
        }


@dataclass(slots=True, unsafe_hash=True)
class Outcome:
    """Outcome of sending a chunk.

    :param chunk: as it was stored, with the size and the checksum of its metachunk
    :param error: why it is lost; None when it is stored
    :param maybe_stored: its server may hold it, whatever the error
    """

    chunk: Final[Chunk]
    error: Final[Failure | None] = None
    maybe_stored: Final[bool] = False

    def described(self) -> ChunkDict:
        """Describe it as the published API does: a chunk with ``error`` and ``maybe_stored``."""
        return self.chunk.described() | {"error": self.error, "maybe_stored": self.maybe_stored}


def to_remove(outcomes: Iterable[Outcome], *, only_failed: bool = False) -> list[Chunk]:
    """Chunks that a server may hold although no object names them.

    :param only_failed: leave out those that are stored: they were committed
    """
    return [o.chunk for o in outcomes if o.maybe_stored and (o.error or not only_failed)]


def late(outcomes: Iterable[Outcome]) -> frozenset[str]:
    """URLs of the chunks that a server may still be about to store: it has not answered."""
    return frozenset(o.chunk.url for o in outcomes if o.maybe_stored and o.error)


def note_outcomes(described: Iterable[ChunkDict], outcomes: Iterable[Outcome]) -> None:
    """Note in the dicts of a caller what became of their chunks.

    :param described: chunks, in the order of the outcomes
    """
    # Writing that failed before it began has none.
    for chunk, outcome in zip(described, outcomes, strict=False):
        if outcome.error:
            chunk["error"] = outcome.error
        elif outcome.chunk.size is not None:
            chunk.update(size=outcome.chunk.size, hash=outcome.chunk.hash)
        chunk["maybe_stored"] = outcome.maybe_stored
