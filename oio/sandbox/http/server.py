# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 server of one service: a thread for each connection, and a complete stop.

``socket`` and ``threading`` are used through their modules at call time, so that a server started in a
program that eventlet has patched gets green sockets and threads, and plain ones elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from typing import Final

from oio.sandbox.faults import Door, FaultBoard
from oio.sandbox.http.connection import Connection, Endpoint
from oio.sandbox.http.dialects import Dialect
from oio.sandbox.http.log import RequestLog
from oio.sandbox.messages import Handler

_BACKLOG: Final = 512
_PASSING_TROUBLES: Final = {errno.EMFILE, errno.ENFILE, errno.ECONNABORTED}
_PAUSE_IN_TROUBLE: Final = 0.05


class Server:
    """Server of one service on one TCP port; ``handler`` must be set before it starts.

    :param dialect: the HTTP habits of the service.
    :param host: address to listen on.
    :param port: port to listen on; it is kept over ``stop()`` and ``start()``.
    :param log: where requests are recorded.
    :param faults: the faults to inject.
    """

    #: Handler of the requests.
    handler: Handler

    def __init__(self, dialect: Dialect, host: str, port: int, log: RequestLog, faults: FaultBoard) -> None:
        self.dialect = dialect
        self.address = f"{host}:{port}"
        self.log = log
        self.faults = faults
        self._where = (host, port)
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._connections: dict[Connection, threading.Thread] = {}
        self._fillers: list[socket.socket] = []

    @property
    def listening(self) -> bool:
        """Whether connections are accepted."""
        return self._acceptor is not None

    def open_connections(self) -> int:
        """Return the number of connections that the server has not closed."""
        with self._lock:
            return len(self._connections)

    def start(self) -> None:
        """Listen and serve; nothing happens if it already does.

        :raises OSError: the port is taken.
        """
        if self._acceptor is not None:
            return
        self._unblock()
        self._listener = self._listen(_BACKLOG)
        self._acceptor = threading.Thread(
            target=self._accept, args=(self._listener,), name=f"sandbox {self.address}", daemon=True
        )
        self._acceptor.start()

    def stop(self) -> None:
        """Close the port and every connection, and wait until their threads have ended."""
        self._unblock()
        acceptor, listener = self._acceptor, self._listener
        self._acceptor = self._listener = None
        if listener is not None and acceptor is not None:
            # A shutdown wakes a thread in accept() on Linux. Elsewhere it fails, and a connection does.
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                with contextlib.suppress(OSError):
                    socket.create_connection(self._where, timeout=1).close()
            # A green thread would not notice the end of a descriptor that is closed under it.
            acceptor.join()
            listener.close()
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            connection.cut()
        for thread in connections.values():
            thread.join()

    def block(self) -> None:
        """Leave connections pending: fill the backlog of the port, and accept nothing."""
        self.stop()
        listener = self._listen(0)
        self._fillers.append(listener)
        for _ in range(2):
            filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(self._where)
            self._fillers.append(filler)

    def apply_faults(self) -> None:
        """Open, close or block the port, as the open fault plans say."""
        door = self.faults.door(self.dialect.kind, self.address)
        if door is Door.OPEN:
            self.start()
        elif door is Door.CLOSED:
            self.stop()
        elif not self._fillers:
            self.block()

    def _unblock(self) -> None:
        while self._fillers:
            self._fillers.pop().close()

    def _listen(self, backlog: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(self._where)
            listener.listen(backlog)
        except OSError as exc:
            listener.close()
            raise OSError(exc.errno, f"cannot listen on {self.address}: {exc.strerror}") from exc
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError as exc:
                if self._listener is not listener or exc.errno not in _PASSING_TROUBLES:
                    return
                time.sleep(_PAUSE_IN_TROUBLE)
                continue
            if self._listener is not listener:
                sock.close()
                return
            self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        endpoint = Endpoint(self.dialect, self.address, self.handler, self.log, self.faults)
        connection = Connection(endpoint, sock, self.log.number_connection())
        thread = threading.Thread(
            target=self._run, args=(connection,), name=f"sandbox {self.address} connection", daemon=True
        )
        with self._lock:
            self._connections[connection] = thread
            thread.start()

    def _run(self, connection: Connection) -> None:
        try:
            connection.run()
        finally:
            with self._lock:
                self._connections.pop(connection, None)
