# SPDX-License-Identifier: Apache-2.0
"""A namespace that serves all policies, and what a test stores in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.sandbox import Namespace
from tests.kit.buckets import PART_SIZE, client_of
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


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    # The default policy is none of those: who forgets to name one is seen.
    settings = {"chunk_size": CHUNK_SIZE, "default_policy": "TWOCOPIES"}
    with Namespace(tmp_path / "namespace", rawx=9, **settings) as running:
        yield running


@pytest.fixture
def api(namespace: Namespace) -> Iterator[Any]:
    with client_of(namespace) as client:
        yield client


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(namespace: Namespace, api: Any, policy: str) -> Iterator[Store]:
    namespace.forget_requests()
    made = Store(namespace, api, policy, POLICIES[policy])
    yield made
    made.close()
    made.assert_empty()
