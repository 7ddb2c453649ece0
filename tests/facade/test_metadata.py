# SPDX-License-Identifier: Apache-2.0
"""Accounts, containers, listings, properties, deletions: what the services know, told without a twist."""

from __future__ import annotations

import logging
import re
from typing import Any
from unittest.mock import Mock

import pytest
import urllib3

from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, LARGE, chunks_on_disk, create, header, read, routes
from tests.kit.releases import RELEASES

ON_RELEASES = RELEASES

#: Keys that spoil the headers of a location, one way or another.
ODD_KEYS = ["a b", "a:b", "Size", "HASH", "length", "é", "hash", "name", "version", "x-foo", "foo", "Foo"]


# --- accounts ----------------------------------------------------------------------------------------


def test_life_of_an_account(api: Any) -> None:
    assert api.account_create("new") is True
    assert api.account_create("new") is False
    api.account_set_properties("new", {"a": "1", "b": "é"})
    api.account_del_properties("new", ["a", "unknown"])
    assert api.account_get_properties("new")["properties"] == {"b": "é"}
    assert api.account_show("new")["metadata"].items() >= {"b": "é"}.items()
    assert api.account_list() == ["new"]
    api.account_delete("new")
    for call in (api.account_show, api.account_get_properties, api.account_delete, api.container_list):
        with pytest.raises(exc.NoSuchAccount, match="Account 'new' does not exist"):
            call("new")


def test_account_that_holds_containers_is_not_deleted(api: Any) -> None:
    api.container_create(ACCOUNT, CONTAINER)
    with pytest.raises(exc.Conflict):
        api.account_delete(ACCOUNT)


def test_deprecated_account_update_sets_and_removes(api: Any) -> None:
    api.account_set_properties(ACCOUNT, {"a": "1"})
    with pytest.deprecated_call():
        api.account_update(ACCOUNT, {"b": "2"}, ["a"])
    assert api.account_get_properties(ACCOUNT)["properties"] == {"b": "2"}


@pytest.mark.pitfall(93)
def test_containers_are_listed_page_by_page(api: Any) -> None:
    api.container_create_many(ACCOUNT, ["a", "b/1", "b/2", "c"])
    assert [item[0] for item in api.container_list(ACCOUNT, limit=2)] == ["a", "b/1"]
    assert [item[0] for item in api.container_list(ACCOUNT, marker="b/1")] == ["b/2", "c"]
    assert [item[0] for item in api.container_list(ACCOUNT, end_marker="b/2")] == ["a", "b/1"]
    assert [item[0] for item in api.container_list(ACCOUNT, prefix="b")] == ["b/1", "b/2"]
    folded = api.container_list(ACCOUNT, delimiter="/")
    assert [(item[0], item[3]) for item in folded] == [("a", 0), ("b/", 1), ("c", 0)]
    assert [item[0] for item in api.container_list(ACCOUNT, s3_buckets_only=True)] == []


@pytest.mark.pitfall(105)
def test_account_service_that_left_is_replaced_for_reads(api: Any, namespace: Namespace) -> None:
    api.account_create("new")
    with namespace.faults(Fault("reset", service="account", operation="GET", nth=1, phase="head")):
        assert api.account_show("new")["id"] == "new"
    with (
        namespace.faults(Fault("refuse", service="account")),
        pytest.raises(exc.OioNetworkException) as info,
    ):
        api.account_show("new")
    assert info.value.service == namespace.account.address


@pytest.mark.pitfall(105)
def test_changes_are_not_sent_to_an_account_service_twice(api: Any, namespace: Namespace) -> None:
    api.account_create("new")
    fault = Fault("reset", service="account", phase="head")
    with namespace.faults(fault) as plan, pytest.raises(exc.OioNetworkException):
        api.account_set_properties("new", {"a": "1"})
    assert plan.hits(fault) == 1


def test_namespace_without_an_account_service_is_no_missing_account(api: Any, namespace: Namespace) -> None:
    body = '{"status": 453, "message": "Service type [account] not managed"}'
    fault = Fault("status", service="proxy", operation="lb/choose", status=404, body=body)
    with namespace.faults(fault), pytest.raises(exc.ServiceUnavailable, match="no account service") as info:
        api.account_show("new")
    assert info.value.service == namespace.proxy.address


# --- containers --------------------------------------------------------------------------------------


def test_life_of_a_container(api: Any) -> None:
    assert api.container_create(ACCOUNT, CONTAINER, {"a": "1", "empty": ""}) is True
    assert api.container_create(ACCOUNT, CONTAINER, {"b": "2"}) is False
    # The service keeps empty values here, and nowhere else (pitfalls row 149).
    assert api.container_show(ACCOUNT, CONTAINER) == {"properties": {"a": "1", "empty": ""}}
    api.container_set_properties(ACCOUNT, CONTAINER, {"a": "", "c": "3"}, system={"sys.m2.quota": "9"})
    known = api.container_get_properties(ACCOUNT, CONTAINER)
    assert (known["properties"], known["system"]["sys.m2.quota"]) == ({"empty": "", "c": "3"}, "9")
    api.container_del_properties(ACCOUNT, CONTAINER, ["c", "unknown"])
    assert api.container_show(ACCOUNT, CONTAINER) == {"properties": {"empty": ""}}
    api.container_set_properties(ACCOUNT, CONTAINER, {"d": "4"}, clear=True)
    assert api.container_show(ACCOUNT, CONTAINER) == {"properties": {"d": "4"}}
    api.container_touch(ACCOUNT, CONTAINER)
    api.container_delete(ACCOUNT, CONTAINER)
    with pytest.raises(exc.NoSuchContainer):
        api.container_delete(ACCOUNT, CONTAINER)


def test_properties_are_where_tests_of_applications_look_for_them(offline_api: Any) -> None:
    client = offline_api.container = Mock(spec=offline_api.container)
    given = {"properties": {"a": "1"}, "system": {"sys.m2.quota": "9"}}
    offline_api.container_create(ACCOUNT, CONTAINER, **given)
    created = client.container_create.call_args
    assert created.args == (ACCOUNT, CONTAINER)
    assert {name: created.kwargs[name] for name in given} == given
    offline_api.container_set_properties(ACCOUNT, CONTAINER, **given)
    changed = client.container_set_properties.call_args
    assert changed.args[:3] == (ACCOUNT, CONTAINER, given["properties"])
    assert changed.kwargs["system"] == given["system"]


@pytest.mark.pitfall(85, 86, 132)
@pytest.mark.parametrize("name", ["never", "destroyed"])
def test_every_call_about_a_missing_container_says_so(api: Any, name: str) -> None:
    api.container_create(ACCOUNT, "destroyed")
    api.container_delete(ACCOUNT, "destroyed")
    calls = [
        lambda: api.container_show(ACCOUNT, name),
        lambda: api.container_get_properties(account=ACCOUNT, container=name),
        lambda: api.container_set_properties(ACCOUNT, container=name, properties={"a": "b"}),
        lambda: api.container_del_properties(ACCOUNT, name, ["a"]),
        lambda: api.container_touch(ACCOUNT, name),
        lambda: api.container_touch(ACCOUNT, name, recompute=True),
        lambda: api.container_delete(ACCOUNT, name),
        lambda: api.object_list(ACCOUNT, name),
        lambda: api.object_locate(ACCOUNT, name, "o"),
        lambda: api.object_fetch(account=ACCOUNT, container=name, obj="o"),
        lambda: api.object_get_properties(ACCOUNT, name, "o"),
        lambda: api.object_set_properties(ACCOUNT, name, "o", {"a": "b"}),
        lambda: api.object_del_properties(ACCOUNT, name, "o", ["a"]),
        lambda: api.object_touch(ACCOUNT, name, "o"),
        lambda: api.object_delete(ACCOUNT, name, "o"),
        lambda: api.object_create(ACCOUNT, name, obj_name="o", data=b"", autocreate=False),
    ]
    for call in calls:
        with pytest.raises(exc.NoSuchContainer, match=f"Container '{name}' does not exist"):
            call()


@pytest.mark.pitfall(155)
def test_full_container_is_deleted_by_force_only(api: Any) -> None:
    create(api, "o")
    with pytest.raises(exc.ContainerNotEmpty):
        api.container_delete(ACCOUNT, CONTAINER)
    api.container_delete(ACCOUNT, CONTAINER, force=True)
    with pytest.raises(exc.NoSuchContainer):
        api.container_show(ACCOUNT, CONTAINER)


@pytest.mark.pitfall(104)
def test_more_containers_than_the_service_takes_at_once_are_created(api: Any, namespace: Namespace) -> None:
    names = [f"c{number:03}" for number in range(205)]
    assert api.container_create_many(ACCOUNT, iter(names)) == [(name, True) for name in names]
    assert api.container_create_many(ACCOUNT, names[:2]) == [("c000", False), ("c001", False)]


@pytest.mark.pitfall(103, "E15")
def test_removing_no_property_removes_none(api: Any, namespace: Namespace) -> None:
    create(api, "o", properties={"a": "1"}, container_properties={"properties": {"b": "2"}})
    api.account_set_properties(ACCOUNT, {"c": "3"})
    api.object_del_properties(ACCOUNT, CONTAINER, "o", [])
    api.container_del_properties(ACCOUNT, CONTAINER, [])
    api.account_del_properties(ACCOUNT, [])
    with pytest.deprecated_call():
        api.container_update(ACCOUNT, CONTAINER, {})
    assert api.object_get_properties(ACCOUNT, CONTAINER, "o")["properties"] == {"a": "1"}
    assert api.container_show(ACCOUNT, CONTAINER) == {"properties": {"b": "2"}}
    assert api.account_get_properties(ACCOUNT)["properties"] == {"c": "3"}


@pytest.mark.pitfall("W16")
def test_other_properties_are_cleared_where_services_leave_them(
    api: Any, namespace: Namespace, release: str
) -> None:
    """Services of 2026 take the flag, say that it is done, and clear nothing."""
    api.container_create(ACCOUNT, CONTAINER, {"a": "1", "b": "2", "c": "3"})
    namespace.forget_requests()
    system = {"sys.m2.quota": "9"}
    assert api.container_set_properties(ACCOUNT, CONTAINER, {"a": "4", "d": "5"}, True, system) == {}
    assert len(namespace.requests) == (1 if release == "7.3" else 3)
    known = api.container_get_properties(ACCOUNT, CONTAINER)
    assert known["properties"] == {"a": "4", "d": "5"}
    assert known["system"]["sys.m2.quota"] == "9"
    assert api.container_del_properties(ACCOUNT, CONTAINER, ["a"]) == {}
    assert api.container_show(ACCOUNT, CONTAINER)["properties"] == {"d": "5"}


@pytest.mark.pitfall("W9", "W16")
def test_account_is_described_alike(api: Any, release: str) -> None:
    api.account_create("new")
    shown = api.account_show("new")
    assert re.fullmatch(r"\d+\.\d{5}", shown["ctime"])
    counters = ("id", "bytes", "objects", "containers", "buckets")
    assert [shown[name] for name in counters] == ["new", 0, 0, 0, 0]
    assert ("regions" in shown) is (release == "2026")
    assert ("damaged_objects" in shown) is (release == "7.3")
    assert api.account_get_properties("new")["properties"] == {}


@pytest.mark.pitfall("W8")
@pytest.mark.parametrize("all_accounts", [True, False])
def test_refresh_forgets_containers_that_are_gone(api: Any, namespace: Namespace, all_accounts: bool) -> None:
    create(api, "o")
    api.account.container_update(ACCOUNT, "gone", {"mtime": 1.5, "objects": 3, "bytes": 7})
    assert api.account_show(ACCOUNT)["containers"] == 2
    api.account_refresh(None if all_accounts else ACCOUNT)
    assert [row[:3] for row in api.container_list(ACCOUNT)] == [[CONTAINER, 1, 5]]
    api.account.container_update(ACCOUNT, "gone too", {"mtime": 1.5})
    api.container_refresh(ACCOUNT, "gone too")
    assert api.account_show(ACCOUNT)["containers"] == 1


@pytest.mark.pitfall(103, "E15")
def test_setting_none_with_clear_removes_all(api: Any) -> None:
    create(api, "o", properties={"a": "1"}, container_properties={"properties": {"b": "2"}})
    api.object_set_properties(ACCOUNT, CONTAINER, "o", {}, clear=True)
    api.container_set_properties(ACCOUNT, CONTAINER, {}, clear=True)
    assert api.object_get_properties(ACCOUNT, CONTAINER, "o")["properties"] == {}
    assert api.container_show(ACCOUNT, CONTAINER) == {"properties": {}}


def test_recount_finds_the_chunks_that_are_missing(api: Any, namespace: Namespace, release: str) -> None:
    create(api, "whole", policy="THREECOPIES")
    with namespace.faults(Fault("status", operation="PUT", nth=1, status=503)):
        create(api, "damaged", LARGE, policy="THREECOPIES")
    api.container_touch(ACCOUNT, CONTAINER, recompute=True)
    system = api.container_get_properties(ACCOUNT, CONTAINER)["system"]
    told = [system.get(name) for name in ("sys.m2.objects.damaged", "sys.m2.chunks.missing")]
    # Services of today do not keep it.
    assert told == (["1", "1"] if release == "7.3" else [None, None])


# --- properties of objects ---------------------------------------------------------------------------


@pytest.mark.pitfall(149)
def test_properties_of_an_object_are_set_and_removed(api: Any) -> None:
    create(api, "o", properties={"a": "1"})
    api.object_set_properties(ACCOUNT, CONTAINER, "o", {"b": "2", "c": "3"})
    # An empty value removes the property.
    api.object_set_properties(ACCOUNT, CONTAINER, "o", {"a": ""})
    assert api.object_del_properties(ACCOUNT, CONTAINER, "o", ["c", "unknown"]) is True
    assert api.object_get_properties(ACCOUNT, CONTAINER, "o")["properties"] == {"b": "2"}
    with pytest.deprecated_call():
        api.object_update(ACCOUNT, CONTAINER, "o", {"d": "4"}, clear=True)
    with pytest.deprecated_call():
        assert api.object_show(ACCOUNT, CONTAINER, "o")["properties"] == {"d": "4"}


@pytest.mark.pitfall(60, 101, 148, 158)
@pytest.mark.parametrize("key", ODD_KEYS)
def test_property_never_hides_or_replaces_what_describes_the_object(api: Any, key: str) -> None:
    create(api, "o", properties={key: "99 é", "z": "last"})
    expected = api.object_get_properties(ACCOUNT, CONTAINER, "o")
    assert expected["properties"] == {key: "99 é", "z": "last"}
    meta, chunks = api.object_locate(ACCOUNT, CONTAINER, "o")
    if key in ("hash", "length", "name", "version"):
        # Those named exactly like a field are not sent along: only object_get_properties has them.
        assert meta["properties"] == {"z": "last"}
        meta["properties"] = expected["properties"]
    assert meta == expected
    assert [chunk["size"] for chunk in chunks] == [5] * len(chunks)
    assert read(api, "o") == b"hello"


def test_odd_properties_are_read_without_a_word(api: Any, caplog: pytest.LogCaptureFixture) -> None:
    create(api, "o", properties={"a b": "secret"})
    assert api.object_locate(ACCOUNT, CONTAINER, "o")[0]["properties"] == {"a b": "secret"}
    assert [record.message for record in caplog.records if record.levelno >= logging.INFO] == []


def test_odd_properties_are_read_through_a_pool_of_the_application(
    namespace: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    # Not a word of urllib3 about it: a traceback that is kept would keep the connection.
    caplog.set_level(logging.ERROR, "urllib3")
    with urllib3.PoolManager() as manager, namespace.api(pool_manager=manager) as api:
        create(api, "o", properties={"a b": "secret"})
        assert api.object_locate(ACCOUNT, CONTAINER, "o")[0]["properties"] == {"a b": "secret"}


@pytest.mark.pitfall(158)
@pytest.mark.parametrize("key", ["a\nb", "a\x01", "a: 1\r\nx-oio-content-meta-size: 99\r\nz"])
def test_property_set_by_another_client_does_not_hide_or_replace_anything(
    api: Any, namespace: Namespace, key: str
) -> None:
    create(api, "o")
    api.container.content_set_properties(ACCOUNT, CONTAINER, "o", {key: "v"})
    meta, _ = api.object_locate(ACCOUNT, CONTAINER, "o")
    assert meta == api.object_get_properties(ACCOUNT, CONTAINER, "o")
    assert meta["properties"] == {key: "v"}
    assert read(api, "o") == b"hello"


def no_such_version(times: int | None = None) -> Fault:
    """The version that was located is gone when its properties are asked for."""
    body = '{"status": 420, "message": "Alias not found"}'
    operation = "content/get_properties"
    return Fault("status", service="proxy", operation=operation, nth=times, status=404, body=body)


def test_object_replaced_while_it_is_located_is_located_again(api: Any, namespace: Namespace) -> None:
    create(api, "o", properties={"é": "1"})
    with namespace.faults(no_such_version(times=1)) as plan:
        assert api.object_locate(ACCOUNT, CONTAINER, "o")[0]["properties"] == {"é": "1"}
    plan.assert_met()


def test_object_replaced_again_and_again_is_not_located_for_ever(api: Any, namespace: Namespace) -> None:
    create(api, "o", properties={"é": "1"})
    with namespace.faults(no_such_version()), pytest.raises(exc.NoSuchObject):
        api.object_locate(ACCOUNT, CONTAINER, "o")


def test_version_that_vanishes_while_it_is_located_is_not_another_one(api: Any, namespace: Namespace) -> None:
    create(api, "o", properties={"é": "1"})
    version = api.object_get_properties(ACCOUNT, CONTAINER, "o")["version"]
    with namespace.faults(no_such_version(times=1)), pytest.raises(exc.NoSuchObject):
        api.object_locate(ACCOUNT, CONTAINER, "o", version=version)


@pytest.mark.pitfall(158)
def test_key_that_hides_other_properties_only_is_noticed(api: Any) -> None:
    properties = {"y": "1", "z a": "2", "zz": "3"}
    create(api, "o", properties=properties)
    assert api.object_locate(ACCOUNT, CONTAINER, "o")[0]["properties"] == properties


@pytest.mark.pitfall(60)
def test_more_properties_than_headers_are_allowed(api: Any, namespace: Namespace) -> None:
    properties = {f"k{number:03}": "v" for number in range(300)}
    create(api, "o", properties=properties)
    meta, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")
    assert meta["properties"] == properties
    assert b"".join(stream) == b"hello"


def test_location_takes_one_request_when_nothing_is_odd(api: Any, namespace: Namespace) -> None:
    create(api, "o", properties={"color": "blue", "Project": "é/x y"})
    namespace.forget_requests()
    meta, _ = api.object_locate(ACCOUNT, CONTAINER, "o")
    assert meta["properties"] == {"color": "blue", "Project": "é/x y"}
    assert routes(namespace) == ["proxy GET content/locate"]


# --- presence ----------------------------------------------------------------------------------------


def lose(namespace: Namespace, url: str) -> None:
    """Remove a chunk from its rawx, and let nobody know."""
    address, _, chunk_id = url.removeprefix("http://").partition("/")
    next(rawx for rawx in namespace.rawx if rawx.address == address).store.delete(chunk_id)


@pytest.mark.pitfall(88)
def test_presence_is_told_at_three_levels(api: Any, namespace: Namespace) -> None:
    create(api, "o", LARGE, policy="THREECOPIES")

    def presence() -> list[bool]:
        return [api.object_head(ACCOUNT, CONTAINER, "o", trust_level=level) for level in (0, 1, 2)]

    assert presence() == [True, True, True]
    chunks = [chunk["url"] for chunk in api.object_locate(ACCOUNT, CONTAINER, "o")[1] if chunk["pos"] == "1"]
    lose(namespace, chunks[0])
    assert presence() == [True, True, False]
    lose(namespace, chunks[1])
    lose(namespace, chunks[2])
    assert presence() == [True, False, False]
    api.object_delete(ACCOUNT, CONTAINER, "o")
    assert presence() == [False, False, False]
    assert not api.object_head(ACCOUNT, "missing", "o", trust_level=1)


@pytest.mark.pitfall(88)
def test_presence_is_not_denied_because_of_a_rawx_that_does_not_answer(
    api: Any, namespace: Namespace
) -> None:
    create(api, "o", policy="THREECOPIES")
    with namespace.faults(Fault("refuse", address=namespace.rawx[0].address)):
        assert api.object_head(ACCOUNT, CONTAINER, "o", trust_level=1)
        with pytest.raises(exc.OioNetworkException):
            api.object_head(ACCOUNT, CONTAINER, "o", trust_level=2)
    with namespace.faults(Fault("refuse")), pytest.raises(exc.OioNetworkException):
        api.object_head(ACCOUNT, CONTAINER, "o", trust_level=1)


@pytest.mark.pitfall(70)
def test_heads_of_chunks_carry_the_request_id(api: Any, namespace: Namespace) -> None:
    create(api, "o")
    namespace.forget_requests()
    api.object_head(ACCOUNT, CONTAINER, "o", trust_level=2, reqid="MINE")
    seen = {header(record, "x-oio-req-id") for record in namespace.requests}
    assert seen == {"MINE"}


def test_chunks_are_described_by_their_rawx(api: Any, namespace: Namespace) -> None:
    created = create(api, "o", LARGE, policy="TWOCOPIES")
    _, chunks = api.object_locate(ACCOUNT, CONTAINER, "o")
    lost = next(chunk["url"] for chunk in chunks if chunk["pos"] == "1")
    lose(namespace, lost)
    _, described = api.object_locate(ACCOUNT, CONTAINER, "o", chunk_info=True)
    described = list(described)
    assert [chunk["pos"] for chunk in described] == ["0", "0", "1", "1"]
    for chunk in described:
        if chunk["url"] == lost:
            assert "HTTP 404" in chunk["error"]
        else:
            assert chunk["chunk_size"] == str(chunk["size"])
            assert chunk["chunk_hash"] == chunk["hash"]
            assert chunk["full_path"] == created["full_path"]


# --- listings ----------------------------------------------------------------------------------------


def listed(api: Any, **kwargs: Any) -> list[str]:
    """Names and prefixes of a container, page after page."""
    found: list[str] = []
    while True:
        page = api.object_list(ACCOUNT, CONTAINER, **kwargs)
        found += [obj["name"] for obj in page["objects"]] + page["prefixes"]
        if not page["truncated"]:
            return found
        kwargs["marker"] = page["next_marker"]


@pytest.mark.pitfall(67, 89, 90, 141)
@pytest.mark.parametrize("limit", [1, 2, 3, None])
def test_pages_hold_every_name_once(api: Any, limit: int | None) -> None:
    names = ["%41", "a b", "a/1", "a/2", "b+c", "c?d&e=f", "d\ne", "é", "😀"]
    for name in names:
        create(api, name, b"", policy="SINGLE")
    assert listed(api, limit=limit) == names
    # Prefixes come after the objects of their page.
    folded = listed(api, limit=limit, delimiter="/")
    assert sorted(folded) == sorted(["%41", "a b", "a/", *names[4:]])
    assert listed(api, limit=limit, prefix="a/") == ["a/1", "a/2"]


@pytest.mark.pitfall(139)
def test_marker_before_the_prefix_is_dropped(api: Any) -> None:
    for name in ("a", "b/1", "b/2"):
        create(api, name, b"", policy="SINGLE")
    assert listed(api, prefix="b/", marker="a") == ["b/1", "b/2"]
    assert listed(api, prefix="b/", marker="b/1") == ["b/2"]


@pytest.mark.pitfall(92)
def test_properties_are_listed_when_asked_for(api: Any) -> None:
    create(api, "o", properties={"k": "v"})
    assert "properties" not in api.object_list(ACCOUNT, CONTAINER)["objects"][0]
    assert api.object_list(ACCOUNT, CONTAINER, properties=True)["objects"][0]["properties"] == {"k": "v"}


def test_versions_and_deleted_objects_are_listed_when_asked_for(api: Any) -> None:
    api.container_create(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    create(api, "o", b"1")
    create(api, "o", b"22")
    api.object_delete(ACCOUNT, CONTAINER, "o")
    assert listed(api) == []
    assert listed(api, deleted=True) == ["o"]
    versions = api.object_list(ACCOUNT, CONTAINER, versions=True)["objects"]
    assert [(obj["deleted"], obj["size"], obj["is_latest"]) for obj in versions] == [
        (True, None, True),
        (False, 2, False),
        (False, 1, False),
    ]


def test_listing_describes_the_container(api: Any) -> None:
    api.container_create(ACCOUNT, CONTAINER, {"k": "v"})
    page = api.object_list(ACCOUNT, CONTAINER)
    assert page["properties"] == {"k": "v"}
    assert page["system"]["sys.user.name"] == CONTAINER
    assert (page["objects"], page["prefixes"], page["truncated"]) == ([], [], False)


# --- deletions ---------------------------------------------------------------------------------------


@pytest.mark.pitfall(142)
def test_deletion_without_a_version_is_not_repeated(api: Any, namespace: Namespace) -> None:
    api.container_create(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    version = create(api, "o")["version"]
    for operation, call in (
        ("content/delete", lambda: api.object_delete(ACCOUNT, CONTAINER, "o", request_attempts=3)),
        (
            "content/delete_many",
            lambda: api.object_delete_many(ACCOUNT, CONTAINER, ["o"], request_attempts=3),
        ),
    ):
        fault = Fault("status", service="proxy", operation=operation)
        with namespace.faults(fault) as plan, pytest.raises(exc.ServiceBusy):
            call()
        assert plan.hits(fault) == 1
    with namespace.faults(Fault("status", service="proxy", operation="content/delete", nth=1)):
        assert api.object_delete(ACCOUNT, CONTAINER, "o", version=version, request_attempts=3)


@pytest.mark.pitfall(80, 104)
def test_many_objects_are_deleted_whatever_holds_their_names(api: Any) -> None:
    names = [f"o{number:03}" for number in range(150)]
    for name in names[:3]:
        create(api, name, b"", policy="SINGLE")
    deleted = api.object_delete_many(ACCOUNT, CONTAINER, dict.fromkeys(names).keys())
    assert deleted == [(name, name in names[:3]) for name in names]
    assert api.object_delete_many(ACCOUNT, "missing", ["o"]) == [("o", False)]


@pytest.mark.pitfall("D5")
@pytest.mark.parametrize("none", [list, tuple, set, lambda: iter([])])
def test_nothing_is_asked_about_no_names(api: Any, namespace: Namespace, none: Any) -> None:
    create(api, "o")
    namespace.forget_requests()
    assert api.object_delete_many(ACCOUNT, CONTAINER, none()) == []
    assert api.container_create_many(ACCOUNT, none()) == []
    assert namespace.requests == []
    with pytest.raises(ValueError, match="container must not be empty"):
        api.object_delete_many(ACCOUNT, "", none())


# --- answers of something else -----------------------------------------------------------------------


@pytest.mark.pitfall(78)
@pytest.mark.parametrize("status", [200, 404, 502])
def test_page_of_another_server_is_no_answer(api: Any, namespace: Namespace, status: int) -> None:
    fault = Fault(
        "status", service="proxy", status=status, body="<html>Welcome</html>", content_type="text/html"
    )
    calls = [
        lambda: api.container_show(ACCOUNT, CONTAINER),
        lambda: api.container_get_properties(ACCOUNT, CONTAINER),
        lambda: api.container_create_many(ACCOUNT, [CONTAINER]),
        lambda: api.object_list(ACCOUNT, CONTAINER),
        lambda: api.object_locate(ACCOUNT, CONTAINER, "o"),
        lambda: api.object_get_properties(ACCOUNT, CONTAINER, "o"),
        lambda: api.object_delete_many(ACCOUNT, CONTAINER, ["o"]),
        lambda: api.object_create(ACCOUNT, CONTAINER, obj_name="o", data=b""),
        lambda: api.account_show(ACCOUNT),
    ]
    with namespace.faults(fault):
        for call in calls:
            with pytest.raises(exc.OioException) as info:
                call()
            assert namespace.proxy.address in str(info.value)
            assert str(status) in str(info.value)
    assert chunks_on_disk(namespace) == []
