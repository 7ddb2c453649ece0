# SPDX-License-Identifier: Apache-2.0
"""Heads of HTTP messages: the same as those of the standard library, written and read in fewer steps."""

from __future__ import annotations

import http.client
import io
import re
import socket
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oio.common import green
from oio.common.http_eventlet import CustomHTTPResponse
from oio.common.http_heads import HTTPResponse, host_of, is_target, request_head

NAMES = st.sampled_from(
    ["Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "x-oio-a", "X-Oio-A"]
)
VALUES = st.one_of(
    st.sampled_from(["", "0", "12", "-1", "chunked", "Chunked", "close", "keep-alive", "Close, TE", "1 2"]),
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=8),
)
FIELDS = st.builds("{}{}{}".format, NAMES, st.sampled_from([":", ": ", ":\t", ": \t", " : "]), VALUES)
ODD = st.sampled_from(
    [" folded", "\tfolded", "no colon", ": no name", "two words: x", "a\rb: c", "x: a\rb", "é: x"]
)
LINES = st.lists(st.one_of(FIELDS, FIELDS, FIELDS, ODD), max_size=8)
STATUSES = st.sampled_from(
    ["HTTP/1.1 200 OK", "HTTP/1.0 404 Not Found", "HTTP/1.1 204", "HTTP/1.1 304 Not", "HTTP/1.1 206  P "]
)


class Answered:
    """A socket from which only an answer can be read."""

    def __init__(self, raw: bytes, at_once: int) -> None:
        self._file = io.BufferedReader(_Drops(raw, at_once))

    def makefile(self, _mode: str) -> Any:
        return self._file


class ReadDirectly(Answered):
    """The same, with the methods of green sockets that save a file."""

    def __init__(self, raw: bytes, at_once: int) -> None:
        self._drops = _Drops(raw, at_once)

    def recv(self, size: int) -> bytes:
        buffer = bytearray(size)
        return bytes(buffer[: self._drops.readinto(buffer)])

    def file_after(self, there: bytes, buffer_size: int = io.DEFAULT_BUFFER_SIZE) -> Any:
        self._drops.put_back(there)
        return io.BufferedReader(self._drops, buffer_size)


class _Drops(io.RawIOBase):
    reads = 0

    def __init__(self, raw: bytes, at_once: int) -> None:
        self._raw, self._at_once = io.BytesIO(raw), at_once

    def put_back(self, there: bytes) -> None:
        self._raw = io.BytesIO(there + self._raw.read())

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.reads += 1
        return self._raw.readinto(memoryview(buffer)[: self._at_once])


def unfolded(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers without line breaks in their values, of which urllib3 makes blanks."""
    return [(name, re.sub(r"\r?\n[ \t]+", " ", value)) for name, value in pairs]


def heard(kind: type[http.client.HTTPResponse], sock: Any, method: str) -> Any:
    """What a response says of an answer, with what is left of it; or the class of its exception."""
    response = kind(sock, method=method)
    try:
        response.begin()
    except Exception as err:  # noqa: BLE001 - which one it is, is compared
        return type(err)
    with response:
        told = {
            name: getattr(response, name) for name in ("status", "reason", "version", "length", "will_close")
        }
        told["chunked"] = bool(response.chunked)
        told["headers"] = unfolded(response.getheaders())
        joined = [(name, response.getheader(name, "")) for name in ("x-oio-a", "connection", "none")]
        told["joined"] = unfolded(joined)
        told["message"] = unfolded(response.msg.items())
        told["left"] = response.fp.read() if response.fp is not None else b""
    return told


@settings(deadline=None)
@given(
    STATUSES,
    LINES,
    st.sampled_from(["GET", "HEAD"]),
    st.sampled_from([1, 7, 8192]),
    st.sampled_from(["\r\n", "\n"]),
)
@example("HTTP/1.1 200 OK", [], "GET", 8192, "\r\n")
@example("HTTP/1.1 200 OK", ["x-oio-a: 1"] * 101, "GET", 8192, "\r\n")
@example("HTTP/1.1 200 OK", ["x-oio-a: 1"] * 100, "GET", 8192, "\r\n")
@example("HTTP/1.1 200 OK", ["x-oio-a: " + "1" * 70000], "GET", 8192, "\r\n")
@example("HTTP/1.1 100 Continue", [], "GET", 8192, "\r\n\r\nHTTP/1.1 200 OK\r\nx-oio-a: 1\r\n\r\n")
@example("HTTP/1.1 200 OK", ["Content-Length: 4", "Content-Length: 10"], "GET", 8192, "\r\n")
@example("HTTP/1.1 200 OK", ["Connection: close", "x-oio-a: 1", "X-Oio-A: 2"], "GET", 8192, "\r\n")
@example("HTTP/1.1 200 OK", ["x-oio-a: 1", "x-oio-a: \t2", "x-oio-a: 3"], "GET", 8192, "\r\n")
@example("HTTP/2 200 OK", [], "GET", 8192, "\r\n")
@example("HTTP/1.1 ok", [], "GET", 8192, "\r\n")
@example("HTTP/1.1 200 OK", ["Content-Length: " + "9" * 5000], "GET", 8192, "\r\n")
def test_head_is_read_as_by_the_standard_library(status, lines, method, at_once, newline):
    raw = newline.join([status, *lines, "", "body"]).encode("latin-1")
    standard = heard(http.client.HTTPResponse, Answered(raw, at_once), method)
    assert heard(HTTPResponse, Answered(raw, at_once), method) == standard
    directly = heard(HTTPResponse, ReadDirectly(raw, at_once), method)
    if type(directly) is dict and directly["will_close"]:
        # Also after more than was announced, which the standard one does not look at.
        standard["will_close"] = True
    assert directly == standard


@pytest.mark.pitfall(158)
@pytest.mark.parametrize("source", [Answered, ReadDirectly])
@pytest.mark.parametrize("line", ["no colon", "a", ": no name", "two words: x"])
def test_head_that_breaks_off_is_told(line, source):
    response = HTTPResponse(source(f"HTTP/1.1 200 OK\r\na: b\r\n{line}\r\nc: d\r\n\r\n".encode(), 8192))
    response.begin()
    assert response.head_is_broken


def test_value_in_several_lines_is_one_line():
    raw = b"HTTP/1.1 200 OK\r\nx-oio-a: 1\r\n  2\r\n\t3\r\nx-oio-b: 4\n 5\r\n\r\n"
    with HTTPResponse(Answered(raw, 8192)) as response:
        response.begin()
        assert response.getheaders() == [("x-oio-a", "1 2 3"), ("x-oio-b", "4 5")]


@pytest.mark.parametrize("source", [Answered, ReadDirectly])
@pytest.mark.parametrize("at_once", [1, 7, 8192])
def test_head_that_is_cut_off_is_no_head(at_once, source):
    raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx-oio-a: 12\r\nx-oio-b: 34\r\n\r\n"
    for size in range(len(raw)):
        response = HTTPResponse(source(raw[:size], at_once))
        with pytest.raises(http.client.HTTPException):
            response.begin()
        response.close()


@pytest.mark.parametrize("at_once", [1, 7, 8192])
@pytest.mark.parametrize("interim", ["102 Processing", "103 Early Hints\r\nLink: </a>", "199 Whatever"])
def test_answer_comes_after_interim_ones_of_any_kind(interim, at_once):
    heads = [interim, "100 Continue", "204 No Content\r\nx-oio-a: 1"]
    raw = "".join(f"HTTP/1.1 {head}\r\n\r\n" for head in heads)
    with HTTPResponse(Answered(raw.encode(), at_once)) as response:
        response.begin()
        assert (response.status, response.getheaders()) == (204, [("x-oio-a", "1")])


def test_connection_that_is_to_speak_another_protocol_is_not_kept():
    raw = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\nwhatever"
    with HTTPResponse(Answered(raw, 8192)) as response:
        response.begin()
        assert (response.status, response.will_close, response.read()) == (101, True, b"")


@settings(deadline=None)
@given(
    st.sampled_from(["GET", "PUT", "DELETE"]),
    st.sampled_from(["/", "/v3.0/NS/content/locate?acct=a&path=%C3%A9", "/0AB"]),
    st.sampled_from(["127.0.0.1:6010", "[::1]:6010", "rawx.example", "rawx.example:80"]),
    st.lists(
        st.tuples(NAMES, st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"))), max_size=6
    ),
)
def test_request_is_written_as_by_the_standard_library(method, target, address, fields):
    standard = http.client.HTTPConnection(address)
    sent: list[bytes] = []
    standard.send = sent.append  # type: ignore[method-assign, assignment]
    standard.putrequest(method, target)
    for name, value in fields:
        standard.putheader(name, value)
    standard.endheaders()
    assert request_head(method, target, host_of(standard), fields) == b"".join(sent)


@pytest.mark.parametrize(
    ("target", "name", "value"),
    [
        ("/a b", "x", "1"),
        ("/a\r\nx: y", "x", "1"),
        ("/é", "x", "1"),
        ("", "x", "1"),
        ("/", "x y", "1"),
        ("/", "x:", "1"),
        ("/", "", "1"),
        ("/", "x\r\ny", "1"),
        ("/", "x", "1\r\ny: 2"),
        ("/", "x", "1\n 2"),
        ("/", "x", "1\r2"),
        ("/", "x", "€"),
    ],
)
def test_what_would_break_a_request_is_refused(target, name, value):
    with pytest.raises(ValueError, match=r"URL|header|latin-1"):
        request_head("GET", target, "127.0.0.1:6010", [(name, value)])


@pytest.mark.parametrize("at_once", [1, 40, 8192])
@pytest.mark.parametrize("source", [Answered, ReadDirectly])
def test_body_is_whole_however_it_comes(source, at_once):
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef"
    with HTTPResponse(source(raw, at_once)) as response:
        response.begin()
        assert (response.read(2), response.read(), response.isclosed()) == (b"ab", b"cdef", True)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_connection_with_more_than_was_announced_is_not_kept(method):
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n\r\n"
    with HTTPResponse(ReadDirectly(raw, 8192), method=method) as response:
        response.begin()
        assert (response.will_close, response.read()) == (True, b"ab" if method == "GET" else b"")


@pytest.mark.parametrize("source", [Answered, ReadDirectly])
@pytest.mark.parametrize("at_once", [49, 8192])
def test_end_of_a_chunked_body_may_come_after_a_head_that_announces_nothing(source, at_once):
    head = b"HTTP/1.1 204 None\r\nTransfer-Encoding: chunked\r\n\r\n"
    with HTTPResponse(source(head + b"0\r\n\r\n", at_once)) as response:
        response.begin()
        assert (response.read(), response.isclosed()) == (b"", True)


@pytest.mark.parametrize("kind", [HTTPResponse, CustomHTTPResponse])
def test_response_that_was_not_made_is_closed_in_silence(kind):
    """A signal handler may raise at the very beginning; what is there is closed all the same."""
    kind.__new__(kind).close()


def test_only_visible_ascii_may_be_sent_as_it_is():
    sent = [code for code in range(0x300) if is_target(chr(code)) and is_target(f"/{chr(code)}")]
    assert sent == list(range(0x21, 0x7F))
    assert not is_target("")


def test_file_of_a_socket_gives_nothing_after_a_read_that_came_too_late():
    """What came before the limit was lost with that read: the rest would pass for all of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = green.create_connection(server.getsockname())
        peer, _ = server.accept()
        with peer, sock.file_after(b"ab") as file:
            sock.settimeout(0.01)
            with pytest.raises(TimeoutError):
                file.read(4)
            peer.sendall(b"cd")
            with pytest.raises(OSError, match="timed out object"):
                file.read(4)
        sock.close()


def test_file_of_a_socket_gives_what_was_read_before_and_then_the_rest():
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = green.create_connection(server.getsockname())
        peer, _ = server.accept()
        with sock.file_after(b"ab") as file:
            peer.sendall(b"cdef")
            assert (file.read(3), file.read(3)) == (b"abc", b"def")
            peer.close()
            assert file.read(1) == b""
        sock.close()


def test_body_of_known_length_takes_nothing_that_comes_after_it_from_the_connection():
    """A copy in a buffer would cost a receive more for each block, and would hide that more has come."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = green.create_connection(server.getsockname())
        peer, _ = server.accept()
        with peer, HTTPResponse(sock) as response:
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab")
            response.begin()
            peer.sendall(b"cdef more")
            assert (response.read(3), response.read()) == (b"abc", b"def")
        assert sock.recv(64) == b" more"
        sock.close()


@pytest.mark.parametrize("name", [b"Range", 5])
def test_name_of_a_header_that_is_no_text_is_refused_by_name(name):
    with pytest.raises(TypeError, match=f"name of a header must be a str, not {type(name).__name__}: {name}"):
        request_head("GET", "/AB", "h:1", [(name, "bytes=0-9")])


def test_lines_of_a_body_of_known_length_are_read_ahead():
    """Each byte of a line would take a receive of its own."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nabc\nline\nline\n"
    sock = ReadDirectly(raw, len(raw) - 12)
    with HTTPResponse(sock) as response:
        response.begin()
        assert (response.read(1), sock._drops.reads) == (b"a", 2)
        assert response.peek() == b"bc\nline\nline\n"
        assert [response.readline(), *response] == [b"bc\n", b"line\n", b"line\n"]
    assert sock._drops.reads == 3
