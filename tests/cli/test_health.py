# SPDX-License-Identifier: Apache-2.0
"""Commands that look for damage, and repair it."""

from __future__ import annotations

import json

import pytest

from tests.kit import damage


@pytest.fixture
def stored(either_shell, hello):
    """Copies of three objects, of which one has a changed copy, and one has none left."""
    shell = either_shell
    for name in ("bad", "gone", "good"):
        shell.json("object create c", hello, "--name", name, "--policy", "TWOCOPIES")
    with shell.namespace.api(key_file=None) as api:
        damage.flip(shell.namespace, damage.chunks_of(api, shell.account, "c", "bad")[0])
        for chunk in damage.chunks_of(api, shell.account, "c", "gone"):
            damage.remove(shell.namespace, chunk)
    return shell


def rows(ended):
    return json.loads(ended.out)


def test_sound_objects_are_no_error(stored):
    (row,) = stored.json("object check c good")
    assert list(row) == ["Name", "Version", "Status", "Readable", "Damage"]
    assert (row["Name"], row["Status"], row["Readable"], row["Damage"]) == ("good", "sound", True, [])
    (row,) = stored.json("object repair c good")
    assert list(row) == ["Name", "Version", "Status", "Repaired", "Failed", "Damage"]
    assert (row["Status"], row["Repaired"], row["Failed"]) == ("sound", 0, 0)


def test_damage_is_an_error(stored):
    ended = stored("object check c good bad gone -f json")
    assert ended.code == 1
    assert [row["Status"] for row in rows(ended)] == ["sound", "damaged", "lost"]
    (described,) = rows(ended)[1]["Damage"]
    assert described["Damage"] == "wrong checksum"
    assert described["Chunk"].startswith("http://")
    assert stored("object check c bad --no-checksum").code == 0


def test_a_table_shows_damage_in_lines(stored):
    ended = stored("object check c gone -f value -c Damage")
    assert ended.code == 1
    assert ended.out.startswith("0 missing http://")
    assert "; 0 missing http://" in ended.out


def test_what_is_repaired_is_no_error_and_what_is_lost_is(stored):
    ended = stored("object repair c bad -f json")
    (row,) = rows(ended)
    assert (ended.code, row["Status"], row["Repaired"], row["Failed"]) == (0, "repaired", 1, 0)
    assert row["Damage"][0]["New"].startswith("http://")
    assert stored("object check c bad").code == 0
    ended = stored("object repair c gone -f json")
    (row,) = rows(ended)
    assert (ended.code, row["Status"], row["Repaired"], row["Failed"]) == (1, "lost", 0, 2)
    assert "are needed" in row["Damage"][0]["Error"]


def test_one_object_that_does_not_exist_does_not_hide_others(stored):
    ended = stored("object check c none good -f json")
    assert ended.code == 1
    assert [row["Name"] for row in rows(ended)] == ["good"]
    assert "Object 'none' does not exist" in ended.err


def test_containers_show_what_is_damaged(stored):
    ended = stored("container check c -f json")
    assert ended.code == 1
    assert [(row["Container"], row["Name"], row["Status"]) for row in rows(ended)] == [
        ("c", "bad", "damaged"),
        ("c", "gone", "lost"),
    ]
    ended = stored("container repair c --prefix b -f json")
    assert ended.code == 0
    assert [(row["Name"], row["Status"], row["Repaired"]) for row in rows(ended)] == [("bad", "repaired", 1)]
    ended = stored("container check c --prefix b -f value")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert len(rows(stored("container check c --all -f json"))) == 3


def test_a_container_that_does_not_exist_does_not_hide_others(stored):
    ended = stored("container check nothing c -f json")
    assert ended.code == 1
    assert [row["Name"] for row in rows(ended)] == ["bad", "gone"]
    assert "Container 'nothing' does not exist" in ended.err


def test_one_version_is_of_one_object(stored):
    ended = stored("object check c a b --object-version 7")
    assert ended.code == 1
    assert "Cannot specify a version for several objects" in ended.err
