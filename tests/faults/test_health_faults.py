# SPDX-License-Identifier: Apache-2.0
"""Repairs that fail at any step leave the object as it was, and nothing else."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from oio.api.types import Damage
from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit import damage
from tests.kit.damage import all_of, chunks_of
from tests.kit.facade import header
from tests.kit.releases import for_each

DATA = bytes(range(256)) * 4
POLICIES = ["THREECOPIES", "EC21"]
_numbers = itertools.count(1)

redundant = pytest.mark.parametrize("policy", POLICIES)


@pytest.fixture(scope="module")
def namespaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Namespace]]:
    with contextlib.ExitStack() as stack:

        def running(release: str) -> Namespace:
            path = tmp_path_factory.mktemp("health")
            return stack.enter_context(Namespace(path / "namespace", rawx=6, release=release))

        yield for_each(running)


@pytest.fixture
def namespace(namespaces: dict[str, Namespace], release: str) -> Iterator[Namespace]:
    """A namespace for all tests of the module; what one leaves on the disks is removed."""
    namespace = namespaces[release]
    yield namespace
    for rawx in namespace.rawx:
        for chunk in rawx.chunks():
            rawx.store.delete(chunk)


class Struck(NamedTuple):
    """An object with a damaged chunk."""

    namespace: Namespace
    api: Any
    target: tuple[str, str, str]
    chunk: dict[str, Any]

    def located(self) -> list[dict[str, Any]]:
        return chunks_of(self.api, *self.target)

    def assert_as_before(self, before: list[dict[str, Any]], disks: list[str]) -> None:
        """The services name the same chunks, and the disks have the same ones."""
        assert [chunk["url"] for chunk in self.located()] == [chunk["url"] for chunk in before]
        assert sorted(all_of(self.namespace)) == disks

    def assert_whole(self) -> None:
        assert self.api.object_check(*self.target).status == "sound"
        _, stream = self.api.object_fetch(*self.target, verify_checksum="strict")
        with stream:
            assert b"".join(stream) == DATA
        named = [chunk["url"].removeprefix("http://") for chunk in self.located()]
        assert sorted(named) == sorted(all_of(self.namespace))


@pytest.fixture
def struck(namespace: Namespace, api: Any, policy: str) -> Struck:
    target = "health", f"box-{next(_numbers)}", "o"
    api.object_create(*target[:2], obj_name="o", data=DATA, policy=policy)
    chunk = chunks_of(api, *target)[0]
    damage.flip(namespace, chunk)
    return Struck(namespace, api, target, chunk)


NO_PLACE = Fault("status", "proxy", "content/spare", status=500)
STEPS = {
    "no place": NO_PLACE,
    "writing is refused": Fault("status", "rawx", "PUT", status=503),
    "disks are full": Fault("disk-full", "rawx", "PUT"),
    "writing is reset": Fault("reset", "rawx", "PUT", after_bytes=100),
    "the answer to the data is lost": Fault("commit-then-reset", "rawx", "PUT"),
    "what arrives is changed": Fault("corrupt", "rawx", "PUT", after_bytes=100),
    "the sources are cut": Fault("truncate", "rawx", "GET", after_bytes=100),
    "the sources are changed": Fault("corrupt", "rawx", "GET", after_bytes=-20),
    "the services refuse": Fault("status", "proxy", "container/raw_update", status=403),
    "the container is frozen": Fault(
        "status", "proxy", "container/raw_update", status=503, body='{"status":436,"message":"frozen"}'
    ),
}


@redundant
@pytest.mark.parametrize("step", STEPS)
def test_a_repair_that_fails_leaves_the_object_as_it_was(struck: Struck, policy: str, step: str) -> None:
    before, disks = struck.located(), sorted(all_of(struck.namespace))
    fault = STEPS[step]
    with struck.namespace.faults(fault) as plan:
        repair = struck.api.object_repair(*struck.target)
    if step == "no place":
        # It is made again where it was.
        assert repair.status == "repaired"
        struck.assert_whole()
        return
    plan.assert_met()
    (failed,) = repair.failed
    assert (failed.url, repair.status, repair.is_sound) == (None, "damaged", False)
    assert failed.error
    struck.assert_as_before(before, disks)
    # In better weather, it is done.
    assert struck.api.object_repair(*struck.target).status == "repaired"
    struck.assert_whole()


@redundant
def test_one_bad_place_is_left_for_another(struck: Struck, policy: str) -> None:
    with struck.namespace.faults(Fault("disk-full", "rawx", "PUT", nth=1)) as plan:
        repair = struck.api.object_repair(*struck.target)
    plan.assert_met()
    assert repair.status == "repaired"
    struck.assert_whole()


@redundant
def test_a_new_chunk_whose_answer_is_lost_is_not_left_behind(struck: Struck, policy: str) -> None:
    with struck.namespace.faults(Fault("commit-then-reset", "rawx", "PUT", nth=1)) as plan:
        repair = struck.api.object_repair(*struck.target)
    plan.assert_met()
    assert repair.status == "repaired"
    struck.assert_whole()


@pytest.mark.parametrize("policy", ["THREECOPIES"])
def test_a_copy_that_was_spoilt_and_whose_answer_is_lost_is_not_left_behind(
    struck: Struck, policy: str
) -> None:
    """The copy from the next source finds it in its way."""
    spoilt = []

    def spoil(event: Any) -> None:
        if (event.operation, event.kind) == ("PUT chunk", "ended") and not spoilt:
            spoilt.append(event.chunk)
            damage.flip(struck.namespace, {"url": event.chunk})

    with struck.namespace.faults(Fault("commit-then-reset", "rawx", "PUT", nth=1)) as plan:
        repair = struck.api.object_repair(*struck.target, on_event=spoil)
    plan.assert_met()
    assert spoilt
    assert repair.status == "repaired"
    struck.assert_whole()


@redundant
@pytest.mark.parametrize("action", ["commit-then-reset", "commit-then-timeout"])
def test_a_change_whose_answer_is_lost_is_looked_at(struck: Struck, policy: str, action: str) -> None:
    fault = Fault(action, "proxy", "container/raw_update")
    limits = {"read_timeout": 1.0} if action == "commit-then-timeout" else {}
    with struck.namespace.faults(fault) as plan:
        repair = struck.api.object_repair(*struck.target, **limits)
    plan.assert_met()
    assert repair.status == "repaired"
    struck.assert_whole()


#: Locations after the first ones, which find the object, and that the new place is free.
BLIND = [Fault("status", "proxy", "content/locate", status=500, nth=nth) for nth in range(3, 9)]


_CHANGE = ("proxy", "container/raw_update")
DOUBTS = {
    "done, and its answer lost": ([Fault("commit-then-reset", *_CHANGE), *BLIND], "sound"),
    "not done, and unknown": ([Fault("status", *_CHANGE), *BLIND], "damaged"),
    "refused, but somebody may have named it": ([Fault("status", *_CHANGE, status=403), *BLIND], "damaged"),
    "not done yet": ([Fault("reset", *_CHANGE, phase="head")], "damaged"),
}


@redundant
@pytest.mark.parametrize("doubt", DOUBTS)
def test_a_change_that_nobody_knows_of_leaves_the_new_chunk(
    struck: Struck, policy: str, doubt: str, caplog: pytest.LogCaptureFixture
) -> None:
    faults, status = DOUBTS[doubt]
    before, disks = struck.located(), sorted(all_of(struck.namespace))
    with struck.namespace.faults(*faults), caplog.at_level(logging.WARNING):
        (failed,) = struck.api.object_repair(*struck.target).failed
    assert failed.error
    # The data of both are there.
    assert "may be left" in caplog.text
    assert set(disks) < set(all_of(struck.namespace))
    assert len(struck.located()) == len(before)
    assert struck.api.object_check(*struck.target).status == status


@redundant
def test_an_old_chunk_that_may_be_left_is_told(
    struck: Struck, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not deleted before it is certain that the object names the new one."""
    with struck.namespace.faults(*BLIND), caplog.at_level(logging.WARNING):
        (failed,) = struck.api.object_repair(*struck.target).failed
    assert failed.error
    assert f"Chunk {struck.chunk['url']} may be left" in caplog.text
    assert struck.chunk["url"].removeprefix("http://") in all_of(struck.namespace)
    assert struck.api.object_check(*struck.target).status == "sound"


@redundant
def test_a_change_is_sent_once_however_many_attempts_are_wished(struck: Struck, policy: str) -> None:
    fault = Fault("status", *_CHANGE)
    with struck.namespace.faults(fault) as plan:
        assert struck.api.object_repair(*struck.target, request_attempts=3).failed
        assert plan.hits(fault) == 1


@redundant
def test_the_old_chunk_stays_when_it_cannot_be_removed(struck: Struck, policy: str) -> None:
    with struck.namespace.faults(Fault("status", "rawx", "DELETE", status=500)) as plan:
        repair = struck.api.object_repair(*struck.target)
    plan.assert_met()
    assert repair.status == "repaired"
    assert struck.api.object_check(*struck.target).status == "sound"
    damage.remove(struck.namespace, struck.chunk)
    struck.assert_whole()


@redundant
def test_a_deadline_ends_a_repair_and_nothing_is_changed(struck: Struck, policy: str) -> None:
    before, disks = struck.located(), sorted(all_of(struck.namespace))
    with struck.namespace.faults(Fault("stall", "rawx", "PUT")), pytest.raises(exc.DeadlineReached):
        struck.api.object_repair(*struck.target, deadline=time.monotonic() + 1)
    struck.assert_as_before(before, disks)


@redundant
def test_a_deadline_after_the_change_leaves_nothing_behind(struck: Struck, policy: str) -> None:
    fault = Fault("commit-then-timeout", *_CHANGE)
    with struck.namespace.faults(fault) as plan:
        repair = struck.api.object_repair(*struck.target, deadline=time.monotonic() + 1)
    plan.assert_met()
    assert repair.status == "repaired"
    struck.assert_whole()


class LyingDisk:
    """A disk that changes the first new chunk, once it was stored, and before it is looked at."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._known = set(all_of(namespace))
        self._is_written = False
        self.changed: str | None = None

    def __call__(self, event: Any) -> None:
        operation = getattr(event, "operation", None)
        self._is_written |= operation == "PUT chunk"
        if operation == "HEAD chunk" and self._is_written and self.changed is None:
            (self.changed,) = set(all_of(self._namespace)) - self._known
            damage.flip(self._namespace, {"url": f"http://{self.changed}"})


@redundant
def test_a_new_chunk_is_verified_before_it_is_named(struck: Struck, policy: str) -> None:
    disk = LyingDisk(struck.namespace)
    (repaired,) = struck.api.object_repair(*struck.target, on_event=disk).repaired
    assert disk.changed is not None
    assert disk.changed not in str(repaired.url)
    struck.assert_whole()


def put_in_the_way(struck: Struck) -> None:
    """Store chunks of somebody else where the services may place the new chunk."""
    held = {chunk["url"].split("/")[2] for chunk in struck.located()}
    chunk_id = struck.chunk["url"].rpartition("/")[2]
    meta = struck.api.blob_client.chunk_head(struck.chunk["url"])
    for key in ("chunk_id", "chunk_hash", "chunk_size", "metachunk_hash", "metachunk_size"):
        meta.pop(key, None)
    meta |= {"full_path": "other/box/name/1/AB", "content_chunkmethod": "plain/nb_copy=3"}
    meta |= {"container_id": None, "content_path": None, "content_version": None, "content_id": None}
    for rawx in struck.namespace.rawx:
        if rawx.address not in held:
            struck.api.blob_client.chunk_put(f"http://{rawx.address}/{chunk_id}", meta, [b"in the way"])


@redundant
@pytest.mark.on_release("2026")
def test_chunks_in_the_way_stay(struck: Struck, policy: str) -> None:
    """Where IDs are computed, an interrupted repair may have left one, or another one may be under way.

    The new chunk is made where the old one was, then.
    """
    put_in_the_way(struck)
    before, disks = struck.located(), sorted(all_of(struck.namespace))
    (repaired,) = struck.api.object_repair(*struck.target).repaired
    assert repaired.url == struck.chunk["url"]
    assert struck.api.object_check(*struck.target).status == "sound"
    struck.assert_as_before(before, disks)


@redundant
@pytest.mark.on_release("2026")
def test_what_cannot_be_made_where_it_is_fails_while_chunks_are_in_the_way(
    struck: Struck, policy: str
) -> None:
    put_in_the_way(struck)
    damage.swap(struck.namespace, struck.chunk)
    before, disks = struck.located(), sorted(all_of(struck.namespace))
    (failed,) = struck.api.object_repair(*struck.target).failed
    assert "409" in str(failed.error)
    struck.assert_as_before(before, disks)


@redundant
@pytest.mark.on_release("2026")
def test_a_place_whose_id_would_be_lost_gets_the_one_that_is_computed(struck: Struck, policy: str) -> None:
    """A container that computes IDs keeps the server only, and would name another chunk."""
    held = {chunk["url"].split("/")[2] for chunk in struck.located()}
    free = next(rawx.address for rawx in struck.namespace.rawx if rawx.address not in held)
    spare = {"chunks": [{"id": f"http://{free}/{'AB' * 32}", "pos": "", "hash": "", "size": 0}]}
    answer = Fault("status", "proxy", "content/spare", status=200, body=json.dumps(spare))
    with struck.namespace.faults(answer) as plan:
        (repaired,) = struck.api.object_repair(*struck.target).repaired
    plan.assert_met()
    assert free in str(repaired.url)
    struck.assert_whole()


# --- writers meanwhile ----------------------------------------------------------------------------------


class Meanwhile:
    """A listener that does something once, at the first request of a kind."""

    def __init__(self, operation: str, act: Any) -> None:
        self._operation = operation
        self._act = act

    def __call__(self, event: Any) -> None:
        if getattr(event, "operation", None) == self._operation and self._act is not None:
            act, self._act = self._act, None
            act()

    @property
    def is_done(self) -> bool:
        return self._act is None


WRITERS = {
    "overwritten": lambda api, target: api.object_create(
        *target[:2], obj_name=target[2], data=b"new", policy="SINGLE"
    ),
    "deleted": lambda api, target: api.object_delete(*target),
    # Its version stays, and its content is another one.
    "stored again": lambda api, target: api.object_change_policy(*target, "SINGLE"),
}


@redundant
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("operation", ["PUT chunk", "POST container/raw_update"])
def test_an_object_that_goes_meanwhile_stays_gone(
    struck: Struck, policy: str, writer: str, operation: str
) -> None:
    with struck.namespace.api(key_file=None) as other:
        meanwhile = Meanwhile(operation, lambda: WRITERS[writer](other, struck.target))
        repair = struck.api.object_repair(*struck.target, on_event=meanwhile)
    assert meanwhile.is_done
    (failed,) = repair.failed
    assert failed.error
    struck.namespace.settle()
    if writer == "deleted":
        with pytest.raises(exc.NoSuchObject):
            struck.api.object_locate(*struck.target)
        assert list(all_of(struck.namespace)) == []
        struck.api.container_delete(*struck.target[:2])
    else:
        data = b"new" if writer == "overwritten" else DATA
        assert b"".join(struck.api.object_fetch(*struck.target)[1]) == data
        assert len(list(all_of(struck.namespace))) == 1


@redundant
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("operation", ["POST content/spare", "PUT chunk", "POST container/raw_insert"])
def test_an_absent_chunk_of_an_object_that_goes_is_not_named(
    namespace: Namespace, api: Any, policy: str, writer: str, operation: str
) -> None:
    target = "health", f"box-{next(_numbers)}", "o"
    api.object_create(*target[:2], obj_name="o", data=DATA, policy=policy)
    meta, _ = api.object_locate(*target)
    lacking = chunks_of(api, *target)[0]
    row = {"id": lacking["url"], "pos": lacking["pos"], "size": lacking["size"], "hash": lacking["hash"]}
    api.container.container_raw_delete(*target[:2], data=[{"type": "chunk", "content": meta["id"], **row}])
    damage.remove(namespace, lacking)
    namespace.forget_requests()
    with namespace.api(key_file=None) as other:
        meanwhile = Meanwhile(operation, lambda: WRITERS[writer](other, target))
        (failed,) = api.object_repair(*target, on_event=meanwhile).failed
    assert meanwhile.is_done
    assert (failed.chunk.damage, failed.url) == ((Damage.ABSENT,), None)
    asked = [record.target for record in namespace.requests if "raw_insert" in record.target]
    assert len(asked) == (operation == "POST container/raw_insert")
    taken_back = [record.target for record in namespace.requests if "raw_delete" in record.target]
    assert all(target.endswith(f"&path=o&content={meta['id']}") for target in taken_back)
    namespace.settle()
    if writer != "deleted":
        assert len(list(all_of(namespace))) == 1
        api.object_delete(*target)
    namespace.settle()
    assert list(all_of(namespace)) == []
    # No row is left that would keep the container from being destroyed.
    api.container_delete(*target[:2])


@redundant
@pytest.mark.parametrize("operation", ["POST content/spare", "PUT chunk", "POST container/raw_insert"])
@pytest.mark.parametrize("size", [0, 100])
def test_an_absent_chunk_of_a_metachunk_that_is_cut_meanwhile_is_not_named(
    namespace: Namespace, api: Any, policy: str, operation: str, size: int
) -> None:
    """The version and the content ID stay, and what the chunk was made of is gone."""
    target = "health", f"box-{next(_numbers)}", "o"
    api.object_create(*target[:2], obj_name="o", data=DATA, policy=policy)
    lose_row(namespace, api, target)
    with namespace.api(key_file=None) as other:
        meanwhile = Meanwhile(operation, lambda: other.object_truncate(*target, size=size))
        (failed,) = api.object_repair(*target, on_event=meanwhile).failed
    assert meanwhile.is_done
    assert failed.url is None
    assert_sound_and_alone(namespace, api, target, DATA[:size])


@redundant
@pytest.mark.parametrize("operation", ["POST content/spare", "PUT chunk", "POST container/raw_insert"])
def test_an_absent_chunk_of_a_metachunk_that_is_dropped_meanwhile_is_not_named(
    namespace: Namespace, api: Any, policy: str, operation: str
) -> None:
    target = "health", f"box-{next(_numbers)}", "o"
    for part in (DATA, b"more"):
        api.object_create(*target[:2], obj_name="o", data=part, policy=policy, append=True)
    lose_row(namespace, api, target)
    with namespace.api(key_file=None) as other:
        meanwhile = Meanwhile(operation, lambda: other.object_truncate(*target, size=len(DATA)))
        (failed,) = api.object_repair(*target, on_event=meanwhile).failed
    assert meanwhile.is_done
    assert failed.url is None
    assert_sound_and_alone(namespace, api, target, DATA)


def lose_row(namespace: Namespace, api: Any, target: tuple[str, str, str]) -> None:
    """Lose the last chunk of an object, and what is recorded of it."""
    meta, _ = api.object_locate(*target)
    chunk = chunks_of(api, *target)[-1]
    row = {"id": chunk["url"], "pos": chunk["pos"], "size": chunk["size"], "hash": chunk["hash"]}
    api.container.container_raw_delete(*target[:2], data=[{"type": "chunk", "content": meta["id"], **row}])
    damage.remove(namespace, chunk)


def assert_sound_and_alone(namespace: Namespace, api: Any, target: tuple[str, str, str], data: bytes) -> None:
    """An object is sound, gives its data, and nothing else is on the disks."""
    namespace.settle()
    assert api.object_check(*target).damaged == []
    assert b"".join(api.object_fetch(*target)[1]) == data
    named = [chunk["url"].removeprefix("http://") for chunk in chunks_of(api, *target)]
    assert sorted(named) == sorted(all_of(namespace))


@redundant
def test_two_repairs_at_once_agree(struck: Struck, policy: str) -> None:
    with struck.namespace.api(key_file=None) as other:
        meanwhile = Meanwhile("POST container/raw_update", lambda: other.object_repair(*struck.target).status)
        struck.api.object_repair(*struck.target, on_event=meanwhile)
    assert meanwhile.is_done
    assert struck.api.object_check(*struck.target).status == "sound"
    struck.assert_whole()


@redundant
def test_a_repair_asks_the_master_what_the_object_names(struck: Struck, policy: str) -> None:
    """A late replica would not know what another repair has named just before."""
    struck.namespace.forget_requests()
    assert struck.api.object_repair(*struck.target).status == "repaired"
    located = [request for request in struck.namespace.requests if "content/locate" in request.target]
    masters = [header(request, "x-oio-force-master") for request in located]
    # The first one is for the examination: it decides nothing. An undivided container has no shard to find.
    assert masters == [None, "1", "1"]


@contextlib.contextmanager
def one_free_server(
    directory: Path, release: str
) -> Iterator[tuple[Namespace, Any, Any, tuple[str, str, str]]]:
    """Two clients of a namespace of four servers, and an object with three copies."""
    target = "health", "box", "o"
    with (
        Namespace(directory / "namespace", rawx=4, release=release) as namespace,
        namespace.api(key_file=None) as api,
        namespace.api(key_file=None) as other,
    ):
        api.object_create(*target[:2], obj_name="o", data=DATA, policy="THREECOPIES")
        yield namespace, api, other, target


@pytest.mark.on_release("7.3")
def test_two_repairs_at_once_do_not_choose_the_same_server(tmp_path: Path, release: str) -> None:
    """Each knows of the damage of another chunk; one server is free."""
    with one_free_server(tmp_path, release) as (namespace, api, other, target):
        first, second, _ = chunks_of(api, *target)
        damage.flip(namespace, first)

        def overtake() -> None:
            damage.flip(namespace, first)
            damage.flip(namespace, second)
            assert other.object_repair(*target).status == "repaired"

        meanwhile = Meanwhile("PUT chunk", overtake)
        api.object_repair(*target, on_event=meanwhile)
        assert meanwhile.is_done
        assert_sound_and_alone(namespace, api, target, DATA)


@redundant
@pytest.mark.parametrize("operation", ["POST content/spare", "PUT chunk", "POST container/raw_insert"])
def test_two_repairs_at_once_add_an_absent_chunk_once(
    namespace: Namespace, api: Any, policy: str, operation: str
) -> None:
    target = "health", f"box-{next(_numbers)}", "o"
    api.object_create(*target[:2], obj_name="o", data=DATA, policy=policy)
    lose_row(namespace, api, target)
    with namespace.api(key_file=None) as other:
        meanwhile = Meanwhile(operation, lambda: other.object_repair(*target))
        (failed,) = api.object_repair(*target, on_event=meanwhile).failed
    assert meanwhile.is_done
    # Services of 2026 refuse a copy too many in their own words.
    assert "meanwhile" in str(failed.error) or "Too many copies" in str(failed.error)
    assert len(chunks_of(api, *target)) == 3
    assert_sound_and_alone(namespace, api, target, DATA)


@redundant
def test_a_missing_chunk_that_another_repair_makes_where_it_was_is_not_left_there(
    namespace: Namespace, api: Any, policy: str
) -> None:
    target = "health", f"box-{next(_numbers)}", "o"
    api.object_create(*target[:2], obj_name="o", data=DATA, policy=policy)
    damage.remove(namespace, chunks_of(api, *target)[0])
    with namespace.api(key_file=None) as other:

        def overtake() -> None:
            with namespace.faults(NO_PLACE):
                assert other.object_repair(*target).status == "repaired"

        meanwhile = Meanwhile("POST container/raw_update", overtake)
        assert api.object_repair(*target, on_event=meanwhile).status == "repaired"
    assert meanwhile.is_done
    assert_sound_and_alone(namespace, api, target, DATA)


@redundant
def test_a_repair_that_fails_leaves_what_another_one_has_named(struck: Struck, policy: str) -> None:
    """Where IDs are computed, both choose the same place, and the same name for the new chunk."""
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(struck.namespace.api(key_file=None))

        def overtake() -> None:
            assert other.object_repair(*struck.target).status == "repaired"
            stack.enter_context(struck.namespace.faults(Fault("status", "rawx", "GET", status=500)))

        meanwhile = Meanwhile("GET chunk", overtake)
        repair = struck.api.object_repair(*struck.target, on_event=meanwhile, request_attempts=1)
    assert meanwhile.is_done
    assert repair.failed
    struck.assert_whole()


@pytest.mark.on_release("2026")
def test_what_another_repair_names_before_the_second_look_for_a_late_chunk_stays(
    tmp_path: Path, release: str
) -> None:
    """Where IDs are computed, and one server is free, both choose the same place."""
    with one_free_server(tmp_path, release) as (namespace, api, other, target):
        damage.flip(namespace, chunks_of(api, *target)[0])
        statuses = []

        def overtake(event: Any) -> None:
            # The first look for what the copies, from one source and the other, may have left.
            is_absent = (event.operation, event.outcome) == ("DELETE chunk", "HTTP 404")
            if is_absent and not statuses:
                statuses.append(other.object_repair(*target).status)

        faults = [Fault("reset", "rawx", "PUT", after_bytes=100, nth=nth) for nth in (1, 2)]
        # The third one is that of the other repair.
        faults += [Fault("status", "rawx", "PUT", nth=nth) for nth in range(4, 12)]
        with namespace.faults(*faults):
            api.object_repair(*target, on_event=overtake)
        assert statuses == ["repaired"]
        assert_sound_and_alone(namespace, api, target, DATA)


# --- servers that do not answer -------------------------------------------------------------------------


@redundant
def test_a_server_that_does_not_answer_is_no_damage_unless_it_is_wished(
    namespace: Namespace, api: Any, policy: str
) -> None:
    target = "health", f"box-{next(_numbers)}", "o"
    api.object_create(*target[:2], obj_name="o", data=DATA, policy=policy)
    dead = chunks_of(api, *target)[0]
    address = dead["url"].split("/")[2]
    with namespace.faults(Fault("reset", "rawx", address=address, phase="head")):
        # Each of the others would be asked three times, with pauses.
        once = {"request_attempts": 1}
        health = api.object_check(*target, **once)
        assert health.counts == {Damage.UNREACHABLE: 1}
        assert (health.is_readable, health.is_lost, health.honours_policy) == (True, False, False)
        (failed,) = api.object_repair(*target, **once).failed
        assert "does not answer" in str(failed.error)
        assert dead["url"] in {chunk["url"] for chunk in chunks_of(api, *target)}
        (repaired,) = api.object_repair(*target, unreachable=True, **once).repaired
        assert repaired.url is not None
        assert address not in repaired.url
        assert api.object_check(*target).status == "sound"


def test_an_object_of_servers_that_do_not_answer_is_not_lost(namespace: Namespace, api: Any) -> None:
    target = "health", f"box-{next(_numbers)}", "o"
    api.object_create(*target[:2], obj_name="o", data=DATA, policy="SINGLE")
    with namespace.faults(Fault("reset", "rawx", phase="head")):
        health = api.object_check(*target, request_attempts=1)
        assert (health.status, health.is_lost) == ("unreadable", False)
        assert api.object_repair(*target, unreachable=True, request_attempts=1).status == "unreadable"
    assert api.object_check(*target).status == "sound"


def test_all_chunks_on_one_server_that_does_not_answer_are_not_lost(namespace: Namespace, api: Any) -> None:
    """They are misplaced as well, and come back with it."""
    target = "health", f"box-{next(_numbers)}", "o"
    api.object_create(*target[:2], obj_name="o", data=DATA, policy="EC21")
    meta, _ = api.object_locate(*target)
    first, *others = chunks_of(api, *target)
    address = first["url"].split("/")[2]
    for chunk in others:
        moved = f"http://{address}/{chunk['url'].rpartition('/')[2]}"
        api.blob_client.chunk_copy(chunk["url"], moved)
        row = {"type": "chunk", "content": meta["id"], "pos": chunk["pos"]}
        row |= {"id": chunk["url"], "size": chunk["size"], "hash": chunk["hash"]}
        api.container.container_raw_update([row], [{**row, "id": moved}], *target[:2])
    with namespace.faults(Fault("reset", "rawx", address=address, phase="head")):
        health = api.object_check(*target, request_attempts=1)
    assert health.counts == {Damage.UNREACHABLE: 3, Damage.MISPLACED: 2}
    assert (health.status, health.is_lost) == ("unreadable", False)


# --- no other server ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full_namespaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Namespace]]:
    """Namespaces with just as many chunk servers as the policies ask for."""
    with contextlib.ExitStack() as stack:

        def running(release: str) -> Namespace:
            path = tmp_path_factory.mktemp("full")
            return stack.enter_context(Namespace(path / "namespace", rawx=3, release=release))

        yield for_each(running)


class Full(NamedTuple):
    """A namespace without a free server, two clients of it, and names of an object."""

    namespace: Namespace
    api: Any
    other: Any
    target: tuple[str, str, str]

    def create(self, policy: str, *parts: bytes) -> list[dict[str, Any]]:
        """Store the object; return its chunks."""
        for number, part in enumerate(parts or (DATA,)):
            append = number > 0
            self.api.object_create(*self.target[:2], obj_name="o", data=part, policy=policy, append=append)
        return chunks_of(self.api, *self.target)

    def assert_sound(self) -> None:
        assert_sound_and_alone(self.namespace, self.api, self.target, DATA)


@pytest.fixture
def full(full_namespaces: dict[str, Namespace], release: str) -> Iterator[Full]:
    namespace = full_namespaces[release]
    with namespace.api(key_file=None) as api, namespace.api(key_file=None) as other:
        full = Full(namespace, api, other, ("health", f"box-{next(_numbers)}", "o"))
        yield full
        api.object_delete(*full.target)
        namespace.settle()


@redundant
@pytest.mark.parametrize("kind", ["missing", "flipped", "cut", "forgotten"])
def test_without_another_server_a_chunk_is_made_again_where_it_was(
    full: Full, policy: str, kind: str
) -> None:
    chunk = full.create(policy)[0]
    damage.KINDS[kind][0](full.namespace, chunk)
    (repaired,) = full.api.object_repair(*full.target).repaired
    assert str(repaired.url).split("/")[2] == chunk["url"].split("/")[2]
    Struck(full.namespace, full.api, full.target, chunk).assert_whole()


@pytest.mark.on_release("2026")
@pytest.mark.parametrize("kinds", [("missing", "missing"), ("missing", "flipped"), ("flipped", "flipped")])
def test_a_copy_does_not_take_the_place_of_another_one_that_waits_for_repair(
    full: Full, kinds: tuple[str, str]
) -> None:
    """Where IDs are computed, copies have the same one: there would be one row for both."""
    for kind, chunk in zip(kinds, full.create("THREECOPIES")[:2], strict=True):
        damage.KINDS[kind][0](full.namespace, chunk)
    assert full.api.object_repair(*full.target).status == "repaired"
    assert len(chunks_of(full.api, *full.target)) == 3
    full.assert_sound()


@redundant
def test_a_chunk_that_is_dropped_meanwhile_is_not_left_where_it_was(full: Full, policy: str) -> None:
    damage.flip(full.namespace, full.create(policy, DATA, b"more")[-1])
    meanwhile = Meanwhile("PUT chunk", lambda: full.other.object_truncate(*full.target, size=len(DATA)))
    with full.namespace.faults(NO_PLACE):
        (failed,) = full.api.object_repair(*full.target, on_event=meanwhile).failed
    assert meanwhile.is_done
    assert "meanwhile" in str(failed.error)
    full.assert_sound()


@redundant
@pytest.mark.parametrize(
    ("kind", "operation"), [("missing", "PUT chunk"), ("flipped", "DELETE chunk"), ("flipped", "PUT chunk")]
)
def test_two_repairs_at_once_make_a_chunk_again_where_it_was(
    full: Full, policy: str, kind: str, operation: str
) -> None:
    damage.KINDS[kind][0](full.namespace, full.create(policy)[0])
    meanwhile = Meanwhile(operation, lambda: full.other.object_repair(*full.target))
    full.api.object_repair(*full.target, on_event=meanwhile)
    assert meanwhile.is_done
    full.assert_sound()


@redundant
@pytest.mark.parametrize("kind", ["missing", "flipped"])
def test_a_repair_that_fails_leaves_what_another_one_has_made_where_it_was(
    full: Full, policy: str, kind: str
) -> None:
    damage.KINDS[kind][0](full.namespace, full.create(policy)[0])
    with contextlib.ExitStack() as stack:

        def overtake() -> None:
            assert full.other.object_repair(*full.target).status == "repaired"
            stack.enter_context(full.namespace.faults(Fault("status", "rawx", "PUT", status=503)))

        meanwhile = Meanwhile("POST content/spare", overtake)
        full.api.object_repair(*full.target, on_event=meanwhile)
        assert meanwhile.is_done
        full.assert_sound()


@redundant
def test_a_file_that_another_repair_made_while_the_sources_were_verified_stays(
    full: Full, policy: str
) -> None:
    damaged, sound = full.create(policy)[:2]
    damage.flip(full.namespace, damaged)
    events: list[str] = []

    def overtake(event: Any) -> None:
        operation = getattr(event, "operation", "")
        is_source = operation == "HEAD chunk" and event.chunk == sound["url"]
        if is_source and "POST content/spare" in events and "overtaken" not in events:
            events.append("overtaken")
            assert full.other.object_repair(*full.target).status == "repaired"
        events.append(operation)

    with full.namespace.faults(NO_PLACE):
        assert full.api.object_repair(*full.target, on_event=overtake).status == "repaired"
    assert "overtaken" in events
    assert not {"DELETE chunk", "PUT chunk"} & set(events)
    full.assert_sound()


def test_a_damaged_file_stays_until_it_is_certain_that_it_can_be_made_again(full: Full) -> None:
    """Without checksums, nobody had looked at the data of the others."""
    first, second, third = full.create("THREECOPIES")
    damage.cut(full.namespace, first)
    damage.flip(full.namespace, second)
    damage.flip(full.namespace, third)
    before = sorted(all_of(full.namespace))
    with full.namespace.faults(NO_PLACE):
        (failed,) = full.api.object_repair(*full.target, checksum=False).failed
    assert "0 usable chunks are left" in str(failed.error)
    assert sorted(all_of(full.namespace)) == before


@pytest.mark.on_release("2026")
def test_a_chunk_of_somebody_else_is_not_replaced_in_its_place(full: Full) -> None:
    """Where IDs are computed, no other place is on the same server."""
    damage.swap(full.namespace, full.create("THREECOPIES")[0])
    before = sorted(all_of(full.namespace))
    (failed,) = full.api.object_repair(*full.target).failed
    assert "other server" in str(failed.error)
    assert sorted(all_of(full.namespace)) == before


@pytest.mark.on_release("2026")
def test_servers_of_replaced_chunks_are_free_for_others(
    tmp_path_factory: pytest.TempPathFactory, release: str
) -> None:
    """Of three chunks of somebody else, none can be replaced where it is, and there is one server more."""
    target = "health", "box", "o"
    with (
        Namespace(tmp_path_factory.mktemp("few") / "namespace", rawx=10, release=release) as namespace,
        namespace.api(key_file=None) as api,
    ):
        api.object_create(*target[:2], obj_name="o", data=DATA, policy="EC")
        for chunk in chunks_of(api, *target)[:3]:
            damage.swap(namespace, chunk)
        assert api.object_repair(*target).status == "repaired"
        assert api.object_check(*target).status == "sound"
