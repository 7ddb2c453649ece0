# SPDX-License-Identifier: Apache-2.0
"""Shards: containers that each hold a range of the object names of another one, their root."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from oio.sandbox.metadata.container import FROZEN, Container
from oio.sandbox.metadata.directory import Directory, Target
from oio.sandbox.refusals import UNAVAILABLE, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Prefix of the accounts of shards.
ACCOUNT: Final = ".shards_"
SHARDS: Final = "sys.m2.shards"
STATE: Final = "sys.m2.sharding.state"
TIMESTAMP: Final = "sys.m2.sharding.timestamp"
VACUUM: Final = "sys.last_vacuum"
#: States of a root that is divided, and of a shard.
DONE: Final = "3"
SHARD: Final = "130"
_REDIRECTED: Final = 305
_MOVED: Final = ("headers", "chunks", "transitions")


@dataclass(frozen=True)
class Range:
    """Names after ``lower`` up to ``upper``, that one included; an empty bound is none."""

    lower: str
    upper: str
    cid: str


def ranges(container: Container) -> list[Range]:
    """Return the ranges of a container, in order; none when it is not divided."""
    if not container.release.shards:
        return []
    rows = container.db.execute(
        "SELECT lower, upper, cid FROM shards WHERE base = ? ORDER BY lower", (container.base,)
    )
    return [Range(*row) for row in rows]


def parts(container: Container, start: str = "", *, inclusive: bool = False) -> Iterator[Container]:
    """Yield the containers that hold the objects after a name, or from it on: its shards, or itself."""
    found = ranges(container)
    if not found:
        yield container
    for part in found:
        if not part.upper or part.upper > start or (inclusive and part.upper == start):
            yield opened(container, part)


def part_of(container: Container, name: str) -> Container:
    """Return the container that holds, or would hold, an object."""
    for part in ranges(container):
        if not part.upper or name <= part.upper:
            return opened(container, part)
    return container


def opened(root: Container, part: Range) -> Container:
    """Return a shard opened through its root."""
    (base,) = root.db.execute("SELECT id FROM bases WHERE cid = ?", (part.cid,)).fetchone()
    target = Directory(root.db).get(Target(part.cid))
    return Container(
        root.db,
        base,
        target,
        clock=root.clock,
        max_versions=root.kept_versions,
        release=root.release,
        root=root.target,
    )


class ShardFrozen(Refusal):
    """A change through the root of a frozen shard: root and shard redirect it to each other for ever.

    :param shard: ID of the shard.
    """

    def __init__(self, shard: str | None) -> None:
        super().__init__(_REDIRECTED, "Too many redirections (to shards)", UNAVAILABLE)
        self.shard = shard


def freeze(shard: Container) -> None:
    """Freeze a shard, as reading it through a frozen root from the master does."""
    if shard.status != FROZEN:
        shard.set("sys.status", str(FROZEN))
        shard.bump()


def target_of(root: Target, timestamp: int, index: int) -> Target:
    """Return the names of a new shard."""
    return Target.named(ACCOUNT + root.account, f"{root.name}-{root.cid}-{timestamp}-{index}")


def move(root: Container, shard: Container, lower: str, upper: str, peer: str) -> None:
    """Move the objects of a range into a shard.

    :param peer: address of the service that holds the shard.
    """
    move_objects(root, shard, lower, upper)
    _describe(root, shard, lower, upper, peer)
    root.db.execute("INSERT INTO shards VALUES (?, ?, ?, ?)", (root.base, lower, upper, shard.target.cid))


def move_objects(source: Container, shard: Container, lower: str, upper: str) -> None:
    """Move the objects of a range from one container into another."""
    condition = "base = ? AND name > ? AND (? = '' OR name <= ?)"
    chosen = (source.base, lower, upper, upper)
    for table in _MOVED:
        column = "id" if table == "headers" else "content"
        source.db.execute(
            f"UPDATE {table} SET base = ? WHERE base = ? AND {column} IN "
            f"(SELECT content FROM aliases WHERE {condition})",
            (shard.base, source.base, *chosen),
        )
    for table in ("aliases", "properties"):
        source.db.execute(f"UPDATE {table} SET base = ? WHERE {condition}", (shard.base, *chosen))


def _describe(root: Container, shard: Container, lower: str, upper: str, peer: str) -> None:
    kept = {key: value for key, value in root.properties().items() if key.startswith("sys.m2.policy")}
    shard.update(
        kept
        | {
            "sys.m2.sharding.lower": f">{lower}",
            "sys.m2.sharding.upper": f"<{upper}",
            "sys.m2.sharding.root": root.target.cid,
            STATE: SHARD,
            "sys.peers": peer,
            **_dates(root),
        }
    )
    shard.recount(0, 0)


def _dates(root: Container) -> dict[str, str]:
    now = root.clock.now()
    return {VACUUM: str(now // 1_000_000), TIMESTAMP: str(now)}


def mark(root: Container, count: int) -> None:
    """Describe a container that has been divided."""
    root.recount(0, 0)
    root.update({SHARDS: str(count), STATE: DONE, **_dates(root)})


def bounds(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the ranges between names.

    :raises ValueError: they are not in ascending order.

    >>> bounds(["m"])
    [('', 'm'), ('m', '')]
    """
    if any(after <= before for before, after in pairwise(["", *names])):
        raise ValueError(f"bounds={list(names)!r}: names in ascending order are needed")
    return list(pairwise(["", *names, ""]))
