# SPDX-License-Identifier: Apache-2.0
"""Faults of rawx that are written to, and the exceptions that they raise."""

from __future__ import annotations

from typing import Any, NamedTuple

from oio.common import exceptions as exc

Failure = type[exc.OioException] | None

PLACES = ("first", "middle", "last")


def place(where: str, length: int) -> int:
    """Offset at which to strike a body."""
    return {"first": 0, "middle": length // 2, "last": length - 1}[where]


class Trouble(NamedTuple):
    """A fault, and the exception of a write that misses its quorum because of it.

    ``heals``: if the connection was kept from the metachunk before, the request is sent again on a new one.
    """

    action: str
    settings: dict[str, Any] = {}
    failure: Failure = exc.ServiceBusy
    heals: bool = False


def status(number: int, failure: Failure = exc.ServiceBusy) -> Trouble:
    return Trouble("status", {"status": number}, failure)


WITHOUT_CONNECTION = {
    "refuse": Trouble("refuse"),
    "stall": Trouble("stall", {"phase": "connect"}, exc.OioTimeout),
}

AROUND_THE_DATA = {
    "stall before the body": Trouble("stall", {"phase": "head"}, exc.OioTimeout),
    "truncate before the body": Trouble("truncate", {"phase": "head"}, heals=True),
    "reset before the body": Trouble("reset", {"phase": "head"}, heals=True),
    "slow": Trouble("slow", {"phase": "head", "seconds": 0.02}, None),
    "status 400": status(400),
    "status 404": status(404),
    "status 409": status(409, exc.Conflict),
    "status 500": status(500),
    "status 503": status(503),
    "status 200": status(200),
    "disk full": Trouble("disk-full"),
    "wrong hash": Trouble("wrong-hash"),
    "answer that never comes": Trouble("commit-then-timeout", {}, exc.OioTimeout),
    "reset instead of an answer": Trouble("commit-then-reset"),
    "truncated answer": Trouble("truncate", {"phase": "head", "after_bytes": 5}),
    "dripping answer": Trouble("drip", {"phase": "head", "seconds": 0.02}, exc.OioTimeout),
    "corrupt status": Trouble("corrupt", {"phase": "head", "after_bytes": 11}),
    "corrupt protocol": Trouble("corrupt", {"phase": "head"}),
    "a second size": Trouble("raw-head", {"body": "X-Oio-Chunk-Meta-Chunk-Size: 1\r\n"}),
}

INSIDE_THE_DATA = {
    "stall": Trouble("stall", {}, exc.OioTimeout),
    "truncate": Trouble("truncate", heals=True),
    "reset": Trouble("reset", heals=True),
    "corrupt": Trouble("corrupt"),
    "slow": Trouble("slow", {"seconds": 0.02}, None),
}
