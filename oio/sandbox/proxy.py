# SPDX-License-Identifier: Apache-2.0
"""The proxy of the namespace: finds the handler of each request, and answers its refusals."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from oio.sandbox import (
    proxy_conscience,
    proxy_containers,
    proxy_contents,
    proxy_directory,
    proxy_raw,
    proxy_self,
)
from oio.sandbox.calls import Call, refused
from oio.sandbox.messages import Request, Response
from oio.sandbox.refusals import NOT_FOUND, Refusal, bad_request

if TYPE_CHECKING:
    from oio.sandbox.conscience import Conscience
    from oio.sandbox.metadata import Metadata
    from oio.sandbox.policies import Policies

_PATH_BYTES: Final = 2048
#: Routes served by one request to the service of containers, which say how long it took.
_MEASURED: Final = frozenset(
    {
        *("container/list", "content/locate", "content/show", "content/create", "content/update"),
        *("content/truncate", "content/delete", "content/drain"),
    }
)
_PATH: Final = re.compile(r"/+v3\.0/(?P<whole>.+?)/?")


@dataclass
class Proxy:
    """The proxy without its sockets; safe from many threads.

    :param metadata: containers and objects.
    :param conscience: services.
    :param policies: storage policies.
    :param chunk_size: size of chunks in bytes.
    """

    metadata: Metadata
    conscience: Conscience
    policies: Policies
    chunk_size: int
    #: Configuration that ``/v3.0/config`` shows and changes; that changes nothing else.
    variables: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        self.variables = proxy_self.default_variables(self.metadata.max_versions)

    @property
    def namespace(self) -> str:
        """Name of the namespace."""
        return self.metadata.namespace

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        try:
            return self._handler(request)(self, Call(request))
        except Refusal as refusal:
            return refused(refusal)
        except (UnicodeEncodeError, OverflowError, sqlite3.DataError) as exc:
            # Half a surrogate pair, or an integer of more than 64 bits, in a JSON body.
            return refused(bad_request(f"Unusable value: {exc}"))

    def _handler(self, request: Request) -> Handler:
        match = _PATH.fullmatch(request.path)
        if match and len(request.path) <= _PATH_BYTES:
            method, whole = request.method.upper(), match["whole"]
            own = proxy_self.ROUTES.get((method, whole))
            if own is not None:
                return own
            namespace, _, route = whole.partition("/")
            handler = ROUTES.get((method, route))
            if handler is not None:
                if namespace != self.namespace:
                    raise bad_request("Invalid parameter 'namespace'")
                return _wrapped(handler, route)
        return _no_handler


Handler = Callable[[Proxy, Call], Response]

#: Method and route, without the name of the namespace.
ROUTES: Final[dict[tuple[str, str], Handler]] = {
    **proxy_containers.ROUTES,
    **proxy_contents.ROUTES,
    **proxy_directory.ROUTES,
    **proxy_conscience.ROUTES,
    **proxy_raw.ROUTES,
}


def _wrapped(handler: Handler, route: str) -> Handler:
    def wrapped(proxy: Proxy, call: Call) -> Response:
        call.check_deadline()
        answer = handler(proxy, call)
        if route in _MEASURED and call.header("x-oio-perfdata") is not None:
            measures = ("x-oio-perfdata", f"resolve=0,meta2={call.elapsed()}")
            return replace(answer, headers=[*answer.headers, measures])
        return answer

    return wrapped


def _no_handler(_proxy: Proxy, _call: Call) -> Response:
    answer = refused(Refusal(NOT_FOUND, "No handler found"))
    return Response(answer.status, answer.headers, answer.body, reason="No handler found")
