# SPDX-License-Identifier: Apache-2.0
"""Heads of HTTP messages: requests written at once as bytes, and answers parsed without the e-mail parser."""

from __future__ import annotations

import functools
import http.client
import io
import math
import os
import re
import sys
from collections.abc import Iterable
from typing import Any

Pairs = list[tuple[str, str]]
Index = dict[str, list[str]]
"""Lower-case name of each header -> its name as it came first, and all its values."""
_NOT_READ: Index = {}
"""Stands for the headers until the head is read."""
_NONE = ["", ""]
"""Stands for a header that is missing."""

_SWITCHING_PROTOCOLS = 101
_MOST_LINES = 100
"""Bound of the interim answers, and of the lines after the body, as of the headers in `http.client`."""
_AT_ONCE = 8192
"""Bytes that are asked for first: most heads, and with them small bodies, fit."""
_LONGEST_LINE = 65536
"""Bytes of a line after the body that are read at once."""
_LONGEST_NAME = 200
"""Characters of the longest name of a header that the quick parser reads; longer ones are odd."""
_NAME = re.compile(r"[!-9;-~]+")
is_target = re.compile(r"[!-~]+").fullmatch
"""Tells whether the characters of a path, possibly with a query, may be sent as they are."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: +([^\r\n]*))?")
_FOLD = re.compile(r"\r?\n[ \t]+")
_FIELD = re.compile(rf"({_TOKEN.pattern[:-1]}{{1,{_LONGEST_NAME}}}):[ \t]*(.*)")
_METHODS = frozenset({"COPY", "DELETE", "GET", "HEAD", "POST", "PUT"})
_MOST_NAMES = 1024
_SENT_NAMES: set[str] = set()
"""Names of headers that have passed the check before."""
_KEYS: dict[str, str] = {}
"""Names of headers that have come before -> the same in lower case."""


def check_name(name: object) -> None:
    """Refuse the name of a header that a service could read as another one, or as several.

    :raises ValueError: it has blanks, colons or characters beyond ASCII
    :raises TypeError: it is no text
    """
    if not isinstance(name, str):
        kind = type(name).__name__
        raise TypeError(f"the name of a header must be a str, not {kind}: {name!r:.200}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"invalid name of a header: {name!r:.200}")
    if len(_SENT_NAMES) < _MOST_NAMES:
        _SENT_NAMES.add(name)


def request_head(method: str, target: str, host: str, fields: Iterable[tuple[str, Any]]) -> bytes:
    r"""Write the head of a request.

    :param target: path and query, quoted
    :param host: value of the header ``Host``
    :param fields: the other headers. Values are turned into text; a list or tuple is sent as repeated headers
    :raises ValueError: something would break the lines

    >>> request_head("GET", "/AB", "rawx-1:6010", [("Range", "bytes=0-9")])
    b'GET /AB HTTP/1.1\r\nHost: rawx-1:6010\r\nAccept-Encoding: identity\r\nRange: bytes=0-9\r\n\r\n'
    """
    if method not in _METHODS and not _TOKEN.fullmatch(method):
        raise ValueError(f"invalid method: {method!r:.200}")
    if not is_target(target):
        raise ValueError(f"URL can't contain control characters, blanks or non-ASCII: {target!r:.200}")
    lines = [f"{method} {target} HTTP/1.1\r\n", f"Host: {host}\r\n", "Accept-Encoding: identity\r\n"]
    for name, value in fields:
        if name not in _SENT_NAMES:
            check_name(name)
        if isinstance(value, str):
            lines.append(f"{name}: {value}\r\n")
        else:
            items = value if isinstance(value, (list, tuple)) else (value,)
            texts = (item.decode("latin-1") if isinstance(item, bytes) else item for item in items)
            lines.extend(f"{name}: {text}\r\n" for text in texts)
    lines.append("\r\n")
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines):
        odd = next(line for line in lines if line.count("\n") > 1 or line.count("\r") > 1)
        raise ValueError(f"invalid value of a header: {odd[:-2]!r:.200}")
    return text.encode("latin-1")


def host_of(connection: http.client.HTTPConnection) -> str:
    """The header ``Host`` of the requests on a connection."""
    host = connection.host
    if ":" in host:
        # The zone of an address means nothing to others.
        host = f"[{host.partition('%')[0]}]"
    elif not host.isascii():
        host = host.encode("idna").decode("ascii")
    return host if connection.port == connection.default_port else f"{host}:{connection.port}"


def _plain_fields(text: str) -> Index | None:
    """Read the lines of a head, without the last line break; None when one needs the standard parser."""
    if not text:
        return {}
    lines = text.split("\r\n")
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        return None
    # The empty line counts.
    if len(lines) + 1 > _MOST_LINES:
        raise http.client.HTTPException(f"got more than {_MOST_LINES} headers")
    index: Index = {}
    # No more than one blank comes before a value.
    if not ("\t" in text or ":  " in text):
        # Most often, every name has come before, and once in the head.
        try:
            for line in lines:
                name, value = line.split(": ", 1)
                index[_KEYS[name]] = [name, value]
        except (KeyError, ValueError):
            pass
        else:
            if len(index) == len(lines):
                return index
        index = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            return None
        name, value = found.groups()
        key = _key_of(name)
        if key in index:
            index[key].append(value)
        else:
            index[key] = [name, value]
    return index


def _pairs_of(text: str) -> Pairs:
    """Headers in order, of lines that are not odd."""
    found = map(_FIELD.fullmatch, text.split("\r\n"))
    return [(field[1], field[2]) for field in found if field is not None]


def _key_of(name: str) -> str:
    key = _KEYS.get(name)
    if key is None:
        key = name.lower()
        if len(_KEYS) < _MOST_NAMES:
            _KEYS[name] = key
    return key


def index_of(pairs: Iterable[tuple[str, str]]) -> Index:
    """Lower-case name of each header -> its name as it came first, and all its values.

    >>> index_of([("X-A", "1"), ("x-a", "2")])
    {'x-a': ['X-A', '1', '2']}
    """
    index: Index = {}
    for name, value in pairs:
        key = name.lower()
        if key in index:
            index[key].append(value)
        else:
            index[key] = [name, value]
    return index


@functools.lru_cache(64)
def _status_line(line: bytes) -> tuple[int, int, str] | None:
    """Version, status and reason of a final answer; None when the line is odd."""
    found = _STATUS.fullmatch(line.decode("latin-1"))
    if found is None or found[2].startswith("1"):
        return None
    return 10 + int(found[1]), int(found[2]), (found[3] or "").strip()


class _Lines:
    """Lines for the standard parser of heads, to which the end of the connection is the end of the head."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self._file.readline(limit)
        return self.last


class _Unread:
    """Stands for a file until the first byte is read."""

    def close(self) -> None: ...

    def flush(self) -> None: ...


_UNREAD: Any = _Unread()


class _Whole(io.BytesIO):
    """A body that came along with the head."""

    def peek(self, _size: int = 0) -> bytes:
        return self.getvalue()[self.tell() :]


class HTTPResponse(http.client.HTTPResponse):
    """The standard response with a quick parser of plain heads, and bounds.

    No time limit strikes as long as there is more to read, so parts without a length are bounded in number.
    The standard class accepts negative sizes of chunks and heads that were cut off. It takes interim answers
    for final ones, and so the final ones for answers to the next requests.
    """

    #: The parser gave up in the middle of the head, as the keys of properties can make it do.
    head_is_broken = False
    index = _NOT_READ
    #: Lines of a plain head.
    _fields = ""
    #: The whole body came along with the head.
    is_there = False
    #: Bytes of the longest body that may be announced.
    longest: float = math.inf
    _interim = 0
    _is_unbuffered = False
    _source: Any = None
    #: None until it is made: a signal handler may raise before, and :meth:`close` looks at it.
    fp: Any = None
    # The standard one, in Python, has nothing to flush either.
    flush = io.BufferedIOBase.flush

    def __init__(
        self, sock: Any, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        #: For those that close it, and only in the process that it belongs to.
        self._sock, self._pid = sock, os.getpid()
        if not hasattr(sock, "file_after"):
            super().__init__(sock, debuglevel, method, url)
            return
        # Read directly: a file is only made for a body that does not come along with the head.
        self._source, self.fp = sock, _UNREAD
        self.debuglevel, self._method = debuglevel, method
        self.headers = self.msg = None  # type: ignore[assignment]

    @functools.cached_property
    def pairs(self) -> Pairs:
        """Headers, in order."""
        return _pairs_of(self._fields)

    @functools.cached_property
    def headers(self) -> http.client.HTTPMessage:  # type: ignore[override]
        """Headers, as the standard library describes them; None before :meth:`begin`."""
        message = http.client.HTTPMessage()
        for name, value in self.pairs:
            message.set_raw(name, value)
        return message

    @functools.cached_property
    def msg(self) -> http.client.HTTPMessage:  # type: ignore[override]
        """The same."""
        return self.headers

    def begin(self) -> None:
        """Read the head.

        :raises http.client.HTTPException: it is no head
        """
        if self.index is not _NOT_READ:
            return
        source = self._source
        there: bytes = self.fp.peek() if source is None else source.recv(_AT_ONCE)
        # Most often, all of the head is there, and nothing in it is odd.
        end, first = there.find(b"\r\n\r\n"), there.find(b"\r\n")
        line = None if end < 0 else _status_line(there[:first])
        fields = "" if line is None else there[first + 2 : end].decode("latin-1")
        index = None if line is None else _plain_fields(fields)
        if line is None or index is None:
            self._begin_odd(there)
            return
        self.version, self.status, self.reason = line
        self._fields = fields
        self._frame(index)
        if source is None:
            self.fp.read(end + 4)
        elif self.chunked or self.length is None:
            self.fp = source.file_after(there[end + 4 :])
        elif self.length > len(there) - end - 4:
            # Lines are hardly read of such a body, and nothing comes after it.
            self.fp = source.file_after(there[end + 4 :], 1)
            self._is_unbuffered = True
        else:
            self.is_there = True
            self.fp = _Whole(there[end + 4 :])
            if self.length < len(there) - end - 4:
                # Nobody can tell which answer the rest belongs to.
                self.will_close = True

    def _begin_odd(self, there: bytes) -> None:
        """Read any head, the first bytes of which are there."""
        if self._source is not None:
            self.fp = self._source.file_after(there)
        version, self.status, reason, self.pairs = self._read_head()
        self.reason = reason.strip()
        if version.startswith("HTTP/1.") and version != "HTTP/1.0":
            self.version = 11
        elif version in ("HTTP/1.0", "HTTP/0.9"):
            self.version = 10
        else:
            raise http.client.UnknownProtocol(version)
        self._frame(index_of(self.pairs))

    def readline(self, limit: int | None = -1) -> bytes:
        """Read a line of the body, or the beginning of one that is longer than a limit."""
        self._buffer()
        return super().readline(-1 if limit is None else limit)

    def peek(self, n: int = -1) -> bytes:
        """Get bytes that come next, which stay there."""
        self._buffer()
        return super().peek(n)

    def _buffer(self) -> None:
        """Read ahead from now on: each byte of a line would take a receive of its own."""
        if self._is_unbuffered and self.fp is not None:
            self._is_unbuffered = False
            self.fp = io.BufferedReader(self.fp.detach())

    def whole(self) -> bytes | None:
        """Read the body if all of it is there; None when it is not, or when a part of it was read."""
        file: Any = self.fp
        if type(file) is not _Whole or file.tell():
            return None
        data = file.getvalue()
        if len(data) != self.length:
            data = data[: self.length]
        self.length, self.fp = 0, None
        return data

    def _read_head(self) -> tuple[str, int, str, Pairs]:
        version, status, reason = self._read_status()
        while True:
            pairs = self._read_fields()
            if not 100 <= status < 200 or status == _SWITCHING_PROTOCOLS:
                return version, status, reason, pairs
            version, status, reason = self._read_status()

    def _frame(self, index: dict[str, list[str]]) -> None:
        """Work out where the body ends, and whether the connection can be used after it."""
        self.index = index
        # They were None until now, and are made when somebody asks for them.
        del self.headers, self.msg
        self.code = self.status
        self.chunked = "transfer-encoding" in index and index["transfer-encoding"][1].lower() == "chunked"
        self.chunk_left = self.length = None
        if not self.chunked and (text := index.get("content-length", _NONE)[1]):
            try:
                length = int(text)
            except ValueError:
                length = -1
            self.length = length if length >= 0 else None
        status = self.status
        if status in (204, 304) or 100 <= status < 200 or self._method == "HEAD":
            self.length = 0
        wish = index.get("connection", _NONE)[1].lower()
        if self.version == 11:
            self.will_close = "close" in wish
        else:
            self.will_close = "keep-alive" not in wish and not index.get("keep-alive", _NONE)[1]
        if (not self.chunked and self.length is None) or status == _SWITCHING_PROTOCOLS:
            self.will_close = True
        if self.length is not None and self.length > self.longest:
            raise http.client.HTTPException(f"body of {self.length} bytes")

    def _read_status(self) -> tuple[str, int, str]:
        found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
        self._interim += 1
        if self._interim > _MOST_LINES:
            raise http.client.HTTPException(f"more than {_MOST_LINES} interim answers")
        return found

    def _read_fields(self) -> Pairs:
        """Read the headers and the empty line after them."""
        # Most often, all of them are there.
        there = self.fp.peek()
        if there.startswith(b"\r\n"):
            self.fp.read(2)
            return []
        end = there.find(b"\r\n\r\n")
        fields = "" if end < 0 else there[:end].decode("latin-1")
        if fields and _plain_fields(fields) is not None:
            self.fp.read(end + 4)
            return _pairs_of(fields)
        # The standard parser decides the meaning of odd lines.
        lines = _Lines(self.fp)
        message = http.client.parse_headers(lines)
        if not lines.last:
            raise http.client.HTTPException("the connection ended in the middle of a head")
        self.head_is_broken = bool(message.defects or message.get_payload())
        # Line breaks in values would break the answers of programs that pass them on.
        return [(name, _FOLD.sub(" ", value)) for name, value in message.items()]

    def close(self) -> None:
        """Give up the rest of the body, unless it was read whole."""
        if self.fp is not None:
            self.force_close()

    def force_close(self) -> None:
        """Close the response, whatever is left to read."""
        super().close()

    def getheader(self, name: str, default: Any = None) -> Any:
        """Get a header; the values of one that came several times are joined."""
        if self.index is _NOT_READ:
            raise http.client.ResponseNotReady
        found = self.index.get(name.lower())
        if found is None:
            return default
        return found[1] if len(found) == 2 else ", ".join(found[1:])

    def getheaders(self) -> Pairs:
        """Get all the headers, in order."""
        if self.index is _NOT_READ:
            raise http.client.ResponseNotReady
        return list(self.pairs)

    def _read_and_discard_trailer(self) -> None:
        for _ in range(_MOST_LINES):
            if self.fp.readline(_LONGEST_LINE) in (b"\r\n", b"\n", b""):
                return
        raise http.client.HTTPException(f"more than {_MOST_LINES} lines after the body")

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]
        # The standard one takes -1 for all that comes until the end of the connection.
        if not 0 <= size <= sys.maxsize:
            self._close_conn()  # type: ignore[attr-defined]
            raise ValueError(f"chunk of {size} bytes")
        return size
