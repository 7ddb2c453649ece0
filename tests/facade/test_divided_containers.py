# SPDX-License-Identifier: Apache-2.0
"""Containers whose objects are divided among others: they are emptied, and not frozen by the way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, chunks_on_disk, create, header, read, routes

NAMES = ("a", "b", "m", "z")
ENABLED = "0"


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=3, release="2026") as running:
        yield running


@pytest.fixture
def shards(api: Any, namespace: Namespace) -> list[str]:
    """IDs of the two shards of a container."""
    for name in NAMES:
        create(api, name)
    found = namespace.shard(ACCOUNT, CONTAINER, "m")
    namespace.forget_requests()
    return found


class Cache(dict[str, Any]):
    """A cache that may keep its entries elsewhere, so that it is not searched."""

    def __getitem__(self, key: str) -> Any:
        return super().__getitem__(key)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)


def assert_not_frozen(api: Any, shards: list[str]) -> None:
    for cid in shards:
        assert api.container.container_get_properties(cid=cid)["system"]["sys.status"] == ENABLED


@pytest.mark.pitfall("W12")
@pytest.mark.parametrize("fast", [True, False])
def test_flush_really_empties(api: Any, namespace: Namespace, shards: list[str], fast: bool) -> None:
    api.container_flush(ACCOUNT, CONTAINER, fast=fast)
    assert api.object_list(ACCOUNT, CONTAINER, versions=True)["objects"] == []
    assert chunks_on_disk(namespace) == []
    create(api, "n", b"new")
    assert read(api, "n") == b"new"


@pytest.mark.pitfall("W12")
def test_flush_removes_versions_and_markers_from_all_shards(api: Any, namespace: Namespace) -> None:
    api.container_create(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    for name in (*NAMES, *NAMES):
        create(api, name)
    api.object_delete(ACCOUNT, CONTAINER, "z")
    namespace.shard(ACCOUNT, CONTAINER, "m")
    api.container_flush(ACCOUNT, CONTAINER, fast=True)
    assert api.object_list(ACCOUNT, CONTAINER, versions=True)["objects"] == []
    assert chunks_on_disk(namespace) == []


@pytest.mark.pitfall("W12")
@pytest.mark.parametrize("fast", [True, False])
def test_flush_of_a_frozen_container_fails_and_freezes_no_shard(
    api: Any, namespace: Namespace, shards: list[str], fast: bool
) -> None:
    api.container.container_freeze(ACCOUNT, CONTAINER)
    namespace.forget_requests()
    with pytest.raises(exc.OioException, match="could be deleted"):
        api.container_flush(ACCOUNT, CONTAINER, fast=fast)
    assert not [request.target for request in namespace.requests if header(request, "x-oio-force-master")]
    assert_not_frozen(api, shards)
    api.container.container_enable(ACCOUNT, CONTAINER)
    for name in NAMES:
        create(api, name, b"as before")


@pytest.mark.pitfall("W12")
@pytest.mark.parametrize(
    "call",
    [
        lambda api: api.container_purge(ACCOUNT, CONTAINER, maxvers=1),
        lambda api: api.container_purge(ACCOUNT, CONTAINER),
        lambda api: api.container_flush(ACCOUNT, CONTAINER, fast=True, cache=Cache()),
        lambda api: api.container_delete(ACCOUNT, CONTAINER, force=True, cache=Cache()),
    ],
    ids=["purge", "purge by default", "flush", "delete"],
)
def test_nothing_frozen_is_read_through_from_the_master(
    api: Any, namespace: Namespace, shards: list[str], call: Any
) -> None:
    api.container.container_freeze(ACCOUNT, CONTAINER)
    namespace.forget_requests()
    with contextlib.suppress(exc.OioException):
        call(api)
    assert not [request.target for request in namespace.requests if header(request, "x-oio-force-master")]
    assert_not_frozen(api, shards)


@pytest.mark.pitfall("W12", 30)
def test_failed_creation_of_a_version_reads_nothing_frozen_from_the_master(
    api: Any, namespace: Namespace, shards: list[str]
) -> None:
    """The object is looked at only if the caller has chosen its ID, which tells its chunks from others."""
    create(api, "c", version=5, content_id="C0FFEE")
    api.container.container_freeze(ACCOUNT, CONTAINER)
    namespace.forget_requests()
    late = Fault("stall", service="rawx", operation="PUT", phase="head")
    with namespace.faults(late) as plan, pytest.raises(exc.OioTimeout):
        create(api, "c", version=5, content_id="C0FFEE", write_timeout=0.5)
    plan.assert_met()
    located = [header(r, "x-oio-force-master") for r in namespace.requests if "content/locate" in r.target]
    assert set(located) == {None}
    assert_not_frozen(api, shards)
    assert read(api, "c", version=5)


@pytest.mark.pitfall("W12", 109)
@pytest.mark.parametrize("fast", [True, False])
def test_what_is_not_frozen_is_read_from_the_master(
    api: Any, namespace: Namespace, shards: list[str], fast: bool
) -> None:
    """The first page of a listing only tells whether that does harm."""
    api.container_flush(ACCOUNT, CONTAINER, fast=fast)
    lists = [
        bool(header(r, "x-oio-force-master")) for r in namespace.requests if "container/list" in r.target
    ]
    assert lists == ([False] if fast else []) + [False, True]


@pytest.mark.pitfall("W12")
def test_flush_of_another_container_asks_only_whether_it_is_empty(api: Any, namespace: Namespace) -> None:
    create(api, "o")
    namespace.forget_requests()
    api.container_flush(ACCOUNT, CONTAINER, fast=True)
    assert routes(namespace) == ["proxy POST container/flush", "proxy GET container/list"]
