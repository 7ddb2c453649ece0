# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows is true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from fsspec.asyn import get_loop

import oio
from docs import record
from oio.sandbox import Namespace
from tests.facade.test_examples import MODULES as WITH_AN_API

# The thread of fsspec, which stays for good, is there before a test counts threads.
get_loop()

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.rst"))
MODULES = ["oio", *(m.name for m in pkgutil.walk_packages(oio.__path__, "oio.") if "__main__" not in m.name)]


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("reference/")])
def test_examples_of_a_page_give_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "source.txt"
    source.write_bytes(b"data of a file")
    directory = tmp_path / "site"
    for name in ("index.html", "css/style.css"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(name)
    names = {"path": str(source), "directory": str(directory), "copy": str(tmp_path / "copy")}
    with Namespace(rawx=3, path=tmp_path / "namespace") as namespace, namespace.api() as api:
        result = doctest.testfile(
            str(DOCS / f"{page}.rst"),
            module_relative=False,
            globs={"api": api, "namespace": namespace} | names,
            optionflags=doctest.ELLIPSIS,
        )
    assert result.failed == 0


@pytest.mark.parametrize("name", sorted({*MODULES} - {*WITH_AN_API}))
def test_examples_of_a_module_do_what_they_say(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_tests_of_a_service_pass(tmp_path):
    text = (DOCS / "recipes.rst").read_text(encoding="utf-8")
    (program,) = re.findall(r"tested like this::\n\n((?:    .*\n|\n)+)", text)
    (tmp_path / "test_service.py").write_text(textwrap.dedent(program))
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "oio.sandbox.pytest_plugin"]
    # The plugin of zarr imports numpy.
    command += ["-p", "no:zarr", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "3 passed" in ended.stdout, ended.stdout


def test_the_program_of_the_readme_runs(capsys):
    (program, *_) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    exec(program, {})
    assert capsys.readouterr().out == "THREECOPIES b'hello'\n"


def test_every_page_is_in_the_table_of_contents():
    lines = (DOCS / "index.rst").read_text(encoding="utf-8").splitlines()
    assert [page for page in PAGES if page != "index" and f"   {page}" not in lines] == []


def test_every_method_of_the_api_is_on_a_page_about_a_task_or_is_deprecated():
    text = "".join((DOCS / f"{page}.rst").read_text(encoding="utf-8") for page in PAGES if "/" not in page)
    api = oio.ObjectStorageApi
    methods = [name for name in dir(api) if name.startswith(("account_", "container_", "object_"))]
    missing = [name for name in methods if not re.search(rf"\b{name}\b", text)]
    assert len(methods) > 40
    assert [name for name in missing if "Deprecated" not in getattr(api, name).__doc__] == []


def test_every_release_has_a_page():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = {*re.findall(r"^## +(\S+)", changes, re.MULTILINE)} - {"Unreleased"}
    assert {path.stem for path in (DOCS / "releases").glob("*.rst")} == released
    assert any(oio.__version__.startswith(version) for version in released)


@pytest.mark.parametrize("session", record.SESSIONS)
def test_commands_print_what_was_recorded(session):
    recorded = (record.FOLDER / f"{session}.txt").read_text(encoding="utf-8")
    assert record.steady(record.played(record.SESSIONS[session])) == record.steady(recorded)


@pytest.mark.parametrize("session", record.SESSIONS)
def test_the_picture_of_a_terminal_shows_what_was_recorded(session):
    recorded = (record.FOLDER / f"{session}.txt").read_text(encoding="utf-8")
    picture = (record.FOLDER / f"{session}.svg").read_text(encoding="utf-8")
    assert picture == record.drawn(recorded, record.SESSIONS[session][0])


def test_every_public_module_is_on_a_reference_page():
    texts = [path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.rst")]
    shown = re.findall(r"^(?:\.\. automodule:: |   )(oio[\w.]*)$", "\n".join(texts), re.MULTILINE)
    # The other packages have nothing but modules that are on their own.
    packages = {name for name in MODULES if f"{name}." in " ".join(MODULES)} - {
        "oio",
        "oio.sandbox",
        "oio.transfer",
    }
    packages -= {"oio.aio", "oio.cli", "oio.common.green"}
    public = [name for name in MODULES if "._" not in name and name not in packages]
    assert len(public) > 70
    assert sorted(shown) == sorted(public)


def test_the_recorded_exchanges_are_as_many_as_it_says():
    captures = (ROOT / "tests" / "wire" / "captures").glob("*.json")
    names = [path.name for path in captures if path.name != "index.json"]
    by_hand = [name for name in names if name.startswith("raw_")]
    text = (DOCS / "checked.rst").read_text(encoding="utf-8")
    stated = re.search(r"has (\d+) files .* (\d+) of them .* and (\d+) are", text, re.DOTALL)
    assert [int(number) for number in stated.groups()] == [
        len(names),
        len(names) - len(by_hand),
        len(by_hand),
    ]


def test_the_ratios_in_the_first_lines_are_those_of_the_table():
    text = (DOCS / "performance.rst").read_text(encoding="utf-8")
    table = (DOCS / "measured" / "table.txt").read_text(encoding="utf-8")
    plain = r"\* - (?:put|get) \d+ [KM]iB (?:x1|x3|EC)\n     - .+\n     - .+\n     - (\S+) .*\n     - (\S+) "
    ratios = re.findall(plain, table)
    span = r"from (\S+) to (\S+) times"
    stated = re.search(rf"{span} the CPU time .* and\n{span} its time", text).groups()
    assert len(ratios) > 12
    assert stated == tuple(pick(column) for column in zip(*ratios, strict=True) for pick in (min, max))


@pytest.mark.parametrize("kind", ["dependencies", "optional-dependencies"])
def test_every_dependency_has_its_line(kind):
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = re.search(rf"^(?:\[project\.)?{kind}\b.*?(?=\n\n|\n\])", project, re.DOTALL | re.MULTILINE)
    names = re.findall(r'"([A-Za-z0-9-]+)', section.group())
    text = (DOCS / "dependencies.rst").read_text(encoding="utf-8")
    assert names
    assert [name for name in names if f"``{name}``" not in text] == []


def test_the_list_of_dependencies_has_no_other():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    text = (DOCS / "dependencies.rst").read_text(encoding="utf-8").partition("\nBill of materials\n")[0]
    named = set(re.findall(r"``([a-z0-9-]+)``", text))
    extras = set(re.findall(r"^([a-z0-9-]+) = \[", project, re.MULTILINE))
    required = set(re.findall(r'"([A-Za-z0-9-]+)[>"]', project))
    assert named - extras - required == set()


def exceptions_in(text):
    """Classes of the exceptions that the rows of a table name first."""
    rows = re.findall(r"^   \* - (.*\n(?:       .*\n)*)", text, re.MULTILINE)
    named = [re.findall(r":class:`~?(oio\.[\w.]+)`", row) for row in rows]
    return [pkgutil.resolve_name(name) for names in named for name in names]


def test_every_exception_has_an_answer_and_no_row_hides_another():
    answers = exceptions_in((DOCS / "embedding.rst").read_text(encoding="utf-8").partition(".. _answers:")[2])
    assert len(answers) > 20
    for place, kind in enumerate(answers):
        assert not issubclass(kind, tuple(answers[:place])), kind
    for kind in exceptions_in((DOCS / "errors.rst").read_text(encoding="utf-8")):
        assert issubclass(kind, tuple(answers)), kind
