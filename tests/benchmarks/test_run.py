# SPDX-License-Identifier: Apache-2.0
"""A run of the benchmarks, with little data: that they measure, never how fast."""

import json
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


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
