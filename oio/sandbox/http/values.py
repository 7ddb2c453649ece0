# SPDX-License-Identifier: Apache-2.0
"""Values in query strings and headers: booleans, integers, escaped text."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

_TRUE: Final = frozenset({"yes", "true", "on", "enable", "enabled", "1", "yeah"})
_FALSE: Final = frozenset({"no", "false", "off", "disable", "disabled", "0", "nope"})
_INTEGER: Final = re.compile(r"[+-]?\d{1,19}")


def parse_query(text: str) -> dict[str, bytes]:
    """Decode a query string; the first occurrence of a key wins, a value with a NUL counts as absent.

    >>> parse_query("a=x+y&a=2&b=%2F")
    {'a': b'x y', 'b': b'/'}
    """
    values: dict[str, bytes] = {}
    for pair in text.split("&"):
        key, equals, value = pair.partition("=")
        decoded = unquote_to_bytes(value.replace("+", " "))
        if equals and b"\0" not in decoded:
            values.setdefault(key, decoded)
    return values


def is_true(text: str, default: bool = False) -> bool:
    """Return the boolean that a word means."""
    word = text.lower()
    return word in _TRUE or (default and word not in _FALSE)


def parse_integer(text: str) -> int | None:
    """Return the decimal integer in a text, None when there is none."""
    return int(text) if _INTEGER.fullmatch(text) else None


def is_hexadecimal(text: str) -> bool:
    """Return whether a text is a whole number of bytes in hexadecimal, one at least."""
    return bool(re.fullmatch(r"([0-9a-fA-F]{2})+", text))


def escape(text: str) -> str:
    """Percent-escape all bytes but the unreserved ones, for a header.

    >>> escape("é/ x")
    '%C3%A9%2F%20x'
    """
    return quote(text, safe="")
