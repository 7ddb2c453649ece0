# SPDX-License-Identifier: Apache-2.0
"""Damaged answers: strategies that change recorded ones, and a server that sends them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.kit.scripted import Peer
from tests.wire.recorded import Exchange, load

#: Factor for the number of examples; above 1, they are new ones in each run.
TIMES = int(os.environ.get("OIO_FUZZ_TIMES", "1"))


def examples(number: int) -> settings:
    """Settings for a number of examples: always the same ones, unless ``OIO_FUZZ_TIMES`` asks for more."""
    return settings(
        max_examples=number * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# --- values ---

HUGE = "9" * 5000
#: Values that parsers of headers stumble on.
ODD = (
    *(
        "",
        " ",
        "0",
        "-1",
        "+5",
        "1e9",
        "0x10",
        "9" * 30,
        HUGE,
        "1,5",
        "٣",
        "²",
        "nan",
        "None",
        "true",
        "\xff",
    ),
    *("bytes 0-9/100", "bytes 9-0/100", "bytes 0-9/*", "bytes */100", f"bytes 0-{HUGE}/{HUGE}", "bytes=0-9"),
    *("multipart/byteranges; boundary=x", "text/html", "gzip", "chunked", "%", "%zz", "%ff%fe", "%00"),
    *(
        "plain/nb_copy=0",
        "plain/nb_copy=",
        "ec/k=6",
        "ec/k=99,m=99,algo=none",
        "ec/k=6,m=3,algo=isa_l_rs_vand",
    ),
    *("drained", "nothing/", "0" * 32, "Sat, 99 Foo 9999 99:99:99 GMT", "http://", "http://[", "b2/x"),
)
TEXTS = st.sampled_from(ODD) | st.text(
    st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=12
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | TEXTS
    | st.text(max_size=8)
    | st.just(10**400)
)
JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
#: Bodies that are no JSON, or cannot be read as such.
BODIES = st.sampled_from(
    [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"9" * 5000,
        b"NaN",
        b"\xff\xfe\x00",
        b"<html>login</html>",
        b"[{}]",
        b"[[]]",
        b"{}",
        b"[]",
        b'"text"',
    ]
) | st.binary(max_size=20)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values inside a JSON value."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))]


def put_at(value: Any, path: tuple[Any, ...], new: Callable[[Any], Any]) -> Any:
    """A copy with one place changed by ``new``, or removed if it raises ``KeyError``."""
    if not path:
        return new(value)
    key, *rest = path
    changed = value.copy()
    try:
        changed[key] = put_at(value[key], tuple(rest), new)
    except KeyError:
        del changed[key]
    return changed


def _remove(_value: Any) -> Any:
    raise KeyError


@st.composite
def spoilt_json(draw: Any, value: Any) -> Any:
    """A copy of a value, changed in one or two places."""
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from(places(value)))
        if place and draw(st.integers(0, 3)) == 0:
            value = put_at(value, place, _remove)
        else:
            new = draw(JSON)
            value = put_at(value, place, lambda _, new=new: new)
    return value


# --- answers ---


@dataclass(frozen=True)
class Reply:
    """An answer on the wire."""

    first_line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    @classmethod
    def of(cls, exchange: Exchange, address: str) -> Reply:
        """A recorded answer, without headers about its length, and with the address of this server."""
        message = exchange.response
        assert message is not None
        kept = [(name, value) for name, value in message.headers if name.lower() not in _FRAMING]
        body = (
            b"" if exchange.method == "HEAD" else message.body if message.body is not None else message.data
        )
        here = re.compile(rb"127\.0\.0\.1:60\d\d").sub(address.encode(), body)
        return cls(message.first_line, tuple(kept), here)

    def wire(self) -> bytes:
        """The answer as bytes."""
        names = {name.lower() for name, _ in self.headers}
        headers = list(self.headers)
        if not names & {"content-length", "transfer-encoding"} and " 204 " not in self.first_line:
            headers.append(("Content-Length", str(len(self.body))))
        head = "".join(f"{line}\r\n" for line in (self.first_line, *(f"{k}: {v}" for k, v in headers)))
        return f"{head}Connection: close\r\n\r\n".encode("latin-1", "replace") + self.body


_FRAMING = {"content-length", "transfer-encoding", "connection", "date", "server"}
_LINES = (
    *("HTTP/1.1 200 OK", "HTTP/1.1 206 Partial Content", "HTTP/1.1 204 No Content", "HTTP/1.1 201 Created"),
    *("HTTP/1.1 302 Found", "HTTP/1.1 404 Not Found", "HTTP/1.1 409 Conflict", "HTTP/1.1 500 Oops"),
    *(
        "HTTP/1.1 503 Busy",
        "HTTP/1.1 999 Much",
        "HTTP/1.1 99 Little",
        "HTTP/1.1 100 Continue",
        "HTTP/1.1 2OO",
    ),
    *("HTTP/1.1", "HTTP/9.9 200 OK", "ICY 200 OK", "", "\x00", "HTTP/1.1 200 " + "x" * 70_000),
)


@st.composite
def spoilt(draw: Any, reply: Reply) -> Reply:
    """A copy of an answer, changed in one place."""
    kind = draw(st.sampled_from(("body", "body", "body", "header", "header", "line", "framing")))
    if kind == "line":
        return replace(reply, first_line=draw(st.sampled_from(_LINES)))
    if kind == "framing":
        return draw(_framed(reply))
    if kind == "header" and reply.headers:
        return replace(reply, headers=draw(_spoilt_headers(reply.headers)))
    try:
        value = json.loads(reply.body)
    except ValueError:
        return replace(reply, body=draw(BODIES))
    if draw(st.integers(0, 4)) == 0:
        return replace(reply, body=draw(BODIES))
    return replace(reply, body=json.dumps(draw(spoilt_json(value))).encode())


@st.composite
def _spoilt_headers(draw: Any, headers: tuple[tuple[str, str], ...]) -> Any:
    number = draw(st.integers(0, len(headers) - 1))
    name, value = headers[number]
    action = draw(st.sampled_from(("drop", "double", "replace", "replace", "cut", "no colon")))
    new = {
        "drop": (),
        "double": ((name, value), (name, value)),
        "replace": ((name, draw(TEXTS)),),
        "cut": ((name, value[: len(value) // 2]),),
        "no colon": ((f"no colon\r\n{name}", value),),
    }[action]
    return (*headers[:number], *new, *headers[number + 1 :])


@st.composite
def _framed(draw: Any, reply: Reply) -> Reply:
    """The same answer with another length, or in chunks that may be malformed."""
    if draw(st.booleans()):
        length = draw(
            st.sampled_from(("0", "1", str(len(reply.body) + 5), "-1", "4000000000", HUGE, "x", "5, 5"))
        )
        return replace(reply, headers=(*reply.headers, ("Content-Length", length)))
    size = draw(
        st.sampled_from((f"{len(reply.body):x}", "0", "-5", "zz", "f" * 30, f"{len(reply.body):x};a=b", ""))
    )
    trailers = draw(
        st.sampled_from(("", "a: b\r\n", "no colon\r\n", "x" * 70_000 + "\r\n", "a: b\r\n" * 300))
    )
    last = draw(st.sampled_from(("0\r\n", "", "-1\r\n", "x\r\n")))
    body = f"{size}\r\n".encode() + reply.body + f"\r\n{last}{trailers}\r\n".encode()
    return replace(reply, headers=(*reply.headers, ("Transfer-Encoding", "chunked")), body=body)


class Mimic:
    """A server that sends recorded answers, or ``others`` in their place.

    :param captures: names of the captures with the answers
    :param subject_of: gives the subject of a request from its method and path
    """

    def __init__(self, *captures: str, subject_of: Callable[[str, str], str] | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._subject_of = subject_of or _subject_of
        #: Answers by subject: the route, or ``rawx`` and the method.
        self.replies: dict[str, Reply] = {}
        for capture in captures:
            for exchange in load(capture).exchanges:
                if exchange.response is not None:
                    subject = f"rawx {exchange.method}" if exchange.service == "rawx" else exchange.route
                    self.replies.setdefault(subject, Reply.of(exchange, self.address))
        self.others: dict[str, Reply] = {}
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def _serve(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            with sock, contextlib.suppress(OSError, ValueError):
                sock.settimeout(5.0)
                peer = Peer(sock)
                head = peer.read_head()
                if head.startswith("END"):
                    return
                if head:
                    self._read_body(peer, head)
                    sock.sendall(self._answer(head.split("\r\n")[0]))

    @staticmethod
    def _read_body(peer: Peer, head: str) -> None:
        headers = head.lower()
        if "transfer-encoding: chunked" in headers:
            peer.read_chunked()
        elif "content-length: " in headers:
            peer.read(int(headers.partition("content-length: ")[2].split("\r\n")[0]))

    def _answer(self, line: str) -> bytes:
        method, target, *_ = line.split(" ")
        path = target.partition("?")[0]
        for route in (self._subject_of(method, path), path):
            if (reply := self.others.get(route) or self.replies.get(route)) is not None:
                return reply.wire()
        body = b'{"status": 404, "message": "not recorded"}'
        return Reply("HTTP/1.1 404 Not Found", (), body).wire()

    def close(self) -> None:
        with socket.create_connection(self._listener.getsockname()) as sock:
            sock.sendall(b"END\r\n\r\n")
        self._thread.join()
        self._listener.close()


def _subject_of(method: str, path: str) -> str:
    """Subject of a request: paths of chunks have one part, and routes follow version and namespace."""
    return f"rawx {method}" if path.count("/") == 1 else path.split("/", 3)[-1]


@contextlib.contextmanager
def mimic(*captures: str, **options: Any) -> Iterator[Mimic]:
    """Run a server with the answers of some captures."""
    server = Mimic(*captures, **options)
    try:
        yield server
    finally:
        server.close()
