# SPDX-License-Identifier: Apache-2.0
"""The services of a namespace as programs hold them: where each one is, its switch, and its score."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from oio.sandbox.chunks import ChunkStore
from oio.sandbox.conscience import Conscience
from oio.sandbox.conscience import Service as Registered
from oio.sandbox.messages import Handler
from oio.sandbox.server import Server

_BEST: Final = 100


class Service:
    """One service of a namespace.

    :param server: where it listens.
    :param conscience: where it is registered while it runs.
    :param registered: as what; one that does the work of several others is there once for each.
    """

    def __init__(self, server: Server, conscience: Conscience, *registered: Registered) -> None:
        self.kind = server.dialect.kind
        self._server = server
        self._conscience = conscience
        self._registered = registered
        self._running = False

    @property
    def address(self) -> str:
        """``host:port``."""
        return self._server.address

    @property
    def running(self) -> bool:
        """Whether it is switched on."""
        return self._running

    def start(self) -> None:
        """Switch it on, and register it if the conscience has forgotten it."""
        self._running = True
        self.apply_faults()
        for service in self._registered:
            self._conscience.register(service)
        self._rate(_BEST)

    def stop(self) -> None:
        """Switch it off: connections are cut, new ones refused; its data stay, its score is 0."""
        self._running = False
        self._rate(0)
        self._server.stop()

    def _rate(self, health: int) -> None:
        for service in self._registered:
            self._conscience.rate(service.kind, service.name, health)

    # -- score

    @property
    def score(self) -> int:
        """How often it is chosen for new data, from 0, never, to 100; 0 too when the conscience forgot it."""
        known = self._conscience.find(self._registered[0].kind, self.address)
        return 0 if known is None else known.score

    def lock(self, score: int = 0) -> None:
        """Fix its score, whatever its state; with 0 it gets nothing new, though it goes on serving.

        It holds until :meth:`unlock`, over stops and starts.

        :param score: 0 to 100.
        :raises ValueError: the score is out of bounds.

        >>> from oio.sandbox import Namespace
        >>> with Namespace(rawx=4) as namespace:
        ...     namespace.rawx[3].lock()
        ...     locked = namespace.rawx[3].score
        ...     namespace.rawx[3].unlock()
        ...     locked, namespace.rawx[3].score
        (0, 100)
        """
        if not 0 <= score <= _BEST:
            raise ValueError(f"score={score!r}: must be 0 to {_BEST}")
        self._conscience.lock(self._registered[0].kind, self.address, score)

    def unlock(self) -> None:
        """Let its score be that of its state again: 100 while it is switched on, else 0."""
        self._conscience.unlock(self._registered[0].kind, self.address)

    # -- wiring

    def open_connections(self) -> int:
        """Return the number of connections that it has not closed yet."""
        return self._server.open_connections()

    def serve(self, handler: Handler) -> None:
        """Say who answers the requests."""
        self._server.handler = handler

    def apply_faults(self) -> None:
        """Receive connections as the open fault plans have it."""
        if self._running:
            self._server.apply_faults()

    def __repr__(self) -> str:
        return f"<{self.kind} {self.address} {'running' if self._running else 'stopped'}>"


class RawxService(Service):
    """A rawx of a namespace.

    :param volume: its directory.
    """

    def __init__(self, server: Server, conscience: Conscience, registered: Registered, volume: Path) -> None:
        super().__init__(server, conscience, registered)
        self.volume = volume
        #: The chunks in its directory.
        self.store = ChunkStore(volume)

    def chunks(self) -> list[str]:
        """Return the IDs of the chunks on disk."""
        return self.store.ids()
