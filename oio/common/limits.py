# SPDX-License-Identifier: Apache-2.0
"""The time limits of the requests to chunk servers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from oio.common import exceptions as exc
from oio.common import green
from oio.common.utils import deadline_to_timeout

CONNECTION_TIMEOUT = 10.0
CHUNK_TIMEOUT = 60.0
CLIENT_TIMEOUT = 60.0

#: What may go wrong with one chunk server, and must concern this one alone. Network and protocol errors are
#: known, but the fake connections of applications raise anything.
CHUNK_FAILURES = (Exception, green.OioTimeout)
#: The same in a green thread of ours, where no timeout of the host's can strike.
OWN_THREAD_FAILURES = (Exception, green.Timeout)


def timeout(explicit: float | None, deadline: float | None, default: float, doing: str = "") -> float:
    """Seconds that an operation may take: what was asked for, or a default, but never beyond the deadline.

    :param explicit: seconds
    :param deadline: monotonic seconds
    :param doing: what is about to be done and with whom, for the exception
    :raises DeadlineReached: when no time is left
    """
    if deadline is None:
        return default if explicit is None else explicit
    left = deadline_to_timeout(deadline)
    if left <= 0:
        raise exc.DeadlineReached(*([f"Deadline reached before {doing}"] if doing else []))
    return left if explicit is None else min(explicit, left)


def blame_deadline(err: exc.OioException, deadline: float | None, reqid: str | None = None) -> None:
    """Say that a failure comes of the deadline, when it has passed.

    :param deadline: monotonic seconds
    :raises DeadlineReached: it has
    """
    if deadline is not None and deadline_to_timeout(deadline) <= 0:
        raise exc.DeadlineReached(f"Deadline reached: {err}", reqid=reqid, service=err.service) from err


@contextlib.contextmanager
def reading_source(seconds: float | None) -> Iterator[None]:
    """Bound a read of the caller's source, and turn what it raises into exceptions of the library.

    :raises SourceReadTimeout: when the source gives nothing in time
    :raises SourceReadError: from whatever exception the source raised
    :raises DeadlineReached: by the source, for which it is too late. A source that is another's, read like
        this, raises the three itself
    """
    try:
        with green.SourceReadTimeout(seconds):
            yield
    except green.SourceReadTimeout as err:
        raise exc.SourceReadTimeout(str(err)) from err
    except green.Timeout as err:
        if not isinstance(err, green.OioTimeout) and err.timer is not None and not err.pending:
            # A time limit of the host's around the whole call, which has struck.
            raise
        raise exc.OioTimeout(str(err)) from err
    except (exc.DeadlineReached, exc.SourceReadError, exc.SourceReadTimeout):
        raise
    except Exception as err:
        raise exc.SourceReadError(f"{type(err).__name__}: {err}") from err
