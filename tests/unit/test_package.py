# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
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


_RARE = [
    *("argparse", "configparser", "difflib"),
    *("oio.common.health", "oio.api._operations.health", "oio.api._operations.health_repair"),
    *("oio.api._operations.health_record", "oio.api._operations.health_walk", "oio.api._data.inspection"),
    *("oio.api._operations.rewrite", "oio.api._operations.snapshot"),
]
_LOADED_BY_A_CLIENT_AND_WHAT_COPIES_NEED = """
import sys
before = set(sys.modules)
import oio
oio.ObjectStorageApi("NS", endpoint="127.0.0.1:6000")
import oio.api._data.copies
print(*sys.modules.keys() - before)
"""


def test_a_client_reads_and_writes_without_what_only_rare_calls_need():
    loaded = run(_LOADED_BY_A_CLIENT_AND_WHAT_COPIES_NEED)
    assert "oio.api._facade.health" in loaded
    assert [name for name in _RARE if name in loaded] == []


_FIRST_IN_AN_UNKNOWN_THREAD = """
import _thread, threading
done = _thread.allocate_lock()
def work():
    import oio.common.green
    print(threading.active_count())
    done.release()
done.acquire()
_thread.start_new_thread(work, ())
done.acquire()
"""


def test_import_in_a_thread_that_python_does_not_know_makes_no_thread_of_it():
    assert run(_FIRST_IN_AN_UNKNOWN_THREAD) == ["1"]


def test_names_of_the_package():
    assert {"ObjectStorageApi", "__version__"} <= set(dir(oio))
    with pytest.raises(AttributeError, match="nope"):
        _ = oio.nope


def test_the_package_is_typed():
    assert (Path(oio.__file__).parent / "py.typed").exists()


ROOT = Path(oio.__file__).parents[1]


@pytest.mark.pitfall("D10")
def test_readme_means_the_same_on_an_index():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    # An index shows this file alone: a link to another one leads nowhere there.
    links = re.findall(r"\]\(([^)]*)\)|<a [^>]*href=[\"']([^\"']*)", readme)
    assert [link for pair in links for link in pair if link and "://" not in link] == []
    named = re.findall(r"`([A-Za-z]+/[a-z-]+\.rst|[A-Z]+\.md)`", readme)
    assert {"CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"} <= set(named)
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.pitfall("D10")
def test_project_names_no_interpreter_that_it_was_not_run_on():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    assert named == ["3.10", "3.11", "3.12", "3.13"]


@pytest.mark.parametrize("name", COMMON)
def test_examples_of_the_documentation_are_true(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
