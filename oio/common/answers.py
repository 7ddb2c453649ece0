# SPDX-License-Identifier: Apache-2.0
"""Checks of answers against the protocol of the services."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from oio.common import exceptions as exc

JsonObject: TypeAlias = "dict[str, Any]"
JsonArray: TypeAlias = "list[Any]"
JsonMapping: TypeAlias = "Mapping[str, Any]"
"""JSON object that is only read."""

_T = TypeVar("_T", JsonObject, JsonArray)

ANSWER_ERRORS = (LookupError, TypeError, ValueError, AttributeError)
"""Exceptions of code that uses an answer which lacks something."""


def expect(kind: type[_T], resp: Any, body: object, service: str | None = None) -> _T:
    """Return the body of an answer, which must be a JSON object (`kind` is ``dict``) or array (``list``).

    :param resp: the response
    :param body: its body, decoded when it was JSON
    :param service: address of the service, for the exception
    :raises OioProtocolError: it is something else
    """
    if isinstance(body, kind):
        return body
    content_type = resp.headers.get("Content-Type", "no content type")
    name = "object" if kind is dict else "array"
    raise exc.OioProtocolError(
        f"answer is not a JSON {name}: HTTP {resp.status}, {content_type}, {body[:64]!r}"
        if isinstance(body, (bytes, str))
        else f"answer is not a JSON {name}: HTTP {resp.status}, {type(body).__name__}",
        service=service,
    )


def is_page(resp: Any) -> bool:
    """Tell a web page of another server from the answer of a service of the namespace."""
    return "html" in resp.headers.get("Content-Type", "").lower()


def refuse_stranger(resp: Any, service: str | None = None, reqid: str | None = None) -> None:
    """Refuse an answer that comes from no service of the namespace: it says nothing about the request.

    :raises OioProtocolError: the answer is a web page, or sends us elsewhere, or is not the final one
    """
    text = ""
    if is_page(resp):
        text = f"answer is a web page: HTTP {resp.status}, {resp.data[:64]!r}"
    elif not 200 <= resp.status < 300:
        where = resp.headers.get("Location")
        text = f"answer is no result: HTTP {resp.status} {resp.reason}" + (f", see {where}" if where else "")
    if text:
        raise exc.OioProtocolError(text, service=service, reqid=reqid)


def unexpected(err: Exception, service: str | None = None) -> exc.OioProtocolError:
    """Make the exception for an answer that lacks something, or has something else in its place.

    :param err: one of :data:`ANSWER_ERRORS`
    :param service: address of the service
    """
    return exc.OioProtocolError(
        f"answer is not the expected one: {type(err).__name__}: {err}", service=service
    )


@contextlib.contextmanager
def reading_answer(service: str | None = None) -> Iterator[None]:
    """Report an answer that lacks something as a broken protocol.

    :param service: address of the service, for the exception
    :raises OioProtocolError: instead of one of :data:`ANSWER_ERRORS`
    """
    try:
        yield
    except ANSWER_ERRORS as err:
        raise unexpected(err, service) from err
