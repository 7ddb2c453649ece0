# SPDX-License-Identifier: Apache-2.0
"""Start of a program: how long it takes until a client is ready, and until it has an answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Final

from benchmarks.measure import Spread
from benchmarks.services import Services
from benchmarks.worker import ACCOUNT, KEPT

_ROUNDS: Final = 7
_PROGRAM: Final = """
import sys, time
namespace, proxy, account, container = sys.argv[1:]
begin = time.perf_counter()
import oio
imported = time.perf_counter()
api = oio.ObjectStorageApi(namespace, endpoint=proxy)
ready = time.perf_counter()
api.container_get_properties(account, container)
print([imported - begin, ready - begin, time.perf_counter() - begin])
"""
#: What the first request is built on, imported as it does: without eventlet's own resolver of names.
_BELOW: Final = """
import os, time, warnings
os.environ["EVENTLET_NO_GREENDNS"] = "yes"
warnings.simplefilter("ignore")
begin = time.perf_counter()
import dataclasses, json, logging, typing, urllib3, eventlet.greenpool, eventlet.green.ssl
print([time.perf_counter() - begin])
"""


def start_times(services: Services) -> dict[str, Spread]:
    """Seconds from the start of a program, in processes of their own, and of other packages alone."""
    found: dict[str, list[float]] = {
        "import oio": [],
        "client ready": [],
        "first answer": [],
        "urllib3 and eventlet alone": [],
    }
    given = services.namespace, services.proxy, ACCOUNT, KEPT
    _run(_PROGRAM, *given)  # compiles the modules
    for _ in range(_ROUNDS):
        for values, seconds in zip(found.values(), _run(_PROGRAM, *given) + _run(_BELOW), strict=True):
            values.append(seconds)
    return {name: Spread.of(values) for name, values in found.items()}


def _run(program: str, *arguments: str) -> list[float]:
    # A program that has run before finds its modules compiled.
    given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=given)
    seconds: list[float] = json.loads(done.stdout)
    return seconds
