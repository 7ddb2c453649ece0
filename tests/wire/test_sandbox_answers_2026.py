# SPDX-License-Identifier: Apache-2.0
"""The sandbox of the release 2026 answers recorded requests as the development head did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oio.sandbox.metadata.directory import Target
from oio.sandbox.rdir.store import CHUNKS
from tests.wire.arrange import Containers, arrange_copies, arrange_services, arrange_state, arrange_volumes
from tests.wire.recorded import NAMES_2026, Exchange, Message, load_2026
from tests.wire.replay import Replay
from tests.wire.sharded import CHUNK, arrange_other_shards, arrange_shards, arrange_undivided
from tests.wire.world import World

#: Captures whose state is what others have left.
PRELUDES = {
    "raw_account__container_update": ["raw_account__list"],
    "raw_account__containers": ["raw_account__list"],
    "raw_account__buckets": ["raw_account__list", "raw_account__containers"],
    "raw_change_policy__sequence": ["raw_list__setup"],
    "raw_container__create_many": ["raw_link__by_hand"],
    "raw_list__parameters": ["raw_list__setup"],
    "raw_rawx__methods": ["raw_rawx__copy_off"],
    "raw_rdir__fetch": ["raw_rdir__push"],
    "raw_rdir__delete_status": ["raw_rdir__push"],
    "raw_shards__snapshot": ["raw_shards__show"],
    "raw_shards__frozen_root": ["raw_shards__show", "raw_shards__snapshot"],
    "raw_shards__flush": ["raw_shards__show", "raw_shards__snapshot", "raw_shards__frozen_root"],
    "raw_snapshot__errors": ["raw_link__by_hand", "raw_snapshot__SINGLE"],
}

#: Containers that keep versions.
VERSIONED = {
    "raw_versions__create_delete": "v",
    "raw_versions__pages": "w",
    "raw_delete_many__cases": "w",
}

#: Captures that show the volumes of the rdir.
VOLUMES = {
    "raw_rdir__push": ["raw_rdir__push"],
    "raw_rdir__fetch": ["raw_rdir__fetch"],
    "raw_rdir__delete_status": ["raw_rdir__fetch"],
    "raw_rdir__meta2": ["raw_rdir__meta2"],
}

#: Exchanges that the sandbox answers otherwise, by their numbers.
_AT_ONCE = "what was moved to shards is removed at once, and not by stages"
_JUST_STARTED = "the proxy had just been started, and did not know its service yet"
DIFFERENCES: dict[tuple[str, int], str] = {
    ("raw_account__containers", 11): "a mistake of the stand-in of its database",
    ("raw_conscience__routes", 0): "the policies and pools are those of the sandbox",
    ("raw_container__draining_refusals", 0): _JUST_STARTED,
    ("raw_list__parameters", 14): "what belongs to an upload in parts is not known",
    ("raw_proxy__unnamespaced", 2): "what SQLite says of itself",
    ("raw_proxy__unnamespaced", 3): "the sandbox has few of the variables",
    ("raw_rawx__list", 2): "long answers were sent in chunks",
    **{("raw_shards__made", number): "there is no queue of changes" for number in (2, 30)},
    **{("raw_shards__made", number): "containers are not files" for number in (6, 12, 34, 40)},
    **{("raw_shards__made", number): _AT_ONCE for number in range(17, 24)},
    ("raw_shards__made", 45): "the service was not told, as it is for other containers",
}


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Return an empty namespace for the capture of the test."""
    made = World.make(tmp_path, 10485760, "2026")
    yield made
    made.close()


@pytest.mark.parametrize("name", NAMES_2026)
def test_the_sandbox_answers_as_the_development_head(name: str, world: World) -> None:
    exchanges = load_2026(name).exchanges
    replay = Replay(world)
    arrange(name, world)
    for prelude in PRELUDES.get(name, []):
        for exchange in load_2026(prelude).exchanges:
            replay.run(exchange, compare=False)
    replay.check(name, exchanges, DIFFERENCES, lambda number: disturb(name, number, world))


def arrange(name: str, world: World) -> None:
    """Bring a namespace to the state that a capture, or the first of its preludes, began in."""
    exchanges = load_2026(name).exchanges
    arrange_copies(world, exchanges)
    arrange_services(world, exchanges)
    for shown in VOLUMES.get(name, []):
        arrange_volumes(world, load_2026(shown).exchanges)
    if name in VERSIONED:
        target = Target.named("hraw-1795935071", VERSIONED[name])
        world.metadata.create(target, {}, {"sys.m2.policy.version": "-1"})
    if name.startswith("raw_shards__"):
        arrange_divided(name, world)
    elif name == "raw_account__list":
        create_accounts_of_others(world, exchanges)
    elif name == "raw_rawx__list":
        store_listed_chunks(world, exchanges[2])
    elif name == "raw_rdir__delete_status":
        for volume in answer_of(exchanges[16]).json["rawx_volumes"]:
            world.reverse.create(CHUNKS, volume)
    elif not name.startswith("raw_"):
        arrange_state(world, exchanges)


def create_accounts_of_others(world: World, exchanges: list[Exchange]) -> None:
    created = {exchange.query.get("id") for exchange in exchanges}
    for item in answer_of(exchanges[5]).json["listing"]:
        if item["id"] not in created:
            world.accounts.create(item["id"])


def arrange_divided(name: str, world: World) -> None:
    """Make the container that is divided, or is to be."""
    makers = {"raw_shards__made": arrange_undivided, "raw_shards__flush_shards": arrange_other_shards}
    makers.get(name, arrange_shards)(world)


def answer_of(exchange: Exchange) -> Message:
    assert exchange.response is not None
    return exchange.response


def store_listed_chunks(world: World, listing: Exchange) -> None:
    for item in answer_of(listing).json["chunks"]:
        world.store_chunk(listing.peer, item["chunk_id"], Message("", [], None, 0))


def disturb(name: str, number: int, world: World) -> None:
    """Do what was done beside the recorded connections."""
    if (name, number) == ("raw_change_policy__sequence", 0):
        # Two objects more, and so many changes, that no capture shows.
        target = Target.named("hraw-1795935071", "l")
        (like, *_) = answer_of(load_2026("raw_list__parameters").exchanges[14]).json["objects"]
        for added in ("x", "y"):
            Containers(world).insert(target, {**like, "name": added, "id": f"{added:>032}"}, [CHUNK], {})
        with world.metadata.writing(target) as container:
            for _ in range(5):
                container.bump()
    if name != "raw_rawx__damaged_blake3" or number not in {1, 4}:
        return
    store = world.stores["127.0.0.1:7017"]
    (chunk_id,) = store.names()
    with store.path(chunk_id).open("r+b") as file:
        if number == 1:
            file.seek(5)
            file.write(b"X")
        else:
            file.truncate(60)
