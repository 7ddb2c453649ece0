# SPDX-License-Identifier: Apache-2.0
"""The proxy of the namespace: finds the handler of each request, and answers its refusals."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
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
            call = Call(request)
            answer = self._handler(request)(self, call)
        except Refusal as refusal:
            return refused(refusal)
        except (UnicodeEncodeError, OverflowError, sqlite3.DataError) as exc:
            # Half a surrogate pair, or an integer of more than 64 bits, in a JSON body.
            return refused(bad_request(f"Unusable value: {exc}"))
        return _with_perfdata(answer, call)

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
                return _timely(handler)
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


def _timely(handler: Handler) -> Handler:
    def checked(proxy: Proxy, call: Call) -> Response:
        call.check_deadline()
        return handler(proxy, call)

    return checked


def _no_handler(proxy: Proxy, call: Call) -> Response:
    answer = refused(Refusal(NOT_FOUND, "No handler found"))
    return Response(answer.status, answer.headers, answer.body, reason="No handler found")


def _with_perfdata(answer: Response, call: Call) -> Response:
    return answer
