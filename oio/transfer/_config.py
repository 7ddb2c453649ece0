# SPDX-License-Identifier: Apache-2.0
"""Settings of transfers, addresses of objects, and their checks."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

from oio.common.arguments import WrongValue, shorten, wrong_type

Compare: TypeAlias = Literal["size+mtime", "checksum"]
Overwrite: TypeAlias = Literal["changed", "always", "never"]

COMPARE = ("size+mtime", "checksum")
OVERWRITE = ("changed", "always", "never")
_NUMBERS = {
    "workers": (1, 1024),
    "part_size": (65536, 1 << 40),
    "retries": (0, 1000),
    "bandwidth": (1, 1 << 50),
    "results_kept": (0, 1 << 40),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferConfig:
    """Settings of transfers.

    :param workers: most threads at work at once; each holds a few blocks in memory, two or three files and a
        few connections
    :param part_size: bytes (16 MiB) of the ranges in which a larger object is downloaded, in parallel
    :param retries: further attempts at an object, or at a part of a download, after a failure that may pass;
        they come on top of the retries of the client
    :param retry_delay: seconds before the first of these, doubled before each next one, 30 at most
    :param verify: compare downloads with the checksum of the object, besides those of its chunks
    :param bandwidth: bytes a second that all workers together may move; None for no limit
    :param overwrite: fate of targets that exist: ``"changed"`` replaces those that differ, ``"always"``
        replaces all, ``"never"`` leaves them
    :param compare: by what a file and an object are compared: ``"size+mtime"``, or ``"checksum"``, which
        reads the files
    :param follow_symlinks: upload the targets of symbolic links, which are skipped otherwise
    :param fsync: write each downloaded file to disk before it gets its name
    :param policy: storage policy of uploaded objects; by default that of the namespace. Copies that are links
        keep that of the original; so do other copies by default
    :param results_kept: most results that a report keeps, and most failures; it counts all of them
    :raises ValueError: a value is out of range
    :raises TypeError: a value has the wrong type

    >>> TransferConfig(workers=4).part_size
    16777216
    """

    workers: int = 8
    part_size: int = 16 << 20
    retries: int = 3
    retry_delay: float = 0.5
    verify: bool = True
    bandwidth: int | None = None
    overwrite: Overwrite = "changed"
    compare: Compare = "size+mtime"
    follow_symlinks: bool = False
    fsync: bool = False
    policy: str | None = None
    results_kept: int = 10_000

    def __post_init__(self) -> None:
        for name, (lowest, highest) in _NUMBERS.items():
            value = getattr(self, name)
            if name == "bandwidth" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise wrong_type(name, "an int", value)
            if not lowest <= value <= highest:
                raise WrongValue(f"{name} must be from {lowest} to {highest}: {shorten(value)}")
        delay: object = self.retry_delay
        if isinstance(delay, bool) or not isinstance(delay, (int, float)):
            raise wrong_type("retry_delay", "a number", delay)
        if not 0 <= delay < math.inf:
            raise WrongValue(f"retry_delay must be a number of seconds, 0 at least: {delay}")
        for name in (field.name for field in fields(self) if field.type == "bool"):
            check_flag(name, getattr(self, name))
        check_choice("overwrite", self.overwrite, OVERWRITE)
        check_choice("compare", self.compare, COMPARE)
        policy: object = self.policy
        if policy is not None and not isinstance(policy, str):
            raise wrong_type("policy", "a str", policy)


@dataclass(frozen=True, slots=True)
class Remote:
    """Objects of a container whose names have a prefix.

    :param account: name of the account
    :param container: name of the container
    :param prefix: beginning of the names, often ending with a slash; the rest is the path of the file
    :raises ValueError: a name is empty
    :raises TypeError: a name is not a str

    >>> Remote("doc", "box", "photos/")
    Remote(account='doc', container='box', prefix='photos/')
    """

    account: str
    container: str
    prefix: str = ""

    def __post_init__(self) -> None:
        for name in ("account", "container"):
            check_name(name, getattr(self, name))
        check_text("prefix", self.prefix)


def check_text(argument: str, value: object) -> str:
    """Refuse a value that is not a str."""
    if not isinstance(value, str):
        raise wrong_type(argument, "a str", value)
    return value


def check_name(argument: str, value: object) -> str:
    """Refuse an empty name."""
    if not check_text(argument, value):
        raise WrongValue(f"{argument} is required (a name): {value!r}")
    return str(value)


def check_flag(argument: str, value: object) -> bool:
    """Refuse a value that is not a bool."""
    if not isinstance(value, bool):
        raise wrong_type(argument, "True or False", value)
    return value


def check_choice(argument: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the allowed words."""
    if value not in allowed:
        raise WrongValue(f"{argument} must be one of {', '.join(map(repr, allowed))}: {shorten(value)}")


def check_remote(argument: str, value: object) -> Remote:
    """Refuse a value that is not a `Remote`."""
    if not isinstance(value, Remote):
        raise wrong_type(argument, "an oio.transfer.Remote", value)
    return value
