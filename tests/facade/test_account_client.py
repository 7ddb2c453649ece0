# SPDX-License-Identifier: Apache-2.0
"""The client of the account service: where the service is, and its buckets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from oio.account import _requests as module
from oio.account.client import AccountClient
from oio.common import exceptions as exc
from oio.common.http_urllib3 import urllib3
from oio.sandbox import Fault, Namespace
from tests.kit.recording import RecordingPool, answer
from tests.kit.releases import RELEASES

ON_RELEASES = RELEASES

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


@pytest.mark.pitfall(105, "B8")
def test_reads_are_sent_three_times_to_where_the_service_is() -> None:
    client, pool = client_of(
        service_at("a:1"), BROKEN, service_at("a:2"), BROKEN, service_at("a:3"), BROKEN, service_at("a:4")
    )
    with pytest.raises(exc.OioNetworkException) as info:
        client.account_list()
    assert info.value.service == "a:3"
    assert [what for what in asked(pool) if "list" in what] == ["a:1 list", "a:2 list", "a:3 list"]


@pytest.mark.pitfall(105, "B8")
def test_reads_are_sent_once_when_that_is_wanted() -> None:
    client, pool = client_of(service_at("a:1"), BROKEN, service_at("a:2"))
    with pytest.raises(exc.OioNetworkException):
        client.account_list(request_attempts=1)
    assert [what for what in asked(pool) if "list" in what] == ["a:1 list"]


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
def accounts(namespace: Namespace, release: str) -> Iterator[AccountClient]:
    """A client of an account with buckets, each of two containers."""
    with AccountClient(CONF, proxy_endpoint=namespace.endpoint) as client:
        for number in range(3):
            if release != RELEASES[0]:
                client.bucket_create(f"b{number}", "acct")
            bucket = {"bucket": f"b{number}", "objects": number, "bytes": 10}
            client.container_update("acct", f"b{number}", {"mtime": 1.5, **bucket})
            client.container_update("acct", f"b{number}+segments", {"mtime": 2.5, **bucket})
        yield client


def test_buckets_are_listed_in_pages(accounts: AccountClient) -> None:
    whole = accounts.bucket_list("acct")
    assert whole["buckets"] == 3
    assert [item["name"] for item in whole["listing"]] == ["b0", "b1", "b2"]
    assert whole["listing"][2].items() >= {"name": "b2", "objects": 2, "bytes": 20}.items()
    page = accounts.bucket_list("acct", limit=2)
    assert (page["truncated"], page["next_marker"]) == (True, "b1")
    assert [item["name"] for item in accounts.bucket_list("acct", marker="b1")["listing"]] == ["b2"]
    assert [item["name"] for item in accounts.bucket_list("acct", end_marker="b1")["listing"]] == ["b0"]
    assert [item["name"] for item in accounts.bucket_list("acct", prefix="b1")["listing"]] == ["b1"]
    with pytest.raises(exc.NotFound):
        accounts.bucket_list("nobody")


@pytest.mark.pitfall("W10")
def test_life_of_a_bucket(accounts: AccountClient, release: str) -> None:
    known = accounts.bucket_show("b2")
    assert (known["account"], known["bytes"]) == ("acct", 20)
    assert accounts.bucket_update("b2", {"a": "b", "k": "v"}) == {**known, "a": "b", "k": "v"}
    assert "k" not in accounts.bucket_update("b2", to_delete=iter(["k"]))
    assert accounts.bucket_show("b2")["a"] == "b"
    accounts.bucket_refresh("b2")
    changes = [] if release == "7.3" else [lambda name: accounts.bucket_update(name, {"k": "v"})]
    for call in (accounts.bucket_show, accounts.bucket_refresh, *changes):
        with pytest.raises(exc.NotFound):
            call("nothing")


@pytest.mark.pitfall("W10")
def test_bucket_is_created_and_deleted(accounts: AccountClient, release: str) -> None:
    if release == "7.3":
        for call in (accounts.bucket_create, accounts.bucket_delete):
            with pytest.raises(exc.NotFound):
                call("new", "acct")
        return
    assert accounts.bucket_create("new", "acct")
    assert not accounts.bucket_create("new", "acct")
    assert accounts.bucket_show("new")["region"] == "LOCALHOST"
    assert accounts.bucket_create("far", "acct", region="elsewhere")
    assert accounts.bucket_show("far")["region"] == "ELSEWHERE"
    accounts.bucket_delete("new", "acct")
    for call in (accounts.bucket_show, lambda name: accounts.bucket_delete(name, "acct")):
        with pytest.raises(exc.NotFound):
            call("new")


@pytest.mark.pitfall("W10")
def test_bucket_is_created_where_no_proxy_tells_the_region(namespace: Namespace, release: str) -> None:
    endpoint = f"http://{namespace.account.address}/v1.0/account"
    with AccountClient(CONF, endpoint=endpoint) as client:
        expected = exc.NotFound if release == "7.3" else exc.BadRequest
        with pytest.raises(expected):
            client.bucket_create("b", "acct")


@pytest.mark.pitfall("W7")
def test_accounts_are_listed_with_their_counters(accounts: AccountClient) -> None:
    accounts.account_create("other")
    listed = accounts.account_list_ext()
    assert {row["id"] for row in listed} == {"acct", "other"}
    (row,) = accounts.account_list_ext(prefix="ac")
    for prefix in (3, b"ac"):
        with pytest.raises(TypeError, match="prefix must be a str"):
            accounts.account_list_ext(prefix=prefix)
    known = accounts.account_show("acct")
    assert {key: row[key] for key in ("id", "containers", "objects", "bytes", "metadata")} == {
        key: known[key] for key in ("id", "containers", "objects", "bytes", "metadata")
    }


def test_bucket_may_be_copied_elsewhere(accounts: AccountClient, release: str) -> None:
    changed = accounts.bucket_update("b2", {"replication_enabled": "true"})
    assert changed["replication_enabled"] == (True if release == "7.3" else "true")


@pytest.mark.pitfall("W10")
@pytest.mark.parametrize("region", ["localhost", "elsewhere"])
def test_buckets_are_those_of_a_region(accounts: AccountClient, release: str, region: str) -> None:
    found = [item["name"] for item in accounts.bucket_list("acct", region=region)["listing"]]
    assert found == (["b0", "b1", "b2"] if release == "7.3" or region == "localhost" else [])


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


# --- one client for both releases --------------------------------------------------------------------


@pytest.fixture
def many_accounts(namespace: Namespace) -> Iterator[AccountClient]:
    """A client of a service whose pages of accounts have 1000 names."""
    with AccountClient(CONF, proxy_endpoint=namespace.endpoint) as client:
        for number in range(1002):
            client.account_create(f"a{number:04}")
        yield client


@pytest.mark.pitfall("W7")
def test_all_accounts_are_listed_whatever_the_form_of_the_answer(many_accounts: AccountClient) -> None:
    assert sorted(many_accounts.account_list()) == [f"a{number:04}" for number in range(1002)]


@pytest.mark.pitfall("W7")
def test_accounts_that_do_not_go_on_are_told() -> None:
    page = {"listing": [{"id": "a"}], "truncated": True, "next_marker": "a"}
    client, pool = client_of(service_at("s:1"), answer(body=page))
    with pytest.raises(exc.OioProtocolError, match="do not go on after 'a'"):
        client.account_list()
    assert [one.query for one in pool.asked[1:]] == [{}, {"marker": "a"}]


@pytest.mark.pitfall("W7")
@pytest.mark.parametrize("body", [{}, {"listing": [1], "truncated": False}, {"listing": []}, "a", 5])
def test_answer_that_is_no_list_of_accounts_is_refused(body: Any) -> None:
    client, _ = client_of(service_at("s:1"), answer(body=body))
    with pytest.raises(exc.OioProtocolError):
        client.account_list()


@pytest.mark.pitfall("W8")
def test_counters_are_told_in_both_forms(namespace: Namespace, release: str) -> None:
    with AccountClient(CONF, proxy_endpoint=namespace.endpoint) as client:
        client.container_update("acct", "c", {"mtime": 1.5, "objects": 2, "bytes": 10})
        namespace.forget_requests()
        details = {"objects-details": {"EC": 3}, "bytes-details": {"EC": 30}}
        client.container_update("acct", "c", {"mtime": 2.5, "objects": 3, "bytes": 30, **details})
        # What the service wants to know is known by now.
        assert [record.service for record in namespace.requests] == ["account"]
        known = client.container_show("acct", "c")
    assert (known["objects"], known["bytes"]) == (3, 30)
    if release == "2026":
        assert (known["region"], known["objects-details"]) == ("LOCALHOST", {"EC": 3})


@pytest.mark.pitfall("W8")
def test_services_of_7_3_get_one_request_for_an_update(namespace: Namespace, release: str) -> None:
    with AccountClient(CONF, proxy_endpoint=namespace.endpoint) as client:
        client.container_update("acct", "c", {"mtime": 1.5, "objects": 2, "bytes": 10})
    updates = [record for record in namespace.requests if "container/update" in record.target]
    assert len(updates) == (1 if release == "7.3" else 2)


@pytest.mark.pitfall("W8")
def test_region_of_a_container_is_the_one_given(namespace: Namespace, release: str) -> None:
    with AccountClient(CONF, proxy_endpoint=namespace.endpoint) as client:
        client.container_update("acct", "c", {"mtime": 1.5, "objects": 2, "bytes": 10}, region="far")
        known = client.container_show("acct", "c")
        assert known.get("region") == ("FAR" if release == "2026" else None)
        assert known["objects"] == 2
        assert client.container_list("acct", region="far")["listing"] == [["c", 2, 10, 0, 1.5]]


@pytest.mark.pitfall("W8")
def test_refusal_of_an_update_comes_out_where_no_proxy_can_help(namespace: Namespace, release: str) -> None:
    endpoint = f"http://{namespace.account.address}/v1.0/account"
    with AccountClient(CONF, endpoint=endpoint) as client:
        state = {"mtime": 1.5, "objects": 2, "bytes": 10}
        if release == "7.3":
            assert client.container_update("acct", "c", state) == "c"
            return
        with pytest.raises(exc.BadRequest, match="Missing region"):
            client.container_update("acct", "c", state)
        with pytest.raises(exc.BadRequest, match="Mismatch"):
            client.container_update("acct", "c", state, region="here")
        assert client.container_update("acct", "c", {"mtime": 1.5}, region="here") == "c"


@pytest.mark.pitfall("W8")
def test_account_forgets_a_container_by_either_route(namespace: Namespace, release: str) -> None:
    with AccountClient(CONF, proxy_endpoint=namespace.endpoint) as client:
        for name in ("a", "b", "c"):
            client.container_update("acct", name, {"mtime": 1.5})
        namespace.forget_requests()
        client.container_delete("acct", "a", 2.5)
        client.container_delete("acct", "b", 2.5)
        client.container_update("acct", "c", {"dtime": 2.5})
        assert client.container_list("acct")["listing"] == []
        tried = [record.target.partition("?")[0].rpartition("/")[2] for record in namespace.requests]
    deleted, updated = ["delete"], ["update"]
    if release == "7.3":
        assert tried == [*deleted, *updated * 3, "containers"], "it is asked once for a route that it has not"
    else:
        assert tried == [*deleted * 2, *updated, *deleted, "containers"]


@pytest.mark.pitfall("W8")
def test_deletion_that_comes_too_late_is_refused(namespace: Namespace) -> None:
    with AccountClient(CONF, proxy_endpoint=namespace.endpoint) as client:
        client.container_update("acct", "c", {"mtime": 5.5})
        with pytest.raises(exc.Conflict):
            client.container_delete("acct", "c", 4.5)


@pytest.mark.pitfall("W8")
def test_what_was_learnt_of_a_service_is_forgotten_when_it_is_replaced() -> None:
    """A service of 7.3 becomes one of 2026 while the client runs."""
    pool = RecordingPool(
        *(service_at("s:1"), answer(404), answer(200, "c")),
        *(answer(400, b"Deletion is no more accepted."), answer(204)),
        answer(204),
    )
    client = AccountClient(CONF, proxy_endpoint="p:1", pool_manager=pool)
    for _ in range(3):
        client.container_delete("acct", "c", 1.5)
    expected = ["choose", "delete", "update", "update", "delete", "delete"]
    assert [one.path.rpartition("/")[2] for one in pool.asked] == expected


@pytest.mark.pitfall("W8")
def test_counters_are_reset_in_both_forms(accounts: AccountClient) -> None:
    accounts.container_reset("acct", "b1", 9.5)
    assert accounts.container_show("acct", "b1")["objects"] == 0


@pytest.mark.pitfall("W9")
def test_container_that_the_account_does_not_know(accounts: AccountClient, release: str) -> None:
    if release == "7.3":
        assert accounts.container_show("acct", "nothing")["objects"] == 0
    else:
        with pytest.raises(exc.NotFound):
            accounts.container_show("acct", "nothing")
