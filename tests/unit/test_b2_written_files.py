# SPDX-License-Identifier: Apache-2.0
"""Files that a client remembers to have written."""

from __future__ import annotations

import pytest

from oio.b2.written_files import WrittenFile, WrittenFiles

CID = "A" * 64


def file(name: str, number: int) -> WrittenFile:
    return WrittenFile(name, str(number), "backblaze/account_id=A,bucket_name=B", f"b2/{number}")


@pytest.mark.pitfall("D7")
def test_files_are_remembered_until_they_are_forgotten():
    written = WrittenFiles()
    files = [file("o", number) for number in range(3)]
    written.add(CID, files)
    written.add(CID, files[:1])
    written.add(CID, [file("p", 7)])
    assert sorted(known.url for known in written.of(CID, "o")) == ["b2/0", "b2/1", "b2/2"]
    assert written.of("B" * 64, "o") == []
    written.forget(CID, [*files[1:], file("q", 8)])
    assert written.of(CID, "o") == files[:1]
    written.forget(CID, files[:1])
    assert written.of(CID, "o") == []
    assert written.of(CID, "p") == [file("p", 7)]


@pytest.mark.pitfall("D7")
def test_objects_that_were_changed_first_are_forgotten_first():
    written = WrittenFiles(limit=2)
    for number, name in enumerate(("o", "p", "o", "q")):
        written.add(CID, [file(name, number)])
    assert [len(written.of(CID, name)) for name in "opq"] == [2, 0, 1]
