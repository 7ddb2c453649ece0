# SPDX-License-Identifier: Apache-2.0
"""Versions of objects, and the marks of those that are deleted, where they are kept and where not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, chunks_on_disk, create, read
from tests.kit.releases import RELEASES

ON_RELEASES = RELEASES

TARGET = (ACCOUNT, CONTAINER, "o")
CONTENTS = {1_000: b"first", 2_000: b"second", 3_000: b"third"}
"""Data of the versions of the object."""

spelled = pytest.mark.parametrize("spell", [int, str], ids=["int", "str"])


def keep(api: Any, number: int | str | None, **system: str) -> None:
    """Create the container, which keeps so many versions."""
    if number is not None:
        system["sys.m2.policy.version"] = str(number)
    api.container_create(ACCOUNT, CONTAINER, system=system)


@pytest.fixture
def three_versions(api: Any) -> dict[int, dict[str, Any]]:
    """An object of three versions: their descriptions."""
    keep(api, -1)
    return {version: create(api, "o", data, version=version) for version, data in CONTENTS.items()}


def listed(api: Any, **kwargs: Any) -> list[int]:
    """The versions of all objects, those that are delete markers as negative numbers."""
    objects = api.object_list(ACCOUNT, CONTAINER, **{"versions": True, **kwargs})["objects"]
    return [-obj["version"] if obj["deleted"] else obj["version"] for obj in objects]


# --- looking at a version ----------------------------------------------------------------------------


@spelled
@pytest.mark.pitfall(119)
def test_each_version_is_looked_at_apart(api: Any, three_versions: dict[int, Any], spell: Any) -> None:
    assert listed(api) == [3_000, 2_000, 1_000]
    assert [obj["is_latest"] for obj in api.object_list(ACCOUNT, CONTAINER, versions=True)["objects"]] == [
        True,
        False,
        False,
    ]
    assert listed(api, versions=False) == [3_000]
    for version, described in three_versions.items():
        wanted = {"version": spell(version)}
        assert read(api, "o", **wanted) == CONTENTS[version]
        assert read(api, "o", ranges=[(1, 2)], **wanted) == CONTENTS[version][1:3]
        meta, chunks = api.object_locate(*TARGET, **wanted)
        assert (meta["id"], meta["version"]) == (described["id"], str(version))
        assert {chunk["size"] for chunk in chunks} == {len(CONTENTS[version])}
        assert api.object_get_properties(*TARGET, **wanted)["id"] == described["id"]
        assert [api.object_head(*TARGET, trust_level=level, **wanted) for level in (0, 1, 2)] == [True] * 3
    assert read(api, "o") == b"third"


@spelled
@pytest.mark.pitfall(119)
def test_version_that_does_not_exist_is_missing_for_every_call(
    api: Any, three_versions: dict[int, Any], spell: Any
) -> None:
    missing = {"version": spell(42)}
    for call in (
        lambda: api.object_fetch(*TARGET, **missing),
        lambda: api.object_locate(*TARGET, **missing),
        lambda: api.object_get_properties(*TARGET, **missing),
        lambda: api.object_set_properties(*TARGET, {"k": "v"}, **missing),
        lambda: api.object_del_properties(*TARGET, ["k"], **missing),
        lambda: api.object_touch(*TARGET, **missing),
        lambda: api.object_drain(*TARGET, **missing),
        lambda: api.object_truncate(*TARGET, size=0, **missing),
        lambda: api.object_change_policy(*TARGET, "EC21", **missing),
        lambda: api.object_delete(*TARGET, **missing),
        lambda: api.object_link(*TARGET, ACCOUNT, CONTAINER, "link", target_version=42),
    ):
        with pytest.raises(exc.NoSuchObject):
            call()
    assert not any(api.object_head(*TARGET, trust_level=level, **missing) for level in (0, 1, 2))
    assert listed(api) == [3_000, 2_000, 1_000]


# --- changing a version ------------------------------------------------------------------------------


@spelled
@pytest.mark.pitfall(119)
def test_properties_of_a_version_are_its_own(api: Any, three_versions: dict[int, Any], spell: Any) -> None:
    def properties() -> list[dict[str, str]]:
        return [api.object_get_properties(*TARGET, version=version)["properties"] for version in CONTENTS]

    api.object_set_properties(*TARGET, {"a": "1", "b": "2"}, version=spell(2_000))
    assert properties() == [{}, {"a": "1", "b": "2"}, {}]
    api.object_set_properties(*TARGET, {"c": "3"})
    assert properties() == [{}, {"a": "1", "b": "2"}, {"c": "3"}]
    assert api.object_del_properties(*TARGET, ["a", "c"], version=spell(2_000))
    assert properties() == [{}, {"b": "2"}, {"c": "3"}]
    api.object_set_properties(*TARGET, {}, clear=True, version=spell(2_000))
    assert properties() == [{}, {}, {"c": "3"}]
    found = api.object_list(ACCOUNT, CONTAINER, versions=True, properties=True)["objects"]
    assert [obj.get("properties") for obj in found] == [{"c": "3"}, None, None]


@spelled
@pytest.mark.pitfall(119)
def test_data_of_a_version_are_its_own(
    api: Any, namespace: Namespace, three_versions: dict[int, Any], spell: Any
) -> None:
    api.object_truncate(*TARGET, size=2, version=spell(1_000))
    api.object_change_policy(*TARGET, "EC21", version=spell(2_000))
    api.object_touch(*TARGET, version=spell(2_000))
    assert [read(api, "o", version=version) for version in CONTENTS] == [b"fi", b"second", b"third"]
    policies = [api.object_get_properties(*TARGET, version=version)["policy"] for version in CONTENTS]
    assert policies == ["THREECOPIES", "EC21", "THREECOPIES"]
    api.object_drain(*TARGET, version=spell(1_000))
    with pytest.raises(exc.ContentDrained):
        read(api, "o", version=1_000)
    assert api.object_get_properties(*TARGET, version=1_000)["length"] == "2"
    assert [read(api, "o", version=version) for version in (2_000, 3_000)] == [b"second", b"third"]
    assert len(chunks_on_disk(namespace)) == 6


def test_appended_data_are_those_of_the_latest_version(api: Any, three_versions: dict[int, Any]) -> None:
    create(api, "o", b" one", append=True)
    assert [read(api, "o", version=version) for version in CONTENTS] == [b"first", b"second", b"third one"]


def test_older_version_may_come_later(api: Any, three_versions: dict[int, Any]) -> None:
    create(api, "o", b"between", version=1_500)
    assert listed(api) == [3_000, 2_000, 1_500, 1_000]
    assert read(api, "o") == b"third"
    with pytest.raises(exc.Conflict):
        create(api, "o", b"again", version=1_500)
    assert read(api, "o", version=1_500) == b"between"


# --- delete markers ----------------------------------------------------------------------------------


@spelled
def test_deleted_object_has_a_mark_and_comes_back_without_it(
    api: Any, namespace: Namespace, three_versions: dict[int, Any], spell: Any
) -> None:
    stored = sorted(chunks_on_disk(namespace))
    assert api.object_delete(*TARGET)
    assert listed(api) == [-3_001, 3_000, 2_000, 1_000]
    assert listed(api, versions=False) == []
    assert listed(api, versions=False, deleted=True) == [-3_001]
    assert sorted(chunks_on_disk(namespace)) == stored
    for gone in (
        lambda: read(api, "o"),
        lambda: read(api, "o", version=3_001),
        lambda: api.object_locate(*TARGET),
        lambda: api.object_locate(*TARGET, version=spell(3_001)),
        lambda: api.object_truncate(*TARGET, size=0),
        lambda: api.object_change_policy(*TARGET, "EC21"),
    ):
        with pytest.raises(exc.NoSuchObject):
            gone()
    assert not any(api.object_head(*TARGET, trust_level=level) for level in (0, 1, 2))
    assert not any(api.object_head(*TARGET, trust_level=level, version=spell(3_001)) for level in (0, 1, 2))
    assert read(api, "o", version=3_000) == b"third"
    assert api.object_delete(*TARGET, version=spell(3_001))
    assert listed(api) == [3_000, 2_000, 1_000]
    assert read(api, "o") == b"third"


def test_mark_tells_that_it_is_one(api: Any, three_versions: dict[int, Any]) -> None:
    api.object_delete(*TARGET)
    meta = api.object_get_properties(*TARGET)
    assert (meta["deleted"], meta["version"]) == ("True", "3001")
    (marker, *_) = api.object_list(ACCOUNT, CONTAINER, versions=True)["objects"]
    assert (marker["size"], marker["hash"], marker["policy"], marker["chunk_method"]) == (None,) * 4
    assert marker["is_latest"]


@pytest.mark.pitfall(142, "W14")
def test_second_deletion_removes_the_mark_of_the_first_or_makes_another(
    api: Any, three_versions: dict[int, Any], release: str
) -> None:
    api.object_delete(*TARGET)
    api.object_delete(*TARGET)
    marks = [] if release == "7.3" else [-3_002, -3_001]
    assert listed(api) == [*marks, 3_000, 2_000, 1_000]


def test_object_can_be_created_over_a_mark(api: Any, three_versions: dict[int, Any]) -> None:
    api.object_delete(*TARGET)
    create(api, "o", b"new", append=True, version=4_000)
    assert listed(api) == [4_000, -3_001, 3_000, 2_000, 1_000]
    assert read(api, "o") == b"new"


def test_many_deletions_make_as_many_marks(api: Any, three_versions: dict[int, Any]) -> None:
    create(api, "p", version=1)
    assert api.object_delete_many(ACCOUNT, CONTAINER, ["o", "p"]) == [("o", True), ("p", True)]
    assert listed(api) == [-3_001, 3_000, 2_000, 1_000, -2, 1]


def test_container_of_marks_is_empty(api: Any) -> None:
    keep(api, -1)
    version = create(api, "o")["version"]
    with pytest.raises(exc.ContainerNotEmpty):
        api.container_delete(ACCOUNT, CONTAINER)
    api.object_delete(*TARGET)
    api.object_delete(*TARGET, version=version)
    api.container_delete(ACCOUNT, CONTAINER)
    with pytest.raises(exc.NoSuchContainer):
        api.container_show(ACCOUNT, CONTAINER)


# --- how many versions a container keeps -------------------------------------------------------------


@pytest.mark.parametrize("number", [None, 0, 1])
def test_container_that_keeps_no_versions(api: Any, namespace: Namespace, number: int | None) -> None:
    keep(api, number)
    for version, data in CONTENTS.items():
        create(api, "o", data, version=version)
        assert listed(api) == [version]
    assert len(chunks_on_disk(namespace)) == 3
    with pytest.raises(exc.Conflict):
        create(api, "o", b"older", version=2_500)
    assert read(api, "o") == b"third"
    assert len(chunks_on_disk(namespace)) == 3
    assert api.object_delete(*TARGET)
    assert listed(api) == []
    assert chunks_on_disk(namespace) == []
    with pytest.raises(exc.NoSuchObject):
        api.object_delete(*TARGET)


@spelled
@pytest.mark.parametrize("number", [None, 1])
def test_version_may_be_named_where_only_one_is_kept(api: Any, number: int | None, spell: Any) -> None:
    keep(api, number)
    create(api, "o", version=5)
    with pytest.raises(exc.NoSuchObject):
        api.object_delete(*TARGET, version=spell(4))
    assert read(api, "o", version=spell(5)) == b"hello"
    assert api.object_delete(*TARGET, version=spell(5))
    assert listed(api) == []


@spelled
def test_version_is_refused_where_there_are_none(api: Any, spell: Any) -> None:
    keep(api, 0)
    create(api, "o", version=5)
    with pytest.raises(exc.BadRequest, match="Versioning not supported"):
        api.object_delete(*TARGET, version=spell(5))
    assert read(api, "o") == b"hello"


@pytest.mark.parametrize("number", [2, 3, -1])
def test_container_keeps_versions_until_it_is_purged(api: Any, namespace: Namespace, number: int) -> None:
    keep(api, number)
    for version, data in CONTENTS.items():
        create(api, "o", data, version=version)
    assert listed(api) == [3_000, 2_000, 1_000]
    api.container_purge(ACCOUNT, CONTAINER)
    left = {2: [3_000, 2_000], 3: [3_000, 2_000, 1_000], -1: [3_000, 2_000, 1_000]}[number]
    assert listed(api) == left
    assert len(chunks_on_disk(namespace)) == 3 * len(left)
    assert [read(api, "o", version=version) for version in left] == [CONTENTS[version] for version in left]


def test_container_may_drop_the_versions_that_are_too_many_at_once(api: Any, namespace: Namespace) -> None:
    keep(api, 2, **{"sys.m2.policy.version.delete_exceeding": "1"})
    for version, data in CONTENTS.items():
        create(api, "o", data, version=version)
    assert listed(api) == [3_000, 2_000]
    assert len(chunks_on_disk(namespace)) == 6


def test_versions_stay_when_a_container_keeps_no_more(api: Any, three_versions: dict[int, Any]) -> None:
    api.container_set_properties(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "1"})
    assert listed(api) == [3_000, 2_000, 1_000]
    create(api, "o", b"fourth", version=4_000)
    assert listed(api) == [4_000, 2_000, 1_000]
    api.object_delete(*TARGET)
    assert listed(api) == [2_000, 1_000]


def test_namespace_says_how_many_versions_a_container_keeps(tmp_path: Any) -> None:
    with Namespace(tmp_path / "namespace", rawx=3, max_versions=-1) as namespace, namespace.api() as api:
        for version, data in CONTENTS.items():
            create(api, "o", data, version=version)
        assert listed(api) == [3_000, 2_000, 1_000]


@pytest.mark.parametrize("name", ["x-oio-force-versioning", "x-oio-simulate-versioning"])
def test_headers_of_a_call_may_ask_for_versions(api: Any, name: str) -> None:
    headers = {name: "-1" if "force" in name else "true"}
    for version, data in CONTENTS.items():
        create(api, "o", data, version=version, headers=headers)
    api.object_delete(*TARGET, headers=headers)
    assert listed(api) == [-3_001, 3_000, 2_000, 1_000]
    system = api.container_get_properties(ACCOUNT, CONTAINER)["system"]
    assert system.get("sys.m2.policy.version") == ("-1" if "force" in name else None)


# --- what is told of deletions -----------------------------------------------------------------------


@spelled
@pytest.mark.pitfall("W14")
def test_deletion_tells_version_and_mark(
    api: Any, three_versions: dict[int, Any], release: str, spell: Any
) -> None:
    is_told = release == "2026"
    known = api.object_delete_ext(*TARGET)
    wanted = {"name": "o", "deleted": True, "version": None, "delete_marker": None, "error": None}
    assert known == (wanted | ({"version": "3001", "delete_marker": True} if is_told else {}))
    known = api.object_delete_ext(*TARGET, version=spell(3_001))
    assert (known["version"], known["delete_marker"]) == ("3001", True if is_told else None)
    known = api.object_delete_ext(*TARGET, version=spell(2_000))
    assert (known["version"], known["delete_marker"]) == ("2000", False if is_told else None)
    assert listed(api) == [3_000, 1_000]
    assert api.object_delete(*TARGET) is True
    with pytest.raises(exc.NoSuchObject):
        api.object_delete_ext(*TARGET, version=spell(42))


@pytest.mark.pitfall("W14")
def test_deletion_where_no_versions_are_kept_tells_which_one_it_was(api: Any, release: str) -> None:
    create(api, "o", version=5)
    known = api.object_delete_ext(*TARGET)
    told = ("5", False) if release == "2026" else (None, None)
    assert (known["deleted"], known["version"], known["delete_marker"]) == (True, *told)


@pytest.mark.pitfall("W14")
def test_versions_among_many_are_deleted_and_not_the_latest_ones(
    api: Any, three_versions: dict[int, Any]
) -> None:
    create(api, "p", version=1)
    create(api, "q", version=1)
    wanted = ["nothing", ("o", 2_000), ("o", "42"), "p", ("q", None)]
    found = api.object_delete_many_ext(ACCOUNT, CONTAINER, iter(wanted))
    assert [(item["name"], item["deleted"]) for item in found] == [
        ("nothing", False),
        ("o", True),
        ("o", False),
        ("p", True),
        ("q", True),
    ]
    assert [item["version"] for item in found] == [None, "2000", "42", None, None]
    assert [item["error"] for item in found] == [*["Alias not found", None] * 2, None]
    assert listed(api) == [3_000, 1_000, -2, 1, -2, 1]


@pytest.mark.pitfall("W14")
def test_nothing_is_deleted_of_nothing(api: Any, namespace: Namespace) -> None:
    namespace.forget_requests()
    assert api.object_delete_many_ext(ACCOUNT, CONTAINER, []) == []
    assert namespace.requests == []


@pytest.mark.pitfall("W14")
@pytest.mark.parametrize(
    ("objs", "text"),
    [
        ("o", "objs must be an iterable"),
        ([("o", "v")], "a version in objs must be an integer: 'v'"),
        ([("o", 1, 2)], "a name in objs must be a str"),
        ([""], "a name in objs must not be empty"),
    ],
)
def test_wrong_names_of_what_to_delete_are_refused(offline_api: Any, objs: Any, text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        offline_api.object_delete_many_ext(ACCOUNT, CONTAINER, objs)


def test_failure_of_a_service_is_no_entry(api: Any, namespace: Namespace) -> None:
    create(api, "o", version=5)
    fault = Fault("status", service="proxy", operation="content/delete", status=503)
    with namespace.faults(fault), pytest.raises(exc.ServiceBusy):
        api.object_delete_many_ext(ACCOUNT, CONTAINER, [("o", 5)])
    assert listed(api) == [5]


# --- refusals of today's services --------------------------------------------------------------------


@pytest.fixture
def locked(tmp_path: Any) -> Any:
    """A client of a container of today that may lock objects, with one that nobody may delete."""
    with Namespace(tmp_path / "locking", rawx=3, release="2026") as running, running.api() as client:
        keep(client, -1, **{"sys.m2.bucket.objectlock.enabled": "1"})
        hold = {"x-object-sysmeta-s3api-legal-hold-status": "ON"}
        create(client, "o", b"kept", version=5, properties=hold)
        yield client


@pytest.mark.pitfall("W15")
def test_locked_version_is_forbidden_to_delete(locked: Any) -> None:
    for delete in (
        lambda: locked.object_delete(*TARGET, version=5),
        lambda: locked.object_delete_ext(*TARGET, version=5),
        lambda: locked.container_flush(ACCOUNT, CONTAINER, fast=True),
    ):
        with pytest.raises(exc.Forbidden, match="object locked") as caught:
            delete()
        assert caught.value.status == 19
    (entry,) = locked.object_delete_many_ext(ACCOUNT, CONTAINER, [("o", 5)])
    assert (entry["deleted"], "object locked" in entry["error"]) == (False, True)
    with pytest.raises(exc.OioException, match="object locked"):
        locked.container_flush(ACCOUNT, CONTAINER)
    assert read(locked, "o") == b"kept"
    assert locked.object_delete_ext(*TARGET)["delete_marker"] is True


def retained(mode: str) -> dict[str, str]:
    """Properties of a version that nobody may delete for a while."""
    prefix = "x-object-sysmeta-s3api-retention-"
    return {f"{prefix}mode": mode, f"{prefix}retainuntildate": "2999-01-01T00:00:00Z"}


REMOVALS: dict[str, Callable[..., Any]] = {
    "delete": lambda api, **kw: api.object_delete(*TARGET, version=6, **kw),
    "delete_ext": lambda api, **kw: api.object_delete_ext(*TARGET, version=6, **kw),
    "delete_many_ext": lambda api, **kw: api.object_delete_many_ext(ACCOUNT, CONTAINER, [("o", 6)], **kw),
}


@pytest.mark.pitfall("W15")
@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
def test_retention_is_bypassed_on_demand(locked: Any, remove: Callable[..., Any]) -> None:
    create(locked, "o", b"retained", version=6, properties=retained("GOVERNANCE"))
    with contextlib.suppress(exc.Forbidden):
        remove(locked)
    assert listed(locked) == [6, 5]
    with contextlib.suppress(exc.Forbidden):
        remove(locked, bypass_governance="false")
    with pytest.raises(ValueError, match="bypass_governance must be True or False, not 'perhaps'"):
        remove(locked, bypass_governance="perhaps")
    assert listed(locked) == [6, 5]
    remove(locked, bypass_governance=True)
    assert listed(locked) == [5]
    create(locked, "o", b"retained", version=6, properties=retained("COMPLIANCE"))
    with contextlib.suppress(exc.Forbidden):
        remove(locked, bypass_governance=True)
    assert listed(locked) == [6, 5]


@pytest.mark.pitfall("W15")
@pytest.mark.parametrize("fast", [False, True], ids=["slow", "fast"])
def test_flush_bypasses_retention_on_demand(locked: Any, fast: bool) -> None:
    locked.object_set_properties(*TARGET, {"x-object-sysmeta-s3api-legal-hold-status": "OFF"}, version=5)
    create(locked, "o", b"retained", version=6, properties=retained("GOVERNANCE"))
    with pytest.raises(exc.OioException, match="object locked"):
        locked.container_flush(ACCOUNT, CONTAINER, fast=fast)
    locked.container_flush(ACCOUNT, CONTAINER, fast=fast, bypass_governance=True)
    assert listed(locked) == []


def test_bypassing_does_no_harm_where_nothing_is_locked(
    api: Any, namespace: Namespace, three_versions: Any
) -> None:
    create(api, "p")
    assert api.object_delete(*TARGET, version=1_000, bypass_governance=True)
    many = {"bypass_governance": True}
    assert api.object_delete_many(ACCOUNT, CONTAINER, ["p", "q"], **many) == [("p", True), ("q", False)]
    api.container_flush(ACCOUNT, CONTAINER, bypass_governance=True)
    assert listed(api) == []
    assert chunks_on_disk(namespace) == []


@pytest.mark.pitfall("W15")
def test_flush_deletes_what_is_not_locked(locked: Any) -> None:
    create(locked, "p", b"free")
    with pytest.raises(exc.OioException, match="object locked"):
        locked.container_flush(ACCOUNT, CONTAINER)
    assert listed(locked) == [5]


@pytest.mark.pitfall("W15")
def test_container_of_another_region_is_refused(locked: Any) -> None:
    for region in ("localhost", "LOCALHOST", None):
        assert locked.container_create(ACCOUNT, f"in-{region}", region=region)
    with pytest.raises(exc.BadRequest, match="region elsewhere"):
        locked.container_create(ACCOUNT, "far", region="elsewhere")
    with pytest.raises(exc.NoSuchContainer):
        locked.container_show(ACCOUNT, "far")
