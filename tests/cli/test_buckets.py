# SPDX-License-Identifier: Apache-2.0
"""Commands on buckets, of services of 7.3: those of today have to be told of each."""

from __future__ import annotations

import pytest

FIELDS = ["account", "bytes", "damaged_objects", "missing_chunks", "mtime", "objects", "replication_enabled"]


@pytest.fixture
def bucket(account):
    return f"bucket-of-{account}"


@pytest.fixture
def made(shell, bucket, hello):
    shell.json(f"container create {bucket} --bucket-name {bucket} --max-versions -1")
    shell.json(f"object create {bucket}", hello)
    return shell


def test_buckets_are_listed(made, bucket):
    other = f"{bucket}-2"
    made.json(f"container create {other} --bucket-name {other}")
    rows = made.json("bucket list")
    assert [list(row) for row in rows] == [["Name", "Bytes", "Objects", "Mtime"]] * 2
    assert (rows[0]["Name"], rows[0]["Bytes"], rows[0]["Objects"]) == (bucket, 6, 1)
    rows = made.json("bucket list --versioning")
    assert [row["Versioning"] for row in rows] == ["Enabled", "Suspended"]
    names = "-c Name -f value"
    assert made(f"bucket list --limit 1 {names}").out == f"{bucket}\n"
    assert made(f"bucket list --marker {bucket} {names}").out == f"{other}\n"
    assert made("bucket list --full -c Name").out == f"{bucket}\n{other}\n"


def test_a_bucket_is_shown_changed_and_counted(made, bucket):
    shown = made.json(f"bucket show {bucket}")
    assert list(shown) == FIELDS
    assert (shown["bytes"], shown["objects"], shown["replication_enabled"]) == (6, 1, False)
    assert f"{shown['mtime']}"[:2].isdecimal()
    assert made.json(f"bucket set {bucket} --replicate yes")["replication_enabled"] is True
    assert made(f"bucket refresh {bucket}").code == 0
    assert made(f"bucket refresh {bucket} --touch --recompute").code == 0
    assert made.json(f"bucket show {bucket}")["bytes"] == 6
    assert "T" in made(f"bucket show {bucket} -c mtime").out
    assert made(f"bucket refresh {bucket} --recompute").code == 1


@pytest.mark.parametrize("line", ["bucket show nosuch", "bucket refresh nosuch"])
def test_an_unknown_bucket_is_an_error(shell, line):
    ended = shell(line)
    assert (ended.code, ended.out, "not found" in ended.err) == (1, "", True)
