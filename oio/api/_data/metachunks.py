# SPDX-License-Identifier: Apache-2.0
"""Writing of an object: metachunk after metachunk, as long as its source gives data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from oio.common import exceptions as exc
from oio.common.chunks import Chunk, Outcome

if TYPE_CHECKING:
    from oio.api._data.source import Source
    from oio.common.options import Options


class MetachunkWriter(Protocol):
    """Writer of one metachunk.

    It raises when the metachunk is lost: too few chunks are stored, or the source failed.
    """

    #: What became of each chunk, in any case: there when :meth:`write` has returned or raised.
    outcomes: list[Outcome]

    def write(self, source: Source, size: int | None) -> tuple[int, str]:
        """Write at most `size` bytes of a source, or all of it.

        :returns: number of bytes, and their checksum (hexadecimal; empty when nobody computed one)
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
    :param writer_of: makes the writer of a metachunk, given its chunks, the checksum of the object (to be
        updated), and whether it is the first one
    """

    def __init__(
        self,
        source: Source,
        metachunks: Iterable[list[Chunk]],
        metachunk_size: int,
        writer_of: Callable[[list[Chunk], Any, bool], MetachunkWriter],
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
    """What a metachunk writer is for, as the constructors of the published API take it.

    :param meta: description of the object
    :param chunks: of the metachunk
    :param checksum: of the object, to be updated with the data
    :param first: nothing went into the checksum before
    :param quorum: number of chunks that must be written at least
    """

    meta: dict[str, Any]
    chunks: list[Chunk]
    checksum: Any
    first: bool
    quorum: int
    options: Options


def new_checksum(request: UploadRequest, algorithm: str) -> Any:
    """The checksum of a metachunk.

    Up to the end of the first one, that of the object is the same: hash once (pitfall 136).
    """
    if request.first and algorithm == "md5":
        return request.checksum
    return hashlib.new(algorithm, usedforsecurity=False)
