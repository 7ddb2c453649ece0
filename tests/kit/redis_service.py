# SPDX-License-Identifier: Apache-2.0
"""A Redis service on a real socket, with the few commands that the library uses, and its sentinel."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.kit.scripted import Peer, ScriptedServer, serving

Reply = Any


class Refusal(Exception):
    """An error answer of the service."""


class RedisService:
    """State shared by all connections: values of keys, their expiries and numbers of changes."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.expiries: dict[str, float] = {}
        self.changes: dict[str, int] = {}
        #: Commands so far, in upper case, with their arguments.
        self.commands: list[list[str]] = []
        #: Called before a transaction is run.
        self.before_exec: Callable[[], None] = lambda: None
        #: Address of the master, for sentinels.
        self.master: tuple[str, int] | None = None

    def put(self, key: str, value: bytes | None) -> None:
        """Set a key, or remove it."""
        self.changes[key] = self.changes.get(key, 0) + 1
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value

    def serve(self, peer: Peer) -> None:
        """Serve a connection until the client leaves."""
        connection = _Connection(self)
        while command := _read_command(peer):
            name = command[0].upper().decode()
            args = [arg.decode() for arg in command[1:]]
            self.commands.append([name, *args])
            try:
                reply = connection.answer(name, args)
            except Refusal as err:
                peer.send(f"-ERR {err}\r\n".encode())
                continue
            peer.send(_encode(reply))


class _Connection:
    """State of one connection: watched keys and queued commands."""

    def __init__(self, service: RedisService) -> None:
        self._service = service
        self._watched: dict[str, int] = {}
        self._queued: list[tuple[str, list[str]]] | None = None

    def answer(self, name: str, args: list[str]) -> Reply:
        if self._queued is not None and name not in ("EXEC", "DISCARD"):
            self._queued.append((name, args))
            return "QUEUED"
        command = getattr(self, f"_{name.lower()}", None)
        if command is None:
            raise Refusal(f"unknown command '{name}'")
        return command(*args)

    def _client(self, *_args: str) -> Reply:
        return "OK"

    def _select(self, _db: str) -> Reply:
        return "OK"

    def _ping(self) -> Reply:
        return "PONG"

    def _set(self, key: str, value: str, *options: str) -> Reply:
        service = self._service
        wanted = [option.upper() for option in options]
        expiry = service.expiries.get(key)
        if expiry is not None and expiry <= time.monotonic():
            service.put(key, None)
        if "NX" in wanted and key in service.values:
            return None
        service.put(key, value.encode())
        service.expiries.pop(key, None)
        if "PX" in wanted:
            service.expiries[key] = time.monotonic() + int(options[wanted.index("PX") + 1]) / 1000
        return "OK"

    def _get(self, key: str) -> Reply:
        return self._service.values.get(key)

    def _del(self, *keys: str) -> Reply:
        found = [key for key in keys if key in self._service.values]
        for key in found:
            self._service.put(key, None)
        return len(found)

    def _watch(self, *keys: str) -> Reply:
        self._watched |= {key: self._service.changes.get(key, 0) for key in keys}
        return "OK"

    def _unwatch(self) -> Reply:
        self._watched = {}
        return "OK"

    def _multi(self) -> Reply:
        self._queued = []
        return "OK"

    def _exec(self) -> Reply:
        self._service.before_exec()
        queued, self._queued = self._queued or [], None
        watched, self._watched = self._watched, {}
        if any(self._service.changes.get(key, 0) != count for key, count in watched.items()):
            return None
        return [self.answer(name, args) for name, args in queued]

    def _evalsha(self, _digest: str, count: str, *args: str) -> Reply:
        return [arg.encode() for arg in args[int(count) :]]

    def _sentinel(self, wish: str, name: str = "") -> Reply:
        host, port = self._service.master or ("", 0)
        state = {"name": "main", "ip": host, "port": str(port), "flags": "master", "num-other-sentinels": "0"}
        if wish.upper() == "MASTERS":
            return [_pairs(state)]
        if wish.upper() in ("SLAVES", "REPLICAS") and name == "main":
            return [_pairs(state | {"flags": "slave", "role-reported": "slave"})]
        raise Refusal(f"no such master: {name!r}")

    def _role(self) -> Reply:
        return ["master", 0, []]


def _pairs(state: dict[str, str]) -> list[bytes]:
    return [text.encode() for pair in state.items() for text in pair]


def _read_command(peer: Peer) -> list[bytes]:
    head = peer.read_line()
    if not head:
        return []
    command = []
    for _ in range(int(head[1:])):
        size = int(peer.read_line()[1:])
        command.append(peer.read(size))
        peer.read(2)
    return command


def _encode(reply: Reply) -> bytes:
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, bytes):
        return b"$%d\r\n%s\r\n" % (len(reply), reply)
    if isinstance(reply, list):
        return b"*%d\r\n" % len(reply) + b"".join(map(_encode, reply))
    return f"+{reply}\r\n".encode()


@contextlib.contextmanager
def redis_service() -> Iterator[tuple[RedisService, ScriptedServer]]:
    """Run a service, and return it with its server."""
    service = RedisService()
    with serving(service.serve) as server:
        yield service, server
