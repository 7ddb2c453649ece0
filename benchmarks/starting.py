# SPDX-License-Identifier: Apache-2.0
"""Start of a program: how long imports take, and until a client is ready, in processes of their own."""

from __future__ import annotations

import json
import os
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
#: What the client is built on; it is imported in any case, and as here: without its own resolver of names.
_BELOW: Final = """
import os, time, warnings
os.environ["EVENTLET_NO_GREENDNS"] = "yes"
warnings.simplefilter("ignore")
begin = time.perf_counter()
import dataclasses, json, logging, typing, urllib3, eventlet.greenpool, eventlet.green.ssl
print([time.perf_counter() - begin])
"""


def start_times() -> dict[str, Spread]:
    """Seconds of ``import oio``, until an ``ObjectStorageApi`` is ready, and of other packages alone."""
    found: dict[str, list[float]] = {"import oio": [], "client ready": [], "urllib3 and eventlet alone": []}
    _run(_PROGRAM)  # compiles the modules
    for _ in range(_ROUNDS):
        imported, ready = _run(_PROGRAM)
        (below,) = _run(_BELOW)
        for values, seconds in zip(found.values(), (imported, ready, below), strict=True):
            values.append(seconds)
    return {name: Spread.of(values) for name, values in found.items()}


def _run(program: str) -> list[float]:
    # A program that has run before finds its modules compiled.
    given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=given)
    seconds: list[float] = json.loads(done.stdout)
    return seconds
