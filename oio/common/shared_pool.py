# SPDX-License-Identifier: Apache-2.0
"""A pool of HTTP connections that is made with the first request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from oio.common import http_stack

if TYPE_CHECKING:
    import urllib3

_T = TypeVar("_T")


class LocklessProperty(Generic[_T]):
    """An attribute that is made when it is looked at, and may be replaced.

    Before Python 3.12, ``functools.cached_property`` has a lock for all objects of a class. What is made here
    may be the first to import what requests need: a fork would wait for that, and copy it. Eventlet also
    makes such locks green, and OS threads that all make their first calls would wait for them in vain.
    """

    def __init__(self, make: Callable[[Any], _T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, owner: Any, _kind: type | None = None) -> _T:
        if owner is None:
            return self  # type: ignore[return-value]
        made: _T = vars(owner).setdefault(self._name, self._make(owner))
        return made

    if TYPE_CHECKING:

        def __set__(self, owner: Any, value: _T) -> None: ...


class SharedPool:
    """Stands for a pool with the usual options, until one of the clients that share it needs it."""

    _made: urllib3.PoolManager | None = None

    def get(self) -> urllib3.PoolManager:
        """Make the pool, once."""
        if self._made is None:
            # Two threads may make one each: the second one is dropped, with no connection.
            vars(self).setdefault("_made", http_stack.get_pool_manager())
        assert self._made is not None
        return self._made

    def clear(self) -> None:
        """Close the idle connections, if there are any."""
        if self._made is not None:
            self._made.clear()

    def __reduce__(self) -> NoReturn:
        http_stack.refuse_to_pickle("a pool of connections")
