# SPDX-License-Identifier: Apache-2.0
"""Listings of containers, against a model that knows nothing of pages, SQL or markers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oio.sandbox.metadata import beans
from oio.sandbox.metadata.contents import MARKER_ID, Content
from oio.sandbox.metadata.directory import Target
from oio.sandbox.metadata.listing import Query, list_objects
from oio.sandbox.metadata.store import Metadata
from oio.sandbox.storage.listing import Page

TARGET = Target.named("account", "container")

# "é" sorts after all of ASCII, the emoji after all that a 16 bit order would put behind it.
NAMES = st.text(alphabet=["a", "b", "/", "é", "\uffff", "😀"], min_size=1, max_size=5)
#: For each name its versions: True for a delete marker.
OBJECTS = st.dictionaries(NAMES, st.lists(st.booleans(), min_size=1, max_size=3), max_size=12)
FILTERS = st.builds(
    Query,
    limit=st.just(10000),
    marker=st.just("") | NAMES,
    end_marker=st.just("") | NAMES,
    prefix=st.just("") | st.sampled_from(["a", "a/", "b/", "é"]),
    delimiter=st.sampled_from(["", "/", "a"]),
    deleted=st.booleans(),
)

Objects = dict[str, list[bool]]


@dataclass
class Listed:
    """What a listing shows, in full."""

    objects: list[tuple[str, int]]
    prefixes: list[str]


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metadata]:
    path: Path = tmp_path_factory.mktemp("listing")
    metadata = Metadata(path / "metadata.db", namespace="NS", meta2="h:1")
    yield metadata
    metadata.close()


def fill(metadata: Metadata, objects: Objects) -> None:
    metadata.create(TARGET, {}, {})
    with metadata.writing(TARGET) as container:
        container.db.execute("DELETE FROM aliases")
        for name, versions in objects.items():
            for version, deleted in enumerate(versions, start=1):
                content_id = MARKER_ID if deleted else "AB"
                beans.insert(
                    container, beans.Alias(name, version, content_id, deleted=deleted), replace=False
                )


def page(metadata: Metadata, query: Query) -> Page[Content]:
    with metadata.reading(TARGET) as container:
        return list_objects(container, query)


def expected(objects: Objects, query: Query) -> Listed:
    """Return what the listing of everything should show."""
    if query.marker and any(query.marker < name < query.prefix for name in objects):
        # The walk that begins at the marker ends at the first name without the prefix.
        return Listed([], [])
    listed = Listed([], [])
    for name, versions in sorted(objects.items(), key=lambda item: item[0].encode()):
        inside = name.startswith(query.prefix) and name > query.marker
        hidden = versions[-1] and not query.deleted
        if not inside or hidden or (query.end_marker and name >= query.end_marker):
            continue
        end = name.find(query.delimiter, len(query.prefix)) if query.delimiter else -1
        if end < 0:
            listed.objects.append((name, len(versions)))
        elif not query.marker.startswith(name[: end + 1]) and name[: end + 1] not in listed.prefixes:
            listed.prefixes.append(name[: end + 1])
    return listed


def shown(page: Page[Content]) -> Listed:
    return Listed([(content.name, content.version) for content in page.rows], page.folders)


@settings(deadline=None)
@given(objects=OBJECTS, query=FILTERS)
def test_one_large_page_shows_what_passes_the_filters(
    metadata: Metadata, objects: Objects, query: Query
) -> None:
    fill(metadata, objects)
    found = page(metadata, query)
    assert shown(found) == expected(objects, query)
    assert not found.truncated


@settings(deadline=None)
@given(objects=OBJECTS, query=FILTERS, limit=st.integers(1, 4))
def test_small_pages_show_together_what_a_large_one_shows(
    metadata: Metadata, objects: Objects, query: Query, limit: int
) -> None:
    fill(metadata, objects)
    collected = Listed([], [])
    following = replace(query, limit=limit)
    while True:
        found = page(metadata, following)
        assert len(found) <= limit
        collected.objects += shown(found).objects
        collected.prefixes += found.folders
        if not found.truncated:
            break
        assert found.marker is not None
        assert found.marker > following.marker
        following = replace(following, marker=found.marker)
    assert collected == expected(objects, query)


@settings(deadline=None)
@given(objects=OBJECTS)
def test_all_versions_come_newest_first_with_their_markers(metadata: Metadata, objects: Objects) -> None:
    fill(metadata, objects)
    found = page(metadata, Query(versions=True))
    order = sorted(objects.items(), key=lambda item: item[0].encode())
    assert [(content.name, content.version, content.deleted) for content in found.rows] == [
        (name, version, deleted)
        for name, versions in order
        for version, deleted in reversed(list(enumerate(versions, start=1)))
    ]


@pytest.mark.pitfall(140)
def test_a_page_border_inside_a_name_loses_its_other_versions(metadata: Metadata) -> None:
    fill(metadata, {"a": [False, False], "b": [False]})
    first = page(metadata, Query(limit=1, versions=True))
    assert shown(first).objects == [("a", 2)]
    assert (first.truncated, first.marker) == (True, "a")
    second = page(metadata, Query(limit=1, versions=True, marker="a"))
    assert shown(second).objects == [("b", 1)]


@pytest.mark.pitfall(141)
def test_a_last_page_that_is_full_has_a_marker_and_is_not_truncated(metadata: Metadata) -> None:
    fill(metadata, {"a": [False], "b": [False]})
    found = page(metadata, Query(limit=2))
    assert (found.truncated, found.marker) == (False, "b")


@pytest.mark.pitfall(141)
def test_a_truncated_page_may_be_followed_by_an_empty_one(metadata: Metadata) -> None:
    fill(metadata, {"a/1": [False], "a/2": [False]})
    first = page(metadata, Query(limit=1, delimiter="/"))
    assert (shown(first).prefixes, first.truncated, first.marker) == (["a/"], True, "a/1")
    second = page(metadata, Query(limit=1, delimiter="/", marker="a/1"))
    assert (len(second), second.truncated) == (0, False)


@pytest.mark.pitfall(139)
def test_a_marker_that_sorts_before_the_prefix_gives_an_empty_page(metadata: Metadata) -> None:
    fill(metadata, {"a": [False], "b": [False], "d/1": [False]})
    found = page(metadata, Query(prefix="d/", marker="a"))
    assert (len(found), found.truncated) == (0, False)


def test_a_spent_deadline_ends_a_page_that_has_something_to_show(metadata: Metadata) -> None:
    fill(metadata, {name: [False] for name in ("a", "b/1", "b/2", "b/3", "b/4", "c/1", "d")})
    query = Query(limit=3, delimiter="/")
    with metadata.reading(TARGET) as container:
        found = list_objects(container, query, expired=lambda: True)
    assert shown(found).objects == [("a", 1)]
    assert (found.folders, found.truncated, found.marker) == (["b/"], True, "b/2")
