# SPDX-License-Identifier: Apache-2.0
"""Objects of any policy are created whole, or leave nothing; what is uncertain is left alone."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault
from tests.kit.facade import ACCOUNT, header, routes
from tests.kit.store import Store, parts_on_disk

COMMIT = "content/create"
FROZEN = '{"status": 436, "message": "Invalid status: frozen"}'
BROKEN = '{"status": 500, "message": "Internal error"}'


def data_of(size: int) -> bytes:
    return bytes(number % 253 for number in range(size))


def sizes(store: Store) -> list[int]:
    """Around the places where an object goes on somewhere else."""
    return [0, 1, store.unit - 1, store.unit, store.unit + 1, 2 * store.unit + 500]


class Trickle(io.RawIOBase):
    """A file that gives a few bytes at a time, however many are asked for."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block, self._rest = self._rest[:997], self._rest[997:]
        return block


SOURCES: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "bytes": lambda data: {"data": data},
    "bytearray": lambda data: {"data": bytearray(data)},
    "memoryview": lambda data: {"data": memoryview(data)},
    "text": lambda data: {"data": data.decode("latin-1").replace("\x80", "é")},
    "list": lambda data: {"data": [data[:3], data[3:]]},
    "generator": lambda data: {"data": (data[i : i + 999] for i in range(0, len(data), 999))},
    "file": lambda data: {"data": io.BytesIO(data)},
    "file_or_path": lambda data: {"file_or_path": io.BytesIO(data)},
    "raw stream": lambda data: {"data": io.BufferedReader(io.BytesIO(data))},
    "slow file": lambda data: {"data": Trickle(data)},
}


def check_created(store: Store, data: bytes, given: dict[str, Any]) -> None:
    """What creation returns is true, and the object is what was given."""
    md5 = hashlib.md5(data).hexdigest()
    chunks, written, checksum, meta = store.api.object_create_ext(
        ACCOUNT, store.container, obj_name="o", policy=store.policy, **given
    )
    assert (written, checksum, meta["etag"], meta["policy"]) == (len(data), md5, md5, store.policy)
    assert sorted(chunk["url"] for chunk in chunks) == store.parts()
    store.assert_is(data)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.pitfall(36, 37, 38)
def test_object_of_any_source(store: Store, source: str) -> None:
    data = data_of(store.unit + 1)
    given = SOURCES[source](data)
    check_created(store, given["data"].encode() if source == "text" else data, given)


def test_object_of_any_size(store: Store) -> None:
    for size in sizes(store):
        check_created(store, data_of(size), SOURCES["generator"](data_of(size)))


def test_object_of_a_path(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "name"
    path.write_bytes(data_of(store.unit))
    store.api.object_create(ACCOUNT, store.container, str(path), mime_type="text/plain", policy=store.policy)
    store.assert_is(data_of(store.unit), "name")
    assert store.described("name")["mime_type"] == "text/plain"


def test_properties_are_stored_with_the_object_and_changed(store: Store) -> None:
    # The service drops properties of empty value at creation (pitfalls row 149).
    store.create(b"data", properties={"clé": "é", "empty": ""})
    store.api.object_set_properties(*store.target(), {"shape": "round"})
    assert store.described()["properties"] == {"clé": "é", "shape": "round"}
    store.assert_is(b"data")


def test_object_by_container_id(store: Store) -> None:
    cid = store.create(b"first", "first")["container_id"].lower()
    store.create(b"data", account=None, container=None, cid=cid)
    assert store.read() == store.read(cid=cid) == b"data"
    assert store.api.object_delete(None, None, "o", cid=cid)
    store.assert_is(b"first", "first")


@pytest.mark.pitfall(41, 119)
def test_content_id_and_version_of_the_caller_are_taken(store: Store) -> None:
    content_id = "0123456789ABCDEF0123456789ABCDEF"
    for version in (1600000000000000, "1600000000000000"):
        meta = store.create(b"hello", content_id=content_id, version=version)
        assert (meta["id"], meta["version"]) == (content_id, "1600000000000000")
        assert store.read(version=version) == b"hello"
        store.delete()


@pytest.mark.pitfall(30)
def test_version_that_exists_keeps_its_data(store: Store) -> None:
    version = int(store.create(b"hello")["version"])
    for older in (version, version - 1):
        with pytest.raises(exc.Conflict):
            store.create(data_of(store.unit + 1), version=older)
        store.assert_is(b"hello")


@pytest.mark.pitfall(34, 131)
def test_etag_is_compared_and_nothing_is_left_when_it_differs(store: Store) -> None:
    for name, etag in (
        ("lower", hashlib.md5(b"hello").hexdigest()),
        ("upper", hashlib.md5(b"hello").hexdigest().upper()),
    ):
        store.create(b"hello", name, etag=etag)
        store.delete(name)
    for size in (0, 5, 2 * store.unit):
        computed = hashlib.md5(data_of(size)).hexdigest()
        with pytest.raises(exc.EtagMismatch, match=f"given etag 0{{32}} != computed {computed}"):
            store.create(data_of(size), etag="0" * 32)
        store.assert_empty()
        assert not store.api.object_head(*store.target())


@pytest.mark.pitfall(28, 39)
def test_source_that_fails_leaves_nothing(store: Store) -> None:
    error = OSError("gone")

    def source(size: int) -> Iterator[bytes]:
        yield data_of(size)
        raise error

    for size in sizes(store):
        with pytest.raises(exc.SourceReadError, match="OSError: gone") as caught:
            store.create(source(size))
        assert caught.value.__cause__ is error
        store.assert_empty()
        assert not store.api.object_head(*store.target())


def test_source_that_interrupts_the_program_leaves_nothing(store: Store) -> None:
    def source() -> Iterator[bytes]:
        yield data_of(2 * store.unit)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.create(source())
    store.assert_empty()


@pytest.mark.pitfall(40, 131)
def test_missing_container_without_autocreate_leaves_nothing(store: Store) -> None:
    with pytest.raises(exc.NoSuchContainer, match=f"Container '{store.container}' does not exist"):
        store.create(b"hello", autocreate=False)
    store.assert_empty()


@pytest.mark.pitfall(70)
def test_one_call_has_one_request_id_everywhere(store: Store) -> None:
    with pytest.raises(exc.EtagMismatch):
        store.create(data_of(2 * store.unit), etag="0" * 32, reqid="MINE")
    records = [record for record in store.namespace.requests if record.service != "b2"]
    assert {header(record, "x-oio-req-id") for record in records} == {"MINE"}


@pytest.mark.pitfall(121)
def test_performance_figures_add_up(store: Store) -> None:
    service = "b2" if store.policy == "BACKBLAZE" else "rawx"
    figures: dict[str, Any] = {service: {"mine": 1.0}}
    data = data_of(store.unit)
    store.create(data, perfdata=figures)
    first = figures["proxy"]["overall"]
    store.create(data, "p", perfdata=figures)
    store.read(perfdata=figures)
    assert figures["data_size"] == 3 * len(data)
    assert figures["proxy"]["overall"] > first > 0
    assert figures[service]["mine"] == 1.0
    assert any(key.startswith("upload.") and value > 0 for key, value in figures[service].items())
    assert 0 < figures["ttfb"] <= figures["ttlb"]


# --- the commit ---------------------------------------------------------------------------------------


@pytest.mark.pitfall(29, 131)
@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, '{"status": 403, "message": "No"}', exc.Forbidden),
        (409, '{"status": 424, "message": "Older"}', exc.Conflict),
        (500, '{"status": 445, "message": "Full"}', exc.ClientException),
        (503, FROZEN, exc.ServiceBusy),
    ],
)
def test_refused_commit_leaves_nothing(
    store: Store, status: int, body: str, expected: type[Exception]
) -> None:
    fault = Fault("status", service="proxy", operation=COMMIT, status=status, body=body)
    for size in (5, 2 * store.unit):
        with store.namespace.faults(fault) as plan, pytest.raises(expected):
            store.create(data_of(size))
        plan.assert_met()
        # It is certain: nobody looks whether it was done.
        asked = routes(store.namespace)
        assert "proxy GET content/locate" not in asked[asked.index(f"proxy POST {COMMIT}") :]
        store.assert_empty()
        store.namespace.forget_requests()


@pytest.mark.pitfall(29, 33)
@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", service="proxy", operation=COMMIT, status=503, body=BROKEN),
        Fault("status", service="proxy", operation=COMMIT, status=500, body="<html>Oops</html>"),
        Fault("reset", service="proxy", operation=COMMIT, phase="head"),
    ],
    ids=["busy", "HTML", "reset"],
)
def test_uncertain_commit_is_not_repeated_and_deletes_nothing(store: Store, fault: Fault) -> None:
    with (
        store.namespace.faults(fault) as plan,
        pytest.raises((exc.ClientException, exc.OioNetworkException)) as info,
    ):
        store.create(b"hello", request_attempts=3)
    assert plan.hits(fault) == 1
    assert info.value.service == store.namespace.proxy.address
    left = parts_on_disk(store.namespace)
    assert left
    # It may be done for all that the client knows; here, it was not.
    store.create(b"hello")
    assert set(left) <= set(parts_on_disk(store.namespace)) - set(store.parts())
    store.forget(left)
    store.assert_is(b"hello")


@pytest.mark.pitfall(33, 143)
def test_commit_whose_answer_is_lost_is_found_done(store: Store) -> None:
    lost = Fault("commit-then-reset", service="proxy", operation=COMMIT)
    with store.namespace.faults(lost) as plan:
        meta = store.create(data_of(store.unit + 1))
    plan.assert_met()
    store.assert_is(data_of(store.unit + 1))
    assert store.described()["id"] == meta["id"]


def test_commit_that_cannot_be_looked_up_loses_nothing(store: Store) -> None:
    with (
        store.namespace.faults(Fault("commit-then-reset", service="proxy", operation=COMMIT)),
        store.namespace.faults(Fault("status", service="proxy", operation="content/locate")),
        pytest.raises(exc.OioNetworkException),
    ):
        store.create(b"hello")
    store.assert_is(b"hello")
