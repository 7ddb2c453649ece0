# SPDX-License-Identifier: Apache-2.0
"""Commands about the commands: help, and completion in shells."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from oio.cli._base import Arguments, Base, Silent
from oio.common.exceptions import CommandError


class ShowHelp(Silent):
    """Show all commands, those of a group, or the arguments of one."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("words", nargs="*", metavar="COMMAND", help="default: all commands")

    def take_action(self, parsed_args: Arguments) -> None:
        words = parsed_args.words
        if not words:
            commands = {name: entry.load() for name, entry in sorted(self.app.command_manager)}
            self.app.stdout.write(f"{self.app.parser.format_help()}\nCommands:\n")
            self._list({name: _summary(command) for name, command in commands.items()})
            return
        try:
            command, name, _ = self.app.command_manager.find_command(words)
        except ValueError as err:
            group = [name for name, _ in sorted(self.app.command_manager) if name.startswith(words[0])]
            if not group:
                raise CommandError(f"Unknown command {' '.join(words)!r}") from err
            self.app.stdout.write(f'Command "{words[0]}" matches:\n')
            self._list(dict.fromkeys(group, ""))
            return
        parser = command(self.app, self.app_args).get_parser(f"{self.app.NAME} {name}")
        self.app.stdout.write(parser.format_help())

    def _list(self, rows: Mapping[str, str]) -> None:
        width = max(map(len, rows))
        for name, text in rows.items():
            self.app.stdout.write(f"  {name:<{width}}  {text}".rstrip() + "\n")


def _summary(command: type[Base]) -> str:
    return (command.__doc__ or "").partition("\n")[0].rstrip(".")


class Complete(Silent):
    """Print a script that completes commands in a shell."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--shell", choices=["bash", "zsh"], default="bash", help="default: bash")

    def take_action(self, parsed_args: Arguments) -> None:
        from oio.cli._completion import script

        parsers = {
            name: entry.load()(self.app, self.app_args).get_parser(name)
            for name, entry in sorted(self.app.command_manager)
        }
        self.app.stdout.write(script(parsed_args.shell, self.app.parser, parsers))


COMMANDS: dict[str, type[Base]] = {"complete": Complete, "help": ShowHelp}
