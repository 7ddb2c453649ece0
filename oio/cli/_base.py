# SPDX-License-Identifier: Apache-2.0
"""Bases of commands: silent ones, listings, descriptions of one thing, and the arguments that they share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, TypeAlias

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from oio.cli._context import Context
from oio.cli._formats import Formats
from oio.cli._values import Full, Properties, bare_cid
from oio.common.autocontainer import HashedContainerBuilder
from oio.common.exceptions import CommandError

if TYPE_CHECKING:
    from oio import ObjectStorageApi
    from oio.cli._app import Openio
    from oio.common.options import Options

Arguments: TypeAlias = argparse.Namespace
Rows: TypeAlias = tuple[Sequence[str], Iterable[Sequence[object]]]
Fields: TypeAlias = tuple[Sequence[str], Sequence[object]]

_NO_NAME = re.compile(r"[^\w.]")
_EXPANDED = re.compile(r"[\\$`]")
"""Characters that a shell expands between double quotes."""


class Base(Command):
    """A command, with its clients and its errors."""

    #: Exit status, unless there is an exception.
    status = 0

    def __init__(self, app: Openio, app_args: Arguments) -> None:
        # The name is left out: with it, cliff would look for extensions of each command.
        super().__init__(app, app_args)

    @cached_property
    def context(self) -> Context:
        """Settings and clients of the command."""
        return Context(self.app_args, self.app.clients, self.app.perfdata)

    @property
    def api(self) -> ObjectStorageApi:
        return self.context.api

    @property
    def options(self) -> Options:
        """Options of requests, for clients of services."""
        return self.context.options

    def get_epilog(self) -> str:
        """End the help with nothing: cliff would look through all installed packages."""
        return ""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Make the parser of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        self.add_arguments(parser)
        return parser

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments of the command, or those of a base."""

    def run(self, parsed_args: Arguments) -> int:
        """Run the command; return the exit status."""
        return super().run(parsed_args) or self.status

    def fail(self, err: BaseException, before: str = "") -> None:
        """Report an error, and go on: the exit status will be 1."""
        self.app.tell(err, before)
        self.status = self.status or 1


class Silent(Base):
    """A command that prints nothing when it succeeds."""


class Listing(Base, Lister):
    """A command that prints rows."""

    def _load_formatter_plugins(self) -> Formats:
        return Formats("csv", "json", "table", "value", "yaml")


class Showing(Base, ShowOne):
    """A command that prints fields."""

    def _load_formatter_plugins(self) -> Formats:
        return Formats("json", "shell", "table", "value", "yaml")

    @staticmethod
    def shown(fields: Mapping[str, object]) -> Fields:
        names = sorted(fields)
        return names, [fields[name] for name in names]

    def produce_output(
        self, parsed_args: Arguments, column_names: Sequence[str], data: Sequence[object]
    ) -> int:
        """Print the fields; those for a shell are escaped, so that it runs nothing when it evaluates them."""
        if parsed_args.formatter != "shell":
            return int(super().produce_output(parsed_args, column_names, data))
        names, chosen = self._generate_columns_and_selector(parsed_args, column_names)
        values = data if chosen is None else compress(data, chosen)
        self.formatter.emit_one(
            [_NO_NAME.sub("_", name) for name in names],
            # Cliff only escapes quotes, and only in text.
            [_EXPANDED.sub(r"\\\g<0>", str(value)) for value in values],
            self.app.stdout,
            parsed_args,
        )
        return 0


class OnContainers(Base):
    """A command on containers, which may be given by ID."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--cid", action="store_true", help="CONTAINER is the ID of a container")
        super().add_arguments(parser)

    def named(self, parsed_args: Arguments, container: str) -> tuple[str | None, str | None, str | None]:
        """Names of the account and of the container, or the ID of the container."""
        if parsed_args.cid:
            return None, None, bare_cid(container)
        return self.context.account, container, None

    def names(self, parsed_args: Arguments, container: str) -> tuple[str, str]:
        """Names of the account and of the container."""
        if parsed_args.cid:
            return self.api.resolve_cid(bare_cid(container))
        return self.context.account, container


class OnContainer(OnContainers):
    """A command on one container."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("container", metavar="CONTAINER", help="name of the container")
        super().add_arguments(parser)


class OnObjects(OnContainers):
    """A command on objects of a container. The name of the container may be computed from theirs."""

    #: ``nargs`` of the argument for objects; None for a single object.
    nargs: str | None = None
    metavar = "OBJECT"
    dest = "obj"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("container", metavar="CONTAINER", nargs="?", help="name of the container")
        if self.dest:
            parser.add_argument(self.dest, metavar=self.metavar, nargs=self.nargs)
        parser.add_argument("--auto", action="store_true", help="compute the container of each object")
        parser.add_argument("--flat-bits", type=int, metavar="N", help="bits of the containers of --auto")
        super().add_arguments(parser)

    def builder(self, parsed_args: Arguments) -> HashedContainerBuilder:
        """The function of --auto: names of objects to names of containers."""
        options = self.context.conscience.info(options=self.options)["options"]
        bits = parsed_args.flat_bits or options.get("flat_bitlength")
        if not bits:
            raise CommandError("Missing value for --flat-bits: the namespace does not say flat_bitlength")
        size = options.get("flat_hash_size")
        return HashedContainerBuilder(
            offset=int(options.get("flat_hash_offset") or 0), size=int(size) if size else None, bits=int(bits)
        )

    def container_of(self, parsed_args: Arguments) -> Callable[[str], str]:
        """A function that gives the container of an object.

        :raises CommandError: there is neither a container nor --auto
        """
        if parsed_args.auto:
            return self.builder(parsed_args)
        known = parsed_args.container
        if not known:
            raise CommandError("Missing value for container or --auto")
        return lambda _name: str(known)

    def target(self, parsed_args: Arguments) -> tuple[str | None, str | None, str, str | None]:
        """Account, container and name of the only object, and the ID of the container."""
        name: str = parsed_args.obj
        account, container, cid = self.named(parsed_args, self.container_of(parsed_args)(name))
        return account, container, name, cid

    def targets(self, parsed_args: Arguments) -> Iterator[tuple[str | None, str | None, str, str | None]]:
        """Account, container and name of each of the objects, and the ID of the container."""
        container_of = self.container_of(parsed_args)
        for name in parsed_args.objs:
            account, container, cid = self.named(parsed_args, container_of(name))
            yield account, container, name, cid


class Versioned(Base):
    """A command on one version."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--object-version", dest="version", type=int, metavar="V", help="default: the latest"
        )
        super().add_arguments(parser)


def add_properties(parser: argparse.ArgumentParser, *flags: str) -> None:
    """Add the option for properties to set."""
    parser.add_argument(
        *flags,
        "--property",
        dest="properties",
        action=Properties,
        default={},
        metavar="KEY=VALUE",
        help="property; may be repeated",
    )


def add_property_names(parser: argparse.ArgumentParser, *flags: str, required: bool = False) -> None:
    """Add the option for names of properties."""
    parser.add_argument(
        *flags,
        "--property",
        dest="properties",
        action="append",
        default=[],
        required=required,
        metavar="KEY",
        help="name of a property; may be repeated",
    )


def add_listing(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the names to list."""
    add = parser.add_argument
    add("--prefix", help="names that begin so only")
    add("--delimiter", help="fold what follows it in names")
    add("--marker", help="names after this one only")
    add("--end-marker", help="names before this one only")
    add("--no-paging", "--full", dest="full", action=Full, help="list all, as -f value")
