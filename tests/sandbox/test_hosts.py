# SPDX-License-Identifier: Apache-2.0
"""The namespace runs inside programs that eventlet has patched, before or after the import, or that fork."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
{before}
from oio.sandbox import Fault, Namespace
{after}
data = bytes(range(256)) * 12_000
with Namespace(rawx=4, chunk_size=1 << 20) as namespace:
    with namespace.api() as api:
        api.object_create("a", "c", obj_name="o", data=data, policy="THREECOPIES")
        for action in ("reset", "truncate", "stall"):
            fault = Fault(action, operation="GET", nth=1, after_bytes=1000)
            with namespace.faults(fault) as plan:
                _, stream = api.object_fetch("a", "c", "o", read_timeout=0.2)
                assert b"".join(stream) == data, action
            plan.assert_met()
        with namespace.faults(*(Fault("refuse", address=rawx.address) for rawx in namespace.rawx[:2])):
            _, stream = api.object_fetch("a", "c", "o")
            assert b"".join(stream) == data
    # A server that stops must wake the thread that accepts its connections, each time.
    for _ in range(20):
        with namespace.faults(*(Fault("refuse", address=rawx.address) for rawx in namespace.rawx)):
            pass
    namespace.stop()
    namespace.start()
    with namespace.api() as api:
        _, stream = api.object_fetch("a", "c", "o")
        assert b"".join(stream) == data
assert len(threading.enumerate()) == 1
print("done")
"""

PATCH = "import eventlet; eventlet.monkey_patch()"


@pytest.mark.parametrize(
    ("before", "after"), [("", ""), (PATCH, ""), ("", PATCH)], ids=["plain", "patched first", "patched later"]
)
def test_a_namespace_works_in_any_host(before: str, after: str) -> None:
    program = PROGRAM.format(before=before, after=after)
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


LEAVING = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from oio.sandbox import Namespace

with Namespace(rawx=3) as namespace:
    with namespace.api() as api:
        api.object_create("a", "c", obj_name="o", data=b"data")
    child = os.fork()
    if not child:
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
    try:
        Namespace(namespace.path, rawx=3).start()
    except OSError as err:
        assert "another namespace runs" in str(err)
    else:
        raise AssertionError("the lock is gone")
    with namespace.api() as api:
        assert b"".join(api.object_fetch("a", "c", "o")[1]) == b"data"
assert not namespace.path.exists()
"""

OUTLIVING = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from oio.sandbox import Namespace

with Namespace(sys.argv[1], rawx=3) as namespace:
    with namespace.api() as api:
        api.object_create("a", "c", obj_name="o", data=b"data")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    namespace.stop()
    namespace.start()
    with namespace.api() as api:
        assert b"".join(api.object_fetch("a", "c", "o")[1]) == b"data"
os.close(writing)
os.waitpid(child, 0)
"""


@pytest.mark.parametrize("program", [LEAVING, OUTLIVING], ids=["leaves the block", "outlives it"])
def test_a_forked_process_does_not_disturb_the_namespace(program: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", program, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
