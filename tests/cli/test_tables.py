# SPDX-License-Identifier: Apache-2.0
"""The tables that describe the command of 7.3.0, row by row: the transcripts in ``tables``, on both releases.

A transcript is named by its table. After ``$``, it has a command, and after ``->`` its exit status, if that
is not 0. Then comes what is printed, as in doctests; what follows ``!`` is somewhere in what is printed to
the standard error.
"""

from __future__ import annotations

import doctest
import pstats
import re
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Shell

TABLES = Path(__file__).parent / "tables"
_STEP = re.compile(r"(?P<line>.*?)(?: -> (?P<code>\d+))?\n(?P<output>.*)", re.DOTALL)


def transcripts(*, of_7_3):
    """Names of the transcripts that hold with services of 7.3 only, or with all."""
    return sorted(path.name for path in TABLES.iterdir() if (".7_3." in path.name) is of_7_3)


def replay(shell, transcript):
    checker = doctest.OutputChecker()
    for step in re.split(r"^\$ ", transcript, flags=re.MULTILINE)[1:]:
        found = _STEP.fullmatch(step)
        lines = found["output"].splitlines(keepends=True)
        expected = "".join(line for line in lines if not line.startswith("!"))
        ended = shell("", *shlex.split(found["line"]))
        assert ended.code == int(found["code"] or 0), (found["line"], ended)
        assert checker.check_output(expected, ended.out, doctest.ELLIPSIS), (found["line"], ended.out)
        for line in lines:
            assert line[0] != "!" or line[1:].strip() in ended.err, (found["line"], ended.err)
        assert any(line[0] == "!" for line in lines) or ended.code or not ended.err, (
            found["line"],
            ended.err,
        )


@pytest.fixture
def here(tmp_path, hello, monkeypatch):
    """A directory with two files, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fstab").write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize("name", transcripts(of_7_3=False))
def test_table(either_shell, account, here, name):
    known = {"@acct": account}
    transcript = (TABLES / name).read_text(encoding="utf-8")
    if "@rawx" in transcript:
        # Of an object of which a service knows.
        either_shell.json("object create c h.txt")
        (chunk,) = either_shell.json("object locate c h.txt")
        known["@rawx"] = chunk["Id"].split("/")[2]
        known["@cid"] = either_shell.json("container show c")["base_name"].partition(".")[0]
        either_shell.namespace.settle()
    if name[0] in "67":
        # Nothing there needs an account.
        either_shell.set(OIO_ACCOUNT=None)
    for placeholder, value in known.items():
        transcript = transcript.replace(placeholder, value)
    replay(either_shell, transcript)


@pytest.mark.parametrize("name", transcripts(of_7_3=True))
def test_table_of_7_3(shell, account, here, name):
    replay(shell, (TABLES / name).read_text(encoding="utf-8").replace("@acct", account))


def test_table_1_profiles_of_the_command(either_shell, account, here):
    for options in ("", "--profile-early --profiler profile"):
        assert either_shell(f"account create {account} --profile prof {options}").code == 0
        assert pstats.Stats(str(here / "prof")).total_calls > 100
    replay(
        either_shell, "$ account list --profile /nosuch/prof -c No -> 1\n$ account list --profiler no -> 2\n"
    )


def test_table_1_1_help_has_several_forms(shell):
    assert shell("help").out == shell("--help").out
    assert shell("help container show").out == shell("container show --help").out


def test_table_1_4_a_container_is_told_by_its_id_or_its_base(either_shell):
    either_shell("container create c")
    base = either_shell.json("container show c")["base_name"]
    for cid in (base, base.partition(".")[0]):
        assert either_shell.json(f"container show --cid {cid}")["container"] == "c"


def test_table_1_4_bits_that_nobody_says(namespace_of_today, account, here, monkeypatch, capsys):
    ended = Shell(namespace_of_today, account, monkeypatch, capsys)("object create --auto h.txt")
    assert (ended.code, "Missing value for --flat-bits" in ended.err) == (1, True)


def test_table_3_container_save_overwrites(either_shell, here, monkeypatch):
    either_shell("object create c h.txt --name below/h")
    target = here / "target" / "below" / "h"
    target.parent.mkdir(parents=True)
    target.write_text("older")
    monkeypatch.chdir(here / "target")
    replay(either_shell, "$ container save c\n$ container save nosuch -> 1\n")
    assert target.read_bytes() == b"hello\n"
