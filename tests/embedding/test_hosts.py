# SPDX-License-Identifier: Apache-2.0
"""The library as a guest of all kinds of programs, each run in a process of its own."""

from __future__ import annotations

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


@pytest.mark.pitfall(42)
@pytest.mark.parametrize(
    "host", ["plain", "threads", "green_before", "green_after", "asynchronous", "forking"]
)
@pytest.mark.parametrize("policy", ["THREECOPIES", "BACKBLAZE"])
def test_the_library_is_a_good_guest(host, policy, namespace):
    # Not in the repository's folder: the installed library must do.
    result = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            HOSTS / f"{host}.py",
            namespace.endpoint,
            policy,
            namespace.b2_key_file,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("OK")
    assert result.stderr == ""
