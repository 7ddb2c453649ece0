# SPDX-License-Identifier: Apache-2.0
"""Upload: preparation, chunks, commit, and the cleaning after a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

from oio.api._data.metachunks import ObjectWriter
from oio.api._data.prepared import Preparer
from oio.api._data.strategies import load_class, strategy_for
from oio.api._operations.commit import Commit, Product, Target, publish
from oio.api._operations.leftovers import Leftovers
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.chunks import Chunk, to_remove
from oio.common.constants import OIO_VERSION
from oio.common.easy_value import boolean_value
from oio.common.fullpath import encode_fullpath
from oio.common.perfdata import add_figure
from oio.common.storage_method import DRAINED, STORAGE_METHODS
from oio.common.utils import compute_perfdata_stats

if TYPE_CHECKING:
    from oio.api._data.metachunks import Checksum, MetachunkWriter
    from oio.api._data.source import Source
    from oio.api._operations.services import Services
    from oio.api.types import Uploaded
    from oio.common.answers import JsonMapping, JsonObject
    from oio.common.options import Options
    from oio.common.perfdata import Perfdata

_POLICY_STATUSES = (480, 481)


class Joined(NamedTuple):
    """Existing object that gets more chunks, which must be of the same family (pitfall 128)."""

    content_id: str
    version: str
    chunk_method: str

    @classmethod
    def to(cls, meta: JsonMapping) -> Joined:
        """Make it of the description of the object.

        :raises ContentDrained: its chunks were removed
        """
        with reading_answer():
            joined = cls(meta["id"], meta["version"], meta["chunk_method"])
        if joined.chunk_method == DRAINED:
            raise exc.ContentDrained(410, 427, f"The chunks of object {meta.get('name')!r} were removed")
        return joined


class Upload:
    """One upload of the data of an object.

    :param services: to use
    :param target: the object
    :param commit: what the upload ends with
    :param options: of the call; ``content_id`` and ``version`` are those of the new object
    :param policy: storage policy, None for the default one
    :param joined: the object that the data are for, if it has others
    :param first: position of the first metachunk
    :param leftovers: files of what is replaced, when that is known
    """

    def __init__(
        self,
        services: Services,
        target: Target,
        commit: Commit,
        options: Options,
        *,
        policy: str | None = None,
        joined: Joined | None = None,
        first: int = 0,
        leftovers: Leftovers | None = None,
    ) -> None:
        self._services = services
        self._target = target
        self._commit = commit
        self._options = options
        self._policy = policy
        self._joined = joined
        self._first = first
        self._leftovers = leftovers
        self._cid = options.cid_of(*target[:2])

    def run(self, source: Source, sysmeta: JsonMapping) -> Uploaded:
        """Upload the data of a source, and commit the object.

        :param sysmeta: ``mime_type``, and ``etag``: the MD5 that the data are expected to have
        :returns: chunks, size and checksum of what was stored, and description of the object
        """
        options = self._options
        preparer = self.prepare()
        meta = self.describe(preparer.meta, sysmeta)
        strategy = strategy_for(meta["chunk_method"], self._services, self._cid, options)
        writing = options.per_request()

        def writer_of(chunks: list[Chunk], checksum: Checksum, first: bool) -> MetachunkWriter:
            return strategy.writer(meta, strategy.prepared(chunks), checksum, first, writing)

        size = strategy.metachunk_size(int(meta["chunk_size"]))
        writer = ObjectWriter(source, preparer, size, writer_of)

        def undo() -> None:
            strategy.delete(to_remove(writer.outcomes), options)

        try:
            written = writer.run()
            etag = meta.get("etag")
            if etag and etag.lower() != written.checksum:
                raise exc.EtagMismatch(
                    f"given etag {etag} != computed {written.checksum}", reqid=options.reqid
                )
        except BaseException:  # The services do not know the chunks, whatever stopped us.
            undo()
            raise
        meta["etag"] = written.checksum
        chunks = [chunk.described() for chunk in written.chunks]
        self.publish(Product(meta, chunks, written.size, written.checksum), undo)
        if len(written.chunks) < len(writer.outcomes):
            # A server may hold the chunks that failed, which no object names.
            strategy.delete(to_remove(writer.outcomes, only_failed=True), options)
        if options.perfdata is not None:
            _measure(options.perfdata, written.size)
        return cast("Uploaded", (chunks, written.size, written.checksum, meta))

    def prepare(self) -> Preparer:
        """Ask for the chunks of the object.

        :raises OioException: they are of another family than those that it has
        """
        if self._commit.append and self._joined is None:
            self._join_existing()
        preparer = self._ask_for_chunks()
        if self._joined is not None:
            now, stored = preparer.meta["chunk_method"], self._joined.chunk_method
            if _family(now) != _family(stored):
                raise exc.OioException(
                    f"Storage policy {self._policy!r} gives {now!r} now, but object {self._target.name!r} "
                    f"is stored as {stored!r}: change its policy first"
                )
        return preparer

    def _join_existing(self) -> None:
        """Append to an object, if there is one."""
        try:
            meta = self._services.container.content_get_properties(
                *self._target, options=self._options.renewed()
            )
        except exc.NotFound:
            return
        if not boolean_value(meta.get("deleted")):
            self._joined = Joined.to(meta)
            self._policy = meta.get("policy") or self._policy

    def _ask_for_chunks(self) -> Preparer:
        options, joined = self._options, self._joined
        # Chunk IDs may depend on version and position: this version would give those of existing chunks.
        content_id = options.content_id if joined is None else joined.content_id
        version = options.version if joined is None else None
        try:
            return Preparer(
                self._services.container,
                self._target,
                self._policy,
                options,
                first=self._first,
                content_id=content_id,
                version=version,
            )
        except exc.ClientException as err:
            if err.status not in _POLICY_STATUSES:
                raise
            policy = "the default storage policy"
            if self._policy is not None:
                policy = f"storage policy {self._policy!r}"
            text = f"{policy}: {err.message}"
            raise type(err)(err.http_status, err.status, text, reqid=err.reqid, service=err.service) from err

    def describe(self, prepared: JsonMapping, sysmeta: JsonMapping) -> JsonObject:
        """Make the description that the chunks are stored with."""
        # The preparation keeps its own version, see _ask_for_chunks.
        meta = {**prepared, **sysmeta}
        if self._joined is not None:
            meta["version"] = self._joined.version
        meta.update(
            content_path=self._target.name,
            container_id=self._cid,
            ns=self._services.namespace,
            full_path=encode_fullpath(*self._target, meta["version"], meta["id"]),
            oio_version=OIO_VERSION,
        )
        return meta

    def publish(self, product: Product, undo: Callable[[], None]) -> None:
        """Commit what was stored, see :func:`~oio.api._operations.commit.publish`."""
        leftovers = self._leftovers
        if leftovers is None:
            leftovers = Leftovers(self._services, *self._target[:2], self._options)
            if not self._commit.append:
                self._look_at_replaced(leftovers)
        publish(
            self._services,
            self._target,
            self._commit,
            product,
            self._options,
            leftovers=leftovers,
            undo=undo,
        )

    def _look_at_replaced(self, leftovers: Leftovers) -> None:
        try:
            leftovers.look_at(self._target.name)
        except exc.OioException as err:
            self._services.logger.warning(
                "What is in Backblaze of the %r that is replaced may stay: %s", self._target.name, err
            )


def _measure(perfdata: Perfdata, size: int) -> None:
    for prefix in ("connect.", "upload."):
        compute_perfdata_stats(perfdata, prefix)
    add_figure(perfdata, "data_size", size)


def _family(chunk_method: str) -> tuple[object, ...]:
    """What chunks must have in common to be of one object."""
    method = STORAGE_METHODS.load(chunk_method)
    return load_class(method).family(method)
