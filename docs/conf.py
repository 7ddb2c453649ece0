# SPDX-License-Identifier: Apache-2.0
"""Configuration of Sphinx."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, is_typeddict

sys.path.insert(0, str(Path(__file__).parent.parent))

from docutils import nodes
from docutils.parsers.rst import Directive

from docs.changes import Changes
from docs.names import Modules, link, link_literals
from docs.pitfall_tests import guards_by_row
from oio import __version__

project = "openio-sdk"
author = "the maintainers of openio-sdk"
copyright = "2026, the maintainers of openio-sdk"
release = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.intersphinx"]
exclude_patterns = ["_build"]
# Every name must link. docs/names.py has the exceptions, such as type variables.
nitpicky = True
nitpick_ignore = [
    # Not documented by their own project.
    ("py:class", "urllib3._collections.HTTPHeaderDict"),
    ("py:class", "HTTPHeaderDict"),
]
# Inventories have a line "name kind page" for each name that these pages use, so a build needs no network.
intersphinx_mapping = {
    name: (url, f"inventories/{name}.inv")
    for name, url in {
        "python": "https://docs.python.org/3",
        "urllib3": "https://urllib3.readthedocs.io/en/stable",
        "fsspec": "https://filesystem-spec.readthedocs.io/en/latest",
        "greenlet": "https://greenlet.readthedocs.io/en/latest",
        "opentelemetry": "https://opentelemetry-python.readthedocs.io/en/latest",
    }.items()
}
html_theme = "furo"
html_title = f"openio-sdk {release}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"

_SOURCE = Path(__file__).parent.parent / "oio" / "api" / "types.py"
_TYPES = {
    node.name: node
    for node in ast.parse(_SOURCE.read_text(encoding="utf-8")).body
    if isinstance(node, ast.ClassDef)
}

_GUARDS = guards_by_row()


def inherited_fields(name: str) -> Iterator[tuple[str, str, str]]:
    """Names, types and descriptions of the inherited fields of a TypedDict."""
    for base in _TYPES[name].bases:
        node = _TYPES.get(getattr(base, "id", ""))
        if node is None:
            continue
        yield from inherited_fields(node.name)
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign):
                told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                text = str(after.value.value) if told else ""
                yield ast.unparse(field.target), ast.unparse(field.annotation), " ".join(text.split())


def add_inherited_fields(_app: Any, _what: str, name: str, obj: Any, _options: Any, lines: list[str]) -> None:
    """Show inherited fields: at run time, the only base of a TypedDict is dict."""
    if is_typeddict(obj):
        for field, kind, text in inherited_fields(name.rpartition(".")[2]):
            lines += ["", f".. py:attribute:: {field}", f"   :type: {kind}", "   :no-index:", ""]
            lines.append(f"   {text}")


def skip_imported(_app: Any, _what: str, _name: str, obj: Any, _skip: bool, _options: Any) -> bool | None:
    """Leave the classes of eventlet to its own documentation."""
    return True if str(getattr(obj, "__module__", "")).startswith("eventlet") else None


class Guards(Directive):
    """The tests marked with a row of the table of pitfalls: ``.. guards:: 29``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The list of tests; a row without any fails the build."""
        row = self.arguments[0]
        guards = _GUARDS.get(int(row) if row.isdecimal() else row)
        if not guards:
            raise self.error(f"no test is marked with pitfall {row}")
        items = (nodes.list_item("", nodes.paragraph("", "", nodes.literal(text=guard))) for guard in guards)
        return [nodes.bullet_list("", *items)]


def read_again(_app: Any, _env: Any, _added: Any, _changed: Any, _removed: Any) -> list[str]:
    """Pages that must be built again even if their own text is unchanged."""
    return ["pitfalls"]


def setup(app: Any) -> None:
    """Register the directives and the functions above."""
    app.add_directive("guards", Guards)
    app.add_directive("modules", Modules)
    app.add_directive("changes", Changes)
    app.connect("missing-reference", link, priority=400)
    app.connect("doctree-resolved", link_literals)
    app.connect("env-get-outdated", read_again)
    app.connect("autodoc-process-docstring", add_inherited_fields)
    app.connect("autodoc-skip-member", skip_imported)
