# SPDX-License-Identifier: Apache-2.0
"""What the tests of the sandbox share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oio.sandbox import Namespace


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=3) as running:
        yield running
