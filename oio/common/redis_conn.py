# SPDX-License-Identifier: Apache-2.0
"""Connection to a Redis service, alone or behind sentinels, and locks in it.

The package ``redis`` (extra ``redis``) is loaded when something is first asked of the service.
"""

from __future__ import annotations

import functools
import inspect
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, ParamSpec, TypeVar

from oio.common.exceptions import ConfigurationException, ServiceBusy

_P = ParamSpec("_P")
_R = TypeVar("_R")

_SENTINEL_PREFIX = "sentinel_"
_LOCK_PREFIX = "lock:"
_PAUSE = 0.01
"""Seconds between two attempts to take a lock."""


def _service_errors() -> tuple[type[Exception], ...]:
    """Errors of Redis that say nothing of the request; none can come when the package is not loaded."""
    loaded = sys.modules.get("redis.exceptions")
    if loaded is None:
        return ()
    return loaded.ConnectionError, loaded.TimeoutError, loaded.InvalidResponse


def catch_service_errors(func: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a function raise ServiceBusy when Redis is out of reach, is late, or answers nonsense."""

    @functools.wraps(func)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return func(*args, **kwargs)
        except _service_errors() as err:
            raise ServiceBusy(message=f"Redis: {type(err).__name__}: {err}") from err

    return wrapper


class RedisConnection:
    """Connection to a Redis service.

    :param host: ``ip:port`` of a service without sentinels
    :param sentinel_hosts: ``ip:port`` of each sentinel: a list, or text separated by commas; these are asked
        for the service, whatever the host
    :param sentinel_name: name under which the sentinels know the service
    :param options: of the connections, as text or in their own types (``db``, ``socket_timeout``...); those
        with the prefix ``sentinel_`` are of the connections to the sentinels. Those that a URL of Redis
        could not have are ignored
    :raises ValueError: there is neither a host nor a name; or an address is none

    >>> RedisConnection(host="127.0.0.1:6379", db="2").host
    ('127.0.0.1', 6379)
    """

    def __init__(
        self,
        host: str | None = None,
        sentinel_hosts: str | Iterable[str] | None = None,
        sentinel_name: str | None = None,
        **options: object,
    ) -> None:
        if isinstance(sentinel_hosts, str):
            sentinel_hosts = filter(None, map(str.strip, sentinel_hosts.split(",")))
        self.sentinel_hosts = [_address("sentinel_hosts", item) for item in sentinel_hosts or ()]
        self.sentinel_name = sentinel_name
        self.host = _address("host", host) if host else None
        if self.sentinel_hosts and not sentinel_name:
            raise ValueError(f"sentinel_name must be given with sentinel_hosts: {sentinel_name!r}")
        if not self.sentinel_hosts and self.host is None:
            raise ValueError(
                "host, or sentinel_hosts and sentinel_name, must be given: "
                f"host={host!r}, sentinel_name={sentinel_name!r}"
            )
        self._options = {k: v for k, v in options.items() if not k.startswith(_SENTINEL_PREFIX)}
        self._sentinel_options = {
            name.removeprefix(_SENTINEL_PREFIX): value
            for name, value in options.items()
            if name.startswith(_SENTINEL_PREFIX)
        }

    # Two threads may make one each, of these: either works, and nothing is lost.

    @cached_property
    def _sentinel(self) -> Any:
        """Client of the sentinels; None without any."""
        if not self.sentinel_hosts:
            return None
        from redis.sentinel import Sentinel

        return Sentinel(
            self.sentinel_hosts,
            sentinel_kwargs=_known_options(self._sentinel_options),
            **_known_options(self._options),
        )

    @cached_property
    def conn(self) -> Any:
        """Client of the service (of its master).

        :raises ConfigurationException: the package ``redis`` is not installed
        """
        redis = _load_redis()
        if self._sentinel is not None:
            return self._sentinel.master_for(self.sentinel_name)
        assert self.host is not None
        host, port = self.host
        return redis.Redis(host=host, port=port, **_known_options(self._options))

    @cached_property
    def conn_slave(self) -> Any:
        """Client of a replica, to read from; without sentinels it is that of the service.

        :raises ConfigurationException: the package ``redis`` is not installed
        """
        _load_redis()
        if self._sentinel is not None:
            return self._sentinel.slave_for(self.sentinel_name)
        return self.conn

    def get_slave_conn(self, force_master: bool = False) -> Any:
        """Client to read from: of a replica, or of the master when `force_master` is set."""
        return self.conn if force_master else self.conn_slave

    def register_script(self, text: str) -> Any:
        """Make a callable of a Lua script, which runs in the service."""
        return self.conn.register_script(text)

    @catch_service_errors
    def acquire_lock_with_timeout(
        self, name: str, acquire_timeout: float = 10, lock_timeout: float = 10
    ) -> str | bool:
        """Take a lock that others may hold.

        :param acquire_timeout: how long to wait for it (seconds)
        :param lock_timeout: after which it is free again, whatever becomes of its holder (seconds)
        :returns: identifier for :meth:`release_lock`; False when another still holds it
        :raises ServiceBusy: Redis does not answer
        """
        identifier = uuid.uuid4().hex
        lifetime = max(1, int(lock_timeout * 1000))
        end = time.monotonic() + acquire_timeout
        while not self.conn.set(_LOCK_PREFIX + name, identifier, nx=True, px=lifetime):
            if time.monotonic() >= end:
                return False
            time.sleep(_PAUSE)
        return identifier

    @catch_service_errors
    def release_lock(self, name: str, identifier: str | bool) -> bool:
        """Give a lock back, unless it has expired.

        :param identifier: what taking it has returned
        :returns: whether it was still held with this identifier
        :raises ServiceBusy: Redis does not answer
        """
        key, held = _LOCK_PREFIX + name, identifier.encode() if isinstance(identifier, str) else None

        def release(pipe: Any) -> bool:
            value = pipe.get(key)
            is_ours = held is not None and (value.encode() if isinstance(value, str) else value) == held
            pipe.multi()
            if is_ours:
                pipe.delete(key)
            return is_ours

        # The transaction is begun again when somebody else changes the lock in between.
        return bool(self.conn.transaction(release, key, value_from_callable=True))

    def close(self) -> None:
        """Close the connections; later requests open new ones."""
        made = [vars(self).get(name) for name in ("conn", "conn_slave")]
        sentinel = vars(self).get("_sentinel")
        for client in [*made, *(sentinel.sentinels if sentinel is not None else ())]:
            if client is not None:
                client.connection_pool.disconnect()


def _load_redis() -> Any:
    try:
        import redis
    except ImportError as err:
        raise ConfigurationException(
            "the package redis is not installed: pip install 'openio-sdk[redis]'"
        ) from err
    return redis


def _address(argument: str, text: str) -> tuple[str, int]:
    host, _, port = str(text).strip().rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{argument} must be made of ip:port: {text!r}")
    return host.strip("[]"), int(port)


def _known_options(given: Mapping[str, object]) -> dict[str, Any]:
    """Options that a URL of Redis could have, in their types."""
    redis = _load_redis()
    types: Mapping[str, Callable[[object], object]] = redis.connection.URL_QUERY_ARGUMENT_PARSERS
    taken = inspect.signature(redis.Redis).parameters
    known = {}
    for name in given.keys() & types.keys() & taken.keys():
        try:
            known[name] = types[name](given[name])
        except (TypeError, ValueError) as err:
            raise ValueError(f"{name} is no option that Redis understands: {given[name]!r}") from err
    return known
