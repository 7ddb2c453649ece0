# SPDX-License-Identifier: Apache-2.0
"""Namespaces of three rawx, and clients of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from oio.sandbox import Namespace
from tests.kit.objects import running_namespace


@pytest.fixture
def namespace(tmp_path) -> Iterator[Namespace]:
    """A namespace of the test's own."""
    with running_namespace(tmp_path) as running:
        yield running


@pytest.fixture
def api(namespace) -> Iterator[Any]:
    """A client without credentials for Backblaze, of which it asks nothing."""
    with namespace.api(key_file=None) as client:
        yield client


@pytest.fixture(scope="module")
def shared_namespace(tmp_path_factory) -> Iterator[Namespace]:
    """A namespace for tests that change nothing in it, and stop none of its services."""
    with running_namespace(tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.fixture
def shared_api(shared_namespace) -> Iterator[Any]:
    with shared_namespace.api(key_file=None) as client:
        yield client
