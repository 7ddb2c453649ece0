# SPDX-License-Identifier: Apache-2.0
"""The fixtures shipped to users, in a test run of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

USED = """
import sys

from oio.sandbox import Fault

containers = []

def test_put_and_get(oio_api, oio_container):
    assert oio_container not in containers
    containers.append(oio_container)
    oio_api.object_create("tests", oio_container, obj_name="o", data=b"bytes")
    assert b"".join(oio_api.object_fetch("tests", oio_container, "o")[1]) == b"bytes"

def test_containers_are_fresh(oio_container, oio_namespace):
    assert oio_container not in containers
    containers.append(oio_container)
    assert oio_namespace.proxy.running

def test_faults_that_are_met(oio_api, oio_container, oio_faults):
    oio_api.object_create("tests", oio_container, obj_name="o", data=b"bytes")
    oio_faults(Fault("reset", operation="GET", nth=1))
    assert b"".join(oio_api.object_fetch("tests", oio_container, "o")[1]) == b"bytes"

def test_faults_that_are_not_met(oio_faults):
    oio_faults(Fault("reset", operation="GET"))
"""

UNUSED = """
import sys

def test_nothing_is_loaded_unless_used():
    assert "h11" not in sys.modules
    assert "oio.sandbox.http.server" not in sys.modules
    assert "eventlet" not in sys.modules
"""


RELEASE = """
def test_release(oio_namespace):
    assert oio_namespace.release == "2026"
"""


def run(directory: Path, text: str, *arguments: str) -> str:
    (directory / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "oio.sandbox.pytest_plugin"]
    # The plugin of zarr imports numpy.
    command += ["-p", "no:zarr", "-p", "no:cacheprovider", "--rootdir", str(directory), *arguments]
    command.append(str(directory / "test_it.py"))
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_the_fixtures_work(tmp_path: Path) -> None:
    output = run(tmp_path, USED)
    assert "4 passed, 1 error" in output, output
    assert "1 planned fault(s) never happened" in output


def test_nothing_is_loaded_unless_a_fixture_is_used(tmp_path: Path) -> None:
    output = run(tmp_path, UNUSED)
    assert "1 passed" in output, output


def test_the_release_is_an_option_or_in_the_ini_file(tmp_path: Path) -> None:
    output = run(tmp_path, RELEASE, "--oio-release", "2026")
    assert "1 passed" in output, output
    (tmp_path / "pytest.ini").write_text("[pytest]\noio_release = 2026\n")
    output = run(tmp_path, RELEASE)
    assert "1 passed" in output, output
