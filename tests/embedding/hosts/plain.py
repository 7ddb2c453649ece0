# SPDX-License-Identifier: Apache-2.0
"""A plain program: using the library changes nothing of it."""

import io
import json
import locale
import logging
import os
import queue
import select
import signal
import socket
import ssl
import sys
import threading
import time
import warnings

import dns.resolver
import urllib3
from common import assert_nothing_left, check, make_api, round_trip

WATCHED = [io, json, locale, os, queue, select, signal, socket, ssl, threading, time, dns.resolver, urllib3]
WATCHED += [urllib3.connection, urllib3.connectionpool, urllib3.poolmanager]


def snapshot():
    """Every name of the watched modules, and the state that a library could be tempted to change."""
    modules = dict(sys.modules)
    names = {
        (module.__name__, name): value
        for module in WATCHED
        for name, value in vars(module).items()
        if name != "__warningregistry__"
    }
    state = {
        "filters": list(warnings.filters),
        "filters object": id(warnings.filters),
        "showwarning": warnings.showwarning,
        "environment": dict(os.environ),
        "root handlers": list(logging.root.handlers),
        "root level": logging.root.level,
        "logging raise": logging.raiseExceptions,
        "excepthook": sys.excepthook,
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "switch interval": sys.getswitchinterval(),
        "recursion limit": sys.getrecursionlimit(),
        "socket timeout": socket.getdefaulttimeout(),
        "max headers": __import__("http.client").client._MAXHEADERS,
        "stdout": sys.stdout,
        "stderr": sys.stderr,
    }
    return modules, names, state


def assert_same(before, after):
    modules, names, state = before
    for name, module in modules.items():
        check(after[0].get(name) is module, name)
    for name, value in names.items():
        check(after[1].get(name) is value, name)
    check(
        after[2] == state, {key: (state[key], after[2][key]) for key in state if after[2][key] != state[key]}
    )


before = snapshot()
import oio

assert_same(before, snapshot())
heavy = {"eventlet", "greenlet", "pyeclib", "requests", "h11"} & set(sys.modules)
check(not heavy, heavy)


before = snapshot()
with make_api() as api:
    for number in range(3):
        round_trip(api, f"plain-{number}")
assert_same(before, snapshot())
check(isinstance(threading.Lock(), type(before[1]["threading", "Lock"]())))
assert_nothing_left()
print("OK", oio.__version__)
