# SPDX-License-Identifier: Apache-2.0
"""Repairs in an event loop: one object for each step, and progress from a thread of the client."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from oio.sandbox import Namespace
from tests.kit import damage
from tests.kit.facade import ACCOUNT, CONTAINER
from tests.kit.looping import create, face_of

NAMES = ("a", "b", "c")


def test_nothing_is_repaired_before_the_loop_asks_for_it(namespace: Namespace) -> None:
    told: list[str] = []

    def tell(_progress: Any) -> None:
        told.append(threading.current_thread().name)

    async def main() -> tuple[str, list[str]]:
        async with face_of(namespace) as api:
            for name in NAMES:
                await create(api, b"hello", name, policy="TWOCOPIES")
                damage.flip(namespace, damage.chunks_of(api.sync, ACCOUNT, CONTAINER, name)[0])
            walk = api.container_repair(ACCOUNT, CONTAINER, concurrency=1, on_progress=tell)
            first = (await anext(walk)).status
            await walk.aclose()
            checked = [health.status async for health in api.container_check(ACCOUNT, CONTAINER)]
            return first, checked

    assert asyncio.run(main()) == ("repaired", ["sound", "damaged", "damaged"])
    assert len(told) == 1
    assert told[0] != threading.current_thread().name
