# SPDX-License-Identifier: Apache-2.0
"""HTTP connections of the standard library over green sockets."""

from __future__ import annotations

import functools
import http.client
import ssl
from typing import Any

from oio.common.green._network import create_connection, create_ssl_context
from oio.common.http_heads import HTTPResponse, host_of


@functools.cache
def _default_ssl_context() -> ssl.SSLContext:
    return create_ssl_context()


class HTTPConnection(http.client.HTTPConnection):
    """The standard HTTP connection, over a green socket."""

    response_class = HTTPResponse
    host_header = functools.cached_property(host_of)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # http.client's own seam for the kind of socket.
        self._create_connection = create_connection


class HTTPSConnection(HTTPConnection, http.client.HTTPSConnection):
    """The standard HTTPS connection, over a green socket; verifies the server by default."""

    def __init__(self, *args: Any, context: ssl.SSLContext | None = None, **kwargs: Any) -> None:
        super().__init__(*args, context=context or _default_ssl_context(), **kwargs)
