# SPDX-License-Identifier: Apache-2.0
"""A run of the benchmarks, with little data: that they measure, never how fast."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def run(*arguments, path=None):
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    env = os.environ if path is None else {**os.environ, "PATH": str(path)}
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, env=env)


def test_tiny_run_measures_both_clients_and_writes_reports(tmp_path):
    chosen = "^put 5000 B x3$|^get 5000 B EC, 1 lost$|^delete$"
    written = {option: tmp_path / option for option in ("json", "rst", "svg")}
    options = [text for option, path in written.items() for text in (f"--{option}", path)]
    done = run("--case", chosen, "--largest", 5000, "--rounds", 1, "--seconds", 0.001, *options)
    assert done.returncode == 0, done.stderr
    found = json.loads(written["json"].read_text())
    names = ["put 5000 B x3", "delete", "get 5000 B EC, 1 lost"]
    assert [item["name"] for item in found["results"]] == names
    assert found["failed"] == []
    for item in found["results"]:
        assert item["operations"] >= 1
        for side in ("ours", "bare"):
            assert 0 < item[side]["cpu"]["least"] <= item[side]["cpu"]["median"] <= item[side]["cpu"]["most"]
            assert item[side]["wall"]["median"] > 0
            assert item[side]["peak"] >= item[side]["idle"] > 0
            assert item[side]["calls"] > item[side]["python_calls"] > 0
        assert item["cpu_ratio"]["median"] > 0
    assert {"cpu", "cores", "python", "packages", "services", "start", "load"} <= set(found["conditions"])
    assert all(name in done.stdout for name in names)
    assert all(f"* - {name}" in written["rst"].read_text() for name in names)
    assert written["svg"].is_dir()


def test_list_names_the_cases_that_match():
    done = run("--list", "--case", "1 GiB B2$")
    assert done.stdout.splitlines() == ["put 1 GiB B2", "get 1 GiB B2"]


def test_pattern_that_is_in_no_name_is_refused():
    done = run("--case", "no such thing")
    assert done.returncode == 2
    assert "no such thing" in done.stderr


VALGRIND = """#!{python}
import os, sys
place = next(i for i, word in enumerate(sys.argv[1:], 1) if not word.startswith("--"))
(file,) = [word.partition("=")[2] for word in sys.argv[:place] if word.startswith("--callgrind-out-file=")]
open(os.path.join("{directory}", str(os.getpid())), "w").write(file)
os.execv(sys.argv[place], sys.argv[place:])
"""
CONTROL = """#!{python}
import os, sys
wish, pid = sys.argv[1:]
wishes = os.path.join("{directory}", pid + ".wishes")
open(wishes, "a").write(wish + " ")
if wish == "--dump":
    file = open(os.path.join("{directory}", pid)).read()
    seen = 3 if os.path.basename(file) == "ours" else 2
    open(file + ".1", "w").write(f"events: Ir Dr ILmr DLmr DLmw\\ntotals: {{1000 * seen}} 9 1 {{seen}}\\n")
"""


def test_lines_are_those_that_valgrind_counts_in_one_operation(tmp_path):
    for name, script in (("valgrind", VALGRIND), ("callgrind_control", CONTROL)):
        program = tmp_path / name
        program.write_text(script.format(python=sys.executable, directory=tmp_path))
        program.chmod(0o755)
    done = run("--lines", "--case", "^head$", path=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    cells = ["head", "3,000 / 2,000", "1.50", "4 / 3", "1.33"]
    assert re.split("  +", done.stdout.splitlines()[1].strip()) == cells
    wishes = [path.read_text() for path in tmp_path.glob("*.wishes")]
    assert wishes == ["--instr=on --instr=off --dump "] * 2


def test_lines_need_valgrind(tmp_path):
    done = run("--lines", "--case", "^head$", path=tmp_path)
    assert done.returncode == 2
    assert "valgrind is not installed" in done.stderr
