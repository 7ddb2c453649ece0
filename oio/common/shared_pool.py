# SPDX-License-Identifier: Apache-2.0
"""A pool of HTTP connections that is made with the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from oio.common import green, http_stack

if TYPE_CHECKING:
    import urllib3


class SharedPool:
    """Stands for a pool with the usual options, until one of the clients that share it needs it."""

    def __init__(self) -> None:
        self._lock = green.Lock()
        self._made: urllib3.PoolManager | None = None

    def get(self) -> urllib3.PoolManager:
        """Make the pool, once."""
        # Nothing may be imported, nor waited for, while the lock is held.
        make = http_stack.get_pool_manager
        with self._lock:
            if self._made is None:
                self._made = make()
            return self._made

    def clear(self) -> None:
        """Close the idle connections, if there are any."""
        if self._made is not None:
            self._made.clear()

    def __reduce__(self) -> NoReturn:
        http_stack.refuse_to_pickle("a pool of connections")
