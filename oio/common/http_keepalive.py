# SPDX-License-Identifier: Apache-2.0
"""Idle connections to chunk servers, kept for later requests."""

from __future__ import annotations

import collections
import contextlib
import os
import time
import weakref
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from oio.common import green

if TYPE_CHECKING:
    from http.client import HTTPConnection

    Idle: TypeAlias = dict[Hashable, list[tuple[HTTPConnection, float]]]
    """Idle connections by key, each with the time at which it became idle (seconds of the clock).

    Most of the lists have one element: deques would take ten times the memory.
    """

#: Bounds of the number of idle connections and of their age in seconds: a rawx keeps them for an hour.
MAX_IDLE = 256
MAX_IDLE_SECONDS = 60.0


def shutdown_and_close(sock: Any, pid: int | None = None) -> None:
    """Close a socket in both directions, even when other code holds it; never raises (pitfalls 2 and 7).

    :param pid: process that uses it; the children that it has forked close their copy, and no more
    """
    from socket import SHUT_RDWR

    if sock is None:
        return
    if pid is None or pid == os.getpid():
        # It may be closed already, or never have been connected.
        with contextlib.suppress(OSError):
            sock.shutdown(SHUT_RDWR)
    with contextlib.suppress(OSError):
        sock.close()


def _close(connection: HTTPConnection) -> None:
    shutdown_and_close(connection.sock)
    connection.close()


class ConnectionPool:
    """Idle connections to chunk servers, shared by all OS threads.

    They are kept as long as there is a holder, see :meth:`hold`, and closed when the last one is closed or
    collected.
    """

    def __init__(
        self,
        max_idle: int = MAX_IDLE,
        max_idle_seconds: float = MAX_IDLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_idle = max_idle
        self.max_idle_seconds = max_idle_seconds
        self._clock = clock
        self._start()

    def _start(self) -> None:
        # Held for a few quick operations and never over a switch of green threads.
        self._lock = green.Lock()
        self._idle: Idle = {}
        self._count = 0
        #: When the oldest of them must be closed (seconds of the clock).
        self._expiry = float("inf")
        self._holders = 0
        self._releases: collections.deque[None] = collections.deque()

    def hold(self, owner: object) -> weakref.finalize[[], object]:
        """Keep idle connections until the result is called, or `owner` is collected."""
        with self._lock:
            self._holders += 1
        if self._releases:
            self._note_releases()
        return weakref.finalize(owner, self._release)

    def _release(self) -> None:
        self._releases.append(None)
        self._note_releases()

    def _note_releases(self) -> None:
        # The garbage collector may call this in the thread that has the lock, and that does this afterwards.
        while self._releases and self._lock.acquire(blocking=False):
            try:
                left = self._forget_released()
            finally:
                self._lock.release()
            for queue in left.values():
                for connection, _ in queue:
                    _close(connection)

    def _forget_released(self) -> Idle:
        """Count the holders that are left, and take out everything when none is."""
        while self._releases:
            self._releases.pop()
            self._holders -= 1
        left: Idle = {}
        if self._holders <= 0:
            left, self._idle, self._count, self._holders = self._idle, left, 0, 0
        return left

    def expire(self) -> None:
        """Close the connections that have been idle for too long, to whatever server."""
        now = self._clock()
        if now < self._expiry:
            return
        expired = []
        with self._lock:
            oldest = float("inf")
            for key, queue in list(self._idle.items()):
                while queue and now - queue[0][1] >= self.max_idle_seconds:
                    expired.append(queue.pop(0)[0])
                if queue:
                    oldest = min(oldest, queue[0][1])
                else:
                    del self._idle[key]
            self._count -= len(expired)
            self._expiry = oldest + self.max_idle_seconds
        if self._releases:
            self._note_releases()
        for connection in expired:
            _close(connection)

    def kept_for(self, keys: Iterable[Hashable]) -> list[bool]:
        """Tell for each of some requests, given by key, whether an idle connection for it looks alive.

        Several may have the same key.
        """
        now, numbers = self._clock(), collections.Counter[Hashable]()
        sockets: list[Any] = []
        with self._lock:
            for key in keys:
                numbers[key] += 1
                queue = self._idle.get(key, ())
                sock = None
                if len(queue) >= numbers[key]:
                    connection, since = queue[-numbers[key]]
                    sock = connection.sock if now - since < self.max_idle_seconds else None
                sockets.append(sock)
            # A server that has closed, or sends something unasked, makes the socket readable.
            # But for the lock, another OS thread could take and close it meanwhile.
            found = green.readable([sock for sock in sockets if sock is not None])
            kept = [sock is not None and sock.fileno() not in found for sock in sockets]
        if self._releases:
            self._note_releases()
        return kept

    def take(self, key: Hashable) -> HTTPConnection | None:
        """An idle connection to ``key`` that still looks alive, or None."""
        while (connection := self._pop([key])[0]) is not None:
            # A server that has closed, or sends something unasked, makes the socket readable.
            if connection.sock is not None and not green.is_readable(connection.sock):
                return connection
            _close(connection)
        return None

    def take_all(self, keys: Iterable[Hashable]) -> list[Any]:
        """Idle connections for several requests, given by key, which look alive; None for each without one.

        One look at all of them takes no longer than that at one.
        """
        wanted = list(keys)
        if len(wanted) == 1:
            return [self.take(wanted[0])]
        taken: list[Any] = self._pop(wanted)
        sockets = [one.sock for one in taken if one is not None and one.sock is not None]
        spoken = green.readable(sockets) if sockets else ()
        for place, one in enumerate(taken):
            if one is not None and (one.sock is None or one.sock.fileno() in spoken):
                _close(one)
                # There may be another one.
                taken[place] = self.take(wanted[place])
        return taken

    def _pop(self, keys: list[Hashable]) -> list[HTTPConnection | None]:
        """The connections that were kept last, one for each key; None without one."""
        if self._clock() >= self._expiry:
            self.expire()
        popped: list[HTTPConnection | None] = []
        with self._lock:
            for key in keys:
                queue = self._idle.get(key)
                popped.append(queue.pop()[0] if queue else None)
                if queue is not None:
                    self._count -= 1
                    if not queue:
                        del self._idle[key]
        if self._releases:
            self._note_releases()
        return popped

    def give(self, key: Hashable, connection: Any) -> None:
        """Keep a connection whose last response was read to its end."""
        dropped = connection
        with self._lock:
            if self._holders:
                now = self._clock()
                self._idle.setdefault(key, []).append((connection, now))
                self._count += 1
                self._expiry = min(self._expiry, now + self.max_idle_seconds)
                dropped = self._drop_oldest() if self._count > self.max_idle else None
        if self._releases:
            self._note_releases()
        if dropped is not None:
            _close(dropped)

    def _drop_oldest(self) -> HTTPConnection:
        key = min(self._idle, key=lambda k: self._idle[k][0][1])
        connection, _ = self._idle[key].pop(0)
        self._count -= 1
        if not self._idle[key]:
            del self._idle[key]
        return connection

    def __len__(self) -> int:
        return self._count

    def forget(self) -> None:
        """Drop everything without telling the servers: after a fork the connections are the parent's."""
        left, holders = self._idle, self._holders - len(self._releases)
        self._start()
        self._holders = holders
        for queue in left.values():
            for connection, _ in queue:
                connection.close()


#: That of the process.
POOL = ConnectionPool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)
