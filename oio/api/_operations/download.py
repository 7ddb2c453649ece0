# SPDX-License-Identifier: Apache-2.0
"""Download: the stream of the bytes of an object."""

from __future__ import annotations

import functools
import time
import weakref
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TypeAlias

from oio.api._data.layout import Layout, lay_out
from oio.api._data.read import compared, read_ranges, unverifiable
from oio.api._data.strategies import Strategy, load_class
from oio.api._operations.location import locate
from oio.common import exceptions as exc
from oio.common import green
from oio.common.answers import reading_answer
from oio.common.block_reader import BlockReader
from oio.common.cache import del_cached_object_metadata
from oio.common.checksums import checksum_of_object
from oio.common.not_found import raise_if_no_object
from oio.common.perfdata import add_duration, add_figure
from oio.common.utils import compute_perfdata_stats

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.api.types import FetchedObject
    from oio.common.answers import JsonObject
    from oio.common.chunks import ChunkDict
    from oio.common.options import Options
    from oio.common.ranges import Range

Again: TypeAlias = "Callable[[str], tuple[Layout, Strategy] | None]"
"""Finds what to read instead of an object of which nothing can be read, given the reason; None without it."""


class ObjectStream(BlockReader):
    """The bytes of an object, or of ranges of it: an iterator of blocks of any size, and a binary file.

    Nothing is asked of the rawx services before the first block is, so their errors come then. Close it, or
    use it in a ``with`` block, when it may be left before its end. It has one reader at a time. Any thread,
    green or not, may close it.
    """

    def __init__(
        self, layout: Layout, strategy: Strategy, options: Options, again: Again | None = None
    ) -> None:
        self._options = options
        self._again = again
        self._begin = time.monotonic()
        #: Why no more blocks come: empty at the end of the object, else what has cut it short. None before.
        self._over: str | None = None
        #: Block that nobody has taken yet.
        self._ahead: bytes | None = None
        #: Held by whoever reads or closes the blocks.
        self._turn = green.Lock()
        #: Green thread that has closed the stream: the others of its OS thread may not know of it.
        self._closer: weakref.ref[object] | None = None
        self._interruption = green.Interruption()
        self._read(layout, strategy)

    def _read(self, layout: Layout, strategy: Strategy) -> None:
        """Prepare to read from the beginning."""
        # The read timeout bounds each request, not the whole stream.
        options = self._options.per_request()
        suspects: set[str] = set()
        self._size = self._left = layout.size
        pieces = layout.pieces()
        unsure = unverifiable(pieces) if options.verify_checksum else None
        blocks = read_ranges(
            pieces,
            functools.partial(strategy.source, suspects=suspects, options=options),
            options.verify_checksum,
            options.hold_up_to,
            unsure,
            options.parallel,
        )
        if unsure is not None and layout.is_whole:
            blocks = self._verified(blocks, layout)
        self._blocks: Generator[bytes, None, None] = blocks

    def _verified(self, blocks: Generator[bytes, None, None], layout: Layout) -> Generator[bytes, None, None]:
        """Verify a whole object by its own checksum, when those of its chunks cannot be compared."""
        with reading_answer():
            expected: str = layout.meta.get("hash") or ""
            checksum = checksum_of_object(expected, layout.meta["chunk_method"])
        if checksum is None:
            return blocks
        return compared(blocks, checksum, expected, layout.size <= self._options.hold_up_to)

    def start(self) -> None:
        """Ask for the first block now, and keep it."""
        self._ahead = next(self, None)
        self._left += len(self._ahead or b"")

    def __next__(self) -> bytes:
        if self._rest:
            return self._give_rest()
        if not self._turn.acquire(blocking=False):
            raise exc.OioException("The stream is being read by another thread")
        try:
            if self._over is not None or self._closer is not None:
                self._refuse()
            block, self._ahead = self._ahead, None
            if block is None:
                block = self._next()
            self._left -= len(block)
            return block
        finally:
            self._turn.release()
            if self._closer is not None:
                # Whoever has closed the stream meanwhile could not close what we were reading.
                self._close_blocks()

    def _next(self) -> bytes:
        begin = time.monotonic()
        again, self._again = self._again, None
        try:
            if not self._left:
                # All was given: nothing waits any more.
                return next(self._blocks)
            with self._interruption:
                try:
                    block = next(self._blocks)
                except (exc.UnrecoverableContent, exc.ServiceUnavailable) as err:
                    # Another object may have replaced this one.
                    found = None if again is None else again(str(err))
                    if found is None:
                        raise
                    self._read(*found)
                    block = next(self._blocks)
        except StopIteration:
            self._end()
            raise
        except green.Interrupted:
            if not self._interruption.is_asked_for:
                # Somebody else wants the whole call to end, not this stream.
                self._over = "the call was interrupted"
                raise
            raise self._closed() from None
        except BaseException as err:
            self._over = f"{type(err).__name__}: {err}"
            if isinstance(err, exc.OioException):
                err.reqid = err.reqid or self._options.reqid
            raise
        perfdata = self._options.perfdata
        if perfdata is not None:
            add_duration(perfdata, "rawx", "overall", begin)
            if self._left == self._size:
                perfdata["ttfb"] = time.monotonic() - self._begin
        return block

    def _refuse(self) -> NoReturn:
        """Tell a reader why nothing is given any more.

        :raises StopIteration: it was given whole, or the reader itself has closed the stream
        :raises OioException: bytes are missing: who goes on must not take this for the end of the object
        """
        closer = self._closer
        # The last block is given once all of them are verified.
        is_whole = self._over == "" or (self._over is None and not self._left)
        if is_whole or (closer is not None and closer() is green.getcurrent()):
            raise StopIteration
        if closer is not None:
            raise self._closed()
        raise exc.OioException(f"The stream was cut short: {self._over}")

    def _end(self) -> None:
        """Check that all bytes were given, and measure."""
        self._over = f"{self._size - self._left} bytes were read, not {self._size}" if self._left else ""
        if self._over:
            raise exc.ServiceUnavailable(self._over, reqid=self._options.reqid)
        perfdata = self._options.perfdata
        if perfdata is not None:
            perfdata["ttlb"] = time.monotonic() - self._begin
            add_figure(perfdata, "data_size", self._size)
            for prefix in ("connect.", "download."):
                compute_perfdata_stats(perfdata, prefix)

    @property
    def closed(self) -> bool:
        """Whether it was closed; at its end, it is not."""
        return self._closer is not None

    def close(self) -> None:
        """Close the connections to the rawx services, and end the iteration.

        A read that another thread is waiting for ends at once, with an exception: what it has got is not the
        whole object.
        """
        self._closer = weakref.ref(green.getcurrent())
        self._rest = b""
        # At the end of the object, they are closed.
        if self._over != "" and not self._close_blocks():
            # The reader closes them, then.
            self._interruption.ask()

    def _close_blocks(self) -> bool:
        """Close the blocks, unless somebody reads them.

        :returns: whether they are closed
        """
        if not self._turn.acquire(blocking=False):
            return False
        try:
            self._ahead = self._again = None
            self._blocks.close()
        finally:
            self._turn.release()
        return True

    def _closed(self) -> exc.OioException:
        """Make the exception for a reader whose stream was closed, before its end, by another thread."""
        return exc.OioException(
            f"The stream was closed by another thread, after {self._size - self._left} of {self._size} bytes",
            reqid=self._options.reqid,
        )

    def __enter__(self) -> ObjectStream:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class OpenedObject(NamedTuple):
    """An object that was located, whose parts can be read.

    :param meta: its description
    :param part: makes the stream of the bytes from the first to the last, inclusive; None for the end
    """

    meta: JsonObject
    part: Callable[[int, int | None], ObjectStream]


@dataclass(slots=True)
class Download:
    """Read of an object.

    :param target: names of account, container and object
    :param properties: whether the description is to have them
    :param ranges: none for the whole object
    """

    services: Final[Services]
    target: Final[tuple[str | None, str | None, str | None]]
    version: Final[int | str | None]
    properties: Final[bool]
    ranges: Final[list[Range]]
    options: Final[Options]

    def open(self) -> OpenedObject:
        """Locate the object as it is now, whatever is cached, to read any part of it later."""
        question = self.services, *self.target, self.version, self.properties, self.options
        meta, chunks, _ = locate(*question, fresh=True)
        return OpenedObject(meta, functools.partial(self._part, meta, chunks))

    def _part(self, meta: JsonObject, chunks: list[ChunkDict], first: int, last: int | None) -> ObjectStream:
        part = replace(self, ranges=[(first, last)] if first or last is not None else [])
        return ObjectStream(*part._lay_out(meta, chunks, strict=True), self.options)

    def run(self) -> tuple[FetchedObject, ObjectStream]:
        """Locate the object; give its description and its bytes."""
        options, logger = self.options, self.services.logger
        question = self.services, *self.target, self.version, self.properties, options
        meta: Any
        meta, chunks, cached = locate(*question)
        if cached:
            try:
                # What is cached may be out of date, its length too.
                stream = ObjectStream(*self._lay_out(meta, chunks, strict=True), options)
                stream.start()
                return meta, stream
            except exc.OioException as err:
                if isinstance(err, exc.DeadlineReached):
                    raise
                # Once a byte is given, it is too late to look where the object is now (pitfall 57).
                logger.info("Locating %r again: %s", self.target[2], err)
            del_cached_object_metadata(*self.target, cid=options.cid, cache=options.cache)
            meta, chunks, _ = locate(*question, fresh=True)
        found = self._lay_out(meta, chunks, strict=options.on_unsatisfiable == "raise")
        again = None if cached else functools.partial(self._again, meta, chunks)
        return meta, ObjectStream(*found, options, again)

    def _lay_out(self, meta: JsonObject, chunks: list[ChunkDict], *, strict: bool) -> tuple[Layout, Strategy]:
        services, options = self.services, self.options
        # Without an ID, the target has names.
        cid = options.cid_of(*self.target[:2])
        meta["container_id"] = cid
        meta["ns"] = services.namespace
        layout = lay_out(meta, chunks, self.ranges, services.logger, strict=strict)
        return layout, load_class(layout.method)(layout.method, services, cid, options)

    def _again(
        self, meta: JsonObject, chunks: list[ChunkDict], reason: str
    ) -> tuple[Layout, Strategy] | None:
        """Locate the object again, when nothing of it can be read where it was, nor was anything given.

        :param meta: its description, which the caller has already: it is updated in place
        :param reason: for the log
        :returns: None when the object is still where it was, or cannot be located
        :raises NoSuchObject: there is none any more
        """
        _, container, obj = self.target
        fresh = replace(self, options=self.options.renewed())
        try:
            question = self.services, *self.target, self.version, self.properties, fresh.options
            found, located, _ = locate(*question, fresh=True)
        except exc.OioException as problem:
            raise_if_no_object(problem, container or self.options.cid, obj)
            self.services.logger.info("%r cannot be located again: %s", obj, problem)
            return None
        if {chunk["url"] for chunk in located} == {chunk["url"] for chunk in chunks}:
            return None
        self.services.logger.info("Located %r again: %s", obj, reason)
        laid_out = fresh._lay_out(found, located, strict=self.options.on_unsatisfiable == "raise")
        meta.clear()
        meta.update(found)
        return laid_out
