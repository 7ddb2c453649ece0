# SPDX-License-Identifier: Apache-2.0
"""Green connections over TCP, and those of the standard library for HTTP over them."""

from __future__ import annotations

import functools
import http.client
import socket as _native_socket
import ssl
from typing import Any

from oio.common.green._imported import socket
from oio.common.green._network import Socket, create_ssl_context
from oio.common.green._threads import ensure_hub, local
from oio.common.http_heads import HTTPResponse, host_of
from oio.common.interruptions import reraise_interruption


def create_connection(
    address: tuple[str, int],
    timeout: Any = _native_socket._GLOBAL_DEFAULT_TIMEOUT,  # type: ignore[attr-defined]
    source_address: tuple[str, int] | None = None,
    socket_options: Any = None,
) -> Any:
    """Connect a green TCP socket to the first address of a host that accepts.

    :param timeout: seconds for each address tried
    :raises OSError: when no address accepts
    """
    if not getattr(local, "known", False):
        ensure_hub()
    host, port = address
    error: OSError | None = None
    try:
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except UnicodeError as err:
        raise OSError(f"{host!r} is no name of a host: {err}") from err
    for family, kind, proto, _name, target in found:
        sock = None
        try:
            sock = Socket(family, kind, proto)
            for option in socket_options or ():
                sock.setsockopt(*option)
            if timeout is not _native_socket._GLOBAL_DEFAULT_TIMEOUT:  # type: ignore[attr-defined]
                sock.settimeout(timeout)
            if source_address:
                sock.bind(source_address)
            sock.connect(target)
            return sock
        except BaseException as err:
            if sock is not None:
                sock.close()
            if not isinstance(err, OSError):
                raise
            reraise_interruption(err)
            error = err
    raise error or OSError(f"{host} has no address")


_default_ssl_context = functools.cache(create_ssl_context)


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
