# SPDX-License-Identifier: Apache-2.0
"""Guards of the known pitfalls: each row of ``docs/pitfalls.rst`` has a test."""

from __future__ import annotations

import re

import pytest

from docs.pitfall_tests import TESTS, guards_by_row

PAGE = TESTS.parent / "docs" / "pitfalls.rst"

ROWS = list(range(1, 160))


@pytest.fixture(scope="module")
def guards() -> dict[int, list[str]]:
    return guards_by_row()


def test_every_pitfall_has_a_test(guards):
    assert [row for row in ROWS if row not in guards] == []


def test_marks_are_numbers_of_rows(guards):
    assert sorted(guards.keys() - set(ROWS)) == []


def test_page_describes_every_pitfall_and_shows_its_tests():
    row = r"^   \* - (\d+)\n     - \S.*\n     - \S.*\n     - \.\. guards:: (\d+)$"
    found = re.findall(row, PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [(int(number), int(shown)) for number, shown in found] == [(row, row) for row in ROWS]
