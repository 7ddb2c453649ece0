# SPDX-License-Identifier: Apache-2.0
"""Transfers of many objects, for event loops."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from oio.aio._workers import Job, Lane, insist_until
from oio.common import green
from oio.common.arguments import WrongType, WrongValue, shorten
from oio.transfer import Progress, Report, Result, Transfer, TransferCancelled, TransferConfig

if TYPE_CHECKING:
    from typing import Concatenate, ParamSpec

    from oio.aio._api import AsyncObjectStorageApi

    P = ParamSpec("P")

T = TypeVar("T")

_PATIENCE = 0.05
"""Seconds between two looks for an interruption, while a callback runs."""


class _Call:
    """A call that has not ended.

    :param loop: loop that waits for it
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pid = os.getpid()
        #: Work for a worker, once it is queued.
        self.job: Job[Any] | None = None
        #: Looked at when its transfer begins.
        self.is_cancelled = False
        #: Done when it has ended.
        self.end: Future[None] = Future()

    def cancel(self) -> None:
        """End it if no worker has begun it, and mark it for the one that may be about to."""
        self.is_cancelled = True
        # After a fork, a thread of the parent may have held a lock of the job, which nobody releases here.
        if self.job is not None and self.pid == os.getpid():
            self.job.withdraw(_cancelled())


def _cancelled() -> TransferCancelled:
    error = TransferCancelled("the transfer was cancelled")
    error.report = Report(0)
    return error


_current: ContextVar[_Call] = ContextVar("oio_transfer_call")
"""Call that the current worker makes."""


def _in_loop(name: str, callback: Callable[[T], object] | None) -> Callable[[T], object] | None:
    """A callback for a worker that runs in the loop. The worker waits for it, so that none pile up.

    :param name: argument that the callback is
    :raises TypeError: it would have to be awaited
    """
    if not callable(callback):
        return callback
    if inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(type(callback).__call__):
        raise WrongType(f"{name} must be a plain function, not a coroutine function: {shorten(callback)}")

    def call(told: T) -> None:
        ended = threading.Event()
        errors: list[BaseException] = []

        def run() -> None:
            try:
                callback(told)
            except BaseException as err:  # noqa: BLE001 - raised in the worker, which ends the transfer
                errors.append(err)
            finally:
                ended.set()

        _current.get().loop.call_soon_threadsafe(run)
        while not ended.wait(_PATIENCE):
            green.sleep()
        if errors:
            # Taken out, because its traceback refers to the list.
            raise errors.pop()

    return call


class _Interruptible(Transfer):
    """Transfers whose calls end with an interruption of their worker."""

    def _begin(self) -> None:
        call = _current.get()
        try:
            super()._begin()
        except WrongValue:
            # Calls under way are marked before the transfer is closed, so the mark is looked at after that.
            if not call.is_cancelled:
                raise
        if call.is_cancelled:
            raise _cancelled()

    def _look(self) -> None:
        # An interruption strikes where a green thread waits, and the pool is waited for with a lock.
        green.sleep()


def _awaited(
    method: Callable[Concatenate[Transfer, P], T],
) -> Callable[Concatenate[AsyncTransfer, P], Coroutine[Any, Any, T]]:
    """A method of transfers, made in a worker."""

    @functools.wraps(method)
    async def call(self: AsyncTransfer, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._call(functools.partial(method, self._transfer, *args, **kwargs))

    call.__module__, call.__qualname__ = __name__, f"AsyncTransfer.{method.__name__}"
    # Examples are about the other class.
    call.__doc__ = inspect.cleandoc(method.__doc__ or "").partition("\n\n>>>")[0]
    return call


class AsyncTransfer:
    """Uploads, downloads, copies and synchronisations, for asyncio.

    Each method is that of :class:`~oio.transfer.Transfer`, with the same arguments, results and exceptions:
    it runs in threads, and is awaited. When its task is cancelled, the transfer ends as with :meth:`cancel`,
    then the task goes on. Closing the client ends its transfers.

    Iterables of pairs are plain ones, read in threads.

    :param api: the client; ``workers`` transfers run at a time, beside its calls
    :param config: settings
    :param on_progress: plain function, called from time to time with a :class:`~oio.transfer.Progress`, and
        once at the end, in the loop. The transfer waits for it. What it raises cancels the call, and comes
        out of it
    :param on_result: called with each :class:`~oio.transfer.Result`, in the same way
    :param progress_interval: seconds between two calls of `on_progress`
    :raises TypeError: an argument has the wrong type

    >>> import asyncio
    >>> from oio.aio import AsyncObjectStorageApi, AsyncTransfer
    >>> from oio.transfer import Remote
    >>> async def main(directory: str) -> int:
    ...     async with AsyncObjectStorageApi("OPENIO") as api, AsyncTransfer(api) as transfer:
    ...         report = await transfer.upload_tree(directory, Remote("doc", "box", "photos/"))
    ...         return report.done
    """

    def __init__(
        self,
        api: AsyncObjectStorageApi,
        config: TransferConfig | None = None,
        *,
        on_progress: Callable[[Progress], object] | None = None,
        on_result: Callable[[Result], object] | None = None,
        progress_interval: float = 0.2,
    ) -> None:
        self._workers = api._workers
        self._calls: set[_Call] = set()
        self._transfer = _Interruptible(
            api.sync,
            config,
            on_progress=_in_loop("on_progress", on_progress),
            on_result=_in_loop("on_result", on_result),
            progress_interval=progress_interval,
        )

    upload_file = _awaited(Transfer.upload_file)
    upload_many = _awaited(Transfer.upload_many)
    upload_tree = _awaited(Transfer.upload_tree)
    download_file = _awaited(Transfer.download_file)
    download_many = _awaited(Transfer.download_many)
    download_tree = _awaited(Transfer.download_tree)
    copy_object = _awaited(Transfer.copy_object)
    copy_many = _awaited(Transfer.copy_many)
    copy_tree = _awaited(Transfer.copy_tree)
    sync = _awaited(Transfer.sync)

    async def _call(self, work: Callable[[], T]) -> T:
        call = _Call(asyncio.get_running_loop())

        def run() -> T:
            _current.set(call)
            try:
                return work()
            finally:
                self._leave(call)

        self._calls.add(call)
        try:
            call.job = self._workers.start(run, Lane.TRANSFERS)
            if call.is_cancelled:
                # Another thread did it before there was a job.
                call.cancel()
            return await self._workers.finish(call.job)
        finally:
            # Work that was dropped before a worker has begun it does not do this itself.
            self._leave(call)

    def _leave(self, call: _Call) -> None:
        self._calls.discard(call)
        with contextlib.suppress(InvalidStateError):
            call.end.set_result(None)

    def cancel(self) -> None:
        """End the calls under way, which raise :class:`~oio.transfer.TransferCancelled`.

        Any thread may do this, a callback or a signal handler too.
        """
        self._mark()
        self._transfer.cancel()

    def _mark(self) -> None:
        """Mark the calls, before they are ended: one that begins meanwhile sees its mark, or is seen."""
        for call in list(self._calls):
            call.cancel()

    async def aclose(self) -> None:
        """End the calls under way, wait for their ends, and refuse others."""
        self._mark()
        self._transfer.close()
        # After a fork, calls of the parent have no threads here that would end them.
        pid = os.getpid()
        ends = [asyncio.wrap_future(call.end) for call in list(self._calls) if call.pid == pid]
        if ends:
            await insist_until(lambda: all(end.done() for end in ends), lambda: asyncio.wait(ends))

    close = aclose

    async def __aenter__(self) -> AsyncTransfer:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()
