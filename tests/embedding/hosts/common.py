# SPDX-License-Identifier: Apache-2.0
"""What the host programs of these tests do with the library: store objects and read them back."""

from __future__ import annotations

import hashlib
import os
import sys
import threading


def endpoint() -> str:
    return sys.argv[1]


def policy() -> str:
    return sys.argv[2]


def make_api(**kwargs):
    from oio import ObjectStorageApi

    if policy() == "BACKBLAZE":
        kwargs["key_file"] = sys.argv[3]
    return ObjectStorageApi("OPENIO", endpoint=endpoint(), **kwargs)


def round_trip(api, name: str, size: int = 300_000) -> None:
    """Store an object of several blocks, read it back whole and in part, delete it."""
    container = f"host-{os.getpid()}"
    data = hashlib.sha256(name.encode()).digest() * (size // 32)
    chunks, stored, checksum = api.object_create("acct", container, obj_name=name, data=data, policy=policy())
    copies = {"THREECOPIES": 3, "BACKBLAZE": 1}[policy()]
    assert (len(chunks), stored, checksum) == (copies, len(data), hashlib.md5(data).hexdigest())
    meta, stream = api.object_fetch("acct", container, name)
    assert meta["length"] == str(len(data))
    assert b"".join(stream) == data
    _, stream = api.object_fetch("acct", container, name, ranges=[(10, 99_999)])
    assert b"".join(stream) == data[10:100_000]
    assert api.object_delete("acct", container, name)


def sockets() -> list[str]:
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.append(target)
    return found


def assert_nothing_left(threads: int = 1) -> None:
    assert not sockets(), sockets()
    assert threading.active_count() == threads, threading.enumerate()


def epolls() -> int:
    count = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{number}") == "anon_inode:[eventpoll]"
        except OSError:
            continue
    return count
