# SPDX-License-Identifier: Apache-2.0
"""Health of objects: each kind of damage is seen, named and repaired, with every kind of policy."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from oio.api.types import Damage, HealthProgress
from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit import damage
from tests.kit.damage import KINDS, all_of, chunks_of
from tests.kit.facade import header
from tests.kit.releases import RELEASES, for_each
from tests.kit.store import lose

ON_RELEASES = RELEASES

ACCOUNT = "health"
CHUNK_SIZE = 2000
POLICIES = {"SINGLE": (1, 1), "THREECOPIES": (3, 1), "EC21": (3, 2), "EC": (9, 6)}
"""Chunks of a metachunk, and how many are needed."""
DATA = bytes(range(256)) * 20
_numbers = itertools.count(1)

everywhere = pytest.mark.parametrize("policy", POLICIES)
redundant = pytest.mark.parametrize("policy", ["THREECOPIES", "EC21", "EC"])


@pytest.fixture(scope="module")
def namespaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Namespace]]:
    with contextlib.ExitStack() as stack:

        def running(release: str) -> Namespace:
            path = tmp_path_factory.mktemp("health")
            namespace = Namespace(path / "namespace", rawx=12, chunk_size=CHUNK_SIZE, release=release)
            return stack.enter_context(namespace)

        yield for_each(running)


@pytest.fixture
def namespace(namespaces: dict[str, Namespace], release: str) -> Iterator[Namespace]:
    """A namespace for all tests of the module; what one leaves on the disks is removed."""
    namespace = namespaces[release]
    yield namespace
    for rawx in namespace.rawx:
        for chunk in rawx.chunks():
            rawx.store.delete(chunk)


@pytest.fixture
def target() -> tuple[str, str, str]:
    return ACCOUNT, f"box-{next(_numbers)}", "o"


def create(api: Any, target: tuple[str, str, str], policy: str, data: bytes = DATA, **kwargs: Any) -> None:
    account, container, name = target
    api.object_create(account, container, obj_name=name, data=data, policy=policy, **kwargs)


def read(api: Any, target: tuple[str, str, str], **kwargs: Any) -> bytes:
    _, stream = api.object_fetch(*target, **{"verify_checksum": "strict", **kwargs})
    with stream:
        return b"".join(stream)


def assert_whole(namespace: Namespace, api: Any, target: tuple[str, str, str], data: bytes = DATA) -> None:
    """The object is sound, gives its data, and has all the chunks on the disks."""
    health = api.object_check(*target)
    assert (health.status, health.honours_policy, health.damaged) == ("sound", True, [])
    assert read(api, target) == data
    named = [chunk["url"].removeprefix("http://") for chunk in chunks_of(api, *target)]
    assert sorted(named) == sorted(all_of(namespace))


@everywhere
@pytest.mark.parametrize("size", [0, len(DATA)])
def test_an_object_that_was_just_stored_is_sound(
    namespace: Namespace, api: Any, target: Any, policy: str, size: int
) -> None:
    create(api, target, policy, DATA[:size])
    expected, needed = POLICIES[policy]
    health = api.object_check(*target)
    assert (health.name, health.size, health.policy, health.status) == ("o", size, policy, "sound")
    assert (health.is_sound, health.is_readable, health.honours_policy, health.is_lost) == (True,) * 3 + (
        False,
    )
    for metachunk in health.metachunks:
        assert (metachunk.expected, metachunk.needed, len(metachunk.chunks)) == (expected, needed, expected)
    assert api.object_repair(*target).status == "sound"


@redundant
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_seen_named_and_repaired(
    namespace: Namespace, api: Any, target: Any, policy: str, kind: str
) -> None:
    create(api, target, policy, DATA[:300])
    struck = chunks_of(api, *target)[1]
    inflict, expected = KINDS[kind]
    inflict(namespace, struck)

    health = api.object_check(*target)
    (found,) = health.damaged
    assert (found.url, found.pos) == (struck["url"], struck["pos"])
    assert set(found.damage) >= expected
    assert found.detail
    assert (health.status, health.is_readable) == ("damaged", True)
    assert health.honours_policy == (kind == "adopted")

    repair = api.object_repair(*target)
    (repaired,) = repair.repaired
    assert (repair.status, repair.failed, repaired.chunk.url) == ("repaired", [], struck["url"])
    if expected & {Damage.WRONG_OWNER}:
        # It may be somebody else's.
        damage.remove(namespace, struck)
    assert_whole(namespace, api, target, DATA[:300])


@pytest.mark.parametrize("kind", KINDS)
def test_damage_to_the_only_chunk_is_seen_named_and_told(
    namespace: Namespace, api: Any, target: Any, kind: str
) -> None:
    create(api, target, "SINGLE", DATA[:100])
    (struck,) = chunks_of(api, *target)
    inflict, expected = KINDS[kind]
    inflict(namespace, struck)
    health = api.object_check(*target)
    (found,) = health.damaged
    assert set(found.damage) >= expected
    repair = api.object_repair(*target)
    if kind != "adopted":
        assert (health.status, repair.status, repair.repaired) == ("lost", "lost", [])
        return
    # Its data are right.
    assert (health.status, repair.status) == ("damaged", "repaired")
    damage.remove(namespace, struck)
    assert_whole(namespace, api, target, DATA[:100])


@redundant
def test_a_repair_replaces_a_chunk_on_another_server(
    namespace: Namespace, api: Any, target: Any, policy: str
) -> None:
    create(api, target, policy)
    before = {chunk["url"] for chunk in chunks_of(api, *target)}
    struck = chunks_of(api, *target)[0]
    damage.flip(namespace, struck)
    (repaired,) = api.object_repair(*target).repaired
    after = {chunk["url"] for chunk in chunks_of(api, *target)}
    assert before - after == {struck["url"]}
    assert after - before == {repaired.url}
    hosts = [chunk["url"].split("/")[2] for chunk in chunks_of(api, *target) if chunk["pos"][0] == "0"]
    assert len(set(hosts)) == POLICIES[policy][0]


@redundant
def test_as_many_as_may_be_lost_are_repaired(
    namespace: Namespace, api: Any, target: Any, policy: str
) -> None:
    create(api, target, policy)
    expected, needed = POLICIES[policy]
    first = [chunk for chunk in chunks_of(api, *target) if chunk["pos"][0] == "0"]
    inflict = itertools.cycle([damage.remove, damage.flip, damage.cut])
    for chunk, strike in zip(first[: expected - needed], inflict, strict=False):
        strike(namespace, chunk)
    assert api.object_check(*target).metachunks[0].usable == needed
    assert api.object_repair(*target).status == "repaired"
    assert_whole(namespace, api, target)


def test_what_is_lost_is_made_again_before_what_can_be_read(
    namespace: Namespace, api: Any, target: Any
) -> None:
    create(api, target, "EC21", DATA[:100])
    first, second, _ = chunks_of(api, *target)
    damage.adopt(namespace, first)
    damage.remove(namespace, second)
    namespace.forget_requests()
    assert api.object_repair(*target).status == "repaired"
    put = [
        header(record, "x-oio-chunk-meta-chunk-pos")
        for record in namespace.requests
        if record.method == "PUT"
    ]
    assert put == ["0.1", "0.0"]


@everywhere
def test_what_is_lost_is_told_and_left_as_it_is(
    namespace: Namespace, api: Any, target: Any, policy: str
) -> None:
    create(api, target, policy)
    expected, needed = POLICIES[policy]
    first = [chunk for chunk in chunks_of(api, *target) if chunk["pos"][0] == "0"]
    for chunk in first[: expected - needed + 1]:
        damage.flip(namespace, chunk)
    before = chunks_of(api, *target), sorted(all_of(namespace))
    health = api.object_check(*target)
    assert (health.status, health.is_readable, health.is_lost) == ("lost", False, True)
    repair = api.object_repair(*target)
    assert (repair.status, repair.repaired, repair.is_sound) == ("lost", [], False)
    assert all("are needed" in str(failed.error) for failed in repair.failed)
    assert (chunks_of(api, *target), sorted(all_of(namespace))) == before


def test_without_checksums_only_what_is_cheap_is_noticed(namespace: Namespace, api: Any, target: Any) -> None:
    create(api, target, "THREECOPIES")
    first, second, third = chunks_of(api, *target)[:3]
    damage.flip(namespace, first)
    damage.cut(namespace, second)
    damage.remove(namespace, third)
    health = api.object_check(*target, checksum=False)
    assert health.counts == {Damage.WRONG_SIZE: 1, Damage.MISSING: 1}
    assert api.object_check(*target).status == "lost"


def test_a_chunk_that_grew_is_noticed(namespace: Namespace, api: Any, target: Any, release: str) -> None:
    create(api, target, "TWOCOPIES")
    damage.grow(namespace, chunks_of(api, *target)[0])
    # Servers of today do not compare sizes.
    kind = Damage.WRONG_SIZE if release == "7.3" else Damage.WRONG_CHECKSUM
    assert api.object_check(*target).counts == {kind: 1}
    assert api.object_repair(*target).status == "repaired"
    assert_whole(namespace, api, target)


def test_a_fragment_in_the_place_of_another_is_noticed(namespace: Namespace, api: Any, target: Any) -> None:
    create(api, target, "EC21")
    damage.described_otherwise(namespace, chunks_of(api, *target)[1], position="0.2")
    assert api.object_check(*target).counts == {Damage.WRONG_POSITION: 1}
    assert api.object_repair(*target).status == "repaired"
    assert_whole(namespace, api, target)


def test_another_object_of_the_same_container_is_another_owner(
    namespace: Namespace, api: Any, target: Any
) -> None:
    create(api, target, "TWOCOPIES", b"x")
    account, container, _ = target
    chunk = chunks_of(api, *target)[0]
    damage.described_otherwise(namespace, chunk, fullpath=f"{account}/{container}/other/1/AB")
    assert api.object_check(*target).counts == {Damage.WRONG_OWNER: 1}


@redundant
def test_servers_that_keep_no_checksums_are_told_those_that_are_known(
    namespace: Namespace, api: Any, target: Any, policy: str
) -> None:
    create(api, target, policy, DATA[:100])
    chunk = chunks_of(api, *target)[0]
    damage.described_otherwise(namespace, chunk, hash="")
    assert api.object_check(*target).status == "sound"
    damage.flip(namespace, chunk)
    # Of a fragment, nobody else knows the checksum.
    expected = {Damage.WRONG_CHECKSUM: 1} if policy == "THREECOPIES" else {}
    assert api.object_check(*target).counts == expected


def test_a_file_of_another_version_is_left_where_it_is(
    namespace: Namespace, api: Any, target: Any, release: str
) -> None:
    """A record that names it is wrong; it is the chunk of that version all the same."""
    account, container, _ = target
    api.container_create(account, container, system={"sys.m2.policy.version": "-1"})
    create(api, target, "TWOCOPIES", b"old data")
    old, _ = api.object_locate(*target)
    first = chunks_of(api, *target)[0]
    server = first["url"].rpartition("/")[0]
    create(api, target, "TWOCOPIES", b"new")
    while any(chunk["url"].startswith(server) for chunk in chunks_of(api, *target)):
        # Where IDs are computed, the record would name a chunk of this version.
        create(api, target, "TWOCOPIES", b"new")
    meta, _ = api.object_locate(*target)
    chunk = chunks_of(api, *target)[0]
    api.container.container_raw_update([bean(meta, chunk)], [bean(meta, chunk, id=first["url"])], *target[:2])
    # Where IDs are computed, a record cannot name a chunk of something else.
    expected = Damage.WRONG_OWNER if release == "7.3" else Damage.MISSING
    assert expected in api.object_check(*target).counts
    damage.remove(namespace, chunk)
    assert api.object_repair(*target).status == "repaired"
    assert api.object_check(*target).damaged == []
    assert api.object_check(*target, version=old["version"]).damaged == []


@pytest.mark.parametrize("policy", ["EC21", "EC"])
def test_a_fragment_of_another_object_is_no_source(
    namespace: Namespace, api: Any, target: Any, policy: str
) -> None:
    """Nothing but the data of all sources tells, where chunk servers know no checksum of the metachunk."""
    account, container, _ = target
    other = account, container, "other"
    create(api, target, policy, DATA[:1000])
    create(api, other, policy, DATA[1000:2000][::-1])
    first, *_, last = chunks_of(api, *target)
    damage.replace(namespace, first, chunks_of(api, *other)[0], metachunk_hash="")
    damage.remove(namespace, last)
    repair = api.object_repair(*target)
    if policy == "EC21":
        # One fragment is left, which is not enough.
        assert (len(repair.repaired), repair.is_sound) == (0, False)
        assert any("not those of the metachunk" in str(failed.error) for failed in repair.failed)
        return
    assert repair.status == "repaired"
    assert api.object_check(*target).damaged == []
    # Each fragment can be needed.
    for chunk in chunks_of(api, *target)[:3]:
        damage.remove(namespace, chunk)
    assert read(api, target) == DATA[:1000]


# --- what the services have recorded -------------------------------------------------------------------


def bean(meta: dict[str, Any], chunk: dict[str, Any], **changes: Any) -> dict[str, Any]:
    row = {"id": chunk["url"], "pos": chunk["pos"], "size": chunk["size"], "hash": chunk["hash"]}
    return {"type": "chunk", "content": meta["id"], **row, **changes}


@redundant
def test_a_chunk_that_was_never_recorded_is_added(
    namespace: Namespace, api: Any, target: Any, policy: str
) -> None:
    create(api, target, policy)
    meta, _ = api.object_locate(*target)
    lacking = chunks_of(api, *target)[0]
    api.container.container_raw_delete(*target[:2], data=[bean(meta, lacking)])
    damage.remove(namespace, lacking)
    health = api.object_check(*target)
    (found,) = health.damaged
    assert (found.damage, found.url, health.honours_policy) == ((Damage.ABSENT,), None, False)
    assert found.pos == lacking["pos"]
    (repaired,) = api.object_repair(*target).repaired
    assert repaired.url in {chunk["url"] for chunk in chunks_of(api, *target)}
    assert_whole(namespace, api, target)


def test_a_wrong_record_is_corrected_and_no_data_move(namespace: Namespace, api: Any, target: Any) -> None:
    create(api, target, "THREECOPIES")
    meta, _ = api.object_locate(*target)
    chunk = chunks_of(api, *target)[0]
    api.container.container_raw_update([bean(meta, chunk)], [bean(meta, chunk, hash="0" * 32)], *target[:2])
    assert api.object_check(*target).counts == {Damage.WRONG_RECORD: 1}
    namespace.forget_requests()
    (repaired,) = api.object_repair(*target).repaired
    assert repaired.url == chunk["url"]
    assert {record.method for record in namespace.requests if record.service == "rawx"} == {"HEAD"}
    assert_whole(namespace, api, target)


def test_records_that_contradict_each_other_are_not_repaired(
    namespace: Namespace, api: Any, target: Any
) -> None:
    create(api, target, "TWOCOPIES")
    meta, _ = api.object_locate(*target)
    chunk = chunks_of(api, *target)[0]
    api.container.container_raw_update([bean(meta, chunk)], [bean(meta, chunk, hash="A" * 32)], *target[:2])
    before = chunks_of(api, *target)
    health = api.object_check(*target)
    assert (health.status, health.is_sound) == ("error", False)
    assert "different checksums" in str(health.error)
    assert api.object_repair(*target).status == "error"
    assert chunks_of(api, *target) == before


def test_metachunks_that_do_not_make_up_the_object_are_told(
    namespace: Namespace, api: Any, target: Any
) -> None:
    create(api, target, "SINGLE")
    meta, _ = api.object_locate(*target)
    api.container.container_raw_delete(*target[:2], data=[bean(meta, chunks_of(api, *target)[1])])
    health = api.object_check(*target)
    assert (health.status, health.is_readable, health.is_sound) == ("error", False, False)
    assert "metachunks [0, 2] hold" in str(health.error)


def test_two_fragments_on_one_server_are_misplaced(namespace: Namespace, api: Any, target: Any) -> None:
    create(api, target, "EC21", DATA[:100])
    meta, _ = api.object_locate(*target)
    first, second, _ = chunks_of(api, *target)
    # Where IDs are computed, a fragment has the same one wherever it is.
    moved = f"{first['url'].rpartition('/')[0]}/{second['url'].rpartition('/')[2]}"
    api.blob_client.chunk_copy(second["url"], moved)
    api.container.container_raw_update([bean(meta, second)], [bean(meta, second, id=moved)], *target[:2])
    damage.remove(namespace, second)
    health = api.object_check(*target)
    assert health.counts == {Damage.MISPLACED: 1}
    assert (health.honours_policy, health.is_readable) == (False, True)
    assert api.object_repair(*target).status == "repaired"
    assert_whole(namespace, api, target, DATA[:100])


def test_appended_parts_are_sound_and_repaired(namespace: Namespace, api: Any, target: Any) -> None:
    create(api, target, "THREECOPIES", DATA[:100])
    create(api, target, "THREECOPIES", DATA[100:200], append=True)
    assert api.object_check(*target).status == "sound"
    damage.flip(namespace, chunks_of(api, *target)[-1])
    assert api.object_repair(*target).status == "repaired"
    assert_whole(namespace, api, target, DATA[:200])


def test_parts_that_carry_another_version_of_the_name_are_accepted(
    namespace: Namespace, api: Any, target: Any
) -> None:
    """Other clients append so."""
    create(api, target, "THREECOPIES", DATA[:100])
    account, container, name = target
    for chunk in chunks_of(api, *target):
        path = f"{account}/{container}/{name}/1/AB"
        damage.described_otherwise(namespace, chunk, fullpath=path, position="7")
    assert api.object_check(*target).status == "sound"


@pytest.mark.on_release("2026")
@pytest.mark.parametrize("policy", ["THREECOPIES", "EC"])
def test_chunks_with_other_checksums_are_compared_and_repaired(
    namespace: Namespace, target: Any, policy: str
) -> None:
    with namespace.api(key_file=None, chunk_checksum_algo="blake3") as api:
        create(api, target, policy)
        struck = chunks_of(api, *target)[0]
        damage.flip(namespace, struck)
        assert api.object_check(*target).counts == {Damage.WRONG_CHECKSUM: 1}
    with namespace.api(key_file=None) as api:
        assert api.object_repair(*target).status == "repaired"
        assert_whole(namespace, api, target)


# --- what is addressed ----------------------------------------------------------------------------------


def test_an_object_is_told_by_ids_and_version(namespace: Namespace, api: Any, target: Any) -> None:
    account, container, _ = target
    api.container_create(account, container, system={"sys.m2.policy.version": "-1"})
    create(api, target, "TWOCOPIES", b"old")
    old, _ = api.object_locate(*target)
    create(api, target, "TWOCOPIES", b"new")
    damage.flip(namespace, chunks_of(api, *target, version=old["version"])[0])
    assert api.object_check(*target).status == "sound"
    assert api.object_check(*target, version=old["version"]).status == "damaged"
    cid = api.object_fetch(*target)[0]["container_id"]
    assert api.object_check(None, None, None, content_id=old["id"], cid=cid).version == old["version"]
    repair = api.object_repair(None, None, None, content_id=old["id"], cid=cid)
    assert (repair.status, repair.health.version) == ("repaired", old["version"])
    assert read(api, target, version=old["version"]) == b"old"
    assert api.object_check(*target, version=old["version"]).status == "sound"


def test_what_does_not_exist_is_told(namespace: Namespace, api: Any, target: Any) -> None:
    for call in (api.object_check, api.object_repair):
        with pytest.raises(exc.NoSuchContainer):
            call(*target)
    for walk in (api.container_check, api.container_repair):
        with pytest.raises(exc.NoSuchContainer):
            next(walk(*target[:2]))
    api.container_create(*target[:2])
    for call in (api.object_check, api.object_repair):
        with pytest.raises(exc.NoSuchObject):
            call(*target)


def test_drained_objects_have_no_chunks(namespace: Namespace, api: Any, target: Any) -> None:
    create(api, target, "SINGLE")
    api.object_drain(*target)
    with pytest.raises(exc.ContentDrained):
        api.object_check(*target)
    assert list(api.container_check(*target[:2])) == []


@pytest.mark.parametrize(
    "wrong", [{"checksum": "maybe"}, {"concurrency": 0}, {"concurrency": "many"}, {"unreachable": 7}]
)
def test_wrong_arguments_are_refused(offline_api: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        offline_api.object_repair("a", "c", "o", **wrong)
    with pytest.raises((TypeError, ValueError)):
        offline_api.container_repair("a", "c", **wrong)


def test_progress_is_told_to_a_callable(offline_api: Any) -> None:
    with pytest.raises(TypeError, match="on_progress must be callable"):
        offline_api.container_check("a", "c", on_progress=7)


# --- containers -----------------------------------------------------------------------------------------


def test_a_container_is_checked_and_repaired(namespace: Namespace, api: Any, target: Any) -> None:
    account, container, _ = target
    api.container_create(account, container, system={"sys.m2.policy.version": "-1"})
    names = {f"{policy}-{number}": policy for policy in POLICIES for number in range(3)}
    for name, policy in names.items():
        create(api, (account, container, name), policy, DATA[:100])
    create(api, (account, container, "EC-0"), "EC", b"newer")
    api.object_delete(account, container, "SINGLE-0")
    assert all(health.is_sound for health in api.container_check(account, container))
    for name in ("THREECOPIES-1", "EC21-1", "EC-1", "SINGLE-1"):
        damage.flip(namespace, chunks_of(api, account, container, name)[0])

    told: list[HealthProgress] = []
    found = list(api.container_check(account, container, on_progress=told.append, concurrency=5))
    # The delete marker has no chunks; the object that it hides has.
    expected = sorted([*names, "EC-0"])
    assert [health.name for health in found] == expected
    damaged = {health.name: health.status for health in found if not health.is_sound}
    assert damaged == dict.fromkeys(("THREECOPIES-1", "EC21-1", "EC-1"), "damaged") | {"SINGLE-1": "lost"}
    assert [progress.objects for progress in told] == list(range(1, len(expected) + 1))
    assert (told[-1].damaged, told[-1].failed, told[-1].bytes) == (4, 0, 1205)

    told.clear()
    repairs = list(api.container_repair(account, container, on_progress=told.append, concurrency=2))
    assert {r.health.name: r.status for r in repairs if r.chunks} == dict.fromkeys(
        ("THREECOPIES-1", "EC21-1", "EC-1"), "repaired"
    ) | {"SINGLE-1": "lost"}
    assert (told[-1].damaged, told[-1].repaired, told[-1].failed) == (4, 3, 1)
    left = [health.name for health in api.container_check(account, container) if not health.is_sound]
    assert left == ["SINGLE-1"]


def test_nothing_is_repaired_but_by_iterating(namespace: Namespace, api: Any, target: Any) -> None:
    account, container, _ = target
    for name in ("a", "b", "c"):
        create(api, (account, container, name), "TWOCOPIES", b"x")
        damage.flip(namespace, chunks_of(api, account, container, name)[0])
    walk = api.container_repair(account, container, concurrency=1)
    assert next(walk).status == "repaired"
    walk.close()
    statuses = [health.status for health in api.container_check(account, container)]
    assert statuses == ["sound", "damaged", "damaged"]


def test_an_object_that_is_deleted_meanwhile_is_left_out(namespace: Namespace, api: Any, target: Any) -> None:
    account, container, _ = target
    for name in ("a", "b", "c"):
        create(api, (account, container, name), "SINGLE", b"x")
    walk = api.container_check(account, container, concurrency=1)
    assert next(walk).name == "a"
    api.object_delete(account, container, "b")
    assert [health.name for health in walk] == ["c"]


def test_a_deadline_bounds_all_of_an_iteration(namespace: Namespace, api: Any, target: Any) -> None:
    account, container, _ = target
    create(api, (account, container, "a"), "SINGLE", b"x")
    fault = Fault("stall", operation="HEAD", phase="head")
    with namespace.faults(fault), pytest.raises(exc.DeadlineReached):
        list(api.container_check(account, container, deadline=time.monotonic() + 0.5))


def test_a_prefix_chooses_what_is_looked_at(namespace: Namespace, api: Any, target: Any) -> None:
    account, container, _ = target
    for name in ("a/1", "b/1", "b/2", "c"):
        create(api, (account, container, name), "SINGLE", b"x")
    assert [health.name for health in api.container_check(account, container, "b/")] == ["b/1", "b/2"]


def test_an_object_that_cannot_be_looked_at_does_not_end_the_walk(
    namespace: Namespace, api: Any, target: Any
) -> None:
    account, container, _ = target
    for name in ("a", "b"):
        create(api, (account, container, name), "SINGLE", b"x")
    fault = Fault("status", service="proxy", operation="content/locate", status=500, nth=1)
    with namespace.faults(fault) as plan:
        first, second = api.container_check(account, container, concurrency=1)
    plan.assert_met()
    assert (first.name, first.status, second.status) == ("a", "error", "sound")
    assert "500" in str(first.error)


def test_a_snapshot_is_only_repaired_when_it_is_wished(namespace: Namespace, api: Any, target: Any) -> None:
    account, container, name = target
    create(api, target, "THREECOPIES", DATA[:100])
    copy = f"{container}-copy"
    api.container_snapshot(account, container, account, copy)
    assert [health.status for health in api.container_check(account, copy)] == ["sound"]
    # Links share their data: only the copy may lose its name for them.
    damage.remove(namespace, chunks_of(api, account, copy, name)[0])
    (failed,) = api.object_repair(account, copy, name).failed
    assert "436" in str(failed.error)
    assert api.object_repair(account, copy, name, frozen=True).status == "repaired"
    assert [health.status for health in api.container_check(account, copy)] == ["sound"]
    assert api.object_check(*target).status == "sound"


@pytest.mark.on_release("2026")
@pytest.mark.parametrize("policy", ["THREECOPIES", "EC"])
def test_objects_of_a_divided_container_are_repaired(
    namespace: Namespace, api: Any, target: Any, policy: str
) -> None:
    account, container, _ = target
    for name in ("a", "z"):
        create(api, (account, container, name), policy, DATA[:100])
    namespace.shard(account, container, "m")
    meta, _ = api.object_locate(account, container, "z")
    lacking = chunks_of(api, account, container, "z")[1]
    damage.flip(namespace, chunks_of(api, account, container, "z")[0])
    shard = api.container.content_shard(account, container, "z")
    api.container.container_raw_delete(cid=shard, data=[bean(meta, lacking)])
    damage.remove(namespace, lacking)
    statuses = [repair.status for repair in api.container_repair(account, container)]
    assert statuses == ["sound", "repaired"]
    assert [health.status for health in api.container_check(account, container)] == ["sound"] * 2
    assert read(api, (account, container, "z")) == DATA[:100]


@pytest.mark.on_release("2026")
@pytest.mark.parametrize("policy", ["THREECOPIES", "EC21"])
def test_a_shard_that_is_addressed_itself_is_checked_and_repaired(
    namespace: Namespace, api: Any, target: Any, policy: str
) -> None:
    """Chunks carry the names of the container that was divided, and IDs that are computed of its ID."""
    account, container, _ = target
    for name in ("a", "z"):
        create(api, (account, container, name), policy, DATA[:100])
    namespace.shard(account, container, "m")
    content_id = api.object_locate(account, container, "z")[0]["id"]
    shard = api.container.content_shard(account, container, "z")
    assert api.object_check(None, None, "z", cid=shard).damaged == []
    assert [(h.name, h.status) for h in api.container_check(None, None, cid=shard)] == [("z", "sound")]

    def repair_by_name() -> Any:
        return api.object_repair(None, None, "z", cid=shard)

    def repair_by_id() -> Any:
        return api.object_repair(None, None, None, content_id=content_id, cid=shard)

    def repair_all() -> Any:
        (repair,) = api.container_repair(None, None, cid=shard)
        return repair

    for act in (repair_by_name, repair_by_id, repair_all):
        damage.flip(namespace, chunks_of(api, account, container, "z")[0])
        assert act().status == "repaired"
        assert api.object_check(account, container, "z").damaged == []
        assert read(api, (account, container, "z")) == DATA[:100]


# --- Backblaze ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    with Namespace(tmp_path_factory.mktemp("b2") / "namespace", rawx=1) as running:
        yield running


def lose_file(namespace: Namespace, target: Any, api: Any) -> None:
    (chunk,) = chunks_of(api, *target)
    lose(namespace, chunk["url"])


def cut_file(namespace: Namespace, target: Any, api: Any) -> None:
    meta, _ = api.object_locate(*target)
    # What is recorded is more than what is there, as after a file was replaced by a shorter one.
    (chunk,) = chunks_of(api, *target)
    row = bean(meta, chunk)
    api.container.container_raw_update([row], [{**row, "size": chunk["size"] + 1}], *target[:2])


def test_a_file_of_backblaze_is_looked_at_and_cannot_be_made_again(
    with_bucket: Namespace, target: Any
) -> None:
    with with_bucket.api() as api:
        create(api, target, "BACKBLAZE")
        health = api.object_check(*target)
        (metachunk,) = health.metachunks
        assert (health.status, metachunk.expected, metachunk.needed) == ("sound", 1, 1)
        assert api.object_repair(*target).status == "sound"
        lose_file(with_bucket, target, api)
        health = api.object_check(*target)
        assert (health.status, health.counts) == ("lost", {Damage.MISSING: 1})
        repair = api.object_repair(*target)
        (failed,) = repair.failed
        assert (repair.status, failed.url) == ("lost", None)
        assert "usable chunks are left" in str(failed.error)


def test_a_file_of_another_size_is_noticed(with_bucket: Namespace, target: Any) -> None:
    with with_bucket.api() as api:
        create(api, target, "BACKBLAZE")
        cut_file(with_bucket, target, api)
        health = api.object_check(*target)
        assert health.counts == {Damage.WRONG_SIZE: 1}
        assert api.object_repair(*target).repaired == []


def test_credentials_are_needed_for_files_of_backblaze(with_bucket: Namespace, target: Any) -> None:
    with with_bucket.api() as api:
        create(api, target, "BACKBLAZE")
    with with_bucket.api(key_file=None) as api:
        with pytest.raises(exc.ConfigurationException):
            api.object_check(*target)
        (health,) = api.container_check(*target[:2])
        assert health.status == "error"
