# SPDX-License-Identifier: Apache-2.0
"""What the clients of the proxy ask for, and what they refuse to ask for."""

from __future__ import annotations

import pytest

from oio.common import exceptions as exc
from oio.conscience import client as conscience_module
from oio.conscience.client import ConscienceClient, LbClient
from oio.container.client import ContainerClient
from oio.directory.client import DirectoryClient
from tests.kit.recording import DESCRIPTION, RecordingPool, answer

CONF = {"namespace": "NS"}
SERVICE = {"seq": 1, "type": "rdir", "host": "10.0.0.1:6300", "args": ""}


def client_of(kind, *answers):
    pool = RecordingPool(*answers)
    return kind(CONF, endpoint="p:1", pool_manager=pool), pool


# --- load balancer and conscience --------------------------------------------------------------------


@pytest.mark.pitfall(157)
@pytest.mark.parametrize("pool", [None, ""])
def test_choice_without_a_type_is_not_asked_for(pool):
    for kind in (LbClient, ConscienceClient):
        client, sent = client_of(kind)
        for call in (client.next_instances, client.next_instance, client.poll):
            with pytest.raises(ValueError, match="pool"):
                call(pool)
        assert sent.asked == []


def test_services_may_be_those_of_a_policy():
    client, sent = client_of(LbClient, answer(body=[]))
    client.poll(policy="EC", avoid_locations=[1], known_locations=(2, 3))
    assert sent.asked[0].query == {"policy": "EC"}
    assert sent.asked[0].json == {"avoid_locations": [1], "known_locations": [2, 3]}


@pytest.mark.pitfall(108)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_as_many_services_are_chosen_as_were_asked_for(size):
    found = [{"addr": f"a:{number}", "id": f"NS|rawx|a:{number}"} for number in range(size)]
    client, sent = client_of(ConscienceClient, answer(body=found))
    assert client.next_instances("rawx", size) == found
    assert sent.asked[0].query == {"type": "rawx", "size": str(size)}


def test_services_are_announced_one_by_one_or_together():
    client, sent = client_of(ConscienceClient, answer(204))
    described = client.get_service_definition("rawx", "a:1", score=5, tags={"tag.loc": "h.v"})
    client.register(described)
    client.register([described, described])
    client.register("rdir", described)
    assert [one.json for one in sent.asked] == [described, [described] * 2, {**described, "type": "rdir"}]
    assert {one.path for one in sent.asked} == {"/v3.0/NS/conscience/register"}


@pytest.mark.parametrize(
    ("method", "route"),
    [("lock_score", "lock"), ("unlock_score", "unlock"), ("deregister", "deregister")],
)
def test_services_are_locked_and_unlocked(method, route):
    client, sent = client_of(ConscienceClient, answer(204))
    described = client.get_service_definition("rawx", "a:1")
    getattr(client, method)(described)
    getattr(client, method)([described])
    assert [one.json for one in sent.asked] == [described, [described]]
    assert {one.path for one in sent.asked} == {f"/v3.0/NS/conscience/{route}"}


@pytest.mark.pitfall(107)
def test_address_is_asked_for_again_when_its_time_is_over(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(conscience_module, "monotonic_time", lambda: clock[0])
    client, sent = client_of(ConscienceClient, answer(body={"addr": "a:1"}), answer(body={"addr": "a:2"}))

    def resolved_at(now):
        clock[0] = now
        return client.resolve_url("rawx", "http://rawx-1/AB")

    found = [resolved_at(now) for now in (1000.0, 1059.9, 1060.1, 1061.0)]
    assert found == ["http://a:1/AB", "http://a:1/AB", "http://a:2/AB", "http://a:2/AB"]
    assert len(sent.asked) == 2


@pytest.mark.pitfall(107)
def test_address_of_a_service_is_that_of_its_type():
    client, sent = client_of(ConscienceClient, answer(body={"addr": "a:1"}), answer(body={"addr": "a:2"}))
    assert client.resolve_service_id("rawx", "x") == "a:1"
    assert client.resolve_service_id("rdir", "x") == "a:2"
    assert [one.query["type"] for one in sent.asked] == ["rawx", "rdir"]


def test_service_that_is_not_known_is_asked_for_again():
    busy = answer(503, {"status": 503, "message": "Service ID [x] not found"})
    client, _ = client_of(ConscienceClient, busy, answer(body={"addr": "a:1"}))
    with pytest.raises(exc.ServiceBusy):
        client.resolve_service_id("rawx", "x", request_attempts=1)
    assert client.resolve_service_id("rawx", "x") == "a:1"


# --- directory ---------------------------------------------------------------------------------------


@pytest.mark.pitfall(157)
@pytest.mark.parametrize("kept", [None, {}])
def test_relink_that_keeps_nothing_is_not_asked_for(kept):
    client, sent = client_of(DirectoryClient)
    with pytest.raises(ValueError, match="kept"):
        client.relink("a", "r", "rdir", kept=kept, replaced=SERVICE)
    assert sent.asked == []


def test_relink_names_what_is_kept_and_what_is_replaced():
    other = {**SERVICE, "host": "10.0.0.2:6300"}
    client, sent = client_of(DirectoryClient, answer(body=[SERVICE]))
    assert client.relink("a", "r", "rdir", SERVICE, other) == [SERVICE]
    assert sent.asked[0].query == {"acct": "a", "ref": "r", "type": "rdir"}
    assert sent.asked[0].json == {"kept": SERVICE, "replaced": other}


@pytest.mark.pitfall(103)
def test_removing_no_property_of_a_reference_asks_nothing():
    client, sent = client_of(DirectoryClient, answer(204))
    client.del_properties("a", "r")
    client.del_properties("a", "r", iter([]))
    assert sent.asked == []
    client.del_properties("a", "r", iter(["k"]))
    assert sent.asked[0].json == ["k"]


# --- containers --------------------------------------------------------------------------------------


@pytest.mark.pitfall(103)
def test_all_properties_are_removed_only_when_that_is_said():
    client, sent = client_of(ContainerClient, answer(200, {}))
    for call in (
        lambda: client.container_del_properties("a", "c"),
        lambda: client.content_del_properties("a", "c", "o"),
    ):
        with pytest.raises(ValueError, match="properties"):
            call()
    assert sent.asked == []
    client.container_del_properties("a", "c", [])
    client.content_del_properties("a", "c", "o", [])
    assert [one.json for one in sent.asked] == [[], []]


@pytest.mark.pitfall(146)
def test_ids_of_containers_are_spelled_as_the_services_do():
    cid = "ab" * 32
    client, sent = client_of(ContainerClient, answer(body={}))
    client.container_show(cid=cid)
    client.content_touch(path="o", cid=cid)
    directory, sent_by_directory = client_of(DirectoryClient, answer(body={}))
    directory.show(cid=cid)
    for one in (*sent.asked, *sent_by_directory.asked):
        assert one.query["cid"] == "AB" * 32


BEAN = {"type": "chunk", "id": "http://h/AB", "hash": "CD", "size": 1, "content": "EF", "pos": "0"}


@pytest.mark.parametrize(
    ("call", "query", "body"),
    [
        (lambda c: c.container_raw_insert(BEAN, "a", "c"), {}, [BEAN]),
        (lambda c: c.container_raw_insert((BEAN, BEAN), "a", "c", force=True), {"force": "1"}, [BEAN] * 2),
        (lambda c: c.container_raw_insert([BEAN], "a", "c", frozen=True), {"frozen": "1"}, [BEAN]),
        (lambda c: c.container_raw_update([BEAN], [BEAN], "a", "c"), {}, {"old": [BEAN], "new": [BEAN]}),
        (
            lambda c: c.container_raw_update([BEAN], [BEAN], "a", "c", frozen=True),
            {"frozen": "1"},
            {"old": [BEAN], "new": [BEAN]},
        ),
        (lambda c: c.container_raw_delete("a", "c", [BEAN]), {}, [BEAN]),
        (
            lambda c: c.container_raw_delete("a", "c", [BEAN], path="o", content_id="AB"),
            {"path": "o", "content": "AB"},
            [BEAN],
        ),
        (lambda c: c.container_dedup("a", "c"), {}, None),
        (lambda c: c.container_purge("a", "c", maxvers=0), {"maxvers": "0"}, None),
        (lambda c: c.container_delete("a", "c", force=True), {"force": "1"}, None),
    ],
)
def test_requests_about_containers(call, query, body):
    client, sent = client_of(ContainerClient, answer(204))
    call(client)
    assert sent.asked[0].query == {"acct": "a", "ref": "c", **query}
    assert sent.asked[0].json == body


ITEMS = {"x": "x", "y": "y"}


@pytest.mark.pitfall(80)
@pytest.mark.parametrize("iterable", [ITEMS.values, lambda: iter(ITEMS), lambda: ("x", "y"), lambda: ITEMS])
@pytest.mark.parametrize(
    ("call", "listed"),
    [
        (lambda c, names: c.container_create_many("a", names), "containers"),
        (lambda c, names: c.container_del_properties("a", "c", names), None),
        (lambda c, names: c.container_get_properties("a", "c", names), None),
        (lambda c, names: c.content_del_properties("a", "c", "o", names), None),
        (lambda c, names: c.content_delete_many("a", "c", names), "contents"),
        (lambda c, names: c.content_update("a", "c", "o", 1, names, content_id="AB", stgpol="P"), None),
        (lambda c, names: c.container_raw_delete("a", "c", names), None),
        (lambda c, names: c.container_raw_update(names, [], "a", "c"), "old"),
        (lambda c, names: c.container_raw_update([], names, "a", "c"), "new"),
    ],
)
def test_names_may_come_from_any_iterable(call, listed, iterable):
    client, sent = client_of(ContainerClient, answer(body={"containers": [], "contents": []}))
    call(client, iterable())
    found = sent.asked[0].json if listed is None else sent.asked[0].json[listed]
    assert [item["name"] if isinstance(item, dict) else item for item in found] == ["x", "y"]


@pytest.mark.pitfall(80)
def test_beans_and_services_may_come_from_any_iterable():
    client, sent = client_of(ContainerClient, answer(204))
    client.container_raw_insert({"x": BEAN}.values(), "a", "c")
    assert sent.asked[0].json == [BEAN]
    conscience, sent = client_of(ConscienceClient, answer(204))
    conscience.register({"x": {"addr": "a:1"}}.values())
    assert sent.asked[0].json == [{"addr": "a:1"}]
    directory, sent = client_of(DirectoryClient, answer(body={}))
    directory.get_properties("a", "r", ITEMS.keys())
    assert sent.asked[0].json == ["x", "y"]


def test_spare_chunks_are_asked_for_with_both_lists():
    client, sent = client_of(ContainerClient, answer(body={"chunks": []}))
    chunk = {"url": "http://h/AB", "pos": "0", "size": 1, "hash": "CD"}
    client.content_spare("a", "c", "o", {"notin": [chunk]}, stgpol="P", position=0, version=7)
    assert sent.asked[0].json == {"notin": [chunk], "broken": []}
    assert sent.asked[0].query == {
        "acct": "a",
        "ref": "c",
        "path": "o",
        "stgpol": "P",
        "position": "0",
        "version": "7",
    }


NO_ROUTE = answer(404, {"status": 404, "message": "No handler found"})


def test_proxy_without_bulk_requests_gets_one_for_each_name():
    client, sent = client_of(ContainerClient, NO_ROUTE, answer(201), answer(204))
    assert client.container_create_many("a", iter(["x", "y"])) == [("x", True), ("y", False)]
    assert [one.query.get("ref") for one in sent.asked] == [None, "x", "y"]
    missing = answer(404, {"status": 420, "message": "Alias not found"})
    client, sent = client_of(ContainerClient, NO_ROUTE, answer(204), missing)
    assert client.content_delete_many("a", "c", iter(["x", "y"])) == [("x", True), ("y", False)]
    assert [one.query.get("path") for one in sent.asked] == [None, "x", "y"]


def test_missing_container_is_no_missing_route():
    missing = answer(404, {"status": 406, "message": "no such user"})
    client, sent = client_of(ContainerClient, missing)
    with pytest.raises(exc.NotFound):
        client.content_delete_many("a", "c", ["x", "y"])
    assert len(sent.asked) == 1


@pytest.mark.pitfall(104)
def test_bulk_requests_are_halved_until_they_are_small_enough():
    def limited(asked):
        names = [item["name"] for item in asked.json["containers"]]
        if len(names) > 3:
            return answer(413, {"status": 413, "message": "too large"})
        return answer(body={"containers": [{"name": name, "status": 201} for name in names]})

    client, sent = client_of(ContainerClient, limited)
    names = [f"c{number}" for number in range(11)]
    assert client.container_create_many("a", names) == [(name, True) for name in names]
    assert max(len(one.json["containers"]) for one in sent.asked) == 11


@pytest.mark.pitfall(95)
@pytest.mark.parametrize(
    ("header", "expected"),
    [({}, False), ({"x_oio_truncated": "true"}, True), ({"x_oio_truncated": ""}, False)],
)
def test_flush_that_says_nothing_is_over(header, expected):
    client, _ = client_of(ContainerClient, answer(204, **header))
    assert client.container_flush("a", "c") == {"truncated": expected}


def test_flush_that_says_nonsense_is_refused():
    client, _ = client_of(ContainerClient, answer(204, x_oio_truncated="perhaps"))
    with pytest.raises(exc.OioProtocolError):
        client.container_flush("a", "c")


@pytest.mark.pitfall("A8")
@pytest.mark.parametrize("header", [{}, {"x_oio_list_truncated": ""}, {"x_oio_list_truncated": "maybe"}])
def test_listing_that_does_not_say_whether_it_goes_on_is_refused(header):
    client, _ = client_of(ContainerClient, answer(body={"objects": []}, **header))
    with pytest.raises(exc.OioProtocolError, match="x-oio-list-truncated"):
        client.content_list("a", "c")


@pytest.mark.pitfall("A8")
@pytest.mark.parametrize("missing", sorted(DESCRIPTION))
def test_description_that_lacks_a_field_is_refused(missing):
    headers = {name: value for name, value in DESCRIPTION.items() if name != missing}
    chunks = [{"url": "http://h/AB", "pos": "0", "size": 5, "hash": ""}]
    asks = [
        (lambda client: client.content_get_properties("a", "c", "o"), {"properties": {}}),
        (lambda client: client.content_locate("a", "c", "o", properties=False), chunks),
        (lambda client: client.content_prepare("a", "c", "o", size=1), {"chunks": chunks}),
    ]
    for ask, body in asks:
        client, _ = client_of(ContainerClient, answer(body=body, x_oio_ns_chunk_size="9", **headers))
        with pytest.raises(exc.OioProtocolError, match="of the object"):
            ask(client)


@pytest.mark.pitfall("A8")
def test_delete_marker_is_described_by_few_fields():
    few = {"name": "o", "version": "1", "ctime": "1", "mtime": "1", "deleted": "True"}
    headers = {f"x_oio_content_meta_{name}": value for name, value in few.items()}
    client, _ = client_of(ContainerClient, answer(body={"properties": {}}, **headers))
    assert client.content_get_properties("a", "c", "o") == {**few, "properties": {}}
