# SPDX-License-Identifier: Apache-2.0
"""Faults of rawx that are read from, and the exceptions that they raise."""

from __future__ import annotations

from typing import Any, NamedTuple

from oio.common import exceptions as exc

EXACT = None
Result = type[exc.OioException] | None

PLACES = ("first", "middle", "last")


def place(where: str, length: int) -> int:
    """Offset at which to strike an answer, from its end, so that answers to resumed reads are struck too."""
    return {"first": 0, "middle": -(length // 2), "last": -1}[where]


class Trouble(NamedTuple):
    """A fault, and the result of a read if it strikes some rawx, or too many of them."""

    action: str
    settings: dict[str, Any] = {}
    of_one: Result = EXACT
    of_all: Result = exc.ServiceUnavailable


def in_head(action: str, **settings: Any) -> Trouble:
    return Trouble(action, {"phase": "head", **settings})


def status(number: int, of_all: Result = exc.ServiceUnavailable, **settings: Any) -> Trouble:
    return Trouble("status", {"status": number, **settings}, of_all=of_all)


def line(text: str) -> Trouble:
    return Trouble("raw-head", {"body": f"{text}\r\n"})


WITHOUT_CONNECTION = {
    "refuse": Trouble("refuse"),
    "stall": Trouble("stall", {"phase": "connect"}),
}

BEFORE_THE_DATA = {
    "stall before the head": in_head("stall"),
    "stall inside the head": in_head("stall", after_bytes=20),
    "drip": in_head("drip"),
    "truncate before the head": in_head("truncate"),
    "truncate inside the head": in_head("truncate", after_bytes=20),
    "reset before the head": in_head("reset"),
    "reset inside the head": in_head("reset", after_bytes=20),
    "corrupt the protocol": in_head("corrupt"),
    "corrupt the status": in_head("corrupt", after_bytes=11),
    "slow": in_head("slow", seconds=0.02)._replace(of_all=EXACT),
    "status 400": status(400),
    "status 404": status(404, exc.UnrecoverableContent),
    "status 412": status(412),
    "status 416": status(416),
    "status 500": status(500),
    "status 503": status(503),
    "redirection": status(301),
    "another body": status(200, body=b"?" * 10),
    "a part without range": status(206, body=b"?" * 10),
    "wrong hash": Trouble("wrong-hash"),
    "answer that never comes": Trouble("commit-then-timeout"),
    "reset instead of an answer": Trouble("commit-then-reset"),
    "a line without colon": line("Not a header"),
    "a second length": line("Content-Length: 5"),
    "a second range": line("Content-Range: bytes 0-4/5"),
    "several parts": line("Content-Type: multipart/byteranges; boundary=b"),
}

INSIDE_THE_DATA = {
    "stall": Trouble("stall"),
    "truncate": Trouble("truncate"),
    "reset": Trouble("reset"),
    "slow": Trouble("slow", {"seconds": 0.02}, of_all=EXACT),
}
