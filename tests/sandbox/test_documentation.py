# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows is true."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from oio.sandbox import Namespace

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.rst"))


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_a_page_give_what_it_says(page, tmp_path):
    source = tmp_path / "source.txt"
    source.write_bytes(b"data of a file")
    directory = tmp_path / "site"
    for name in ("index.html", "css/style.css"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(name)
    names = {"path": str(source), "directory": str(directory), "copy": str(tmp_path / "copy")}
    with Namespace(rawx=3, path=tmp_path / "namespace") as namespace, namespace.api() as api:
        result = doctest.testfile(
            str(ROOT / "docs" / page),
            module_relative=False,
            globs={"api": api, "namespace": namespace} | names,
            optionflags=doctest.ELLIPSIS,
        )
    assert result.failed == 0


def test_the_tests_of_a_service_pass(tmp_path):
    text = (ROOT / "docs" / "tasks.rst").read_text(encoding="utf-8")
    (program,) = re.findall(r"tested like this::\n\n((?:    .*\n|\n)+)", text)
    (tmp_path / "test_service.py").write_text(textwrap.dedent(program))
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "oio.sandbox.pytest_plugin"]
    command += ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "3 passed" in ended.stdout, ended.stdout


def test_the_program_of_the_readme_runs(capsys):
    (program, *_) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    exec(program, {})
    assert capsys.readouterr().out == "THREECOPIES b'hello'\n"


def test_every_page_is_in_the_table_of_contents():
    index = (ROOT / "docs" / "index.rst").read_text(encoding="utf-8")
    for page in PAGES:
        assert page == "index.rst" or f"   {page.removesuffix('.rst')}\n" in index


@pytest.mark.parametrize("kind", ["dependencies", "optional-dependencies"])
def test_every_dependency_has_its_line(kind):
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = re.search(rf"^(?:\[project\.)?{kind}\b.*?(?=\n\n|\n\])", project, re.DOTALL | re.MULTILINE)
    names = re.findall(r'"([A-Za-z0-9-]+)', section.group())
    text = (ROOT / "docs" / "dependencies.rst").read_text(encoding="utf-8")
    assert names
    assert [name for name in names if f"``{name}``" not in text] == []
