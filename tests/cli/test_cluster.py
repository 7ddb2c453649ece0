# SPDX-License-Identifier: Apache-2.0
"""Commands on the services of the namespace."""

from __future__ import annotations

import json

import pytest

COLUMNS = ["Type", "Addr", "Service Id", "Volume", "Location", "Slots", "Up", "Score", "Locked"]


@pytest.fixture
def cluster(either_shell):
    either_shell.set(OIO_ACCOUNT=None)
    return either_shell


def test_the_namespace_is_shown(cluster):
    shown = cluster.json("cluster show")
    names = list(shown)
    assert names[:2] == ["namespace", "chunksize"]
    assert isinstance(shown["chunksize"], int)
    assert shown["storage_policy.SINGLE"] == "NONE:NONE"
    assert {name.partition(".")[0] for name in names[2:] if "." in name} == {
        "storage_policy",
        "data_security",
        "service_pool",
    }


def test_services_are_listed(cluster):
    rows = cluster.json("cluster list rawx")
    assert [list(row) for row in rows] == [COLUMNS] * 3
    assert {(row["Type"], row["Up"], row["Locked"], type(row["Score"])) for row in rows} == {
        ("rawx", True, False, int)
    }
    assert {row["Type"] for row in cluster.json("cluster list")} >= {"rawx", "account", "rdir"}
    (row, *_) = cluster.json("cluster list rawx --full --tags")
    assert "stat.cpu=" in row["Stats"]
    assert "tag.up=True" in row["Tags"]


def test_an_unknown_type_does_not_hide_the_others(cluster):
    ended = cluster("cluster list nosuch rawx -f json")
    assert ended.code == 1
    assert len(json.loads(ended.out)) == 3
    assert "nosuch" in ended.err


def test_local_services_are_listed(cluster):
    rows = cluster.json("cluster local list rawx")
    assert [list(row) for row in rows] == [COLUMNS] * 3


def test_scores_are_locked_and_unlocked(cluster):
    (address, *_) = cluster("cluster list rawx -f value -c Addr").out.split()
    row = {"Type": "rawx", "Service": address}
    assert cluster.json(f"cluster lock rawx {address} -s 33") == [{**row, "Result": "locked to 33"}]
    locked = {row["Addr"]: (row["Score"], row["Locked"]) for row in cluster.json("cluster list rawx")}
    assert locked[address] == (33, True)
    assert cluster.json(f"cluster unlock rawx {address}") == [{**row, "Result": "unlocked"}]
    rows = cluster.json("cluster unlockall rawx")
    assert [(row["Type"], row["Result"]) for row in rows] == [("rawx", "unlocked")] * 3


def test_what_cannot_be_unlocked_has_the_reason_in_its_row(cluster):
    ended = cluster("cluster unlock nosuch 127.0.0.1:666 -f json")
    assert ended.code == 1
    (row,) = json.loads(ended.out)
    assert (row["Type"], row["Service"]) == ("nosuch", "127.0.0.1:666")
    assert "(HTTP 404) (STATUS 453)" in row["Result"]


def test_services_are_waited_for(cluster):
    rows = cluster.json("cluster wait rawx -n 3 -d 0")
    assert [list(row) for row in rows] == [["Type", "Service", "Score"]] * 3
    ended = cluster("cluster wait rawx -n 3 -d 0 -s 101")
    assert ended.code == 1
    assert ended.err.count("is below 101") == 3
    assert "Timeout (0.0s)" in ended.err
    assert cluster("cluster wait nosuch -d 60").code == 1


def test_a_service_is_resolved(cluster):
    (address, *_) = cluster("cluster list rawx -f value -c Addr").out.split()
    assert cluster.json(f"cluster resolve rawx {address}") == {"addr": address}
    assert cluster("cluster resolve rawx 127.0.0.1:1").code == 1
    assert cluster("cluster resolve nosuch x").code == 1


def test_services_are_deregistered(cluster):
    assert cluster("cluster lock rdir 127.0.0.1:666").code == 0
    assert cluster.json("cluster deregister rdir 127.0.0.1:666") == [
        {"Type": "rdir", "Service": "127.0.0.1:666", "Result": "deregistered"}
    ]


def test_services_of_a_type_are_flushed(cluster):
    cluster("cluster lock meta1 127.0.0.1:666")
    assert cluster.json("cluster flush meta1") == [{"Type": "meta1", "Result": "flushed"}]
