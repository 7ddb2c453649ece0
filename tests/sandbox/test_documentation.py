# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows is true."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from oio.sandbox import Namespace

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.rst"))


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_a_page_give_what_it_says(page, tmp_path):
    source = tmp_path / "source.txt"
    source.write_bytes(b"data of a file")
    with Namespace(rawx=3, path=tmp_path / "namespace") as namespace, namespace.api() as api:
        result = doctest.testfile(
            str(ROOT / "docs" / page),
            module_relative=False,
            globs={"api": api, "path": str(source)},
            optionflags=doctest.ELLIPSIS,
        )
    assert result.failed == 0


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
