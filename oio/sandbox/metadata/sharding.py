# SPDX-License-Identifier: Apache-2.0
"""Steps in which operators divide a container among shards, and the state after each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from oio.sandbox.metadata import shards
from oio.sandbox.refusals import Refusal, bad_request

if TYPE_CHECKING:
    from oio.sandbox.metadata.container import Container

_ROOT: Final = "sys.m2.sharding.root"
_LOWER: Final = "sys.m2.sharding.lower"
_UPPER: Final = "sys.m2.sharding.upper"
_CLEANED: Final = "sys.m2.sharding.tables.cleaned"
_VERSION: Final = "sys.m2.version"
_TABLE: Final = "version:main."
#: States of a container that is being divided, and of a new shard before it is cleaned.
_PREPARED: Final = "1"
_LOCKED: Final = "2"
_COPIED: Final = "128"
_CONFLICT: Final = 400


def find(container: Container, percentages: Sequence[float]) -> list[tuple[str, str, int]]:
    """Return a range (lower, upper, number of names) for each percentage of the names."""
    rows = container.db.execute(
        "SELECT DISTINCT name FROM aliases WHERE base = ? ORDER BY name", (container.base,)
    )
    names, found, lower = [str(row["name"]) for row in rows], [], ""
    total = len(names)
    for number, share in enumerate(percentages, start=1):
        taken = names[: math.ceil(total * share / 100)]
        if number == len(percentages) or len(taken) >= len(names):
            found.append((lower, "", len(names)))
            break
        found.append((lower, taken[-1], len(taken)))
        names, lower = names[len(taken) :], taken[-1]
    return found


def prepare(container: Container) -> dict[str, str]:
    """Begin to divide a container, or a shard further; return the facts that the next steps need."""
    if container.get(shards.STATE) in {_PREPARED, _LOCKED}:
        raise Refusal(_CONFLICT, "Sharding is in progress", _CONFLICT)
    now = str(container.clock.now())
    container.update({shards.STATE: _PREPARED, shards.TIMESTAMP: now})
    container.bump()
    known = {"state": _PREPARED, "timestamp": now}
    if root := container.get(_ROOT):
        known |= {
            "root": root,
            "lower": container.get(_LOWER) or "",
            "upper": container.get(_UPPER) or "",
        }
    return known


def describe_new(parent: Container, shard: Container, lower: str, upper: str, timestamp: str) -> None:
    """Set the properties of a new, empty shard."""
    inherited = ("sys.m2.ctime", "sys.m2.policy", "stats.", _VERSION)
    kept = {key: value for key, value in parent.properties().items() if key.startswith(inherited)}
    tables = {
        key: f"{int(value.partition(':')[0]) + 2}:0"
        for key, value in parent.properties().items()
        if key.startswith(_TABLE)
    }
    shard.update(
        {
            **kept,
            **tables,
            _LOWER: f">{lower}",
            _UPPER: f"<{upper}",
            _ROOT: parent.get(_ROOT) or parent.target.cid,
            _CLEANED: "#properties;#aliases;#contents;#chunks;",
            shards.STATE: _COPIED,
            shards.TIMESTAMP: timestamp,
            shards.VACUUM: str(parent.clock.now() // 1_000_000),
        }
    )


def lock(container: Container) -> None:
    """Lock a container against changes until it is divided."""
    if container.get(shards.STATE) != _PREPARED:
        raise Refusal(_CONFLICT, "Sharding is not in progress", _CONFLICT)
    container.set(shards.STATE, _LOCKED)
    container.bump()


def replace(root: Container, wanted: Sequence[shards.Range]) -> None:
    """Move objects into the shards of their ranges, from the root or from the shards that these replace.

    :raises Refusal: there are gaps, or the ranges are not those of whole shards.
    """
    first, last, present = wanted[0], wanted[-1], shards.ranges(root)
    replaced = [part for part in present if part.lower >= first.lower and _is_before(part.upper, last.upper)]
    replaced_bounds = (replaced[0].lower, replaced[-1].upper) if replaced else ("", "")
    gaps = any(one.upper != following.lower for one, following in pairwise(wanted))
    if gaps or bool(present) != bool(replaced) or replaced_bounds != (first.lower, last.upper):
        raise bad_request("The ranges are not those of shards")
    for source in [shards.opened(root, part) for part in replaced] or [root]:
        for part in wanted:
            shards.move_objects(source, shards.opened(root, part), part.lower, part.upper)
    root.db.executemany(
        "DELETE FROM shards WHERE base = ? AND lower = ?", [(root.base, part.lower) for part in replaced]
    )
    root.db.executemany(
        "INSERT INTO shards VALUES (?, ?, ?, ?)",
        [(root.base, part.lower, part.upper, part.cid) for part in wanted],
    )
    shards.mark(root, len(present) - len(replaced) + len(wanted))


def _is_before(upper: str, last: str) -> bool:
    """Whether one upper bound is at or below another; an empty one is infinite."""
    return not last or bool(upper and upper <= last)


def clean(container: Container) -> None:
    """Count the objects of a divided container; here, nothing of other shards has to be removed."""
    if container.get(shards.STATE) in {_COPIED, shards.DONE}:
        now = container.clock.now()
        container.update({_CLEANED: "", shards.STATE: shards.SHARD, shards.TIMESTAMP: str(now)})
        container.set(shards.VACUUM, str(now // 1_000_000))
    container.recount(0, 0)
