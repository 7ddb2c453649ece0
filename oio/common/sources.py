# SPDX-License-Identifier: Apache-2.0
"""Time limits and exceptions of the reads of a caller's source."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from oio.common import exceptions as exc
from oio.common import green


def block_of(data: object) -> bytes:
    """Make bytes of what a source gave: nothing stands for its end, text is encoded as UTF-8.

    :raises TypeError: it is something else; a number would be as many zeros
    """
    if type(data) is bytes:
        return data
    if data is None:
        return b""
    return data.encode("utf-8") if isinstance(data, str) else bytes(memoryview(data))  # type: ignore[arg-type]


@contextlib.contextmanager
def reading_source(seconds: float | None) -> Iterator[None]:
    """Bound a read of the caller's source, and turn what it raises into exceptions of the library.

    :param seconds: the limit; None for no limit
    :raises SourceReadTimeout: the source gives nothing in time
    :raises SourceReadError: from whatever exception the source raised
    :raises DeadlineReached: from the source itself. A source that wraps another one, read like this, may
        raise all three
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
