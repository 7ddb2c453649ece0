# SPDX-License-Identifier: Apache-2.0
"""Requests and responses as values, between the HTTP servers and the services."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

Headers = Sequence[tuple[str, str]]


class IncompleteBody(Exception):
    """The request body ended before its announced end, or its framing is broken."""


class Incoming(Protocol):
    """A request body as it arrives: iterate it once; ``trailers`` are complete after the last block."""

    trailers: Headers

    def __iter__(self) -> Iterator[bytes]: ...


@dataclass
class NoBody:
    """The body of a request without one, or whose body has been read."""

    trailers: Headers = ()

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


@dataclass(frozen=True)
class Request:
    """One request. Header bytes that are not UTF-8 are escaped as surrogates, here and in responses.

    ``target`` is as on the request line; ``headers`` keep their order and spelling. ``body`` is the whole
    body for services that read it whole (proxy, account); for a service that streams (rawx) it is empty,
    the data come from ``stream``, and :class:`IncompleteBody` is raised out of it when they end early.
    """

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""
    stream: Incoming = field(default_factory=NoBody)

    @property
    def path(self) -> str:
        """The target without its query string, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The raw query string, without the question mark."""
        return self.target.partition("?")[2]

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of the first header called ``name`` (any case)."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), default)


@dataclass(frozen=True)
class FileSlice:
    """A response body taken from an open file, which the server closes: ``length`` bytes from ``offset``."""

    file: BinaryIO
    offset: int
    length: int

    def close(self) -> None:
        """Close the file."""
        self.file.close()


@dataclass(frozen=True)
class FileSlices:
    """A response body taken from several files: path, offset and length of each part.

    Each file is opened when its turn comes; one that is gone then ends the connection early.
    """

    parts: Sequence[tuple[Path, int, int]]

    @property
    def length(self) -> int:
        """Length of the whole body."""
        return sum(length for _, _, length in self.parts)

    def __iter__(self) -> Iterator[FileSlice]:
        for path, offset, length in self.parts:
            with path.open("rb", buffering=0) as file:
                yield FileSlice(file, offset, length)

    def close(self) -> None:
        """Do nothing: no file is open between two parts."""


@dataclass(frozen=True)
class Response:
    """One response.

    The server writes the status line, ``Connection``, ``Date``, ``Content-Length`` and the other lines that
    each service always has; ``headers`` are the service's own, ``Content-Type`` included, written as they
    are, even when they break the response head as the real ones can (pitfalls row 158). ``reason`` is only
    needed when it is not the service's usual phrase for ``status``. ``close`` asks to close the connection
    afterwards.
    """

    status: int
    headers: Headers = ()
    body: bytes | FileSlice | FileSlices = b""
    reason: str | None = None
    close: bool = False


class Handler(Protocol):
    """A service without its sockets, called by several threads at once."""

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        ...


@runtime_checkable
class FaultAware(Protocol):
    """A handler that is told of requests that a fault answered or broke off in its place."""

    def met_fault(self, request: Request, status: int | None) -> None:
        """Receive the status that the client gets; None when it gets no answer."""
        ...
