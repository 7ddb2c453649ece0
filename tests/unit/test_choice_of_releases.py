# SPDX-License-Identifier: Apache-2.0
"""Which release a test of the facade, or of faults, runs against."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from tests.kit.releases import RELEASES, asked_for, release_of


def config_with(option: str | None) -> Any:
    return SimpleNamespace(getoption=lambda name: option)


def test_each_release_has_about_half_of_a_matrix() -> None:
    names = [f"tests/faults/test_x.py::test_y[{a}-{b}-{c}]" for a, b, c in product(range(10), repeat=3)]
    chosen = [release_of(name) for name in names]
    assert chosen == [release_of(name) for name in names]
    for number in range(3):
        for value in range(10):
            shares = [
                release
                for name, release in zip(names, chosen, strict=True)
                if name.split("[")[1].rstrip("]").split("-")[number] == str(value)
            ]
            assert all(30 < shares.count(release) < 70 for release in RELEASES)


@pytest.mark.parametrize("option", [None, "both", *RELEASES])
def test_release_that_exists_may_be_asked_for(option: str | None) -> None:
    assert asked_for(config_with(option)) == option


def test_release_that_does_not_exist_is_refused() -> None:
    with pytest.raises(pytest.UsageError, match=r"--oio-release 7\.4: there are 7\.3, 2026 and both"):
        asked_for(config_with("7.4"))
