# SPDX-License-Identifier: Apache-2.0
"""The library as a guest of all kinds of programs, each run in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oio.sandbox.namespace import Namespace

HOSTS = Path(__file__).parent / "hosts"


@pytest.fixture(scope="module")
def namespace():
    with Namespace(rawx=3) as namespace:
        yield namespace
        assert namespace.b2.file_names() == []


# Greenlet imports `gc` when a thread has ended, in whatever frame the main thread is just then. That can fail
# in the constructor of a named tuple, which has no builtins, and greenlet prints it.
_FROM_GREENLET = """Traceback (most recent call last):
  File "<string>", line 1, in <lambda>
KeyError: '__import__'
"""


def run(host, namespace, *options, **environment):
    """Run a host program; warnings are errors, and it may print nothing but that it is done."""
    # Not in the repository's folder: the installed library must do.
    result = subprocess.run(
        [
            sys.executable,
            *("-W", "error"),
            *options,
            HOSTS / f"{host}.py",
            namespace.endpoint,
            namespace.b2_key_file,
        ],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("OK")
    assert result.stderr.replace(_FROM_GREENLET, "") == ""


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("plain", marks=pytest.mark.pitfall(42)),
        pytest.param("threads", marks=pytest.mark.pitfall(42)),
        "short_threads",
        pytest.param("thread_first", marks=pytest.mark.pitfall(42)),
        pytest.param("green_before", marks=pytest.mark.pitfall(42)),
        pytest.param("green_after", marks=pytest.mark.pitfall(42)),
        pytest.param("green_between", marks=pytest.mark.pitfall(42)),
        pytest.param("gevent_plain", marks=pytest.mark.pitfall("B1")),
        pytest.param("gevent_patched", marks=pytest.mark.pitfall("B1")),
        pytest.param("gevent_between", marks=pytest.mark.pitfall("B1")),
        pytest.param("greenlets", marks=pytest.mark.pitfall("B1")),
        pytest.param("awaiting_greenlets", marks=pytest.mark.pitfall("B1")),
        pytest.param("asynchronous", marks=pytest.mark.pitfall("D12")),
        pytest.param("awaiting", marks=pytest.mark.pitfall("D12")),
        pytest.param("forking", marks=pytest.mark.pitfall(42, "A7")),
        pytest.param("green_forking", marks=pytest.mark.pitfall(42, "A7")),
        pytest.param("first_calls", marks=pytest.mark.pitfall(42, "A7")),
        pytest.param("spawning", marks=pytest.mark.pitfall("D4")),
    ],
)
def test_the_library_is_a_good_guest(host, namespace):
    run(host, namespace)


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        pytest.param(["-bb"], {}, id="-bb"),
        pytest.param(["-O"], {}, id="-O"),
        pytest.param(
            [],
            {"LANG": "C", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
            id="LANG=C",
        ),
    ],
)
def test_the_library_works_however_the_interpreter_is_started(options, environment, namespace):
    run("plain", namespace, *options, **environment)


def test_the_loop_of_asyncio_goes_with_its_thread():
    program = """
import os, threading
from oio.common import green

def descriptors():
    thread = threading.Thread(target=green.sleep)
    thread.start()
    thread.join()
    return len(os.listdir("/proc/self/fd"))

before = descriptors()
print([descriptors() - before for _ in range(3)])
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ | {"EVENTLET_HUB": "asyncio"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[0, 0, 0]\n", "")


def test_the_page_about_guests_names_every_host_program():
    page = (HOSTS.parent.parent.parent / "docs" / "threads.rst").read_text(encoding="utf-8")
    programs = {path.stem for path in HOSTS.glob("*.py")} - {"common", "green_host", "gevent_host"}
    assert {program for program in programs if f"``{program}``" not in page} == set()
