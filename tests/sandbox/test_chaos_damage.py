# SPDX-License-Identifier: Apache-2.0
"""Damage at the end of a chaos run: strikes are the same for a seed, and all is sound after the repair."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.sandbox import Namespace
from oio.sandbox.chaos.healing import Healing
from oio.sandbox.chaos.report import LOST, PROBLEMS, WRONG, Tally
from oio.sandbox.remote import Troubles
from oio.sandbox.strikes import CUT, DELETE, FLIP, FORGET, KINDS, SWAP, Strike, Target, choose, inflict
from tests.kit.releases import RELEASES

ACCOUNT = "chaos"
DATA = bytes(range(256))


def test_strikes_are_the_same_for_a_seed() -> None:
    targets = [Target(tuple(f"HOST:{port}/{number}" for port in range(9)), 3) for number in range(50)]
    first, again = (choose(targets, random.Random(7)) for _ in range(2))
    assert first == again
    assert {strike.kind for strike in first} == set(KINDS)
    assert first != choose(targets, random.Random(8))


def test_strikes_leave_enough_to_read() -> None:
    targets = [Target(("HOST:1/A", "HOST:2/A", "HOST:3/A"), spare) for spare in (-1, 0, 1, 2)]
    struck = [len(choose([target], random.Random(seed), 1.0)) for target in targets for seed in range(20)]
    assert struck[:40] == [0] * 40
    assert set(struck[40:60]) == {1}
    assert set(struck[60:]) == {1, 2}


@pytest.fixture(scope="module", params=RELEASES)
def namespaces(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Namespace]:
    path = tmp_path_factory.mktemp("struck") / "namespace"
    with Namespace(path, rawx=11, chunk_size=5000, release=request.param) as running:
        yield running


@pytest.fixture
def namespace(namespaces: Namespace) -> Iterator[Namespace]:
    """A namespace for all tests of the module; what one leaves is removed."""
    yield namespaces
    with namespaces.api(key_file=None) as api:
        for container in [row[0] for row in api.container_list_all(ACCOUNT)]:
            api.container_delete(ACCOUNT, container, force=True)
    for rawx in namespaces.rawx:
        for chunk in rawx.chunks():
            rawx.store.delete(chunk)


@pytest.fixture
def api(namespace: Namespace) -> Iterator[Any]:
    with namespace.api(key_file=None) as client:
        yield client


@pytest.fixture
def tally() -> Iterator[Tally]:
    told: list[str] = []
    made = Tally(told.append)
    yield made
    made.close()


def read(api: Any, container: str, name: str) -> bytes:
    _, stream = api.object_fetch(ACCOUNT, container, name, verify_checksum="strict")
    with stream:
        return b"".join(stream)


def healing(api: Any, namespace: Namespace, tally: Tally, seed: int = 1) -> Healing:
    return Healing(api, Troubles(namespace), ACCOUNT, tally, random.Random(seed))


def test_everything_is_sound_again(namespace: Namespace, api: Any, tally: Tally) -> None:
    names = [f"{policy}-{number}" for policy in ("THREECOPIES", "EC", "SINGLE") for number in range(4)]
    for name in names:
        policy = name.partition("-")[0]
        api.object_create(ACCOUNT, "box", obj_name=name, data=DATA * 30, policy=policy)
    api.object_link(ACCOUNT, "box", "EC-0", ACCOUNT, "box", "link")
    api.container_snapshot(ACCOUNT, "box", ACCOUNT, "copy")
    healed = healing(api, namespace, tally).heal()
    assert tally.problems == []
    assert healed.objects == 2 * (len(names) + 1)
    assert set(healed.struck) == set(KINDS)
    assert healed.repaired == sum(healed.struck.values())
    for container in ("box", "copy"):
        assert {read(api, container, name) for name in [*names, "link"]} == {DATA * 30}
        assert all(health.is_sound for health in api.container_check(ACCOUNT, container))


@pytest.mark.parametrize("kind", KINDS)
def test_a_strike_damages_one_chunk_and_no_link(
    namespace: Namespace, api: Any, tally: Tally, kind: str
) -> None:
    api.object_create(ACCOUNT, "box", obj_name="o", data=DATA, policy="SINGLE")
    api.object_link(ACCOUNT, "box", "o", ACCOUNT, "box", "link")
    _, (chunk,) = api.object_locate(ACCOUNT, "box", "o")
    Troubles(namespace).strike([Strike(kind, chunk["url"].partition("://")[2])])
    (found,) = api.object_check(ACCOUNT, "box", "o").damaged
    named = {
        FLIP: "wrong checksum",
        CUT: "wrong size",
        DELETE: "missing",
        SWAP: "wrong owner",
        FORGET: "unreadable",
    }
    assert named[kind] in [str(damage) for damage in found.damage]
    assert api.object_check(ACCOUNT, "box", "link").is_sound


def test_an_empty_chunk_can_be_struck(namespace: Namespace, api: Any) -> None:
    api.object_create(ACCOUNT, "box", obj_name="o", data=b"", policy="TWOCOPIES")
    _, chunks = api.object_locate(ACCOUNT, "box", "o")
    for chunk, kind in zip(chunks, (FLIP, CUT), strict=True):
        address, _, chunk_id = chunk["url"].partition("://")[2].partition("/")
        store = next(rawx.store for rawx in namespace.rawx if rawx.address == address)
        inflict(store, chunk_id, kind)
    assert len(api.object_check(ACCOUNT, "box", "o").damaged) == 2


def test_what_is_lost_before_is_a_problem(namespace: Namespace, api: Any, tally: Tally) -> None:
    api.object_create(ACCOUNT, "box", obj_name="o", data=DATA, policy="SINGLE")
    _, (chunk,) = api.object_locate(ACCOUNT, "box", "o")
    api.blob_client.chunk_delete(chunk["url"])
    healing(api, namespace, tally).heal()
    assert {problem.kind for problem in tally.problems} == {LOST, WRONG}


class Blind:
    """A namespace on which strikes have no effect."""

    def strike(self, strikes: list[Strike]) -> None:
        pass


def test_what_is_struck_and_not_seen_is_a_problem(namespace: Namespace, api: Any, tally: Tally) -> None:
    api.object_create(ACCOUNT, "box", obj_name="o", data=DATA * 30, policy="THREECOPIES")
    Healing(api, Blind(), ACCOUNT, tally, random.Random(1)).heal()  # type: ignore[arg-type]
    assert tally.problems
    assert all("is not seen" in problem.text for problem in tally.problems)


class Clumsy:
    """A namespace on which something else is damaged at the same time."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def strike(self, strikes: list[Strike]) -> None:
        self._api.object_create(ACCOUNT, "box", obj_name="o", data=DATA, policy="TWOCOPIES")
        _, (chunk, _) = self._api.object_locate(ACCOUNT, "box", "o")
        self._api.blob_client.chunk_delete(chunk["url"])


def test_what_is_seen_and_was_not_struck_is_a_problem(namespace: Namespace, api: Any, tally: Tally) -> None:
    api.container_create(ACCOUNT, "box")
    Healing(api, Clumsy(api), ACCOUNT, tally, random.Random(1)).heal()  # type: ignore[arg-type]
    (problem,) = tally.problems
    assert problem.text.endswith("is seen, which was not struck")


def test_the_command_repairs_what_it_strikes(tmp_path: Path) -> None:
    record = tmp_path / "record"
    options = ["--release", "2026", "--operations", "60", "--seed", "10", "--threads", "2", "--damage"]
    command = [sys.executable, "-W", "error", "-m", "oio.sandbox", "chaos", *options, "--record", str(record)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].endswith(" --damage")
    assert ", ".join(f"{kind} 0" for kind in PROBLEMS) in lines
    (healed,) = [line for line in lines if line.startswith("damage: ")]
    assert healed.endswith(" chunks repaired")
    (strikes,) = [
        line["strikes"] for line in map(json.loads, record.read_text().splitlines()) if "strikes" in line
    ]
    assert strikes
