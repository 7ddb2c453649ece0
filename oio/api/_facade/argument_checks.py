# SPDX-License-Identifier: Apache-2.0
"""Checks of the arguments of the object storage API against values that services cut, ignore or misread.

Each raises a ValueError or a TypeError that names the argument and its value. It is a BadRequest too, for
programs that leave the checks to the services.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from oio.common import constants
from oio.common.arguments import WrongType, WrongValue, shorten, wrong_type
from oio.common.constants import MAX_ACCOUNT_BYTES, MAX_CONTAINER_BYTES, MAX_OBJECT_BYTES
from oio.common.ranges import Range
from oio.container._description import CHUNK_SYSMETA_PREFIX

_MAX_BYTES = {
    "account": MAX_ACCOUNT_BYTES,
    "container": MAX_CONTAINER_BYTES,
    "obj": MAX_OBJECT_BYTES,
    "obj_name": MAX_OBJECT_BYTES,
}
_CID = re.compile(r"([0-9A-Fa-f]{1,64})(\.[0-9]+)?")
_CONTENT_ID = re.compile(r"([0-9A-Fa-f]{2}){1,32}")
_NUMBER = re.compile(r"-?[0-9]+")
_SYSTEM_NUMBERS = {
    constants.M2_PROP_DEL_EXC_VERSIONS,
    constants.M2_PROP_KEEP_DELETED_DELAY,
    constants.M2_PROP_QUOTA,
    constants.M2_PROP_VERSIONING_POLICY,
}
_VERSION = re.compile(r"-?[0-9]{1,23}")


def missing_or_wrong(argument: str, wanted: str, value: object) -> WrongType:
    """Make the exception for an argument that is missing, or of another type."""
    if value is None:
        return WrongType(f"{argument} is required ({wanted})")
    return wrong_type(argument, wanted, value)


def check_text(argument: str, value: object) -> str:
    """Refuse a value that is no text, or cannot be sent.

    :param argument: its name
    """
    if not isinstance(value, str):
        raise missing_or_wrong(argument, "a str", value)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as err:
        raise WrongValue(f"{argument} must be text that UTF-8 can encode: {shorten(value)}") from err
    if "\0" in value:
        raise WrongValue(f"{argument} must not contain NUL: {shorten(value)}")
    return value


def check_name(argument: str, value: object, kind: str | None = None) -> str:
    """Refuse a name that is empty, or that the services would cut without a word (pitfall 147).

    :param kind: ``account``, ``container`` or ``obj``; by default, the argument tells
    """
    limit = _MAX_BYTES[kind or argument]
    if type(value) is str and value.isascii() and value.isprintable() and 0 < len(value) <= limit:
        # Most names are like this, and there may be very many of them.
        return value
    name = check_text(argument, value)
    if not name:
        raise WrongValue(f"{argument} must not be empty")
    size = len(name.encode("utf-8"))
    if size > limit:
        raise WrongValue(f"{argument} is {size} bytes long in UTF-8, {limit} are allowed: {shorten(name)}")
    return str(name)


def check_names(argument: str, values: object, kind: str) -> list[str]:
    """Refuse a collection of names that is a single text, or holds a wrong name.

    :param kind: see :func:`check_name`
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, (list, tuple, Iterable)):
        raise missing_or_wrong(argument, "an iterable of names", values)
    return [check_name(kind, value) for value in values]


def check_cid(argument: str, value: object) -> str:
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


def check_version(argument: str, value: object) -> int | str:
    """Refuse a value that is no version of an object: an integer, or its decimal digits (pitfall 119)."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise missing_or_wrong(argument, "an int or a str", value)
    if not _VERSION.fullmatch(str(value)):
        raise WrongValue(f"{argument} must be an integer: {shorten(value)}")
    return value


def check_versions_of(argument: str, values: object) -> list[tuple[str, int | str | None]]:
    """Refuse anything but names of objects, and tuples of name and version."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise missing_or_wrong(argument, "an iterable of names, or of tuples of name and version", values)
    found: list[tuple[str, int | str | None]] = []
    for value in values:
        name, version = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
        if version is not None:
            check_version(f"a version in {argument}", version)
        found.append((check_name(f"a name in {argument}", name, "obj"), version))
    return found


def check_version_marker(value: object, marker: object) -> None:
    """Refuse a version marker that no service understands, or that belongs to no name."""
    if value is None:
        return
    check_version("version_marker", value)
    if not marker:
        raise WrongValue(f"version_marker needs a marker, the name of its object: {shorten(value)}")


def check_region(value: object) -> None:
    """Refuse a region that is no name."""
    if value is not None and not check_header_value("region", value):
        raise WrongValue(f"region must be the name of a region, or None: {shorten(value)}")


def check_limit(value: object) -> int | None:
    """Refuse a page size that is no integer; it may be given as text.

    :returns: the same; None for 0 and negative numbers, which are no limit, as for the services
    """
    limit = _integer_of("limit", value)
    return None if limit is None or limit < 1 else limit


def check_batch(argument: str, value: object) -> int | None:
    """Refuse a number of things below 1; it may be given as text."""
    size = _integer_of(argument, value)
    if size is not None and size < 1:
        raise WrongValue(f"{argument} must be at least 1: {size}")
    return size


def _integer_of(argument: str, value: object) -> int | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    return check_integer(argument, value)


def check_size(argument: str, value: object) -> int:
    """Refuse a value that is no number of bytes, or below 0."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise missing_or_wrong(argument, "an int", value)
    if value < 0:
        raise WrongValue(f"{argument} must not be negative: {value}")
    return value


def check_integer(argument: str, value: object) -> int | None:
    """Refuse a value that is no integer; None stands for the default."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise missing_or_wrong(argument, "an int", value)
    return value


def check_listing(
    *, prefix: object, marker: object = None, end_marker: object = None, delimiter: object = None
) -> None:
    """Refuse markers, prefixes and delimiters that are no text."""
    texts = {"marker": marker, "prefix": prefix, "end_marker": end_marker, "delimiter": delimiter}
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
    if not isinstance(properties, (dict, Mapping)):
        raise missing_or_wrong(argument, "a dict", properties)
    for key, value in properties.items():
        _check_key(argument, key)
        if not isinstance(value, str):
            kind = "None" if value is None else f"{type(value).__name__}: {shorten(value)}"
            raise WrongType(f"{argument}[{key!r}] must be a str, not {kind}")
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
        raise missing_or_wrong(argument, "an iterable of names", names)
    return [check_text(argument, name) for name in names]


def _check_key(argument: str, key: object) -> None:
    text = check_text(f"a key of {argument}", key)
    if not text:
        raise WrongValue(f"{argument} must not have an empty key")
    if not text.isprintable() and any(char < " " or "\x7f" <= char <= "\x9f" for char in text):
        raise WrongValue(f"{argument} must have keys without control characters: {shorten(text)}")
    if text.startswith(CHUNK_SYSMETA_PREFIX):
        raise WrongValue(
            f"{argument} must not have keys that begin with {CHUNK_SYSMETA_PREFIX}: {shorten(text)}"
        )


def check_header_value(argument: str, value: object) -> str | None:
    """Refuse a text that cannot be sent in a header."""
    if value is None or (type(value) is str and value.isascii() and value.isprintable()):
        return value
    text = check_text(argument, value)
    if not text.isascii() or not text.isprintable():
        raise WrongValue(f"{argument} must be made of printable ASCII characters: {shorten(text)}")
    return str(text)


def check_policy(value: object) -> str | None:
    """Refuse what cannot be the name of a storage policy.

    :returns: None for an empty name too: the service would take it for a policy of its own (a single copy)
    """
    return check_header_value("policy", value) or None


def check_ranges(ranges: object) -> list[Range]:
    """Refuse ranges that are not pairs of positions in the right order.

    :returns: pairs of first and last byte
    """
    if isinstance(ranges, (str, bytes)) or not isinstance(ranges, Iterable):
        raise missing_or_wrong("ranges", "a list of pairs", ranges)
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
