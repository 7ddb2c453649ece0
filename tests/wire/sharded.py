# SPDX-License-Identifier: Apache-2.0
"""The divided containers of the captures of the development head, as they were when these begin."""

from __future__ import annotations

from typing import Any

from oio.sandbox.metadata.directory import Target
from oio.sandbox.metadata.layout import Chunk
from tests.wire.arrange import Containers
from tests.wire.recorded import load_2026
from tests.wire.world import World

_ACCOUNT = "hraw-1795935427"
#: That of the capture of how shards are made.
_OTHER_ACCOUNT = "hraw-1795935472"
_BOUNDS = ["b/007", "c/017"]
CHUNK = Chunk(
    "http://127.0.0.1:7017/#0", "0", 1, "3AE7D805F6789A6402ACB70AD4096A85A56BF6804EAF25C0493AC697548D30B5"
)
#: Changes of each shard before the captures begin, in the order of the shards.
_CHANGES = ["28", "28", "26"]
#: What changes with objects, and is right already.
_COUNTED = ("sys.m2.objects", "sys.m2.usage", "sys.m2.version", "sys.status")


def arrange_undivided(world: World) -> None:
    """Make the container s1 with its 24 objects, before it has shards."""
    shown = _answer("raw_shards__made", 1)["system"]
    _describe(world, _with_objects(world, _OTHER_ACCOUNT), shown, shown["sys.m2.version"])


def _with_objects(world: World, account: str) -> Target:
    root = Target.named(account, "s1")
    world.metadata.create(root, {}, {})
    for item in _answer("raw_shards__list", 0)["objects"]:
        Containers(world).insert(root, item, [CHUNK], {})
    return root


def arrange_shards(world: World) -> None:
    """Make the container s1 with its 24 objects, in three shards."""
    root = _with_objects(world, _ACCOUNT)
    described = [_answer("raw_shards__snapshot", number)["system"] for number in (1, 2, 3)]
    places = [_place(system) for system in described]
    world.metadata.divide(root, _BOUNDS, places)
    for place, system, changes in zip(places, described, _CHANGES, strict=True):
        _describe(world, place, system, changes)
    shown = _answer("raw_shards__show", 1)["system"]
    _describe(world, root, shown, shown["sys.m2.version"])


def arrange_other_shards(world: World) -> None:
    """Make the container s2, which keeps versions, in three shards of which only the IDs are known."""
    root = Target.named(_ACCOUNT, "s2")
    world.metadata.create(root, {}, {"sys.m2.policy.version": "-1"})
    flushed = [exchange.query["cid"] for exchange in load_2026("raw_shards__flush_shards").exchanges[:3]]
    places = [Target(cid, f".shards_{_ACCOUNT}", cid) for cid in flushed]
    world.metadata.divide(root, _BOUNDS, places)
    _describe(world, root, {}, "36")


def _answer(name: str, number: int) -> Any:
    response = load_2026(name).exchanges[number].response
    assert response is not None
    return response.json


def _place(system: dict[str, str]) -> Target:
    return Target(system["sys.name"].partition(".")[0], system["sys.account"], system["sys.user.name"])


def _describe(world: World, target: Target, system: dict[str, str], changes: str) -> None:
    known = {key: value for key, value in system.items() if not key.startswith(_COUNTED)}
    with world.metadata.writing(target) as container:
        container.update(known | {"sys.m2.version": changes})
