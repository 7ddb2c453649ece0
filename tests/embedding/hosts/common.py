# SPDX-License-Identifier: Apache-2.0
"""What the host programs of these tests do with the library: store objects and read them back.

Nothing is checked by ``assert``: programs run with ``-O`` as well.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
import threading


def check(holds: object, *about: object) -> None:
    if not holds:
        raise AssertionError(*about)


def endpoint() -> str:
    return sys.argv[1]


_COPIES = {"THREECOPIES": 3, "BACKBLAZE": 1}
_POLICIES = itertools.cycle(_COPIES)


def policy() -> str:
    """Policy of the next object: each program stores objects of both kinds, in turns."""
    return next(_POLICIES)


def key_file() -> str:
    return sys.argv[2]


def make_api(**kwargs):
    from oio import ObjectStorageApi

    # Each read of a cached location asks for scores, in the background.
    options = {"key_file": key_file(), "refresh_rawx_scores_delay": 1e-9, **kwargs}
    return ObjectStorageApi("OPENIO", endpoint=endpoint(), **options)


def round_trip(api, name: str, size: int = 300_000) -> None:
    """Store an object of several blocks, read it back whole and in part, look for damage, delete it."""
    container, name = f"hôte-{os.getpid()}", f"{name} é€𝄞"
    data = hashlib.sha256(name.encode()).digest() * (size // 32)
    kind = policy()
    chunks, stored, checksum = api.object_create("acct", container, obj_name=name, data=data, policy=kind)
    check((len(chunks), stored, checksum) == (_COPIES[kind], len(data), hashlib.md5(data).hexdigest()))
    meta, stream = api.object_fetch("acct", container, name)
    check(meta["length"] == str(len(data)))
    check(b"".join(stream) == data)
    cache = {}
    for _ in range(3):
        _, stream = api.object_fetch("acct", container, name, ranges=[(10, 99_999)], cache=cache)
        check(b"".join(stream) == data[10:100_000])
    with api.object_open("acct", container, name, "ab") as file:
        file.write(b"the end")
    with api.object_open("acct", container, name) as file:
        file.seek(len(data) - 3)
        check(file.read() == data[-3:] + b"the end")
    # What it needs is imported by the first of these calls, in whatever thread that is.
    check(api.object_check("acct", container, name).is_sound)
    check(api.object_delete("acct", container, name))


def round_trips(api, name: str) -> None:
    """One of each policy."""
    for kind in _COPIES:
        round_trip(api, f"{name}, {kind}")


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
    check(not sockets(), sockets())
    check(threading.active_count() == threads, threading.enumerate())


def epolls() -> int:
    count = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{number}") == "anon_inode:[eventpoll]"
        except OSError:
            continue
    return count
