# SPDX-License-Identifier: Apache-2.0
"""Cases to measure, as values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
POLICIES: Final = {
    "x1": "SINGLE",
    "x3": "THREECOPIES",
    "EC": "EC",
    "EC ISA-L": "ECISAL63",
    "B2": "BACKBLAZE",
}
"""Storage policies of the sandbox, by the names that cases have for them."""
PARITY: Final = 3
"""Chunks that an object of the policy EC can lose."""

Operation = Literal["put", "get", "range", "list", "head", "set properties", "delete", "delete_many"]
Threads = Literal["green", "OS"]


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    :param operation: what is done
    :param policy: name in :data:`POLICIES` of the policy of the objects
    :param size: bytes of an object; of "range", those that are read of one of :attr:`whole` bytes
    :param concurrency: operations at a time
    :param threads: kind of threads of ours; the bare client always has OS threads
    :param verify: ``verify_checksum`` of reads
    :param algorithm: of the checksums of chunks
    :param lost: data chunks that are lost of each metachunk
    :param delay: seconds that a slow chunk server waits before each answer, and with every 4 MiB of data
    :param all_slow: all chunk servers are slow, not only one
    :param count: objects of a listing, or of a ``delete_many``
    :param whole: bytes of the object of which a range is read
    :param on_disk: the data of a put are in a file on the disk, which a client may read twice
    :param quick: part of a quick run
    """

    operation: Operation
    policy: str = "x1"
    size: int = 0
    concurrency: int = 1
    threads: Threads = "green"
    verify: bool | Literal["strict", "server"] = True
    algorithm: Literal["md5", "blake3"] = "md5"
    lost: int = 0
    delay: float = 0.0
    all_slow: bool = False
    count: int = 0
    whole: int = 0
    on_disk: bool = False
    quick: bool = False

    @property
    def name(self) -> str:
        """Description: ``put 4 KiB x3, 16 green threads``."""
        words: list[str] = [self.operation]
        if self.count:
            words.append(f"{self.count:,}")
        if self.size:
            words += [in_units(self.size), *(["of", in_units(self.whole)] if self.whole else []), self.policy]
        said = [
            "from the disk" if self.on_disk else "",
            f"{self.concurrency} {self.threads} threads" if self.concurrency > 1 else "",
            "" if self.verify is True else f"verify {self.verify or 'off'}",
            "" if self.algorithm == "md5" else self.algorithm,
            f"{self.lost} lost" if self.lost else "",
            ("all rawx slow" if self.all_slow else "one slow rawx") if self.delay else "",
        ]
        return ", ".join([" ".join(words), *filter(None, said)])

    @property
    def transferred(self) -> int:
        """Bytes of objects that one operation transfers."""
        return self.size if self.operation in {"put", "get", "range"} else 0

    @property
    def only_embedded(self) -> bool:
        """Whether it needs services of the benchmark's own."""
        return bool(self.delay) or self.operation == "list" or self.policy == "B2"

    def scaled(self, largest: int) -> Case:
        """The same case with fewer bytes and names, for a trial."""
        return replace(
            self,
            size=min(self.size, largest),
            whole=min(self.whole, 4 * largest),
            count=min(self.count, largest),
            delay=min(self.delay, 0.01),
        )


def in_units(size: int) -> str:
    """Write a size: ``64 KiB``.

    >>> in_units(65536), in_units(1 << 30), in_units(100)
    ('64 KiB', '1 GiB', '100 B')
    """
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def _transfers() -> list[Case]:
    """Puts and gets of all sizes and policies; the quick ones are small and large, x3 and EC."""
    found = []
    for size in (4 * KIB, MIB, 64 * MIB, GIB):
        for policy in POLICIES:
            quick = (policy in {"x3", "EC"} and size != GIB) or (policy == "x1" and size == 4 * KIB)
            found += [Case(kind, policy, size, quick=quick) for kind in _BOTH]
    return found


_BOTH: Final[tuple[Operation, Operation]] = ("put", "get")
_KINDS: Final[tuple[Threads, Threads]] = ("green", "OS")


def _concurrent() -> list[Case]:
    small = Case("put", "x3", 4 * KIB)
    several = [
        replace(small, operation=kind, concurrency=number, threads=threads, quick=number == 16)
        for threads in _KINDS
        for kind in _BOTH
        for number in (4, 16)
    ]
    coded = [
        Case(kind, "EC", 4 * KIB, concurrency=16, threads=threads) for threads in _KINDS for kind in _BOTH
    ]
    return several + coded


CASES: Final[tuple[Case, ...]] = (
    *_transfers(),
    *_concurrent(),
    *(Case("put", "B2", size, on_disk=True) for size in (64 * MIB, GIB)),
    Case("range", "x3", 64 * KIB, whole=GIB),
    Case("range", "EC", 64 * KIB, whole=GIB),
    Case("range", "x3", 64 * KIB, whole=64 * MIB, quick=True),
    Case("range", "x3", 64 * KIB, whole=64 * MIB, verify="server"),
    Case("range", "x3", 64 * KIB, whole=64 * MIB, verify="strict"),
    Case("list", count=100_000),
    Case("list", count=10_000, quick=True),
    Case("head", quick=True),
    Case("set properties", quick=True),
    Case("delete", quick=True),
    Case("delete_many", count=100, quick=True),
    *(Case("get", "EC", size, lost=lost) for size in (MIB, 64 * MIB) for lost in (1, PARITY)),
    Case("put", "EC", MIB, delay=0.2, quick=True),
    Case("get", "EC", MIB, delay=0.2, quick=True),
    *(Case(kind, policy, GIB, delay=0.2) for policy in ("x3", "EC") for kind in _BOTH),
    Case("get", "x3", 64 * MIB, verify=False, quick=True),
    *(Case("get", "x3", 64 * MIB, verify=verify, delay=0.01, all_slow=True) for verify in (True, False)),
    Case("get", "x3", 64 * MIB, verify="strict"),
    Case("get", "x3", 64 * MIB, verify="server"),
    Case("get", "EC", 64 * MIB, verify=False),
    Case("get", "EC", 64 * MIB, verify="strict"),
    *(Case(kind, policy, 64 * MIB, algorithm="blake3") for policy in ("x3", "EC") for kind in _BOTH),
)
