# SPDX-License-Identifier: Apache-2.0
"""Objects of any policy go with all that they have on the disks, and with nothing else."""

from __future__ import annotations

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit.buckets import client_of
from tests.kit.facade import ACCOUNT
from tests.kit.store import Store, parts_on_disk


@pytest.mark.parametrize("units", [0, 1, 3])
def test_deletion_takes_all_parts(store: Store, units: int) -> None:
    data = bytes(units * store.unit)
    store.create(data)
    store.append(data)
    assert store.delete()
    store.assert_empty()


def test_deletion_by_content_id(store: Store) -> None:
    content = store.create(b"hello")["id"]
    assert store.api.object_delete(ACCOUNT, store.container, None, content_id=content)
    store.assert_empty()


def test_deletion_of_nothing(store: Store) -> None:
    store.create(b"hello")
    with pytest.raises(exc.NoSuchObject):
        store.delete("nothing")
    with pytest.raises(exc.NoSuchContainer):
        store.api.object_delete(ACCOUNT, "nowhere", "o")
    store.assert_is(b"hello")


def test_refused_deletion_leaves_the_object(store: Store) -> None:
    store.create(b"hello")
    refused = Fault("status", service="proxy", operation="content/delete", status=403)
    with store.namespace.faults(refused), pytest.raises(exc.Forbidden):
        store.delete()
    store.assert_is(b"hello")


def test_deletion_whose_answer_is_lost_takes_all_parts(store: Store) -> None:
    store.create(b"hello")
    lost = Fault("commit-then-reset", service="proxy", operation="content/delete")
    with store.namespace.faults(lost), pytest.raises(exc.OioNetworkException):
        store.delete()
    store.assert_empty()


def test_delete_marker_leaves_the_data(store: Store) -> None:
    store.keep_versions()
    version = store.create(b"hello")["version"]
    parts = store.parts()
    store.delete()
    assert parts_on_disk(store.namespace) == parts
    assert store.read(version=version) == b"hello"
    store.delete(version=version)
    store.assert_empty()


def test_deletion_of_one_version_leaves_the_others(store: Store) -> None:
    store.keep_versions()
    first, second = (store.create(data)["version"] for data in (b"first", b"second"))
    store.delete(version=second)
    assert store.read() == store.read(version=first) == b"first"
    assert store.parts() == parts_on_disk(store.namespace)


def test_deletion_of_many(store: Store) -> None:
    names = [f"o{number}" for number in range(6)]
    for number, name in enumerate(names):
        store.create(b"data", name, policy=[store.policy, "TWOCOPIES"][number % 2])
    store.create(b"kept", "kept")
    results = store.api.object_delete_many(ACCOUNT, store.container, [*names, "nothing"])
    assert results == [*((name, True) for name in names), ("nothing", False)]
    store.assert_is(b"kept", "kept")


@pytest.mark.parametrize("fast", [False, True])
def test_flush_takes_all_versions(store: Store, fast: bool) -> None:
    store.keep_versions()
    for name in ("o", "p", "o"):
        store.create(b"data", name)
    store.create(b"data", "q", policy="TWOCOPIES")
    store.delete("p")
    store.api.container_flush(ACCOUNT, store.container, fast=fast)
    store.assert_empty()


def test_purge_takes_the_old_versions(store: Store) -> None:
    store.keep_versions()
    for number in range(4):
        store.create(bytes([number]) * 100)
        store.create(bytes([number]) * 100, "p", policy=["TWOCOPIES", store.policy][number % 2])
    store.api.container_purge(ACCOUNT, store.container, maxvers=2)
    assert store.read() == store.read("p") == bytes([3]) * 100
    rows = store.api.object_list(ACCOUNT, store.container, versions=True)["objects"]
    assert [row["name"] for row in rows] == ["o", "o", "p", "p"]
    assert store.parts_of_all() == parts_on_disk(store.namespace)


def test_objects_are_there_after_a_restart(tmp_path, policy: str) -> None:
    settings = {"rawx": 9, "chunk_size": 1000, "default_policy": policy}
    with Namespace(tmp_path / "durable", **settings) as running:
        with client_of(running) as api:
            Store(running, api, policy, 1000).create(bytes(2500), container="box")
        running.stop()
        running.start()
        with client_of(running) as api:
            Store(running, api, policy, 1000, "box").assert_is(bytes(2500))
