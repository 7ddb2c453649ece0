# SPDX-License-Identifier: Apache-2.0
"""Values given as text (options, headers, query strings) and their types."""

from __future__ import annotations

import string
from typing import Any, TypeVar

_T = TypeVar("_T")

TRUE_VALUES = frozenset(("true", "1", "yes", "on", "t", "y"))
FALSE_VALUES = frozenset(("false", "0", "no", "off", "f", "n"))
METRIC_SYMBOLS = ("", "K", "M", "G", "T", "P", "E", "Z", "Y")


def _is_absent(value: object) -> bool:
    # Not a set: the value may have no hash.
    return value is None or value in ("", "None")


def int_value(value: Any, default: _T) -> int | _T:
    """Convert to an integer; ``default`` when the value is ``None``, ``"None"`` or empty.

    :raises ValueError: the value is no integer.

    >>> int_value("12", 0), int_value("", 0)
    (12, 0)
    """
    return default if _is_absent(value) else int(value)


def float_value(value: Any, default: _T) -> float | _T:
    """Convert to a float; ``default`` when the value is ``None``, ``"None"`` or empty.

    :raises ValueError: the value is no number.

    >>> float_value("1.5", None), float_value(None, 2.0)
    (1.5, 2.0)
    """
    return default if _is_absent(value) else float(value)


def true_value(value: object) -> bool:
    """Tell if the value is ``True`` or one of the words that mean it, in any letter case.

    >>> true_value("Yes"), true_value("maybe"), true_value(None)
    (True, False, False)
    """
    return value is True or (isinstance(value, (str, int)) and str(value).lower() in TRUE_VALUES)


def text_value(value: object) -> str:
    """Convert to the text that a header carries; bytes stand for the characters of the same numbers.

    >>> text_value(b"abc"), text_value(12)
    ('abc', '12')
    """
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def boolean_value(value: object, default: bool = False) -> bool:
    """Convert a boolean or a word to a boolean; ``default`` when the value is ``None`` or empty.

    :raises ValueError: the value is none of the known words.

    >>> boolean_value("off", True), boolean_value(None, True)
    (False, True)
    """
    if _is_absent(value):
        return default
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in TRUE_VALUES:
        return True
    if word in FALSE_VALUES:
        return False
    raise ValueError(f"{value!r} is not a boolean")


def convert_size(size: float, unit: str = "") -> str:
    """Write a size with a decimal prefix and three decimals; as it is when below one thousand.

    >>> convert_size(1234567, "B"), convert_size(999)
    ('1.235MB', '999')
    """
    if abs(size) < 1000:
        return f"{size}{unit}"
    scaled = float(size)
    for symbol in METRIC_SYMBOLS:
        # Compare the rounded number: 999999.9 is 1.000M, not 1000.000K.
        if abs(round(scaled, 3)) < 1000 or symbol == METRIC_SYMBOLS[-1]:
            break
        scaled /= 1000
    return f"{scaled:.3f}{symbol}{unit}"


def is_hexa(value: str, size: int | None = None) -> bool:
    """Tell if the text is made of hexadecimal digits, ``size`` of them when given.

    >>> is_hexa("00fF"), is_hexa("00fF", 2), is_hexa("0x12"), is_hexa("")
    (True, False, False, False)
    """
    return bool(value) and (size is None or len(value) == size) and set(value) <= set(string.hexdigits)


def debinarize(obj: Any) -> Any:
    """Decode every byte string inside of lists, tuples and dictionaries as UTF-8.

    >>> debinarize({b"k": [b"v", 1]})
    {'k': ['v', 1]}
    """
    if isinstance(obj, bytes):
        return obj.decode("utf-8")
    if isinstance(obj, (list, tuple)):
        return type(obj)(debinarize(item) for item in obj)
    if isinstance(obj, dict):
        return {debinarize(key): debinarize(item) for key, item in obj.items()}
    return obj
