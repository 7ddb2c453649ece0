# SPDX-License-Identifier: Apache-2.0
"""Output formats: those of cliff, each imported when it is used."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import Any

_CLASSES = {
    "csv": "commaseparated.CSVLister",
    "json": "json_format.JSONFormatter",
    "shell": "shell.ShellFormatter",
    "value": "value.ValueFormatter",
    "yaml": "yaml_format.YAMLFormatter",
}
_NARROWEST = 8
"""Characters of the narrowest column of a table."""
_CONTROLS = {code: ascii(chr(code))[1:-1] for code in (*range(32), *range(127, 160)) if chr(code) != "\n"}
"""Control characters, as Python writes them. Line feeds stay: they separate the lines of a cell."""


def printable(value: object) -> object:
    r"""A value as people read it: a terminal would obey control characters.

    >>> print(printable("a\x1b[2Jb\tc"), printable(5))
    a\x1b[2Jb\tc 5
    """
    return value.translate(_CONTROLS) if isinstance(value, str) else value


class Formats:
    """Formats of one kind of command. Cliff would look through all installed packages for them.

    :param names: of the formats; ``table`` must be one of them
    """

    def __init__(self, *names: str) -> None:
        self._names = names

    def names(self) -> list[str]:
        return sorted(self._names)

    def __iter__(self) -> Iterator[_Format]:
        return (_Format(name) for name in self.names())

    def __getitem__(self, name: str) -> _Format:
        return _Format(name)


class _Format:
    """A format, with the interface that cliff expects.

    :param name: of the format
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def obj(self) -> _Format:
        """The object that adds the options, and prints."""
        return self

    def add_argument_group(self, parser: argparse.ArgumentParser) -> None:
        add_options = _OPTIONS.get(self._name)
        if add_options:
            add_options(parser.add_argument_group(f"format {self._name}"))

    def emit_list(self, *printed: object) -> None:
        _formatter(self._name).emit_list(*printed)

    def emit_one(self, *printed: object) -> None:
        _formatter(self._name).emit_one(*printed)


@cache
def _formatter(name: str) -> Any:
    if name == "table":
        return _table()
    module, _, kind = _CLASSES[name].partition(".")
    return getattr(import_module(f"cliff.formatters.{module}"), kind)()


def _table() -> object:
    from cliff.formatters.table import TableFormatter

    class Table(TableFormatter):
        """A table as cliff 2 prints it: no narrow columns, and as wide as need be, unless told otherwise.

        What control characters, in names that others chose, tell a terminal to do is not done.
        """

        def emit_list(self, names: Sequence[str], rows: Iterable[Sequence[object]], *more: object) -> None:
            super().emit_list(names, (list(map(printable, row)) for row in rows), *more)

        def emit_one(self, names: Sequence[str], values: Iterable[object], *more: object) -> None:
            super().emit_one(list(map(printable, names)), list(map(printable, values)), *more)

        @staticmethod
        def _assign_max_widths(
            table: Any, max_width: int, min_width: int = 0, fit_width: bool = False
        ) -> None:
            table.min_width = _NARROWEST
            if max_width > 0 or fit_width:
                TableFormatter._assign_max_widths(table, max_width, min_width, fit_width)

    return Table()


def _add_csv(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--quote",
        choices=["all", "minimal", "none", "nonnumeric"],
        dest="quote_mode",
        default="nonnumeric",
        help="what is quoted (default: nonnumeric)",
    )


def _add_json(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--noindent", action="store_true", help="on one line")


def _add_shell(group: argparse._ArgumentGroup) -> None:
    # Cliff would let these choose variables to print, as -c does.
    group.set_defaults(variables=[])
    group.add_argument("--prefix", default="", metavar="TEXT", help="before the name of each variable")


def _add_table(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--max-width",
        type=int,
        default=_number("CLIFF_MAX_TERM_WIDTH"),
        metavar="N",
        help="wrap cells, so that the table is not wider (CLIFF_MAX_TERM_WIDTH)",
    )
    add(
        "--fit-width",
        action="store_true",
        default=_number("CLIFF_FIT_WIDTH") > 0,
        help="wrap cells, so that the table is as wide as the terminal (CLIFF_FIT_WIDTH=1)",
    )
    add("--print-empty", action="store_true", help="print the head of a table without rows")


def _number(variable: str) -> int:
    """Number that an environment variable has, else 0."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else 0


_OPTIONS = {"csv": _add_csv, "json": _add_json, "shell": _add_shell, "table": _add_table}
