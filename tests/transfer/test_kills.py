# SPDX-License-Identifier: Apache-2.0
"""Synchronisation by a process that is killed in the middle, under faults, and then again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oio.sandbox import Fault, Namespace
from tests.kit.transfers import BOX, content, fill, outcomes, stored, transfer

_COUNT = 60
_KILLED_AFTER = 20
_PROGRAM = """
import sys
from oio import ObjectStorageApi
from oio.transfer import Remote, Transfer, TransferConfig

def tell(result):
    print(result.outcome, result.name, flush=True)

endpoint, name, directory, way = sys.argv[1:]
with ObjectStorageApi(name, endpoint=endpoint, read_timeout=2, write_timeout=2) as api:
    config = TransferConfig(part_size=65536, workers=4, retry_delay=0.01)
    with Transfer(api, config, on_result=tell) as transfer:
        ends = [directory, Remote("acct", "box")]
        transfer.sync(*(ends if way == "up" else ends[::-1]))
"""


def files_of_a_tree() -> dict[str, bytes]:
    rng = random.Random(7)
    sizes = [0, 1, 100, 70_000, 300_000]
    return {f"{number % 7}/{number:03}": rng.randbytes(sizes[number % 5]) for number in range(_COUNT)}


def killed(namespace: Namespace, directory: Path, way: str) -> set[str]:
    """Run the program until it has told of some objects, and kill it; names of those."""
    command = [sys.executable, "-c", _PROGRAM, namespace.endpoint, namespace.name, str(directory), way]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().split() for _ in range(_KILLED_AFTER)]
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    return {name for outcome, name in told if outcome == "done"}


@pytest.mark.parametrize("way", ["up", "down"])
def test_sync_is_complete_after_a_kill_and_moves_nothing_twice(
    api: Any, namespace: Namespace, files: Path, target: Path, way: str
) -> None:
    tree = files_of_a_tree()
    fill(files, tree)
    operation = "PUT" if way == "up" else "GET"
    if way == "down":
        with transfer(api) as moving:
            assert moving.sync(files, BOX).done == _COUNT
    faults = [
        Fault("reset", operation=operation, nth=3, after_bytes=1),
        Fault("corrupt", operation=operation, nth=12, after_bytes=1),
        Fault("status", operation=operation, nth=20),
    ]
    with namespace.faults(*faults):
        done = killed(namespace, files if way == "up" else target, way)
    if way == "down":
        # What has its name is whole, at any time.
        assert {name: tree[name] for name in content(target) if not name.split("/")[-1].startswith(".")} == {
            name: data for name, data in content(target).items() if not name.split("/")[-1].startswith(".")
        }
    with transfer(api) as moving:
        again = moving.sync(*((files, BOX) if way == "up" else (BOX, target)))
    assert again.failed == 0
    moved = {name for name, outcome in outcomes(again).items() if not outcome.endswith("same")}
    assert not moved & done
    assert len(moved) + again.skipped == _COUNT
    assert stored(api) == tree if way == "up" else content(target) == tree


#: A limit of the size of files, which cuts a write short as a full disk does.
FULL = """
import os, resource, sys
from oio.transfer._checks import target_file
from oio.transfer._target_files import PartialFile

directory = os.open(sys.argv[1], os.O_RDONLY)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)

def opened():
    file = PartialFile(target_file(os.path.join(sys.argv[1], "target")), directory, "a", "c", "o")
    return file, file.resume({"id": "1", "hash": "2"}, 4)

file, found = opened()
assert found == set()
(journal,) = (name for name in os.listdir(directory) if name.endswith(".journal"))
for cut in range(6):
    size = os.stat(journal, dir_fd=directory).st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + cut, most))
    try:
        file.note(123)
    except OSError as err:
        print(cut, file.has_parts)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
file.close()
file, found = opened()
assert found == set()
size = os.stat(journal, dir_fd=directory).st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 3, most))
try:
    file.note(246)
except OSError:
    pass
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
file.note(5)
file.close()
file, found = opened()
print(sorted(found))
file.close()
"""


def test_part_is_there_once_its_whole_line_is_in_the_journal(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    # Of 123, which was there, all but the end of the line was written once.
    assert ended.stdout.splitlines() == [*(f"{cut} False" for cut in range(6)), "[5, 123]"]
