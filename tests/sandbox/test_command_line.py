# SPDX-License-Identifier: Apache-2.0
"""``python -m oio.sandbox``: runs, tells how to reach it, survives being killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oio.sandbox import Namespace
from tests.kit.chunkdata import HEADERS, ID, OTHER_ID, OTHER_PATH, PATH
from tests.kit.rawsocket import RawSocket, chunk
from tests.sandbox.asking import KEEP, indexed

COMMAND = [sys.executable, "-W", "error", "-m", "oio.sandbox"]


@contextlib.contextmanager
def running(
    *arguments: str, hangup: signal.Handlers = signal.SIG_DFL
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run the command; give the process, and the two lines it prints.

    :param hangup: what it inherits for SIGHUP, whatever runs the tests
    """
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, hangup),  # noqa: PLW1509
    ) as process:
        assert process.stdout is not None
        try:
            yield process, [process.stdout.readline(), process.stdout.readline()]
        finally:
            process.kill()


def endpoint_in(lines: list[str]) -> str:
    found = re.fullmatch(
        r'api = ObjectStorageApi\("NS", endpoint="http://([\d.:]+)", key_file="/[^"]+"\)\n', lines[1]
    )
    assert found, lines
    return found[1]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_prints_two_lines_that_reach_it_and_ends_in_good_order(tmp_path: Path, end: int) -> None:
    with running("--path", str(tmp_path), "--name", "NS", "--rawx", "2") as (process, lines):
        assert lines[0] == "from oio import ObjectStorageApi\n"
        with RawSocket(endpoint_in(lines)) as connection:
            assert connection.ask("GET", "/v3.0/NS/conscience/info").status == 200
        process.send_signal(end)
        assert process.wait() == 0


def test_it_outlives_its_terminal_when_it_was_told_to(tmp_path: Path) -> None:
    options = ("--path", str(tmp_path), "--name", "NS", "--rawx", "1")
    with running(*options, hangup=signal.SIG_IGN) as (process, lines):
        process.send_signal(signal.SIGHUP)
        with RawSocket(endpoint_in(lines)) as connection:
            assert connection.ask("GET", "/v3.0/NS/conscience/info").status == 200
        process.terminate()
        assert process.wait() == 0


def test_options_reach_the_namespace(tmp_path: Path) -> None:
    options = ("--max-versions", "3", "--strict", "--worm", "--event-delay", "3600")
    with running("--path", str(tmp_path), "--name", "NS", "--rawx", "1", *options) as (process, lines):
        with RawSocket(endpoint_in(lines)) as connection:
            config = connection.ask("GET", "/v3.0/config", KEEP).body
            made = b'{"system": {"sys.m2.quota": "much"}}'
            strict = connection.ask("POST", "/v3.0/NS/container/create?acct=a&ref=c", KEEP, made)
            worm = connection.ask("POST", "/v3.0/NS/content/delete?acct=a&ref=c&path=o", KEEP)
            connection.ask("POST", "/v3.0/NS/container/create?acct=a&ref=c", KEEP)
        process.terminate()
        process.wait()
    assert (json.loads(config)["meta2.max_versions"], strict.status, worm.status) == (3, 400, 405)
    # With the delay of an hour, nobody has told it.
    with sqlite3.connect(tmp_path / "account.sqlite") as accounts:
        assert accounts.execute("SELECT count(*) FROM inbox").fetchone() == (1,)
    accounts.close()


def test_the_release_is_an_option(tmp_path: Path) -> None:
    options = ("--path", str(tmp_path), "--name", "NS", "--rawx", "1", "--release", "2026")
    with running(*options) as (_, lines), RawSocket(endpoint_in(lines)) as connection:
        config = json.loads(connection.ask("GET", "/v3.0/config", KEEP).body)
    assert config["ns.region"] == "localhost"


def test_nothing_is_half_made_after_a_kill_in_the_middle_of_an_upload(tmp_path: Path) -> None:
    with running("--path", str(tmp_path), "--name", "NS", "--rawx", "1") as (process, lines):
        with RawSocket(endpoint_in(lines)) as connection:
            listed = connection.ask("GET", "/v3.0/NS/conscience/list?type=rawx").body.decode()
        address = re.findall(r'"addr":\s*"([\d.:]+)"', listed)[0]
        with RawSocket(address) as connection, RawSocket(address) as cut:
            assert connection.ask("PUT", OTHER_PATH, HEADERS, b"whole").status == 201
            cut.begin_chunked(PATH, HEADERS)
            cut.send(chunk(b"half" * 100_000))
            while not list(tmp_path.rglob(f"{ID}.pending")):
                pass
            process.kill()
            process.wait()
    assert list(tmp_path.rglob(f"{ID}.pending"))
    with Namespace(tmp_path, name="NS", rawx=1) as namespace:
        assert namespace.rawx[0].chunks() == [OTHER_ID]
        assert [key.rpartition("|")[2] for key in indexed(namespace)] == [OTHER_ID]
        assert not list(tmp_path.rglob(f"{ID}*"))
        with RawSocket(address) as connection:
            assert connection.ask("GET", OTHER_PATH).body == b"whole"
            assert connection.ask("PUT", PATH, HEADERS, b"again").status == 201


def finished(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_missing_h11_is_explained() -> None:
    program = "import sys; sys.modules['h11'] = None; from oio.sandbox.__main__ import main; sys.exit(main())"
    ended = finished(sys.executable, "-c", program)
    assert ended.returncode == 2
    assert ended.stderr == "The sandbox needs h11: pip install 'openio-sdk[sandbox]'\n"


@pytest.mark.pitfall("D11")
@pytest.mark.parametrize(
    "use",
    [
        "from oio.sandbox import Namespace",
        "import oio.sandbox; oio.sandbox.Namespace",
        "from oio.sandbox.namespace import Namespace",
        "from oio.sandbox.demo import demonstrate",
    ],
)
def test_whoever_misses_h11_is_told_what_to_install(use: str) -> None:
    ended = finished(sys.executable, "-c", f"import sys; sys.modules['h11'] = None; {use}")
    assert "ModuleNotFoundError: The sandbox needs h11: pip install 'openio-sdk[sandbox]'\n" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rawx", "0"], "rawx=0"),
        (["--policy", "NOPE"], "NOPE"),
        (["--event-delay", "-1"], "event_delay=-1.0"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1: Cannot assign requested address"),
        (["--host", "localhost"], "host='localhost': must be an IPv4 address"),
        (["--path", "/proc/nowhere"], "/proc/nowhere: No such file or directory"),
        (["demo", "/nonexistent"], "/nonexistent"),
    ],
)
def test_wrong_arguments_are_explained_in_one_line(arguments: list[str], message: str) -> None:
    refused_in_one_line(arguments, message)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "long"])
def test_chaos_of_no_length_is_refused(seconds: str) -> None:
    ended = finished(*COMMAND, "chaos", "--seconds", seconds)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"--seconds: must be more than 0: '{seconds}'" in ended.stderr


def refused_in_one_line(arguments: list[str], message: str) -> None:
    ended = finished(*COMMAND, *arguments)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert message in ended.stderr


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "namespace.json",
            '{"format": 0}',
            "namespace.json: a namespace of format 0, this version reads",
        ),
        ("namespace.json", "[]", "namespace.json: a namespace of format None"),
        ("namespace.json", '{"form', "namespace.json is damaged"),
        ("metadata.sqlite", "text" * 1000, "metadata.sqlite cannot be used: file is not a database"),
        ("account.sqlite", "text" * 1000, "account.sqlite cannot be used: file is not a database"),
        ("rdir.sqlite", "text" * 1000, "rdir.sqlite cannot be used: file is not a database"),
    ],
)
def test_a_directory_that_cannot_be_used_is_explained(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    refused_in_one_line(["--path", str(tmp_path), "--rawx", "1"], message)


def test_a_start_that_fails_leaves_no_temporary_directory(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = subprocess.run(
            [*COMMAND, "--port", str(port)],
            env=os.environ | {"TMPDIR": str(tmp_path)},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.stderr == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert not list(tmp_path.glob("oio-sandbox-*/"))
