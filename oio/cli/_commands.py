# SPDX-License-Identifier: Apache-2.0
"""Table of the commands, whose modules are imported when a command of their group is run."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from cliff.commandmanager import CommandManager

_MODULES: dict[str, tuple[str, ...]] = {
    "account": ("_account",),
    "bucket": ("_bucket",),
    "cluster": ("_cluster",),
    "complete": ("_help",),
    "config": ("_tools",),
    "container": ("_container", "_data", "_health"),
    "help": ("_help",),
    "object": ("_object", "_data", "_health"),
    "rdir": ("_volume",),
    "reference": ("_reference",),
    "sandbox": ("_tools",),
    "sync": ("_data",),
    "volume": ("_volume",),
}
"""First word of commands -> modules with these commands."""


class Commands(CommandManager):
    """Commands, imported as late as possible: scripts call one of them in loops, and should not wait for the
    others.
    """

    def __init__(self) -> None:
        # With a namespace, cliff would look through all installed packages.
        super().__init__(None)
        self._imported: set[str] = set()

    def find_command(self, argv: list[str]) -> Any:
        """Find a command, and the words that are its arguments.

        :raises ValueError: there is none
        """
        self._import(argv[0] if argv and argv[0] in _MODULES else None)
        return super().find_command(argv)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        self._import(None)
        return iter(self.commands.items())

    def _import(self, group: str | None) -> None:
        """Import the modules of a group, or all."""
        for name in _MODULES.get(group or "", {name for names in _MODULES.values() for name in names}):
            if name not in self._imported:
                self._imported.add(name)
                for command, factory in import_module(f"oio.cli.{name}").COMMANDS.items():
                    self.add_command(command, factory)
