# SPDX-License-Identifier: Apache-2.0
"""Values of arguments, and their forms in tables."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from oio.common.arguments import WrongValue
from oio.common.easy_value import FALSE_VALUES, TRUE_VALUES, convert_size

_RANGE = re.compile(r"(\d*)-(\d*)")


class Properties(argparse.Action):
    """KEY=VALUE, which may be repeated. A word without ``=`` removes that key from those given before."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        known = dict(getattr(namespace, self.dest))
        key, equals, value = values.partition("=")
        known.pop(key, None)
        if equals:
            known[key] = value
        setattr(namespace, self.dest, known)


class Full(argparse.Action):
    """A flag that also sets the format to ``value``; a format after it on the line wins."""

    def __init__(self, option_strings: list[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, default=False, help=help)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Set the flag and the format."""
        setattr(namespace, self.dest, True)
        namespace.formatter = "value"


def boolean(text: str) -> bool:
    """Value of a boolean option.

    >>> boolean("Yes"), boolean("off")
    (True, False)
    """
    word = text.lower()
    if word not in TRUE_VALUES | FALSE_VALUES:
        raise argparse.ArgumentTypeError(f"must be true or false: {text!r}")
    return word in TRUE_VALUES


def byte_range(text: str) -> tuple[int | None, int | None]:
    """First and last byte of a range, as in HTTP.

    >>> byte_range("0-9"), byte_range("10-"), byte_range("-5")
    ((0, 9), (10, None), (None, 5))
    """
    found = _RANGE.fullmatch(text)
    if not found or text == "-":
        raise argparse.ArgumentTypeError(f"must be FIRST-LAST, FIRST- or -LENGTH: {text!r}")
    first, last = (int(digits) if digits else None for digits in found.groups())
    if first is not None and last is not None and first > last:
        raise argparse.ArgumentTypeError(f"must not end before it begins: {text!r}")
    return first, last


def positive(text: str) -> int:
    """A number of at least 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be 1 or more: {text!r}")
    return int(text)


def bare_cid(text: str) -> str:
    """ID of a container, also as the beginning of the name of its base.

    :raises ValueError: the text is no ID
    """
    cid = text.partition(".")[0].upper()
    if not re.fullmatch(r"[0-9A-F]{64}", cid):
        raise WrongValue(f"--cid: not the ID of a container: {text!r}")
    return cid


def size(number: float | str, unit: str = "B") -> str:
    """A size as tables show it.

    >>> size(999), size("3000000"), size(1200, "")
    ('999B', '3.000MB', '1.200K')
    """
    return convert_size(int(number), unit)


def utc_time(seconds: float | str) -> str:
    """A time as ISO text, without the zone.

    >>> utc_time(1795936528)
    '2026-11-29T07:15:28'
    """
    return datetime.fromtimestamp(int(float(seconds)), timezone.utc).replace(tzinfo=None).isoformat()


def in_format(properties: Mapping[str, object], formatter: str) -> object:
    """Properties as a cell: a mapping in formats that have mappings."""
    if formatter in {"json", "yaml"}:
        return dict(properties)
    separator = "\n" if formatter == "table" else " "
    return separator.join(f"{key}={value}" for key, value in properties.items())
