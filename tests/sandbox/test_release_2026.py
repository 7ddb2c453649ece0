# SPDX-License-Identifier: Apache-2.0
"""What the services of the release 2026 do otherwise, asked by hand."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from blake3 import blake3

from oio.sandbox import Namespace
from tests.kit.chunkdata import HEADERS, META
from tests.kit.rawsocket import Answer, RawSocket

DATA = b"hello openio " * 5
BLAKE3 = "3B27FF3A1997B6C3809782CA97B82646588D15DC9D4B62F78A1C2CCD10745DB3"
MD5 = "A239F055E8D57BF6DC8C0D5EF61C6268"
WITH_BLAKE3 = "plain/cca=blake3,nb_copy=1,oca=md5"
CONTENT = "x-oio-content-meta-"


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    with Namespace(tmp_path_factory.mktemp("namespace"), rawx=4, release="2026") as running:
        yield running


@pytest.fixture
def services(namespace: Namespace, request: pytest.FixtureRequest) -> Services:
    return Services(namespace, request.node.name)


class Services:
    """The services of a namespace, asked about a container of the test's own."""

    def __init__(self, namespace: Namespace, container: str) -> None:
        self.namespace = namespace
        self.account, self.container = "account", container
        self.rawx = namespace.rawx[0]
        self.shards: list[str] = []

    def proxy(
        self,
        method: str,
        route: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        **query: object,
    ) -> Answer:
        query = {"acct": self.account, "ref": self.container} | query
        with RawSocket(self.namespace.proxy.address) as connection:
            data = b"" if body is None else json.dumps(body).encode()
            target = f"/v3.0/{self.namespace.name}/{route}?{urlencode(query)}"
            return connection.ask(method, target, list((headers or {}).items()), data)

    def ask_account(self, method: str, route: str, body: Any = None, **query: object) -> Answer:
        with RawSocket(self.namespace.account.address) as connection:
            data = b"" if body is None else json.dumps(body).encode()
            return connection.ask(method, f"/v1.0/{route}?{urlencode(query)}", (), data)

    def ask_rdir(self, method: str, route: str, body: Any = None, **query: object) -> Answer:
        with RawSocket(self.namespace.rdir.address) as connection:
            data = b"" if body is None else json.dumps(body).encode()
            return connection.ask(method, f"/v1/rdir/{route}?{urlencode(query)}", (), data)

    def chunk(
        self, method: str, chunk_id: str, *headers: tuple[str, str], body: bytes | None = None
    ) -> Answer:
        with RawSocket(self.rawx.address) as connection:
            return connection.ask(method, f"/{chunk_id}", headers, body)

    def put(self, chunk_id: str, chunk_method: str, *headers: tuple[str, str]) -> Answer:
        described = [*HEADERS, (f"{META}content-chunk-method", chunk_method)]
        kept = list(dict(described).items())
        return self.chunk("PUT", chunk_id, *kept, *headers, body=DATA)

    def prepare(self, name: str, policy: str = "SINGLE", **query: object) -> Answer:
        return self.proxy("POST", "content/prepare2", {"size": 1, "policy": policy}, path=name, **query)

    def create(
        self, name: str = "o", policy: str = "SINGLE", version: int | None = None, **query: object
    ) -> Answer:
        """Make an object of which no chunk is stored."""
        prepared = self.prepare(name, policy, **({} if version is None else {"version": version}))
        chunks = [dict(item, size=len(DATA), hash=MD5) for item in json.loads(prepared.body)["chunks"]]
        return self.commit(name, prepared, chunks, **query)

    def commit(self, name: str, prepared: Answer, chunks: list[dict[str, Any]], **query: object) -> Answer:
        headers = {CONTENT + key: prepared.get(CONTENT + key) or "" for key in ("id", "policy", "version")}
        headers |= {f"{CONTENT}length": str(len(DATA)), f"{CONTENT}hash": MD5}
        headers |= {f"{CONTENT}chunk-method": prepared.get(f"{CONTENT}chunk-method") or ""}
        headers["x-oio-action-mode"] = "autocreate"
        return self.proxy("POST", "content/create", {"chunks": chunks}, headers, path=name, **query)

    def located(self, name: str = "o", **query: object) -> list[str]:
        return [
            item["url"] for item in json.loads(self.proxy("GET", "content/locate", path=name, **query).body)
        ]

    def cid(self) -> str:
        text = self.account.encode() + b"\0" + self.container.encode()
        return hashlib.sha256(text).hexdigest().upper()

    def computed(self, name: str, version: str, pos: str, policy: str, cid: str | None = None) -> str:
        text = f"{cid or self.cid()}{name}{version}{pos}{policy}"
        return hashlib.sha256(text.encode()).hexdigest().upper()


def chunk_id(number: int) -> str:
    return f"{number:064X}"


# -- chunk servers


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize(
    ("number", "method", "expected"),
    [
        (1, "plain/nb_copy=1", MD5),
        (2, WITH_BLAKE3, BLAKE3),
        (3, "plain/nb_copy=1, cca=blake3", MD5),
        (4, "plain/cca=sha256,nb_copy=1", BLAKE3),
        (5, "plain/cca=,nb_copy=1", MD5),
        (6, "plain/cca=blake3,cca=md5", MD5),
    ],
)
def test_the_chunk_method_chooses_the_hash(
    services: Services, number: int, method: str, expected: str
) -> None:
    assert services.put(chunk_id(number), method).get(f"{META}chunk-hash") == expected


@pytest.mark.pitfall("W1")
def test_a_method_without_hash_gets_one_in_any_order(services: Services) -> None:
    served = set()
    for number in range(100, 120):
        assert services.put(chunk_id(number), "plain/nb_copy=3,oca=md5").status == 201
        answer = services.chunk("HEAD", chunk_id(number))
        served.add(answer.get(f"{META}content-chunk-method"))
    assert {frozenset(str(method).removeprefix("plain/").split(",")) for method in served} == {
        frozenset({"nb_copy=3", "oca=md5", "cca=md5"})
    }
    assert len(served) > 1


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize(
    ("number", "given", "status"),
    [(11, BLAKE3.lower(), 201), (12, BLAKE3, 201), (13, MD5, 400), (14, "0" * 64, 400), (15, "0" * 66, 400)],
)
def test_a_hash_that_is_sent_must_be_that_of_the_data(
    services: Services, number: int, given: str, status: int
) -> None:
    answer = services.put(chunk_id(number), WITH_BLAKE3, (f"{META}chunk-hash", given))
    assert answer.status == status


@pytest.mark.pitfall("W1")
def test_the_length_of_the_expected_hash_chooses_what_is_checked(services: Services) -> None:
    services.put(chunk_id(20), WITH_BLAKE3)
    check = ("x-oio-check-hash", "true")
    expected = {BLAKE3: 200, MD5: 200, blake3(b"other").hexdigest(): 412, "0" * 32: 412}
    answers = {
        text: services.chunk("HEAD", chunk_id(20), check, (f"{META}chunk-hash", text)) for text in expected
    }
    assert {text: answer.status for text, answer in answers.items()} == expected


@pytest.mark.pitfall("W1")
def test_a_short_chunk_is_served_as_far_as_it_goes(services: Services) -> None:
    services.put(chunk_id(21), WITH_BLAKE3)
    with services.rawx.store.path(chunk_id(21)).open("r+b") as file:
        file.truncate(60)
    assert services.chunk("HEAD", chunk_id(21)).get("content-length") == "65"
    assert services.chunk("HEAD", chunk_id(21), ("x-oio-check-hash", "true")).status == 412
    with RawSocket(services.rawx.address) as connection:
        answer = connection.ask("GET", f"/{chunk_id(21)}")
        assert (answer.status, answer.get("content-length"), answer.body) == (200, "65", DATA[:60])
        assert connection.is_closed()


@pytest.mark.pitfall("W2")
def test_free_attributes_are_kept_and_added(services: Services) -> None:
    answer = services.put(chunk_id(22), WITH_BLAKE3, ("X-oio-Ext-colour", "blue%20sky"))
    assert answer.get(f"{META}oio-version") is None
    assert services.chunk("POST", chunk_id(22), ("X-oio-Ext-b", "2")).status == 200
    assert services.chunk("POST", chunk_id(23), ("X-oio-Ext-b", "2")).status == 404
    shown = services.chunk("HEAD", chunk_id(22))
    assert (shown.get("x-oio-ext-colour"), shown.get("x-oio-ext-b")) == ("blue sky", "2")


@pytest.mark.pitfall("W2")
def test_chunks_are_listed_by_directories(services: Services) -> None:
    # They are in the first directory, whose page is not cut, and in the last one.
    services.put(chunk_id(24), WITH_BLAKE3)
    services.put("F" * 64, WITH_BLAKE3)
    with RawSocket(services.rawx.address) as connection:
        first = json.loads(connection.ask("GET", "/list", (), b'{"min_to_return": 1}').body)
        body = json.dumps({"marker": first["marker"]}).encode()
        last = json.loads(connection.ask("GET", "/list", (), body).body)
    assert {"chunk_id": chunk_id(24)} in first["chunks"]
    assert (first["is_truncated"], first["marker"]) == (True, "001")
    assert last == {"chunks": [{"chunk_id": "F" * 64}], "is_truncated": False}


@pytest.mark.pitfall("W5")
def test_links_are_refused_by_the_rawx_that_do_not_make_them(services: Services) -> None:
    services.put(chunk_id(25), WITH_BLAKE3)

    def link(source: str, target: str) -> int:
        destination = ("Destination", f"http://{services.rawx.address}/{target}")
        owner = (f"{META}full-path", "acct/ref/copy/1700000000000000/AB")
        return services.chunk("COPY", source, destination, owner).status

    refused = (
        link(chunk_id(25), chunk_id(26)),
        link(chunk_id(25), chunk_id(25)),
        link(chunk_id(27), chunk_id(26)),
    )
    services.rawx.shallow_copy = True
    made = link(chunk_id(25), chunk_id(26))
    services.rawx.shallow_copy = False
    assert (refused, made) == ((405, 403, 405), 201)


@pytest.mark.pitfall("W17")
def test_a_method_without_a_slash_ends_the_connection(services: Services) -> None:
    with pytest.raises(EOFError):
        services.put(chunk_id(28), "plain")
    assert services.chunk("GET", chunk_id(28)).status == 404


# -- objects


@pytest.mark.pitfall("W3")
def test_chunk_ids_are_computed_and_those_given_are_lost(services: Services) -> None:
    prepared = services.prepare("é n/ü", "THREECOPIES")
    version = prepared.get(f"{CONTENT}version") or ""
    computed = services.computed("é n/ü", version, "0", "THREECOPIES")
    chunks = [dict(item, size=len(DATA), hash=MD5) for item in json.loads(prepared.body)["chunks"]]
    assert {item["url"].rpartition("/")[2] for item in chunks} == {computed}
    given = [item | {"url": item["url"].replace(computed, chunk_id(1))} for item in chunks]
    assert services.commit("é n/ü", prepared, given).status == 204
    assert sorted(services.located("é n/ü")) == sorted(item["url"] for item in chunks)


@pytest.mark.pitfall("W3")
def test_appended_chunks_keep_their_urls(services: Services) -> None:
    services.create()
    before = services.located()
    prepared = services.prepare("o")
    chunks = [dict(item, size=len(DATA), hash=MD5) for item in json.loads(prepared.body)["chunks"]]
    assert services.commit("o", prepared, chunks, append=1).status == 204
    assert sorted(services.located()) == sorted([*before, chunks[0]["url"]])


@pytest.mark.pitfall("W3")
def test_rows_that_are_inserted_keep_the_host_only(services: Services) -> None:
    services.create()
    (url,) = services.located()
    answer = services.proxy("GET", "content/locate", path="o")
    row = {
        "type": "chunk",
        "id": url,
        "hash": MD5,
        "size": 65,
        "pos": "0",
        "content": answer.get(f"{CONTENT}id"),
    }
    elsewhere = row | {"id": f"http://{services.rawx.address}/{chunk_id(7)}"}
    assert services.proxy("POST", "container/raw_insert", [elsewhere]).status == 400
    named = {"path": "o", "content": row["content"]}
    assert services.proxy("POST", "container/raw_insert", [elsewhere], **named).status == 409
    assert services.proxy("POST", "container/raw_update", {"old": [row], "new": [elsewhere]}).status == 204
    assert services.located() == [f"http://{services.rawx.address}/{url.rpartition('/')[2]}"]


@pytest.mark.pitfall("W3")
def test_what_a_change_of_policy_writes_in_the_place_of_itself_is_not_deleted(services: Services) -> None:
    services.create()
    (url,) = services.located()
    address, _, name = url.removeprefix("http://").partition("/")
    (services.rawx,) = [rawx for rawx in services.namespace.rawx if rawx.address == address]
    assert services.put(name, WITH_BLAKE3).status == 201
    shown = services.proxy("GET", "content/locate", path="o")
    row = {"url": url, "pos": "0", "size": len(DATA), "hash": MD5}
    prepared = services.prepare("o", version=shown.get(f"{CONTENT}version"))
    assert services.commit("o", prepared, [row], append=1).status == 400
    content = {"content": shown.get(f"{CONTENT}id"), "path": "o"}
    update = {f"{CONTENT}id": str(content["content"]), f"{CONTENT}length": "65", f"{CONTENT}policy": "SINGLE"}
    assert services.proxy("POST", "content/update", [row], update, path="o").status == 204
    assert services.located() == [url]
    assert services.chunk("GET", name).body == DATA


@pytest.mark.pitfall("W3")
def test_an_object_is_found_by_a_computed_chunk_id(services: Services) -> None:
    services.create("o")
    services.create("p")
    (url,) = services.located("o")

    def found(wanted: str) -> Answer:
        return services.proxy("GET", "container/list", None, {"x-oio-list-chunk-id": wanted})

    assert [item["name"] for item in json.loads(found(url).body)["objects"]] == ["o"]
    assert found(f"{url.rpartition('/')[0]}/{chunk_id(1)}").status == 404


@pytest.mark.pitfall("W4")
def test_the_ids_of_a_snapshot_are_computed_for_the_copy(services: Services) -> None:
    services.create()
    version = services.proxy("GET", "content/locate", path="o").get(f"{CONTENT}version") or ""
    (source,) = services.located()
    copy = Services(services.namespace, f"{services.container}-copy")
    services.proxy("POST", "admin/freeze", type="meta2")
    body = {"account": copy.account, "container": copy.container, "seq_num": 1}
    assert services.proxy("POST", "container/snapshot", body).status == 204
    host = source.rpartition("/")[0]
    assert copy.located() == [f"{host}/{copy.computed('o', version, '0', 'SINGLE')}"]
    assert services.located() == [source]


@pytest.mark.pitfall("W6")
def test_a_policy_changes_only_when_that_was_asked_for(services: Services) -> None:
    services.create()
    version = int(services.proxy("GET", "content/locate", path="o").get(f"{CONTENT}version") or 0)

    def ask(policy: str) -> int:
        body = {"policy": policy, "skip_data_move": True, "internal_transition": True}
        return services.proxy("POST", "content/transition", body, path="o").status

    def change() -> Answer:
        return services.create("o", "TWOCOPIES", version, change_policy=1)

    assert json.loads(change().body)["message"] == "Invalid policy (does not match target policy TWOCOPIES)"
    assert (ask("TWOCOPIES"), ask("NOSUCH")) == (204, 400)
    shown = services.proxy("GET", "content/locate", path="o")
    assert (shown.get(f"{CONTENT}policy"), shown.get(f"{CONTENT}target-policy")) == ("SINGLE", "TWOCOPIES")
    assert (ask("SINGLE"), change().status) == (204, 400)
    assert (ask("TWOCOPIES"), change().status) == (204, 204)
    shown = services.proxy("GET", "content/locate", path="o")
    assert (shown.get(f"{CONTENT}policy"), shown.get(f"{CONTENT}target-policy")) == ("TWOCOPIES", None)
    counters = json.loads(services.proxy("POST", "container/get_properties").body)["system"]
    assert (counters.get("sys.m2.objects.SINGLE"), counters.get("sys.m2.objects.TWOCOPIES")) == (None, "1")


@pytest.mark.pitfall("W13")
def test_a_page_of_versions_goes_on_inside_a_name(services: Services) -> None:
    services.proxy("POST", "container/create", {"system": {"sys.m2.policy.version": "-1"}})
    for version in (1001, 1002, 1003):
        services.create("o", version=version)
    versions: list[int] = []
    marker: dict[str, str] = {}
    while len(versions) < 10:
        page = services.proxy("GET", "container/list", all=1, max=1, **marker)
        versions += [item["version"] for item in json.loads(page.body)["objects"]]
        if page.get("x-oio-list-truncated") != "true":
            break
        marker = {"marker": page.get("x-oio-list-marker") or ""}
        marker["version_marker"] = page.get("x-oio-list-version-marker") or ""
    assert versions == [1003, 1002, 1001]


@pytest.mark.pitfall("W14")
def test_a_deletion_tells_what_it_deleted_or_made(services: Services) -> None:
    services.proxy("POST", "container/create", {"system": {"sys.m2.policy.version": "-1"}})
    services.create("o", version=1001)

    def told(answer: Answer) -> tuple[str | None, str | None]:
        return answer.get("x-oio-version-id"), answer.get("x-oio-delete-marker")

    assert told(services.proxy("POST", "content/delete", path="o")) == ("1002", "true")
    assert told(services.proxy("POST", "content/delete", path="o")) == ("1003", "true")
    assert told(services.proxy("POST", "content/delete", path="o", version=1003)) == ("1003", "true")
    assert told(services.proxy("POST", "content/delete", path="o", version=1001)) == ("1001", None)
    body = {"contents": [{"name": "o", "version": "1002"}, {"name": "o"}]}
    found = json.loads(services.proxy("POST", "content/delete_many", body).body)["contents"]
    assert [(item.get("version"), item["status"]) for item in found] == [("1002", 204), (None, 420)]


@pytest.mark.pitfall("W15")
def test_locked_versions_are_not_deleted(services: Services) -> None:
    system = {"sys.m2.policy.version": "-1", "sys.m2.bucket.objectlock.enabled": "1"}
    services.proxy("POST", "container/create", {"system": system})
    lock = "x-object-sysmeta-s3api-"
    retained = {
        f"{lock}retention-mode": "GOVERNANCE",
        f"{lock}retention-retainuntildate": "2999-01-01T00:00:00Z",
    }
    for version, properties in ((1001, {f"{lock}legal-hold-status": "ON"}), (1002, retained)):
        services.create("o", version=version)
        body = {"properties": properties}
        assert services.proxy("POST", "content/set_properties", body, path="o", version=version).status == 204
    refused = [
        services.proxy("POST", "content/delete", path="o", version=version) for version in (1001, 1002)
    ]
    assert [(it.status, json.loads(it.body)["status"]) for it in refused] == [(403, 19), (403, 19)]
    assert services.proxy("POST", "container/flush").status == 403
    bypass = {"path": "o", "bypass_governance": 1}
    assert services.proxy("POST", "content/delete", version=1001, **bypass).status == 403
    assert services.proxy("POST", "content/delete", version=1002, **bypass).status == 204
    assert services.proxy("POST", "content/delete", path="o").get("x-oio-delete-marker") == "true"
    assert services.proxy("POST", "container/destroy", force=1).status == 204


@pytest.mark.pitfall("W15")
def test_another_region_and_a_drain_that_nobody_asked_for_are_refused(services: Services) -> None:
    def create(region: str) -> int:
        return services.proxy("POST", "container/create", {}, {"x-oio-region": region}).status

    assert (create("elsewhere"), create("LocalHost")) == (400, 201)
    services.create()
    assert services.proxy("POST", "container/drain").status == 400
    services.proxy("POST", "container/set_properties", {"system": {"sys.m2.draining.state": "1"}})
    restored = services.create("p", restore_drained=1)
    assert (restored.status, json.loads(restored.body)["status"]) == (403, 440)
    assert services.proxy("POST", "container/drain").get("x-oio-truncated") == "false"
    assert services.proxy("GET", "content/locate", path="o").status == 410


@pytest.mark.pitfall("W16", "W18")
def test_fields_that_came_and_that_went(services: Services) -> None:
    services.create()
    (item,) = json.loads(services.proxy("GET", "container/list").body)["objects"]
    assert "id" in item
    assert "content" not in item
    system = json.loads(services.proxy("POST", "container/get_properties").body)["system"]
    assert (system["sys.m2.shards"], system["sys.m2.usage.SINGLE"]) == ("0", "65")
    assert not {"sys.m2.objects.damaged", "sys.m2.chunks.missing"} & system.keys()
    changed = services.proxy("POST", "container/set_properties", {"properties": {"k": "v"}})
    assert (changed.status, changed.body) == (204, b"")
    assert services.proxy("GET", "content/locate", path="no").get("x-backend-service-id")
    (proxy,) = json.loads(services.proxy("GET", "conscience/list", type="oioproxy").body)
    assert proxy["scores"] == {"score.put": 100, "score.get": 100}
    assert proxy["tags"]["tag.putlock"] is False


# -- accounts and rdir


@pytest.mark.pitfall("W7")
def test_accounts_are_listed_in_pages(services: Services) -> None:
    for name in ("w7-a", "w7-b", "w7-c"):
        services.ask_account("PUT", "account/create", id=name)
    page = json.loads(services.ask_account("GET", "account/list", prefix="w7-", limit=2).body)
    assert page == {"listing": [{"id": "w7-a"}, {"id": "w7-b"}], "truncated": True, "next_marker": "w7-b"}
    last = services.ask_account("GET", "account/list", prefix="w7-", marker="w7-b", stats="true")
    (item,) = json.loads(last.body)["listing"]
    assert (item["id"], item["objects"], item["metadata"]) == ("w7-c", 0, {"max-buckets": 100})
    assert services.ask_account("GET", "account/list", limit="x").status == 400


@pytest.mark.pitfall("W8")
def test_counters_of_containers_need_a_region_and_details(services: Services) -> None:
    body = {"mtime": 1700000001.5, "objects": 1, "bytes": 2}
    details = {"objects-details": {"EC": 1}, "bytes-details": {"EC": 2}}
    named = {"id": "w8", "container": "c"}
    regional = named | {"region": "there"}

    def update(body: dict[str, Any], **query: object) -> int:
        return services.ask_account("PUT", "account/container/update", body, **query).status

    assert update(body | details | {"name": "c"}, id="w8") == 400
    assert (update(body | details, **named), update(body, **regional)) == (400, 400)
    assert (update(body | details, **regional), update(body | details, **regional)) == (200, 409)
    assert update({"dtime": 1700000009.5}, **regional) == 400
    shown = json.loads(services.ask_account("GET", "account/show", id="w8").body)["regions"]["THERE"]
    assert (shown["containers"], shown["bytes-details"]) == (1, {"EC": 2})
    reset = services.ask_account("PUT", "account/container/reset", {"mtime": 1700000002.5}, **named)
    deleted = services.ask_account("POST", "account/container/delete", {"dtime": 1700000009.5}, **named)
    none = services.ask_account("POST", "account/container/delete", {"dtime": 1.5}, id="w8", container="no")
    assert (reset.status, deleted.status, none.status) == (204, 204, 204)


@pytest.mark.pitfall("W9")
def test_listings_of_containers_are_not_folded(services: Services) -> None:
    account = "w9"
    for name in ("a/1", "a/2", "b"):
        made = Services(services.namespace, name)
        made.account = account
        assert made.proxy("POST", "container/create", {}).status == 201
    answer = services.ask_account("GET", "account/containers", id=account, delimiter="/", limit=2)
    shown = json.loads(answer.body)
    assert [row[0] for row in shown["listing"]] == ["a/1", "a/2"]
    assert (shown["truncated"], shown["next_marker"], shown["containers"]) == (True, "a/2", 3)
    assert services.ask_account("GET", "account/container/show", id=account, container="no").status == 404
    assert "damaged_objects" not in shown


@pytest.mark.pitfall("W10")
def test_buckets_are_made_before_they_are_described(services: Services) -> None:
    update = {"metadata": {"k": "v"}}
    assert services.ask_account("PUT", "bucket/update", update, id="w10").status == 404
    assert services.ask_account("PUT", "bucket/create", id="w10").status == 400
    owner = {"id": "w10", "account": "w10-owner", "region": "localhost"}
    assert services.ask_account("PUT", "bucket/create", **owner).status == 201
    changed = services.ask_account("PUT", "account/update-bucket", update, id="w10")
    assert (changed.status, changed.body) == (204, b"")
    shown = json.loads(services.ask_account("GET", "bucket/show", id="w10").body)
    assert (shown["account"], shown["region"], shown["k"]) == ("w10-owner", "LOCALHOST", "v")
    assert services.ask_account("POST", "bucket/delete", **owner).status == 204


@pytest.mark.pitfall("W11")
def test_the_rdir_knows_paths_and_versions(services: Services) -> None:
    volume = {"vol": "w11"}
    entry = {"container_id": "A", "content_id": "B", "chunk_id": "C", "mtime": 5}
    known = entry | {"path": "o", "version": 7}
    services.ask_rdir("POST", "create", **volume)
    assert services.ask_rdir("POST", "push", entry, **volume).status == 400
    assert services.ask_rdir("POST", "push", [known, known | {"chunk_id": "D"}], **volume).status == 204
    row = {"content_id": "B", "mtime": 5, "path": "o", "version": 7}
    page = services.ask_rdir("GET", "fetch", max=1, **volume)
    assert (json.loads(page.body), page.get("x-oio-list-marker")) == ([["A|C", row]], "A|C")
    old = services.ask_rdir("POST", "fetch", {"start_after": "A|C", "limit": 10}, **volume)
    assert json.loads(old.body) == [["A|D", row]]
    assert (
        services.ask_rdir("DELETE", "delete", {"container_id": "A", "chunk_id": "C"}, **volume).status == 204
    )
    assert [key for key, _ in json.loads(services.ask_rdir("GET", "fetch", **volume).body)] == ["A|D"]


# -- shards


@pytest.fixture
def root(services: Services) -> Services:
    for name in ("a", "m", "z"):
        services.create(name)
    services.shards = services.namespace.shard(services.account, services.container, "m")
    return services


@pytest.mark.pitfall("W12")
def test_requests_through_the_root_reach_the_shards(root: Services) -> None:
    first, second = root.shards
    listing = root.proxy("GET", "container/list", delimiter="/")
    assert [item["name"] for item in json.loads(listing.body)["objects"]] == ["a", "m", "z"]
    assert root.proxy("GET", "container/show").get("x-oio-container-meta-sys-m2-shards") == "2"
    assert root.create("n").get("x-oio-shard-hexid") == second
    located = root.proxy("GET", "content/locate", path="a")
    version = located.get(f"{CONTENT}version") or ""
    assert located.get("x-oio-shard-hexid") == first
    assert root.located("a")[0].endswith(root.computed("a", version, "0", "SINGLE"))
    page = root.proxy("GET", "container/list", max=2, marker="a")
    assert [item["name"] for item in json.loads(page.body)["objects"]] == ["m", "n"]
    assert root.proxy("POST", "content/delete", path="n").get("x-oio-shard-hexid") == second
    shown = json.loads(root.proxy("GET", "container/sharding/show").body)["shard_ranges"]
    assert [(part["lower"], part["upper"], part["cid"]) for part in shown] == [
        ("", "m", first),
        ("m", "", second),
    ]


@pytest.mark.pitfall("W12")
def test_a_flush_of_the_root_deletes_nothing(root: Services) -> None:
    def names() -> list[str]:
        return [item["name"] for item in json.loads(root.proxy("GET", "container/list").body)["objects"]]

    flushed = root.proxy("POST", "container/flush")
    assert (flushed.status, flushed.get("x-oio-truncated"), names()) == (204, "false", ["a", "m", "z"])
    for shard in root.shards:
        assert root.proxy("POST", "container/flush", cid=shard).status == 204
    assert names() == []
    destroyed = root.proxy("POST", "container/destroy")
    assert (destroyed.status, json.loads(destroyed.body)["status"]) == (409, 438)
    assert root.proxy("POST", "container/destroy", force=1).status == 204


@pytest.mark.pitfall("W12")
def test_the_master_freezes_a_shard_for_good(root: Services) -> None:
    first, _ = root.shards
    root.proxy("POST", "admin/freeze", type="meta2")
    root.proxy("GET", "content/locate", None, {"x-oio-force-master": "1"}, path="a")
    root.proxy("POST", "admin/enable", type="meta2")
    refused = root.create("b")
    assert (refused.status, json.loads(refused.body)["status"]) == (503, 305)
    assert root.create("n").status == 204
    root.proxy("POST", "admin/enable", type="meta2", cid=first)
    assert root.create("b").status == 204


@pytest.mark.pitfall("W12")
def test_a_snapshot_of_a_root_has_the_same_shards(root: Services) -> None:
    copy = Services(root.namespace, f"{root.container}-copy")
    root.proxy("POST", "admin/freeze", type="meta2")
    body = {"account": copy.account, "container": copy.container}
    assert root.proxy("POST", "container/snapshot", body).status == 204
    located = copy.proxy("GET", "content/locate", path="a")
    assert located.get("x-oio-shard-hexid") == root.shards[0]
    version = located.get(f"{CONTENT}version") or ""
    assert copy.located("a")[0].endswith(copy.computed("a", version, "0", "SINGLE"))


@pytest.mark.pitfall("W12")
def test_a_container_is_divided_once_and_in_order(services: Services) -> None:
    divide = services.namespace.shard
    services.create()
    with pytest.raises(ValueError, match="ascending"):
        divide(services.account, services.container, "z", "a")
    divide(services.account, services.container, "m")
    with pytest.raises(ValueError, match="divided already"):
        divide(services.account, services.container, "n")
    shown = json.loads(services.ask_account("GET", "account/show", id=services.account).body)
    assert shown["shards"] >= 2


# -- the namespace


@pytest.mark.parametrize("release", ["7.3", "2026"])
def test_a_namespace_says_its_release(release: str) -> None:
    namespace = Namespace(rawx=1, release=release)
    assert (namespace.release, namespace.rawx[0].shallow_copy) == (release, release == "7.3")
    namespace.close()


def test_an_unknown_release_is_refused() -> None:
    with pytest.raises(ValueError, match=r"release='8': there are '7\.3', '2026'"):
        Namespace(release="8")


def test_the_later_release_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blake3", None)
    with pytest.raises(ImportError, match=r"release='2026' needs blake3: pip install"):
        Namespace(release="2026")


def test_the_later_release_has_no_bucket_policy(services: Services) -> None:
    assert services.prepare("o", "BACKBLAZE").status == 400
    info = json.loads(services.proxy("GET", "conscience/info").body)
    assert not {"BACKBLAZE"} & {*info["storage_policy"], *info["data_security"]}


def test_the_earlier_release_has_no_shards() -> None:
    namespace = Namespace(rawx=1)
    with pytest.raises(ValueError, match="no shards"):
        namespace.shard("account", "container", "m")
    namespace.close()


def test_a_directory_goes_to_the_later_release_and_not_back(tmp_path: Path) -> None:
    with Namespace(tmp_path, rawx=1) as namespace, namespace.api() as api:
        api.object_create("account", "box", obj_name="o", data=b"data", policy="SINGLE")
        volume = namespace.rawx[0].address
    with Namespace(tmp_path, rawx=1, release="2026") as namespace, namespace.api() as api:
        assert b"".join(api.object_fetch("account", "box", "o")[1]) == b"data"
        ((key, row),) = json.loads(Services(namespace, "box").ask_rdir("GET", "fetch", vol=volume).body)
        assert key.count("|") == 1
        assert row["content_id"]
    with pytest.raises(ValueError, match="later release"):
        Namespace(tmp_path, rawx=1)


def test_the_rdir_is_told_by_a_body_what_to_clear(services: Services) -> None:
    volume = {"vol": "volume-1"}
    services.ask_rdir("POST", "create", **volume)
    names = {"container_id": "A", "content_id": "C", "path": "o", "version": 1}
    services.ask_rdir("POST", "push", [{**names, "chunk_id": str(n), "mtime": n} for n in range(4)], **volume)
    services.ask_rdir("POST", "admin/incident", {"date": 1}, **volume)
    for body, removed in (({"all": False, "before_incident": True}, 2), ({"all": True}, 2), ({}, 0)):
        cleared = services.ask_rdir("POST", "admin/clear", body, **volume)
        assert json.loads(cleared.body) == {"removed": removed, "repaired": 0, "errors": 0}
