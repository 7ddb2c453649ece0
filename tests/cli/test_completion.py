# SPDX-License-Identifier: Apache-2.0
"""What completes commands, in the shells that are installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BASH = r"""
eval "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_openio
printf '%s\n' "${COMPREPLY[@]}"
"""
#: What compadd and _files would show; the rest of zsh's completion needs a terminal.
ZSH = r"""
compdef() { : }
compadd() { shift; print -l -- "${(@M)argv:#${words[CURRENT]}*}" }
_files() { : }
eval "$1"
words=("${@:2}")
CURRENT=${#words}
_openio
"""
#: Without the files of the user.
SHELLS = {"bash": ["bash", "--norc", "-c", BASH, "bash"], "zsh": ["zsh", "-f", "-c", ZSH, "zsh"]}
COMPLETED = {
    "": {"account", "container", "object", "sync", "volume"},
    "obj": {"object"},
    "object s": {"save", "set", "show"},
    "cluster local ": {"conf", "list"},
    "-a mine --debug object s": {"save", "set", "show"},
    "object show --cid c o -f ": {"json", "shell", "table", "value", "yaml"},
    "object list c --format y": {"yaml"},
    "container show --pre": {"--prefix"},
    "container show c --request": {"--request-id"},
    "--no": set(),
    "--deb": {"--debug"},
    "object show o --flat-bits ": set(),
    "--ns ": set(),
    "object create c ": set(),
    "nosuch ": set(),
    "account show container ": set(),
}


@pytest.fixture(scope="module", params=[name for name in SHELLS if shutil.which(name)])
def completed(request):
    """What a shell makes of words, the last of which is not yet complete."""
    name = request.param
    program = str(Path(sys.executable).with_name("openio"))
    made = subprocess.run([program, "complete", "--shell", name], capture_output=True, text=True, check=True)

    def complete(line):
        command = [*SHELLS[name], made.stdout, "openio", *line.split(" ")]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.stderr == ""
        return set(ended.stdout.split())

    return complete


def test_bash_is_one_of_the_shells():
    assert shutil.which("bash")


@pytest.mark.parametrize("line", COMPLETED)
def test_words_are_completed(completed, line):
    found, expected = completed(line), COMPLETED[line]
    # Of the first words, there may be more.
    assert found == expected or (line == "" and found > expected)


def test_all_words_of_all_commands_are_there(completed, shell):
    listed = shell("--help").out.partition("Commands:\n")[2]
    names = {line[2:].partition("  ")[0].strip() for line in listed.splitlines()}
    groups = {name.partition(" ")[0] for name in names}
    assert completed("") == groups
    for group in groups - names:
        verbs = {name.split()[1] for name in names if name.split()[0] == group}
        assert completed(f"{group} ") == verbs
