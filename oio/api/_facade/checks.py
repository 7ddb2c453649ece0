# SPDX-License-Identifier: Apache-2.0
"""Checks of the arguments of the object storage API against values that services cut, ignore or misread.

Each raises a ValueError or a TypeError that names the argument and its value. It is a BadRequest too: that is
what programs expect which leave the checks to the services.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from oio.common import constants
from oio.common.arguments import WrongType, WrongValue
from oio.common.constants import MAX_ACCOUNT_BYTES, MAX_CONTAINER_BYTES, MAX_OBJECT_BYTES, TIMEOUT_KEYS
from oio.common.easy_value import float_value, int_value, text_value
from oio.common.options import KeyFile
from oio.common.ranges import Range
from oio.common.utils import shorten
from oio.container._metadata import CHUNK_SYSMETA_PREFIX

_MAX_BYTES = {
    "account": MAX_ACCOUNT_BYTES,
    "container": MAX_CONTAINER_BYTES,
    "obj": MAX_OBJECT_BYTES,
    "obj_name": MAX_OBJECT_BYTES,
}
_CID = re.compile(r"([0-9A-Fa-f]{1,64})(\.[0-9]+)?")
_CONTENT_ID = re.compile(r"([0-9A-Fa-f]{2}){1,32}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HTTP_URL = re.compile(r"https?://[^/?#\s]+(/[^?#\s]*)?")
_NUMBER = re.compile(r"-?[0-9]+")
_SYSTEM_NUMBERS = {
    constants.M2_PROP_DEL_EXC_VERSIONS,
    constants.M2_PROP_KEEP_DELETED_DELAY,
    constants.M2_PROP_QUOTA,
    constants.M2_PROP_VERSIONING_POLICY,
}
_VERSION = re.compile(r"-?[0-9]{1,23}")

_T = TypeVar("_T")
_Check: TypeAlias = Callable[[str, object], object]
"""Gives a value back, maybe in another form; takes the name of its argument too."""


def check_text(argument: str, value: object) -> str:
    """Refuse a value that is no text, or cannot be sent.

    :param argument: its name
    """
    if not isinstance(value, str):
        raise WrongType(f"{argument} must be a str, not {type(value).__name__}: {shorten(value)}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as err:
        raise WrongValue(f"{argument} is no valid text: {shorten(value)}") from err
    if "\0" in value:
        raise WrongValue(f"{argument} must not contain NUL: {shorten(value)}")
    return value


def check_name(argument: str, value: object, kind: str | None = None) -> str:
    """Refuse a name that is empty, or that the services would cut without a word (pitfall 147).

    :param kind: ``account``, ``container`` or ``obj``; by default, the argument tells
    """
    name = check_text(argument, value)
    if not name:
        raise WrongValue(f"{argument} must not be empty")
    limit = _MAX_BYTES[kind or argument]
    size = len(name.encode("utf-8"))
    if size > limit:
        raise WrongValue(f"{argument} is {size} bytes long in UTF-8, {limit} are allowed: {shorten(name)}")
    return str(name)


def check_names(argument: str, values: object, kind: str) -> list[str]:
    """Refuse a collection of names that is a single text, or holds a wrong name.

    :param kind: see :func:`check_name`
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise WrongType(
            f"{argument} must be an iterable of names, not {type(values).__name__}: {shorten(values)}"
        )
    return [check_name(kind, value) for value in values]


def check_cid(value: object, argument: str = "cid") -> str:
    """Refuse a value that is no container ID; give it back as the services spell it (pitfall 146)."""
    match = _CID.fullmatch(check_text(argument, value))
    if match is None:
        raise WrongValue(f"{argument} must be made of hexadecimal digits: {shorten(value)}")
    return match[1].upper()


def check_content_id(argument: str, value: object) -> str:
    """Refuse a value that is no content ID: an even number of hexadecimal digits, 64 at most."""
    if not _CONTENT_ID.fullmatch(check_text(argument, value)):
        raise WrongValue(f"{argument} must be made of 2 to 64 hexadecimal digits, in pairs: {shorten(value)}")
    return str(value)


def check_version(value: object, argument: str = "version") -> int | str:
    """Refuse a value that is no version of an object: an integer, or its decimal digits (pitfall 119)."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise WrongType(f"{argument} must be an int or a str, not {type(value).__name__}: {shorten(value)}")
    if not _VERSION.fullmatch(str(value)):
        raise WrongValue(f"{argument} must be an integer: {shorten(value)}")
    return value


def check_number(name: str, value: Any) -> float | None:
    """Refuse an option of time or size that makes no sense; one that is not a number breaks every timer.

    :param value: may be text
    """
    try:
        number = value if type(value) is float else _number(name, value)
    except (TypeError, ValueError, OverflowError) as err:
        raise WrongValue(f"{name} must be a number, not {shorten(value)}") from err
    if number is None:
        return None
    # No time at all to read amounts to a deadline in the past.
    lowest = {"deadline": -math.inf, "read_timeout": 0.0}.get(name, math.ulp(0.0))
    if not math.isfinite(number) or number < lowest:
        raise WrongValue(f"{name} must be a positive number: {shorten(value)}")
    # Deadlines made by the published functions are floats of a class of their own.
    return value if isinstance(value, float) else number


def _number(name: str, value: Any) -> float | None:
    return int_value(value, None) if name.startswith("chunk_") else float_value(value, None)


def check_checksum_algo(name: str, value: object) -> str | None:
    """Refuse a checksum that chunk servers cannot verify: they compute MD5, whatever is announced.

    :returns: the name of the algorithm; None when checksums are left to them
    """
    if value is None:
        return None
    if check_text(name, value).lower() == "md5":
        return "md5"
    reason = "chunk servers verify md5 only" if value in hashlib.algorithms_available else "no such algorithm"
    raise WrongValue(f"{name} must be 'md5' or None, not {shorten(value)}: {reason}")


def check_headers(name: str, headers: object) -> Mapping[str, object] | None:
    """Refuse headers that no request can carry, or that would be several."""
    if headers is None:
        return None
    if not isinstance(headers, Mapping):
        raise WrongType(f"{name} must be a dict, not {type(headers).__name__}: {shorten(headers)}")
    for header, value in headers.items():
        check_header(header, value)
    return headers


def check_header(name: object, value: _T) -> _T:
    """Refuse a header that no request can carry, or that would be several; the request ID becomes one."""
    text = f"{name}: {text_value(value)}"
    try:
        text.encode("latin-1")
    except UnicodeEncodeError as err:
        raise WrongValue(f"header {name!r} must be made of Latin-1 characters: {shorten(value)}") from err
    if _CONTROL.search(text):
        raise WrongValue(f"header {name!r} must not have control characters: {shorten(value)}")
    return value


def check_key_file(name: str, path: object) -> KeyFile:
    """Refuse what is no path of a file of credentials."""
    if path is None:
        return None
    if not isinstance(path, (str, bytes, os.PathLike)) or not os.fspath(path):
        raise WrongType(f"{name} must be a path, not {shorten(path)}")
    return path


def check_url(name: str, url: object) -> str | None:
    """Refuse what is no address of Backblaze."""
    if url is None:
        return None
    if not (isinstance(url, str) and _HTTP_URL.fullmatch(url)):
        raise WrongValue(f"{name} must be a URL such as https://host:port, not {shorten(url)}")
    return url


def check_limit(value: object, argument: str = "limit") -> int | None:
    """Refuse a page size below 1; it may be given as text."""
    if value is None:
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongType(f"{argument} must be an int, not {type(value).__name__}: {shorten(value)}")
    if value < 1:
        raise WrongValue(f"{argument} must be at least 1: {value}")
    return value


def check_size(argument: str, value: object) -> int:
    """Refuse a value that is no number of bytes, or below 0."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongType(f"{argument} must be an int, not {type(value).__name__}: {shorten(value)}")
    if value < 0:
        raise WrongValue(f"{argument} must not be negative: {value}")
    return value


def check_integer(argument: str, value: object) -> int | None:
    """Refuse a value that is no integer; None stands for the default."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise WrongType(f"{argument} must be an int, not {type(value).__name__}: {shorten(value)}")
    return value


def check_listing(**texts: object) -> None:
    """Refuse markers, prefixes and delimiters that are no text."""
    for argument, value in texts.items():
        if value is not None:
            check_text(argument, value)


def check_delimiter(value: object) -> None:
    """Refuse a delimiter of which the services would only use a part."""
    if value is None:
        return
    text = check_text("delimiter", value)
    if len(text) > 1 or not text.isascii():
        raise WrongValue(f"delimiter must be one ASCII character: {shorten(text)}")


def check_properties(argument: str, properties: object) -> dict[str, str]:
    """Refuse properties that are no dict of text to text, or whose keys would break headers (pitfall 158).

    :returns: a copy; empty for None
    """
    if properties is None:
        return {}
    if not isinstance(properties, Mapping):
        raise WrongType(f"{argument} must be a dict, not {type(properties).__name__}: {shorten(properties)}")
    for key, value in properties.items():
        _check_key(argument, key)
        if not isinstance(value, str):
            raise WrongType(
                f"{argument}[{key!r}] must be a str, not {type(value).__name__}: {shorten(value)}"
            )
        check_text(f"{argument}[{key!r}]", value)
    return dict(properties)


def check_system(argument: str, system: object) -> dict[str, str]:
    """Refuse system properties that are no dict of text to text, or that are no number where one is needed.

    The services would store any text, and go by something else (pitfall 151).

    :returns: a copy; empty for None
    """
    checked = check_properties(argument, system)
    for key in checked.keys() & _SYSTEM_NUMBERS:
        # An empty value removes the property.
        if checked[key] and not _NUMBER.fullmatch(checked[key]):
            raise WrongValue(f"{argument}[{key!r}] must be an integer: {shorten(checked[key])}")
    return checked


def check_property_names(argument: str, names: object) -> list[str]:
    """Refuse names of properties that are a single text, or hold something else than text."""
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise WrongType(
            f"{argument} must be an iterable of names, not {type(names).__name__}: {shorten(names)}"
        )
    return [check_text(argument, name) for name in names]


def _check_key(argument: str, key: object) -> None:
    text = check_text(f"a key of {argument}", key)
    if not text:
        raise WrongValue(f"{argument} has an empty key")
    if any(unicodedata.category(char) == "Cc" for char in text):
        raise WrongValue(f"{argument} has a key with control characters: {shorten(text)}")
    if text.startswith(CHUNK_SYSMETA_PREFIX):
        raise WrongValue(f"{argument} has a key that the services keep for themselves: {shorten(text)}")


def check_header_value(argument: str, value: object) -> str | None:
    """Refuse a text that cannot be sent in a header."""
    if value is None:
        return None
    text = check_text(argument, value)
    if not text.isascii() or not text.isprintable():
        raise WrongValue(f"{argument} must be made of printable ASCII characters: {shorten(text)}")
    return str(text)


def check_policy(value: object) -> str | None:
    """Refuse an empty policy, which the service takes for one of its own (a single copy)."""
    policy = check_header_value("policy", value)
    if policy == "":
        raise WrongValue("policy must not be empty; None stands for the default one")
    return policy


def check_ranges(ranges: object) -> list[Range]:
    """Refuse ranges that are not pairs of positions in the right order.

    :returns: pairs of first and last byte; empty for None
    """
    if ranges is None:
        return []
    if isinstance(ranges, (str, bytes)) or not isinstance(ranges, Iterable):
        raise WrongType(f"ranges must be a list of pairs, not {type(ranges).__name__}: {shorten(ranges)}")
    return [_check_range(item) for item in ranges]


def _check_range(item: object) -> Range:
    if not isinstance(item, Sequence) or isinstance(item, (str, bytes)) or len(item) != 2:
        raise WrongType(f"ranges must be made of pairs (first byte, last byte): {shorten(item)}")
    start, end = item
    for bound in (start, end):
        if bound is not None and (isinstance(bound, bool) or not isinstance(bound, int)):
            raise WrongType(f"ranges must be made of pairs of integers: {shorten(item)}")
        if bound is not None and bound < 0:
            raise WrongValue(f"ranges must not have negative bounds: {shorten(item)}")
    if start is not None and end is not None and end < start:
        raise WrongValue(f"ranges must not end before they start: {shorten(item)}")
    return start, end


def _unless_none(check: _Check) -> _Check:
    """Make a check that lets None pass."""
    return lambda name, value: None if value is None else check(name, value)


_OPTIONS: dict[str, _Check] = {
    **dict.fromkeys((*TIMEOUT_KEYS, "deadline", "chunk_buffer_max", "chunk_buffer_min"), check_number),
    "backblaze_api_url": check_url,
    "chunk_checksum_algo": check_checksum_algo,
    "cid": _unless_none(lambda name, value: check_cid(value, name)),
    "content": _unless_none(check_content_id),
    "content_id": _unless_none(check_content_id),
    "headers": check_headers,
    "key_file": check_key_file,
    "reqid": check_header,
    "version": _unless_none(lambda name, value: check_version(value, name)),
}
"""Option -> its check."""


def check_option(name: str, value: object) -> object:
    """Refuse an option that makes no sense.

    :returns: the same, numbers and IDs being in the form that the services want
    """
    check = _OPTIONS.get(name)
    return value if check is None else check(name, value)
