# SPDX-License-Identifier: Apache-2.0
"""Ports of services: different ones for everybody, and never one in use."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from oio.sandbox.http.ports import free_ports

HOST = "127.0.0.1"


@pytest.fixture(autouse=True)
def own_counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def counter(directory: Path) -> Path:
    (file,) = directory.glob("oio-sandbox-*.port")
    return file


def test_no_port_is_given_twice() -> None:
    ports = [port for _ in range(10) for port in free_ports(HOST, 5)]
    assert len(set(ports)) == 50


def test_processes_do_not_get_the_same_ports() -> None:
    program = (
        "from oio.sandbox.http.ports import free_ports\nfor _ in range(5): print(*free_ports('127.0.0.1', 5))"
    )
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    ports = [port for process in processes for port in process.communicate()[0].split()]
    assert len(set(ports)) == len(ports) == 100


def test_a_port_in_use_is_left_out(own_counter: Path) -> None:
    (before,) = free_ports(HOST, 1)
    (used,) = free_ports(HOST, 1)
    with socket.create_server((HOST, used)):
        counter(own_counter).write_text(str(before))
        assert used not in free_ports(HOST, 3)


@pytest.mark.parametrize("text", ["", "nonsense", "7", "99999999999"])
def test_a_spoilt_counter_does_no_harm(own_counter: Path, text: str) -> None:
    free_ports(HOST, 1)
    counter(own_counter).write_text(text)
    ports = free_ports(HOST, 3) + free_ports(HOST, 3)
    assert len(set(ports)) == 6
    assert all(10_000 <= port <= 32_000 for port in ports)


def test_a_foreign_address_is_an_error() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        free_ports("192.0.2.1", 1)
