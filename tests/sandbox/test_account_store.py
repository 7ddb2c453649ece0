# SPDX-License-Identifier: Apache-2.0
"""What the account service of the sandbox remembers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oio.sandbox.account.store import AccountStore, Filter, NotEmpty, NotFound, Stale
from oio.sandbox.metadata.container import ContainerState

NAMES = st.text(alphabet=["a", "b", "/", "é"], min_size=1, max_size=4)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AccountStore]:
    store = AccountStore(tmp_path / "account.db")
    yield store
    store.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccountStore]:
    store = AccountStore(tmp_path_factory.mktemp("accounts") / "account.db")
    yield store
    store.close()


def sums(store: AccountStore, account: str = "acct") -> tuple[object, object, object]:
    shown = store.show(account)
    return shown["containers"], shown["objects"], shown["bytes"]


def test_accounts_are_there_again_after_the_store_was_reopened(tmp_path: Path) -> None:
    store = AccountStore(tmp_path / "account.db")
    store.update("acct", {"color": "blue"}, [])
    store.update_container(ContainerState("acct", "c", 5, objects=2, bytes=20))
    store.close()
    again = AccountStore(tmp_path / "account.db")
    assert sums(again) == (1, 2, 20)
    assert again.show("acct")["metadata"] == {"color": "blue"}
    again.close()


def test_the_sums_follow_the_containers(store: AccountStore) -> None:
    store.update_container(ContainerState("acct", "a", 1, objects=1, bytes=10))
    store.update_container(ContainerState("acct", "b", 1, objects=2, bytes=20))
    store.update_container(ContainerState("acct", "a", 2, objects=5, bytes=50))
    assert sums(store) == (2, 7, 70)
    store.update_container(ContainerState("acct", "a", dtime=3))
    assert sums(store) == (1, 2, 20)
    store.reset_container("acct", "b", 2)
    assert sums(store) == (1, 0, 0)


@pytest.mark.parametrize(
    "stale",
    [
        ContainerState("acct", "c"),
        ContainerState("acct", "c", mtime=5),
        ContainerState("acct", "c", mtime=4, objects=9),
        ContainerState("acct", "c", dtime=5),
    ],
    ids=["no date", "the same date", "an older one", "destroyed before the last change"],
)
def test_old_news_are_refused(store: AccountStore, stale: ContainerState) -> None:
    store.update_container(ContainerState("acct", "c", mtime=5, objects=1))
    with pytest.raises(Stale):
        store.update_container(stale)
    assert sums(store) == (1, 1, 0)


def test_a_destroyed_container_stays_so_until_it_is_created_again(store: AccountStore) -> None:
    now = store.clock.now()
    store.update_container(ContainerState("acct", "c", dtime=now + 10))
    store.update_container(ContainerState("acct", "c", mtime=now + 5, objects=1))
    assert sums(store) == (0, 0, 0)
    store.update_container(ContainerState("acct", "c", mtime=now + 11, objects=1))
    assert sums(store) == (1, 1, 0)


def test_reports_that_come_in_the_wrong_order_leave_the_latest_state(store: AccountStore) -> None:
    for mtime in (2, 3, 1):
        store.report(ContainerState("acct", "c", mtime, objects=mtime))
    assert sums(store) == (1, 3, 0)


def test_an_account_with_containers_cannot_be_deleted(store: AccountStore) -> None:
    store.update_container(ContainerState("acct", "c", 1))
    with pytest.raises(NotEmpty):
        store.delete("acct")
    store.flush("acct")
    store.delete("acct")
    with pytest.raises(NotFound):
        store.show("acct")


def test_deletions_come_before_settings(store: AccountStore) -> None:
    store.update("acct", {"a": "1", "b": "2"}, [])
    store.update("acct", {"a": "3"}, ["a", "b", "c"])
    assert store.show("acct")["metadata"] == {"a": "3"}


def listed(store: AccountStore, wanted: Filter) -> list[str]:
    found = store.containers("acct", wanted)
    return [item.name for item in found]


def expected(names: set[str], wanted: Filter) -> list[str]:
    """Return the whole listing, from what each filter means."""
    found: list[str] = []
    for name in sorted(names, key=str.encode):
        if not name.startswith(wanted.prefix) or (wanted.end_marker and name >= wanted.end_marker):
            continue
        end = name.find(wanted.delimiter, len(wanted.prefix)) if wanted.delimiter else -1
        item = name if end < 0 else name[: end + 1]
        if item not in found:
            found.append(item)
    return found


@settings(deadline=None)
@given(
    names=st.sets(NAMES, max_size=12),
    wanted=st.builds(
        Filter,
        limit=st.integers(1, 4),
        end_marker=st.just("") | NAMES,
        prefix=st.sampled_from(["", "a", "a/"]),
        delimiter=st.sampled_from(["", "/"]),
    ),
)
def test_pages_show_together_what_a_large_one_shows(
    shared: AccountStore, names: set[str], wanted: Filter
) -> None:
    shared.create("acct")
    shared.flush("acct")
    for name in names:
        shared.update_container(ContainerState("acct", name, 1))
    collected: list[str] = []
    while page := listed(shared, wanted):
        assert len(page) <= wanted.limit
        collected += page
        wanted = replace(wanted, marker=page[-1])
    assert collected == expected(names, replace(wanted, marker=""))
    assert listed(shared, replace(wanted, marker="", limit=10000)) == collected


@pytest.mark.pitfall(152)
def test_a_marker_inside_a_prefix_gives_the_prefix_again(store: AccountStore) -> None:
    for name in ("b/1", "b/2", "c"):
        store.update_container(ContainerState("acct", name, 1))
    assert listed(store, Filter(marker="b/1", delimiter="/")) == ["b/", "c"]
    assert listed(store, Filter(marker="b/", delimiter="/")) == ["c"]
    assert listed(store, Filter(marker="b/")) == ["b/1", "b/2", "c"]


def test_a_container_named_like_the_prefix_does_not_hide_those_below_it(store: AccountStore) -> None:
    for name in ("a/", "a/b"):
        store.update_container(ContainerState("acct", name, 1))
    assert listed(store, Filter(limit=1, prefix="a/", delimiter="/")) == ["a/"]
    assert listed(store, Filter(limit=1, prefix="a/", delimiter="/", marker="a/")) == ["a/b"]
