# SPDX-License-Identifier: Apache-2.0
"""What the page about the command shows is what the command prints, and it names every command."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest

from oio.cli._app import Openio
from oio.sandbox import Namespace

PAGE = (Path(__file__).parent.parent.parent / "docs" / "command.rst").read_text(encoding="utf-8")
BLOCKS = re.findall(r"\.\. code-block:: console\n\n((?:   .*\n)+)", PAGE)


@pytest.fixture(scope="module")
def namespace():
    with Namespace(rawx=3) as running:
        yield running


def commands():
    for block in BLOCKS:
        for shown in re.split(r"^   \$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = shown.partition("\n")
            yield line, "".join(f"{text[3:]}\n" for text in output.splitlines())


def test_the_examples_print_what_it_says(shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shell.set(OIO_ACCOUNT="doc")
    Path("data.txt").write_text("data of a file")
    Path("batch.txt").write_text("container create a -f value\ncontainer create b -f value\n")
    for name in ("index.html", "css/style.css"):
        path = Path("site") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    checker, flags = doctest.OutputChecker(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    ran = 0
    for line, expected in commands():
        words = shlex.split(line)
        stdin = b""
        if "<" in words:
            stdin = Path(words[-1]).read_bytes()
            words = words[:-2]
        ended = shell("", *words[1:], stdin=stdin)
        found = ended.out + ended.err
        # What an object holds has no end of line.
        assert checker.check_output(expected.rstrip("\n"), found.rstrip("\n"), flags), (line, found)
        ran += 1
    assert ran > 12
    assert Path("copy.txt").read_text() == "data of a file"
    assert Path("mirror/css/style.css").read_text() == "css/style.css"


def test_every_command_is_named():
    listed = PAGE.partition("\nCommands\n")[2].partition("What differs")[0]
    for name, _ in Openio().command_manager:
        group, _, verb = name.partition(" ")
        assert (
            f"``{name}``" in listed
            or (f"``{group}``" in listed and f"``{verb}``" in listed)
            or (name in {"help", "complete"})
        ), name
