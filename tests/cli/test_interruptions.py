# SPDX-License-Identifier: Apache-2.0
"""The program interrupted by Ctrl-C, or killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oio.sandbox import Fault
from tests.cli.test_command import environment_of

#: A shell lets what it starts in the background ignore Ctrl-C: this does not.
PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from oio.cli import main; sys.exit(main(sys.argv[1:]))"
)


def eventually(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (known := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return known


def is_waiting(pid):
    """Whether the main thread of a process waits for something."""
    return Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def interrupt(namespace, account, line, directory, data=b"", method="PUT"):
    """Run a command, interrupt it when it waits with a chunk half written; return its code and outputs."""
    namespace.forget_requests()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *line.split()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=directory,
        env=environment_of(namespace, account),
    ) as child:
        child.stdin.write(data)
        child.stdin.flush()
        # The standard input is not over.
        assert eventually(
            lambda: any(
                record.method == method and record.service.startswith("rawx") for record in namespace.requests
            )
        )
        assert eventually(lambda: is_waiting(child.pid))
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    return child.returncode, out, err


@pytest.mark.parametrize("line", ["object create c site/a", "object create c site", "sync site oio://c/p/"])
def test_ctrl_c_ends_uploads_that_wait(namespace, account, tmp_path, line):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "a").write_bytes(b"a" * 100_000)
    with namespace.faults(Fault("stall", "rawx", "PUT")):
        code, _, err = interrupt(namespace, account, line, tmp_path)
    assert code == 130, err
    assert b"Traceback" not in err


def test_ctrl_c_leaves_nothing_and_ends_with_130(namespace, account, tmp_path):
    def chunks():
        return {path for path in namespace.path.glob("rawx-*/**/*") if path.is_file()}

    before = chunks()
    code, out, err = interrupt(namespace, account, "object create c - --name o", tmp_path, b"x" * (1 << 20))
    assert code == 130, err
    assert b"Interrupted" in out
    assert b"Traceback" not in err
    # A chunk server notices in its own time that a connection is cut.
    assert eventually(lambda: chunks() == before)


@pytest.mark.parametrize(
    "line",
    [
        "object save c o --file new/saved",
        "object save c o --file new/saved --deadline 60",
        "object save c site --recursive --file new",
        "sync oio://c/site new",
    ],
)
def test_ctrl_c_ends_downloads_and_leaves_no_file(shell, namespace, account, tmp_path, line):
    big = tmp_path / "big"
    big.write_bytes(b"a" * 5_000_000)
    for name in ("o", "site/o"):
        shell.json("object create c", big, "--name", name)
    with namespace.faults(Fault("stall", "rawx", "GET", after_bytes=2_000_000)):
        code, out, err = interrupt(namespace, account, line, tmp_path, method="GET")
    assert (code, out, b"Traceback" in err) == (130, b"", False), err
    assert [path for path in (tmp_path / "new").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("options", ["", "--range 1-", "--deadline 600"])
def test_what_a_killed_download_leaves_is_nobodys_file(shell, namespace, account, tmp_path, options):
    big, new = tmp_path / "big", tmp_path / "new"
    big.write_bytes(b"a" * 5_000_000)
    assert shell("object create c --name o", big).code == 0
    line = f"object save c o --file new/saved {options}"
    command = [sys.executable, "-c", PROGRAM, *line.split()]
    with namespace.faults(Fault("stall", "rawx", "GET", after_bytes=2_000_000)):
        environment = environment_of(namespace, account)
        with subprocess.Popen(command, cwd=tmp_path, env=environment) as child:
            assert eventually(lambda: any(new.glob(".oio-*")))
            child.kill()
    left = set(new.iterdir())
    shell.json("container create other")
    assert shell.json("sync", new, "oio://other") == []
    assert shell.json("sync --delete", "oio://other", new) == []
    assert set(new.iterdir()) == left
    # The next one goes on there, and leaves nothing.
    assert shell(f"object save c o {options} --file", new / "saved").code == 0
    assert [path.name for path in new.iterdir()] == ["saved"]


#: Interrupts itself when it is about to import a module, which is its first argument.
INTERRUPTED_IMPORT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            signal.raise_signal(signal.SIGINT)
from oio.cli import main
sys.meta_path.insert(0, Interrupting())
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("oio.cli._app", "config"),
        ("cliff.app", "config"),
        ("oio.cli._tools", "config"),
        ("oio.api.object_storage", "container list"),
        ("eventlet", "container list"),
        ("oio.sandbox.__main__", "sandbox run"),
        ("oio.sandbox.namespace", "sandbox run"),
    ],
)
def test_ctrl_c_while_the_command_starts_ends_it_without_a_word(module, line):
    # What requests need is imported by the first one.
    given = ["--oio-ns", "NS", "--oio-account", "a", "--oio-proxy", "127.0.0.1:1"]
    names = given if line == "container list" else []
    command = [sys.executable, "-c", INTERRUPTED_IMPORT, module, *line.split(), *names]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")
