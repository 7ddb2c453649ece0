# SPDX-License-Identifier: Apache-2.0
"""Certainty of failures: changes that failed, and certainly left nothing."""

from __future__ import annotations

from oio.common import exceptions as exc
from oio.common.http_urllib3 import nothing_was_sent

_DEFINITIVE_STATUSES = (425, 436, 445, 480, 481)
"""Statuses, in the body of a 5xx, that say that nothing was committed."""


def is_definitive(err: exc.OioException) -> bool:
    """Tell whether a failed change, sent once, is certain to leave nothing: refused, or never sent."""
    if isinstance(err, exc.DeadlineReached) or nothing_was_sent(err):
        return True
    if not isinstance(err, exc.StatusMessageException):
        return False
    return err.status in _DEFINITIVE_STATUSES or 400 <= int(err.http_status) < 500
