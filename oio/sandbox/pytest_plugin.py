# SPDX-License-Identifier: Apache-2.0
"""Pytest fixtures: an embedded namespace, a client of it, fresh containers, faults.

>>> def test_upload(oio_api, oio_container):
...     oio_api.object_create("tests", oio_container, obj_name="o", data=b"bytes")
...     _, stream = oio_api.object_fetch("tests", oio_container, "o")
...     assert b"".join(stream) == b"bytes"

Installed with the package; nothing is imported, and nothing runs, until a test asks for one of the fixtures.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from oio.sandbox.faults import Fault, FaultPlan
    from oio.sandbox.namespace import Namespace

_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the ini value that choose the release of the services."""
    about = "what the services of oio_namespace answer like: 7.3 (the default) or 2026"
    parser.getgroup("oio").addoption("--oio-release", metavar="RELEASE", help=about)
    parser.addini("oio_release", about, default="7.3")


@pytest.fixture(scope="session")
def oio_release(pytestconfig: pytest.Config) -> str:
    """Return what the services answer like: ``--oio-release``, or ``oio_release`` of the ini file.

    A suite that runs against several releases overrides it.
    """
    return str(pytestconfig.getoption("--oio-release") or pytestconfig.getini("oio_release"))


@pytest.fixture(scope="session")
def oio_namespace(oio_release: str) -> Iterator[Namespace]:
    """Return a running :class:`~oio.sandbox.namespace.Namespace`, the same for the whole session."""
    from oio.sandbox.namespace import Namespace

    with Namespace(release=oio_release) as namespace:
        yield namespace


@pytest.fixture
def oio_api(oio_namespace: Namespace) -> Iterator[Any]:
    """Return an ``ObjectStorageApi`` of the namespace, closed after the test."""
    with contextlib.closing(oio_namespace.api()) as api:
        yield api


@pytest.fixture
def oio_container() -> str:
    """Return the name of a container that does not exist yet."""
    return f"container-{next(_numbers)}"


@pytest.fixture
def oio_faults(oio_namespace: Namespace) -> Iterator[Callable[..., FaultPlan]]:
    """Return a function that commits faults from its call on; the test fails if one of them never happens."""
    with contextlib.ExitStack() as plans:
        opened: list[FaultPlan] = []

        def commit(*faults: Fault) -> FaultPlan:
            opened.append(plans.enter_context(oio_namespace.faults(*faults)))
            return opened[-1]

        yield commit
    for plan in opened:
        plan.assert_met()
