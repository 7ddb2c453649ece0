# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import oio
import oio.common

COMMON = sorted(f"oio.common.{module.name}" for module in pkgutil.iter_modules(oio.common.__path__))


def run(program):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.pitfall(42, 83)
def test_importing_the_package_loads_nothing_heavy():
    loaded = run("import sys, oio; print(*sys.modules)")
    heavy = {"eventlet", "greenlet", "pyeclib", "urllib3", "requests", "h11", "oio.api"}
    assert heavy.isdisjoint(loaded)


def test_the_facade_is_imported_at_first_use():
    assert run("import oio; print(oio.ObjectStorageApi.__module__)") == ["oio.api.object_storage"]
    assert run("from oio import ObjectStorageApi as A; print(A.__name__)") == ["ObjectStorageApi"]


def test_names_of_the_package():
    assert {"ObjectStorageApi", "__version__"} <= set(dir(oio))
    with pytest.raises(AttributeError, match="nope"):
        _ = oio.nope


def test_the_package_is_typed():
    assert (Path(oio.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("name", COMMON)
def test_examples_of_the_documentation_are_true(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
