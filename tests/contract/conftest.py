# SPDX-License-Identifier: Apache-2.0
"""A namespace that serves all policies, and what a test stores in it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from oio.aio import AsyncObjectStorageApi
from oio.b2.clients import B2Clients
from oio.sandbox import Namespace
from tests.kit.blocking import Blocking
from tests.kit.buckets import IMPATIENT, PART_SIZE, client_of
from tests.kit.releases import for_each
from tests.kit.store import Store, parts_on_disk

CHUNK_SIZE = 1000
POLICIES = {
    "SINGLE": CHUNK_SIZE,
    "THREECOPIES": CHUNK_SIZE,
    "EC21": 2 * CHUNK_SIZE,
    "EC": 6 * CHUNK_SIZE,
    "ECISAL63": 6 * CHUNK_SIZE,
    "BACKBLAZE": PART_SIZE,
}
"""Bytes of a metachunk, or of a part."""
KINDS = {
    # name: release of the services, and checksums of the chunks that are written
    **{policy: ("7.3", "md5", policy) for policy in ("THREECOPIES", "EC21", "BACKBLAZE")},
    # There is no Backblaze any more.
    "2026-THREECOPIES": ("2026", "md5", "THREECOPIES"),
    "2026-blake3-EC": ("2026", "blake3", "EC"),
}
"""All that is said here is true of each. Other policies differ in numbers of copies, and in what codes."""
AWAITED = {"asyncio-THREECOPIES": KINDS["THREECOPIES"]}
"""It is true of the asyncio face as well, except in modules that say otherwise."""
_NUMBERS = itertools.count(1)


@pytest.fixture(params=[*KINDS, *AWAITED])
def served(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    return {**KINDS, **AWAITED}[request.param]


@pytest.fixture(scope="module")
def namespaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Namespace]]:
    """Namespaces of both releases: each test has a container of its own, and leaves nothing on the disks."""
    # The default policy is none of those: who forgets to name one is seen.
    settings = {"rawx": 9, "chunk_size": CHUNK_SIZE, "default_policy": "TWOCOPIES"}
    with contextlib.ExitStack() as stack:

        def running(release: str) -> Namespace:
            path = tmp_path_factory.mktemp("namespace")
            return stack.enter_context(Namespace(path, release=release, **settings))

        yield for_each(running)


@pytest.fixture
def namespace(namespaces: dict[str, Namespace], served: tuple[str, str, str]) -> Namespace:
    return namespaces[served[0]]


@pytest.fixture
def api(namespace: Namespace, served: tuple[str, str, str], request: pytest.FixtureRequest) -> Iterator[Any]:
    asked = {} if served[1] == "md5" else {"chunk_checksum_algo": served[1]}
    if request.node.callspec.params.get("served") in AWAITED:
        with _awaited(namespace) as client:
            yield client
        return
    with client_of(namespace, **asked) as client:
        yield client


@contextlib.contextmanager
def _awaited(namespace: Namespace) -> Iterator[Blocking]:
    namespace.b2.limits.minimum_part_size = PART_SIZE
    with namespace.api() as known:
        options = known._given
    face = AsyncObjectStorageApi(namespace.name, workers=2, **options)
    face.sync._b2_clients = B2Clients(part_size=PART_SIZE, backoff=IMPATIENT)
    client = Blocking(face)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def policy(served: tuple[str, str, str]) -> str:
    return served[2]


@pytest.fixture
def store(namespace: Namespace, api: Any, policy: str) -> Iterator[Store]:
    namespace.forget_requests()
    made = Store(namespace, api, policy, POLICIES[policy], f"box-{next(_NUMBERS)}")
    yield made
    made.close()
    left = parts_on_disk(namespace)
    # The next test must not find it.
    made.forget(left)
    assert left == []
    _remove_empty_directories(namespace)


def _remove_empty_directories(namespace: Namespace) -> None:
    """Keep what the next tests look through as small as their own: thousands would be left."""
    for rawx in namespace.rawx:
        for directory in rawx.store.directory.iterdir():
            with contextlib.suppress(OSError):
                directory.rmdir()
