# SPDX-License-Identifier: Apache-2.0
"""The iterators over listings: everything is there once, whatever the page size."""

from __future__ import annotations

import contextlib
import itertools
import sys
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
from tests.kit.releases import RELEASES
from tests.kit.rows import alias, fill, left, versions_of

ON_RELEASES = RELEASES

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

    @settings(max_examples=75, deadline=None)
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

    @settings(max_examples=50, deadline=None)
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
        found = [{**row} for row in rows if row["name"] > (params.get("marker") or "")]
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


def service_of_today(rows: list[dict[str, Any]], asked: list[Any]) -> Any:
    """Gives pages of versions as services of 2026 do: full ones tell where they end."""

    def page(method: str, url: str, params: Any = None, **kwargs: Any) -> Any:
        asked.append(params)
        name, version = params.get("marker") or "", params.get("version_marker")
        found = [
            row
            for row in rows
            if row["name"] > name or (row["name"] == name and version and row["version"] < int(version))
        ]
        headers = {"x-oio-list-truncated": str(len(found) > params["max"]).lower()}
        found = found[: params["max"]]
        if len(found) == params["max"]:
            headers["x-oio-list-marker"] = found[-1]["name"]
            headers["x-oio-list-version-marker"] = str(found[-1]["version"])
        # They do not give the content ID twice.
        return SimpleNamespace(status=200, headers=headers), {
            "objects": [{**row, "id": "A"} for row in found]
        }

    return page


@pytest.mark.pitfall(140, "W13")
@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
@pytest.mark.parametrize("counts", [{}, {"a": 1}, {"a": 2, "b": 1, "c": 1}, {"a": 1, "b": 1001, "c": 2}])
def test_listing_of_versions_goes_on_inside_a_name(
    offline_api: Any, counts: dict[str, int], limit: int
) -> None:
    rows = [{"name": name, "version": n} for name, count in counts.items() for n in range(count, 0, -1)]
    asked: list[Any] = []
    offline_api.container._direct_request = Mock(side_effect=service_of_today(rows, asked))
    found = list(offline_api.object_list_all("a", "c", versions=True, limit=limit))
    assert [(row["name"], row["version"]) for row in found] == [tuple(row.values()) for row in rows]
    assert [row["name"] for row in found if row["is_latest"]] == list(counts)
    # Nothing is asked for twice.
    assert len(asked) == max(1, -(-len(rows) // limit))


@pytest.mark.pitfall(140, "W13")
def test_services_of_today_list_any_number_of_versions(offline_api: Any) -> None:
    rows = [{"name": "o", "version": n} for n in range(12_000, 0, -1)]
    offline_api.container._direct_request = Mock(side_effect=service_of_today(rows, []))
    found = offline_api.object_list_all("a", "c", versions=True)
    assert [row["version"] for row in found] == list(range(12_000, 0, -1))


@pytest.mark.pitfall("W13")
def test_listing_of_versions_that_does_not_go_on_is_told(offline_api: Any) -> None:
    headers = {
        "x-oio-list-truncated": "true",
        "x-oio-list-marker": "o",
        "x-oio-list-version-marker": "5",
    }
    page = SimpleNamespace(status=200, headers=headers), {"objects": [{"name": "o", "version": 5}]}
    offline_api.container._direct_request = Mock(side_effect=[page] * 3)
    with pytest.raises(exc.OioException, match="does not go on after 'o'"):
        list(offline_api.object_list_all("a", "c", versions=True))
    headers["x-oio-list-version-marker"] = "five"
    offline_api.container._direct_request = Mock(side_effect=[page])
    with pytest.raises(exc.OioProtocolError):
        offline_api.object_list("a", "c", versions=True)


def test_listing_that_is_closed_asks_for_no_more_pages(api: Any, namespace: Namespace) -> None:
    fill(api, *(alias(name, 1) for name in "abcde"))
    with contextlib.closing(api.object_list_all(ACCOUNT, CONTAINER, limit=2)) as listing:
        assert next(listing)["name"] == "a"
        namespace.forget_requests()
    assert list(listing) == []
    assert list(namespace.requests) == []


@pytest.mark.pitfall("W13")
def test_versions_are_listed_page_by_page(api: Any, release: str) -> None:
    fill(api, *versions_of("one", 1), *versions_of("three", 5, 10), *versions_of("two", 2, 20))
    marks: dict[str, Any] = {}
    found: list[Any] = []
    while True:
        page = api.object_list(ACCOUNT, CONTAINER, versions=True, limit=2, **marks)
        found += [(obj["name"], obj["version"], obj["is_latest"]) for obj in page["objects"]]
        if not page["truncated"]:
            break
        marks = {"marker": page["next_marker"], "version_marker": page.get("next_version_marker")}
    lost = {("three", 13), ("three", 12), ("three", 11), ("three", 10)} if release == "7.3" else set()
    expected = [("one", 1, True), *(("three", n, n == 14) for n in range(14, 9, -1))]
    expected += [("two", 21, True), ("two", 20, False)]
    assert found == [item for item in expected if item[:2] not in lost]


@pytest.mark.pitfall("W13")
def test_folded_versions_are_listed_page_by_page(api: Any, release: str) -> None:
    fill(api, *versions_of("a", 2, 10), *versions_of("a/1", 2, 20), *versions_of("b", 1, 30))
    marks: dict[str, Any] = {}
    found: list[Any] = []
    while True:
        page = api.object_list(ACCOUNT, CONTAINER, versions=True, delimiter="/", limit=1, **marks)
        found += [*page["prefixes"], *((obj["name"], obj["version"]) for obj in page["objects"])]
        if not page["truncated"]:
            break
        marks = {"marker": page["next_marker"], "version_marker": page.get("next_version_marker")}
    expected = [("a", 11), ("a", 10), "a/", ("b", 30)]
    assert found == [item for item in expected if release == "2026" or item != ("a", 10)]


@pytest.mark.pitfall("W13")
def test_version_marker_of_a_listing_without_versions_is_of_no_use(api: Any) -> None:
    fill(api, *versions_of("o", 3), alias("p", 1))
    found = api.object_list(ACCOUNT, CONTAINER, marker="o", version_marker="3")
    assert names(found["objects"]) == ["p"]
    assert "next_version_marker" not in found


@pytest.mark.pitfall("W13")
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"version_marker": 5}, "version_marker needs a marker"),
        ({"version_marker": "x", "marker": "o"}, "version_marker must be an integer: 'x'"),
        ({"version_marker": True, "marker": "o"}, "version_marker must be an int or a str"),
    ],
)
def test_version_marker_that_makes_no_sense_is_refused(offline_api: Any, options: Any, text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        offline_api.object_list("a", "c", versions=True, **options)


@pytest.mark.pitfall(140, "W13")
def test_purge_and_flush_see_all_versions(api: Any) -> None:
    fill(api, *versions_of("a", 1010), *versions_of("b", 3), system={"sys.m2.policy.version": "-1"})
    api.container_purge(ACCOUNT, CONTAINER, maxvers=1009)
    assert left(api)[:2] == [("a", 1010, False), ("a", 1009, False)]
    assert len(left(api)) == 1009 + 3
    api.container_flush(ACCOUNT, CONTAINER)
    assert left(api) == []


@pytest.mark.pitfall("W16")
def test_rows_have_the_content_id_under_both_names(api: Any) -> None:
    api.object_create(ACCOUNT, CONTAINER, obj_name="o", data=b"")
    (row,) = api.object_list(ACCOUNT, CONTAINER)["objects"]
    (same,) = api.object_list_all(ACCOUNT, CONTAINER, versions=True)
    assert row["content"] == row["id"] == same["content"] == same["id"]
    assert len(row["id"]) == 32


# --- regions -----------------------------------------------------------------------------------------


@pytest.mark.pitfall("W9")
def test_containers_are_those_of_a_region(api: Any, release: str) -> None:
    api.container_create(ACCOUNT, "near", region="localhost")
    if release == "7.3":
        with pytest.raises(exc.BadRequest, match="'localhost' is given, but the account service does not"):
            api.container_list(ACCOUNT, region="localhost")
        with pytest.raises(exc.BadRequest, match="does not know regions"):
            list(api.container_list_all(ACCOUNT, region="localhost"))
        return
    api.account.container_update(ACCOUNT, "far", {"mtime": 1.5}, region="elsewhere")
    for region, expected in (("LOCALHOST", ["near"]), ("elsewhere", ["far"]), ("nowhere", [])):
        assert [row[0] for row in api.container_list(ACCOUNT, region=region)] == expected
        assert [row[0] for row in api.container_list_all(ACCOUNT, region=region, limit=1)] == expected


@pytest.mark.pitfall("W9")
@pytest.mark.parametrize("region", ["", "a\nb", "\u00e9", 5])
def test_region_that_is_no_name_is_refused(offline_api: Any, region: Any) -> None:
    for call in (
        lambda: offline_api.container_list("a", region=region),
        lambda: offline_api.container_list_all("a", region=region),
        lambda: offline_api.container_create("a", "c", region=region),
    ):
        with pytest.raises((TypeError, ValueError), match="region must be"):
            call()


@pytest.mark.pitfall(152, "W9")
@pytest.mark.parametrize("limit", [1, 2, 3, None])
def test_pages_of_folded_containers_are_full(api: Any, limit: int | None) -> None:
    api.container_create_many(ACCOUNT, [*(f"b/{n:03}" for n in range(30)), "a", "c/1", "c/2", "d"])
    expected = ["a", "b/", "c/", "d"]
    page = api.container_list(ACCOUNT, delimiter="/", limit=limit)
    assert [row[0] for row in page] == expected[:limit]
    assert [row[0] for row in api.container_list(ACCOUNT, delimiter="/", marker="b/", limit=1)] == ["c/"]
    assert api.container_list(ACCOUNT, delimiter="/", marker="d") == []


@pytest.mark.pitfall("W9")
def test_folding_that_does_not_go_on_is_told(offline_api: Any) -> None:
    body = {"listing": [["b/1", 0, 0, 0, 0.0]], "regions": {}, "truncated": True}
    offline_api.account._get_account_addr = Mock(return_value="127.0.0.1:2")
    answer = SimpleNamespace(status=200, headers={}), body
    offline_api.account._direct_request = Mock(side_effect=[answer] * 3)
    with pytest.raises(exc.OioProtocolError, match="does not go on after"):
        offline_api.container_list("a", delimiter="/", limit=5)


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


def listing_of(api: Any, *pages: list[Any]) -> None:
    api.account._get_account_addr = Mock(return_value="127.0.0.1:2")
    found = [(SimpleNamespace(status=200, headers={}), {"listing": rows}) for rows in pages]
    api.account._direct_request = Mock(side_effect=found)


def test_containers_without_a_date_are_listed_as_the_service_gives_them(offline_api: Any) -> None:
    rows: list[Any] = [["c", 2, 10, 0], ["d/", 0, 0, 1], ["e", 1, 5, 0, 1554086801.5]]
    listing_of(offline_api, rows, rows, [])
    assert offline_api.container_list("a") == rows
    assert list(offline_api.container_list_all("a")) == rows


@pytest.mark.parametrize("row", [["c", 2, 10], ["c"], [], [1, 2, 10, 0], "cdef"])
def test_container_that_lacks_more_than_a_date_is_refused(offline_api: Any, row: Any) -> None:
    listing_of(offline_api, [row])
    with pytest.raises(exc.OioProtocolError, match="a container is described by"):
        offline_api.container_list("a")


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


def test_next_entry_of_a_page_costs_no_python_function(offline_api: Any) -> None:
    """Listings are long: a function for each name would be a tenth of their cost."""
    page = {"objects": [{"name": name} for name in "abc"], "truncated": False}
    offline_api.container.content_list = Mock(return_value=({}, page))
    listed = offline_api.object_list_all(ACCOUNT, CONTAINER)
    assert next(listed)["name"] == "a"
    called: list[str] = []

    def note(frame: Any, event: str, _arg: object) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        entry = next(listed)
    finally:
        sys.setprofile(None)
    assert (entry["name"], called) == ("b", [])


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


@pytest.mark.pitfall("E13b")
@pytest.mark.parametrize("limit", [0, -1, -1000, "0", "-3", None])
def test_limit_of_zero_or_less_is_none(api: Any, limit: Any) -> None:
    fill(api, *(alias(name, number + 1) for number, name in enumerate("abc")))
    assert [obj["name"] for obj in api.object_list(ACCOUNT, CONTAINER, limit=limit)["objects"]] == [*"abc"]
    assert [obj["name"] for obj in api.object_list_all(ACCOUNT, CONTAINER, limit=limit)] == [*"abc"]
    assert [row[0] for row in api.container_list(ACCOUNT, limit=limit)] == [CONTAINER]
    assert [row[0] for row in api.container_list_all(ACCOUNT, limit=limit)] == [CONTAINER]


@pytest.mark.pitfall("E13b")
def test_limit_of_zero_is_not_sent(offline_api: Any) -> None:
    answer = SimpleNamespace(headers={"x-oio-list-truncated": "false"}), {"objects": []}
    offline_api.container._direct_request = Mock(return_value=answer)
    offline_api.object_list("a", "c", limit=0)
    assert offline_api.container._direct_request.call_args.kwargs["params"]["max"] is None


@pytest.mark.pitfall("A9")
@pytest.mark.parametrize("delimiter", ["//", "ab", "\u00e9"])
def test_delimiter_of_which_a_part_would_be_used_is_refused(offline_api: Any, delimiter: str) -> None:
    with pytest.raises(ValueError, match="delimiter must be one ASCII character"):
        offline_api.object_list("a", "c", delimiter=delimiter)


@pytest.mark.pitfall("B10")
def test_listing_that_does_not_advance_ends_with_an_error(offline_api: Any) -> None:
    headers = {"x-oio-list-truncated": "true", "x-oio-list-marker": "o"}
    offline_api.container.content_list = lambda *_args, **_kwargs: (headers, {"objects": [{"name": "o"}]})
    listing = offline_api.object_list_all("a", "c")
    assert next(listing)["name"] == "o"
    with pytest.raises(exc.OioException, match="does not go on after 'o'"):
        next(listing)


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
