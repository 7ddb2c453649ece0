# SPDX-License-Identifier: Apache-2.0
"""Memory of large blocks."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource, sys
from oio.common.memory import keep_memory_of_blocks
if sys.argv[1] == "kept":
    keep_memory_of_blocks()
def touched(size):
    return bytearray(b"x") * size
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    blocks = [touched(1 << 20) for _ in range(4)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True)
    return int(done.stdout)


def test_memory_of_freed_blocks_is_not_asked_for_again():
    assert faults("kept") < faults("as it was") / 4
