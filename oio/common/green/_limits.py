# SPDX-License-Identifier: Apache-2.0
"""Time limits of green threads, their timers, and interruptions of their waits."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from oio.common.green._imported import Timeout, eventlet_hubs, getcurrent
from oio.common.green._threads import GuestHub, ensure_hub, get_hub, local


class Timer:
    """Lets the hub of the current OS thread call a function later, if anybody waits there then.

    It costs the hub nothing when it is cancelled before.

    :param target: argument of the function
    """

    __slots__ = ("callback", "due", "hub", "pending", "target", "timer")

    def __init__(self, seconds: float, callback: Callable[[Any], object], target: Any = None) -> None:
        self.hub: Any = getattr(eventlet_hubs._threadlocal, "hub", None) or get_hub()
        self.callback = callback
        self.target = target
        self.pending = True
        #: The hub's own, once somebody waits there.
        self.timer: Any = None
        if isinstance(self.hub, GuestHub) and self.hub.keeps_time:
            self.due = self.hub.clock() + seconds
            self.hub.deferred.append(self)
        else:
            self.timer = self.hub.schedule_call_global(seconds, self.fire)

    def fire(self) -> None:
        self.pending = False
        self.callback(self.target)

    def cancel(self) -> None:
        self.pending = False
        if self.timer is not None:
            self.timer.cancel()
            return
        deferred = self.hub.deferred
        if deferred and deferred[-1] is self:
            deferred.pop()
        elif self in deferred:
            deferred.remove(self)


def _strike(meant: tuple[weakref.ref[OioTimeout], Any]) -> None:
    """Let a time limit strike, unless its block was never entered, or was left.

    A signal handler may raise just then, so that nobody cancels the timer, which would strike a later wait.
    The limit is gone then, or has no timer if a traceback keeps it.
    """
    limit = meant[0]()
    if limit is not None and limit.timer is not None:
        limit.strike(meant[1])


class OioTimeout(Timeout):  # type: ignore[misc]
    """A green time limit, in seconds, over a ``with`` block; ``None`` is no limit."""

    msg_prefix = ""
    #: Step that took so long, when that is known.
    doing = ""
    timer: Any

    def __init__(self, seconds: float | None = None, exception: Any = None) -> None:
        # Eventlet's own constructor takes longer, and small calls have many limits.
        self.seconds = seconds
        self.exception = exception
        self.timer = None
        if seconds is None:
            # The block may wait all the same.
            ensure_hub()
        else:
            self.timer = Timer(seconds, _strike, (weakref.ref(self), getcurrent()))

    def __exit__(self, _kind: object, value: BaseException | None, _trace: object) -> Any:
        timer, self.timer = self.timer, None
        if timer is not None:
            timer.cancel()
        return value is self and self.exception is False

    def start(self) -> OioTimeout:
        """Start to count again. Eventlet's own does so when a block without a limit is entered."""
        if self.seconds is not None:
            OioTimeout.__init__(self, self.seconds, self.exception)
        return self

    def strike(self, target: Any) -> None:
        """Raise in the greenlet that has waited for too long, or as soon as it waits again.

        A greenlet of the host that waits elsewhere is left alone until then: it would unwind while the host
        believes it to be waiting.
        """
        hub = eventlet_hubs.get_hub()
        if isinstance(hub, GuestHub) and not hub.waits_for(target):
            hub.late.append((self, target))
        else:
            given = self.exception
            target.throw(self if given is None or isinstance(given, bool) else given)

    def __str__(self) -> str:
        return f"{self.msg_prefix}timeout {super().__str__()}"


class ConnectionTimeout(OioTimeout):
    """Connecting took too long."""

    msg_prefix = "Connection "


class SourceReadTimeout(OioTimeout):
    """The source of the data to upload gave nothing for too long."""

    msg_prefix = "Source read "
    #: Tells whether the whole upload is out of time, so that its source is asked for nothing more.
    is_final: Callable[[], bool] = staticmethod(lambda: False)


class ChunkWriteTimeout(OioTimeout):
    """Sending to a chunk server, or its answer, took too long."""

    msg_prefix = "Chunk write "


class ChunkReadTimeout(OioTimeout):
    """A chunk server sent nothing for too long."""

    msg_prefix = "Chunk read "


class Interrupted(BaseException):
    """Another thread has asked the current one to stop waiting."""


class Insistence:
    """Keeps interruptions away as long as its ``with`` block lasts: a clean-up must come to its end."""

    def __enter__(self) -> None:
        local.insisting = getattr(local, "insisting", 0) + 1

    def __exit__(self, *_exc: object) -> None:
        local.insisting -= 1


class Interruption:
    """Lets any thread end a wait of the thread that is inside its ``with`` block.

    Hubs cannot be woken by other threads, so this looks from time to time whether it was asked for. It
    raises :class:`Interrupted` where the green thread waits.
    """

    #: Seconds between two looks.
    INTERVAL = 0.05

    is_asked_for = False
    _waiting: Any = None
    _timer: Any = None

    def ask(self) -> None:
        """End the wait, and all that follow."""
        self.is_asked_for = True

    def withdraw(self) -> None:
        """Take the request back, unless the wait has been interrupted already."""
        self.is_asked_for = False

    def __enter__(self) -> None:
        self._waiting = getcurrent()
        self._timer = Timer(self.INTERVAL, self._look)

    def __exit__(self, *_exc: object) -> None:
        self._timer.cancel()
        self._waiting = self._timer = None

    def _look(self, _: object = None) -> None:
        hub = eventlet_hubs.get_hub()
        may_strike = self.is_asked_for and not getattr(local, "insisting", 0)
        if may_strike and (not isinstance(hub, GuestHub) or hub.waits_for(self._waiting)):
            self._waiting.throw(Interrupted())
        else:
            self._timer = hub.schedule_call_global(self.INTERVAL, self._look)
