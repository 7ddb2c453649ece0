# SPDX-License-Identifier: Apache-2.0
"""What the tests of the sandbox share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oio.sandbox import Namespace
from tests.sandbox.b2asking import B2Account


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=3) as running:
        yield running


@pytest.fixture
def b2(namespace: Namespace) -> B2Account:
    return B2Account(namespace.b2)
