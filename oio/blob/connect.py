# SPDX-License-Identifier: Apache-2.0
"""Connections to chunk servers, made where applications' tests may put fakes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from ssl import SSLContext
from typing import Any, Protocol
from urllib.parse import urlsplit

from oio.common import green, http_eventlet
from oio.common.chunks import Chunk

FAILURES = (Exception, green.OioTimeout)
"""Failures of one chunk server, which concern this one alone. Network and protocol errors are known, but the
fake connections of applications raise anything."""
OWN_THREAD_FAILURES = (Exception, green.Timeout)
"""The same in a green thread of ours, where no timeout of the host's can strike."""


class ChunkAnswer(Protocol):
    """Answer of a chunk server: the standard one, or a fake of an application."""

    status: int
    conn: Connection
    """Connection that it came over, noted by those who close it later."""

    def getheader(self, name: str, /) -> str | None:
        """Get a header."""

    def getheaders(self) -> Iterable[tuple[str, str]]:
        """Get all the headers."""

    def read(self, size: int, /) -> bytes:
        """Read at most `size` bytes of the body; nothing at its end."""


class Connection(Protocol):
    """Connection to a chunk server, with the head of a request already sent."""

    def send(self, data: bytes, /) -> object:
        """Send a part of the body."""

    def getresponse(self) -> ChunkAnswer:
        """Get the answer, once its head is there."""

    def close(self) -> object:
        """End the request."""


def connect(
    chunk: Chunk, method: str, headers: Mapping[str, object], ssl_context: SSLContext | None = None
) -> Connection:
    """Send the head of a request about a chunk.

    The function ``http_connect`` of :mod:`oio.api.io` is looked up at each call, if that module is loaded:
    an application's tests may put a fake there.

    :param ssl_context: for a server that speaks TLS; None for the default one
    """
    parsed = urlsplit(chunk.address)
    seam = sys.modules.get("oio.api.io")
    http_connect: Callable[..., Connection]
    http_connect = http_eventlet.http_connect if seam is None else seam.http_connect
    # Fakes know no keyword that is not needed.
    kwargs: dict[str, Any] = {}
    if parsed.scheme == "https":
        kwargs["scheme"] = "https"
    if ssl_context is not None:
        kwargs["ssl_context"] = ssl_context
    return http_connect(parsed.netloc, method, parsed.path, headers, **kwargs)
