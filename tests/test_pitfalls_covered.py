# SPDX-License-Identifier: Apache-2.0
"""Guards of the known pitfalls: each row of ``docs/pitfalls.rst`` has a test."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from docs.pitfall_tests import TESTS, guards_by_row

PAGE = TESTS.parent / "docs" / "pitfalls.rst"


def _names(letter: str, numbers: Iterable[int], *more: str) -> list[str]:
    return [f"{letter}{number}" for number in numbers] + list(more)


#: Rows with names: A to D were found by trying, S by a soak, E by services that embed the library, W are the
#: differences between releases of the services.
NAMED = (
    _names("A", range(1, 15))
    + _names("B", range(1, 11), "B9b")
    + _names("C", range(1, 8))
    + _names("D", range(1, 13))
    + _names("S", range(1, 7))
    + _names("E", range(1, 32), "E5b", "E5c", "E5d", "E13b", "E13c", "E13d")
    + _names("W", range(1, 19))
)
ROWS = [*range(1, 160), *NAMED]


@pytest.fixture(scope="module")
def guards() -> dict[int | str, list[str]]:
    return guards_by_row()


def test_every_pitfall_has_a_test(guards):
    assert [row for row in ROWS if row not in guards] == []


def test_marks_name_rows(guards):
    assert guards.keys() - set(ROWS) == set()


def test_page_describes_every_pitfall_and_shows_its_tests():
    row = r"^   \* - (\w+)\n     - \S.*\n     - \S.*\n     - \.\. guards:: (\w+)$"
    found = re.findall(row, PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert all(name == shown for name, shown in found)
    assert sorted(name for name, _ in found) == sorted(map(str, ROWS))
