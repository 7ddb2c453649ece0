# SPDX-License-Identifier: Apache-2.0
"""Requests with JSON bodies to the proxy and the rdir, and the answers to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeVar

from oio.sandbox.http.values import is_true, parse_integer, parse_query
from oio.sandbox.messages import Request, Response
from oio.sandbox.refusals import READ_ONLY, Refusal, bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAMES: Final = {"acct": "account", "ref": "user", "path": "path"}
_JSON: Final = ("Content-Type", "application/json")
_T = TypeVar("_T")


class JsonCall:
    """One request: its headers, parameters, flags and JSON body.

    Every method that reads an argument raises :class:`Refusal` with status 400 when it is malformed.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self._query = parse_query(request.query)
        modes = (self.header("x-oio-action-mode") or "").split(",")
        self._modes = {mode.strip() for mode in modes}

    def header(self, name: str) -> str | None:
        """Return a request header."""
        return self.request.get(name)

    # -- parameters

    def param(self, name: str) -> str | None:
        """Return a parameter of the query string; names must be UTF-8."""
        value = self._query.get(name)
        if value is None:
            return None
        try:
            return value.decode()
        except UnicodeDecodeError as exc:
            raise bad_request(f"Invalid parameter '{_NAMES.get(name, name)}', not UTF-8") from exc

    def has(self, name: str) -> bool:
        """Return whether a parameter is there, whatever its value."""
        return name in self._query

    def flag(self, name: str) -> bool:
        """Return a boolean that the query string gives, or else the header of action modes."""
        text = self.param(name)
        return name in self._modes if text is None else is_true(text)

    def integer(self, name: str) -> int | None:
        """Return a parameter that is a number; None when it is absent or empty."""
        text = self.param(name)
        if not text:
            return None
        number = parse_integer(text)
        if number is None:
            raise bad_request(f"Invalid parameter '{name}', not a number")
        return number

    def required(self, name: str, complaint: str) -> str:
        """Return a parameter that has to be there; it may be empty."""
        value = self.param(name)
        if value is None:
            raise bad_request(complaint)
        return value

    # -- body

    def json(self) -> object:
        """Return the JSON body; None when it is empty."""
        if not self.request.body:
            return None
        try:
            value: object = json.loads(self.request.body, parse_constant=_no_constant)
        except (ValueError, RecursionError) as exc:
            raise bad_request("Invalid JSON") from exc
        if value is None:
            raise bad_request("Invalid JSON")
        return value

    def json_object(self, complaint: str = "Object argument expected, got array") -> dict[str, object]:
        """Return the JSON object of the body, empty when there is no body."""
        value = self.json()
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise bad_request(complaint)
        return value


def _no_constant(name: str) -> object:
    raise ValueError(name)


# -- values


def typed_field(item: Mapping[str, object], name: str, kind: type[_T]) -> _T:
    """Return a field of a JSON object, checking that it is there and of the right type."""
    value = optional_field(item, name, kind)
    if value is None:
        raise bad_request(f"Missing field [{name}]")
    return value


def optional_field(item: Mapping[str, object], name: str, kind: type[_T]) -> _T | None:
    """Return a field of a JSON object, None when it is not there, checking that it is of the right type."""
    value = item.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise bad_request(f"Invalid type for field [{name}]")
    return value


# -- answers


def ok(value: object, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Answer 200 with a JSON body."""
    return Response(200, [_JSON, *headers], encode(value))


def done(headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Answer 204."""
    return Response(204, list(headers))


def refused(refusal: Refusal) -> Response:
    """Answer with an error."""
    headers = [_JSON]
    if refusal.http == 503:
        headers.append(("Retry-After", "1"))
    if refusal.status == READ_ONLY:
        headers.append(("Allow", "GET, HEAD, PUT"))
    body = encode({"status": refusal.status, "message": refusal.message})
    return Response(refusal.http, headers, body)


def encode(value: object) -> bytes:
    """Return a value as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
