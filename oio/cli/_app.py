# SPDX-License-Identifier: Apache-2.0
"""The program ``openio``: commands, batches of commands, exit statuses and logs."""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import logging
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NoReturn

from cliff.app import App

from oio._version import __version__
from oio.cli._commands import Commands
from oio.cli._context import Clients
from oio.cli._errors import explain
from oio.cli._formats import printable
from oio.cli._options import add_global_options
from oio.cli._streams import abandon, open_standard_streams, print_anything, read_anything

_USAGE_ERROR = 2
_INTERRUPTED = 130
_BROKEN_PIPE = 141
_NO_OPTION = "\0"
"""Beginning of the words after ``--`` while they are parsed. No argument of a process can have it."""
_LEVELS = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO}


class _Parser(argparse.ArgumentParser):
    """Parser that tells of a stream which does not take its texts; the standard one is silent."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:
            (file or sys.stderr).write(message)


def _tell_bad_usage_in_one_line(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Make a parser escape what it quotes of the words: they may hold lines, and controls of terminals."""
    tell = parser.error

    def error(message: str) -> NoReturn:
        tell(_line(message.replace(_NO_OPTION, "")))

    parser.error = error  # type: ignore[method-assign]
    return parser


def _parsed(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """Parse the words of a command. Options may be between the others; what follows ``--`` is none."""
    if "--" in words:
        # The standard parser drops it when it comes first or after an option, and takes names for options.
        place = words.index("--")
        rest = (_NO_OPTION + word if word.startswith("-") else word for word in words[place + 1 :])
        words = [*words[:place], *rest]
    parsed = parser.parse_intermixed_args(words)
    for name, value in vars(parsed).items():
        if isinstance(value, list):
            setattr(parsed, name, [_bare(item) for item in value])
        else:
            setattr(parsed, name, _bare(value))
    return parsed


def _bare(value: object) -> object:
    return value.removeprefix(_NO_OPTION) if isinstance(value, str) else value


def _line(text: str) -> str:
    return str(printable(text)).replace("\n", r"\n")


class Openio(App):
    """The program ``openio``."""

    NAME = "openio"
    LOG = logging.getLogger("openio")

    def __init__(self) -> None:
        open_standard_streams()
        super().__init__("The client of OpenIO SDS.", __version__, Commands(), deferred_help=True)
        self.clients = Clients()
        #: Whether the standard input is read for commands.
        self.in_batch = False
        self.perfdata: dict[str, object] = {}

    def build_option_parser(
        self, description: str, version: str, argparse_kwargs: object = None
    ) -> argparse.ArgumentParser:
        """Make the parser of the global options, which may be anywhere on the line."""
        parser = _Parser(prog=self.NAME, description=description, add_help=False, allow_abbrev=False)
        add_global_options(parser, f"{self.NAME} {version}")
        return _tell_bad_usage_in_one_line(parser)

    def run(self, argv: list[str]) -> int:
        """Run one command, or those of a batch; return the exit status."""
        try:
            try:
                return self._run(argv)
            except SystemExit as end:
                return end.code if isinstance(end.code, int) else int(end.code is not None)
            except KeyboardInterrupt:
                return _INTERRUPTED
            except BrokenPipeError:
                abandon(self.stdout)
                return _BROKEN_PIPE
            except Exception as err:  # noqa: BLE001 - a log file that cannot be written, a batch that is no text
                abandon(self.stdout)
                self.stderr.write(f"{explain(err)}\n")
                return 1
            finally:
                self.stderr.flush()
        except OSError:
            # The standard error cannot be written either.
            abandon(self.stderr)
            return 1

    def _run(self, argv: list[str]) -> int:
        try:
            print_anything(self.stdout)
            self.options, words = self.parser.parse_known_args(argv)
            with contextlib.closing(self.clients), self._logging():
                if self.options.deferred_help:
                    words = ["help", *words]
                return self._profiled(self.run_subcommand, words) if words else self._run_batch()
        finally:
            self.stdout.flush()

    def _profiled(self, call: Callable[[list[str]], int], words: list[str]) -> int:
        """Run commands, with a profile if one is wanted."""
        if not self.options.profile:
            return call(words)
        if not self.options.profile_early:
            # Imported now, the command and the client are not part of the profile.
            with contextlib.suppress(ValueError):
                self.command_manager.find_command(words)
            import_module("oio.api.object_storage")
        profiler: Any = import_module(self.options.profiler).Profile()
        try:
            return int(profiler.runcall(call, words))
        finally:
            profiler.dump_stats(self.options.profile)

    def run_subcommand(self, argv: list[str]) -> int:
        """Run one command; of an unknown one, print similar ones."""
        try:
            factory, name, words = self.command_manager.find_command(argv)
        except ValueError:
            self.stdout.write(
                f"{self.NAME}: {' '.join(argv)!r} is not an {self.NAME} command. "
                f"See '{self.NAME} --help'.\nDid you mean one of these?\n"
            )
            self.stdout.writelines(f"  {match}\n" for match in self.get_fuzzy_matches(argv[0]))
            return _USAGE_ERROR
        command = factory(self, self.options)
        parser = _tell_bad_usage_in_one_line(command.get_parser(f"{self.NAME} {name}"))
        parsed = _parsed(parser, words)
        self.perfdata = {}
        try:
            code = int(command.run(parsed) or 0)
            if self.options.dump_perfdata:
                self.stderr.write(f"Performance data: {json.dumps(self.perfdata, indent=2)}\n")
            return code
        except BrokenPipeError:
            raise
        except Exception as err:  # noqa: BLE001 - the user gets one line about any of them
            self.tell(err)
            return 1

    def tell(self, err: BaseException, before: str = "") -> None:
        """Report an error in one line; with --debug, with its traceback."""
        self.LOG.error("%s", _line(before + explain(err)), exc_info=err if self.options.debug else None)

    # --- several commands

    def _run_batch(self) -> int:
        """Run the commands of the standard input, one a line, whichever of them fail."""
        self.in_batch = True
        read_anything(self.stdin)
        options = self.options
        for line in self._lines():
            if line.lstrip().startswith("#"):
                continue
            try:
                # Comments are not cut off: they may begin within a word, and another object would be deleted.
                words = shlex.split(line)
                if words in (["quit"], ["exit"]):
                    break
                self.options, words = self.parser.parse_known_args(words, copy.copy(options))
                if self.options.deferred_help:
                    words = ["help", *words]
                if words and self._profiled(self.run_subcommand, words) == _INTERRUPTED:
                    return _INTERRUPTED
            except ValueError as err:
                self.LOG.error(explain(err))
            except SystemExit:
                continue
        self.stdout.write("\n")
        return 0

    def _lines(self) -> Iterator[str]:
        if not self.stdin.isatty():
            yield from self.stdin
            return
        while True:
            try:
                yield input(f"({self.NAME}) ")
            except EOFError:
                return

    # --- logs

    @contextlib.contextmanager
    def _logging(self) -> Iterator[None]:
        """Log to the standard error, and to a file if one is given."""
        root = logging.getLogger()
        level_before = root.level
        console = logging.StreamHandler(self.stderr)
        console.setLevel(_LEVELS.get(self.options.verbose_level, logging.DEBUG))
        handlers: list[logging.Handler] = [console]
        if self.options.log_file:
            handlers.append(logging.FileHandler(self.options.log_file))
            handlers[-1].setFormatter(logging.Formatter("[%(asctime)s] %(levelname)-8s %(name)s %(message)s"))
        # The file gets what the console shows.
        root.setLevel(console.level)
        for handler in handlers:
            root.addHandler(handler)
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _log_warning
                yield
        finally:
            root.setLevel(level_before)
            for handler in handlers:
                root.removeHandler(handler)
                handler.close()


def _log_warning(message: Warning | str, *_where: object, **_more: object) -> None:
    Openio.LOG.warning("%s", message)
