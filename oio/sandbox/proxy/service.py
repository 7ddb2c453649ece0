# SPDX-License-Identifier: Apache-2.0
"""The proxy: dispatch of requests to its routes."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from oio.sandbox.http.calls import refused
from oio.sandbox.messages import Request, Response
from oio.sandbox.proxy import administration, conscience, containers, contents, directory, raw, sharding
from oio.sandbox.proxy.backend import Backend
from oio.sandbox.proxy.calls import Call
from oio.sandbox.proxy.containers import served_by
from oio.sandbox.refusals import NO_SUCH_POLICY, NOT_FOUND, Refusal, bad_request

_PATH_BYTES: Final = 2048
#: Routes that take one request to a meta2, and report how long it took.
_MEASURED: Final = frozenset(
    {
        *("container/list", "content/locate", "content/show", "content/create", "content/update"),
        *("content/truncate", "content/delete", "content/drain"),
    }
)
#: Routes of the 2026 release only.
_LATER: Final = frozenset({"content/transition", "container/drain", *(route for _, route in sharding.ROUTES)})
#: Status of failures behind the proxy; they do not name the service.
_UNKNOWN: Final = 500
#: Routes that work by stages, and say so even when they are refused.
_STAGED: Final = ("container/flush", "container/drain")
_PATH: Final = re.compile(r"/+v3\.0/(?P<whole>.+?)/?")


Handler = Callable[[Backend, Call], Response]

#: Method and route, without the name of the namespace.
ROUTES: Final[dict[tuple[str, str], Handler]] = {
    **containers.ROUTES,
    **contents.ROUTES,
    **directory.ROUTES,
    **conscience.ROUTES,
    **raw.ROUTES,
    **sharding.ROUTES,
}


class Proxy:
    """The proxy without its sockets; safe from many threads."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        call = None
        try:
            call = Call(request)
            return self._handler(request)(self._backend, call)
        except Refusal as refusal:
            return self._refused(refusal, request, call)
        except (UnicodeEncodeError, OverflowError, sqlite3.DataError) as exc:
            # Half a surrogate pair, or an integer of more than 64 bits, in a JSON body.
            return refused(bad_request(f"Unusable value: {exc}"))

    def _refused(self, refusal: Refusal, request: Request, call: Call | None) -> Response:
        later = self._backend.release.later_fields
        if later and refusal.status == NO_SUCH_POLICY:
            refusal = refusal.answered_with(400)
        answer = refused(refusal)
        if not later or refusal.http == _UNKNOWN:
            return answer
        staged = request.path.rstrip("/").endswith(_STAGED)
        headers = [*served_by(self._backend), *([("x-oio-truncated", "false")] if staged else [])]
        if call is not None and call.shard:
            headers.append(("x-oio-shard-hexid", call.shard))
        return replace(answer, headers=[*headers, *answer.headers])

    def _handler(self, request: Request) -> Handler:
        match = _PATH.fullmatch(request.path)
        if match and len(request.path) <= _PATH_BYTES:
            method, whole = request.method.upper(), match["whole"]
            handler = administration.ROUTES.get((method, whole))
            if handler is not None:
                return handler
            namespace, _, route = whole.partition("/")
            later = route in _LATER and not self._backend.release.later_fields
            handler = None if later else ROUTES.get((method, route))
            if handler is not None:
                if namespace != self._backend.namespace:
                    raise bad_request("Invalid parameter 'namespace'")
                return _wrapped(handler, route)
        return _no_handler


def _wrapped(handler: Handler, route: str) -> Handler:
    def wrapped(backend: Backend, call: Call) -> Response:
        call.check_deadline()
        answer = handler(backend, call)
        if call.shard:
            answer = replace(answer, headers=[("x-oio-shard-hexid", call.shard), *answer.headers])
        if route in _MEASURED and call.header("x-oio-perfdata") is not None:
            measures = ("x-oio-perfdata", f"resolve=0,meta2={call.elapsed()}")
            return replace(answer, headers=[*answer.headers, measures])
        return answer

    return wrapped


def _no_handler(_backend: Backend, _call: Call) -> Response:
    answer = refused(Refusal(NOT_FOUND, "No handler found"))
    return Response(answer.status, answer.headers, answer.body, reason="No handler found")
