# SPDX-License-Identifier: Apache-2.0
"""Commands on containers."""

from __future__ import annotations

import json

import pytest

CREATED = {"Name": "c", "Created": True}


@pytest.fixture
def filled(either_shell, hello):
    either_shell.json("object create c", hello, "--name", "o")
    return either_shell


def test_containers_are_created_once(shell):
    assert shell.json("container create c d --property a=b") == [CREATED, {"Name": "d", "Created": True}]
    assert shell.json("container create c --property a=z") == [{"Name": "c", "Created": False}]
    assert shell.json("container show c")["meta.a"] == "b"


def test_settings_are_made_shown_changed_and_undone(shell):
    shell.json(
        "container create c --quota 1000 --stgpol SINGLE --versioning 5 --bucket-name b1 "
        "--delete-exceeding-versions yes --property k=v"
    )
    shown = shell.json("container show c")
    assert (shown["quota"], shown["storage_policy"], shown["max_versions"]) == ("1000", "SINGLE", "5")
    assert (shown["bucket"], shown["delete_exceeding_versions"], shown["meta.k"]) == ("b1", True, "v")
    assert shell("container set c --quota 5 --status frozen --property x=y --clear").code == 0
    shown = shell.json("container show c")
    assert (shown["quota"], shown["status"], shown["meta.x"], "meta.k" in shown) == (
        "5",
        "Frozen",
        "y",
        False,
    )
    assert shell("container set c --status enabled").code == 0
    flags = "--quota --storage-policy --max-versions --bucket-name --delete-exceeding-versions"
    assert shell(f"container unset c {flags} --property x").code == 0
    shown = shell.json("container show c")
    defaults = {shown[name] for name in ("quota", "storage_policy", "max_versions")}
    assert (defaults, "meta.x" in shown, "bucket" in shown) == ({"Namespace default"}, False, False)
    assert shell("container unset c").code == 0


def test_a_container_is_shown_in_the_order_of_the_fields(filled, account):
    shown = filled.json("container show c")
    assert list(shown) == sorted(shown)
    assert {
        "account",
        "base_name",
        "bytes_usage",
        "container",
        "ctime",
        "damaged_objects",
        "max_versions",
        "missing_chunks",
        "objects",
        "quota",
        "status",
        "storage_policy",
    } <= shown.keys()
    assert (shown["account"], shown["container"], shown["status"]) == (account, "c", "Enabled")
    assert (shown["bytes_usage"], shown["objects"]) == ("6", "1")
    assert isinstance(shown["ctime"], float)
    assert filled.json(f"container show --cid {shown['base_name']}") == shown


def test_tables_have_sizes_and_whole_seconds(filled):
    lines = [line.split() for line in filled("container show c").out.splitlines()]
    cells = {line[1]: line[3] for line in lines if len(line) == 5}
    assert (cells["bytes_usage"], cells["objects"]) == ("6B", "1")
    assert cells["ctime"].isdecimal()


def test_containers_are_listed(filled):
    filled.json("container create a d/1 d/2")
    (a, c, *_) = filled.json("container list")
    assert list(c) == ["Name", "Bytes", "Count", "Mtime", "CID"]
    assert (a["Name"], c["Name"], c["Bytes"], c["Count"]) == ("a", "c", 6, 1)
    assert isinstance(c["Mtime"], float)
    assert filled.json("container show c")["base_name"] == c["CID"] + ".1"
    names = "-c Name -f value"
    assert filled(f"container list --limit 1 {names}").out == "a\n"
    assert filled(f"container list --marker a --end-marker d {names}").out == "c\n"
    assert filled(f"container list --prefix d {names}").out == "d/1\nd/2\n"
    assert filled(f"container list --delimiter / {names}").out == "a\nc\nd/\n"
    assert filled("container list --full -c Name").out == "a\nc\nd/1\nd/2\n"
    assert filled("container list --limit x").code == 1


def test_a_container_with_objects_is_not_deleted_until_it_is_flushed(filled):
    filled.json("container create a z")
    ended = filled("container delete a c z")
    assert ended.code == 1
    assert "Container not empty" in ended.err
    assert "openio container flush" in ended.err
    assert [row["Name"] for row in filled.json("container list")] == ["c", "z"]
    assert filled("container flush c").code == 0
    assert filled("container delete c z").code == 0


def test_a_container_is_flushed_by_the_service(filled):
    assert filled("container flush c --quickly").code == 0
    assert filled.json("object list c") == []


@pytest.mark.parametrize(
    "line", ["container touch c", "container touch c --recompute", "container refresh c", "container purge c"]
)
def test_commands_that_print_nothing(filled, line):
    ended = filled(line)
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert filled(line.replace(" c", " nosuch", 1).replace("nosuchontainer", "container")).code != 2


def test_a_container_is_located(filled, account):
    shown = filled.json("container locate c")
    assert list(shown) == [
        "account",
        "base_name",
        "meta0",
        "meta1",
        "meta2",
        "meta2.sys.peers",
        "name",
        "status",
    ]
    assert (shown["account"], shown["name"], shown["status"]) == (account, "c", "Enabled")
    assert ":" in shown["meta2"]


def test_a_snapshot_is_taken(shell, hello, account):
    shell.json("object create c", hello)
    rows = shell.json("container snapshot c --dst-container s")
    assert rows == [{"Account": account, "Container": "s", "Status": "OK"}]
    assert shell("object cat s h.txt").out == "hello\n"
    ended = shell("container snapshot c --dst-container s")
    assert (ended.code, "already exists" in ended.err) == (1, True)
    (row,) = shell.json("container snapshot c")
    assert row["Container"].startswith("c-")


UNKNOWN = [
    "delete",
    "flush",
    "locate",
    "purge",
    "refresh",
    "save",
    "set",
    "show",
    "snapshot",
    "touch",
    "unset",
]


@pytest.mark.parametrize("verb", UNKNOWN)
def test_an_unknown_container_is_an_error(shell, hello, verb):
    shell.json("container create other")
    more = {"set": "--property a=b", "unset": "--property a"}.get(verb, "")
    ended = shell(f"container {verb} nosuch {more}")
    assert ended.code == 1
    assert ended.out == ""
    assert "does not exist" in ended.err or "no such" in ended.err or "not found" in ended.err.lower()
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("container set c", 1),
        ("container set c --status bad", 1),
        ("container create c --quota much", 2),
        ("container create c --delete-exceeding-versions perhaps", 2),
        ("container create", 2),
        ("container show", 2),
        ("container show c --cid", 1),
    ],
)
def test_what_is_refused(shell, line, code):
    shell.json("container create c")
    ended = shell(line)
    assert (ended.code, ended.out) == (code, "")


def test_old_versions_are_purged(shell, hello):
    shell.json("container create c --max-versions 5")
    for _ in range(3):
        shell("object create c", hello)
    assert shell("container purge c --max-versions 2").code == 0
    assert len(json.loads(shell("object list c --versions -f json").out)) == 2
