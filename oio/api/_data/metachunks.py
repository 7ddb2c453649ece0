# SPDX-License-Identifier: Apache-2.0
"""Writer of an object: metachunk after metachunk, as long as its source gives data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from oio.common import exceptions as exc
from oio.common.chunks import Chunk, Outcome

if TYPE_CHECKING:
    from oio.api._data.source import Source
    from oio.common.answers import JsonObject
    from oio.common.options import Options


class Checksum(Protocol):
    """Checksum of :mod:`hashlib`, or of an application."""

    def update(self, data: bytes, /) -> object:
        """Add data."""

    def hexdigest(self) -> str:
        """Get the checksum of the data so far, in hexadecimal digits."""


class MetachunkWriter(Protocol):
    """Writer of one metachunk.

    It raises when the metachunk is lost: too few chunks are stored, or the source failed.
    """

    #: What became of each chunk, in any case: there when :meth:`write` has returned or raised.
    outcomes: list[Outcome]

    def write(self, source: Source, size: int | None) -> tuple[int, str]:
        """Write at most `size` bytes of a source, or all of it.

        :returns: number of bytes, and their checksum (hexadecimal; empty when none was computed)
        """


class Written(NamedTuple):
    """What was stored of an object: chunks, bytes, and MD5 (hexadecimal) of the data."""

    chunks: list[Chunk]
    size: int
    checksum: str


class ObjectWriter:
    """Writer of the data of an object.

    :param source: of the data
    :param metachunks: gives the chunks of each metachunk, as they are needed
    :param metachunk_size: bytes of a full metachunk
    :param writer_of: makes the writer of a metachunk, given its chunks, the checksum of the object, which it
        updates, and whether it is the first one
    """

    def __init__(
        self,
        source: Source,
        metachunks: Iterable[list[Chunk]],
        metachunk_size: int,
        writer_of: Callable[[list[Chunk], Checksum, bool], MetachunkWriter],
    ) -> None:
        self._source = source
        self._metachunks = metachunks
        self._metachunk_size = metachunk_size
        self._writer_of = writer_of
        #: What became of each chunk so far.
        self.outcomes: list[Outcome] = []

    def run(self) -> Written:
        """Write the object.

        :raises oio.common.exceptions.OioException: a metachunk is lost
        """
        checksum = hashlib.new("md5", usedforsecurity=False)
        total, limit = 0, self._metachunk_size
        first = True
        for chunks in self._metachunks:
            writer = self._writer_of(chunks, checksum, first)
            try:
                size, _ = writer.write(self._source, limit)
            finally:
                self.outcomes += writer.outcomes
            first = False
            total += size
            if size < limit or self._source.is_exhausted():
                stored = [outcome.chunk for outcome in self.outcomes if not outcome.error]
                return Written(stored, total, checksum.hexdigest())
        raise exc.OioException(f"The source has more than the {total} bytes that chunks were prepared for")


class UploadRequest(NamedTuple):
    """What a metachunk writer has to write, and how.

    :param meta: description of the object
    :param chunks: of the metachunk
    :param checksum: of the object; the data are added to it
    :param first: nothing went into the checksum before
    :param quorum: number of chunks that must be written at least
    """

    meta: JsonObject
    chunks: list[Chunk]
    checksum: Checksum
    first: bool
    quorum: int
    options: Options


def new_checksum(request: UploadRequest, algorithm: str) -> Checksum:
    """The checksum of a metachunk.

    For the first one, it is the checksum of the object as well: the data are hashed once (pitfall 136).
    """
    if request.first and algorithm == "md5":
        return request.checksum
    return hashlib.new(algorithm, usedforsecurity=False)
