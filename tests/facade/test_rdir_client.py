# SPDX-License-Identifier: Apache-2.0
"""The clients of the rdir services: what volumes hold, and who knows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.rdir.client import RDIR_ACCT, RdirClient, RdirDispatcher
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, create, header
from tests.kit.recording import RecordingPool, answer

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


def chunk(number: int, cid: str = CID) -> tuple[str, str, str]:
    return cid, CONTENT, f"{number:064X}"


def fill(rdir: RdirClient, volume: str, number: int, cid: str = CID) -> list[Any]:
    """Push chunks, and return what is to be fetched."""
    for n in range(number):
        rdir.chunk_push(volume, *chunk(n, cid), mtime=n)
    return [(*chunk(n, cid), {"mtime": n}) for n in range(number)]


# --- chunks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 1000])
def test_no_chunk_is_lost_between_pages(rdir: RdirClient, volume: str, limit: int) -> None:
    pushed = fill(rdir, volume, 5)
    assert list(rdir.chunk_fetch(volume, limit=limit)) == pushed
    assert list(rdir.chunk_fetch(volume, limit=limit, start_after="|".join(chunk(2)))) == pushed[3:]


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_chunks_are_counted_over_all_pages(rdir: RdirClient, volume: str, page_size: int) -> None:
    fill(rdir, volume, 3)
    fill(rdir, volume, 2, OTHER_CID)
    counts = {CID: {"total": 3}, OTHER_CID: {"total": 2}}
    assert rdir.status(volume, page_size) == {"chunk": {"total": 5}, "container": counts}
    assert rdir.status(volume, page_size, prefix="B")["container"] == {OTHER_CID: {"total": 2}}
    rdir.admin_incident_set(volume, 1)
    assert rdir.status(volume, page_size) == {
        "chunk": {"total": 5, "to_rebuild": 4},
        "container": {cid: {**counts[cid], "to_rebuild": 2} for cid in counts},
        "rebuild": {"incident_date": 1},
    }


def test_status_of_an_empty_volume(rdir: RdirClient, volume: str) -> None:
    assert rdir.status(volume) == {"chunk": {"total": 0}, "container": {}}


def test_life_of_the_entry_of_a_chunk(rdir: RdirClient, volume: str) -> None:
    rdir.chunk_push(volume, *chunk(1))
    assert list(rdir.chunk_fetch(volume)) == [(*chunk(1), {"mtime": 0})]
    rdir.chunk_push(volume, *chunk(1), mtime=5)
    rdir.chunk_push(volume, *chunk(1, OTHER_CID), mtime=6)
    assert list(rdir.chunk_fetch(volume, container_id=CID)) == [(*chunk(1), {"mtime": 5})]
    for _ in range(2):
        rdir.chunk_delete(volume, *chunk(1))
    assert [item[0] for item in rdir.chunk_fetch(volume)] == [OTHER_CID]


def test_incident_and_rebuild_of_a_volume(rdir: RdirClient, volume: str) -> None:
    pushed = fill(rdir, volume, 4)
    assert rdir.admin_incident_get(volume) == 0
    assert list(rdir.chunk_fetch(volume, rebuild=True)) == []
    rdir.admin_incident_set(volume, 1)
    assert rdir.admin_incident_get(volume) == 1
    assert list(rdir.chunk_fetch(volume, rebuild=True)) == pushed[:2]
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
        with pytest.raises(exc.VolumeException, match="'unknown' has no rdir"):
            call("unknown")
    with pytest.raises(exc.VolumeException):
        list(rdir.chunk_fetch("unknown"))
    rdir.directory.create(RDIR_ACCT, "unlinked")
    with pytest.raises(exc.VolumeException, match="'unlinked' has no rdir"):
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
        assert list(rdir.chunk_fetch(volume, limit=1)) == pushed
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


@pytest.mark.pitfall(141)
def test_old_service_says_nothing_and_is_asked_until_nothing_is_left() -> None:
    keys = [f"{CID}|{CONTENT}|{number:064X}" for number in range(3)]
    pages = [[[keys[0], {}], [keys[1], {}]], [[keys[2], {}]], []]
    found = located(*(answer(body=page) for page in pages)).chunk_fetch("v")
    assert ["|".join(item[:3]) for item in found] == keys


@pytest.mark.pitfall(141)
@pytest.mark.parametrize("body", [[], [["A|B", {}]], [["A|B|C"]], [1], {"a": 1}, b"<html>"])
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


def test_volumes_get_an_rdir(dispatcher: RdirDispatcher, namespace: Namespace) -> None:
    services, rdirs = dispatcher.get_assignments("rawx")
    assert {service["rdir"] for service in services} == {None}
    assert [rdir["volumes"] for rdir in rdirs] == [0]
    services, rdirs = dispatcher.assign_all_rawx()
    assert {service["rdir"] for service in services} == {namespace.rdir.address}
    assert [rdir["volumes"] for rdir in rdirs] == [3]
    assert dispatcher.get_assignments("rawx") == (services, rdirs)
    for service in services:
        assert list(dispatcher.rdir.chunk_fetch(service["id"])) == []
    namespace.forget_requests()
    dispatcher.assign_all_rawx()
    assert {record.method for record in namespace.requests} == {"GET"}, "nothing is left to do"


def test_meta2_services_get_an_rdir(dispatcher: RdirDispatcher, namespace: Namespace) -> None:
    (service,), _ = dispatcher.assign_all_meta2()
    assert service["rdir"] == namespace.rdir.address
    assert list(dispatcher.rdir.meta2_index_fetch_all(service["id"])) == []


class Cluster:
    """Services of a namespace that is not there: volumes, their places, and which rdir they have."""

    def __init__(self, volumes: dict[str, str], rdirs: dict[str, tuple[str, int]]) -> None:
        self.links: dict[str, str] = {}
        self.others: dict[str, str] = {}
        self.services = {
            "rawx": [service(name, location) for name, location in volumes.items()],
            "rdir": [service(name, *described) for name, described in rdirs.items()],
        }

    def __call__(self, asked: Any) -> Any:
        if asked.path.endswith("conscience/list"):
            return answer(body=self.services[asked.query["type"]])
        if asked.path.endswith("reference/show"):
            host = self.links.get(asked.query["ref"])
            return answer(body={"srv": [{"type": "rdir", "host": host}] if host else []})
        if asked.path.endswith("reference/force"):
            other = self.others.get(asked.query["ref"])
            self.links[asked.query["ref"]] = other or asked.json["host"]
            return answer(403, {"status": 455, "message": "linked"}) if other else answer(204)
        return answer(201)

    def assign(self) -> dict[str, str]:
        RdirDispatcher(CONF, endpoint="p:1", pool_manager=RecordingPool(self)).assign_all_rawx()
        return self.links


def service(name: str, location: str, score: int = 50) -> dict[str, Any]:
    return {"addr": name, "score": score, "tags": {"tag.loc": location} if location else {}}


def test_volumes_are_spread_over_the_rdir_services_that_are_up() -> None:
    volumes = {f"v:{number}": f"host{number}.v" for number in range(6)}
    rdirs = {"r:1": ("a.r", 50), "r:2": ("b.r", 1), "r:3": ("c.r", 0)}
    links = Cluster(volumes, rdirs).assign()
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
