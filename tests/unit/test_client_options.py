# SPDX-License-Identifier: Apache-2.0
"""The options of a call reach every request that it causes, whichever method of whichever client it is."""

from __future__ import annotations

import inspect
import logging
import wsgiref.headers

import pytest
from urllib3 import HTTPHeaderDict

from oio.account.client import AccountClient
from oio.api.object_storage import ObjectStorageApi
from oio.blob.client import BlobClient
from oio.common.limits import Limits
from oio.conscience.client import ConscienceClient, LbClient
from oio.container.client import ContainerClient
from oio.directory.client import DirectoryClient
from oio.rdir.client import RdirClient, RdirDispatcher
from tests.kit.recording import DESCRIPTION, LISTING, RecordingPool, answer

CONF = {"namespace": "NS"}
REFERENCE = ("a", "c")
OBJECT = (*REFERENCE, "o")
SERVICE = {"addr": "10.0.0.1:6300", "type": "rdir", "score": 5, "tags": {}}
LINK = {"seq": 1, "type": "rdir", "host": "rdir-1", "args": ""}
CHUNK = ("C" * 64, "D" * 32, "E" * 64)
VERSION = {"version": 7}

CALLS = {
    AccountClient: {
        "account_create": ("a",),
        "account_delete": ("a",),
        "account_flush": ("a",),
        "account_list": (),
        "account_list_ext": (),
        "account_refresh": ("a",),
        "account_request": ("a", "GET", "show"),
        "account_show": ("a",),
        "account_update": ("a", {"k": "v"}, ["l"]),
        "bucket_create": ("b", "a"),
        "bucket_delete": ("b", "a"),
        "bucket_list": ("a",),
        "bucket_refresh": ("b",),
        "bucket_show": ("b",),
        "bucket_update": ("b", {"k": "v"}),
        "container_delete": ("a", "c", 5.5),
        "container_list": ("a",),
        "container_reset": ("a", "c", 5.5),
        "container_show": ("a", "c"),
        "container_update": ("a", "c", {"mtime": 5.5}),
    },
    LbClient: {
        "create_pool": ("p", [(1, "rawx")]),
        "next_instance": ("rawx",),
        "next_instances": ("rawx", 2),
        "poll": ("p",),
    },
    ConscienceClient: {
        "all_services": ("rawx",),
        "deregister": (SERVICE,),
        "flush": ("rawx",),
        "info": (),
        "local_services": (),
        "lock_score": (SERVICE,),
        "next_instance": ("rawx",),
        "next_instances": ("rawx", 2),
        "poll": ("p",),
        "register": (SERVICE,),
        "resolve": ("rawx", "x"),
        "resolve_service_id": ("rawx", "x"),
        "resolve_url": ("rawx", "http://x/AB"),
        "service_types": (),
        "unlock_score": (SERVICE,),
    },
    ContainerClient: {
        "container_create": REFERENCE,
        "container_create_many": ("a", ["c"]),
        "container_dedup": REFERENCE,
        "container_del_properties": (*REFERENCE, ["k"]),
        "container_delete": REFERENCE,
        "container_enable": REFERENCE,
        "container_flush": REFERENCE,
        "container_freeze": REFERENCE,
        "container_get_properties": REFERENCE,
        "container_purge": REFERENCE,
        "container_raw_delete": (*REFERENCE, [{}]),
        "container_raw_insert": ([{}], *REFERENCE),
        "container_raw_update": ([{}], [{}], *REFERENCE),
        "container_set_properties": (*REFERENCE, {"k": "v"}),
        "container_show": REFERENCE,
        "container_snapshot": (*REFERENCE, "a2", "c2"),
        "container_touch": REFERENCE,
        "content_create": (*OBJECT, 1, "AB", {}),
        "content_del_properties": (*OBJECT, ["k"]),
        "content_delete": OBJECT,
        "content_delete_ext": OBJECT,
        "content_delete_many": (*REFERENCE, ["o"]),
        "content_delete_many_ext": (*REFERENCE, ["o"]),
        "content_drain": OBJECT,
        "content_get_properties": OBJECT,
        "content_list": REFERENCE,
        "content_locate": OBJECT,
        "content_prepare": (*OBJECT, 1),
        "content_purge": OBJECT,
        "content_request_transition": (*OBJECT, "P"),
        "content_set_properties": (*OBJECT, {"k": "v"}),
        "content_shard": OBJECT,
        "content_spare": (*OBJECT, {}, None, "P", 7, 0),
        "content_touch": OBJECT,
        "content_truncate": (*OBJECT, None, 7, 0),
        "content_update": (*OBJECT, 1, [], None, "AB", "P"),
    },
    DirectoryClient: {
        "create": REFERENCE,
        "del_properties": (*REFERENCE, ["k"]),
        "delete": REFERENCE,
        "destroy": REFERENCE,
        "force": (*REFERENCE, "rdir", LINK),
        "get_properties": REFERENCE,
        "has": REFERENCE,
        "link": (*REFERENCE, "rdir"),
        "list": REFERENCE,
        "relink": (*REFERENCE, "rdir", LINK, LINK),
        "renew": (*REFERENCE, "rdir"),
        "set_properties": (*REFERENCE, {"k": "v"}),
        "show": REFERENCE,
        "unlink": (*REFERENCE, "rdir"),
    },
    RdirClient: {
        "admin_clear": ("v",),
        "admin_incident_get": ("v",),
        "admin_incident_set": ("v", 5),
        "admin_lock": ("v", "me"),
        "admin_show": ("v",),
        "admin_unlock": ("v",),
        "chunk_delete": ("v", *CHUNK),
        "chunk_fetch": ("v",),
        "chunk_push": ("v", *CHUNK),
        "create": ("v",),
        "meta2_index_create": ("v",),
        "meta2_index_delete": ("v", "NS/a/c", "C" * 64),
        "meta2_index_fetch": ("v",),
        "meta2_index_fetch_all": ("v",),
        "meta2_index_push": ("v", "NS/a/c", "C" * 64),
        "status": ("v",),
    },
    RdirDispatcher: {
        "assign_all_meta2": (),
        "assign_all_rawx": (),
        "assign_services": ("rawx",),
        "get_assignments": ("rawx",),
    },
    BlobClient: {
        "chunk_delete": ("http://x/AB",),
        "chunk_delete_many": ([{"url": "http://x/AB"}],),
        "chunk_head": ("http://x/AB",),
        "chunk_link": ("http://x/AB", "CD", "a/c/o/1/AB"),
        "resolve_url": ("http://x/AB",),
    },
}
#: Methods that send nothing, and those whose connections are not those of the pool.
OTHERS = {"close", "forget", "get_service_definition", "chunk_copy", "chunk_get", "chunk_put"}

BODIES = {
    "lb/choose": [SERVICE],
    "lb/poll": [SERVICE],
    "conscience/list": [SERVICE],
    "conscience/resolve": {"addr": "10.0.0.1:6010"},
    "local/list": [],
    "container/list": {"objects": []},
    "container/create_many": {"containers": []},
    "content/delete_many": {"contents": []},
    "content/locate": [],
    "content/prepare2": {"chunks": []},
    "content/get_properties": {"properties": {}},
    "reference/show": {"srv": [LINK]},
    "reference/relink": [],
    "account/list": [],
    "rdir/fetch": [],
    "rdir/status": {"chunk": {"total": 0}, "container": {}},
    "admin/incident": {"date": 0},
    "meta2/fetch": {"records": [], "truncated": False},
}


class Services:
    """Answer as the services do; the volume that has no rdir yet is given one."""

    def __init__(self):
        self.linked = set()

    def __call__(self, asked):
        route = "/".join(asked.path.split("/")[-2:])
        if asked.query.get("what") == "types":
            return answer(body=[], **LISTING, **DESCRIPTION)
        if route == "reference/force":
            self.linked.add(asked.query["ref"])
        if route == "reference/show" and asked.query.get("ref") not in {None, "c", "v", *self.linked}:
            return answer(body={"srv": []})
        status = 201 if asked.method == "COPY" else 200
        return answer(status, BODIES.get(route, {}), x_oio_ns_chunk_size="1024", **LISTING, **DESCRIPTION)


META = {
    "chunk_pos": "0",
    "chunk_method": "plain/nb_copy=1",
    "content_id": "AB",
    "content_version": "1",
    "content_path": "o",
    "content_policy": "SINGLE",
    "container_id": "C" * 64,
    "full_path": "a/c/o/1/AB",
}


def make(kind, pool, **options):
    if kind is AccountClient:
        return kind(CONF, proxy_endpoint="p:1", pool_manager=pool, **options)
    return kind(CONF, endpoint="p:1", pool_manager=pool, **options)


def call(kind, name, options=None, **keywords):
    """Call a method; get all the requests that it has sent."""
    pool = RecordingPool(Services())
    client = make(kind, pool, **(options or {}))
    result = getattr(client, name)(*CALLS[kind][name], **keywords)
    if inspect.isgenerator(result):
        list(result)
    assert pool.asked
    return pool.asked


METHODS = [
    pytest.param(kind, name, id=f"{kind.__name__}.{name}") for kind, names in CALLS.items() for name in names
]


def test_no_method_is_forgotten():
    for kind, names in CALLS.items():
        public = {
            name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")
        }
        assert public - OTHERS == set(names), kind


@pytest.mark.pitfall(72, 106)
@pytest.mark.parametrize("where", ["constructor", "call"])
@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_timeouts_reach_every_request(kind, name, where):
    timeouts = {"connection_timeout": 500, "read_timeout": 600}
    given = {"options": timeouts} if where == "constructor" else timeouts
    for asked in call(kind, name, **given):
        assert (asked.timeout.connect_timeout, asked.timeout.read_timeout) == (500, 600)
        assert asked.headers["x-oio-timeout"] == "594000000"


@pytest.mark.pitfall(64, 72)
@pytest.mark.parametrize("where", ["constructor", "call"])
@pytest.mark.parametrize(
    ("worker", "name", "arguments"),
    [("ChunkReader.with_options", "chunk_get", ()), ("ChunkSender", "chunk_put", (META, b"hello"))],
)
def test_timeouts_reach_those_who_read_and_write_chunks(monkeypatch, worker, name, arguments, where):
    class Stop(Exception):
        pass

    def make_worker(_chunks, _headers, options, **_):
        seen.append(options.limits)
        raise Stop

    seen = []
    monkeypatch.setattr(f"oio.blob.client.{worker}", make_worker)
    timeouts = {"connection_timeout": 500, "read_timeout": 600, "write_timeout": 700}
    options, keywords = (timeouts, {}) if where == "constructor" else ({"read_timeout": 1}, timeouts)
    client = make(BlobClient, RecordingPool(), **options)
    with pytest.raises(Stop):
        getattr(client, name)("http://h:1/AB", *arguments, **keywords)
    assert seen == [Limits(500, 600, 700)]


@pytest.mark.pitfall(70, 71)
@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_request_id_and_headers_reach_every_request(kind, name):
    headers = {"X-Extra": "yes"}
    for asked in call(kind, name, reqid="MINE", headers=headers):
        assert asked.headers["x-oio-req-id"] == "MINE"
        # Headers about a chunk, such as a range, are none of the conscience's business.
        assert asked.headers.get("x-extra") == "yes" or (kind is BlobClient and "/conscience/" in asked.url)
    assert headers == {"X-Extra": "yes"}, "the dict of the caller is left as it is"


@pytest.mark.parametrize("kind", [BlobClient, ContainerClient])
def test_headers_of_other_libraries_are_taken(kind):
    """As programs hand on those of a request, whose class may be no ``Mapping``."""
    name = next(iter(CALLS[kind]))
    for headers in (wsgiref.headers.Headers([("X-Extra", "yes")]), HTTPHeaderDict({"X-Extra": "yes"})):
        assert [asked.headers.get("x-extra") for asked in call(kind, name, headers=headers)][-1:] == ["yes"]


def test_headers_of_other_libraries_are_taken_by_the_api():
    pool = RecordingPool(Services())
    with ObjectStorageApi("NS", endpoint="p:1", pool_manager=pool) as api:
        api.container_create("a", "c", headers=wsgiref.headers.Headers([("X-Extra", "yes")]))
    assert pool.asked[0].headers["X-Extra"] == "yes"


WITH_CHUNKS = {
    "chunk_copy": ("http://x:1/AB", "http://x:1/CD"),
    "chunk_get": ("http://x:1/AB",),
    "chunk_put": ("http://x:1/AB", META, b"hello"),
}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([("X-Extra", "yes")], r"headers must be a dict, not list: \[\('X-Extra'"),
        ([], r"headers must be a dict, not list: \[\]"),
        ("X-Extra: yes", "headers must be a dict, not str: 'X-Extra"),
        ({5: "yes"}, "the name of a header must be a str, not int: 5"),
    ],
    ids=["pairs", "list of none", "text", "number as a name"],
)
@pytest.mark.parametrize(("kind", "name"), [*METHODS, *((BlobClient, name) for name in WITH_CHUNKS)])
def test_headers_that_are_none_are_refused_by_name(kind, name, headers, reason):
    pool = RecordingPool(Services())
    arguments = CALLS[kind][name] if name in CALLS[kind] else WITH_CHUNKS[name]
    with pytest.raises(TypeError, match=reason):
        list(getattr(make(kind, pool), name)(*arguments, headers=headers))
    assert pool.asked == []


class QuietLogger(logging.Logger):
    """Collects its records, and is false as long as there are none."""

    def __init__(self):
        super().__init__("collecting")
        self.records = []

    def __len__(self):
        return len(self.records)


@pytest.mark.parametrize(
    "kind",
    [AccountClient, BlobClient, ConscienceClient, ContainerClient, DirectoryClient, LbClient, RdirClient],
)
def test_logger_that_is_false_is_used(kind):
    logger = QuietLogger()
    client = make(kind, RecordingPool(), logger=logger)
    assert client.logger is logger
    if kind is RdirClient:
        assert client.directory.logger is client.conscience.logger is logger
    if kind is AccountClient:
        assert client._lb.logger is logger


def test_logger_of_the_api_that_is_false_is_used():
    logger = QuietLogger()
    with ObjectStorageApi("NS", logger, endpoint="p:1") as api:
        assert api.logger is logger
        for client in (api.account, api.blob_client, api.container, api.directory, api.proxy_client):
            assert client.logger is logger


def test_pool_of_the_application_that_is_false_is_used():
    class Pool(RecordingPool):
        def __bool__(self):
            return False

    pool = Pool(Services())
    with ObjectStorageApi("NS", endpoint="p:1", pool_manager=pool) as api:
        assert api.container.pool_manager is api.account.pool_manager is pool
        api.container_create("a", "c")
        other = Pool(Services())
        api.container.container_create("a", "c", pool_manager=other)
    assert len(pool.asked) == len(other.asked) == 1


@pytest.mark.pitfall(66)
@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_urls_have_single_slashes_and_no_lone_question_mark(kind, name):
    for asked in call(kind, name):
        assert "//" not in asked.path
        assert not asked.path.endswith("/")
        assert not asked.url.endswith("?")


@pytest.mark.pitfall(109)
@pytest.mark.parametrize(("kind", "name"), [case for case in METHODS if case.values[0] is not BlobClient])
def test_master_is_asked_for_by_every_request_that_may(kind, name):
    for asked in call(kind, name, options={"force_master": True}):
        assert asked.headers["x-oio-force-master"] == "1"
    for asked in call(kind, name, options={"force_master": True}, force_master=False):
        assert "x-oio-force-master" not in asked.headers


@pytest.mark.pitfall(82)
@pytest.mark.parametrize("status", [200, 202, 204])
@pytest.mark.parametrize(("method", "arguments"), [("chunk_head", {"xattr": False}), ("chunk_delete", {})])
def test_any_success_is_one(method, arguments, status):
    client = BlobClient(CONF, pool_manager=RecordingPool(answer(status)))
    getattr(client, method)("http://h:1/AB", **arguments)


@pytest.mark.pitfall(82)
@pytest.mark.parametrize("status", [200, 204])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ContainerClient, "container_delete"),
        (ContainerClient, "container_touch"),
        (ContainerClient, "content_set_properties"),
        (DirectoryClient, "set_properties"),
        (ConscienceClient, "flush"),
        (AccountClient, "account_refresh"),
    ],
)
def test_success_with_or_without_a_body_is_one(kind, name, status):
    found = answer(status, None if status == 204 else {"status": 200, "message": "OK"})
    pool = RecordingPool(lambda asked: Services()(asked) if asked.path.endswith("choose") else found)
    assert getattr(make(kind, pool), name)(*CALLS[kind][name]) is None
