# SPDX-License-Identifier: Apache-2.0
"""Checks of answers against the protocol of the services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, TypeVar

from oio.common import exceptions as exc
from oio.common import http_stack
from oio.common.easy_value import boolean_value
from oio.common.interruptions import reraise_interruption
from oio.common.retry import seconds_asked

JsonObject: TypeAlias = "dict[str, Any]"
JsonArray: TypeAlias = "list[Any]"
JsonMapping: TypeAlias = "Mapping[str, Any]"
"""JSON object that is only read."""

_T = TypeVar("_T", JsonObject, JsonArray)


class Response(Protocol):
    """An answer that was read whole: of urllib3, of a connection of ours, or of an application's test."""

    status: int
    reason: str | None
    headers: Mapping[str, str]
    data: bytes


ANSWER_ERRORS = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
"""Exceptions of code that uses an answer which lacks something."""


def expect(kind: type[_T], resp: Response, body: object, service: str | None = None) -> _T:
    """Return the body of an answer, which must be a JSON object (`kind` is ``dict``) or array (``list``).

    :param resp: the response
    :param body: its body, decoded when it was JSON
    :param service: address of the service, for the exception
    :returns: the body; an empty one when the answer of an application's test has none
    :raises OioProtocolError: it is something else
    """
    if isinstance(body, kind):
        return body
    if body is None and http_stack.is_made_up(resp):
        return kind()
    name, found = "object" if kind is dict else "array", type(body).__name__
    if isinstance(body, (bytes, str)):
        found = f"{resp.headers.get('Content-Type', 'no content type')[:64]}, {body[:64]!r}"
    raise exc.OioProtocolError(f"answer is not a JSON {name}: HTTP {resp.status}, {found}", service=service)


def is_truncated(resp: Response, header: str, service: str | None = None) -> bool:
    """Read the header that tells whether a listing goes on, which every such answer has.

    The fake answers of applications may have none: their listings end there.

    :raises OioProtocolError: it is missing, or neither true nor false
    """
    text = resp.headers.get(header)
    if text is None and http_stack.is_made_up(resp):
        return False
    try:
        return boolean_value(text or "?")
    except ValueError:
        raise exc.OioProtocolError(
            f"answer has no {header} of true or false: {exc.brief(text)!r}", service=service
        ) from None


def refuse_stranger(resp: Response, service: str | None = None, reqid: str | None = None) -> None:
    """Refuse an answer that no service of the namespace gives: it says nothing about the request.

    :raises OioProtocolError: it is a web page, a redirection, or no final answer
    """
    text = ""
    if http_stack.is_page(resp):
        text = f"answer is a web page: HTTP {resp.status}, {resp.data[:64]!r}"
    elif not 200 <= resp.status < 300:
        where = resp.headers.get("Location")
        text = f"answer is no result: HTTP {resp.status} {exc.brief(resp.reason)}"
        text += f", see {exc.brief(where)}" if where else ""
    if text:
        raise exc.OioProtocolError(text, service=service, reqid=reqid)


def refusal_of(resp: Any, answer: object, reqid: str | None, service: str | None) -> exc.OioException:
    """Make the exception that stands for an answer with an error status."""
    error = exc.from_response(resp, answer, reqid=reqid)
    error.reqid, error.service = reqid, service
    # All the headers take long to make, and no other is wanted.
    is_lazy = type(resp) is http_stack.LazyResponse
    asked = resp.header("retry-after") if is_lazy else getattr(resp, "headers", {}).get("Retry-After")
    if asked:
        error.retry_after = seconds_asked(asked)
    return error


def unexpected(err: Exception, service: str | None = None) -> exc.OioProtocolError:
    """Make the exception for an answer that lacks something, or has something else in its place.

    :param err: one of :data:`ANSWER_ERRORS`; that of a signal handler is raised again
    :param service: address of the service
    """
    reraise_interruption(err)
    return exc.OioProtocolError(
        f"answer is not the expected one: {type(err).__name__}: {err}", service=service
    )


class reading_answer:  # noqa: N801 - it is used as a function
    """Report an answer that lacks something as a broken protocol, in a ``with`` block.

    :param service: address of the service, for the exception
    :raises OioProtocolError: instead of one of :data:`ANSWER_ERRORS`
    """

    __slots__ = ("_service",)

    def __init__(self, service: str | None = None) -> None:
        self._service = service

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, err: BaseException | None, _trace: object) -> None:
        # An exception of ours, such as that for a wrong argument, is none of an answer.
        if isinstance(err, ANSWER_ERRORS) and not isinstance(err, exc.OioException):
            raise unexpected(err, self._service) from err
