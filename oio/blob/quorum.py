# SPDX-License-Identifier: Apache-2.0
"""Quorum of a write: the error when too few chunks are stored."""

from __future__ import annotations

from collections.abc import Sequence

from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Failure
from oio.common.utils import group_chunk_errors


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
    reasons = reasons or "there are no other chunks"
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
