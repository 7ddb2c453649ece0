# SPDX-License-Identifier: Apache-2.0
"""Helpers for tests of the asyncio face."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from oio.aio import AsyncObjectStorageApi
from oio.sandbox import Namespace
from tests.kit.facade import ACCOUNT, CONTAINER

TARGET = ACCOUNT, CONTAINER, "o"


def face_of(namespace: Namespace, **options: Any) -> AsyncObjectStorageApi:
    return AsyncObjectStorageApi(namespace.name, endpoint=namespace.endpoint, **options)


async def create(api: AsyncObjectStorageApi, data: Any, name: str = "o", **options: Any) -> int:
    """Store an object, and return its size."""
    return (await api.object_create(ACCOUNT, CONTAINER, data=data, obj_name=name, **options))[1]


async def read(api: AsyncObjectStorageApi, name: str = "o") -> bytes:
    _, stream = await api.object_fetch(ACCOUNT, CONTAINER, name)
    async with stream:
        return await stream.read()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until a condition holds."""
    while not condition():
        await asyncio.sleep(0.001)


async def turns(count: int = 100) -> None:
    """Let the loop turn ``count`` times, which needs a loop that nothing blocks."""
    for _ in range(count):
        await asyncio.sleep(0)


async def blocks(count: int, size: int = 100_000) -> AsyncIterator[bytes]:
    for number in range(count):
        await asyncio.sleep(0)
        yield bytes([number % 251]) * size


def connections(namespace: Namespace) -> set[str]:
    """The client's ends of connections to chunk servers: one for each transfer with policy SINGLE."""
    ports = {int(rawx.address.rpartition(":")[2]) for rawx in namespace.rawx}
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{number}")
            if not target.startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(number))) as sock:
                if sock.family == socket.AF_INET and sock.getpeername()[1] in ports:
                    found.add(target)
    return found


def workers() -> list[str]:
    """Names of the threads of clients."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("oio ")]
