# SPDX-License-Identifier: Apache-2.0
"""The example programs, run as their users would, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oio.sandbox import Namespace

EXAMPLES = Path(__file__).parents[2] / "examples"
DRIVER = Path(__file__).parent / "driver.py"
ACCOUNT = "examples"


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    with Namespace(tmp_path_factory.mktemp("namespace"), rawx=3) as running:
        yield running


def run(namespace: Namespace, *arguments: object) -> str:
    place = {"OIO_NS": namespace.name, "OIO_ACCOUNT": ACCOUNT, "OIO_PROXYD_URL": namespace.endpoint}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | place,
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_backup_goes_there_and_back(namespace: Namespace, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    (source / "sub").mkdir(parents=True)
    (source / "a").write_bytes(b"1" * 1000)
    (source / "sub" / "b").write_bytes(b"")
    assert "2 done, 0 there already, 0 failed, 1000 bytes" in run(
        namespace, "backup.py", source, "backup", "home/"
    )
    (source / "a").unlink()
    assert "1 there already" in run(namespace, "backup.py", source, "backup", "home/", "--delete")
    assert "1 done" in run(namespace, "backup.py", copy, "backup", "home/", "--restore")
    assert [path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()] == ["sub/b"]


def test_parquet_job_writes_means(namespace: Namespace, tmp_path: Path) -> None:
    table = (
        "import pandas as pd;"
        "pd.DataFrame({'sensor': ['a', 'b', 'a'], 'value': [1.0, 5.0, 2.0], 'text': ['x'] * 3})"
        ".to_parquet('oio://data/measures.parquet')"
    )
    with namespace.api() as api:
        api.container_create(ACCOUNT, "data")
    run(namespace, "-c", table)
    printed = run(namespace, "parquet_job.py", "oio://data/measures.parquet", "oio://data/means.parquet")
    assert printed == "2 sensors\n"
    show = "import pandas as pd; print(pd.read_parquet('oio://data/means.parquet').value.tolist())"
    assert run(namespace, "-c", show) == "[1.5, 5.0]\n"


def test_web_service_streams_both_ways(namespace: Namespace) -> None:
    printed = run(namespace, "-c", f"import sys; sys.path.insert(0, '.'); exec(open({str(DRIVER)!r}).read())")
    assert printed.splitlines() == [
        "PUT /web/a/b 201 0 b''",
        "GET /web/a/b 200 100002 b'xxxxxxxxxx'",
        "GET /web/a/b 206 3 b'xyz'",
        "GET /web/a/b 416 0 b''",
        "PUT /web/short 400 0 b''",
        "GET /web/short 404 0 b''",
        "DELETE /web/a/b 204 0 b''",
        "GET /web/a/b 404 0 b''",
        "POST /web/a/b 405 0 b''",
        "lifespan.startup.complete lifespan.shutdown.complete",
    ]


def test_tests_of_a_service_pass(namespace: Namespace) -> None:
    # The plugin of zarr imports numpy.
    options = ["-q", "-p", "no:zarr", "-p", "no:cacheprovider", "-c", os.devnull]
    printed = run(namespace, "-m", "pytest", *options, "service")
    assert "4 passed" in printed
