# SPDX-License-Identifier: Apache-2.0
"""The demonstration: its table, and its exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = f"exec {sys.executable} -W error -m oio.sandbox demo"


def demonstrate(*files: Path, limits: str = "") -> subprocess.CompletedProcess[str]:
    command = f"{limits} {DEMO} {' '.join(map(str, files))}"
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)


def test_every_policy_gives_every_file_back(tmp_path: Path) -> None:
    small, empty = tmp_path / "small", tmp_path / "empty"
    small.write_bytes(os.urandom(100_001))
    empty.touch()
    ended = demonstrate(small, empty)
    assert ended.returncode == 0, ended.stderr
    header, *rows, last = (line.split() for line in ended.stdout.splitlines())
    assert header[:3] == ["file", "size", "policy"]
    policies = ["SINGLE", "TWOCOPIES", "THREECOPIES", "17COPIES", "EC21", "EC", "BACKBLAZE"]
    assert [row[:3] for row in rows[:7]] == [["small", "100,001", policy] for policy in policies]
    assert [row[:3] for row in rows[7:]] == [["empty", "0", policy] for policy in policies]
    assert [row[5] for row in rows] == ["0", "1", "1", "1", "1", "3", "0"] * 2
    assert {row[-1] for row in rows} == {"yes"}
    assert " ".join(last).startswith("BACKBLAZE: in the B2 of the sandbox, at http://127.0.0.1:")


def test_a_failure_is_shown_and_makes_the_exit_status_1(tmp_path: Path) -> None:
    small, big = tmp_path / "small", tmp_path / "big"
    small.write_bytes(b"data")
    big.write_bytes(os.urandom(30_000_000))
    # No process may write a file of more than 2 or 4 MB: no rawx can store the chunk of the big one.
    ended = demonstrate(big, small, limits="ulimit -f 4000;")
    assert ended.returncode == 1, ended.stderr
    rows = ended.stdout.splitlines()[1:-1]
    assert [("FAILED" in row, row.endswith("yes")) for row in rows] == [(True, False)] * 7 + [
        (False, True)
    ] * 7


def test_a_file_that_differs_is_shown_and_makes_the_exit_status_1() -> None:
    # Its content is another one each time it is read.
    ended = demonstrate(Path("/proc/sys/kernel/random/uuid"))
    assert ended.returncode == 1, ended.stderr
    rows = [line.split() for line in ended.stdout.splitlines()[1:-1]]
    assert [(row[0], row[-1]) for row in rows] == [("uuid", "NO")] * 7


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_one_leaves_nothing_and_says_nothing(tmp_path: Path, end: signal.Signals) -> None:
    with subprocess.Popen(
        ["sh", "-c", DEMO],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        start_new_session=True,
        # Tests that run in the background may have been told to ignore signals, which is inherited.
        preexec_fn=lambda: signal.signal(end, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        assert process.stdout is not None
        rows = [process.stdout.readline() for _ in range(9)]
        # A terminal sends its signals to all the processes, others end the first one only.
        process.send_signal(end) if end == signal.SIGTERM else os.killpg(process.pid, end)
        _, complaint = process.communicate()
    assert rows[-1].split()[0] == "picture.bin"
    assert (process.returncode, complaint) == (130, "")
    assert not list(tmp_path.glob("oio-demo-*"))


INTERRUPTED_WHILE_IT_OPENS = """
import os, signal, sys, time
from oio.sandbox import __main__, demo

def interrupted(files):
    dropped = open(files[0], "rb")
    os.kill(os.getpid(), signal.SIGTERM)
    while True:
        # Here, and not while the file is dropped, which would swallow what the handler raises.
        time.sleep(0.001)

demo.demonstrate = interrupted
sys.exit(__main__.main(["demo", sys.executable]))
"""


def test_an_interruption_that_drops_an_open_file_says_nothing() -> None:
    command = [sys.executable, "-W", "error", "-c", INTERRUPTED_WHILE_IT_OPENS]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, "")
