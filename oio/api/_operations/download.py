# SPDX-License-Identifier: Apache-2.0
"""The reading of an object: where its bytes are, and the stream of them."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from oio.api._data.strategies import stream_reader
from oio.api._facade.call import identified
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.perfdata import add_duration, add_figure
from oio.common.ranges import close_range
from oio.common.storage_functions import _sort_chunks
from oio.common.storage_method import STORAGE_METHODS, StorageMethod
from oio.common.utils import compute_perfdata_stats, hard_deadline, monotonic_time


@dataclass(frozen=True)
class Location:
    """Where the bytes that are asked for are.

    :param meta: description of the object
    :param chunks: metachunk position -> chunks, in order of preference
    :param ranges: first and last bytes, closed; None for the whole object
    :param size: how many bytes that makes
    """

    meta: dict[str, Any]
    chunks: dict[int, list[dict[str, Any]]]
    storage_method: StorageMethod
    ranges: list[tuple[int, int]] | None
    size: int


class ObjectStream(Iterator[bytes]):
    """The bytes of an object, or of ranges of it, as an iterator of blocks of any size.

    Nothing is asked of the rawx services before the first block is, so their errors come then. Close it, or
    use it in a ``with`` block, when it may be left before its end. It has one reader at a time.
    """

    def __init__(self, blocks: Generator[bytes, None, None]) -> None:
        self._blocks = blocks
        self._cut_short: str | None = None
        self._first: bytes | None = None

    def start(self) -> None:
        """Ask for the first block now, and keep it."""
        self._first = next(self, None)

    def __next__(self) -> bytes:
        self._refuse_two_readers()
        if self._first is not None:
            block, self._first = self._first, None
            return block
        if self._cut_short is not None:
            # Who goes on reading must not take this for the end of the object.
            raise exc.OioException(f"The stream was cut short: {self._cut_short}")
        try:
            return next(self._blocks)
        except StopIteration:
            raise
        except BaseException as err:
            self._cut_short = f"{type(err).__name__}: {err}"
            raise

    def close(self) -> None:
        """Close the connections to the rawx services; that is the end for who goes on reading."""
        self._refuse_two_readers()
        self._cut_short = self._first = None
        self._blocks.close()

    def _refuse_two_readers(self) -> None:
        if inspect.getgeneratorstate(self._blocks) == inspect.GEN_RUNNING:
            raise exc.OioException("The stream is being read by another thread, which alone can close it")

    def __enter__(self) -> ObjectStream:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def locate_bytes(
    meta: dict[str, Any],
    raw_chunks: list[dict[str, Any]],
    ranges: list[tuple[int | None, int | None]],
    logger: Any,
) -> Location:
    """Find the chunks that hold some ranges of an object, or all of it.

    :raises UnsatisfiableRange: a range begins after the last byte
    :raises UnrecoverableContent: the chunks do not make up the object
    """
    with reading_answer():
        storage_method = STORAGE_METHODS.load(meta["chunk_method"])
        length = int(meta["length"])
        chunks = _sort_chunks(raw_chunks, storage_method.ec, logger)
        found = sum(copies[0]["size"] for copies in chunks.values())
    if list(chunks) != list(range(len(chunks))) or found != length:
        raise exc.UnrecoverableContent(
            f"metachunks {list(chunks)} of {meta.get('name')!r} hold {found} bytes, not {length}"
        )
    closed = [_close(start, end, length) for start, end in ranges] or None
    size = length if closed is None else sum(end - start + 1 for start, end in closed)
    return Location(meta, chunks, storage_method, closed, size)


def _close(start: int | None, end: int | None, length: int) -> tuple[int, int]:
    bounds = close_range(start, end, length)
    if bounds is None:
        # Dropping it would give an answer that looks right (pitfalls row 133).
        raise exc.UnsatisfiableRange(
            416, None, f"range ({start}, {end}) is not in an object of {length} bytes"
        )
    return bounds


def stream_object(location: Location, options: dict[str, Any]) -> ObjectStream:
    """Read the bytes of an object.

    :param options: those of the call
    """
    return ObjectStream(_counted(location, options, monotonic_time()))


def _counted(location: Location, options: dict[str, Any], start: float) -> Generator[bytes, None, None]:
    perfdata = options.get("perfdata")
    given = 0
    with identified(options.get("reqid")):
        with contextlib.closing(_read(location, options)) as blocks:
            for block in _timed(blocks, perfdata):
                if perfdata is not None and not given:
                    perfdata["ttfb"] = monotonic_time() - start
                given += len(block)
                yield block
        if given != location.size:
            raise exc.ServiceUnavailable(f"{given} bytes were read, not {location.size}")
    if perfdata is not None:
        perfdata["ttlb"] = monotonic_time() - start
        add_figure(perfdata, "data_size", given)
        for prefix in ("connect.", "download."):
            compute_perfdata_stats(perfdata, prefix)


def _timed(blocks: Iterator[bytes], perfdata: dict[str, Any] | None) -> Iterator[bytes]:
    """Note the time spent on blocks, without that of who uses them."""
    while True:
        begin = monotonic_time()
        block = next(blocks, None)
        add_duration(perfdata, "rawx", "overall", begin)
        if block is None:
            return
        yield block


def _read(location: Location, options: dict[str, Any]) -> Generator[bytes, None, None]:
    options = dict(options)
    if hard_deadline(options) is None:
        # The read timeout is that of each request; it does not bound the whole stream.
        options.pop("deadline", None)
    reader = stream_reader(location.storage_method)
    with contextlib.closing(
        reader(location.chunks, location.ranges, location.storage_method, **options)
    ) as blocks:
        yield from blocks
