# SPDX-License-Identifier: Apache-2.0
"""Objects of any policy are appended to, overwritten, cut and moved to another one, and nothing is left."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oio.common import exceptions as exc
from oio.common.constants import OBJECT_HEADERS
from oio.sandbox import Fault
from tests.contract.conftest import KINDS, POLICIES
from tests.kit.facade import header, routes
from tests.kit.store import Store, lose, parts_on_disk, spoil

DATA = bytes(number % 251 for number in range(20_000))


def data_of(size: int) -> bytes:
    return (DATA * (size // len(DATA) + 1))[:size]


@pytest.fixture(params=KINDS)
def served(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """Not the asyncio face: it awaits these calls as it does others."""
    return KINDS[request.param]


# --- append -------------------------------------------------------------------------------------------


@pytest.mark.pitfall(120)
def test_append_adds_data_and_tells_of_these_only(store: Store) -> None:
    pieces = [data_of(store.unit - 7), data_of(2 * store.unit + 9), b"", b"end"]
    store.create(pieces[0])
    account, container, name = store.target()
    for number, piece in enumerate(pieces[1:], start=2):
        parts, md5 = store.parts(), hashlib.md5(piece).hexdigest()
        added, size, checksum = store.api.object_create(
            account, container, obj_name=name, data=piece, append=True, etag=md5
        )
        assert (size, checksum, store.described()["hash"]) == (len(piece), md5, "")
        assert sorted([*parts, *(chunk["url"] for chunk in added)]) == store.parts()
        store.assert_is(b"".join(pieces[:number]))


@pytest.mark.pitfall(128)
@pytest.mark.parametrize("other", [None, "SINGLE", "EC"])
def test_append_keeps_the_policy_of_the_object(store: Store, other: str | None) -> None:
    store.create(b"head")
    store.append(b"tail", policy=other)
    store.assert_is(b"headtail")


def test_append_to_nothing_takes_the_policy_of_the_call(store: Store) -> None:
    store.append(b"first", policy=store.policy)
    store.assert_is(b"first")


@pytest.mark.pitfall(143)
def test_append_whose_answer_is_lost_is_found_done(store: Store) -> None:
    store.create(b"head")
    lost = Fault("commit-then-reset", service="proxy", operation="content/create")
    with store.namespace.faults(lost) as plan:
        store.append(b"tail")
    plan.assert_met()
    store.assert_is(b"headtail")


@pytest.mark.pitfall(143)
def test_append_that_was_not_done_is_not_taken_for_done(store: Store) -> None:
    store.create(b"head")
    broken = Fault(
        "status", service="proxy", operation="content/create", body='{"status": 500, "message": "?"}'
    )
    with store.namespace.faults(broken), pytest.raises(exc.ServiceBusy):
        store.append(b"tail")
    assert store.read() == b"head"
    store.forget(sorted(set(parts_on_disk(store.namespace)) - set(store.parts())))


def test_what_is_drained_has_no_data_to_change(store: Store) -> None:
    store.create(b"hello")
    store.api.object_drain(*store.target())
    store.assert_empty()
    for call in (
        store.read,
        lambda: store.append(b"more"),
        lambda: store.truncate(2),
        lambda: store.api.object_change_policy(*store.target(), "TWOCOPIES"),
    ):
        with pytest.raises(exc.ContentDrained):
            call()
    assert store.delete()


# --- overwriting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["THREECOPIES", "EC21", "BACKBLAZE"])
def test_overwritten_object_leaves_nothing(store: Store, other: str) -> None:
    if other == "BACKBLAZE" and store.namespace.release != "7.3":
        other = "TWOCOPIES"
    store.create(data_of(store.unit + 1))
    store.create(b"other", policy=other)
    store.assert_is(b"other", policy=other)


def test_new_version_leaves_the_old_one(store: Store) -> None:
    store.keep_versions()
    first = store.create(b"old")["version"]
    parts = store.parts()
    store.create(b"new")
    assert set(parts) < set(parts_on_disk(store.namespace))
    assert (store.read(), store.read(version=first)) == (b"new", b"old")


def test_object_that_is_not_overwritten_stays(store: Store) -> None:
    store.create(b"old")
    refused = Fault("status", service="proxy", operation="content/create", status=403)
    with store.namespace.faults(refused), pytest.raises(exc.Forbidden):
        store.create(data_of(store.unit + 1))
    store.assert_is(b"old")


# --- truncation ---------------------------------------------------------------------------------------


@pytest.mark.pitfall(128, 129, 159)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(st.integers(0, 5000), min_size=1, max_size=4),
    fractions=st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
def test_any_object_cut_anywhere_is_its_own_beginning(
    store: Store, pieces: list[int], fractions: list[float]
) -> None:
    size = pieces[0]
    store.create(DATA[:size])
    for piece in pieces[1:]:
        store.append(DATA[size : size + piece])
        size += piece
    for fraction in fractions:
        size = int(size * fraction)
        store.truncate(size)
        store.assert_is(DATA[:size])
    store.append(b"more")
    store.assert_is(DATA[:size] + b"more")
    store.delete()
    store.assert_empty()


@pytest.mark.parametrize("size", [0, 2500])
@pytest.mark.pitfall(159)
def test_objects_can_be_made_empty(store: Store, size: int) -> None:
    store.create(DATA[:size])
    for _ in range(2):
        store.truncate(0)
        store.assert_is(b"")


def test_all_that_there_is_may_remain(store: Store) -> None:
    store.create(DATA[:2500])
    parts = store.parts()
    store.truncate(2500)
    assert store.parts() == parts
    store.assert_is(DATA[:2500])


@pytest.mark.pitfall(128, 145)
def test_cut_stores_the_beginning_of_one_part_again_and_nothing_else(store: Store) -> None:
    store.create(data_of(3 * store.unit), properties={"k": "v"})
    before = store.described()
    for units in (2, 1, 0):
        store.namespace.forget_requests()
        size = units * store.unit + 7
        store.truncate(size)
        puts = [record for record in store.namespace.requests if record.method == "PUT"]
        positions = {str(header(record, "x-oio-chunk-meta-chunk-pos")).partition(".")[0] for record in puts}
        # In Backblaze, the object is one file.
        assert positions == (set() if store.policy == "BACKBLAZE" else {str(units)})
        assert {header(record, "x-oio-chunk-meta-content-storage-policy") for record in puts} <= {
            store.policy
        }
        (update,) = [record for record in store.namespace.requests if "content/update" in record.target]
        # As in the requests of other clients, with which the services of each release were seen.
        for key in ("id", "version", "chunk_method"):
            assert header(update, OBJECT_HEADERS[key]) == before[key]
        store.assert_is(data_of(size))
        after = store.described()
        assert {key for key in before if after[key] != before[key]} - {"mtime"} == {"hash", "length", "size"}


@pytest.mark.pitfall(129)
def test_cut_between_two_parts_moves_no_data(store: Store) -> None:
    for number in range(3):
        store.append(data_of(store.unit), policy=store.policy if number == 0 else None)
    stored = set(store.parts())
    for units in (3, 2, 1):
        store.namespace.forget_requests()
        store.truncate(units * store.unit)
        assert "proxy POST content/truncate" in routes(store.namespace)
        # What the namespace deletes itself.
        assert {record.method for record in store.namespace.requests if record.service == "rawx"} <= {
            "DELETE"
        }
        store.assert_is(data_of(store.unit) * units)
        assert set(store.parts()) <= stored


@pytest.mark.pitfall(119)
def test_version_of_an_object_is_cut_alone(store: Store) -> None:
    store.keep_versions()
    old = store.create(DATA[:2500])["version"]
    store.create(DATA[5000:7500])
    for size, version in ((2200, old), (1000, int(old)), (0, old)):
        store.truncate(size, version=version)
        assert store.read(version=old) == DATA[:size]
    assert store.read() == DATA[5000:7500]


@pytest.mark.pitfall(119, 146)
def test_object_to_cut_is_named_by_its_ids(store: Store) -> None:
    created = store.create(DATA[:2500])
    cid = created["container_id"].lower()
    store.api.object_truncate(None, None, "o", size=2400, cid=cid)
    store.assert_is(DATA[:2400])
    for size in (1200, 1000, 900, 0):
        store.api.object_truncate(None, None, None, size=size, cid=cid, content_id=created["id"])
        store.assert_is(DATA[:size])


def test_growing_is_refused(store: Store) -> None:
    store.create(DATA[:2500])
    for size in (2501, 10**9):
        store.namespace.forget_requests()
        with pytest.raises(exc.OioException, match=f"position {size}: .* object of 2500 bytes") as caught:
            store.truncate(size)
        assert type(caught.value) is exc.OioException
        assert routes(store.namespace) == ["proxy GET content/locate"]
    store.assert_is(DATA[:2500])


def test_refused_cut_leaves_the_object(store: Store) -> None:
    store.create(DATA[:2500])
    refused = Fault("status", service="proxy", operation="content/update", status=403)
    with store.namespace.faults(refused) as plan, pytest.raises(exc.Forbidden):
        store.truncate(1234)
    plan.assert_met()
    assert int(store.described()["length"]) in {2500, 2000}
    assert store.read() == DATA[: int(store.described()["length"])]
    assert store.parts() == parts_on_disk(store.namespace)


# --- another policy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("units", [0, 2.5])
def test_policy_is_changed_to_any_other_and_back(store: Store, units: float) -> None:
    data = data_of(int(units * min(store.unit, 6000)))
    store.create(data, mime_type="text/x-test", properties={"k": "v", "hash": "h"})
    first = before = store.described()
    # There is no Backblaze any more.
    gone = {"BACKBLAZE"} if store.namespace.release == "2026" else set()
    others = [policy for policy in POLICIES if policy not in {store.policy, *gone}]
    for policy in (*others, store.policy):
        _, size, md5, meta = store.api.object_change_policy(*store.target(), policy)
        after = store.described()
        assert {key for key in before if after[key] != before[key]} <= {"id", "policy", "chunk_method"}
        assert (size, md5.upper()) == (len(data), before["hash"])
        assert (meta["id"], meta["policy"], meta["version"]) == (after["id"], policy, after["version"])
        before = after
        store.assert_is(data, policy=policy)
    assert {key for key in first if before[key] != first[key]} == {"id"}


@pytest.mark.pitfall(110)
def test_policy_that_the_object_has_is_a_conflict_and_moves_nothing(store: Store) -> None:
    store.create(DATA[:2500])
    store.namespace.forget_requests()
    match = f"already using the {store.policy} storage policy"
    with pytest.raises(exc.Conflict, match=match) as caught:
        store.api.object_change_policy(*store.target(), store.policy)
    assert caught.value.http_status == 409
    assert routes(store.namespace) == ["proxy GET content/locate"]
    store.assert_is(DATA[:2500])


@pytest.mark.parametrize("status", [403, None])
def test_refused_change_of_policy_leaves_the_object(store: Store, status: int | None) -> None:
    store.create(DATA[:2500])
    if status is None:
        with pytest.raises(exc.ClientException, match="'NONESUCH'"):
            store.api.object_change_policy(*store.target(), "NONESUCH")
    else:
        refused = Fault("status", service="proxy", operation="content/create", status=status)
        with store.namespace.faults(refused), pytest.raises(exc.Forbidden):
            store.api.object_change_policy(*store.target(), "TWOCOPIES")
    store.assert_is(DATA[:2500])


@pytest.mark.parametrize("pieces", [[0], [1500, 0, 700]])
@pytest.mark.pitfall(120)
def test_policy_of_an_object_of_unknown_hash_is_changed(store: Store, pieces: list[int]) -> None:
    """What was appended to, or cut, has no hash, and the service wants to hear the same."""
    size = 0
    for piece in pieces:
        store.append(DATA[size : size + piece], policy="TWOCOPIES")
        size += piece
    store.api.object_change_policy(*store.target(), store.policy)
    store.assert_is(DATA[:size])
    store.truncate(size // 2)
    store.api.object_change_policy(*store.target(), "TWOCOPIES")
    store.assert_is(DATA[: size // 2], policy="TWOCOPIES")


@pytest.mark.pitfall(119)
def test_policy_of_a_version_is_changed_alone(store: Store) -> None:
    store.keep_versions()
    old = store.create(b"old")["version"]
    new = store.create(b"new")
    meta = store.api.object_change_policy(*store.target(), "TWOCOPIES", version=int(old))[3]
    assert meta["version"] == old
    assert store.read(version=old) == b"old"
    assert store.described(version=old)["policy"] == "TWOCOPIES"
    latest = store.described()
    assert (latest["id"], latest["policy"]) == (new["id"], store.policy)


@pytest.mark.pitfall(146)
def test_object_to_move_is_named_by_its_ids(store: Store) -> None:
    created = store.create(DATA[:2500])
    cid = created["container_id"].lower()
    store.api.object_change_policy(None, None, None, "TWOCOPIES", cid=cid, content_id=created["id"])
    store.assert_is(DATA[:2500], policy="TWOCOPIES")
    store.api.object_change_policy(None, None, "o", store.policy, cid=cid)
    store.assert_is(DATA[:2500])


# --- what does not exist, and what is not sound -------------------------------------------------------


@pytest.mark.pitfall(126)
def test_damaged_data_are_not_stored_again_as_sound_ones(store: Store) -> None:
    store.create(DATA[: store.unit])
    parts = store.parts()
    for url in parts:
        spoil(store.namespace, url, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    for call in (
        lambda: store.truncate(min(store.unit, len(DATA)) - 1),
        lambda: store.api.object_change_policy(*store.target(), "TWOCOPIES"),
    ):
        with pytest.raises(exc.CorruptedChunk):
            call()
        assert store.parts() == parts_on_disk(store.namespace) == parts


def test_what_does_not_exist_is_not_changed(store: Store) -> None:
    store.create(b"hello")
    for call in (store.api.object_truncate, store.api.object_change_policy):
        options = {"size": 1} if call == store.api.object_truncate else {"policy": "TWOCOPIES"}
        with pytest.raises(exc.NoSuchObject):
            call(*store.target("nothing"), **options)
        with pytest.raises(exc.NoSuchObject):
            call(*store.target(), version=42, **options)
        account, _, name = store.target()
        with pytest.raises(exc.NoSuchContainer):
            call(account, "nowhere", name, **options)
        # The client creates containers with objects, but not here.
        with pytest.raises(exc.NoSuchContainer):
            store.api.container_show(account, "nowhere")
    store.assert_is(b"hello")


def test_lost_parts_are_not_stored_again(store: Store) -> None:
    store.create(b"hello")
    for url in store.parts():
        lose(store.namespace, url)
    with pytest.raises(exc.UnrecoverableContent):
        store.truncate(2)
    store.assert_empty()
