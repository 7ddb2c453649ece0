# SPDX-License-Identifier: Apache-2.0
"""Standard streams that are closed, full, or cannot print all characters: never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_command import environment_of

OPENIO = str(Path(sys.executable).with_name("openio"))
SIZE = 3_000_000


@pytest.fixture(scope="module")
def run(namespace, tmp_path_factory):
    """Runs a line of a shell; gives the exit status of the command, and what was printed."""
    directory = tmp_path_factory.mktemp("streams")
    (directory / "big").write_bytes(b"x" * SIZE)
    (directory / "naïve").write_bytes(b"x")
    (directory / os.fsdecode(b"bad\xff")).write_bytes(b"x")
    environment = environment_of(namespace, "streams")
    environment.pop("PYTHONUNBUFFERED", None)

    def run(line, **variables):
        ended = subprocess.run(
            ["bash", "-c", line.replace("openio", OPENIO)],
            capture_output=True,
            cwd=directory,
            env=environment | variables,
            check=False,
        )
        assert b"Traceback" not in ended.stderr
        assert b"Exception ignored" not in ended.stderr
        return ended.returncode, ended.stdout, ended.stderr

    assert run("openio object create c big naïve")[0] == 0
    return run


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("openio object cat c big > /dev/full", 1, b"No space left on device\n"),
        ("openio object list c > /dev/full", 1, b"No space left on device\n"),
        ("openio object save c big --file /dev/full", 1, b"No space left on device\n"),
        ("openio object list c >&-", 1, b"Bad file descriptor\n"),
        ("openio object cat c big >&-", 1, b"Bad file descriptor\n"),
        ("openio object list nosuch 2>&-", 1, b""),
        ("openio object list nosuch 2>/dev/full", 1, b""),
        ("openio object list c <&- 2>&- >/dev/null", 0, b""),
        ("openio <&-", 1, b"Bad file descriptor\n"),
        ("openio --version > /dev/full", 1, b"No space left on device\n"),
        ("openio --version >&-", 1, b"Bad file descriptor\n"),
        ("openio --version -v > /dev/full", 1, b"No space left on device\n"),
        ("PYTHONUNBUFFERED=1 openio --version > /dev/full", 1, b"No space left on device\n"),
        ("PYTHONUNBUFFERED=1 openio --version -v > /dev/full", 1, b"No space left on device\n"),
        ("openio --version -v >&-", 1, b"Bad file descriptor\n"),
    ],
)
def test_streams_that_do_not_take_what_is_written(run, line, code, told):
    assert run(line) == (code, b"", told)


def test_a_closed_standard_input_is_no_empty_object(run):
    code, _, told = run("openio object create c - --name closed <&-")
    assert (code, b"Bad file descriptor" in told) == (1, True)
    assert run("openio object show c closed")[0] == 1


def test_a_reader_that_has_enough_is_no_error(run):
    assert run("openio object cat c big | head -c 1; exit ${PIPESTATUS[0]}") == (141, b"x", b"")


@pytest.mark.parametrize(
    ("variables", "printed"),
    [
        ({"LC_ALL": "C"}, "big\nnaïve\n".encode()),
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, b"big\nna\\xefve\n"),
        ({"PYTHONIOENCODING": "latin-1"}, "big\nnaïve\n".encode("latin-1")),
    ],
)
def test_names_are_printed_whatever_the_language_of_the_shell(run, variables, printed):
    line = "openio object list c -f value -c Name"
    assert run(line, **variables) == (0, printed, b"")


def test_a_file_whose_name_is_no_utf_8_fails_alone(run):
    code, printed, told = run("openio object create c2 $'bad\\xff' big -f value -c Name -c Status")
    assert (code, printed) == (1, b"bad\xff Failed\nbig Ok\n")
    assert b"UTF-8" in told
