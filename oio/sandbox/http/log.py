# SPDX-License-Identifier: Apache-2.0
"""Log of the requests that the services of a namespace receive."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from oio.sandbox.messages import Headers

#: Records kept: a namespace in the foreground must not grow for ever.
_LOG_SIZE: Final = 20_000


@dataclass
class RequestRecord:
    """One request that a service received; ``status`` is None until it is answered."""

    service: str
    address: str
    connection: int
    method: str
    target: str
    headers: Headers
    status: int | None = None


@dataclass
class RequestLog:
    """The requests received by all services of a namespace, in order of arrival."""

    _records: deque[RequestRecord] = field(default_factory=lambda: deque(maxlen=_LOG_SIZE))
    _connections: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, record: RequestRecord) -> None:
        """Append ``record``."""
        self._records.append(record)

    def records(self) -> list[RequestRecord]:
        """Return a copy of the log."""
        return list(self._records)

    def clear(self) -> None:
        """Forget all records."""
        self._records.clear()

    def number_connection(self) -> int:
        """Return a number for a new connection, unique in the log."""
        return next(self._connections)
