# SPDX-License-Identifier: Apache-2.0
"""Time limits of green threads, their timers, and interruptions of their waits."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from oio.common.green._imported import Timeout, eventlet_hubs, getcurrent
from oio.common.green._threads import GuestHub, get_hub, local, strike_if_meant


class OioTimeout(Timeout):  # type: ignore[misc]
    """A green time limit, in seconds, over a ``with`` block; ``None`` is no limit."""

    msg_prefix = ""
    #: Step that took so long, when that is known.
    doing = ""
    timer: Any
    """That of the hub, or one of those that it only gets when somebody waits there."""

    def __init__(self, seconds: float | None = None, exception: Any = None) -> None:
        # Eventlet's own constructor takes longer, and small calls have many limits.
        self.seconds = seconds
        self.exception = exception
        self.timer = None
        # The block may wait without a limit, too.
        hub: Any = getattr(eventlet_hubs._threadlocal, "hub", None) or get_hub()
        if seconds is None:
            return
        meant, target = weakref.ref(self), getcurrent()
        if isinstance(hub, GuestHub) and hub.keeps_time:
            timer: Any = (hub.clock() + seconds, meant, target, hub)
            hub.deferred.append(timer)
        else:
            timer = hub.schedule_call_global(seconds, strike_if_meant, meant, target)
        # Last: a signal handler may have raised before, see `strike_if_meant`.
        self.timer = timer

    def __exit__(self, _kind: object, value: BaseException | None, _trace: object) -> Any:
        timer, self.timer = self.timer, None
        if type(timer) is tuple:
            deferred = timer[3].deferred
            if deferred and deferred[-1] is timer:
                deferred.pop()
            elif timer in deferred:
                deferred.remove(timer)
        elif timer is not None:
            timer.cancel()
        return value is self and self.exception is False

    def start(self) -> OioTimeout:
        """Start to count again. Eventlet's own does so when a block without a limit is entered."""
        if self.seconds is not None:
            OioTimeout.__init__(self, self.seconds, self.exception)
        return self

    def cancel(self) -> None:
        """Stop to count."""
        self.__exit__(None, None, None)

    @property
    def pending(self) -> bool:
        """Whether it counts, and has not struck yet."""
        return type(self.timer) is tuple or (self.timer is not None and self.timer.pending)

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


def is_of_host(limit: Timeout) -> bool:
    """Whether a time limit that was raised is one of the host's, which has struck; fakes raise others."""
    return not isinstance(limit, OioTimeout) and limit.timer is not None and not limit.pending


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


class _Look(OioTimeout):
    """Looks, when its time is up, whether an interruption was asked for."""

    interruption: Interruption

    def strike(self, target: Any) -> None:
        """Interrupt the greenlet, or look again later."""
        hub = eventlet_hubs.get_hub()
        may_strike = self.interruption.must_strike() and not getattr(local, "insisting", 0)
        if may_strike and (not isinstance(hub, GuestHub) or hub.waits_for(target)):
            target.throw(Interrupted())
        else:
            self.timer = hub.schedule_call_global(self.seconds, strike_if_meant, weakref.ref(self), target)


class Interruption:
    """Lets any thread end a wait of the thread that is inside its ``with`` block.

    Hubs cannot be woken by other threads, so this looks from time to time whether it was asked for. It
    raises :class:`Interrupted` where the green thread waits.
    """

    #: Seconds between two looks.
    INTERVAL = 0.05

    is_asked_for = False
    _look: Any = None

    def ask(self) -> None:
        """End the wait, and all that follow."""
        self.is_asked_for = True

    def withdraw(self) -> None:
        """Take the request back, unless the wait has been interrupted already."""
        self.is_asked_for = False

    def must_strike(self) -> bool:
        """Look whether it was asked for."""
        return self.is_asked_for

    def __enter__(self) -> None:
        self._look = _Look(self.INTERVAL)
        self._look.interruption = self

    def __exit__(self, *exc: object) -> None:
        look, self._look = self._look, None
        look.__exit__(*exc)
