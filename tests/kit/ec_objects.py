# SPDX-License-Identifier: Apache-2.0
"""Erasure-coded objects for tests of faults: 6+3, on nine rawx."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from oio.sandbox import Namespace

POLICY = "EC"
DATA, PARITY = 6, 3
SEGMENT = 1 << 20
FRAGMENT = 174_844
"""Bytes of a fragment of a whole segment, including its header."""
METACHUNK = 2 * SEGMENT

SMALL = random.Random(3).randbytes(1000)
"""Fits in one segment."""
LARGE = random.Random(4).randbytes(METACHUNK + SEGMENT + 5000)
"""Two metachunks of two segments, the last of which is short."""


@contextlib.contextmanager
def running_namespace(path: Path, release: str = "7.3", **more: Any) -> Iterator[Namespace]:
    """As many rawx as a metachunk has chunks: fragment ``n`` of each goes to ``rawx[n]``."""
    settings = {"chunk_size": 2 * SEGMENT // DATA + 100, "default_policy": POLICY}
    with Namespace(path / "namespace", rawx=DATA + PARITY, release=release, **settings, **more) as running:
        _place_in_order(running)
        yield running


def _place_in_order(namespace: Namespace) -> None:
    conscience, slots = namespace.conscience, []
    for number, rawx in enumerate(namespace.rawx):
        service = conscience.resolve("rawx", rawx.address)
        slots.append(f"rawx-at-{number}")
        tags = {**service.tags, "tag.slots": f"{service.tags['tag.slots']},{slots[-1]}"}
        conscience.register(replace(service, tags=tags))
    conscience.create_pool("NONE", ";".join(f"1,{slot}" for slot in slots), force=True)
