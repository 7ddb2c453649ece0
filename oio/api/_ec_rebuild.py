# SPDX-License-Identifier: Apache-2.0
"""Makes a lost chunk of an erasure-coded metachunk again, from the others."""

from __future__ import annotations

import collections
import logging
from collections.abc import Iterator
from typing import Any

from oio.api._ec_read import FragmentSource, SegmentPlan, SourceTeam, chunk_check, number
from oio.api._fragments import FragmentCodec
from oio.api._reader import ChunkReader
from oio.common import exceptions as exc
from oio.common.constants import CHUNK_HEADERS
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
        self._codec = FragmentCodec(storage_method)
        self._headers = dict(_kwargs.get("headers") or {})
        if _kwargs.get("reqid"):
            self._headers["x-oio-req-id"] = _kwargs["reqid"]
        self._options: dict[str, Any] = {
            "connection_timeout": connection_timeout,
            "read_timeout": read_timeout,
            "deadline": hard_deadline(_kwargs),
            "ssl_context": _kwargs.get("ssl_context"),
        }

    def rebuild(self) -> tuple[int, Iterator[bytes]]:
        """Rebuild the chunk.

        The work is done when the iterator is first advanced: a chunk is held in memory until each source is
        verified against its own checksum.

        :returns: the bytes of the chunk, and an iterator of its fragments
        :raises oio.common.exceptions.UnrecoverableContent: when fewer than k good chunks are left; also
            raised by the iterator
        """
        number(self.meta_chunk)
        sources = [chunk for chunk in self.meta_chunk if chunk["num"] != self.missing]
        size = self._metachunk_size(sources)
        return self._codec.chunk_size(size), self._rebuilt(sources, size)

    def _open_reader(self, chunk: dict[str, Any], asked: str | None, **options: Any) -> ChunkReader:
        headers = {**self._headers, "Range": asked} if asked else self._headers
        return ChunkReader([chunk], None, headers, **self._options, **options)

    def _metachunk_size(self, sources: list[dict[str, Any]]) -> int:
        """Bytes of clear data: as the object says, else as most chunks do."""
        sizes = collections.Counter(int(chunk["size"]) for chunk in sources if chunk.get("size") is not None)
        for chunk in [] if sizes else sources:
            reader = self._open_reader(chunk, None)
            try:
                reader.stream().close()
            except exc.OioException as err:
                _LOGGER.warning("Failed to ask %s for its size: %s", chunk["url"], err)
            else:
                sizes[int(reader.headers.get(CHUNK_HEADERS["metachunk_size"], -1))] += 1
        del sizes[-1]  # Those that do not tell.
        if not sizes:
            raise exc.UnrecoverableContent(f"No source tells the size of the metachunk: {_urls(sources)}")
        return sizes.most_common(1)[0][0]

    def _rebuilt(self, sources: list[dict[str, Any]], size: int) -> Iterator[bytes]:
        if size == 0:
            return
        plan = SegmentPlan.of(self._codec, 0, size - 1, size)
        sources = [{**chunk, "size": size} for chunk in sources]
        while True:
            team = SourceTeam(sources, self._codec.k, lambda chunk: self._source(chunk, plan))
            try:
                fragments = [team.solve(segment, self._reconstruct) for segment in range(len(plan.lengths))]
            except (exc.NotFound, exc.ServiceUnavailable) as err:
                raise exc.UnrecoverableContent(f"Cannot rebuild chunk {self.missing}: {err}") from err
            finally:
                team.close()
            damaged = [source.chunk["url"] for source in team.active if not source.is_sound()]
            if not damaged:
                yield from fragments
                return
            _LOGGER.warning("Corrupted chunks, rebuilding from others: %s", damaged)
            sources = [chunk for chunk in sources if chunk["url"] not in damaged]

    def _source(self, chunk: dict[str, Any], plan: SegmentPlan) -> FragmentSource:
        check = chunk_check(self._codec)
        return FragmentSource(
            chunk,
            self._codec,
            plan,
            lambda chunk, asked: self._open_reader(chunk, asked, check_head=check),
            verify=True,
        )

    def _reconstruct(self, fragments: dict[int, bytes]) -> bytes:
        return self._codec.reconstruct(fragments.values(), self.missing)


def _urls(chunks: list[dict[str, Any]]) -> list[str]:
    return [chunk["url"] for chunk in chunks]
