# SPDX-License-Identifier: Apache-2.0
"""The program: its global options, its commands, how it ends, and batches of commands."""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Iterator

from cliff.app import App
from cliff.commandmanager import CommandManager

from oio._version import __version__
from oio.cli import _account, _bucket, _cluster, _container, _data, _health, _object, _reference, _tools
from oio.cli._context import Clients
from oio.cli._errors import explain

_USAGE_ERROR = 2
_INTERRUPTED = 130
_BROKEN_PIPE = 141
_LEVELS = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO}


def _commands() -> CommandManager:
    manager = CommandManager("oio.cli")
    for module in (_account, _bucket, _container, _object, _data, _health, _reference, _cluster, _tools):
        for name, command in module.COMMANDS.items():
            manager.add_command(name, command)
    return manager


class Openio(App):
    """The program ``openio``."""

    NAME = "openio"
    LOG = logging.getLogger("openio")

    def __init__(self) -> None:
        super().__init__("The client of OpenIO SDS.", __version__, _commands(), deferred_help=True)
        self.clients = Clients()
        #: Whether the standard input is read for commands.
        self.in_batch = False

    def build_option_parser(
        self, description: str, version: str, argparse_kwargs: object = None
    ) -> argparse.ArgumentParser:
        """Make the parser of the global options, which may be anywhere on the line."""
        parser = argparse.ArgumentParser(
            prog=self.NAME, description=description, add_help=False, allow_abbrev=False
        )
        add = parser.add_argument
        add("--version", action="version", version=f"{self.NAME} {version}")
        add("-h", "--help", dest="deferred_help", action="store_true", help="show this help")
        add(
            "-v",
            "--verbose",
            dest="verbose_level",
            action="count",
            default=1,
            help="log more; twice for even more",
        )
        add(
            "-q",
            "--quiet",
            dest="verbose_level",
            action="store_const",
            const=0,
            help="log nothing but errors",
        )
        add("--debug", action="store_true", help="show the traceback of errors")
        add("--log-file", metavar="FILE", help="log to this file too")
        add("--ns", "--oio-ns", dest="ns", metavar="NAMESPACE", help="name of the namespace (OIO_NS)")
        add("-a", "--account", "--oio-account", dest="account", help="name of the account (OIO_ACCOUNT)")
        add(
            "--oio-proxy",
            "--oio-proxyd-url",
            dest="proxy",
            metavar="URL",
            help="address of the proxy (OIO_PROXYD_URL; then the files of the namespace)",
        )
        add("--admin-flag", "--admin", dest="admin", action="store_true", help="ask as an administrator")
        add("--request-id", "--req-id", dest="request_id", metavar="ID", help="ID of the requests")
        add("--dump-perfdata", action="store_true", help="print the time that was spent")
        add(
            "--deadline",
            type=float,
            metavar="SECONDS",
            help="time granted to the command; it fails when that is spent",
        )
        return parser

    def run(self, argv: list[str]) -> int:
        """Run one command, or those of a batch; return the exit status."""
        try:
            self.options, words = self.parser.parse_known_args(argv)
            with contextlib.closing(self.clients), self._logging():
                code = self._run_command(words) if words else self._run_batch()
            self.stdout.flush()
            return code
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        except KeyboardInterrupt:
            return _INTERRUPTED
        except BrokenPipeError:
            # Nothing more may be written when the interpreter flushes.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _BROKEN_PIPE
        except Exception as err:  # noqa: BLE001 - a file of logs that cannot be written, a batch that is no text
            self.stderr.write(f"{explain(err)}\n")
            return 1

    def _run_command(self, words: list[str]) -> int:
        if self.options.deferred_help:
            words = ["help", *words]
        return int(self.run_subcommand(words))

    def run_subcommand(self, argv: list[str]) -> int:
        """Run one command; an unknown one is told, with similar ones."""
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
        # Options may be between the words.
        parsed = command.get_parser(f"{self.NAME} {name}").parse_intermixed_args(words)
        self.perfdata: dict[str, object] = {}
        try:
            code = int(command.run(parsed) or 0)
            if self.options.dump_perfdata:
                self.stderr.write(f"Performance data: {json.dumps(self.perfdata, indent=2)}\n")
            return code
        except BrokenPipeError:
            raise
        except Exception as err:  # noqa: BLE001 - whatever it is, the user gets one line
            self.tell(err)
            return 1

    def tell(self, err: BaseException, before: str = "") -> None:
        """Tell an error, in one line; with --debug, where it comes from."""
        self.LOG.error("%s%s", before, explain(err), exc_info=err if self.options.debug else None)

    # --- several commands

    def _run_batch(self) -> int:
        """Run the commands of the standard input, one a line, whichever of them fail."""
        self.print_help_if_requested()
        self.in_batch = True
        options = self.options
        for line in self._lines():
            if line.lstrip().startswith("#"):
                continue
            try:
                # Not its comments: they may begin within a word, and another object would be deleted.
                words = shlex.split(line)
                if words in (["quit"], ["exit"]):
                    break
                self.options, words = self.parser.parse_known_args(words, copy.copy(options))
                if words and self._run_command(words) == _INTERRUPTED:
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
        """Log to the standard error, and to a file if there is one, until the end."""
        root = logging.getLogger()
        level_before = root.level
        console = logging.StreamHandler(self.stderr)
        console.setLevel(_LEVELS.get(self.options.verbose_level, logging.DEBUG))
        handlers: list[logging.Handler] = [console]
        if self.options.log_file:
            handlers.append(logging.FileHandler(self.options.log_file))
            handlers[-1].setFormatter(logging.Formatter("[%(asctime)s] %(levelname)-8s %(name)s %(message)s"))
        # What is shown is decided here, and by the level of the console.
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
