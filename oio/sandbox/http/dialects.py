# SPDX-License-Identifier: Apache-2.0
"""HTTP dialects of the services: keep-alive habits, reason phrases, lines of response heads.

The real services are built on three HTTP servers, and clients have to cope with all of them: the
proxy closes every connection it is not asked to keep, the others keep every one they are not asked to close;
one always says ``Content-Length``, one never says ``Date``. A :class:`Dialect` holds these habits as values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from oio.sandbox.messages import Headers, Response

_KIB = 1024


@dataclass(frozen=True)
class Reply:
    """A response, and how it is sent; ``length`` is that of its body."""

    response: Response
    method: str
    http_1_0: bool
    keep: bool
    length: int


@dataclass(frozen=True)
class Head:
    """The lines of a response head: the server's ``before`` and ``after`` the service's ``own``."""

    before: Headers
    own: Headers
    after: Headers = ()


@dataclass(frozen=True)
class Dialect:
    """The HTTP habits of one kind of service.

    :param compose: makes the head of a response.
    :param keeps: whether the connection outlives the answer: ``(http_1_0, connection_header)``.
    :param phrases: reason phrases; statuses that are missing have the usual one.
    :param failure: body of answers made by the server alone; ``%(status)d`` in it is the status,
        ``%(code)b`` its code.
    :param codes: codes of statuses.
    :param streams: bodies are handed on as they arrive, and ``Expect: 100-continue`` is answered.
    :param needs_host: a request without ``Host`` is refused by the HTTP server itself.
    :param reads_chunked: chunked request bodies are understood. The proxy takes them for no body at all, and
        what comes next on the connection is garbage to it (pitfalls row 144).
    :param pipelines: several requests sent at once are all answered.
    :param strict_lines: a header line without a space after its colon drops the connection without an answer.
    :param head_limit: largest request head, in bytes.
    """

    kind: str
    compose: Callable[[Reply], Head]
    keeps: Callable[[bool, str], bool]
    phrases: Mapping[int, str]
    failure: bytes
    streams: bool = False
    needs_host: bool = False
    reads_chunked: bool = True
    pipelines: bool = True
    strict_lines: bool = False
    head_limit: int = 1024 * _KIB
    codes: Mapping[int, str] = field(default_factory=dict)

    def fail(self, status: int) -> Response:
        """Return an answer of the server alone."""
        values = {b"status": status, b"code": self.codes.get(status, "").encode()}
        return Response(status, body=self.failure % values)

    def phrase(self, response: Response) -> str:
        """Return the reason phrase of ``response``."""
        if response.reason is not None:
            return response.reason
        known = self.phrases.get(response.status)
        if known is not None:
            return known
        try:
            return HTTPStatus(response.status).phrase
        except ValueError:
            return "Unknown"


def _split_type(headers: Headers) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the ``Content-Type`` lines, and the others."""
    types = [line for line in headers if line[0].lower() == "content-type"]
    return types, [line for line in headers if line[0].lower() != "content-type"]


def _compose_proxy(reply: Reply) -> Head:
    types, own = _split_type(reply.response.headers)
    connection = [] if reply.http_1_0 else [("Connection", "Keep-Alive" if reply.keep else "Close")]
    if not types and reply.length:
        types = [("Content-Type", "application/json")]
    return Head([*connection, *types, ("Content-Length", str(reply.length))], own)


def _compose_account(reply: Reply) -> Head:
    types, own = _split_type(reply.response.headers)
    before = [
        ("Server", "gunicorn"),
        ("Date", formatdate(usegmt=True)),
        ("Connection", "keep-alive" if reply.keep else "close"),
        *(types or [("Content-Type", "text/plain; charset=utf-8")]),
    ]
    if reply.response.status != HTTPStatus.NO_CONTENT:
        before.append(("Content-Length", str(reply.length)))
    return Head(before, own)


def _compose_rawx(reply: Reply) -> Head:
    types, own = _split_type(reply.response.headers)
    names = {name.lower() for name, _ in own}
    after = [("Date", formatdate(usegmt=True))]
    if (
        "content-length" not in names
        and reply.response.status != HTTPStatus.NO_CONTENT
        and reply.method != "HEAD"
    ):
        after.append(("Content-Length", str(reply.length)))
    after += types
    if not reply.keep:
        # HTTP/1.0 clients expect a close without being told.
        after += [] if reply.http_1_0 else [("Connection", "close")]
        own = [line for line in own if line[0].lower() != "connection"]
    elif reply.http_1_0 and "connection" not in names:
        after.append(("Connection", "keep-alive"))
    return Head((), sorted(own), after)


def _compose_b2(reply: Reply) -> Head:
    types, own = _split_type(reply.response.headers)
    if not types and reply.length:
        types = [("Content-Type", "application/json;charset=UTF-8")]
    after = [] if reply.keep else [("Connection", "close")]
    # The answer to HEAD carries the length of the data among its own headers.
    if not any(name.lower() == "content-length" for name, _ in own):
        after.append(("Content-Length", str(reply.length)))
    return Head(types, own, [*after, ("Date", formatdate(usegmt=True))])


def _keeps_if_asked(http_1_0: bool, connection: str) -> bool:
    return not http_1_0 and connection.strip().lower() == "keep-alive"


def _keeps_unless_told(http_1_0: bool, connection: str) -> bool:
    return not http_1_0 and "close" not in connection.lower()


def _keeps_even_http_1_0(http_1_0: bool, connection: str) -> bool:
    if http_1_0:
        return "keep-alive" in connection.lower()
    return "close" not in connection.lower()


PROXY = Dialect(
    "proxy",
    _compose_proxy,
    _keeps_if_asked,
    {
        202: "Already Accepted",
        400: "Bad request",
        404: "Not found",
        405: "Method not allowed",
        413: "Payload too large",
        500: "Internal error",
        503: "Service unavailable",
    },
    b'{"status":%(status)d,"message":"Failure of the sandbox"}',
    reads_chunked=False,
    pipelines=False,
    strict_lines=True,
)

#: Built on the same HTTP library as the proxy.
RDIR = replace(PROXY, kind="rdir")

ACCOUNT = Dialect(
    "account",
    _compose_account,
    _keeps_unless_told,
    {status.value: status.phrase.upper() for status in HTTPStatus},
    b"Unmanaged error",
)

RAWX = Dialect(
    "rawx",
    _compose_rawx,
    _keeps_even_http_1_0,
    # The phrases of Python's table changed over its versions.
    {416: "Requested Range Not Satisfiable", 418: "I'm a teapot", 431: "Request Header Fields Too Large"},
    b"",
    streams=True,
    needs_host=True,
    head_limit=68 * _KIB,
)

#: Codes of B2 errors by status, where no more precise code is known.
B2_CODES: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "cap_exceeded",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    416: "range_not_satisfiable",
    429: "too_many_requests",
    500: "internal_error",
    503: "service_unavailable",
}

B2 = Dialect(
    "b2",
    _compose_b2,
    _keeps_even_http_1_0,
    {},
    b'{"status":%(status)d,"code":"%(code)b","message":"Failure of the sandbox"}',
    streams=True,
    needs_host=True,
    head_limit=64 * _KIB,
    codes=B2_CODES,
)
