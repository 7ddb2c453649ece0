# SPDX-License-Identifier: Apache-2.0
"""A filesystem over an embedded namespace."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from fsspec.asyn import get_loop

from oio.fs import OioFileSystem
from oio.sandbox import Namespace

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    settings = {"rawx": 3, "chunk_size": 1 << 18, "default_policy": "SINGLE"}
    with Namespace(tmp_path_factory.mktemp("fs"), **settings) as running:
        yield running


@pytest.fixture
def files(namespace: Namespace) -> Iterator[OioFileSystem]:
    """A filesystem of an account for this test alone, with one container."""
    found = OioFileSystem(
        namespace.name, f"account-{next(_NUMBERS)}", namespace.endpoint, skip_instance_cache=True, workers=4
    )
    found.mkdir("box")
    yield found
    found.close()


# The thread of fsspec, which stays for good, is there before a test counts threads.
get_loop()
