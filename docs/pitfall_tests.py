# SPDX-License-Identifier: Apache-2.0
"""Tests by the pitfalls that they guard against, read from the marks in their source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"


def marked_rows(node: ast.AST) -> Iterator[int | str]:
    """Rows in the ``pytest.mark.pitfall`` marks of a decorator, or of a whole module."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and ast.unparse(part.func) == "pytest.mark.pitfall":
            yield from map(ast.literal_eval, part.args)


def _marks_of_all(module: ast.Module) -> list[int | str]:
    """Rows that all the tests of a module guard."""
    return [
        row
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
        for row in marked_rows(node.value)
    ]


def guards_by_row() -> dict[int | str, list[str]]:
    """Tests that guard each row, as ``path/of/test_file.py::test_name``."""
    found: dict[int | str, list[str]] = {}
    for source in sorted(TESTS.rglob("test_*.py")):
        module = ast.parse(source.read_text(encoding="utf-8"))
        of_all = _marks_of_all(module)
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marked = (row for decorator in node.decorator_list for row in marked_rows(decorator))
                for row in dict.fromkeys([*of_all, *marked]):
                    found.setdefault(row, []).append(f"{source.relative_to(TESTS)}::{node.name}")
    return found
