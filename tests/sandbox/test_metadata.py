# SPDX-License-Identifier: Apache-2.0
"""The metadata of the sandbox: durable, consistent, and told to others only when that is so."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oio.sandbox.metadata import contents, versions
from oio.sandbox.metadata.container import Container, ContainerState
from oio.sandbox.metadata.contents import MARKER_ID, NewContent
from oio.sandbox.metadata.directory import Target
from oio.sandbox.metadata.layout import Chunk
from oio.sandbox.metadata.store import Metadata
from oio.sandbox.refusals import (
    CONTAINER_FULL,
    CONTENT_EXISTS,
    NO_CONTAINER,
    NO_CONTENT,
    NO_REFERENCE,
    Refusal,
)
from oio.sandbox.storage.database import Clock

TARGET = Target.named("account", "container")

_numbers = itertools.count(1)


class Store(Metadata):
    """Metadata that remember what they have told."""

    def __init__(self, path: Path, **options: int | bool) -> None:
        self.deleted: list[str] = []
        self.reported: list[ContainerState] = []
        super().__init__(
            path / "metadata.db",
            namespace="NS",
            meta2="127.0.0.1:6008",
            delete_chunks=self.deleted.extend,
            report=self.reported.append,
            **options,  # type: ignore[arg-type]
        )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    store.create(TARGET, {}, {})
    yield store
    store.close()


def new(
    name: str = "o", *, version: int | None = None, sizes: tuple[int, ...] = (10,), **fields: str
) -> NewContent:
    """Return an object with one chunk for each size."""
    number = next(_numbers)
    chunks = [
        Chunk(f"http://h/{number:X}{index}", str(index), size, "0" * 32) for index, size in enumerate(sizes)
    ]
    return NewContent(
        name=name,
        size=sum(sizes),
        hash="AB" * 16,
        policy="SINGLE",
        chunk_method="plain/nb_copy=1",
        mime_type="text/plain",
        chunks=chunks,
        version=number if version is None else version,
        id=f"{number:032X}",
        properties=fields,
    )


def put(store: Store, content: NewContent) -> NewContent:
    with store.writing(TARGET) as container:
        contents.create(container, content)
    return content


def names(store: Store) -> list[tuple[str, int]]:
    with store.reading(TARGET) as container:
        return [(content.name, content.version) for content in contents.contents(container, "1")]


def counters(store: Store) -> tuple[int, int]:
    with store.reading(TARGET) as container:
        return container.number("sys.m2.objects"), container.number("sys.m2.usage")


@contextmanager
def refused_with(status: int) -> Iterator[None]:
    with pytest.raises(Refusal) as caught:
        yield
    assert caught.value.status == status


# -- durability


def test_everything_is_there_again_after_it_was_reopened(tmp_path: Path, store: Store) -> None:
    content = put(store, new(color="blue"))
    store.close()
    again = Store(tmp_path)
    with again.reading(TARGET) as container:
        found = contents.find(container, "o")
        assert (found.version, found.id, found.size) == (content.version, content.id, 10)
        assert contents.properties_of(container, found) == {"color": "blue"}
        assert contents.chunks_of(container, found) == content.chunks
    assert counters(again) == (1, 10)
    again.close()


def test_what_was_acknowledged_survives_a_kill_and_what_was_not_finished_leaves_nothing(
    tmp_path: Path,
) -> None:
    program = textwrap.dedent(
        f"""
        from pathlib import Path
        from tests.sandbox.test_metadata import TARGET, Store, contents, new, put
        store = Store(Path({str(tmp_path)!r}))
        store.create(TARGET, {{}}, {{}})
        put(store, new("acknowledged"))
        with store.writing(TARGET) as container:
            contents.create(container, new("half-made"))
            print("in the middle", flush=True)
            import time
            time.sleep(60)
        """
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in the middle\n"
        process.send_signal(signal.SIGKILL)
    store = Store(tmp_path)
    assert [name for name, _ in names(store)] == ["acknowledged"]
    assert counters(store) == (1, 10)
    store.close()


def test_a_refused_change_leaves_no_trace(store: Store) -> None:
    put(store, new(version=5))
    store.reported.clear()
    with refused_with(CONTENT_EXISTS):
        put(store, new(version=5, color="blue"))
    assert names(store) == [("o", 5)]
    assert counters(store) == (1, 10)
    assert (store.deleted, store.reported) == ([], [])
    with store.reading(TARGET) as container:
        assert contents.properties_of(container, contents.find(container, "o")) == {}


def opened(
    path: Path,
    *,
    delete_chunks: Callable[[Sequence[str]], None] = lambda _urls: None,
    report: Callable[[ContainerState], None] = lambda _state: None,
) -> contextlib.closing[Metadata]:
    return contextlib.closing(
        Metadata(path / "metadata.db", namespace="NS", meta2="", delete_chunks=delete_chunks, report=report)
    )


def test_others_are_told_only_what_is_durable(store: Store, tmp_path: Path) -> None:
    seen: list[int] = []

    def look(_urls: object) -> None:
        # Another connection sees only what was committed.
        with opened(tmp_path) as other, other.reading(TARGET) as container:
            seen.append(container.number("sys.m2.objects"))

    put(store, new())
    store.close()
    with opened(tmp_path, delete_chunks=look) as metadata, metadata.writing(TARGET) as container:
        versions.delete(container, "o")
    assert seen == [0]


class Crash(Exception):
    pass


def crash(_news: object) -> None:
    raise Crash


def test_what_a_crash_has_kept_from_others_is_told_once_by_the_next_start(
    store: Store, tmp_path: Path
) -> None:
    content = put(store, new())
    store.close()
    with (
        opened(tmp_path, delete_chunks=crash) as metadata,
        pytest.raises(Crash),
        metadata.writing(TARGET) as container,
    ):
        versions.delete(container, "o")
    again = Store(tmp_path)
    again.close()
    assert again.deleted == [chunk.url for chunk in content.chunks]
    assert [state.objects for state in again.reported] == [0]
    third = Store(tmp_path)
    third.close()
    assert (third.deleted, third.reported) == ([], [])


def test_the_end_of_a_container_is_told_by_the_next_start_too(store: Store, tmp_path: Path) -> None:
    store.close()
    with opened(tmp_path, report=crash) as metadata, pytest.raises(Crash):
        metadata.destroy(TARGET, force=False)
    again = Store(tmp_path)
    again.close()
    (state,) = again.reported
    assert state.dtime > state.mtime


def test_a_chunk_that_got_an_owner_again_before_a_crash_stays(store: Store, tmp_path: Path) -> None:
    content = put(store, new())
    store.close()
    with opened(tmp_path, delete_chunks=crash) as metadata:
        with pytest.raises(Crash), metadata.writing(TARGET) as container:
            versions.delete(container, "o")
        with metadata.writing(TARGET) as container:
            contents.create(container, content)
    again = Store(tmp_path)
    again.close()
    assert again.deleted == []


def test_news_that_were_told_do_not_pile_up(store: Store, tmp_path: Path) -> None:
    for _ in range(3):
        put(store, new())
    with contextlib.closing(sqlite3.connect(tmp_path / "metadata.db")) as database:
        assert database.execute("SELECT count(*) FROM outbox").fetchone() == (1,)


# -- time


def test_the_clock_never_gives_the_same_time_twice() -> None:
    clock = Clock()
    times = [clock.now() for _ in range(1000)]
    assert times == sorted(set(times))


def test_the_clock_goes_on_after_the_last_change_even_if_the_host_was_set_back(
    store: Store, tmp_path: Path
) -> None:
    future = 4102444800000000
    store.clock = Clock(future)
    put(store, new())
    store.close()
    again = Store(tmp_path)
    assert again.clock.now() > future
    again.close()


# -- counters and chunks


def test_an_object_that_replaces_another_has_its_date_and_gives_back_its_chunks(store: Store) -> None:
    first = put(store, new(color="blue"))
    with store.writing(TARGET) as container:
        container.db.execute("UPDATE aliases SET ctime = 1")
    put(store, new(sizes=(3,)))
    with store.reading(TARGET) as container:
        found = contents.find(container, "o")
        assert (found.ctime, found.size) == (1, 3)
        assert contents.properties_of(container, found) == {}
    assert store.deleted == [chunk.url for chunk in first.chunks]
    assert counters(store) == (1, 3)


def test_a_chunk_that_the_new_object_has_too_is_not_deleted(store: Store) -> None:
    first = put(store, new())
    second = new()
    put(store, NewContent(**{**vars(second), "chunks": first.chunks}))
    assert store.deleted == []


def test_the_account_is_told_of_each_change_with_growing_dates(store: Store) -> None:
    put(store, new("a"))
    put(store, new("b", sizes=(1, 2)))
    store.destroy(TARGET, force=True)
    states = [(state.objects, state.bytes, state.dtime > 0) for state in store.reported]
    assert states == [(0, 0, False), (1, 10, False), (2, 13, False), (0, 0, True)]
    dates = [max(state.mtime, state.dtime) for state in store.reported]
    assert dates == sorted(set(dates))


def test_appending_adds_metachunks_and_truncating_drops_them(store: Store) -> None:
    put(store, new(sizes=(10, 10)))
    appended = new(sizes=(5, 5))
    with store.writing(TARGET) as container:
        contents.append(container, appended)
        content = contents.find(container, "o")
        assert (content.size, content.hash) == (30, "")
        assert sorted(chunk.pos for chunk in contents.chunks_of(container, content)) == [
            "0",
            "1",
            "2",
            "3",
        ]
    with store.writing(TARGET) as container:
        contents.truncate(container, contents.find(container, "o"), 20)
    assert sorted(store.deleted) == sorted(chunk.url for chunk in appended.chunks)
    assert counters(store) == (1, 20)


def test_a_quota_is_stored_but_enforced_only_when_asked_for(tmp_path: Path) -> None:
    for directory, strict in ((tmp_path / "lax", False), (tmp_path / "strict", True)):
        directory.mkdir()
        store = Store(directory, strict=strict)
        store.create(TARGET, {}, {"sys.m2.quota": "15"})
        put(store, new("a"))
        if strict:
            with refused_with(CONTAINER_FULL):
                put(store, new("b"))
            assert counters(store) == (1, 10)
        else:
            put(store, new("b"))
            assert counters(store) == (2, 20)
        store.close()


def test_threads_that_write_together_lose_nothing(store: Store) -> None:
    def write(number: int) -> None:
        put(store, new(f"o{number % 40:02}", version=store.clock.now()))

    with ThreadPoolExecutor(16) as pool:
        refusals = [pool.submit(write, number).exception() for number in range(200)]
    # A thread may come with a version taken before that of the one it meets.
    assert {type(refusal) for refusal in refusals} <= {type(None), Refusal}
    assert len(names(store)) == 40
    assert counters(store) == (40, 400)
    kept = set(_chunk_urls(store))
    assert len(kept) == 40
    assert not kept & set(store.deleted)


def _chunk_urls(store: Store) -> list[str]:
    with store.reading(TARGET) as container:
        return [row["url"] for row in container.db.execute("SELECT url FROM chunks")]


# -- versions


@pytest.mark.parametrize(
    ("kept", "expected"),
    [("0", [3]), ("1", [3]), ("2", [3, 2, 1]), ("-1", [3, 2, 1])],
    ids=["off", "suspended", "two, until a purge", "all"],
)
def test_a_container_keeps_as_many_versions_as_it_says(store: Store, kept: str, expected: list[int]) -> None:
    with store.writing(TARGET) as container:
        container.set("sys.m2.policy.version", kept)
    for version in (1, 2, 3):
        put(store, new(version=version))
    assert [version for _, version in names(store)] == expected
    assert counters(store)[0] == len(expected)


def test_the_latest_version_is_the_highest_whenever_it_came(store: Store) -> None:
    with store.writing(TARGET) as container:
        container.set("sys.m2.policy.version", "-1")
    for version in (2, 3, 1):
        put(store, new(version=version))
    with store.reading(TARGET) as container:
        assert contents.find(container, "o").version == 3


def test_deleting_twice_without_version_brings_the_object_back(store: Store) -> None:
    with store.writing(TARGET) as container:
        container.set("sys.m2.policy.version", "-1")
    put(store, new(version=7))
    with store.writing(TARGET) as container:
        versions.delete(container, "o")
        marker = contents.find(container, "o")
        assert (marker.version, marker.deleted, marker.id) == (8, True, MARKER_ID)
    assert counters(store) == (1, 10)
    with store.writing(TARGET) as container:
        versions.delete(container, "o")
    assert names(store) == [("o", 7)]
    assert store.deleted == []


def test_a_purge_keeps_the_newest_versions_and_forgets_what_was_deleted_long_ago(store: Store) -> None:
    with store.writing(TARGET) as container:
        container.set("sys.m2.policy.version", "-1")
    for version in range(1, 6):
        put(store, new("kept", version=version))
        put(store, new("gone", version=version))
    with store.writing(TARGET) as container:
        # The version of the marker is the date of the deletion: 1970.
        versions.delete(container, "gone")
        versions.purge(container, max_versions=2)
    assert names(store) == [("kept", 5), ("kept", 4)]
    assert len(store.deleted) == 8
    assert counters(store) == (2, 20)


def test_a_flush_takes_a_thousand_at_a_time(store: Store) -> None:
    with store.writing(TARGET, silent=True) as container:
        for number in range(1001):
            contents.create(container, new(f"{number:04}"))
    with store.writing(TARGET) as container:
        assert versions.flush(container) is True
        assert versions.flush(container) is False
    assert names(store) == []
    assert len(store.deleted) == 1001


def test_a_drained_object_counts_but_has_no_chunks(store: Store) -> None:
    put(store, new())
    with store.writing(TARGET) as container:
        versions.drain(container, contents.find(container, "o"))
        assert not container.has_chunks()
    assert counters(store) == (1, 10)
    store.destroy(TARGET, force=False)


# -- containers


def test_a_container_is_created_once(store: Store) -> None:
    assert store.create(TARGET, {"color": "blue"}, {}) is False
    with store.reading(TARGET) as container:
        assert container.user_properties() == {}


def test_missing_containers_say_whether_they_ever_were(store: Store) -> None:
    store.destroy(TARGET, force=False)
    for target, status in ((TARGET, NO_CONTAINER), (Target.named("account", "never"), NO_REFERENCE)):
        with refused_with(status), store.reading(target):
            pass
    assert store.create(TARGET, {}, {}) is True


def test_two_containers_do_not_see_each_other(store: Store) -> None:
    other = Target.named("account", "other")
    store.create(other, {}, {})
    put(store, new())
    with store.reading(other) as container, refused_with(NO_CONTENT):
        contents.find(container, "o")


def test_a_snapshot_shares_nothing_but_chunk_urls(store: Store) -> None:
    content = put(store, new(color="blue"))
    copy = Target.named("account", "copy")
    store.snapshot(TARGET, copy)
    put(store, new("later"))
    with store.reading(copy) as container:
        found = contents.find(container, "o")
        assert contents.chunks_of(container, found) == content.chunks
        assert contents.properties_of(container, found) == {"color": "blue"}
        assert container.get("sys.user.name") == "copy"
        with refused_with(NO_CONTENT):
            contents.find(container, "later")


@pytest.mark.parametrize("text", ["abc", "", "9" * 30])
def test_numbers_that_a_client_has_overwritten_do_no_harm(store: Store, text: str) -> None:
    with store.writing(TARGET) as container:
        for key in ("sys.m2.usage", "sys.m2.policy.version", "sys.m2.quota", "sys.status"):
            container.set(key, text)
    put(store, new())
    assert [name for name, _ in names(store)] == ["o"]


# -- what holds whatever happens


@dataclass
class Step:
    """One change, asked for with a name and a number that mean something to most of them."""

    action: str
    name: str
    number: int


STEPS = st.builds(
    Step,
    st.sampled_from(
        ["put", "put", "put", "append", "delete", "delete version", "truncate", "drain", "purge", "keep"]
    ),
    st.sampled_from(["a", "b"]),
    st.integers(-1, 3),
)


def apply(store: Store, step: Step, stored: list[str]) -> None:
    with store.writing(TARGET) as container:
        if step.action in {"put", "append"}:
            content = new(step.name, sizes=(10, 5))
            (contents.create if step.action == "put" else contents.append)(container, content)
            stored += [chunk.url for chunk in content.chunks]
        elif step.action == "keep":
            container.set("sys.m2.policy.version", str(step.number))
        elif step.action == "purge":
            versions.purge(container, max_versions=step.number)
        elif step.action == "delete":
            versions.delete(container, step.name)
        else:
            found = list(contents.contents(container, "aliases.name = ?", step.name))
            content = found[step.number % len(found)]
            if step.action == "delete version":
                versions.delete(container, step.name, content.version)
            elif step.action == "drain":
                versions.drain(container, content)
            else:
                contents.truncate(container, content, 10)


@settings(deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_counters_are_those_of_the_rows_and_every_chunk_has_an_owner_or_is_deleted_once(
    steps: list[Step],
) -> None:
    with TemporaryDirectory() as directory:
        store = Store(Path(directory))
        store.create(TARGET, {}, {})
        stored: list[str] = []
        for step in steps:
            with suppress(Refusal, ZeroDivisionError):
                apply(store, step, stored)
        with store.reading(TARGET) as container:
            sizes = [row["size"] for row in container.db.execute("SELECT size FROM headers")]
            owned = _owned_chunks(container)
        assert counters(store) == (len(sizes), sum(sizes))
        assert sorted(owned + store.deleted) == sorted(stored)
        assert (store.reported[-1].objects, store.reported[-1].bytes) == counters(store)
        store.close()


def _owned_chunks(container: Container) -> list[str]:
    """Return the chunks of the versions that a client can find."""
    found = contents.contents(container, "1")
    return [chunk.url for content in found for chunk in contents.chunks_of(container, content)]
