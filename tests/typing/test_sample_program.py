# SPDX-License-Identifier: Apache-2.0
"""The program whose types are checked uses the whole API, and works."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path

from oio.api.object_storage import ObjectStorageApi
from oio.sandbox import Namespace
from tests.typing import async_program, sample_program

SURFACE = Path(__file__).parent.parent / "data" / "api-surface.json"


def test_program_uses_each_method() -> None:
    tree = ast.parse(inspect.getsource(sample_program))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "api"
    }
    surface = json.loads(SURFACE.read_text())["oio.api.object_storage"]["classes"]["ObjectStorageApi"]
    public = {name for name, item in vars_of(ObjectStorageApi).items() if callable(item)}
    assert public | set(surface["methods"]) <= used


def vars_of(cls: type) -> dict[str, object]:
    return {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_")}


def test_program_of_a_loop_works() -> None:
    with Namespace(rawx=3) as namespace:
        async_program.run(namespace.endpoint)


def test_program_works() -> None:
    with Namespace(rawx=3) as namespace:
        sample_program.main(namespace.endpoint)
        with namespace.api() as api:
            assert api.account_list() == []
