# SPDX-License-Identifier: Apache-2.0
"""Commands on accounts."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Shell

OF_7_3 = [
    "account",
    "buckets",
    "bytes",
    "containers",
    "ctime",
    "damaged_objects",
    "metadata",
    "missing_chunks",
    "objects",
    "replication_enabled",
]


@pytest.fixture
def made(shell, account, hello):
    shell.json(f"account create {account}")
    shell.json("object create c", hello)
    return shell


def test_accounts_are_created_once(shell, account):
    other = f"{account}-2"
    assert shell.json(f"account create {account} {other}") == [
        {"Name": account, "Created": True},
        {"Name": other, "Created": True},
    ]
    assert shell.json(f"account create {account}") == [{"Name": account, "Created": False}]
    names = shell("account list -f value").out.split()
    assert {account, other} <= {*names}


def test_an_account_is_shown(made, account):
    shown = made.json(f"account show {account}")
    assert list(shown) == OF_7_3
    assert (shown["account"], shown["bytes"], shown["objects"], shown["containers"]) == (account, 6, 1, 1)
    assert isinstance(shown["ctime"], str)
    assert (shown["metadata"], shown["replication_enabled"]) == ({}, False)


def test_an_account_of_today_is_shown_with_all_that_is_sent(namespace_of_today, account, monkeypatch, capsys):
    shell = Shell(namespace_of_today, account, monkeypatch, capsys)
    shell.json(f"account create {account}")
    shown = shell.json(f"account show {account}")
    assert {"account", "bytes", "regions", "shards", "mtime"} <= shown.keys()
    assert "id" not in shown


def test_a_table_has_sizes(made, account):
    lines = [line.split() for line in made(f"account show {account}").out.splitlines()]
    assert lines[1] == ["|", "Field", "|", "Value", "|"]
    cells = {line[1]: line[3] for line in lines if len(line) == 5}
    assert (cells["bytes"], cells["objects"], cells["ctime"].isdecimal()) == ("6B", "1", True)


def test_the_figures_of_all_are_values(made, account):
    lines = made("account list --stats").out.splitlines()
    (line,) = [line for line in lines if line.startswith(f"{account} ")]
    assert line.split()[1:4] == ["6", "1", "1"]
    rows = made("account list --stats -f json").json
    assert list(rows[0]) == ["Name", "bytes", "containers", "objects", "ctime", "metadata"]


def test_properties_are_set_and_removed(made, account):
    assert made(f"account set {account} -p a=b --property c=d=e").code == 0
    assert made.json(f"account show {account}")["metadata"] == {"a": "b", "c": "d=e"}
    assert made(f"account unset {account} -p a --property absent").code == 0
    assert made.json(f"account show {account}")["metadata"] == {"c": "d=e"}
    assert made(f"account set {account}").code == 0
    assert made(f"account unset {account}").code == 2


def test_an_account_is_flushed_and_counted_again(made, account):
    assert made(f"account flush {account}").code == 0
    assert made.json(f"account show {account}")["bytes"] == 0
    assert made("container refresh c").code in {0, 1}
    assert made(f"account refresh {account}").code == 0
    assert made("account refresh --all").code == 0
    ended = made("account refresh")
    assert (ended.code, "Missing value for account or --all" in ended.err) == (1, True)


def test_an_account_is_deleted(shell, account):
    shell.json(f"account create {account}")
    assert shell(f"account delete {account}").code == 0
    ended = shell(f"account show {account}")
    assert ended.code == 1
    assert f"Account '{account}' does not exist. (Account not found)" in ended.err


@pytest.mark.parametrize("line", ["show nosuch", "delete nosuch", "flush nosuch", "refresh nosuch"])
def test_an_unknown_account_is_an_error(shell, line):
    ended = shell(f"account {line}")
    assert (ended.code, ended.out) == (1, "")
    assert "reqid=" in ended.err


def test_no_account_is_needed(shell, account):
    shell.set(OIO_ACCOUNT=None)
    assert shell("account list").code == 0
    ended = shell("container list")
    assert ended.code == 1
    assert "--account" in ended.err
    assert "OIO_ACCOUNT" in ended.err
