# SPDX-License-Identifier: Apache-2.0
"""Hedged reads: chunk servers that wait for an event, and hedging that finds them late."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from oio.api._data.copies import CopiesSource
from oio.api._data.ec.metachunk import FragmentsSource
from oio.api._data.layout import Metachunk
from oio.common import green
from oio.common.chunks import Chunk
from oio.common.hedging import Hedging
from oio.common.options import Options
from tests.kit.ec_fakes import method
from tests.kit.scripted import Peer, ScriptedServer, serving

DATA = bytes(range(256)) * 16
EC = method(segment=1 << 20)


def wait_green(event: threading.Event) -> None:
    """Wait for an event that green threads of this thread may have to set."""
    for _ in range(20_000):
        if event.wait(0.001):
            return
        green.sleep(0)
    raise AssertionError("it has not happened")


class Late(Hedging):
    """Finds servers late that have not answered when some events are set."""

    def __init__(self, *events: threading.Event) -> None:
        super().__init__()
        self._events = events

    @property
    def delay(self) -> float:
        for event in self._events:
            wait_green(event)
        return 0.0

    @delay.setter
    def delay(self, _seconds: float) -> None:
        pass


class Rawx:
    """A chunk server that sends a chunk, but not before the event ``after``, if there is one."""

    def __init__(self, data: bytes, after: threading.Event | None = None) -> None:
        self.data = data
        self.after = after
        self.asked, self.answered, self.left = (threading.Event() for _ in range(3))

    def __call__(self, peer: Peer) -> None:
        while self.answer(peer):
            pass
        self.left.set()

    def answer(self, peer: Peer) -> bool:
        """Answer one request; return False when the client has left."""
        head = peer.read_head()
        if not head:
            return False
        self.asked.set()
        if self.after is not None:
            self.after.wait(60)
        value = head.lower().partition("range: bytes=")[2].partition("\r\n")[0]
        first, last = map(int, value.split("-"))
        body = self.data[first : last + 1]
        last = first + len(body) - 1
        peer.answer(206, body, Content_Range=f"bytes {first}-{last}/{len(self.data)}")
        self.answered.set()
        return True


@contextlib.contextmanager
def running(servers: list[Rawx]) -> Iterator[list[ScriptedServer]]:
    with contextlib.ExitStack() as stack:
        try:
            yield [stack.enter_context(serving(server)) for server in servers]
        finally:
            for server in servers:
                if server.after is not None:
                    server.after.set()


class HasAddress(Protocol):
    """A server, or an address without a server."""

    address: str


def metachunk(addresses: Sequence[HasAddress], data: bytes, is_ec: bool, scheme: str = "http") -> Metachunk:
    digest = hashlib.md5(data).hexdigest()
    chunks = [
        Chunk(url, url, 0, number if is_ec else None, len(data), digest)
        for number, server in enumerate(addresses)
        for url in [f"{scheme}://{server.address}/{number:064X}"]
    ]
    return Metachunk(0, 0, len(data), tuple(chunks))


def options_of(hedging: Hedging | None, **more: object) -> Options:
    return replace(Options(), hedging=hedging, **more)


def read(source: CopiesSource | FragmentsSource, data: bytes) -> bytes:
    return b"".join(source.open(0, len(data) - 1))


def source_of(
    addresses: Sequence[HasAddress], data: bytes, is_ec: bool, options: Options
) -> CopiesSource | FragmentsSource:
    whole = metachunk(addresses, data, is_ec)
    return FragmentsSource(EC, whole, set(), options) if is_ec else CopiesSource(whole, set(), options)
