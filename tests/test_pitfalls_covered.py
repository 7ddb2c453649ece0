# SPDX-License-Identifier: Apache-2.0
"""Every known pitfall that the library must avoid has a test that says so."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

ROWS = set(range(1, 160))


def claims(source: Path) -> Iterator[tuple[int, str]]:
    """Row and name of each test of a file that is marked with ``pytest.mark.pitfall``."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.pitfall":
                    for row in decorator.args:
                        yield ast.literal_eval(row), node.name


@pytest.fixture(scope="module")
def tests_of_rows() -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for source in sorted(TESTS.rglob("test_*.py")):
        for row, name in claims(source):
            found.setdefault(row, []).append(f"{source.relative_to(TESTS)}::{name}")
    return found


def test_every_pitfall_has_a_test(tests_of_rows):
    assert sorted(ROWS - tests_of_rows.keys()) == []


def test_marks_are_numbers_of_rows(tests_of_rows):
    assert ROWS.issuperset(tests_of_rows)
