# SPDX-License-Identifier: Apache-2.0
"""Checks of the options of calls and of the constructor, see :mod:`oio.api._facade.argument_checks`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from oio.api._facade.argument_checks import (
    check_cid,
    check_content_id,
    check_size,
    check_text,
    check_version,
)
from oio.b2.errors import is_in_clear
from oio.common import arguments, green, http_stack
from oio.common.arguments import WrongType, WrongValue, check_flag, is_framing, shorten, wrong_type
from oio.common.constants import BLAKE3, MD5, TIMEOUT_KEYS
from oio.common.easy_value import int_value, text_value
from oio.common.limits import check_seconds
from oio.common.options import Check, KeyFile
from oio.common.retry import check_retry

_HEADER_NAME = re.compile(r"[!-9;-~]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HTTP_URL = re.compile(r"https?://[^/?#\s]+(/[^?#\s]*)?")
MOST_PARALLEL = 16
"""Metachunks of an object that may be read at a time."""

_T = TypeVar("_T")
_DELAYS = ("refresh_delay", "refresh_rawx_scores_delay")
"""Options of the constructor: seconds after which a service is asked again."""
_MAY_BE_ZERO = frozenset(("read_timeout", *_DELAYS))


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


def check_limit_of_time(name: str, value: Any) -> Any:
    """Refuse a limit of time that makes no sense, see :func:`~oio.common.limits.check_seconds`.

    :param value: may be text; for ``timeout``, also one of urllib3
    """
    if name == "timeout" and isinstance(value, http_stack.urllib3.Timeout):
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
    if value is None or (type(value) is str and value == MD5):
        return value
    # Making a client needs no checksum, and they take longer to import than any other module. A fork waits.
    with green.LOADING:
        import hashlib

        from oio.common.checksums import new_checksum

    algorithm = check_text(name, value).lower()
    if algorithm in {MD5, BLAKE3}:
        new_checksum(algorithm)
        return algorithm
    known = algorithm in hashlib.algorithms_available
    reason = "chunk servers verify these only" if known else "no such algorithm"
    raise WrongValue(f"{name} must be 'md5', 'blake3' or None, not {shorten(value)}: {reason}")


def check_headers(_name: str, headers: object) -> Mapping[str, object] | None:
    """Refuse headers that no request can carry, or that would be several.

    :returns: a copy without those that the library has to set: gateways pass on what their own clients send
    """
    if headers is None:
        return None
    # Not its items: a mapping of headers has two of a header that was added twice.
    copy = dict(arguments.check_headers(headers))
    for header, value in copy.items():
        check_header(header, value)
    return {h: value for h, value in copy.items() if not (is_framing(h, value) or h.lower() == "range")}


def check_header(name: object, value: _T) -> _T:
    """Refuse a header that no request can carry, or that would be several; the request ID becomes one."""
    if not isinstance(name, str):
        raise wrong_type("the name of a header", "a str", name)
    if not _HEADER_NAME.fullmatch(name):
        raise WrongValue(
            f"header {shorten(name)} must have a name of printable ASCII characters without blanks and colons"
        )
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
    """Refuse a text that is no way to verify reads: a promise must not be lost in silence."""
    if isinstance(value, str):
        if value not in {"strict", "server"}:
            raise WrongValue(f"{name} must be True, False, 'strict' or 'server', not {shorten(value)}")
        return value
    return bool(value)


def check_listener(name: str, value: object) -> object:
    """Refuse what cannot be called."""
    if value is None or callable(value):
        return value
    raise wrong_type(name, "callable", value)


def check_cache(name: str, value: object) -> object:
    """Refuse what is no cache: it needs the three methods of a dict that are used."""
    if value is None or (
        callable(getattr(value, "get", None))
        # On the type, where Python looks for them: the class ``dict`` itself is no cache.
        and all(hasattr(type(value), method) for method in ("__setitem__", "__delitem__"))
    ):
        return value
    raise wrong_type(name, "a dict, or have its get, __setitem__ and __delitem__", value)


def check_figures(name: str, value: object) -> object:
    """Refuse what cannot take figures."""
    if value is None or (callable(getattr(value, "setdefault", None)) and not isinstance(value, type)):
        return value
    raise wrong_type(name, "a dict", value)


def check_pool(name: str, value: object) -> object:
    """Refuse what cannot send requests; what is empty stands for none."""
    if not value or callable(getattr(value, "request", None)):
        return value
    raise wrong_type(name, "a pool manager of urllib3", value)


def check_unsatisfiable(name: str, value: object) -> str:
    """Refuse anything but the two ways to deal with ranges outside of an object."""
    if value is None:
        return "skip"
    if value not in ("skip", "raise"):
        raise WrongValue(f"{name} must be 'skip' or 'raise', not {shorten(value)}")
    return str(value)


def check_bytes(name: str, value: Any) -> int | None:
    """Refuse what is no number of bytes, which may be text; None stands for the default."""
    number = _number_of(name, value, "a number of bytes")
    return None if number is None else check_size(name, number)


def _unless_none(check: Check) -> Check:
    """Make a check that lets None pass."""
    return lambda name, value: None if value is None else check(name, value)


OPTION_CHECKS: dict[str, Check] = {
    **dict.fromkeys((*TIMEOUT_KEYS, "deadline", "timeout", "write_grace", *_DELAYS), check_limit_of_time),
    **dict.fromkeys(("chunk_buffer_max", "chunk_buffer_min"), check_number),
    **dict.fromkeys(("admin_mode", "autocreate", "force_master", "tls"), _unless_none(check_flag)),
    "backblaze_api_url": check_url,
    "cache": check_cache,
    "chunk_checksum_algo": check_checksum_algo,
    "cid": _unless_none(check_cid),
    "content": _unless_none(check_content_id),
    "content_id": _unless_none(check_content_id),
    "headers": check_headers,
    "hedge": lambda name, value: check_flag(name, value, default=True),
    "hold_up_to": check_bytes,
    "key_file": check_key_file,
    "on_event": check_listener,
    "on_unsatisfiable": check_unsatisfiable,
    "parallel": check_parallel,
    "perfdata": check_figures,
    "pool_manager": check_pool,
    "reqid": check_header,
    "retry": check_retry,
    "verify_checksum": check_verification,
    "version": _unless_none(check_version),
}
"""Option -> its check."""


def check_option(name: str, value: object) -> object:
    """Refuse an option that makes no sense.

    :returns: the same, numbers and IDs being in the form that the services want
    """
    check = OPTION_CHECKS.get(name)
    return value if check is None else check(name, value)
