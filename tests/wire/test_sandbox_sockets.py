# SPDX-License-Identifier: Apache-2.0
"""The series made by hand, replayed over sockets on a running namespace, with framing and keep-alive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from oio.sandbox import Namespace
from oio.sandbox.messages import Request
from tests.kit.rawsocket import RawSocket, chunk, rendered
from tests.wire.recorded import Exchange, load
from tests.wire.replay import Replay
from tests.wire.test_sandbox_answers import DIFFERENCES, PRELUDES, REPLAYED
from tests.wire.world import Sent, as_latin

_FIRST_RAWX = 6009
#: Of services, rather than of the made-up chunks of objects.
_ADDRESS = re.compile(r"(?<!//)\b127\.0\.0\.1:(\d+)")

#: Series that only the services called directly can replay.
NOT_OVER_SOCKETS = {
    "raw_account__container_update": "depends on the day of the recording",
    "raw_versions__purge": "depends on the day of the recording",
    "raw_conscience__routes": "the services have other tags",
}
SERIES = [name for name in REPLAYED if name.startswith("raw_") and name not in NOT_OVER_SOCKETS]


class SocketWorld:
    """A namespace reached by the connections that were recorded."""

    def __init__(self, namespace: Namespace, stack: ExitStack) -> None:
        self._namespace = namespace
        self._stack = stack
        self._connections: dict[tuple[str, int], RawSocket] = {}

    def reconnect(self) -> None:
        """Open new connections from now on."""
        self._connections.clear()

    def foresee(self, exchange: Exchange) -> None:
        """Throw the dice anew: a running namespace chooses by itself."""

    def send(self, exchange: Exchange, address: str, request: Request) -> Sent:
        """Send a request on the connection of its number."""
        connection = self._connection(exchange, address)
        chunked = exchange.request.chunked
        headers = [
            (name, self._own(value)) for name, value in request.headers if name.lower() != "content-length"
        ]
        body = self._own_bytes(request.body)
        if not chunked and exchange.request.get("content-length") is not None:
            headers.append(("Content-Length", str(len(body))))
        framed = chunk(exchange.request.body or b"") + b"0\r\n\r\n" if chunked else body
        first_line = exchange.request.first_line.replace(exchange.target, self._own(request.target))
        connection.send(f"{first_line}\r\n".encode() + rendered(headers) + b"\r\n" + framed)
        answer = connection.answer(request.method)
        read = [(as_latin(name), as_latin(value)) for name, value in answer.headers]
        closes = bool(exchange.closed) and connection.is_closed()
        return Sent(answer.status, answer.first_line.split(" ", 2)[2], read, answer.body, closes)

    def _connection(self, exchange: Exchange, address: str) -> RawSocket:
        key = (address, exchange.connection)
        if key not in self._connections:
            self._connections[key] = self._stack.enter_context(RawSocket(self._own(address)))
        return self._connections[key]

    def _own(self, text: str) -> str:
        """Replace the addresses of the recorded services by those of the sandbox."""
        return _ADDRESS.sub(self._actual_address, text)

    def _own_bytes(self, body: bytes) -> bytes:
        return self._own(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def _actual_address(self, match: re.Match[str]) -> str:
        number = int(match[1])
        namespace = self._namespace
        others = {
            **dict.fromkeys((6000, 6008), namespace.proxy),
            6027: namespace.account,
            **dict.fromkeys((6028, 6029), namespace.rdir),
        }
        if number in others:
            return others[number].address
        index = number - _FIRST_RAWX
        return self._namespace.rawx[index].address if 0 <= index < len(self._namespace.rawx) else match[0]


@pytest.fixture
def world() -> Iterator[SocketWorld]:
    with Namespace() as namespace, ExitStack() as stack:
        yield SocketWorld(namespace, stack)


@pytest.mark.parametrize("name", SERIES)
def test_a_running_namespace_answers_as_the_real_services(name: str, world: SocketWorld) -> None:
    replay = Replay(world)
    for prelude in PRELUDES.get(name, []):
        for exchange in load(prelude).exchanges:
            replay.run(exchange, compare=False)
        world.reconnect()
    replay.check(name, load(name).exchanges, DIFFERENCES)
