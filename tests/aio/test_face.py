# SPDX-License-Identifier: Apache-2.0
"""The face has the calls of the facade, with the same arguments, types and words."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

import pytest

from oio.aio import AsyncObjectStorageApi
from oio.api.object_storage import ObjectStorageApi
from tests.kit import face

NAMES = [
    name
    for name in dir(ObjectStorageApi)
    if name.startswith(("account_", "container_", "object_", "resolve_"))
    or (name.startswith("all_") and callable(getattr(ObjectStorageApi, name)))
]


def shape(text: str) -> Any:
    """What a module says, whatever it is formatted like."""
    tree = ast.parse(text)
    imports, rest = [], []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            imports += [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.ClassDef):
            rest.append(ast.dump(node))
    return sorted(imports), rest


@pytest.mark.parametrize("part", face.PARTS)
def test_it_is_as_it_is_made_of_the_facade(part: str) -> None:
    committed = (face.FACE / f"{part}.py").read_text(encoding="utf-8")
    assert shape(committed) == shape(face.module_of(part)), "run python -m tests.kit.face"


def test_no_part_of_the_facade_is_missing() -> None:
    assert len(NAMES) > 40
    assert [name for name in NAMES if not hasattr(AsyncObjectStorageApi, name)] == []
    theirs = {name for name in dir(ObjectStorageApi) if name[0] != "_" and name not in NAMES}
    assert (
        theirs
        == {
            *("EXTRA_KEYWORDS", "TIMEOUT_KEYS", "close", "namespace"),
            *("account", "blob_client", "container", "directory", "logger", "proxy_client"),
        }
        & theirs
    )


def translated(annotation: str) -> str:
    for old, new in face.RENAMED.items():
        annotation = re.sub(rf"\b{old}\b", new, annotation)
    return annotation


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_types_are_those_of_the_facade(name: str) -> None:
    theirs = inspect.signature(getattr(ObjectStorageApi, name))
    ours = inspect.signature(getattr(AsyncObjectStorageApi, name))
    assert list(ours.parameters) == list(theirs.parameters)
    for one, other in zip(ours.parameters.values(), theirs.parameters.values(), strict=True):
        assert (one.kind, one.default) == (other.kind, other.default)
        assert one.annotation == (
            other.annotation if other.annotation is inspect.Parameter.empty else translated(other.annotation)
        )
    assert ours.return_annotation == translated(theirs.return_annotation)


@pytest.mark.parametrize("name", NAMES)
def test_each_call_is_awaited_iterated_over_or_opened(name: str) -> None:
    method = getattr(AsyncObjectStorageApi, name)
    waits = face.WAYS.get(name) not in face.NOT_AWAITED
    assert inspect.iscoroutinefunction(method) is waits
    assert method.__doc__
    assert ">>>" not in method.__doc__
