# SPDX-License-Identifier: Apache-2.0
"""Namespaces of three rawx, and clients of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from oio.common.retry import Retry
from oio.sandbox import Namespace
from tests.kit.objects import running_namespace
from tests.kit.releases import for_each, pytest_generate_tests, release

__all__ = ["pytest_generate_tests", "release"]


@pytest.fixture
def namespace(tmp_path, release) -> Iterator[Namespace]:
    """A namespace of the test's own."""
    with running_namespace(tmp_path, release) as running:
        yield running


@pytest.fixture
def api(namespace) -> Iterator[Any]:
    """A client that tries again at once, without credentials for Backblaze, of which it asks nothing."""
    with namespace.api(key_file=None, retry=Retry(unit=0)) as client:
        yield client


@pytest.fixture(scope="module")
def shared_namespaces(tmp_path_factory) -> Iterator[dict[str, Namespace]]:
    """Namespaces for tests that change nothing in them, and stop none of their services."""
    with contextlib.ExitStack() as stack:
        path = tmp_path_factory.mktemp
        yield for_each(lambda each: stack.enter_context(running_namespace(path("shared"), each)))


@pytest.fixture
def shared_namespace(shared_namespaces, release) -> Namespace:
    """That of them which is for this test."""
    return shared_namespaces[release]


@pytest.fixture
def shared_api(shared_namespace) -> Iterator[Any]:
    with shared_namespace.api(key_file=None, retry=Retry(unit=0)) as client:
        yield client
