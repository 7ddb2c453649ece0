# SPDX-License-Identifier: Apache-2.0
"""Health of objects: damage of their chunks, and results of repairs."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass


class Damage(str, enum.Enum):
    """Kind of damage of a chunk.

    >>> Damage("wrong size") is Damage.WRONG_SIZE, str(Damage.WRONG_SIZE)
    (True, 'wrong size')
    """

    MISSING = "missing"
    """Its server, or Backblaze, does not have it."""
    ABSENT = "absent"
    """The policy asks for it, and the services have recorded none."""
    WRONG_SIZE = "wrong size"
    """Its file is longer or shorter than the data that were stored."""
    WRONG_CHECKSUM = "wrong checksum"
    """Its data are not those that were stored."""
    WRONG_OWNER = "wrong owner"
    """It says that it belongs to another object."""
    WRONG_POSITION = "wrong position"
    """It says that it is another fragment of its metachunk."""
    WRONG_RECORD = "wrong record"
    """The services have recorded another size or checksum for it than for most chunks of its metachunk."""
    MISPLACED = "misplaced"
    """It is on the same server as another chunk of its metachunk."""
    UNREADABLE = "unreadable"
    """Its server has it, and fails to read it."""
    UNREACHABLE = "unreachable"
    """Its server does not answer, so that nothing is known of it."""

    def __str__(self) -> str:
        return self.value


HARMLESS = frozenset({Damage.WRONG_OWNER, Damage.WRONG_RECORD, Damage.MISPLACED})
"""Damage that leaves the data as they were stored."""
SPOILT = frozenset({Damage.WRONG_CHECKSUM, Damage.WRONG_SIZE})
"""Damage of data that were changed, or cut, on their way or later."""
_HOPEFUL = HARMLESS | {Damage.UNREACHABLE}
"""Damage after which the data may be as they were stored."""


@dataclass(frozen=True, slots=True)
class ChunkHealth:
    """Health of one chunk.

    :param position: index of its metachunk
    :param index: index of its fragment; None without erasure coding, and for copies that are absent
    :param url: its permanent name; None when it is absent
    :param damage: what is wrong with it; nothing when it is sound
    :param detail: the same in words, with what was found

    >>> chunk = ChunkHealth(0, 3, "http://127.0.0.1:6010/0A", (Damage.MISSING,))
    >>> chunk.pos, chunk.is_sound, chunk.is_usable
    ('0.3', False, False)
    """

    position: int
    index: int | None
    url: str | None
    damage: tuple[Damage, ...] = ()
    detail: str = ""

    @property
    def pos(self) -> str:
        """Position as the services write it: ``metachunk``, or ``metachunk.fragment``."""
        return str(self.position) if self.index is None else f"{self.position}.{self.index}"

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.damage

    @property
    def is_usable(self) -> bool:
        """Whether its data are there, and those that were stored."""
        return HARMLESS.issuperset(self.damage)


@dataclass(frozen=True, slots=True)
class MetachunkHealth:
    """Health of one metachunk: copies or fragments of the same bytes.

    :param position: its index
    :param size: bytes of the object that it holds
    :param expected: how many chunks the policy asks for
    :param needed: how many are enough to read it
    :param chunks: those that are recorded, then those that are absent
    """

    position: int
    size: int
    expected: int
    needed: int
    chunks: tuple[ChunkHealth, ...]

    def _count(self, chunks: list[ChunkHealth]) -> int:
        # Two fragments of one index count once.
        return len({chunk.url if chunk.index is None else chunk.index for chunk in chunks})

    @property
    def usable(self) -> int:
        """How many different chunks there are to read it from."""
        return self._count([chunk for chunk in self.chunks if chunk.is_usable])

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong with its chunks."""
        return all(chunk.is_sound for chunk in self.chunks)

    @property
    def is_readable(self) -> bool:
        """Whether enough chunks are usable, those of unreachable servers left out."""
        return self.usable >= self.needed

    @property
    def is_lost(self) -> bool:
        """Whether it cannot be read, even if all the servers that do not answer come back."""
        hopeful = [c for c in self.chunks if _HOPEFUL.issuperset(c.damage)]
        return self._count(hopeful) < self.needed

    @property
    def honours_policy(self) -> bool:
        """Whether there are as many usable chunks as the policy asks for, each on a server of its own."""
        good = [c for c in self.chunks if c.is_usable and Damage.MISPLACED not in c.damage]
        return self._count(good) >= self.expected


@dataclass(frozen=True, slots=True)
class ObjectHealth:
    """Health of one version of an object.

    :param name: of the object
    :param version: of the object
    :param content_id: ID of its content
    :param policy: its storage policy
    :param chunk_method: how its data are stored
    :param size: bytes
    :param metachunks: in order
    :param error: why the object could not be examined, or how its metachunks fail to make it up; None if all
        of it was examined

    >>> chunk = ChunkHealth(0, None, "http://127.0.0.1:6010/0A", (Damage.MISSING,), "HTTP 404")
    >>> box = MetachunkHealth(0, 5, 1, 1, (chunk,))
    >>> found = ObjectHealth("o", "1", "0A", "SINGLE", "plain/nb_copy=1", 5, (box,))
    >>> found.status, found.is_sound, found.is_readable, found.is_lost
    ('lost', False, False, True)
    >>> found.counts
    {<Damage.MISSING: 'missing'>: 1}
    """

    name: str
    version: str
    content_id: str
    policy: str
    chunk_method: str
    size: int
    metachunks: tuple[MetachunkHealth, ...] = ()
    error: str | None = None

    @property
    def damaged(self) -> list[ChunkHealth]:
        """The chunks that something is wrong with, in order."""
        return [chunk for metachunk in self.metachunks for chunk in metachunk.chunks if chunk.damage]

    @property
    def counts(self) -> dict[Damage, int]:
        """How many chunks have each kind of damage."""
        return dict(Counter(damage for chunk in self.damaged for damage in chunk.damage))

    @property
    def is_sound(self) -> bool:
        """Whether nothing at all is wrong with it."""
        return self.error is None and all(metachunk.is_sound for metachunk in self.metachunks)

    @property
    def is_readable(self) -> bool:
        """Whether all of its bytes can be read now."""
        return self.error is None and all(metachunk.is_readable for metachunk in self.metachunks)

    @property
    def is_lost(self) -> bool:
        """Whether some of its bytes cannot be read, even if all servers that do not answer come back."""
        return any(metachunk.is_lost for metachunk in self.metachunks)

    @property
    def honours_policy(self) -> bool:
        """Whether all of its metachunks have as many usable chunks as the policy asks for."""
        return self.error is None and all(metachunk.honours_policy for metachunk in self.metachunks)

    @property
    def status(self) -> str:
        """``sound``, ``damaged`` and readable, ``unreadable`` now, ``lost``, or ``error``."""
        if self.error is not None:
            return "error"
        if self.is_lost:
            return "lost"
        if not self.is_readable:
            return "unreadable"
        return "sound" if self.is_sound else "damaged"


@dataclass(frozen=True, slots=True)
class ChunkRepair:
    """Result of the repair of one chunk.

    :param chunk: as it was found
    :param url: of the chunk that is in its place now; None when nothing was changed
    :param error: why it was not repaired; None when it was
    """

    chunk: ChunkHealth
    url: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectRepair:
    """Result of the repair of one version of an object.

    :param health: as it was found
    :param chunks: result for each damaged chunk, in order

    >>> health = ObjectHealth("o", "1", "0A", "SINGLE", "plain/nb_copy=1", 5)
    >>> ObjectRepair(health).is_sound, ObjectRepair(health).status
    (True, 'sound')
    """

    health: ObjectHealth
    chunks: tuple[ChunkRepair, ...] = ()

    @property
    def repaired(self) -> list[ChunkRepair]:
        """The chunks that were repaired."""
        return [chunk for chunk in self.chunks if chunk.error is None]

    @property
    def failed(self) -> list[ChunkRepair]:
        """The chunks that were not."""
        return [chunk for chunk in self.chunks if chunk.error is not None]

    @property
    def is_sound(self) -> bool:
        """Whether nothing that was found wrong is left."""
        return self.health.error is None and not self.failed

    @property
    def status(self) -> str:
        """``sound`` before, ``repaired``, or else the status before: see :attr:`ObjectHealth.status`."""
        if self.is_sound:
            return "repaired" if self.chunks else "sound"
        return self.health.status


@dataclass(frozen=True, slots=True)
class HealthProgress:
    """How far a check or a repair of a container has come.

    :param objects: versions of objects looked at
    :param bytes: their bytes
    :param chunks: their chunks
    :param damaged: versions with anything wrong, as they were found
    :param repaired: versions that were damaged, and of which nothing is left to repair
    :param failed: versions that are still damaged after their repair, or that could not be looked at
    """

    objects: int = 0
    bytes: int = 0
    chunks: int = 0
    damaged: int = 0
    repaired: int = 0
    failed: int = 0
