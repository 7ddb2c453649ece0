# SPDX-License-Identifier: Apache-2.0
"""A namespace for each test of the asyncio face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oio.sandbox import Namespace
from tests.kit.facade import CHUNK_SIZE


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=3, chunk_size=CHUNK_SIZE) as running:
        yield running
