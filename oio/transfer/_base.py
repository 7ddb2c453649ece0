# SPDX-License-Identifier: Apache-2.0
"""Base of transfers: their settings, their end, and the pool of workers of each call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from oio.common.arguments import WrongValue
from oio.common.limits import check_seconds
from oio.transfer import _plans as plans
from oio.transfer._checks import check_settings
from oio.transfer._config import TransferConfig
from oio.transfer._rate_limit import RateLimiter
from oio.transfer._results import Progress, Report, Result, TransferCancelled, TransferDeadlineReached
from oio.transfer._session import Session
from oio.transfer._worker_pool import Job, WorkerPool

if TYPE_CHECKING:
    from oio import ObjectStorageApi

_Self = TypeVar("_Self", bound="TransferBase")


class TransferBase:
    """Calls that workers carry out, until they are done or cancelled; see :class:`oio.transfer.Transfer`."""

    def __init__(
        self,
        api: ObjectStorageApi,
        config: TransferConfig | None = None,
        *,
        on_progress: Callable[[Progress], object] | None = None,
        on_result: Callable[[Result], object] | None = None,
        progress_interval: float = 0.2,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        check_settings(config, progress_interval, on_progress, on_result)
        self._api = api
        self._config = config or TransferConfig()
        self._on_progress = on_progress
        self._on_result = on_result
        self._interval = progress_interval
        self._clock = clock
        self._sleep = sleep
        self._pools: set[WorkerPool] = set()
        self._lock = threading.Lock()
        self._closed = False

    def cancel(self) -> None:
        """End the calls under way. Any thread may do this, a callback or a signal handler too.

        Waits end within a tenth of a second. Only ``.oio-*`` files stay, with which the next call goes on.
        """
        for pool in list(self._pools):
            pool.cancel()

    def close(self) -> None:
        """End the calls under way, and refuse others."""
        self._closed = True
        self.cancel()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _begin(self) -> None:
        """Called in the thread of each call, as soon as :meth:`cancel` reaches the call.

        :raises ValueError: the transfer was closed
        """
        if self._closed:
            raise WrongValue("the transfer was closed")

    def _look(self) -> None:
        """Called ten times a second, in the thread of each call, which ends with what this raises."""

    def _one(self, job: Callable[[Session], Job], deadline: float | None) -> Result:
        def jobs(session: Session) -> Iterator[Job]:
            yield job(session)

        try:
            report = self._many(jobs, replace(self._config, results_kept=1), deadline=deadline)
        except TransferDeadlineReached as err:
            report = err.report or Report(0)
            if not list(report):
                # It was not begun.
                raise
        (result,) = report
        result.raise_failure()
        return result

    def _many(
        self,
        plan: Callable[[Session], plans.Plan],
        config: TransferConfig | None = None,
        *,
        dry_run: bool = False,
        deadline: float | None = None,
    ) -> Report:
        config = config or self._config
        deadline = check_seconds("deadline", deadline)
        pool, report = WorkerPool(config.workers, deadline), Report(config.results_kept)
        sleep = self._sleep or pool.pause
        rate_limiter = RateLimiter(config.bandwidth, self._clock, sleep)
        session = Session(self._api, config, pool, rate_limiter, sleep, deadline, dry_run=dry_run)
        shown_at: float | None = None

        def handle(result: Result) -> None:
            report.add(result)
            if self._on_result is not None:
                self._on_result(result)

        def report_progress(progress: Progress, over: bool) -> None:
            nonlocal shown_at
            self._look()
            if self._on_progress is None:
                return
            now = self._clock()
            if over or shown_at is None or now - shown_at >= self._interval:
                shown_at = now
                self._on_progress(progress)

        with self._lock:
            self._pools.add(pool)
        try:
            # After the pool was added, so that a thread that closes the transfer meanwhile sees it.
            self._begin()
            pool.run(plan(session), handle, report_progress)
        except (TransferCancelled, TransferDeadlineReached) as err:
            err.report = report
            raise
        finally:
            with self._lock:
                self._pools.discard(pool)
        return report
