# SPDX-License-Identifier: Apache-2.0
"""Session of a transfer: the state that its jobs share, and their retries."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from oio.common import exceptions as exc
from oio.common import green
from oio.transfer._results import (
    DataMismatch,
    FileChanged,
    ObjectChanged,
    Result,
    TransferCancelled,
)

if TYPE_CHECKING:
    from oio import ObjectStorageApi
    from oio.transfer._config import TransferConfig
    from oio.transfer._rate_limit import RateLimiter
    from oio.transfer._worker_pool import WorkerPool

_T = TypeVar("_T")

_TRANSIENT = (
    exc.Conflict,
    exc.CorruptedChunk,
    exc.OioNetworkException,
    exc.ServiceBusy,
    exc.ServiceUnavailable,
    DataMismatch,
    FileChanged,
    ObjectChanged,
)
_TOO_MANY, _SERVER_ERROR = 429, 500
_LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class Session:
    """State that the jobs of one call share.

    :param sleep: waits a number of seconds between two attempts
    :param deadline: of each call of the client (monotonic seconds); None for none
    :param directories: held while a directory is made and gets its first file, or is removed for being empty
    :param dry_run: change nothing
    """

    api: ObjectStorageApi
    config: TransferConfig
    pool: WorkerPool
    rate_limiter: RateLimiter
    sleep: Callable[[float], object]
    deadline: float | None
    dry_run: bool = False
    directories: threading.Lock = field(default_factory=threading.Lock)

    def attempt(
        self,
        action: Callable[[], _T],
        *,
        final: type[BaseException] | tuple[()] = (),
        spent: Sequence[BaseException] = (),
    ) -> _T:
        """Repeat an action until it succeeds, its failure is final, or no attempt is left.

        :param final: class of failures that are not worth another attempt here
        :param spent: failures that have used up their attempts further down
        """
        failed = 0
        while True:
            self.pool.check()
            try:
                return action()
            except exc.OioException as err:
                failed += 1
                # In a cancelled transfer, that is the reason, whatever the failure says.
                self.pool.check(err)
                if failed > self.config.retries or isinstance(err, final) or not is_transient(err):
                    raise
                if any(err is known for known in spent):
                    raise
                asked = getattr(err, "retry_after", None) or 0.0
            delay = min(self.config.retry_delay * 2 ** min(failed - 1, 16), _LONGEST_PAUSE)
            # Jittered: jobs that failed together do not come back together.
            self.sleep(asked + delay * (0.5 + random.random() / 2))

    def guarded(self, result: Result, action: Callable[[Result], Result]) -> Result:
        """Do a job; its own failures become its result."""
        try:
            return action(result)
        except green.Interrupted:
            return replace(result, outcome="failed", error=TransferCancelled("the transfer was cancelled"))
        except (exc.OioException, OSError) as err:
            return replace(result, outcome="failed", error=err)


def is_transient(error: BaseException) -> bool:
    """Whether another attempt may succeed.

    >>> is_transient(exc.ServiceBusy()), is_transient(exc.NoSuchObject())
    (True, False)
    """
    if isinstance(error, _TRANSIENT):
        return True
    status = getattr(error, "http_status", None)
    return isinstance(status, int) and (status >= _SERVER_ERROR or status == _TOO_MANY)


class ByteCount:
    """Count of the bytes that an attempt moves, taken back if it fails."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._count = 0

    def add(self, count: int) -> None:
        """Wait until the bytes may be moved, and count them."""
        self._session.rate_limiter.acquire(count)
        self._session.pool.check()
        self._session.pool.count(count)
        self._count += count

    def __enter__(self) -> ByteCount:
        return self

    def __exit__(self, kind: object, *_exc: object) -> None:
        if kind is not None:
            self._session.pool.count(-self._count)
