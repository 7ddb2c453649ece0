# SPDX-License-Identifier: Apache-2.0
"""The chaos: its model notices what is planted, its plan is the same for a seed, its command reports."""

from __future__ import annotations

import itertools
import json
import logging
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Namespace
from oio.sandbox import operations as known_operations
from oio.sandbox.chaos.audit import LOGGED, UNEXPLAINED, UNKNOWN, Doubts, explain, known_chunks, listening
from oio.sandbox.chaos.model import ABSENT, Book, Key, Piece, State
from oio.sandbox.chaos.operations import WEIGHTS, Operations
from oio.sandbox.chaos.plan import phases
from oio.sandbox.chaos.reads import ACCOUNT, World
from oio.sandbox.chaos.report import DONE, FOREIGN, HANG, LOST, PROBLEMS, WRONG, Tally, Watch
from oio.sandbox.chaos.run import Run, Settings, Worker
from oio.sandbox.chaos.ways import Ways
from oio.sandbox.releases import R7_3, RELEASES, Release
from oio.sandbox.remote import StoredChunk, Troubles

COMMAND = [sys.executable, "-W", "error", "-m", "oio.sandbox", "chaos"]
KEY = Key("own-0", "n0")
HOST = "127.0.0.1:1"
FIRST, SECOND = State((Piece("a", 70_000),)), State((Piece("b", 9),))


class Clock:
    """A clock that goes on by itself, and can be put forward."""

    def __init__(self) -> None:
        self._ticks = itertools.count()
        self.ahead = 0.0

    def __call__(self) -> float:
        return self.ahead + next(self._ticks) / 1e6


# -- model


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(clock: Clock) -> Book:
    return Book(clock, grace=5.0)


def change(book: Book, state: State, error: Exception | None = None) -> None:
    try:
        with book.change({KEY: [state]}):
            if error:
                raise error
    except exc.OioTimeout:
        pass


def test_an_acknowledged_change_leaves_one_state(book: Book) -> None:
    change(book, FIRST)
    change(book, SECOND)
    assert book.possible(KEY) == [SECOND]
    assert book.is_quiet(KEY)


def test_a_change_without_an_answer_leaves_two_states(book: Book, clock: Clock) -> None:
    change(book, FIRST)
    change(book, SECOND, exc.OioTimeout())
    assert book.possible(KEY) == [FIRST, SECOND]
    assert not book.is_quiet(KEY)
    clock.ahead = 6.0
    assert book.is_quiet(KEY)


def test_a_late_change_without_an_answer_stays_possible_after_the_next_one(book: Book, clock: Clock) -> None:
    change(book, FIRST, exc.OioTimeout())
    change(book, SECOND)
    assert book.possible(KEY) == [FIRST, SECOND]
    clock.ahead = 6.0
    change(book, ABSENT)
    assert book.possible(KEY) == [ABSENT]


def test_a_refused_change_leaves_what_was(book: Book) -> None:
    change(book, FIRST)
    with book.change({KEY: [SECOND]}) as refused:
        refused.refused()
    assert book.possible(KEY) == [FIRST]


def test_of_changes_at_the_same_time_either_may_be_the_last(book: Book) -> None:
    with book.change({KEY: [FIRST]}):
        change(book, SECOND)
        assert ABSENT not in book.possible(KEY)
    assert book.possible(KEY) == [FIRST, SECOND]


def test_a_reader_may_have_seen_what_was_when_it_began(book: Book, clock: Clock) -> None:
    change(book, FIRST)
    start = clock()
    change(book, SECOND)
    assert book.possible(KEY, start) == [FIRST, SECOND]
    assert book.possible(KEY, clock()) == [SECOND]


def test_states_in_passing_end_with_the_change(book: Book) -> None:
    change(book, FIRST)
    cut = FIRST.cut(10)
    between = State(FIRST.pieces, shortest=10)
    with book.change({KEY: [cut]}, {KEY: [between]}):
        assert book.possible(KEY) == [FIRST, cut, between]
    assert book.possible(KEY) == [cut]


def test_what_was_seen_of_a_quiet_object_settles_it(book: Book, clock: Clock) -> None:
    change(book, FIRST)
    change(book, SECOND, exc.OioTimeout())
    book.settle(KEY, [FIRST])
    assert book.possible(KEY) == [FIRST, SECOND]
    clock.ahead = 6.0
    book.settle(KEY, [FIRST])
    assert book.possible(KEY) == [FIRST]


def test_a_truncation_that_failed_may_have_cut_anywhere_in_between() -> None:
    between = State((Piece("a", 10), Piece("b", 10)), shortest=5)
    whole = between.data()
    assert [between.has_data(whole[:size]) for size in (4, 5, 12, 20)] == [False, True, True, True]
    assert not between.has_data(whole[1:])
    assert between.cut(12).data() == whole[:12]


# -- what is planted is noticed


class Planted:
    """A client that does some things otherwise.

    :param api: the real one.
    :param methods: those that are replaced; they get the real one first.
    """

    def __init__(self, api: Any, **methods: Callable[..., Any]) -> None:
        self._api = api
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        method = self._methods.get(name)
        real = getattr(self._api, name)
        return (lambda *args, **kwargs: method(real, *args, **kwargs)) if method else real


class NoException(BaseException):
    """As the time limits of green threads are."""


class Stream:
    """A stream of blocks, of which one may be an error."""

    def __init__(self, *blocks: Any) -> None:
        self.blocks = blocks

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[bytes]:
        for block in self.blocks:
            if isinstance(block, Exception):
                raise block
            yield block


@pytest.fixture
def real(namespace: Namespace) -> Iterator[Any]:
    with namespace.api() as api:
        for name in ("own-0", "versions-0", "shared"):
            system = {"sys.m2.policy.version": "-1"} if name.startswith("versions") else None
            api.container_create(ACCOUNT, name, system=system)
        yield api


def worker_of(api: Any, book: Book, clock: Clock, tally: Tally, limit: float = 60.0) -> Worker:
    shared = (book, Doubts(), clock, 60.0, ("SINGLE",), 1, 50_000, R7_3, False, lambda _since: False)
    world = World(api, Ways(api), *shared)
    # Deadlines are those of the real clock.
    operations = Operations(world, 0, random.Random(1))
    operations._limits = dict  # type: ignore[method-assign]
    return Worker(0, operations, tally, Watch(tally, limit, clock), lambda: False)


def fetched(change: Callable[[bytes], tuple[Any, ...]]) -> Callable[..., Any]:
    """Return a fetch whose blocks are what ``change`` makes of the data."""

    def fetch(real: Any, *args: Any, **kwargs: Any) -> Any:
        meta, stream = real(*args, **kwargs)
        data = b"".join(stream)
        blocks = change(data)
        length = sum(len(block) for block in blocks if isinstance(block, bytes))
        return meta | {"length": str(length)}, Stream(*blocks)

    return fetch


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def raising(error: BaseException) -> Callable[..., Any]:
    def method(real: Any, *args: Any, **kwargs: Any) -> Any:
        raise error

    return method


def after(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a method whose answer is what ``change`` makes of the real one."""
    return lambda real, *args, **kwargs: change(real(*args, **kwargs))


def listed(change: Callable[[list[Any]], list[Any]]) -> dict[str, Callable[..., Any]]:
    return {
        "object_list": after(lambda answer: answer | {"objects": change(answer["objects"])}),
        "object_list_all": after(lambda rows: iter(change(list(rows)))),
    }


GHOST = {"name": "ghost", "size": 1, "version": "1", "deleted": False}

PLANTS = [
    ("read", WRONG, {"object_fetch": fetched(lambda data: (flipped(data),))}),
    ("read", WRONG, {"object_fetch": fetched(lambda data: (data[:-1],))}),
    ("read", WRONG, {"object_fetch": fetched(lambda data: (data, b"more"))}),
    ("read", WRONG, {"object_fetch": fetched(lambda data: (flipped(data), exc.ServiceUnavailable()))}),
    ("read", LOST, {"object_fetch": raising(exc.NoSuchObject())}),
    ("read", LOST, {"object_fetch": raising(exc.NoSuchContainer())}),
    ("read", LOST, {"object_fetch": fetched(lambda data: (exc.UnrecoverableContent(),))}),
    ("read", FOREIGN, {"object_fetch": fetched(lambda data: (KeyError("id"),))}),
    ("read", FOREIGN, {"object_fetch": raising(NoException("a limit of green threads"))}),
    ("read", WRONG, {"object_get_properties": after(lambda meta: meta | {"properties": {"a": "b"}})}),
    ("read", WRONG, {"object_get_properties": after(lambda meta: meta | {"length": "1"})}),
    ("read", LOST, {"object_get_properties": raising(exc.NoSuchObject())}),
    ("read_ranges", WRONG, {"object_fetch": fetched(lambda data: (flipped(data),))}),
    ("check_list", LOST, listed(lambda rows: rows[1:])),
    ("check_list", WRONG, listed(lambda rows: [*rows, GHOST])),
    ("check_list", WRONG, listed(lambda rows: [row | {"size": 1} for row in rows])),
    ("list_versions", LOST, listed(lambda rows: rows[1:])),
    ("containers", LOST, {"container_list_all": after(lambda rows: list(rows)[1:])}),
    ("head_all", LOST, {"object_head": after(lambda found: False)}),
    ("create", WRONG, {"object_create": after(lambda made: (made[0], made[1] + 1, made[2]))}),
    ("create", WRONG, {"object_create": after(lambda made: (*made[:2], "0" * 32))}),
    ("create", FOREIGN, {"object_create": raising(RuntimeError("bug"))}),
    ("delete_first", LOST, {"object_delete": raising(exc.NoSuchObject())}),
    ("delete_many", WRONG, {"object_delete_many": after(lambda results: results[1:])}),
    ("append_and_read", WRONG, {"object_create": lambda real, *args, append=False, **kw: real(*args, **kw)}),
    ("truncate_and_read", WRONG, {"object_truncate": lambda real, *args, **kwargs: None}),
    ("delete_and_read", WRONG, {"object_delete": lambda real, *args, **kwargs: True}),
    ("flush_and_read", WRONG, {"container_flush": lambda real, *args, **kwargs: None}),
    ("set_properties_and_read", WRONG, {"object_set_properties": lambda real, *args, **kwargs: None}),
]


def stored(api: Any, book: Book) -> None:
    """Store an object, and a version of one, that the model knows."""
    api.object_create(ACCOUNT, KEY.container, obj_name=KEY.name, data=FIRST.data(), policy="SINGLE")
    *_, meta = api.object_create_ext(
        ACCOUNT, "versions-0", obj_name="n0", data=SECOND.data(), policy="SINGLE"
    )
    for key, state in ((KEY, FIRST), (Key("versions-0", "n0", meta["version"]), SECOND)):
        with book.change({key: [state]}):
            pass


def do(worker: Worker, operation: str) -> None:
    """Do an operation of the chaos, or one of these tests, about the object that is stored."""
    operations: Any = worker._operations
    name, _, then = operation.partition("_and_")
    operations._pick = lambda fits: KEY
    operations._any_key = lambda: KEY
    operations._rng.choice = lambda values: values[0]
    operations.head_all = operations.head
    operations.delete_first = operations.delete
    operations.read_ranges = lambda: operations._read(KEY, [(3, 9), (60_000, 69_999)])
    operations.check = lambda: operations.check_list("own-0")
    read, check_list = operations.read, operations.check_list
    operations.read = lambda: read(KEY)
    operations.check_list = lambda container="own-0": check_list(container)
    worker.step(name)
    if then:
        worker.step(then)


@pytest.mark.parametrize(("operation", "kind", "methods"), PLANTS)
def test_what_is_planted_is_counted(
    real: Any, book: Book, clock: Clock, operation: str, kind: str, methods: dict[str, Any]
) -> None:
    stored(real, book)
    tally = Tally(lambda text: None)
    do(worker_of(Planted(real, **methods), book, clock, tally), operation)
    assert [problem.kind for problem in tally.problems] == [kind], tally.problems
    assert not tally.is_clean


@pytest.mark.parametrize("operation", sorted({operation for operation, *_ in PLANTS}))
def test_nothing_is_counted_where_nothing_is_planted(
    real: Any, book: Book, clock: Clock, operation: str
) -> None:
    stored(real, book)
    tally = Tally(lambda text: None)
    do(worker_of(real, book, clock, tally), operation)
    assert tally.problems == []
    assert {outcome for counts in tally.outcomes.values() for outcome in counts} == {DONE}


@pytest.mark.parametrize("operation", sorted(WEIGHTS))
def test_every_operation_can_be_done(real: Any, book: Book, clock: Clock, operation: str) -> None:
    stored(real, book)
    tally = Tally(lambda text: None)
    worker = worker_of(real, book, clock, tally)
    # Twice, so that there is a snapshot to drop, and an object to overwrite.
    assert (worker.step(operation), worker.step(operation)) == (DONE, DONE), tally.problems


def test_a_failure_that_may_be_is_no_problem(real: Any, book: Book, clock: Clock) -> None:
    stored(real, book)
    tally = Tally(lambda text: None)
    beginning = fetched(lambda data: (data[:100], exc.ServiceUnavailable()))
    do(worker_of(Planted(real, object_fetch=beginning), book, clock, tally), "read")
    assert tally.problems == []
    assert tally.outcomes["read"] == {"ServiceUnavailable": 1}


def test_a_call_that_takes_too_long_is_a_hang(real: Any, book: Book, clock: Clock) -> None:
    def slowly(real: Any, *args: Any, **kwargs: Any) -> Any:
        clock.ahead += 100.0
        return real(*args, **kwargs)

    stored(real, book)
    tally = Tally(lambda text: None)
    do(worker_of(Planted(real, object_fetch=slowly), book, clock, tally), "read")
    assert [problem.kind for problem in tally.problems] == [HANG]


def test_a_call_that_never_ends_is_a_hang_counted_once(book: Book, clock: Clock) -> None:
    tally = Tally(lambda text: None)
    watch = Watch(tally, 60.0, clock)
    begun, end = threading.Event(), threading.Event()

    def call_that_hangs() -> None:
        watch.begin("fetch")
        begun.set()
        end.wait()
        watch.end()

    thread = threading.Thread(target=call_that_hangs, name="worker 0")
    thread.start()
    begun.wait()
    watch.look()
    assert tally.problems == []
    clock.ahead = 100.0
    watch.look()
    watch.look()
    end.set()
    thread.join()
    assert [(problem.kind, problem.thread) for problem in tally.problems] == [(HANG, "worker 0")]
    assert "call_that_hangs" in tally.problems[0].text


# -- a whole run, in this process


def whole_run(namespace: Namespace, api: Any) -> Any:
    tally = Tally(lambda text: None)
    wanted = Settings(8, namespace.release, threads=2, policies=("SINGLE", "EC21"), operations=60)
    return Run(wanted, Troubles(namespace), tally, api).summary()


@pytest.mark.parametrize("release", RELEASES)
def test_a_run_in_which_nothing_is_wrong_says_so(tmp_path: Path, release: str) -> None:
    with Namespace(tmp_path, rawx=3, release=release) as namespace, namespace.api() as api:
        summary = whole_run(namespace, api)
        algorithms = {
            "blake3" in chunk["chunk_method"] for rawx in namespace.rawx for chunk in described(api, rawx)
        }
    assert summary.tally.is_clean, summary.tally.problems
    assert summary.checked > 0
    assert summary.chunks > 0
    assert algorithms == ({True, False} if release == "2026" else {False})
    command, _, verdict = summary.lines()[-1].partition(": ")
    assert command.startswith(f"chaos --release {release} --seed 8 ")
    assert command.endswith("--policy SINGLE --policy EC21")
    assert verdict == "nothing is wrong"


def described(api: Any, rawx: Any) -> Iterator[dict[str, Any]]:
    """The chunks that a server has, as it describes them."""
    for chunk in rawx.chunks():
        meta = api.blob_client.chunk_head(f"http://{rawx.address}/{chunk}")
        yield {"chunk_method": meta["content_chunkmethod"]}


def test_an_object_that_is_lost_at_the_end_is_counted(namespace: Namespace) -> None:
    with namespace.api() as api:

        def read_last(real: Any, *args: Any, verify_checksum: Any = True, **kwargs: Any) -> Any:
            if verify_checksum == "strict":
                raise exc.ServiceUnavailable("no source left")
            return real(*args, **kwargs)

        summary = whole_run(namespace, Planted(api, object_fetch=read_last))
    lost = [problem for problem in summary.tally.problems if problem.thread == "at the end"]
    assert {problem.kind for problem in lost} == {LOST}
    assert summary.lines()[-1].endswith("FAILED")


def test_chunks_without_object_are_explained_by_warnings_and_unknown_outcomes() -> None:
    ids = [f"{number:064X}" for number in range(4)]
    path = "chaos/own%2D0/{}/1/2"
    chunks = [StoredChunk(f"{HOST}/{chunk_id}", path.format(number)) for number, chunk_id in enumerate(ids)]
    doubts = Doubts()
    doubts.add("own-0", "2")
    with listening() as ear:
        logging.getLogger("oio.api._data").warning("Failed to delete chunk http://%s/%s: no", HOST, ids[1])
    reasons = explain(chunks, {f"{HOST}/{ids[0]}"}, ear, doubts)
    assert reasons == {LOGGED: 1, UNKNOWN: 1, UNEXPLAINED: 1}


def test_namesake_of_a_chunk_that_is_known_is_one_without_object() -> None:
    """On services of today, the copies of a metachunk have one ID."""
    known, left = (f"{host}/{'A' * 64}" for host in (HOST, "127.0.0.1:2"))
    with listening() as ear:
        logging.getLogger("oio").warning("Failed to delete chunk http://%s: no", known)
    chunks = [StoredChunk(place, "chaos/own%2D0/n/1/2") for place in (known, left)]
    assert explain(chunks, {known}, ear, Doubts()) == {UNEXPLAINED: 1}
    with Namespace(rawx=3, release="2026") as namespace, namespace.api() as api:
        api.object_create(ACCOUNT, "own-0", obj_name="n", data=b"data", policy="THREECOPIES")
        places = {chunk.place for chunk in Troubles(namespace).chunks()}
        assert places == known_chunks(api, ACCOUNT)
        assert (len(places), len({place.partition("/")[2] for place in places})) == (3, 1)


# -- plan


def test_a_seed_always_gives_the_same_plan() -> None:
    nodes = [f"127.0.0.1:{port}" for port in range(6010, 6022)]
    plans = [list(itertools.islice(phases(seed, nodes), 50)) for seed in (7, 7, 8)]
    assert plans[0] == plans[1] != plans[2]


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_all_faults_of_the_plan_exist(release: Release) -> None:
    nodes = [f"127.0.0.1:{port}" for port in range(6010, 6022)]
    plan = list(itertools.islice(phases(1, nodes, release=release, b2=True), 2000))
    for phase in plan:
        for fault in phase.faults:
            known_operations.check(fault)
        json.dumps(phase.recorded())
    services = {fault.service for phase in plan for fault in phase.faults}
    assert services == {"rawx", "proxy", "account", "rdir", "b2"}
    operations = {fault.operation for phase in plan for fault in phase.faults}
    assert ("content/transition" in operations) is release.transitions
    assert {phase.kill for phase in plan} == {True, False}
    assert {len(phase.stopped) for phase in plan} == {0, 1, 2}


# -- command


@pytest.mark.parametrize("release", RELEASES)
def test_a_short_run_of_the_command_survives_kills(tmp_path: Path, release: str) -> None:
    record = tmp_path / "record.jsonl"
    options = ["--release", release, "--operations", "120", "--seed", "10", "--threads", "4"]
    options += ["--record", str(record)]
    ended = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert lines[0].startswith(f"python -m oio.sandbox chaos --release {release} --seed 10 ")
    assert ", ".join(f"{kind} 0" for kind in PROBLEMS) in lines
    recorded = [json.loads(line) for line in record.read_text().splitlines()]
    assert recorded[0]["release"] == release
    assert recorded[0]["run"] == lines[0].removeprefix("python -m oio.sandbox ")
    assert any(line["phase"]["kill"] for line in recorded if "phase" in line)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--policy", "NOPE"], "invalid choice: 'NOPE'"),
        (["--threads", "0"], "must be 1 or more: '0'"),
        (["--release", "7.4"], "release='7.4': there are '7.3', '2026'"),
        (["--release", "2026", "--policy", "BACKBLAZE"], "release 2026 has no policy BACKBLAZE"),
        (["--record", "/nonexistent/record"], "/nonexistent/record: No such file or directory"),
    ],
)
def test_wrong_options_are_explained(options: list[str], message: str) -> None:
    ended = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert message in ended.stderr
