# SPDX-License-Identifier: Apache-2.0
"""The chunk store: what is there after a crash, and what is not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from oio.sandbox.rawx.chunks import Attributes, ChunkDamaged, ChunkStore
from oio.sandbox.storage.files import NameTaken, NotStored
from tests.kit.chunkdata import ID, OTHER_ID

ATTRIBUTES = Attributes("a/c/o/1/AB", "0", "plain/nb_copy=1", "SINGLE", hash="AB", size=4)


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    return ChunkStore(tmp_path / "volume")


def put(store: ChunkStore, chunk_id: str = ID) -> None:
    with store.create(chunk_id) as upload:
        upload.write(b"data")
        store.commit(upload, ATTRIBUTES)


def restarted(store: ChunkStore) -> ChunkStore:
    again = ChunkStore(store.directory)
    again.remove_leftovers()
    return again


def test_a_committed_chunk_is_there_after_a_restart(store: ChunkStore) -> None:
    put(store)
    with restarted(store).open(ID) as chunk:
        assert chunk.file.read() == b"data"
        assert chunk.attributes == ATTRIBUTES


def test_a_chunk_that_is_not_committed_vanishes(store: ChunkStore) -> None:
    with store.create(ID) as upload:
        upload.write(b"data")
    assert store.names() == []
    put(store)


def test_an_upload_that_raises_vanishes(store: ChunkStore) -> None:
    with pytest.raises(ZeroDivisionError), store.create(ID):
        raise ZeroDivisionError
    assert not any(path.is_file() for path in store.directory.rglob("*"))


def test_a_chunk_under_way_is_neither_readable_nor_writable(store: ChunkStore) -> None:
    with store.create(ID):
        with pytest.raises(NotStored):
            store.open(ID)
        with pytest.raises(NameTaken):
            store.create(ID)


@pytest.mark.parametrize("suffix", [".pending", ".json"])
def test_leftovers_of_a_crash_are_removed(store: ChunkStore, suffix: str) -> None:
    put(store, OTHER_ID)
    leftover = store.path(ID).with_suffix(suffix)
    leftover.parent.mkdir()
    leftover.write_bytes(b"{}")
    again = restarted(store)
    assert not leftover.exists()
    assert again.names() == [OTHER_ID]


def test_a_chunk_that_replaces_one_that_is_being_deleted_is_whole(store: ChunkStore) -> None:
    def replace() -> None:
        for _ in range(50):
            with suppress(NameTaken):
                put(store)
            with suppress(NotStored):
                store.delete(ID)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(replace) for _ in range(4)]:
            for _ in range(50):
                with suppress(NotStored), store.open(ID) as chunk:
                    assert chunk.attributes == ATTRIBUTES
            done.result()


def test_links_live_and_die_alone(store: ChunkStore) -> None:
    put(store)
    store.link(ID, OTHER_ID, "a/c/p/2/CD")
    with pytest.raises(NameTaken):
        store.link(ID, OTHER_ID, "a/c/p/2/CD")
    store.delete(ID)
    with store.open(OTHER_ID) as chunk:
        assert chunk.attributes.fullpath == "a/c/p/2/CD"
    with pytest.raises(NotStored):
        store.link(ID, ID[::-1], "a/c/p/2/CD")
    with pytest.raises(NotStored):
        store.delete(ID)


def test_damaged_attributes_are_told_from_a_missing_chunk(store: ChunkStore) -> None:
    put(store)
    store.path(ID).with_suffix(".json").write_text("{")
    with pytest.raises(ChunkDamaged):
        store.open(ID)
