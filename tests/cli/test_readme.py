# SPDX-License-Identifier: Apache-2.0
"""The first minutes with the command, as README.md shows them: line by line, in a shell."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")
SECTION = re.search(r"^## Use it in a shell\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)[1]
INSTALLED, STARTED = re.search(r"```sh\n(pip install .*?) && (openio sandbox run .*?)\n```", SECTION).groups()
STEPS = re.split(r"^\$ ", re.search(r"```console\n(.*?)```", SECTION, re.DOTALL)[1], flags=re.MULTILINE)[1:]
#: Where the command is installed.
PROGRAMS = Path(sys.executable).parent
_DONE = "-- done --"


@pytest.fixture
def address():
    """Address of the namespace that the section starts, on any port that is free."""
    assert STARTED.endswith("--port 6000")
    _, *words = shlex.split(STARTED.replace("--port 6000", "--port 0"))
    command = [str(PROGRAMS / "openio"), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout.readline() == "from oio import ObjectStorageApi\n"
            yield re.search(r"http://([\d.:]+)", running.stdout.readline())[1]
        finally:
            running.send_signal(signal.SIGINT)
            _, told = running.communicate()
    assert running.returncode == 0
    assert "export OIO_NS=OPENIO OIO_PROXYD_URL=http://" in told


@pytest.fixture
def bash(tmp_path):
    """A shell that runs one line after the other."""
    with subprocess.Popen(
        ["bash", "--norc"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"},
    ) as shell:

        def run(line):
            shell.stdin.write(f"{line}\necho '{_DONE}' $?\n")
            shell.stdin.flush()
            lines = []
            while not (last := shell.stdout.readline()).startswith(_DONE):
                lines.append(last)
            return "".join(lines), int(last.split()[-1])

        yield run
        shell.stdin.close()


def test_what_the_readme_shows_is_what_happens(address, bash):
    assert INSTALLED == "pip install '.[cli,sandbox]'"
    checker = doctest.OutputChecker()
    for step in STEPS:
        line, _, expected = step.partition("\n")
        found, _ = bash(line.replace("127.0.0.1:6000", address))
        assert checker.check_output(expected, found, doctest.ELLIPSIS), (line, found)
    assert len(STEPS) > 5
