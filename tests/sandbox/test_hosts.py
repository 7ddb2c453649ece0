# SPDX-License-Identifier: Apache-2.0
"""The namespace runs inside a program that eventlet has patched, before or after the import."""

from __future__ import annotations

import subprocess
import sys

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
