# SPDX-License-Identifier: Apache-2.0
"""Writer of an object, metachunk after metachunk until the end of its source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from oio.common import exceptions as exc
from oio.common import green
from oio.common.checksums import MD5, Checksum, new_checksum
from oio.common.chunks import Chunk, Outcome
from oio.common.hashing import in_threads

if TYPE_CHECKING:
    from oio.api._data.source import Source
    from oio.common.answers import JsonObject
    from oio.common.options import Options


class MetachunkWriter(Protocol):
    """Writer of one metachunk.

    It raises when the metachunk is lost: too few chunks are stored, or the source failed.
    """

    #: Of each chunk, complete when :meth:`write` has returned or raised.
    outcomes: list[Outcome]

    def write(self, source: Source, size: int | None) -> tuple[int, str]:
        """Write at most `size` bytes of a source, or all of it.

        :returns: number of bytes, and their checksum (hexadecimal; empty when none was computed)
        """


Connections: TypeAlias = "Callable[[list[Chunk], list[Chunk]], Iterable[Callable[[], object]]]"


# Frozen classes and named tuples take longer to make, see `Chunk`.
@dataclass(slots=True)
class Written:
    """Stored data of an object: chunks, number of bytes, and MD5 (hexadecimal)."""

    chunks: Final[list[Chunk]]
    size: Final[int]
    checksum: Final[str]


class ObjectWriter:
    """Writer of the data of an object.

    :param source: of the data
    :param metachunks: gives the chunks of each metachunk, as they are needed
    :param metachunk_size: bytes of a full metachunk
    :param writer_of: makes the writer of a metachunk, given its chunks, the checksum of the object, which it
        updates, and whether it is the first one
    :param ahead: ask for the chunks of the next metachunk while one is sent, when the source is known to have
        data for it. `metachunks` must go on after a failure then
    :param connections: given the chunks of the next metachunk and those that are being sent, makes functions
        that connect to the servers of the former; see :meth:`~oio.api._data.strategies.Strategy.connections`
    """

    _asking: Any = None
    """Green thread that asks for the chunks of the next metachunk."""
    _connecting: Sequence[Any] = ()
    """Green threads that connect to their servers."""

    def __init__(
        self,
        source: Source,
        metachunks: Iterator[list[Chunk]],
        metachunk_size: int,
        writer_of: Callable[[list[Chunk], Checksum, bool], MetachunkWriter],
        ahead: bool = False,
        connections: Connections | None = None,
    ) -> None:
        self._source = source
        self._metachunks = metachunks
        self._ahead = ahead
        self._connections = connections
        self._metachunk_size = metachunk_size
        self._writer_of = writer_of
        #: Of all chunks so far.
        self.outcomes: list[Outcome] = []

    def run(self) -> Written:
        """Write the object.

        :raises oio.common.exceptions.OioException: a metachunk is lost
        """
        if not (self._ahead and self._source.has_more_than(self._metachunk_size)):
            return self._run(None)
        # Metachunks that were prepared in vain do no harm.
        with green.ContextPool() as pool:
            return self._run(pool)

    def _run(self, pool: green.ContextPool | None) -> Written:
        """Write the object.

        :param pool: green threads that prepare the next metachunk while one is sent; None to prepare none
        """
        source, limit = self._source, self._metachunk_size
        checksum = in_threads(new_checksum(MD5), source.left_in_memory())
        total, first = 0, True
        while True:
            chunks = next(self._metachunks, None) if self._asking is None else self._asked()
            if chunks is None:
                text = f"The source has more than the {total} bytes that chunks were prepared for"
                raise exc.OioException(text)
            writer = self._writer_of(chunks, checksum, first)
            if pool is not None and source.has_more_than(limit):
                self._ask_ahead(pool, chunks)
            try:
                size, _ = writer.write(source, limit)
            finally:
                self.outcomes += writer.outcomes
            first = False
            total += size
            if size < limit or source.is_exhausted():
                stored = [outcome.chunk for outcome in self.outcomes if not outcome.error]
                return Written(stored, total, checksum.hexdigest())

    # --- the next metachunk, before it is needed ---

    def _ask_ahead(self, pool: green.ContextPool, using: list[Chunk]) -> None:
        """Begin to ask for its chunks, and to connect to their servers.

        :param using: chunks that are being sent meanwhile
        """
        self._asking = pool.spawn(self._ask, pool, using)
        # The request is on its way before the first data are.
        green.eventlet_yield()

    def _ask(self, pool: green.ContextPool, using: list[Chunk]) -> list[Chunk] | exc.OioException:
        try:
            found = next(self._metachunks)
        except exc.OioException as err:
            return err
        if self._connections is not None:
            self._connecting = [pool.spawn(connect) for connect in self._connections(found, using)]
        return found

    def _asked(self) -> list[Chunk] | None:
        """Wait for the chunks that were asked for; None when there are none."""
        asking, self._asking = self._asking, None
        found = asking.wait()
        # The writer itself connects to servers that are late: nobody would use a second connection.
        for connecting in self._connecting:
            connecting.kill()
        self._connecting = []
        if isinstance(found, list):
            return found
        assert isinstance(found, exc.OioException)
        # When the source was slow, the answer may only seem late: nobody was there to take it.
        if not isinstance(found, (exc.OioTimeout, exc.DeadlineReached)):
            raise found
        return next(self._metachunks, None)


@dataclass(slots=True)
class UploadRequest:
    """Task of a metachunk writer.

    :param meta: description of the object
    :param chunks: of the metachunk
    :param checksum: of the object; the data are added to it
    :param first: nothing went into the checksum before
    :param quorum: number of chunks that must be written at least
    """

    meta: Final[JsonObject]
    chunks: Final[list[Chunk]]
    checksum: Final[Checksum]
    first: Final[bool]
    quorum: Final[int]
    options: Final[Options]


def checksum_of(request: UploadRequest, algorithm: str) -> Checksum:
    """Begin the checksum of a metachunk.

    That of the first one is the checksum of the object: the data are hashed once (pitfall 136).
    """
    if request.first and algorithm == MD5:
        return request.checksum
    return in_threads(new_checksum(algorithm))
