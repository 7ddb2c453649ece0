# SPDX-License-Identifier: Apache-2.0
"""Commands on containers."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from oio.cli._base import (
    Arguments,
    Base,
    Fields,
    Listing,
    OnContainer,
    OnContainers,
    Rows,
    Showing,
    Silent,
    add_listing,
    add_properties,
    add_property_names,
)
from oio.cli._values import boolean, size
from oio.common import constants
from oio.common.exceptions import BadRequest, CommandError, OioException
from oio.common.utils import cid_from_name

if TYPE_CHECKING:
    from oio.api.types import ContainerRow

_STATUS = {name.lower(): key for key, name in constants.OIO_DB_STATUS_NAME.items() if isinstance(key, str)}
_SETTINGS: dict[str, tuple[str, tuple[str, ...], Callable[[str], object], str]] = {
    "quota": (constants.M2_PROP_QUOTA, ("--quota",), int, "BYTES"),
    "policy": (constants.M2_PROP_STORAGE_POLICY, ("--storage-policy", "--stgpol"), str, "POLICY"),
    "max_versions": (constants.M2_PROP_VERSIONING_POLICY, ("--max-versions", "--versioning"), int, "N"),
    "delete_exceeding": (
        constants.M2_PROP_DEL_EXC_VERSIONS,
        ("--delete-exceeding-versions",),
        boolean,
        "BOOL",
    ),
    "bucket_name": (constants.M2_PROP_BUCKET_NAME, ("--bucket-name",), str, "BUCKET"),
}
"""Setting -> system property, options, and type and name of their value."""


def _add_system(parser: argparse.ArgumentParser) -> None:
    for dest, (_, flags, kind, metavar) in _SETTINGS.items():
        parser.add_argument(*flags, dest=dest, type=kind, metavar=metavar)


def _system(parsed_args: Arguments) -> dict[str, str]:
    """System properties that the options set."""
    given = {key: getattr(parsed_args, name) for name, (key, *_) in _SETTINGS.items()}
    # The services have 1 and 0 for True and False.
    return {
        key: str(int(value)) if isinstance(value, bool) else str(value)
        for key, value in given.items()
        if value is not None
    }


def _status(system: Mapping[str, str]) -> str:
    return constants.OIO_DB_STATUS_NAME.get(system.get("sys.status", "0"), "Unknown")


class CreateContainers(Listing):
    """Create containers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("names", metavar="CONTAINER", nargs="+")
        add_properties(parser)
        _add_system(parser)

    def take_action(self, parsed_args: Arguments) -> Rows:
        """Create one, whose failure is an error, or many by one request."""
        account, names = self.context.account, parsed_args.names
        properties, system = parsed_args.properties, _system(parsed_args)
        columns = ("Name", "Created")
        if len(names) == 1:
            return columns, [(names[0], self.api.container_create(account, names[0], properties, system))]
        rows = self.api.container_create_many(account, names, properties, system)
        for name, created in rows:
            if not created:
                # Report why, unless it is there.
                try:
                    self.api.container_create(account, name, properties, system)
                except OioException as err:
                    self.fail(err, f"{name}: ")
        return columns, rows


class _OnSeveral(OnContainers):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("containers", metavar="CONTAINER", nargs="+")
        super().add_arguments(parser)


class DeleteContainers(_OnSeveral, Silent):
    """Delete containers, which must be empty."""

    def take_action(self, parsed_args: Arguments) -> None:
        """Delete them; the first failure ends it."""
        for name in parsed_args.containers:
            account, container, cid = self.named(parsed_args, name)
            self.api.container_delete(account, container, cid=cid)


class TouchContainers(_OnSeveral, Silent):
    """Let containers send their state to their account."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--recompute", action="store_true", help="count objects and bytes first")

    def take_action(self, parsed_args: Arguments) -> None:
        for name in parsed_args.containers:
            account, container, cid = self.named(parsed_args, name)
            self.api.container_touch(account, container, recompute=parsed_args.recompute, cid=cid)


class ListContainers(Listing):
    """List the containers of the account."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_listing(parser)
        parser.add_argument("--limit", metavar="N", help="of a page")

    def take_action(self, parsed_args: Arguments) -> Rows:
        """List a page of them, or all."""
        account, given = self.context.account, parsed_args
        which: dict[str, Any] = {
            name: getattr(given, name) for name in ("prefix", "delimiter", "marker", "end_marker")
        }
        listed: Iterable[ContainerRow]
        if given.full:
            listed = self.api.container_list_all(account, **which)
        else:
            listed = self.api.container_list(account, limit=_limit(given.limit), **which)
        return ("Name", "Bytes", "Count", "Mtime", "CID"), self._rows(account, listed)

    @staticmethod
    def _rows(account: str, listed: Iterable[ContainerRow]) -> Iterator[Sequence[object]]:
        for name, objects, used, _is_prefix, mtime in listed:
            yield name, used, objects, mtime, cid_from_name(account, name)


def _limit(text: str | None) -> int | None:
    """Size of a page. A bad one is no bad usage (status 2): in 7.3.0, the service refuses it (status 1)."""
    try:
        return None if text is None else int(text)
    except ValueError:
        raise CommandError(f"--limit must be a number: {text!r}") from None


class ShowContainer(OnContainer, Showing):
    """Show a container."""

    def take_action(self, parsed_args: Arguments) -> Fields:
        account, container, cid = self.named(parsed_args, parsed_args.container)
        known = self.api.container_get_properties(account, container, cid=cid)
        system = known["system"]
        default = "Namespace default"
        fields: dict[str, Any] = {
            "account": system["sys.account"],
            "base_name": system["sys.name"],
            "bytes_usage": system.get(constants.M2_PROP_USAGE, 0),
            "container": system["sys.user.name"],
            "ctime": float(system[constants.M2_PROP_CTIME]) / 1000000.0,
            "damaged_objects": system.get(constants.M2_PROP_OBJECTS_DAMAGED, 0),
            "max_versions": system.get(constants.M2_PROP_VERSIONING_POLICY, default),
            "missing_chunks": system.get(constants.M2_PROP_CHUNKS_MISSING, 0),
            "objects": system.get(constants.M2_PROP_OBJECTS, 0),
            "quota": system.get(constants.M2_PROP_QUOTA, default),
            "status": _status(system),
            "storage_policy": system.get(constants.M2_PROP_STORAGE_POLICY, default),
        }
        if constants.M2_PROP_BUCKET_NAME in system:
            fields["bucket"] = system[constants.M2_PROP_BUCKET_NAME]
        if constants.M2_PROP_DEL_EXC_VERSIONS in system:
            fields["delete_exceeding_versions"] = system[constants.M2_PROP_DEL_EXC_VERSIONS] == "1"
        # After the other request, whose exceptions say what is wrong.
        urgent = self.api.container.container_get_properties(
            account, container, urgent=True, options=self.options, cid=cid
        )
        fields |= _space(urgent["system"])
        fields |= {f"meta.{key}": value for key, value in known["properties"].items()}
        if parsed_args.formatter == "table":
            fields["bytes_usage"] = size(fields["bytes_usage"])
            fields["objects"] = size(fields["objects"], "")
            fields["ctime"] = int(fields["ctime"])
        return self.shown(fields)


def _space(system: Mapping[str, str]) -> dict[str, object]:
    """Pages of the database, as far as the services know them."""
    names = ("freelist_count", "page_count", "page_size")
    known = {name: system.get(f"stats.{name}") for name in names}
    free, pages, length = (int(value or 0) for value in known.values())
    fields: dict[str, object] = {f"stats.{name}": value for name, value in known.items() if value is not None}
    if pages:
        fields["stats.space_wasted"] = f"{100.0 * free / pages:5.2f}% (est. {size(free * length, '')})"
    return fields


class SetContainer(OnContainer, Silent):
    """Set properties and settings of a container."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add_properties(parser)
        _add_system(parser)
        parser.add_argument("--clear", action="store_true", help="remove the other properties first")
        parser.add_argument("--status", metavar="STATUS", help="enabled, disabled or frozen")

    def take_action(self, parsed_args: Arguments) -> None:
        system = _system(parsed_args)
        if parsed_args.status is not None:
            if parsed_args.status not in _STATUS:
                raise CommandError(f"--status must be one of {', '.join(_STATUS)}: {parsed_args.status!r}")
            system["sys.status"] = _STATUS[parsed_args.status]
        account, container, cid = self.named(parsed_args, parsed_args.container)
        if not (system or parsed_args.properties or parsed_args.clear):
            raise BadRequest(400, 400, "No properties found in JSON object")
        self.api.container_set_properties(
            account, container, parsed_args.properties, clear=parsed_args.clear, system=system, cid=cid
        )


class UnsetContainer(OnContainer, Silent):
    """Remove properties of a container, and give settings their defaults."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add_property_names(parser)
        for dest, (_, flags, *_) in _SETTINGS.items():
            parser.add_argument(*flags, dest=dest, action="store_true")

    def take_action(self, parsed_args: Arguments) -> None:
        """Remove them; none is no error."""
        account, container, cid = self.named(parsed_args, parsed_args.container)
        system = {key: "" for name, (key, *_) in _SETTINGS.items() if getattr(parsed_args, name)}
        if parsed_args.properties:
            self.api.container_del_properties(account, container, parsed_args.properties, cid=cid)
        if system:
            self.api.container_set_properties(account, container, system=system, cid=cid)


class RefreshContainer(OnContainer, Silent):
    """Update the figures that the account has of a container."""

    def take_action(self, parsed_args: Arguments) -> None:
        account, container, cid = self.named(parsed_args, parsed_args.container)
        self.api.container_refresh(account, container, cid=cid)


class FlushContainer(OnContainer, Silent):
    """Delete all objects of a container."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--quickly", action="store_true", help="leave it to the service")

    def take_action(self, parsed_args: Arguments) -> None:
        account, container, cid = self.named(parsed_args, parsed_args.container)
        self.api.container_flush(account, container, fast=parsed_args.quickly, cid=cid)


class PurgeContainer(OnContainer, Silent):
    """Delete the oldest versions of the objects of a container."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--max-versions", type=int, metavar="N", help="default: the container's")

    def take_action(self, parsed_args: Arguments) -> None:
        account, container, cid = self.named(parsed_args, parsed_args.container)
        self.api.container_purge(account, container, parsed_args.max_versions, cid=cid)


class LocateContainer(OnContainer, Showing):
    """Show the services that keep a container."""

    def take_action(self, parsed_args: Arguments) -> Fields:
        account, container, cid = self.named(parsed_args, parsed_args.container)
        system = self.api.container_get_properties(account, container, cid=cid)["system"]
        found = system["sys.name"].partition(".")[0]
        linked = self.api.directory.list(cid=found, options=self.options)
        hosts: dict[str, list[str]] = {}
        for service in (*linked["dir"], *linked["srv"]):
            hosts.setdefault(service["type"], []).append(service["host"])
        fields = {
            "account": system["sys.account"],
            "base_name": system["sys.name"],
            "meta2.sys.peers": system.get("sys.peers", "Unknown"),
            "name": system["sys.user.name"],
            "status": _status(system),
        }
        for kind in ("meta0", "meta1", "meta2"):
            fields[kind] = ", ".join(hosts.get(kind, []))
        return self.shown(fields)


class SnapshotContainer(OnContainer, Listing):
    """Take a snapshot of a container."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("--dst-account", metavar="ACCOUNT", help="default: the same")
        add("--dst-container", metavar="CONTAINER", help="default: CONTAINER-<time>")
        add("--chunk-batch-size", type=int, default=100, metavar="N", help="chunks noted by one request")
        add("--timeout", type=float, default=60.0, metavar="SECONDS", help="limit of each answer")

    def take_action(self, parsed_args: Arguments) -> Rows:
        account, container = self.names(parsed_args, parsed_args.container)
        target = parsed_args.dst_account or account
        name = parsed_args.dst_container or f"{container}-{time.time():.5f}"
        self.api.container_snapshot(
            account,
            container,
            target,
            name,
            batch_size=parsed_args.chunk_batch_size,
            read_timeout=parsed_args.timeout,
        )
        return ("Account", "Container", "Status"), [(target, name, "OK")]


COMMANDS: dict[str, type[Base]] = {
    "container create": CreateContainers,
    "container delete": DeleteContainers,
    "container flush": FlushContainer,
    "container list": ListContainers,
    "container locate": LocateContainer,
    "container purge": PurgeContainer,
    "container refresh": RefreshContainer,
    "container set": SetContainer,
    "container show": ShowContainer,
    "container snapshot": SnapshotContainer,
    "container touch": TouchContainers,
    "container unset": UnsetContainer,
}
