# SPDX-License-Identifier: Apache-2.0
"""Commands on accounts."""

from __future__ import annotations

import argparse
from typing import Any

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
from oio.cli._values import Full, size
from oio.common.exceptions import CommandError


class _OnAccount(Base):
    """A command on one account, named by an argument."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", metavar="ACCOUNT")
        super().add_arguments(parser)


class _OnAccounts(Base):
    """A command on several accounts."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("names", metavar="ACCOUNT", nargs="+")
        super().add_arguments(parser)


class CreateAccounts(_OnAccounts, Listing):
    """Create accounts."""

    def take_action(self, parsed_args: Arguments) -> Rows:
        create = self.api.account_create
        return ("Name", "Created"), ((name, create(name)) for name in parsed_args.names)


class DeleteAccounts(_OnAccounts, Silent):
    """Delete accounts, which must be empty."""

    def take_action(self, parsed_args: Arguments) -> None:
        """Delete them; the first failure ends it."""
        for name in parsed_args.names:
            self.api.account_delete(name)


class ListAccounts(Listing):
    """List the accounts."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--stats", "--long", dest="stats", action=Full, help="with their figures, as -f value"
        )

    def take_action(self, parsed_args: Arguments) -> Rows:
        names = self.api.account_list()
        if not parsed_args.stats:
            return ("Name",), ((name,) for name in names)
        figures = ("bytes", "containers", "objects", "ctime", "metadata")
        known = ((name, dict(self.api.account_show(name))) for name in names)
        return ("Name", *figures), ((name, *(info.get(key) for key in figures)) for name, info in known)


class ShowAccount(_OnAccount, Showing):
    """Show an account."""

    def take_action(self, parsed_args: Arguments) -> Fields:
        info: dict[str, Any] = dict(self.api.account_show(parsed_args.name))
        info["account"] = info.pop("id")
        info["ctime"] = str(info["ctime"])
        if parsed_args.formatter == "table":
            info["bytes"] = size(info["bytes"])
            info["objects"] = size(info["objects"], "")
            info["ctime"] = str(int(float(info["ctime"])))
        return self.shown(info)


class SetAccount(_OnAccount, Silent):
    """Set properties of an account."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add_properties(parser, "-p")

    def take_action(self, parsed_args: Arguments) -> None:
        """Set them; none is no error."""
        if parsed_args.properties:
            self.api.account_set_properties(parsed_args.name, parsed_args.properties)


class UnsetAccount(_OnAccount, Silent):
    """Remove properties of an account."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add_property_names(parser, "-p", required=True)

    def take_action(self, parsed_args: Arguments) -> None:
        self.api.account_del_properties(parsed_args.name, parsed_args.properties)


class RefreshAccount(Silent):
    """Count the objects and bytes of an account again."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", metavar="ACCOUNT", nargs="?")
        parser.add_argument("--all", action="store_true", help="all accounts")

    def take_action(self, parsed_args: Arguments) -> None:
        if not parsed_args.name and not parsed_args.all:
            raise CommandError("Missing value for account or --all")
        self.api.account_refresh(None if parsed_args.all else parsed_args.name)


class FlushAccount(_OnAccount, Silent):
    """Forget the containers of an account, which stay."""

    def take_action(self, parsed_args: Arguments) -> None:
        self.api.account_flush(parsed_args.name)


COMMANDS: dict[str, type[Base]] = {
    "account create": CreateAccounts,
    "account delete": DeleteAccounts,
    "account flush": FlushAccount,
    "account list": ListAccounts,
    "account refresh": RefreshAccount,
    "account set": SetAccount,
    "account show": ShowAccount,
    "account unset": UnsetAccount,
}
