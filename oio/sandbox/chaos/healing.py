# SPDX-License-Identifier: Apache-2.0
"""Damage at the end of a run: chunks are struck on the disks, all objects repaired, and all must be sound."""

from __future__ import annotations

import collections
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from oio.sandbox.chaos.report import LOST, WRONG, Problem, Tally
from oio.sandbox.remote import Control
from oio.sandbox.strikes import Strike, Target, choose

_NO_SERVER: Final = "b2/"


@dataclass
class Healed:
    """What a healing has found.

    :param objects: versions of objects that were looked at.
    :param before: chunks with each kind of damage, before anything was struck.
    :param struck: strikes of each kind.
    :param repaired: chunks that were repaired.
    """

    objects: int = 0
    before: collections.Counter[str] = field(default_factory=collections.Counter)
    struck: collections.Counter[str] = field(default_factory=collections.Counter)
    repaired: int = 0

    def line(self) -> str:
        """Write it.

        >>> Healed(2, collections.Counter(absent=1), collections.Counter(flip=3), 4).line()
        'damage: 2 objects; before: absent 1; struck: flip 3; 4 chunks repaired'
        """
        parts = [f"damage: {self.objects:,} objects"]
        for name, counts in (("before", self.before), ("struck", self.struck)):
            parts.append(f"{name}: {_counted(counts)}")
        return "; ".join([*parts, f"{self.repaired:,} chunks repaired"])


def _counted(counts: collections.Counter[str]) -> str:
    return ", ".join(f"{kind} {number}" for kind, number in sorted(counts.items())) or "nothing"


class Healing:
    """Strikes, and the repair of everything.

    :param api: the client.
    :param control: the namespace.
    :param account: whose objects are struck and repaired.
    :param rng: of all choices.
    """

    def __init__(self, api: Any, control: Control, account: str, tally: Tally, rng: random.Random) -> None:
        self._api = api
        self._control = control
        self._account = account
        self._tally = tally
        self._rng = rng
        self.healed = Healed()
        self._before: set[str] = set()

    def heal(self) -> Healed:
        """Do all of it."""
        healths = list(self._check())
        self.healed.objects = len(healths)
        targets = []
        for container, health in healths:
            self.healed.before.update({str(kind): number for kind, number in health.counts.items()})
            self._before |= _places(health)
            if health.error is not None or not health.is_readable:
                self._wrong(LOST, f"check of {container}/{health.name}", f"{health.status}: {health.error}")
            targets += [_target(metachunk) for metachunk in health.metachunks]
        strikes = choose(targets, self._rng)
        self._control.strike(strikes)
        self.healed.struck.update(strike.kind for strike in strikes)
        self._tally.note(strikes=[(strike.kind, strike.place) for strike in strikes])
        self._see(strikes)
        self._repair()
        for container, health in self._check():
            if not health.is_sound:
                self._wrong(WRONG, f"check of {container}/{health.name} after its repair", _damage(health))
        return self.healed

    def _containers(self) -> list[str]:
        return [row[0] for row in self._api.container_list_all(self._account)]

    def _check(self) -> Iterator[tuple[str, Any]]:
        for container in self._containers():
            for health in self._api.container_check(self._account, container):
                yield container, health

    def _see(self, strikes: list[Strike]) -> None:
        """Check that health sees every struck chunk and no other, and that everything can be read."""
        seen = set()
        for container, health in self._check():
            seen |= _places(health)
            if not health.is_readable:
                self._wrong(WRONG, f"check of {container}/{health.name} after strikes", _damage(health))
        for strike in strikes:
            if strike.place not in seen:
                self._wrong(WRONG, "check", f"{strike.kind} of chunk {strike.place} is not seen")
        for place in sorted(seen - self._before - {strike.place for strike in strikes}):
            self._wrong(WRONG, "check", f"damage of chunk {place} is seen, which was not struck")

    def _repair(self) -> None:
        for container in self._containers():
            # Snapshots are frozen.
            for repair in self._api.container_repair(self._account, container, frozen=True):
                self.healed.repaired += len(repair.repaired)
                for failed in repair.failed:
                    name = f"repair of {container}/{repair.health.name}"
                    self._wrong(WRONG, name, f"{failed.chunk.url}: {failed.error}")

    def _wrong(self, kind: str, operation: str, text: str) -> None:
        self._tally.found(Problem(kind, operation, "at the end", text))


def _target(metachunk: Any) -> Target:
    usable = [chunk for chunk in metachunk.chunks if chunk.is_usable and chunk.url[:3] != _NO_SERVER]
    return Target(tuple(map(_place, usable)), min(metachunk.usable - metachunk.needed, len(usable)))


def _places(health: Any) -> set[str]:
    """Places of the damaged chunks."""
    return {_place(chunk) for chunk in health.damaged if chunk.url}


def _place(chunk: Any) -> str:
    return str(chunk.url).partition("://")[2]


def _damage(health: Any) -> str:
    return "; ".join(f"{chunk.url}: {chunk.detail}" for chunk in health.damaged) or str(health.error)
