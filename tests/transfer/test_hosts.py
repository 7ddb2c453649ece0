# SPDX-License-Identifier: Apache-2.0
"""Transfers in several kinds of programs, each run in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oio.sandbox import Namespace
from tests.kit.transfers import TREE, content, fill

_PROGRAM = """
import sys, threading, warnings
kind, endpoint, name, source, target = sys.argv[1:]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    if kind == "eventlet":
        import eventlet
        eventlet.monkey_patch()
    elif kind == "gevent":
        import gevent.monkey
        gevent.monkey.patch_all()
from oio import ObjectStorageApi
from oio.transfer import Remote, Transfer, TransferCancelled, TransferConfig

before = threading.active_count()
box = Remote("acct", "box", kind + "/")
config = TransferConfig(part_size=65536, workers=4)
with ObjectStorageApi(name, endpoint=endpoint) as api:
    with Transfer(api, config) as transfer:
        transfer.upload_tree(source, box).raise_failures()
        transfer.download_tree(box, target).raise_failures()
    with Transfer(api, TransferConfig(workers=2), on_result=lambda _: transfer.cancel()) as transfer:
        try:
            transfer.upload_many(((source + "/a.txt", str(number)) for number in range(10 ** 9)), box)
        except TransferCancelled as err:
            # Green threads hear of a result at once, and not when the most that may wait for them are there.
            assert 0 < err.report.done < (10 if kind in ("eventlet", "gevent") else 10 ** 9)
        else:
            raise AssertionError("it was not cancelled")
assert threading.active_count() == before, threading.enumerate()
print("OK")
"""


@pytest.mark.parametrize("kind", ["plain", "eventlet", "gevent", "C"])
def test_transfers_work_in_a_program(kind: str, namespace: Namespace, files: Path, target: Path) -> None:
    fill(files, TREE)
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"} if kind == "C" else {}
    command = [sys.executable, "-W", "error", "-c", _PROGRAM]
    command += [kind, namespace.endpoint, namespace.name, str(files), str(target)]
    ended = subprocess.run(command, env=os.environ | locale, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("OK\n", "")
    assert content(target) == TREE
