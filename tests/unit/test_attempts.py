# SPDX-License-Identifier: Apache-2.0
"""Requests that are tried again, at the same proxy or at another one."""

from __future__ import annotations

import random
import time
import traceback

import pytest

from oio.account.client import AccountClient
from oio.common import exceptions as exc
from oio.common.client import ProxyClient
from oio.common.configuration import NS_CONF_CACHE, set_namespace_options
from oio.common.http_urllib3 import urllib3
from oio.common.limits import Limits
from oio.common.retry import Retry
from oio.conscience.client import ConscienceClient
from oio.container.client import ContainerClient
from tests.kit.recording import RecordingPool, answer
from tests.kit.scripted import Peer, full_backlog, serving

CONF = {"namespace": "NS"}
NOBODY = "127.0.0.1:1"
BUSY = answer(503, {"status": 503, "message": "busy"})
BROKEN = urllib3.exceptions.ProtocolError("Connection broken")


def connection_refused():
    return urllib3.exceptions.NewConnectionError(None, "refused")


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between attempts: the number that each is drawn below; none is made."""
    made = []
    monkeypatch.setattr(random, "randrange", lambda below: made.append(below) or 0)
    return made


def ask(pool, method="GET", call=None, **options):
    client = ProxyClient(CONF, endpoint="127.0.0.1:6000", pool_manager=pool, **options)
    return client._request(method, "/route", **(call or {}))


# --- the same proxy ----------------------------------------------------------------------------------


@pytest.mark.pitfall(76)
@pytest.mark.parametrize("attempts", [3, "3", 3.0])
@pytest.mark.parametrize("where", ["constructor", "call"])
def test_busy_service_is_asked_again(pauses, attempts, where):
    options = {"request_attempts": attempts}
    pool = RecordingPool(BUSY, BUSY, answer(body={"a": 1}))
    where = {"options": options} if where == "constructor" else {"call": options}
    assert ask(pool, "POST", where.get("call"), **where.get("options", {}))[1] == {"a": 1}
    assert len(pool.asked) == 3
    assert pauses == [2, 4]


@pytest.mark.pitfall(76)
@pytest.mark.parametrize("attempts", [None, "", 1, "1"])
def test_change_is_sent_once_by_default(pauses, attempts):
    pool = RecordingPool(BUSY)
    with pytest.raises(exc.ServiceBusy):
        ask(pool, "POST", request_attempts=attempts)
    assert len(pool.asked) == 1


def test_patience_is_measured_by_the_clock_of_the_limits(pauses):
    """That of a program may be ahead of the one of the process."""
    now = time.monotonic() + 1000.0
    pool = RecordingPool(BUSY, answer(body={"a": 1}))
    limits = Limits(clock=lambda: now)
    assert ask(pool, call={"limits": limits, "retry": Retry(patience=5.0)})[1] == {"a": 1}
    assert len(pool.asked) == 2


READS = [
    lambda client, **kwargs: client.content_get_properties("a", "c", "o", **kwargs),
    lambda client, **kwargs: client.container_get_properties("a", "c", **kwargs),
    lambda client, **kwargs: client.content_spare("a", "c", "o", stgpol="EC", position=0, **kwargs),
    lambda client, **kwargs: client.content_prepare("a", "c", "o", size=1, **kwargs),
    lambda client, **kwargs: client.content_locate("a", "c", "o", properties=False, **kwargs),
    lambda client, **kwargs: client.content_list("a", "c", **kwargs),
    lambda client, **kwargs: client.container_show("a", "c", **kwargs),
]
"""Calls that only read, whatever their verb."""


@pytest.mark.pitfall("B8")
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("error", [BROKEN, BUSY, connection_refused(), answer(504)])
def test_what_only_reads_is_sent_three_times_by_default(pauses, read, error):
    pool = RecordingPool(error)
    with pytest.raises(exc.OioException):
        read(ContainerClient(CONF, endpoint="127.0.0.1:6000", pool_manager=pool))
    assert len(pool.asked) == 3


@pytest.mark.pitfall("B8")
@pytest.mark.parametrize("option", [{"request_attempts": 1}, {"retry": Retry(attempts=1)}])
@pytest.mark.parametrize("where", ["constructor", "call"])
def test_reads_are_sent_once_where_that_is_wanted(pauses, option, where):
    pool = RecordingPool(BROKEN)
    of_client = option if where == "constructor" else {"retry": Retry(attempts=9)}
    client = ContainerClient(CONF, endpoint="127.0.0.1:6000", pool_manager=pool, **of_client)
    with pytest.raises(exc.OioNetworkException):
        client.content_get_properties("a", "c", "o", **(option if where == "call" else {}))
    assert len(pool.asked) == 1


@pytest.mark.pitfall("B8")
def test_answer_that_breaks_the_protocol_is_final(pauses):
    pool = RecordingPool(answer(200, b"<html>", Content_Type="text/html"))
    with pytest.raises(exc.OioProtocolError):
        ask(pool, request_attempts=3)
    assert len(pool.asked) == 1


@pytest.mark.pitfall("B8")
def test_change_goes_by_its_own_number_of_attempts(pauses):
    pool = RecordingPool(BUSY)
    with pytest.raises(exc.ServiceBusy):
        ask(pool, "POST", retry=Retry(attempts=9, changes=2))
    assert len(pool.asked) == 2


@pytest.mark.pitfall("B8")
@pytest.mark.parametrize("value", [3, "three", Retry])
def test_policy_that_is_none_is_told(value):
    with pytest.raises(TypeError, match="retry must be"):
        ask(RecordingPool(), retry=value)


@pytest.mark.pitfall("B8")
def test_connection_that_the_proxy_closes_at_the_next_request_is_replaced():
    """Kept, and alive when it is looked at: the end comes once the request is on its way."""
    bodies = []

    def leave_at_the_second(peer):
        peer.read_head()
        peer.answer(200, b"{}", Content_Type="application/json")
        peer.read_head()

    def stay(peer):
        while head := peer.read_head():
            bodies.append(head.partition("\r\n")[0])
            peer.answer(200, b"{}", Content_Type="application/json")

    with (
        serving(leave_at_the_second, stay) as server,
        ContainerClient(CONF, endpoint=server.address, retry=Retry(unit=0)) as client,
    ):
        client.container_show("a", "c")
        assert client.container_get_properties("a", "c") == {}
    assert bodies == ["POST /v3.0/NS/container/get_properties?acct=a&ref=c HTTP/1.1"]


@pytest.mark.pitfall(76)
@pytest.mark.parametrize("method", ["GET", "get", "HEAD"])
def test_reads_are_sent_again_when_the_network_fails(pauses, method):
    pool = RecordingPool(BROKEN, urllib3.exceptions.ReadTimeoutError(None, "/", "late"), answer(body={}))
    assert ask(pool, method, request_attempts=3)[0].status == 200


@pytest.mark.pitfall(76)
@pytest.mark.parametrize("error", [BROKEN, connection_refused()])
def test_changes_are_not_sent_again_when_the_network_fails(pauses, error):
    pool = RecordingPool(error, answer(204))
    with pytest.raises(exc.OioNetworkException):
        ask(pool, "POST", request_attempts=3)
    assert len(pool.asked) == 1


@pytest.mark.pitfall(76)
@pytest.mark.parametrize("status", [400, 403, 404, 409, 500])
def test_refusals_are_final(pauses, status):
    pool = RecordingPool(answer(status, {"status": status, "message": "no"}))
    with pytest.raises(exc.ClientException):
        ask(pool, request_attempts=3)
    assert len(pool.asked) == 1


@pytest.mark.pitfall("B8")
@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": "3"},
        {"attempts": 2.5},
        {"changes": 0},
        {"unit": float("inf")},
        {"unit": float("nan")},
        {"patience": -1},
        {"on": "x"},
        {"statuses": 503},
    ],
    ids=str,
)
def test_part_of_a_policy_that_makes_no_sense_is_told(wrong):
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(wrong))} must be"):
        Retry(**wrong)


@pytest.mark.pitfall(76)
@pytest.mark.parametrize("attempts", [0, -1, "0", "many"])
def test_number_of_attempts_that_is_none_is_told(attempts):
    with pytest.raises((exc.OioException, ValueError), match=repr(attempts)):
        ask(RecordingPool(), request_attempts=attempts)


@pytest.mark.pitfall(75, 76)
def test_no_pause_goes_beyond_the_deadline(monkeypatch):
    monkeypatch.setattr(random, "randrange", lambda *_: 40)
    pool = RecordingPool(BUSY)
    with pytest.raises(exc.ServiceBusy):
        ask(pool, call={"deadline": time.monotonic() + 10}, request_attempts=3)
    assert len(pool.asked) == 1


@pytest.mark.pitfall(77)
def test_the_last_refusal_is_raised_as_it_was(pauses):
    last = answer(503, {"status": 436, "message": "frozen, and busy"})
    with pytest.raises(exc.ServiceBusy) as caught:
        ask(RecordingPool(BUSY, BUSY, last), call={"reqid": "MINE"}, request_attempts=3)
    error = caught.value
    assert (error.http_status, error.status, error.message) == (503, 436, "frozen, and busy")
    assert (error.reqid, error.service) == ("MINE", "127.0.0.1:6000")
    assert "_refused" in {frame.name for frame in traceback.extract_tb(error.__traceback__)}


@pytest.mark.pitfall(77)
def test_failure_of_another_kind_after_a_refusal_is_not_hidden(pauses):
    with pytest.raises(exc.OioNetworkException, match="Connection broken") as caught:
        ask(RecordingPool(BUSY, BROKEN), request_attempts=2)
    assert caught.value.__cause__ is BROKEN
    missing = answer(404, {"status": 406, "message": "no such user"})
    with pytest.raises(exc.NotFound, match="no such user"):
        ask(RecordingPool(BUSY, missing), request_attempts=2)


# --- another proxy -----------------------------------------------------------------------------------


def answering(heads):
    def script(peer: Peer) -> None:
        while head := peer.read_head():
            heads.append(head.partition("\r\n")[0])
            peer.answer(200, b"{}", Content_Type="application/json")

    return serving(script)


@pytest.mark.pitfall(125)
@pytest.mark.parametrize("separator", [";", ",", " ; ", ";;"])
def test_unreachable_proxy_is_replaced_by_the_next_one(separator):
    heads = []
    with (
        answering(heads) as server,
        ContainerClient(CONF, endpoint=f"http://{NOBODY}{separator}{server.address}") as client,
    ):
        assert client.endpoint == f"http://{NOBODY}/v3.0/NS/container"
        client.container_touch("a", "c")
        client.content_delete("a", "c", "o")
        assert client.endpoint == f"http://{server.address}/v3.0/NS/container"
        assert client.proxy_netloc == server.address
    assert heads == [
        "POST /v3.0/NS/container/touch?acct=a&ref=c HTTP/1.1",
        "POST /v3.0/NS/content/delete?acct=a&ref=c&path=o HTTP/1.1",
    ]


@pytest.mark.pitfall(125)
def test_proxy_that_answers_is_not_left_for_the_first_one():
    pool = RecordingPool(connection_refused(), answer(204))
    client = ContainerClient(CONF, endpoint="a:1,b:2", pool_manager=pool)
    client.container_touch("a", "c")
    client.container_touch("a", "c")
    assert [asked.url.split("/")[2] for asked in pool.asked] == ["a:1", "b:2", "b:2"]


@pytest.mark.pitfall(125)
def test_proxy_that_does_not_let_one_connect_is_replaced():
    heads = []
    with full_backlog() as silent, answering(heads) as server:
        client = ContainerClient(CONF, endpoint=f"{silent};{server.address}", connection_timeout=0.1)
        with client:
            client.container_show("a", "c")
    assert len(heads) == 1


@pytest.mark.pitfall(125)
@pytest.mark.parametrize("error", [BROKEN, urllib3.exceptions.ReadTimeoutError(None, "/", "late"), BUSY])
def test_what_may_have_reached_a_proxy_is_not_sent_to_another(error):
    pool = RecordingPool(error, answer(204))
    client = ContainerClient(CONF, endpoint="a:1;b:2", pool_manager=pool)
    with pytest.raises(exc.OioException):
        client.container_touch("a", "c")
    assert [asked.url.split("/")[2] for asked in pool.asked] == ["a:1"]


@pytest.mark.pitfall(125)
def test_each_proxy_is_tried_once_and_the_last_failure_is_raised():
    pool = RecordingPool(connection_refused())
    client = ProxyClient(CONF, endpoint="a:1;b:2;c:3", pool_manager=pool)
    with pytest.raises(exc.OioNetworkException) as caught:
        client._request("POST", "/route")
    assert [asked.url.split("/")[2] for asked in pool.asked] == ["a:1", "b:2", "c:3"]
    assert caught.value.service == "c:3"
    with pytest.raises(exc.OioNetworkException):
        client._request("POST", "/route")
    assert [asked.url.split("/")[2] for asked in pool.asked[3:]] == ["c:3", "a:1", "b:2"]


@pytest.mark.pitfall(125)
def test_all_the_clients_know_the_other_proxies():
    found = answer(body=[{"addr": "127.0.0.1:6010", "id": "NS|rawx|127.0.0.1:6010"}])
    pool = RecordingPool(connection_refused(), found)
    conscience = ConscienceClient(CONF, endpoint="a:1;b:2", pool_manager=pool)
    assert conscience.next_instance("rawx")["addr"] == "127.0.0.1:6010"
    pool = RecordingPool(connection_refused(), found, answer(body=["x"]))
    account = AccountClient(CONF, proxy_endpoint="a:1;b:2", pool_manager=pool)
    assert account.account_list() == ["x"]


@pytest.mark.pitfall(125)
def test_proxies_may_be_those_of_the_configuration():
    set_namespace_options("NS-OF-TWO", {"proxy": "a:1; b:2"})
    try:
        pool = RecordingPool(connection_refused(), answer(body={}))
        ProxyClient({"namespace": "NS-OF-TWO"}, pool_manager=pool)._request("GET", "/route")
    finally:
        del NS_CONF_CACHE["NS-OF-TWO"]
    assert [asked.url for asked in pool.asked] == [
        f"http://{where}/v3.0/NS-OF-TWO/route" for where in ("a:1", "b:2")
    ]


@pytest.mark.parametrize("endpoint", [";", "a:1;http://", "a:1; b c"])
def test_proxies_that_are_none_are_told(endpoint):
    with pytest.raises(exc.ConfigurationException):
        ProxyClient(CONF, endpoint=endpoint)
