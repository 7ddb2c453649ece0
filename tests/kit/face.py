# SPDX-License-Identifier: Apache-2.0
"""Generator of ``oio/aio/_face`` from the modules of the facade: run ``python -m tests.kit.face``."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import oio.api.types

ROOT = Path(oio.__file__).parent
FACADE, FACE = ROOT / "api" / "_facade", ROOT / "aio" / "_face"
PARTS = ("accounts", "containers", "copies", "data", "deletions", "files", "health", "listings", "objects")

_WIDTH = 102
"""Characters in a line of a docstring, without its indentation."""

RENAMED = {
    "Data": "AsyncData",
    "ObjectStream": "AsyncObjectStream",
    "BufferedReader": "Opening[AsyncObjectReader]",
    "ObjectWriter": "Opening[AsyncObjectWriter]",
    "Iterator": "AsyncItems",
}
"""Types of the facade, and their counterparts of the face."""
IMPORTED = {
    "collections.abc": ("Callable", "Iterable", "Mapping"),
    "typing": ("Any", "Literal", "overload"),
    "typing_extensions": ("Unpack",),
    "oio.aio._base": ("AsyncData",),
    "oio.aio._files": ("AsyncObjectReader", "AsyncObjectWriter", "Opening"),
    "oio.aio._streams": ("AsyncItems", "AsyncObjectStream"),
    "oio.api._data.source": ("FileOrPath",),
    "oio.common.options": ("KeyFile",),
}
WAYS = {
    "object_create": "_upload",
    "object_create_ext": "_upload",
    "object_fetch": "_fetch",
    "object_locate": "_locate",
    "object_analyze": "_locate",
    "object_open": "_open",
    "object_list_all": "_iterate",
    "container_list_all": "_iterate",
    "container_check": "_each",
    "container_repair": "_each",
}
"""Calls for which waiting is not enough, and the method of ``FaceBase`` that handles them."""
_FIRST = {"_upload": ("data, ", " source", "source"), "_iterate": ("limit, ", "", "")}
"""What such a method takes before the call; what the call takes from it; and what it passes on as data."""
NOT_AWAITED = ("_open", "_iterate", "_each")
REWORDED = {
    "file-like object or iterable of bytes": "file-like object, iterable or async\n    iterable of bytes",
    "an iterator of blocks, with\n    ``close()``,": "an async iterator of blocks",
    "returns: an iterator of": "returns: an async iterator of",
    "becomes a\n    generator": "becomes an\n    async iterator",
    "; for text, put an :class:`io.TextIOWrapper` around it.": """. It is opened when the result is awaited,
or when an ``async with`` block is entered with it.""",
    "Its ``raw`` has ``meta``,": "It has ``meta``,",
    "``raw.result`` is what\n:meth:`~oio.ObjectStorageApi.object_create_ext`": """``result`` is what
:meth:`object_create_ext`""",
    "in the thread of the caller": "in a thread of the client",
    "When its ``with`` block": "When its\n``async with`` block",
}
"""Words of docstrings that do not apply to the face, and their replacements."""


class _Renaming(ast.NodeTransformer):
    """Replaces types of the facade, and names of constants, in a signature."""

    def __init__(self, module: str) -> None:
        self._names = vars(importlib.import_module(module))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        known = self._names.get(node.id)
        text = repr(known) if isinstance(known, int) else RENAMED.get(node.id, node.id)
        return ast.parse(text, mode="eval").body


def described(function: ast.FunctionDef) -> str:
    """The docstring, reworded, without the examples of the facade."""
    text = (ast.get_docstring(function) or "").partition("\n>>>")[0].rstrip()
    for old, new in REWORDED.items():
        text = text.replace(old, new)
    first, *others = text.splitlines()
    # The first line also has the quotes.
    return "\n".join([_cut(first, _WIDTH - 6), *(_cut(line, _WIDTH) for line in others)])


def _cut(line: str, width: int) -> str:
    """A line of a docstring, wrapped if it is too long."""
    if len(line) <= width:
        return line
    place = line.rindex(" ", 0, width)
    indentation = line[: len(line) - len(line.lstrip())]
    if line.startswith(":"):
        # Continuation lines of a field are indented.
        indentation = "    "
    return f"{line[:place]}\n{indentation}{line[place + 1 :]}"


def forwarded(function: ast.FunctionDef, data: str) -> list[str]:
    """Arguments for the call of the facade, as source text.

    :param data: what is given for the argument of this name
    """
    args = function.args
    found = [data if arg.arg == "data" else arg.arg for arg in args.args[1:]]
    found += [f"{arg.arg}={arg.arg}" for arg in args.kwonlyargs]
    if args.vararg:
        found.append(f"*{args.vararg.arg}")
    if args.kwarg:
        found.append(f"**{args.kwarg.arg}")
    return found


def method_of(function: ast.FunctionDef, module: str) -> str:
    """Source of the method of the face."""
    way = WAYS.get(function.name, "_call")
    is_overload = any(ast.unparse(item) == "overload" for item in function.decorator_list)
    header: ast.FunctionDef | ast.AsyncFunctionDef = _Renaming(module).visit(
        ast.parse(ast.unparse(function)).body[0]
    )
    if way not in NOT_AWAITED:
        header = ast.AsyncFunctionDef(**{name: getattr(header, name) for name in header._fields})
    header.body = [ast.Expr(ast.Constant(...))]
    ast.fix_missing_locations(header)
    lines, rest = ast.unparse(header).rsplit("\n", 1)
    if is_overload:
        return f"{lines} {rest.strip()}\n"
    first, takes, data = _FIRST.get(way, ("", "", ""))
    call = f"lambda{takes}: self.sync.{function.name}({', '.join(forwarded(function, data))})"
    awaited = "" if way in NOT_AWAITED else "await "
    docstring = described(function)
    last = '"""' if "\n" not in docstring else '\n"""'
    body = f'"""{docstring}{last}\nreturn {awaited}self.{way}({first}{call})'
    return f"{lines}\n{textwrap.indent(body, '    ', lambda line: bool(line.strip()))}\n"


def module_of(part: str) -> str:
    """Source of a module of the face."""
    tree = ast.parse((FACADE / f"{part}.py").read_text(encoding="utf-8"))
    (cls,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    methods = [node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name[0] != "_"]
    text = "\n".join(method_of(function, f"oio.api._facade.{part}") for function in methods)
    names = set(re.findall(r"\w+", re.sub(r'"""(?s:.*?)"""', "", text)))
    known = {name: module for module, imported in IMPORTED.items() for name in imported}
    types = set(oio.api.types.__all__)
    imports: dict[str, list[str]] = {}
    for name in sorted(names):
        module = known.get(name) or ("oio.api.types" if name in types else None)
        if module:
            imports.setdefault(module, []).append(name)
    lines = [f"from {module} import {', '.join(imported)}" for module, imported in imports.items()]
    early = [line for line in lines if line.startswith("from typing import") and "overload" in line]
    late = "\n".join(f"    {line}" for line in lines if line not in early)
    kind = cls.name
    doc = (ast.get_docstring(cls) or "").partition("\n")[0]
    return (
        "# SPDX-License-Identifier: Apache-2.0\n"
        f'"""Calls of ``oio.api._facade.{part}`` for event loops: ``tests.kit.face`` writes them."""'
        "\n\n"
        "from __future__ import annotations\n\n"
        f"{early[0] + ', TYPE_CHECKING' if early else 'from typing import TYPE_CHECKING'}\n\n"
        "from oio.aio._base import FaceBase\n\n"
        f"if TYPE_CHECKING:\n{late}\n\n\n"
        f'class Async{kind}(FaceBase):\n    """{doc}"""\n\n'
        f"{textwrap.indent(text, '    ', lambda line: bool(line.strip()))}"
    )


def formatted(text: str, path: Path) -> str:
    """The text, formatted by ruff."""
    for command in (["check", "--select", "I", "--fix", "--quiet"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout
    return text


def main() -> None:
    FACE.mkdir(exist_ok=True)
    (FACE / "__init__.py").write_text(
        '# SPDX-License-Identifier: Apache-2.0\n"""The calls of the facade, for event loops."""\n'
    )
    for part in PARTS:
        path = FACE / f"{part}.py"
        path.write_text(formatted(module_of(part), path), encoding="utf-8")


if __name__ == "__main__":
    main()
