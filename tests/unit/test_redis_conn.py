# SPDX-License-Identifier: Apache-2.0
"""Connections to Redis, against a service on a real socket."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from oio.common import exceptions as exc
from oio.common.redis_conn import RedisConnection, catch_service_errors
from tests.kit.redis_service import redis_service
from tests.kit.scripted import serving

#: Connections of newer clients begin in a newer dialect, and say more about themselves.
OPTIONS = {"protocol": "2", "socket_timeout": "10"}


@pytest.fixture
def running():
    with redis_service() as (service, server), contextlib.closing(connection(server)) as conn:
        yield service, conn


def connection(server, **options):
    return RedisConnection(host=server.address, **OPTIONS, **options)


HIDDEN = """
import sys
sys.modules["redis"] = None
from oio.common.exceptions import ConfigurationException
from oio.common.redis_conn import RedisConnection, catch_service_errors

assert catch_service_errors(lambda: 3)() == 3
try:
    catch_service_errors(lambda: 1 // 0)()
except ZeroDivisionError:
    pass
for ask in (lambda conn: conn.conn, lambda conn: conn.conn_slave):
    try:
        ask(RedisConnection(host="127.0.0.1:1"))
    except ConfigurationException as err:
        print(err)
"""


@pytest.mark.pitfall("E5b")
def test_module_needs_no_redis_until_something_is_asked():
    found = subprocess.run([sys.executable, "-c", HIDDEN], check=True, capture_output=True, text=True)
    told = "the package redis is not installed: pip install 'openio-sdk[redis]'"
    assert found.stdout.splitlines() == [told, told]


def test_importing_the_module_does_not_load_redis():
    program = "import sys, oio.common.redis_conn; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.pitfall("E5b")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "host, or sentinel_hosts and sentinel_name, must be given"),
        ({"sentinel_name": "main"}, "host, or sentinel_hosts and sentinel_name, must be given"),
        ({"sentinel_hosts": "127.0.0.1:1"}, "sentinel_name must be given with sentinel_hosts: None"),
        ({"host": "localhost"}, "host must be made of ip:port: 'localhost'"),
        ({"host": ":6379"}, "host must be made of ip:port"),
        ({"sentinel_hosts": ["a:1", "b"], "sentinel_name": "main"}, "sentinel_hosts .* ip:port: 'b'"),
    ],
)
def test_service_that_is_not_named_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        RedisConnection(**given)


@pytest.mark.parametrize("hosts", ["10.0.0.1:1, [::1]:2 ,", ["10.0.0.1:1", "[::1]:2"]])
def test_sentinels_are_a_list_or_text(hosts):
    conn = RedisConnection(sentinel_hosts=hosts, sentinel_name="main")
    assert conn.sentinel_hosts == [("10.0.0.1", 1), ("::1", 2)]


@pytest.mark.pitfall("E5b")
def test_service_without_sentinels_is_read_from_as_it_is_written_to(running):
    service, conn = running
    assert conn.conn.set("k", "v")
    assert conn.conn_slave is conn.conn
    assert conn.get_slave_conn() is conn.get_slave_conn(force_master=True) is conn.conn
    assert conn.conn_slave.get("k") == service.values["k"] == b"v"


@pytest.mark.pitfall("E5b")
def test_options_are_cast_and_those_that_are_unknown_are_dropped():
    conn = RedisConnection(
        host="127.0.0.1:1", db="2", socket_timeout="1.5", retry_on_tiemout="x", colour="blue"
    )
    known = conn.conn.connection_pool.connection_kwargs
    assert (known["db"], known["socket_timeout"], known["host"], known["port"]) == (2, 1.5, "127.0.0.1", 1)
    assert "colour" not in known
    with pytest.raises(ValueError, match="db is no option that Redis understands: 'x'"):
        RedisConnection(host="127.0.0.1:1", db="x").conn  # noqa: B018


@pytest.mark.pitfall("E5b")
def test_sentinels_tell_where_the_service_is(running):
    service, lone = running
    service.master = lone.host
    conn = RedisConnection(
        sentinel_hosts=f"127.0.0.1:{lone.host[1]}",
        sentinel_name="main",
        sentinel_socket_timeout="10",
        sentinel_protocol="2",
        db="3",
        **OPTIONS,
    )
    with contextlib.closing(conn):
        assert conn.conn.set("k", "v")
        assert conn.conn_slave.get("k") == b"v"
        assert conn.get_slave_conn(force_master=True) is conn.conn
        assert conn.get_slave_conn() is not conn.conn
    assert ["SELECT", "3"] in service.commands
    assert ["SENTINEL", "MASTERS"] in [command[:2] for command in service.commands]


def test_script_runs_in_the_service(running):
    _, conn = running
    script = conn.register_script("return ARGV")
    assert script(keys=["k"], args=["a", "b"]) == [b"a", b"b"]


@pytest.mark.pitfall("E5b")
def test_lock_is_held_by_one_until_it_is_released(running):
    service, conn = running
    identifier = conn.acquire_lock_with_timeout("db", lock_timeout=1e6)
    assert service.values == {"lock:db": identifier.encode()}
    assert conn.acquire_lock_with_timeout("db", acquire_timeout=0) is False
    assert conn.release_lock("db", "another") is False
    assert conn.release_lock("db", False) is False
    assert conn.release_lock("db", identifier) is True
    assert conn.release_lock("db", identifier) is False
    assert conn.acquire_lock_with_timeout("db", acquire_timeout=0) not in (False, identifier)


def test_lock_expires(running):
    service, conn = running
    first = conn.acquire_lock_with_timeout("db", lock_timeout=0.001)
    second = conn.acquire_lock_with_timeout("db", lock_timeout=1e6)
    assert second not in (first, False)
    assert conn.release_lock("db", first) is False
    assert service.values == {"lock:db": second.encode()}


def test_lock_that_another_takes_meanwhile_is_not_released(running):
    service, conn = running
    identifier = conn.acquire_lock_with_timeout("db", lock_timeout=1e6)

    def take() -> None:
        service.before_exec = lambda: None
        service.put("lock:db", b"another")

    service.before_exec = take
    assert conn.release_lock("db", identifier) is False
    assert service.values == {"lock:db": b"another"}


@pytest.mark.pitfall("E5b")
@pytest.mark.parametrize(
    "error",
    [redis.ConnectionError("gone"), redis.TimeoutError("late"), redis.exceptions.InvalidResponse("?")],
)
def test_failures_of_the_service_are_those_of_a_busy_one(error):
    @catch_service_errors
    def ask(*, wish: str) -> None:
        """Ask."""
        assert wish == "this"
        raise error

    with pytest.raises(exc.ServiceBusy, match=f"Redis: {type(error).__name__}: {error.args[0]}") as caught:
        ask(wish="this")
    assert caught.value.__cause__ is error
    assert (ask.__name__, ask.__doc__) == ("ask", "Ask.")


def test_other_failures_stay_what_they_are():
    @catch_service_errors
    def ask(error: Exception) -> None:
        raise error

    for error in (redis.ResponseError("wrong type"), KeyError("x"), exc.NotFound()):
        with pytest.raises(type(error)):
            ask(error)


@pytest.mark.pitfall("E5b")
def test_service_that_is_gone_is_busy():
    with serving(lambda _peer: None) as server:
        pass
    with contextlib.closing(connection(server)) as conn:
        conn.conn.set_retry(Retry(NoBackoff(), 0))
        with pytest.raises(exc.ServiceBusy, match="Redis: ConnectionError"):
            conn.acquire_lock_with_timeout("db")
        with pytest.raises(exc.ServiceBusy):
            conn.release_lock("db", "x")
