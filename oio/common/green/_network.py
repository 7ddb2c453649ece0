# SPDX-License-Identifier: Apache-2.0
"""Green sockets, with TLS and without, built on those of the standard library, and waits for them."""

from __future__ import annotations

import collections
import contextlib
import encodings.idna  # noqa: F401 - imported when a name is looked up, where a fork does not wait for it.
import errno
import heapq
import io
import math
import os
import select as _select
import socket as _native_socket
import ssl as _ssl
import time
from collections.abc import Callable, Container, Iterable
from typing import Any

from oio.common.green._imported import eventlet_hubs, getcurrent, green_ssl, patcher, socket
from oio.common.green._threads import GuestHub, ensure_hub, get_hub, sleep

# The real one, also in a host that has patched it.
_poll: Any = getattr(patcher.original("select"), "poll", None)
_LONGEST_POLL = 3600.0
"""Seconds."""
_SLICE = 1
"""Seconds of the longest poll at a time: handlers of signals run between two of them."""
_CUT = frozenset({errno.ECONNRESET, errno.ENOTCONN, errno.ESHUTDOWN})
"""Errors that stand for the end of a stream."""
_LARGEST_RECORD = 1 << 14
"""Bytes of data of a record of TLS."""
_BUSY_PAUSE = 0.05
"""Seconds before a descriptor that another green thread waits for is looked at again."""


class Socket(socket.socket):  # type: ignore[misc]
    """A green socket that waits without a switch while nothing else of its OS thread has to run.

    A switch to the hub costs several times as much as the wait.
    """

    #: Looks whether there is something to read.
    _poller: Any = None

    def _make_poller(self) -> Any:
        poller = self._poller = _poll()
        poller.register(self.fd.fileno(), _select.POLLIN)
        return poller

    def _trampoline(
        self,
        fd: Any,
        read: bool = False,
        write: bool = False,
        timeout: float | None = None,
        timeout_exc: Any = None,
    ) -> None:
        quiet = _quiet_seconds()
        if quiet > 0 and not self._closed:
            if read:
                poller = self._poller or self._make_poller()
            else:
                poller = _poll()
                poller.register(fd, _select.POLLOUT)
            seconds = min(quiet, _LONGEST_POLL) if timeout is None else min(quiet, _LONGEST_POLL, timeout)
            if _polled(poller, seconds):
                return
            if timeout is not None:
                timeout -= seconds
                if timeout <= 0:
                    raise timeout_exc or TimeoutError("timed out")
        late = timeout_exc or TimeoutError("timed out")
        super()._trampoline(fd, read=read, write=write, timeout=timeout, timeout_exc=late)

    def settimeout(self, howlong: float | None) -> None:
        """Limit each wait, in seconds."""
        if type(howlong) is float and howlong > 0:
            self.act_non_blocking, self._timeout = False, howlong
        else:
            super().settimeout(howlong)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of the data; the rest after a partial send is not copied."""
        try:
            sent = self.fd.send(data, flags)
        except BlockingIOError:
            sent = self.send(data, flags)
        if type(data) is bytes and sent == len(data):
            return
        # The length of other buffers may count items of several bytes.
        rest = memoryview(data).cast("B")
        while sent < len(rest):
            sent += self.send(rest[sent:], flags)

    def send_together(self, head: bytes, body: bytes) -> None:
        """Send two pieces in one write; the rest after a partial one is not copied."""
        try:
            sent = self.fd.sendmsg((head, body))
        except BlockingIOError:
            sent = 0
        if sent < len(head):
            self.sendall(head[sent:])
            sent = len(head)
        if sent < len(head) + len(body):
            self.sendall(memoryview(body)[sent - len(head) :])

    def send_pieces(
        self, pieces: Iterable[Any], waiting: Callable[[int], contextlib.AbstractContextManager[object]]
    ) -> None:
        """Send pieces one after the other, without a copy or a system call for each.

        :param pieces: buffers of bytes, none of them empty
        :param waiting: given the number of bytes sent so far, makes the context of each wait; bytes that are
            sent at once need none
        """
        left, done = collections.deque(pieces), 0
        send = self.fd.sendmsg
        while left:
            try:
                sent = send(left)
            except BlockingIOError:
                with waiting(done):
                    sent = self._send_loop(send, left)
            done += sent
            _drop(left, sent)

    def send_now(self, pieces: Iterable[Any]) -> collections.deque[Any]:
        """Send what can be sent without waiting; returns the rest."""
        left = collections.deque(pieces)
        with contextlib.suppress(BlockingIOError):
            _drop(left, self.fd.sendmsg(left))
        return left

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Read some bytes, as sockets do; a connection that was cut has ended."""
        if self.act_non_blocking or not bufsize:
            there: bytes = super().recv(bufsize, flags)
            return there
        while True:
            try:
                received: bytes = self.fd.recv(bufsize, flags)
                return received
            except OSError as err:
                if not self._may_come(err):
                    return b""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Read into a buffer, as sockets do; a connection that was cut has ended."""
        if self.act_non_blocking or not (nbytes or len(buffer)):
            count: int = super().recv_into(buffer, nbytes, flags)
            return count
        while True:
            try:
                received: int = self.fd.recv_into(buffer, nbytes, flags)
                return received
            except OSError as err:
                if not self._may_come(err):
                    return 0

    def _may_come(self, err: OSError) -> bool:
        """Wait for more after a read in vain; False when the connection was cut."""
        if not isinstance(err, BlockingIOError):
            if err.errno in _CUT:
                return False
            raise err
        try:
            self._trampoline(self.fd, True, False, self._timeout)
        except eventlet_hubs.IOClosed as closed:
            raise EOFError from closed
        return True

    def await_data(self) -> None:
        """Wait until there is something to read, where hardly anything is there yet.

        A read in vain makes an exception, whose text takes much longer than a wait that ends at once.

        :raises OSError: another thread has closed the socket
        """
        try:
            self._trampoline(self.fd, True, False, self._timeout)
        except ValueError as err:  # It has no descriptor any more.
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from err

    def file_after(self, there: bytes, buffer_size: int = io.DEFAULT_BUFFER_SIZE) -> io.BufferedReader:
        """A file to read from, as :meth:`makefile` gives, which begins with bytes that were read before.

        :param buffer_size: bytes that may be read ahead. With 1, none are, which saves a receive for each
            large read; each byte of a line would take one
        """
        raw = _Rest(self, there)
        self._io_refs += 1
        return io.BufferedReader(raw, buffer_size)


class _Rest(_native_socket.SocketIO):
    """Raw file of a socket, which begins with bytes that were read before."""

    _sock: Socket
    _timeout_occurred: bool

    def __init__(self, sock: Socket, there: bytes) -> None:
        super().__init__(sock, "r")
        self._there = memoryview(there)

    def readinto(self, buffer: Any) -> int | None:
        if not self._there:
            if self._timeout_occurred or self._sock.act_non_blocking:
                return super().readinto(buffer)
            try:
                # In fewer steps than the standard class: a large body takes many of them.
                return self._sock.recv_into(buffer)
            except TimeoutError:
                # What was read before is lost: nothing may be read after it.
                self._timeout_occurred = True
                raise
        size = min(len(buffer), len(self._there))
        buffer[:size] = self._there[:size]
        self._there = self._there[size:]
        return size


def _drop(pieces: collections.deque[Any], size: int) -> None:
    """Drop the first bytes of some pieces, without a copy."""
    while pieces and size >= len(pieces[0]):
        size -= len(pieces.popleft())
    if size:
        pieces[0] = memoryview(pieces[0])[size:]


class _TlsSocket(green_ssl.SSLSocket):  # type: ignore[misc]
    """A green socket over TLS that tells data from records of TLS itself, such as session tickets.

    Those make the connection readable as well: right after the handshake, most often.
    """

    act_non_blocking: bool
    _taken = b""
    """Data that were read to see whether there are some."""

    def has_data(self) -> bool:
        """Whether a read would give data or the end, or fail. Never switches."""
        if self.pending():
            return True
        before, self.act_non_blocking = self.act_non_blocking, True
        try:
            self._taken = super().read(_LARGEST_RECORD)
        except (_ssl.SSLWantReadError, _ssl.SSLWantWriteError):
            return False
        except (OSError, ValueError):
            # The next read will tell.
            return True
        finally:
            self.act_non_blocking = before
        return True

    def send(self, data: Any, flags: int = 0) -> int:
        """Send some of the data; a connection that has broken is told as without TLS."""
        try:
            sent: int = super().send(data, flags)
            return sent
        except _ssl.SSLEOFError:
            pass
        raise BrokenPipeError(errno.EPIPE, "The connection has broken")

    def pending(self) -> int:
        """Bytes that can be read without a look at the connection."""
        waiting: int = super().pending()
        return len(self._taken) + waiting

    def read(self, size: int = 1024, buffer: Any = None) -> Any:
        """Read at most so many bytes, into a buffer if there is one."""
        if not self._taken:
            return super().read(size, buffer)
        data, self._taken = self._taken[:size], self._taken[size:]
        if buffer is None:
            return data
        memoryview(buffer).cast("B")[: len(data)] = data
        return len(data)


class _SSLContext(green_ssl.GreenSSLContext):  # type: ignore[misc]
    __slots__ = ()

    def wrap_socket(self, sock: Any, *args: Any, **kwargs: Any) -> Any:
        # When the handshake fails, only we know the new socket, which has taken over the connection.
        kwargs["do_handshake_on_connect"] = False
        wrapped = super().wrap_socket(sock, *args, **kwargs)
        wrapped.__class__ = _TlsSocket
        try:
            wrapped.do_handshake()
        except BaseException:  # Nobody else has the socket yet.
            wrapped.close()
            raise
        return wrapped


def create_ssl_context(cafile: str | None = None, *, verify: bool = True) -> _ssl.SSLContext:
    """A TLS client context for green sockets, which verifies the server unless told otherwise.

    :param cafile: PEM file of the authorities to trust, instead of the system's
    :param verify: False accepts any certificate of any host
    """
    context: _ssl.SSLContext = green_ssl.create_default_context(cafile=cafile)
    context.__class__ = _SSLContext
    if not verify:
        context.check_hostname = False
        context.verify_mode = _ssl.CERT_NONE
    return context


def is_readable(sock: Any) -> bool:
    """Whether a read would not block: there are data, or the stream has ended. Never switches."""
    if type(sock) is Socket and _poll is not None:
        # The descriptor of a closed socket may be another one's.
        return sock.fd.fileno() < 0 or bool((sock._poller or sock._make_poller()).poll(0))
    if type(sock) is _TlsSocket:
        return sock.has_data()
    pending = getattr(sock, "pending", None)
    if pending is not None and pending():
        # TLS has taken more from the connection than was read from it.
        return True
    if _poll is None:
        return bool(_select.select([sock.fileno()], [], [], 0)[0])
    poller = _poll()
    poller.register(sock.fileno(), _select.POLLIN)
    return bool(poller.poll(0))


def _quiet_seconds() -> float:
    """Seconds for which nothing else has to run in this OS thread, which may wait without a switch then.

    0 in a green thread of ours: an exception of a signal handler is meant for whoever waits for that.
    """
    hub = getattr(eventlet_hubs._threadlocal, "hub", None) or get_hub()
    if _poll is None or not isinstance(hub, GuestHub) or not hub.keeps_time or hub.late or hub.closed:
        return 0.0
    if hub.listeners["read"] or hub.listeners["write"]:
        return 0.0
    if hub.greenlet.dead or getcurrent().parent is hub.greenlet:
        return 0.0
    if hub.next_timers:
        hub.prepare_timers()
    timers = hub.timers
    while timers and timers[0][1].called:
        heapq.heappop(timers)
        hub.timers_canceled -= 1
    due = timers[0][0] if timers else math.inf
    for deferred in hub.deferred:
        due = min(due, deferred[0])
    return due if due == math.inf else due - hub.clock()


def _polled(poller: Any, seconds: float) -> Any:
    """Poll for some seconds, in slices: a signal that comes just before a poll begins does not end it."""
    while seconds > _SLICE:
        if found := poller.poll(_SLICE * 1000):
            return found
        seconds -= _SLICE
    return poller.poll(math.ceil(seconds * 1000))


def readable(sockets: Iterable[Any], seconds: float = 0.0) -> Container[int]:
    """Descriptors of the sockets on which a read would not block. Never switches.

    :param seconds: to wait for the first of them; no other green thread runs meanwhile
    """
    if _poll is None:
        return _select.select([sock.fileno() for sock in sockets], [], [], seconds)[0]
    poller = _poll()
    over_tls = []
    for sock in sockets:
        poller.register(sock.fileno(), _select.POLLIN)
        if type(sock) is _TlsSocket:
            over_tls.append(sock)
    if over_tls:
        return _readable_over_tls(poller, over_tls, seconds)
    return dict(_polled(poller, seconds))


def _readable_over_tls(poller: Any, sockets: list[_TlsSocket], seconds: float) -> dict[int, int]:
    """The same when some of the sockets, which are given, speak TLS."""
    taken = {sock.fileno(): _select.POLLIN for sock in sockets if sock.pending()}
    due = time.monotonic() + (0.0 if taken else seconds)
    while True:
        left = max(0.0, due - time.monotonic())
        found = dict(_polled(poller, left))
        is_woken = bool(found)
        for sock in sockets:
            if sock.fileno() in found and not sock.has_data():
                del found[sock.fileno()]
        found.update(taken)
        if found or not is_woken:
            return found


def wait_any(sockets: Iterable[Any], seconds: float = _LONGEST_POLL) -> list[Any]:
    """Wait until a read would not block on one of some sockets, or time is up.

    :param sockets: green ones, which nobody else reads from
    :returns: those that can be read, or were closed meanwhile; none when time is up
    """
    # A negative time would make poll wait for ever.
    known, seconds = list(sockets), max(0.0, seconds)
    quiet = min(max(_quiet_seconds(), 0.0), seconds)
    if quiet > 0 and len(known) == 1 and type(known[0]) is Socket and known[0].fd.fileno() >= 0:
        found = known if _polled(known[0]._poller or known[0]._make_poller(), quiet) else []
    else:
        found = _ready(known, quiet)
    if found or quiet == seconds:
        return found
    hub = eventlet_hubs.get_hub()
    seconds -= quiet
    due = hub.clock() + seconds
    while not _wait_in_hub(hub, known, max(0.0, due - hub.clock())):
        if found := _ready(known):
            return found
        # Only TLS itself had something to say.
    return _ready(known)


def _wait_in_hub(hub: Any, sockets: list[Any], seconds: float) -> bool:
    """Wait until something comes on one of some sockets, or it is closed; gives True when time is up."""
    current = getcurrent()
    woken: list[int] = []

    def wake(descriptor: int) -> None:
        # The hub may have found several at once.
        if not woken:
            woken.append(descriptor)
            current.switch()

    timer = hub.schedule_call_global(seconds, wake, -1)
    listeners = []
    try:
        for sock in sockets:
            listeners.append(hub.add(hub.READ, sock.fileno(), wake, current.throw, None))  # noqa: PERF401
        hub.switch()
    except eventlet_hubs.IOClosed:
        pass
    finally:
        is_over = woken == [-1]
        # What wakes it after this must not switch.
        woken.append(0)
        timer.cancel()
        for listener in listeners:
            hub.remove(listener)
    return is_over


def _ready(sockets: list[Any], seconds: float = 0.0) -> list[Any]:
    for sock in sockets:
        if sock is None or sock.fileno() < 0:
            return [sock]
    found = readable(sockets, seconds)
    ready = []
    if found:
        for sock in sockets:
            if sock.fileno() in found:
                ready.append(sock)  # noqa: PERF401 - quicker than another frame
    return ready


class _NotReady(Exception):
    """A descriptor has not become readable in time."""


def wait_readable(descriptor: int, seconds: float) -> None:
    """Wait until a pipe, a socket or a terminal has data, or is at its end, or time is up.

    :param descriptor: of a kind that can be waited for
    """
    ensure_hub()
    try:
        eventlet_hubs.trampoline(descriptor, read=True, timeout=seconds, timeout_exc=_NotReady)
    except _NotReady:
        return
    except RuntimeError:
        # Another green thread waits for the same descriptor.
        sleep(min(seconds, _BUSY_PAUSE))
