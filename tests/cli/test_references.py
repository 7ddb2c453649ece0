# SPDX-License-Identifier: Apache-2.0
"""Commands on references."""

from __future__ import annotations

import pytest


@pytest.fixture
def made(shell):
    assert shell.json("reference create r") == [{"Name": "r", "Created": True}]
    return shell


def test_references_are_created_once(made):
    assert made.json("reference create r s") == [
        {"Name": "r", "Created": False},
        {"Name": "s", "Created": True},
    ]
    assert made("reference delete r s").code == 0
    assert made("reference show r").code == 1


def test_properties(made, account):
    assert made("reference set r --property a=b --property c=d").code == 0
    shown = made.json("reference show r")
    assert list(shown) == ["account", "cid", "meta.a", "meta.c", "name"]
    assert (shown["account"], shown["name"], shown["meta.a"]) == (account, "r", "b")
    assert made("reference unset r --property a --property absent").code == 0
    assert "meta.a" not in made.json("reference show r")
    assert made("reference set r --clear --property e=f").code == 0
    assert list(made.json("reference show r")) == ["account", "cid", "meta.e", "name"]
    assert made("reference unset r").code == 2


def test_services_are_linked_listed_and_unlinked(made):
    assert made("reference force r 127.0.0.1:6010 rawx").code == 0
    assert made.json("reference list r") == [{"Type": "rawx", "Host": "127.0.0.1:6010", "Args": "", "Seq": 1}]
    assert made("reference force r 127.0.0.1:6011 rawx").code == 1
    assert made("reference force r 127.0.0.1:6011 rawx --replace --args x --seq 1").code == 0
    assert made("reference delete r").code == 1
    assert made("reference unlink r rawx").code == 0
    assert made.json("reference list r") == []


def test_services_are_chosen(made):
    assert made("reference link r rawx").code == 0
    assert [row["Type"] for row in made.json("reference list r")] == ["rawx"]


def test_a_reference_is_located(made):
    assert list(made.json("reference locate r")) == ["account", "cid", "meta0", "meta1", "name"]


@pytest.mark.parametrize("verb", ["delete", "list", "locate", "show"])
def test_an_unknown_reference_is_an_error(shell, verb):
    ended = shell(f"reference {verb} nosuch")
    assert (ended.code, ended.out) == (1, "")
    assert "no such user" in ended.err
