# SPDX-License-Identifier: Apache-2.0
"""Strikes: damage to the files of chunks on the disks of a namespace, all from one seed."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from oio.sandbox.rawx.chunks import ChunkStore

FLIP: Final = "flip"
CUT: Final = "cut"
DELETE: Final = "delete"
SWAP: Final = "swap"
FORGET: Final = "forget"
KINDS: Final = (FLIP, CUT, DELETE, SWAP, FORGET)
"""A bit is changed; the last byte is gone, or the file; it is that of somebody else; attributes are gone."""

#: Full path of an object that no run has.
_FOREIGN: Final = "nobody/elsewhere/other/1/AB"


@dataclass(frozen=True)
class Strike:
    """Damage to one chunk.

    :param kind: one of :data:`KINDS`.
    :param place: ``HOST:PORT/ID``.
    """

    kind: str
    place: str


@dataclass(frozen=True)
class Target:
    """A metachunk that may be struck.

    :param places: of the chunks that it can be read from.
    :param spare: how many of them may be struck, so that it can still be read.
    """

    places: tuple[str, ...]
    spare: int


def choose(targets: Iterable[Target], rng: random.Random, share: float = 0.5) -> list[Strike]:
    """Choose strikes after which everything can be read; the same ones for the same state of ``rng``.

    :param share: of the metachunks that are struck.

    >>> strikes = choose([Target(("HOST:1/0A", "HOST:2/0A"), 1)], random.Random(1), share=1.0)
    >>> [strike.place for strike in strikes]
    ['HOST:2/0A']
    """
    strikes = []
    for target in targets:
        if target.spare > 0 and rng.random() < share:
            struck = rng.sample(sorted(target.places), rng.randint(1, target.spare))
            strikes += [Strike(rng.choice(KINDS), place) for place in struck]
    return strikes


def inflict(store: ChunkStore, chunk_id: str, kind: str) -> None:
    """Damage the file of a chunk, and no other one: links to its data stay as they are.

    :raises NotStored: there is none.
    """
    if kind == DELETE:
        store.delete(chunk_id)
        return
    with store.open(chunk_id) as chunk:
        data, attributes = chunk.file.read(), chunk.attributes
    if kind == FORGET:
        store.lose_note(chunk_id)
        return
    if kind == SWAP:
        data = b"of somebody else"
        foreign = json.loads(attributes.written()) | {"fullpath": _FOREIGN, "size": len(data)}
        store.rewrite_note(chunk_id, json.dumps(foreign).encode())
    elif kind == CUT or not data:
        # Empty data can be neither cut nor changed.
        data = data[:-1] if data else b"!"
    else:
        data = data[:-1] + bytes([data[-1] ^ 1])
    new = store.path(chunk_id, ".struck")
    new.write_bytes(data)
    os.replace(new, store.path(chunk_id))
