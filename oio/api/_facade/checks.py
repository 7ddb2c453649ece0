# SPDX-License-Identifier: Apache-2.0
"""Checks of the arguments of the object storage API against values that services cut, ignore or misread.

Each raises a ValueError or a TypeError that names the argument and its value. It is a BadRequest too: that is
what programs expect which leave the checks to the services.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from oio.b2.errors import is_in_clear
from oio.common import constants
from oio.common.arguments import WrongType, WrongValue
from oio.common.checksums import BLAKE3, MD5, new_checksum
from oio.common.constants import MAX_ACCOUNT_BYTES, MAX_CONTAINER_BYTES, MAX_OBJECT_BYTES, TIMEOUT_KEYS
from oio.common.easy_value import boolean_value, int_value, text_value
from oio.common.http_urllib3 import urllib3
from oio.common.limits import check_seconds
from oio.common.options import KeyFile
from oio.common.ranges import Range
from oio.common.retry import check_retry
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
MOST_PARALLEL = 16
"""Metachunks of an object that may be read at a time."""
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


def _wrong_type(argument: str, wanted: str, value: object) -> WrongType:
    """Make the exception for an argument that is missing, or of another type."""
    if value is None:
        return WrongType(f"{argument} is required ({wanted})")
    return WrongType(f"{argument} must be {wanted}, not {type(value).__name__}: {shorten(value)}")


def check_text(argument: str, value: object) -> str:
    """Refuse a value that is no text, or cannot be sent.

    :param argument: its name
    """
    if not isinstance(value, str):
        raise _wrong_type(argument, "a str", value)
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
        # Most names are like this, and there may be very many.
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
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise _wrong_type(argument, "an iterable of names", values)
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
        raise _wrong_type(argument, "an int or a str", value)
    if not _VERSION.fullmatch(str(value)):
        raise WrongValue(f"{argument} must be an integer: {shorten(value)}")
    return value


def check_versions_of(argument: str, values: object) -> list[tuple[str, int | str | None]]:
    """Refuse what are no names of objects, nor tuples of name and version."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise _wrong_type(argument, "an iterable of names, or of tuples of name and version", values)
    found: list[tuple[str, int | str | None]] = []
    for value in values:
        name, version = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
        if version is not None:
            check_version(version, f"a version in {argument}")
        found.append((check_name(f"a name in {argument}", name, "obj"), version))
    return found


def check_version_marker(value: object, marker: object) -> None:
    """Refuse a version marker that no service understands, or that belongs to no name."""
    if value is None:
        return
    check_version(value, "version_marker")
    if not marker:
        raise WrongValue(f"version_marker needs a marker, the name of its object: {shorten(value)}")


def check_region(value: object) -> None:
    """Refuse a region that is no name."""
    if value is not None and not check_header_value("region", value):
        raise WrongValue(f"region must be the name of a region, or None: {shorten(value)}")


def _number_of(name: str, value: Any, what: str = "a number") -> int | None:
    """Read a number that may be text."""
    try:
        return int_value(value, None)
    except (TypeError, ValueError, OverflowError) as err:
        raise WrongValue(f"{name} must be {what}, not {shorten(value)}") from err


def check_number(name: str, value: Any) -> int | None:
    """Refuse a number of bytes of an option that makes no sense; it may be given as text."""
    number = _number_of(name, value)
    if number is not None and number <= 0:
        raise WrongValue(f"{name} must be a positive number: {shorten(value)}")
    return number


_DELAYS = ("refresh_delay", "refresh_rawx_scores_delay")
"""Options of the constructor: what is older is asked for again."""
_MAY_BE_ZERO = frozenset(("read_timeout", *_DELAYS))


def check_limit_of_time(name: str, value: Any) -> Any:
    """Refuse a limit of time that makes no sense, see :func:`~oio.common.limits.check_seconds`.

    :param value: may be text; for ``timeout``, also one of urllib3
    """
    if name == "timeout" and isinstance(value, urllib3.Timeout):
        return value
    return check_seconds(name, value, may_be_zero=name in _MAY_BE_ZERO)


def check_parallel(name: str, value: Any) -> int | None:
    """Refuse a number of metachunks to read at a time that makes no sense; it may be given as text."""
    number = _number_of(name, value)
    if number is not None and not 1 <= number <= MOST_PARALLEL:
        raise WrongValue(f"{name} must be a number from 1 to {MOST_PARALLEL}, not {shorten(value)}")
    return number


def check_checksum_algo(name: str, value: object) -> str | None:
    """Refuse a checksum that no chunk server can verify.

    :returns: the name of the algorithm; None when checksums are left to them
    :raises ChecksumUnavailable: the package that computes it is not installed
    """
    if value is None:
        return None
    algorithm = check_text(name, value).lower()
    if algorithm in {MD5, BLAKE3}:
        new_checksum(algorithm)
        return algorithm
    known = algorithm in hashlib.algorithms_available
    reason = "chunk servers verify these only" if known else "no such algorithm"
    raise WrongValue(f"{name} must be 'md5', 'blake3' or None, not {shorten(value)}: {reason}")


def check_headers(name: str, headers: object) -> Mapping[str, object] | None:
    """Refuse headers that no request can carry, or that would be several."""
    if headers is None:
        return None
    if not isinstance(headers, Mapping):
        raise _wrong_type(name, "a dict", headers)
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
    if is_in_clear(url):
        raise WrongValue(
            f"{name} must be an https URL, so that keys do not travel in clear; http is for this host only: "
            f"{shorten(url)}"
        )
    return url


def check_verification(name: str, value: object) -> bool | str:
    """Refuse a text that does not tell how reads are verified: a promise must not be lost in silence."""
    if isinstance(value, str):
        if value not in {"strict", "server"}:
            raise WrongValue(f"{name} must be True, False, 'strict' or 'server', not {shorten(value)}")
        return value
    return bool(value)


def check_listener(name: str, value: object) -> object:
    """Refuse what cannot be called."""
    if value is None or callable(value):
        return value
    raise _wrong_type(name, "callable", value)


def check_unsatisfiable(name: str, value: object) -> str:
    """Refuse what does not tell what becomes of ranges outside of an object."""
    if value is None:
        return "skip"
    if value not in ("skip", "raise"):
        raise WrongValue(f"{name} must be 'skip' or 'raise', not {shorten(value)}")
    return str(value)


def check_bytes(name: str, value: Any) -> int | None:
    """Refuse what is no number of bytes, which may be text; None stands for the default."""
    number = _number_of(name, value, "a number of bytes")
    return None if number is None else check_size(name, number)


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


def check_flag(argument: str, value: object, *, default: bool = False) -> bool:
    """Read a flag, which may be a word: "false" must not be taken for a wish."""
    try:
        return boolean_value(value, default)
    except ValueError:
        raise WrongValue(f"{argument} must be True or False, not {shorten(value)}") from None


def check_size(argument: str, value: object) -> int:
    """Refuse a value that is no number of bytes, or below 0."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(argument, "an int", value)
    if value < 0:
        raise WrongValue(f"{argument} must not be negative: {value}")
    return value


def check_integer(argument: str, value: object) -> int | None:
    """Refuse a value that is no integer; None stands for the default."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise _wrong_type(argument, "an int", value)
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
        raise _wrong_type(argument, "a dict", properties)
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
        raise _wrong_type(argument, "an iterable of names", names)
    return [check_text(argument, name) for name in names]


def _check_key(argument: str, key: object) -> None:
    text = check_text(f"a key of {argument}", key)
    if not text:
        raise WrongValue(f"{argument} must not have an empty key")
    if any(char < " " or "\x7f" <= char <= "\x9f" for char in text):
        raise WrongValue(f"{argument} must have keys without control characters: {shorten(text)}")
    if text.startswith(CHUNK_SYSMETA_PREFIX):
        raise WrongValue(
            f"{argument} must not have keys that begin with {CHUNK_SYSMETA_PREFIX}: {shorten(text)}"
        )


def check_header_value(argument: str, value: object) -> str | None:
    """Refuse a text that cannot be sent in a header."""
    if value is None:
        return None
    text = check_text(argument, value)
    if not text.isascii() or not text.isprintable():
        raise WrongValue(f"{argument} must be made of printable ASCII characters: {shorten(text)}")
    return str(text)


def check_policy(value: object) -> str | None:
    """Refuse what cannot be the name of a storage policy.

    :returns: None for an empty one too: the service would take it for one of its own (a single copy)
    """
    return check_header_value("policy", value) or None


def check_ranges(ranges: object) -> list[Range]:
    """Refuse ranges that are not pairs of positions in the right order.

    :returns: pairs of first and last byte; empty for None
    """
    if ranges is None:
        return []
    if isinstance(ranges, (str, bytes)) or not isinstance(ranges, Iterable):
        raise _wrong_type("ranges", "a list of pairs", ranges)
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
    **dict.fromkeys((*TIMEOUT_KEYS, "deadline", "timeout", "write_grace", *_DELAYS), check_limit_of_time),
    **dict.fromkeys(("chunk_buffer_max", "chunk_buffer_min"), check_number),
    "backblaze_api_url": check_url,
    "chunk_checksum_algo": check_checksum_algo,
    "cid": _unless_none(lambda name, value: check_cid(value, name)),
    "content": _unless_none(check_content_id),
    "content_id": _unless_none(check_content_id),
    "headers": check_headers,
    "hedge": lambda name, value: check_flag(name, value, default=True),
    "hold_up_to": check_bytes,
    "key_file": check_key_file,
    "on_event": check_listener,
    "on_unsatisfiable": check_unsatisfiable,
    "parallel": check_parallel,
    "reqid": check_header,
    "retry": check_retry,
    "verify_checksum": check_verification,
    "version": _unless_none(lambda name, value: check_version(value, name)),
}
"""Option -> its check."""


def check_option(name: str, value: object) -> object:
    """Refuse an option that makes no sense.

    :returns: the same, numbers and IDs being in the form that the services want
    """
    check = _OPTIONS.get(name)
    return value if check is None else check(name, value)
