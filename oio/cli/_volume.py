# SPDX-License-Identifier: Apache-2.0
"""Commands on volumes, and on the rdir services that index them."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence

from oio.cli._base import Arguments, Base, Fields, Listing, Rows, Showing
from oio.common.answers import JsonMapping
from oio.common.exceptions import CommandError, OioException

_UNKNOWN = "n/a"


class _Assigned(Listing):
    """A command that prints the rdir service of each volume."""

    #: Type of the volumes, when it is not an argument.
    kind: str | None = None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        if self.kind is None:
            parser.add_argument("kind", metavar="SRV_TYPE", choices=["rawx", "meta2"], help="rawx or meta2")
        else:
            parser.set_defaults(kind=self.kind)

    def tell_old_name(self, name: str) -> None:
        """Warn of an old name of a command."""
        if self.kind is not None:
            self.app.LOG.warning("This is an old name: use 'openio %s %s'", name, self.kind)

    @staticmethod
    def assigned(kind: str, services: Sequence[JsonMapping]) -> Rows:
        title = kind.capitalize()
        rows = [
            (_address(service), service["id"], _location(service.get("rdir") or {}), _location(service))
            for service in services
        ]
        return ("Rdir", title, "Rdir location", f"{title} location"), sorted(rows)


def _address(service: JsonMapping) -> str:
    return str((service.get("rdir") or {}).get("addr", _UNKNOWN))


def _location(service: JsonMapping) -> str:
    return str(service.get("tags", {}).get("tag.loc", _UNKNOWN))


class ListAssignments(_Assigned):
    """List the volumes of a type, and the rdir service that indexes each."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--aggregated", action="store_true", help="list the rdir services with their volumes"
        )

    def take_action(self, parsed_args: Arguments) -> Rows:
        self.tell_old_name("rdir assignments")
        services, rdirs = self.context.dispatcher.get_assignments(parsed_args.kind, options=self.options)
        if not parsed_args.aggregated:
            return self.assigned(parsed_args.kind, services)
        volumes: dict[str, list[str]] = {rdir["addr"]: [] for rdir in rdirs}
        for service in services:
            volumes.setdefault(_address(service), []).append(service["id"])
        rows = [(rdir, len(some), " ".join(sorted(some))) for rdir, some in sorted(volumes.items())]
        return ("Rdir", "Number of bases", "Bases"), rows


class AssignVolumes(_Assigned):
    """Give an rdir service to each volume of a type that has none."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("--max-per-rdir", type=int, metavar="N", help="volumes that an rdir service has at most")
        add("--min-dist", type=int, metavar="N", help="last parts of both locations that differ at least")
        add("--service-id", metavar="ID", help="the only volume to do this for")
        add("--dry-run", action="store_true", help="change nothing, and tell what would be done")

    def take_action(self, parsed_args: Arguments) -> Rows:
        """Give them; a failure for one volume does not prevent the others."""
        self.tell_old_name("rdir bootstrap")
        given, dispatcher = parsed_args, self.context.dispatcher
        try:
            services = dispatcher.assign_services(
                given.kind,
                given.max_per_rdir,
                min_dist=given.min_dist,
                service_id=given.service_id,
                dry_run=given.dry_run,
                options=self.options,
            )
        except OioException as err:
            self.fail(err)
            services, _ = dispatcher.get_assignments(given.kind, options=self.options)
        return self.assigned(given.kind, services)


class ListRawxAssignments(ListAssignments):
    """List the rawx services, and the rdir service that indexes each (now 'rdir assignments')."""

    kind = "rawx"


class AssignRawx(AssignVolumes):
    """Give an rdir service to each rawx service that has none (now 'rdir bootstrap')."""

    kind = "rawx"


class _OnVolume(Showing):
    """A command on one volume."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("volume", metavar="RAWX", help="ID or address of a rawx service")


class ShowVolume(_OnVolume):
    """Count the chunks of a volume, as its rdir service knows them."""

    def take_action(self, parsed_args: Arguments) -> Fields:
        counts = self.context.dispatcher.rdir.status(parsed_args.volume, options=self.options)
        fields = {f"container.{cid}": json.dumps(count) for cid, count in counts["container"].items()}
        return self.shown(fields | {"chunk": json.dumps(counts["chunk"])})


class ShowVolumeState(_OnVolume):
    """Show who has locked a volume, and its last incident."""

    def take_action(self, parsed_args: Arguments) -> Fields:
        rdir, volume = self.context.dispatcher.rdir, parsed_args.volume
        known = rdir.admin_show(volume, options=self.options)
        date = rdir.admin_incident_get(volume, options=self.options)
        fields = (known | {"incident": date}) if date else known
        return ("volume", *sorted(fields)), (volume, *(fields[name] for name in sorted(fields)))


class _OnVolumes(Listing):
    """A command that does something to volumes, one by one."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("volumes", metavar="RAWX", nargs="+", help="IDs or addresses of rawx services")

    def each(self, volumes: Sequence[str], action: Callable[[str], object]) -> Rows:
        """Act on each, and show which succeeded."""
        rows = []
        for volume in volumes:
            try:
                action(volume)
                rows.append((volume, True))
            except OioException as err:
                self.fail(err, f"{volume}: ")
                rows.append((volume, False))
        return ("Volume", "Success"), rows


class DeclareIncident(_OnVolumes):
    """Tell that all chunks that volumes had at a date are lost."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--date",
            dest="dates",
            type=int,
            action="append",
            default=[],
            metavar="SECONDS",
            help="in order of the volumes (default: now); may be repeated",
        )

    def take_action(self, parsed_args: Arguments) -> Rows:
        dates, volumes = parsed_args.dates, parsed_args.volumes
        if len(dates) > len(volumes):
            raise CommandError("There are more values of --date than volumes")
        dates = [*dates, *[int(time.time())] * (len(volumes) - len(dates))]
        rdir, options = self.context.dispatcher.rdir, self.options
        known = dict(zip(volumes, dates, strict=True))
        _, rows = self.each(
            volumes, lambda volume: rdir.admin_incident_set(volume, known[volume], options=options)
        )
        return ("Volume", "Date"), [(volume, known[volume]) for volume, done in rows if done]


class LockVolumes(_OnVolumes):
    """Lock volumes, so that one rebuilder at a time works on each."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--key", required=True, help="name of who locks them")

    def take_action(self, parsed_args: Arguments) -> Rows:
        rdir, options = self.context.dispatcher.rdir, self.options
        return self.each(
            parsed_args.volumes, lambda volume: rdir.admin_lock(volume, parsed_args.key, options=options)
        )


class UnlockVolumes(_OnVolumes):
    """Unlock volumes, whoever locked them."""

    def take_action(self, parsed_args: Arguments) -> Rows:
        rdir, options = self.context.dispatcher.rdir, self.options
        return self.each(parsed_args.volumes, lambda volume: rdir.admin_unlock(volume, options=options))


class ClearVolumes(_OnVolumes):
    """Let the rdir services of volumes forget chunks."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("--all", action="store_true", help="all chunks")
        add("--before-incident", action="store_true", help="those that were there at the incident")
        add("--repair", action="store_true", help="mend the entries that are broken")

    def take_action(self, parsed_args: Arguments) -> Rows:
        """Forget them; the reason of a failure is in its row."""
        rdir, given = self.context.dispatcher.rdir, parsed_args
        rows = []
        for volume in given.volumes:
            try:
                done = rdir.admin_clear(
                    volume,
                    clear_all=given.all,
                    before_incident=given.before_incident,
                    repair=given.repair,
                    options=self.options,
                )
                rows.append(
                    (volume, True, ", ".join(f"{name}={count}" for name, count in sorted(done.items())))
                )
            except OioException as err:
                self.status = 1
                rows.append((volume, False, str(err)))
        return ("Volume", "Success", "Message"), rows


COMMANDS: dict[str, type[Base]] = {
    "rdir assignments": ListAssignments,
    "rdir bootstrap": AssignVolumes,
    "volume admin bootstrap": AssignRawx,
    "volume admin clear": ClearVolumes,
    "volume admin incident": DeclareIncident,
    "volume admin lock": LockVolumes,
    "volume admin show": ShowVolumeState,
    "volume admin unlock": UnlockVolumes,
    "volume assignation": ListRawxAssignments,
    "volume show": ShowVolume,
}
