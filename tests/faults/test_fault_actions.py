# SPDX-License-Identifier: Apache-2.0
"""Each fault action does on the wire what it says."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from oio.sandbox import Fault, Namespace
from oio.sandbox.services import RawxService
from tests.kit.chunkdata import HEADERS, ID, META, OTHER_PATH, PATH, md5
from tests.kit.rawsocket import RawSocket, chunk

DATA = bytes(range(256)) * 40
STATUS = "/v3.0/OPENIO/conscience/info"
CREATE = "/v3.0/OPENIO/container/create?acct=a&ref=c"
SHOW = "/v3.0/OPENIO/container/show?acct=a&ref=c"
KEEP = [("Connection", "keep-alive")]


@pytest.fixture
def namespace(tmp_path, release) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=2, release=release) as running:
        yield running


@pytest.fixture
def rawx(namespace: Namespace) -> RawxService:
    """Return a rawx that holds one chunk, of :data:`DATA`."""
    rawx = namespace.rawx[0]
    with RawSocket(rawx.address) as connection:
        assert connection.ask("PUT", PATH, HEADERS, DATA).status == 201
    return rawx


@pytest.fixture
def connection(rawx: RawxService) -> Iterator[RawSocket]:
    with RawSocket(rawx.address) as opened:
        yield opened


@pytest.fixture
def proxy(namespace: Namespace) -> Iterator[RawSocket]:
    with RawSocket(namespace.proxy.address) as opened:
        yield opened


def request_get(connection: RawSocket, path: str = PATH) -> None:
    connection.send(f"GET {path} HTTP/1.1\r\nHost: {connection.address}\r\n\r\n".encode())


def begin_get(connection: RawSocket) -> int:
    """Ask for the chunk; return the length that its head announces."""
    request_get(connection)
    head = connection.read_until(b"\r\n\r\n").decode()
    assert head.startswith("HTTP/1.1 200 OK")
    return int(head.partition("Content-Length: ")[2].partition("\r\n")[0])


def status_of_new_connection(address: str, path: str = PATH) -> int:
    with RawSocket(address) as connection:
        return connection.ask("GET", path).status


POINTS = [0, 1, 5_000, len(DATA) - 1, -1, -len(DATA)]


def expected(point: int) -> bytes:
    """Return what passes before ``point``."""
    return DATA[:point]


@pytest.mark.parametrize("point", POINTS)
def test_truncate_ends_the_body_early_in_good_order(
    namespace: Namespace, connection: RawSocket, point: int
) -> None:
    with namespace.faults(Fault("truncate", operation="GET", after_bytes=point)) as plan:
        assert begin_get(connection) == len(DATA)
        assert connection.rest() == expected(point)
    plan.assert_met()


@pytest.mark.parametrize("point", POINTS)
def test_reset_cuts_the_body_by_a_reset(namespace: Namespace, connection: RawSocket, point: int) -> None:
    with namespace.faults(Fault("reset", operation="GET", after_bytes=point)) as plan:
        request_get(connection)
        with pytest.raises(ConnectionResetError):
            connection.rest()
    plan.assert_met()


@pytest.mark.parametrize("point", POINTS)
def test_corrupt_changes_one_byte(namespace: Namespace, connection: RawSocket, point: int) -> None:
    with namespace.faults(Fault("corrupt", operation="GET", after_bytes=point)) as plan:
        answer = connection.ask("GET", PATH)
    plan.assert_met()
    changed = [at for at in range(len(DATA)) if answer.body[at] != DATA[at]]
    assert changed == [point % len(DATA)]
    assert answer.get(f"{META}chunk-hash") == md5(DATA)


@pytest.mark.parametrize("point", POINTS)
def test_stall_sends_no_more_until_the_plan_ends(
    namespace: Namespace, connection: RawSocket, point: int
) -> None:
    plan = namespace.faults(Fault("stall", operation="GET", after_bytes=point))
    with plan:
        begin_get(connection)
        assert connection.read(len(expected(point))) == expected(point)
        connection.sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.sock.recv(1)
        connection.sock.settimeout(30)
    with pytest.raises(ConnectionResetError):
        connection.rest()
    plan.assert_met()


def test_a_stall_ends_when_the_client_leaves(namespace: Namespace, rawx: RawxService) -> None:
    with namespace.faults(Fault("stall", operation="GET", after_bytes=10)) as plan:
        with RawSocket(rawx.address) as connection:
            begin_get(connection)
            connection.read(10)
        while rawx.open_connections():
            pass
    plan.assert_met()


def test_a_stall_does_not_hold_up_the_end_of_the_namespace(namespace: Namespace, rawx: RawxService) -> None:
    fault = Fault("stall", operation="GET", phase="head")
    with RawSocket(rawx.address) as connection, namespace.faults(fault) as plan:
        request_get(connection)
        while not plan.hits(fault):
            pass
        namespace.stop()
        assert rawx.open_connections() == 0


def test_drip_sends_one_byte_at_a_time(namespace: Namespace, connection: RawSocket) -> None:
    fault = Fault("drip", operation="GET", after_bytes=len(DATA) - 3, seconds=0.1)
    with namespace.faults(fault) as plan:
        begin_get(connection)
        connection.read(len(DATA) - 3)
        begin = time.monotonic()
        assert connection.read(3) == DATA[-3:]
        assert time.monotonic() - begin >= 0.2
    plan.assert_met()


def test_slow_pauses_and_goes_on(namespace: Namespace, connection: RawSocket) -> None:
    with namespace.faults(Fault("slow", operation="GET", after_bytes=100, seconds=0.2)) as plan:
        begin_get(connection)
        connection.read(100)
        begin = time.monotonic()
        assert connection.read(len(DATA) - 100) == DATA[100:]
        assert time.monotonic() - begin >= 0.1
        assert connection.ask("GET", "/info").status == 200
    plan.assert_met()


@pytest.mark.parametrize(("action", "ends"), [("truncate", b""), ("reset", None)])
def test_phase_head_strikes_before_the_answer(
    namespace: Namespace, connection: RawSocket, action: str, ends: bytes | None
) -> None:
    with namespace.faults(Fault(action, operation="GET", phase="head")) as plan:
        request_get(connection)
        if ends is None:
            with pytest.raises(ConnectionResetError):
                connection.rest()
        else:
            assert connection.rest() == ends
    plan.assert_met()


def test_a_head_may_be_cut_in_the_middle(namespace: Namespace, connection: RawSocket) -> None:
    with namespace.faults(Fault("truncate", operation="GET", phase="head", after_bytes=20)) as plan:
        request_get(connection)
        assert connection.rest() == b"HTTP/1.1 200 OK\r\nCon"
    plan.assert_met()


def test_a_place_beyond_the_body_is_not_met(namespace: Namespace, connection: RawSocket) -> None:
    fault = Fault("truncate", operation="GET", after_bytes=len(DATA))
    with namespace.faults(fault) as plan:
        assert connection.ask("GET", PATH).body == DATA
    with pytest.raises(AssertionError, match="never happened"):
        plan.assert_met()


# Uploads: the bytes that count are those received.


@pytest.mark.parametrize("point", [0, 1, 70_000, 100_000, -1])
@pytest.mark.parametrize("action", ["truncate", "reset"])
def test_an_upload_cut_by_the_service_stores_nothing(
    namespace: Namespace, rawx: RawxService, connection: RawSocket, action: str, point: int
) -> None:
    with namespace.faults(Fault(action, operation="PUT", after_bytes=point)) as plan:
        connection.begin_chunked(OTHER_PATH, HEADERS)
        connection.send(chunk(b"x" * 100_000) + b"0\r\n\r\n")
        if action == "reset":
            with pytest.raises(ConnectionResetError):
                connection.rest()
        else:
            assert connection.rest() == b""
    plan.assert_met()
    assert rawx.chunks() == [ID]


def test_a_stalled_upload_is_not_stored_even_when_all_has_come(
    namespace: Namespace, rawx: RawxService
) -> None:
    with namespace.faults(Fault("stall", operation="PUT", after_bytes=-1)) as plan:
        with RawSocket(rawx.address) as connection:
            connection.begin_chunked(OTHER_PATH, HEADERS)
            connection.send(chunk(b"data") + b"0\r\n\r\n")
            while not plan.hits(plan.faults[0]):
                pass
        while rawx.open_connections():
            pass
    assert rawx.chunks() == [ID]


def test_a_corrupted_upload_is_stored_corrupted(namespace: Namespace, connection: RawSocket) -> None:
    with namespace.faults(Fault("corrupt", operation="PUT", after_bytes=2)) as plan:
        stored = connection.ask_chunked(OTHER_PATH, HEADERS, [b"data"])
    plan.assert_met()
    assert stored.get(f"{META}chunk-hash") == md5(b"daua")
    assert connection.ask("GET", OTHER_PATH).body == b"daua"


def test_a_full_disk_is_a_500_and_leaves_nothing(
    namespace: Namespace, rawx: RawxService, connection: RawSocket
) -> None:
    with namespace.faults(Fault("disk-full")) as plan:
        assert connection.ask("GET", PATH).status == 200
        assert connection.ask_chunked(OTHER_PATH, HEADERS, [b"x" * 100_000] * 5).status == 500
    plan.assert_met()
    assert rawx.chunks() == [ID]
    assert connection.ask("PUT", OTHER_PATH, HEADERS, b"data").status == 201


def test_wrong_hash_is_in_the_answer_only(namespace: Namespace, connection: RawSocket) -> None:
    with namespace.faults(Fault("wrong-hash")) as plan:
        stored = connection.ask("PUT", OTHER_PATH, HEADERS, b"data")
        fetched = connection.ask("GET", OTHER_PATH)
    plan.assert_met()
    for answer in (stored, fetched):
        named = answer.get(f"{META}chunk-hash") or ""
        assert named != md5(b"data")
        assert named[1:] == md5(b"data")[1:]
    assert connection.ask("GET", OTHER_PATH).get(f"{META}chunk-hash") == md5(b"data")


@pytest.mark.parametrize("action", ["commit-then-timeout", "commit-then-reset"])
def test_a_commit_without_an_answer_is_a_commit(
    namespace: Namespace, rawx: RawxService, connection: RawSocket, action: str
) -> None:
    with namespace.faults(Fault(action, operation="PUT")) as plan:
        connection.send(f"PUT {OTHER_PATH} HTTP/1.1\r\nHost: {rawx.address}\r\n".encode())
        lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS)
        connection.send(f"{lines}Content-Length: 4\r\n\r\ndata".encode())
        while not plan.hits(plan.faults[0]):
            pass
        assert len(rawx.chunks()) == 2
    with pytest.raises(ConnectionResetError):
        connection.rest()


# All services.


@pytest.mark.parametrize("kind", ["rawx", "proxy", "account", "rdir"])
def test_status_answers_without_executing(namespace: Namespace, rawx: RawxService, kind: str) -> None:
    service = next(service for service in namespace.services if service.kind == kind)
    method, target = {
        "rawx": ("DELETE", PATH),
        "proxy": ("POST", CREATE),
        "account": ("PUT", "/v1.0/account/create?id=x"),
        "rdir": ("POST", "/v1/rdir/create?vol=x"),
    }[kind]
    with RawSocket(service.address) as connection:
        with namespace.faults(Fault("status", service=kind, status=502)) as plan:
            answer = connection.ask(method, target, KEEP, b"")
            assert answer.status == 502
            if kind in {"proxy", "rdir"}:
                assert json.loads(answer.body)["status"] == 502
        plan.assert_met()
        assert connection.ask(method, target, KEEP, b"").status in {201, 204}


def test_status_may_have_any_body(namespace: Namespace, proxy: RawSocket) -> None:
    page = "<html>Bad gateway</html>"
    fault = Fault("status", service="proxy", status=502, body=page, content_type="text/html")
    with namespace.faults(fault):
        answer = proxy.ask("GET", STATUS, KEEP)
    assert (answer.body.decode(), answer.get("content-type")) == (page, "text/html")


def test_status_lets_the_connection_live_after_a_refused_upload(
    namespace: Namespace, connection: RawSocket
) -> None:
    with namespace.faults(Fault("status", operation="PUT", status=503)):
        assert connection.ask_chunked(OTHER_PATH, HEADERS, [b"x" * 100_000] * 5).status == 503
    assert connection.ask("GET", OTHER_PATH).status == 404


@pytest.mark.parametrize("kind", ["rawx", "proxy", "account", "rdir"])
def test_refuse_refuses_connections_and_cuts_open_ones(namespace: Namespace, kind: str) -> None:
    service = next(service for service in namespace.services if service.kind == kind)
    with RawSocket(service.address) as before:
        before.ask("GET", "/nowhere", KEEP)
        with namespace.faults(Fault("refuse", service=kind, address=service.address)) as plan:
            assert before.rest() == b""
            with pytest.raises(ConnectionRefusedError):
                RawSocket(service.address)
        plan.assert_met()
    assert status_of_new_connection(service.address, "/nowhere") in {400, 404}


def test_refuse_spares_other_addresses(namespace: Namespace) -> None:
    first, second = namespace.rawx
    with namespace.faults(Fault("refuse", address=first.address)):
        assert status_of_new_connection(second.address, "/info") == 200


def test_connections_may_stall(namespace: Namespace) -> None:
    address = namespace.rawx[0].address
    with namespace.faults(Fault("stall", phase="connect", address=address)):
        impatient = _connect_with(address, timeout=0.2)
        assert impatient is None
    assert status_of_new_connection(address, "/info") == 200


def _connect_with(address: str, timeout: float) -> RawSocket | None:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=timeout).close()
    except TimeoutError:
        return None
    raise AssertionError("connected")


def test_a_stopped_service_stays_stopped_when_a_plan_ends(namespace: Namespace) -> None:
    rawx = namespace.rawx[0]
    with namespace.faults(Fault("refuse")):
        rawx.stop()
    with pytest.raises(ConnectionRefusedError):
        RawSocket(rawx.address)


@pytest.mark.pitfall(158)
def test_raw_head_breaks_the_head(namespace: Namespace, proxy: RawSocket) -> None:
    proxy.ask("POST", CREATE, KEEP, b"{}")
    lines = "x-oio-content-meta-x-a b: 1\r\nno colon at all\r\n"
    with namespace.faults(Fault("raw-head", service="proxy", operation="container/show", body=lines)) as plan:
        proxy.send(f"GET {SHOW} HTTP/1.1\r\nConnection: keep-alive\r\n\r\n".encode())
        head = proxy.read_until(b"\r\n\r\n").decode()
    plan.assert_met()
    before, _, after = head.partition(lines)
    assert "Content-Length: " in before
    assert after.startswith("x-oio-container-meta-")


def test_wrong_hash_of_the_proxy_is_in_its_json_too(namespace: Namespace, proxy: RawSocket) -> None:
    body = json.dumps({"size": 4, "policy": "SINGLE"}).encode()
    proxy.ask("POST", CREATE, KEEP, b"{}")
    with namespace.faults(Fault("wrong-hash", service="proxy", operation="content/prepare2")) as plan:
        target = "/v3.0/OPENIO/content/prepare2?acct=a&ref=c&path=o"
        answer = proxy.ask("POST", target, KEEP, body)
    plan.assert_met()
    assert {item["hash"] for item in json.loads(answer.body)["chunks"]} == {"1" + "0" * 31}


# Matching.


def test_nth_strikes_one_request_only(namespace: Namespace, connection: RawSocket) -> None:
    with namespace.faults(Fault("status", operation="GET", nth=2)) as plan:
        connection.ask("HEAD", PATH)
        assert [connection.ask("GET", PATH).status for _ in range(3)] == [200, 503, 200]
    assert plan.hits(plan.faults[0]) == 1


def test_requests_are_counted_over_all_connections_and_threads(
    namespace: Namespace, rawx: RawxService
) -> None:
    statuses: list[int] = []
    with namespace.faults(Fault("status", nth=7)):
        threads = [
            threading.Thread(target=lambda: statuses.append(status_of_new_connection(rawx.address)))
            for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(statuses) == [200] * 9 + [503]


@pytest.mark.parametrize(
    ("operation", "struck"),
    [
        (None, True),
        ("POST", True),
        ("GET", False),
        ("container/create", True),
        ("/container/create/", True),
        ("create", True),
        ("content/create", False),
    ],
)
def test_operations_are_methods_or_ends_of_paths(
    namespace: Namespace, proxy: RawSocket, operation: str | None, struck: bool
) -> None:
    with namespace.faults(Fault("status", service="proxy", operation=operation)):
        assert (proxy.ask("POST", CREATE, KEEP, b"{}").status == 503) == struck


def test_the_first_fault_that_is_due_strikes(namespace: Namespace, connection: RawSocket) -> None:
    faults = [Fault("status", status=500, nth=2), Fault("status", status=501)]
    with namespace.faults(*faults) as plan:
        assert [connection.ask("GET", PATH).status for _ in range(3)] == [501, 500, 501]
    plan.assert_met()


def test_the_latest_plan_comes_first(namespace: Namespace, connection: RawSocket) -> None:
    with namespace.faults(Fault("status", status=500)):
        with namespace.faults(Fault("status", status=501)):
            assert connection.ask("GET", PATH).status == 501
        assert connection.ask("GET", PATH).status == 500
    assert connection.ask("GET", PATH).status == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"action": "explode"}, "action='explode'"),
        ({"action": "reset", "service": "meta2"}, "service='meta2'"),
        ({"action": "reset", "phase": "tail"}, "phase='tail'"),
        ({"action": "reset", "nth": 0}, "nth=0"),
        ({"action": "status", "status": 100}, "status=100"),
        ({"action": "slow", "seconds": -1}, "seconds=-1"),
        ({"action": "status", "after_bytes": 1}, "after_bytes=1"),
        ({"action": "reset", "phase": "head", "after_bytes": -1}, "after_bytes=-1"),
        ({"action": "refuse", "nth": 1}, "refuse"),
        ({"action": "refuse", "operation": "GET"}, "refuse"),
        ({"action": "reset", "phase": "connect"}, "phase='connect'"),
        ({"action": "stall", "phase": "connect", "nth": 1}, "stall"),
        ({"action": "disk-full", "operation": "GET"}, "disk-full"),
        ({"action": "wrong-hash", "service": "account"}, "wrong-hash"),
        ({"action": "raw-head"}, "raw-head"),
    ],
)
def test_faults_that_make_no_sense_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fault(**arguments)  # type: ignore[arg-type]


def test_a_plan_takes_faults_only(namespace: Namespace) -> None:
    with pytest.raises(TypeError, match="reset"):
        namespace.faults("reset")  # type: ignore[arg-type]
