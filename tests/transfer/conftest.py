# SPDX-License-Identifier: Apache-2.0
"""A namespace for each test of transfers, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.common.retry import ONCE
from oio.sandbox import Namespace
from tests.kit.facade import CHUNK_SIZE
from tests.kit.releases import pytest_generate_tests, release

__all__ = ["pytest_generate_tests", "release"]


@pytest.fixture
def namespace(tmp_path: Path, release: str) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=3, chunk_size=CHUNK_SIZE, release=release) as running:
        yield running


@pytest.fixture
def api(namespace: Namespace) -> Iterator[Any]:
    """A client that repeats nothing by itself."""
    with namespace.api(key_file=None, retry=ONCE) as client:
        yield client


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Directory of the files to upload."""
    directory = tmp_path / "files"
    directory.mkdir()
    return directory


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Directory for downloads, which does not exist yet."""
    return tmp_path / "target"


@pytest.fixture
def offline_api() -> Iterator[Any]:
    """A client of nothing: what is checked before anything is sent needs no service."""
    from oio.api.object_storage import ObjectStorageApi

    with ObjectStorageApi("OPENIO", endpoint="127.0.0.1:1") as client:
        yield client
