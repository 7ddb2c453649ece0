# SPDX-License-Identifier: Apache-2.0
"""Commands that look for damage in objects, and repair it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from oio.cli._base import Arguments, Base, Listing, OnContainers, OnObjects, Rows, Versioned
from oio.cli._values import positive
from oio.common.exceptions import CommandError, OioException

if TYPE_CHECKING:
    from oio.api.types import ChunkHealth, HealthProgress, ObjectHealth, ObjectRepair

    Row: TypeAlias = Sequence[object]

_T = TypeVar("_T")

_CHECKED = ("Name", "Version", "Status", "Readable", "Damage")
_REPAIRED = ("Name", "Version", "Status", "Repaired", "Failed", "Damage")
_TELL_EVERY = 1000
"""Objects between two lines of the log."""


class _Health(Listing):
    """Base of the four commands."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("--no-checksum", action="store_true", help="do not let servers read their chunks")
        add("--concurrency", type=positive, default=8, metavar="N", help="how many at a time (default: 8)")

    def checked(self, health: ObjectHealth, formatter: str) -> Row:
        """Row of a checked object; with any damage, the command fails."""
        if not health.is_sound:
            self.status = 1
        damage = [_described(chunk) for chunk in health.damaged]
        if health.error is not None:
            damage.insert(0, {"Pos": None, "Chunk": None, "Damage": "error", "Detail": health.error})
        found = _in_format(damage, formatter)
        return health.name, health.version, health.status, health.is_readable, found

    def repaired(self, repair: ObjectRepair, formatter: str) -> Row:
        """Row of a repaired object; with any damage left, the command fails."""
        if not repair.is_sound:
            self.status = 1
        damage = [
            _described(chunk.chunk) | {"New": chunk.url, "Error": chunk.error} for chunk in repair.chunks
        ]
        health = repair.health
        if health.error is not None:
            damage.insert(0, {"Pos": None, "Chunk": None, "Damage": "error", "Error": health.error})
        counts = len(repair.repaired), len(repair.failed)
        return health.name, health.version, repair.status, *counts, _in_format(damage, formatter)


class _Repairing(_Health):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add(
            "--unreachable", action="store_true", help="replace the chunks of servers that do not answer, too"
        )
        add("--frozen", action="store_true", help="in frozen containers, too, such as snapshots")


class _OfObjects(Versioned, OnObjects, _Health):
    nargs, dest = "+", "objs"

    def rows(
        self, given: Arguments, act: Callable[..., _T], shown: Callable[[_T, str], Row]
    ) -> Iterator[Row]:
        """Check or repair each object; a failure concerns that one alone.

        :param act: call of the API for one object
        :param shown: makes the row of its result
        :raises CommandError: there are several objects, and one version
        """
        if len(given.objs) > 1 and given.version is not None:
            raise CommandError("Cannot specify a version for several objects")
        for account, container, name, cid in self.targets(given):
            try:
                found = act(
                    account,
                    container,
                    name,
                    version=given.version,
                    checksum=not given.no_checksum,
                    concurrency=given.concurrency,
                    cid=cid,
                )
            except OioException as err:
                self.fail(err)
            else:
                yield shown(found, given.formatter)


class CheckObjects(_OfObjects):
    """Look for damage in objects: chunks that are missing, damaged or in the wrong place."""

    def take_action(self, parsed_args: Arguments) -> Rows:
        return _CHECKED, self.rows(parsed_args, self.api.object_check, self.checked)


class RepairObjects(_OfObjects, _Repairing):
    """Make the chunks of objects again that are missing or damaged."""

    def take_action(self, parsed_args: Arguments) -> Rows:
        given = parsed_args
        repair = partial(self.api.object_repair, unreachable=given.unreachable, frozen=given.frozen)
        return _REPAIRED, self.rows(given, repair, self.repaired)


class _OfContainers(OnContainers, _Health):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("containers", metavar="CONTAINER", nargs="+")
        super().add_arguments(parser)
        parser.add_argument("--prefix", help="objects whose names begin so only")
        parser.add_argument("--all", action="store_true", help="show sound objects, too")

    def progress(self, progress: HealthProgress) -> None:
        """Log the progress from time to time."""
        if progress.objects % _TELL_EVERY == 0:
            text = "%d objects, %d damaged, %d repaired, %d failed"
            counts = progress.objects, progress.damaged, progress.repaired, progress.failed
            self.app.LOG.info(text, *counts)

    def rows(
        self, given: Arguments, act: Callable[..., Iterator[Any]], shown: Callable[[Any, str], Row]
    ) -> Iterator[Row]:
        """Check or repair the objects of each container; a failure concerns that one alone.

        :param act: call of the API for one container
        :param shown: makes the row of each result
        """
        for where in given.containers:
            account, container, cid = self.named(given, where)
            try:
                results = act(
                    account,
                    container,
                    given.prefix,
                    checksum=not given.no_checksum,
                    concurrency=given.concurrency,
                    on_progress=self.progress,
                    cid=cid,
                )
                for found in results:
                    # A repair has the health that it began with.
                    health: ObjectHealth = getattr(found, "health", found)
                    if given.all or not health.is_sound:
                        yield where, *shown(found, given.formatter)
            except OioException as err:
                self.fail(err)


class CheckContainers(_OfContainers):
    """Look for damage in all the objects of containers; show those that are damaged."""

    def take_action(self, parsed_args: Arguments) -> Rows:
        return ("Container", *_CHECKED), self.rows(parsed_args, self.api.container_check, self.checked)


class RepairContainers(_OfContainers, _Repairing):
    """Repair all the objects of containers; show those that were damaged."""

    def take_action(self, parsed_args: Arguments) -> Rows:
        given = parsed_args
        repair = partial(self.api.container_repair, unreachable=given.unreachable, frozen=given.frozen)
        return ("Container", *_REPAIRED), self.rows(given, repair, self.repaired)


def _described(chunk: ChunkHealth) -> dict[str, object]:
    damage = ", ".join(map(str, chunk.damage))
    return {"Pos": chunk.pos, "Chunk": chunk.url, "Damage": damage, "Detail": chunk.detail}


def _in_format(damage: list[dict[str, object]], formatter: str) -> object:
    """Damage as a cell: a list of mappings in formats that have these."""
    if formatter in {"json", "yaml"}:
        return damage
    lines = []
    for item in damage:
        words = [item["Pos"], item["Damage"], item["Chunk"], item.get("Error") or item.get("New")]
        lines.append(" ".join(str(word) for word in words if word))
    return ("\n" if formatter == "table" else "; ").join(lines)


COMMANDS: dict[str, type[Base]] = {
    "container check": CheckContainers,
    "container repair": RepairContainers,
    "object check": CheckObjects,
    "object repair": RepairObjects,
}
