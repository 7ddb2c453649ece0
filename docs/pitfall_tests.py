# SPDX-License-Identifier: Apache-2.0
"""Tests by the pitfalls that they guard against, read from the marks in their source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"


def marked_rows(test: ast.FunctionDef) -> Iterator[int]:
    """Rows in the ``pytest.mark.pitfall`` decorators of a test."""
    for decorator in test.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.pitfall":
            yield from map(ast.literal_eval, decorator.args)


def guards_by_row() -> dict[int, list[str]]:
    """Tests that guard each row, as ``path/of/test_file.py::test_name``."""
    found: dict[int, list[str]] = {}
    for source in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for row in marked_rows(node):
                    found.setdefault(row, []).append(f"{source.relative_to(TESTS)}::{node.name}")
    return found
