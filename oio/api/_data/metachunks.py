# SPDX-License-Identifier: Apache-2.0
"""Writer of an object, metachunk after metachunk until the end of its source, and the chunks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, TypeAlias

from oio.common import exceptions as exc
from oio.common import green
from oio.common.answers import ANSWER_ERRORS, unexpected
from oio.common.checksums import Checksum, new_checksum
from oio.common.chunks import Chunk, Outcome
from oio.common.constants import MD5
from oio.common.deadlines import SoftDeadline
from oio.common.hashing import in_threads
from oio.common.options import Options
from oio.common.utils import compute_chunk_id

if TYPE_CHECKING:
    from oio.api._data.source import Source
    from oio.common.answers import JsonObject
    from oio.common.chunks import ChunkDict
    from oio.container.client import ContainerClient


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


class Preparer(Iterator[list[Chunk]]):
    """Iterator over the chunks of a new object, or of data to append, a metachunk at a time.

    It asks for those of the first metachunk at once. After a failure, the next step asks for the same ones.

    :param container: its ``content_prepare`` is called
    :param target: names of the account, the container and the object
    :param policy: storage policy, None for the default one
    :param first: position of the first metachunk
    :param content_id: wanted ID of the object
    :param version: wanted version of the object
    """

    mandatory: ClassVar[tuple[str, ...]] = ("id", "version", "policy", "chunk_method")
    """Keys of the description that chunks are stored and committed with."""

    def __init__(
        self,
        container: ContainerClient,
        target: tuple[str, str, str],
        policy: str | None,
        options: Options,
        first: int = 0,
        content_id: str | None = None,
        version: int | str | None = None,
    ) -> None:
        self._container = container
        self._target = target
        self._policy = policy
        self._first = self._position = first
        #: Description of the object.
        self.meta, chunks = self._ask(first, content_id, version, options)
        for key in self.mandatory:
            if not self.meta.get(key):
                raise exc.OioProtocolError(f"answer has no {key} of the object")
        self.meta.setdefault("properties", {})
        #: Chunks of the first metachunk.
        self.first_chunks = self._placed(chunks, first)
        # In a long upload, each request gets its own time (pitfall 27).
        self._options = options

    def has_computed_ids(self, cid: str) -> bool:
        """Tell whether the services compute the IDs of chunks from the object, and may keep no other IDs.

        :param cid: ID of the container
        """
        name, version, policy = self._target[2], self.meta["version"], self.meta["policy"]
        return any(
            chunk.id == compute_chunk_id(cid, name, version, chunk.pos, policy) for chunk in self.first_chunks
        )

    def _ask(
        self, position: int, content_id: str | None, version: int | str | None, options: Options
    ) -> tuple[JsonObject, list[ChunkDict]]:
        return self._container.content_prepare(
            *self._target,
            size=1,
            position=position,
            stgpol=self._policy,
            content_id=content_id,
            version=version,
            options=options,
        )

    @staticmethod
    def _placed(chunks: list[ChunkDict], position: int) -> list[Chunk]:
        """Set the positions, which the service numbers from 0 in each answer."""
        try:
            placed = Chunk.all_of(chunks)
        except ANSWER_ERRORS as err:
            raise unexpected(err) from err
        return placed if not position else [replace(chunk, position=position) for chunk in placed]

    def __next__(self) -> list[Chunk]:
        """The chunks of the next metachunk."""
        position, chunks = self._position, self.first_chunks
        if position != self._first:
            meta, described = self._ask(
                position, self.meta.get("id"), self.meta.get("version"), self._options.renewed()
            )
            self.meta["properties"].update(meta.get("properties") or {})
            chunks = self._placed(described, position)
        self._position += 1
        return chunks


class KeywordPreparer(Preparer):
    """Preparer that hands the keywords of its caller to the client as they came.

    The description may lack anything: the caller commits the chunks, or does not, as in a test.

    :param given: keywords of ``content_prepare``
    """

    mandatory = ()

    def __init__(
        self,
        container: ContainerClient,
        target: tuple[str, str, str],
        policy: str | None,
        given: Mapping[str, Any],
        first: int,
    ) -> None:
        self._given = given
        super().__init__(container, target, policy, Options.of(given), first)

    def _ask(
        self, position: int, content_id: str | None, version: int | str | None, options: Options
    ) -> tuple[JsonObject, list[ChunkDict]]:
        given = dict(self._given)
        if position != self._first:
            if options.limits.is_phase:
                given["deadline"] = SoftDeadline(options.limits.deadline or 0)
            known = {"content_id": content_id, "version": version}
            given.update({name: value for name, value in known.items() if value is not None})
        return self._container.content_prepare(
            *self._target, size=1, position=position, stgpol=self._policy, **given
        )


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
        source, limit = self._source, self._metachunk_size
        checksum = in_threads(new_checksum(MD5), source.left_in_memory())
        total, first = 0, True
        is_long = self._ahead and source.has_more_than(limit)
        # Metachunks that were prepared in vain do no harm.
        with green.ContextPool() if is_long else nullcontext() as pool:
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
