# SPDX-License-Identifier: Apache-2.0
"""The clients of the rdir services: what volumes hold, and who knows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock, create_autospec

import pytest

from oio.common import exceptions as exc
from oio.common.utils import cid_from_name
from oio.conscience.client import ConscienceClient
from oio.directory.client import DirectoryClient
from oio.rdir.client import RDIR_ACCT, RdirClient, RdirDispatcher
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, create, header
from tests.kit.recording import RecordingPool, answer
from tests.kit.releases import RELEASES

CONF = {"namespace": "OPENIO"}
CID, OTHER_CID, CONTENT = "A" * 64, "B" * 64, "C" * 32


@pytest.fixture
def rdir(namespace: Namespace) -> Iterator[RdirClient]:
    with RdirClient(CONF, endpoint=namespace.endpoint) as client:
        yield client


@pytest.fixture
def volume(rdir: RdirClient, namespace: Namespace) -> str:
    """A volume that holds nothing, linked to the rdir of the namespace."""
    link = {"seq": 1, "type": "rdir", "host": namespace.rdir.address, "args": ""}
    rdir.directory.force(RDIR_ACCT, "volume-1", "rdir", link, autocreate=True)
    rdir.create("volume-1")
    return "volume-1"


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once, as long as there is time."""
    monkeypatch.setattr("random.randrange", lambda *_: 0)


ON_RELEASES = RELEASES


def chunk(number: int, cid: str = CID) -> tuple[str, str, str]:
    return cid, CONTENT, f"{number:064X}"


def fill(rdir: RdirClient, volume: str, number: int, cid: str = CID) -> list[Any]:
    """Push chunks, and return what is to be fetched."""
    for n in range(number):
        rdir.chunk_push(volume, *chunk(n, cid), mtime=n, path="o", version="7")
    return [(*chunk(n, cid), {"mtime": n}) for n in range(number)]


def fetch(rdir: RdirClient, volume: str, **options: Any) -> list[Any]:
    """Fetch chunks, with what all services know of them."""
    return [(*ids, {"mtime": info["mtime"]}) for *ids, info in rdir.chunk_fetch(volume, **options)]


# --- chunks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 1000])
def test_no_chunk_is_lost_between_pages(rdir: RdirClient, volume: str, limit: int) -> None:
    pushed = fill(rdir, volume, 5)
    assert fetch(rdir, volume, limit=limit) == pushed
    assert fetch(rdir, volume, limit=limit, start_after="|".join(chunk(2))) == pushed[3:]


@pytest.mark.pitfall("W11")
def test_entries_have_path_and_version_where_services_keep_them(
    rdir: RdirClient, volume: str, release: str
) -> None:
    rdir.chunk_push(volume, *chunk(1), mtime=5, path="a b", version="17")
    known = {"path": "a b", "version": 17} if release == "2026" else {}
    assert list(rdir.chunk_fetch(volume)) == [(*chunk(1), {"mtime": 5, **known})]
    rdir.chunk_delete(volume, *chunk(1))
    assert list(rdir.chunk_fetch(volume)) == []


@pytest.mark.pitfall("W11")
def test_push_always_has_what_services_of_today_want() -> None:
    client = located(answer(204))
    client.chunk_push("v", *chunk(1))
    asked = client.pool_manager.asked[-1].json
    assert (asked["path"], asked["version"], asked["mtime"]) == ("", 0, 0)


@pytest.mark.pitfall("W11")
def test_marker_of_three_ids_is_spelled_as_the_service_does(rdir: RdirClient, volume: str) -> None:
    # Content IDs sort otherwise than chunk IDs.
    pushed = [(CID, f"{9 - number:032X}", f"{number:064X}") for number in range(4)]
    for ids in pushed:
        rdir.chunk_push(volume, *ids)
    found = [item[:3] for item in rdir.chunk_fetch(volume)]
    assert sorted(found) == sorted(pushed)
    for place, ids in enumerate(found):
        marker = "|".join(ids)
        assert [item[:3] for item in rdir.chunk_fetch(volume, start_after=marker)] == found[place + 1 :]
        assert rdir.status(volume, marker=marker)["chunk"]["total"] == 3 - place


@pytest.mark.pitfall("W11")
def test_listing_goes_on_after_the_marker_of_the_service() -> None:
    key = f"{CID}|{1:064X}"
    pages = [
        answer(
            body=[[key, {"content_id": CONTENT, "mtime": 1, "path": "o", "version": 7}]],
            x_oio_list_truncated="true",
            x_oio_list_marker="FURTHER",
        ),
        answer(body=[], x_oio_list_truncated="false"),
    ]
    client = located(*pages)
    info = {"mtime": 1, "path": "o", "version": 7}
    assert list(client.chunk_fetch("v")) == [(*chunk(1), info)]
    assert client.pool_manager.asked[-1].json["start_after"] == "FURTHER"


@pytest.mark.pitfall("E27")
@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_chunks_are_counted_over_all_pages(rdir: RdirClient, volume: str, page_size: int) -> None:
    fill(rdir, volume, 3)
    fill(rdir, volume, 2, OTHER_CID)
    counts = {CID: {"total": 3}, OTHER_CID: {"total": 2}}
    assert rdir.status(volume, page_size) == {"chunk": {"total": 5}, "container": counts}
    assert rdir.status(volume, max=page_size, prefix="B")["container"] == {OTHER_CID: {"total": 2}}
    after = "|".join(chunk(1))
    assert rdir.status(volume, page_size, None, after) == {
        "chunk": {"total": 3},
        "container": {CID: {"total": 1}, OTHER_CID: {"total": 2}},
    }
    assert rdir.status(volume, page_size, prefix="A", marker=after)["chunk"] == {"total": 1}
    rdir.admin_incident_set(volume, 1)
    assert rdir.status(volume, page_size) == {
        "chunk": {"total": 5, "to_rebuild": 4},
        "container": {cid: {**counts[cid], "to_rebuild": 2} for cid in counts},
    }


@pytest.mark.pitfall("E27")
@pytest.mark.usefixtures("no_pause")
def test_count_is_asked_for_as_often_as_is_wished(
    rdir: RdirClient, volume: str, namespace: Namespace
) -> None:
    fault = Fault("status", "rdir", status=503)
    for wished, asked in (({}, 3), ({"max_attempts": 1}, 1), ({"max_attempts": 5}, 5)):
        with namespace.faults(fault) as plan, pytest.raises(exc.ServiceBusy):
            rdir.status(volume, **wished)
        assert plan.hits(fault) == asked


@pytest.mark.pitfall("E27", 141)
def test_count_that_does_not_go_on_is_refused() -> None:
    page = answer(
        body={"chunk": {"total": 1}, "container": {}}, x_oio_list_truncated="true", x_oio_list_marker="M"
    )
    with pytest.raises(exc.OioProtocolError, match="does not go on after 'M'"):
        located(page).status("v")


@pytest.mark.pitfall("B10", 141)
def test_lists_that_do_not_go_on_are_refused() -> None:
    chunks = answer(body=[["A|B|C", {"mtime": 1}]], x_oio_list_truncated="true")
    with pytest.raises(exc.OioProtocolError, match=r"does not go on after 'A\|B\|C'"):
        list(located(chunks).chunk_fetch("v"))
    containers = answer(
        body={"records": [{"container_url": "NS/a/c", "container_id": CID}], "truncated": True}
    )
    with pytest.raises(exc.OioProtocolError, match="does not go on after 'NS/a/c'"):
        list(located(containers).meta2_index_fetch_all("v"))


def test_status_of_an_empty_volume(rdir: RdirClient, volume: str) -> None:
    assert rdir.status(volume) == {"chunk": {"total": 0}, "container": {}}


def test_life_of_the_entry_of_a_chunk(rdir: RdirClient, volume: str) -> None:
    rdir.chunk_push(volume, *chunk(1))
    assert fetch(rdir, volume) == [(*chunk(1), {"mtime": 0})]
    rdir.chunk_push(volume, *chunk(1), mtime=5)
    rdir.chunk_push(volume, *chunk(1, OTHER_CID), mtime=6)
    assert fetch(rdir, volume, container_id=CID) == [(*chunk(1), {"mtime": 5})]
    for _ in range(2):
        rdir.chunk_delete(volume, *chunk(1))
    assert [item[0] for item in rdir.chunk_fetch(volume)] == [OTHER_CID]


@pytest.mark.pitfall("E27")
@pytest.mark.parametrize("mtime", [5, 5.0, 5.99, None])
def test_dates_of_entries_are_whole_seconds(mtime: float | None) -> None:
    client = located(answer(204))
    client.meta2_index_push("v", "NS/a/c", CID, mtime=mtime)
    assert client.pool_manager.asked[-1].json.get("mtime") == (None if mtime is None else 5)
    client = located(answer(204))
    client.chunk_push("v", *chunk(1), mtime=mtime)
    # Services of 2026 want to know it.
    assert client.pool_manager.asked[-1].json["mtime"] == (0 if mtime is None else 5)


@pytest.mark.pitfall("E27")
def test_other_keywords_are_fields_of_the_entry() -> None:
    options = {"reqid": "R", "read_timeout": 5, "headers": {"x": "y"}}
    fields = {"path": "o", "version": 7, "extra_data": {"a": 1}}
    client = located(answer(204))
    client.chunk_push("v", *chunk(1), mtime=5, **options, **fields)
    asked = client.pool_manager.asked[-1]
    ids = dict(zip(("container_id", "content_id", "chunk_id"), chunk(1), strict=True))
    assert asked.json == {**ids, "mtime": 5, **fields}
    assert (asked.headers["x-oio-req-id"], asked.headers["x"]) == ("R", "y")
    client = located(answer(204))
    client.meta2_index_push("v", "NS/a/c", CID, **options, **fields)
    assert client.pool_manager.asked[-1].json == {"container_url": "NS/a/c", "container_id": CID, **fields}


@pytest.mark.pitfall("E27")
@pytest.mark.parametrize("limit", [2, 1000])
def test_chunks_come_in_any_order_and_with_whole_urls(rdir: RdirClient, volume: str, limit: int) -> None:
    pushed = fill(rdir, volume, 5)
    shuffled = fetch(rdir, volume, limit=limit, shuffle=True)
    assert sorted(shuffled, key=lambda item: item[:3]) == pushed
    whole = fetch(rdir, volume, limit=limit, full_urls=True)
    assert whole == [(cid, content, f"http://{volume}/{name}", info) for cid, content, name, info in pushed]


@pytest.mark.pitfall("E27")
def test_chunks_are_shuffled_within_their_pages(
    rdir: RdirClient, volume: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = fill(rdir, volume, 5)
    monkeypatch.setattr("random.shuffle", list.reverse)
    found = fetch(rdir, volume, limit=3, shuffle=True)
    assert found == [*reversed(pushed[:3]), *reversed(pushed[3:])]


def test_incident_and_rebuild_of_a_volume(rdir: RdirClient, volume: str) -> None:
    pushed = fill(rdir, volume, 4)
    assert rdir.admin_incident_get(volume) == 0
    assert fetch(rdir, volume, rebuild=True) == []
    rdir.admin_incident_set(volume, 1)
    assert rdir.admin_incident_get(volume) == 1
    assert fetch(rdir, volume, rebuild=True) == pushed[:2]
    assert rdir.admin_clear(volume)["removed"] == 0
    assert rdir.admin_clear(volume, clear_all=True) == {"removed": 4, "repaired": 0, "errors": 0}


def test_volume_is_locked_by_one(rdir: RdirClient, volume: str) -> None:
    assert rdir.admin_show(volume) == {}
    rdir.admin_lock(volume, "me")
    assert rdir.admin_show(volume) == {"lock": "me"}
    with pytest.raises(exc.Forbidden, match="by me"):
        rdir.admin_lock(volume, "you")
    for _ in range(2):
        rdir.admin_unlock(volume)
    assert rdir.admin_show(volume) == {}


def test_chunks_of_objects_are_known(api: Any, rdir: RdirClient) -> None:
    meta = create(api, "o", policy="THREECOPIES")
    _, chunks = api.object_locate(ACCOUNT, CONTAINER, "o")
    for stored in chunks:
        volume, _, chunk_id = stored["url"].removeprefix("http://").partition("/")
        found = [item[:3] for item in rdir.chunk_fetch(volume)]
        assert found == [(meta["container_id"], meta["id"], chunk_id)]


# --- containers --------------------------------------------------------------------------------------


def test_life_of_the_entry_of_a_container(rdir: RdirClient, volume: str) -> None:
    rdir.meta2_index_create(volume)
    rdir.meta2_index_push(volume, "OPENIO/a/c", CID, mtime=5)
    rdir.meta2_index_push(volume, "OPENIO/a/d", OTHER_CID)
    page = rdir.meta2_index_fetch(volume)
    records = [(r["container_url"], r["container_id"], r["mtime"]) for r in page["records"]]
    assert records == [("OPENIO/a/c", CID, 5), ("OPENIO/a/d", OTHER_CID, 0)]
    assert page["truncated"] is False
    assert len(rdir.meta2_index_fetch(volume, marker="OPENIO/a/c", limit=1)["records"]) == 1
    assert rdir.meta2_index_fetch(volume, prefix="OPENIO/b")["records"] == []
    rdir.meta2_index_delete(volume, "OPENIO/a/c", CID)
    assert [r["container_id"] for r in rdir.meta2_index_fetch_all(volume)] == [OTHER_CID]


@pytest.mark.pitfall("E27")
@pytest.mark.parametrize("service_type", ["meta2", "rawx"])
def test_list_of_a_volume_is_made_for_its_type(rdir: RdirClient, volume: str, service_type: str) -> None:
    rdir.directory.force(
        RDIR_ACCT,
        "volume-2",
        "rdir",
        rdir.directory.list(RDIR_ACCT, volume)["srv"][0],
        autocreate=True,
    )
    rdir.create("volume-2", service_type=service_type)
    lists = {"rawx": lambda: list(rdir.chunk_fetch("volume-2")), "meta2": lambda: fetched(rdir, "volume-2")}
    assert lists.pop(service_type)() == []
    for other in lists.values():
        with pytest.raises(exc.NotFound):
            other()
    with pytest.raises(ValueError, match="service_type must be 'rawx' or 'meta2', not 'rdir'"):
        rdir.create("volume-2", "rdir")


def fetched(rdir: RdirClient, volume: str) -> list[str]:
    return [record["container_url"] for record in rdir.meta2_index_fetch_all(volume)]


@pytest.mark.pitfall("E27")
def test_changes_of_the_list_of_containers_give_the_answer(rdir: RdirClient, volume: str) -> None:
    response, body = rdir.meta2_index_create(volume)
    assert (response.status, body) == (201, b"")
    response, body = rdir.meta2_index_push(volume, "OPENIO/a/c", CID)
    assert (response.status, body) == (204, b"")


@pytest.mark.pitfall("E27")
@pytest.mark.parametrize("told", ["path", "id", "lower", "both", "positions"])
def test_container_is_forgotten_by_its_path_or_its_id(rdir: RdirClient, volume: str, told: str) -> None:
    cid, other = cid_from_name("a", "c/d"), cid_from_name("a", "e")
    rdir.meta2_index_create(volume)
    rdir.meta2_index_push(volume, "OPENIO/a/c/d", cid)
    rdir.meta2_index_push(volume, "OPENIO/a/e", other)
    given: dict[str, Any] = {
        "path": {"container_path": "OPENIO/a/c/d"},
        "id": {"container_id": cid},
        "lower": {"container_id": cid.lower()},
        "both": {"container_path": "OPENIO/a/c/d", "container_id": cid},
    }
    for _ in range(2):
        if told == "positions":
            rdir.meta2_index_delete(volume, "OPENIO/a/c/d", cid)
        else:
            rdir.meta2_index_delete(volume, **given[told])
    assert fetched(rdir, volume) == ["OPENIO/a/e"]
    with pytest.raises(ValueError, match="container_path or container_id"):
        rdir.meta2_index_delete(volume)


def test_no_container_is_lost_between_pages(rdir: RdirClient, volume: str) -> None:
    rdir.meta2_index_create(volume)
    urls = [f"OPENIO/a/{number:05}" for number in range(150)]
    for url in urls:
        rdir.meta2_index_push(volume, url, CID)
    assert rdir.meta2_index_fetch(volume, limit=100)["truncated"] is True
    assert [r["container_url"] for r in rdir.meta2_index_fetch_all(volume, limit=100)] == urls


# --- where the service is ----------------------------------------------------------------------------


def test_volume_without_an_rdir_is_told(rdir: RdirClient) -> None:
    for call in (rdir.status, rdir.create, rdir.admin_show, rdir.meta2_index_create):
        with pytest.raises(exc.VolumeException, match="No rdir assigned to volume unknown"):
            call("unknown")
    with pytest.raises(exc.VolumeException):
        list(rdir.chunk_fetch("unknown"))
    rdir.directory.create(RDIR_ACCT, "unlinked")
    with pytest.raises(exc.VolumeException, match="No rdir assigned to volume unlinked"):
        rdir.chunk_push("unlinked", *chunk(1))


def test_service_of_a_volume_is_looked_up_once(rdir: RdirClient, volume: str, namespace: Namespace) -> None:
    namespace.forget_requests()
    fill(rdir, volume, 3)
    assert [record.service for record in namespace.requests] == ["rdir"] * 3


@pytest.mark.pitfall(70)
def test_one_call_has_one_request_id_in_all_its_requests(
    rdir: RdirClient, volume: str, namespace: Namespace
) -> None:
    fill(rdir, volume, 3)
    for given in ({"reqid": "MINE"}, {"headers": {"X-Oio-Req-Id": "MINE"}}, {}):
        rdir._endpoints.clear()
        namespace.forget_requests()
        list(rdir.chunk_fetch(volume, limit=1, **given))
        seen = {header(record, "x-oio-req-id") for record in namespace.requests}
        assert len(namespace.requests) == 4
        assert len(seen) == 1
        assert (seen == {"MINE"}) is bool(given)


def test_service_that_left_is_looked_up_again(rdir: RdirClient, volume: str, namespace: Namespace) -> None:
    with namespace.faults(Fault("refuse", service="rdir")), pytest.raises(exc.OioNetworkException):
        rdir.chunk_push(volume, *chunk(1))
    namespace.forget_requests()
    rdir.chunk_push(volume, *chunk(1))
    assert [record.service for record in namespace.requests] == ["proxy", "rdir"]


@pytest.mark.pitfall(76, 91)
@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize("fault", [Fault("reset", "rdir", nth=2), Fault("status", "rdir", nth=2, status=503)])
def test_listing_survives_a_page_that_fails(
    rdir: RdirClient, volume: str, namespace: Namespace, fault: Fault
) -> None:
    pushed = fill(rdir, volume, 3)
    with namespace.faults(fault) as plan:
        assert fetch(rdir, volume, limit=1) == pushed
    plan.assert_met()
    with namespace.faults(fault), pytest.raises((exc.OioNetworkException, exc.ServiceBusy)):
        list(rdir.chunk_fetch(volume, limit=1, max_attempts=1))


@pytest.mark.usefixtures("no_pause")
def test_listing_gives_up_after_some_attempts(rdir: RdirClient, volume: str, namespace: Namespace) -> None:
    fault = Fault("status", "rdir", status=503)
    with namespace.faults(fault) as plan, pytest.raises(exc.ServiceBusy):
        list(rdir.chunk_fetch(volume))
    assert plan.hits(fault) == 3


def located(*answers: Any) -> RdirClient:
    """A client that sends nothing, and knows where the rdir of volume ``v`` is."""
    link = {"srv": [{"type": "rdir", "host": "10.0.0.1:6300"}]}
    return RdirClient(CONF, endpoint="p:1", pool_manager=RecordingPool(answer(body=link), *answers))


def test_service_may_be_named_by_its_id() -> None:
    link = {"srv": [{"type": "rdir", "host": "rdir-1"}]}
    pool = RecordingPool(answer(body=link), answer(body={"addr": "10.0.0.1:6300"}), answer(body={}))
    RdirClient(CONF, endpoint="p:1", pool_manager=pool).admin_show("v")
    assert pool.asked[1].query == {"type": "rdir", "service_id": "rdir-1"}
    assert pool.asked[2].url == "http://10.0.0.1:6300/v1/rdir/admin/show?vol=v"


@pytest.mark.parametrize(
    ("wish", "query", "body"),
    [
        ({}, {}, None),
        ({"clear_all": True}, {"all": "1"}, {"all": True, "before_incident": False}),
        ({"before_incident": True}, {"before_incident": "1"}, {"all": False, "before_incident": True}),
        ({"repair": True}, {"repair": "1"}, {"all": False, "before_incident": False, "repair": True}),
    ],
)
def test_what_is_to_be_cleared_is_said_as_either_release_was_asked(wish: Any, query: Any, body: Any) -> None:
    client = located(answer(body={"removed": 0, "repaired": 0, "errors": 0}))
    client.admin_clear("v", **wish)
    asked = client.directory.pool_manager.asked[-1]  # type: ignore[attr-defined]
    assert (asked.method, asked.path) == ("POST", "/v1/rdir/admin/clear")
    assert (asked.query, asked.json) == ({"vol": "v", **query}, body)


@pytest.mark.pitfall(141)
def test_old_service_says_nothing_and_is_asked_until_nothing_is_left() -> None:
    keys = [f"{CID}|{CONTENT}|{number:064X}" for number in range(3)]
    pages = [[[keys[0], {}], [keys[1], {}]], [[keys[2], {}]], []]
    found = located(*(answer(body=page) for page in pages)).chunk_fetch("v")
    assert ["|".join(item[:3]) for item in found] == keys


@pytest.mark.pitfall(141)
@pytest.mark.parametrize("body", [[], [["A|B", {}]], [["A", {}]], [["A|B|C"]], [1], {"a": 1}, b"<html>"])
def test_answer_that_is_no_listing_is_refused(body: Any) -> None:
    client = located(answer(body=body, x_oio_list_truncated="true"))
    with pytest.raises(exc.OioProtocolError):
        list(client.chunk_fetch("v"))


@pytest.mark.pitfall(141)
def test_counting_that_cannot_go_on_is_refused() -> None:
    body = {"chunk": {"total": 1}, "container": {}}
    with pytest.raises(exc.OioProtocolError):
        located(answer(body=body, x_oio_list_truncated="true")).status("v")


# --- who gets which ----------------------------------------------------------------------------------


@pytest.fixture
def dispatcher(namespace: Namespace) -> Iterator[RdirDispatcher]:
    """A dispatcher, in a namespace whose volumes have no rdir yet."""
    with RdirDispatcher(CONF, endpoint=namespace.endpoint) as made:
        for service_type in ("rawx", "meta2"):
            for service in made.conscience.all_services(service_type):
                made.directory.delete(RDIR_ACCT, service["id"], force=True)
        yield made


@pytest.mark.pitfall("E28")
def test_volumes_get_an_rdir(dispatcher: RdirDispatcher, namespace: Namespace) -> None:
    services, rdirs = dispatcher.get_assignments("rawx")
    assert len(services) == 3
    assert not any("rdir" in service for service in services)
    assert [rdir["volumes"] for rdir in rdirs] == [0]
    services = dispatcher.assign_all_rawx()
    for service in services:
        known = service["rdir"]
        assert (known["addr"], known["id"], known["volumes"]) == (*[namespace.rdir.address] * 2, 3)
        assert "tag.loc" in known["tags"] or known["tags"] == rdirs[0]["tags"]
        assert list(dispatcher.rdir.chunk_fetch(service["id"])) == []
    assert dispatcher.get_assignments("rawx")[0] == services
    namespace.forget_requests()
    assert dispatcher.assign_all_rawx() == services
    assert {record.method for record in namespace.requests} == {"GET"}, "nothing is left to do"


@pytest.mark.pitfall("E28")
def test_meta2_services_get_an_rdir(dispatcher: RdirDispatcher, namespace: Namespace) -> None:
    (service,) = dispatcher.assign_all_meta2()
    assert service["rdir"]["addr"] == namespace.rdir.address
    assert list(dispatcher.rdir.meta2_index_fetch_all(service["id"])) == []


@pytest.mark.pitfall("E28")
def test_dispatcher_uses_the_client_that_it_is_given(rdir: RdirClient) -> None:
    with RdirDispatcher(CONF, rdir_client=rdir) as made:
        assert made.rdir is rdir
        assert made.cs is made.conscience is rdir.conscience
        assert made.directory is rdir.directory
        services = made.assign_all_rawx(reassign=True)
    assert len(services) == 3
    for service in services:
        assert rdir.status(service["id"])["chunk"] == {"total": 0}


@pytest.mark.pitfall("E28")
@pytest.mark.parametrize("kind", [Mock, lambda: Mock(spec=RdirClient), lambda: create_autospec(RdirClient)])
def test_clients_of_the_dispatcher_may_be_mocks(kind: Any) -> None:
    made = RdirDispatcher(CONF, kind(), endpoint="127.0.0.1:1")
    made.cs = Mock(spec=ConscienceClient)
    made.directory = Mock(spec=DirectoryClient)
    described = {"addr": "10.0.0.1:1", "id": "10.0.0.1:1", "tags": {}, "score": 5}
    made.cs.all_services.side_effect = lambda kind, **_: [dict(described)]
    made.directory.list.return_value = {"srv": []}
    (service,) = made.assign_services("rawx")
    assert service["rdir"]["addr"] == "10.0.0.1:1"
    assert made.directory.force.call_args.args[:3] == (RDIR_ACCT, "10.0.0.1:1", "rdir")
    assert made.rdir.create.call_args.args == ("10.0.0.1:1", "rawx")
    made.close()


class Cluster:
    """Services of a namespace that is not there: volumes, their places, and which rdir they have."""

    def __init__(self, volumes: dict[str, str], rdirs: dict[str, tuple[str, int]]) -> None:
        self.links: dict[str, str] = {}
        self.others: dict[str, str] = {}
        self.broken: dict[str, int] = {}
        self.asked: list[Any] = []
        self.services = {
            "rawx": [service(name, location) for name, location in volumes.items()],
            "rdir": [service(name, *described) for name, described in rdirs.items()],
        }

    def __call__(self, asked: Any) -> Any:
        self.asked.append(asked)
        if asked.path.endswith("conscience/list"):
            return answer(body=self.services[asked.query["type"]])
        volume = asked.query.get("ref") or asked.query["vol"]
        if asked.path.endswith("reference/show"):
            host = self.links.get(volume)
            return answer(body={"srv": [{"type": "rdir", "host": host}] if host else []})
        if volume in self.broken:
            return answer(self.broken[volume], {"status": 500, "message": f"{volume} is broken"})
        if asked.path.endswith("reference/force"):
            other = self.others.get(volume)
            self.links[volume] = other or asked.json["host"]
            return answer(403, {"status": 455, "message": "linked"}) if other else answer(204)
        return answer(201)

    def dispatcher(self) -> RdirDispatcher:
        return RdirDispatcher(CONF, endpoint="p:1", pool_manager=RecordingPool(self))

    def assign(self, **given: Any) -> dict[str, str]:
        services = self.dispatcher().assign_all_rawx(**given)
        assert {item["id"]: item["rdir"]["id"] for item in services if "rdir" in item} == self.links
        return self.links


def service(name: str, location: str, score: int = 50) -> dict[str, Any]:
    return {"addr": name, "score": score, "tags": {"tag.loc": location} if location else {}}


VOLUMES = {f"v:{number}": f"host{number}.v" for number in range(6)}


def test_volumes_are_spread_over_the_rdir_services_that_are_up() -> None:
    rdirs = {"r:1": ("a.r", 50), "r:2": ("b.r", 1), "r:3": ("c.r", 0)}
    links = Cluster(VOLUMES, rdirs).assign()
    assert sorted(links.values()) == ["r:1"] * 3 + ["r:2"] * 3


@pytest.mark.parametrize("located", [True, False])
def test_rdir_of_a_volume_is_elsewhere_if_it_can(located: bool) -> None:
    places = ("host1.v", "host2.v") if located else ("", "")
    volumes = {f"10.0.0.1:{number}": places[0] for number in range(3)}
    rdirs = {"10.0.0.1:99": (places[0], 50), "10.0.0.2:99": (places[1], 50)}
    assert set(Cluster(volumes, rdirs).assign().values()) == {"10.0.0.2:99"}
    del rdirs["10.0.0.2:99"]
    assert set(Cluster(volumes, rdirs).assign().values()) == {"10.0.0.1:99"}


def test_volume_that_somebody_else_has_just_linked_stays_so() -> None:
    cluster = Cluster({"v:1": "a.v", "v:2": "b.v"}, {"r:1": ("c.r", 50)})
    cluster.others["v:1"] = "r:9"
    assert cluster.assign() == {"v:1": "r:9", "v:2": "r:1"}


def test_volumes_without_any_rdir_service_are_told() -> None:
    with pytest.raises(exc.VolumeException, match="no rdir service is up, volume 'v:1' needs one"):
        Cluster({"v:1": "a.v"}, {"r:1": ("c.r", 0)}).assign()


@pytest.mark.pitfall("E28")
def test_rdir_service_gets_no_more_volumes_than_allowed() -> None:
    cluster = Cluster(VOLUMES, {"r:1": ("a.r", 50), "r:2": ("b.r", 50)})
    with pytest.raises(exc.VolumeException, match=r"2 volumes failed .* has less than 2 volumes"):
        cluster.assign(max_per_rdir=2)
    assert sorted(cluster.links.values()) == ["r:1"] * 2 + ["r:2"] * 2
    assert len(cluster.assign(max_per_rdir=3)) == 6


@pytest.mark.pitfall("E28")
@pytest.mark.parametrize(("least", "chosen"), [(0, "r:1"), (1, "r:1"), (2, "r:2"), (3, "r:3")])
def test_rdir_service_is_as_far_away_as_is_wished(least: int, chosen: str) -> None:
    rdirs = {"r:1": ("k1.h1.r", 50), "r:2": ("k1.h2.r", 50), "r:3": ("k2.h1.r", 50)}
    near = {name: place for name, place in rdirs.items() if name <= chosen}
    assert Cluster({"v:1": "k1.h1.v"}, near).assign(min_dist=least) == {"v:1": chosen}
    with pytest.raises(exc.VolumeException, match="at a distance of 4, volume 'v:1' needs one"):
        Cluster({"v:1": "k1.h1.v"}, rdirs).assign(min_dist=4)


@pytest.mark.pitfall("E28")
def test_one_volume_alone_gets_an_rdir() -> None:
    cluster = Cluster(VOLUMES, {"r:1": ("a.r", 50)})
    assert cluster.assign(service_id="v:3") == {"v:3": "r:1"}
    services = cluster.dispatcher().assign_services("rawx", service_id="v:3")
    assert [item["id"] for item in services] == [*VOLUMES]
    with pytest.raises(exc.VolumeException, match="there is no rawx service 'v:9'"):
        cluster.assign(service_id="v:9")


@pytest.mark.pitfall("E28")
def test_volumes_are_assigned_again_when_that_is_wished() -> None:
    cluster = Cluster(VOLUMES, {"r:1": ("a.r", 50), "r:2": ("b.r", 50)})
    cluster.links = dict.fromkeys(VOLUMES, "r:1") | {"v:0": "r:gone"}
    assert cluster.assign() == dict.fromkeys(VOLUMES, "r:1") | {"v:0": "r:gone"}
    assert sorted(cluster.assign(reassign=True).values()) == ["r:1"] * 3 + ["r:2"] * 3
    forced = [asked for asked in cluster.asked if asked.path.endswith("reference/force")]
    assert {asked.query["replace"] for asked in forced} == {"yes"}
    cluster.asked.clear()
    cluster.assign(reassign=True)
    assert not any(asked.path.endswith("force") for asked in cluster.asked), "it is as good as can be"


@pytest.mark.pitfall("E28")
def test_volume_that_moves_is_looked_for_at_its_new_place() -> None:
    cluster = Cluster({"v:1": "a.v"}, {"r:1": ("b.r", 0), "r:2": ("c.r", 50)})
    cluster.links = {"v:1": "r:1"}
    dispatcher = cluster.dispatcher()
    dispatcher.rdir.create("v:1")
    dispatcher.assign_services("rawx", reassign=True)
    creations = [asked.url for asked in cluster.asked if "/v1/rdir/create" in asked.url]
    assert [url.partition("/v1")[0] for url in creations] == ["http://r:1", "http://r:2"]


@pytest.mark.pitfall("E28")
def test_volume_that_fails_does_not_prevent_the_others() -> None:
    cluster = Cluster(VOLUMES, {"r:1": ("a.r", 50)})
    cluster.broken = {"v:1": 500}
    with pytest.raises(exc.ClientException, match=r"^v:1 is broken") as caught:
        cluster.assign()
    assert type(caught.value) is exc.ClientException
    assert cluster.links.keys() == VOLUMES.keys() - {"v:1"}


@pytest.mark.pitfall("E28")
@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        ({"v:1": 503, "v:4": 503}, exc.ServiceBusy),
        ({"v:1": 503, "v:4": 404}, exc.OioException),
        ({"v:1": 503, "v:2": 503, "v:4": 403}, exc.OioException),
    ],
)
def test_failures_of_one_class_are_of_this_class_in_the_end(
    broken: dict[str, int], kind: type[Exception]
) -> None:
    cluster = Cluster(VOLUMES, {"r:1": ("a.r", 50)})
    cluster.broken = broken
    with pytest.raises(exc.OioException, match=r"volumes failed .*v:1.*v:4.*v:1 is broken") as caught:
        cluster.assign()
    assert type(caught.value) is kind
    assert cluster.links.keys() == VOLUMES.keys() - broken.keys()
