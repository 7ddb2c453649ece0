# SPDX-License-Identifier: Apache-2.0
"""What the tests that try anything share."""

from __future__ import annotations

import logging
import resource
from collections.abc import Iterator

import pytest

_MOST_KILOBYTES = 256 * 1024


@pytest.fixture(autouse=True, scope="module")
def warnings_are_not_kept() -> Iterator[None]:
    """Thousands of failures would be kept by pytest, and told when a test fails."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def memory_is_bounded() -> Iterator[None]:
    """No answer makes the library keep, or make room for, more than a few of the largest ones."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _MOST_KILOBYTES
