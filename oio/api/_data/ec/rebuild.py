# SPDX-License-Identifier: Apache-2.0
"""Makes a lost chunk of an erasure-coded metachunk again, from the others."""

from __future__ import annotations

import collections
import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from oio.api._data.ec.codec import codec_of
from oio.api._data.ec.sources import FragmentSource, SegmentPlan, SourceTeam, number
from oio.blob.reader import ChunkReader, mismatch
from oio.common import exceptions as exc
from oio.common.deadlines import hard_deadline

_LOGGER = logging.getLogger(__name__)


class ECRebuildHandler:
    """Rebuilds a missing or damaged chunk, bit for bit.

    :param meta_chunk: the other chunks of its metachunk, dicts with ``url``, ``pos`` (or ``num``) and, if
        known, ``size`` and ``hash`` of the metachunk
    :param missing: index of the chunk to rebuild in its metachunk
    :param storage_method: an :class:`~oio.common.storage_method.ECStorageMethod`
    :param connection_timeout: seconds for each connection
    :param read_timeout: seconds for each answer, and each block
    """

    def __init__(
        self,
        meta_chunk: list[dict[str, Any]],
        missing: int,
        storage_method: Any,
        connection_timeout: float | None = None,
        read_timeout: float | None = None,
        **_kwargs: Any,
    ) -> None:
        self.meta_chunk = meta_chunk
        self.missing = int(missing)
        self.storage_method = storage_method
        self._codec = codec_of(storage_method)
        if not 0 <= self.missing < self._codec.n:
            raise ValueError(f"missing: {missing} is not one of the {self._codec.n} chunks of a metachunk")
        self._headers = dict(_kwargs.get("headers") or {})
        if _kwargs.get("reqid"):
            self._headers["x-oio-req-id"] = _kwargs["reqid"]
        self._options: dict[str, Any] = {
            "connection_timeout": connection_timeout,
            "read_timeout": read_timeout,
            "deadline": hard_deadline(_kwargs),
            "ssl_context": _kwargs.get("ssl_context"),
            "check_head": lambda response, chunk: mismatch(response, {"metachunk_hash": chunk.get("hash")}),
            "exact": False,
        }

    def rebuild(self) -> tuple[int, Iterator[bytes]]:
        """Rebuild the chunk.

        All the other chunks are asked for at once; those whose size is not that of most of them are left out.
        The chunk is held in memory until each of its sources is verified against its own checksum, so nothing
        is left to go wrong, nor to close, when this returns.

        :returns: the bytes of the chunk, and an iterator of its fragments
        :raises oio.common.exceptions.UnrecoverableContent: when fewer than k good chunks are left
        :raises oio.common.exceptions.DeadlineReached:
        """
        number(self.meta_chunk)
        team = SourceTeam([], self._codec.k, self._source)
        with contextlib.closing(team):
            team.open([self._source(chunk) for chunk in self.meta_chunk if chunk["num"] != self.missing])
            size = self._elect_size(team)
            plan = SegmentPlan.of_chunk(self._codec, size)
            self._keep_enough(team, plan)
            return size, iter(self._rebuild_from(team, plan))

    def _source(self, chunk: dict[str, Any], plan: SegmentPlan | None = None) -> FragmentSource:
        return FragmentSource(chunk, self._codec, self._open_reader, plan, verify=True)

    def _open_reader(self, chunk: dict[str, Any], asked: str | None) -> ChunkReader:
        headers = {**self._headers, "Range": asked} if asked else self._headers
        return ChunkReader([chunk], None, headers, **self._options)

    def _elect_size(self, team: SourceTeam) -> int:
        """Bytes of the chunks: what most of them have.

        Between equals, the size of the metachunk decides, else the larger is less likely to be cut short.
        """
        known = [int(source.chunk["size"]) for source in team.active if source.chunk.get("size") is not None]
        expected = self._codec.chunk_size(known[0]) if known else None
        sizes = (source.announced_size for source in team.active)
        votes = collections.Counter(size for size in sizes if size is not None)
        if not votes:
            raise self._unrecoverable(team)
        return max(votes, key=lambda size: (votes[size], size == expected, size))

    def _keep_enough(self, team: SourceTeam, plan: SegmentPlan) -> None:
        """Go on with chunks of the right size, of k different indexes; the others are spares."""
        size = sum(plan.sizes)
        for source in sorted(team.active, key=lambda source: source.num):
            taken = {other.num for other in team.active if other.plan}
            if source.announced_size != size:
                team.drop(source, exc.CorruptedChunk(f"chunk of {source.announced_size} bytes, not {size}"))
            elif len(taken) < self._codec.k and source.num not in taken:
                source.plan = plan
            else:
                team.release(source)
        if len(team.active) < self._codec.k:
            raise self._unrecoverable(team)

    def _rebuild_from(self, team: SourceTeam, plan: SegmentPlan) -> list[bytes]:
        team.make_source = lambda chunk: self._source(chunk, plan)
        while True:
            try:
                fragments = [team.solve(segment, self._reconstruct) for segment in range(len(plan.sizes))]
            except (exc.NotFound, exc.ServiceUnavailable) as err:
                raise self._unrecoverable(team) from err
            for source in [source for source in team.active if not source.is_sound()]:
                team.drop(source, exc.CorruptedChunk("its data do not match their checksum"))
            if len(team.active) >= self._codec.k and all(source.is_whole for source in team.active):
                return fragments
            # Those who joined late can only be verified when they are read from their beginning.
            for source in list(team.active):
                team.release(source)

    def _reconstruct(self, fragments: dict[int, bytes]) -> bytes:
        others = [fragment for index, fragment in fragments.items() if index != self.missing]
        lengths = {self._codec.check(fragment, None)[1] for fragment in others}
        if len(others) < self._codec.k or len(lengths) > 1:
            raise exc.ECError(f"{len(others)} fragments, of segments of {sorted(lengths)} bytes")
        return self._codec.reconstruct(others, self.missing)

    def _unrecoverable(self, team: SourceTeam) -> exc.UnrecoverableContent:
        reasons = "; ".join(f"{url}: {reason}" for url, _, reason in team.errors)
        found = f"{len(team.active)}/{self._codec.k}"
        return exc.UnrecoverableContent(
            f"Not enough valid sources to rebuild chunk {self.missing} ({found}): {reasons}"
        )
