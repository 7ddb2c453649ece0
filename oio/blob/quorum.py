# SPDX-License-Identifier: Apache-2.0
"""Quorum of a write: grace for the servers that are late, and the error when too few chunks are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Failure
from oio.common.utils import group_chunk_errors

if TYPE_CHECKING:
    from oio.common.options import Options

GRACE_FACTOR = 3
"""Least grace of a server that is late, as a multiple of the time that the quorum took."""
CONNECTING_GRACE = 0.1
"""Least grace, in seconds, for servers that a write has not connected to yet when it has a quorum."""


def grace_of(options: Options, least: float = 0.0) -> float | None:
    """Seconds from now for servers that are late with what a quorum has done; None for no such limit.

    Never more than half of what is left of the call, which has to commit what is stored.

    :param least: seconds that they get if the grace of the call is shorter
    """
    grace, left = options.write_grace, options.limits.left()
    if grace is None:
        return None
    grace = max(grace, least)
    return grace if left is None else min(grace, max(0.0, left / 2))


def connecting_grace(options: Options, spent: float) -> float:
    """Seconds from now for servers that are not connected to yet, although a quorum is.

    The data are taken after that: a source that blocks the whole thread would keep them from connecting.
    Never more than half of what is left of the call, as for :func:`grace_of`.

    :param spent: seconds that the quorum took
    """
    grace, left = max(CONNECTING_GRACE, GRACE_FACTOR * spent), options.limits.left()
    return grace if left is None else min(grace, max(0.0, left / 2))


def check_quorum(
    quorum: int, stored: Sequence[str], failed: Sequence[tuple[str, Failure | None]], reqid: str | None
) -> None:
    """Compare the number of chunks that are, or may still be, stored with the quorum.

    :param stored: URLs of the chunks that are, or may still be, stored
    :param failed: URL of each other chunk, and its error
    :raises oio.common.exceptions.SourceReadError: the source of the data failed
    :raises oio.common.exceptions.SourceReadTimeout: the source of the data gave nothing in time
    :raises oio.common.exceptions.Conflict: a chunk exists already
    :raises oio.common.exceptions.MethodNotAllowed: a chunk server is configured to refuse this
    :raises oio.common.exceptions.OioTimeout: there is a timeout among the errors
    :raises oio.common.exceptions.ServiceBusy: for any other reason
    """
    if len(stored) >= quorum:
        return
    errors = [error for _, error in failed]
    reasons = ", ".join(f"{error}: {chunks}" for error, chunks in group_chunk_errors(failed).items())
    text = f"RAWX write failure, quorum not reached ({len(stored)}/{quorum}): {reasons}"
    if stored:
        text += f", success: {list(stored)}"
    if any(isinstance(error, exc.SourceReadError) for error in errors):
        raise exc.SourceReadError(text, reqid=reqid)
    if any(isinstance(error, (green.SourceReadTimeout, exc.SourceReadTimeout)) for error in errors):
        raise exc.SourceReadTimeout(text, reqid=reqid)
    # A conflict explains more than the timeouts of others (pitfall 26).
    if any(str(error).endswith("HTTP 409") for error in errors):
        raise exc.Conflict(message=text, reqid=reqid)
    if any(str(error).endswith("HTTP 405") for error in errors):
        raise exc.MethodNotAllowed(message=text, reqid=reqid)
    # Some writers note errors as text.
    if any(isinstance(e, (green.OioTimeout, exc.OioTimeout)) or " timeout " in f"{e} " for e in errors):
        raise exc.OioTimeout(text, reqid=reqid)
    raise exc.ServiceBusy(message=text, reqid=reqid)
