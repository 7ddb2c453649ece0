# SPDX-License-Identifier: Apache-2.0
"""A fake B2, and a client of it, for those who ask for them."""

from __future__ import annotations

import pytest

from tests.kit.b2_service import client_of, serving_b2


@pytest.fixture
def service():
    with serving_b2() as service:
        yield service


@pytest.fixture
def client(service):
    with client_of(service) as client:
        yield client
