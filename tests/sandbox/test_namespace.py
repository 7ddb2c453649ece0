# SPDX-License-Identifier: Apache-2.0
"""The life of an embedded namespace: start, stop, start again, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from oio.sandbox import Fault, Namespace
from oio.sandbox.http.ports import free_ports
from tests.kit.chunkdata import HEADERS, ID, PATH
from tests.kit.rawsocket import RawSocket, chunk
from tests.sandbox.asking import KEEP, ask_proxy, scores, store_object


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_everything_is_there_again_after_a_restart(tmp_path: Path) -> None:
    with Namespace(tmp_path, rawx=3) as namespace:
        addresses = [service.address for service in namespace.services]
        ask_proxy(namespace, "POST", "container/create?acct=acct&ref=ref", {})
        store_object(namespace, "o")
        chunks = [service.chunks() for service in namespace.rawx]
    with Namespace(tmp_path, rawx=3) as namespace:
        assert [service.address for service in namespace.services] == addresses
        assert [service.chunks() for service in namespace.rawx] == chunks
        listed = ask_proxy(namespace, "GET", "container/list?acct=acct&ref=ref")
        assert [item["name"] for item in listed["objects"]] == ["o"]
        with RawSocket(namespace.account.address) as connection:
            shown = json.loads(connection.ask("GET", "/v1.0/account/show?id=acct").body)
        assert (shown["objects"], shown["bytes"]) == (1, 4)


def test_stop_and_start_keep_addresses_and_data(namespace: Namespace) -> None:
    rawx = namespace.rawx[0]
    address = rawx.address
    with RawSocket(address) as connection:
        connection.ask("PUT", PATH, HEADERS, b"data")
    namespace.stop()
    with pytest.raises(ConnectionRefusedError):
        RawSocket(address)
    namespace.start()
    with RawSocket(address) as connection:
        assert connection.ask("GET", PATH).body == b"data"


def test_stop_leaves_no_thread_and_no_descriptor_whatever_clients_do(tmp_path: Path) -> None:
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    namespace = Namespace(tmp_path, rawx=2)
    namespace.start()
    idle, silent = RawSocket(namespace.proxy.address), RawSocket(namespace.account.address)
    uploading = RawSocket(namespace.rawx[0].address)
    with idle, silent, uploading:
        idle.ask("GET", "/v3.0/status", KEEP)
        uploading.begin_chunked(PATH, HEADERS)
        uploading.send(chunk(b"x" * 100_000))
        namespace.stop()
        assert idle.rest() == b""
        # One that was not accepted yet is reset.
        with contextlib.suppress(ConnectionResetError):
            assert silent.rest() == b""
        with contextlib.suppress(ConnectionResetError):
            assert uploading.rest() == b""
    namespace.close()
    assert set(threading.enumerate()) == threads
    assert open_descriptors() == descriptors
    assert namespace.rawx[0].chunks() == []


def test_a_temporary_namespace_removes_its_directory() -> None:
    with Namespace(rawx=1) as namespace:
        assert namespace.path.is_dir()
    assert not namespace.path.exists()


def test_a_directory_serves_one_namespace_at_a_time(tmp_path: Path) -> None:
    with Namespace(tmp_path, rawx=1), pytest.raises(OSError, match="another namespace runs in"):
        Namespace(tmp_path, rawx=1).start()
    with Namespace(tmp_path, rawx=1) as namespace:
        assert namespace.proxy.running


def test_one_that_is_refused_changes_nothing_in_the_directory(tmp_path: Path) -> None:
    with Namespace(tmp_path, rawx=1) as namespace:
        addresses = [service.address for service in namespace.services]
        with pytest.raises(OSError, match="another namespace runs in"):
            Namespace(tmp_path, rawx=3, port=free_ports("127.0.0.1", 1)[0]).start()
    with Namespace(tmp_path, rawx=1) as namespace:
        assert [service.address for service in namespace.services] == addresses


def test_ports_that_another_one_has_taken_down_meanwhile_are_not_overwritten(tmp_path: Path) -> None:
    late = Namespace(tmp_path, rawx=1)
    with Namespace(tmp_path, rawx=1):
        pass
    with pytest.raises(OSError, match="another namespace has run in"):
        late.start()


def test_a_fault_for_a_service_that_is_not_there_is_refused(namespace: Namespace) -> None:
    for address in ("127.0.0.1:1", namespace.proxy.address):
        with pytest.raises(ValueError, match=f"address='{address}': no rawx of {namespace.name}"):
            namespace.faults(Fault("refuse", address=address))


@pytest.mark.parametrize(
    ("service", "operation", "message"),
    [
        ("proxy", "container/snapsot", "did you mean container/snapshot"),
        ("proxy", "tainer/create", "did you mean container/create"),
        ("proxy", "rdir/push", "no operation of a proxy"),
        ("account", "acount/show", "did you mean account/show"),
        ("rawx", "PUTT", "did you mean PUT"),
    ],
)
def test_a_fault_for_an_operation_that_there_is_not_is_refused(
    namespace: Namespace, service: str, operation: str, message: str
) -> None:
    with pytest.raises(ValueError, match=f"operation='{operation}'.*{message}"):
        namespace.faults(Fault("status", service=service, operation=operation))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", None),
        ("name", 5),
        ("host", None),
        ("ports", None),
        ("ports", "6000"),
        ("ports", [6000, 6001]),
        ("ports", [6000, 6001, "6002"]),
        ("ports", [6000, 6001, 65536]),
        ("rdir", "6003"),
        ("b2", {}),
        ("b2", {"port": 6004}),
        ("b2", {"port": 6004, "account": "../elsewhere"}),
        ("release", ["2026"]),
    ],
)
def test_a_layout_damaged_by_hand_names_its_file_and_the_place(
    tmp_path: Path, key: str, value: object
) -> None:
    with Namespace(tmp_path, rawx=1):
        pass
    file = tmp_path / "namespace.json"
    layout = json.loads(file.read_text()) | {key: value}
    if value is None:
        del layout[key]
    file.write_text(json.dumps(layout))
    before = file.read_bytes()
    with pytest.raises(OSError, match=rf"{re.escape(str(file))} is damaged: '{key}' (is missing|cannot be)"):
        Namespace(tmp_path, rawx=1)
    assert file.read_bytes() == before


#: A limit of the size of files stands for the full disk. A reader keeps the journal as large as it is.
FULL = """
import os, resource, signal, sqlite3, sys, threading
from oio.sandbox import Namespace
from oio.sandbox.storage.files import replace_file
from pathlib import Path

directory = Path(sys.argv[1])
namespace = Namespace(directory, rawx=2)
file = directory / "metadata.sqlite"
reader, writer = sqlite3.connect(file), sqlite3.connect(file)
reader.execute("BEGIN")
reader.execute("SELECT * FROM bases").fetchall()
writer.execute("CREATE TABLE large (data)")
writer.execute("INSERT INTO large VALUES (zeroblob(100000))")
writer.commit()
writer.close()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = os.stat(f"{file}-wal").st_size
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
before = set(os.listdir("/proc/self/fd"))
for limit, call in ((size, namespace.start), (0, lambda: replace_file(directory / "file", b"data"))):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    try:
        call()
    except OSError as err:
        print(err)
assert threading.active_count() == 1
assert set(os.listdir("/proc/self/fd")) == before
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
reader.close()
with namespace:
    print("started", len(namespace.rawx))
"""


def test_a_start_on_a_full_disk_names_the_directory_and_leaves_nothing_running(tmp_path: Path) -> None:
    with Namespace(tmp_path, rawx=1):
        pass
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == [
        f"the namespace in {tmp_path} cannot be started: disk I/O error",
        f"[Errno 27] File too large: '{tmp_path / 'file'}'",
        "started 2",
    ]


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            Namespace(tmp_path, rawx=1, port=port).start()
        with Namespace(tmp_path, rawx=1) as namespace:
            assert namespace.rawx[0].running


def test_a_namespace_may_grow(tmp_path: Path) -> None:
    with Namespace(tmp_path, rawx=2) as namespace:
        before = [service.address for service in namespace.services]
    with Namespace(tmp_path, rawx=4) as namespace:
        assert [service.address for service in namespace.services][: len(before)] == before
        assert len(namespace.rawx) == 4
    with Namespace(tmp_path, rawx=1) as namespace:
        assert len(namespace.rawx) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rawx": 0}, "rawx=0"),
        ({"chunk_size": 0}, "chunk_size=0"),
        ({"name": ""}, "name=''"),
        ({"name": "a/b"}, "name='a/b'"),
        ({"port": 70_000}, "port=70000"),
        ({"host": "0.0.0.0"}, "host='0.0.0.0'"),
        ({"host": "localhost"}, "localhost"),
        ({"default_policy": "NOPE"}, "NOPE"),
        ({"event_delay": -1}, "event_delay=-1"),
        ({"event_delay": float("nan")}, "event_delay=nan"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Namespace(tmp_path / "never", **arguments)
    assert not (tmp_path / "never").exists()


def test_a_namespace_does_not_change_its_name(tmp_path: Path) -> None:
    with Namespace(tmp_path, rawx=1, name="ONE"):
        pass
    with pytest.raises(ValueError, match=r"name='TWO'.*'ONE'"):
        Namespace(tmp_path, rawx=1, name="TWO")


def test_a_locked_service_gets_nothing_new_and_goes_on_serving(namespace: Namespace) -> None:
    first, second, third = namespace.rawx
    first.lock()
    second.lock(score=7)
    assert [rawx.score for rawx in namespace.rawx] == [0, 7, 100]
    assert scores(namespace) == {first.address: 0, second.address: 7, third.address: 100}
    for number in range(10):
        url = store_object(namespace, f"o{number}")
        assert first.address not in url
    with RawSocket(first.address) as connection:
        assert connection.ask("GET", "/info").status == 200
    first.stop()
    first.start()
    assert first.score == 0
    first.unlock()
    assert first.score == 100


def test_a_score_out_of_bounds_is_refused(namespace: Namespace) -> None:
    for score in (-1, 101):
        with pytest.raises(ValueError, match=f"score={score}"):
            namespace.rawx[0].lock(score)


def test_unlocked_by_a_client_a_service_has_the_score_of_its_state_again(namespace: Namespace) -> None:
    rawx = namespace.rawx[0]
    body = {"addr": rawx.address, "type": "rawx", "ns": namespace.name, "score": 0}
    ask_proxy(namespace, "POST", "conscience/lock", body)
    assert rawx.score == 0
    ask_proxy(namespace, "POST", "conscience/unlock", body)
    assert rawx.score == 100
    rawx.stop()
    assert rawx.score == 0


def test_services_that_the_conscience_has_forgotten_are_registered_by_a_start(namespace: Namespace) -> None:
    ask_proxy(namespace, "POST", "conscience/flush?type=rawx")
    assert scores(namespace) == {}
    assert namespace.rawx[1].score == 0
    namespace.rawx[1].start()
    assert scores(namespace) == {namespace.rawx[1].address: 100}


def test_a_stopped_rawx_has_no_score_and_refuses_connections(namespace: Namespace) -> None:
    rawx = namespace.rawx[1]
    rawx.stop()
    assert not rawx.running
    assert [address for address, score in scores(namespace).items() if score == 0] == [rawx.address]
    with pytest.raises(ConnectionRefusedError):
        RawSocket(rawx.address)
    rawx.start()
    assert scores(namespace)[rawx.address] > 0
    with RawSocket(rawx.address) as connection:
        assert connection.ask("GET", "/info").status == 200


def test_chunks_of_a_deleted_object_are_removed_even_from_a_stopped_rawx(namespace: Namespace) -> None:
    url = store_object(namespace, "o")
    holder = next(rawx for rawx in namespace.rawx if rawx.chunks())
    holder.stop()
    ask_proxy(namespace, "POST", "content/delete?acct=acct&ref=ref&path=o")
    assert [rawx.chunks() for rawx in namespace.rawx] == [[]] * 3
    assert holder.address in url


def test_connections_are_counted(namespace: Namespace) -> None:
    with RawSocket(namespace.rawx[0].address) as first, RawSocket(namespace.proxy.address) as second:
        first.ask("GET", "/info")
        second.ask("GET", "/v3.0/status", KEEP)
        assert namespace.open_connections() == 2
        assert namespace.open_connections("rawx") == 1
        assert namespace.open_connections("account") == 0


def test_a_handler_that_fails_answers_500_and_goes_on(
    namespace: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def handle(self, request: object) -> object:
            raise ZeroDivisionError("broken")

    namespace.proxy.serve(Broken())  # type: ignore[arg-type]
    with RawSocket(namespace.proxy.address) as connection:
        for _ in range(2):
            answer = connection.ask("GET", "/v3.0/status", KEEP)
            assert answer.status == 500
            assert json.loads(answer.body)["status"] == 500
    assert "broken" in caplog.text
    assert ID not in caplog.text
