# SPDX-License-Identifier: Apache-2.0
"""Calls that look for damage in objects, and repair it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from oio.api._facade.argument_checks import check_batch, check_listing
from oio.api._facade.call import ApiBase, ContainerCall, ObjectCall
from oio.api._operations.bulk import PARALLEL_CHUNKS
from oio.common.arguments import WrongType, check_flag, shorten
from oio.common.exceptions import OioException
from oio.common.not_found import raise_if_no_container

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.api._operations.health_repair import RepairOptions
    from oio.api._operations.health_walk import HealthTarget, Walk
    from oio.api.types import BulkOptions, HealthProgress, ObjectHealth, ObjectRepair, ReadOptions
    from oio.common.options import Options

_PARALLEL_OBJECTS = 8

_T = TypeVar("_T")


class HealthApi(ApiBase):
    """Calls that look for damage in objects, and repair it."""

    def object_check(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        *,
        checksum: bool = True,
        concurrency: int = PARALLEL_CHUNKS,
        **kwargs: Unpack[ReadOptions],
    ) -> ObjectHealth:
        """Compare each chunk of an object with what its policy asks for. Nothing is changed.

        :param obj: name of the object; None when ``content_id`` gives its content ID
        :param version: version of the object, the latest by default
        :param checksum: let each chunk server read its chunk, and compare it with its checksum. Without, only
            chunks that are missing, short, in the wrong place or of another object are noticed
        :param concurrency: how many chunks are looked at at a time
        :returns: what was found, chunk by chunk; damage is no exception
        :raises NoSuchObject: there is no such object, or its latest version is a delete marker
        :raises ContentDrained: its chunks were removed
        :raises InvalidStorageMethod: its chunk method is not known
        :raises ConfigurationException: it is in Backblaze, and there are no credentials

        >>> health = api.object_check("doc", "box", "hello")
        >>> health.status, health.honours_policy, health.damaged
        ('sound', True, [])
        """
        with ObjectCall(self, kwargs, account, container, obj, version) as options:
            width = check_batch("concurrency", concurrency) or PARALLEL_CHUNKS
            target = self._target(account, container, checksum)
            return target.examine(obj, version, width, options).health

    def object_repair(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        *,
        checksum: bool = True,
        unreachable: bool = False,
        frozen: bool = False,
        concurrency: int = PARALLEL_CHUNKS,
        **kwargs: Unpack[ReadOptions],
    ) -> ObjectRepair:
        """Make the chunks of an object again that are missing or damaged.

        All of them are looked at, as :meth:`object_check` does. New ones are made of the other copies, or of
        the other fragments.

        A new chunk goes to a server that has none of its metachunk, is verified there, and then takes the
        place of the old one, which is deleted last. When anything fails before, the new chunk is removed, and
        the object is as it was. If no other server is free, a chunk is made again where it was: the damaged
        one is deleted first. An object that is replaced, cut or deleted meanwhile stays so.

        What cannot be repaired is told by the result, and is no exception.

        :param obj: name of the object; None when ``content_id`` gives its content ID
        :param version: version of the object, the latest by default
        :param checksum: see :meth:`object_check`
        :param unreachable: also make chunks again whose servers do not answer. These servers then keep chunks
            that nothing names when they come back
        :param frozen: also if the container is frozen, as snapshots are
        :param concurrency: how many chunks are looked at, and how many metachunks repaired, at a time. One
            chunk of each metachunk that is erasure-coded is held in memory
        :returns: what was found, and what became of each damaged chunk
        :raises NoSuchObject: there is no such object, or its latest version is a delete marker
        :raises ContentDrained: its chunks were removed
        :raises InvalidStorageMethod: its chunk method is not known
        :raises ConfigurationException: it is in Backblaze, and there are no credentials

        >>> repair = api.object_repair("doc", "box", "hello")
        >>> repair.status, repair.repaired, repair.failed
        ('sound', [], [])
        """
        with ObjectCall(self, kwargs, account, container, obj, version) as options:
            width = check_batch("concurrency", concurrency) or PARALLEL_CHUNKS
            target = self._target(account, container, checksum)
            repair_options = _repair_options(unreachable, frozen)
            examined = target.examine(obj, version, width, options)
            return target.repair(examined, repair_options, width, options.renewed())

    def container_check(
        self,
        account: str | None,
        container: str | None,
        prefix: str | None = None,
        *,
        checksum: bool = True,
        concurrency: int = _PARALLEL_OBJECTS,
        on_progress: Callable[[HealthProgress], object] | None = None,
        **kwargs: Unpack[BulkOptions],
    ) -> Iterator[ObjectHealth]:
        """Iterate over the health of all versions of the objects of a container, sound ones included.

        Delete markers and drained objects have no chunks: they are left out. An object that cannot be looked
        at has an ``error``, and the next one follows.

        :param prefix: only objects whose names have this prefix
        :param checksum: see :meth:`object_check`
        :param concurrency: how many objects are looked at at a time, and up to 8 chunks of each
        :param on_progress: called after each object, in the thread of the caller
        :param kwargs: also ``deadline`` (monotonic seconds), which bounds all of the iteration
        :returns: an iterator of what :meth:`object_check` gives, in the order of names, newest version first
        :raises NoSuchContainer: at the first item: there is no such container

        >>> [health.name for health in api.container_check("doc", "box") if not health.is_sound]
        []
        """
        walk, options = self._walk(account, container, prefix, checksum, concurrency, on_progress, kwargs)
        return _explained(walk.healths(), container or options.cid, options)

    def container_repair(
        self,
        account: str | None,
        container: str | None,
        prefix: str | None = None,
        *,
        checksum: bool = True,
        unreachable: bool = False,
        frozen: bool = False,
        concurrency: int = _PARALLEL_OBJECTS,
        on_progress: Callable[[HealthProgress], object] | None = None,
        **kwargs: Unpack[BulkOptions],
    ) -> Iterator[ObjectRepair]:
        """Repair all versions of the objects of a container, one by one, by iterating.

        Each is repaired as by :meth:`object_repair`. **Nothing is done but by iterating**: whoever stops
        early leaves the rest as it is, but for those that were repaired at the same time.

        :param prefix: only objects whose names have this prefix
        :param checksum: see :meth:`object_check`
        :param unreachable: see :meth:`object_repair`
        :param frozen: see :meth:`object_repair`
        :param concurrency: how many objects at a time
        :param on_progress: called after each object, in the thread of the caller
        :param kwargs: also ``deadline`` (monotonic seconds), which bounds all of the iteration
        :returns: an iterator of what :meth:`object_repair` gives, sound objects included
        :raises NoSuchContainer: at the first item: there is no such container

        >>> [repair.health.name for repair in api.container_repair("doc", "box") if not repair.is_sound]
        []
        """
        repair_options = _repair_options(unreachable, frozen)
        walk, options = self._walk(account, container, prefix, checksum, concurrency, on_progress, kwargs)
        return _explained(walk.repairs(repair_options), container or options.cid, options)

    def _walk(
        self,
        account: str | None,
        container: str | None,
        prefix: str | None,
        checksum: bool,
        concurrency: int,
        on_progress: Callable[[HealthProgress], object] | None,
        given: BulkOptions,
    ) -> tuple[Walk, Options]:
        from oio.api._operations.health_walk import Walk

        with ContainerCall(self, given, account, container) as options:
            check_listing(prefix=prefix)
            width = check_batch("concurrency", concurrency) or _PARALLEL_OBJECTS
            if on_progress is not None and not callable(on_progress):
                raise WrongType(f"on_progress must be callable: {shorten(on_progress)}")
            target = self._target(account, container, checksum)
            return Walk(target, prefix, width, on_progress, options), options

    def _target(self, account: str | None, container: str | None, checksum: bool) -> HealthTarget:
        # Seldom needed: the client is ready sooner without what looks for damage.
        from oio.api._operations.health_walk import HealthTarget

        names = partial(self._names_of, account, container)
        return HealthTarget(self, account, container, names, check_flag("checksum", checksum))


def _repair_options(unreachable: bool, frozen: bool) -> RepairOptions:
    from oio.api._operations.health_repair import RepairOptions

    return RepairOptions(check_flag("unreachable", unreachable), check_flag("frozen", frozen))


def _explained(items: Iterator[_T], container: str | None, options: Options) -> Iterator[_T]:
    """Iterate, and tell by the exceptions what does not exist, and the request ID."""
    try:
        yield from items
    except OioException as err:
        err.reqid = err.reqid or options.reqid
        raise_if_no_container(err, container)
        raise
