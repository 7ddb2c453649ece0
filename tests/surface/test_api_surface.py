# SPDX-License-Identifier: Apache-2.0
"""The published API, name by name, argument by argument, default by default."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from inspect import Parameter
from pathlib import Path

import pytest

SURFACE = json.loads((Path(__file__).parent.parent / "data" / "api-surface.json").read_text(encoding="utf-8"))

HIDDEN = {"args", "kwargs"}
"""Names of the catch-all arguments behind which the published API hides others."""


def classes():
    for module, content in SURFACE.items():
        for name, described in content["classes"].items():
            yield f"{module}.{name}", described


def functions():
    """Pairs of a dotted name and the arguments that it takes; those of a class are its constructor's."""
    for module, content in SURFACE.items():
        for name, arguments in content["functions"].items():
            yield f"{module}.{name}", arguments
    for name, described in classes():
        yield name, described["init"]
        for method, content in described["methods"].items():
            yield f"{name}.{method}", content["args"]


def methods():
    for name, described in classes():
        for method, content in described["methods"].items():
            yield f"{name}.{method}", content["kind"]


def attributes():
    for name, described in classes():
        for attribute, value in described["attributes"].items():
            yield f"{name}.{attribute}", value


def bases():
    for name, described in classes():
        for base in described["bases"]:
            yield name, base.replace("exceptions.Exception", "builtins.Exception")


def cases(listing):
    return [pytest.param(*case, id=case[0]) for case in listing()]


def split(name):
    """Import the module that a dotted name is in; get it with the names that lead from there."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            return importlib.import_module(".".join(parts[:length])), parts[length:]
        except ModuleNotFoundError as err:
            if not ".".join(parts[:length]).startswith(str(err.name)):
                raise
    raise AssertionError(f"no module for {name}")


def find(name):
    item, path = split(name)
    for step in path:
        item = getattr(item, step)
    return item


def published_parameters(arguments):
    """Parameters of a signature that is written as text."""
    parsed = ast.parse(f"def published({arguments}): ...").body[0].args
    positional = [arg.arg for arg in parsed.args]
    missing = [Parameter.empty] * (len(positional) - len(parsed.defaults))
    defaults = [*missing, *(ast.literal_eval(default) for default in parsed.defaults)]
    return dict(zip(positional, defaults, strict=True)), parsed.vararg, parsed.kwarg


def check_arguments(ours, arguments):
    """Check that every call that suits the published signature suits ours."""
    published, vararg, kwarg = published_parameters(arguments)
    named = [p for p in ours if p.kind is Parameter.POSITIONAL_OR_KEYWORD]
    catch_all = {p.kind: p for p in ours}
    for mine, (name, default) in zip(named, published.items(), strict=False):
        assert (mine.name, mine.default) == (name, default)
    assert len(named) >= len(published)
    if kwarg:
        assert ours[-1].kind is Parameter.VAR_KEYWORD
    if vararg and vararg.arg not in HIDDEN:
        assert Parameter.VAR_POSITIONAL in catch_all
    if not (vararg or kwarg):
        # Nothing hides other arguments: those that we add must not be needed.
        assert all(p.default is not Parameter.empty for p in named[len(published) :])


@pytest.mark.parametrize(("name", "arguments"), cases(functions))
def test_function_takes_the_published_arguments(name, arguments):
    item = find(name)
    ours = list(inspect.signature(item).parameters.values())
    if ours and ours[0].name == "self" and not isinstance(item, type):
        ours = ours[1:]
    check_arguments(ours, arguments)


@pytest.mark.parametrize(("name", "kind"), cases(methods))
def test_method_is_of_the_published_kind(name, kind):
    owner, _, method = name.rpartition(".")
    found = inspect.getattr_static(find(owner), method)
    kinds = {"static": staticmethod, "classmethod": classmethod}
    expected = kinds.get(kind)
    assert isinstance(found, expected) if expected else inspect.isfunction(found)


@pytest.mark.parametrize(("name", "value"), cases(attributes))
def test_attribute_has_the_published_value(name, value):
    owner, _, attribute = name.rpartition(".")
    cls = find(owner)
    if value == "{}":
        # A cache, which other tests may have filled.
        assert isinstance(getattr(cls, attribute), dict)
    elif value is not None:
        assert getattr(cls, attribute) == ast.literal_eval(value)
    elif not hasattr(cls, attribute):
        sources = "".join(inspect.getsource(base) for base in cls.__mro__[:-1])
        assert re.search(rf"\bself\.{attribute}\b[^=\n]*=[^=]", sources)


@pytest.mark.parametrize(("name", "base"), cases(bases))
def test_class_derives_from_the_published_base(name, base):
    assert issubclass(find(name), find(base if "." in base else f"builtins.{base}"))


@pytest.mark.parametrize(
    "arguments", ["a, b=1, **kwargs", "*args, **kwargs", "a, *args, **kwargs", "*items", "a, b=1"]
)
def test_the_check_accepts_the_signature_itself(arguments):
    scope: dict[str, object] = {}
    exec(f"def mine({arguments}): ...", scope)
    check_arguments(list(inspect.signature(scope["mine"]).parameters.values()), arguments)


@pytest.mark.parametrize(
    ("mine", "arguments"),
    [
        ("a, b=2, **kwargs", "a, b=1, **kwargs"),
        ("b=1, a=1, **kwargs", "a=1, b=1, **kwargs"),
        ("a, **kwargs", "a, b=1, **kwargs"),
        ("a, b=1", "a, b=1, **kwargs"),
        ("a, b", "a"),
        ("items", "*items"),
        ("a", "a=None"),
    ],
)
def test_the_check_sees_a_difference(mine, arguments):
    scope: dict[str, object] = {}
    exec(f"def mine({mine}): ...", scope)
    with pytest.raises(AssertionError):
        check_arguments(list(inspect.signature(scope["mine"]).parameters.values()), arguments)
