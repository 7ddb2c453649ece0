# SPDX-License-Identifier: Apache-2.0
"""Upload: preparation, chunks, commit, and the cleaning after a failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from oio.api._data.metachunks import ObjectWriter, Preparer, Written
from oio.api._data.ownership import is_owned
from oio.api._data.strategies import OwnerUnknown, keeps_files, load_class, strategy_for
from oio.api._operations.bulk import PARALLEL_CHUNKS, in_parallel
from oio.api._operations.commit import Commit, Product, Target, publish
from oio.api._operations.emptying import master_of
from oio.api._operations.orphan_files import OrphanFiles, has_credentials
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.checksums import NO_HASH, algorithm_of
from oio.common.chunks import Chunk, late, to_remove
from oio.common.constants import MD5, OIO_VERSION
from oio.common.easy_value import boolean_value
from oio.common.fullpath import encode_fullpath
from oio.common.interruptions import reraise_interruption
from oio.common.perfdata import add_figure
from oio.common.storage_method import DRAINED, STORAGE_METHODS, written_chunk_method
from oio.common.utils import compute_perfdata_stats

if TYPE_CHECKING:
    from oio.api._data.metachunks import MetachunkWriter, Written
    from oio.api._data.source import Source
    from oio.api._data.strategies import Strategy
    from oio.api._operations.services import Services
    from oio.api.types import Uploaded
    from oio.common.answers import JsonMapping, JsonObject
    from oio.common.checksums import Checksum
    from oio.common.options import Options
    from oio.common.perfdata import Perfdata

_POLICY_STATUSES = (480, 481)
_IN_THE_WAY = "HTTP 409"


class ChunkConflict(exc.Conflict):
    """There are chunks in the places of those of a new policy: an interrupted change may have left them."""

    def __init__(self, name: str, chunks: list[Chunk]) -> None:
        super().__init__(409, None, f"there are chunks in the places of those of object {name!r}")
        self.chunks = chunks


class ExistingObject(NamedTuple):
    """Existing object that gets more chunks, which must be of the same family (pitfall 128)."""

    content_id: str
    version: str
    chunk_method: str

    @classmethod
    def of(cls, meta: JsonMapping) -> ExistingObject:
        """Make it of the description of the object.

        :raises ContentDrained: its chunks were removed
        """
        with reading_answer():
            existing = cls(meta["id"], meta["version"], meta["chunk_method"])
        if existing.chunk_method == DRAINED:
            raise exc.ContentDrained(410, 427, f"The chunks of object {meta.get('name')!r} were removed")
        return existing


@dataclass(slots=True)
class Upload:
    """One upload of the data of an object.

    :param services: to use
    :param target: the object
    :param commit: what the upload ends with
    :param options: of the call; ``content_id`` and ``version`` are those of the new object
    :param policy: storage policy, None for the default one
    :param existing: the existing object that the data are for
    :param first: position of the first metachunk
    :param orphans: files of what is replaced, when that is known
    :param clear: given new chunks, removes those that are in their places
    """

    services: Services
    target: Target
    commit: Commit
    options: Options
    _: KW_ONLY
    policy: str | None = None
    existing: ExistingObject | None = None
    first: int = 0
    orphans: OrphanFiles | None = None
    clear: Callable[[list[Chunk]], None] | None = None

    def run(self, source: Source, sysmeta: JsonMapping) -> Uploaded:
        """Upload the data of a source, and commit the object.

        :param sysmeta: ``mime_type``, and ``etag``: the MD5 that the data are expected to have
        :returns: chunks, size and checksum of what was stored, and description of the object
        """
        options = self.options
        preparer = self.prepare()
        meta: Any = self.describe(preparer.meta, sysmeta)
        cid: str = meta["container_id"]
        strategy = strategy_for(meta["chunk_method"], self.services, cid, options)
        writer = self._writer(source, preparer, meta, strategy)
        # Where IDs are computed, changes of an object to the same policy give its chunks the same IDs, and so
        # do creations of the same version. A new version has its own.
        may_collide = self.commit.change_policy or (self.existing is None and options.version is not None)
        shared = may_collide and preparer.has_computed_ids(cid)
        # A lost answer may have been a refusal, and changes replace chunks that were stored, see `clear`.
        is_ours = partial(self._is_ours, meta["full_path"]) if shared else None

        def undo(*, only_failed: bool = False) -> None:
            doomed, hanging = to_remove(writer.outcomes, only_failed=only_failed), late(writer.outcomes)
            in_time = options.for_leftovers() if hanging else options
            strategy.delete(doomed, in_time, hanging, is_ours)

        try:
            if shared and self.commit.change_policy:
                written = self._run_over_existing(writer, meta["full_path"])
            else:
                written = writer.run()
            etag = meta.get("etag")
            if etag and etag.lower() != written.checksum:
                text = f"given etag {etag} != computed {written.checksum}"
                raise exc.EtagMismatch(text, reqid=options.reqid)
        except BaseException:  # The services do not know the chunks, whatever stopped us.
            undo()
            raise
        meta["etag"] = written.checksum
        if self.existing is not None:
            # The object keeps its own, word for word; the new chunks have theirs.
            meta["chunk_method"] = self.existing.chunk_method
        chunks: Any = list(map(Chunk.described, _with_hashes(written)))
        self.publish(Product(meta, chunks, written.size, written.checksum), undo)
        if len(written.chunks) < len(writer.outcomes):
            # A server may hold the chunks that failed, which no object names.
            undo(only_failed=True)
        if options.perfdata is not None:
            _measure(options.perfdata, written.size)
        return chunks, written.size, written.checksum, meta

    def _writer(
        self, source: Source, preparer: Preparer, meta: JsonObject, strategy: Strategy
    ) -> ObjectWriter:
        """Make the writer of the data."""
        writing = self.options.per_request()

        def writer_of(chunks: list[Chunk], checksum: Checksum, first: bool) -> MetachunkWriter:
            if self.clear is not None:
                self.clear(chunks)
            return strategy.writer(meta, chunks, checksum, first, writing)

        return ObjectWriter(
            source,
            preparer,
            strategy.metachunk_size(int(meta["chunk_size"])),
            writer_of,
            ahead=True,
            connections=lambda chunks, using: strategy.connections(chunks, using, writing),
        )

    def _run_over_existing(self, writer: ObjectWriter, full_path: str) -> Written:
        """Write the object, unless other chunks are in the places of its own.

        :raises ChunkConflict: there are some, even if a quorum was stored
        :raises Conflict: another change has removed some of those that were stored
        """
        written = failure = None
        try:
            written = writer.run()
        except exc.Conflict as err:
            failure = err
        if chunks := [o.chunk for o in writer.outcomes if str(o.error).endswith(_IN_THE_WAY)]:
            raise ChunkConflict(self.target.name, chunks) from failure
        if written is None:
            assert failure is not None
            raise failure
        self._check_kept(full_path, written.chunks)
        return written

    def _check_kept(self, full_path: str, chunks: list[Chunk]) -> None:
        """Look whether chunks are still there, just before they are committed.

        :raises Conflict: another change has taken some for those of an interrupted one, and removed them
        """
        # All looks together have the time of one phase: a server that hangs must not put off the commit.
        options = self.options.renewed()

        def is_kept(chunk: Chunk) -> bool:
            try:
                return is_owned(self.services.blob_client, full_path, chunk, options)
            except exc.NotFound:
                return False
            except (exc.OioException, KeyError, ValueError) as err:
                reraise_interruption(err)
                if options.limits.hard_deadline is not None and isinstance(err, exc.OioException):
                    options.limits.raise_if_late(err, options.reqid)
                return True  # Nothing is known.

        if not all(in_parallel(is_kept, chunks, PARALLEL_CHUNKS)):
            text = f"chunks of the new policy of object {self.target.name!r} were removed meanwhile"
            raise exc.Conflict(409, None, text)

    def _is_ours(self, full_path: str, chunk: Chunk, options: Options) -> bool:
        """Tell whether a chunk is of this upload, not of another one to the same version."""
        if not is_owned(self.services.blob_client, full_path, chunk, options):
            return False
        if self.options.content_id is None and self.clear is None:
            return True
        # The caller may have chosen the same ID before, and what another change has stored may have been
        # replaced by ours before its commit. A replica that is late would not know.
        ask = partial(master_of, self.services, *self.target[:2], options)
        return is_unnamed(self.services, self.target, self.options.version, chunk, ask)

    def prepare(self) -> Preparer:
        """Ask for the chunks of the object.

        :raises OioException: they are of another family than those that it has
        """
        if self.commit.append and self.existing is None:
            self._find_existing()
        if self.commit.change_policy and self.commit.former_policy is None:
            self._look_at_changed()
        options, existing = self.options, self.existing
        # Chunk IDs may depend on version and position: this version would give those of existing chunks.
        content_id = options.content_id if existing is None else existing.content_id
        version = options.version if existing is None else None
        try:
            preparer = Preparer(
                self.services.container, self.target, self.policy, options, self.first, content_id, version
            )
        except exc.ClientException as err:
            if err.status not in _POLICY_STATUSES:
                raise
            raise self._about_policy(err) from err
        if existing is not None:
            now, stored = preparer.meta["chunk_method"], existing.chunk_method
            if _family(now) != _family(stored):
                raise exc.OioException(
                    f"Storage policy {self.policy!r} gives {now!r} now, but object {self.target.name!r} "
                    f"is stored as {stored!r}: change its policy first"
                )
        return preparer

    def _find_existing(self) -> None:
        """Append to an object, if there is one."""
        try:
            meta = self.services.container.content_get_properties(
                *self.target, options=self.options.renewed()
            )
        except exc.NotFound:
            return
        if not boolean_value(meta.get("deleted")):
            self.existing = ExistingObject.of(meta)
            self.policy = meta.get("policy") or self.policy

    def _look_at_changed(self) -> None:
        """Look at the version that gets another policy.

        :raises NotFound: there is none, or nothing but a delete marker
        """
        meta = self.services.container.content_get_properties(
            *self.target, version=self.options.version, options=self.options.renewed()
        )
        if boolean_value(meta.get("deleted")):
            version = self.options.version
            raise exc.NotFound(404, 420, f"version {version} of {self.target.name!r} is a delete marker")
        self.commit = self.commit.replacing(meta)

    def _about_policy(self, err: exc.ClientException) -> exc.ClientException:
        """Make the exception that tells of the policy, given the one of a service that refuses it."""
        policy = "the default storage policy" if self.policy is None else f"storage policy {self.policy!r}"
        text = f"{policy}: {err.message}"
        return type(err)(err.http_status, err.status, text, reqid=err.reqid, service=err.service)

    def describe(self, prepared: JsonMapping, sysmeta: JsonMapping) -> JsonObject:
        """Make the description that the chunks are stored with."""
        # The preparation keeps its own version, see `prepare`.
        method = written_chunk_method(
            prepared["chunk_method"], self.options.checksum_algo, self.commit.algorithm
        )
        meta = {**prepared, "chunk_method": method, **sysmeta}
        if self.existing is not None:
            meta["version"] = self.existing.version
        meta.update(
            content_path=self.target.name,
            container_id=self.options.cid_of(*self.target[:2]),
            ns=self.services.namespace,
            full_path=encode_fullpath(*self.target, meta["version"], meta["id"]),
            oio_version=OIO_VERSION,
        )
        return meta

    def publish(self, product: Product, undo: Callable[[], None]) -> None:
        """Commit what was stored, see :func:`~oio.api._operations.commit.publish`."""
        orphans = self.orphans
        if orphans is None and (has_credentials(self.options) or keeps_files(product.meta["chunk_method"])):
            orphans = OrphanFiles(self.services, *self.target[:2], self.options)
            if not self.commit.append:
                try:
                    orphans.track(self.target.name)
                except exc.OioException as err:
                    self.services.logger.warning(
                        "What is in Backblaze of the %r that is replaced may stay: %s", self.target.name, err
                    )
                except BaseException:  # The services do not know the chunks yet, whatever stopped us.
                    undo()
                    raise
        publish(
            self.services,
            self.target,
            self.commit,
            product,
            self.options,
            orphans=orphans,
            undo=undo,
        )


def is_unnamed(
    services: Services,
    target: Target,
    version: int | str | None,
    chunk: Chunk,
    options: Callable[[], Options],
) -> bool:
    """Tell whether a chunk is none of those of a version of an object, which need not exist.

    :param options: makes those of the request
    :raises OwnerUnknown: the proxy does not tell
    """
    try:
        _, there = services.container.content_locate(
            *target, version=version, properties=False, options=options()
        )
    except exc.NotFound:
        return True
    except exc.OioException as err:
        raise OwnerUnknown(err, service=err.service) from err
    return all(named["url"] != chunk.url for named in there)


def _with_hashes(written: Written) -> list[Chunk]:
    """Chunks that were written, each with a hash: the services want one, even if nobody has computed any.

    That of all the data is also that of their only metachunk; for one of several, zeros stand for none.
    """
    if all(map(attrgetter("hash"), written.chunks)):
        return written.chunks
    alone = len({chunk.position for chunk in written.chunks}) == 1
    known = written.checksum if alone and algorithm_of(written.checksum) == MD5 else NO_HASH
    return [chunk if chunk.hash else chunk.stored(chunk.size or 0, known) for chunk in written.chunks]


def _measure(perfdata: Perfdata, size: int) -> None:
    for prefix in ("connect.", "upload."):
        compute_perfdata_stats(perfdata, prefix)
    add_figure(perfdata, "data_size", size)


def _family(chunk_method: str) -> tuple[object, ...]:
    """What the chunk methods of all parts of an object have in common."""
    method = STORAGE_METHODS[chunk_method]
    return load_class(method).family(method)
