# SPDX-License-Identifier: Apache-2.0
"""Interruptions: exceptions that signal handlers of the host raise in the middle of our work.

One may be of any class: a handler that raises :class:`TimeoutError` looks like a network that fails. They
are recognised by the frames that they have passed, and must leave the library unchanged.
"""

from __future__ import annotations

import functools
import inspect
import signal
from collections.abc import Iterator
from types import CodeType, FrameType, TracebackType

_HUBS = frozenset({"eventlet.hubs.hub", "oio.common.green._threads"})
"""Modules where green threads wait."""
_NOT_OF_HOSTS = frozenset({"eventlet", "oio", "urllib3"})
"""Packages whose exceptions our own limits and green sockets throw, or have the traceback of such a one."""
_SIGNALS = tuple(signal.valid_signals())


def interruption(error: BaseException) -> BaseException | None:
    """Find the exception of a signal handler that an exception is, or was made of; None when there is none.

    >>> interruption(OSError("no answer")) is None
    True
    """
    handlers = set(_handlers())
    pending, seen = [error], set()
    found = None
    while pending:
        candidate = pending.pop()
        if id(candidate) in seen:
            continue
        seen.add(id(candidate))
        if _passes_through(candidate.__traceback__, handlers) or _was_thrown(candidate):
            # Some exceptions have the traceback of their cause, which is looked at later, and wins.
            found = candidate
        # Not the context: that may be what the host was handling when it called us.
        parts = (candidate.__cause__, getattr(candidate, "reason", None), *candidate.args)
        pending += [part for part in parts if isinstance(part, BaseException)]
    return found


def reraise_interruption(error: BaseException) -> None:
    """Raise the exception of a signal handler that an exception is, or was made of, if there is one."""
    found = interruption(error)
    if found is not None:
        raise found


def forget_frames(error: object) -> None:
    """Cut a failure that is kept off the frames that it has passed, and off those before it.

    They lead to whoever keeps it: only the garbage collector would free their data.
    """
    if isinstance(error, BaseException):
        error.__traceback__ = error.__cause__ = error.__context__ = None


def _passes_through(trace: TracebackType | None, codes: set[CodeType]) -> bool:
    while trace is not None:
        if trace.tb_frame.f_code in codes or _has_interrupted(trace.tb_frame):
            return True
        trace = trace.tb_next
    return False


def _was_thrown(error: BaseException) -> bool:
    """Whether the host has thrown an exception, as its green time limits do, into a greenlet that waits."""
    kind, trace = type(error), error.__traceback__
    if kind is TimeoutError or kind.__module__.partition(".")[0] in _NOT_OF_HOSTS or trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    frame = trace.tb_frame
    return frame.f_code.co_name == "switch" and frame.f_globals.get("__name__") in _HUBS


def _has_interrupted(frame: FrameType) -> bool:
    """Whether a function was given the frame below it, as handlers are; it may be replaced by now."""
    below, code = frame.f_back, frame.f_code
    if below is None or str(frame.f_globals.get("__name__")).startswith("oio."):
        # Our own functions are no handlers, and a look at the variables of a frame keeps their values alive.
        return False
    known = frame.f_locals
    given = [known.get(name) for name in code.co_varnames[: code.co_argcount]]
    if code.co_flags & inspect.CO_VARARGS:
        given += known.get(code.co_varnames[code.co_argcount + code.co_kwonlyargcount]) or ()
    return any(value is below for value in given)


def _handlers() -> Iterator[CodeType]:
    """The code of the handlers that are installed now."""
    for number in _SIGNALS:
        handler: object = signal.getsignal(number)
        if handler is None or isinstance(handler, int):
            continue
        while isinstance(handler, functools.partial):
            handler = handler.func
        function = getattr(handler, "__func__", handler)
        if not hasattr(function, "__code__") and callable(handler):
            function = type(handler).__call__
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            yield code
