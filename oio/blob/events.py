# SPDX-License-Identifier: Apache-2.0
"""Events of requests to chunk servers, which end when their connections are closed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from oio.common import green
from oio.common.events import CHUNK_FAILED, Event, Watch, Watcher, outcome_of, tell
from oio.common.http_eventlet import ChunkConnection, DeadConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from oio.blob.connect import Connection
    from oio.common.chunks import Chunk
    from oio.common.options import Options


class _WatchedFake:
    """Connection made by an application's test, the end of which is told."""

    def __init__(self, fake: Any, watch: Watch) -> None:
        self._fake = fake
        self._status = 0
        self.watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fake, name)

    def getresponse(self) -> Any:
        response = self._fake.getresponse()
        self._status = response.status
        return response

    def close(self) -> None:
        try:
            # Not all fakes have it.
            getattr(self._fake, "close", int)()
        finally:
            self.watch.end(status=self._status, is_whole=bool(self._status))


def connect_watched(
    connect: Callable[[], Connection], watcher: Watcher, method: str, chunk: Chunk, attempt: int
) -> Connection:
    """Make a connection, the request of which is told of, from now until it is closed.

    :param connect: makes the connection
    """
    watch = watcher.watch("rawx", chunk.netloc, f"{method} chunk", attempt, chunk.url)
    try:
        connection = connect()
    except BaseException as err:
        # No failure of the server: a green thread is ended when another server was quicker, and a kept
        # connection that had died is replaced.
        watch.end(None if isinstance(err, (green.GreenletExit, DeadConnection)) else err, is_whole=False)
        raise
    if not isinstance(connection, ChunkConnection):
        return _WatchedFake(connection, watch)
    connection.watch = watch
    return connection


def note_failure(connection: object, error: object) -> None:
    """Note the reason for which the request of a connection has failed, before it is closed.

    :param error: an exception, or text
    """
    watch = getattr(connection, "watch", None)
    if type(watch) is Watch and watch.error is None:
        watch.error = error


def count_sent(connection: object, size: int) -> None:
    """Note how many bytes of data a request has sent."""
    watch = getattr(connection, "watch", None)
    if type(watch) is Watch:
        watch.sent = size


def report_failure(
    options: Options,
    method: str,
    chunk: Chunk,
    error: object,
    begin: float = 0.0,
    attempt: int = 1,
    proxy: str | None = None,
) -> Event:
    """Tell of a chunk that has failed.

    :param error: an exception, or text
    :param begin: when its request began (seconds of :func:`time.monotonic`); 0 when other events tell
    :param proxy: address of the proxy, if it is the proxy that failed, when it was asked where the chunks of
        an object are
    :returns: the event, for the log
    """
    event = Event(
        kind=CHUNK_FAILED,
        reqid=options.reqid,
        service="rawx" if proxy is None else "proxy",
        address=chunk.netloc if proxy is None else proxy,
        operation=f"{method} chunk" if proxy is None else f"{method} content/locate",
        attempt=attempt,
        begin=begin or time.monotonic(),
        seconds=time.monotonic() - begin if begin else 0.0,
        outcome=outcome_of(error),
        error=str(error) or type(error).__name__,
        chunk=chunk.url,
    )
    if options.on_event is not None:
        tell(options.on_event, event)
    return event


def report_other_chunk(options: Options, kind: str, chunk: Chunk, attempt: int = 1) -> None:
    """Tell that a chunk is about to be read, because another one has failed or is late.

    :param kind: of the event
    """
    if options.on_event is not None:
        Watcher(options.on_event, options.reqid).tell(
            kind,
            service="rawx",
            address=chunk.netloc,
            operation="GET chunk",
            attempt=attempt,
            chunk=chunk.url,
        )
