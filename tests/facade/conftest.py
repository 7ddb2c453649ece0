# SPDX-License-Identifier: Apache-2.0
"""A namespace for each test of the object storage API, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.common.retry import Retry
from oio.sandbox import Namespace
from tests.kit.facade import CHUNK_SIZE
from tests.kit.releases import pytest_generate_tests, release

__all__ = ["pytest_generate_tests", "release"]


@pytest.fixture
def namespace(tmp_path: Path, release: str) -> Iterator[Namespace]:
    settings = {"rawx": 3, "chunk_size": CHUNK_SIZE, "release": release}
    with Namespace(tmp_path / "namespace", **settings) as running:
        yield running


@pytest.fixture
def api(namespace: Namespace) -> Iterator[Any]:
    """A client that tries again at once, without credentials for Backblaze, of which it asks nothing."""
    with namespace.api(key_file=None, retry=Retry(unit=0)) as client:
        yield client


@pytest.fixture
def offline_api() -> Iterator[Any]:
    """A client of nothing: what it checks by itself needs no service."""
    from oio.api.object_storage import ObjectStorageApi

    with ObjectStorageApi("OPENIO", endpoint="127.0.0.1:1") as client:
        yield client
