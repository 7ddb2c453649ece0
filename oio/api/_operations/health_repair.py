# SPDX-License-Identifier: Apache-2.0
"""Repair of objects: chunks that are missing or damaged are made again elsewhere.

A new chunk is stored, then verified, then named by the services; only then is the old one deleted. A failure
before that leaves the object as it was, and removes the new chunk.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from oio.api._operations.bulk import in_parallel
from oio.api._operations.health import Examined, Group
from oio.api._operations.health_record import GONE, Record
from oio.blob.connect import reraise_call_failure
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.cache import forget_object
from oio.common.chunks import Chunk
from oio.common.fullpath import encode_fullpath
from oio.common.health import HARMLESS, ChunkHealth, ChunkRepair, Damage, MetachunkHealth, ObjectRepair
from oio.common.utils import compute_chunk_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from oio.api._operations.services import Services
    from oio.common.answers import JsonMapping
    from oio.common.options import Options

_PLACES = 3
"""Places that are tried for one chunk."""
_NOT_THERE = frozenset({Damage.MISSING, Damage.ABSENT})
_ELSEWHERE_ONLY = frozenset({Damage.ABSENT, Damage.MISPLACED, Damage.UNREACHABLE, Damage.WRONG_OWNER})
"""Damage that cannot be mended in the same place."""
_KEPT = frozenset({Damage.UNREACHABLE, Damage.WRONG_OWNER})
"""Damage of chunks that are not deleted: nobody answers, or the file is not ours.

Those that were missing are deleted: another repair may have made them there meanwhile.
"""


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """Options of a repair.

    :param unreachable: replace chunks whose servers do not answer, too
    :param frozen: repair objects of frozen containers, too
    """

    unreachable: bool = False
    frozen: bool = False


@dataclass(slots=True)
class _Places:
    """Where the chunks of a metachunk are while it is repaired.

    :param sources: usable chunks, the best ones first
    :param kept: chunks that stay, and new ones
    :param waiting: chunks that are to be replaced, and have not been yet
    :param avoided: chunks in places that are not wanted
    """

    sources: list[Chunk] = field(default_factory=list)
    kept: list[Chunk] = field(default_factory=list)
    waiting: list[Chunk] = field(default_factory=list)
    avoided: list[Chunk] = field(default_factory=list)


class ObjectRepairer:
    """Repairer of one version of an object.

    :param names: account and name of its container, None when only its ID is known
    :param full_names: looks for both names, which new chunks are stored with
    :param examined: the object, as it was found
    :param options: of the call
    """

    def __init__(
        self,
        services: Services,
        names: tuple[str | None, str | None],
        full_names: Callable[[Options], tuple[str, str]],
        examined: Examined,
        wanted: RepairOptions,
        options: Options,
    ) -> None:
        self._services = services
        self._names = names
        self._examined = examined
        self._wanted = wanted
        # The read timeout bounds each request; the requests name the object and its version.
        self._options = replace(options.per_request(), content_id=None, version=None)
        meta = examined.meta
        with reading_answer():
            self._name, self._version, self._id = meta["name"], meta["version"], meta["id"]
        self._policy = meta.get("policy") or ""
        self._full_names = full_names
        self._owner: JsonMapping = {}
        self._strategy = examined.strategy
        self._record = Record(services, names, self._strategy, meta, wanted.frozen, self._options)

    def repair(self, concurrency: int) -> ObjectRepair:
        """Repair what can be repaired.

        :param concurrency: how many metachunks at a time
        :raises DeadlineReached: no time is left
        """
        health = self._examined.health
        if health.error is not None or health.is_sound:
            return ObjectRepair(health)
        self._record.find()
        full_path = encode_fullpath(*self._full_names(self._options), self._name, self._version, self._id)
        self._owner = {**self._examined.meta, "policy": self._policy, "full_path": full_path}
        pairs = list(zip(self._examined.groups, health.metachunks, strict=True))
        work = [pair for pair in pairs if not pair[1].is_sound]
        try:
            repaired = in_parallel(lambda pair: self._repair_metachunk(*pair), work, concurrency)
        finally:
            account, container = self._names
            forget_object(account, container, self._name, cid=self._options.cid, cache=self._options.cache)
        return ObjectRepair(health, tuple(chunk for chunks in repaired for chunk in chunks))

    # --- one metachunk ---

    def _repair_metachunk(self, group: Group, health: MetachunkHealth) -> list[ChunkRepair]:
        known = {chunk.url: chunk for chunk in group.chunks}
        places = _Places()
        targets = []
        for chunk in health.chunks:
            there = known.get(chunk.url or "")
            if chunk.is_usable and there is not None:
                places.sources.append(there)
            if self._is_wanted(chunk):
                targets.append(chunk)
            elif there is not None:
                places.kept.append(there)
        sound = {chunk.url for chunk in health.chunks if chunk.is_sound}
        places.sources.sort(key=lambda chunk: chunk.url not in sound)
        places.waiting = [known[chunk.url] for chunk in targets if chunk.url]
        places.avoided = list(places.waiting)
        # Lost chunks first: each is another source once it is repaired.
        results = {
            id(chunk): self._attempt(group, chunk, known.get(chunk.url or ""), places)
            for chunk in sorted(targets, key=lambda chunk: chunk.is_usable)
        }
        left = "its server does not answer, and nobody asked for another place"
        return [
            results.get(id(chunk)) or ChunkRepair(chunk, error=left)
            for chunk in health.chunks
            if chunk.damage
        ]

    def _is_wanted(self, chunk: ChunkHealth) -> bool:
        """Tell whether a chunk is to be replaced."""
        if chunk.is_sound:
            return False
        return self._wanted.unreachable or Damage.UNREACHABLE not in chunk.damage

    def _attempt(self, group: Group, chunk: ChunkHealth, old: Chunk | None, places: _Places) -> ChunkRepair:
        """Repair one chunk; a failure concerns it alone."""
        try:
            self._check_sources(group, places.sources)
            if chunk.damage == (Damage.WRONG_RECORD,) and old is not None:
                new = old
                self._record.name_chunk(group, old, old)
            else:
                new = self._replace(group, chunk, old, places)
        except exc.OioException as err:
            reraise_call_failure(err, self._options)
            return ChunkRepair(chunk, error=str(err))
        # The old one may be deleted by now.
        places.sources = [*(source for source in places.sources if source != old), new]
        places.waiting = [waiting for waiting in places.waiting if waiting != old]
        places.kept.append(new)
        return ChunkRepair(chunk, new.url)

    def _check_sources(self, group: Group, sources: list[Chunk]) -> None:
        """Refuse a metachunk whose chunks cannot be made again.

        :raises UnrecoverableContent: too few chunks are left
        """
        method = self._strategy.method
        found = len({chunk.index if method.ec else chunk.url for chunk in sources})
        if found < (needed := method.min_chunks_to_read):
            raise exc.UnrecoverableContent(
                f"{found} usable chunks are left of metachunk {group.position}, {needed} are needed"
            )

    def _verified(self, group: Group, sources: list[Chunk]) -> list[Chunk]:
        """Let servers read chunks; returns those with the data that were stored."""

        def is_usable(chunk: Chunk) -> bool:
            found = self._strategy.examine(chunk, group.expected_of(chunk), True, self._options)
            return HARMLESS.issuperset(damage for damage, _ in found)

        return list(filter(is_usable, sources))

    # --- one chunk ---

    def _replace(self, group: Group, chunk: ChunkHealth, old: Chunk | None, places: _Places) -> Chunk:
        """Make a chunk again, and let it take the place of the old one.

        :returns: the new one
        """
        error: exc.OioException | None = None
        for _ in range(_PLACES):
            try:
                place = self._spare(group, chunk, places, places.avoided)
                if old is not None and place.url == old.url and len(places.avoided) > 1:
                    # Servers of chunks that were replaced before are better than its own.
                    place = self._spare(group, chunk, places, [old])
            except exc.ClientException as err:
                # No other server is free, or its policy is not known any more.
                if error is not None:
                    break
                return self._replace_in_place(group, chunk, old, places, err)
            if old is not None and place.url == old.url:
                return self._replace_in_place(group, chunk, old, places, error)
            try:
                self._make(group, place, places.sources)
            except exc.OioException as err:
                reraise_call_failure(err, self._options)
                error = err
                places.avoided.append(place)
                continue
            self._record.name_chunk(group, old, place, doomed=_KEPT.isdisjoint(chunk.damage))
            return place
        if isinstance(error, exc.Conflict):
            # What is in the way there may stay for good.
            return self._replace_in_place(group, chunk, old, places, error)
        raise error or exc.SpareChunkException("no server takes it")

    def _replace_in_place(
        self,
        group: Group,
        chunk: ChunkHealth,
        old: Chunk | None,
        places: _Places,
        error: exc.OioException | None,
    ) -> Chunk:
        """Make a chunk again where it was, when no other server takes it.

        :param error: why none does
        """
        if old is None or not _ELSEWHERE_ONLY.isdisjoint(chunk.damage):
            raise error or exc.SpareChunkException("there is no other server for it")
        if old.url not in (self._record.named(self._options.renewed()) or {}):
            raise exc.NotFound(404, None, GONE)
        others = [source for source in places.sources if source.url != old.url]
        is_there = _NOT_THERE.isdisjoint(chunk.damage)
        if is_there:  # A damaged file is deleted once it is certain that it can be made again.
            others = self._verified(group, others)
            self._check_sources(group, others)
        # Another repair may have made it there meanwhile: a DELETE has no condition, so this look comes last.
        if not self._verified(group, [old]):
            if is_there:
                with contextlib.suppress(exc.NotFound):
                    self._services.blob_client.chunk_delete(old.address, options=self._options)
            self._make(group, old, others)
        if Damage.WRONG_RECORD in chunk.damage:
            self._record.name_chunk(group, old, old)
        elif old.url not in (self._record.named(self._options.for_cleaning()) or {}):
            self._record.remove(old)
            raise exc.NotFound(404, None, GONE)
        return old

    def _spare(self, group: Group, chunk: ChunkHealth, places: _Places, avoided: list[Chunk]) -> Chunk:
        """Ask for a place.

        :param avoided: chunks whose servers are not wanted, if there are others
        """
        lists = {
            "notin": [kept.described() for kept in places.kept],
            "broken": [unwanted.described() for unwanted in avoided],
        }
        answer = self._services.container.content_spare(
            *self._names,
            self._name,
            lists,
            stgpol=self._policy,
            version=self._version,
            position=chunk.pos,
            options=self._options.renewed(),
        )
        with reading_answer():
            urls = [self._kept_url(group, chunk, str(spare["id"])) for spare in answer["chunks"]]
        new = [
            Chunk(url, url, chunk.position, chunk.index, group.expected.size, group.digest or None)
            for url in urls
        ]
        taken = {kept.host for kept in places.kept}
        # Where IDs are computed, another chunk may have this very name: it would lose its row.
        named = {waiting.url for waiting in places.waiting if waiting.url != chunk.url}
        hosts = {unwanted.host for unwanted in avoided}
        free = sorted(
            (place for place in new if place.host not in taken and place.url not in named),
            key=lambda place: place.host in hosts,
        )
        if not free:
            raise exc.ServiceBusy(503, None, "the services propose no other server")
        return free[0]

    def _kept_url(self, group: Group, chunk: ChunkHealth, url: str) -> str:
        """URL that the container will give to a chunk: where IDs are computed, it only keeps the server."""

        def computed(pos: str) -> str:
            cid = self._strategy.cid
            return compute_chunk_id(cid, self._name, self._version, pos, self._policy)

        if all(known.id != computed(known.pos) for known in group.chunks):
            return url
        return f"{url.rpartition('/')[0]}/{computed(chunk.pos)}"

    def _make(self, group: Group, place: Chunk, sources: list[Chunk]) -> None:
        """Store a chunk, and verify it; nothing is left of one that fails, unless the object names it.

        :raises OioException: it is not there, or not what was stored
        """
        options = self._options
        try:
            self._strategy.mend(place, sources, group.expected, self._owner, options)
            found = self._strategy.examine(place, group.expected, True, options)
            if found:
                text = "; ".join(detail for _, detail in found)
                raise exc.CorruptedChunk(f"the new chunk {place.url} is not what was stored: {text}")
            self._record.check_free(group, place)
        except exc.Conflict:
            # The chunk that is in the way may be somebody else's.
            raise
        except BaseException:  # The services do not know the chunk, whatever stopped us.
            self._record.discard(place)
            raise
