# SPDX-License-Identifier: Apache-2.0
"""Divided containers: how they are made, and that their listings are those of containers that are whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oio.sandbox import Namespace
from oio.sandbox.metadata import beans
from oio.sandbox.metadata.contents import MARKER_ID
from oio.sandbox.metadata.directory import Target
from oio.sandbox.metadata.listing import Query, list_objects
from oio.sandbox.metadata.store import Metadata
from oio.sandbox.releases import R2026
from tests.sandbox.asking import ask_proxy

NAMES = st.text("ab/", min_size=1, max_size=3)
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metadata]:
    path: Path = tmp_path_factory.mktemp("metadata")
    store = Metadata(path / "metadata.db", namespace="NS", meta2="h:1", release=R2026)
    yield store
    store.close()


def filled(metadata: Metadata, versions: set[tuple[str, int]], bounds: set[str]) -> Target:
    """Return a new container with these versions, divided after these names."""
    target = Target.named("account", str(next(NUMBERS)))
    metadata.create(target, {}, {})
    with metadata.writing(target) as container:
        for name, version in versions:
            alias = beans.Alias(name, version, MARKER_ID, deleted=True)
            beans.insert(container, alias, replace=False)
    if bounds:
        metadata.divide(target, sorted(bounds))
    return target


@pytest.mark.pitfall("W12", "W13")
@settings(deadline=None, max_examples=60)
@given(
    versions=st.sets(st.tuples(NAMES, st.integers(1, 5)), max_size=12),
    bounds=st.sets(NAMES, max_size=3),
    limit=st.integers(1, 4),
)
def test_every_version_is_there_once(
    metadata: Metadata, versions: set[tuple[str, int]], bounds: set[str], limit: int
) -> None:
    target = filled(metadata, versions, bounds)
    listed: list[tuple[str, int]] = []
    query: Query | None = Query(limit=limit, versions=True)
    with metadata.reading(target) as container:
        while query is not None:
            page = list_objects(container, query)
            listed += [(content.name, content.version) for content in page.rows]
            last = page.last if page.truncated else None
            query = last and Query(limit=limit, versions=True, marker=last.name, version_marker=last.version)
    assert listed == sorted(versions, key=lambda pair: (pair[0], -pair[1]))


@pytest.mark.pitfall("W12")
@settings(deadline=None, max_examples=60)
@given(
    names=st.sets(NAMES, max_size=12),
    bounds=st.sets(NAMES, min_size=1, max_size=3),
    limit=st.integers(1, 4),
    marker=st.just("") | NAMES,
    prefix=st.just("") | NAMES,
    delimiter=st.sampled_from(["", "/"]),
)
def test_a_page_is_that_of_the_whole_container(
    metadata: Metadata,
    names: set[str],
    bounds: set[str],
    limit: int,
    marker: str,
    prefix: str,
    delimiter: str,
) -> None:
    query = Query(limit=limit, marker=marker, prefix=prefix, delimiter=delimiter, versions=True)
    versions = {(name, 1) for name in names}
    pages = []
    for target in (filled(metadata, versions, set()), filled(metadata, versions, bounds)):
        with metadata.reading(target) as container:
            page = list_objects(container, query)
            pages.append(([item.name for item in page.items], page.marker, page.truncated))
    assert pages[0] == pages[1]


# -- how operators make shards

BOX = ("account", "box")


def divide_by_hand(namespace: Namespace, cid: str, upper_bounds: list[str]) -> list[str]:
    """Divide a container at these names as the tool of operators does; return the IDs of the shards."""
    lowers = ["", *upper_bounds]
    rows: list[dict[str, Any]] = [
        {"index": number, "lower": lower, "upper": upper, "metadata": {}, "count": 0, "cid": cid}
        for number, (lower, upper) in enumerate(zip(lowers, [*upper_bounds, ""], strict=True))
    ]
    known = ask_proxy(namespace, "POST", f"container/sharding/prepare?cid={cid}", rows)
    for row in rows:
        shard = Target.named(".shards_account", f"box-{cid}-{known['timestamp']}-{row['index']}")
        place = f"acct={shard.account}&ref={shard.name}"
        new = {**row, "parent": cid, "timestamp": int(known["timestamp"])}
        ask_proxy(namespace, "POST", f"container/sharding/create_shard?{place}", new)
        row["cid"] = shard.cid
    ask_proxy(namespace, "POST", f"container/sharding/lock?cid={cid}")
    ask_proxy(namespace, "POST", "container/sharding/replace?acct=account&ref=box", rows)
    for each in (cid, *(row["cid"] for row in rows)):
        ask_proxy(namespace, "POST", f"container/sharding/clean?cid={each}")
    return [row["cid"] for row in rows]


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=3, release="2026") as running:
        yield running


@pytest.mark.pitfall("W12")
def test_shards_that_are_made_step_by_step_have_the_objects(namespace: Namespace) -> None:
    names = [f"n{number:02}" for number in range(12)]
    with namespace.api() as api:
        for name in names:
            api.object_create(*BOX, obj_name=name, data=name.encode(), properties={"k": name})
        cid = Target.named(*BOX).cid
        found = ask_proxy(
            namespace,
            "GET",
            f"container/sharding/find?cid={cid}&strategy=shard-with-partition",
            {"partition": [25, 50, 25]},
        )["shard_ranges"]
        assert [(row["lower"], row["upper"]) for row in found] == [("", "n02"), ("n02", "n08"), ("n08", "")]
        shards = divide_by_hand(namespace, cid, [row["upper"] for row in found[:-1]])
        shown = ask_proxy(namespace, "GET", "container/sharding/show?acct=account&ref=box")
        assert [row["cid"] for row in shown["shard_ranges"]] == shards
        assert shown["system"]["sys.m2.shards"] == "3"
        described = [
            ask_proxy(namespace, "POST", f"container/get_properties?cid={each}", [])
            for each in (cid, *shards)
        ]
        assert [each["system"]["sys.m2.objects"] for each in described] == ["0", "3", "6", "3"]
        api.object_create(*BOX, obj_name="n05x", data=b"new")
        listed = [row["name"] for row in api.object_list_all(*BOX)]
        assert listed == sorted([*names, "n05x"])
        for name in names:
            meta, stream = api.object_fetch(*BOX, name)
            assert (b"".join(stream), meta["properties"]) == (name.encode(), {"k": name})


@pytest.mark.pitfall("W12")
@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("container/sharding/lock?acct=account&ref=box", None),
        ("container/sharding/replace?acct=account&ref=box", []),
        ("container/sharding/prepare?acct=account&ref=box", {}),
        ("container/sharding/find?acct=account&ref=box&strategy=other", {"partition": [100]}),
    ],
)
def test_step_that_cannot_be_taken_is_refused(namespace: Namespace, route: str, body: Any) -> None:
    with namespace.api() as api:
        api.container_create(*BOX)
        method = "GET" if "find" in route else "POST"
        with pytest.raises(AssertionError, match="400"):
            ask_proxy(namespace, method, route, body)


@pytest.mark.pitfall("W12")
def test_shards_with_a_gap_between_them_are_refused(namespace: Namespace) -> None:
    with namespace.api() as api:
        api.object_create(*BOX, obj_name="n", data=b"data")
        cid = Target.named(*BOX).cid
        shards = divide_by_hand(namespace, cid, ["g", "m"])
        rows = [
            {"lower": "", "upper": "f", "cid": shards[0]},
            {"lower": "g", "upper": "", "cid": shards[1]},
        ]
        for wanted in (rows, rows[:1]):
            with pytest.raises(AssertionError, match="400"):
                ask_proxy(namespace, "POST", "container/sharding/replace?acct=account&ref=box", wanted)
        assert [row["name"] for row in api.object_list_all(*BOX)] == ["n"]
