# SPDX-License-Identifier: Apache-2.0
"""The namespace in a process of its own, which can be killed and started again on the same directory."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Final, TypeAlias

from oio.sandbox.faults import Fault
from oio.sandbox.namespace import Namespace
from oio.sandbox.storage.files import NotStored
from oio.sandbox.strikes import Strike, inflict

#: Attempts to start again: others may use its ports meanwhile.
_STARTS: Final = 20
_PAUSE: Final = 0.5


@dataclass(frozen=True)
class Place:
    """How to reach a namespace."""

    name: str
    endpoint: str
    b2_key_file: str
    b2_endpoint: str
    rawx: tuple[str, ...]

    @classmethod
    def of(cls, namespace: Namespace) -> Place:
        """Describe a namespace that runs."""
        return cls(
            namespace.name,
            namespace.endpoint,
            namespace.b2_key_file,
            namespace.b2_endpoint,
            tuple(rawx.address for rawx in namespace.rawx),
        )


@dataclass(frozen=True)
class StoredChunk:
    """A chunk on the disk of a server.

    :param place: ``HOST:PORT/ID``, in capitals.
    :param full_path: of the object that it was stored for.
    """

    place: str
    full_path: str


class Troubles:
    """Faults and stopped nodes of a namespace in this process.

    :param namespace: the namespace, which runs.
    """

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._open = contextlib.ExitStack()
        self._nodes = {node.address: node for node in namespace.rawx}

    @property
    def place(self) -> Place:
        """How to reach the namespace."""
        return Place.of(self._namespace)

    def trouble(self, faults: Sequence[Fault], stopped: Sequence[str]) -> None:
        """Let these faults hold, and these chunk servers be stopped, instead of those of before."""
        self._open.close()
        for address in stopped:
            self._nodes[address].stop()
            self._open.callback(self._nodes[address].start)
        if faults:
            self._open.enter_context(self._namespace.faults(*faults))

    def kill(self, pause: float) -> None:
        """Do nothing: this process cannot be killed."""

    def chunks(self) -> list[StoredChunk]:
        """Return all chunks that are on disks."""
        return list(self._stored())

    def strike(self, strikes: Sequence[Strike]) -> None:
        """Damage chunks on the disks."""
        for strike in strikes:
            address, _, chunk_id = strike.place.partition("/")
            inflict(self._nodes[address].store, chunk_id, strike.kind)

    def _stored(self) -> Iterator[StoredChunk]:
        for node in self._namespace.rawx:
            for chunk_id in node.store.names():
                with contextlib.suppress(NotStored), node.store.open(chunk_id) as chunk:
                    yield StoredChunk(f"{node.address}/{chunk_id}".upper(), chunk.attributes.fullpath)


class RemoteNamespace:
    """A namespace in another process.

    :param path: its directory.
    :param options: of :class:`~oio.sandbox.namespace.Namespace`.
    """

    def __init__(self, path: Path, **options: Any) -> None:
        self._path = path
        self._options = options
        self._context = multiprocessing.get_context("spawn")
        self._process: SpawnProcess | None = None
        self._orders: Connection | None = None
        self._place: Place | None = None

    def __enter__(self) -> RemoteNamespace:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._path, self._options), daemon=True)
        process.start()
        theirs.close()
        self._process, self._orders = process, ours
        try:
            found = ours.recv()
        except EOFError:
            self._end()
            raise OSError(f"the namespace in {self._path} did not start") from None
        if isinstance(found, Exception):
            self._end()
            raise found
        self._place = found

    def _end(self, *, kill: bool = False) -> None:
        if self._process is not None and self._orders is not None:
            if kill:
                self._process.kill()
            # The other process also stops when this end of the pipe is closed.
            self._orders.close()
            self._process.join()
            self._process.close()
        self._process = self._orders = None

    @property
    def place(self) -> Place:
        """How to reach it: the same after each start."""
        if self._place is None:
            raise ValueError("the namespace was not started")
        return self._place

    def kill(self, pause: float) -> None:
        """Kill the process, as a power cut would, and start another after so many seconds."""
        self._end(kill=True)
        time.sleep(pause)
        for attempt in range(1, _STARTS + 1):
            try:
                return self._start()
            except OSError:
                if attempt == _STARTS:
                    raise
            time.sleep(_PAUSE)
        return None

    def trouble(self, faults: Sequence[Fault], stopped: Sequence[str]) -> None:
        """Let these faults hold, and these chunk servers be stopped, instead of those of before."""
        self._order("trouble", tuple(faults), tuple(stopped))

    def chunks(self) -> list[StoredChunk]:
        """Return all chunks that are on disks."""
        found: list[StoredChunk] = self._order("chunks")
        return found

    def strike(self, strikes: Sequence[Strike]) -> None:
        """Damage chunks on the disks."""
        self._order("strike", tuple(strikes))

    def _order(self, verb: str, *arguments: object) -> Any:
        if self._orders is None:
            raise ValueError("the namespace does not run")
        self._orders.send((verb, arguments))
        answer = self._orders.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


Control: TypeAlias = Troubles | RemoteNamespace
"""A namespace that is acted on from outside."""


def _serve(orders: Connection, path: Path, options: dict[str, Any]) -> None:
    # Ctrl-C, and the end of a terminal, reach both processes; the client cleans up first.
    for end in (signal.SIGINT, signal.SIGHUP):
        signal.signal(end, signal.SIG_IGN)
    try:
        with Namespace(path, **options) as namespace:
            troubles = Troubles(namespace)
            orders.send(troubles.place)
            with contextlib.suppress(EOFError):
                while True:
                    verb, arguments = orders.recv()
                    orders.send(_answer(troubles, verb, arguments))
            troubles.trouble((), ())
    except (OSError, ImportError) as exc:
        with contextlib.suppress(OSError):
            orders.send(exc)


def _answer(troubles: Troubles, verb: str, arguments: tuple[Any, ...]) -> Any:
    try:
        return getattr(troubles, verb)(*arguments)
    except Exception as exc:  # noqa: BLE001 - the other process raises it
        return exc
