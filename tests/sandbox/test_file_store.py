# SPDX-License-Identifier: Apache-2.0
"""The files of rawx and B2: what is on the disk after uploads that end well, badly, or not at all."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import pytest

from oio.sandbox.storage.files import FileStore, NameTaken, NotStored, replace_file


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "data", digits=2, algorithm="sha1", private=True)


def put(store: FileStore, name: str, note: bytes | None = None) -> None:
    with store.create(name) as writing:
        writing.write(b"da")
        writing.write(b"ta")
        writing.finish(note)
        writing.keep()


def on_disk(store: FileStore) -> list[str]:
    return sorted(path.name for path in store.directory.rglob("*") if path.is_file())


def test_a_file_that_was_kept_is_read_back_with_its_note(store: FileStore) -> None:
    put(store, "4f2a", b"note")
    stored = store.open_file("4f2a")
    with stored.file:
        assert (stored.file.read(), stored.note) == (b"data", b"note")
    assert store.names() == ["4f2a"]


def test_what_was_written_is_counted_and_hashed(store: FileStore) -> None:
    with store.create("4f2a") as writing:
        writing.write(b"data")
        assert (writing.size, writing.digest) == (4, hashlib.sha1(b"data").hexdigest())


@pytest.mark.parametrize("finished", [False, True])
def test_an_upload_that_fails_leaves_nothing(store: FileStore, finished: bool) -> None:
    with suppress(ZeroDivisionError), store.create("4f2a") as writing:
        writing.write(b"data")
        if finished:
            writing.finish(b"note")
        raise ZeroDivisionError
    assert on_disk(store) == []
    put(store, "4f2a")


def test_a_name_is_given_once(store: FileStore) -> None:
    put(store, "4f2a")
    with pytest.raises(NameTaken):
        store.create("4f2a")
    with pytest.raises(NameTaken):
        store.link_file("4f2a", "4f2a", b"note")


def test_a_link_to_what_is_missing_leaves_nothing(store: FileStore) -> None:
    with pytest.raises(NotStored):
        store.link_file("4f2a", "5e3b", b"note")
    assert on_disk(store) == []
    put(store, "5e3b")


def test_a_deleted_file_takes_its_note_along(store: FileStore) -> None:
    put(store, "4f2a", b"note")
    store.delete("4f2a")
    assert on_disk(store) == []
    with pytest.raises(NotStored):
        store.delete("4f2a")
    with pytest.raises(NotStored):
        store.open_file("4f2a")


def test_files_that_nobody_knows_of_are_leftovers(store: FileStore) -> None:
    for name in ("4f2a", "5e3b"):
        put(store, name, b"note")
    store.path("4f2a", ".pending").write_bytes(b"da")
    store.remove_leftovers({"5e3b"})
    assert on_disk(store) == ["5e3b", "5e3b.json"]


def test_only_its_owner_looks_into_a_private_directory(store: FileStore) -> None:
    assert store.directory.stat().st_mode & 0o777 == 0o700


def test_a_replaced_file_has_its_new_text_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "keys.conf"
    path.write_text("old")
    (tmp_path / "keys.conf.new").write_text("left by a crash")
    replace_file(path, "new", mode=0o600)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)
    assert [file.name for file in tmp_path.iterdir()] == ["keys.conf"]
