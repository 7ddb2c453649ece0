# SPDX-License-Identifier: Apache-2.0
"""The captures: HTTP exchanges recorded with a real namespace, as values."""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

DIRECTORY = Path(__file__).parent / "captures"
#: Those of the development head, whose format is the same.
DIRECTORY_2026 = Path(__file__).parent / "captures-2026"


def names_in(directory: Path) -> list[str]:
    """Return the names of the captures in a directory."""
    return [item["file"].removesuffix(".json") for item in json.loads((directory / "index.json").read_text())]


NAMES = names_in(DIRECTORY)
NAMES_2026 = names_in(DIRECTORY_2026)


@dataclass(frozen=True)
class Message:
    """A request or a response; ``body`` is None when it was recorded in part, ``length`` is always whole."""

    first_line: str
    headers: list[tuple[str, str]]
    body: bytes | None
    length: int
    head: bytes = b""
    chunked: bool = False
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def get(self, name: str) -> str | None:
        """Return the first header of that name."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def json(self) -> Any:
        """The JSON body, None when it is something else."""
        try:
            return json.loads(self.body or b"null")
        except ValueError:
            return None

    @property
    def data(self) -> bytes:
        """The body, or as many bytes: what was recorded of it, repeated."""
        repeated = itertools.cycle(self.head or b"\0")
        return bytes(itertools.islice(repeated, self.length))

    @property
    def status(self) -> int:
        """Status of a response."""
        return int(self.first_line.split(" ", 2)[1])

    @property
    def reason(self) -> str:
        """Reason phrase of a response."""
        return self.first_line.split(" ", 2)[2]


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, None when there was none."""

    service: str
    peer: str
    connection: int
    request: Message
    response: Message | None
    closed: bool | None
    #: The service has closed the connection without an answer.
    dropped: bool = False

    @property
    def method(self) -> str:
        """Method of the request."""
        return self.request.first_line.split(" ")[0]

    @property
    def target(self) -> str:
        """Path and query string of the request."""
        return self.request.first_line.split(" ")[1]

    @property
    def route(self) -> str:
        """``container/create`` for the proxy, the path for other services."""
        path = urlsplit(self.target).path.strip("/")
        return path.split("/", 2)[-1] if self.service == "proxy" else "/" + path

    @property
    def query(self) -> dict[str, str]:
        """Parameters of the query string."""
        parsed = parse_qs(urlsplit(self.target).query, keep_blank_values=True, errors="surrogateescape")
        return {key: values[0] for key, values in parsed.items()}

    @property
    def http_1_0(self) -> bool:
        """Whether the request was of the old version."""
        return self.request.first_line.endswith("HTTP/1.0")

    @property
    def error(self) -> int | None:
        """Status of the error body, if the answer is an error of the proxy."""
        body = self.response.json if self.response else None
        return body.get("status") if isinstance(body, dict) and "message" in body else None


@dataclass(frozen=True)
class Capture:
    """One recorded operation."""

    name: str
    operation: str
    exchanges: list[Exchange]
    release: str = "7.3"

    @property
    def chunk_size(self) -> int:
        """Chunk size of the namespace when it was recorded."""
        return 10485760 if self.release == "2026" or self.name.startswith("raw_") else 1048576


@cache
def load(name: str) -> Capture:
    """Return a capture by its name."""
    data = json.loads((DIRECTORY / f"{name}.json").read_text(encoding="utf-8"))
    return Capture(name, data["operation"], [_exchange(item) for item in data["exchanges"]])


@cache
def load_2026(name: str) -> Capture:
    """Return a capture of the development head by its name."""
    data = json.loads((DIRECTORY_2026 / f"{name}.json").read_text(encoding="utf-8"))
    return Capture(name, data["operation"], [_exchange(item) for item in data["exchanges"]], "2026")


def _exchange(item: dict[str, Any]) -> Exchange:
    dropped = item["response"] is not None and item["response"]["status"] is None
    response = None if dropped or item["response"] is None else _message(item["response"])
    return Exchange(
        service=item["service"],
        peer=item["peer"],
        connection=item["connection"],
        request=_message(item["request"]),
        response=response,
        closed=item.get("server_closed_after"),
        dropped=dropped,
    )


def _message(data: dict[str, Any]) -> Message:
    body = data.get("body") or {"length": 0}
    known = body["text"].encode() if "text" in body else base64.b64decode(body.get("base64", ""))
    return Message(
        data["first_line"],
        [(key, value) for key, value in data["headers"]],
        None if body.get("truncated") else known,
        body["length"],
        known,
        bool(data.get("chunked")),
        [(key, value) for key, value in data.get("trailers", [])],
    )
