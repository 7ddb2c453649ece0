# SPDX-License-Identifier: Apache-2.0
"""Work in the background, which no call waits for."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from logging import Logger

from oio.common import green

_PATIENCE = 5.0
"""Seconds that closing waits for work that does not end at once."""

_ALL: weakref.WeakSet[Background] = weakref.WeakSet()


class Background:
    """Runs one piece of work at a time, in a thread of the kind that the host has.

    That is an OS thread, with a hub of its own: no hub runs between the calls of a plain program. Where the
    host has patched its threads, it is a green one: locks of the host, such as those of logging, exclude only
    its own kind. Nothing is left when it is closed; a process that forks ends it first, since its children
    would inherit what it holds.

    :param name: of the work, for the log
    :param logger: is told of what fails, and nobody else
    """

    def __init__(self, name: str, logger: Logger) -> None:
        self._name = name
        self._logger = logger
        self._forget()
        _ALL.add(self)

    def _forget(self) -> None:
        #: Held while work runs; nobody waits for it.
        self._turn = green.Lock()
        self._running: tuple[threading.Thread, green.Interruption] | None = None

    def start(self, work: Callable[[], object]) -> bool:
        """Begin a piece of work, unless one is under way.

        :returns: whether it was begun
        """
        turn, interruption = self._turn, green.Interruption()
        if not turn.acquire(blocking=False):
            return False
        thread = threading.Thread(
            target=self._run, args=(work, turn, interruption), name=f"oio {self._name}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as err:
            # The host has as many threads as it may have, or is about to end.
            turn.release()
            self._logger.warning("%s: %s", self._name, err)
            return False
        self._running = thread, interruption
        return True

    def _run(
        self, work: Callable[[], object], turn: threading.Lock, interruption: green.Interruption
    ) -> None:
        try:
            if not interruption.is_asked_for:
                with interruption:
                    work()
        except green.Interrupted:
            self._logger.debug("%s: interrupted", self._name)
        except Exception as err:  # noqa: BLE001 - nobody else would see it.
            self._logger.warning("%s: %s: %s", self._name, type(err).__name__, err)
        finally:
            turn.release()

    def join(self, seconds: float | None = None) -> None:
        """Wait for the end of the work, if there is some.

        :param seconds: to wait at most
        """
        if self._running is not None:
            self._running[0].join(seconds)

    def close(self) -> None:
        """End the work. More may be begun later."""
        if self._running is not None:
            thread, interruption = self._running
            interruption.ask()
            # The work itself may close the client.
            if thread is not threading.current_thread():
                thread.join(_PATIENCE)


def _every() -> list[Background]:
    while True:
        try:
            return list(_ALL)
        except RuntimeError:
            # Another thread has just added one.
            continue


def _end_all() -> None:
    running = [background for background in _every() if background._running is not None]
    # Green threads are only looked at, and imported, if there is anything to end.
    if running and not green.threads_are_green():
        for background in running:
            background.close()


def _forget_all() -> None:
    for background in _every():
        if background._running is not None:
            # If it runs in a green thread, it would go on in the child.
            background._running[1].ask()
        background._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_end_all, after_in_child=_forget_all)
