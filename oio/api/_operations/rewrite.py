# SPDX-License-Identifier: Apache-2.0
"""Rewrite of an object: its data stored again, with another policy or cut short.

The new chunks are stored and verified before anything is changed, so a failure leaves the object as it was.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from oio.api._data.layout import Layout, Metachunk, lay_out
from oio.api._data.read import unverifiable
from oio.api._data.servers import delete_chunks
from oio.api._data.source import Source, open_source
from oio.api._data.strategies import Strategy, strategy_for
from oio.api._operations.commit import Commit, Target
from oio.api._operations.download import ObjectStream
from oio.api._operations.emptying import master_of
from oio.api._operations.orphan_files import OrphanFiles
from oio.api._operations.upload import ChunkConflict, ExistingObject, Upload, is_unnamed
from oio.common import exceptions as exc
from oio.common.fullpath import decode_fullpath
from oio.common.storage_method import parse_chunk_method

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.api.types import Uploaded
    from oio.common.answers import JsonMapping
    from oio.common.chunks import Chunk, ChunkDict
    from oio.common.options import Options

_PATIENCE = 24 * 3600.0
"""Seconds that an upload waits for an object: the requests that read it have limits of their own."""


class _Copied(Iterator[bytes]):
    """First bytes of the data of an object. All of the data are read, so that they are verified.

    :param size: number of bytes to give
    """

    def __init__(self, stream: ObjectStream, size: int) -> None:
        self._stream = stream
        self._left = size

    def __next__(self) -> bytes:
        block = next(self._stream)
        wanted = block[: self._left]
        self._left -= len(wanted)
        return wanted


@contextlib.contextmanager
def _reading(stream: ObjectStream, size: int, options: Options) -> Iterator[Source]:
    """Make a source of the first bytes of a part of an object."""
    patient = replace(options.limits.per_request(), read=_PATIENCE)
    with stream:
        try:
            with open_source(None, _Copied(stream, size)) as source:
                yield Source(source, patient)
        except exc.SourceReadTimeout as err:
            raise exc.DeadlineReached("Deadline reached while reading the object") from err


@dataclass(frozen=True, slots=True)
class Original:
    """Object whose data are stored again.

    :param target: its names
    :param meta: its description
    :param located: its chunks
    :param options: of the call
    """

    services: Services
    target: Target
    meta: JsonMapping
    located: list[ChunkDict]
    options: Options

    @property
    def layout(self) -> Layout:
        """Where its bytes are."""
        return lay_out(self.meta, self.located, [], self.services.logger)

    def orphans(self) -> OrphanFiles:
        """Its files in Backblaze."""
        orphans = OrphanFiles(self.services, *self.target[:2], self.options)
        orphans.note(self.meta, self.located)
        return orphans

    def copy(self, layout: Layout, size: int, upload: Upload, sysmeta: JsonMapping) -> Uploaded:
        """Store the first bytes of a part of the object.

        :param layout: of the part
        """
        cid = self.options.cid_of(*self.target[:2])
        strategy = strategy_for(self.meta["chunk_method"], self.services, cid, self.options)
        # Figures of an upload are about the bytes that are sent, not about those that are read.
        reading = replace(self.options, perfdata=None)
        if reading.verify_checksum and unverifiable(layout.pieces()):
            # Damage must not get a new, valid checksum: what we cannot verify, the chunk servers can.
            reading = replace(reading, verify_checksum="server")
        try:
            return self._copy(layout, size, strategy, upload, sysmeta, reading)
        except exc.CorruptedChunk as err:
            self.services.logger.warning("Reading %r again, from other chunks: %s", self.target.name, err)
        # Damage that is found after a block was given cannot be mended from elsewhere: verify first.
        strict = replace(reading, verify_checksum="strict")
        return self._copy(layout, size, strategy, upload, sysmeta, strict)

    def _copy(
        self,
        layout: Layout,
        size: int,
        strategy: Strategy,
        upload: Upload,
        sysmeta: JsonMapping,
        reading: Options,
    ) -> Uploaded:
        with _reading(ObjectStream(layout, strategy, reading), size, self.options) as source:
            return upload.run(source, sysmeta)


# --- another policy ----------------------------------------------------------------------------------


def change_policy(original: Original, policy: str) -> Uploaded:
    """Store all the data of a version of an object again, with another policy.

    :raises EtagMismatch: the data are not those that the object is known to have
    """
    meta, layout = original.meta, original.layout
    orphans = original.orphans()
    checksum: str = meta.get("hash") or ""
    # It is unknown when parts of the object were written apart.
    md5 = checksum if len(checksum) == 32 and checksum.strip("0") else None
    # The checksum must be sent as it is known, even when it is empty.
    commit = Commit(change_policy=True, checksum=checksum, algorithm=_algorithm_of(meta)).replacing(meta)
    options = replace(original.options, version=meta["version"])

    def store(clear: Callable[[list[Chunk]], None] | None = None) -> Uploaded:
        upload = Upload(
            original.services,
            original.target,
            commit,
            options,
            policy=policy,
            orphans=orphans,
            clear=clear,
        )
        return original.copy(layout, layout.size, upload, {"mime_type": meta.get("mime_type"), "etag": md5})

    try:
        return store()
    except ChunkConflict as err:
        original.services.logger.warning("Storing %r again: %s", original.target.name, err)
    return store(_clearing(original))


def _clearing(original: Original) -> Callable[[list[Chunk]], None]:
    """Make the function that removes chunks of an interrupted change from the places of new ones."""
    services, target, version = original.services, original.target, original.meta["version"]
    options = original.options.per_request()
    asks_master = master_of(services, *target[:2], options.renewed()).force_master

    def is_left(chunk: Chunk, phase: Options) -> bool:
        known = services.blob_client.chunk_head(chunk.address, options=phase)
        # Its content ID was that of the interrupted change.
        if decode_fullpath(known["full_path"])[:-1] != (*target, str(version)):
            return False
        # That change may have been committed meanwhile, even since the last metachunk.
        ask = partial(replace, phase, force_master=asks_master)
        return is_unnamed(services, target, version, chunk, ask)

    cid = original.options.cid_of(*target[:2])
    return lambda chunks: delete_chunks(services, chunks, cid, options, is_ours=is_left)


def _algorithm_of(meta: JsonMapping) -> str:
    """Algorithm of the checksum that an object keeps; MD5 when it has none."""
    named = parse_chunk_method(meta["chunk_method"])[1].get("oca")
    return named if named and meta.get("hash") else "md5"


# --- truncation --------------------------------------------------------------------------------------


def truncate(original: Original, size: int) -> None:
    """Cut an object: what is after the metachunk of the cut is dropped, then this one is cut itself.

    In between, the object is longer than it should be, but what it holds is its own beginning.

    :param size: bytes that remain
    :raises OioException: the object has fewer bytes
    """
    layout = original.layout
    if size > layout.size:
        raise exc.OioException(
            f"No chunk found at position {size}: truncating cannot grow an object of {layout.size} bytes"
        )
    orphans = original.orphans()
    cut = _metachunk_to_cut(layout, size)
    with orphans:
        if cut is None:
            # No data have to move (pitfall 129).
            _drop_from(original, size, original.options)
        else:
            _keep_head(original, layout, cut, size)


def _metachunk_to_cut(layout: Layout, size: int) -> Metachunk | None:
    """Find the metachunk that a cut goes through; there is none when it is between two.

    The service never drops the first one: to be empty, it is cut at its first byte (pitfall 159).
    """
    for metachunk in layout.metachunks:
        if metachunk.start < size < metachunk.end or (size == metachunk.start == 0 < metachunk.end):
            return metachunk
    return None


def _drop_from(original: Original, end: int, options: Options) -> None:
    """Drop the metachunks of an object that begin at `end`, or after."""
    meta = original.meta
    account, container, _ = original.target
    original.services.container.content_truncate(
        account, container, meta["name"], version=meta["version"], size=end, options=options
    )


def _keep_head(original: Original, layout: Layout, cut: Metachunk, size: int) -> None:
    """Replace a metachunk by its own beginning, as the last one of the object.

    :param size: bytes that remain of the object
    """
    meta, options = original.meta, original.options
    before = None
    if cut.end < int(meta["length"]):

        def before(phase: Options) -> None:
            _drop_from(original, cut.end, phase)

    upload = Upload(
        original.services,
        original.target,
        Commit(update=True, before=before),
        options,
        policy=meta.get("policy"),
        existing=ExistingObject.of(meta),
        first=cut.position,
        orphans=OrphanFiles(original.services, *original.target[:2], options),
    )
    sysmeta = {"mime_type": meta.get("mime_type")}
    if size == cut.start:
        upload.run(Source(io.BytesIO(), options.limits), sysmeta)
        return
    # All of a metachunk is read only because no part of it can be verified.
    end = cut.end if options.verify_checksum else size
    part = replace(layout, ranges=((cut.start, end - 1),), size=end - cut.start)
    original.copy(part, size - cut.start, upload, sysmeta)
