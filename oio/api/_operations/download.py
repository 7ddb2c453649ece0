# SPDX-License-Identifier: Apache-2.0
"""Download: location of an object, and the stream of its bytes."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from oio.api._data.layout import Layout
from oio.api._data.read import read_pieces
from oio.api._data.strategies import Strategy
from oio.common import exceptions as exc
from oio.common.cache import get_cached_object_metadata, set_cached_object_metadata
from oio.common.perfdata import add_duration, add_figure
from oio.common.utils import compute_perfdata_stats

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.common.answers import JsonObject
    from oio.common.chunks import ChunkDict
    from oio.common.options import Options


def locate(
    services: Services,
    account: str | None,
    container: str | None,
    obj: str | None,
    version: int | str | None,
    properties: bool,
    options: Options,
) -> tuple[JsonObject, list[ChunkDict], bool]:
    """Locate an object: description, chunks, and whether they come from the cache."""
    cache = options.cache if options.content_id is None else None
    if cache is not None:
        meta, chunks = get_cached_object_metadata(
            account, container, obj, cid=options.cid, version=version, properties=properties, cache=cache
        )
        if meta is not None and chunks is not None:
            return meta, chunks, True
    found, located = services.container.content_locate(
        account,
        container,
        obj,
        content=options.content_id,
        version=version,
        properties=properties,
        options=options,
    )
    if cache is not None:
        set_cached_object_metadata(
            found,
            located,
            account,
            container,
            obj,
            cid=options.cid,
            version=version,
            properties=properties,
            cache=cache,
        )
    return found, located, False


class ObjectStream(Iterator[bytes]):
    """The bytes of an object, or of ranges of it, as an iterator of blocks of any size.

    Nothing is asked of the rawx services before the first block is, so their errors come then. Close it, or
    use it in a ``with`` block, when it may be left before its end. It has one reader at a time.
    """

    def __init__(self, layout: Layout, strategy: Strategy, options: Options) -> None:
        suspects: set[str] = set()
        # The read timeout bounds each request, not the whole stream.
        reading = options.per_request()
        self._blocks: Generator[bytes, None, None] = read_pieces(
            layout.pieces(),
            functools.partial(strategy.source, suspects=suspects, options=reading),
            options.verify_checksum,
        )
        self._left = layout.size
        self._size = layout.size
        self._reqid = options.reqid
        self._perfdata = options.perfdata
        self._begin = time.monotonic()
        self._ended = False
        self._cut_short: str | None = None
        self._first: bytes | None = None

    def start(self) -> None:
        """Ask for the first block now, and keep it."""
        self._first = next(self, None)

    def __next__(self) -> bytes:
        if self._first is not None:
            block, self._first = self._first, None
            return block
        if self._cut_short is not None:
            self._refuse_two_readers()
            # A reader that goes on must not take this for the end of the object.
            raise exc.OioException(f"The stream was cut short: {self._cut_short}")
        begin = time.monotonic()
        try:
            block = next(self._blocks)
        except StopIteration:
            self._end()
            raise
        except BaseException as err:
            self._refuse_two_readers()
            self._cut_short = f"{type(err).__name__}: {err}"
            if isinstance(err, exc.OioException):
                err.reqid = err.reqid or self._reqid
            raise
        if self._perfdata is not None:
            add_duration(self._perfdata, "rawx", "overall", begin)
            if self._left == self._size:
                self._perfdata["ttfb"] = time.monotonic() - self._begin
        self._left -= len(block)
        return block

    def _end(self) -> None:
        """Check that all bytes were given, and measure."""
        if self._ended:
            return
        self._ended = True
        if left := self._left:
            self._cut_short = f"{self._size - left} bytes were read, not {self._size}"
            raise exc.ServiceUnavailable(self._cut_short, reqid=self._reqid)
        perfdata = self._perfdata
        if perfdata is not None:
            perfdata["ttlb"] = time.monotonic() - self._begin
            add_figure(perfdata, "data_size", self._size)
            for prefix in ("connect.", "download."):
                compute_perfdata_stats(perfdata, prefix)

    def close(self) -> None:
        """Close the connections to the rawx services, and end the iteration."""
        self._refuse_two_readers()
        self._cut_short = self._first = None
        self._ended = True
        self._blocks.close()

    def _refuse_two_readers(self) -> None:
        if inspect.getgeneratorstate(self._blocks) == inspect.GEN_RUNNING:
            raise exc.OioException("The stream is being read by another thread, which alone can close it")

    def __enter__(self) -> ObjectStream:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
