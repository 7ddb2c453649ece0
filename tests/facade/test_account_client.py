# SPDX-License-Identifier: Apache-2.0
"""The client of the account service: where the service is, and its buckets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from oio.account import client as module
from oio.account.client import AccountClient
from oio.common import exceptions as exc
from oio.common.http_urllib3 import urllib3
from oio.sandbox import Fault, Namespace
from tests.kit.recording import RecordingPool, answer

CONF = {"namespace": "OPENIO"}
BROKEN = urllib3.exceptions.ProtocolError("Connection broken")
BUSY = answer(503, {"status": 503, "message": "busy"})


def service_at(address: str) -> Any:
    """What the proxy answers when it is asked for an account service."""
    return answer(body=[{"addr": address, "id": f"OPENIO|account|{address}"}])


def client_of(*answers: Any, **options: Any) -> tuple[AccountClient, RecordingPool]:
    pool = RecordingPool(*answers)
    return AccountClient(CONF, proxy_endpoint="p:1", pool_manager=pool, **options), pool


def asked(pool: RecordingPool) -> list[str]:
    """Who was asked, and for what."""
    return [f"{one.url.split('/')[2]} {one.path.rpartition('/')[2]}" for one in pool.asked]


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module, "monotonic_time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that addresses are kept by."""
    return Clock(monkeypatch)


# --- where the service is ----------------------------------------------------------------------------


@pytest.mark.pitfall(105)
def test_address_is_kept_for_its_time(clock: Clock) -> None:
    client, pool = client_of(
        service_at("a:1"), answer(body=[]), answer(body=[]), service_at("a:2"), answer(body=[])
    )
    client.account_list()
    clock.now += 3599
    client.account_list()
    clock.now += 2
    client.account_list()
    assert asked(pool) == ["p:1 choose", "a:1 list", "a:1 list", "p:1 choose", "a:2 list"]


@pytest.mark.pitfall(105)
def test_delay_may_be_text(clock: Clock) -> None:
    client, pool = client_of(
        service_at("a:1"), answer(body=[]), service_at("a:1"), answer(body=[]), refresh_delay="10"
    )
    client.account_list()
    clock.now += 11
    client.account_list()
    assert asked(pool) == ["p:1 choose", "a:1 list"] * 2


@pytest.mark.pitfall(105)
def test_dead_address_is_replaced_at_once_and_not_after_its_time() -> None:
    client, pool = client_of(service_at("a:1"), BROKEN, service_at("a:2"), answer(body=["x"]), answer(204))
    assert client.account_list() == ["x"]
    client.account_flush("x")
    assert asked(pool) == ["p:1 choose", "a:1 list", "p:1 choose", "a:2 list", "a:2 flush"]


@pytest.mark.pitfall(105)
def test_change_is_not_sent_again_but_the_next_one_goes_elsewhere() -> None:
    client, pool = client_of(service_at("a:1"), BROKEN, service_at("a:2"), answer(204))
    with pytest.raises(exc.OioNetworkException):
        client.account_flush("x")
    client.account_flush("x")
    assert asked(pool) == ["p:1 choose", "a:1 flush", "p:1 choose", "a:2 flush"]


@pytest.mark.pitfall(77, 105)
@pytest.mark.parametrize(
    "trouble", [BUSY, BROKEN, answer(404, {"status": 453}), answer(body=[]), answer(body={})]
)
def test_failure_to_find_another_service_does_not_hide_the_first_one(trouble: Any) -> None:
    client, _ = client_of(service_at("a:1"), BROKEN, trouble)
    with pytest.raises(exc.OioNetworkException) as info:
        client.account_list()
    assert info.value.service == "a:1"


@pytest.mark.pitfall(105)
def test_reads_are_sent_twice_at_most() -> None:
    client, pool = client_of(service_at("a:1"), BROKEN, service_at("a:2"), BROKEN)
    with pytest.raises(exc.OioNetworkException) as info:
        client.account_list()
    assert info.value.service == "a:2"
    assert len(pool.asked) == 4


@pytest.mark.pitfall(105)
def test_old_address_serves_while_the_proxy_is_down(clock: Clock) -> None:
    client, pool = client_of(service_at("a:1"), answer(body=[]), BROKEN, answer(body=["x"]))
    client.account_list()
    clock.now += 3601
    assert client.account_list() == ["x"]
    assert asked(pool) == ["p:1 choose", "a:1 list", "p:1 choose", "a:1 list"]


@pytest.mark.pitfall(72, 106)
@pytest.mark.parametrize(
    ("constructor", "call"),
    [
        ({"read_timeout": 600, "connection_timeout": 500}, {}),
        ({"read_timeout": 1, "connection_timeout": 1}, {"read_timeout": 600, "connection_timeout": 500}),
    ],
)
def test_service_is_looked_up_within_the_time_that_the_caller_grants(
    constructor: dict[str, Any], call: dict[str, Any]
) -> None:
    client, pool = client_of(service_at("a:1"), answer(body=[]), **constructor)
    client.account_list(**call)
    assert asked(pool) == ["p:1 choose", "a:1 list"]
    for one in pool.asked:
        assert (one.timeout.connect_timeout, one.timeout.read_timeout) == (500, 600)
        assert one.headers["x-oio-timeout"] == "594000000"


@pytest.mark.pitfall(74, 106)
def test_service_is_not_looked_up_after_the_deadline() -> None:
    client, pool = client_of()
    with pytest.raises(exc.DeadlineReached):
        client.account_list(deadline=0.0)
    assert pool.asked == []


@pytest.mark.pitfall(109)
@pytest.mark.parametrize("wish", [True, "yes"])
def test_master_is_asked_for_as_the_service_understands(wish: Any) -> None:
    for constructor, call in (({"force_master": wish}, {}), ({}, {"force_master": wish})):
        client, pool = client_of(service_at("a:1"), answer(body={}), **constructor)
        client.account_show("x", **call)
        assert pool.asked[1].query == {"id": "x", "force_master": "1"}
    client, pool = client_of(service_at("a:1"), answer(body={}), force_master=wish)
    client.account_show("x", force_master=False)
    assert pool.asked[1].query == {"id": "x"}


@pytest.mark.pitfall(76, 77)
@pytest.mark.parametrize(
    ("constructor", "call"), [({"request_attempts": "3"}, {}), ({}, {"request_attempts": 3})]
)
def test_busy_service_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, constructor: dict[str, Any], call: dict[str, Any]
) -> None:
    monkeypatch.setattr("random.randrange", lambda *_: 0)
    client, pool = client_of(service_at("a:1"), BUSY, BUSY, answer(body=["x"]), BUSY, **constructor)
    assert client.account_list(**call) == ["x"]
    assert asked(pool) == ["p:1 choose", "a:1 list", "a:1 list", "a:1 list"]
    with pytest.raises(exc.ServiceBusy, match="busy"):
        client.account_list(**call)
    assert len(pool.asked) == 7


# --- buckets -----------------------------------------------------------------------------------------


@pytest.fixture
def accounts(namespace: Namespace) -> Iterator[AccountClient]:
    """A client of an account with buckets, each of two containers."""
    with AccountClient(CONF, proxy_endpoint=namespace.endpoint) as client:
        for number in range(3):
            bucket = {"bucket": f"b{number}", "objects": number, "bytes": 10}
            client.container_update("acct", f"b{number}", {"mtime": 1.5, **bucket})
            client.container_update("acct", f"b{number}+segments", {"mtime": 2.5, **bucket})
        yield client


def test_buckets_are_listed_in_pages(accounts: AccountClient) -> None:
    whole = accounts.bucket_list("acct")
    assert whole["buckets"] == 3
    assert [item["name"] for item in whole["listing"]] == ["b0", "b1", "b2"]
    assert whole["listing"][2] == {"name": "b2", "objects": 2, "bytes": 20, "mtime": 2.5}
    page = accounts.bucket_list("acct", limit=2)
    assert (page["truncated"], page["next_marker"]) == (True, "b1")
    assert [item["name"] for item in accounts.bucket_list("acct", marker="b1")["listing"]] == ["b2"]
    assert [item["name"] for item in accounts.bucket_list("acct", end_marker="b1")["listing"]] == ["b0"]
    assert [item["name"] for item in accounts.bucket_list("acct", prefix="b1")["listing"]] == ["b1"]
    with pytest.raises(exc.NotFound):
        accounts.bucket_list("nobody")


def test_life_of_a_bucket(accounts: AccountClient) -> None:
    known = accounts.bucket_show("b2")
    assert (known["account"], known["bytes"], known["replication_enabled"]) == ("acct", 20, False)
    assert accounts.bucket_update("b2", {"replication_enabled": "true", "k": "v"}) == {
        **known,
        "replication_enabled": True,
        "k": "v",
    }
    assert "k" not in accounts.bucket_update("b2", to_delete=iter(["k"]))
    assert accounts.bucket_show("b2")["replication_enabled"] is True
    accounts.bucket_refresh("b2")
    for call in (accounts.bucket_show, accounts.bucket_refresh):
        with pytest.raises(exc.NotFound, match="not found"):
            call("nothing")


def test_what_comes_before_what_is_known_is_refused(accounts: AccountClient) -> None:
    for call in (accounts.container_update, accounts.container_reset):
        with pytest.raises(exc.Conflict):
            call("acct", "b1", {"mtime": 1.0} if call == accounts.container_update else 1.0)
    with pytest.raises(exc.NotFound):
        accounts.container_reset("acct", "nothing", 5.0)


def test_failure_of_the_service_is_no_answer(accounts: AccountClient, namespace: Namespace) -> None:
    fault = Fault("status", service="account", status=500, body="Unmanaged error: oops")
    with namespace.faults(fault), pytest.raises(exc.ClientException, match="oops") as info:
        accounts.bucket_show("b1")
    assert (info.value.http_status, info.value.status) == (500, None)
