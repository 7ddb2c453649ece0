# SPDX-License-Identifier: Apache-2.0
"""Errors in one line for the user, with a hint."""

from __future__ import annotations

import re

from oio.common import exceptions as exc

_REASON = re.compile(r"\(([^()]+)\) (\(HTTP \d+\))")
"""Message of a service in parentheses, and its status."""
_HINTS: tuple[tuple[type[BaseException], str], ...] = (
    (exc.NoSuchAccount, "see 'openio account list', check --account and OIO_ACCOUNT"),
    (exc.NoSuchContainer, "see 'openio container list', check --account and OIO_ACCOUNT"),
    (exc.NoSuchObject, "see 'openio object list'"),
    (exc.ContainerNotEmpty, "'openio container flush' deletes its objects"),
    (exc.ConfigurationException, "give --oio-proxy or OIO_PROXYD_URL, see 'openio config'"),
    (exc.DeadlineReached, "grant more time with --deadline"),
    (exc.OioNetworkException, "check --oio-proxy and OIO_PROXYD_URL, see 'openio config'"),
    (exc.CorruptedChunk, "what was stored is damaged; 'object locate --chunk-info' shows the chunks"),
)


def explain(err: BaseException) -> str:
    r"""Text of an error: one line.

    >>> explain(ValueError("no such\nthing"))
    'no such thing'
    """
    if isinstance(err, OSError) and err.strerror:
        text = f"{err.filename}: {err.strerror}" if err.filename else err.strerror
    else:
        text = str(err) or type(err).__name__
    if isinstance(err, exc.ContainerNotEmpty) and isinstance(err.__cause__, exc.Conflict):
        text = str(err.__cause__)
    # Scripts look for the message of a service and its status. When other words come before the message,
    # exceptions put it in parentheses.
    text = _REASON.sub(r"\1 \2", " ".join(text.split()))
    for kind, hint in _HINTS:
        if isinstance(err, kind):
            return f"{text}; hint: {hint}"
    return text
