# SPDX-License-Identifier: Apache-2.0
"""A namespace that serves all policies, and what a test stores in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.aio import AsyncObjectStorageApi
from oio.b2.clients import B2Clients
from oio.sandbox import Namespace
from tests.kit.blocking import Blocking
from tests.kit.buckets import IMPATIENT, PART_SIZE, client_of
from tests.kit.store import Store

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
    **{policy: ("7.3", "md5", policy) for policy in POLICIES},
    # There is no Backblaze any more.
    "2026-THREECOPIES": ("2026", "md5", "THREECOPIES"),
    **{f"2026-blake3-{policy}": ("2026", "blake3", policy) for policy in ("THREECOPIES", "EC")},
}
"""All that is said here is true of each."""
AWAITED = {"asyncio-THREECOPIES": KINDS["THREECOPIES"]}
"""It is true of the asyncio face as well, except in modules that say otherwise."""


@pytest.fixture(params=[*KINDS, *AWAITED])
def served(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    return {**KINDS, **AWAITED}[request.param]


@pytest.fixture
def namespace(tmp_path: Path, served: tuple[str, str, str]) -> Iterator[Namespace]:
    # The default policy is none of those: who forgets to name one is seen.
    settings = {"chunk_size": CHUNK_SIZE, "default_policy": "TWOCOPIES", "release": served[0]}
    with Namespace(tmp_path / "namespace", rawx=9, **settings) as running:
        yield running


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
    made = Store(namespace, api, policy, POLICIES[policy])
    yield made
    made.close()
    made.assert_empty()
