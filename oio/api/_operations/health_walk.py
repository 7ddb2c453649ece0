# SPDX-License-Identifier: Apache-2.0
"""Walks over all versions of the objects of a container, which examine or repair each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from oio.api._operations.bulk import PARALLEL_CHUNKS, in_parallel
from oio.api._operations.health import Examined, examine, failed
from oio.api._operations.health_repair import ObjectRepairer, RepairOptions
from oio.api._operations.paging import listed_versions
from oio.blob.connect import reraise_call_failure
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.health import HealthProgress, ObjectHealth, ObjectRepair
from oio.common.not_found import container_is_missing
from oio.common.storage_method import DRAINED

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.api.types import ListedObject
    from oio.common.options import Options

_ROOT = "sys.m2.sharding.root"
"""Property of shards: ID of the container that was divided."""

_Result = TypeVar("_Result", ObjectHealth, ObjectRepair)


@dataclass(frozen=True, slots=True)
class HealthTarget:
    """Container whose objects are looked at.

    :param account: None when only the ID of the container is known
    :param full_names: looks for account and container, which new chunks are stored with
    :param deep: let servers read their chunks, and compare them with their checksums
    """

    services: Services
    account: str | None
    container: str | None
    full_names: Callable[[Options], tuple[str, str]]
    deep: bool
    _roots: dict[str, str] = field(default_factory=dict, init=False)

    def home(self, options: Options) -> Options:
        """Address the container that objects belong to: that of a shard is the one that was divided.

        Chunks are stored with its names, and their IDs are computed of its ID.
        """
        cid = options.cid
        if cid is None:
            return options
        if cid not in self._roots:
            known = self.services.container.container_get_properties(options=options.renewed())
            with reading_answer():
                self._roots[cid] = str(known["system"].get(_ROOT) or cid)
        return replace(options, cid=self._roots[cid])

    def examine(
        self, name: str | None, version: int | str | None, concurrency: int, options: Options
    ) -> Examined:
        """Look at one version of an object.

        :param name: None when the options have its content ID
        :param concurrency: how many chunks at a time
        """
        # What is cached may be elsewhere by now.
        meta, chunks = self.services.container.content_locate(
            self.account,
            self.container,
            name,
            content=options.content_id,
            version=version,
            properties=False,
            options=options,
        )
        cid = self.home(options).cid_of(self.account, self.container)
        return examine(self.services, meta, chunks, cid, self.deep, concurrency, options)

    def repair(
        self, examined: Examined, wanted: RepairOptions, concurrency: int, options: Options
    ) -> ObjectRepair:
        """Repair an object.

        :param concurrency: how many metachunks at a time
        """
        names = (self.account, self.container)
        home = self.home(options)
        repairer = ObjectRepairer(self.services, names, self.full_names, examined, wanted, home)
        return repairer.repair(concurrency)


class Walk:
    """Iterator over the results of each version of each object of a container.

    A few are looked at in parallel. Delete markers and drained objects have no chunks: they are left out, as
    are versions that are deleted meanwhile.

    :param prefix: only names with this prefix
    :param concurrency: objects at a time
    :param on_progress: called with the progress after each version
    """

    def __init__(
        self,
        target: HealthTarget,
        prefix: str | None,
        concurrency: int,
        on_progress: Callable[[HealthProgress], object] | None,
        options: Options,
    ) -> None:
        self._target = target
        self._prefix = prefix
        self._concurrency = concurrency
        self._on_progress = on_progress
        self._options = options
        self._progress = HealthProgress()

    def healths(self) -> Iterator[ObjectHealth]:
        return self._each(lambda row: self._examined(row).health, lambda health: health)

    def repairs(self, wanted: RepairOptions) -> Iterator[ObjectRepair]:
        def repair(row: ListedObject) -> ObjectRepair:
            return self._target.repair(self._examined(row), wanted, 1, self._options.renewed())

        return self._each(repair, ObjectRepair)

    def _examined(self, row: ListedObject) -> Examined:
        return self._target.examine(row["name"], row["version"], PARALLEL_CHUNKS, self._options.renewed())

    def _each(
        self, act: Callable[[ListedObject], _Result], of_failure: Callable[[ObjectHealth], _Result]
    ) -> Iterator[_Result]:
        """Act on each version; a failure concerns it alone."""
        target, options = self._target, self._options

        def attempt(row: ListedObject) -> _Result | None:
            try:
                return act(row)
            except (exc.NotFound, exc.ContentDrained) as err:
                if container_is_missing(err):
                    raise
                return None
            except exc.OioException as err:
                reraise_call_failure(err, options.per_request())
                return of_failure(failed(row, err))

        client = target.services.container
        rows = (
            row
            for row in listed_versions(client, target.account, target.container, options, self._prefix)
            if not row["deleted"] and row.get("chunk_method") != DRAINED
        )
        # No green thread is left while the caller has the results.
        while group := list(islice(rows, self._concurrency)):
            for result in in_parallel(attempt, group, self._concurrency):
                if result is not None:
                    self._tell(result)
                    yield result

    def _tell(self, result: ObjectHealth | ObjectRepair) -> None:
        """Count a result, and tell how far the walk has come."""
        health = result.health if isinstance(result, ObjectRepair) else result
        repair = result if isinstance(result, ObjectRepair) else None
        known = self._progress
        self._progress = replace(
            known,
            objects=known.objects + 1,
            bytes=known.bytes + health.size,
            chunks=known.chunks + sum(len(metachunk.chunks) for metachunk in health.metachunks),
            damaged=known.damaged + (not health.is_sound),
            repaired=known.repaired + bool(repair and repair.chunks and repair.is_sound),
            failed=known.failed + (health.error is not None if repair is None else not repair.is_sound),
        )
        if self._on_progress is not None:
            self._on_progress(self._progress)
