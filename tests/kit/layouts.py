# SPDX-License-Identifier: Apache-2.0
"""Layouts of objects for tests of faults: copies and erasure-coded fragments."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from oio.sandbox import Namespace
from tests.kit import ec_objects, objects
from tests.kit.ec_objects import FRAGMENT, METACHUNK, SEGMENT
from tests.kit.objects import CHUNK_SIZE


class Read(NamedTuple):
    """A read: data of the object, ranges, and bytes in the first answer of a rawx."""

    data: bytes
    ranges: list[tuple[int, int]] | None
    answer: int


class Write(NamedTuple):
    """A write: data, number of the metachunk that is struck, and bytes in its chunks.

    ``kept``: a connection to each rawx is kept from a write before.
    """

    data: bytes
    metachunk: int
    length: int
    kept: bool = False


class Layout(NamedTuple):
    """A layout of objects.

    ``struck`` are the indexes of the rawx that faults strike, in order; ``spare`` is how many of them may
    fail when an object is read, and ``quorum`` how many must work when one is written.
    """

    running: Callable[[Path, str], AbstractContextManager[Namespace]]
    metachunk: int
    struck: tuple[int, ...]
    spare: int
    quorum: int
    reads: dict[str, Read]
    writes: dict[str, Write]
    #: Numbers of rawx to strike: in reads, and in writes.
    faulty: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def objects(self) -> set[bytes]:
        """The data of the objects to read."""
        return {read.data for read in self.reads.values()}

    def pick(self, namespace: Namespace, faulty: int) -> list[Any]:
        """The rawx to strike."""
        return [namespace.rawx[number] for number in self.struck[:faulty]]


LAYOUTS = {
    "copies": Layout(
        objects.running_namespace,
        CHUNK_SIZE,
        struck=(0, 1, 2),
        spare=2,
        quorum=2,
        reads={
            "small": Read(objects.SMALL, None, 1000),
            "small range": Read(objects.SMALL, [(100, 899)], 800),
            "large": Read(objects.LARGE, None, CHUNK_SIZE),
            "large range": Read(objects.LARGE, [(CHUNK_SIZE // 2, 2 * CHUNK_SIZE + 99)], CHUNK_SIZE // 2),
        },
        writes={
            "small": Write(objects.SMALL, 1, 1000),
            "small, kept": Write(objects.SMALL, 1, 1000, kept=True),
            "large, first metachunk": Write(objects.LARGE, 1, CHUNK_SIZE),
            "large, last metachunk": Write(objects.LARGE, 3, 5000),
        },
        faulty=((1, 3), (1, 2, 3)),
    ),
    "EC": Layout(
        ec_objects.running_namespace,
        METACHUNK,
        # One of these fragments is parity.
        struck=(0, 7, 2, 4),
        spare=ec_objects.PARITY,
        quorum=ec_objects.DATA + 1,
        reads={
            "small": Read(ec_objects.SMALL, None, 248),
            "small range": Read(ec_objects.SMALL, [(100, 899)], 248),
            "large": Read(ec_objects.LARGE, None, 2 * FRAGMENT),
            "large range": Read(ec_objects.LARGE, [(SEGMENT + 7, METACHUNK + 99)], FRAGMENT),
        },
        writes={
            "small": Write(ec_objects.SMALL, 1, 248),
            "small, kept": Write(ec_objects.SMALL, 1, 248, kept=True),
            "large, first metachunk": Write(ec_objects.LARGE, 1, 2 * FRAGMENT),
            "large, last metachunk": Write(ec_objects.LARGE, 2, FRAGMENT + 914),
        },
        faulty=((1, 3, 4), (1, 2, 3)),
    ),
}


def taking_turns(
    kind: str, wanted: str = "", **axes: Mapping[str, Any] | Iterable[Any]
) -> pytest.MarkDecorator:
    """Run a test for each value of each axis, each layout, and each number of rawx that are struck.

    The objects take turns: each value meets each of them with one layout or another, and at least two of them
    with each layout. To cross them as well costs four times as much, and tests the same again.

    :param kind: ``reads`` or ``writes``
    :param wanted: regular expression of the names of the objects to take
    :param axes: values of each argument, by their names if they have any
    """
    named = [
        values.items() if isinstance(values, Mapping) else [(value, value) for value in values]
        for values in axes.values()
    ]
    cases = []
    for chosen in itertools.product(*map(enumerate, named)):
        shift = sum(number for number, _ in chosen)
        for turn, (name, layout, faulty) in enumerate(_struck(kind)):
            objects = [item for item in getattr(layout, kind).items() if re.match(wanted, item[0])]
            object_name, what = objects[(shift + turn) % len(objects)]
            label = "-".join([*(str(key) for _, (key, _) in chosen), name, object_name, str(faulty)])
            cases.append(pytest.param(*(value for _, (_, value) in chosen), layout, what, faulty, id=label))
    return pytest.mark.parametrize((*axes, "layout", "what", "faulty"), cases, indirect=["layout"])


def _struck(kind: str) -> Iterator[tuple[str, Layout, int]]:
    for name, layout in LAYOUTS.items():
        for faulty in layout.faulty[kind == "writes"]:
            yield name, layout, faulty


each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS, indirect=True)
