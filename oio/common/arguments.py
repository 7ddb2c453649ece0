# SPDX-License-Identifier: Apache-2.0
"""Arguments that every layer takes: their checks, and the exceptions for mistakes in them."""

from __future__ import annotations

from collections.abc import Mapping

from oio.common.easy_value import boolean_value, text_value
from oio.common.exceptions import BadRequest

FRAMING_HEADERS = frozenset(("content-length", "expect", "host", "trailer", "transfer-encoding"))
"""Headers that tell where a request goes and where its body ends: each request has its own."""
_LIVES_OF_CONNECTIONS = frozenset(("close", "keep-alive"))


class _WrongArgument(BadRequest):
    """A mistake in the arguments of a call: nothing was sent.

    :param text: which argument is wrong, and why
    """

    def __init__(self, text: str, *, reqid: str | None = None, service: str | None = None) -> None:
        super().__init__(None, None, text, reqid=reqid, service=service)

    def __str__(self) -> str:
        return str(self.message)


class WrongValue(_WrongArgument, ValueError):
    """A mistake in the value of an argument."""


class WrongType(_WrongArgument, TypeError):
    """A mistake in the type of an argument."""


def shorten(value: object) -> str:
    """Show a value in a message, but not all of a very long one.

    >>> shorten("abc")
    "'abc'"
    """
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def wrong_type(argument: str, wanted: str, value: object) -> WrongType:
    """Make the exception for an argument of another type than wanted."""
    return WrongType(f"{argument} must be {wanted}, not {type(value).__name__}: {shorten(value)}")


def check_flag(argument: str, value: object, *, default: bool = False) -> bool:
    """Read a flag, which may be a word: "false" must not be taken for a wish.

    :param default: what None and an empty text stand for
    :raises ValueError: it is another word, or no flag at all
    """
    if isinstance(value, bool):
        return value
    try:
        return boolean_value(value, default)
    except ValueError:
        raise WrongValue(f"{argument} must be True or False, not {shorten(value)}") from None


def check_headers(headers: object) -> Mapping[str, object]:
    """Refuse headers that are no dict, such as a list of pairs.

    :returns: the same, or a copy of what is like a dict; an empty dict when there are none
    """
    if headers is None:
        return {}
    # Most often a dict: to look for abstract classes takes long.
    if type(headers) is dict or isinstance(headers, Mapping):
        return headers
    if hasattr(headers, "keys") and hasattr(headers, "__getitem__"):
        # Those of a request, as other libraries have them: not all are registered as mappings.
        copy: dict[str, object] = dict(headers)
        return copy
    raise wrong_type("headers", "a dict", headers)


def is_framing(name: object, value: object) -> bool:
    """Tell whether a header of the caller may contradict those that each request has of its own.

    >>> is_framing("Host", "gateway"), is_framing("Connection", "close"), is_framing("Connection", "upgrade")
    (True, False, True)
    """
    key = text_value(name).strip().lower()
    if key == "connection":
        return not _LIVES_OF_CONNECTIONS.issuperset(map(str.strip, text_value(value).lower().split(",")))
    return key in FRAMING_HEADERS


def without_empty_length(headers: Mapping[str, object]) -> dict[str, object]:
    """Copy headers of a caller without the length of a body that is empty.

    >>> without_empty_length({"content-length": 0, "X-A": "0"})
    {'X-A': '0'}
    """
    return {
        name: value
        for name, value in headers.items()
        if (text_value(name).lower(), text_value(value)) != ("content-length", "0")
    }


def check_framing(headers: Mapping[str, object], size: int | None = None) -> None:
    """Refuse headers by which a service could take a part of the body for another request.

    :param size: bytes of the body, which ``Content-Length`` may tell; None when they are not known
    :raises ValueError: there is one
    :raises TypeError: the name of a header is no text
    """
    for name, value in headers.items():
        if not isinstance(name, (str, bytes)):
            raise wrong_type("the name of a header", "a str", name)
        if not is_framing(name, value):
            continue
        is_length = size is not None and text_value(name).lower() == "content-length"
        if not is_length or text_value(value) != str(size):
            raise WrongValue(
                f"headers must not set {name!r}, which each request has of its own: {shorten(value)}"
            )
