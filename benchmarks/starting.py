# SPDX-License-Identifier: Apache-2.0
"""Start of a program: how long imports take, and until a client is ready, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

from benchmarks.measure import Spread

_ROUNDS: Final = 7
_PROGRAM: Final = """
import time
begin = time.perf_counter()
import oio
imported = time.perf_counter()
oio.ObjectStorageApi("OPENIO", endpoint="http://127.0.0.1:6006")
print([imported - begin, time.perf_counter() - begin])
"""
#: What the client is built on; it is imported in any case.
_BELOW: Final = """
import time, warnings
warnings.simplefilter("ignore")
begin = time.perf_counter()
import dataclasses, json, logging, typing, urllib3, eventlet.greenpool, eventlet.green.socket
print([time.perf_counter() - begin])
"""


def start_times() -> dict[str, Spread]:
    """Seconds of ``import oio``, until an ``ObjectStorageApi`` is ready, and of what it imports of others."""
    found: dict[str, list[float]] = {"import oio": [], "client ready": [], "urllib3 and eventlet alone": []}
    for _ in range(_ROUNDS):
        imported, ready = _run(_PROGRAM)
        (below,) = _run(_BELOW)
        for values, seconds in zip(found.values(), (imported, ready, below), strict=True):
            values.append(seconds)
    return {name: Spread.of(values) for name, values in found.items()}


def _run(program: str) -> list[float]:
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, text=True)
    seconds: list[float] = json.loads(done.stdout)
    return seconds
