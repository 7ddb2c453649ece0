# SPDX-License-Identifier: Apache-2.0
"""Injection of faults into one exchange of a connection."""

from __future__ import annotations

import errno
import itertools
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from oio.sandbox.faults import AT_A_BYTE, Strike, is_upload
from oio.sandbox.messages import Headers, Incoming, Request, Response

#: Seconds between two checks of a stalled exchange that its client is still there.
_LOOK_EVERY = 0.02
_TCP_ESTABLISHED = 1


class HangUp(Exception):
    """The connection must be closed now, in good order or by a reset."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__(reset)
        self.reset = reset


class Injection:
    """One fault, injected into one exchange of one connection."""

    def __init__(self, strike: Strike, request: Request, service: str, sock: socket.socket) -> None:
        self._strike = strike
        self._fault = strike.fault
        self._sock = sock
        # Of an upload, the bytes received count: its answer has few or none.
        received = is_upload(service, request) and self._fault.phase == "body"
        self._on_request = received and self._fault.action in AT_A_BYTE | {"disk-full"}

    def before(self) -> Response | None:
        """Inject the fault before the request is executed; return the answer that it gives, if any."""
        fault = self._fault
        if fault.action == "status":
            self._strike.hit()
            headers = [("Content-Type", fault.content_type)] if fault.content_type and fault.body else []
            return Response(fault.status, [*headers, *fault.headers], fault.payload, close=self.early)
        if fault.action in AT_A_BYTE and fault.phase == "head" and not fault.after_bytes:
            # Corruption and dripping need bytes to work on: those of the head, later.
            if fault.action in {"stall", "truncate", "reset"}:
                self._strike.hit()
                self._stop_here()
            elif fault.action == "slow":
                self._strike.hit()
                self._wait(fault.pause)
        return None

    @property
    def early(self) -> bool:
        """Whether the answer is sent before the body of the request is read."""
        return self._fault.action == "status" and self._fault.phase == "head"

    def incoming(self, stream: Incoming, length: int | None) -> Incoming:
        """Return the request body as the service receives it."""
        if not self._on_request:
            return stream
        point = self._fault.after_bytes
        if point < 0:
            point = -1 if length is None else max(length + point, 0)
        return _Disturbed(self, stream, point)

    def executed(self, response: Response) -> Response:
        """Inject the fault between the execution and the answer."""
        fault = self._fault
        if fault.action in {"commit-then-timeout", "commit-then-reset"}:
            self._strike.hit()
            if fault.action == "commit-then-reset":
                raise HangUp(reset=True)
            self._stall()
        if fault.action == "wrong-hash":
            wrong = _with_wrong_hashes(response)
            if wrong != response:
                self._strike.hit()
            return wrong
        return response

    def extra_lines(self) -> bytes:
        """Return lines to write into the response head as they are."""
        if self._fault.action != "raw-head":
            return b""
        self._strike.hit()
        return self._fault.payload

    def outgoing(self, head: bytes, blocks: Iterable[bytes], length: int) -> Iterator[bytes]:
        """Return what to send instead of ``head`` and the ``length`` bytes of ``blocks``."""
        fault = self._fault
        everything = itertools.chain([head], blocks)
        early = fault.phase == "head" and not fault.after_bytes and fault.action not in {"corrupt", "drip"}
        if fault.action not in AT_A_BYTE or self._on_request or early:
            return iter(everything)
        if fault.phase == "head":
            point, end = fault.after_bytes, len(head)
        else:
            inside = fault.after_bytes if fault.after_bytes >= 0 else max(length + fault.after_bytes, 0)
            point, end = len(head) + inside, len(head) + length
        return self.strike_at(point, everything) if point < end else iter(everything)

    def strike_at(self, point: int, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield ``blocks``, and inject the fault after ``point`` bytes; -1 is after the last block."""
        passed = 0
        struck = False
        for block in blocks:
            before = point - passed
            passed += len(block)
            if struck or point < 0 or before >= len(block):
                yield from self._drip(block) if struck and self._fault.action == "drip" else [block]
                continue
            struck = True
            if before:
                yield block[:before]
            yield from self._strike_on(block[before:])
        if not struck and point in {-1, passed}:
            yield from self._strike_on(b"")

    def _strike_on(self, rest: bytes) -> Iterator[bytes]:
        """Inject the fault; ``rest`` is the rest of the present block."""
        fault = self._fault
        if not rest and fault.action in {"corrupt", "drip"}:
            return
        self._strike.hit()
        if fault.action == "disk-full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if fault.action == "slow":
            self._wait(fault.pause)
        elif fault.action == "drip":
            yield from self._drip(rest)
            return
        elif fault.action == "corrupt":
            rest = bytes([rest[0] ^ 1]) + rest[1:]
        else:
            self._stop_here()
        if rest:
            yield rest

    def _stop_here(self) -> None:
        if self._fault.action == "stall":
            self._stall()
        raise HangUp(reset=self._fault.action == "reset")

    def _drip(self, block: bytes) -> Iterator[bytes]:
        for index in range(len(block)):
            self._wait(self._fault.pause)
            yield block[index : index + 1]

    def _stall(self) -> None:
        self._wait(None)

    def _wait(self, seconds: float | None) -> None:
        """Wait for ``seconds`` (None: for ever); hang up when the client has left or the plan has ended."""
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or (left := end - time.monotonic()) > 0:
            pause = _LOOK_EVERY if end is None else min(_LOOK_EVERY, left)
            if self._strike.over.wait(pause) or _has_left(self._sock):
                raise HangUp(reset=True)


class _Disturbed:
    """A request body with a fault in it."""

    def __init__(self, injection: Injection, stream: Incoming, point: int) -> None:
        self._mischief = injection
        self._stream = stream
        self._point = point

        self.trailers: Headers = ()

    def __iter__(self) -> Iterator[bytes]:
        yield from self._mischief.strike_at(self._point, self._stream)
        self.trailers = self._stream.trailers


def _has_left(sock: socket.socket) -> bool:
    """Return whether the client has closed or shut down, even with unread data before the end."""
    tcp_info = getattr(socket, "TCP_INFO", None)
    try:
        if tcp_info is not None:
            return sock.getsockopt(socket.IPPROTO_TCP, tcp_info, 1)[0] != _TCP_ESTABLISHED
        return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _with_wrong_hashes(response: Response) -> Response:
    """Return the response with the first digit of every hash in it changed."""
    headers = [
        (name, _other_hash(value)) if _names_a_hash(name, value) else (name, value)
        for name, value in response.headers
    ]
    if not isinstance(response.body, bytes):
        return replace(response, headers=headers)
    body = re.sub(
        rb'("(?:hash|contentSha1)"\s*:\s*")([0-9A-Fa-f]+)',
        lambda found: found[1] + _other_hash(found[2].decode()).encode(),
        response.body,
    )
    return replace(response, headers=headers, body=body)


def _names_a_hash(name: str, value: str) -> bool:
    return name.lower().endswith(("-hash", "sha1")) and bool(re.fullmatch(r"[0-9A-Fa-f]+", value))


def _other_hash(digits: str) -> str:
    return ("1" if digits.startswith("0") else "0") + digits[1:]
