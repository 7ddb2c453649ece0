# SPDX-License-Identifier: Apache-2.0
"""The iterators over listings: everything is there once, whatever the page size."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oio.common import exceptions as exc
from oio.common.utils import depaginate
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, routes
from tests.kit.rows import alias, fill, left, versions_of

STRANGE = [
    "%41",
    "a b",
    "a+b",
    "a/1",
    "a/2",
    "b&c=d",
    "c?d#e",
    "d\ne",
    "\u00e9",
    "\uffff",
    "\U0001f600",
    "\U0010fffd",
]
"""In the order of their UTF-8."""


def names(entries: Any) -> list[str]:
    return [entry.get("prefix") or entry["name"] for entry in entries]


# --- objects, against a model ------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """What to list."""

    limit: int | None
    marker: str | None
    end_marker: str | None
    prefix: str | None
    delimiter: str | None
    versions: bool = False
    deleted: bool = False


TEXT = st.text("ab/\u00e9\uffff\U0010fffd\U0010ffff", max_size=3)
NAMES = st.text("ab/\u00e9\uffff\U0010fffd\U0010ffff", min_size=1, max_size=4)
LIMITS = st.one_of(st.none(), st.integers(1, 4))
#: Whether each version of an object, the newest one first, is a delete marker.
OBJECTS = st.dictionaries(NAMES, st.lists(st.booleans(), min_size=1, max_size=4), max_size=12)
WANTED = st.builds(
    Wanted,
    limit=LIMITS,
    marker=st.none() | TEXT,
    end_marker=st.none() | TEXT,
    prefix=st.none() | TEXT,
    delimiter=st.none() | st.sampled_from("/ab"),
    versions=st.booleans(),
    deleted=st.booleans(),
)


def passing(all_names: Any, wanted: Wanted) -> list[str]:
    """Names that are asked for, in order."""
    return [
        name
        for name in sorted(all_names, key=lambda name: str(name).encode())
        if name.startswith(wanted.prefix or "")
        and not (wanted.marker and name <= wanted.marker)
        and not (wanted.end_marker and name >= wanted.end_marker)
    ]


def common_prefix(name: str, wanted: Wanted) -> str | None:
    end = name.find(wanted.delimiter, len(wanted.prefix or "")) if wanted.delimiter else -1
    return None if end < 0 else name[: end + 1]


def objects_expected(objects: dict[str, list[bool]], wanted: Wanted) -> list[Any]:
    """What a listing must give: names with versions, and prefixes."""
    expected: list[Any] = []
    for name in passing(objects, wanted):
        markers = objects[name] if wanted.versions else objects[name][:1]
        rows = [
            (name, len(objects[name]) - index)
            for index, deleted in enumerate(markers)
            if wanted.versions or wanted.deleted or not deleted
        ]
        common = common_prefix(name, wanted)
        if common is None:
            expected += rows
        elif rows and common not in expected[-1:] and not (wanted.marker or "").startswith(common):
            expected.append(common)
    return expected


@pytest.mark.pitfall(89, 90, 140, 141)
def test_every_object_is_there_once(api: Any) -> None:
    numbers = itertools.count()

    @settings(max_examples=150, deadline=None)
    @given(OBJECTS, WANTED)
    def check(objects: dict[str, list[bool]], wanted: Wanted) -> None:
        container = f"c{next(numbers)}"
        rows = [
            alias(name, len(markers) - index, deleted)
            for name, markers in objects.items()
            for index, deleted in enumerate(markers)
        ]
        fill(api, *rows, container=container)
        found = api.object_list_all(ACCOUNT, container, **vars(wanted))
        actual = [entry.get("prefix") or (entry["name"], entry["version"]) for entry in found]
        assert actual == objects_expected(objects, wanted)

    check()


# --- containers, against a model ---------------------------------------------------------------------


def containers_expected(containers: set[str], wanted: Wanted) -> list[Any]:
    """What a listing must give of containers that count alike."""
    expected: list[Any] = []
    for name in passing(containers, wanted):
        common = common_prefix(name, wanted)
        row = [name, 3, 7, 0, 1.5] if common is None else [common, 0, 0, 1, 0]
        if row not in expected[-1:] and not (common and wanted.marker == common):
            expected.append(row)
    return expected


@pytest.mark.pitfall(152)
def test_every_container_is_there_once(api: Any) -> None:
    numbers = itertools.count()

    @settings(max_examples=100, deadline=None)
    @given(st.sets(NAMES, max_size=9), WANTED)
    def check(containers: set[str], wanted: Wanted) -> None:
        account = f"a{next(numbers)}"
        api.account_create(account)
        for name in containers:
            api.account.container_update(account, name, {"mtime": 1.5, "objects": 3, "bytes": 7})
        names = ("limit", "marker", "end_marker", "prefix", "delimiter")
        found = api.container_list_all(account, **{name: getattr(wanted, name) for name in names})
        assert list(found) == containers_expected(containers, wanted)

    check()


@pytest.mark.pitfall(93)
@pytest.mark.parametrize("limit", [1, 2, None])
def test_filtered_containers_are_all_there(api: Any, limit: int | None) -> None:
    buckets = ["bucket-1", "bucket-2", "my.bucket", "zzz"]
    api.container_create_many(ACCOUNT, ["UPPER", "a", "bucket_3", "127.0.0.1", "\u00e9t\u00e9", *buckets])
    found = api.container_list_all(ACCOUNT, limit=limit, s3_buckets_only=True)
    assert [row[0] for row in found] == buckets


@pytest.mark.pitfall(152)
def test_marker_inside_of_a_prefix_differs_between_the_two_listings(api: Any) -> None:
    api.container_create_many(ACCOUNT, ["a/1", "a/2", "b"])
    fill(api, alias("a/1", 1), alias("a/2", 2), alias("b", 3), container="b")
    options = {"marker": "a/1", "delimiter": "/", "limit": 1}
    assert [row[0] for row in api.container_list_all(ACCOUNT, **options)] == ["a/", "b"]
    assert names(api.object_list_all(ACCOUNT, "b", **options)) == ["b"]
    assert names(api.object_list_all(ACCOUNT, "b", versions=True, **options)) == ["b"]


# --- versions ----------------------------------------------------------------------------------------


@pytest.mark.pitfall(140)
@pytest.mark.parametrize("limit", [1, 2, 1000, None])
def test_all_versions_are_there_whatever_the_page_size(api: Any, limit: int | None) -> None:
    fill(api, *versions_of("one", 1), *versions_of("three", 1001, 10), *versions_of("two", 2, 2000))
    found = api.object_list_all(ACCOUNT, CONTAINER, versions=True, limit=limit)
    assert [(obj["name"], obj["version"], obj["is_latest"]) for obj in found] == [
        ("one", 1, True),
        *(("three", version, version == 1010) for version in range(1010, 9, -1)),
        ("two", 2001, True),
        ("two", 2000, False),
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
@pytest.mark.parametrize("counts", [{}, {"a": 1}, {"a": 2, "b": 1, "c": 1}, {"a": 1, "b": 1001, "c": 2}])
def test_no_version_is_lost_between_pages(offline_api: Any, counts: dict[str, int], limit: int) -> None:
    """A page of the service that ends inside a name loses the others of it."""
    rows = [{"name": name, "version": n} for name, count in counts.items() for n in range(count)]

    def page(method: str, url: str, params: Any = None, **kwargs: Any) -> Any:
        found = [row for row in rows if row["name"] > (params.get("marker") or "")]
        headers = {"x-oio-list-truncated": str(len(found) > params["max"]).lower()}
        found = found[: params["max"]]
        if found:
            headers["x-oio-list-marker"] = str(found[-1]["name"])
        return SimpleNamespace(status=200, headers=headers), {"objects": found}

    offline_api.container._direct_request = Mock(side_effect=page)
    found = offline_api.object_list_all("a", "c", versions=True, limit=limit)
    assert [(row["name"], row["version"]) for row in found] == [tuple(row.values()) for row in rows]


@pytest.mark.pitfall(140)
def test_too_many_versions_for_the_service_are_told(offline_api: Any) -> None:
    def page(method: str, url: str, params: Any = None, **kwargs: Any) -> Any:
        body = {"objects": [{"name": "o", "version": number} for number in range(params["max"])]}
        headers = {"x-oio-list-truncated": "true", "x-oio-list-marker": "o"}
        return SimpleNamespace(status=200, headers=headers), body

    offline_api.container._direct_request = Mock(side_effect=page)
    with pytest.raises(exc.OioException, match="object 'o' has more than 10000 versions"):
        list(offline_api.object_list_all("a", "c", versions=True))


# --- pages -------------------------------------------------------------------------------------------


@pytest.mark.pitfall(67)
@pytest.mark.parametrize("limit", [1, 5, None])
def test_strange_names_survive_the_pages(api: Any, limit: int | None) -> None:
    fill(api, *(alias(name, number + 1) for number, name in enumerate(STRANGE)))
    assert names(api.object_list_all(ACCOUNT, CONTAINER, limit=limit)) == STRANGE
    api.container_create_many("other", STRANGE)
    assert [row[0] for row in api.container_list_all("other", limit=limit)] == STRANGE


def test_large_prefix_is_left_behind_at_once(api: Any, namespace: Namespace) -> None:
    inside = [alias(f"b/{number:03}", number + 1) for number in range(300)]
    fill(api, alias("a", 1000), *inside, alias("c", 2000))
    namespace.forget_requests()
    assert names(api.object_list_all(ACCOUNT, CONTAINER, delimiter="/", limit=1)) == ["a", "b/", "c"]
    # The service need not pass all the names inside of the prefix.
    queries = [parse_qs(record.target.partition("?")[2]) for record in namespace.requests]
    assert [query.get("marker") for query in queries] == [None, ["a"], ["b/\U0010fffd"]]


@pytest.mark.pitfall(91)
@pytest.mark.parametrize("nth", [1, 2])
def test_page_that_a_busy_service_refuses_is_asked_again(api: Any, namespace: Namespace, nth: int) -> None:
    fill(api, alias("a", 1), alias("b", 2), alias("c", 3))
    api.container_create_many(ACCOUNT, ["c1", "c2"])
    busy = [
        Fault("status", service="proxy", operation="container/list", nth=nth),
        Fault("status", service="account", operation="account/containers", nth=nth),
    ]
    with namespace.faults(*busy) as plan:
        assert names(api.object_list_all(ACCOUNT, CONTAINER, limit=1)) == ["a", "b", "c"]
        assert [row[0] for row in api.container_list_all(ACCOUNT, limit=1)] == ["box", "c1", "c2"]
    plan.assert_met()


@pytest.mark.pitfall(91)
def test_page_is_not_asked_for_ever(api: Any, namespace: Namespace) -> None:
    fill(api, alias("a", 1))
    busy = Fault("status", service="proxy", operation="container/list")
    with namespace.faults(busy) as plan, pytest.raises(exc.ServiceBusy):
        list(api.object_list_all(ACCOUNT, CONTAINER))
    assert 1 < plan.hits(busy) < 10


@pytest.mark.pitfall(141)
def test_listing_that_does_not_go_on_is_not_asked_for_ever(offline_api: Any) -> None:
    headers = {"x-oio-list-truncated": "true", "x-oio-list-marker": "o"}
    page = SimpleNamespace(status=200, headers=headers), {"objects": [{"name": "o"}]}
    offline_api.container._direct_request = Mock(side_effect=[page] * 3)
    with pytest.raises(exc.OioException, match="does not go on after 'o'"):
        list(offline_api.object_list_all("a", "c"))
    rows = SimpleNamespace(status=200, headers={}), {"listing": [["c", 0, 0, 0, 0.0]]}
    offline_api.account._get_account_addr = Mock(return_value="127.0.0.1:2")
    offline_api.account._direct_request = Mock(side_effect=[rows] * 3)
    with pytest.raises(exc.OioException, match="does not go on after 'c'"):
        list(offline_api.container_list_all("a"))


@pytest.mark.pitfall(90, 141)
def test_empty_page_is_not_the_end(offline_api: Any) -> None:
    pages = iter(
        [
            ({"x-oio-list-truncated": "true", "x-oio-list-marker": "m"}, []),
            ({"x-oio-list-truncated": "false", "x-oio-list-marker": "z"}, [{"name": "z"}]),
        ]
    )

    def page(*args: Any, **kwargs: Any) -> Any:
        headers, objects = next(pages)
        return SimpleNamespace(status=200, headers=headers), {"objects": objects}

    offline_api.container._direct_request = Mock(side_effect=page)
    assert names(offline_api.object_list_all("a", "c")) == ["z"]


def test_container_id_is_enough(api: Any) -> None:
    fill(api, alias("a", 1))
    cid = api.object_list(ACCOUNT, CONTAINER)["system"]["sys.name"]
    assert names(api.object_list_all(None, None, cid=cid)) == ["a"]


def test_nothing_is_asked_before_it_is_needed(api: Any, namespace: Namespace) -> None:
    fill(api, alias("a", 1), alias("b", 2))
    namespace.forget_requests()
    found = api.object_list_all(ACCOUNT, CONTAINER, limit=1)
    assert namespace.requests == []
    next(found)
    assert routes(namespace) == ["proxy GET container/list"]


def test_what_is_missing_is_told_at_the_first_item(api: Any) -> None:
    objects, containers = api.object_list_all(ACCOUNT, "missing"), api.container_list_all("missing")
    with pytest.raises(exc.NoSuchContainer):
        next(objects)
    with pytest.raises(exc.NoSuchAccount):
        next(containers)


def test_properties_are_given_when_asked_for(api: Any) -> None:
    api.object_create(ACCOUNT, CONTAINER, obj_name="o", data=b"", properties={"k": "v"})
    with_properties = list(api.object_list_all(ACCOUNT, CONTAINER, properties=True))
    assert with_properties == api.object_list(ACCOUNT, CONTAINER, properties=True)["objects"]
    assert with_properties[0]["properties"] == {"k": "v"}
    assert left(api) == [("o", with_properties[0]["version"], False)]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"limit": 0}, ValueError, "limit must be at least 1"),
        ({"limit": "many"}, TypeError, "limit must be an int"),
        ({"marker": b"m"}, TypeError, "marker must be a str"),
        ({"prefix": 1}, TypeError, "prefix must be a str"),
        ({"end_marker": 1}, TypeError, "end_marker must be a str"),
        ({"delimiter": "ab"}, ValueError, "delimiter must be one ASCII character"),
        ({"delimiter": "\u00e9"}, ValueError, "delimiter must be one ASCII character"),
    ],
)
def test_wrong_arguments_are_refused_at_once(
    offline_api: Any, options: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        offline_api.object_list_all("a", "c", **options)
    with pytest.raises(error, match=text):
        offline_api.container_list_all("a", **options)


def test_public_helper_pages_through_the_same_listings(api: Any) -> None:
    fill(api, *(alias(name, number + 1) for number, name in enumerate("abcde")))
    found = depaginate(
        api.object_list,
        lambda obj: obj["name"],
        lambda page: page["objects"],
        lambda page: page["next_marker"],
        lambda page: page["truncated"],
        ACCOUNT,
        CONTAINER,
        limit=2,
    )
    assert "".join(found) == "abcde"
    api.container_create_many("other", ["a", "b", "c"])
    rows = depaginate(
        api.container_list, None, None, lambda rows: rows and rows[-1][0], None, "other", limit=1
    )
    assert [row[0] for row in rows] == ["a", "b", "c"]
