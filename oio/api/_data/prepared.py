# SPDX-License-Identifier: Apache-2.0
"""Chunks that the services prepare for an object, metachunk after metachunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from oio.common import exceptions as exc
from oio.common.answers import ANSWER_ERRORS, unexpected
from oio.common.chunks import Chunk
from oio.common.deadlines import SoftDeadline
from oio.common.options import Options
from oio.common.utils import compute_chunk_id

if TYPE_CHECKING:
    from oio.common.answers import JsonObject
    from oio.common.chunks import ChunkDict
    from oio.container.client import ContainerClient


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
            placed = list(map(Chunk.of, chunks))
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
