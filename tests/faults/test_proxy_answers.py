# SPDX-License-Identifier: Apache-2.0
"""Answers of the proxy and of the account service that are no answers: told as such, and never believed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from oio import ObjectStorageApi
from oio.common import exceptions as exc
from oio.sandbox import Fault
from tests.kit.objects import LARGE, SMALL, Target, create, new_target, read, stored
from tests.kit.rawsocket import RawSocket
from tests.kit.scripted import Peer, serving

Call = Callable[[Any, Target], Any]

#: Calls of which the answer matters.
PROXY_CALLS: dict[str, Call] = {
    "create": lambda api, t: create(api, t, SMALL),
    "create by ID": lambda api, t: create(api, Target(None, None, t.name), SMALL, cid="0" * 64),
    "locate": lambda api, t: api.object_locate(*t),
    "fetch": lambda api, t: api.object_fetch(*t),
    "presence": lambda api, t: api.object_head(*t),
    "presence of chunks": lambda api, t: api.object_head(*t, trust_level=2),
    "properties": lambda api, t: api.object_get_properties(*t),
    "list": lambda api, t: api.object_list(*t[:2]),
    "recount": lambda api, t: api.container_touch(*t[:2], recompute=True),
    "delete many": lambda api, t: api.object_delete_many(*t[:2], [t.name]),
    "create many": lambda api, t: api.container_create_many(t.account, [t.container]),
    "address of the account service": lambda api, t: api.account_show(t.account),
}
PROXY_DESCRIPTIONS: dict[str, Call] = {
    "container": lambda api, t: api.container_show(*t[:2]),
    "container properties": lambda api, t: api.container_get_properties(*t[:2]),
    "reference": lambda api, t: api.directory.list(*t[:2]),
}
ACCOUNT_CALLS: dict[str, Call] = {
    "show": lambda api, t: api.account_show(t.account),
    "properties": lambda api, t: api.account_get_properties(t.account),
    "list": lambda api, t: api.account_list(),
    "containers": lambda api, t: api.container_list(t.account),
}
PAGE = b"<html><body>It works!</body></html>"
NOT_JSON = {
    "page": PAGE,
    "text": b"OK",
    "truncated": b'{"objects": [{"name": "o", ',
    "not UTF-8": b'{"objects": "\xff\xfe"}',
    "binary": b"\x00\x01\x02\xff",
    "too deep": b"[" * 100_000,
    "number": b"12",
    "string": b'"text"',
    "null": b"null",
}
PLAIN_VALUES = ("number", "string", "null")
OTHER_JSON = {
    "empty object": {},
    "empty array": [],
    "array of null": [None],
    "array of numbers": [1, 2],
    "array of empty objects": [{}],
    "chunks nowhere": [{"pos": "0", "size": 1000, "hash": "00"}],
    "chunks of no position": [{"url": "http://127.0.0.1:1/AB", "size": 1000, "hash": "00"}],
    "chunks of odd position": [{"url": "http://127.0.0.1:1/AB", "pos": "first", "size": 1, "hash": "00"}],
    "nothing inside": dict.fromkeys(("objects", "chunks", "contents", "containers", "properties", "listing")),
    "nothing in arrays": {key: [None] for key in ("objects", "chunks", "contents", "containers", "listing")},
    "empty objects in arrays": {key: [{}] for key in ("objects", "chunks", "contents", "containers")},
}


def assert_refused(namespace, call: Call, service: str, body: bytes) -> None:
    """The call raises an exception of the library when it is answered with this body."""
    answer = Fault("status", service=service, status=200, body=body)
    with namespace.api() as api:
        with namespace.faults(answer) as plan, pytest.raises(exc.OioException):
            call(api, new_target())
        plan.assert_met()


def with_bodies(calls: dict[str, Call]) -> Any:
    """Each call with a body that is no JSON, and with one that is JSON without a structure, in turns.

    All are read in one place, which gives the first ones as bytes, and the others as values of Python.
    """
    texts = itertools.cycle(name for name in NOT_JSON if name not in PLAIN_VALUES)
    values = itertools.cycle(PLAIN_VALUES)
    cases = [
        pytest.param(call, NOT_JSON[body], id=f"{call_name}-{body}")
        for call_name, call in calls.items()
        for body in (next(texts), next(values))
    ]
    return pytest.mark.parametrize(("call", "body"), cases)


@with_bodies({**PROXY_CALLS, **PROXY_DESCRIPTIONS})
@pytest.mark.pitfall(78, 79)
def test_what_is_no_json_is_no_answer_of_the_proxy(shared_namespace, call, body):
    assert_refused(shared_namespace, call, "proxy", body)


@pytest.mark.parametrize("body", OTHER_JSON.values(), ids=OTHER_JSON)
@pytest.mark.parametrize("call", PROXY_CALLS.values(), ids=PROXY_CALLS)
@pytest.mark.pitfall(138)
def test_other_json_is_no_answer_of_the_proxy(shared_namespace, call, body):
    assert_refused(shared_namespace, call, "proxy", json.dumps(body).encode())


@with_bodies(ACCOUNT_CALLS)
@pytest.mark.pitfall(78, 79)
def test_what_is_no_json_is_no_answer_of_the_account_service(shared_namespace, call, body):
    assert_refused(shared_namespace, call, "account", body)


CHANGES: dict[str, Call] = {
    "create container": lambda api, t: api.container_create(*t[:2]),
    "delete container": lambda api, t: api.container_delete(*t[:2]),
    "touch container": lambda api, t: api.container_touch(*t[:2]),
    "set of container": lambda api, t: api.container_set_properties(*t[:2], {"k": "v"}),
    "remove of container": lambda api, t: api.container_del_properties(*t[:2], ["k"]),
    "delete object": lambda api, t: api.object_delete(*t),
    "touch object": lambda api, t: api.object_touch(*t),
    "set of object": lambda api, t: api.object_set_properties(*t, {"k": "v"}),
    "remove of object": lambda api, t: api.object_del_properties(*t, ["k"]),
}


@pytest.mark.parametrize("call", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.pitfall(78)
def test_page_tells_neither_of_a_success_nor_of_an_absence(shared_namespace, shared_api, call, status):
    page = Fault("status", service="proxy", status=status, body=PAGE, content_type="text/html; charset=utf-8")
    with shared_namespace.faults(page) as plan, pytest.raises(exc.OioException, match="It works!") as caught:
        call(shared_api, new_target())
    plan.assert_met()
    assert not isinstance(caught.value, (exc.NoSuchContainer, exc.NoSuchObject))
    assert caught.value.service == shared_namespace.proxy.address


@pytest.mark.parametrize(
    "call",
    [
        lambda api: api.account_create("a"),
        lambda api: api.account_delete("a"),
        lambda api: api.account_show("a"),
    ],
)
@pytest.mark.pitfall(78)
def test_page_is_no_success_of_the_account_service(shared_namespace, shared_api, call):
    page = Fault("status", service="account", status=200, body=PAGE, content_type="text/html")
    with shared_namespace.faults(page), pytest.raises(exc.OioProtocolError, match="It works!") as caught:
        call(shared_api)
    assert caught.value.service == shared_namespace.account.address


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>gone fishing</html>", "gone fishing"),
        (b"plain text", "plain text"),
        (b'{"status": 500, "mess', '{"status": 500, "mess'),
        (b"caf\xe9", "caf�"),
        (b'{"status": 432, "message": "because"}', r"because \(HTTP 500\) \(STATUS 432\)"),
    ],
)
@pytest.mark.pitfall(78, 79)
def test_error_keeps_its_status_whatever_its_body(shared_namespace, shared_api, body, message):
    error = Fault("status", service="proxy", status=500, body=body)
    with shared_namespace.faults(error), pytest.raises(exc.ClientException, match=message) as caught:
        shared_api.container_show("account", "container")
    assert caught.value.http_status == 500
    assert caught.value.service == shared_namespace.proxy.address
    assert caught.value.reqid


#: Calls that act on the versions of a listing.
VERSION_CALLS: dict[str, Call] = {
    "flush": lambda api, t: api.container_flush(*t[:2]),
    "flush of Backblaze": lambda api, t: api.container_flush(*t[:2], key_file=__file__),
    "purge": lambda api, t: api.container_purge(*t[:2], maxvers=1),
    "recount": lambda api, t: api.container_touch(*t[:2], recompute=True),
    "check": lambda api, t: list(api.container_check(*t[:2])),
}


@pytest.mark.parametrize(
    "row",
    [
        {"name": "o", "deleted": False},
        {"name": "o", "deleted": False, "version": None},
        {"name": "o", "deleted": False, "version": []},
        {"name": "o", "deleted": False, "version": "1.5"},
        {"name": "o", "deleted": False, "version": "-1"},
        {"name": "o", "deleted": False, "version": "\N{FULLWIDTH DIGIT ONE}"},
        {"name": "o", "version": 1},
    ],
    ids=[
        "no version",
        "null as version",
        "list as version",
        "fraction as version",
        "negative version",
        "other digits",
        "not said whether it is deleted",
    ],
)
@pytest.mark.parametrize("call", VERSION_CALLS.values(), ids=VERSION_CALLS)
def test_listing_that_does_not_tell_versions_is_no_listing_of_them(shared_namespace, shared_api, call, row):
    target = stored(shared_api, SMALL)
    page = {"objects": [{**row, "chunk_method": "backblaze/account_id=A,bucket_name=B"}]}
    listing = Fault(
        "status",
        service="proxy",
        operation="container/list",
        status=200,
        body=json.dumps(page).encode(),
        headers=(("x-oio-list-truncated", "false"),),
    )
    with shared_namespace.faults(listing) as plan, pytest.raises(exc.OioProtocolError):
        call(shared_api, target)
    plan.assert_met()
    assert read(shared_api, target) == (SMALL, None)


@pytest.mark.parametrize("call", ["flush", "purge"])
def test_versions_of_a_listing_may_be_text(namespace, api, call):
    target = new_target()
    api.container_create(*target[:2], system={"sys.m2.policy.version": "-1"})
    for version in (9, 10):
        create(api, target, SMALL, version=version)
    rows = [{"name": target.name, "deleted": False, "version": version} for version in ("10", "9")]
    listing = Fault(
        "status",
        service="proxy",
        operation="container/list",
        status=200,
        body=json.dumps({"objects": rows, "system": {"sys.m2.policy.version": "-1"}}),
        headers=(("x-oio-list-truncated", "false"),),
        nth=1,
    )
    with namespace.faults(listing) as plan:
        VERSION_CALLS[call](api, target)
    plan.assert_met()
    left = [row["version"] for row in api.object_list_all(*target[:2], versions=True)]
    assert left == ([10] if call == "purge" else [])


# --- lengths, and heads -----------------------------------------------------------------------------------


@pytest.fixture
def target(shared_api):
    return stored(shared_api, LARGE, properties={"color": "blue"})


WRONG_LENGTHS = {
    "body that ends early": Fault("truncate", service="proxy", after_bytes=-1),
    "body that is cut in the middle": Fault("truncate", service="proxy", after_bytes=-10),
    "body that is reset": Fault("reset", service="proxy", after_bytes=-10),
    "empty body": Fault("truncate", service="proxy", after_bytes=0),
    "shorter length": Fault("raw-head", service="proxy", body="Content-Length: 10\r\n"),
    "longer length": Fault("raw-head", service="proxy", body="Content-Length: 100000\r\n"),
}


@pytest.mark.parametrize("fault", WRONG_LENGTHS.values(), ids=WRONG_LENGTHS)
@pytest.mark.parametrize("call", ["locate", "list", "properties"])
def test_body_of_another_length_than_announced_is_an_error(shared_namespace, shared_api, target, call, fault):
    with shared_namespace.faults(fault) as plan, pytest.raises(exc.OioNetworkException) as caught:
        PROXY_CALLS[call](shared_api, target)
    plan.assert_met()
    assert shared_namespace.proxy.address in str(caught.value)


@pytest.mark.pitfall(138)
@pytest.mark.parametrize("phase", ["head", "body"])
def test_whatever_bit_of_a_location_flips_reads_are_exact_or_fail(
    shared_namespace, shared_api, target, phase
):
    flipped = 0
    for position in range(0, 4000, 11 if phase == "head" else 41):
        flip = Fault("corrupt", service="proxy", phase=phase, after_bytes=position, nth=1)
        with shared_namespace.faults(flip) as plan:
            data, error = read(shared_api, target, [(5, 300_000)], read_timeout=2.0)
        if not plan.hits(flip):
            break
        flipped += 1
        assert error or data == LARGE[5:300_001]
    assert flipped > 50


@pytest.mark.parametrize(
    "status_line", [b"HTTP/1.1\r\n", b"\r\n", b"HTTP/1.1 abc\r\n", b"SSH-2.0-OpenSSH\r\n"]
)
@pytest.mark.pitfall(13)
def test_broken_status_line_is_a_network_error(status_line):
    def garble(peer: Peer) -> None:
        peer.read_head()
        peer.send(status_line + b"\r\n")

    with serving(garble) as server, ObjectStorageApi("OPENIO", endpoint=server.address) as api:
        with pytest.raises(exc.OioNetworkException) as caught:
            api.container_show("account", "container")
        assert caught.value.service == server.address


@pytest.mark.pitfall(60)
def test_size_of_chunks_that_is_said_twice_is_none(shared_namespace, shared_api):
    second = Fault(
        "raw-head",
        service="proxy",
        operation="content/prepare2",
        phase="head",
        body="X-Oio-Ns-Chunk-Size: 10\r\n",
    )
    with shared_namespace.faults(second) as plan, pytest.raises(exc.OioProtocolError, match="10, "):
        create(shared_api, new_target(), b"data")
    plan.assert_met()


def test_hundreds_of_properties_are_all_read(shared_namespace, shared_api):
    properties = {f"key-{number}": str(number) for number in range(300)}
    target = stored(shared_api, SMALL, properties=properties)
    meta, stream = shared_api.object_fetch(*target)
    assert b"".join(stream) == SMALL
    assert meta["properties"] == properties
    assert meta["length"] == str(len(SMALL))
    assert shared_api.object_locate(*target)[0]["properties"] == properties
    assert shared_api.object_get_properties(*target)["properties"] == properties


@pytest.mark.parametrize(
    "key",
    [
        "a b",
        "a\nb",
        "a\rb",
        "a\x01b",
        "a:b",
        "a: 1",
        "Size",
        "HASH",
        "LENGTH",
        "é",
        " ",
        "a: 1\r\nx-oio-content-meta-size: 99\r\nz",
        "a: 1\r\nx-oio-content-meta-length: 99\r\nz",
        "a: 1\r\nx-oio-content-meta-hash: 00\r\nz",
        "a: 1\r\nContent-Length: 2\r\nz",
        "a: 1\r\n\r\n[]",
    ],
)
@pytest.mark.pitfall(148, 158)
def test_keys_of_properties_never_hide_or_replace_metadata(shared_namespace, shared_api, key):
    target = stored(shared_api, SMALL, properties={"before": "1", "zzz": "2"})
    names = urlencode({"acct": target.account, "ref": target.container, "path": target.name})
    # Our own client refuses most of these keys; others do not.
    with RawSocket(shared_namespace.proxy.address) as connection:
        body = json.dumps({"properties": {key: "odd"}}).encode()
        route = f"/v3.0/OPENIO/content/set_properties?{names}"
        assert connection.ask("POST", route, body=body).status == 204
    plain = shared_api.object_get_properties(*target)
    assert plain["properties"] == {"before": "1", "zzz": "2", key: "odd"}
    meta, stream = shared_api.object_fetch(*target)
    assert b"".join(stream) == SMALL
    for found in (meta, shared_api.object_locate(*target)[0]):
        assert {name: found[name] for name in plain} == plain


# --- connections ------------------------------------------------------------------------------------------


@pytest.mark.pitfall(11, 153)
def test_requests_share_a_connection_that_they_ask_to_keep(namespace, api):
    target = stored(api, SMALL)
    for _ in range(3):
        api.object_get_properties(*target)
        api.account_show(target.account)
        with pytest.raises(exc.NoSuchObject):
            api.object_get_properties(target.account, target.container, "missing")
    for service in (namespace.proxy, namespace.account):
        requests = [request for request in namespace.requests if request.service == service.kind]
        assert len(requests) > 2
        assert len({request.connection for request in requests}) == 1
        for request in requests:
            assert dict(request.headers)["Connection"] == "keep-alive"


@pytest.mark.pitfall(11)
def test_connections_are_closed_when_the_caller_asks_for_it(namespace, api):
    for _ in range(2):
        with pytest.raises(exc.NoSuchContainer):
            api.container_show("account", "container", headers={"Connection": "close"})
    assert len({request.connection for request in namespace.requests}) == 2
    assert all(dict(request.headers)["Connection"] == "close" for request in namespace.requests)


@pytest.mark.pitfall(153)
def test_kept_connection_that_the_proxy_has_closed_is_replaced(namespace, api):
    target = stored(api, SMALL)
    namespace.stop()
    namespace.start()
    assert read(api, target) == (SMALL, None)


@pytest.mark.pitfall(144)
def test_proxy_is_sent_lengths_and_no_expectations(namespace, api):
    target = stored(api, LARGE, properties={"k": "v"})
    api.object_set_properties(*target, {"k": "w"})
    api.object_list(*target[:2])
    api.object_delete_many(*target[:2], [target.name])
    posts = [r for r in namespace.requests if r.service == "proxy" and r.method == "POST"]
    assert len(posts) >= 5
    for request in posts:
        names = {name.lower() for name, _ in request.headers}
        assert "content-length" in names
        assert not names & {"transfer-encoding", "expect"}


@pytest.mark.pitfall(59)
def test_timeout_of_the_host_around_a_call_stays_the_hosts():
    from oio.common.green import Timeout

    with serving(Peer.wait_until_gone) as server, ObjectStorageApi("OPENIO", endpoint=server.address) as api:
        of_the_host = Timeout(0.1)
        with pytest.raises(Timeout) as caught:
            api.container_show("account", "container")
    assert caught.value is of_the_host


# --- listings ---------------------------------------------------------------------------------------------


@pytest.mark.pitfall(139)
def test_marker_before_the_prefix_does_not_empty_the_page(api):
    target = stored(api, b"")
    names = ["a", "aa", "b/1", "b/2", "c"]
    for name in names:
        create(api, target._replace(name=name), b"")
    page = api.object_list(*target[:2], prefix="b/", marker="a")
    assert [item["name"] for item in page["objects"]] == ["b/1", "b/2"]
    page = api.object_list(*target[:2], prefix="b/", marker="b/1")
    assert [item["name"] for item in page["objects"]] == ["b/2"]


@pytest.mark.pitfall(141)
def test_pages_of_one_name_give_each_name_once(api):
    target = new_target()
    names = sorted(["plain", "a b", "a+b", "a%b", "a/b", "é", "a?b&c", "new\nline", "z" * 1023])
    for name in names:
        create(api, target._replace(name=name), b"", policy="SINGLE")
    found, marker, truncated = [], None, True
    while truncated:
        page = api.object_list(*target[:2], limit=1, marker=marker)
        found += [item["name"] for item in page["objects"]]
        marker, truncated = page.get("next_marker"), page["truncated"]
    assert found == sorted(names, key=str.encode)
