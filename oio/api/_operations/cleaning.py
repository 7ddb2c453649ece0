# SPDX-License-Identifier: Apache-2.0
"""What follows the failure of a call: is it certain, and what of it is to be removed?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from oio.api._facade.call import ApiBase
from oio.common import exceptions as exc
from oio.common.deadlines import cleaning_options
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


def delete_chunks(
    api: ApiBase, chunks: Iterable[dict[str, Any]], cid: str, options: Mapping[str, Any]
) -> None:
    """Delete chunks, best effort: what fails must not hide why (pitfalls row 31).

    :param cid: ID of their container
    :param options: those of the call
    """
    doomed = list(chunks)
    if not doomed:
        return
    try:
        results = api.blob_client.chunk_delete_many(doomed, cid=cid, **cleaning_options(options))
    except exc.OioException as err:
        api.logger.warning("Failed to delete %d chunks: %s", len(doomed), err)
        return
    for result in results:
        status = getattr(result, "status", None)
        if status not in (204, 404):
            api.logger.warning("Failed to delete chunk %s: %s", result.chunk["url"], status or result)
