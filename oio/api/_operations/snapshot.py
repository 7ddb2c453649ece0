# SPDX-License-Identifier: Apache-2.0
"""Snapshot of a container: a copy of its database, whose chunks are then replaced by links.

Until all its chunks are links, the copy must not be used, nor emptied: it names the chunks of the source.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING

from oio.api._data.links import with_id
from oio.api._data.servers import delete_chunks
from oio.api._data.strategies import check_linkable, keeps_files, strategy_for
from oio.api._operations.bulk import in_parallel
from oio.api._operations.commit import is_definitive
from oio.api._operations.orphan_files import has_credentials
from oio.api._operations.paging import listed_versions
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.cache import forget_object
from oio.common.chunks import Chunk, ChunkDict, late, to_remove
from oio.common.constants import M2_PROP_CTIME, M2_PROP_SHARDS
from oio.common.easy_value import int_value
from oio.common.fullpath import encode_fullpath
from oio.common.not_found import raise_if_no_container
from oio.common.retry import ONCE, Attempts, Retry
from oio.common.storage_method import DRAINED
from oio.common.utils import cid_from_name, compute_chunk_id

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.api.types import ListedObject
    from oio.common.answers import JsonMapping
    from oio.common.options import Options

_DISABLED, _ENABLED = 437, 439
"""Statuses of a container that somebody else has disabled, or enabled."""
_LEFT = (
    "Half-made snapshot %s may be left: %s. Destroy it with container_delete(force=True): deleting its "
    "objects would delete the chunks of its source"
)
_ENABLING = Retry(attempts=3, on=(exc.OioException,), final=(), unit=0)
"""Attempts to enable the source, which may be done twice."""
_PARALLEL_OBJECTS = 8
"""Objects linked at once: the source is frozen until all are done."""

_Pairs = list[tuple[ChunkDict, ChunkDict]]
"""Rows of chunks in the database of the copy, and those that replace them."""


class Snapshot:
    """One snapshot.

    :param services: to use
    :param source: account and name of the container; both are None when option ``cid`` tells it
    :param copy: account and name of the snapshot
    :param batch: chunks that one request notes
    :param options: of the call
    """

    def __init__(
        self,
        services: Services,
        source: tuple[str | None, str | None],
        copy: tuple[str, str],
        batch: int,
        options: Options,
    ) -> None:
        self._services = services
        self._client = services.container
        self._source = source
        self._source_options = options
        self._copy = copy
        # The replicas of the copy, if any, are as young as it is.
        self._options = replace(options, cid=None, force_master=True)
        self._links = _Links(services, options.cid_of(*source), copy, batch, self._options)

    def take(self) -> None:
        """Take the snapshot.

        :raises OioException: it could not be taken, and nothing is left of it, as far as the services can be
            reached
        """
        # Without credentials, nobody uses Backblaze: a listing is not worth it. Objects that are there all
        # the same are refused later.
        if has_credentials(self._options):
            with self._about_source():
                for row in listed_versions(self._client, *self._source, self._source_options):
                    if keeps_files(row.get("chunk_method")):
                        check_linkable(row)
        self._refuse_shards()
        is_new = self._date(self._copy, self._options) is None
        with self._frozen_source():
            self._copy_database(is_new)
            try:
                self._links.make()
                self._client.container_touch(*self._copy, options=self._options.renewed())
            except BaseException:  # A half-made copy names the chunks of its source.
                self._remove()
                raise

    # --- the source ---

    def _refuse_shards(self) -> None:
        """Refuse a container whose objects are in others, before anything is frozen.

        A copy of it would lead to the same objects, and reading through it would freeze them for good.
        """
        try:
            known = self._client.container_get_properties(*self._source, options=self._source_options)
        except exc.NotFound:
            return  # The freeze will fail, too.
        with reading_answer():
            shards = int_value(known["system"].get(M2_PROP_SHARDS), 0)
        if shards:
            name = self._source[1] or self._source_options.cid
            raise exc.OioException(
                f"container {name!r} cannot have a snapshot: its objects are divided among {shards} shards"
            )

    @contextlib.contextmanager
    def _about_source(self) -> Iterator[None]:
        """Explain the failures of requests about the source."""
        try:
            yield
        except exc.OioException as err:
            raise_if_no_container(err, self._source[1] or self._source_options.cid)
            raise

    @contextlib.contextmanager
    def _frozen_source(self) -> Iterator[None]:
        """Freeze the source, and enable it again whatever happens (pitfall 97).

        That keeps its objects as they are for a while, but anybody may enable it (pitfall 156): the chunks to
        link are those that the copy names.
        """
        frozen = True
        try:
            try:
                with self._about_source():
                    self._client.container_freeze(*self._source, options=_once(self._source_options))
            except exc.OioException as err:
                # A container that somebody else has frozen, or disabled, must stay so.
                frozen = not _is_refusal(err) and getattr(err, "status", None) != _DISABLED
                raise
            yield
        finally:
            if frozen:
                self._enable_source()

    def _enable_source(self) -> None:
        """Enable the source, best effort."""
        options = self._source_options.for_cleaning()
        limits, left = options.limits, options.limits.left()
        if left is not None and limits.hard_deadline is not None:
            # One attempt that stalls must not be the last one.
            share = left / _ENABLING.attempts
            limits = replace(limits, read=min(share, limits.read or share))
        retry = (options.retry or Retry()).at_least(_ENABLING.attempts)
        options = replace(options, limits=limits, retry=retry)
        attempts = Attempts(_ENABLING, limits)
        while True:
            try:
                self._client.container_enable(*self._source, options=options)
                return
            except exc.OioException as err:
                if getattr(err, "status", None) == _ENABLED:
                    return
                # A service that was busy has been asked again already.
                if isinstance(err, exc.ServiceBusy) or not attempts.again(err):
                    name = options.cid or "/".join(map(str, self._source))
                    self._services.logger.error("Container %s stays frozen: %s", name, err)
                    return

    # --- the copy ---

    def _copy_database(self, is_new: bool) -> None:
        """Make the copy.

        :param is_new: it was not there before
        """
        try:
            with self._about_source():
                self._client.container_snapshot(
                    *self._source, *self._copy, options=_once(self._source_options)
                )
        except BaseException as err:
            if is_new and not _is_refusal(err):
                self._remove_if_ours()
            raise

    def _date(self, names: tuple[str | None, str | None], options: Options) -> str | None:
        """Date of a container, None if it does not exist. A copy has the date of its source."""
        try:
            known = self._client.container_get_properties(*names, options=options)
        except exc.NotFound:
            return None
        with reading_answer():
            return str(known["system"].get(M2_PROP_CTIME))

    def _remove_if_ours(self) -> None:
        """Remove the copy, which may not have been made, or may be somebody else's."""
        logger, name = self._services.logger, "/".join(self._copy)
        try:
            date = self._date(self._copy, self._options.for_cleaning())
            ours = date is not None and date == self._date(self._source, self._source_options.for_cleaning())
        except exc.OioException as err:
            logger.warning("Failed to look for snapshot %s: %s", name, err)
            ours = False
        if ours:
            self._remove()
        else:
            logger.warning(_LEFT, name, "unknown whether it was made, or will be")

    def _destroy(self) -> None:
        """Remove the copy without its objects: their chunks may be those of the source.

        :raises OioException: it is still there, as far as that is known
        """
        delete = partial(self._client.container_delete, *self._copy, force=True)
        try:
            delete(options=self._options.for_cleaning())
        except exc.OioException as err:
            if is_definitive(err):
                raise
            # The answer was lost, or the request. Somebody else may have made a container there meanwhile.
            source = self._date(self._source, self._source_options.for_cleaning())
            if source is None:
                raise
            if source == self._date(self._copy, self._options.for_cleaning()):
                delete(options=self._options.for_cleaning())

    def _forget(self) -> None:
        """Remove the copy from the directory: a snapshot can only have a name that is not there."""
        try:
            self._services.directory.delete(*self._copy, options=self._options.for_cleaning())
            return
        except exc.OioException as err:
            if is_definitive(err):
                raise
        with contextlib.suppress(exc.NotFound):
            self._services.directory.delete(*self._copy, options=self._options.for_cleaning())

    def _remove(self) -> None:
        """Remove the copy and its links, best effort."""
        logger, name = self._services.logger, "/".join(self._copy)
        try:
            self._destroy()
        except exc.OioException as err:
            # The links that it names stay too, for as long as it does.
            logger.error(_LEFT, name, err)
            self._links.delete(named=False)
            return
        try:
            self._forget()
        except exc.OioException as err:
            logger.warning("Failed to remove %s from the directory: %s", name, err)
        self._links.delete(named=True)


class _Links:
    """Links in the places of the chunks that a copy has from its source.

    :param source: ID of the source
    :param copy: account and name of the copy
    :param batch: links that one request tells the copy about
    :param options: of the call
    """

    def __init__(
        self, services: Services, source: str, copy: tuple[str, str], batch: int, options: Options
    ) -> None:
        self._services = services
        self._client = services.container
        self._source_cid = source
        self._copy = copy
        self._cid = cid_from_name(*copy)
        self._batch = batch
        self._options = options
        self._rows: _Pairs = []
        #: The links that the copy may name already, and those that it does not.
        self._named: list[Chunk] = []
        self._unnamed: list[Chunk] = []
        #: URLs of those that a server may still be about to make.
        self._late: set[str] = set()
        #: Names and versions of objects, and URLs of their links that have other IDs than computed ones.
        self._renamed: list[tuple[str, str, set[str]]] = []

    def make(self) -> None:
        """Replace all chunks by links."""
        versions = listed_versions(self._client, *self._copy, self._options)
        while group := list(islice(versions, _PARALLEL_OBJECTS)):
            # Each is done to its end: a link that was made after the removal would stay.
            for rows in in_parallel(self._link_version, group, _PARALLEL_OBJECTS):
                self._rows += rows
            while len(self._rows) >= self._batch:
                self._note()
        if self._rows:
            self._note()
        for name, version, urls in self._renamed:
            _, located = self._locate(name, version)
            if not urls <= {chunk["url"] for chunk in located}:
                raise exc.Conflict(
                    409, None, f"there are chunks in the places of those of object {name!r} of the snapshot"
                )

    def delete(self, named: bool) -> None:
        """Delete the links, best effort.

        :param named: also those that the copy may name
        """
        doomed = [*self._unnamed, *self._named] if named else self._unnamed
        delete_chunks(self._services, doomed, self._cid, self._options, self._late)

    def _link_version(self, row: ListedObject) -> _Pairs:
        """Link the chunks of one version of an object."""
        if row["deleted"] or row.get("chunk_method") == DRAINED:
            return []
        name, version = row["name"], row["version"]
        try:
            meta, located = self._locate(name, version)
        except exc.ContentDrained:
            return []
        check_linkable(meta)
        try:
            return self._link(meta, located)
        finally:
            account, container = self._copy
            forget_object(account, container, name, cache=self._options.cache)

    def _locate(self, name: str, version: int | str) -> tuple[JsonMapping, list[ChunkDict]]:
        return self._client.content_locate(
            *self._copy, name, version=version, properties=False, options=self._options.renewed()
        )

    def _link(self, meta: JsonMapping, located: list[ChunkDict]) -> _Pairs:
        with reading_answer():
            of_link = {
                "container_id": self._cid,
                "content_path": meta["name"],
                "version": meta["version"],
                "policy": meta["policy"],
                "full_path": encode_fullpath(*self._copy, meta["name"], meta["version"], meta["id"]),
            }
            chunk_method, content_id = meta["chunk_method"], meta["id"]
            chunks = sorted(map(Chunk.of, located), key=_position)
            originals = {chunk: self._original(chunk, meta) for chunk in chunks}
        # Some services compute the IDs of chunks; a copy then has links by name already, and keeps no other.
        renames = all(chunk == original for chunk, original in originals.items())
        # The read timeout bounds each request.
        options = self._options.per_request()
        strategy = strategy_for(chunk_method, self._services, self._cid, options)
        rows = []
        named = {chunk.url for chunk in chunks}
        for _, group in groupby(chunks, _position):
            metachunk = list(group)
            linker = strategy.linker(
                of_link, [originals[chunk] for chunk in metachunk], options, renames=renames
            )
            try:
                linker.link()
            finally:
                self._late |= late(linker.outcomes)
                for link in to_remove(linker.outcomes):
                    (self._named if link.url in named else self._unnamed).append(link)
            if linker.renamed:
                urls = {outcome.chunk.url for outcome in linker.outcomes if not outcome.error}
                self._renamed.append((meta["name"], meta["version"], urls))
            # A link that failed counts as a lost chunk of the copy, which must not name the original.
            rows += [
                (chunk.row(content_id), outcome.chunk.row(content_id))
                for chunk, outcome in zip(metachunk, linker.outcomes, strict=True)
                if chunk.url != outcome.chunk.url
            ]
        return rows

    def _original(self, chunk: Chunk, meta: JsonMapping) -> Chunk:
        """The chunk of the source that a chunk of the copy stands for.

        It is the one that the copy names, unless the services have computed the ID: then that of the source
        is computed in the same way.
        """
        owned = meta["name"], meta["version"], chunk.pos, meta["policy"]
        if chunk.id != compute_chunk_id(self._cid, *owned):
            return chunk
        return with_id(chunk, compute_chunk_id(self._source_cid, *owned))

    def _note(self) -> None:
        """Tell the copy about links, as many as a batch has."""
        old, new = zip(*self._rows[: self._batch], strict=True)
        del self._rows[: self._batch]
        self._named += self._unnamed
        self._unnamed = []
        # A second request would not find the rows that the first has replaced.
        self._client.container_raw_update(
            list(old), list(new), *self._copy, frozen=True, options=_once(self._options)
        )


def _once(options: Options) -> Options:
    """Options of a request that is sent once: the second would be refused because of the first (pitfall 33).

    That refusal would look as if somebody else had frozen the source, or made the copy.
    """
    return replace(options.renewed(), retry=ONCE)


def _is_refusal(err: BaseException) -> bool:
    return isinstance(err, exc.OioException) and (isinstance(err, exc.NoSuchContainer) or is_definitive(err))


def _position(chunk: Chunk) -> int:
    return chunk.position
