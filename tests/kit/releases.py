# SPDX-License-Identifier: Apache-2.0
"""Releases of the services that the same tests run against.

A test that uses the fixture ``release`` runs against one release, chosen by the name of the test, so that
each release gets half of any matrix. In a module with ``ON_RELEASES = RELEASES``, it runs against both.
``--oio-release 2026`` (or ``7.3``, ``both``) runs all tests against that release, or both.
``pytest.mark.on_release("2026")`` marks a test that makes sense for one release only, whatever the option
says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

RELEASES = ("7.3", "2026")
"""The default release, and that of today."""
BOTH = "both"


def asked_for(config: pytest.Config) -> str | None:
    """The value of ``--oio-release``.

    :raises pytest.UsageError: there is no such release
    """
    asked: str | None = config.getoption("--oio-release")
    if asked not in {None, BOTH, *RELEASES}:
        raise pytest.UsageError(f"--oio-release {asked}: there are {', '.join(RELEASES)} and {BOTH}")
    return asked


def release_of(name: str) -> str:
    """The release for a test, chosen by its name."""
    return RELEASES[hashlib.sha256(name.encode()).digest()[0] % len(RELEASES)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test against both releases, if its module or the option asks for that."""
    if "release" not in metafunc.fixturenames or metafunc.definition.get_closest_marker("on_release"):
        return
    asked = asked_for(metafunc.config)
    if asked == BOTH or (asked is None and hasattr(metafunc.module, "ON_RELEASES")):
        metafunc.parametrize("release", RELEASES, indirect=True)


@pytest.fixture
def release(request: pytest.FixtureRequest) -> str:
    """The release that the services imitate."""
    mark = request.node.get_closest_marker("on_release")
    if mark is not None:
        return str(mark.args[0])
    found = getattr(request, "param", None) or asked_for(request.config) or release_of(request.node.nodeid)
    # Shown with a failure.
    request.node.add_report_section("setup", "release", found)
    return str(found)


def for_each(make: Callable[[str], T]) -> dict[str, T]:
    """One value for each release, which the tests of a module share."""
    return {release: make(release) for release in RELEASES}
