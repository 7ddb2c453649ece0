# SPDX-License-Identifier: Apache-2.0
"""Links from names in annotations and in the text to their descriptions."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).parent.parent

# Names in annotations, and their names in the documentation of their own project.
_ELSEWHERE = {
    "Url": "urllib3.util.Url",
    "_io.BufferedWriter": "io.BufferedWriter",
    "_typeshed.ReadableBuffer": "collections.abc.Buffer",
    "_typeshed.WriteableBuffer": "collections.abc.Buffer",
    "builtins.list": "list",
    "eventlet.green.threading.Thread": "threading.Thread",
    "greenlet": "greenlet.greenlet",
    "typing_extensions.Unpack": "typing.Unpack",
    "urllib3.Timeout": "urllib3.util.Timeout",
    "urllib3._base_connection.ProxyConfig": "urllib3.connection.ProxyConfig",
    "urllib3.poolmanager.PoolManager": "urllib3.PoolManager",
    "urllib3.util.retry.Retry": "urllib3.util.Retry",
    "urllib3.util.timeout.Timeout": "urllib3.util.Timeout",
    "urllib3.util.timeout._TYPE_DEFAULT": "urllib3.util.Timeout",
    "urllib3.util.timeout._TYPE_TIMEOUT": "urllib3.util.Timeout",
    "urllib3.util.url.Url": "urllib3.util.Url",
}


def _source(module: str) -> Path | None:
    """Source file of a module of this package."""
    home = ROOT.joinpath(*module.split("."))
    places = (home.with_suffix(".py"), home / "__init__.py")
    return next((place for place in places if module.startswith("oio") and place.is_file()), None)


@cache
def _meanings(module: str) -> dict[str, str]:
    """Full names of all that a module imports (also for type checkers only) or defines."""
    source = _source(module)
    found: dict[str, str] = {}
    if source is None:
        return found
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            found.update({name.asname or name.name: f"{node.module}.{name.name}" for name in node.names})
        elif isinstance(node, ast.Import):
            found.update({name.name: name.name for name in node.names if name.asname is None})
    aside = [node for block in tree.body if isinstance(block, ast.If) for node in block.body]
    for node in [*tree.body, *aside]:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = f"{module}.{node.name}"
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update({t.id: f"{module}.{t.id}" for t in targets if isinstance(t, ast.Name)})
    return found


@cache
def _meanings_elsewhere() -> dict[str, set[str]]:
    """Full names, by name, in all modules: a class may inherit a method from another module."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "oio").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for name, meaning in _meanings(module).items():
            found.setdefault(name, set()).add(meaning)
    return found


def _followed(name: str) -> str:
    """Follow a name through imports to the module that defines it."""
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        meaning = _meanings(".".join(parts[:count])).get(parts[count])
        if meaning is not None:
            further = ".".join([meaning, *parts[count + 1 :]])
            return name if further == name else _followed(further)
    return name


def _full_names(target: str, module: str) -> list[str]:
    """Possible full names of a name in a module, the likeliest first."""
    first, dot, rest = target.partition(".")
    if dot and first in {*sys.stdlib_module_names, "oio"}:
        return [_followed(target), target]
    meaning = _meanings(module).get(first)
    meanings = [meaning] if meaning else sorted(_meanings_elsewhere().get(first, ()))
    return [*(_followed(name + dot + rest) for name in meanings), target]


def _is_described_nowhere(name: str) -> bool:
    """Whether a name is a type variable, such as ``T``, or private: neither has a description."""
    parts = name.split(".")
    private = any(part.startswith("_") for part in parts) and parts[0] in {"oio", parts[-1]}
    return private or re.fullmatch(r"[A-Z]", parts[-1]) is not None


def link(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Resolve references that Sphinx cannot: names without their module, and names in listed modules."""
    written = re.match(r"[\w.]+", node["reftarget"])
    if node.get("refdomain") != "py" or written is None:
        return None
    names = _full_names(written.group(), node.get("py:module") or "")
    objects = env.domains["py"].objects
    same_end = (name for name in objects if name.endswith("." + written.group()))
    places = [*(name for name in names if name in objects), *same_end]
    places += [home for home, _, _ in (name.rpartition(".") for name in names) if home in objects]
    if places:
        place = objects[places[0]]
        return make_refnode(app.builder, node["refdoc"], place.docname, place.node_id, contnode, places[0])
    names = [_ELSEWHERE.get(name, name) for name in names]
    if any(_is_described_nowhere(name) for name in names):
        return contnode
    node["reftarget"] = names[0]
    return None


def _meant(text: str, objects: Any) -> str | None:
    """Full name for a literal: a module, a call of the API, or the only class of that name."""
    text = text.removesuffix("()")
    for name in (text, f"oio.api.object_storage.ObjectStorageApi.{text}"):
        if name in objects and (text.startswith("oio.") or "_" in text):
            return name
    if not re.fullmatch(r"(?:[A-Z][a-z0-9]+){2,}", text):
        return None
    kinds = {"class", "exception"}
    classes = [
        name for name, found in objects.items() if name.endswith(f".{text}") and found.objtype in kinds
    ]
    return classes[0] if len(classes) == 1 else None


def link_literals(app: Any, doctree: nodes.document, docname: str) -> None:
    """Turn names that pages mention as literals into links."""
    objects = app.env.domains["py"].objects
    for literal in list(doctree.findall(nodes.literal)):
        name = None if _is_in_a_link(literal) else _meant(literal.astext(), objects)
        if name is not None:
            place = objects[name]
            content = literal.deepcopy()
            literal.replace_self(
                make_refnode(app.builder, docname, place.docname, place.node_id, content, name)
            )


def _is_in_a_link(node: Any) -> bool:
    while node is not None:
        if isinstance(node, nodes.reference | nodes.title | nodes.term):
            return True
        node = node.parent
    return False


def summary(module: str) -> str:
    """First paragraph of the docstring of a module."""
    source = _source(module)
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) if source else None
    return " ".join((text or "").partition("\n\n")[0].split())


class Modules(SphinxDirective):
    """A list of modules with their first lines. References to names inside a module link there."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """One item for each line of the content."""
        lines: list[str] = []
        names = [line.strip() for line in self.content if line.strip()]
        for name in names:
            if _source(name) is None:
                raise self.error(f"no module {name}")
            lines += [f".. py:module:: {name}", ""]
        for name in names:
            lines += [f"``{name}``", f"    {summary(name)}", ""]
        return self.parse_text_to_nodes("\n".join(lines))
