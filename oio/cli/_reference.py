# SPDX-License-Identifier: Apache-2.0
"""Commands on references."""

from __future__ import annotations

import argparse

from oio.cli._base import (
    Arguments,
    Base,
    Fields,
    Listing,
    Rows,
    Showing,
    Silent,
    add_properties,
    add_property_names,
)


class _OnReference(Base):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("reference", metavar="REFERENCE")
        super().add_arguments(parser)


class _OnReferences(Base):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("references", metavar="REFERENCE", nargs="+")
        super().add_arguments(parser)


class _OnServices(_OnReference, Silent):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("type", metavar="SRV_TYPE", help="type of the services")


class CreateReferences(_OnReferences, Listing):
    """Create references."""

    def take_action(self, parsed_args: Arguments) -> Rows:
        account, create = self.context.account, self.api.directory.create
        options = self.options
        rows = ((name, create(account, name, options=options)) for name in parsed_args.references)
        return ("Name", "Created"), rows


class DeleteReferences(_OnReferences, Silent):
    """Delete references."""

    def take_action(self, parsed_args: Arguments) -> None:
        """Delete them; the first failure ends it."""
        for name in parsed_args.references:
            self.api.directory.delete(self.context.account, name, options=self.options)


class ListServices(_OnReference, Listing):
    """List the services that are linked to a reference."""

    def take_action(self, parsed_args: Arguments) -> Rows:
        known = self.api.directory.list(self.context.account, parsed_args.reference, options=self.options)
        columns = ("Type", "Host", "Args", "Seq")
        return columns, ([service[name.lower()] for name in columns] for service in known["srv"])


class ShowReference(_OnReference, Showing):
    """Show a reference."""

    def take_action(self, parsed_args: Arguments) -> Fields:
        account, name = self.context.account, parsed_args.reference
        known = self.api.directory.get_properties(account, name, options=self.options)
        fields: dict[str, object] = {"account": account, "name": name, "cid": known["cid"]}
        fields |= {f"meta.{key}": value for key, value in known["properties"].items()}
        return self.shown(fields)


class LocateReference(_OnReference, Showing):
    """Show the services that keep a reference."""

    def take_action(self, parsed_args: Arguments) -> Fields:
        account, name = self.context.account, parsed_args.reference
        known = self.api.directory.list(account, name, options=self.options)
        fields = {"account": account, "name": name, "cid": known["cid"]}
        for kind in ("meta0", "meta1"):
            fields[kind] = ", ".join(srv["host"] for srv in known["dir"] if srv["type"] == kind)
        return self.shown(fields)


class SetReference(_OnReference, Silent):
    """Set properties of a reference."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add_properties(parser)
        parser.add_argument("--clear", action="store_true", help="remove the others first")

    def take_action(self, parsed_args: Arguments) -> None:
        """Set them; none is no error."""
        self.api.directory.set_properties(
            self.context.account,
            parsed_args.reference,
            parsed_args.properties,
            clear=parsed_args.clear,
            options=self.options,
        )


class UnsetReference(_OnReference, Silent):
    """Remove properties of a reference."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add_property_names(parser, required=True)

    def take_action(self, parsed_args: Arguments) -> None:
        self.api.directory.del_properties(
            self.context.account, parsed_args.reference, parsed_args.properties, options=self.options
        )


class LinkServices(_OnServices):
    """Choose services for a reference, and link them to it."""

    def take_action(self, parsed_args: Arguments) -> None:
        self.api.directory.link(
            self.context.account, parsed_args.reference, parsed_args.type, options=self.options
        )


class UnlinkServices(_OnServices):
    """Unlink all services of a type from a reference."""

    def take_action(self, parsed_args: Arguments) -> None:
        self.api.directory.unlink(
            self.context.account, parsed_args.reference, parsed_args.type, options=self.options
        )


class PollServices(_OnServices):
    """Choose the services of a reference again."""

    def take_action(self, parsed_args: Arguments) -> None:
        self.api.directory.renew(
            self.context.account, parsed_args.reference, parsed_args.type, options=self.options
        )


class ForceServices(_OnReference, Silent):
    """Link these services to a reference."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("host", metavar="HOST", help="address of the service; several are separated by commas")
        add("type", metavar="SRV_TYPE", help="type of the service")
        add("--seq", type=int, default=1, metavar="N", help="place among those of its type")
        add("--args", default="", help="for the service")
        add("--replace", action="store_true", help="unlink what is in this place")

    def take_action(self, parsed_args: Arguments) -> None:
        service = {
            "host": parsed_args.host,
            "type": parsed_args.type,
            "seq": parsed_args.seq,
            "args": parsed_args.args,
        }
        self.api.directory.force(
            self.context.account,
            parsed_args.reference,
            parsed_args.type,
            service,
            replace=parsed_args.replace,
            options=self.options,
        )


COMMANDS: dict[str, type[Base]] = {
    "reference create": CreateReferences,
    "reference delete": DeleteReferences,
    "reference force": ForceServices,
    "reference link": LinkServices,
    "reference list": ListServices,
    "reference locate": LocateReference,
    "reference poll": PollServices,
    "reference set": SetReference,
    "reference show": ShowReference,
    "reference unlink": UnlinkServices,
    "reference unset": UnsetReference,
}
