# SPDX-License-Identifier: Apache-2.0
"""Requests to the account service, whichever its release, and its failures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from oio.sandbox.account.store import AccountStore
from oio.sandbox.messages import Response

_DEFAULT_PAGE: Final = 1000
_LARGEST_PAGE: Final = 10000
#: Dates above this one are microseconds, others are seconds.
_MICROSECONDS: Final = 31494784780800

_Store = TypeVar("_Store", bound=AccountStore)
_A = TypeVar("_A")


class Failure(Exception):
    """A failure: HTTP status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Ask(Generic[_Store]):
    """One request, and the store it is about."""

    store: _Store
    query: Mapping[str, str]
    data: bytes

    def required(self, name: str, what: str) -> str:
        """Return a parameter that must be there."""
        value = self.query.get(name)
        if not value:
            raise Failure(400, f"Missing {what}")
        return value

    def account(self) -> str:
        """Return the account that the request is about."""
        return self.required("id", "account ID")

    def container(self) -> str:
        """Return the container that the request is about."""
        return self.required("container", "container ID")

    def bucket(self) -> str:
        """Return the bucket that the request is about."""
        return self.required("id", "bucket ID")

    def limit(self) -> int:
        """Return the size of a page."""
        limit = int(self.query.get("limit", _DEFAULT_PAGE))
        return min(limit, _LARGEST_PAGE) if limit > 0 else _DEFAULT_PAGE

    def body(self) -> dict[str, object]:
        """Return the JSON object of the body."""
        body = json.loads(self.data)
        if not isinstance(body, dict):
            raise TypeError(f"expected an object, not {type(body).__name__}")
        return body


def handler_of(
    routes: Mapping[str, Mapping[str, Callable[[_A], Response]]], path: str, method: str
) -> Callable[[_A], Response]:
    """Return the handler of a route."""
    methods = routes.get(path)
    if methods is None:
        raise Failure(404, "The requested URL was not found on the server.")
    handler = methods.get(method)
    if handler is None:
        raise Failure(405, "The method is not allowed for the requested URL.")
    return handler


def create(ask: Ask[_Store]) -> Response:
    """Create an account."""
    account = ask.account()
    if ask.store.create(account):
        return Response(201, (), account.encode())
    return Response(202)


def update(ask: Ask[_Store]) -> Response:
    """Change the metadata of an account."""
    account = ask.account()
    metadata, to_delete = metadata_of(ask.body())
    ask.store.update(account, metadata, to_delete)
    return Response(204)


def date_of(value: object) -> int:
    """Return a date, given in seconds or microseconds, in microseconds."""
    number = float(str(value or 0))
    return int(number) if number > _MICROSECONDS else round(number * 1_000_000)


def metadata_of(body: dict[str, object]) -> tuple[dict[str, str], list[str]]:
    """Return the metadata to set, numbers as texts, and the names to delete."""
    metadata, to_delete = body.get("metadata") or {}, body.get("to_delete") or []
    if not isinstance(metadata, dict) or not isinstance(to_delete, list):
        raise TypeError("expected an object of metadata and an array of names")
    for value in metadata.values():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise TypeError(f"Invalid input of type: '{type(value).__name__}'")
    return {key: str(value) for key, value in metadata.items()}, [str(name) for name in to_delete]
